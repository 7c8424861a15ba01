//! Moves of tenants: that a decision is whole, made once, and told the same in both rows.

use segue_core::digest::{Digest, Mark};
use segue_core::ids::{Epoch, MigrationId, Position, StoreId, SubscriptionName, TenantId, Term};
use segue_core::tenancy::migration::journal::{Cutover, Wish};
use segue_core::tenancy::migration::{
    Decision, Entry, FailureStats, MigrationConfig, MigrationState, Progress, Stage, Why,
};
use uuid::Uuid;

use super::Database;
use super::world::{World, at, new_store, olga};
use crate::control::audit::{self, Action, Subject};
use crate::control::migrations::{Decided, Filter, Migration};
use crate::control::routing::{PhaseChange, Route};
use crate::control::{Conflict, Error, Noun, Page};
use segue_core::tenancy::Phase;

/// A tenant that is to move.
struct Move {
    world: World,
    source: StoreId,
    target: StoreId,
    id: MigrationId,
}

impl Move {
    async fn placed(database: &dyn Database) -> Self {
        let world = World::empty(database).await;
        let (source, target) = (new_store(), new_store());
        world.control.place(world.tenant, &source, &olga(0)).await.unwrap();
        Self { world, source, target, id: MigrationId(Uuid::now_v7()) }
    }

    async fn started(database: &dyn Database) -> Self {
        let it = Self::placed(database).await;
        it.decide(it.start(it.id), 1).await.unwrap();
        it
    }

    fn start(&self, migration: MigrationId) -> Decision {
        Decision::Start { migration, target: self.target.clone() }
    }

    async fn route(&self) -> Route {
        self.world.control.route(self.world.tenant).await.unwrap().unwrap()
    }

    /// Decides on the route as it is.
    async fn decide(&self, decision: Decision, second: i64) -> Result<(Route, Migration), Error> {
        let decided = Decided::new(self.route().await.term, decision);
        self.put(decided, second).await
    }

    async fn put(&self, decided: Decided, second: i64) -> Result<(Route, Migration), Error> {
        self.world.control.decide_migration(self.world.tenant, decided, &olga(second)).await
    }

    /// Decides one after the other.
    async fn through(&self, decisions: impl IntoIterator<Item = Decision>) {
        for decision in decisions {
            self.decide(decision, 2).await.unwrap();
        }
    }

    async fn read(&self) -> Migration {
        self.world.control.migration(self.id).await.unwrap()
    }
}

fn end() -> Mark {
    Mark { position: Position(40), digest: Digest([7; 32]) }
}

/// From the wish to the purge, both rows and the audit tell the same.
pub async fn a_move_is_decided_step_by_step(database: &dyn Database) {
    let it = Move::placed(database).await;
    let config = MigrationConfig { batch_size: 7, ..MigrationConfig::default() };
    let mut start = Decided::new(Term(0), it.start(it.id));
    start.config = Some(config.clone());
    let (route, migration) = it.put(start, 1).await.unwrap();
    assert_eq!((route.term, route.epoch, &route.store_id), (Term(1), Epoch(1), &it.source));
    assert_eq!((migration.state, migration.is_active), (MigrationState::Pending, true));
    assert_eq!((&migration.source, &migration.target), (&it.source, &it.target));
    assert_eq!((migration.created_by.as_str(), migration.created_at), ("olga", at(1)));
    assert_eq!((&migration.config, migration.started_at), (&config, None));

    it.through([Decision::BeginCopy, Decision::BeginDualWrite]).await;
    assert_eq!(it.read().await.started_at, Some(at(2)));
    let (route, migration) = it.decide(Decision::CutOver, 3).await.unwrap();
    assert_eq!((migration.state, route.minted), (MigrationState::CutoverPaused, Epoch(2)));
    assert!(route.holds_writes());
    let (route, migration) = it.decide(Decision::Commit { at: end() }, 4).await.unwrap();
    assert_eq!((&route.store_id, route.epoch), (&it.target, Epoch(2)));
    assert_eq!((migration.state, migration.completed_at), (MigrationState::Migrated, Some(at(4))));
    assert!(migration.is_active, "the old source has a copy yet");
    it.decide(Decision::Finish { purge_at: at(9) }, 5).await.unwrap();
    let (route, migration) = it.decide(Decision::Finished, 6).await.unwrap();
    assert_eq!((route.moving.clone(), migration.is_active), (None, false));
    assert_eq!((migration.state, migration.completed_at), (MigrationState::Migrated, Some(at(4))));

    assert_eq!(it.read().await, migration);
    let other = database.open().await;
    assert_eq!(other.route(it.world.tenant).await.unwrap(), Some(route.clone()));
    let standing = other.standing(it.world.tenant, it.world.scenario).await.unwrap();
    assert_eq!(standing.route, Some(route));
    let lines = audit::Filter { subjects: vec![Subject::Migration], ..audit::Filter::default() };
    let lines = other.list_audit(it.world.tenant, &lines, Page::first(20)).await.unwrap().items;
    assert!(lines.iter().all(|line| line.subject_id == it.id.to_string()));
    let told: Vec<_> = lines.into_iter().rev().map(|line| line.action).collect();
    let expected = [
        Action::MigrationStarted,
        Action::BulkCopyBegun,
        Action::DualWriteBegun,
        Action::CutoverBegun,
        Action::TenantMigrated,
        Action::MigrationFinished,
        Action::SourcePurged,
    ];
    assert_eq!(told, expected);
}

/// What was decided on something older is refused, also where it would have fitted.
pub async fn a_move_is_decided_on_the_present_term_only(database: &dyn Database) {
    let it = Move::started(database).await;
    let stale = it.put(Decided::new(Term(0), Decision::BeginCopy), 2).await;
    assert!(matches!(stale, Err(Error::Conflict(Conflict::Route(Term(1))))), "{stale:?}");
    let pause = PhaseChange { expected: Term(1), phase: Phase::Paused { since: at(2) } };
    it.world.control.change_phase(it.world.tenant, pause, &olga(2)).await.unwrap();
    let stale = it.put(Decided::new(Term(1), Decision::BeginCopy), 3).await;
    assert!(matches!(stale, Err(Error::Conflict(Conflict::Route(Term(2))))), "{stale:?}");
    let (route, migration) = it.decide(Decision::BeginCopy, 3).await.unwrap();
    assert_eq!(route.phase, Phase::Paused { since: at(2) }, "a pause goes on beside a move");
    assert_eq!((route.term, migration.state), (Term(3), MigrationState::BulkCopy));
    assert_eq!(it.read().await.started_at, Some(at(3)));
}

/// A step that does not follow leaves no trace, nor does one for a stranger.
pub async fn a_decision_that_does_not_fit_changes_nothing(database: &dyn Database) {
    let it = Move::placed(database).await;
    let before = it.route().await;
    let early = it.decide(Decision::CutOver, 1).await;
    assert!(matches!(early, Err(Error::Transition(_))), "{early:?}");
    let home = Decision::Start { migration: it.id, target: it.source.clone() };
    assert!(matches!(it.decide(home, 1).await, Err(Error::Transition(_))), "it lives there");
    assert_eq!(it.route().await, before);
    assert!(matches!(it.world.control.migration(it.id).await, Err(Error::NotFound(_))));
    let stranger = TenantId(Uuid::new_v4());
    let start = Decided::new(Term(0), it.start(it.id));
    let nowhere = it.world.control.decide_migration(stranger, start, &olga(1)).await;
    assert!(matches!(nowhere, Err(Error::NotFound(Noun::Tenant))), "{nowhere:?}");
    let all = audit::Filter::default();
    let lines = it.world.control.list_audit(it.world.tenant, &all, Page::first(9)).await.unwrap();
    assert_eq!(lines.total, 1, "that it was placed");
}

/// The database keeps a tenant from moving to two places.
pub async fn a_tenant_has_one_active_migration(database: &dyn Database) {
    let it = Move::placed(database).await;
    let race = (0..8).map(|racer| {
        let (control, tenant) = (it.world.control.clone(), it.world.tenant);
        let start = Decided::new(Term(0), it.start(MigrationId(Uuid::now_v7())));
        tokio::spawn(async move { control.decide_migration(tenant, start, &olga(racer)).await })
    });
    let mut won = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok((_, migration)) => won.push(migration),
            Err(error) => {
                assert!(matches!(error, Error::Conflict(Conflict::Route(Term(1)))), "{error:?}");
            }
        }
    }
    assert_eq!(won.len(), 1);
    let second = it.decide(it.start(MigrationId(Uuid::now_v7())), 2).await;
    assert!(matches!(second, Err(Error::Transition(_))), "{second:?}");
    it.decide(Decision::Abort, 3).await.unwrap();
    let again = it.decide(it.start(won[0].id), 4).await;
    assert!(matches!(again, Err(Error::Exists(Noun::Migration))), "{again:?}");
    it.decide(it.start(MigrationId(Uuid::now_v7())), 5).await.unwrap();
}

/// Given up, the source has a new epoch; aborted, the move is over when the target is empty.
pub async fn a_cutover_is_given_up_and_a_move_rolled_back(database: &dyn Database) {
    let it = Move::started(database).await;
    let steps = [Decision::BeginCopy, Decision::BeginDualWrite, Decision::CutOver];
    it.through(steps).await;
    let cutover = Cutover {
        attempt: 1,
        began_at: at(2),
        gave_up: Some(Why::Timeout),
        pause_ms: Some(12.5),
        events_drained: 3,
    };
    let term = it.route().await.term;
    let give_up = Decided::new(term, Decision::GiveUp { why: Why::Timeout })
        .with(Entry::CutOver(cutover.clone()));
    let (route, migration) = it.put(give_up, 3).await.unwrap();
    assert_eq!((route.epoch, route.minted, &route.store_id), (Epoch(3), Epoch(3), &it.source));
    assert!(route.holds_writes(), "until the source is open again");
    assert_eq!(migration.journal.cutovers, [cutover]);
    let (route, migration) = it.decide(Decision::Reopened, 4).await.unwrap();
    assert!(!route.holds_writes());
    assert_eq!((migration.state, migration.completed_at), (MigrationState::DualWrite, None));

    let abort = Decided::new(route.term, Decision::Abort).with(Entry::Aborted("no more".into()));
    let (route, migration) = it.put(abort, 5).await.unwrap();
    assert!(matches!(route.moving.unwrap().stage, Stage::RollingBack));
    assert_eq!((migration.state, migration.is_active), (MigrationState::RolledBack, true));
    assert_eq!(migration.completed_at, Some(at(5)));
    let (route, migration) = it.decide(Decision::RolledBack, 6).await.unwrap();
    assert_eq!((route.moving, migration.is_active), (None, false));
    assert_eq!(migration.completed_at, Some(at(5)));
    assert_eq!(migration.journal.abort_reason.as_deref(), Some("no more"));
}

/// On either side of the commit, with who did it; the migration stays what it was.
pub async fn a_copy_is_given_up_where_only_its_purge_is_left(database: &dyn Database) {
    let aborted = Move::started(database).await;
    aborted.through([Decision::BeginCopy, Decision::Abort]).await;
    let finished = Move::started(database).await;
    finished.through([Decision::BeginCopy, Decision::BeginDualWrite, Decision::CutOver]).await;
    finished.through([Decision::Commit { at: end() }]).await;
    let early = finished.decide(Decision::Abandon, 3).await;
    assert!(matches!(early, Err(Error::Transition(_))), "there is a way back: {early:?}");
    finished.through([Decision::Finish { purge_at: at(9) }]).await;
    for (it, state) in [(aborted, MigrationState::RolledBack), (finished, MigrationState::Migrated)]
    {
        let (route, migration) = it.decide(Decision::Abandon, 4).await.unwrap();
        assert_eq!(route.moving, None);
        assert_eq!((migration.state, migration.is_active), (state, false));
        let lines = audit::Filter { action: Some(Action::CopyAbandoned), ..Default::default() };
        let lines = it.world.control.list_audit(it.world.tenant, &lines, Page::first(2)).await;
        assert_eq!(lines.unwrap().items.len(), 1);
    }
}

/// In the transaction of the commit, each where it is at that moment.
pub async fn a_commit_takes_subscriptions_along(database: &dyn Database) {
    let it = Move::started(database).await;
    let control = &it.world.control;
    let name = |text: &str| SubscriptionName::new(text).unwrap();
    for (text, after) in [("orders", 0), ("billing", 12)] {
        control
            .put_subscription(it.world.tenant, &name(text), Position(after), &olga(1))
            .await
            .unwrap();
    }
    it.through([Decision::BeginCopy, Decision::BeginDualWrite, Decision::CutOver]).await;
    control.acknowledge(it.world.tenant, &name("orders"), Position(38), at(2)).await.unwrap();
    let (_, migration) = it.decide(Decision::Commit { at: end() }, 3).await.unwrap();
    let taken = migration.journal.subscriptions.unwrap();
    let taken: Vec<_> = taken
        .iter()
        .map(|one| {
            let planned = one.planned_target_position;
            assert_eq!((one.current_position, one.is_exact), (planned, true));
            (one.subscription_name.as_str(), planned.0, one.lag)
        })
        .collect();
    assert_eq!(taken, [("billing", 12, 28), ("orders", 38, 2)]);
}

/// Going back is a move of its own, and the one before has no say any more.
pub async fn a_reverse_is_a_new_migration(database: &dyn Database) {
    let it = Move::started(database).await;
    it.through([Decision::BeginCopy, Decision::BeginDualWrite, Decision::CutOver]).await;
    it.decide(Decision::Commit { at: end() }, 3).await.unwrap();
    let back = MigrationId(Uuid::now_v7());
    let (route, reverse) = it.decide(Decision::Reverse { migration: back }, 4).await.unwrap();
    let moving = route.moving.unwrap();
    assert_eq!((moving.migration, &moving.peer), (back, &it.source));
    assert_eq!((&reverse.source, &reverse.target), (&it.target, &it.source));
    assert_eq!((reverse.reverses, reverse.state), (Some(it.id), MigrationState::BulkCopy));
    assert!(reverse.is_active);
    let first = it.read().await;
    assert_eq!((first.state, first.is_active), (MigrationState::Migrated, false));
    it.through([Decision::BeginDualWrite, Decision::CutOver]).await;
    let (route, _) = it.decide(Decision::Commit { at: end() }, 5).await.unwrap();
    assert_eq!((&route.store_id, route.epoch), (&it.source, Epoch(3)));
}

/// What is wished and found stays, beside whatever is decided; a line is left where it is asked for.
pub async fn notes_are_kept_beside_decisions(database: &dyn Database) {
    let it = Move::started(database).await;
    let control = &it.world.control;
    let wish = Wish { force: true, by: "omar".into(), at: at(2) };
    let entries = vec![Entry::Wished(wish.clone())];
    let action = Some(Action::CutoverRequested);
    let noted = control.note_migration(it.world.tenant, it.id, entries, action, &olga(2)).await;
    assert_eq!(noted.unwrap().journal.wish.as_ref(), Some(&wish));
    let (_, migration) = it.decide(Decision::BeginCopy, 3).await.unwrap();
    assert_eq!(migration.journal.wish, Some(wish));
    let dropped = vec![Entry::WishDropped];
    control.note_migration(it.world.tenant, it.id, dropped, None, &olga(4)).await.unwrap();
    assert_eq!(it.read().await.journal.wish, None);
    let lines = audit::Filter { action, ..audit::Filter::default() };
    let lines = control.list_audit(it.world.tenant, &lines, Page::first(9)).await.unwrap();
    assert_eq!((lines.total, lines.items[0].at), (1, at(2)));
    let other = MigrationId(Uuid::nil());
    let missing = control.note_migration(it.world.tenant, other, Vec::new(), None, &olga(5)).await;
    assert!(matches!(missing, Err(Error::NotFound(Noun::Migration))), "{missing:?}");
}

/// Who was replaced is told so, and tells nothing any more.
pub async fn a_beat_is_taken_from_the_coordinator_only(database: &dyn Database) {
    let it = Move::started(database).await;
    let control = &it.world.control;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let beat = |who, copied| {
        let progress = Progress { copied: Position(copied), ..Progress::default() };
        control.beat(it.world.tenant, it.id, who, progress)
    };
    assert!(!beat(one, 1).await.unwrap(), "nobody carries it on yet");
    for (who, other) in [(one, two), (two, one)] {
        let mut take = Decided::new(it.route().await.term, Decision::TakeOver);
        take.coordinator = Some(who);
        let (_, migration) = it.put(take, 2).await.unwrap();
        assert_eq!(migration.coordinator, Some(who));
        assert!(beat(who, 5).await.unwrap());
        assert!(!beat(other, 9).await.unwrap());
        let read = it.read().await;
        assert_eq!(read.beats, migration.beats + 1);
        assert_eq!(read.progress.copied, Position(5));
    }
    let (_, migration) = it.decide(Decision::BeginCopy, 3).await.unwrap();
    assert_eq!(migration.coordinator, Some(two), "a decision leaves who carries it on");
    assert_eq!(migration.progress.copied, Position(5));
}

/// For operators, across tenants.
pub async fn migrations_list_newest_first(database: &dyn Database) {
    let one = Move::placed(database).await;
    let mut ids = Vec::new();
    for second in 1..=3 {
        let id = MigrationId(Uuid::now_v7());
        one.decide(one.start(id), second).await.unwrap();
        one.decide(Decision::Abort, second).await.unwrap();
        ids.insert(0, id);
    }
    let active = MigrationId(Uuid::now_v7());
    one.decide(one.start(active), 4).await.unwrap();
    ids.insert(0, active);
    let tenant = Some(one.world.tenant);
    let of = Filter { tenant, ..Filter::default() };
    let control = &one.world.control;
    let first = control.list_migrations(&of, Page::first(2)).await.unwrap();
    let page = Page { limit: 2, after: first.next };
    let second = control.list_migrations(&of, page).await.unwrap();
    let found: Vec<_> = first.items.iter().chain(&second.items).map(|one| one.id).collect();
    assert_eq!((found, first.total, second.next), (ids.clone(), 4, None));
    let aborted = Filter { state: Some(MigrationState::RolledBack), ..of.clone() };
    assert_eq!(control.list_migrations(&aborted, Page::first(9)).await.unwrap().total, 3);
    let live = Filter { only_active: true, ..of };
    let live = control.list_migrations(&live, Page::first(9)).await.unwrap();
    assert_eq!(live.items.iter().map(|one| one.id).collect::<Vec<_>>(), [active]);
    let all = Filter { only_active: true, ..Filter::default() };
    let all = control.list_migrations(&all, Page::first(100)).await.unwrap();
    assert!(all.items.iter().any(|one| one.id == active));
}

/// What each process tells replaces what it told before; together they are the sum.
pub async fn failures_of_processes_add_up(database: &dyn Database) {
    let it = Move::started(database).await;
    let control = &it.world.control;
    let nothing = control.failures(it.world.tenant, it.id).await.unwrap();
    assert_eq!(nothing, FailureStats::default());
    let stats = |failures, second| FailureStats {
        total_failures: failures,
        total_events_failed: 2 * failures,
        first_failure_at: Some(at(second)),
        last_failure_at: Some(at(second + 1)),
        unique_aggregates_affected: 1,
    };
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    for (process, failures, second) in [(one, 1, 5), (one, 3, 5), (two, 4, 2)] {
        let stats = stats(failures, second);
        control.report_failures(it.world.tenant, it.id, process, stats).await.unwrap();
    }
    let sum = control.failures(it.world.tenant, it.id).await.unwrap();
    assert_eq!((sum.total_failures, sum.total_events_failed), (7, 14));
    assert_eq!((sum.first_failure_at, sum.last_failure_at), (Some(at(2)), Some(at(6))));
}

/// Of two who find a store changed, one says so.
pub async fn an_incarnation_is_compared_and_set(database: &dyn Database) {
    let world = World::empty(database).await;
    let (control, store) = (&world.control, new_store());
    assert_eq!(control.incarnation(&store).await.unwrap(), None);
    assert!(control.set_incarnation(&store, None, "1/1").await.unwrap());
    assert!(!control.set_incarnation(&store, None, "1/2").await.unwrap());
    assert!(!control.set_incarnation(&store, Some("1/9"), "1/2").await.unwrap());
    assert!(control.set_incarnation(&store, Some("1/1"), "1/2").await.unwrap());
    let other = database.open().await;
    assert_eq!(other.incarnation(&store).await.unwrap().as_deref(), Some("1/2"));
}

/// Both ends of every move, whatever came of it, and whoever was paused; each tenant once.
pub async fn tenants_that_were_decided_on_are_found_by_store(database: &dyn Database) {
    let mut tenants = Vec::new();
    let (shared, dedicated) = (new_store(), new_store());
    for _ in 0..3 {
        let world = World::empty(database).await;
        world.control.place(world.tenant, &shared, &olga(0)).await.unwrap();
        let id = MigrationId(Uuid::now_v7());
        let it = Move { world, source: shared.clone(), target: dedicated.clone(), id };
        it.decide(it.start(it.id), 1).await.unwrap();
        it.decide(Decision::Abort, 2).await.unwrap();
        it.decide(it.start(MigrationId(Uuid::now_v7())), 3).await.unwrap();
        tenants.push(it.world.tenant);
    }
    let left_alone = World::empty(database).await;
    left_alone.control.place(left_alone.tenant, &shared, &olga(0)).await.unwrap();
    let paused = World::empty(database).await;
    let elsewhere = new_store();
    paused.control.place(paused.tenant, &elsewhere, &olga(0)).await.unwrap();
    let pause = PhaseChange { expected: Term(0), phase: Phase::Paused { since: at(1) } };
    paused.control.change_phase(paused.tenant, pause, &olga(1)).await.unwrap();
    let found = paused.control.tenants_decided_on(&elsewhere, None, 2).await.unwrap();
    assert_eq!(found, [paused.tenant]);
    tenants.sort_unstable();
    let control = database.open().await;
    for store in [&shared, &dedicated] {
        let first = control.tenants_decided_on(store, None, 2).await.unwrap();
        assert_eq!(first, tenants[..2]);
        let rest = control.tenants_decided_on(store, first.last().copied(), 2).await.unwrap();
        assert_eq!(rest, tenants[2..]);
    }
    assert_eq!(control.tenants_decided_on(&new_store(), None, 9).await.unwrap(), []);
}
