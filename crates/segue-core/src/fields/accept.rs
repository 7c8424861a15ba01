//! Whether a definition makes sense, and which values it accepts.

use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};

use crate::fields::{Definition, ValueType, forms};
use crate::scenario::validate::Problem;

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// The largest that a pattern may become when it is compiled, in bytes.
const MAX_COMPILED_BYTES: usize = 256 * 1024;
/// The deepest nesting of a pattern.
const MAX_PATTERN_DEPTH: u32 = 32;
/// The most values of an enum.
pub const MAX_VALUES: usize = 1000;
/// The longest of any text of a definition, in characters.
pub const MAX_TEXT_CHARS: usize = 2000;
/// The longest time that a value can hold, in days: a hundred years.
pub const MAX_EXPIRY_DAYS: u32 = 36_525;

impl Definition {
    /// Names everything that is wrong with the definition.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut report = |code: &str, path: &str, message: String| {
            problems.push(Problem { code: code.to_owned(), path: path.to_owned(), message });
        };
        self.check_values(&mut report);
        self.check_pattern(&mut report);
        for (path, text) in [
            ("/display_name", &self.display_name),
            ("/extraction_hint", &self.extraction_hint),
            ("/collection_prompt", &self.collection_prompt),
        ] {
            let length = text.as_ref().map_or(0, |text| text.chars().count());
            if length > MAX_TEXT_CHARS {
                report(
                    "text_too_long",
                    path,
                    format!(
                        "a text of a definition has at most {MAX_TEXT_CHARS} characters, this one has {length}"
                    ),
                );
            }
        }
        match self.expires_after_days {
            Some(0) => report("invalid_expiry", "/expires_after_days", "a value that expires after 0 days never counts; leave it out for one that never expires".into()),
            Some(days) if days > MAX_EXPIRY_DAYS => report("invalid_expiry", "/expires_after_days", format!(
                "a value expires after at most {MAX_EXPIRY_DAYS} days, not {days}; leave it out for one that never expires"
            )),
            Some(_) | None => {}
        }
        problems
    }

    fn check_values(&self, report: &mut impl FnMut(&str, &str, String)) {
        let is_enum = self.value_type == ValueType::Enum;
        if is_enum && self.values.is_empty() {
            report(
                "enum_without_values",
                "/values",
                "an enum needs the values that it allows".into(),
            );
        }
        if !is_enum && !self.values.is_empty() {
            report(
                "values_without_enum",
                "/values",
                "only an enum has values; set value_type to \"enum\" or leave them out".into(),
            );
        }
        if self.values.len() > MAX_VALUES {
            report(
                "too_many_values",
                "/values",
                format!(
                    "an enum has at most {MAX_VALUES} values, this one has {}",
                    self.values.len()
                ),
            );
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for (nth, value) in self.values.iter().enumerate() {
            let path = format!("/values/{nth}");
            if value.trim().is_empty() {
                report("empty_value", &path, "a value of an enum must not be blank".into());
            } else if value.chars().count() > MAX_TEXT_CHARS {
                report(
                    "text_too_long",
                    &path,
                    format!("a value of an enum has at most {MAX_TEXT_CHARS} characters"),
                );
            } else if !seen.insert(folded(value)) {
                report(
                    "duplicate_value",
                    &path,
                    format!("\"{value}\" is there already; upper and lower case are the same"),
                );
            }
        }
    }

    fn check_pattern(&self, report: &mut impl FnMut(&str, &str, String)) {
        let Some(pattern) = &self.pattern else { return };
        if matches!(self.value_type, ValueType::Boolean | ValueType::Enum) {
            report(
                "pattern_not_applicable",
                "/pattern",
                "a boolean or an enum has no pattern; leave it out".into(),
            );
        } else if pattern.len() > MAX_PATTERN_BYTES {
            report(
                "pattern_too_long",
                "/pattern",
                format!(
                    "a pattern has at most {MAX_PATTERN_BYTES} bytes, this one has {}",
                    pattern.len()
                ),
            );
        } else if let Err(error) = whole(pattern) {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            report(
                "invalid_pattern",
                "/pattern",
                format!("the pattern is no regular expression of the Rust regex syntax: {why}"),
            );
        }
    }

    /// Checks a value, and brings it into the form in which it is kept.
    ///
    /// Callers hand over what customers type, so `"17"` is a whole number, `"Yes"` is true, `"pro"` is
    /// the `Pro` of an enum and a number is a text; no value is guessed beyond its form.
    ///
    /// # Errors
    /// Why the value is not accepted, in words for whoever sent it.
    pub fn accepts(&self, value: &Value) -> Result<Value, String> {
        let accepted = self.normalised(value).ok_or_else(|| self.wants(value))?;
        match &self.pattern {
            Some(pattern) if !fits(pattern, &accepted)? => {
                Err(format!("does not match the pattern {pattern}"))
            }
            Some(_) | None => Ok(accepted),
        }
    }

    /// The value in the form in which it is kept, if it has the type; the pattern is not looked at.
    pub(crate) fn normalised(&self, value: &Value) -> Option<Value> {
        match self.value_type {
            ValueType::String => text(value),
            ValueType::Integer => integer(value),
            ValueType::Number => number(value),
            ValueType::Boolean => boolean(value),
            ValueType::Date => {
                value.as_str().and_then(forms::date).map(|date| date.to_string().into())
            }
            ValueType::Email => value.as_str().and_then(forms::email).map(Value::from),
            ValueType::Phone => value.as_str().and_then(forms::phone).map(Value::from),
            ValueType::Enum => value.as_str().and_then(|text| self.value(text)).map(Value::from),
        }
    }

    /// The value of an enum that a text names, whatever its case.
    pub(crate) fn value(&self, text: &str) -> Option<&str> {
        let wanted = folded(text);
        self.values.iter().map(String::as_str).find(|value| folded(value) == wanted)
    }

    fn wants(&self, value: &Value) -> String {
        let wanted = match self.value_type {
            ValueType::String => "text".to_owned(),
            ValueType::Integer => "a whole number such as 17".to_owned(),
            ValueType::Number => "a number such as 17.5".to_owned(),
            ValueType::Boolean => "true or false".to_owned(),
            ValueType::Date => "a date such as 1990-03-12".to_owned(),
            ValueType::Email => "an e-mail address such as ana@example.org".to_owned(),
            ValueType::Phone => "a telephone number such as +33618123456".to_owned(),
            ValueType::Enum => {
                let shown: Vec<&str> = self.values.iter().take(20).map(String::as_str).collect();
                format!(
                    "one of {}{}",
                    shown.join(", "),
                    if self.values.len() > 20 { ", …" } else { "" }
                )
            }
        };
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::String(text) => {
                let start: String = text.chars().take(40).collect();
                format!("\"{start}{}\"", if start.len() < text.len() { "…" } else { "" })
            }
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        format!("wants {wanted}, not {found}")
    }
}

/// Compiles a pattern that a whole value must match.
pub(crate) fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    // By itself first: `a)(b` must not become valid by what is put around it.
    limited(pattern)?;
    limited(&format!(r"\A(?:{pattern})\z"))
}

fn limited(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_PATTERN_DEPTH)
        .build()
}

fn fits(pattern: &str, value: &Value) -> Result<bool, String> {
    let regex =
        whole(pattern).map_err(|_| "the pattern of its definition is not valid".to_owned())?;
    Ok(match value {
        Value::String(text) => regex.is_match(text),
        other => regex.is_match(&other.to_string()),
    })
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

fn text(value: &Value) -> Option<Value> {
    match value {
        Value::String(_) => Some(value.clone()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::Number(n) if n.is_i64() || n.is_u64() => Some(value.clone()),
        Value::Number(n) => {
            let real = n.as_f64()?;
            // Beyond 2^53 a floating-point number no longer says which whole number was meant.
            let exact = real.fract() == 0.0 && real.abs() <= 9_007_199_254_740_992.0;
            exact.then(|| Value::from(real as i64))
        }
        Value::String(text) => text.trim().parse::<i64>().ok().map(Value::from),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => {
            let text = text.trim();
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            match text.parse::<i64>() {
                Ok(whole) => Some(whole.into()),
                Err(_) if plain => Number::from_f64(text.parse().ok()?).map(Value::Number),
                Err(_) => None,
            }
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn boolean(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) => Some(value.clone()),
        Value::String(text) => match folded(text).as_str() {
            "true" | "yes" => Some(true.into()),
            "false" | "no" => Some(false.into()),
            _ => None,
        },
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
