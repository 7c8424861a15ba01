//! The store with faults is a store like others, and fails as told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use segue_core::ids::Position;
use segue_store::conformance::events::{Fixture, event, to};
use segue_store::events::{Error, Expected, MemoryEventStore, Reason};
use segue_store::faulty::{Fault, FaultyEventStore, Operation, Weather};

fn sound() -> Fixture {
    Fixture::of(FaultyEventStore::around(Arc::new(MemoryEventStore::new())))
}

mod without_faults {
    segue_store::conformance::events::suite!(super::sound);
}

struct Faulty {
    world: segue_store::conformance::events::World,
    store: Arc<FaultyEventStore>,
}

async fn faulty() -> Faulty {
    let store = Arc::new(FaultyEventStore::around(Arc::new(MemoryEventStore::new())));
    let mut world = sound().open().await;
    world.store = store.clone();
    world.store.open_tenant(world.tenant, world.epoch).await.unwrap();
    Faulty { world, store }
}

fn is_injected(error: &Error) -> bool {
    matches!(error, Error::Unavailable { reason: Reason::Injected, .. }) && error.is_retryable()
}

#[tokio::test]
async fn a_fault_before_leaves_nothing_and_a_fault_after_leaves_everything() {
    let Faulty { world, store } = faulty().await;
    for (fault, there) in [(Fault::Before, 0), (Fault::After, 1)] {
        store.inject_next(Operation::Append, fault);
        let lost = world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap_err();
        assert!(is_injected(&lost));
        assert_eq!(world.head().await.position, Position(there));
    }
    let again = world.append(vec![to("a", Expected::NoStream, [event(1)])]).await.unwrap();
    assert!(again.duplicate, "a retry with the same ids learns the first result");
}

#[tokio::test]
async fn after_a_crash_nothing_works_until_the_restart() {
    let Faulty { world, store } = faulty().await;
    store.inject(Operation::Append, 2, Fault::CrashAfter);
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    world.append(vec![to("a", Expected::Any, [event(2)])]).await.unwrap_err();
    assert!(store.is_crashed());
    assert!(is_injected(&world.store.head(world.tenant).await.unwrap_err()));
    store.restart();
    assert_eq!(world.head().await.position, Position(2));
}

#[tokio::test]
async fn a_delayed_call_is_late_and_right() {
    let Faulty { world, store } = faulty().await;
    store.inject_next(Operation::Append, Fault::Delay(Duration::from_millis(20)));
    let begun = std::time::Instant::now();
    world.append(vec![to("a", Expected::Any, [event(1)])]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn the_same_seed_brings_the_same_weather() {
    let weather = Weather {
        seed: 7,
        before_per_mille: 200,
        after_per_mille: 200,
        delay_per_mille: 0,
        longest_delay: Duration::ZERO,
    };
    let mut fates = Vec::new();
    for _ in 0..2 {
        let Faulty { world, store } = faulty().await;
        store.set_weather(Some(weather));
        let mut fate = Vec::new();
        for n in 0..200 {
            let appended = world.append(vec![to("a", Expected::Any, [event(n)])]).await;
            fate.push(appended.is_ok());
        }
        store.set_weather(None);
        let acknowledged = fate.iter().filter(|fate| **fate).count() as u64;
        let there = world.verify().await.len() as u64;
        assert!(acknowledged < there && there < 200, "{acknowledged} of {there} acknowledged");
        fates.push(fate);
    }
    assert_eq!(fates[0], fates[1]);
}
