//! Says where in which file a setting is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::{Figment, Metadata, Source};
use toml::de::{DeTable, DeValue};

use super::check::Problem;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {}{what}", .place.as_ref().map_or(String::new(), |place| format!("{place}: ")))]
pub struct Error {
    /// Where the setting stands, if it stands anywhere.
    pub place: Option<Place>,
    /// What is wrong and what is allowed.
    pub what: String,
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, at this line (from 1) if it is known.
    File(PathBuf, Option<usize>),
    /// In this environment variable.
    Environment(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}, line {line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Checks that the file can be read and is TOML.
pub(super) fn parse(file: &Path) -> Result<(), Error> {
    let place = |line| Some(Place::File(file.to_owned(), line));
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error { place: place(None), what: format!("cannot be read: {error}") })?;
    match DeTable::parse(&text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error {
            place: place(error.span().map(|span| line_at(&text, span.start))),
            what: format!("not TOML: {}", error.message().replace('\n', ", ")),
        }),
    }
}

impl Error {
    /// Turns what figment found into a place and a sentence.
    pub(super) fn locate(error: &figment::Error) -> Self {
        let mut path = error.path.clone();
        let what = match &error.kind {
            Kind::UnknownField(name, allowed) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                format!("unknown key `{}`; allowed here: {}", path.join("."), allowed.join(", "))
            }
            Kind::UnknownVariant(value, allowed) => {
                let key = path.join(".");
                format!("{key} = \"{value}\" is not allowed; allowed: {}", allowed.join(", "))
            }
            Kind::MissingField(name) => format!("`{}` needs the key `{name}`", path.join(".")),
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                format!("{} must be {expected}, found {actual}", path.join("."))
            }
            other if path.join(".") == "server.listen" => {
                format!("server.listen: {other}; write ADDRESS:PORT, such as 127.0.0.1:8000")
            }
            other => format!("{}: {other}", path.join(".")),
        };
        let place = error.metadata.as_ref().and_then(|metadata| place(metadata, &path));
        Self { place, what }
    }

    /// Turns a value that is not allowed into a place and a sentence.
    pub(super) fn at(problem: Problem, figment: &Figment) -> Self {
        let path: Vec<String> = problem.key.split('.').map(str::to_owned).collect();
        // A key that is missing has no line of its own; its section has one.
        let section = || problem.key.rsplit_once('.').and_then(|(of, _)| figment.find_metadata(of));
        let metadata = figment.find_metadata(&problem.key).or_else(section);
        let place = metadata.and_then(|metadata| place(metadata, &path));
        Self { place, what: format!("{}: {}", problem.key, problem.message) }
    }
}

fn place(metadata: &Metadata, path: &[String]) -> Option<Place> {
    match &metadata.source {
        Some(Source::File(file)) => {
            let line = std::fs::read_to_string(file).ok().and_then(|text| line_of(&text, path));
            let shown = std::env::current_dir()
                .ok()
                .and_then(|here| file.strip_prefix(here).ok().map(Path::to_owned))
                .unwrap_or_else(|| file.clone());
            Some(Place::File(shown, line))
        }
        _ if metadata.name.contains("environment") => {
            Some(Place::Environment(format!("SEGUE__{}", path.join("__").to_uppercase())))
        }
        _ => None,
    }
}

/// The line of the deepest part of `path` that the file has.
fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = Some(document.get_ref());
    let mut start = None;
    for part in path {
        let Some(here) = table else { break };
        let Some((key, value)) = here.iter().find(|(key, _)| key.get_ref() == part) else { break };
        start = Some(key.span().start);
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    start.map(|start| line_at(text, start))
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
