//! A control plane with faults.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use segue_core::fields::Definition;
use segue_core::ids::{
    FieldName, KeyId, MigrationId, PlanId, Position, ScenarioId, StoreId, SubscriptionName,
    TenantId, Version,
};
use segue_core::tenancy::migration::{Entry, FailureStats, Progress};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::faults::Faults;
use super::{Fault, Weather};
use crate::control::audit::{self, Action};
use crate::control::deployments::{Deployment, History, Withdrawal};
use crate::control::fields::Defined;
use crate::control::forecasts::{self, Begun, End, Forecast, NewForecast, Range};
use crate::control::keys::Key;
use crate::control::logins::Login;
use crate::control::migrations::{self, Decided, Migration};
use crate::control::plans::{self, Change, NewPlan, Plan};
use crate::control::routing::{PhaseChange, Placement, Route, Tenant};
use crate::control::scenarios::{
    NewVersion, Registered, StoredVersion, VersionCleanup, VersionEntry,
};
use crate::control::standing::Standing;
use crate::control::subscriptions::{Put, Subscription};
use crate::control::{
    Audit, By, Changes, ControlPlane, Deployments, Error, Fields, Forecasts, Generation, Keys,
    Listing, Logins, Migrations, Page, Plans, Result, Routing, Scenarios, Standings, Subscriptions,
    Unavailable,
};

/// The calls that can fail; those that no tenant's move depends on are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Routing::route`].
    Route,
    /// [`Routing::place`].
    Place,
    /// [`Routing::change_phase`].
    ChangePhase,
    /// [`Routing::tenant`].
    Tenant,
    /// [`Routing::list_tenants`].
    ListTenants,
    /// Everything of [`Keys`] and [`Logins`].
    Access,
    /// [`Migrations::decide_migration`].
    DecideMigration,
    /// [`Migrations::note_migration`].
    NoteMigration,
    /// [`Migrations::beat`].
    Beat,
    /// [`Migrations::migration`].
    Migration,
    /// [`Migrations::list_migrations`].
    ListMigrations,
    /// [`Migrations::report_failures`].
    ReportFailures,
    /// [`Migrations::failures`].
    Failures,
    /// [`Migrations::incarnation`].
    Incarnation,
    /// [`Migrations::set_incarnation`].
    SetIncarnation,
    /// [`Migrations::tenants_decided_on`].
    TenantsDecidedOn,
    /// [`Subscriptions::put_subscription`].
    PutSubscription,
    /// [`Subscriptions::subscription`].
    Subscription,
    /// [`Subscriptions::subscriptions`].
    Subscriptions,
    /// [`Subscriptions::acknowledge`].
    Acknowledge,
    /// [`Subscriptions::reset_subscription`].
    ResetSubscription,
    /// [`Subscriptions::delete_subscription`].
    DeleteSubscription,
    /// Any of [`Standings`].
    Standing,
    /// Any of [`Audit`].
    Audit,
    /// Any of [`Scenarios`].
    Scenarios,
    /// Any of [`Plans`].
    Plans,
    /// Any of [`Deployments`].
    Deployments,
    /// Any of [`Fields`].
    Fields,
    /// Any of [`Forecasts`].
    Forecasts,
    /// [`ControlPlane::check`].
    Check,
}

/// A control plane with faults.
#[derive(Debug)]
pub struct FaultyControl {
    inner: Arc<dyn ControlPlane>,
    faults: Faults<Call>,
}

/// What an injected fault says of itself.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a test had it fail")]
struct Injected;

impl FaultyControl {
    /// Wraps a control plane; without further ado nothing fails.
    #[must_use]
    pub fn around(inner: Arc<dyn ControlPlane>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// Makes the `nth` call of an call, counted from the wrapper's making, from 1, meet a fault.
    pub fn inject(&self, call: Call, nth: u64, fault: Fault) {
        self.faults.inject(call, nth, fault);
    }

    /// Makes the next call of an call meet a fault.
    pub fn inject_next(&self, call: Call, fault: Fault) {
        self.faults.inject_next(call, fault);
    }

    /// Lets faults come by themselves from now on.
    pub fn set_weather(&self, weather: Option<Weather>) {
        self.faults.set_weather(weather);
    }

    /// How often an call was called.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.faults.calls(call)
    }

    /// Makes every call fail from now on.
    pub fn crash(&self) {
        self.faults.crash();
    }

    /// Whether it has crashed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.faults.is_crashed()
    }

    /// Lets calls through again after a crash.
    pub fn restart(&self) {
        self.faults.restart();
    }

    /// Ends everything that is wrong with it, and forgets what was to go wrong.
    pub fn mend(&self) {
        self.faults.mend();
    }

    /// Makes every call wait from now on, before it does anything: its caller is frozen, or its way is
    /// blocked.
    pub fn hold(&self) {
        self.faults.hold();
    }

    /// Lets those calls go on that were held.
    pub fn release(&self) {
        self.faults.release();
    }

    async fn call<T>(&self, call: Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        let failed = || Error::Unavailable(Unavailable::Lost, Box::new(Injected));
        self.faults.meet(call, work, failed).await
    }
}

#[async_trait]
impl ControlPlane for FaultyControl {
    async fn check(&self) -> Result<()> {
        self.call(Call::Check, self.inner.check()).await
    }

    /// What is told is told without faults: nothing depends on it.
    fn changes(&self) -> Changes {
        self.inner.changes()
    }
}

#[async_trait]
impl Routing for FaultyControl {
    async fn route(&self, tenant: TenantId) -> Result<Option<Route>> {
        self.call(Call::Route, self.inner.route(tenant)).await
    }

    async fn place(&self, tenant: TenantId, store: &StoreId, by: &By) -> Result<Placement> {
        self.call(Call::Place, self.inner.place(tenant, store, by)).await
    }

    async fn change_phase(&self, tenant: TenantId, change: PhaseChange, by: &By) -> Result<Route> {
        self.call(Call::ChangePhase, self.inner.change_phase(tenant, change, by)).await
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Tenant> {
        self.call(Call::Tenant, self.inner.tenant(tenant)).await
    }

    async fn list_tenants(&self, store: Option<&StoreId>, page: Page) -> Result<Listing<Tenant>> {
        self.call(Call::ListTenants, self.inner.list_tenants(store, page)).await
    }
}

#[async_trait]
impl Migrations for FaultyControl {
    async fn decide_migration(
        &self,
        tenant: TenantId,
        decided: Decided,
        by: &By,
    ) -> Result<(Route, Migration)> {
        self.call(Call::DecideMigration, self.inner.decide_migration(tenant, decided, by)).await
    }

    async fn note_migration(
        &self,
        tenant: TenantId,
        id: MigrationId,
        entries: Vec<Entry>,
        action: Option<Action>,
        by: &By,
    ) -> Result<Migration> {
        self.call(Call::NoteMigration, self.inner.note_migration(tenant, id, entries, action, by))
            .await
    }

    async fn beat(
        &self,
        tenant: TenantId,
        id: MigrationId,
        coordinator: Uuid,
        progress: Progress,
    ) -> Result<bool> {
        self.call(Call::Beat, self.inner.beat(tenant, id, coordinator, progress)).await
    }

    async fn migration(&self, id: MigrationId) -> Result<Migration> {
        self.call(Call::Migration, self.inner.migration(id)).await
    }

    async fn list_migrations(
        &self,
        filter: &migrations::Filter,
        page: Page,
    ) -> Result<Listing<Migration>> {
        self.call(Call::ListMigrations, self.inner.list_migrations(filter, page)).await
    }

    async fn report_failures(
        &self,
        tenant: TenantId,
        id: MigrationId,
        process: Uuid,
        stats: FailureStats,
    ) -> Result<()> {
        self.call(Call::ReportFailures, self.inner.report_failures(tenant, id, process, stats))
            .await
    }

    async fn failures(&self, tenant: TenantId, id: MigrationId) -> Result<FailureStats> {
        self.call(Call::Failures, self.inner.failures(tenant, id)).await
    }

    async fn incarnation(&self, store: &StoreId) -> Result<Option<String>> {
        self.call(Call::Incarnation, self.inner.incarnation(store)).await
    }

    async fn set_incarnation(
        &self,
        store: &StoreId,
        before: Option<&str>,
        now: &str,
    ) -> Result<bool> {
        self.call(Call::SetIncarnation, self.inner.set_incarnation(store, before, now)).await
    }

    async fn tenants_decided_on(
        &self,
        store: &StoreId,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        self.call(Call::TenantsDecidedOn, self.inner.tenants_decided_on(store, after, limit)).await
    }
}

#[async_trait]
impl Subscriptions for FaultyControl {
    async fn put_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        after: Position,
        by: &By,
    ) -> Result<Put> {
        self.call(Call::PutSubscription, self.inner.put_subscription(tenant, name, after, by)).await
    }

    async fn subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
    ) -> Result<Subscription> {
        self.call(Call::Subscription, self.inner.subscription(tenant, name)).await
    }

    async fn subscriptions(&self, tenant: TenantId) -> Result<Vec<Subscription>> {
        self.call(Call::Subscriptions, self.inner.subscriptions(tenant)).await
    }

    async fn acknowledge(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        at: Timestamp,
    ) -> Result<Subscription> {
        self.call(Call::Acknowledge, self.inner.acknowledge(tenant, name, position, at)).await
    }

    async fn reset_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        position: Position,
        by: &By,
    ) -> Result<Subscription> {
        self.call(
            Call::ResetSubscription,
            self.inner.reset_subscription(tenant, name, position, by),
        )
        .await
    }

    async fn delete_subscription(
        &self,
        tenant: TenantId,
        name: &SubscriptionName,
        by: &By,
    ) -> Result<Subscription> {
        self.call(Call::DeleteSubscription, self.inner.delete_subscription(tenant, name, by)).await
    }
}

#[async_trait]
impl Standings for FaultyControl {
    async fn standing(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Standing> {
        self.call(Call::Standing, self.inner.standing(tenant, scenario)).await
    }
}

#[async_trait]
impl Audit for FaultyControl {
    async fn record(&self, tenant: TenantId, entry: &audit::Entry) -> Result<()> {
        self.call(Call::Audit, self.inner.record(tenant, entry)).await
    }

    async fn list_audit(
        &self,
        tenant: TenantId,
        filter: &audit::Filter,
        page: Page,
    ) -> Result<Listing<audit::Entry>> {
        self.call(Call::Audit, self.inner.list_audit(tenant, filter, page)).await
    }
}

#[async_trait]
impl Scenarios for FaultyControl {
    async fn register_scenario(
        &self,
        tenant: TenantId,
        first: &NewVersion,
        by: &By,
    ) -> Result<Registered> {
        self.call(Call::Scenarios, self.inner.register_scenario(tenant, first, by)).await
    }

    async fn scenario(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Registered> {
        self.call(Call::Scenarios, self.inner.scenario(tenant, scenario)).await
    }

    async fn list_scenarios(&self, tenant: TenantId, page: Page) -> Result<Listing<Registered>> {
        self.call(Call::Scenarios, self.inner.list_scenarios(tenant, page)).await
    }

    async fn list_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        page: Page,
    ) -> Result<Listing<VersionEntry>> {
        self.call(Call::Scenarios, self.inner.list_versions(tenant, scenario, page)).await
    }

    async fn version(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        version: Version,
    ) -> Result<StoredVersion> {
        self.call(Call::Scenarios, self.inner.version(tenant, scenario, version)).await
    }

    async fn delete_versions(
        &self,
        tenant: TenantId,
        scenario: ScenarioId,
        cleanup: &VersionCleanup,
        by: &By,
    ) -> Result<Vec<Version>> {
        self.call(Call::Scenarios, self.inner.delete_versions(tenant, scenario, cleanup, by)).await
    }
}

#[async_trait]
impl Plans for FaultyControl {
    async fn create_plan(&self, tenant: TenantId, plan: &NewPlan, by: &By) -> Result<Plan> {
        self.call(Call::Plans, self.inner.create_plan(tenant, plan, by)).await
    }

    async fn plan(&self, tenant: TenantId, plan: PlanId) -> Result<Plan> {
        self.call(Call::Plans, self.inner.plan(tenant, plan)).await
    }

    async fn plan_summary(&self, tenant: TenantId, plan: PlanId) -> Result<Box<RawValue>> {
        self.call(Call::Plans, self.inner.plan_summary(tenant, plan)).await
    }

    async fn plan_map(&self, tenant: TenantId, plan: PlanId) -> Result<Box<RawValue>> {
        self.call(Call::Plans, self.inner.plan_map(tenant, plan)).await
    }

    async fn list_plans(
        &self,
        tenant: TenantId,
        filter: plans::Filter,
        page: Page,
    ) -> Result<Listing<Plan>> {
        self.call(Call::Plans, self.inner.list_plans(tenant, filter, page)).await
    }

    async fn update_plan(
        &self,
        tenant: TenantId,
        change: &Change,
        action: Action,
        by: &By,
    ) -> Result<Plan> {
        self.call(Call::Plans, self.inner.update_plan(tenant, change, action, by)).await
    }
}

#[async_trait]
impl Deployments for FaultyControl {
    async fn deploy(&self, tenant: TenantId, deployment: &Deployment, by: &By) -> Result<Plan> {
        self.call(Call::Deployments, self.inner.deploy(tenant, deployment, by)).await
    }

    async fn withdraw(&self, tenant: TenantId, withdrawal: &Withdrawal, by: &By) -> Result<Plan> {
        self.call(Call::Deployments, self.inner.withdraw(tenant, withdrawal, by)).await
    }

    async fn deployed(&self, tenant: TenantId, scenario: ScenarioId) -> Result<History> {
        self.call(Call::Deployments, self.inner.deployed(tenant, scenario)).await
    }

    async fn cleanup_old_plans(
        &self,
        tenant: TenantId,
        older_than: Timestamp,
        by: &By,
    ) -> Result<Vec<PlanId>> {
        self.call(Call::Deployments, self.inner.cleanup_old_plans(tenant, older_than, by)).await
    }
}

#[async_trait]
impl Fields for FaultyControl {
    async fn put_field(
        &self,
        tenant: TenantId,
        definition: &Definition,
        by: &By,
    ) -> Result<Generation> {
        self.call(Call::Fields, self.inner.put_field(tenant, definition, by)).await
    }

    async fn field(&self, tenant: TenantId, name: &FieldName) -> Result<Definition> {
        self.call(Call::Fields, self.inner.field(tenant, name)).await
    }

    async fn fields(&self, tenant: TenantId) -> Result<Defined> {
        self.call(Call::Fields, self.inner.fields(tenant)).await
    }
}

#[async_trait]
impl Keys for FaultyControl {
    async fn create_key(&self, key: &Key, by: &By) -> Result<()> {
        self.call(Call::Access, self.inner.create_key(key, by)).await
    }

    async fn rotate_key(&self, old: KeyId, ends_at: Timestamp, new: &Key, by: &By) -> Result<()> {
        self.call(Call::Access, self.inner.rotate_key(old, ends_at, new, by)).await
    }

    async fn revoke_key(&self, id: KeyId, by: &By) -> Result<Key> {
        self.call(Call::Access, self.inner.revoke_key(id, by)).await
    }

    async fn key(&self, id: KeyId) -> Result<Key> {
        self.call(Call::Access, self.inner.key(id)).await
    }

    async fn key_by_prefix(&self, prefix: &str) -> Result<Key> {
        self.call(Call::Access, self.inner.key_by_prefix(prefix)).await
    }

    async fn list_keys(&self, page: Page) -> Result<Listing<Key>> {
        self.call(Call::Access, self.inner.list_keys(page)).await
    }

    async fn key_used(&self, id: KeyId, at: Timestamp) -> Result<()> {
        self.call(Call::Access, self.inner.key_used(id, at)).await
    }
}

#[async_trait]
impl Logins for FaultyControl {
    async fn open_login(&self, login: &Login, by: &By) -> Result<()> {
        self.call(Call::Access, self.inner.open_login(login, by)).await
    }

    async fn login(&self, token_hash: &[u8; 32]) -> Result<Login> {
        self.call(Call::Access, self.inner.login(token_hash)).await
    }

    async fn close_login(&self, token_hash: &[u8; 32], by: &By) -> Result<()> {
        self.call(Call::Access, self.inner.close_login(token_hash, by)).await
    }
}

#[async_trait]
impl Forecasts for FaultyControl {
    async fn begin_forecast(
        &self,
        tenant: TenantId,
        new: &NewForecast,
        alive_since: Timestamp,
    ) -> Result<Begun> {
        self.call(Call::Forecasts, self.inner.begin_forecast(tenant, new, alive_since)).await
    }

    async fn note_forecast(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        progress: forecasts::Progress,
        page: Option<forecasts::Page>,
    ) -> Result<bool> {
        let note = self.inner.note_forecast(tenant, plan, forecast, progress, page);
        self.call(Call::Forecasts, note).await
    }

    async fn end_forecast(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        end: End,
        at: Timestamp,
    ) -> Result<bool> {
        let end = self.inner.end_forecast(tenant, plan, forecast, end, at);
        self.call(Call::Forecasts, end).await
    }

    async fn forecast(&self, tenant: TenantId, plan: PlanId) -> Result<Forecast> {
        self.call(Call::Forecasts, self.inner.forecast(tenant, plan)).await
    }

    async fn forecast_result(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
    ) -> Result<Option<Box<RawValue>>> {
        self.call(Call::Forecasts, self.inner.forecast_result(tenant, plan, forecast)).await
    }

    async fn forecast_ranges(&self, tenant: TenantId, plan: PlanId) -> Result<Vec<Range>> {
        self.call(Call::Forecasts, self.inner.forecast_ranges(tenant, plan)).await
    }

    async fn forecast_page(
        &self,
        tenant: TenantId,
        plan: PlanId,
        page: u64,
    ) -> Result<forecasts::Page> {
        self.call(Call::Forecasts, self.inner.forecast_page(tenant, plan, page)).await
    }
}
