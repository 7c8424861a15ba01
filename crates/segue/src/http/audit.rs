//! What was decided, when and by whom: of a tenant here, of a migration in [`super::moves::record`].

use axum::extract::State;
use jiff::Timestamp;
use segue_core::ids::TenantId;
use segue_store::control::audit::{self, Subject};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::error::{ErrorBody, Refusal};
use super::extract::{Path, Query};
use super::scenarios::Paging;
use crate::error::{Error, Kind};

/// A page of what was decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditList {
    /// The last one first.
    pub entries: Vec<AuditLine>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// One decision, and who made it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLine {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: an operator, or `segue`, with the id of the process where one carries a migration on.
    pub actor: String,
    /// What, such as `migration_started` or `writes_paused`.
    #[schema(value_type = String)]
    pub action: audit::Action,
    /// What explains it further, such as the term, the epoch and the position; null if nothing does.
    pub details: Value,
}

impl From<audit::Entry> for AuditLine {
    fn from(entry: audit::Entry) -> Self {
        let audit::Entry { at, actor, action, details, .. } = entry;
        Self { at, actor, action, details }
    }
}

/// Lists what was decided about a tenant, and by whom
///
/// Where it was placed, when its writes were paused and resumed, and where a fence of it was put back in a
/// store that was restored. Each migration has an audit of its own.
#[utoipa::path(get, path = "/tenants/{tenant_id}/audit", tag = "tenants",
    params(("tenant_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = AuditList), (status = 400, body = ErrorBody),
        (status = 404, description = "`tenant_not_found`", body = ErrorBody)))]
pub async fn list_tenant_audit(
    State(app): State<App>,
    Path(tenant): Path<TenantId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<AuditList>, Refusal> {
    if app.opened.control.route(tenant).await.map_err(Error::from)?.is_none() {
        return Err(Error::NotFound { kind: Kind::Tenant, id: tenant.to_string() }.into());
    }
    let filter = audit::Filter { subjects: vec![Subject::Tenant], ..audit::Filter::default() };
    list(&app, tenant, &filter, paging).await
}

/// A page of a tenant's audit.
pub(super) async fn list(
    app: &App,
    tenant: TenantId,
    filter: &audit::Filter,
    paging: Paging,
) -> Result<axum::Json<AuditList>, Refusal> {
    let page = app.opened.control.list_audit(tenant, filter, paging.page()?).await;
    let page = page.map_err(Error::from)?;
    Ok(axum::Json(AuditList {
        entries: page.items.into_iter().map(AuditLine::from).collect(),
        total: page.total,
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}
