//! The PostgreSQL control plane keeps what every control plane promises, in one schema that several open.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::ids::{Position, ScenarioId, StoreId, SubscriptionName, TenantId, Term};
use segue_core::scenario::hash::checksum;
use segue_store::conformance::control::races;
use segue_store::conformance::control::world::version;
use segue_store::conformance::control::{Database, suite};
use segue_store::control::audit::{Filter, Subject};
use segue_store::control::postgres::Control;
use segue_store::control::scenarios::NewVersion;
use segue_store::control::{
    By, Changed, Changes, ControlPlane, Error, Page, Routing, Subscriptions, Unavailable,
};
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use serde_json::json;
use uuid::Uuid;

struct Schema(TestDatabase);

#[async_trait]
impl Database for Schema {
    async fn open(&self) -> Arc<dyn ControlPlane> {
        let settings = Settings::new(self.0.url()).unwrap().with_pool_size(8).unwrap();
        Arc::new(Control::open(settings).unwrap())
    }
}

suite!(Schema(TestDatabase::fresh().await));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_take_turns_whatever_isolation_the_database_has_for_a_default() {
    let database = TestDatabase::fresh().await;
    let name = database.url().rsplit('/').next().unwrap();
    let strict =
        format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    database.client().await.batch_execute(&strict).await.unwrap();
    races::racing_decisions_leave_what_some_order_of_them_would(&Schema(database)).await;
}

/// Two processes on one database, and the database for a look behind.
async fn two_processes() -> (TestDatabase, Arc<dyn ControlPlane>, Arc<dyn ControlPlane>) {
    let schema = Schema(TestDatabase::fresh().await);
    let (one, two) = (schema.open().await, schema.open().await);
    (schema.0, one, two)
}

fn tenant() -> TenantId {
    TenantId(Uuid::new_v4())
}

fn by() -> By {
    By::new("olga", Timestamp::UNIX_EPOCH)
}

async fn hears(changes: &mut Changes, tenant: TenantId, within: Duration) {
    let heard = async {
        loop {
            match changes.next().await {
                Changed::Tenant(of) | Changed::Noun(of, _) if of == tenant => return,
                Changed::Tenant(_) | Changed::Noun(..) | Changed::Anything => {}
            }
        }
    };
    tokio::time::timeout(within, heard).await.expect("it is heard of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_whose_notification_was_lost_holds_at_once_and_is_heard_of_soon() {
    let (database, one, two) = two_processes().await;
    let store = StoreId::new("shared").unwrap();
    let tenant = tenant();
    one.place(tenant, &store, &by()).await.unwrap();
    let mut changes = two.changes();

    // As `change_phase` does it, save that nobody is notified.
    let silently = format!(
        "UPDATE segue_control.tenants SET phase = 'paused', paused_at = 7, term = 1; \
         UPDATE segue_control.decisions SET entries = entries + 1, decided_at = now() \
         WHERE tenant_id = '{tenant}'"
    );
    database.client().await.batch_execute(&silently).await.unwrap();
    let scenario = ScenarioId(Uuid::new_v4());
    let standing = two.standing(tenant, scenario).await.unwrap();
    assert_eq!(standing.route.unwrap().term, Term(1), "every turn reads what is");
    hears(&mut changes, tenant, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_connection_is_cut_hears_again() {
    let (database, one, two) = two_processes().await;
    let store = StoreId::new("shared").unwrap();
    let mut changes = two.changes();
    let first = self::tenant();
    one.place(first, &store, &by()).await.unwrap();
    hears(&mut changes, first, Duration::from_secs(20)).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.client().await.batch_execute(cut).await.unwrap();
    let tenant = tenant();
    // The pool's connections were cut as well: a write whose outcome is not known is looked up.
    while one.place(tenant, &store, &by()).await.is_err() {}
    let heard = async { while !changes.next().await.concerns(tenant, Subject::Tenant) {} };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("it is told to look again");
    let another = self::tenant();
    one.place(another, &store, &by()).await.unwrap();
    hears(&mut changes, another, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_one_tenant_are_numbered_without_gaps_and_wait_for_no_other_tenants() {
    let (database, one, two) = two_processes().await;
    let store = StoreId::new("shared").unwrap();
    let held = tenant();
    one.place(held, &store, &by()).await.unwrap();
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT * FROM segue_control.decisions FOR UPDATE").await.unwrap();
    let free = tenant();
    let by = &by();
    let placed = two.place(free, &store, by);
    tokio::time::timeout(Duration::from_secs(20), placed).await.unwrap().unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();

    let definition = |n: usize| {
        serde_json::from_value(json!({"name": format!("f{n}"), "value_type": "string"})).unwrap()
    };
    let defining = (0..20).map(|n| {
        let control = if n % 2 == 0 { one.clone() } else { two.clone() };
        async move { control.put_field(free, &definition(n), by).await.unwrap() }
    });
    let mut generations: Vec<u64> =
        futures_util::future::join_all(defining).await.into_iter().map(|g| g.0).collect();
    generations.sort_unstable();
    assert_eq!(generations, (1..=20).collect::<Vec<u64>>());
    let entries =
        "SELECT array_agg(entry ORDER BY entry) FROM segue_control.audit WHERE tenant_id = $1";
    let row = client.query_one(entries, &[&free.0]).await.unwrap();
    assert_eq!(row.get::<_, Vec<i64>>(0), (1..=21).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_value_that_nobody_wrote_is_damage_and_not_an_empty_answer() {
    let (database, one, _) = two_processes().await;
    let tenant = tenant();
    one.place(tenant, &StoreId::new("shared").unwrap(), &by()).await.unwrap();
    let client = database.client().await;
    client.batch_execute("UPDATE segue_control.tenants SET phase = 'sideways'").await.unwrap();
    let damaged = one.route(tenant).await;
    assert!(matches!(damaged, Err(Error::Corrupt { .. })), "{damaged:?}");
    client
        .batch_execute("UPDATE segue_control.tenants SET phase = 'settled', epoch = -1")
        .await
        .unwrap();
    let damaged = one.route(tenant).await;
    assert!(matches!(damaged, Err(Error::Corrupt { .. })), "{damaged:?}");
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_busy_and_reads_go_on() {
    let database = TestDatabase::fresh().await;
    let settings = Settings::new(database.url()).unwrap();
    let settings = settings.with_lock_timeout(Duration::from_millis(100)).unwrap();
    let control = Control::open(settings).unwrap();
    let (tenant, store) = (tenant(), StoreId::new("shared").unwrap());
    control.place(tenant, &store, &by()).await.unwrap();
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT * FROM segue_control.decisions FOR UPDATE").await.unwrap();
    let name = SubscriptionName::new("mail").unwrap();
    let waits = control.put_subscription(tenant, &name, Position(0), &by()).await;
    assert!(matches!(waits, Err(Error::Unavailable(Unavailable::Busy, _))), "{waits:?}");
    assert!(control.route(tenant).await.unwrap().is_some());
    control.check().await.unwrap();
}

#[tokio::test]
async fn a_read_only_server_says_so() {
    let database = TestDatabase::fresh().await;
    let control = Control::open(Settings::new(database.url()).unwrap()).unwrap();
    control.ready().await.unwrap();
    let name = database.url().rsplit('/').next().unwrap();
    let client = database.client().await;
    let demote = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    client.batch_execute(&demote).await.unwrap();
    let demoted = Control::open(Settings::new(database.url()).unwrap()).unwrap();
    let refusal = demoted.ready().await.unwrap_err().reason;
    assert!(refusal.passes(), "a server that starts waits for it: {refusal}");
    let refused = demoted.check().await;
    assert!(matches!(refused, Err(Error::Unavailable(Unavailable::ReadOnly, _))), "{refused:?}");
}

#[tokio::test]
async fn texts_may_hold_what_postgresql_cannot() {
    let (_database, one, two) = two_processes().await;
    let tenant = tenant();
    let scenario = ScenarioId(Uuid::new_v4());
    let mut first = version(scenario, 1);
    let mut document = (*first.document).clone();
    document.name = "nothing\0much".to_owned();
    document.description = Some("\u{1F600}\0".to_owned());
    first = NewVersion { checksum: checksum(&document), document: Arc::new(document) };
    let by = By::new("o\0lga", Timestamp::UNIX_EPOCH);
    one.register_scenario(tenant, &first, &by).await.unwrap();
    let found = two.scenario(tenant, scenario).await.unwrap();
    assert_eq!(found.name, "nothing\0much");
    let filter = Filter { actor: Some("o\0lga".to_owned()), ..Filter::default() };
    assert_eq!(two.list_audit(tenant, &filter, Page::first(9)).await.unwrap().total, 1);
}
