//! The functions of a condition: those of CEL's standard library that concern JSON values and times.
//!
//! Each can be called as `f(a, b)` or `a.f(b)`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex::{Regex, RegexBuilder};

use crate::condition::eval::{Outcome, wrong};
use crate::condition::expr::Expr;
use crate::condition::value::Val;

/// The compiled size of a pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 64 * 1024;

/// A function.
#[derive(Debug, Clone)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches(Regex),
    LowerCase,
    UpperCase,
    Trim,
    ToBoolean,
    ToInteger,
    ToDouble,
    ToText,
    ToTimestamp,
    ToDuration,
    Part(Part),
}

/// A part of a timestamp, in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Year,
    /// From 0.
    Month,
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// From 0.
    DayOfYear,
    /// From 0, Sunday.
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Function {
    /// The function of this name, if it takes as many arguments.
    pub(super) fn find(name: &str, args: &[Expr]) -> Result<Self, String> {
        let function = match name {
            "size" => Self::Size,
            "contains" => Self::Contains,
            "startsWith" => Self::StartsWith,
            "endsWith" => Self::EndsWith,
            "matches" => Self::Matches(pattern(args)?),
            "lowerAscii" => Self::LowerCase,
            "upperAscii" => Self::UpperCase,
            "trim" => Self::Trim,
            "bool" => Self::ToBoolean,
            "int" => Self::ToInteger,
            "double" => Self::ToDouble,
            "string" => Self::ToText,
            "timestamp" => Self::ToTimestamp,
            "duration" => Self::ToDuration,
            "getFullYear" => Self::Part(Part::Year),
            "getMonth" => Self::Part(Part::Month),
            "getDate" => Self::Part(Part::Date),
            "getDayOfMonth" => Self::Part(Part::DayOfMonth),
            "getDayOfYear" => Self::Part(Part::DayOfYear),
            "getDayOfWeek" => Self::Part(Part::DayOfWeek),
            "getHours" => Self::Part(Part::Hours),
            "getMinutes" => Self::Part(Part::Minutes),
            "getSeconds" => Self::Part(Part::Seconds),
            "getMilliseconds" => Self::Part(Part::Milliseconds),
            _ => return Err(format!("there is no function `{name}`")),
        };
        match (function.arity(), args.len()) {
            (wanted, found) if wanted == found => Ok(function),
            (wanted, found) => Err(format!("`{name}` takes {wanted} values, not {found}")),
        }
    }

    fn arity(&self) -> usize {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::Matches(_) => 2,
            Self::Size
            | Self::LowerCase
            | Self::UpperCase
            | Self::Trim
            | Self::ToBoolean
            | Self::ToInteger
            | Self::ToDouble
            | Self::ToText
            | Self::ToTimestamp
            | Self::ToDuration
            | Self::Part(_) => 1,
        }
    }

    /// Whether it answers true or false.
    pub(super) fn is_boolean(&self) -> bool {
        matches!(
            self,
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::Matches(_) | Self::ToBoolean
        )
    }

    /// Applies it to as many values as it takes.
    pub(super) fn call<'a>(&self, args: &[Val<'a>]) -> Outcome<'a> {
        match (self, args) {
            (Self::Size, [Val::Text(text)]) => count(text.chars().count()),
            (Self::Size, [Val::List(items)]) => count(items.len()),
            (Self::Size, [Val::Made(items)]) => count(items.len()),
            (Self::Size, [Val::Object(map)]) => count(map.len()),
            (Self::Contains, [Val::Text(a), Val::Text(b)]) => Ok(Val::Bool(a.contains(&**b))),
            (Self::StartsWith, [Val::Text(a), Val::Text(b)]) => Ok(Val::Bool(a.starts_with(&**b))),
            (Self::EndsWith, [Val::Text(a), Val::Text(b)]) => Ok(Val::Bool(a.ends_with(&**b))),
            (Self::Matches(regex), [Val::Text(a), _]) => Ok(Val::Bool(regex.is_match(a))),
            (Self::LowerCase, [Val::Text(a)]) => Ok(Val::Text(a.to_ascii_lowercase().into())),
            (Self::UpperCase, [Val::Text(a)]) => Ok(Val::Text(a.to_ascii_uppercase().into())),
            (Self::Trim, [Val::Text(a)]) => Ok(Val::Text(a.trim().to_owned().into())),
            (Self::ToBoolean, [Val::Bool(b)]) => Ok(Val::Bool(*b)),
            (Self::ToBoolean, [Val::Text(text)]) => parsed(text.parse().ok(), Val::Bool, text),
            (Self::ToInteger, [value]) => integer(value),
            (Self::ToDouble, [Val::Text(text)]) => {
                parsed(text.trim().parse().ok(), Val::Double, text)
            }
            (Self::ToDouble, [value]) => match value.as_double() {
                Some(double) => Ok(Val::Double(double)),
                None => self.refuse(args),
            },
            (Self::ToText, [value]) => self.text(value),
            (Self::ToTimestamp, [Val::Time(time)]) => Ok(Val::Time(*time)),
            (Self::ToTimestamp, [Val::Text(text)]) => parsed(timestamp(text), Val::Time, text),
            (Self::ToDuration, [Val::Span(span)]) => Ok(Val::Span(*span)),
            (Self::ToDuration, [Val::Text(text)]) => parsed(duration(text), Val::Span, text),
            (Self::Part(part), [Val::Time(time)]) => Ok(Val::Int(part.of(*time))),
            (Self::Part(part), [Val::Text(text)]) => {
                parsed(timestamp(text), |time| Val::Int(part.of(time)), text)
            }
            _ => self.refuse(args),
        }
    }

    fn text<'a>(&self, value: &Val<'a>) -> Outcome<'a> {
        Ok(Val::Text(match value {
            Val::Text(text) => text.clone(),
            Val::Bool(b) => b.to_string().into(),
            Val::Int(i) => i.to_string().into(),
            Val::Uint(u) => u.to_string().into(),
            Val::Double(d) => d.to_string().into(),
            Val::Time(time) => time.to_string().into(),
            Val::Span(_) | Val::Null | Val::List(_) | Val::Made(_) | Val::Object(_) => {
                return self.refuse(std::slice::from_ref(value));
            }
        }))
    }

    fn refuse<'a>(&self, args: &[Val<'_>]) -> Outcome<'a> {
        let kinds: Vec<&str> = args.iter().map(Val::kind).collect();
        wrong(format!("a function cannot take {}", kinds.join(" and ")))
    }
}

impl Part {
    fn of(self, time: Timestamp) -> i64 {
        let at = time.to_zoned(TimeZone::UTC);
        match self {
            Self::Year => at.year().into(),
            Self::Month => i64::from(at.month()) - 1,
            Self::Date => at.day().into(),
            Self::DayOfMonth => i64::from(at.day()) - 1,
            Self::DayOfYear => i64::from(at.day_of_year()) - 1,
            Self::DayOfWeek => at.weekday().to_sunday_zero_offset().into(),
            Self::Hours => at.hour().into(),
            Self::Minutes => at.minute().into(),
            Self::Seconds => at.second().into(),
            Self::Milliseconds => at.millisecond().into(),
        }
    }
}

/// Compiles the pattern of `matches`, which must be written out: one that customers can set would be
/// compiled at every evaluation.
fn pattern(args: &[Expr]) -> Result<Regex, String> {
    let Some(Expr::Literal(Val::Text(pattern))) = args.get(1) else {
        return Err("`matches` needs a pattern in quotes".to_owned());
    };
    RegexBuilder::new(pattern)
        .size_limit(MAX_PATTERN_BYTES)
        .dfa_size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|error| format!("the pattern of `matches` is not valid: {error}"))
}

fn count<'a>(items: usize) -> Outcome<'a> {
    Ok(Val::Int(i64::try_from(items).unwrap_or(i64::MAX)))
}

fn parsed<'a, T>(value: Option<T>, make: impl FnOnce(T) -> Val<'a>, text: &str) -> Outcome<'a> {
    match value {
        Some(value) => Ok(make(value)),
        None => {
            wrong(format!("\"{}\" cannot be converted", text.chars().take(40).collect::<String>()))
        }
    }
}

fn integer<'a>(value: &Val<'_>) -> Outcome<'a> {
    match value {
        Val::Int(i) => Ok(Val::Int(*i)),
        Val::Uint(u) => parsed(i64::try_from(*u).ok(), Val::Int, &u.to_string()),
        // The bounds are exact: -2^63 is an i64 and 2^63 is the first that is not.
        Val::Double(d) if (-(2f64.powi(63))..2f64.powi(63)).contains(d) => Ok(Val::Int(*d as i64)),
        Val::Double(d) => wrong(format!("{d} is no whole number in range")),
        Val::Text(text) => parsed(text.trim().parse().ok(), Val::Int, text),
        Val::Time(time) => Ok(Val::Int(time.as_second())),
        other => wrong(format!("`int` cannot take {}", other.kind())),
    }
}

/// A moment in RFC 3339, or a calendar date, which is its midnight in UTC.
fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let date: Date = text.parse().ok()?;
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// CEL's durations, such as `1h30m` or `-2.5s`.
fn duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut seconds = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let (unit, length) =
            [("ms", 0.001), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
                .into_iter()
                .find(|(unit, _)| rest[digits..].starts_with(unit))?;
        seconds += number * length;
        rest = &rest[digits + unit.len()..];
    }
    SignedDuration::try_from_secs_f64(if negative { -seconds } else { seconds }).ok()
}
