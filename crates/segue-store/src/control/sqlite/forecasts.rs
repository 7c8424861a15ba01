//! The forecasts' rows.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use segue_core::ids::{PlanId, SessionId, TenantId};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::forecasts::{
    Begun, End, Forecast, Forecasts, NewForecast, Page, Progress, Range, State,
};
use super::super::{Error, Noun, Result, UnknownWord};
use super::column::{Id, Json, Micros, Number};
use super::{Control, plans};

/// Says which forecast is meant, and that it is running.
const RUNNING: &str = "tenant_id = ?1 AND plan_id = ?2 AND forecast_id = ?3 AND state = 'running'";

const COLUMNS: &str = "plan_id, forecast_id, process, state, started_at, heard_at, sessions_done, \
    sessions_total, basis, failure";

fn row(row: &Row<'_>) -> rusqlite::Result<Forecast> {
    let word: String = row.get("state")?;
    let state = State::of(&word, row.get("failure")?).ok_or_else(|| {
        let text = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(3, text, Box::new(UnknownWord))
    })?;
    Ok(Forecast {
        plan_id: PlanId(row.get::<_, Id>("plan_id")?.0),
        forecast_id: row.get::<_, Id>("forecast_id")?.0,
        process: row.get::<_, Id>("process")?.0,
        state,
        started_at: row.get::<_, Micros>("started_at")?.0,
        heard_at: row.get::<_, Micros>("heard_at")?.0,
        sessions_done: row.get::<_, Number>("sessions_done")?.0,
        sessions_total: row.get::<_, Number>("sessions_total")?.0,
        basis: row.get::<_, Json<_>>("basis")?.0,
    })
}

fn find(connection: &Connection, tenant: TenantId, plan: PlanId) -> Result<Option<Forecast>> {
    let statement =
        format!("SELECT {COLUMNS} FROM forecasts WHERE tenant_id = ?1 AND plan_id = ?2");
    let mut find = connection.prepare_cached(&statement)?;
    Ok(find.query_row([Id(tenant.0), Id(plan.0)], row).optional()?)
}

fn begin(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    new: &NewForecast,
    alive_since: Timestamp,
) -> Result<Begun> {
    plans::find(transaction, tenant, new.plan_id)?;
    if let Some(before) = find(transaction, tenant, new.plan_id)?
        && before.is_alive(alive_since)
    {
        return Ok(Begun::Running(before));
    }
    remove(transaction, tenant, new.plan_id)?;
    transaction
        .prepare_cached(&format!(
            "INSERT INTO forecasts (tenant_id, {COLUMNS}) \
             VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?5, 0, 0, ?6, NULL)"
        ))?
        .execute(params![
            Id(tenant.0),
            Id(new.plan_id.0),
            Id(new.forecast_id),
            Id(new.process),
            Micros(new.started_at),
            Json(&new.basis),
        ])?;
    Ok(Begun::Started(new.begun()))
}

/// Removes a plan's forecast.
pub(super) fn remove(transaction: &Transaction<'_>, tenant: TenantId, plan: PlanId) -> Result<()> {
    for table in ["forecast_pages", "forecasts"] {
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE tenant_id = ?1 AND plan_id = ?2"))?
            .execute([Id(tenant.0), Id(plan.0)])?;
    }
    Ok(())
}

fn insert(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: PlanId,
    page: &Page,
) -> Result<()> {
    let Page { range, records } = page;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO forecast_pages \
             (tenant_id, plan_id, page, first_session, last_session, records) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            Id(tenant.0),
            Id(plan.0),
            Number(range.page),
            Id(range.first.0),
            Id(range.last.0),
            records,
        ])?;
    Ok(())
}

fn range(row: &Row<'_>) -> rusqlite::Result<Range> {
    Ok(Range {
        page: row.get::<_, Number>("page")?.0,
        first: SessionId(row.get::<_, Id>("first_session")?.0),
        last: SessionId(row.get::<_, Id>("last_session")?.0),
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
        let new = new.clone();
        self.connections
            .write(move |transaction| begin(transaction, tenant, &new, alive_since))
            .await
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
        self.connections
            .write(move |transaction| {
                let noted = transaction
                    .prepare_cached(&format!(
                        "UPDATE forecasts SET sessions_done = ?4, sessions_total = ?5, heard_at = ?6 \
                         WHERE {RUNNING}"
                    ))?
                    .execute(params![
                        Id(tenant.0),
                        Id(plan.0),
                        Id(forecast),
                        Number(progress.done),
                        Number(progress.total),
                        Micros(progress.at),
                    ])?;
                if let (1, Some(page)) = (noted, &page) {
                    insert(transaction, tenant, plan, page)?;
                }
                Ok(noted == 1)
            })
            .await
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
        self.connections
            .write(move |transaction| {
                let ended = transaction
                    .prepare_cached(&format!(
                        "UPDATE forecasts SET state = ?4, failure = ?5, result = ?6, heard_at = ?7 \
                         WHERE {RUNNING}"
                    ))?
                    .execute(params![
                        Id(tenant.0),
                        Id(plan.0),
                        Id(forecast),
                        state.as_str(),
                        state.reason(),
                        result.as_ref().map(|result| result.get()),
                        Micros(at),
                    ])?;
                Ok(ended == 1)
            })
            .await
    }

    async fn forecast(&self, tenant: TenantId, plan: PlanId) -> Result<Forecast> {
        self.connections
            .read(move |snapshot| {
                find(snapshot, tenant, plan)?.ok_or(Error::NotFound(Noun::Forecast))
            })
            .await
    }

    async fn forecast_result(
        &self,
        tenant: TenantId,
        plan: PlanId,
        forecast: Uuid,
    ) -> Result<Option<Box<RawValue>>> {
        self.connections
            .read(move |snapshot| {
                let result = snapshot
                    .prepare_cached(
                        "SELECT result FROM forecasts \
                         WHERE tenant_id = ?1 AND plan_id = ?2 AND forecast_id = ?3",
                    )?
                    .query_row([Id(tenant.0), Id(plan.0), Id(forecast)], |row| {
                        row.get::<_, Option<Json<Box<RawValue>>>>(0)
                    })
                    .optional()?;
                Ok(result.flatten().map(|Json(result)| result))
            })
            .await
    }

    async fn forecast_ranges(&self, tenant: TenantId, plan: PlanId) -> Result<Vec<Range>> {
        self.connections
            .read(move |snapshot| {
                let ranges = snapshot
                    .prepare_cached(
                        "SELECT page, first_session, last_session FROM forecast_pages \
                         WHERE tenant_id = ?1 AND plan_id = ?2 ORDER BY page",
                    )?
                    .query_map([Id(tenant.0), Id(plan.0)], range)?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(ranges)
            })
            .await
    }

    async fn forecast_page(&self, tenant: TenantId, plan: PlanId, page: u64) -> Result<Page> {
        self.connections
            .read(move |snapshot| {
                snapshot
                    .prepare_cached(
                        "SELECT page, first_session, last_session, records FROM forecast_pages \
                         WHERE tenant_id = ?1 AND plan_id = ?2 AND page = ?3",
                    )?
                    .query_row(params![Id(tenant.0), Id(plan.0), Number(page)], |row| {
                        Ok(Page { range: range(row)?, records: row.get("records")? })
                    })
                    .optional()?
                    .ok_or(Error::NotFound(Noun::Forecast))
            })
            .await
    }
}
