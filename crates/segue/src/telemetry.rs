//! What Segue tells about itself: a log on stderr, metrics for Prometheus, and traces for a collector.
//!
//! Metric names are those of the original system. No metric carries a tenant: their number has no limit,
//! and who talks to whom is nobody's business on a dashboard.

mod collector;
pub mod lookout;
mod process;
pub mod traces;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use segue_core::fields::Source;
use segue_core::plan::policy::MigrationScenario;
use segue_core::reconcile::advice::{Claims, Silence};
use segue_core::tenancy::migration::{VerificationLevel, Why};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Telemetry;
use crate::http::code::Code;
pub use traces::Traces;

/// The environment variable with the log filter, such as `info` or `segue=debug,info`.
pub const LOG_VARIABLE: &str = "SEGUE_LOG";

/// Sends the log to stderr: for people if that is a terminal, as JSON lines otherwise; and spans to the
/// collector that the settings name, for as long as the answer is kept. Does nothing when a log is set up
/// already.
///
/// # Errors
/// When `SEGUE_LOG` is not a filter, or the collector cannot be used as it is named.
pub fn init(settings: &Telemetry) -> Result<Option<Traces>, String> {
    let traces = Traces::open(settings)?;
    // The only failure is that the process has a log already, which then is the one to keep.
    let _set = match &traces {
        // A filter for both, where there is one taker, makes a span that nobody wants free.
        None => tracing_subscriber::registry().with(filter()?).with(log()).try_init(),
        Some(traces) => {
            let log = log().with_filter(filter()?);
            tracing_subscriber::registry().with(log).with(traces.layer()).try_init()
        }
    };
    Ok(traces)
}

fn filter() -> Result<EnvFilter, String> {
    match std::env::var(LOG_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            format!("{LOG_VARIABLE}=\"{text}\" is not a log filter: {error}; write info, or segue=debug,info")
        }),
        Err(_) => Ok(EnvFilter::new("info")),
    }
}

fn log<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.with_target(false).boxed()
    } else {
        // The list of all spans around a line holds the present one.
        log.json().flatten_event(true).with_current_span(false).with_ansi(false).boxed()
    }
}

const PLANS_GENERATED: &str = "migration_plans_generated_total";
const SESSIONS_MARKED: &str = "migration_sessions_marked_total";
const APPLIED: &str = "migration_applied_total";
const GAP_FILLS: &str = "migration_gap_fills_total";
const CHECKPOINT_BLOCKS: &str = "migration_checkpoint_blocks_total";
const PLAN_DURATION: &str = "migration_plan_generation_duration_ms";
const DEPLOY_DURATION: &str = "migration_plan_deploy_duration_ms";
const APPLICATION_DURATION: &str = "migration_application_duration_ms";
const TURNS: &str = "session_turns_total";
const TURN_CONFLICTS: &str = "session_turn_conflicts_total";
const EVENTS_APPENDED: &str = "events_appended_total";
const LIVE_STREAMS: &str = "event_streams_open";
const WRITES_PAUSED: &str = "writes_paused_total";
const WRITES_WAITING: &str = "writes_waiting";
const WRITES_TIMED_OUT: &str = "writes_paused_timeouts_total";
const EVENTS_COPIED: &str = "tenant_migration_events_copied_total";
const TENANTS_MIGRATED: &str = "tenant_migrations_completed_total";
const CUTOVER_PAUSE: &str = "tenant_migration_cutover_pause_ms";
const CUTOVERS_GIVEN_UP: &str = "tenant_migration_cutovers_given_up_total";
const MIGRATIONS_FAILED: &str = "tenant_migrations_failed_total";
const DUAL_WRITES_FAILED: &str = "tenant_migration_dual_write_failures_total";
const BREAKERS_OPENED: &str = "tenant_migration_breaker_openings_total";
const VERIFICATIONS: &str = "tenant_migration_verifications_total";
const TRACE_EXPORTS_FAILED: &str = "segue_trace_exports_failed_total";
const PANICS: &str = "segue_panics_total";
const REFUSALS: &str = "http_refusals_total";
const MODEL_QUESTIONS: &str = "language_model_questions_total";
const MODEL_REQUESTS: &str = "language_model_requests_total";
const MODEL_REQUEST_DURATION: &str = "language_model_request_duration_seconds";
const MODEL_TOKENS: &str = "language_model_tokens_total";
const MODEL_CLAIMS: &str = "language_model_claims_total";
const MODEL_LEFT_ALONE: &str = "language_model_left_alone";
const REQUESTS: &str = "http_requests_total";
const REQUEST_DURATION: &str = "http_request_duration_seconds";
const BUILD: &str = "segue_build_info";

/// What a comparison came to.
const SOUND: &str = "consistent";
const DIFFERS: &str = "differs";

/// Milliseconds, from a clean graft in memory to a plan of 10,000 steps.
const MILLISECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 1000.0];
/// Seconds, around the 50 ms that a turn may take.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Milliseconds, around the pause of a cutover.
const PAUSES: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0];

/// Starts counting, once for the process, and returns what renders the counts.
///
/// # Errors
/// When another recorder is installed already.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_ms".to_owned()), &MILLISECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_pause_ms".to_owned()), &PAUSES)?
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

fn describe() {
    describe_counter!(PLANS_GENERATED, "Migration plans generated.");
    describe_counter!(
        SESSIONS_MARKED,
        "Sessions that deployed plans apply to, counted at the deploy."
    );
    describe_counter!(APPLIED, "Migrations applied to sessions, by migration scenario.");
    describe_counter!(GAP_FILLS, "Fields filled for a migration, by where the value came from.");
    describe_counter!(CHECKPOINT_BLOCKS, "Moves that were blocked by a passed checkpoint.");
    describe_histogram!(PLAN_DURATION, "Milliseconds to generate a migration plan.");
    describe_histogram!(DEPLOY_DURATION, "Milliseconds to deploy a plan, before it is counted.");
    describe_histogram!(APPLICATION_DURATION, "Milliseconds to reconcile a session that migrated.");
    describe_counter!(TURNS, "Turns taken and stored.");
    describe_counter!(
        TURN_CONFLICTS,
        "Turns decided again because another turn of the session came first."
    );
    describe_counter!(EVENTS_APPENDED, "Events that applications appended to their streams.");
    describe_gauge!(LIVE_STREAMS, "Live streams and waiting long polls that are open.");
    describe_counter!(WRITES_PAUSED, "Writes that met a pause and waited.");
    describe_gauge!(
        WRITES_WAITING,
        "Writes of this server that wait now, for a pause or a cutover."
    );
    describe_counter!(WRITES_TIMED_OUT, "Writes that met a pause which did not end in time.");
    describe_counter!(EVENTS_COPIED, "Events that tenant migrations copied.");
    describe_counter!(TENANTS_MIGRATED, "Tenants that moved to another store.");
    describe_histogram!(
        CUTOVER_PAUSE,
        "Milliseconds that a moving tenant's writes waited, as the coordinator measured it."
    );
    describe_counter!(CUTOVERS_GIVEN_UP, "Cutovers that were given up, by reason.");
    describe_counter!(MIGRATIONS_FAILED, "Tenant migrations that cannot go on by themselves.");
    describe_counter!(DUAL_WRITES_FAILED, "Writes to a migration's target that failed.");
    describe_counter!(
        BREAKERS_OPENED,
        "Times that a store of a tenant migration was left alone because it kept failing, by who met it."
    );
    describe_counter!(VERIFICATIONS, "Comparisons of a copy with its source, by level and result.");
    describe_counter!(TRACE_EXPORTS_FAILED, "Requests to the collector of traces that failed.");
    describe_counter!(PANICS, "Defects of Segue that ended what they came up in.");
    describe_counter!(REFUSALS, "HTTP requests that were not granted, by code.");
    describe_counter!(
        MODEL_QUESTIONS,
        "Questions that turns had for the language model, by purpose and by what came of them."
    );
    describe_counter!(MODEL_REQUESTS, "Requests to the language model, by what came of them.");
    describe_histogram!(
        MODEL_REQUEST_DURATION,
        "Seconds that a request to the language model took."
    );
    describe_counter!(MODEL_TOKENS, "Tokens that the language model says it used, in and out.");
    describe_counter!(
        MODEL_CLAIMS,
        "Values that the language model claimed, by whether the customer's words bear them out."
    );
    describe_gauge!(MODEL_LEFT_ALONE, "1 while the language model is left alone after failures.");
    describe_counter!(REQUESTS, "HTTP requests answered, by method, route and status.");
    describe_histogram!(
        REQUEST_DURATION,
        "Seconds to answer an HTTP request, by method and route."
    );
    describe_gauge!(BUILD, "1, with the version of the program.");

    touch();
    lookout::describe();
    process::describe();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Lets everything be rendered from the start: a counter that was never touched would be missing instead of 0.
fn touch() {
    for name in [
        PLANS_GENERATED,
        SESSIONS_MARKED,
        CHECKPOINT_BLOCKS,
        TURNS,
        TURN_CONFLICTS,
        EVENTS_APPENDED,
        WRITES_PAUSED,
        WRITES_TIMED_OUT,
        EVENTS_COPIED,
        TENANTS_MIGRATED,
        MIGRATIONS_FAILED,
        DUAL_WRITES_FAILED,
        TRACE_EXPORTS_FAILED,
        PANICS,
    ] {
        counter!(name).increment(0);
    }
    gauge!(LIVE_STREAMS).set(0.0);
    gauge!(MODEL_LEFT_ALONE).set(0.0);
    gauge!(WRITES_WAITING).set(0.0);
    touch_labelled();
    // A histogram is rendered from the moment on that it is asked for.
    for name in [PLAN_DURATION, DEPLOY_DURATION, APPLICATION_DURATION, CUTOVER_PAUSE] {
        drop(histogram!(name));
    }
}

/// The same for counters with labels: every label that they may have.
fn touch_labelled() {
    for scenario in
        [MigrationScenario::CleanGraft, MigrationScenario::GapFill, MigrationScenario::ReRoute]
    {
        counter!(APPLIED, "scenario" => scenario_label(scenario)).increment(0);
    }
    for source in [Source::Profile, Source::Session, Source::Extraction] {
        counter!(GAP_FILLS, "source" => source_label(source)).increment(0);
    }
    for why in [Why::Timeout, Why::Inconsistent, Why::TargetLost] {
        counter!(CUTOVERS_GIVEN_UP, "why" => why.as_str()).increment(0);
    }
    for of in [BreakerOf::Mirror, BreakerOf::Coordinator] {
        counter!(BREAKERS_OPENED, "of" => of.as_str()).increment(0);
    }
    for level in [VerificationLevel::Count, VerificationLevel::Hash, VerificationLevel::Full] {
        for result in [SOUND, DIFFERS] {
            let labels = [("level", level.as_str()), ("result", result)];
            counter!(VERIFICATIONS, &labels).increment(0);
        }
    }
    for code in Code::ALL.iter().filter(|code| code.status().is_server_error()) {
        counter!(REFUSALS, "code" => code.as_str()).increment(0);
    }
}

/// An application's events were stored.
pub fn events_appended(count: usize) {
    counter!(EVENTS_APPENDED).increment(count as u64);
}

/// A live stream or a long poll was opened.
pub fn stream_opened() {
    gauge!(LIVE_STREAMS).increment(1.0);
}

/// A live stream or a long poll is over.
pub fn stream_closed() {
    gauge!(LIVE_STREAMS).decrement(1.0);
}

/// A write met a pause, and waits until this is dropped.
#[must_use]
pub fn write_paused() -> WaitingWrite {
    counter!(WRITES_PAUSED).increment(1);
    gauge!(WRITES_WAITING).increment(1.0);
    WaitingWrite
}

/// A write that waits.
#[derive(Debug)]
pub struct WaitingWrite;

impl Drop for WaitingWrite {
    fn drop(&mut self) {
        gauge!(WRITES_WAITING).decrement(1.0);
    }
}

/// A write met a pause that did not end in time.
pub fn write_timed_out() {
    counter!(WRITES_TIMED_OUT).increment(1);
}

/// A migration copied events.
pub fn events_copied(count: u64) {
    counter!(EVENTS_COPIED).increment(count);
}

/// A tenant moved, and its writes waited for so long.
pub fn tenant_migrated(pause_ms: f64) {
    counter!(TENANTS_MIGRATED).increment(1);
    histogram!(CUTOVER_PAUSE).record(pause_ms);
}

/// A cutover was given up.
pub fn cutover_given_up(why: Why) {
    counter!(CUTOVERS_GIVEN_UP, "why" => why.as_str()).increment(1);
}

/// A migration met something that does not pass by itself.
pub fn migration_failed() {
    counter!(MIGRATIONS_FAILED).increment(1);
}

/// A write to the target of a migration failed.
pub fn dual_write_failed() {
    counter!(DUAL_WRITES_FAILED).increment(1);
}

/// Who met a store that kept failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerOf {
    /// The mirror of a server's own writes.
    Mirror,
    /// Who carries a migration on.
    Coordinator,
}

impl BreakerOf {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Coordinator => "coordinator",
        }
    }
}

/// A store of a migration is left alone, because it kept failing.
pub fn breaker_opened(of: BreakerOf) {
    counter!(BREAKERS_OPENED, "of" => of.as_str()).increment(1);
}

/// A copy was compared with what it was copied from.
pub fn copy_verified(level: VerificationLevel, is_consistent: bool) {
    let result = if is_consistent { SOUND } else { DIFFERS };
    let labels = [("level", level.as_str()), ("result", result)];
    counter!(VERIFICATIONS, &labels).increment(1);
}

/// Segue met a defect of its own.
pub fn panicked() {
    counter!(PANICS).increment(1);
}

/// The collector did not take traces.
fn trace_export_failed() {
    counter!(TRACE_EXPORTS_FAILED).increment(1);
}

/// A request was not granted.
pub fn request_refused(code: Code) {
    counter!(REFUSALS, "code" => code.as_str()).increment(1);
}

/// A plan was generated.
pub fn plan_generated(took: Duration) {
    counter!(PLANS_GENERATED).increment(1);
    histogram!(PLAN_DURATION).record(milliseconds(took));
}

/// A plan was deployed; its sessions are still to be counted.
pub fn plan_deployed(took: Duration) {
    histogram!(DEPLOY_DURATION).record(milliseconds(took));
}

/// A plan was deployed that applies to this many sessions.
pub fn sessions_marked(sessions: u64) {
    counter!(SESSIONS_MARKED).increment(sessions);
}

/// A migration was applied to a session.
pub fn migration_applied(scenario: MigrationScenario, took: Duration) {
    counter!(APPLIED, "scenario" => scenario_label(scenario)).increment(1);
    histogram!(APPLICATION_DURATION).record(milliseconds(took));
}

/// A field was filled for a migration.
pub fn gap_filled(source: Source) {
    counter!(GAP_FILLS, "source" => source_label(source)).increment(1);
}

/// A passed checkpoint blocked a move.
pub fn checkpoint_blocked() {
    counter!(CHECKPOINT_BLOCKS).increment(1);
}

/// A turn was stored.
pub fn turn_taken() {
    counter!(TURNS).increment(1);
}

/// A turn lost a race and was decided again.
pub fn turn_conflicted() {
    counter!(TURN_CONFLICTS).increment(1);
}

/// What a language model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To find values.
    Extract,
    /// To judge conditions.
    Judge,
}

/// A turn had a question for the language model.
pub fn language_model_asked(purpose: Purpose, silence: Option<Silence>) {
    let purpose = match purpose {
        Purpose::Extract => "extract",
        Purpose::Judge => "judge",
    };
    let outcome = match silence {
        None | Some(Silence::Nothing) => "answered",
        Some(Silence::TimedOut) => "timed_out",
        Some(Silence::Unavailable) => "unavailable",
        Some(Silence::LeftAlone) => "left_alone",
        Some(Silence::Busy) => "busy",
        Some(Silence::Spent) => "spent",
        Some(Silence::Unusable) => "unusable",
        Some(Silence::TooMuch) => "too_much",
    };
    counter!(MODEL_QUESTIONS, "purpose" => purpose, "outcome" => outcome).increment(1);
}

/// A request to the language model is over.
pub fn language_model_requested(outcome: &'static str, took: Duration) {
    counter!(MODEL_REQUESTS, "outcome" => outcome).increment(1);
    histogram!(MODEL_REQUEST_DURATION).record(took.as_secs_f64());
}

/// The language model told what a request cost.
pub fn language_model_tokens(input: u64, output: u64) {
    counter!(MODEL_TOKENS, "direction" => "input").increment(input);
    counter!(MODEL_TOKENS, "direction" => "output").increment(output);
}

/// Claims of the language model were held against the customer's words in a turn that was stored.
pub fn language_model_claimed(claims: Claims) {
    for (ground, count) in [("founded", claims.founded), ("unfounded", claims.unfounded)] {
        if count > 0 {
            counter!(MODEL_CLAIMS, "ground" => ground).increment(count as u64);
        }
    }
}

/// The language model is left alone from now on.
pub fn language_model_left_alone() {
    gauge!(MODEL_LEFT_ALONE).set(1.0);
}

/// The language model is asked again.
pub fn language_model_back() {
    gauge!(MODEL_LEFT_ALONE).set(0.0);
}

/// An HTTP request was answered. `route` is the pattern, never the path: paths carry ids.
pub fn request_answered(method: &'static str, route: String, status: &'static str, took: Duration) {
    histogram!(REQUEST_DURATION, "method" => method, "route" => route.clone())
        .record(took.as_secs_f64());
    counter!(REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn scenario_label(scenario: MigrationScenario) -> &'static str {
    match scenario {
        MigrationScenario::CleanGraft => "clean_graft",
        MigrationScenario::GapFill => "gap_fill",
        MigrationScenario::ReRoute => "re_route",
    }
}

fn source_label(source: Source) -> &'static str {
    match source {
        Source::Given => "given",
        Source::Profile => "profile",
        Source::Session => "session",
        Source::Extraction => "extraction",
        Source::Confirmed => "confirmed",
        Source::Operator => "operator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_the_original_system_are_rendered_with_help() {
        let handle = init_metrics().unwrap();
        plan_generated(Duration::from_millis(3));
        migration_applied(MigrationScenario::GapFill, Duration::from_micros(20));
        gap_filled(Source::Profile);
        sessions_marked(142);
        let text = handle.render();
        for line in [
            "# HELP migration_plans_generated_total Migration plans generated.",
            "migration_plans_generated_total 1",
            "migration_sessions_marked_total 142",
            "migration_applied_total{scenario=\"gap_fill\"} 1",
            "migration_applied_total{scenario=\"re_route\"} 0",
            "migration_gap_fills_total{source=\"profile\"} 1",
            "migration_checkpoint_blocks_total 0",
            "migration_plan_generation_duration_ms_bucket{le=\"5\"} 1",
            "migration_application_duration_ms_count 1",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn starting_to_count_twice_is_the_same_as_once() {
        init_metrics().unwrap();
        assert!(init_metrics().is_ok());
    }
}
