//! Two servers over one PostgreSQL, 64 clients, and everything that can be killed is killed, over and over:
//! what was acknowledged is there, once, in order and without gaps, and every subscriber sees it.
//!
//! The seed is printed. By hand, for longer or again:
//!
//! ```sh
//! SEGUE_CHAOS_ROUNDS=200 SEGUE_CHAOS_SEED=7 cargo nextest run -p segue --test chaos_postgres --no-capture
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster::api::Api;
use cluster::writers::Load;
use cluster::{Cluster, NODES, chain, crash_for, from_environment, readers, seed, turns, writers};
use segue_store::dice::Dice;
use segue_testing::history::{History, check_deliveries};
use segue_testing::postgres::Server;
use tokio::runtime::Runtime;

const CLIENTS: usize = 64;
const CUSTOMERS: usize = 6;
const SESSIONS: usize = 8;
const ROUNDS: u64 = 10;
/// How soon appends are acknowledged again when everything is up.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn what_was_acknowledged_survives_whatever_is_killed_and_every_subscriber_sees_it_in_order() {
    let rounds = from_environment("SEGUE_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = seed();
    println!("SEGUE_CHAOS_SEED={seed} SEGUE_CHAOS_ROUNDS={rounds}");

    let runtime = Runtime::new().unwrap();
    let mut cluster = Cluster::start(&runtime, Server::start(), "");
    let (writing, talking) = (Api::new(&cluster.addresses), Api::new(&cluster.addresses));
    let sessions = Arc::new(runtime.block_on(turns::sessions(&talking, SESSIONS)));
    let load = Arc::new(Load::default());
    let (ended, end) = tokio::sync::watch::channel(None);

    let mut dice = Dice(seed);
    let own = |nth: usize| Dice(seed.wrapping_add(1 + nth as u64));
    let appends: Vec<_> = (0..CLIENTS)
        .map(|nth| runtime.spawn(writers::write(nth, writing.clone(), load.clone(), own(nth))))
        .collect();
    let talks: Vec<_> = (0..CUSTOMERS)
        .map(|nth| {
            let dice = own(1_000 + nth);
            runtime.spawn(turns::talk(nth, talking.clone(), sessions.clone(), load.clone(), dice))
        })
        .collect();
    let poller =
        runtime.spawn(readers::poll(writing.clone(), "projection", own(2_000), end.clone()));
    let follower = runtime.spawn(readers::tail(writing.clone(), own(2_001), end));

    for round in 1..=rounds {
        std::thread::sleep(Duration::from_millis(500 + dice.below(1_500)));
        let blow = Blow::thrown(&mut dice);
        blow.strike(&mut cluster, &mut dice, &runtime);
        let what = format_args!("{blow:?} in round {round}");
        let (before, took) = load.recovers(CLIENTS as u64 / 2, RECOVERS_WITHIN, what);
        println!("round {round}: {blow:?}, {before} acknowledged; going on after {took:?}");
    }

    load.stop();
    let mut history = History::default();
    for client in appends {
        runtime.block_on(client).unwrap().into_iter().for_each(|sent| history.push(sent));
    }
    let said: Vec<_> = talks.into_iter().map(|talk| runtime.block_on(talk).unwrap()).collect();

    let log = runtime.block_on(writing.log());
    ended.send(Some(log.len() as u64)).unwrap();
    let mut wrong = history.check(&log, &runtime.block_on(writing.streams(&log)));
    for reader in [poller, follower] {
        let lives = runtime.block_on(reader).unwrap();
        println!("a subscriber was resumed {} times", lives.len() - 1);
        wrong.extend(check_deliveries(&lives, &log));
    }
    println!(
        "{} events, {} appends acknowledged, {} refused, {} told to try again, {} cut off",
        log.len(),
        history.acknowledged(),
        history.refused(),
        load.turned_away.load(Ordering::SeqCst),
        load.cut_off.load(Ordering::SeqCst),
    );
    wrong.extend(runtime.block_on(chain::check(cluster.database.url(), writing.tenant)));
    let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    assert!(history.acknowledged() > CLIENTS * 5, "the clients got to write");
    assert!(history.refused() > 0, "some appends raced for a version");
    runtime.block_on(turns::check(&talking, &sessions, &said));
}

/// What is done to the cluster in a round; at its end everything is up.
#[derive(Debug, Clone, Copy)]
enum Blow {
    KillNode(usize),
    KillBothNodes,
    FreezeNode(usize),
    CrashPostgres,
    LongOutage,
    CrashEverything,
    CutConnections,
}

impl Blow {
    fn thrown(dice: &mut Dice) -> Self {
        let node = dice.below(NODES as u64) as usize;
        match dice.below(12) {
            0..=2 => Self::KillNode(node),
            3 => Self::KillBothNodes,
            4 | 5 => Self::FreezeNode(node),
            6..=8 => Self::CrashPostgres,
            9 => Self::LongOutage,
            10 => Self::CrashEverything,
            _ => Self::CutConnections,
        }
    }

    fn strike(self, cluster: &mut Cluster, dice: &mut Dice, runtime: &Runtime) {
        let long = || std::thread::sleep(Duration::from_secs(7));
        let mut a_while = || std::thread::sleep(Duration::from_millis(dice.below(1_500)));
        match self {
            Self::KillNode(node) => cluster.kill_node_for(node, a_while),
            Self::KillBothNodes => cluster.kill_all_nodes_for(a_while),
            Self::FreezeNode(node) => {
                cluster.freeze_node(node);
                a_while();
                a_while();
                cluster.thaw_node(node);
            }
            Self::CrashPostgres => crash_for(&mut cluster.postgres, a_while),
            // Longer than a server tries again by itself, so that clients are told to.
            Self::LongOutage => crash_for(&mut cluster.postgres, long),
            // The nodes come back first, to a database that is down.
            Self::CrashEverything => {
                cluster.postgres.stop_immediate();
                cluster.kill_all_nodes_for(|| ());
                a_while();
                cluster.postgres.start_again();
            }
            Self::CutConnections => runtime.block_on(async {
                let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE datname = current_database() AND pid <> pg_backend_pid()";
                cluster.database.client().await.batch_execute(cut).await.unwrap();
            }),
        }
    }
}
