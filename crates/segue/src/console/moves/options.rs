//! The settings of one move as fields of a form: what each is called, what it means, and what was typed.
//!
//! A form begins with the server's own settings. What comes back is texts; [`Typed::read`] makes a
//! [`MigrationConfig`] of them, or says field by field what is wrong, and what was typed is shown again.

use std::collections::BTreeMap;

use segue_core::tenancy::migration::{MigrationConfig, VerificationLevel};
use serde_json::{Map, Value, json};

/// The most bytes that a typed setting may have.
const TYPED_BYTES: usize = 64;

/// How a setting is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// Any number.
    Number,
    /// A number, or nothing.
    NumberOrNothing,
    /// Yes or no.
    Switch,
    /// A level of verification.
    Level,
}

/// A setting as a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the configuration and in the form.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// What it means.
    pub hint: &'static str,
    /// The unit that is typed, if it has one.
    pub unit: &'static str,
    /// How it is typed.
    pub kind: Kind,
}

const fn field(
    name: &'static str,
    kind: Kind,
    label: &'static str,
    unit: &'static str,
    hint: &'static str,
) -> Field {
    Field { name, label, hint, unit, kind }
}

/// Every setting, those first that are changed most.
pub const FIELDS: [Field; 14] = [
    field(
        "verification_level",
        Kind::Level,
        "Verification before the cutover",
        "",
        "HASH reads back and hashes everything that the target has stored; FULL also compares events and \
         snapshots field by field; COUNT compares ends and streams only.",
    ),
    field(
        "sample_percentage",
        Kind::Number,
        "Sample for FULL",
        "%",
        "How many of the events FULL compares field by field: over 0, to 100.",
    ),
    field(
        "auto_cutover",
        Kind::Switch,
        "Cut over by itself",
        "",
        "As soon as the target is close enough and verified, without your word.",
    ),
    field(
        "cutover_timeout_seconds",
        Kind::Number,
        "Longest cutover",
        "s",
        "After that the cutover is given up and writes go on in the source: 0.05 to 60.",
    ),
    field(
        "sync_lag_threshold",
        Kind::Whole,
        "Lag that is close enough",
        "events",
        "How far behind the target may be when a cutover begins. The rest is copied during the pause.",
    ),
    field(
        "synchronous_dual_write",
        Kind::Switch,
        "Writes wait for the target too",
        "",
        "Half a second at most: a shorter pause, slower writes until then.",
    ),
    field(
        "keep_way_back",
        Kind::Switch,
        "Keep a way back",
        "",
        "After the cutover the old source follows the new owner, so that one can go back.",
    ),
    field(
        "source_retention_seconds",
        Kind::Whole,
        "Keep the old source for",
        "s",
        "How long the old source keeps its copy at least, after the cutover.",
    ),
    field(
        "max_bulk_copy_rate",
        Kind::NumberOrNothing,
        "Copy at most",
        "events/s",
        "Empty for as many as leave the tenant's writers what they need.",
    ),
    field("batch_size", Kind::Whole, "Page of the copy", "events", "1 to 10,000."),
    field("sync_check_interval", Kind::Number, "Look at the lag every", "s", "0.01 to 60."),
    field(
        "allow_unsafe_durability",
        Kind::Switch,
        "Allow stores that may forget",
        "",
        "A store that loses acknowledged writes with the power may lose a fence too, and then the tenant could \
         be written in two places. For tries only.",
    ),
    field("enable_metrics", Kind::Switch, "Count and time it", "", "In the server's metrics."),
    field("enable_tracing", Kind::Switch, "Trace it", "", "In the server's traces."),
];

/// What was typed into the fields, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Typed(BTreeMap<String, String>);

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which.
    pub name: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl Typed {
    /// What was typed, of all that a form has sent. A switch that is off is not sent at all.
    #[must_use]
    pub fn of_form<'a>(sent: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let known = |name: &str| FIELDS.iter().any(|field| field.name == name);
        let sent = sent.into_iter().filter(|(name, _)| known(name));
        Self(sent.map(|(name, text)| (name.to_owned(), text.trim().to_owned())).collect())
    }

    /// The fields as a form shows them that nobody has typed into yet.
    #[must_use]
    pub fn of_config(config: &MigrationConfig) -> Self {
        let config = json!(config);
        let texts = FIELDS.iter().filter_map(|field| {
            let text = match &config[field.name] {
                Value::Bool(true) => "on".to_owned(),
                Value::Bool(false) | Value::Null => return None,
                Value::String(word) => word.clone(),
                Value::Number(number) => plain(number),
                other @ (Value::Array(_) | Value::Object(_)) => other.to_string(),
            };
            Some((field.name.to_owned(), text))
        });
        Self(texts.collect())
    }

    /// The text of a field.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Everything that was typed, to be sent again.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The settings that were typed.
    ///
    /// # Errors
    /// Every field that makes no sense.
    pub fn read(&self) -> Result<MigrationConfig, Vec<Wrong>> {
        let (mut settings, mut wrong) = (Map::new(), Vec::new());
        for field in FIELDS {
            match self.value(field) {
                Ok(value) => drop(settings.insert(field.name.to_owned(), value)),
                Err(message) => wrong.push(Wrong { name: field.name, message }),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let config: MigrationConfig = serde_json::from_value(Value::Object(settings))
            .map_err(|error| vec![Wrong { name: FIELDS[0].name, message: error.to_string() }])?;
        config.check().map_err(|invalid| {
            vec![Wrong { name: invalid.setting, message: format!("must be {}", invalid.allowed) }]
        })?;
        Ok(config)
    }

    fn value(&self, field: Field) -> Result<Value, String> {
        let text = self.text(field.name);
        if text.len() > TYPED_BYTES {
            return Err("is too long".to_owned());
        }
        match field.kind {
            Kind::Switch => Ok(Value::Bool(self.is_on(field.name))),
            Kind::Whole => whole(field, text),
            Kind::Number => number(text),
            Kind::NumberOrNothing if text.is_empty() => Ok(Value::Null),
            Kind::NumberOrNothing => number(text),
            Kind::Level => level(text).map(|level| json!(level)),
        }
    }
}

/// A level of verification by its name.
///
/// # Errors
/// What is allowed, for people.
pub fn level(text: &str) -> Result<VerificationLevel, String> {
    let levels = [VerificationLevel::Count, VerificationLevel::Hash, VerificationLevel::Full];
    let known = levels.into_iter().find(|level| level.as_str() == text);
    known.ok_or_else(|| "must be COUNT, HASH or FULL".to_owned())
}

fn whole(field: Field, text: &str) -> Result<Value, String> {
    // A page has few digits; everything else may be as large as a log.
    let most = if field.name == "batch_size" { u64::from(u32::MAX) } else { u64::MAX };
    match text.parse::<u64>() {
        Ok(number) if number <= most => Ok(json!(number)),
        Ok(_) | Err(_) => Err("must be a whole number, such as 500".to_owned()),
    }
}

/// A number as people type it.
///
/// # Errors
/// What is allowed, for people.
pub fn number(text: &str) -> Result<Value, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(|number| json!(number)).ok_or_else(|| "must be a number, such as 2.5".to_owned())
}

/// A number without a fraction of nothing.
fn plain(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(changes: &[(&str, &str)]) -> Typed {
        let typed = Typed::of_config(&MigrationConfig::default());
        Typed::of_form(
            typed
                .all()
                .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
                .chain(changes.iter().copied()),
        )
    }

    #[test]
    fn a_form_that_is_sent_as_it_was_shown_asks_for_the_servers_settings() {
        let config = MigrationConfig { auto_cutover: true, batch_size: 7, ..Default::default() };
        assert_eq!(Typed::of_config(&config).read(), Ok(config));
        assert_eq!(typed(&[]).read(), Ok(MigrationConfig::default()));
    }

    #[test]
    fn every_setting_has_a_field() {
        let all = json!(MigrationConfig::default());
        let names: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        for name in &names {
            assert!(FIELDS.iter().any(|field| field.name == *name), "{name} cannot be typed");
        }
        assert_eq!(names.len(), FIELDS.len());
    }

    #[test]
    fn what_is_typed_is_what_is_asked_for() {
        let config = typed(&[
            ("max_bulk_copy_rate", " 250.5 "),
            ("verification_level", "FULL"),
            ("auto_cutover", "on"),
            ("somebody_elses", "field"),
        ]);
        let config = config.read().unwrap();
        assert_eq!(config.max_bulk_copy_rate, Some(250.5));
        assert_eq!(config.verification_level, VerificationLevel::Full);
        assert!(config.auto_cutover);
    }

    #[test]
    fn every_wrong_field_is_named_with_what_it_should_be() {
        let wrong = typed(&[
            ("batch_size", "many"),
            ("sample_percentage", "NaN"),
            ("verification_level", "<script>"),
        ]);
        let wrong = wrong.read().unwrap_err();
        let names: Vec<&str> = wrong.iter().map(|wrong| wrong.name).collect();
        assert_eq!(names, ["verification_level", "sample_percentage", "batch_size"]);
        let range = typed(&[("cutover_timeout_seconds", "600")]).read().unwrap_err();
        assert_eq!(range[0].name, "cutover_timeout_seconds");
        assert_eq!(range[0].message, "must be a number of seconds from 0.05 to 60");
    }
}
