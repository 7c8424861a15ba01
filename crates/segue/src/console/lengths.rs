//! How long, how fast and how much, as people read it.

use super::words;

/// A length of time: `0.8 ms`, `420 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn lasting(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "not known".to_owned();
    }
    if seconds < 0.1 {
        return format!("{:.1} ms", seconds * 1e3);
    }
    if seconds < 1.0 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 9.95 {
        let text = format!("{seconds:.1}");
        return format!("{} s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let whole = whole(seconds);
    let both = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large} {one}"),
        small => format!("{large} {one} {small} {other}"),
    };
    match whole {
        0..=59 => format!("{whole} s"),
        60..=3_599 => both(whole / 60, "min", whole % 60, "s"),
        3_600..=86_399 => both(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        86_400.. => both(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// As [`lasting`], of milliseconds.
#[must_use]
pub fn lasting_ms(millis: f64) -> String {
    lasting(millis / 1e3)
}

/// A rate of events: `12,400 events/s`.
#[must_use]
pub fn rate(events_per_second: f64) -> String {
    format!("{} events/s", number(events_per_second))
}

/// A rate of what is said beside it: `12,400/s`.
#[must_use]
pub fn per_second(rate: f64) -> String {
    format!("{}/s", number(rate))
}

fn number(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 { format!("{rate:.1}") } else { words::count(whole(rate)) }
}

/// A share in percent, that is 100 only when nothing is left.
#[must_use]
pub fn percent(share: f64) -> String {
    if share > 99.0 && share < 100.0 {
        return format!("{:.1} %", share.min(99.9));
    }
    format!("{} %", whole(share.min(100.0)))
}

/// The whole number next to a measured one.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what lies outside becomes the least or the greatest number, which is meant"
)]
pub fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_with_as_much_detail_as_anybody_wants() {
        let told =
            [0.000_8, 0.42, 3.0, 3.24, 59.4, 250.0, 3_600.0, 7_500.0, 273_600.0].map(lasting);
        let expected = [
            "0.8 ms",
            "420 ms",
            "3 s",
            "3.2 s",
            "59 s",
            "4 min 10 s",
            "1 h",
            "2 h 5 min",
            "3 d 4 h",
        ];
        assert_eq!(told, expected);
        assert_eq!(lasting(f64::INFINITY), "not known");
    }

    #[test]
    fn a_share_is_whole_only_when_nothing_is_left() {
        assert_eq!(
            [0.0, 41.6, 99.4, 99.99, 100.0].map(percent),
            ["0 %", "42 %", "99.4 %", "99.9 %", "100 %"]
        );
    }
}
