//! The tenants' rows: where each lives, and whether its writes go on.

use async_trait::async_trait;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};
use segue_core::ids::{Epoch, StoreId, TenantId, Term};

use super::super::audit::{Action, Subject};
use super::super::routing::{Phase, PhaseChange, Placement, Route, Routing, Tenant};
use super::super::{By, Conflict, Cursor, Error, Listing, Noun, Page, Result, UnknownWord};
use super::column::{Id, Json, Micros, Number, Word};
use super::list::{List, Order};
use super::{Control, audit};

const COLUMNS: &str =
    "tenant_id, store_id, epoch, minted, phase, term, paused_at, moving, placed_at";

fn row(row: &Row<'_>) -> rusqlite::Result<Tenant> {
    Ok(Tenant {
        tenant_id: TenantId(row.get::<_, Id>("tenant_id")?.0),
        route: route(row)?,
        placed_at: row.get::<_, Micros>("placed_at")?.0,
    })
}

/// The route, from a row that has its columns.
pub(super) fn route(row: &Row<'_>) -> rusqlite::Result<Route> {
    Ok(Route {
        store_id: row.get::<_, Word<StoreId>>("store_id")?.0,
        epoch: Epoch(row.get::<_, Number>("epoch")?.0),
        minted: Epoch(row.get::<_, Number>("minted")?.0),
        phase: phase(row)?,
        moving: row.get::<_, Option<Json<_>>>("moving")?.map(|Json(moving)| moving),
        term: Term(row.get::<_, Number>("term")?.0),
    })
}

fn phase(row: &Row<'_>) -> rusqlite::Result<Phase> {
    let paused_at = row.get::<_, Option<Micros>>("paused_at")?.map(|Micros(at)| at);
    match (row.get_ref("phase")?.as_str()?, paused_at) {
        ("settled", None) => Ok(Phase::Settled),
        ("paused", Some(since)) => Ok(Phase::Paused { since }),
        _ => Err(FromSqlError::other(UnknownWord).into()),
    }
}

/// What `paused_at` holds in a phase.
fn paused_at(phase: Phase) -> Option<Micros> {
    match phase {
        Phase::Settled => None,
        Phase::Paused { since } => Some(Micros(since)),
    }
}

pub(super) fn find(connection: &Connection, tenant: TenantId) -> rusqlite::Result<Option<Tenant>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tenants WHERE tenant_id = ?1"))?
        .query_row([Id(tenant.0)], row)
        .optional()
}

#[async_trait]
impl Routing for Control {
    async fn route(&self, tenant: TenantId) -> Result<Option<Route>> {
        let find = move |connection: &Connection| find(connection, tenant);
        Ok(self.connections.read_quickly(find).await?.map(|tenant| tenant.route))
    }

    async fn place(&self, tenant: TenantId, store: &StoreId, by: &By) -> Result<Placement> {
        let (store, by) = (store.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                if let Some(found) = find(transaction, tenant)? {
                    return Ok(Placement::Home(found.route));
                }
                let route = Route::first(store);
                transaction
                    .prepare_cached(&format!(
                        "INSERT INTO tenants ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?8)"
                    ))?
                    .execute(params![
                        Id(tenant.0),
                        route.store_id.as_str(),
                        Number(route.epoch.0),
                        Number(route.minted.0),
                        route.phase.as_str(),
                        Number(route.term.0),
                        paused_at(route.phase),
                        Micros(by.at),
                    ])?;
                let by = by.with("store_id", route.store_id.as_str());
                let subject = (Subject::Tenant, tenant.to_string());
                audit::write(transaction, tenant, &by, Action::TenantPlaced, subject)?;
                Ok(Placement::Placed(route))
            })
            .await
    }

    async fn change_phase(&self, tenant: TenantId, change: PhaseChange, by: &By) -> Result<Route> {
        let by = by.clone();
        self.connections
            .write(move |transaction| {
                let PhaseChange { expected, phase } = change;
                let found = find(transaction, tenant)?.ok_or(Error::NotFound(Noun::Tenant))?;
                if found.route.term != expected {
                    return Err(Error::Conflict(Conflict::Route(found.route.term)));
                }
                let term = expected.next();
                transaction
                    .prepare_cached(
                        "UPDATE tenants SET phase = ?2, term = ?3, paused_at = ?4 WHERE tenant_id = ?1",
                    )?
                    .execute(params![
                        Id(tenant.0),
                        phase.as_str(),
                        Number(term.0),
                        paused_at(phase)
                    ])?;
                let by = by.with("term", term.0);
                let subject = (Subject::Tenant, tenant.to_string());
                audit::write(transaction, tenant, &by, change.action(), subject)?;
                let changed = find(transaction, tenant)?.ok_or(Error::NotFound(Noun::Tenant))?;
                Ok(changed.route)
            })
            .await
    }

    async fn tenant(&self, tenant: TenantId) -> Result<Tenant> {
        let found = self.connections.read(move |snapshot| Ok(find(snapshot, tenant)?)).await?;
        found.ok_or(Error::NotFound(Noun::Tenant))
    }

    async fn list_tenants(&self, store: Option<&StoreId>, page: Page) -> Result<Listing<Tenant>> {
        let list = List::new(COLUMNS, "tenants", Order::ById("tenant_id"))
            .only_if("store_id", store.map(|store| store.as_str().to_owned()));
        let key = |tenant: &Tenant| Cursor { rank: 0, id: tenant.tenant_id.0 };
        self.connections.read(move |snapshot| list.page(snapshot, page, row, key)).await
    }
}
