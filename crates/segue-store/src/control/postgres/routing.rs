//! The tenants' rows: where each lives, and whether its writes go on.

use async_trait::async_trait;
use deadpool_postgres::GenericClient;
use segue_core::ids::{Epoch, StoreId, TenantId, Term};
use tokio_postgres::Row;

use super::super::audit::{Action, Subject};
use super::super::routing::{Phase, PhaseChange, Placement, Route, Routing, Tenant};
use super::super::{By, Conflict, Cursor, Error, Listing, Noun, Page, Result, UnknownWord};
use super::column::{Json, Micros, Number, Word};
use super::list::{List, Order};
use super::statement::{decide, execute, row as one};
use super::{Control, audit};

const COLUMNS: &str =
    "tenant_id, store_id, epoch, minted, phase, term, paused_at, moving, placed_at";

fn row(row: &Row) -> Result<Tenant> {
    Ok(Tenant {
        tenant_id: TenantId(row.try_get("tenant_id")?),
        route: route(row)?,
        placed_at: row.try_get::<_, Micros>("placed_at")?.0,
    })
}

/// The route, from a row that has its columns.
pub(super) fn route(row: &Row) -> Result<Route> {
    Ok(Route {
        store_id: row.try_get::<_, Word<StoreId>>("store_id")?.0,
        epoch: Epoch(row.try_get::<_, Number>("epoch")?.0),
        minted: Epoch(row.try_get::<_, Number>("minted")?.0),
        phase: phase(row)?,
        moving: row.try_get::<_, Option<Json<_>>>("moving")?.map(|Json(moving)| moving),
        term: Term(row.try_get::<_, Number>("term")?.0),
    })
}

fn phase(row: &Row) -> Result<Phase> {
    let paused_at = row.try_get::<_, Option<Micros>>("paused_at")?.map(|Micros(at)| at);
    match (row.try_get("phase")?, paused_at) {
        ("settled", None) => Ok(Phase::Settled),
        ("paused", Some(since)) => Ok(Phase::Paused { since }),
        _ => Err(Error::Corrupt { what: "route", source: Box::new(UnknownWord) }),
    }
}

/// What `paused_at` holds in a phase.
fn paused_at(phase: Phase) -> Option<Micros> {
    match phase {
        Phase::Settled => None,
        Phase::Paused { since } => Some(Micros(since)),
    }
}

pub(super) async fn find(on: &impl GenericClient, tenant: TenantId) -> Result<Option<Tenant>> {
    let statement = format!("SELECT {COLUMNS} FROM tenants WHERE tenant_id = $1");
    one(on, &statement, &[&tenant.0]).await?.as_ref().map(row).transpose()
}

#[async_trait]
impl Routing for Control {
    async fn route(&self, tenant: TenantId) -> Result<Option<Route>> {
        let found = find(&self.client().await?, tenant).await?;
        Ok(found.map(|tenant| tenant.route))
    }

    async fn place(&self, tenant: TenantId, store: &StoreId, by: &By) -> Result<Placement> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        if let Some(found) = find(&transaction, tenant).await? {
            return Ok(Placement::Home(found.route));
        }
        let route = Route::first(store.clone());
        execute(
            &transaction,
            &format!(
                "INSERT INTO tenants ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8)"
            ),
            &[
                &tenant.0,
                &route.store_id.as_str(),
                &Number(route.epoch.0),
                &Number(route.minted.0),
                &route.phase.as_str(),
                &Number(route.term.0),
                &paused_at(route.phase),
                &Micros(by.at),
            ],
        )
        .await?;
        let by = by.with("store_id", route.store_id.as_str());
        let subject = (Subject::Tenant, tenant.to_string());
        audit::write(&transaction, tenant, &by, Action::TenantPlaced, subject).await?;
        transaction.commit().await?;
        Ok(Placement::Placed(route))
    }

    async fn change_phase(&self, tenant: TenantId, change: PhaseChange, by: &By) -> Result<Route> {
        let PhaseChange { expected, phase } = change;
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        let found = find(&transaction, tenant).await?.ok_or(Error::NotFound(Noun::Tenant))?;
        if found.route.term != expected {
            return Err(Error::Conflict(Conflict::Route(found.route.term)));
        }
        let route = Route { phase, term: expected.next(), ..found.route };
        execute(
            &transaction,
            "UPDATE tenants SET phase = $2, term = $3, paused_at = $4 WHERE tenant_id = $1",
            &[&tenant.0, &phase.as_str(), &Number(route.term.0), &paused_at(phase)],
        )
        .await?;
        let by = by.with("term", route.term.0);
        let subject = (Subject::Tenant, tenant.to_string());
        audit::write(&transaction, tenant, &by, change.action(), subject).await?;
        transaction.commit().await?;
        Ok(route)
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Tenant> {
        let found = find(&self.client().await?, tenant).await?;
        found.ok_or(Error::NotFound(Noun::Tenant))
    }

    async fn list_tenants(&self, store: Option<&StoreId>, page: Page) -> Result<Listing<Tenant>> {
        let list = List::new(COLUMNS, "tenants", Order::ById("tenant_id"))
            .only_if("store_id", store.map(|store| store.as_str().to_owned()));
        let key = |tenant: &Tenant| Cursor { rank: 0, id: tenant.tenant_id.0 };
        list.fetch(&self.client().await?, page, row, key).await
    }
}
