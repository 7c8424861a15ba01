//! The moves of tenants, and the decisions about them.
//!
//! A decision changes the tenant's route, which alone says what stores have to do, and in the same
//! transaction the migration's own row, which says it to people: state, times, what was tried. The core
//! decides what comes of a decision ([`segue_core::tenancy::migration::record`]); an adapter compares the
//! term, writes both rows and the line of the audit, and with a commit what it means for subscriptions.

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::digest::Mark;
use segue_core::ids::{MigrationId, StoreId, TenantId, Term};
use segue_core::tenancy::migration::journal::SubscriptionMigration;
use segue_core::tenancy::migration::{
    Decision, Entry, FailureStats, Journal, MigrationConfig, MigrationState, Progress, Why, record,
};
use serde_json::json;
use uuid::Uuid;

use super::audit::Action;
use super::routing::Route;
use super::subscriptions::Subscription;
use super::{By, Error, Listing, Noun, Page, Result};

/// One move of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    /// Its id.
    pub id: MigrationId,
    /// Whose log.
    pub tenant_id: TenantId,
    /// Where it comes from.
    pub source: StoreId,
    /// Where it goes.
    pub target: StoreId,
    /// How far it is.
    pub state: MigrationState,
    /// Whether the tenant's route is about it: something may still be done. A tenant has one such at most.
    pub is_active: bool,
    /// The migration that this one takes back.
    pub reverses: Option<MigrationId>,
    /// Who wanted it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it began to copy.
    pub started_at: Option<Timestamp>,
    /// When it was decided: migrated, or rolled back.
    pub completed_at: Option<Timestamp>,
    /// How it is made.
    pub config: MigrationConfig,
    /// What was wished, tried and found.
    pub journal: Journal,
    /// The process that carries it on.
    pub coordinator: Option<Uuid>,
    /// Grows while that process is alive.
    pub beats: u64,
    /// How far it has come, as that process last told.
    pub progress: Progress,
}

/// A decision, made only if nothing was decided about the tenant since the term it was made on.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The term that the route must have; the decision makes it one greater.
    pub expected: Term,
    /// What is decided.
    pub decision: Decision,
    /// The settings of a migration that is started.
    pub config: Option<MigrationConfig>,
    /// The process that carries it on from now on; nothing leaves the one that does.
    pub coordinator: Option<Uuid>,
    /// What to keep with it.
    pub entries: Vec<Entry>,
}

impl Decided {
    /// A decision and nothing else.
    #[must_use]
    pub fn new(expected: Term, decision: Decision) -> Self {
        Self { expected, decision, config: None, coordinator: None, entries: Vec::new() }
    }

    /// Keeps something with it.
    #[must_use]
    pub fn with(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }
}

/// Which migrations are wanted; nothing means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only those in this state.
    pub state: Option<MigrationState>,
    /// Only those about which something may still be done.
    pub only_active: bool,
}

/// Keeps the moves.
#[async_trait]
pub trait Migrations: Send + Sync {
    /// Decides about a tenant's move, by compare-and-swap on the route's term, and answers with the route
    /// and the migration after it.
    ///
    /// # Errors
    /// [`Error::Conflict`] at another term; [`Error::Transition`] when it does not fit what was decided;
    /// [`Error::NotFound`] for a tenant that was never placed; [`Error::Exists`] for an id that is taken.
    async fn decide_migration(
        &self,
        tenant: TenantId,
        decided: Decided,
        by: &By,
    ) -> Result<(Route, Migration)>;

    /// Keeps something about a migration, with a line in the audit where an action is named.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn note_migration(
        &self,
        tenant: TenantId,
        id: MigrationId,
        entries: Vec<Entry>,
        action: Option<Action>,
        by: &By,
    ) -> Result<Migration>;

    /// Tells that the process that carries a migration on is alive, and how far it has come. Answers
    /// whether it still is the one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn beat(
        &self,
        tenant: TenantId,
        id: MigrationId,
        coordinator: Uuid,
        progress: Progress,
    ) -> Result<bool>;

    /// Reads a migration, whosever it is: for operators.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn migration(&self, id: MigrationId) -> Result<Migration>;

    /// Lists migrations, the newest first: for operators, and for those who carry them on.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn list_migrations(&self, filter: &Filter, page: Page) -> Result<Listing<Migration>>;

    /// Keeps what one process has failed to write to a target, in all so far.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn report_failures(
        &self,
        tenant: TenantId,
        id: MigrationId,
        process: Uuid,
        stats: FailureStats,
    ) -> Result<()>;

    /// What all processes have failed to write to a target.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn failures(&self, tenant: TenantId, id: MigrationId) -> Result<FailureStats>;

    /// Which database a store was when it was last looked at; nothing if it never was.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn incarnation(&self, store: &StoreId) -> Result<Option<String>>;

    /// Keeps which database a store is, if it is still known as `before`. Answers whether it was.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn set_incarnation(
        &self,
        store: &StoreId,
        before: Option<&str>,
        now: &str,
    ) -> Result<bool>;

    /// Tenants about whose head in a store something was decided after their placing, by id, from the one
    /// after `after` on: those that a migration was about to take from or to it, and those that live in it
    /// and were paused or moved at any time. The others have the head that their placing has opened.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn tenants_decided_on(
        &self,
        store: &StoreId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>>;
}

/// Everything that a decision changes.
#[derive(Debug)]
pub(super) struct Change {
    /// The route after it.
    pub(super) route: Route,
    /// The migration that it is about.
    pub(super) migration: Migration,
    /// The migration that was active before and is no longer, where it is another one.
    pub(super) ended: Option<Migration>,
    /// The line of the audit.
    pub(super) action: Action,
    /// Who, and what explains it.
    pub(super) by: By,
}

/// What a decision comes to. `present` is the migration that the route is about; `subscriptions` are the
/// tenant's, needed for a commit only.
pub(super) fn change(
    tenant: TenantId,
    before: &Route,
    present: Option<Migration>,
    decided: &Decided,
    subscriptions: &[Subscription],
    by: &By,
) -> Result<Change> {
    let route = record(before, &decided.decision, by.at).map_err(Error::Transition)?;
    let (mut migration, ended) = match &decided.decision {
        Decision::Start { migration, target } => {
            let config = decided.config.clone().unwrap_or_default();
            let (source, target) = (before.store_id.clone(), target.clone());
            (begun(*migration, tenant, (source, target), config, by), None)
        }
        Decision::Reverse { migration } => {
            let over = present.ok_or(Error::NotFound(Noun::Migration))?;
            let ends = (over.target.clone(), over.source.clone());
            let config = decided.config.clone().unwrap_or_else(|| over.config.clone());
            let mut back = begun(*migration, tenant, ends, config, by);
            (back.reverses, back.started_at) = (Some(over.id), Some(by.at));
            (back, Some(Migration { is_active: false, ..over }))
        }
        Decision::TakeOver
        | Decision::BeginCopy
        | Decision::BeginDualWrite
        | Decision::Pause
        | Decision::Resume
        | Decision::Fail
        | Decision::CutOver
        | Decision::Commit { .. }
        | Decision::GiveUp { .. }
        | Decision::Reopened
        | Decision::Abort
        | Decision::RolledBack
        | Decision::Finish { .. }
        | Decision::Finished
        | Decision::Abandon => (present.ok_or(Error::NotFound(Noun::Migration))?, None),
    };
    for entry in &decided.entries {
        migration.journal.enter(entry.clone());
    }
    if decided.coordinator.is_some() {
        migration.coordinator = decided.coordinator;
    }
    settle(&mut migration, &route, &decided.decision, by.at);
    if let Decision::Commit { at } = &decided.decision {
        let taken_along = subscriptions.iter().map(|subscription| taken_along(subscription, at));
        migration.journal.enter(Entry::Subscriptions(taken_along.collect()));
        migration.journal.enter(Entry::WishDropped);
    }
    let (action, by) = (action(&decided.decision), explained(by, &migration, &route, decided));
    Ok(Change { route, migration, ended, action, by })
}

fn begun(
    id: MigrationId,
    tenant_id: TenantId,
    (source, target): (StoreId, StoreId),
    config: MigrationConfig,
    by: &By,
) -> Migration {
    Migration {
        id,
        tenant_id,
        source,
        target,
        state: MigrationState::Pending,
        is_active: true,
        reverses: None,
        created_by: by.actor.clone(),
        created_at: by.at,
        started_at: None,
        completed_at: None,
        config,
        journal: Journal::default(),
        coordinator: None,
        beats: 0,
        progress: Progress::default(),
    }
}

/// State and times, as the route has them.
fn settle(migration: &mut Migration, route: &Route, decision: &Decision, at: Timestamp) {
    let moving = route.moving.as_ref().filter(|moving| moving.migration == migration.id);
    migration.is_active = moving.is_some();
    migration.state = match (moving, decision) {
        (Some(moving), _) => MigrationState::from(&moving.stage),
        (None, Decision::Finished) => MigrationState::Migrated,
        (None, Decision::Abandon) => migration.state,
        // An abort before anything was copied, or the end of a roll-back.
        (None, _) => MigrationState::RolledBack,
    };
    match decision {
        Decision::BeginCopy => {
            migration.started_at.get_or_insert(at);
        }
        Decision::Commit { .. } => migration.completed_at = Some(at),
        _ if migration.state == MigrationState::RolledBack => {
            migration.completed_at.get_or_insert(at);
        }
        _ => {}
    }
}

fn taken_along(subscription: &Subscription, at: &Mark) -> SubscriptionMigration {
    SubscriptionMigration {
        subscription_name: subscription.name.clone(),
        current_position: subscription.position,
        planned_target_position: subscription.position,
        is_exact: true,
        lag: at.position.0.saturating_sub(subscription.position.0),
    }
}

fn action(decision: &Decision) -> Action {
    match decision {
        Decision::Start { .. } => Action::MigrationStarted,
        Decision::TakeOver => Action::MigrationTakenOver,
        Decision::BeginCopy => Action::BulkCopyBegun,
        Decision::BeginDualWrite => Action::DualWriteBegun,
        Decision::Pause => Action::MigrationPaused,
        Decision::Resume => Action::MigrationResumed,
        Decision::Fail => Action::MigrationFailed,
        Decision::CutOver => Action::CutoverBegun,
        Decision::Commit { .. } => Action::TenantMigrated,
        Decision::GiveUp { .. } => Action::CutoverGivenUp,
        Decision::Reopened => Action::WritesReopened,
        Decision::Abort => Action::MigrationAborted,
        Decision::RolledBack => Action::MigrationRolledBack,
        Decision::Reverse { .. } => Action::MigrationReversed,
        Decision::Finish { .. } => Action::MigrationFinished,
        Decision::Finished => Action::SourcePurged,
        Decision::Abandon => Action::CopyAbandoned,
    }
}

/// The line of the audit: which way, at which term and epoch, and what is particular to the decision.
fn explained(by: &By, migration: &Migration, route: &Route, decided: &Decided) -> By {
    let by = by
        .with("tenant_id", migration.tenant_id.to_string())
        .with("source_store_id", migration.source.as_str())
        .with("target_store_id", migration.target.as_str())
        .with("term", route.term.0)
        .with("epoch", route.epoch.0);
    match &decided.decision {
        Decision::Commit { at } => {
            by.with("position", at.position.0).with("digest", at.digest.to_string())
        }
        Decision::GiveUp { why } => by.with("why", Why::as_str(*why)),
        Decision::Start { .. } => by.with("config", json!(migration.config)),
        Decision::TakeOver => by.with("coordinator", decided.coordinator.map(|id| id.to_string())),
        Decision::Reverse { .. } => {
            by.with("reverses", migration.reverses.map(|id| id.to_string()))
        }
        Decision::Finish { purge_at } => by.with("purge_at", purge_at.to_string()),
        Decision::Abort => by.with("reason", migration.journal.abort_reason.clone()),
        Decision::Fail => {
            let obstacle = migration.journal.error.as_ref();
            by.with("error", obstacle.map(|obstacle| obstacle.message.clone()))
        }
        Decision::BeginCopy
        | Decision::BeginDualWrite
        | Decision::Pause
        | Decision::Resume
        | Decision::CutOver
        | Decision::Reopened
        | Decision::RolledBack
        | Decision::Finished
        | Decision::Abandon => by,
    }
}
