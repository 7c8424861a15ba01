//! The stories in which processes die. Each is told by whoever comes, from wherever it stands: it looks at
//! what is decided and asks for what comes next, so that a process that takes over finishes it too.

use std::time::Duration;

use segue_core::ids::{MigrationId, Term};
use segue_core::tenancy::migration::{MigrationConfig, Moving, Stage};
use segue_store::control::Page;
use segue_store::control::migrations::{Filter, Migration};
use segue_store::events::{self, EventStore, Mode};
use serde::{Deserialize, Serialize};

use super::fate::{Bend, Fate};
use crate::moves::{World, config, olga, store_id};

/// How often one looks whether something has come.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Story {
    /// A tenant moves, its old source follows it for a while, and is purged.
    MovesForGood,
    /// A move that somebody else has started is paused, resumed and aborted during the copy.
    IsAborted,
    /// A cutover is given up over a target that ends elsewhere; the next one succeeds.
    TriesAgain,
    /// A damaged target is found by reading it back, repaired, and the tenant moves.
    IsRepaired,
    /// A tenant moves and goes back.
    GoesBack,
}

/// Who tells a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The process that dies. What goes wrong in a story goes wrong here.
    First,
    /// The one that takes over.
    Second,
}

impl Story {
    pub const ALL: [Self; 5] =
        [Self::MovesForGood, Self::IsAborted, Self::TriesAgain, Self::IsRepaired, Self::GoesBack];

    /// What is wrong with the first teller from the beginning on.
    pub fn bend(self) -> Bend {
        match self {
            Self::TriesAgain => Bend::OtherEnd,
            Self::MovesForGood | Self::IsAborted | Self::IsRepaired | Self::GoesBack => {
                Bend::Straight
            }
        }
    }

    fn config(self) -> MigrationConfig {
        let config = MigrationConfig { batch_size: 80, sync_lag_threshold: 50, ..config() };
        match self {
            // So slow that it is aborted in the midst of it.
            Self::IsAborted => MigrationConfig { max_bulk_copy_rate: Some(1.0), ..config },
            Self::MovesForGood | Self::TriesAgain | Self::IsRepaired | Self::GoesBack => config,
        }
    }

    /// Where the tenant lives in the end, and what the other store has of it.
    pub fn end(self) -> (&'static str, Mode) {
        match self {
            Self::MovesForGood => ("dedicated", Mode::Tombstone),
            Self::IsAborted => ("shared", Mode::Tombstone),
            Self::TriesAgain | Self::IsRepaired => ("dedicated", Mode::Copying),
            Self::GoesBack => ("shared", Mode::Copying),
        }
    }

    /// What somebody else does before the first teller comes.
    pub async fn begin(self, world: &World) {
        if self == Self::IsAborted {
            world.start_with("dedicated", self.config()).await;
        }
    }

    /// Tells it to its end.
    pub async fn tell(self, world: &World, teller: Teller, fate: &Fate) {
        let (mut may_pause, mut may_damage) = (teller == Teller::First, teller == Teller::First);
        loop {
            let route = world.control.route(world.tenant).await.unwrap().unwrap();
            let newest = newest(world).await;
            let Some(moving) = &route.moving else {
                if newest.is_some() {
                    return;
                }
                world.start_with("dedicated", self.config()).await;
                continue;
            };
            let (migration, id) = (newest.unwrap(), moving.migration);
            match &moving.stage {
                Stage::BulkCopy if self == Self::IsAborted => {
                    has_some_of_it(world, moving).await;
                    if std::mem::take(&mut may_pause) {
                        world.moves.pause_migration(id, &olga()).await.unwrap();
                    } else {
                        world.moves.abort_migration(id, "enough", &olga()).await.unwrap();
                    }
                    continue;
                }
                Stage::Paused { .. } => {
                    world.moves.resume_migration(id, &olga()).await.unwrap();
                    continue;
                }
                Stage::DualWrite if self == Self::IsRepaired && may_damage => {
                    may_damage = false;
                    fate.bend(Bend::Damaged);
                }
                Stage::DualWrite if !is_wished(&migration) && !fate.is_bent(Bend::Damaged) => {
                    follows(world, moving).await;
                    wish(world, id).await;
                }
                Stage::Failed { .. } => {
                    assert_eq!(self, Self::IsRepaired, "{migration:?}");
                    if fate.is_bent(Bend::Damaged) {
                        world.moves.repair(id, &olga()).await.unwrap();
                        fate.bend(Bend::Straight);
                    }
                    world.moves.resume_migration(id, &olga()).await.unwrap();
                    continue;
                }
                Stage::Migrated { .. } => {
                    follows(world, moving).await;
                    match self {
                        Self::MovesForGood => {
                            world.moves.finish(id, true, &olga()).await.unwrap();
                            continue;
                        }
                        Self::GoesBack if migration.reverses.is_none() => {
                            world.moves.reverse(id, &olga()).await.unwrap();
                            continue;
                        }
                        Self::IsAborted | Self::TriesAgain | Self::IsRepaired | Self::GoesBack => {
                            return;
                        }
                    }
                }
                Stage::Pending
                | Stage::BulkCopy
                | Stage::DualWrite
                | Stage::CutoverPaused { .. }
                | Stage::Reopening { .. }
                | Stage::RollingBack
                | Stage::Finishing { .. } => {}
            }
            is_decided(world, route.term).await;
        }
    }
}

async fn newest(world: &World) -> Option<Migration> {
    let filter = Filter { tenant: Some(world.tenant), ..Filter::default() };
    let page = world.control.list_migrations(&filter, Page::first(1)).await.unwrap();
    page.items.into_iter().next()
}

fn is_wished(migration: &Migration) -> bool {
    migration.journal.wish.is_some()
}

/// Asks for the cutover, and does not wait for it.
async fn wish(world: &World, id: MigrationId) {
    let asked = world.moves.initiate_cutover(id, false, &olga(), Duration::ZERO).await;
    asked.unwrap();
}

/// Waits until something is decided after a term.
async fn is_decided(world: &World, term: Term) {
    until(async || world.control.route(world.tenant).await.unwrap().unwrap().term > term).await;
}

/// Waits until the peer has some events.
async fn has_some_of_it(world: &World, moving: &Moving) {
    until(async || position(world, peer(world, moving)).await > 0).await;
}

/// Waits until the peer has an event that was appended after now.
async fn follows(world: &World, moving: &Moving) {
    let now = world.home().await.1.position.0;
    until(async || position(world, peer(world, moving)).await > now).await;
}

fn peer<'a>(world: &'a World, moving: &Moving) -> &'a dyn EventStore {
    if moving.peer == store_id("shared") { &*world.shared } else { &*world.dedicated }
}

async fn position(world: &World, store: &dyn EventStore) -> u64 {
    match store.head(world.tenant).await {
        Ok(head) => head.position.0,
        Err(events::Error::NotFound { .. }) => 0,
        Err(error) => panic!("{error:?}"),
    }
}

/// Waits until something is so; whoever tells a story has only so much patience.
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    while !is_so().await {
        tokio::time::sleep(LOOK).await;
    }
}
