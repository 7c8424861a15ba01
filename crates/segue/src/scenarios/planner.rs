//! Plans up to their approval: generated, reviewed, changed, approved or rejected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use segue_core::diff::Diff;
use segue_core::ids::{PlanId, ScenarioId, StepId, TenantId, Version};
use segue_core::plan::lifecycle::{Action, Approval, Refused, Signed};
use segue_core::plan::policy::{AnchorMigrationPolicy, Policies, ScopeFilter, mappings};
use segue_core::plan::summary::{MigrationSummary, SessionCounts};
use segue_core::plan::{self, check};
use segue_core::scenario::Scenario;
use segue_core::scenario::graph::Graph;
use segue_core::scenario::hash::{Checksum, ContentHash};
use segue_core::scenario::validate::Problem;
use segue_store::control::plans::{Change, Filter, NewPlan, Plan, Revision};
use segue_store::control::scenarios::NewVersion;
use segue_store::control::{By, Error as ControlError, Listing, Noun, Page, audit};
use segue_store::events::{Choice, CountBy};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use super::Shared;
use super::catalog::{checked, not_found};
use super::signature::{self, Signature};
use crate::error::{Error, Kind, Result};
use crate::telemetry;

/// Makes plans and takes them through review.
#[derive(Debug, Clone)]
pub struct MigrationPlanner(pub(super) Arc<Shared>);

/// What a list shows of a plan beyond its header, and what its document needs that is kept nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The checksum of the version that sessions leave.
    pub scenario_checksum_v1: Checksum,
    /// The checksum of the version that they come to.
    pub scenario_checksum_v2: Checksum,
    /// When the plan may be removed, unless something needs it.
    pub expires_at: Timestamp,
    /// Who made it, if they gave a name.
    pub created_by: Option<String>,
    /// Anchors in all.
    pub total_anchors: usize,
    /// Anchors where sessions go on silently.
    pub anchors_with_clean_graft: usize,
    /// Anchors where something may have to be asked or done.
    pub anchors_with_gap_fill: usize,
    /// Anchors where customers may be redirected.
    pub anchors_with_re_route: usize,
    /// Steps that are gone.
    pub nodes_deleted: usize,
    /// Sessions on the old version when the plan was made.
    pub estimated_sessions_affected: u64,
    /// How many warnings there are.
    pub warnings: usize,
}

impl MigrationPlanner {
    /// Generates a plan from the current version, or from `from_version`, to a new one, which is
    /// registered with it and becomes current when the plan is deployed.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem of the new version; [`Error::NotFound`];
    /// [`Error::VersionNotGreater`]; [`Error::PlanExists`]; [`Error::Exists`] if the new version's number
    /// holds another document.
    pub async fn generate_plan(
        &self,
        tenant: TenantId,
        scenario_id: ScenarioId,
        new_scenario: Scenario,
        created_by: impl Into<Signature>,
        from_version: Option<Version>,
    ) -> Result<plan::Plan> {
        let signature = created_by.into();
        let begun = Instant::now();
        let shared = &self.0;
        let registered = shared.control.scenario(tenant, scenario_id).await;
        let registered = registered.map_err(|error| not_found(error, scenario_id, None))?;
        let from = from_version.unwrap_or(registered.current_version);
        let to = new_scenario.version;
        // Sessions left behind on an older version may be led to the current one, never to one before it:
        // the deploy makes the plan's version current.
        if to <= from || to < registered.current_version {
            let current = from.max(registered.current_version);
            return Err(Error::VersionNotGreater { current, given: to });
        }
        let v1 = shared
            .archive
            .graph(tenant, scenario_id, from)
            .await?
            .ok_or_else(|| Error::NotFound { kind: Kind::Version, id: from.to_string() })?;
        let sessions = counts(shared, tenant, &v1).await?;
        let definitions = shared.control.fields(tenant).await?.definitions;
        let id = PlanId(shared.clock.new_id());
        let created = Signed { by: signature.name.clone(), at: shared.now() };
        let retention_days = shared.config.retention.plan_retention_days;
        let judge = shared.judge();
        // A plan of ten thousand steps takes a tenth of a second: not on a thread that serves turns.
        let computed = tokio::task::spawn_blocking(move || {
            let (v2, new_version) = checked(new_scenario)?;
            let request = plan::Request {
                id,
                tenant_id: tenant,
                v1,
                v2: Arc::new(v2),
                sessions: &sessions,
                definitions: &definitions,
                judge,
                created,
                retention_days,
            };
            let plan = plan::generate(request).map_err(refused_request)?;
            Ok::<_, Error>((plan, new_version))
        });
        let (plan, new_version) = computed.await.expect("generating a plan does not panic")?;
        self.keep(tenant, &plan, new_version, &signature).await?;
        telemetry::plan_generated(begun.elapsed());
        Ok(plan)
    }

    async fn keep(
        &self,
        tenant: TenantId,
        plan: &plan::Plan,
        new_version: NewVersion,
        signature: &Signature,
    ) -> Result<()> {
        let new = NewPlan {
            plan_id: plan.id,
            scenario_id: plan.scenario_id,
            from_version: plan.from_version,
            to_version: plan.to_version,
            new_version: Some(new_version),
            policies: plan.policies.clone(),
            overview: serde_json::to_value(overview(plan)).expect("plain data serialises"),
            summary: to_raw_value(&plan.summary).expect("plain data with text keys serialises"),
            map: to_raw_value(&plan.map).expect("plain data with text keys serialises"),
        };
        let by = signature.at(plan.created.at);
        match self.0.control.create_plan(tenant, &new, &by).await {
            Ok(_) => Ok(()),
            Err(ControlError::Exists(Noun::OpenPlan)) => Err(self.open_plan(tenant, plan).await?),
            Err(ControlError::Exists(_)) => {
                Err(Error::Exists { kind: Kind::Version, id: plan.to_version.to_string() })
            }
            Err(error) => Err(not_found(error, plan.scenario_id, Some(plan.to_version))),
        }
    }

    /// Says which open plan stands in the way of a new one.
    async fn open_plan(&self, tenant: TenantId, plan: &plan::Plan) -> Result<Error> {
        let filter = Filter { scenario_id: Some(plan.scenario_id), status: None };
        let between = (plan.from_version, plan.to_version);
        let plans = every_plan(&self.0, tenant, filter).await?;
        let open = plans.iter().find(|other| {
            other.status.is_open() && (other.from_version, other.to_version) == between
        });
        let plan_id = open.map_or_else(String::new, |open| open.plan_id.to_string());
        Ok(Error::PlanExists { plan_id, from: plan.from_version, to: plan.to_version })
    }

    /// Reads a plan, whole.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn plan(&self, tenant: TenantId, id: PlanId) -> Result<plan::Plan> {
        let header = header(&self.0, tenant, id).await?;
        let of_plan = |error| plan_error(error, id);
        let summary = self.0.control.plan_summary(tenant, id).await.map_err(of_plan)?;
        let map = self.0.control.plan_map(tenant, id).await.map_err(of_plan)?;
        let overview = read_overview(&header)?;
        Ok(plan::Plan {
            id,
            tenant_id: tenant,
            scenario_id: header.scenario_id,
            from_version: header.from_version,
            to_version: header.to_version,
            scenario_checksum_v1: overview.scenario_checksum_v1,
            scenario_checksum_v2: overview.scenario_checksum_v2,
            map: serde_json::from_str(map.get()).map_err(|error| damaged(id, &error))?,
            policies: header.policies,
            summary: serde_json::from_str(summary.get()).map_err(|error| damaged(id, &error))?,
            status: header.status,
            revision: header.revision.0,
            created: Signed { by: overview.created_by, at: header.created_at },
            expires_at: overview.expires_at,
        })
    }

    /// Compares the two versions of a plan as its policies have them: accepted suggestions count.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn compared(&self, tenant: TenantId, plan: &plan::Plan) -> Result<Diff> {
        let graph = |version: Version| async move {
            let graph = self.0.archive.graph(tenant, plan.scenario_id, version).await?;
            graph.ok_or_else(|| Error::NotFound { kind: Kind::Version, id: version.to_string() })
        };
        let (v1, v2) = (graph(plan.from_version).await?, graph(plan.to_version).await?);
        Ok(Diff::between(v1, v2, &mappings(&plan.policies)))
    }

    /// Whether a plan must be approved before it is deployed.
    #[must_use]
    pub fn approval(&self) -> Approval {
        Approval::from(&self.0.config.deployment)
    }

    /// Reads a plan's header: where it stands, and what the operator set.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn header(&self, tenant: TenantId, id: PlanId) -> Result<Plan> {
        header(&self.0, tenant, id).await
    }

    /// Reads what an operator reads before they decide.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn summary(&self, tenant: TenantId, id: PlanId) -> Result<MigrationSummary> {
        let read = self.0.control.plan_summary(tenant, id).await;
        let summary = read.map_err(|error| plan_error(error, id))?;
        serde_json::from_str(summary.get()).map_err(|error| damaged(id, &error))
    }

    /// Lists a tenant's plans, the newest first.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub async fn plans(
        &self,
        tenant: TenantId,
        filter: Filter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Listing<(Plan, Overview)>> {
        let page = super::catalog::page(limit, cursor)?;
        let listed = self.0.control.list_plans(tenant, filter, page).await?;
        let (total, next) = (listed.total, listed.next);
        let with_overview = |plan| read_overview(&plan).map(|overview| (plan, overview));
        let items = listed.items.into_iter().map(with_overview).collect::<Result<_>>()?;
        Ok(Listing { items, total, next })
    }

    /// Sets policies of a pending plan; anchors that are not named keep theirs.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] with every problem of the policies;
    /// [`Error::PlanStatus`]; [`Error::PlanChanged`].
    pub async fn update_policies(
        &self,
        tenant: TenantId,
        id: PlanId,
        policies: Policies,
        by: impl Into<Signature>,
    ) -> Result<plan::Plan> {
        let by = by.into().at(self.0.now());
        let plan = self.plan(tenant, id).await?;
        let expected = Revision(plan.revision);
        let plan = plan.with_policies(policies).map_err(|error| match error {
            check::Error::Refused(refused) => refusal(refused),
            check::Error::Invalid(problems) => Error::Invalid { what: "policies", problems },
        })?;
        let change = Change {
            plan_id: id,
            expected,
            status: plan.status.clone(),
            policies: Some(plan.policies.clone()),
        };
        let action = audit::Action::PlanPoliciesChanged;
        let changed = self.0.control.update_plan(tenant, &change, action, &by).await;
        changed.map_err(|error| plan_error(error, id))?;
        Ok(plan)
    }

    /// Approves a plan for deployment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PlanStatus`], [`Error::PlanChanged`], [`Error::FourEyes`].
    pub async fn approve_plan(
        &self,
        tenant: TenantId,
        plan: PlanId,
        approved_by: impl Into<Signature>,
    ) -> Result<plan::Plan> {
        let signature = approved_by.into();
        let by = signature.at(self.0.now());
        // Read before the plan's revision is: a change of policies in between is a change of the plan.
        let header = header(&self.0, tenant, plan).await?;
        signature::four_eyes(&self.0, tenant, plan, &signature).await?;
        let action = Action::Approve(Signed { by: signature.name, at: by.at });
        self.change(tenant, &header, action, audit::Action::PlanApproved, by).await
    }

    /// Rejects a plan.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PlanStatus`], [`Error::PlanChanged`].
    pub async fn reject_plan(
        &self,
        tenant: TenantId,
        plan: PlanId,
        rejected_by: impl Into<Signature>,
        reason: Option<String>,
    ) -> Result<plan::Plan> {
        let signature = rejected_by.into();
        let by = signature.at(self.0.now()).with("reason", reason.clone());
        let signed = Signed { by: signature.name, at: by.at };
        let action = Action::Reject { signed, reason };
        let header = header(&self.0, tenant, plan).await?;
        self.change(tenant, &header, action, audit::Action::PlanRejected, by).await
    }

    async fn change(
        &self,
        tenant: TenantId,
        plan: &Plan,
        action: Action,
        audited: audit::Action,
        by: By,
    ) -> Result<plan::Plan> {
        let plan_id = plan.plan_id;
        let change = change(plan, action, Approval::Required)?;
        let changed = self.0.control.update_plan(tenant, &change, audited, &by).await;
        changed.map_err(|error| plan_error(error, plan_id))?;
        self.plan(tenant, plan_id).await
    }
}

/// The live sessions on a version, by step and by the checkpoints that they have passed.
async fn counts(shared: &Shared, tenant: TenantId, v1: &Graph) -> Result<SessionCounts> {
    let filter = segue_store::events::Filter {
        versions: Choice::Only(vec![v1.scenario().version]),
        live: Some(true),
        ..shared.sessions_of(v1.scenario().id)
    };
    let mut by_meaning: HashMap<ContentHash, Vec<&StepId>> = HashMap::new();
    for ix in v1.indices() {
        by_meaning.entry(v1.hash(ix)).or_default().push(&v1.step(ix).id);
    }
    let mut counts = SessionCounts::default();
    for group in shared.count(tenant, filter, CountBy::Checkpoints).await? {
        let Some(step) = group.step_id else { continue };
        *counts.by_step.entry(step.clone()).or_default() += group.n;
        for checkpoint in group.checkpoints.iter().flat_map(|hash| by_meaning.get(hash)).flatten() {
            let passed = counts.passed.entry((*checkpoint).clone()).or_default();
            *passed.entry(step.clone()).or_default() += group.n;
        }
    }
    Ok(counts)
}

fn overview(plan: &plan::Plan) -> Overview {
    Overview {
        scenario_checksum_v1: plan.scenario_checksum_v1,
        scenario_checksum_v2: plan.scenario_checksum_v2,
        expires_at: plan.expires_at,
        created_by: plan.created.by.clone(),
        total_anchors: plan.summary.total_anchors,
        anchors_with_clean_graft: plan.summary.anchors_with_clean_graft,
        anchors_with_gap_fill: plan.summary.anchors_with_gap_fill,
        anchors_with_re_route: plan.summary.anchors_with_re_route,
        nodes_deleted: plan.summary.nodes_deleted,
        estimated_sessions_affected: plan.summary.estimated_sessions_affected,
        warnings: plan.summary.warnings.len(),
    }
}

fn read_overview(plan: &Plan) -> Result<Overview> {
    Overview::deserialize(&plan.overview).map_err(|error| damaged(plan.plan_id, &error))
}

fn damaged(plan: PlanId, error: &serde_json::Error) -> Error {
    Error::Corrupt {
        what: "the control plane",
        reason: format!("plan {plan} cannot be read: {error}"),
        source: None,
    }
}

fn refused_request(error: plan::Error) -> Error {
    match error {
        plan::Error::VersionNotGreater { from, to } => {
            Error::VersionNotGreater { current: from, given: to }
        }
        plan::Error::OtherScenario { .. } => Error::Invalid {
            what: "scenario",
            problems: vec![Problem {
                code: "other_scenario".to_owned(),
                path: "/id".to_owned(),
                message: error.to_string(),
            }],
        },
    }
}

/// Reads the headers of all plans that match.
pub(super) async fn every_plan(
    shared: &Shared,
    tenant: TenantId,
    filter: Filter,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    let mut page = Page::first(100);
    loop {
        let listed = shared.control.list_plans(tenant, filter, page).await?;
        plans.extend(listed.items);
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(plans),
        }
    }
}

/// Reads a plan's header.
pub(super) async fn header(shared: &Shared, tenant: TenantId, plan: PlanId) -> Result<Plan> {
    let read = shared.control.plan(tenant, plan).await;
    read.map_err(|error| plan_error(error, plan))
}

/// What an action makes of a plan, decided on the plan as it was read.
pub(super) fn change(plan: &Plan, action: Action, approval: Approval) -> Result<Change> {
    let status = plan.status.clone().after(action, approval).map_err(refusal)?;
    Ok(Change { plan_id: plan.plan_id, expected: plan.revision, status, policies: None })
}

fn refusal(refused: Refused) -> Error {
    Error::PlanStatus {
        action: refused.action,
        status: refused.status.as_str(),
        allowed: refused.allowed.iter().map(|kind| kind.as_str()).collect(),
    }
}

/// What the control plane says about a plan, in the words of this crate.
pub(super) fn plan_error(error: ControlError, plan: PlanId) -> Error {
    match error {
        ControlError::NotFound(Noun::Plan) => {
            Error::NotFound { kind: Kind::Plan, id: plan.to_string() }
        }
        ControlError::Conflict(_) => Error::PlanChanged { plan_id: plan.to_string() },
        other => other.into(),
    }
}

/// The policies in which the operator set something; the others are what every anchor has anyway.
pub(super) fn set_by_operator(policies: &Policies) -> Policies {
    let is_set = |policy: &AnchorMigrationPolicy| {
        policy.scope_filter != ScopeFilter::default()
            || !policy.update_downstream
            || policy.force_scenario.is_some()
            || policy.map_to_step_id.is_some()
    };
    let set = policies.iter().filter(|(_, policy)| is_set(policy));
    set.map(|(key, policy)| (key.clone(), policy.clone())).collect()
}
