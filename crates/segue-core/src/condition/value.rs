//! The values of an evaluation: those of JSON, borrowed where they can be.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Time(Timestamp),
    Span(SignedDuration),
    List(&'a [Value]),
    /// A list written in the condition or made by it.
    Made(Vec<Val<'a>>),
    Object(&'a serde_json::Map<String, Value>),
}

/// A number, for comparing across types.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i128),
    Real(f64),
}

impl<'a> Val<'a> {
    /// A view of a JSON value.
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Val::Null,
            Value::Bool(b) => Val::Bool(*b),
            Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(i), _) => Val::Int(i),
                (None, Some(u)) => Val::Uint(u),
                (None, None) => Val::Double(n.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(s) => Val::Text(Cow::Borrowed(s)),
            Value::Array(items) => Val::List(items),
            Value::Object(map) => Val::Object(map),
        }
    }

    /// The same value, borrowing from this one.
    pub(super) fn borrowed(&'a self) -> Self {
        match self {
            Val::Text(text) => Val::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// What operators call its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Val::Null => "null",
            Val::Bool(_) => "true or false",
            Val::Int(_) | Val::Uint(_) | Val::Double(_) => "a number",
            Val::Text(_) => "text",
            Val::Time(_) => "a timestamp",
            Val::Span(_) => "a duration",
            Val::List(_) | Val::Made(_) => "a list",
            Val::Object(_) => "an object",
        }
    }

    /// How much it costs to walk through it once, in units of work.
    pub(super) fn size(&self) -> usize {
        match self {
            Val::Text(text) => text.len() / 64,
            Val::List(items) => items.iter().map(json_size).sum(),
            Val::Made(items) => items.iter().map(|item| 1 + item.size()).sum(),
            Val::Object(map) => map.values().map(json_size).sum(),
            Val::Null
            | Val::Bool(_)
            | Val::Int(_)
            | Val::Uint(_)
            | Val::Double(_)
            | Val::Time(_)
            | Val::Span(_) => 0,
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Val::Int(i) => Some(Number::Whole(i128::from(*i))),
            Val::Uint(u) => Some(Number::Whole(i128::from(*u))),
            Val::Double(d) => Some(Number::Real(*d)),
            _ => None,
        }
    }

    /// As a floating-point number, if it is a number.
    pub(super) fn as_double(&self) -> Option<f64> {
        self.number().map(|number| match number {
            Number::Whole(whole) => whole as f64,
            Number::Real(real) => real,
        })
    }

    /// The items of a list.
    pub(super) fn items(self) -> Option<Vec<Val<'a>>> {
        match self {
            Val::List(items) => Some(items.iter().map(Val::of).collect()),
            Val::Made(items) => Some(items),
            _ => None,
        }
    }

    /// How two values are ordered; nothing if their types have no order, or one is not a number.
    pub(super) fn order(&self, other: &Val<'_>) -> Option<Ordering> {
        match (self, other) {
            (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Time(a), Val::Time(b)) => Some(a.cmp(b)),
            (Val::Span(a), Val::Span(b)) => Some(a.cmp(b)),
            _ => compare(self.number()?, other.number()?),
        }
    }

    /// Whether two values are equal; nothing if their types can never be, `null` aside.
    pub(super) fn equals(&self, other: &Val<'_>) -> Option<bool> {
        match (self, other) {
            (Val::Null, Val::Null) => Some(true),
            (Val::Null, _) | (_, Val::Null) => Some(false),
            (Val::Object(a), Val::Object(b)) => Some(a == b),
            (Val::List(_) | Val::Made(_), Val::List(_) | Val::Made(_)) => {
                let (a, b) = (self.views(), other.views());
                let same = |(x, y): (&Val<'_>, &Val<'_>)| x.equals(y).unwrap_or(false);
                Some(a.len() == b.len() && a.iter().zip(&b).all(same))
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => Some(compare(a, b) == Some(Ordering::Equal)),
                _ => self.order(other).map(Ordering::is_eq),
            },
        }
    }

    fn views(&self) -> Vec<Val<'_>> {
        match self {
            Val::List(items) => items.iter().map(Val::of).collect(),
            Val::Made(items) => items.iter().map(Val::borrowed).collect(),
            _ => Vec::new(),
        }
    }
}

fn json_size(value: &Value) -> usize {
    1 + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() / 64,
        Value::Array(items) => items.iter().map(json_size).sum(),
        Value::Object(map) => map.values().map(json_size).sum(),
    }
}

/// Orders numbers by their exact values, so that a large whole number never equals its neighbour.
fn compare(a: Number, b: Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(&b)),
        (Number::Real(a), Number::Real(b)) => a.partial_cmp(&b),
        (Number::Whole(a), Number::Real(b)) => compare_mixed(a, b),
        (Number::Real(a), Number::Whole(b)) => compare_mixed(b, a).map(Ordering::reverse),
    }
}

fn compare_mixed(whole: i128, real: f64) -> Option<Ordering> {
    if real.is_nan() {
        return None;
    }
    // The conversion saturates, which is beyond every 64-bit number as well.
    let floor = real.floor();
    Some(whole.cmp(&(floor as i128)).then(if real > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}
