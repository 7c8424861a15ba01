//! The forecasts' rows.

use async_trait::async_trait;
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use segue_core::ids::{PlanId, SessionId, TenantId};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::forecasts::{
    Begun, End, Forecast, Forecasts, NewForecast, Page, Progress, Range, State,
};
use super::super::{Error, Noun, Result, UnknownWord};
use super::column::{Json, Micros, Number};
use super::statement::{decide, execute, row as one, rows};
use super::{Control, plans};

const COLUMNS: &str = "plan_id, forecast_id, process, state, started_at, heard_at, sessions_done, \
    sessions_total, basis, failure";

/// Says which forecast is meant, and that it is running.
const RUNNING: &str = "tenant_id = $1 AND plan_id = $2 AND forecast_id = $3 AND state = 'running'";

fn row(row: &Row) -> Result<Forecast> {
    let failure = row.try_get::<_, Option<Json<String>>>("failure")?.map(|Json(reason)| reason);
    let state = State::of(row.try_get("state")?, failure)
        .ok_or_else(|| Error::Corrupt { what: "forecast", source: Box::new(UnknownWord) })?;
    Ok(Forecast {
        plan_id: PlanId(row.try_get("plan_id")?),
        forecast_id: row.try_get("forecast_id")?,
        process: row.try_get("process")?,
        state,
        started_at: row.try_get::<_, Micros>("started_at")?.0,
        heard_at: row.try_get::<_, Micros>("heard_at")?.0,
        sessions_done: row.try_get::<_, Number>("sessions_done")?.0,
        sessions_total: row.try_get::<_, Number>("sessions_total")?.0,
        basis: row.try_get::<_, Json<_>>("basis")?.0,
    })
}

async fn find(on: &impl GenericClient, tenant: TenantId, plan: PlanId) -> Result<Option<Forecast>> {
    let statement =
        format!("SELECT {COLUMNS} FROM forecasts WHERE tenant_id = $1 AND plan_id = $2");
    one(on, &statement, &[&tenant.0, &plan.0]).await?.as_ref().map(row).transpose()
}

/// Removes the forecasts of plans.
pub(super) async fn remove(
    on: &impl GenericClient,
    tenant: TenantId,
    plans: &[Uuid],
) -> Result<()> {
    for table in ["forecast_pages", "forecasts"] {
        let statement = format!("DELETE FROM {table} WHERE tenant_id = $1 AND plan_id = ANY ($2)");
        execute(on, &statement, &[&tenant.0, &plans]).await?;
    }
    Ok(())
}

async fn insert(
    on: &impl GenericClient,
    tenant: TenantId,
    plan: PlanId,
    page: &Page,
) -> Result<u64> {
    let Page { range, records } = page;
    execute(
        on,
        "INSERT INTO forecast_pages \
         (tenant_id, plan_id, page, first_session, last_session, records) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, plan_id, page) DO UPDATE \
         SET first_session = $4, last_session = $5, records = $6",
        &[&tenant.0, &plan.0, &Number(range.page), &range.first.0, &range.last.0, records],
    )
    .await
}

fn range(row: &Row) -> Result<Range> {
    Ok(Range {
        page: row.try_get::<_, Number>("page")?.0,
        first: SessionId(row.try_get("first_session")?),
        last: SessionId(row.try_get("last_session")?),
    })
}

#[async_trait]
impl Forecasts for Control {
    async fn begin_forecast(
        &self,
        tenant: TenantId,
        new: &NewForecast,
        alive_since: Timestamp,
    ) -> Result<Begun> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        plans::find(&transaction, tenant, new.plan_id).await?;
        if let Some(before) = find(&transaction, tenant, new.plan_id).await?
            && before.is_alive(alive_since)
        {
            return Ok(Begun::Running(before));
        }
        remove(&transaction, tenant, &[new.plan_id.0]).await?;
        execute(
            &transaction,
            &format!(
                "INSERT INTO forecasts (tenant_id, {COLUMNS}) \
                 VALUES ($1, $2, $3, $4, 'running', $5, $5, 0, 0, $6, NULL)"
            ),
            &[
                &tenant.0,
                &new.plan_id.0,
                &new.forecast_id,
                &new.process,
                &Micros(new.started_at),
                &Json(&new.basis),
            ],
        )
        .await?;
        transaction.commit().await?;
        Ok(Begun::Started(new.begun()))
    }

    async fn note_forecast(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        progress: Progress,
        page: Option<Page>,
    ) -> Result<bool> {
        page.as_ref().map_or(Ok(()), Page::check)?;
        // The row of the forecast is locked by its update, and no turn to decide is taken.
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let noted = execute(
            &transaction,
            &format!(
                "UPDATE forecasts SET sessions_done = $4, sessions_total = $5, heard_at = $6 \
                 WHERE {RUNNING}"
            ),
            &[
                &tenant.0,
                &plan.0,
                &forecast,
                &Number(progress.done),
                &Number(progress.total),
                &Micros(progress.at),
            ],
        )
        .await?;
        if let (1, Some(page)) = (noted, &page) {
            insert(&transaction, tenant, plan, page).await?;
        }
        transaction.commit().await?;
        Ok(noted == 1)
    }

    async fn end_forecast(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
        end: End,
        at: Timestamp,
    ) -> Result<bool> {
        let (state, result) = end.kept()?;
        let ended = execute(
            &self.client().await?,
            &format!(
                "UPDATE forecasts SET state = $4, failure = $5, result = $6, heard_at = $7 \
                 WHERE {RUNNING}"
            ),
            &[
                &tenant.0,
                &plan.0,
                &forecast,
                &state.as_str(),
                &state.reason().map(Json),
                &result.as_ref().map(|result| result.get()),
                &Micros(at),
            ],
        )
        .await?;
        Ok(ended == 1)
    }

    async fn forecast(&self, tenant: TenantId, plan: PlanId) -> Result<Forecast> {
        let found = find(&self.client().await?, tenant, plan).await?;
        found.ok_or(Error::NotFound(Noun::Forecast))
    }

    async fn forecast_result(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
    ) -> Result<Option<Box<RawValue>>> {
        let statement = "SELECT result FROM forecasts \
             WHERE tenant_id = $1 AND plan_id = $2 AND forecast_id = $3";
        let client = self.client().await?;
        let found = one(&client, statement, &[&tenant.0, &plan.0, &forecast]).await?;
        let Some(found) = found else { return Ok(None) };
        Ok(found.try_get::<_, Option<Json<Box<RawValue>>>>(0)?.map(|Json(result)| result))
    }

    async fn forecast_ranges(&self, tenant: TenantId, plan: PlanId) -> Result<Vec<Range>> {
        let statement = "SELECT page, first_session, last_session FROM forecast_pages \
             WHERE tenant_id = $1 AND plan_id = $2 ORDER BY page";
        let found = rows(&self.client().await?, statement, &[&tenant.0, &plan.0]).await?;
        found.iter().map(range).collect()
    }

    async fn forecast_page(&self, tenant: TenantId, plan: PlanId, page: u64) -> Result<Page> {
        let statement = "SELECT page, first_session, last_session, records FROM forecast_pages \
             WHERE tenant_id = $1 AND plan_id = $2 AND page = $3";
        let client = self.client().await?;
        match one(&client, statement, &[&tenant.0, &plan.0, &Number(page)]).await? {
            Some(found) => Ok(Page { range: range(&found)?, records: found.try_get("records")? }),
            None => Err(Error::NotFound(Noun::Forecast)),
        }
    }
}
