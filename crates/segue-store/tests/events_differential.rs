//! Random histories give the same answers in SQLite and in PostgreSQL as in memory, however often the store
//! is opened anew in between, and a copy of what came of one into another kind of store is the same log. A
//! failing history is shrunk step by step.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use segue_core::ids::Epoch;
use segue_store::conformance::events::histories::{Step, answer, compare, random_step};
use segue_store::conformance::events::{Fixture, imports, stream, tenant};
use segue_store::dice::Dice;
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::events::{Access, EventStore, MemoryEventStore, Mode};
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use tempfile::TempDir;

/// The same stores, opened anew.
struct Stores {
    folder: TempDir,
    database: TestDatabase,
    memory: Arc<MemoryEventStore>,
}

impl Stores {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, database: TestDatabase::fresh().await, memory: Arc::default() }
    }

    fn open(&self) -> [Arc<dyn EventStore>; 3] {
        let file = self.folder.path().join("events.db");
        let settings = Settings::new(self.database.url()).unwrap().with_pool_size(4).unwrap();
        [
            Arc::clone(&self.memory) as _,
            Arc::new(SqliteEventStore::open(file).unwrap()),
            Arc::new(PostgresEventStore::open(settings).unwrap()),
        ]
    }
}

/// Plays steps to all stores, opens them anew now and then, and copies the logs crosswise in the end.
async fn play(steps: &[Step]) {
    let stores = Stores::new().await;
    let (own, epoch) = (tenant(1), Epoch(7));
    let mut open = stores.open();
    for store in &open {
        store.open_tenant(own, epoch).await.unwrap();
    }
    for (n, step) in steps.iter().enumerate() {
        if n % 25 == 24 {
            open = stores.open();
        }
        let [memory, sqlite, postgres] = &open;
        let expected = answer(memory.as_ref(), own, epoch, step).await;
        for store in [sqlite, postgres] {
            let found = answer(store.as_ref(), own, epoch, step).await;
            assert_eq!(found, expected, "{}, step {n} of the history, {step:?}", store.kind());
        }
    }
    let head = open[0].head(own).await.unwrap();
    for store in &open {
        assert_eq!(store.head(own).await.unwrap(), head, "{}", store.kind());
    }
    if !matches!(head.mode, Mode::Open | Mode::Prepared | Mode::Fenced) {
        return;
    }
    let streams: Vec<_> = (0..4).map(|n| stream(&format!("s{n}"))).collect();
    let states = open[0].load_many(own, Access::Copy, &streams).await.unwrap();
    for from in 0..open.len() {
        let (source, target) = (&open[from], &open[(from + 1) % open.len()]);
        let copy = tenant(2);
        let copied = imports::copy(source.as_ref(), (own, head.epoch), target.as_ref(), copy).await;
        assert_eq!(copied.mark(), head.mark(), "{} to {}", source.kind(), target.kind());
        assert_eq!(target.load_many(copy, head.epoch.into(), &streams).await.unwrap(), states);
    }
}

fn steps(seeds: &[u64]) -> Vec<Step> {
    let step = |(n, seed): (u64, &u64)| random_step(tenant(1), Epoch(7), &mut Dice(*seed), n);
    (0..).zip(seeds).map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_memory_does(seeds in vec(any::<u64>(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteEventStore::open(folder.path().join("events.db")).unwrap();
            let world = Fixture::keeping(store, folder).open().await;
            compare(&world, &steps(&seeds)).await;
            world.verify().await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn all_stores_answer_alike_and_copy_into_each_other(seeds in vec(any::<u64>(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&steps(&seeds)));
    }
}
