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

/// A second at most passes between a decision and the hearing of it in another process, and the one that
/// decided hears it too.
pub async fn a_decision_is_heard_of_within_a_second(database: &dyn Database) {
    let world = World::empty(database).await;
    let other = database.open().await;
    let (mut here, mut there) = (world.control.changes(), other.changes());
    for changes in [&mut here, &mut there] {
        assert_eq!(changes.next().await, Changed::Anything, "what was before is to be read");
        listens(changes, database).await;
    }
    world.register(world.scenario, 1).await;
    let second = Duration::from_secs(1);
    assert!(hears(&mut here, &world, Subject::Scenario, second).await);
    assert!(hears(&mut there, &world, Subject::Scenario, second).await);
    other.place(world.tenant, &new_store(), &olga(2)).await.unwrap();
    assert!(hears(&mut here, &world, Subject::Tenant, second).await);
    assert!(hears(&mut there, &world, Subject::Tenant, second).await);
}
