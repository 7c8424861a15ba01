//! The pause of a cutover as writers see it: the gap between two acknowledged appends, whoever made them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use segue_core::ids::MigrationId;

use super::world::{Kind, World, append, by, heading, quantile, ratio, stream, tenant, value};

const WRITERS: u64 = 16;
const MOVES: usize = 40;

pub async fn measure(kind: Kind, url: &str, events: u64) {
    for history in [10_000, events] {
        heading(&format!(
            "{}: cutovers under 16 writers, {history} events of history",
            kind.name()
        ));
        let world = World::new(kind, url).await;
        world.fill(history).await;
        let commit = durable_commit(&world).await;
        value("a durable commit, one client alone, p50", commit, "ms");
        let mut migration = world.start("dedicated").await.id;
        world.follows(migration).await;
        let writers = Writers::begin(&world);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let usual = usual_gap(&writers);
        let mut gaps = Vec::new();
        let mut pauses = Vec::new();
        for _ in 0..MOVES {
            let (gap, pause, next) = cutover(&world, migration, &writers).await;
            gaps.push(gap);
            pauses.push(pause);
            migration = next;
        }
        let latencies = writers.end().await;
        gaps.sort_unstable();
        pauses.sort_by(f64::total_cmp);
        value("gap between acknowledged appends without a cutover, longest of 1 s", usual, "ms");
        value("gap during a cutover, median", quantile(&gaps, 0.5), "ms");
        value("gap during a cutover, p99", quantile(&gaps, 0.99), "ms");
        value("pause as the coordinator measured it, median", pauses[pauses.len() / 2], "ms");
        value("append of a writer beside all of that, p50", quantile(&latencies, 0.5), "ms");
        value("append of a writer, longest", quantile(&latencies, 1.0), "ms");
        ratio(
            "median gap to three durable commits",
            quantile(&gaps, 0.5) / (3.0 * commit),
            "at most 2",
        );
    }
}

/// One append after the other by a client that is alone: what the store takes for a durable commit.
async fn durable_commit(world: &World) -> f64 {
    let alone = tenant(99);
    let mut each = Vec::new();
    for n in 0..500 {
        let begun = Instant::now();
        let streams = vec![append(stream(1_000_000), n)];
        world.router.append(alone, Timestamp::now(), streams).await.unwrap();
        each.push(begun.elapsed());
    }
    each.sort_unstable();
    quantile(&each, 0.5)
}

/// Cuts over, and goes back by the next one; the gap that writers saw.
async fn cutover(
    world: &World,
    id: MigrationId,
    writers: &Writers,
) -> (Duration, f64, MigrationId) {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = Instant::now();
    let migrated = world.cut_over(id).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let gap = writers.longest_gap(before);
    let back = world.moves.reverse(id, &by()).await.unwrap();
    world.follows(back.id).await;
    (gap, migrated.cutover.pause_ms.unwrap_or(f64::NAN), back.id)
}

fn usual_gap(writers: &Writers) -> f64 {
    writers.longest_gap(Instant::now() - Duration::from_millis(900)).as_secs_f64() * 1e3
}

type Acknowledged = Arc<std::sync::Mutex<Vec<Instant>>>;

struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Acknowledged,
    tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Writers {
    fn begin(world: &World) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
        let tasks = (0..WRITERS).map(|nth| {
            let (router, tenant) = (world.router.clone(), world.tenant);
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let (mut each, mut version) = (Vec::new(), 0);
                let stream = stream(2_000_000 + nth);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let streams = vec![append(stream.clone(), version)];
                    router.append(tenant, Timestamp::now(), streams).await.unwrap();
                    version += 1;
                    each.push(begun.elapsed());
                    acknowledged.lock().unwrap().push(Instant::now());
                }
                each
            })
        });
        let tasks = tasks.collect();
        Self { stop, acknowledged, tasks }
    }

    /// The longest time without an acknowledged append since a moment.
    fn longest_gap(&self, since: Instant) -> Duration {
        let mut all = self.acknowledged.lock().unwrap();
        all.sort_unstable();
        let gaps = all.windows(2).filter(|pair| pair[1] > since).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    async fn end(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut each = Vec::new();
        for task in self.tasks {
            each.extend(task.await.unwrap());
        }
        each.sort_unstable();
        each
    }
}
