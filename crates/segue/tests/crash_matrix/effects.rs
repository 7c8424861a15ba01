//! The stores and the control plane of a process, with every effect that a coordinator has on them named.
//!
//! Whatever changes something for a tenant that moves is an effect. A call that only reads is passed on, and
//! so is what writers and consumers do: they are not what dies here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::digest::Mark;
use segue_core::fields::Definition;
use segue_core::ids::{
    Epoch, EventId, FieldName, MigrationId, PlanId, Position, ScenarioId, StoreId, StreamId,
    StreamVersion, SubscriptionName, TenantId, Term, Version,
};
use segue_core::tenancy::migration::{Entry, FailureStats, Progress};
use segue_store::control::audit::{self, Action};
use segue_store::control::deployments::{Deployment, History, Withdrawal};
use segue_store::control::fields::Defined;
use segue_store::control::forecasts::{self, Begun, End, Forecast, NewForecast, Range};
use segue_store::control::migrations::{self, Decided, Migration};
use segue_store::control::plans::{self, Change, NewPlan, Plan};
use segue_store::control::routing::{PhaseChange, Placement, Route, Tenant};
use segue_store::control::scenarios::{
    NewVersion, Registered, StoredVersion, VersionCleanup, VersionEntry,
};
use segue_store::control::standing::Standing;
use segue_store::control::subscriptions::{Put, Subscription};
use segue_store::control::{
    self, Audit, By, Changes, ControlPlane, Deployments, Fields, Forecasts, Generation, Listing,
    Migrations, Page, Plans, Routing, Scenarios, Standings, Subscriptions,
};
use segue_store::events::{
    self, Access, Append, Appended, Count, CountQuery, Durability, Error, Event, EventStore, Head,
    HeadSwap, Import, LogPage, LogRead, Mode, Purge, Purged, Quarantine, Reason, Redact, Redacted,
    Rewind, SnapshotPage, SnapshotQuery, StreamPage, StreamRead, StreamState, Tally, TallyRead,
    TenantMoved,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fate::{Bend, Fate};

/// The decisions after which a page is imported for certain. After others one may still be under way, or not:
/// a point that is reached by chance is none.
const COPYING: [&str; 4] = ["begin_copy", "begin_dual_write", "reopened", "commit"];

/// A store or a control plane of one process.
#[derive(Debug)]
pub struct Watched<T: ?Sized> {
    fate: Arc<Fate>,
    name: &'static str,
    inner: Arc<T>,
}

impl<T: ?Sized> Watched<T> {
    pub fn new(fate: &Arc<Fate>, name: &'static str, inner: Arc<T>) -> Arc<Self> {
        Arc::new(Self { fate: fate.clone(), name, inner })
    }
}

impl Watched<dyn EventStore> {
    /// A head as it were with the swap, which is not made; and time for writers to go past it.
    async fn pretends(&self, tenant: TenantId, swap: HeadSwap) -> events::Result<Head> {
        let head = self.inner.head(tenant).await?;
        while self.inner.head(tenant).await?.position.0 < head.position.0 + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        head.swapped(&swap).map_err(|_| Error::HeadDiffers { head: Box::new(head) })
    }
}

/// Implements a trait: the calls in the first braces as they stand, the others by asking the inner one.
macro_rules! passes_on {
    ($over:ident as $trait:ident, $result:ident::Result {
        $($own:tt)*
    } {
        $(fn $call:ident($($name:ident: $type:ty),*) -> $answer:ty;)*
    }) => {
        #[async_trait]
        impl $trait for Watched<dyn $over> {
            $($own)*
            $(
                async fn $call(&self, $($name: $type),*) -> $result::Result<$answer> {
                    self.inner.$call($($name),*).await
                }
            )*
        }
    };
}

passes_on! { EventStore as EventStore, events::Result {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn quarantine(&self) -> Option<Quarantine> {
        self.inner.quarantine()
    }

    fn admit(&self, incarnation: &str) {
        self.inner.admit(incarnation);
    }

    async fn open_tenant(&self, tenant: TenantId, epoch: Epoch) -> events::Result<Head> {
        self.fate.has(format!("open {}", self.name), self.inner.open_tenant(tenant, epoch)).await
    }

    async fn swap_head(&self, tenant: TenantId, swap: HeadSwap) -> events::Result<Head> {
        let verb = match swap.mode {
            Mode::Fenced => "fence",
            Mode::Open => "reopen",
            Mode::Moved | Mode::Copying | Mode::Prepared | Mode::Tombstone => "shut",
        };
        let swapping = async {
            if swap.mode == Mode::Fenced && self.fate.is_bent(Bend::NoFence) {
                return self.pretends(tenant, swap).await;
            }
            self.inner.swap_head(tenant, swap).await
        };
        self.fate.has(format!("{verb} {}", self.name), swapping).await
    }

    async fn begin_copy(&self, tenant: TenantId, epoch: Epoch, term: Term) -> events::Result<Head> {
        let claiming = self.inner.begin_copy(tenant, epoch, term);
        self.fate.has(format!("claim {}", self.name), claiming).await
    }

    async fn import(&self, import: Import) -> events::Result<Head> {
        if self.fate.is_bent(Bend::NoImports) {
            return Err(Error::Unavailable { reason: Reason::Injected, source: None });
        }
        if import.prepare.is_none() {
            let importing = self.inner.import(import);
            return match self.fate.follows(&COPYING) {
                true => self.fate.has(format!("import into {}", self.name), importing).await,
                false => importing.await,
            };
        }
        let preparing = self.inner.import(import);
        let mut head = self.fate.has(format!("prepare {}", self.name), preparing).await?;
        if self.fate.is_bent(Bend::OtherEnd) {
            self.fate.bend(Bend::Straight);
            head.digest = Mark::START.digest;
        }
        Ok(head)
    }

    async fn rewind(&self, rewind: Rewind) -> events::Result<Head> {
        self.fate.has(format!("rewind {}", self.name), self.inner.rewind(rewind)).await
    }

    async fn retire(
        &self,
        tenant: TenantId,
        swap: HeadSwap,
        moved: TenantMoved,
    ) -> events::Result<Head> {
        let retiring = self.inner.retire(tenant, swap, moved);
        self.fate.has(format!("retire {}", self.name), retiring).await
    }

    async fn purge(&self, purge: Purge) -> events::Result<Purged> {
        self.fate.has(format!("purge {}", self.name), self.inner.purge(purge)).await
    }

    async fn read_log(&self, read: LogRead) -> events::Result<LogPage> {
        let mut page = self.inner.read_log(read).await?;
        if self.name == "dedicated" && self.fate.is_bent(Bend::Damaged) {
            page.events.iter_mut().for_each(|event| event.payload = Some(b"else".to_vec()));
        }
        Ok(page)
    }
} {
    fn health() -> ();
    fn head(tenant: TenantId) -> Head;
    fn moved(tenant: TenantId) -> Option<TenantMoved>;
    fn analyze() -> ();
    fn incarnation() -> String;
    fn append(append: Append) -> Appended;
    fn redact(redact: Redact) -> Redacted;
    fn load_many(tenant: TenantId, access: Access, streams: &[StreamId]) -> Vec<Option<StreamState>>;
    fn stream_versions(tenant: TenantId, access: Access, streams: &[StreamId]) -> Vec<StreamVersion>;
    fn read_stream(read: StreamRead) -> StreamPage;
    fn event(tenant: TenantId, access: Access, id: EventId) -> Option<Event>;
    fn digests(tenant: TenantId, access: Access, after: Position, limit: usize) -> Vec<Mark>;
    fn tallies(read: TallyRead) -> Vec<Tally>;
    fn list(query: SnapshotQuery) -> SnapshotPage;
    fn count(query: CountQuery) -> Vec<Count>;
}}

passes_on! { ControlPlane as Migrations, control::Result {
    async fn decide_migration(
        &self,
        tenant: TenantId,
        decided: Decided,
        by: &By,
    ) -> control::Result<(Route, Migration)> {
        let decision = decided.decision.name();
        self.fate.decides(decision, self.inner.decide_migration(tenant, decided, by)).await
    }

    async fn note_migration(
        &self,
        tenant: TenantId,
        id: MigrationId,
        entries: Vec<Entry>,
        action: Option<Action>,
        by: &By,
    ) -> control::Result<Migration> {
        let nouns: Vec<_> = entries.iter().map(noun).collect();
        let noting = self.inner.note_migration(tenant, id, entries, action, by);
        self.fate.has(format!("note {}", nouns.join(" and ")), noting).await
    }

    async fn beat(
        &self,
        tenant: TenantId,
        id: MigrationId,
        coordinator: Uuid,
        progress: Progress,
    ) -> control::Result<bool> {
        let beating = self.inner.beat(tenant, id, coordinator, progress);
        self.fate.has_at_any_time("beat".to_owned(), beating).await
    }

    async fn report_failures(
        &self,
        tenant: TenantId,
        id: MigrationId,
        process: Uuid,
        stats: FailureStats,
    ) -> control::Result<()> {
        let reporting = self.inner.report_failures(tenant, id, process, stats);
        self.fate.has_at_any_time("report failures".to_owned(), reporting).await
    }

    async fn set_incarnation(
        &self,
        store: &StoreId,
        before: Option<&str>,
        now: &str,
    ) -> control::Result<bool> {
        let setting = self.inner.set_incarnation(store, before, now);
        self.fate.has_at_any_time(format!("make {store} known"), setting).await
    }
} {
    fn migration(id: MigrationId) -> Migration;
    fn list_migrations(filter: &migrations::Filter, page: Page) -> Listing<Migration>;
    fn failures(tenant: TenantId, id: MigrationId) -> FailureStats;
    fn incarnation(store: &StoreId) -> Option<String>;
    fn tenants_decided_on(store: &StoreId, after: Option<TenantId>, limit: u32) -> Vec<TenantId>;
}}

fn noun(entry: &Entry) -> &'static str {
    match entry {
        Entry::Wished(_) => "a wish",
        Entry::WishDropped => "no wish",
        Entry::CutOver(_) => "a cutover",
        Entry::Verified(_) => "a verification",
        Entry::Proved(_) => "a proof",
        Entry::Disproved => "no proof",
        Entry::Obstructed(_) => "an obstacle",
        Entry::Clear => "no obstacle",
        Entry::Incarnations(_) => "both stores",
        Entry::Subscriptions(_) => "subscriptions",
        Entry::Aborted(_) => "an abort",
    }
}

passes_on! { ControlPlane as Audit, control::Result {
    async fn record(&self, tenant: TenantId, entry: &audit::Entry) -> control::Result<()> {
        let recording = self.inner.record(tenant, entry);
        self.fate.has_at_any_time("write into the audit".to_owned(), recording).await
    }
} {
    fn list_audit(tenant: TenantId, filter: &audit::Filter, page: Page) -> Listing<audit::Entry>;
}}

passes_on! { ControlPlane as ControlPlane, control::Result {
    fn changes(&self) -> Changes {
        self.inner.changes()
    }
} {
    fn check() -> ();
}}

passes_on! { ControlPlane as Routing, control::Result {} {
    fn route(tenant: TenantId) -> Option<Route>;
    fn place(tenant: TenantId, store: &StoreId, by: &By) -> Placement;
    fn change_phase(tenant: TenantId, change: PhaseChange, by: &By) -> Route;
    fn tenant(tenant: TenantId) -> Tenant;
    fn list_tenants(store: Option<&StoreId>, page: Page) -> Listing<Tenant>;
}}

passes_on! { ControlPlane as Subscriptions, control::Result {} {
    fn put_subscription(
        tenant: TenantId,
        name: &SubscriptionName,
        after: Position,
        by: &By
    ) -> Put;
    fn subscription(tenant: TenantId, name: &SubscriptionName) -> Subscription;
    fn subscriptions(tenant: TenantId) -> Vec<Subscription>;
    fn acknowledge(
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        at: Timestamp
    ) -> Subscription;
    fn reset_subscription(
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        by: &By
    ) -> Subscription;
    fn delete_subscription(tenant: TenantId, name: &SubscriptionName, by: &By) -> Subscription;
}}

passes_on! { ControlPlane as Standings, control::Result {} {
    fn standing(tenant: TenantId, scenario: ScenarioId) -> Standing;
}}

passes_on! { ControlPlane as Scenarios, control::Result {} {
    fn register_scenario(tenant: TenantId, first: &NewVersion, by: &By) -> Registered;
    fn scenario(tenant: TenantId, scenario: ScenarioId) -> Registered;
    fn list_scenarios(tenant: TenantId, page: Page) -> Listing<Registered>;
    fn list_versions(tenant: TenantId, scenario: ScenarioId, page: Page) -> Listing<VersionEntry>;
    fn version(tenant: TenantId, scenario: ScenarioId, version: Version) -> StoredVersion;
    fn delete_versions(
        tenant: TenantId,
        scenario: ScenarioId,
        cleanup: &VersionCleanup,
        by: &By
    ) -> Vec<Version>;
}}

passes_on! { ControlPlane as Plans, control::Result {} {
    fn create_plan(tenant: TenantId, plan: &NewPlan, by: &By) -> Plan;
    fn plan(tenant: TenantId, plan: PlanId) -> Plan;
    fn plan_summary(tenant: TenantId, plan: PlanId) -> Box<RawValue>;
    fn plan_map(tenant: TenantId, plan: PlanId) -> Box<RawValue>;
    fn list_plans(tenant: TenantId, filter: plans::Filter, page: Page) -> Listing<Plan>;
    fn update_plan(tenant: TenantId, change: &Change, action: Action, by: &By) -> Plan;
}}

passes_on! { ControlPlane as Deployments, control::Result {} {
    fn deploy(tenant: TenantId, deployment: &Deployment, by: &By) -> Plan;
    fn withdraw(tenant: TenantId, withdrawal: &Withdrawal, by: &By) -> Plan;
    fn deployed(tenant: TenantId, scenario: ScenarioId) -> History;
    fn cleanup_old_plans(tenant: TenantId, older_than: Timestamp, by: &By) -> Vec<PlanId>;
}}

passes_on! { ControlPlane as Fields, control::Result {} {
    fn put_field(tenant: TenantId, definition: &Definition, by: &By) -> Generation;
    fn field(tenant: TenantId, name: &FieldName) -> Definition;
    fn fields(tenant: TenantId) -> Defined;
}}

passes_on! { ControlPlane as Forecasts, control::Result {} {
    fn begin_forecast(tenant: TenantId, new: &NewForecast, alive_since: Timestamp) -> Begun;
    fn note_forecast(
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        progress: forecasts::Progress,
        page: Option<forecasts::Page>
    ) -> bool;
    fn end_forecast(
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        end: End,
        at: Timestamp
    ) -> bool;
    fn forecast(tenant: TenantId, plan: PlanId) -> Forecast;
    fn forecast_result(tenant: TenantId, plan: PlanId, forecast: Uuid) -> Option<Box<RawValue>>;
    fn forecast_ranges(tenant: TenantId, plan: PlanId) -> Vec<Range>;
    fn forecast_page(tenant: TenantId, plan: PlanId, page: u64) -> forecasts::Page;
}}
