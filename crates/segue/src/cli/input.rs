//! What people write on the command line and into files.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::failure::Failure;

/// Reads a JSON document from a file, or from standard input if the file is `-`.
pub fn document<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let failed = |reason: String| Failure::File { path: path.to_owned(), reason };
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    }
    .map_err(|error| failed(error.to_string()))?;

    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = error.path().to_string();
        match place.as_str() {
            "." => failed(error.inner().to_string()),
            place => failed(format!("{place}: {}", error.inner())),
        }
    })?;
    deserializer.end().map_err(|error| failed(error.to_string()))?;
    Ok(value)
}

/// A setting such as `age=17`. What reads as JSON is JSON; anything else is text.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Before the sign.
    pub name: String,
    /// After it.
    pub value: Value,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self { name: name.to_owned(), value })
    }
}

/// The settings as one JSON object.
pub fn object(settings: &[Setting]) -> Value {
    let pairs = settings.iter().map(|setting| (setting.name.clone(), setting.value.clone()));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// A file argument, or `-`.
pub type File = PathBuf;

/// Percent-encodes one part of a path.
pub fn part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_is_json_where_it_can_be_and_text_otherwise() {
        let settings: Vec<Setting> =
            ["age=17", "vip=true", "country=FR", "phone=+49 30 1", "empty=", "note=a=b"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let expected = json!({"age": 17, "vip": true, "country": "FR", "phone": "+49 30 1", "empty": "", "note": "a=b"});
        assert_eq!(object(&settings), expected);
        assert!("age".parse::<Setting>().is_err());
    }

    #[test]
    fn a_part_of_a_path_cannot_leave_its_place() {
        assert_eq!(part("../a b/ü~2"), "..%2Fa%20b%2F%C3%BC~2");
    }
}
