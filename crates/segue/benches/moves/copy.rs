//! How fast a copy is, beside the same rows moved bare.

use std::sync::Arc;
use std::time::Instant;

use segue::tenants::BulkCopier;
use segue::tenants::read_back::ReadBack;
use segue_core::digest::Mark;
use segue_core::ids::{Epoch, MigrationId, Term};

use super::raw;
use super::world::{Kind, World, heading, rate, ratio, resident_mib, value};

pub async fn measure(kind: Kind, url: &str, events: u64) {
    heading(&format!("{}: bulk copy of {events} events of 300 bytes", kind.name()));
    let world = World::new(kind, url).await;
    world.fill(events).await;
    let bare = raw::copy(&world, url, events).await;
    rate("the same rows, bare", bare);
    let (copied, resident) = copy(&world).await;
    rate("copied and hashed, pages of 1,000", copied);
    ratio("to the bare rows", copied / bare, "at least 0.6");
    let begun = Instant::now();
    read_back(&world).await;
    let both = 1.0 / (1.0 / copied + begun.elapsed().as_secs_f64() / events as f64);
    rate("and read back and hashed again, one after the other", both);
    ratio("to the bare rows", both / bare, "at least 0.4");
    value("resident memory before", resident.0 as f64, "MiB");
    value("resident memory after", resident.1 as f64, "MiB");
    drop(world);

    // The whole of it, as a migration does it: preflight, copy, read-back beside it, until it follows.
    let world = World::new(kind, url).await;
    world.fill(events).await;
    let begun = Instant::now();
    let migration = world.start("dedicated").await;
    world.follows(migration.id).await;
    let followed = events as f64 / begun.elapsed().as_secs_f64();
    world.cut_over(migration.id).await;
    let whole = events as f64 / begun.elapsed().as_secs_f64();
    rate("a migration until the target follows", followed);
    rate("a migration from its start to its commit, all read back", whole);
    ratio("to the bare rows", whole / bare, "at least 0.4");
}

async fn copy(world: &World) -> (f64, (u64, u64)) {
    let (source, target) = (Arc::clone(&world.shared), Arc::clone(&world.dedicated));
    let mut copier = BulkCopier::new(source, target, world.tenant, 1_000);
    let before = resident_mib();
    let id = MigrationId(uuid::Uuid::nil());
    let copied = copier.copy_tenant_events(Epoch(1), id, Term(1), |_, _| ()).await.unwrap();
    let rate = copied.events_copied as f64 / copied.duration_seconds;
    (rate, (before, resident_mib()))
}

async fn read_back(world: &World) {
    let mut read = ReadBack::after(Arc::clone(&world.dedicated), world.tenant, Mark::START);
    let forever = tokio::time::Instant::now() + std::time::Duration::from_secs(3_600);
    read.run(forever).await.unwrap();
    let head = world.dedicated.head(world.tenant).await.unwrap();
    assert_eq!(read.mark(), head.mark());
}
