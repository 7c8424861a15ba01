//! Plans up to their approval: generated, reviewed, changed, approved or rejected.

use std::sync::Arc;

use segue_core::ids::{PlanId, TenantId};
use segue_core::plan::lifecycle::{Action, Approval, Refused, Signed};
use segue_core::plan::policy::{AnchorMigrationPolicy, Policies, ScopeFilter};
use segue_store::control::plans::{Change, Filter, Plan};
use segue_store::control::{By, Error as ControlError, Listing, Noun, audit};
use serde_json::json;

use super::Shared;
use crate::error::{Error, Kind, Result};

/// Who acts when nobody says who they are.
pub(super) const SOMEONE: &str = "operator";

/// Makes plans and takes them through review.
#[derive(Debug, Clone)]
pub struct MigrationPlanner(pub(super) Arc<Shared>);

impl MigrationPlanner {
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
    ) -> Result<Listing<Plan>> {
        let page = super::catalog::page(limit, cursor)?;
        Ok(self.0.control.list_plans(tenant, filter, page).await?)
    }

    /// Approves a plan for deployment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PlanStatus`], [`Error::PlanChanged`].
    pub async fn approve_plan(
        &self,
        tenant: TenantId,
        plan: PlanId,
        approved_by: Option<String>,
    ) -> Result<Plan> {
        let by = self.0.by(approved_by.as_deref().unwrap_or(SOMEONE));
        let action = Action::Approve(Signed { by: approved_by, at: by.at });
        self.change(tenant, plan, action, audit::Action::PlanApproved, by).await
    }

    /// Rejects a plan.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PlanStatus`], [`Error::PlanChanged`].
    pub async fn reject_plan(
        &self,
        tenant: TenantId,
        plan: PlanId,
        rejected_by: Option<String>,
        reason: Option<String>,
    ) -> Result<Plan> {
        let mut by = self.0.by(rejected_by.as_deref().unwrap_or(SOMEONE));
        by.details = json!({"reason": reason});
        let signed = Signed { by: rejected_by, at: by.at };
        let action = Action::Reject { signed, reason };
        self.change(tenant, plan, action, audit::Action::PlanRejected, by).await
    }

    async fn change(
        &self,
        tenant: TenantId,
        plan_id: PlanId,
        action: Action,
        audited: audit::Action,
        by: By,
    ) -> Result<Plan> {
        let plan = header(&self.0, tenant, plan_id).await?;
        let change = change(&plan, action, Approval::Required)?;
        let changed = self.0.control.update_plan(tenant, &change, audited, &by).await;
        changed.map_err(|error| plan_error(error, plan_id))
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
