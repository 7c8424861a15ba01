//! Clients that read, and know what they may expect to see.

use std::sync::Arc;

use segue::tenants::PageSize;
use segue::tenants::failure::Failure;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion};
use segue_store::events::{Access, Direction, LogRead, StreamRead};
use tokio::time::{Duration, timeout};

use super::chance::Chance;
use super::process::Process;
use super::truth::Floor;
use super::world::{TENANT, World};
use super::writer::SHARED;

/// A client that reads whatever comes to its mind.
pub struct Reader {
    world: Arc<World>,
    chance: Chance,
}

impl Reader {
    pub fn new(world: &Arc<World>) -> Self {
        Self { world: world.clone(), chance: world.chance.fork() }
    }

    pub async fn work(self, pace: u64) {
        while !self.world.is_at_rest() {
            let process = self.world.process(&self.chance);
            self.read(&process).await;
            self.chance.rest(1, pace).await;
        }
    }

    async fn read(&self, process: &Process) {
        let who = format!("a reader at {}", process.name);
        let floor = self.world.truth.floor();
        let read = match self.chance.below(6) {
            0 => self.log(&who, process, &floor).await,
            1 => self.head(&who, process, &floor).await,
            2 => self.states(&who, process, &floor).await,
            3 => self.versions(&who, process, &floor).await,
            4 => self.event(&who, process).await,
            _ => self.stream(&who, process, &floor).await,
        };
        self.world.trace.count(if read.is_ok() { "reads answered" } else { "other reads" });
        if let Err(failure) = read {
            self.world.judge(&who, &failure);
        }
    }

    async fn log(&self, who: &str, process: &Process, floor: &Floor) -> Result<(), Failure> {
        let after = Position(self.chance.below(floor.end + 1));
        let limit = self.chance.pick(&[1, 7, 1_000]);
        let (tenant, access, max_bytes) = (TENANT, Access::Copy, usize::MAX);
        let page = process.router.read_log(LogRead { tenant, access, after, limit, max_bytes });
        let page = page.await?;
        let last = page.events.last().map_or(after.0, |event| event.position.0);
        let is_gapless =
            (after.0 + 1..).zip(&page.events).all(|(at, event)| event.position.0 == at);
        if !is_gapless
            || page.head.position.0 < floor.end
            || last < floor.end.min(after.0 + limit as u64)
        {
            self.world.trace.wrong(format!(
                "{who} asked for {limit} after {after} of at least {}, and got up to {last}, gapless: {is_gapless}",
                floor.end
            ));
        }
        self.world.truth.read(who, &page.events);
        Ok(())
    }

    async fn head(&self, who: &str, process: &Process, floor: &Floor) -> Result<(), Failure> {
        let head = process.router.head(TENANT).await?;
        let position = head.map_or(0, |head| head.position.0);
        if position < floor.end {
            self.world.trace.wrong(format!("{who} saw the head at {position}, not {}", floor.end));
        }
        self.world.truth.reached(position);
        Ok(())
    }

    async fn states(&self, who: &str, process: &Process, floor: &Floor) -> Result<(), Failure> {
        let ids = SHARED.map(|stream| StreamId::new(stream).unwrap());
        let states = process.router.load(TENANT, ids).await?;
        for (stream, state) in SHARED.iter().zip(&states) {
            self.world.truth.loaded(who, stream, state.as_ref(), floor);
        }
        Ok(())
    }

    async fn versions(&self, who: &str, process: &Process, floor: &Floor) -> Result<(), Failure> {
        let ids = SHARED.map(|stream| StreamId::new(stream).unwrap());
        let versions = process.router.stream_versions(TENANT, &ids).await?;
        for (stream, version) in SHARED.iter().zip(versions) {
            let known = floor.versions.get(*stream).copied().unwrap_or(0);
            if version.0 < known {
                self.world.trace.wrong(format!("{who} saw {stream} at {version}, not {known}"));
            }
        }
        Ok(())
    }

    async fn event(&self, who: &str, process: &Process) -> Result<(), Failure> {
        let Some((position, id)) = self.world.truth.some_event(self.chance.seed()) else {
            return Ok(());
        };
        let found = process.router.event(TENANT, EventId(id)).await?;
        match found {
            Some(event) if event.position.0 == position => {
                self.world.truth.read(who, &[event]);
            }
            other => self.world.trace.wrong(format!("{who}: {id} is at {position}: {other:?}")),
        }
        Ok(())
    }

    async fn stream(&self, who: &str, process: &Process, floor: &Floor) -> Result<(), Failure> {
        let stream = self.chance.pick(&SHARED);
        let known = floor.versions.get(stream).copied().unwrap_or(0);
        let read = StreamRead {
            tenant: TENANT,
            access: Access::Copy,
            stream: StreamId::new(stream).unwrap(),
            from: StreamVersion(1),
            limit: 1_000,
            direction: Direction::Forwards,
        };
        let page = process.router.read_stream(read).await?;
        let is_gapless = (1..).zip(&page.events).all(|(at, event)| event.version.0 == at);
        if !is_gapless || (page.events.len() as u64) < known.min(1_000) {
            let count = page.events.len();
            self.world.trace.wrong(format!("{who} got {count} of {known} events of {stream}"));
        }
        self.world.truth.read(who, &page.events);
        Ok(())
    }
}

/// A client that follows the log in one process after the other.
pub async fn follow(world: Arc<World>) {
    let chance = world.chance.fork();
    let mut after = Position(0);
    while !world.is_at_rest() {
        let process = world.process(&chance);
        let who = format!("a follower at {}", process.name);
        let size = PageSize { events: chance.pick(&[3, 50, 1_000]), ..PageSize::default() };
        let mut follow = process.router.follow(TENANT, after, size);
        for _ in 0..chance.within(1, 20) {
            // It looks now and then whether the world has come to rest.
            match timeout(Duration::from_secs(3), follow.next_page()).await {
                Ok(Ok(page)) => {
                    for event in &page.events {
                        if event.position != after.next() {
                            let found = event.position;
                            world.trace.wrong(format!("{who}: after {after} came {found}"));
                        }
                        after = event.position;
                    }
                    world.truth.read(&who, &page.events);
                }
                Ok(Err(failure)) => {
                    world.judge(&who, &failure);
                    chance.rest(1, 200).await;
                }
                Err(_) => break,
            }
        }
    }
}
