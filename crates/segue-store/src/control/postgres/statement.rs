//! Statements, each prepared once for a connection, and transactions that decide something.

use deadpool_postgres::{GenericClient, Transaction};
use segue_core::ids::TenantId;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::Result;
use crate::postgres::Client;

/// The parameters of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Reads rows.
pub(super) async fn rows(
    on: &impl GenericClient,
    statement: &str,
    values: Values<'_>,
) -> Result<Vec<Row>> {
    let prepared = on.prepare_cached(statement).await?;
    Ok(on.query(&prepared, values).await?)
}

/// Reads the one row, if there is one.
pub(super) async fn row(
    on: &impl GenericClient,
    statement: &str,
    values: Values<'_>,
) -> Result<Option<Row>> {
    let prepared = on.prepare_cached(statement).await?;
    Ok(on.query_opt(&prepared, values).await?)
}

/// Writes, and answers how many rows were written.
pub(super) async fn execute(
    on: &impl GenericClient,
    statement: &str,
    values: Values<'_>,
) -> Result<u64> {
    let prepared = on.prepare_cached(statement).await?;
    Ok(on.execute(&prepared, values).await?)
}

/// Begins to decide something about a tenant.
///
/// A decision reads what is, checks it, and writes in several statements. It begins by locking the
/// tenant's row of `decisions`, so that decisions of one tenant come one after the other, as they do in a
/// SQLite file. Then READ COMMITTED is enough: every statement after the lock sees all that the decision
/// before has committed, and nothing has to be retried. With one lock each, none can wait for another in
/// a circle. See docs/decisions/0071.
pub(super) async fn decide(client: &mut Client, tenant: TenantId) -> Result<Transaction<'_>> {
    let transaction = client.transaction().await?;
    execute(
        &transaction,
        "INSERT INTO decisions (tenant_id, entries, decided_at) VALUES ($1, 0, now()) \
         ON CONFLICT (tenant_id) DO UPDATE SET entries = decisions.entries",
        &[&tenant.0],
    )
    .await?;
    Ok(transaction)
}
