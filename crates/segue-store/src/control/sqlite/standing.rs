//! What every turn asks first, in one statement.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use segue_core::ids::{Epoch, ScenarioId, StoreId, TenantId, Term, Version};

use super::super::routing::Route;
use super::super::standing::{ScenarioStanding, Standing, Standings};
use super::super::{Generation, Result};
use super::Control;
use super::column::{Id, Number, Word};
use super::routing::phase;

/// One row always; three look-ups by primary key.
const STATEMENT: &str = "\
    SELECT t.store_id, t.epoch, t.term, t.phase, t.paused_at, \
           s.generation, s.current_version, f.generation \
    FROM (SELECT 1) \
    LEFT JOIN tenants t ON t.tenant_id = ?1 \
    LEFT JOIN scenarios s ON s.tenant_id = ?1 AND s.scenario_id = ?2 \
    LEFT JOIN field_generations f ON f.tenant_id = ?1";

fn read(
    connection: &Connection,
    tenant: TenantId,
    scenario: ScenarioId,
) -> rusqlite::Result<Standing> {
    connection.prepare_cached(STATEMENT)?.query_row(params![Id(tenant.0), Id(scenario.0)], |row| {
        let route = match row.get::<_, Option<Word<StoreId>>>(0)? {
            None => None,
            Some(Word(store_id)) => Some(Route {
                store_id,
                epoch: Epoch(row.get::<_, Number>(1)?.0),
                phase: phase(row)?,
                term: Term(row.get::<_, Number>(2)?.0),
            }),
        };
        let scenario = match row.get::<_, Option<Number>>(5)? {
            None => None,
            Some(Number(generation)) => Some(ScenarioStanding {
                generation: Generation(generation),
                current_version: Version(row.get::<_, Number>(6)?.0),
            }),
        };
        let fields = row.get::<_, Option<Number>>(7)?.map_or(0, |number| number.0);
        Ok(Standing { route, scenario, fields: Generation(fields) })
    })
}

#[async_trait]
impl Standings for Control {
    async fn standing(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Standing> {
        self.connections.read_quickly(move |connection| read(connection, tenant, scenario)).await
    }
}
