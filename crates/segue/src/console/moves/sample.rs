//! Sample data of moves, for tests of every page that shows one: each state, each awkward text.

use jiff::{SignedDuration, Timestamp};
use segue_core::ids::{Epoch, MigrationId, Position, Term};
use segue_core::tenancy::migration::journal::{Cutover, Obstacle, SubscriptionMigration, Verified};
use segue_core::tenancy::migration::{
    Copying, MigrationConfig, MigrationState, Stage, VerificationLevel, Why,
};
use segue_store::control::audit::{Action, Entry, Subject};
use serde_json::{Value, json};

use crate::console::check;
use crate::tenants::migration::CutoverView;
use crate::tenants::{Migration, Moment, TenantState, TenantView};

/// A moment, some seconds after the samples begin.
pub fn at(second: i64) -> Timestamp {
    let begin: Timestamp = "2026-11-27T09:45:12Z".parse().unwrap();
    begin + SignedDuration::from_secs(second)
}

/// The id of the moves.
pub fn id() -> MigrationId {
    "01936a5e-7c1e-7b3a-9d55-2f6e1c0a9b42".parse().unwrap()
}

/// A move in a state, about which something may still be done.
pub fn migration(state: MigrationState) -> Migration {
    let is_over = matches!(state, MigrationState::Migrated | MigrationState::RolledBack);
    let copied = if is_over { 1_234_567 } else { 512_000 };
    Migration {
        id: id(),
        tenant_id: check::tenant(),
        source_store_id: "shared".parse().unwrap(),
        target_store_id: "dedicated".parse().unwrap(),
        state,
        progress_percentage: copied as f64 / 12_345.67,
        events_copied: copied,
        total_events: 1_234_567,
        sync_lag: 1_234_567 - copied,
        events_read_back: 500_000,
        events_per_second: 18_300.0,
        eta_seconds: Some(39.5),
        error_message: None,
        error: None,
        created_by: "olga <script>".to_owned(),
        created_at: at(0),
        started_at: Some(at(1)),
        completed_at: is_over.then(|| at(500)),
        is_active: true,
        coordinator: Some(id().0),
        reverses: None,
        cutover: CutoverView { requested: false, attempts: 0, pause_ms: None, history: Vec::new() },
        verification: None,
        subscriptions: None,
        abort_reason: None,
        config: MigrationConfig::default(),
    }
}

/// A move with everything that a page can show of it.
pub fn full(state: MigrationState) -> Migration {
    let cutover = |attempt, gave_up, pause_ms| Cutover {
        attempt,
        began_at: at(400),
        gave_up,
        pause_ms,
        events_drained: 37,
    };
    let history = vec![
        cutover(1, Some(Why::Timeout), Some(5_004.0)),
        cutover(2, Some(Why::Inconsistent), None),
        cutover(3, None, Some(12.3)),
    ];
    Migration {
        cutover: CutoverView { requested: false, attempts: 3, pause_ms: Some(12.3), history },
        verification: Some(Verified {
            level: VerificationLevel::Full,
            sample_percentage: 25.0,
            position: Position(512_000),
            is_consistent: false,
            violations: vec!["event 17 <script> differs".to_owned()],
            at: at(300),
        }),
        error: Some(Obstacle {
            message: "store `dedicated` <script> does not answer".to_owned(),
            recoverable: true,
            suggested_action: Some("look at the store <script>".to_owned()),
            at: at(200),
        }),
        reverses: Some(id()),
        ..migration(state)
    }
}

/// One of each state, and of each way to be over.
pub fn of_every_state() -> Vec<Migration> {
    let mut all: Vec<Migration> = MigrationState::ALL.into_iter().map(migration).collect();
    let finished = full(MigrationState::Migrated);
    all.push(Migration { is_active: false, ..finished });
    all.push(Migration { is_active: false, ..migration(MigrationState::RolledBack) });
    all
}

/// Every stage that a route can say.
pub fn stages() -> Vec<(MigrationState, Stage)> {
    use segue_core::tenancy::migration::Afterwards;
    let mark = segue_core::digest::Mark::START;
    let stages = vec![
        Stage::Pending,
        Stage::BulkCopy,
        Stage::DualWrite,
        Stage::Paused { from: Copying::BulkCopy },
        Stage::Paused { from: Copying::DualWrite },
        Stage::Failed { from: Copying::Pending },
        Stage::Failed { from: Copying::DualWrite },
        Stage::CutoverPaused { next: Epoch(2), decided: Term(9), since: at(590) },
        Stage::Reopening { then: Afterwards::DualWrite, since: at(590) },
        Stage::Reopening { then: Afterwards::RollBack, since: at(590) },
        Stage::RollingBack,
        Stage::Migrated { at: mark },
        Stage::Finishing { at: mark, purge_at: at(90_000) },
    ];
    stages.into_iter().map(|stage| (MigrationState::from(&stage), stage)).collect()
}

/// A course of some minutes.
pub fn moments() -> Vec<Moment> {
    (0..120)
        .map(|second| Moment {
            at: at(second),
            state: MigrationState::BulkCopy,
            copied: u64::try_from(second).unwrap() * 9_000,
            total: 1_234_567,
            events_per_second: 9_000.0,
        })
        .collect()
}

/// A subscription that goes to the same place, and one that goes before it.
pub fn subscriptions() -> Vec<SubscriptionMigration> {
    let one = |name: &str, is_exact| SubscriptionMigration {
        subscription_name: name.parse().unwrap(),
        current_position: Position(1_000),
        planned_target_position: Position(if is_exact { 1_000 } else { 990 }),
        is_exact,
        lag: 234,
    };
    vec![one("billing", true), one("search", false)]
}

/// Decisions of an operator and of a process.
pub fn decisions() -> Vec<Entry> {
    let entry = |actor: &str, action, details: Value| Entry {
        at: at(10),
        actor: actor.to_owned(),
        action,
        subject: Subject::Migration,
        subject_id: id().to_string(),
        details,
    };
    vec![
        entry(
            "olga <script>",
            Action::MigrationStarted,
            json!({ "to": "<script>", "term": 1, "tenant_id": "7", "config": { "batch_size": 5, "rate": null } }),
        ),
        entry(
            &format!("segue {}", id()),
            Action::MigrationVerified,
            json!({ "is_consistent": true }),
        ),
        entry("omar", Action::MigrationPaused, Value::Null),
    ]
}

/// A tenant in a state.
pub fn tenant(state: TenantState) -> TenantView {
    TenantView {
        tenant_id: check::tenant(),
        store_id: "shared".parse().unwrap(),
        epoch: Epoch(3),
        state,
        position: Some(Position(1_234_567)),
        digest: Some(segue_core::digest::Digest::EMPTY),
        migration_id: Some(id()),
        placed_at: at(-90_000),
        explanation: "lives in store `shared` at epoch 3; reads and writes go on\nmigration <script>: \
                      store `dedicated` follows it closely\nnext: the cutover, as soon as it is asked for"
            .to_owned(),
    }
}

/// Tenants of several kinds, one of which nobody can tell much about.
pub fn tenants() -> Vec<TenantView> {
    let silent = TenantView {
        position: None,
        digest: None,
        migration_id: None,
        ..tenant(TenantState::Normal)
    };
    vec![tenant(TenantState::DualWrite), tenant(TenantState::Paused), silent]
}
