//! What every turn asks first, in one statement.

use async_trait::async_trait;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use segue_core::ids::{ScenarioId, TenantId, Version};

use super::super::standing::{ScenarioStanding, Standing, Standings};
use super::super::{Generation, Result};
use super::Control;
use super::column::{Id, Number};
use super::routing::route;

/// One row always; three look-ups by primary key.
const STATEMENT: &str = "\
    SELECT t.store_id, t.epoch, t.minted, t.term, t.phase, t.paused_at, t.moving, \
           s.generation AS scenario, s.current_version, f.generation AS fields \
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
        let is_placed = row.get_ref("store_id")? != ValueRef::Null;
        let route = if is_placed { Some(route(row)?) } else { None };
        let scenario = match row.get::<_, Option<Number>>("scenario")? {
            None => None,
            Some(Number(generation)) => Some(ScenarioStanding {
                generation: Generation(generation),
                current_version: Version(row.get::<_, Number>("current_version")?.0),
            }),
        };
        let fields = row.get::<_, Option<Number>>("fields")?.map_or(0, |number| number.0);
        Ok(Standing { route, scenario, fields: Generation(fields) })
    })
}

#[async_trait]
impl Standings for Control {
    async fn standing(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Standing> {
        self.connections.read_quickly(move |connection| read(connection, tenant, scenario)).await
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    use super::super::migrations;
    use super::*;
    use crate::sqlite::{Kind, open, open_reader};

    #[test]
    fn what_every_turn_asks_is_planned_once_and_not_for_every_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        open(&path, Kind::Control, &migrations()).unwrap();
        let connection = open_reader(&path, Kind::Control).unwrap();
        for _ in 0..5 {
            read(&connection, TenantId(Uuid::new_v4()), ScenarioId(Uuid::new_v4())).unwrap();
        }
        let statement = connection.prepare_cached(STATEMENT).unwrap();
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
