//! A consumer that reads the log by position while everything else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use segue::tenants::PageSize;
use segue_core::ids::{Position, SubscriptionName};
use segue_testing::history::{Delivered, Logged, check_deliveries};
use tokio::task::JoinHandle;

use crate::moves::{World, olga};

/// How often it looks whether the end was told.
const LOOK: Duration = Duration::from_millis(50);

pub struct Follower {
    end: Arc<AtomicU64>,
    following: JoinHandle<Delivered>,
}

impl Follower {
    pub async fn begin(world: &World) -> Self {
        let name: SubscriptionName = "follower".parse().unwrap();
        let (tenant, router) = (world.tenant, world.router.clone());
        world.control.put_subscription(tenant, &name, Position(0), &olga()).await.unwrap();
        let end = Arc::new(AtomicU64::new(u64::MAX));
        let told = end.clone();
        let following = tokio::spawn(async move {
            let mut subscriber =
                router.subscribe(tenant, &name, PageSize::default()).await.unwrap();
            let mut given = Delivered::default();
            while subscriber.position().0 < told.load(Ordering::SeqCst) {
                let Ok(page) = tokio::time::timeout(LOOK, subscriber.next_page()).await else {
                    continue;
                };
                let events = page.unwrap_or_else(|failure| panic!("{failure:?}")).events;
                given
                    .events
                    .extend(events.iter().map(|event| (event.position.0, event.event_id.0)));
                subscriber.acknowledge(subscriber.position(), olga().at).await.unwrap();
            }
            given
        });
        Self { end, following }
    }

    /// Lets it read to the end, and answers with what is wrong with what it was given.
    pub async fn ends(self, log: &[Logged]) -> Vec<String> {
        self.end.store(log.len() as u64, Ordering::SeqCst);
        let given = self.following.await.unwrap();
        check_deliveries(&[given], log).iter().map(ToString::to_string).collect()
    }
}
