//! The SQLite control plane keeps what every control plane promises: in a file that several open, and in
//! memory.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use segue_core::ids::{Position, SubscriptionName, Term};
use segue_store::conformance::control::world::{World, new_store, olga};
use segue_store::conformance::control::{Database, suite};
use segue_store::control::audit::Filter;
use segue_store::control::sqlite::Control;
use segue_store::control::{ControlPlane, Page, plans};
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

/// Everything that the first schema keeps, as text.
async fn kept(world: &World) -> String {
    let (control, tenant) = (&world.control, world.tenant);
    let all = Page::first(100);
    let plans = control.list_plans(tenant, plans::Filter::default(), all).await.unwrap();
    let mut documents = Vec::new();
    for plan in &plans.items {
        documents.push(control.plan_summary(tenant, plan.plan_id).await.unwrap());
        documents.push(control.plan_map(tenant, plan.plan_id).await.unwrap());
    }
    format!(
        "{plans:?} {documents:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        control.list_scenarios(tenant, all).await.unwrap(),
        control.list_versions(tenant, world.scenario, all).await.unwrap(),
        control.deployed(tenant, world.scenario).await.unwrap(),
        control.standing(tenant, world.scenario).await.unwrap(),
        control.list_tenants(None, all).await.unwrap(),
        control.list_audit(tenant, &Filter::default(), all).await.unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_the_first_schema_is_brought_up_to_date_by_several_at_once_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    let database = File(folder);
    let mut world = World::with_scenario(&database).await;
    world.control.place(world.tenant, &new_store(), &olga(1)).await.unwrap();
    world.deployed(1, 2, 2).await;
    world.create(2, 3, 4).await;
    let before = kept(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("control.db");
    // What version 1 left behind.
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "DROP TABLE console_logins;
         DROP TABLE api_keys;
         DROP TABLE forecast_pages;
         DROP TABLE forecasts;
         DROP TABLE tenant_migrations;
         DROP TABLE mirror_failures;
         DROP TABLE incarnations;
         ALTER TABLE tenants DROP COLUMN minted;
         ALTER TABLE tenants DROP COLUMN moving;
         DROP TABLE subscriptions;
         ALTER TABLE tenants DROP COLUMN paused_at;
         ALTER TABLE tenants DROP COLUMN term;
         DELETE FROM refinery_schema_history WHERE version > 1;",
    )
    .unwrap();
    old.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();

    let opening: Vec<_> = (0..4)
        .map(|_| {
            let copy = copy.clone();
            std::thread::spawn(move || Control::open(&copy).unwrap())
        })
        .collect();
    for opened in opening {
        world.control = Arc::new(opened.join().unwrap());
        assert_eq!(kept(&world).await, before);
    }
    let name = SubscriptionName::new("mail").unwrap();
    world.control.put_subscription(world.tenant, &name, Position(7), &olga(5)).await.unwrap();
    let route = world.control.route(world.tenant).await.unwrap().unwrap();
    assert_eq!(route.term, Term(0));
}
