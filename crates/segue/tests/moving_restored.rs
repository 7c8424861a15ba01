//! A database that is restored from a backup has forgotten that a tenant has left it, or that its writes
//! wait. Nobody is answered from there before it is told again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod moves;

use std::sync::Arc;
use std::time::{Duration, Instant};

use moves::{PATIENCE, World, new_event, olga, store_id, to};
use segue_core::ids::{Epoch, Position, TenantId};
use segue_core::tenancy::migration::MigrationState;
use segue_store::control::Page;
use segue_store::control::audit::{Action, Filter};
use segue_store::control::sqlite::Control;
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::{
    Access, Append, Error, EventStore, Expected, LogRead, MemoryEventStore, Mode,
};
use segue_store::postgres::Settings;
use segue_testing::postgres::{Server, TestDatabase};

struct Restorable {
    server: Server,
    database: TestDatabase,
    world: World,
    /// A tenant that never moves.
    bystander: TenantId,
}

impl Restorable {
    /// A tenant in a PostgreSQL server of its own, of which there is a backup.
    async fn backed_up() -> Self {
        let mut server = Server::setup().volatile().start();
        let database = TestDatabase::on(&server).await;
        let shared = open(&database).await;
        let control = Arc::new(Control::in_memory().unwrap());
        let world = World::over(control, shared, Arc::new(MemoryEventStore::new())).await;
        world.append("history", 50).await;
        let bystander = TenantId(uuid::Uuid::new_v4());
        world.router.place_in(bystander, &store_id("shared"), &olga()).await.unwrap();
        // The guard has to have seen the database as it was.
        eventually(async || {
            world.control.incarnation(&store_id("shared")).await.unwrap().is_some()
        })
        .await;
        server.stop_fast();
        server.back_up();
        server.start_again();
        Self { server, database, world, bystander }
    }

    fn restore(&mut self) {
        self.server.stop_fast();
        self.server.restore();
        self.server.start_again();
    }

    /// Every line that the audit has of fences that were put back.
    async fn fences_put_back(&self) -> usize {
        let filter = Filter { action: Some(Action::FencesRestored), ..Filter::default() };
        let tenant = self.world.tenant;
        self.world.control.list_audit(tenant, &filter, Page::first(10)).await.unwrap().items.len()
    }
}

async fn open(database: &TestDatabase) -> Arc<dyn EventStore> {
    let settings = Settings::new(database.url()).unwrap().with_pool_size(8).unwrap();
    let opened = PostgresEventStore::open(settings).unwrap();
    // A server that recovers takes no writes at first.
    eventually(async || opened.ready().await.is_ok()).await;
    Arc::new(opened)
}

async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "it does not come to it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether `shared` knows that the tenant lives elsewhere; it may follow it there, for a way back.
async fn has_left(world: &World) -> bool {
    let head = world.shared.head(world.tenant).await.unwrap();
    matches!(head.mode, Mode::Moved | Mode::Copying)
}

/// A write of somebody who has slept since `epoch`.
fn late(tenant: TenantId, epoch: u64) -> Append {
    Append {
        tenant,
        epoch: Epoch(epoch),
        recorded_at: jiff::Timestamp::UNIX_EPOCH,
        streams: vec![to("history", Expected::Any, vec![new_event()], None)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_source_does_not_believe_that_the_tenant_is_still_there() {
    let mut restorable = Restorable::backed_up().await;
    let moved = restorable.world.moved("dedicated").await;
    let world = &restorable.world;
    eventually(async || has_left(world).await).await;
    world.append("history", 5).await;

    restorable.restore();
    let world = &restorable.world;
    // Its head says once more that the tenant may be written here. A writer who slept believes it too.
    let old_friend = world.shared.append(late(world.tenant, 1)).await;
    assert!(
        matches!(old_friend, Err(Error::Unavailable { .. } | Error::Fenced { .. })),
        "{old_friend:?}"
    );
    eventually(async || world.shared.quarantine().is_none()).await;
    assert!(has_left(world).await);
    let old_friend = world.shared.append(late(world.tenant, 1)).await;
    assert!(matches!(old_friend, Err(Error::Fenced { .. })), "{old_friend:?}");
    assert_eq!(restorable.fences_put_back().await, 1);

    // The tenant itself has noticed nothing, and may even go back: what the backup lacks is copied again.
    let world = &restorable.world;
    assert_eq!(world.log().await.len(), 55);
    let back = world.moves.reverse(moved.id, &olga()).await.unwrap();
    world.cut_over(back.id).await;
    assert_eq!((world.home().await.0, world.log().await.len()), (store_id("shared"), 55));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_restored_while_nobody_looked_is_not_used_before_its_fences_are_back() {
    let mut restorable = Restorable::backed_up().await;
    restorable.world.moved("dedicated").await;
    let world = &restorable.world;
    eventually(async || has_left(world).await).await;
    world.moves.stop();
    restorable.restore();

    // A process that starts now has never seen the database as it was.
    let (control, shared) = (restorable.world.control.clone(), open(&restorable.database).await);
    let dedicated = restorable.world.dedicated.clone();
    let fresh = World::of(restorable.world.tenant, control, shared, dedicated, None);
    let refused = fresh.router.head(restorable.bystander).await;
    assert!(format!("{refused:?}").contains("Restored"), "{refused:?}");
    let refused = fresh.shared.append(late(fresh.tenant, 1)).await;
    assert!(format!("{refused:?}").contains("Restored"), "{refused:?}");
    let stores = fresh.router.store_views().await.unwrap();
    let shared = stores.iter().find(|store| store.store_id == store_id("shared")).unwrap();
    assert!(!shared.healthy, "{shared:?}");
    assert!(shared.reason.as_ref().unwrap().contains("was restored"), "{shared:?}");
    assert!(
        fresh
            .shared
            .read_log(LogRead {
                tenant: fresh.tenant,
                access: Access::Copy,
                after: Position(0),
                limit: 10,
                max_bytes: 1 << 20,
            })
            .await
            .is_ok(),
        "copies are read all the while"
    );

    fresh.moves.attend();
    eventually(async || fresh.shared.quarantine().is_none()).await;
    assert!(fresh.router.head(restorable.bystander).await.unwrap().is_some());
    assert!(has_left(&fresh).await);
    assert_eq!(restorable.fences_put_back().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_pause_was_forgotten_waits_again() {
    let mut restorable = Restorable::backed_up().await;
    let world = &restorable.world;
    let migration = world.start("dedicated").await;
    world.reaches(migration.id, MigrationState::DualWrite).await;
    world.router.pause_writes(world.tenant, &olga()).await.unwrap();
    assert_eq!(world.shared.head(world.tenant).await.unwrap().mode, Mode::Fenced);

    restorable.restore();
    let world = &restorable.world;
    eventually(async || {
        // Whoever comes first notices.
        let _ = world.router.head(world.tenant).await;
        restorable.fences_put_back().await == 1
    })
    .await;
    assert_eq!(world.shared.head(world.tenant).await.unwrap().mode, Mode::Fenced);
    world.router.resume_writes(world.tenant, &olga()).await.unwrap();
    world.append("history", 1).await;
    assert_eq!(world.home().await.0, store_id("shared"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_that_no_route_names_is_noticed_too() {
    let mut restorable = Restorable::backed_up().await;
    restorable.world.moved("dedicated").await;
    let world = &restorable.world;
    eventually(async || has_left(world).await).await;
    world.moves.stop();
    let before = world.control.incarnation(&store_id("shared")).await.unwrap();
    restorable.restore();

    // A new process in which nobody asks for a tenant that lives there.
    let (control, shared) = (restorable.world.control.clone(), open(&restorable.database).await);
    let dedicated = restorable.world.dedicated.clone();
    let fresh = World::of(restorable.world.tenant, control, shared, dedicated, None);
    fresh.moves.attend();
    eventually(async || fresh.control.incarnation(&store_id("shared")).await.unwrap() != before)
        .await;
    assert!(has_left(&fresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_of_a_tenant_that_never_moved_is_not_forgotten_either() {
    let mut restorable = Restorable::backed_up().await;
    let (world, tenant) = (&restorable.world, restorable.bystander);
    world.router.pause_writes(tenant, &olga()).await.unwrap();
    restorable.restore();
    let world = &restorable.world;
    let before = world.control.incarnation(&store_id("shared")).await.unwrap();
    eventually(async || {
        let _ = world.router.head(tenant).await;
        world.control.incarnation(&store_id("shared")).await.unwrap() != before
    })
    .await;
    assert_eq!(world.shared.head(tenant).await.unwrap().mode, Mode::Fenced);
}
