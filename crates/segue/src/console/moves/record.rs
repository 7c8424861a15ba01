//! What is on record about a move: writes to the target that failed, what it means for subscriptions, and who
//! decided what.

use jiff::Timestamp;
use maud::{Markup, html};
use segue_core::tenancy::migration::journal::SubscriptionMigration;
use segue_core::tenancy::migration::{FailureStats, PositionMapper};
use segue_store::control::Page;
use segue_store::control::audit::{self, Subject};

use crate::console::answer::Trouble;
use crate::console::decided;
use crate::console::parts::{Tone, badge};
use crate::console::{paths, words};
use crate::error::Error;
use crate::http::App;
use crate::tenants::subscriptions::Which;
use crate::tenants::{Migration, SubscriptionMigrator};

/// How many lines of the audit are shown with a move.
const LINES: u32 = 8;

/// How many subscriptions are shown with a move.
const SUBSCRIPTIONS: usize = 50;

/// What is on record.
#[derive(Debug, Default)]
pub struct Record {
    /// Failed writes to the target, of all servers.
    pub failures: FailureStats,
    /// Each subscription; nothing when the store does not say where they would go on.
    pub subscriptions: Option<Vec<SubscriptionMigration>>,
    /// Whether that has happened; until then it is the plan.
    pub is_migrated: bool,
    /// The last decisions.
    pub audit: Vec<audit::Entry>,
    /// How many there are.
    pub decisions: u64,
}

impl Record {
    /// Reads it.
    pub async fn read(app: &App, migration: &Migration) -> Result<Self, Trouble> {
        let (id, tenant) = (migration.id, migration.tenant_id);
        let control = &app.opened.control;
        let filter = audit::Filter {
            subjects: vec![Subject::Migration],
            subject_id: Some(id.to_string()),
            ..audit::Filter::default()
        };
        let (failures, decided) = tokio::join!(
            control.failures(tenant, id),
            control.list_audit(tenant, &filter, Page::first(LINES))
        );
        let decided = decided.map_err(Error::from)?;
        let subscriptions = match &migration.subscriptions {
            Some(migrated) => Some(migrated.clone()),
            None => planned(app, migration).await,
        };
        Ok(Self {
            failures: failures.map_err(Error::from)?,
            subscriptions,
            is_migrated: migration.subscriptions.is_some(),
            audit: decided.items,
            decisions: decided.total,
        })
    }

    /// Writes to the target that failed.
    #[must_use]
    pub fn failures(&self) -> Markup {
        let FailureStats {
            total_failures,
            total_events_failed,
            first_failure_at,
            last_failure_at,
            unique_aggregates_affected,
        } = self.failures;
        html! {
            section.card aria-labelledby="failures" {
                header {
                    h2 #failures { "Writes to the target that failed" }
                    @if total_failures == 0 { (badge(Tone::Good, "None")) }
                    @else { (badge(Tone::Warn, &words::count(total_failures))) }
                }
                @if total_failures > 0 {
                    div.inside {
                        p {
                            (words::counted(total_events_failed, "event")) " of "
                            (words::counted(unique_aggregates_affected, "stream"))
                            " were left out of the dual write. The copier brings them: nothing is lost."
                        }
                        @if let (Some(first), Some(last)) = (first_failure_at, last_failure_at) {
                            p.quiet.small { "From " (words::exactly(first)) " to " (words::exactly(last)) }
                        }
                    }
                }
            }
        }
    }

    /// What the move means for consumers.
    #[must_use]
    pub fn subscriptions(&self) -> Markup {
        html! {
            section.card aria-labelledby="subscriptions" {
                header {
                    h2 #subscriptions { "Subscriptions" }
                    p { @if self.is_migrated { "They went along" } @else { "They go along with the cutover" } }
                }
                @match &self.subscriptions {
                    None => div.inside { p.quiet { "The store does not say how far its log goes just now." } },
                    Some(all) if all.is_empty() => div.inside { p.quiet { "The tenant has none." } },
                    Some(all) => (subscriptions(all)),
                }
            }
        }
    }

    /// Who decided what.
    #[must_use]
    pub fn audit(&self, migration: &Migration, now: Timestamp) -> Markup {
        let id = migration.id.to_string();
        let all = paths::asking(paths::DECIDED, &[("move", &id)]);
        html! {
            section.card aria-labelledby="audit" {
                header { h2 #audit { "Audit" } a href=(all) { "All of it" } }
                (decided::table(&self.audit, now))
                @if self.decisions > self.audit.len() as u64 {
                    footer { (words::length(self.audit.len())) " of " (words::counted(self.decisions, "decision")) }
                }
            }
        }
    }
}

fn subscriptions(all: &[SubscriptionMigration]) -> Markup {
    let shown = &all[..all.len().min(SUBSCRIPTIONS)];
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Subscription" }
                        th.number scope="col" { "Has come to" }
                        th.number scope="col" { "Goes on at" }
                        th.number scope="col" { "Not yet acknowledged" }
                    }
                }
                tbody { @for one in shown {
                    tr {
                        th scope="row" { (one.subscription_name.as_str()) }
                        td.number { (words::count(one.current_position.0)) }
                        td.number {
                            (words::count(one.planned_target_position.0))
                            span.under { @if one.is_exact { "the same place" } @else { "before it: some come again" } }
                        }
                        td.number { (words::counted(one.lag, "event")) }
                    }
                } }
            }
        }
        @if all.len() > shown.len() {
            footer { (words::length(shown.len())) " of " (words::counted(all.len() as u64, "subscription")) }
        }
    }
}

/// What the move would mean for subscriptions, as far as the store says.
async fn planned(app: &App, migration: &Migration) -> Option<Vec<SubscriptionMigration>> {
    let opened = &app.opened;
    let (control, router) = (opened.control.clone(), opened.router.clone());
    let migrator = SubscriptionMigrator::new(control, router, PositionMapper::identity());
    let plan = migrator.plan_migration(migration.id, migration.tenant_id, Which::All).await;
    plan.ok().map(|plan| plan.planned_migrations)
}
