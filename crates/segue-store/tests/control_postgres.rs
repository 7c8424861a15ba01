//! The PostgreSQL control plane keeps what every control plane promises, in one schema that several open.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use async_trait::async_trait;
use segue_store::conformance::control::{Database, suite};
use segue_store::control::ControlPlane;
use segue_store::control::postgres::Control;
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;

struct Schema(TestDatabase);

#[async_trait]
impl Database for Schema {
    async fn open(&self) -> Arc<dyn ControlPlane> {
        let settings = Settings::new(self.0.url()).unwrap().with_pool_size(8).unwrap();
        Arc::new(Control::open(settings).unwrap())
    }
}

suite!(Schema(TestDatabase::fresh().await));
