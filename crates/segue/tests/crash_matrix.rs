//! The crash matrix: a process that carries a tenant's move on dies before and after every effect that it
//! has, on SQLite and on PostgreSQL, while the tenant is written and read. Another process takes over, and
//! every acknowledged event is there once and in order, both stores agree, and the consumer saw it all.
//!
//! The points are not listed: a process tells each story (`crash_matrix/story.rs`) once to its end, through
//! stores that name what it does to them (`effects.rs`). Then for each side of each effect a real process
//! aborts there (`process.rs`); one that comes past its point fails the test. With `--no-capture` there is a
//! line for each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crash_matrix {
    pub mod databases;
    pub mod effects;
    pub mod fate;
    pub mod follower;
    pub mod process;
    pub mod story;
}
mod moves;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crash_matrix::databases::{Databases, Kind};
use crash_matrix::fate::{Bend, Fate, Point, When};
use crash_matrix::follower::Follower;
use crash_matrix::process::{self, Orders};
use crash_matrix::story::{Story, Teller, until};
use futures_util::{StreamExt, stream};
use moves::{PATIENCE, World, Writers, olga, store_id};
use segue_core::ids::{Position, TenantId};
use segue_store::events::{Access, Event, EventStore, LogRead, Mode};
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use uuid::Uuid;

/// What the stories are told for: each of them has to come somewhere.
const WANTED: [&str; 26] = [
    "claim dedicated",
    "import into dedicated",
    "fence shared",
    "prepare dedicated",
    "reopen shared",
    "retire shared",
    "claim shared",
    "import into shared",
    "rewind dedicated",
    "purge dedicated",
    "purge shared",
    "beat",
    "decide start",
    "decide take_over",
    "decide begin_copy",
    "decide begin_dual_write",
    "decide pause",
    "decide resume",
    "decide fail",
    "decide cut_over",
    "decide commit",
    "decide give_up",
    "decide reopened",
    "decide rolled_back",
    "decide reverse",
    "decide finished",
];

/// How many processes are watched at the same time; most of what they do is wait.
const AT_ONCE: usize = 6;

/// How often a writer writes: there is to be something between any two effects, and not much more.
const PACE: Duration = Duration::from_millis(15);

/// How many events there are before a process begins: more than one page of the copy.
const HISTORY: u64 = 100;

/// One run.
#[derive(Debug, Clone)]
struct Run {
    kind: Kind,
    story: Story,
    dies: Option<Point>,
    bend: Bend,
}

/// What came of it.
struct Lived {
    /// The effects of the process that was watched.
    effects: Vec<String>,
    acknowledged: usize,
}

impl Run {
    /// To its end, with nobody who dies.
    fn whole(kind: Kind, story: Story) -> Self {
        Self { kind, story, dies: None, bend: story.bend() }
    }

    /// Lives it on a runtime of its own, which takes everything with it that is still at work in the end.
    fn begin(self) -> JoinHandle<Lived> {
        tokio::task::spawn_blocking(|| Runtime::new().unwrap().block_on(self.lives()))
    }

    /// One process dies, the other takes over.
    async fn lives(self) -> Lived {
        let databases = Databases::fresh(self.kind).await;
        let (address, tenant) = (databases.address(), TenantId(Uuid::new_v4()));
        let fate = Arc::new(Fate::lives());
        let world = address.world(tenant, &fate).await;
        world.router.place_in(tenant, &store_id("shared"), &olga()).await.unwrap();
        let follower = Follower::begin(&world).await;
        let routers = std::slice::from_ref(&world.router);
        let writers = Writers::resting(routers, world.tenant, 2, PACE);
        grows_to(&world, &writers, HISTORY).await;

        self.story.begin(&world).await;
        // What comes to a target meanwhile is an effect of the one that dies.
        fate.bend(Bend::NoImports);
        let Self { story, dies, bend, .. } = self;
        let orders = Orders { address, tenant, story, dies, bend };
        let effects = orders.carried_out().await.unwrap_or_else(|said| panic!("{said}"));
        fate.bend(Bend::Straight);

        world.moves.attend();
        let telling = self.story.tell(&world, Teller::Second, &fate);
        let told = tokio::time::timeout(PATIENCE, telling).await;
        if told.is_err() {
            let route = world.control.route(tenant).await;
            panic!("the story does not come to its end: {route:?}");
        }
        let end = world.home().await.1.position.0;
        grows_to(&world, &writers, end + 10).await;
        let history = writers.end().await;
        let log = world.log().await;
        moves::check(&history, &log);
        assert_eq!(follower.ends(&moves::logged(&log)).await, [""; 0]);
        is_at_rest(&world, self.story, &log).await;
        Lived { effects, acknowledged: history.acknowledged() }
    }
}

/// Waits until the tenant's log has so many events.
async fn grows_to(world: &World, writers: &Writers, position: u64) {
    let is_there = async || world.home().await.1.position.0 >= position;
    let growing = until(async || !writers.are_writing() || is_there().await);
    tokio::time::timeout(PATIENCE, growing).await.expect("writers can write");
    assert!(writers.are_writing(), "a writer was told what cannot be");
}

/// The tenant is where its story ends, and the other store holds the same log, or its tombstone.
async fn is_at_rest(world: &World, story: Story, log: &[Event]) {
    let (home, other) = story.end();
    let (at, head) = world.home().await;
    assert_eq!((at.as_str(), head.mode, head.position.0), (home, Mode::Open, log.len() as u64));
    let copy: &dyn EventStore = if home == "shared" { &*world.dedicated } else { &*world.shared };
    if other == Mode::Copying {
        let same = until(async || copy.head(world.tenant).await.unwrap().mark() == head.mark());
        tokio::time::timeout(PATIENCE, same).await.expect("the copy comes to the same digest");
        let (tenant, access, limit) = (world.tenant, Access::Copy, log.len());
        let read = LogRead { tenant, access, after: Position(0), limit, max_bytes: usize::MAX };
        assert_eq!(copy.read_log(read).await.unwrap().events, log);
    }
    assert_eq!(copy.head(world.tenant).await.unwrap().mode, other);
}

/// The lives of every process that dies at an effect of one of the stories.
async fn matrix(kind: Kind) {
    let begun = Instant::now();
    let wholes = stream::iter(Story::ALL).map(|story| async move {
        (story, Run::whole(kind, story).begin().await.unwrap().effects)
    });
    let wholes: Vec<_> = wholes.buffered(AT_ONCE).collect().await;
    let mut known = HashSet::new();
    let mut runs = Vec::new();
    for (story, effects) in wholes {
        for effect in effects.into_iter().filter(|effect| known.insert(effect.clone())) {
            for when in [When::Before, When::After] {
                let dies = Some(Point { when, effect: effect.clone() });
                runs.push(Run { dies, ..Run::whole(kind, story) });
            }
        }
    }
    for wanted in WANTED {
        assert!(known.iter().any(|effect| effect.ends_with(wanted)), "nobody does: {wanted}");
    }
    let points = runs.len();
    let failed: Vec<_> = stream::iter(runs)
        .map(|run| async move {
            let begun = Instant::now();
            let (story, point) = (run.story, run.dies.clone().unwrap());
            let lived = run.begin().await.map_err(said);
            let came = match &lived {
                Ok(lived) => format!("{} appends, all there", lived.acknowledged),
                Err(_) => "FAILED".to_owned(),
            };
            let took = begun.elapsed().as_secs_f64();
            println!("{kind:?}, {story:?}: dies {point}: {came} ({took:.1} s)");
            lived.err().map(|said| format!("{story:?}: {point}: {said}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    println!("{kind:?}: {points} points in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "{} of {points} points:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_on_sqlite_may_die_before_and_after_every_effect() {
    matrix(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_on_postgresql_may_die_before_and_after_every_effect() {
    matrix(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_comes_past_its_point_is_no_pass() {
    let nowhere = Point { when: When::Before, effect: "nothing".to_owned() };
    let run = Run { dies: Some(nowhere), ..Run::whole(Kind::Sqlite, Story::MovesForGood) };
    let said = failure(run).await;
    assert!(said.starts_with("it was to die before nothing, but: exit status: 0"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_is_only_said_to_be_there_is_noticed() {
    let committed = Point { when: When::After, effect: "cut_over / decide commit".to_owned() };
    let bend = Bend::NoFence;
    let run = Run { bend, dies: Some(committed), ..Run::whole(Kind::Sqlite, Story::TriesAgain) };
    // What it was told before the commit is not there when it comes to the new owner.
    assert_eq!(failure(run).await, "a writer was told what cannot be");
}

/// Why a run fails.
async fn failure(run: Run) -> String {
    said(run.begin().await.err().expect("it fails"))
}

/// What a run said when it failed.
fn said(failed: JoinError) -> String {
    let panic = failed.into_panic();
    panic.downcast::<&str>().map_or_else(|panic| *panic.downcast().unwrap(), |said| (*said).into())
}

#[test]
#[ignore = "the other tests begin it"]
fn the_process_that_dies() {
    process::live();
}
