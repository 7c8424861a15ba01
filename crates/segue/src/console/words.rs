//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

/// A count with its thousands apart.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As [`count`], for a length.
#[must_use]
pub fn length(number: usize) -> String {
    count(number as u64)
}

/// "1 session", "2 sessions".
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A moment in UTC, such as `27 Nov 2026, 09:45:12`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M:%S").to_string()
}

/// How long ago a moment was; the moment itself when that is longer than a week ago.
#[must_use]
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    match seconds {
        ..-1 => moment(at),
        -1..=1 => "just now".to_owned(),
        2..=59 => format!("{seconds} s ago"),
        60..=3_599 => format!("{} min ago", seconds / 60),
        3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        86_400..=604_799 => format!("{} d ago", seconds / 86_400),
        604_800.. => at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y").to_string(),
    }
}

/// A moment as an element: how long ago, and precisely for whoever points at it.
#[must_use]
pub fn when(at: Timestamp, now: Timestamp) -> Markup {
    html! { time.nowrap datetime=(at) title=(format!("{} UTC", moment(at))) { (ago(at, now)) } }
}

/// A moment as an element, precisely.
#[must_use]
pub fn exactly(at: Timestamp) -> Markup {
    html! { time.nowrap datetime=(at) { (moment(at)) " UTC" } }
}

/// The first characters of an id; the whole of it for whoever points at it.
#[must_use]
pub fn short_id(id: impl std::fmt::Display) -> Markup {
    let id = id.to_string();
    // Ids of version 7 begin with the time, so the end tells them apart.
    let end = id.get(id.len().saturating_sub(8)..).unwrap_or(&id);
    html! { code.nowrap title=(id) { "…" (end) } }
}

/// A word of the API as people write it: `gap_fill` is "gap fill".
#[must_use]
pub fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

/// A text with a capital at its beginning.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// A word of the API to begin with: `gap_fill` is "Gap fill".
#[must_use]
pub fn capital(word: &str) -> String {
    sentence(&spaced(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "session"), "1 session");
        assert_eq!(counted(1_204, "session"), "1,204 sessions");
    }

    #[test]
    fn moments_are_told_as_people_tell_them() {
        let at: Timestamp = "2026-11-27T09:45:12Z".parse().unwrap();
        let after = |seconds| at + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(ago(at, after(0)), "just now");
        assert_eq!(ago(at, after(125)), "2 min ago");
        assert_eq!(ago(at, after(7_300)), "2 h ago");
        assert_eq!(ago(at, after(800_000)), "27 Nov 2026");
        assert_eq!(moment(at), "27 Nov 2026, 09:45:12");
    }
}
