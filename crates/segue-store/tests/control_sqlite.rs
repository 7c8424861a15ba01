//! The SQLite control plane keeps what every control plane promises: in a file that several open, and in
//! memory.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use async_trait::async_trait;
use segue_store::conformance::control::{Database, suite};
use segue_store::control::ControlPlane;
use segue_store::control::sqlite::Control;
use tempfile::TempDir;

struct File(TempDir);

#[async_trait]
impl Database for File {
    async fn open(&self) -> Arc<dyn ControlPlane> {
        Arc::new(Control::open(&self.0.path().join("control.db")).unwrap())
    }
}

struct Memory(Control);

#[async_trait]
impl Database for Memory {
    async fn open(&self) -> Arc<dyn ControlPlane> {
        Arc::new(self.0.clone())
    }
}

mod file {
    use super::*;
    suite!(File(tempfile::tempdir().unwrap()));
}

mod memory {
    use super::*;
    suite!(Memory(Control::in_memory().unwrap()));
}
