//! How a run ends: the faults do, and then everything has to come to rest.

use std::sync::Arc;
use std::time::Duration;

use segue::tenants::coordinator::Outcome;
use segue::tenants::coordinator::verification::Asked;
use segue::tenants::{Migration, Verification};
use segue_core::digest::Mark;
use segue_core::ids::Position;
use segue_core::tenancy::migration::{MigrationState, VerificationLevel};
use segue_store::events::{self, Access, Event, EventStore, LogRead, Mode};
use segue_testing::history::{Linked, check_chain};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::audit;
use super::chance::Chance;
use super::process::Process;
use super::subscriber::Subscriber;
use super::truth::Share;
use super::world::{TENANT, World};
use super::writer::Writer;

/// How long a migration may take to its end when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the first write may take then: a write pause's time-out.
const WRITE: Duration = Duration::from_secs(5);

/// Ends every fault; then everything that anybody was promised must come true.
pub async fn come(
    world: &Arc<World>,
    clients: Vec<JoinHandle<()>>,
    subscribers: &[Arc<Subscriber>],
) {
    let chance = world.chance.fork();
    world.trace.note("the faults end");
    for (place, process) in world.processes().iter().enumerate() {
        process.mend();
        if process.is_dead() {
            world.begin(place);
        }
    }
    let process = world.process(&chance);
    if let Err(error) = process.router.resume_writes(TENANT, &process.by()).await {
        world.trace.wrong(format!("writes cannot be resumed: {error}"));
    }
    writes_go_on(world).await;
    for (nth, client) in clients.into_iter().enumerate() {
        if timeout(PATIENCE, client).await.is_err() {
            world.trace.wrong(format!("client {nth} is not answered any more"));
        }
    }
    end_migration(world, &chance).await;
    writes_go_on(world).await;
    let log = owned(world).await;
    for subscriber in subscribers {
        subscriber.finish(log.len() as u64).await;
    }
    world.truth.check(&log);
    let logged = world.truth.logged(&log);
    subscribers.iter().for_each(|subscriber| subscriber.check(&logged));
    audit::check(world).await;
}

/// A write in each process, at once.
async fn writes_go_on(world: &Arc<World>) {
    for nth in 0..world.processes().len() {
        let begun = Instant::now();
        let mut writer = Writer::at(world, 100 + nth, nth);
        let event = (world.chance.id(), "at rest".to_owned());
        let share = Share {
            stream: "at-rest".to_owned(),
            events: vec![event],
            expected: None,
            has_snapshot: true,
        };
        let is_acknowledged = writer.send(vec![share], 1).await;
        if !is_acknowledged || begun.elapsed() > WRITE {
            let (waited, active) = (begun.elapsed(), world.active().await);
            world.trace.wrong(format!("no write succeeds after {waited:?}: {active:?}"));
        }
    }
}

/// Sees the migration that is under way to its end, if there is one.
async fn end_migration(world: &Arc<World>, chance: &Chance) {
    let begun = Instant::now();
    let aborts = chance.percent(25);
    while begun.elapsed() < PATIENCE {
        let Some(active) = world.active().await else { return };
        let process = world.process(chance);
        match push(world, &process, &active, aborts).await {
            Ok(()) => {}
            Err(error) => world.trace.note(format!("{}: {error}", process.name)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.trace.wrong(format!("a migration does not end: {:?}", world.active().await));
}

/// Asks for what leads a migration to its end.
async fn push(
    world: &Arc<World>,
    process: &Process,
    active: &Migration,
    aborts: bool,
) -> segue::Result<()> {
    let (moves, by, id) = (&process.moves, process.by(), active.id);
    match active.state {
        MigrationState::Migrated => {
            look_at_the_way_back(world, process, active).await?;
            moves.finish(id, true, &by).await?;
        }
        MigrationState::RolledBack | MigrationState::CutoverPaused => {}
        _ if aborts => drop(moves.abort_migration(id, "at rest", &by).await?),
        MigrationState::Failed => {
            world.trace.note(format!("at rest it had failed: {:?}", active.error));
            moves.resume_migration(id, &by).await?;
        }
        MigrationState::Paused => drop(moves.resume_migration(id, &by).await?),
        MigrationState::Pending | MigrationState::BulkCopy => {}
        MigrationState::DualWrite => {
            let patience = Duration::from_secs(30);
            match moves.initiate_cutover(id, false, &by, patience).await? {
                Outcome::Migrated(_) => {}
                Outcome::Standing(standing) => {
                    world.trace.wrong(format!("it does not cut over: {standing:?}"));
                }
            }
        }
    }
    Ok(())
}

/// The old source has everything, or it does not follow.
async fn look_at_the_way_back(
    world: &Arc<World>,
    process: &Process,
    active: &Migration,
) -> segue::Result<()> {
    if !active.config.keep_way_back {
        return Ok(());
    }
    let begun = Instant::now();
    while process.moves.get_sync_lag(active.id).await? > 0 {
        if begun.elapsed() > Duration::from_secs(20) {
            world.trace.wrong("the old source does not follow");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let level = Some(VerificationLevel::Full);
    let asked = Asked { level, sample_percentage: Some(100.0), from: Mark::START };
    let report = process.moves.verify(active.id, asked, &process.by(), |_| ()).await?;
    for violation in report.violations {
        world.trace.wrong(format!("the way back differs: {violation}"));
    }
    Ok(())
}

/// The log of the store that owns the tenant, which must be sound, and the only one.
async fn owned(world: &Arc<World>) -> Vec<Event> {
    let route = world.databases.control.route(TENANT).await.unwrap().unwrap();
    let mut log = Vec::new();
    for (id, store) in &world.databases.stores {
        let head = match store.head(TENANT).await {
            Ok(head) => Some(head),
            Err(events::Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let mode = head.map(|head| head.mode);
        let is_owner = *id == route.store_id;
        let is_as_it_should_be = match mode {
            Some(Mode::Open) if is_owner => head.is_some_and(|head| head.epoch == route.epoch),
            Some(Mode::Tombstone) | None => !is_owner,
            Some(_) => false,
        };
        if !is_as_it_should_be {
            world.trace.wrong(format!("{id} ends with {head:?} under {route:?}"));
        }
        if is_owner {
            log = read(store.as_ref()).await;
            let kept = store.digests(TENANT, Access::Copy, Position(0), 1_000).await.unwrap();
            let linked = log.iter().map(|event| Linked {
                position: event.position,
                first: event.append_first_position,
                entry: event.entry(),
                payload: event.payload.as_deref(),
            });
            let mark = head.map_or(Mark::START, |head| head.mark());
            for wrong in check_chain(linked, &kept, mark) {
                world.trace.wrong(wrong.to_string());
            }
            let verification = Verification {
                store_id: id.clone(),
                store: store.clone(),
                tenant: TENANT,
                access: Access::Copy,
                from: Mark::START,
            };
            let report = verification.run(|_| ()).await.unwrap();
            if !report.is_sound {
                world.trace.wrong(format!("the owner's log is damaged: {report:?}"));
            }
            check_states(world, store.as_ref()).await;
        }
    }
    log
}

async fn check_states(world: &World, store: &dyn EventStore) {
    let floor = world.truth.floor();
    for stream in floor.versions.keys() {
        let id = stream.parse().unwrap();
        let state = store.load(TENANT, Access::Copy, &id).await.unwrap();
        world.truth.loaded("in the end", stream, state.as_ref(), &floor);
    }
}

async fn read(store: &dyn EventStore) -> Vec<Event> {
    let mut log: Vec<Event> = Vec::new();
    loop {
        let after = log.last().map_or(Position(0), |event| event.position);
        let (tenant, access, limit, max_bytes) = (TENANT, Access::Copy, 1_000, usize::MAX);
        let page = store.read_log(LogRead { tenant, access, after, limit, max_bytes }).await;
        let page = page.unwrap();
        if page.events.is_empty() {
            return log;
        }
        log.extend(page.events);
    }
}
