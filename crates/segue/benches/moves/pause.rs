//! The pause of a cutover as writers see it: the gap between two acknowledged appends, whoever made them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use segue::tenants::coordinator::When;
use segue_core::ids::MigrationId;

use super::world::{Kind, World, append, by, heading, quantile, ratio, stream, tenant, value};

const WRITERS: u64 = 16;
const MOVES: usize = 40;
/// How long writers are watched before and after a cutover.
const AROUND: Duration = Duration::from_millis(100);
/// So many events are a long history: each move back reads it again, which takes its time.
const LONG: u64 = 100_000;
const MOVES_OF_A_LONG_HISTORY: usize = 16;

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
        let mut cutovers = Vec::new();
        let moves = if history > LONG { MOVES_OF_A_LONG_HISTORY } else { MOVES };
        for _ in 0..moves {
            let (cutover, next) = cutover(&world, migration, &writers).await;
            cutovers.push(cutover);
            migration = next;
        }
        value("gap between acknowledged appends without a cutover, longest of 1 s", usual, "ms");
        tell(cutovers, commit);
        let latencies = writers.end().await;
        value("append of a writer beside all of that, p50", quantile(&latencies, 0.5), "ms");
        value("append of a writer, longest", quantile(&latencies, 1.0), "ms");
    }
}

/// Prints what writers saw of some cutovers. Medians of parts do not add up to the median of the whole.
fn tell(cutovers: Vec<Cutover>, commit: f64) {
    let sorted = |of: &dyn Fn(&Cutover) -> Duration| {
        let mut all: Vec<_> = cutovers.iter().map(of).collect();
        all.sort_unstable();
        all
    };
    let gaps = sorted(&|cutover| cutover.gap);
    let median = quantile(&gaps, 0.5);
    value("gap across a cutover, median", median, "ms");
    for (part, what) in PARTS.iter().enumerate() {
        let took = sorted(&|cutover| cutover.parts[part]);
        value(&format!("  of that, {what}, median"), quantile(&took, 0.5), "ms");
    }
    value(&format!("gap across a cutover, longest of {}", gaps.len()), quantile(&gaps, 1.0), "ms");
    let around = sorted(&|cutover| cutover.longest_around);
    value("longest gap from the request to 100 ms after, median", quantile(&around, 0.5), "ms");
    let told = sorted(&|cutover| cutover.told);
    value(
        "from the fence to the commit, as the coordinator tells it, median",
        quantile(&told, 0.5),
        "ms",
    );
    ratio("median gap to three durable commits", median / (3.0 * commit), "at most 2");
}

/// What the gap across a cutover is made of, in order.
const PARTS: [&str; 6] = [
    "the last append before the fence is sent",
    "the fence",
    "the drain",
    "the read-back",
    "the commit",
    "the first append after it",
];

/// What writers saw of one cutover.
struct Cutover {
    /// Between the last acknowledged append before the commit, and the first one after it.
    gap: Duration,
    parts: [Duration; PARTS.len()],
    /// The longest gap from the request on: also what verifying and reading back before it costs.
    longest_around: Duration,
    /// What the coordinator told.
    told: Duration,
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

/// Cuts over, and goes back by the next migration, which is the other answer.
async fn cutover(world: &World, id: MigrationId, writers: &Writers) -> (Cutover, MigrationId) {
    tokio::time::sleep(AROUND).await;
    let before = Instant::now();
    let migrated = world.cut_over(id).await;
    tokio::time::sleep(AROUND).await;
    let steps = world.timeline.take();
    let last = |name, when| steps.iter().rev().find(|step| step.1 == name && step.2 == when);
    let [fence, drain, read_back, commit] =
        ["fence", "drain", "read_back", "commit"].map(|name| last(name, When::After).unwrap().0);
    let sent = last("fence", When::Before).unwrap().0;
    let gaps = writers.gaps(before);
    // The last ones from before the fence are acknowledged with it.
    let &(from, to) = gaps.iter().find(|(_, to)| *to > commit).unwrap();
    // A step that ended before the gap began has no part in it.
    let mut begun = from;
    let parts = [sent, fence, drain, read_back, commit, to].map(|ended| {
        let part = ended.saturating_duration_since(begun);
        begun = begun.max(ended);
        part
    });
    let seen = Cutover {
        gap: to - from,
        parts,
        longest_around: gaps.iter().map(|(from, to)| *to - *from).max().unwrap(),
        told: Duration::from_secs_f64(migrated.cutover.pause_ms.unwrap() / 1e3),
    };
    let back = world.moves.reverse(id, &by()).await.unwrap();
    world.follows(back.id).await;
    (seen, back.id)
}

fn usual_gap(writers: &Writers) -> f64 {
    let gaps = writers.gaps(Instant::now() - Duration::from_millis(900));
    gaps.iter().map(|(from, to)| *to - *from).max().unwrap().as_secs_f64() * 1e3
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

    /// The times between two acknowledged appends since a moment.
    fn gaps(&self, since: Instant) -> Vec<(Instant, Instant)> {
        let mut all = self.acknowledged.lock().unwrap();
        all.sort_unstable();
        let pairs = all.windows(2).map(|pair| (pair[0], pair[1]));
        pairs.filter(|(_, to)| *to > since).collect()
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
