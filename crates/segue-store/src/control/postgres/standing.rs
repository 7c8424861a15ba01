//! What every turn asks first, in one statement and one round trip.

use async_trait::async_trait;
use segue_core::ids::{ScenarioId, TenantId, Version};

use super::super::standing::{ScenarioStanding, Standing, Standings};
use super::super::{Generation, Result};
use super::Control;
use super::column::Number;
use super::routing::route;
use super::statement::row;

/// One row always; three look-ups by primary key.
const STATEMENT: &str = "\
    SELECT t.store_id, t.epoch, t.minted, t.phase, t.term, t.paused_at, t.moving, \
           s.generation AS scenario, s.current_version, f.generation AS fields \
    FROM (SELECT $1::uuid AS tenant_id) asked \
    LEFT JOIN tenants t ON t.tenant_id = asked.tenant_id \
    LEFT JOIN scenarios s ON s.tenant_id = asked.tenant_id AND s.scenario_id = $2 \
    LEFT JOIN field_generations f ON f.tenant_id = asked.tenant_id";

#[async_trait]
impl Standings for Control {
    async fn standing(&self, tenant: TenantId, scenario: ScenarioId) -> Result<Standing> {
        let client = self.client().await?;
        let nothing = Standing { route: None, scenario: None, fields: Generation(0) };
        let Some(found) = row(&client, STATEMENT, &[&tenant.0, &scenario.0]).await? else {
            return Ok(nothing);
        };
        let is_placed = found.try_get::<_, Option<&str>>("store_id")?.is_some();
        let scenario = match found.try_get::<_, Option<Number>>("scenario")? {
            None => None,
            Some(Number(generation)) => Some(ScenarioStanding {
                generation: Generation(generation),
                current_version: Version(found.try_get::<_, Number>("current_version")?.0),
            }),
        };
        let fields = found.try_get::<_, Option<Number>>("fields")?;
        Ok(Standing {
            route: if is_placed { Some(route(&found)?) } else { None },
            scenario,
            fields: fields.map_or(nothing.fields, |Number(generation)| Generation(generation)),
        })
    }
}
