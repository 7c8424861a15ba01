//! What is on record about a tenant's migration: failed writes, subscriptions, and who decided what.

use axum::extract::State;
use segue_core::ids::{MigrationId, TenantId};
use segue_core::tenancy::migration::journal::SubscriptionMigration;
use segue_core::tenancy::migration::{FailureStats, PositionMapper};
use segue_store::control::audit::{self, Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::http::App;
use crate::http::audit::{AuditList, list};
use crate::http::error::{ErrorBody, Refusal};
use crate::http::extract::{Path, Query};
use crate::http::scenarios::Paging;
use crate::tenants::SubscriptionMigrator;
use crate::tenants::subscriptions::Which;

/// Writes to the target that failed while it followed the source.
#[derive(Debug, Serialize, ToSchema)]
pub struct MigrationFailures {
    /// Which migration.
    pub migration_id: MigrationId,
    /// All of them, of all servers. The copier brings what they left out.
    #[serde(flatten)]
    pub failures: FailureStats,
}

/// What a migration means for the tenant's subscriptions.
#[derive(Debug, Serialize, ToSchema)]
pub struct MigrationSubscriptions {
    /// Which migration.
    pub migration_id: MigrationId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Whether that has happened; until then it is the plan.
    pub is_migrated: bool,
    /// Each subscription, by name.
    pub subscriptions: Vec<SubscriptionMigration>,
}

/// Counts the writes to a migration's target that failed
#[utoipa::path(get, path = "/tenant-migrations/{migration_id}/failure-stats", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)),
    responses((status = 200, body = MigrationFailures),
        (status = 404, description = "`migration_not_found`", body = ErrorBody)))]
pub async fn get_tenant_migration_failures(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
) -> Result<axum::Json<MigrationFailures>, Refusal> {
    let tenant = app.opened.moves.get_migration(id).await?.tenant_id;
    let failures = app.opened.control.failures(tenant, id).await.map_err(Error::from)?;
    Ok(axum::Json(MigrationFailures { migration_id: id, failures }))
}

/// Shows what a migration means for the tenant's subscriptions
///
/// Until it has moved, the plan: where each one is and where it will go on. Afterwards, what happened.
#[utoipa::path(get, path = "/tenant-migrations/{migration_id}/subscriptions", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)),
    responses((status = 200, body = MigrationSubscriptions),
        (status = 404, description = "`migration_not_found`", body = ErrorBody)))]
pub async fn get_tenant_migration_subscriptions(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
) -> Result<axum::Json<MigrationSubscriptions>, Refusal> {
    let opened = &app.opened;
    let migration = opened.moves.get_migration(id).await?;
    let tenant_id = migration.tenant_id;
    let is_migrated = migration.subscriptions.is_some();
    let subscriptions = match migration.subscriptions {
        Some(migrated) => migrated,
        None => {
            let (control, router) = (opened.control.clone(), opened.router.clone());
            let positions = PositionMapper::identity();
            let migrator = SubscriptionMigrator::new(control, router, positions);
            migrator.plan_migration(id, tenant_id, Which::All).await?.planned_migrations
        }
    };
    Ok(axum::Json(MigrationSubscriptions {
        migration_id: id,
        tenant_id,
        is_migrated,
        subscriptions,
    }))
}

/// Lists what was decided about a migration, and by whom
#[utoipa::path(get, path = "/tenant-migrations/{migration_id}/audit", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = AuditList), (status = 400, body = ErrorBody),
        (status = 404, description = "`migration_not_found`", body = ErrorBody)))]
pub async fn list_tenant_migration_audit(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<AuditList>, Refusal> {
    let tenant = app.opened.moves.get_migration(id).await?.tenant_id;
    let filter = audit::Filter {
        subjects: vec![Subject::Migration],
        subject_id: Some(id.to_string()),
        ..audit::Filter::default()
    };
    list(&app, tenant, &filter, paging).await
}
