//! Consumers that acknowledge what they have dealt with, die, and go on where they were.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use segue::tenants::PageSize;
use segue_core::ids::{Position, SubscriptionName};
use segue_testing::history::{Delivered, Logged, check_deliveries};
use tokio::time::timeout;

use super::chance::Chance;
use super::world::{TENANT, World};

/// A consumer.
pub struct Subscriber {
    world: Arc<World>,
    name: SubscriptionName,
    chance: Chance,
    /// What it was given, each time that it came back.
    given: Mutex<Vec<Delivered>>,
}

impl Subscriber {
    pub async fn new(world: &Arc<World>, nth: usize) -> Arc<Self> {
        let name = SubscriptionName::new(format!("consumer-{nth}")).unwrap();
        let by = world.processes()[0].by();
        let control = &world.databases.control;
        control.put_subscription(TENANT, &name, Position(0), &by).await.unwrap();
        let (chance, given) = (world.chance.fork(), Mutex::default());
        Arc::new(Self { world: world.clone(), name, chance, given })
    }

    pub async fn work(self: Arc<Self>) {
        while !self.world.is_at_rest() {
            let pages = self.chance.within(1, 8);
            self.live(pages, Duration::from_secs(3)).await;
            self.chance.rest(1, 500).await;
        }
    }

    /// Reads up to the end of the log, at rest.
    pub async fn finish(&self, end: u64) {
        for _ in 0..1_000 {
            if self.seen() >= end {
                return;
            }
            self.live(1_000, Duration::from_secs(2)).await;
        }
    }

    pub fn check(&self, log: &[Logged]) {
        for wrong in check_deliveries(&self.given.lock().unwrap(), log) {
            self.world.trace.wrong(format!("{}: {wrong}", self.name));
        }
    }

    fn seen(&self) -> u64 {
        let given = self.given.lock().unwrap();
        given.iter().flat_map(|given| given.events.iter().map(|(at, _)| *at)).max().unwrap_or(0)
    }

    /// One life: some pages, of which some are acknowledged.
    async fn live(&self, pages: u64, patience: Duration) {
        let process = self.world.process(&self.chance);
        let who = format!("{} at {}", self.name, process.name);
        let size = PageSize { events: self.chance.pick(&[2, 20, 500]), ..PageSize::default() };
        let subscribed = process.router.subscribe(TENANT, &self.name, size).await;
        let Ok(mut subscriber) = subscribed else { return };
        let mut given = Delivered { after: subscriber.position().0, events: Vec::new() };
        for _ in 0..pages {
            match timeout(patience, subscriber.next_page()).await {
                Ok(Ok(page)) => {
                    let came = page.events.iter();
                    given.events.extend(came.map(|event| (event.position.0, event.event_id.0)));
                    self.world.truth.read(&who, &page.events);
                }
                Ok(Err(failure)) => {
                    self.world.judge(&who, &failure);
                    break;
                }
                Err(_) => break,
            }
            if self.chance.percent(60) {
                let at = process.clock.now();
                drop(subscriber.acknowledge(subscriber.position(), at).await);
            }
        }
        self.given.lock().unwrap().push(given);
    }
}
