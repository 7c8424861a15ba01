//! A tenant moves back and forth between two PostgreSQL servers, over and over, while 64 clients write it and
//! everything that can be killed or frozen is: what was acknowledged is there, once and in order, and whoever
//! follows the log by position sees it all and never learns where it is.
//!
//! The seed is printed. By hand, for longer or again:
//!
//! ```sh
//! SEGUE_CHAOS_MOVES=300 SEGUE_CHAOS_SEED=7 cargo nextest run -p segue --test chaos_moves --no-capture
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use cluster::api::Api;
use cluster::operator::News;
use cluster::writers::Load;
use cluster::{
    Cluster, chain, crash_for, from_environment, operator, readers, seed, turns, writers,
};
use segue_store::dice::Dice;
use segue_testing::history::{History, check_deliveries};
use segue_testing::postgres::{Server, TestDatabase};
use tokio::runtime::Runtime;

const MOVES: u64 = 30;
const NODES: usize = 3;
const CLIENTS: usize = 64;
const CUSTOMERS: usize = 4;
const SESSIONS: usize = 6;
/// How long a client rests between two requests, so that the log is still copied soon after thirty moves.
const REST: Duration = Duration::from_millis(800);
/// How often everything is struck within one move; then it is let go. On a slow machine a move would else be
/// struck so often, and its log grow so long meanwhile, that it never came to its end.
const BLOWS_A_MOVE: u32 = 10;
/// How soon appends are acknowledged again when everything is up.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);

/// Longer than the operator waits.
const FOR_EVER: Duration = Duration::from_hours(1);

/// A move that nobody carries on is taken over soon, and what is left behind is purged at once.
const TENANT_MIGRATION: &str = "[tenant_migration]\nsync_check_interval = 0.05\n\
    coordinator_lease_seconds = 0.6\ncutover_lease_seconds = 0.3\n\
    coordinator_check_interval = 0.1\nsource_retention_seconds = 0\n";

#[test]
fn a_tenant_that_moves_back_and_forth_loses_nothing_whatever_is_killed_meanwhile() {
    let moves = from_environment("SEGUE_CHAOS_MOVES").unwrap_or(MOVES) as usize;
    let seed = seed();
    println!("SEGUE_CHAOS_SEED={seed} SEGUE_CHAOS_MOVES={moves}");

    let runtime = Runtime::new().unwrap();
    let mut world = World::start(&runtime);
    let api = Api::new(&world.cluster.addresses);
    let sessions = Arc::new(runtime.block_on(turns::sessions(&api, SESSIONS)));
    let load = Arc::new(Load::resting(REST));
    let (ended, end) = tokio::sync::watch::channel(None);
    let own = |nth: usize| Dice(seed.wrapping_add(1 + nth as u64));
    let appends: Vec<_> = (0..CLIENTS)
        .map(|nth| runtime.spawn(writers::write(nth, api.clone(), load.clone(), own(nth))))
        .collect();
    let talks: Vec<_> = (0..CUSTOMERS)
        .map(|nth| {
            let dice = own(1_000 + nth);
            runtime.spawn(turns::talk(nth, api.clone(), sessions.clone(), load.clone(), dice))
        })
        .collect();
    let poller = runtime.spawn(readers::poll(api.clone(), "projection", own(2_000), end.clone()));
    let follower = runtime.spawn(readers::tail(api.clone(), own(2_001), end));
    let (telling, news) = mpsc::channel();
    let operator = runtime.spawn(operator::move_about(api.clone(), moves, own(3_000), telling));

    let (mut dice, mut blows) = (Dice(seed), 0);
    while next_blow_is_due(&news, &mut blows, &mut dice) {
        let blow = Blow::thrown(&mut dice);
        let (before, struck) = (load.acknowledged(), Instant::now());
        blow.strike(&mut world, &mut dice);
        load.recovers(CLIENTS as u64 / 2, RECOVERS_WITHIN, format_args!("{blow:?}"));
        println!("{before} acknowledged, then {blow:?}; going on after {:?}", struck.elapsed());
    }
    let moved = runtime.block_on(operator).unwrap();

    load.stop();
    let mut history = History::default();
    for client in appends {
        runtime.block_on(client).unwrap().into_iter().for_each(|sent| history.push(sent));
    }
    let said: Vec<_> = talks.into_iter().map(|talk| runtime.block_on(talk).unwrap()).collect();
    let log = runtime.block_on(api.log());
    ended.send(Some(log.len() as u64)).unwrap();
    let is_appended = |stream: &str| stream.starts_with("own-") || stream.starts_with("shared-");
    history.let_be(log.iter().filter(|logged| !is_appended(&logged.stream)));
    let mut wrong = history.check(&log, &runtime.block_on(api.streams(&log)));
    for reader in [poller, follower] {
        wrong.extend(check_deliveries(&runtime.block_on(reader).unwrap(), &log));
    }
    let (owner, left) = runtime.block_on(world.owner_and_left(&api));
    wrong.extend(runtime.block_on(chain::check(owner.url(), api.tenant)));
    println!(
        "{} moves, {} aborted, {} cutovers given up, {} carried on by another server; {} events, \
         {} appends acknowledged, {} refused, {} told to try again, {} cut off",
        moved.moves.len(),
        moved.aborted,
        moved.given_up(),
        moved.taken_over,
        log.len(),
        history.acknowledged(),
        history.refused(),
        load.turned_away.load(Ordering::SeqCst),
        load.cut_off.load(Ordering::SeqCst),
    );
    let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    assert!(history.acknowledged() > CLIENTS * 5, "the clients got to write");
    runtime.block_on(turns::check(&api, &sessions, &said));
    runtime.block_on(assert_purged(left));
}

/// Waits for a random while, but not beyond the moment when a cutover is asked for: then it may strike at
/// once, in the middle of it. Counts the blows of a move. Answers whether the operator still moves the tenant.
fn next_blow_is_due(news: &Receiver<News>, blows: &mut u32, dice: &mut Dice) -> bool {
    let due = Instant::now() + Duration::from_millis(800 + dice.below(3_000));
    loop {
        let is_let_go = *blows >= BLOWS_A_MOVE;
        let left = due.saturating_duration_since(Instant::now());
        match news.recv_timeout(if is_let_go { FOR_EVER } else { left }) {
            Ok(News::Moved) => *blows = 0,
            Ok(News::CutsOver) if !is_let_go && dice.below(2) == 0 => {
                std::thread::sleep(Duration::from_millis(dice.below(60)));
                break;
            }
            Ok(News::CutsOver) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    *blows += 1;
    true
}

/// Three servers, and two databases that live and die by themselves. The control plane is beside `shared`.
struct World {
    cluster: Cluster,
    dedicated: Server,
    dedicated_database: TestDatabase,
}

impl World {
    fn start(runtime: &Runtime) -> Self {
        let (postgres, dedicated) = (Server::start(), Server::start());
        let control = runtime.block_on(TestDatabase::on(&postgres));
        let shared = runtime.block_on(TestDatabase::on(&postgres));
        let dedicated_database = runtime.block_on(TestDatabase::on(&dedicated));
        let config = format!(
            "[control]\nurl = \"{}\"\n[stores.shared]\nkind = \"postgres\"\nurl = \"{}\"\n\
             [stores.dedicated]\nkind = \"postgres\"\nurl = \"{}\"\n{TENANT_MIGRATION}",
            control.url(),
            shared.url(),
            dedicated_database.url(),
        );
        let cluster = Cluster::configured(NODES, &config, shared, postgres);
        Self { cluster, dedicated, dedicated_database }
    }

    /// The store that the tenant lives in, and the other one.
    async fn owner_and_left(&self, api: &Api) -> (&TestDatabase, &TestDatabase) {
        let home = api.get(&format!("/tenants/{}", api.tenant)).await;
        let (shared, dedicated) = (&self.cluster.database, &self.dedicated_database);
        if home["store_id"] == "shared" { (shared, dedicated) } else { (dedicated, shared) }
    }
}

/// Checks that a store holds nothing of its only tenant but the tombstone.
async fn assert_purged(store: &TestDatabase) {
    let left = "SELECT (SELECT count(*) FROM segue_events.events), \
                (SELECT count(*) FROM segue_events.streams), \
                (SELECT string_agg(mode, ',') FROM segue_events.tenant_head)";
    let left = store.client().await.query_one(left, &[]).await.unwrap();
    let (events, streams, heads): (i64, i64, &str) = (left.get(0), left.get(1), left.get(2));
    assert_eq!((events, streams, heads), (0, 0, "tombstone"));
}

/// What is done to the world in a round; at its end everything is up.
#[derive(Debug, Clone, Copy)]
enum Blow {
    KillNode(usize),
    KillAllNodes,
    FreezeNode(usize),
    /// One server sleeps while another one dies.
    FreezeAndKill(usize, usize),
    CrashShared,
    CrashDedicated,
    /// Longer than writes may wait for a cutover.
    LongOutage,
    CrashEverything,
}

impl Blow {
    fn thrown(dice: &mut Dice) -> Self {
        let node = dice.below(NODES as u64) as usize;
        match dice.below(16) {
            0..=2 => Self::KillNode(node),
            3 => Self::KillAllNodes,
            4..=6 => Self::FreezeNode(node),
            7..=9 => Self::FreezeAndKill(node, (node + 1) % NODES),
            10 | 11 => Self::CrashDedicated,
            12 => Self::LongOutage,
            13 | 14 => Self::CrashShared,
            _ => Self::CrashEverything,
        }
    }

    fn strike(self, World { cluster, dedicated, .. }: &mut World, dice: &mut Dice) {
        let long = || std::thread::sleep(Duration::from_secs(7));
        let mut a_while = || std::thread::sleep(Duration::from_millis(dice.below(1_500)));
        match self {
            Self::KillNode(node) => cluster.kill_node_for(node, a_while),
            Self::KillAllNodes => cluster.kill_all_nodes_for(a_while),
            Self::FreezeNode(node) => {
                cluster.freeze_node(node);
                a_while();
                a_while();
                cluster.thaw_node(node);
            }
            Self::FreezeAndKill(frozen, killed) => {
                cluster.freeze_node(frozen);
                cluster.kill_node(killed);
                a_while();
                a_while();
                cluster.thaw_node(frozen);
                cluster.start_node(killed);
            }
            Self::CrashShared => crash_for(&mut cluster.postgres, a_while),
            Self::CrashDedicated => crash_for(dedicated, a_while),
            Self::LongOutage => crash_for(dedicated, long),
            // The nodes come back first, to databases that are down.
            Self::CrashEverything => {
                cluster.postgres.stop_immediate();
                dedicated.stop_immediate();
                cluster.kill_all_nodes_for(|| ());
                a_while();
                dedicated.start_again();
                cluster.postgres.start_again();
            }
        }
    }
}
