//! `segue serve`: the server.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::Page;
use segue_store::control::migrations::Filter;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::failure::Failure;
use crate::auth::{Access, Mode};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::http::live::Live;
use crate::http::{self, App};
use crate::scenarios::Removed;
use crate::stores::Opened;
use crate::telemetry::{self, lookout};
use crate::tenants::{Migration, MigrationCoordinator};

/// How often what is past its retention is removed.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

/// `segue serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// A configuration file, read after config/default.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address and port to listen on, whatever the configuration says; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Serve {
    /// Serves until SIGTERM or Ctrl-C.
    pub fn run(self) -> Result<(), Failure> {
        let config = Config::load(self.config.as_deref(), self.listen)?;
        let _traces = telemetry::init(&config.telemetry).map_err(Failure::Other)?;
        log_panics();
        runtime(&config)?.block_on(serve(config))
    }
}

/// The threads that everything runs on.
pub fn runtime(config: &Config) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.server.worker_threads {
        builder.worker_threads(threads.get());
    }
    builder.enable_all().build().map_err(|error| Failure::Other(format!("no threads: {error}")))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let listener = bind(config.server.listen).await?;
    let app = open(&config).await?;
    let tidying = tokio::spawn(tidy(app.clone()));
    let every = Duration::from_secs_f64(config.telemetry.refresh_seconds);
    let prometheus = app.prometheus.clone();
    let looking = lookout::keep(app.opened.clone(), app.clock.clone(), prometheus, every);
    let looking = tokio::spawn(looking);
    let address = listener.local_addr().map_err(|error| Failure::Other(error.to_string()))?;
    // Whoever reads the line may ask to stop at once.
    let stop = http::asked_to_stop();
    let moves = app.opened.moves.clone();
    warn_without_keys(&app).await;
    let forecaster = app.opened.scenarios.forecaster.clone();
    announce(address, moves.process());
    let patience = Duration::from_secs_f64(config.server.shutdown_timeout_seconds);
    moves.attend();
    let served = http::serve(listener, app, stop, patience).await;
    tidying.abort();
    forecaster.stop(patience).await;
    looking.abort();
    leave(&moves, patience).await;
    served.map_err(|error| Failure::Other(format!("the server stopped: {error}")))
}

/// Tells how to get in, if nobody can.
async fn warn_without_keys(app: &App) {
    if app.access.mode != Mode::ApiKeys {
        return;
    }
    match app.access.keyring.list(Page::first(1)).await {
        Ok(keys) if keys.total == 0 => tracing::warn!(
            "there are no API keys yet: make the first with `segue key create --local --role platform \
             --name NAME`"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot tell whether there are API keys"),
    }
}

/// Carries no migration on any more; others find them where they stand. A cutover of this process that is
/// under way ends first, for its tenant's writes wait.
pub async fn leave(moves: &MigrationCoordinator, patience: Duration) {
    let cut_over = Filter { state: Some(MigrationState::CutoverPaused), ..Filter::default() };
    let under_way = moves.list_migrations(&cut_over, 100, None).await;
    let under_way = under_way.map(|page| page.migrations).unwrap_or_default();
    let mine = under_way.iter().filter(|migration| migration.coordinator == Some(moves.process()));
    join_all(mine.map(|migration| {
        let is_over = |migration: &Migration| migration.state != MigrationState::CutoverPaused;
        moves.wait_until(migration.id, patience, is_over)
    }))
    .await;
    moves.stop();
}

/// Removes what is past its retention, from time to time.
async fn tidy(app: App) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        match app.opened.scenarios.deployer.tidy().await {
            Ok(removed) if removed != Removed::default() => {
                tracing::info!(plans = removed.plans, versions = removed.versions, "tidied");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not tidy; trying again later"),
        }
    }
}

/// Opens the stores and the control plane.
pub async fn open(config: &Config) -> Result<App, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = Opened::open(config, clock.clone()).await.map_err(Box::new)?;
    let prometheus =
        telemetry::init_metrics().map_err(|error| Failure::Other(error.to_string()))?;
    Ok(App {
        access: Access::new(config, opened.control.clone(), clock.clone()),
        opened: Arc::new(opened),
        clock,
        prometheus,
        max_body_bytes: config.server.max_body_bytes,
        request_timeout: Duration::from_secs_f64(config.server.request_timeout_seconds),
        stalled_reader_timeout: Duration::from_secs_f64(
            config.server.stalled_reader_timeout_seconds,
        ),
        live: Live::new(config.server.live_limits()),
        checks: Arc::default(),
    })
}

/// Takes the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "the port is in use; stop what listens there, or choose another with --listen"
                    .to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                format!("{error}; ports below 1024 need privileges, choose another with --listen")
            }
            _ => error.to_string(),
        };
        Failure::Listen { address, reason }
    })
}

/// The one line that tells that requests are taken now.
fn announce(address: SocketAddr, process: Uuid) {
    let mut stdout = io::stdout();
    // Nobody may be reading; that is no reason not to serve.
    let _ = writeln!(stdout, "segue listens on http://{address}").and_then(|()| stdout.flush());
    // Audits and explanations name a server by the id of its process.
    tracing::info!(%address, %process, version = env!("CARGO_PKG_VERSION"), "listening");
}

/// A panic is a defect: it belongs in the log, like everything else that an operator looks for there.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("a panic without text");
        telemetry::panicked();
        tracing::error!(place, "panic: {text}");
    }));
}
