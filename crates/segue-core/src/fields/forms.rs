//! What e-mail addresses, telephone numbers and dates look like, for values and in messages.

use jiff::civil::Date;

/// The longest address that mail can reach, in bytes (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;
/// Digits of a telephone number: E.164 allows 15; shorter than 7 is no subscriber's number.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// An e-mail address with its domain in lower case, if the text is one.
pub(crate) fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let local_fits = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|c| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c));
    let labels: Vec<&str> = domain.split('.').collect();
    let label_fits = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let top_fits = labels
        .last()
        .is_some_and(|top| top.chars().count() >= 2 && top.chars().any(char::is_alphabetic));
    let fits = local_fits
        && text.len() <= MAX_EMAIL_BYTES
        && labels.len() >= 2
        && labels.iter().all(label_fits)
        && top_fits;
    fits.then(|| format!("{local}@{}", domain.to_lowercase()))
}

/// A telephone number as its digits, after a `+` where the country is given, if the text is one.
///
/// `+33 (0)6 18 …` is how France is written for foreigners and for the French at once; that zero goes.
pub(crate) fn phone(text: &str) -> Option<String> {
    let text = text.trim();
    let international = text.starts_with('+') || text.starts_with("00");
    let body = text.strip_prefix('+').unwrap_or_else(|| text.strip_prefix("00").unwrap_or(text));
    let body = if international { body.replacen("(0)", "", 1) } else { body.to_owned() };
    let mut digits = String::new();
    for c in body.chars() {
        match c {
            '0'..='9' => digits.push(c),
            ' ' | '\u{a0}' | '\u{202f}' | '.' | '-' | '/' | '(' | ')' => {}
            _ => return None,
        }
    }
    if !PHONE_DIGITS.contains(&digits.len()) || (international && digits.starts_with('0')) {
        return None;
    }
    Some(if international { format!("+{digits}") } else { digits })
}

/// A calendar date, if the text is one in ISO form, alone or at the start of a timestamp.
pub(crate) fn date(text: &str) -> Option<Date> {
    let text = text.trim();
    let day = text.get(..10)?;
    let is_iso = day.bytes().enumerate().all(|(at, b)| match at {
        4 | 7 => b == b'-',
        _ => b.is_ascii_digit(),
    });
    let rest = &text[10..];
    let is_date = rest.is_empty()
        || (rest.starts_with(['T', ' ']) && text.parse::<jiff::civil::DateTime>().is_ok());
    if is_iso && is_date { day.parse().ok() } else { None }
}
