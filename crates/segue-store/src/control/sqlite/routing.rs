//! The tenants' rows: where each lives.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use segue_core::ids::{Epoch, StoreId, TenantId};

use super::super::audit::{Action, Subject};
use super::super::routing::{Phase, Placement, Route, Routing, Tenant};
use super::super::{By, Cursor, Error, Listing, Noun, Page, Result};
use super::column::{Id, Micros, Number, Word};
use super::list::{List, Order};
use super::{Control, audit};

const COLUMNS: &str = "tenant_id, store_id, epoch, phase, placed_at";

fn row(row: &Row<'_>) -> rusqlite::Result<Tenant> {
    Ok(Tenant {
        tenant_id: TenantId(row.get::<_, Id>("tenant_id")?.0),
        route: Route {
            store_id: row.get::<_, Word<StoreId>>("store_id")?.0,
            epoch: Epoch(row.get::<_, Number>("epoch")?.0),
            phase: row.get::<_, Word<Phase>>("phase")?.0,
        },
        placed_at: row.get::<_, Micros>("placed_at")?.0,
    })
}

fn find(connection: &Connection, tenant: TenantId) -> rusqlite::Result<Option<Tenant>> {
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
                let route = Route { store_id: store, epoch: Epoch(1), phase: Phase::Settled };
                transaction
                    .prepare_cached(&format!(
                        "INSERT INTO tenants ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)"
                    ))?
                    .execute(params![
                        Id(tenant.0),
                        route.store_id.as_str(),
                        Number(route.epoch.0),
                        route.phase.as_str(),
                        Micros(by.at),
                    ])?;
                let by = by.with("store_id", route.store_id.as_str());
                let subject = (Subject::Tenant, tenant.to_string());
                audit::write(transaction, tenant, &by, Action::TenantPlaced, subject)?;
                Ok(Placement::Placed(route))
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
