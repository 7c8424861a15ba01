//! A language model that helps turns: it finds values in what a customer wrote, and judges conditions in
//! natural language. Any endpoint that speaks OpenAI's chat completions will do.
//!
//! ```text
//! a turn needs an answer -> its turnstile is left, nothing is held
//!   -> a place among `max_concurrent`, the breaker's leave, tokens set aside   [spending]
//!   -> one request, a fixed instruction and the data as JSON                   [prompt], [endpoint]
//!   -> failed: again after a pause, while the turn's time lasts                [retry]
//!   -> the answer is read strictly                                             [answer]
//! -> the turn is decided again, by claims that the core holds against the customer's words
//! ```
//!
//! - **No turn fails because the model does.** Whatever goes wrong is a [`Silence`], with which the turn is
//!   decided as if there were no model: by the embedded extractor, or by asking.
//! - **Everything has a limit**: the time of a request and of a turn, retries, requests at once, requests in
//!   an hour and tokens in a day (by tenant and in all), what is sent, what is read.
//! - **The model decides nothing.** What it may say is a value for a field that was asked for, or yes or no
//!   to a condition that was asked about; see `segue_core::reconcile::advice`.
//! - No log line and no metric has a word of a customer, a value, a tenant or the key.

pub mod answer;
pub mod endpoint;
mod key;
pub mod prompt;
pub mod retry;
pub mod spending;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use segue_core::breaker::Breaker;
use segue_core::extract::claim::Claim;
use segue_core::fields::Definition;
use segue_core::ids::{FieldName, TenantId};
use segue_core::reconcile::advice::{Judgement, Silence};
use segue_core::session::Message;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

pub use key::Key;

use crate::clock::Clock;
use crate::config::{Extraction, InvalidExtraction};
use crate::telemetry::{self, Purpose};
use answer::{Completion, Tokens, Unusable};
use endpoint::{Endpoint, Http};
use prompt::{AT_ONCE, Form};
use retry::Fault;
use spending::Spending;

/// How long a turn waits for a place among those that ask at once.
const PLACE_PATIENCE: Duration = Duration::from_secs(1);

/// What a request costs beyond what is counted in bytes: signs that delimit messages.
const OVERHEAD_TOKENS: u64 = 64;

/// The model, as turns know it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Language(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Box<dyn Endpoint>,
    clock: Arc<dyn Clock>,
    form: Form,
    judges: Judges,
    request_timeout: Duration,
    turn_timeout: Duration,
    max_retries: u32,
    places: Semaphore,
    breaker: Mutex<Breaker>,
    spending: Mutex<Spending>,
    /// The breaker counts time from here.
    begun: Instant,
}

/// Whether the model judges conditions in natural language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judges {
    /// It does.
    Conditions,
    /// It only finds values; such conditions stay unknown.
    Nothing,
}

impl Language {
    /// The model that the configuration names. Nothing is sent before a turn needs it.
    ///
    /// # Errors
    /// The first setting that is not allowed, a key that is not in the environment among them.
    pub fn open(settings: &Extraction, clock: Arc<dyn Clock>) -> Result<Self, InvalidExtraction> {
        settings.check()?;
        let endpoint = Http::new(settings.url()?, settings.key()?, settings.max_concurrent);
        let host = settings.url()?.authority().map(ToString::to_string).unwrap_or_default();
        tracing::info!(host, model = settings.model, "a language model helps with turns");
        Ok(Self::on(Box::new(endpoint), settings, clock))
    }

    /// A model behind an endpoint of one's own.
    #[must_use]
    pub fn on(endpoint: Box<dyn Endpoint>, settings: &Extraction, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            clock,
            form: Form {
                model: settings.model.clone(),
                max_conversation_bytes: settings.max_conversation_bytes,
                max_output_tokens: settings.max_output_tokens,
                output_limit_name: settings.output_limit_name,
                temperature: settings.temperature,
            },
            judges: if settings.judge_conditions { Judges::Conditions } else { Judges::Nothing },
            request_timeout: Duration::from_secs_f64(settings.timeout_seconds),
            turn_timeout: Duration::from_secs_f64(settings.turn_timeout_seconds),
            max_retries: settings.max_retries,
            places: Semaphore::new(settings.max_concurrent),
            breaker: Mutex::new(Breaker::new(settings.breaker())),
            spending: Mutex::new(Spending::new(settings.limits())),
            begun: Instant::now(),
        }))
    }

    /// Whether it judges conditions.
    #[must_use]
    pub fn judges(&self) -> Judges {
        self.0.judges
    }

    /// How long a turn waits for it at most.
    #[must_use]
    pub fn turn_timeout(&self) -> Duration {
        self.0.turn_timeout
    }

    /// Looks for fields in a conversation; answers which of them it looked for, and what it claims.
    ///
    /// # Errors
    /// Why it has no say.
    pub async fn extract<'a>(
        &self,
        tenant: TenantId,
        fields: &[&'a Definition],
        conversation: &VecDeque<Message>,
        deadline: Instant,
    ) -> Result<(Vec<&'a FieldName>, BTreeMap<FieldName, Claim>), Silence> {
        let fields = &fields[..fields.len().min(AT_ONCE)];
        let names: Vec<&FieldName> = fields.iter().map(|field| &field.name).collect();
        let request = self.0.form.of_extraction(fields, conversation);
        let read = |said: &str| answer::values(said, &names);
        let found = self.ask(Purpose::Extract, tenant, request, deadline, read).await?;
        Ok((names, found))
    }

    /// Judges conditions over a conversation; answers which of them it judged, and what it claims.
    ///
    /// # Errors
    /// Why it has no say.
    pub async fn judge<'a>(
        &self,
        tenant: TenantId,
        conditions: &'a [String],
        conversation: &VecDeque<Message>,
        deadline: Instant,
    ) -> Result<(&'a [String], BTreeMap<String, Judgement>), Silence> {
        let conditions = &conditions[..conditions.len().min(AT_ONCE)];
        let request = self.0.form.of_judgement(conditions, conversation);
        let read = |said: &str| answer::judgements(said, conditions);
        let made = self.ask(Purpose::Judge, tenant, request, deadline, read).await?;
        Ok((conditions, made))
    }

    /// Asks, reads the answer, and tells what came of it.
    async fn ask<T>(
        &self,
        purpose: Purpose,
        tenant: TenantId,
        request: Bytes,
        deadline: Instant,
        read: impl FnOnce(&str) -> Result<T, Unusable>,
    ) -> Result<T, Silence> {
        let said = self.0.answered(tenant, request, deadline).await;
        let result = said.and_then(|said| match said.and_then(|said| read(&said)) {
            Ok(read) => Ok(read),
            Err(unusable) => {
                tracing::warn!(?purpose, reason = %unusable, "the language model's answer is not used");
                Err(Silence::Unusable)
            }
        });
        telemetry::language_model_asked(purpose, result.as_ref().err().copied());
        result
    }
}

impl Inner {
    /// What the model said, by as many requests as it takes and the deadline allows.
    async fn answered(
        &self,
        tenant: TenantId,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Result<String, Unusable>, Silence> {
        let mut failures = 0;
        loop {
            let fault = match self.attempt(tenant, request.clone(), deadline).await? {
                Ok(completion) => return Ok(completion.said),
                Err(fault) => fault,
            };
            failures += 1;
            let (seed, _) = Uuid::new_v4().as_u64_pair();
            let pause = retry::pause(failures, seed as f64 / u64::MAX as f64);
            let rest = fault.retry_after(self.clock.now());
            let pause = pause.max(rest.unwrap_or_default());
            let is_in_time = Instant::now() + pause < deadline;
            if fault.passes() && failures <= self.max_retries && is_in_time {
                tracing::debug!(reason = %fault, failures, "asking the language model again");
                sleep(pause).await;
                continue;
            }
            if let Some(rest) = rest {
                self.switch(|breaker, now| breaker.asked_for_rest(now, rest));
            }
            tracing::warn!(reason = %fault, failures, "the language model does not answer");
            return Err(match fault {
                Fault::TimedOut => Silence::TimedOut,
                Fault::TooLong => Silence::Unusable,
                Fault::Unreachable(_) | Fault::Status { .. } | Fault::Garbled => {
                    Silence::Unavailable
                }
            });
        }
    }

    /// One request, if there is a place, the endpoint is not left alone, and it may be paid for.
    async fn attempt(
        &self,
        tenant: TenantId,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Result<Completion, Fault>, Silence> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let place = timeout(PLACE_PATIENCE.min(left()), self.places.acquire()).await;
        let _place = place.map_err(|_| Silence::Busy)?.expect("the places are never closed");
        let within = self.request_timeout.min(left());
        if within.is_zero() {
            return Err(Silence::TimedOut);
        }
        // No token is shorter than a byte, so that much is never passed.
        let most = request.len() as u64 + u64::from(self.form.max_output_tokens) + OVERHEAD_TOKENS;
        let admitted = self.breaker().claim(self.begun.elapsed(), within);
        admitted.map_err(|_| Silence::LeftAlone)?;
        let reserved = self.spending().reserve(tenant, most, self.clock.now());
        let reserved = reserved.map_err(|spent| {
            tracing::warn!(reason = %spent, "the language model is not asked");
            Silence::Spent
        })?;

        let begun = Instant::now();
        let answered = timeout(within, self.endpoint.complete(request)).await;
        let answered = answered.unwrap_or(Err(Fault::TimedOut));
        let completed = answered.and_then(|body| answer::completion(&body));
        telemetry::language_model_requested(
            completed.as_ref().err().map_or("answered", Fault::label),
            begun.elapsed(),
        );
        let cost = match &completed {
            Ok(Completion { tokens: Some(Tokens { input, output }), .. }) => {
                telemetry::language_model_tokens(*input, *output);
                input.saturating_add(*output)
            }
            Ok(Completion { tokens: None, .. }) => most,
            Err(fault) if fault.may_cost() => most,
            Err(_) => 0,
        };
        self.spending().settle(reserved, cost);
        self.note(completed.as_ref().err());
        Ok(completed)
    }

    /// Tells the breaker what came of a request.
    fn note(&self, fault: Option<&Fault>) {
        self.switch(|breaker, now| match fault {
            Some(fault) if fault.is_of_the_endpoint() => breaker.failed(now),
            Some(_) | None => breaker.succeeded(),
        });
    }

    /// Changes the breaker, and tells others if it opens or closes.
    fn switch(&self, change: impl FnOnce(&mut Breaker, Duration)) {
        let (was_open, is_open) = {
            let mut breaker = self.breaker();
            let was_open = breaker.is_open();
            change(&mut breaker, self.begun.elapsed());
            (was_open, breaker.is_open())
        };
        match (was_open, is_open) {
            (false, true) => {
                telemetry::language_model_left_alone();
                tracing::warn!("the language model is left alone for a while");
            }
            (true, false) => {
                telemetry::language_model_back();
                tracing::info!("the language model answers again");
            }
            (true, true) | (false, false) => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spending(&self) -> MutexGuard<'_, Spending> {
        self.spending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
