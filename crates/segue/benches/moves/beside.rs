//! What writers notice while a tenant is copied and followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::world::{Kind, World, append, by, heading, quantile, rate, ratio, stream, value};

const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 4;

pub async fn measure(kind: Kind, url: &str) {
    dual_write(kind, url).await;
    bulk_copy(kind, url).await;
}

/// One client's latency with and without a store that follows, in turns.
async fn dual_write(kind: Kind, url: &str) {
    heading(&format!("{}: appends beside a dual write", kind.name()));
    let world = World::new(kind, url).await;
    world.fill(10_000).await;
    for (clients, name) in [(1, "1 client"), (16, "16 clients")] {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            alone.extend(drive(&world, clients, TURN).await);
            let migration = world.start("dedicated").await;
            world.follows(migration.id).await;
            beside.extend(drive(&world, clients, TURN).await);
            world.moves.abort_migration(migration.id, "measured", &by()).await.unwrap();
        }
        alone.sort_unstable();
        beside.sort_unstable();
        value(&format!("append, {name}, p50 alone"), quantile(&alone, 0.5), "ms");
        value(&format!("append, {name}, p50 beside a dual write"), quantile(&beside, 0.5), "ms");
        let target = if clients == 1 { "at most 1.1" } else { "(no target)" };
        ratio("with to without", quantile(&beside, 0.5) / quantile(&alone, 0.5), target);
    }
}

/// Writers' rate while another part of the log is copied, with the default limit.
async fn bulk_copy(kind: Kind, url: &str) {
    heading(&format!("{}: 16 writers beside a bulk copy", kind.name()));
    let world = World::new(kind, url).await;
    world.fill(400_000).await;
    let (mut alone, mut beside) = (0.0, 0.0);
    for _ in 0..2 {
        alone += drive(&world, 16, TURN * 2).await.len() as f64;
        let migration = world.start("dedicated").await;
        let begun = Instant::now();
        let written = drive(&world, 16, TURN * 2).await.len() as f64;
        beside += written;
        let copied = world.moves.get_migration(migration.id).await.unwrap();
        rate("copied meanwhile", copied.events_copied as f64 / begun.elapsed().as_secs_f64());
        println!("  it is {} by then", copied.state);
        world.moves.abort_migration(migration.id, "measured", &by()).await.unwrap();
        let gone = |migration: &segue::tenants::Migration| !migration.is_active;
        let patience = Duration::from_secs(120);
        world.moves.wait_until(migration.id, patience, gone).await.unwrap();
    }
    let seconds = 2.0 * (TURN * 2).as_secs_f64();
    rate("writers alone", alone / seconds);
    rate("writers beside the copy", beside / seconds);
    ratio("beside to alone", beside / alone, "at least 0.8");
}

async fn drive(world: &World, clients: u64, turn: Duration) -> Vec<Duration> {
    let run = uuid::Uuid::now_v7().as_u128() as u64;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..clients)
        .map(|nth| {
            let (router, tenant, stop) = (world.router.clone(), world.tenant, stop.clone());
            tokio::spawn(async move {
                let (mut each, mut version) = (Vec::new(), 0);
                let stream = stream(run.wrapping_add(nth));
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let streams = vec![append(stream.clone(), version)];
                    router.append(tenant, Timestamp::now(), streams).await.unwrap();
                    version += 1;
                    each.push(begun.elapsed());
                }
                each
            })
        })
        .collect();
    tokio::time::sleep(turn).await;
    stop.store(true, Ordering::Relaxed);
    let mut each = Vec::new();
    for task in tasks {
        each.extend(task.await.unwrap());
    }
    each
}
