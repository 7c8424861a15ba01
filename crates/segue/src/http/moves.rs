//! `/tenant-migrations`: tenants on their way to another store. For operators.
//!
//! What is asked for is a decision, made here; what follows from it is carried on by one of the servers, and
//! told by `GET …/status` ([`status`]). [`steps`] are the decisions after the start.

pub mod record;
pub mod status;
pub mod steps;
pub mod verification;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segue_core::ids::{MigrationId, StoreId, TenantId};
use segue_core::scenario::validate::Problem;
use segue_core::tenancy::migration::{MigrationConfig, MigrationState};
use segue_store::control::migrations::Filter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::error::{ErrorBody, Refusal};
use super::extract::{self, Json, Path, Query};
use super::page::Limit;
use super::signed;
use super::{App, BASE};
use crate::auth::Caller;
use crate::error::Error;
use crate::tenants::{DryRun, Migration};

/// Where a tenant shall move, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMigration {
    /// The store that it shall live in.
    #[schema(value_type = String)]
    pub target_store_id: StoreId,
    /// How the move is made; settings that are left out are the server's (`[tenant_migration]`).
    #[serde(default)]
    #[schema(value_type = Option<MigrationConfig>)]
    pub config: Option<Map<String, Value>>,
    /// Only tell what would happen and how long it would take; nothing is changed.
    #[serde(default)]
    pub dry_run: bool,
    /// Who starts it; `operator` if left out.
    #[serde(default, alias = "by", deserialize_with = "signed::name")]
    pub started_by: Option<String>,
}

/// Which migrations are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct MigrationQuery {
    /// Only this tenant's.
    #[param(value_type = Option<uuid::Uuid>)]
    pub tenant_id: Option<TenantId>,
    /// Only those in this state.
    pub state: Option<MigrationState>,
    /// Only those about which something may still be done.
    #[param(default = false)]
    pub active: bool,
    /// Items at most: 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 50)]
    pub limit: Limit,
    /// Where to go on: the `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of tenants' migrations.
#[derive(Debug, Serialize, ToSchema)]
pub struct MigrationList {
    /// The newest first.
    pub migrations: Vec<Migration>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Starts to move a tenant to another store
///
/// Reads and writes go on. The copy begins by itself; the move is decided by `POST …/cutover`, or by itself
/// with `auto_cutover`. With `dry_run` nothing begins: both stores are looked at, and the answer says what
/// would happen.
#[utoipa::path(post, path = "/tenants/{tenant_id}/migrations", tag = "tenant migrations",
    params(("tenant_id" = uuid::Uuid, Path)), request_body = NewMigration,
    responses((status = 201, body = Migration),
        (status = 200, description = "A dry run", body = DryRun),
        (status = 400, description = "`unknown_field`, `invalid_request`: a setting", body = ErrorBody),
        (status = 404, description = "`tenant_not_found`, `store_not_found`", body = ErrorBody),
        (status = 409, description = "`migration_already_exists`, `same_store`, `target_occupied`, \
            `unsafe_durability`", body = ErrorBody),
        (status = 503, description = "`store_unavailable`", body = ErrorBody)))]
pub async fn start_tenant_migration(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    Json(new): Json<NewMigration>,
) -> Result<Response, Refusal> {
    let moves = &app.opened.moves;
    let config = settings(moves.config(), new.config)?;
    if new.dry_run {
        let run = moves.dry_run(tenant, &new.target_store_id, &config).await?;
        return Ok(axum::Json(run).into_response());
    }
    let by = caller.by(new.started_by, app.clock.now());
    let migration = moves.start_migration(tenant, &new.target_store_id, config, &by).await?;
    Ok(created(migration).into_response())
}

/// Lists tenants' migrations
#[utoipa::path(get, path = "/tenant-migrations", tag = "tenant migrations", params(MigrationQuery),
    responses((status = 200, body = MigrationList), (status = 400, body = ErrorBody)))]
pub async fn list_tenant_migrations(
    State(app): State<App>,
    Query(query): Query<MigrationQuery>,
) -> Result<axum::Json<MigrationList>, Refusal> {
    let filter = Filter { tenant: query.tenant_id, state: query.state, only_active: query.active };
    let (limit, cursor) = (query.limit.0, query.cursor.as_deref());
    let page = app.opened.moves.list_migrations(&filter, limit, cursor).await?;
    Ok(axum::Json(MigrationList {
        migrations: page.migrations,
        total: page.total,
        next_cursor: page.next_cursor,
    }))
}

/// Shows a tenant's migration
#[utoipa::path(get, path = "/tenant-migrations/{migration_id}", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)),
    responses((status = 200, body = Migration),
        (status = 404, description = "`migration_not_found`", body = ErrorBody)))]
pub async fn get_tenant_migration(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
) -> Result<axum::Json<Migration>, Refusal> {
    Ok(axum::Json(app.opened.moves.present_migration(id).await?))
}

/// A migration that has just begun.
fn created(migration: Migration) -> (StatusCode, [(HeaderName, String); 1], axum::Json<Migration>) {
    let place = [(header::LOCATION, format!("{BASE}/tenant-migrations/{}", migration.id))];
    (StatusCode::CREATED, place, axum::Json(migration))
}

/// The server's settings, with those of the request in their place.
fn settings(
    server: &MigrationConfig,
    asked: Option<Map<String, Value>>,
) -> Result<MigrationConfig, Refusal> {
    let mut all = json!(server);
    if let (Some(all), Some(asked)) = (all.as_object_mut(), asked) {
        all.extend(asked);
    }
    let config: MigrationConfig = extract::part(all, "/config")?;
    config.check().map_err(|invalid| {
        let path = format!("/config/{}", invalid.setting);
        bad_value(path, format!("{} must be {}", invalid.setting, invalid.allowed))
    })?;
    Ok(config)
}

/// Refuses a value of the body.
fn bad_value(path: String, message: String) -> Error {
    let problem = Problem { code: "not_allowed".to_owned(), path, message };
    Error::Invalid { what: "request", problems: vec![problem] }
}
