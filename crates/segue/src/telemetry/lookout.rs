//! What is only known by asking: the moves under way, and the health of what the server stands on.
//!
//! A scrape asks nobody. A task asks at a bounded rate, for a bounded time and a bounded number of moves,
//! and a scrape reads what was found last. While the control plane is away the gauges of the moves keep
//! their values, and `segue_control_plane_up` is 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use segue_core::ids::{MigrationId, Position};
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::migrations::{Filter, Migration};
use segue_store::control::{ControlPlane, Page, Result};
use tokio::time::Instant;

use super::process;
use crate::clock::Clock;
use crate::stores::Opened;
use crate::tenants::placement::health;

/// How long a part may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many moves are read at once.
const PAGE: u32 = 100;

/// How many moves are looked at; more are not counted.
const MOST: usize = 10_000;

const CONTROL_UP: &str = "segue_control_plane_up";
const STORE_UP: &str = "segue_store_up";
const STORE_PROBE: &str = "segue_store_probe_seconds";
const ACTIVE: &str = "tenant_migrations_active";
const OBSTRUCTED: &str = "tenant_migrations_obstructed";
const WITHOUT_PROGRESS: &str = "tenant_migration_without_progress_seconds";
const LAG: &str = "tenant_migration_sync_lag_events";
const UNFINISHED: &str = "tenant_migration_oldest_unfinished_seconds";

pub(super) fn describe() {
    describe_gauge!(CONTROL_UP, "Whether the control plane can be read and written: 1 or 0.");
    describe_gauge!(STORE_UP, "Whether an event store can be read and written: 1 or 0.");
    describe_gauge!(STORE_PROBE, "Seconds that an event store took to say how it is.");
    describe_gauge!(ACTIVE, "Tenant migrations that are not over, by state.");
    describe_gauge!(
        OBSTRUCTED,
        "Tenant migrations that are not over and have something in the way."
    );
    describe_gauge!(
        WITHOUT_PROGRESS,
        "Seconds since the slowest tenant migration that should go on by itself did so."
    );
    describe_gauge!(
        LAG,
        "Events that the target is behind which follows its source at the widest."
    );
    describe_gauge!(
        UNFINISHED,
        "Seconds since the oldest tenant migration that was not finished was committed."
    );
    for name in [WITHOUT_PROGRESS, LAG, UNFINISHED, OBSTRUCTED] {
        gauge!(name).set(0.0);
    }
    for state in MigrationState::ALL {
        gauge!(ACTIVE, "state" => state.as_str()).set(0.0);
    }
}

/// Looks around until it is dropped. What histograms have gathered is summed up meanwhile, for nobody may
/// be scraping.
pub async fn keep(
    opened: Arc<Opened>,
    clock: Arc<dyn Clock>,
    prometheus: PrometheusHandle,
    every: Duration,
) {
    let mut known = Known::default();
    loop {
        tokio::join!(look_at_stores(&opened), look_at_moves(&opened, &*clock, &mut known));
        process::tell();
        prometheus.run_upkeep();
        tokio::time::sleep(every).await;
    }
}

async fn look_at_stores(opened: &Opened) {
    let up = |answered: bool| if answered { 1.0 } else { 0.0 };
    let control = tokio::time::timeout(PATIENCE, opened.control.check());
    let stores = opened.router.stores().map(|(id, store)| async move {
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, health(store)).await;
        gauge!(STORE_UP, "store" => id.to_string()).set(up(matches!(answer, Ok(Ok(())))));
        gauge!(STORE_PROBE, "store" => id.to_string()).set(begun.elapsed().as_secs_f64());
    });
    let (control, _) = tokio::join!(control, join_all(stores));
    gauge!(CONTROL_UP).set(up(matches!(control, Ok(Ok(())))));
}

async fn look_at_moves(opened: &Opened, clock: &dyn Clock, known: &mut Known) {
    match tokio::time::timeout(PATIENCE, active(&*opened.control)).await {
        Ok(Ok(migrations)) => known.summed(&migrations, Instant::now(), clock.now()).tell(),
        Ok(Err(error)) => tracing::debug!(%error, "cannot look at the moves; looking again"),
        Err(_elapsed) => tracing::debug!("the control plane is slow; looking again"),
    }
}

async fn active(control: &dyn ControlPlane) -> Result<Vec<Migration>> {
    let filter = Filter { only_active: true, ..Filter::default() };
    let (mut after, mut active) = (None, Vec::new());
    loop {
        let page = control.list_migrations(&filter, Page { limit: PAGE, after }).await?;
        active.extend(page.items);
        after = page.next;
        if after.is_none() || active.len() >= MOST {
            return Ok(active);
        }
    }
}

/// How far the moves had come when they were looked at before.
#[derive(Debug, Default)]
struct Known(BTreeMap<MigrationId, (Reached, Instant)>);

/// What changes when a move goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    state: MigrationState,
    copied: Position,
    read_back: Position,
}

/// The moves under way, in numbers.
#[derive(Debug, Clone, Default, PartialEq)]
struct Summed {
    by_state: BTreeMap<MigrationState, u32>,
    obstructed: u32,
    without_progress: Duration,
    lag: u64,
    oldest_unfinished: Duration,
}

impl Known {
    /// The numbers of those that are counted, and what is to be known of them the next time.
    fn summed(&mut self, active: &[Migration], seen: Instant, now: Timestamp) -> Summed {
        let mut summed = Summed::default();
        let mut reached_now = BTreeMap::new();
        for migration in active.iter().filter(|migration| migration.config.enable_metrics) {
            *summed.by_state.entry(migration.state).or_default() += 1;
            summed.obstructed += u32::from(migration.journal.error.is_some());
            if migration.state == MigrationState::DualWrite {
                summed.lag = summed.lag.max(migration.progress.lag());
            }
            if let (MigrationState::Migrated, Some(at)) = (migration.state, migration.completed_at)
            {
                let since = Duration::try_from(now.duration_since(at)).unwrap_or_default();
                summed.oldest_unfinished = summed.oldest_unfinished.max(since);
            }
            let reached = Reached {
                state: migration.state,
                copied: migration.progress.copied,
                read_back: migration.progress.read_back.position,
            };
            let before = self.0.get(&migration.id).filter(|(before, _)| *before == reached);
            let since = match before {
                Some((_, since)) if goes_on_by_itself(migration) => *since,
                _ => seen,
            };
            summed.without_progress = summed.without_progress.max(seen - since);
            reached_now.insert(migration.id, (reached, since));
        }
        self.0 = reached_now;
        summed
    }
}

/// Whether a move that stands still is one that does not get on, and not one that waits for somebody.
fn goes_on_by_itself(migration: &Migration) -> bool {
    match migration.state {
        MigrationState::Pending
        | MigrationState::BulkCopy
        | MigrationState::CutoverPaused
        | MigrationState::RolledBack => true,
        MigrationState::DualWrite => {
            migration.progress.lag() > 0 || migration.journal.wish.is_some()
        }
        MigrationState::Migrated | MigrationState::Failed | MigrationState::Paused => false,
    }
}

impl Summed {
    fn tell(&self) {
        for state in MigrationState::ALL {
            let count = self.by_state.get(&state).copied().unwrap_or_default();
            gauge!(ACTIVE, "state" => state.as_str()).set(f64::from(count));
        }
        gauge!(OBSTRUCTED).set(f64::from(self.obstructed));
        gauge!(WITHOUT_PROGRESS).set(self.without_progress.as_secs_f64());
        gauge!(LAG).set(self.lag as f64);
        gauge!(UNFINISHED).set(self.oldest_unfinished.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use segue_core::ids::TenantId;
    use segue_core::tenancy::migration::{Journal, MigrationConfig, Progress};
    use uuid::Uuid;

    use super::*;

    const NOON: &str = "2026-11-27T12:00:00Z";

    fn noon() -> Timestamp {
        NOON.parse().unwrap()
    }

    fn migration(number: u128, state: MigrationState, copied: u64, total: u64) -> Migration {
        Migration {
            id: MigrationId(Uuid::from_u128(number)),
            tenant_id: TenantId(Uuid::from_u128(number)),
            source: "shared".parse().unwrap(),
            target: "dedicated".parse().unwrap(),
            state,
            is_active: true,
            reverses: None,
            created_by: "olga".to_owned(),
            created_at: noon(),
            started_at: None,
            completed_at: None,
            config: MigrationConfig::default(),
            journal: Journal::default(),
            coordinator: None,
            beats: 0,
            progress: Progress {
                copied: Position(copied),
                total: Position(total),
                ..Progress::default()
            },
        }
    }

    fn without_progress(rounds: [Migration; 2]) -> u64 {
        let (mut known, begun) = (Known::default(), Instant::now());
        let [first, then] = rounds;
        known.summed(&[first], begun, noon());
        let summed = known.summed(&[then], begun + Duration::from_secs(60), noon());
        summed.without_progress.as_secs()
    }

    #[test]
    fn a_copy_that_stands_still_is_without_progress_until_it_goes_on() {
        let at = |copied| migration(1, MigrationState::BulkCopy, copied, 100);
        assert_eq!(without_progress([at(7), at(7)]), 60);
        assert_eq!(without_progress([at(7), at(8)]), 0);
    }

    #[test]
    fn a_move_that_waits_for_somebody_is_not_without_progress() {
        for state in [
            MigrationState::Paused,
            MigrationState::Failed,
            MigrationState::Migrated,
            MigrationState::DualWrite,
        ] {
            let waiting = migration(1, state, 100, 100);
            assert_eq!(without_progress([waiting.clone(), waiting]), 0, "{state}");
        }
        let behind = migration(1, MigrationState::DualWrite, 90, 100);
        assert_eq!(without_progress([behind.clone(), behind]), 60, "one that is behind is");
    }

    #[test]
    fn moves_are_summed_by_the_one_that_is_worst() {
        let mut moved = migration(1, MigrationState::Migrated, 9, 9);
        moved.completed_at = Some("2026-11-26T12:00:00Z".parse().unwrap());
        let follows = |number, copied| migration(number, MigrationState::DualWrite, copied, 100);
        let mut uncounted = follows(5, 0);
        uncounted.config.enable_metrics = false;
        let active = [moved, follows(2, 60), follows(3, 95), uncounted];
        let summed = Known::default().summed(&active, Instant::now(), noon());
        assert_eq!(summed.by_state[&MigrationState::DualWrite], 2);
        assert_eq!((summed.lag, summed.oldest_unfinished.as_secs()), (40, 24 * 60 * 60));
    }
}
