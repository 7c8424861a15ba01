//! Calendar dates as customers write them.

use std::ops::Range;

use jiff::civil::Date;
use regex::Captures;

use crate::extract::candidates::CERTAIN;
use crate::extract::phrases::{DATE, MONTHS};

/// A date whose day and month could be the other way round: `03/04/1990`.
const EITHER_WAY: f64 = 0.80;

/// A date that was found.
pub(super) struct Found {
    pub(super) date: Date,
    pub(super) span: Range<usize>,
    /// How sure its form leaves one.
    pub(super) at_most: f64,
}

/// Every date in a text.
pub(super) fn find(text: &str) -> Vec<Found> {
    DATE.captures_iter(text)
        .filter_map(|captures| {
            let span = captures.get(0)?.range();
            let (date, at_most) = read(&captures)?;
            Some(Found { date, span, at_most })
        })
        .collect()
}

fn read(captures: &Captures<'_>) -> Option<(Date, f64)> {
    let number = |name: &str| captures.name(name)?.as_str().parse::<i16>().ok();
    let small = |name: &str| captures.name(name)?.as_str().parse::<i8>().ok();
    if let Some(year) = number("y1") {
        return Some((Date::new(year, small("m1")?, small("d1")?).ok()?, CERTAIN));
    }
    if let Some(year) = number("y2") {
        let (first, second) = (small("a")?, small("b")?);
        let day_first = Date::new(year, second, first).ok();
        let month_first = Date::new(year, first, second).ok();
        return match (day_first, month_first) {
            // With dots the day comes first wherever dots are used.
            (Some(date), _) if &captures["sign"] == "." => Some((date, CERTAIN)),
            (Some(date), Some(other)) if date != other => Some((date, EITHER_WAY)),
            (Some(date), _) | (None, Some(date)) => Some((date, CERTAIN)),
            (None, None) => None,
        };
    }
    let name = captures.name("n3").or_else(|| captures.name("n4"))?.as_str().to_lowercase();
    let month = MONTHS.iter().find(|(start, _)| name.starts_with(start))?.1;
    let year = number("y3").or_else(|| number("y4"))?;
    let day = small("d3").or_else(|| small("d4"))?;
    Some((Date::new(year, month, day).ok()?, CERTAIN))
}
