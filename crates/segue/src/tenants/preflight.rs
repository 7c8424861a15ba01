//! Whether a migration can be made, and what it will take: both stores are looked at, nothing is changed.

use std::sync::Arc;
use std::time::Duration;

use segue_core::ids::{Position, StoreId, TenantId};
use segue_core::tenancy::migration::journal::Incarnations;
use segue_core::tenancy::migration::{MigrationConfig, Pause, eta};
use segue_store::control::ControlPlane;
use segue_store::events::{self, EventStore, Head, Mode, Survives};
use serde::Serialize;
use tokio::time::Instant;

use super::marks::mark_at;
use super::migration_error::MigrationError;
use super::pages::Pages;
use crate::error::Error;

/// How many events are read to measure how fast that goes.
const SAMPLE: usize = 2_000;

/// How much slower a copy goes than the source is read, roughly: the target has indexes to keep.
const COPIED_PER_READ: f64 = 0.3;

/// Two stores and a tenant that is to move from one to the other.
#[derive(Debug)]
pub(super) struct Preflight<'a> {
    pub(super) control: &'a Arc<dyn ControlPlane>,
    pub(super) tenant: TenantId,
    pub(super) source: (&'a StoreId, &'a Arc<dyn EventStore>),
    pub(super) target: (&'a StoreId, &'a Arc<dyn EventStore>),
    pub(super) config: &'a MigrationConfig,
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Cleared {
    /// Which databases the two are.
    pub(super) incarnations: Incarnations,
    /// The source's head.
    pub(super) source: Head,
    /// What the target holds already.
    pub(super) target: Option<Head>,
}

/// What would happen, and how long it would take: nothing was changed to find out.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DryRun {
    /// Whose log.
    pub tenant_id: TenantId,
    /// Where it is.
    pub source_store_id: StoreId,
    /// Where it would go.
    pub target_store_id: StoreId,
    /// How many events there are now.
    pub total_events: u64,
    /// How many of them the target holds already, from an earlier move.
    pub events_in_target: u64,
    /// How many would be copied.
    pub events_to_copy: u64,
    /// How many subscriptions would go along.
    pub subscriptions: u64,
    /// How fast the copy would be, in events per second: an estimate from reading a part of the log. The
    /// tenant's own writes slow it down.
    pub estimated_events_per_second: f64,
    /// How long the copy would take, in seconds; null when the log is too short to tell.
    pub estimated_copy_seconds: Option<f64>,
    /// How long the tenant's writes would wait during the cutover, in milliseconds: an estimate from the
    /// time that stores and control plane take to answer.
    pub estimated_pause_ms: f64,
    /// The same, as long as a cutover may take before it is given up.
    pub pause_budget_ms: f64,
    /// What the two stores survive.
    pub durability: DurabilityOfBoth,
    /// What would happen, step by step, for people.
    pub steps: Vec<String>,
}

/// What acknowledged appends survive, in both stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DurabilityOfBoth {
    /// The settings of the source.
    pub source: String,
    /// The settings of the target.
    pub target: String,
}

/// Why it cannot be made, or not now.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It never can, as things are.
    Final(MigrationError),
    /// A part does not answer now.
    Later(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Final(error) => error.into(),
            Refusal::Later(error) => error,
        }
    }
}

impl Preflight<'_> {
    /// Whether it can be made as both stores are.
    pub(super) async fn run(&self) -> Result<Cleared, Refusal> {
        let cleared = self.look().await?;
        if let Some(found) = &cleared.target {
            self.check_copy(&cleared.source, found).await?;
        }
        Ok(cleared)
    }

    /// Looks at both stores and the control plane.
    async fn look(&self) -> Result<Cleared, Refusal> {
        let ((source_id, source), (target_id, target)) = (self.source, self.target);
        self.control.check().await.map_err(|error| Refusal::Later(error.into()))?;
        let asked = tokio::join!(source.health(), target.health());
        asked.0.map_err(|error| later(source_id, error))?;
        asked.1.map_err(|error| later(target_id, error))?;
        self.check_durability(source_id, source)?;
        self.check_durability(target_id, target)?;
        let (from, into) = tokio::join!(source.incarnation(), target.incarnation());
        let incarnations = Incarnations {
            source: from.map_err(|error| later(source_id, error))?,
            target: into.map_err(|error| later(target_id, error))?,
        };
        let head = source.head(self.tenant).await.map_err(|error| later(source_id, error))?;
        let found = match target.head(self.tenant).await {
            Ok(head) => Some(head),
            Err(events::Error::NotFound { .. }) => None,
            Err(error) => return Err(later(target_id, error)),
        };
        Ok(Cleared { incarnations, source: head, target: found })
    }

    /// What would happen.
    pub(super) async fn dry_run(&self) -> Result<DryRun, Error> {
        let cleared = self.look().await?;
        let ((source_id, source), (target_id, target)) = (self.source, self.target);
        // A start releases what a placing has left.
        let is_left = |head: &Head| head.left_by_placing(cleared.source.epoch).is_some();
        if let Some(found) = cleared.target.filter(|head| !is_left(head)) {
            self.check_copy(&cleared.source, &found).await?;
        }
        let held = cleared.target.filter(|head| head.mode != Mode::Tombstone);
        let held = held.map_or(0, |head| head.position.0);
        let total = cleared.source.position.0;
        let pages = Pages::of(Arc::clone(source), self.tenant, SAMPLE);
        let begun = Instant::now();
        let read = pages.after(Position(0)).await;
        let read = read.map_err(|error| Error::of_store(source_id, error))?;
        let read = read.map_or(0, |page| page.events.len());
        let rate = COPIED_PER_READ * read as f64 / begun.elapsed().as_secs_f64().max(1e-6);
        let rate = self.config.max_bulk_copy_rate.map_or(rate, |limit| rate.min(limit));
        let pause = self.pause(source, target).await?;
        let copied = total.saturating_sub(held);
        let subscriptions = self.control.subscriptions(self.tenant).await?.len() as u64;
        Ok(DryRun {
            tenant_id: self.tenant,
            source_store_id: source_id.clone(),
            target_store_id: target_id.clone(),
            total_events: total,
            events_in_target: held,
            events_to_copy: copied,
            subscriptions,
            estimated_events_per_second: rate,
            estimated_copy_seconds: eta(copied, rate).map(|time| time.as_secs_f64()),
            estimated_pause_ms: pause.as_secs_f64() * 1e3,
            pause_budget_ms: self.config.pause_budget().as_secs_f64() * 1e3,
            durability: DurabilityOfBoth {
                source: source.durability().settings,
                target: target.durability().settings,
            },
            steps: self.steps(copied, subscriptions),
        })
    }

    fn steps(&self, copied: u64, subscriptions: u64) -> Vec<String> {
        let (source, target) = (self.source.0, self.target.0);
        let begun = match self.config.auto_cutover {
            true => "the cutover follows by itself",
            false => "the cutover waits for your word",
        };
        vec![
            format!(
                "copy {copied} events from `{source}` to `{target}` while both reads and writes go on"
            ),
            format!("let `{target}` follow `{source}` closely, and read back what it has stored"),
            format!("{begun}: writes wait for a moment, reads go on; `{target}` owns the tenant"),
            format!("{subscriptions} subscriptions go on at the positions where they are"),
            match self.config.keep_way_back {
                true => format!("`{source}` follows `{target}`, for a way back, until you finish"),
                false => format!("`{source}` keeps its copy until you finish"),
            },
        ]
    }

    /// How long a pause is made of: a fence, a small import, a decision; each a few round trips and a
    /// flush. Measured by reads, so that nothing is changed.
    async fn pause(
        &self,
        source: &Arc<dyn EventStore>,
        target: &Arc<dyn EventStore>,
    ) -> Result<Duration, Error> {
        let mut times = [Duration::ZERO; 3];
        for _ in 0..3 {
            let begun = Instant::now();
            source.health().await.map_err(|error| Error::of_store(self.source.0, error))?;
            times[0] = begun.elapsed();
            let begun = Instant::now();
            target.health().await.map_err(|error| Error::of_store(self.target.0, error))?;
            times[1] = begun.elapsed();
            let begun = Instant::now();
            self.control.check().await?;
            times[2] = begun.elapsed();
        }
        let [fence, drain, commit] = times;
        Ok(Pause { fence: fence * 2, drain: drain * 6, commit: commit * 6 }.predict(0, 1.0))
    }

    fn check_durability(&self, id: &StoreId, store: &Arc<dyn EventStore>) -> Result<(), Refusal> {
        let durability = store.durability();
        if durability.survives == Survives::PowerLoss || self.config.allow_unsafe_durability {
            return Ok(());
        }
        let (store, settings) = (id.clone(), durability.settings);
        Err(Refusal::Final(MigrationError::UnsafeDurability { store, settings }))
    }

    /// Whether what the target holds is nothing, or the beginning of the source's log.
    async fn check_copy(&self, source: &Head, target: &Head) -> Result<(), Refusal> {
        let occupied = |details: String| {
            let (tenant_id, store) = (self.tenant, self.target.0.clone());
            Refusal::Final(MigrationError::TargetOccupied { tenant_id, store, details })
        };
        match target.mode {
            Mode::Tombstone => return Ok(()),
            Mode::Copying | Mode::Moved | Mode::Prepared => {}
            // An old source that nobody came to tell so: it was gone when the move from it was finished.
            Mode::Fenced if target.epoch < source.epoch => {}
            Mode::Open | Mode::Fenced => {
                return Err(occupied(format!("it is {} at epoch {}", target.mode, target.epoch)));
            }
        }
        if target.position > source.position {
            return Err(occupied(format!(
                "it ends at position {}, beyond the source's {}",
                target.position, source.position
            )));
        }
        let (id, store) = self.source;
        match mark_at(store, self.tenant, target.position).await {
            Ok(Some(mark)) if mark == target.mark() => Ok(()),
            Ok(_) => Err(occupied(format!(
                "its digest at position {} is not that of the source",
                target.position
            ))),
            Err(error) => Err(later(id, error)),
        }
    }
}

fn later(id: &StoreId, error: events::Error) -> Refusal {
    Refusal::Later(Error::of_store(id, error))
}
