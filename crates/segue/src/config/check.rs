//! What no single type can say: ranges, and settings that contradict each other.

use segue_core::extract::claim::CLAIMED;
use segue_store::postgres::{Kind, Settings};

use crate::auth::Mode;

use super::{Config, Database, Options, Store, Url};

/// A value that is not allowed.
#[derive(Debug)]
pub(super) struct Problem {
    /// Dotted, such as `server.listen`.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

fn problem(key: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem { key: key.into(), message: message.into() }
}

/// The first thing that is not allowed.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    server(config)?;
    access(config)?;
    stores(config)?;
    scenario_migration(config)?;
    tenant_migration(config)?;
    telemetry(config)?;
    extraction(config)
}

fn extraction(config: &Config) -> Result<(), Problem> {
    let Some(settings) = &config.extraction else { return Ok(()) };
    settings
        .check()
        .map_err(|invalid| problem(format!("extraction.{}", invalid.setting), invalid.message))?;
    let request = config.server.request_timeout_seconds;
    if settings.turn_timeout_seconds >= request {
        return Err(problem(
            "extraction.turn_timeout_seconds",
            format!(
                "a turn would be given up (server.request_timeout_seconds is {request}) before it can go \
                 on without the model; allowed is less than {request}"
            ),
        ));
    }
    let threshold = config.scenario_migration.gap_fill.extraction_confidence_threshold;
    if threshold > CLAIMED {
        return Err(problem(
            "scenario_migration.gap_fill.extraction_confidence_threshold",
            format!(
                "{threshold} lets nothing through that [extraction] finds, whose confidence is {CLAIMED}; \
                 allowed with it are 0 to {CLAIMED}"
            ),
        ));
    }
    Ok(())
}

fn server(config: &Config) -> Result<(), Problem> {
    let server = &config.server;
    let is_open = config.access.mode == Mode::Open;
    if config.listens_to_the_world() && is_open && !server.allow_remote_without_authentication {
        return Err(problem(
            "server.listen",
            format!(
                "{} can be reached from other machines, and no API key is needed; make a key with `segue key \
                 create --local` and set access.mode = \"api_keys\", or listen on 127.0.0.1; behind a proxy \
                 that authenticates set server.allow_remote_without_authentication = true",
                server.listen
            ),
        ));
    }
    seconds("server.request_timeout_seconds", server.request_timeout_seconds)?;
    seconds("server.shutdown_timeout_seconds", server.shutdown_timeout_seconds)?;
    seconds("server.stalled_reader_timeout_seconds", server.stalled_reader_timeout_seconds)?;
    between("server.max_streams", server.max_streams.get(), 1, 1_000_000)?;
    between("server.max_streams_per_tenant", server.max_streams_per_tenant.get(), 1, 1_000_000)?;
    between("server.max_body_bytes", server.max_body_bytes, 1024, 1024 * 1024 * 1024)?;
    if let Some(threads) = server.worker_threads {
        between("server.worker_threads", threads.get(), 1, 1024)?;
    }
    Ok(())
}

fn access(config: &Config) -> Result<(), Problem> {
    let access = &config.access;
    between("access.requests_per_second", access.requests_per_second.get(), 1, 1_000_000)?;
    between("access.burst", access.burst.get(), 1, 1_000_000)?;
    between("access.console_session_hours", access.console_session_hours, 0.01, 24.0 * 30.0)?;
    let deployment = &config.scenario_migration.deployment;
    if deployment.four_eyes && (access.mode == Mode::Open || !deployment.require_approval) {
        return Err(problem(
            "scenario_migration.deployment.four_eyes",
            "who made a plan is known by their API key, and an approval is where it is checked; set \
             access.mode = \"api_keys\" and scenario_migration.deployment.require_approval = true with it",
        ));
    }
    Ok(())
}

fn stores(config: &Config) -> Result<(), Problem> {
    databases(config)?;
    if config.stores.by_id.contains_key(config.stores.default.as_str()) {
        return Ok(());
    }
    let known: Vec<&str> = config.stores.by_id.keys().map(|id| id.as_str()).collect();
    Err(problem(
        "stores.default",
        format!(
            "no [stores.{}] is configured; the stores are: {}",
            config.stores.default,
            known.join(", ")
        ),
    ))
}

/// Each PostgreSQL database can be used, and no two parts share one place.
fn databases(config: &Config) -> Result<(), Problem> {
    let mut places: Vec<(String, Kind, Settings)> = Vec::new();
    let mut check = |part: String, kind, options: &Options, url: &Url| {
        let settings = options
            .settings(url)
            .map_err(|invalid| problem(format!("{part}.{}", invalid.setting), invalid.message))?;
        let taken =
            places.iter().find(|(_, other, place)| settings.is_same_place(kind, place, *other));
        if let Some((other, ..)) = taken {
            let schema = settings.schema(kind);
            return Err(problem(
                format!("{part}.url"),
                format!(
                    "[{other}] is in schema {schema} of the same database; give each a schema of its own"
                ),
            ));
        }
        places.push((part, kind, settings));
        Ok(())
    };
    if let Database::Postgres(url) = &config.control.url {
        check("control".to_owned(), Kind::Control, &config.control.options, url)?;
    }
    for (id, store) in &config.stores.by_id {
        match store {
            Store::Postgres { url, options } => {
                check(format!("stores.{id}"), Kind::Events, options, url)?;
            }
            Store::Sqlite { .. } | Store::Memory => {}
        }
    }
    Ok(())
}

fn scenario_migration(config: &Config) -> Result<(), Problem> {
    let settings = &config.scenario_migration;
    let gap_fill = &settings.gap_fill;
    let section = "scenario_migration.gap_fill";
    let extraction = gap_fill.extraction_confidence_threshold;
    let confirmation = gap_fill.confirmation_threshold;
    between(&format!("{section}.extraction_confidence_threshold"), extraction, 0.0, 1.0)?;
    between(&format!("{section}.confirmation_threshold"), confirmation, 0.0, 1.0)?;
    if confirmation < extraction {
        return Err(problem(
            format!("{section}.confirmation_threshold"),
            format!(
                "{confirmation} is below extraction_confidence_threshold ({extraction}), so nothing would \
                 ever be confirmed; allowed are {extraction} to 1"
            ),
        ));
    }
    between(
        &format!("{section}.max_conversation_turns"),
        gap_fill.max_conversation_turns,
        0,
        1000,
    )?;
    let retention = &settings.retention;
    let section = "scenario_migration.retention";
    between(
        &format!("{section}.version_retention_days"),
        retention.version_retention_days,
        0,
        36_500,
    )?;
    between(&format!("{section}.plan_retention_days"), retention.plan_retention_days, 0, 36_500)
}

fn tenant_migration(config: &Config) -> Result<(), Problem> {
    let settings = &config.tenant_migration;
    settings.of_a_move().check().map_err(|invalid| {
        let message = format!("it must be {}", invalid.allowed);
        problem(format!("tenant_migration.{}", invalid.setting), message)
    })?;
    between("tenant_migration.max_concurrent_copies", settings.max_concurrent_copies, 1, 1_000)?;
    let (lease, cutover) = (settings.coordinator_lease_seconds, settings.cutover_lease_seconds);
    for (key, value, most) in [
        ("coordinator_lease_seconds", lease, 3_600.0),
        ("cutover_lease_seconds", cutover, lease),
        ("coordinator_check_interval", settings.coordinator_check_interval, 60.0),
    ] {
        between(&format!("tenant_migration.{key}"), value, 0.1, most)?;
    }
    seconds("tenant_migration.write_pause_timeout", settings.write_pause_timeout)
}

fn telemetry(config: &Config) -> Result<(), Problem> {
    let settings = &config.telemetry;
    between("telemetry.refresh_seconds", settings.refresh_seconds, 0.1, 300.0)?;
    between("telemetry.otlp_timeout_seconds", settings.otlp_timeout_seconds, 0.1, 60.0)?;
    if let Some(ratio) = settings.sample_ratio {
        between("telemetry.sample_ratio", ratio, 0.0, 1.0)?;
    }
    if let Some(endpoint) = &settings.otlp_endpoint
        && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme))
    {
        let message = "it must be a URL such as http://127.0.0.1:4318, of a collector that takes OTLP by HTTP";
        return Err(problem("telemetry.otlp_endpoint", message));
    }
    match &settings.otlp_headers_env {
        Some(name) if std::env::var_os(name).is_none() => Err(problem(
            "telemetry.otlp_headers_env",
            format!("the environment variable {name} is not set; set it to name=value,name=value"),
        )),
        Some(_) | None => Ok(()),
    }
}

fn seconds(key: &str, value: f64) -> Result<(), Problem> {
    between(key, value, 0.001, 86_400.0)
}

fn between<N: PartialOrd + std::fmt::Display>(
    key: &str,
    value: N,
    least: N,
    most: N,
) -> Result<(), Problem> {
    within(value, least, most).map_err(|message| problem(key, message))
}

/// Says what is allowed if a value is not.
pub(super) fn within<N: PartialOrd + std::fmt::Display>(
    value: N,
    least: N,
    most: N,
) -> Result<(), String> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(format!("{value} is not allowed; allowed are {least} to {most}"))
}
