//! One run: a seed, from the beginning to the rest.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Once;
use std::time::Duration;

use super::bent::Bend;
use super::operator::Operator;
use super::reader::{Reader, follow};
use super::rest;
use super::subscriber::Subscriber;
use super::trouble;
use super::world::World;
use super::writer::Writer;

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    pub seed: u64,
    /// What must not have been.
    pub wrong: Vec<String>,
    pub lines: Vec<String>,
    /// The same for two runs that went the same way.
    pub fingerprint: u64,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
}

thread_local! {
    /// What has panicked in the run of this thread: a task that does so says it to nobody.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panicked| {
            PANICS.with_borrow_mut(|panics| panics.push(panicked.to_string()));
            before(panicked);
        }));
    });
}

/// Runs a seed.
pub fn run(seed: u64, bend: Bend) -> Run {
    watch_for_panics();
    PANICS.take();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let mut run = runtime.block_on(live(seed, bend));
    drop(runtime);
    run.wrong.extend(PANICS.take());
    run
}

async fn live(seed: u64, bend: Bend) -> Run {
    let world = World::of(seed, bend).await;
    let chance = world.chance.fork();
    let mut clients = Vec::new();
    let mut subscribers = Vec::new();
    for nth in 0..usize::try_from(chance.within(1, 2)).unwrap() {
        let subscriber = Subscriber::new(&world, nth).await;
        clients.push(tokio::spawn(subscriber.clone().work()));
        subscribers.push(subscriber);
    }
    let pace = chance.within(20, 150);
    for number in 0..usize::try_from(chance.within(2, 6)).unwrap() {
        clients.push(tokio::spawn(Writer::new(&world, number).work(pace)));
    }
    for _ in 0..chance.within(1, 3) {
        clients.push(tokio::spawn(Reader::new(&world).work(pace * 2)));
    }
    clients.push(tokio::spawn(follow(world.clone())));
    for _ in 0..chance.within(1, 2) {
        clients.push(tokio::spawn(Operator::new(&world).work()));
    }
    clients.push(tokio::spawn(trouble::brew(world.clone())));
    tokio::time::sleep(chance.millis(2_000, 9_000)).await;
    world.rest();
    rest::come(&world, clients, &subscribers).await;
    let trace = world.trace.clone();
    world.processes().iter().for_each(|process| process.kill(true));
    drop((subscribers, world));
    // What serves a queue ends when nothing came for a while.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    if left > 0 {
        trace.wrong(format!("{left} tasks are left"));
    }
    Run {
        seed,
        wrong: trace.all_wrong(),
        lines: trace.lines(),
        fingerprint: trace.fingerprint(),
        counts: trace.counts(),
    }
}
