//! Plans from their deploy on: a decision of the control plane that touches no session, counted after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use segue_core::ids::{Epoch, PlanId, SessionId, StreamVersion, TenantId};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::lifecycle::{Action, Approval, Deployment, Kind, Signed, Status};
use segue_core::plan::policy::{AnchorKey, MigrationScenario};
use segue_core::session::event::Migration;
use segue_store::control::audit;
use segue_store::control::deployments::{self, Withdrawal};
use segue_store::control::plans::{Change, Filter, Plan};
use segue_store::events::{Direction, Event, StreamRead};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::planner::{self, change, plan_error};
use super::scope::{self, ByAnchor};
use super::sessions::{Decided, outcome_stream};
use super::signature::Signature;
use crate::error::{Error, Result};
use crate::telemetry;

/// How often a deploy is decided again because another plan of the scenario changed meanwhile.
const ROUNDS: usize = 8;

/// Deploys plans, takes them back, and tells what came of them.
#[derive(Debug, Clone)]
pub struct MigrationDeployer(pub(super) Arc<Shared>);

/// What a deploy answers.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeploymentResult {
    /// The plan.
    pub plan_id: PlanId,
    /// How many sessions have a pending migration by it.
    pub sessions_marked: u64,
    /// The same by anchor; sessions at a deleted step under the anchor that they go to.
    pub sessions_by_anchor: ByAnchor,
    /// When it was deployed.
    pub deployed_at: Timestamp,
}

/// What came of a plan so far.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeploymentStatus {
    /// The plan.
    pub plan_id: PlanId,
    /// Where it stands.
    pub status: Kind,
    /// How many sessions it concerned when it was deployed.
    pub sessions_marked: u64,
    /// How many sessions have migrated by it.
    pub migrations_applied: u64,
    /// How many are still to come.
    pub migrations_pending: u64,
    /// How many have migrated, by migration scenario; relocations count as none of the three.
    pub migrations_by_scenario: BTreeMap<MigrationScenario, u64>,
    /// How many were relocated because their step was gone.
    pub relocations: u64,
    /// How many were kept where they are by a checkpoint.
    pub checkpoint_blocks: u64,
    /// How many keep their version because the plan says so (`update_downstream = false`).
    pub kept_on_version: u64,
    /// When it was deployed.
    pub deployed_at: Option<Timestamp>,
    /// When it moved a session last.
    pub last_migration_at: Option<Timestamp>,
}

/// One decided migration of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Application {
    /// The session.
    pub session_id: SessionId,
    /// What was decided: `clean_graft`, `gap_fill`, `re_route`, `relocated`, `blocked`, `stayed`.
    pub outcome: &'static str,
    /// When.
    pub applied_at: Timestamp,
    /// The audit record of the decision.
    #[serde(flatten)]
    pub migration: Migration,
}

#[derive(Deserialize)]
struct Recorded {
    session_id: SessionId,
    #[serde(flatten)]
    migration: Migration,
}

impl MigrationDeployer {
    /// Deploys a plan: its version becomes current, and it applies to each session at its next turn. One
    /// transaction, whatever the number of sessions; they are counted afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PlanStatus`], [`Error::PlanChanged`].
    pub async fn deploy(
        &self,
        tenant: TenantId,
        plan_id: PlanId,
        deployed_by: impl Into<Signature>,
    ) -> Result<DeploymentResult> {
        let shared = &self.0;
        let signature = deployed_by.into();
        let mut rounds = 0;
        let begun = Instant::now();
        let (record, plan) = loop {
            let deployment = self.decided(tenant, plan_id, signature.name.clone()).await?;
            match shared.control.deploy(tenant, &deployment, &signature.at(shared.now())).await {
                Ok(plan) => break (deployment.record, plan),
                Err(segue_store::control::Error::Conflict(_)) if rounds < ROUNDS => rounds += 1,
                Err(error) => return Err(plan_error(error, plan_id)),
            }
        };
        telemetry::plan_deployed(begun.elapsed());
        let sessions_by_anchor = self.counted(tenant, &record).await?;
        let sessions_marked = sessions_by_anchor.values().sum();
        self.keep_counts(tenant, plan, sessions_marked, &sessions_by_anchor, &signature).await?;
        telemetry::sessions_marked(sessions_marked);
        tracing::info!(%tenant, %plan_id, sessions_marked, "plan deployed");
        let deployed_at = record.deployed_at;
        Ok(DeploymentResult { plan_id, sessions_marked, sessions_by_anchor, deployed_at })
    }

    /// What a deploy changes, decided on the plans as they are now.
    async fn decided(
        &self,
        tenant: TenantId,
        plan_id: PlanId,
        deployed_by: Option<String>,
    ) -> Result<deployments::Deployment> {
        let shared = &self.0;
        let now = shared.now();
        let plan = planner::header(shared, tenant, plan_id).await?;
        let deploy = Action::Deploy(Deployment {
            signed: Signed { by: deployed_by, at: now },
            sessions_marked: 0,
            sessions_by_anchor: ByAnchor::new(),
        });
        let deployed = change(&plan, deploy, Approval::from(&shared.config.deployment))?;
        let mut superseded = Vec::new();
        let of_scenario = Filter { scenario_id: Some(plan.scenario_id), status: None };
        for older in planner::every_plan(shared, tenant, of_scenario).await? {
            let is_older = older.created_at <= plan.created_at && older.plan_id != plan_id;
            let supersede = Action::Supersede { at: now, by_plan: plan_id };
            if let (true, Ok(change)) = (is_older, change(&older, supersede, Approval::Required)) {
                superseded.push(change);
            }
        }
        let record = record(shared, tenant, &plan, now).await?;
        Ok(deployments::Deployment { plan: deployed, superseded, record })
    }

    /// Whom a plan concerned when it was deployed: whoever took a turn since, and who is still pending.
    ///
    /// The two are read one right after the other, and a count sees the store as it is when it begins,
    /// however long it takes: only a session that takes its turn in between is missed.
    async fn counted(&self, tenant: TenantId, record: &Deployed) -> Result<ByAnchor> {
        let decided = self.outcomes(tenant, record.plan_id).await?;
        let mut counts = scope::pending_by_anchor(&self.0, tenant, record).await?;
        for (decided, times) in decided.into_iter().filter(|(_, times)| *times > 0) {
            self.add_decided(tenant, record.plan_id, decided, times, &mut counts).await?;
        }
        Ok(counts)
    }

    /// Adds the first sessions for which it was decided so, under the anchors where they stood.
    async fn add_decided(
        &self,
        tenant: TenantId,
        plan: PlanId,
        decided: Decided,
        times: u64,
        counts: &mut ByAnchor,
    ) -> Result<()> {
        let mut from = StreamVersion(1);
        loop {
            let read = StreamRead {
                tenant,
                access: Epoch::default().into(),
                stream: outcome_stream(plan, decided),
                from,
                limit: 1_000,
                direction: Direction::Forwards,
            };
            let page = self.0.router.read_stream(read).await?;
            for event in page.events.iter().filter(|event| event.version.0 <= times) {
                let Migration { anchor, step_before, .. } = application(decided, event)?.migration;
                let key = anchor.unwrap_or_else(|| AnchorKey(format!("step:{step_before}")));
                *counts.entry(key).or_default() += 1;
            }
            match page.next.filter(|next| next.0 <= times) {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Keeps the counts of a deploy with its plan. If the plan changed meanwhile (it was withdrawn), or
    /// the process dies before, the plan keeps no counts, and its status counts again.
    async fn keep_counts(
        &self,
        tenant: TenantId,
        plan: Plan,
        sessions_marked: u64,
        sessions_by_anchor: &ByAnchor,
        signature: &Signature,
    ) -> Result<()> {
        let mut status = plan.status;
        if let Status::Deployed { deployed, .. } = &mut status {
            deployed.sessions_marked = sessions_marked;
            deployed.sessions_by_anchor = sessions_by_anchor.clone();
        }
        let change =
            Change { plan_id: plan.plan_id, expected: plan.revision, status, policies: None };
        let by = signature.at(self.0.now());
        let kept =
            self.0.control.update_plan(tenant, &change, audit::Action::PlanCounted, &by).await;
        match kept {
            Ok(_) | Err(segue_store::control::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(plan_error(error, plan.plan_id)),
        }
    }

    /// Takes a deployed plan back: it stops applying to sessions that have not migrated, and the version
    /// before it is current again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PlanStatus`], [`Error::PlanChanged`].
    pub async fn withdraw(
        &self,
        tenant: TenantId,
        plan_id: PlanId,
        withdrawn_by: impl Into<Signature>,
    ) -> Result<()> {
        let shared = &self.0;
        let at = shared.now();
        let signature = withdrawn_by.into();
        let mut rounds = 0;
        loop {
            let plan = planner::header(shared, tenant, plan_id).await?;
            let withdraw = Action::Withdraw(Signed { by: signature.name.clone(), at });
            let change = change(&plan, withdraw, Approval::Required)?;
            let withdrawal = Withdrawal { plan: change, withdrawn_at: at };
            match shared.control.withdraw(tenant, &withdrawal, &signature.at(at)).await {
                Ok(_) => return Ok(()),
                Err(segue_store::control::Error::Conflict(_)) if rounds < ROUNDS => rounds += 1,
                Err(error) => return Err(plan_error(error, plan_id)),
            }
        }
    }

    /// What came of a plan so far.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get_deployment_status(
        &self,
        tenant: TenantId,
        plan_id: PlanId,
    ) -> Result<DeploymentStatus> {
        let plan = planner::header(&self.0, tenant, plan_id).await?;
        let outcomes = self.outcomes(tenant, plan_id).await?;
        let of = |decided| outcomes.get(&decided).copied().unwrap_or(0);
        let migrations_by_scenario: BTreeMap<_, _> =
            [MigrationScenario::CleanGraft, MigrationScenario::GapFill, MigrationScenario::ReRoute]
                .map(|scenario| (scenario, of(Decided::Applied(scenario))))
                .into();
        let relocations = of(Decided::Relocated);
        let migrations_applied = migrations_by_scenario.values().sum::<u64>() + relocations;
        let (checkpoint_blocks, kept_on_version) = (of(Decided::Blocked), of(Decided::Stayed));

        let history = self.0.control.deployed(tenant, plan.scenario_id).await;
        let history = history.map_err(|error| plan_error(error, plan_id))?;
        let record = history.deployed.iter().find(|record| record.plan_id == plan_id);
        let migrations_pending = match record {
            Some(record) => scope::pending_by_anchor(&self.0, tenant, record).await?.values().sum(),
            None => 0,
        };
        let decided = migrations_applied + checkpoint_blocks + kept_on_version;
        let kept = plan.status.deployed().map_or(0, |deployed| deployed.sessions_marked);
        // The counts of the deploy are missing if the process died before they were kept.
        let marked = if kept == 0 { decided + migrations_pending } else { kept.max(decided) };
        let last = self.latest(tenant, plan_id, &Decided::MOVED, 1).await?.into_iter().next();
        Ok(DeploymentStatus {
            plan_id,
            status: plan.status.kind(),
            sessions_marked: if record.is_some() { marked } else { 0 },
            migrations_applied,
            migrations_pending,
            migrations_by_scenario,
            relocations,
            checkpoint_blocks,
            kept_on_version,
            deployed_at: record.map(|record| record.deployed_at),
            last_migration_at: last.map(|last| last.applied_at),
        })
    }

    /// How often each decision was taken by a plan.
    async fn outcomes(&self, tenant: TenantId, plan: PlanId) -> Result<BTreeMap<Decided, u64>> {
        let streams = Decided::ALL.map(|decided| outcome_stream(plan, decided));
        let counts = self.0.router.stream_versions(tenant, &streams).await?;
        Ok(Decided::ALL.into_iter().zip(counts.into_iter().map(|version| version.0)).collect())
    }

    /// The latest decisions of a plan, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; an unknown plan has none.
    pub async fn applications(
        &self,
        tenant: TenantId,
        plan: PlanId,
        limit: usize,
    ) -> Result<Vec<Application>> {
        self.latest(tenant, plan, &Decided::ALL, limit).await
    }

    async fn latest(
        &self,
        tenant: TenantId,
        plan: PlanId,
        kinds: &[Decided],
        limit: usize,
    ) -> Result<Vec<Application>> {
        let mut latest = Vec::new();
        for decided in kinds.iter().copied() {
            let read = StreamRead {
                tenant,
                access: Epoch::default().into(),
                stream: outcome_stream(plan, decided),
                from: StreamVersion(u64::MAX),
                limit,
                direction: Direction::Backwards,
            };
            let page = self.0.router.read_stream(read).await?;
            latest.extend(page.events.into_iter().map(|event| (decided, event)));
        }
        latest.sort_by_key(|(_, event)| std::cmp::Reverse(event.position));
        latest.truncate(limit);
        latest.iter().map(|(decided, event)| application(*decided, event)).collect()
    }
}

/// What is kept of a plan that is deployed now.
pub(super) async fn record(
    shared: &Shared,
    tenant: TenantId,
    plan: &Plan,
    now: Timestamp,
) -> Result<Deployed> {
    let checksum = |version| async move {
        let stored = shared.control.version(tenant, plan.scenario_id, version).await;
        Ok::<_, Error>(stored.map_err(|error| plan_error(error, plan.plan_id))?.checksum)
    };
    Ok(Deployed {
        plan_id: plan.plan_id,
        scenario_id: plan.scenario_id,
        from_version: plan.from_version,
        to_version: plan.to_version,
        from_checksum: checksum(plan.from_version).await?,
        to_checksum: checksum(plan.to_version).await?,
        policies: planner::set_by_operator(&plan.policies),
        deployed_at: now,
        marks_sessions: shared.config.deployment.auto_mark_sessions,
        withdrawn_at: None,
    })
}

fn application(decided: Decided, event: &Event) -> Result<Application> {
    let payload = event.payload.as_deref().unwrap_or_default();
    let recorded: Recorded = serde_json::from_slice(payload).map_err(|error| Error::Corrupt {
        what: "the event store",
        reason: format!("event {} should be a decided migration: {error}", event.event_id),
        source: None,
    })?;
    Ok(Application {
        session_id: recorded.session_id,
        outcome: decided.as_str(),
        applied_at: event.recorded_at,
        migration: recorded.migration,
    })
}
