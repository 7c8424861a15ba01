//! Random histories give the same answers in SQLite as in memory. A failing one is shrunk step by step.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::collection::vec;
use proptest::prelude::*;
use segue_store::conformance::events::Fixture;
use segue_store::conformance::events::histories::{compare, random_step};
use segue_store::dice::Dice;
use segue_store::events::sqlite::SqliteEventStore;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_memory_does(seeds in vec(any::<u64>(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteEventStore::open(folder.path().join("events.db")).unwrap();
            let world = Fixture::keeping(store, folder).open().await;
            let steps: Vec<_> = (0..)
                .zip(&seeds)
                .map(|(n, seed)| random_step(&world, &mut Dice(*seed), n))
                .collect();
            compare(&world, &steps).await;
            world.verify().await;
        });
    }
}
