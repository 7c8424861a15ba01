//! Telling the other servers what was decided.

use deadpool_postgres::Transaction;
use segue_core::ids::TenantId;

use super::super::Result;
use super::super::audit::Subject;
use super::statement::execute;

/// Tells every server that listens, once the transaction is committed.
pub(super) async fn announce(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    subject: Subject,
) -> Result<()> {
    let payload = format!("{tenant} {subject}");
    execute(transaction, "SELECT pg_notify(current_schema(), $1)", &[&payload]).await?;
    Ok(())
}
