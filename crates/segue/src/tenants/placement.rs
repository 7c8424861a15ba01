//! What an operator sees of stores and tenants, and the placing of a new tenant.
//!
//! A store that is down makes nothing here slow or fail: each is asked beside the others and for a bounded
//! time, and what it does not say is left out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use segue_core::digest::Digest;
use segue_core::ids::{Epoch, MigrationId, Position, StoreId, TenantId};
use segue_core::tenancy::migration::TenantMigrationState;
use segue_store::control::audit::{self, Subject};
use segue_store::control::migrations::Migration;
use segue_store::control::routing::{Phase, Placement, Route, Tenant};
use segue_store::control::{self, By, Page};
use segue_store::events::{self, EventStore, Survives};
use serde::Serialize;

use super::TenantStoreRouter;
use super::explanation::Situation;
use super::guard::has_its_fences;
use crate::error::{Error, Kind, Result};

/// How long a store may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// A store of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StoreView {
    /// Its name in the configuration.
    pub store_id: StoreId,
    /// `memory`, `sqlite` or `postgres`.
    pub kind: &'static str,
    /// Whether it can be read and written now.
    pub healthy: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Whether it is where new tenants live.
    pub is_default: bool,
    /// How many tenants live in it.
    pub tenants: u64,
    /// What an acknowledged append survives.
    pub durability: DurabilityView,
}

/// What an acknowledged append survives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DurabilityView {
    /// `nothing`, `process_crash` or `power_loss`.
    pub survives: &'static str,
    /// The settings that make it so.
    pub settings: String,
}

/// Whether a tenant is on the move, and what that means for its reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// It lives in its store; reads and writes go on.
    Normal,
    /// An operator has paused its writes; reads go on.
    Paused,
    /// It lives in its store, from which it is being copied to another one.
    BulkCopy,
    /// It lives in its store, which another one follows closely.
    DualWrite,
    /// Its writes wait for a moment, for the end of a cutover; reads go on.
    CutoverPaused,
    /// It has moved, and where it came from keeps a copy, for a way back.
    Migrated,
}

impl From<&Route> for TenantState {
    fn from(route: &Route) -> Self {
        match (route.phase, TenantMigrationState::from(route)) {
            // While a cutover is decided no pause is, and the other way round.
            (Phase::Paused { .. }, _) => Self::Paused,
            (Phase::Settled, TenantMigrationState::Normal) => Self::Normal,
            (Phase::Settled, TenantMigrationState::BulkCopy) => Self::BulkCopy,
            (Phase::Settled, TenantMigrationState::DualWrite) => Self::DualWrite,
            (Phase::Settled, TenantMigrationState::CutoverPaused) => Self::CutoverPaused,
            (Phase::Settled, TenantMigrationState::Migrated) => Self::Migrated,
        }
    }
}

/// A tenant and how far its log goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TenantView {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The store that owns it.
    pub store_id: StoreId,
    /// The epoch at which that store accepts its writes.
    pub epoch: Epoch,
    /// Whether it is on the move.
    pub state: TenantState,
    /// The last position of its log; null when its store does not say.
    pub position: Option<Position>,
    /// The digest there; null when its store does not say.
    pub digest: Option<Digest>,
    /// The migration that moves it, or that moved it and is not finished; null when there is none.
    pub migration_id: Option<MigrationId>,
    /// When it was placed.
    #[schema(value_type = String, format = DateTime)]
    pub placed_at: Timestamp,
    /// All of that in words: where it stands, who carries a migration on, what happens next, and what is in
    /// the way. One sentence a line.
    pub explanation: String,
}

/// A page of tenants, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPage {
    /// The tenants.
    pub tenants: Vec<TenantView>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins; `None` when this was the last.
    pub next_cursor: Option<String>,
}

impl TenantStoreRouter {
    /// Every store by its id, with its health.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the control plane cannot count the tenants.
    pub async fn store_views(&self) -> Result<Vec<StoreView>> {
        let mut stores: Vec<_> = self.stores().collect();
        stores.sort_by_key(|(id, _)| *id);
        let views = stores.into_iter().map(|(id, store)| self.store_view(id, store));
        join_all(views).await.into_iter().collect()
    }

    /// How many tenants live in each store, by its id. No store is asked.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the control plane cannot count the tenants.
    pub async fn tenants_by_store(&self) -> Result<Vec<(StoreId, u64)>> {
        let mut stores: Vec<&StoreId> = self.stores().map(|(id, _)| id).collect();
        stores.sort();
        let counts = stores.into_iter().map(|id| async move {
            let listed = self.control().list_tenants(Some(id), Page::first(1)).await?;
            Ok::<_, Error>((id.clone(), listed.total))
        });
        join_all(counts).await.into_iter().collect()
    }

    async fn store_view(&self, id: &StoreId, store: &Arc<dyn EventStore>) -> Result<StoreView> {
        let count = self.control().list_tenants(Some(id), Page::first(1));
        let health = tokio::time::timeout(PATIENCE, health(store));
        let (count, health) = tokio::join!(count, health);
        let reason = match health {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(with_causes(&error)),
            Err(_elapsed) => Some(format!("it did not answer within {} s", PATIENCE.as_secs())),
        };
        let durability = store.durability();
        Ok(StoreView {
            store_id: id.clone(),
            kind: store.kind(),
            healthy: reason.is_none(),
            reason,
            is_default: id == self.default_store(),
            tenants: count?.total,
            durability: DurabilityView {
                survives: match durability.survives {
                    Survives::Nothing => "nothing",
                    Survives::ProcessCrash => "process_crash",
                    Survives::PowerLoss => "power_loss",
                },
                settings: durability.settings,
            },
        })
    }

    /// A page of tenants by id, those of one store or all.
    ///
    /// # Errors
    /// [`Error::BadCursor`]; [`Error::Unavailable`] when the control plane does not answer.
    pub async fn tenant_views(
        &self,
        store: Option<&StoreId>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<TenantPage> {
        let after = cursor.map(str::parse::<control::Cursor>).transpose();
        let after = after.map_err(|_| Error::BadCursor)?;
        let page = self.control().list_tenants(store, Page { limit, after }).await?;
        let views = page.items.into_iter().map(|tenant| self.viewed(tenant));
        Ok(TenantPage {
            tenants: join_all(views).await,
            total: page.total,
            next_cursor: page.next.map(|next| next.to_string()),
        })
    }

    /// A tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it was never placed.
    pub async fn tenant_view(&self, tenant: TenantId) -> Result<TenantView> {
        match self.control().tenant(tenant).await {
            Ok(tenant) => Ok(self.viewed(tenant).await),
            Err(control::Error::NotFound(_)) => {
                Err(Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a new tenant its home in a store. Again in the same store, it changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::TenantPlaced`] when it lives in another store.
    pub async fn place_in(&self, tenant: TenantId, store: &StoreId, by: &By) -> Result<TenantView> {
        let opened = self.store_named(store)?;
        let elsewhere = |route: &Route| route.store_id != *store;
        let home = self.control().route(tenant).await?;
        let home = match home {
            Some(route) => route,
            None => {
                opened.open_tenant(tenant, Epoch(1)).await?;
                match self.control().place(tenant, store, by).await? {
                    Placement::Placed(route) | Placement::Home(route) => route,
                }
            }
        };
        self.remember(tenant, Some(&home));
        if elsewhere(&home) {
            self.release(tenant, &home, store).await;
            return Err(Error::TenantPlaced { tenant, store: home.store_id });
        }
        self.tenant_view(tenant).await
    }

    /// What can be said of a tenant, with or without its store.
    async fn viewed(&self, tenant: Tenant) -> TenantView {
        let Tenant { tenant_id, route, placed_at } = tenant;
        let head = match self.store(&route.store_id) {
            Ok(store) => match tokio::time::timeout(PATIENCE, store.head(tenant_id)).await {
                Ok(Ok(head)) => Ok(head),
                Ok(Err(error)) => Err(with_causes(&error)),
                Err(_elapsed) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            },
            Err(error) => Err(error.to_string()),
        };
        let moving = route.moving.as_ref().map(|moving| moving.migration);
        let (migration, last) = match moving {
            Some(id) => tokio::join!(self.migration_of(id), self.last_decision(tenant_id, id)),
            None => (None, None),
        };
        let situation = Situation {
            route: &route,
            head: head.as_ref().map_err(String::as_str),
            migration: migration.as_ref(),
            last: last.as_ref(),
        };
        TenantView {
            tenant_id,
            store_id: route.store_id.clone(),
            epoch: route.epoch,
            state: TenantState::from(&route),
            position: head.as_ref().ok().map(|head| head.position),
            digest: head.as_ref().ok().map(|head| head.digest),
            migration_id: moving,
            placed_at,
            explanation: situation.explain(),
        }
    }

    /// The migration that a route is about, as far as the control plane says.
    async fn migration_of(&self, id: MigrationId) -> Option<Migration> {
        let migration = self.control().migration(id).await.ok()?;
        Some(self.present(migration).await)
    }

    /// The last thing that was decided about a migration.
    async fn last_decision(&self, tenant: TenantId, id: MigrationId) -> Option<audit::Entry> {
        let filter = audit::Filter {
            subjects: vec![Subject::Migration],
            subject_id: Some(id.to_string()),
            ..audit::Filter::default()
        };
        let page = self.control().list_audit(tenant, &filter, Page::first(1)).await.ok()?;
        page.items.into_iter().next()
    }
}

/// Whether a store can be read and written as its tenants' home.
///
/// # Errors
/// [`events::Error::Unavailable`], also while the fences of a database that came back are put back.
pub(crate) async fn health(store: &Arc<dyn EventStore>) -> events::Result<()> {
    store.health().await?;
    has_its_fences(&**store)
}

pub(super) fn with_causes(error: &events::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
