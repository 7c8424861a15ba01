//! Random histories, played to a store and to memory side by side.

use std::fmt::Debug;

use segue_core::ids::{
    Epoch, Position, ScenarioId, StepId, StreamId, StreamVersion, TenantId, Term, Version,
};
use uuid::Uuid;

use super::{World, at, event, stream};
use crate::dice::Dice;
use crate::events::{
    Append, CountBy, CountQuery, Counting, Direction, EventStore, Expected, Facets, Filter,
    HeadSwap, LogRead, MemoryEventStore, Mode, Redact, Result, Snapshot, SnapshotQuery,
    StreamAppend, StreamRead,
};

/// One thing that is done to a store or asked of it.
#[derive(Debug, Clone)]
pub enum Step {
    /// Append a group.
    Append(Append),
    /// Erase a stream.
    Redact(Redact),
    /// Change the head.
    Swap(HeadSwap),
    /// Open the tenant again.
    Open(Epoch),
    /// Load streams.
    Load(Vec<StreamId>),
    /// Read a stream.
    Stream(StreamRead),
    /// Read the log.
    Log(LogRead),
    /// List snapshots.
    List(SnapshotQuery),
    /// Count snapshots.
    Count(CountQuery),
}

/// Plays steps to both stores and panics at the first answer that differs.
pub async fn compare(world: &World, steps: &[Step]) {
    let memory = MemoryEventStore::new();
    memory.open_tenant(world.tenant, world.epoch).await.unwrap();
    for (n, step) in steps.iter().enumerate() {
        let ours = answer(world.store.as_ref(), world.tenant, world.epoch, step).await;
        let theirs = answer(&memory, world.tenant, world.epoch, step).await;
        assert_eq!(ours, theirs, "step {n} of the history, {step:?}");
    }
    assert_eq!(memory.head(world.tenant).await.unwrap(), world.head().await);
}

/// The answer, as a text that can be compared and read.
pub async fn answer(store: &dyn EventStore, tenant: TenantId, epoch: Epoch, step: &Step) -> String {
    match step.clone() {
        Step::Append(append) => text(store.append(append).await),
        Step::Redact(redact) => text(store.redact(redact).await),
        Step::Swap(swap) => text(store.swap_head(tenant, swap).await),
        Step::Open(epoch) => text(store.open_tenant(tenant, epoch).await),
        Step::Load(streams) => text(store.load_many(tenant, epoch.into(), &streams).await),
        Step::Stream(read) => text(store.read_stream(read).await),
        Step::Log(read) => text(store.read_log(read).await),
        Step::List(query) => text(store.list(query).await),
        Step::Count(query) => text(store.count(query).await),
    }
}

fn text<T: Debug>(answer: Result<T>) -> String {
    format!("{answer:?}")
}

/// A few hundred random steps from fixed seeds.
pub async fn a_random_history_gives_the_same_answers_as_memory(world: World) {
    let mut dice = Dice(20_261_120);
    let mut steps = Vec::new();
    for n in 0..400 {
        steps.push(random_step(world.tenant, world.epoch, &mut dice, n));
    }
    compare(&world, &steps).await;
}

/// A step that is likely to mean something: few streams, small versions, ids that repeat at times.
#[must_use]
pub fn random_step(tenant: TenantId, epoch: Epoch, dice: &mut Dice, n: u64) -> Step {
    let own = (tenant, epoch);
    let name = |dice: &mut Dice| stream(&format!("s{}", dice.below(4)));
    let from = StreamVersion(dice.below(8));
    match dice.below(20) {
        0..10 => Step::Append(random_append(own, dice, n)),
        10 => Step::Redact(random_redact(own, dice, n)),
        11 => Step::Swap(random_swap(epoch, dice)),
        12 => Step::Open(Epoch(epoch.0 + dice.below(8) / 7)),
        13..15 => Step::Load(vec![name(dice), name(dice)]),
        15 => {
            let direction = [Direction::Forwards, Direction::Backwards][dice.below(2) as usize];
            let limit = dice.below(5) as usize;
            Step::Stream(StreamRead {
                tenant,
                access: epoch.into(),
                stream: name(dice),
                from,
                limit,
                direction,
            })
        }
        16 => {
            let after = Position(dice.below(n + 1));
            let (limit, max_bytes) = (dice.below(9) as usize, dice.below(200) as usize);
            Step::Log(LogRead { tenant, access: epoch.into(), after, limit, max_bytes })
        }
        17..19 => Step::List(SnapshotQuery {
            tenant,
            access: epoch.into(),
            stream_type: "session".into(),
            filter: random_filter(dice),
            any_of: (0..dice.below(3)).map(|_| random_filter(dice)).collect(),
            none_of: (0..dice.below(2)).map(|_| random_filter(dice)).collect(),
            after: None,
            limit: 1 + dice.below(3) as usize,
            counting: [Counting::Exactly, Counting::UpTo(dice.below(4))][dice.below(2) as usize],
        }),
        _ => {
            let by = [CountBy::Version, CountBy::Step, CountBy::Channel, CountBy::Checkpoints]
                [dice.below(4) as usize];
            let filter = random_filter(dice);
            Step::Count(CountQuery {
                tenant,
                access: epoch.into(),
                stream_type: "session".into(),
                filter,
                by,
            })
        }
    }
}

fn random_append((tenant, epoch): (TenantId, Epoch), dice: &mut Dice, n: u64) -> Append {
    let mut streams = Vec::new();
    for which in 0..1 + dice.below(2) {
        let expected = match dice.below(4) {
            0 => Expected::NoStream,
            1 => Expected::Version(StreamVersion(dice.below(6))),
            _ => Expected::Any,
        };
        // One in eight groups is an earlier one's id again.
        let base = if dice.below(8) == 0 { dice.below(n + 1) } else { n };
        let ids = 0..1 + dice.below(3);
        let events = ids.map(|id| event(u128::from(base * 100 + which * 10 + id))).collect();
        let snapshot = (dice.below(3) > 0)
            .then(|| Snapshot { state: n.to_string().into_bytes(), facets: random_facets(dice) });
        let stream_id = stream(&format!("s{}", 2 * which + dice.below(2)));
        let stream_type = "session".into();
        streams.push(StreamAppend { stream_id, stream_type, expected, events, snapshot });
    }
    let epoch = Epoch(epoch.0 + dice.below(12) / 11);
    Append { tenant, epoch, recorded_at: at(dice.below(100) as i64), streams }
}

fn random_redact((tenant, epoch): (TenantId, Epoch), dice: &mut Dice, n: u64) -> Redact {
    let expected = match dice.below(4) {
        0 => Expected::Version(StreamVersion(dice.below(6))),
        _ => Expected::Any,
    };
    // One in eight is under an earlier step's id again.
    let base = if dice.below(8) == 0 { dice.below(n + 1) } else { n };
    let snapshot = (dice.below(2) > 0)
        .then(|| Snapshot { state: n.to_string().into_bytes(), facets: random_facets(dice) });
    Redact {
        tenant,
        epoch: Epoch(epoch.0 + dice.below(12) / 11),
        recorded_at: at(dice.below(100) as i64),
        stream_id: stream(&format!("s{}", dice.below(4))),
        expected,
        event_id: event(u128::from(base * 100)).event_id,
        redacted_by: ["olga", "otto"][dice.below(2) as usize].into(),
        reason: None,
        snapshot,
    }
}

fn random_swap(epoch: Epoch, dice: &mut Dice) -> HeadSwap {
    let mode = |dice: &mut Dice| [Mode::Open, Mode::Fenced, Mode::Prepared][dice.below(3) as usize];
    HeadSwap {
        expect_epoch: epoch,
        expect_mode: mode(dice),
        expect_mark: None,
        term: Term(dice.below(3)),
        epoch,
        mode: mode(dice),
    }
}

fn random_facets(dice: &mut Dice) -> Facets {
    Facets {
        scenario_id: Some(scenario(dice)),
        scenario_version: Some(Version(1 + dice.below(2))),
        step_id: (dice.below(4) > 0).then(|| step(dice)),
        channel: None,
        customer_id: None,
        live: dice.below(3) > 0,
        started_at: (dice.below(4) > 0).then(|| at(dice.below(5) as i64)),
        settled: None,
        checkpoints: Vec::new(),
    }
}

fn random_filter(dice: &mut Dice) -> Filter {
    use crate::events::Choice;
    let mut filter = Filter::default();
    match dice.below(6) {
        0 => filter.scenario_id = Some(scenario(dice)),
        1 => filter.versions = Choice::Only(vec![Version(1 + dice.below(2))]),
        2 => filter.steps = Choice::Except(vec![step(dice)]),
        3 => filter.live = Some(dice.below(2) == 0),
        4 => filter.started_until = Some(at(dice.below(5) as i64)),
        _ => {}
    }
    filter
}

fn scenario(dice: &mut Dice) -> ScenarioId {
    ScenarioId(Uuid::from_u128(0x5000 + u128::from(dice.below(2))))
}

fn step(dice: &mut Dice) -> StepId {
    StepId::new(format!("step-{}", dice.below(3))).unwrap()
}
