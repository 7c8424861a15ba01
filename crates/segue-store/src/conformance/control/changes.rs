//! Hearing of what others decide.

use std::time::Duration;

use tokio::time::timeout;

use super::Database;
use super::world::{World, new_store, olga};
use crate::control::audit::Subject;
use crate::control::{Changed, Changes};

/// Hears of exactly this within the time.
async fn hears(changes: &mut Changes, world: &World, subject: Subject, within: Duration) -> bool {
    let wanted = Changed::Noun(world.tenant, subject);
    timeout(within, async { while changes.next().await != wanted {} }).await.is_ok()
}

/// Waits until the listener listens, by letting others decide until it hears of it.
async fn listens(changes: &mut Changes, database: &dyn Database) {
    for _ in 0..50 {
        let probe = World::with_scenario(database).await;
        if hears(changes, &probe, Subject::Scenario, Duration::from_millis(600)).await {
            return;
        }
    }
    panic!("nothing is heard of");
}

/// A decision is heard of in another process, and by the one that decided. How soon is said by the adapters: after
/// a second at most, on a machine that is not starved.
pub async fn a_decision_is_heard_of_by_every_process(database: &dyn Database) {
    let world = World::empty(database).await;
    let other = database.open().await;
    let (mut here, mut there) = (world.control.changes(), other.changes());
    for changes in [&mut here, &mut there] {
        assert_eq!(changes.next().await, Changed::Anything, "what was before is to be read");
        listens(changes, database).await;
    }
    world.register(world.scenario, 1).await;
    let soon = Duration::from_secs(20);
    assert!(hears(&mut here, &world, Subject::Scenario, soon).await);
    assert!(hears(&mut there, &world, Subject::Scenario, soon).await);
    other.place(world.tenant, &new_store(), &olga(2)).await.unwrap();
    assert!(hears(&mut here, &world, Subject::Tenant, soon).await);
    assert!(hears(&mut there, &world, Subject::Tenant, soon).await);
}
