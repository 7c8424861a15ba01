//! The control plane with faults is one like others, and fails, waits and comes back as told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{StoreId, TenantId};
use segue_store::conformance::control::{Database, suite};
use segue_store::control::routing::Placement;
use segue_store::control::sqlite::Control;
use segue_store::control::{By, ControlPlane, Error, Routing, Unavailable};
use segue_store::faulty::{Call, Fault, FaultyControl};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::nil());

struct Sound(Control);

#[async_trait]
impl Database for Sound {
    async fn open(&self) -> Arc<dyn ControlPlane> {
        Arc::new(FaultyControl::around(Arc::new(self.0.clone())))
    }
}

mod without_faults {
    use super::*;

    suite!(Sound(Control::in_memory().unwrap()));
}

fn faulty() -> Arc<FaultyControl> {
    Arc::new(FaultyControl::around(Arc::new(Control::in_memory().unwrap())))
}

async fn place(control: &FaultyControl) -> Result<Placement, Error> {
    let (store, by) = (StoreId::new("shared").unwrap(), By::new("olga", Timestamp::UNIX_EPOCH));
    control.place(TENANT, &store, &by).await
}

#[tokio::test]
async fn a_decision_fails_before_it_is_made_or_after() {
    for (fault, is_there) in [(Fault::Before, false), (Fault::After, true)] {
        let control = faulty();
        control.inject_next(Call::Place, fault);
        let lost = place(&control).await;
        assert!(matches!(lost, Err(Error::Unavailable(Unavailable::Lost, _))), "{lost:?}");
        assert_eq!(control.route(TENANT).await.unwrap().is_some(), is_there);
        let again = place(&control).await.unwrap();
        assert_eq!(matches!(again, Placement::Home(_)), is_there);
    }
}

#[tokio::test]
async fn after_a_crash_nothing_is_answered_until_the_restart() {
    let control = faulty();
    control.crash();
    assert!(control.route(TENANT).await.is_err() && control.check().await.is_err());
    control.restart();
    assert_eq!(control.route(TENANT).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_held_is_made_when_it_is_released() {
    let control = faulty();
    control.hold();
    let held = tokio::spawn({
        let control = control.clone();
        async move { place(&control).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!held.is_finished());
    control.release();
    assert!(matches!(held.await.unwrap(), Ok(Placement::Placed(_))));
}
