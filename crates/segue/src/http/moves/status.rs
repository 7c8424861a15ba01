//! `/tenant-migrations/{id}/status`: a migration as it goes on.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use segue_core::ids::{MigrationId, TenantId};
use segue_store::control::Changes;
use segue_store::control::audit::Subject;
use tokio::time::{Duration, Instant};

use crate::http::App;
use crate::http::error::{ErrorBody, Refusal};
use crate::http::extract::Path;
use crate::http::live::{HEARTBEAT, OPENING, SIGN_OF_LIFE, Seat, event_stream, named, problem};
use crate::tenants::Migration;

/// How often progress is looked at; decisions are told sooner.
const LOOK: Duration = Duration::from_millis(500);

/// How long a decision may wait for company.
const GATHER: Duration = Duration::from_millis(20);

/// Tells how a migration goes on
///
/// Server-sent events: one `migration` now and whenever something has changed, with the migration as
/// `GET …/{id}` shows it. It ends with the migration, when `is_active` is false, and with the server; then ask
/// another one. A `problem` says why it cannot go on.
#[utoipa::path(get, path = "/tenant-migrations/{migration_id}/status", tag = "tenant migrations",
    params(("migration_id" = uuid::Uuid, Path)),
    responses((status = 200, content((String = "text/event-stream"))),
        (status = 404, description = "`migration_not_found`", body = ErrorBody),
        (status = 429, description = "`too_many_streams`", body = ErrorBody),
        (status = 503, description = "`streams_exhausted`", body = ErrorBody)))]
pub async fn follow_tenant_migration(
    State(app): State<App>,
    Path(id): Path<MigrationId>,
) -> Result<Response, Refusal> {
    let changes = app.opened.control.changes();
    let tenant = app.opened.moves.get_migration(id).await?.tenant_id;
    let seat = app.live.seat(tenant)?;
    let status = Status { app, id, tenant, changes, told: None, next: Next::Opening, _seat: seat };
    Ok(event_stream(stream::unfold(status, |mut status| async move {
        let chunk = status.chunk().await?;
        Some((chunk, status))
    })))
}

/// A live stream about one migration.
struct Status {
    app: App,
    id: MigrationId,
    tenant: TenantId,
    changes: Changes,
    /// What was said last.
    told: Option<Migration>,
    next: Next,
    _seat: Seat,
}

/// What a stream has to say next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Opening,
    News,
    End,
}

impl Status {
    /// What is sent next; nothing at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        match self.next {
            Next::Opening => {
                self.next = Next::News;
                Some(Bytes::from_static(OPENING))
            }
            Next::News => {
                let live = self.app.live.clone();
                tokio::select! {
                    biased;
                    () = live.stopped() => None,
                    news = self.news() => Some(news),
                }
            }
            Next::End => None,
        }
    }

    /// Waits for a change, but not for long without a sign of life.
    async fn news(&mut self) -> Bytes {
        let silent_until = Instant::now() + HEARTBEAT;
        loop {
            let now = match self.app.opened.moves.present_migration(self.id).await {
                Ok(now) => now,
                Err(error) => {
                    self.next = Next::End;
                    return problem(error);
                }
            };
            if self.told.as_ref() != Some(&now) {
                if !now.is_active {
                    self.next = Next::End;
                }
                let news = named("migration", &now);
                self.told = Some(now);
                return news;
            }
            if Instant::now() >= silent_until {
                return Bytes::from_static(SIGN_OF_LIFE);
            }
            self.change().await;
        }
    }

    /// Waits until something may have changed.
    async fn change(&mut self) {
        let deadline = Instant::now() + LOOK;
        while let Ok(changed) = tokio::time::timeout_at(deadline, self.changes.next()).await {
            if changed.concerns(self.tenant, Subject::Migration) {
                tokio::time::sleep(GATHER).await;
                return;
            }
        }
    }
}
