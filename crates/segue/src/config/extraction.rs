//! `[extraction]`: the language model that reads what customers write, and what it may cost.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::Uri;
use segue_core::breaker;
use serde::{Deserialize, Serialize};

use super::check::within;
use crate::language::Key;
use crate::language::spending::{Limit, Limits};

/// `[extraction]`: an endpoint that speaks OpenAI's chat completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extraction {
    /// What stands before `/chat/completions`, such as `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// The model's name.
    pub model: String,
    /// The environment variable that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Whether conditions in natural language are judged by the model.
    pub judge_conditions: bool,
    /// Seconds that one request may take.
    pub timeout_seconds: f64,
    /// Seconds that a turn waits for the model at most, whatever is tried.
    pub turn_timeout_seconds: f64,
    /// How often a request that failed is sent again.
    pub max_retries: u32,
    /// Requests at once; a turn that finds no place within a second goes on without the model.
    pub max_concurrent: usize,
    /// Failures in a row after which the endpoint is left alone.
    pub breaker_failures: u32,
    /// Seconds for which it is left alone at first.
    pub breaker_open_seconds: f64,
    /// The longest that it is left alone, in seconds.
    pub breaker_max_open_seconds: f64,
    /// Requests in an hour, of all tenants together.
    pub max_requests_per_hour: u64,
    /// Requests in an hour of one tenant.
    pub max_requests_per_hour_per_tenant: u64,
    /// Tokens in a day, of all tenants together.
    pub max_tokens_per_day: u64,
    /// Tokens in a day of one tenant.
    pub max_tokens_per_day_per_tenant: u64,
    /// How much of a conversation is sent, in bytes; the newest.
    pub max_conversation_bytes: usize,
    /// How long an answer may be, in tokens.
    pub max_output_tokens: u32,
    /// What the endpoint calls that limit.
    pub output_limit_name: OutputLimitName,
    /// How free the model is, from 0 to 2; the endpoint's default if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// What an endpoint calls the limit of an answer's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimitName {
    /// What most servers understand.
    MaxTokens,
    /// What newer models of OpenAI insist on.
    MaxCompletionTokens,
}

impl OutputLimitName {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

impl Default for Extraction {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            model: String::new(),
            api_key_env: None,
            judge_conditions: true,
            timeout_seconds: 5.0,
            turn_timeout_seconds: 12.0,
            max_retries: 2,
            max_concurrent: 8,
            breaker_failures: 5,
            breaker_open_seconds: 5.0,
            breaker_max_open_seconds: 120.0,
            max_requests_per_hour: 3_600,
            max_requests_per_hour_per_tenant: 600,
            max_tokens_per_day: 2_000_000,
            max_tokens_per_day_per_tenant: 500_000,
            max_conversation_bytes: 8_192,
            max_output_tokens: 512,
            output_limit_name: OutputLimitName::MaxTokens,
            temperature: None,
        }
    }
}

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("extraction.{setting}: {message}")]
pub struct Invalid {
    /// Its name in the section.
    pub setting: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

fn invalid(setting: &'static str, message: impl Into<String>) -> Invalid {
    Invalid { setting, message: message.into() }
}

impl Extraction {
    /// Checks every setting by itself.
    ///
    /// # Errors
    /// The first that is not allowed; never with the key.
    pub fn check(&self) -> Result<(), Invalid> {
        self.url()?;
        if self.model.trim().is_empty() || self.model.len() > 200 {
            return Err(invalid("model", "name the model, in 1 to 200 bytes"));
        }
        self.key()?;
        for (setting, value, least, most) in [
            ("timeout_seconds", self.timeout_seconds, 0.1, 600.0),
            ("turn_timeout_seconds", self.turn_timeout_seconds, self.timeout_seconds, 600.0),
            ("breaker_open_seconds", self.breaker_open_seconds, 0.1, 3_600.0),
            (
                "breaker_max_open_seconds",
                self.breaker_max_open_seconds,
                self.breaker_open_seconds,
                86_400.0,
            ),
            ("temperature", self.temperature.unwrap_or_default(), 0.0, 2.0),
        ] {
            between(setting, value, least, most)?;
        }
        between("max_retries", self.max_retries, 0, 10)?;
        between("max_concurrent", self.max_concurrent, 1, 1_000)?;
        between("breaker_failures", self.breaker_failures, 1, 1_000)?;
        between("max_conversation_bytes", self.max_conversation_bytes, 256, 262_144)?;
        between("max_output_tokens", self.max_output_tokens, 64, 32_768)?;
        for (setting, value) in [
            ("max_requests_per_hour", self.max_requests_per_hour),
            ("max_requests_per_hour_per_tenant", self.max_requests_per_hour_per_tenant),
            ("max_tokens_per_day", self.max_tokens_per_day),
            ("max_tokens_per_day_per_tenant", self.max_tokens_per_day_per_tenant),
        ] {
            between(setting, value, 0, 1_000_000_000_000)?;
        }
        Ok(())
    }

    /// Where requests go.
    ///
    /// # Errors
    /// When `base_url` is no address, or would carry customers' words and the key over a public network
    /// unprotected.
    pub fn url(&self) -> Result<Uri, Invalid> {
        let wrong = |message: &str| invalid("base_url", message);
        let base = self.base_url.trim_end_matches('/');
        if base.is_empty() {
            return Err(wrong("say where the model is, such as \"https://api.openai.com/v1\""));
        }
        if base.contains(['?', '#', '@']) {
            return Err(wrong(
                "no user, query or fragment belongs here; the key is named by api_key_env",
            ));
        }
        let url: Uri = format!("{base}/chat/completions")
            .parse()
            .map_err(|_| wrong("it is no URL; write \"https://HOST/PATH\""))?;
        let host =
            url.host().ok_or_else(|| wrong("it names no host; write \"https://HOST/PATH\""))?;
        match url.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if is_private(host) => Ok(url),
            Some("http") => Err(wrong(
                "customers' words and the key would travel in the open: write https://, or name a host \
                 of this machine or of a private network (an address, or a name without a dot or \
                 under .local or .internal)",
            )),
            Some(_) | None => {
                Err(wrong("it begins with https:// or, on a private network, http://"))
            }
        }
    }

    /// The key, from the environment.
    ///
    /// # Errors
    /// When a variable is named and does not hold one.
    pub fn key(&self) -> Result<Option<Key>, Invalid> {
        let Some(variable) = &self.api_key_env else { return Ok(None) };
        let held = std::env::var(variable).map_err(|_| {
            invalid(
                "api_key_env",
                format!(
                    "the environment variable {variable} is not set; put the key there, name another, or \
                     remove api_key_env if the endpoint wants none"
                ),
            )
        })?;
        let key = Key::new(&held).ok_or_else(|| {
            invalid(
                "api_key_env",
                format!(
                    "what the environment variable {variable} holds is no key: it is blank, or has \
                         signs that no header may have"
                ),
            )
        })?;
        Ok(Some(key))
    }

    /// When the endpoint is left alone.
    #[must_use]
    pub fn breaker(&self) -> breaker::Settings {
        breaker::Settings {
            tolerated: self.breaker_failures,
            first: Duration::from_secs_f64(self.breaker_open_seconds),
            longest: Duration::from_secs_f64(self.breaker_max_open_seconds),
        }
    }

    /// What may be spent.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            requests_per_hour: Limit {
                in_all: self.max_requests_per_hour,
                per_tenant: self.max_requests_per_hour_per_tenant,
            },
            tokens_per_day: Limit {
                in_all: self.max_tokens_per_day,
                per_tenant: self.max_tokens_per_day_per_tenant,
            },
        }
    }
}

fn between<N: PartialOrd + std::fmt::Display>(
    setting: &'static str,
    value: N,
    least: N,
    most: N,
) -> Result<(), Invalid> {
    within(value, least, most).map_err(|message| invalid(setting, message))
}

/// Whether a host is this machine or lies in a network of one's own.
fn is_private(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            !host.contains('.')
                || [".localhost", ".local", ".internal"].iter().any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base_url: &str) -> Extraction {
        Extraction { base_url: base_url.to_owned(), model: "m".to_owned(), ..Extraction::default() }
    }

    #[test]
    fn customers_words_never_travel_a_public_network_in_the_open() {
        for url in [
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/",
            "http://127.0.0.1:11434/v1",
            "http://[::1]:8080/v1",
            "http://[fd00::7]/v1",
            "http://localhost:11434/v1",
            "http://10.1.2.3/v1",
            "http://192.168.0.9:8000",
            "http://ollama:11434/v1",
            "http://models.internal/v1",
        ] {
            assert_eq!(at(url).check(), Ok(()), "{url}");
        }
        assert_eq!(
            at("http://localhost:1/v1/").url().unwrap().to_string(),
            "http://localhost:1/v1/chat/completions"
        );
        for url in [
            "http://api.openai.com/v1",
            "http://8.8.8.8/v1",
            "http://10.1.2.3.example.org/v1",
            "http://[2001:db8::1]/v1",
        ] {
            let refused = at(url).check().unwrap_err();
            assert!(refused.message.contains("in the open"), "{url}: {refused}");
        }
        for url in [
            "",
            "api.openai.com",
            "ftp://h/v1",
            "https://user:s3cr3t@h/v1",
            "https://h/v1?api-key=s3cr3t",
            "https://",
        ] {
            let refused = at(url).check().unwrap_err();
            assert_eq!(refused.setting, "base_url", "{url}");
            assert!(!refused.to_string().contains("s3cr3t"), "{refused}");
        }
    }

    #[test]
    fn a_key_that_is_named_must_be_there() {
        let named = Extraction {
            api_key_env: Some("SEGUE_TEST_NO_SUCH_KEY".to_owned()),
            ..at("https://h/v1")
        };
        let refused = named.check().unwrap_err().to_string();
        assert!(refused.contains("SEGUE_TEST_NO_SUCH_KEY is not set"), "{refused}");
    }

    #[test]
    fn every_limit_has_a_range() {
        let refused = |change: fn(&mut Extraction)| {
            let mut extraction = at("https://h/v1");
            change(&mut extraction);
            extraction.check().unwrap_err().setting
        };
        assert_eq!(refused(|e| e.model.clear()), "model");
        assert_eq!(refused(|e| e.timeout_seconds = 0.0), "timeout_seconds");
        assert_eq!(refused(|e| e.timeout_seconds = f64::NAN), "timeout_seconds");
        assert_eq!(refused(|e| e.turn_timeout_seconds = 1.0), "turn_timeout_seconds");
        assert_eq!(refused(|e| e.max_retries = 11), "max_retries");
        assert_eq!(refused(|e| e.max_concurrent = 0), "max_concurrent");
        assert_eq!(refused(|e| e.breaker_failures = 0), "breaker_failures");
        assert_eq!(refused(|e| e.breaker_max_open_seconds = 1.0), "breaker_max_open_seconds");
        assert_eq!(refused(|e| e.max_conversation_bytes = 1), "max_conversation_bytes");
        assert_eq!(refused(|e| e.max_output_tokens = 0), "max_output_tokens");
        assert_eq!(refused(|e| e.temperature = Some(3.0)), "temperature");
    }
}
