//! What a forecast was computed from, so that it can be told when that has changed.

use segue_core::digest::Digest;
use segue_core::ids::{PlanId, TenantId};
use segue_store::control::forecasts::Forecast;
use segue_store::control::plans::Plan;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Shared;
use super::super::planner::{plan_error, set_by_operator};
use crate::error::{Error, Result};

/// Digests of everything that decisions depend on beside sessions, profiles and the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Basis {
    revision: u64,
    policies: String,
    deployments: String,
    fields: u64,
    settings: String,
}

/// What has changed since a forecast was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ForecastStale)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// The policies of the plan.
    Policies,
    /// Which other plans of the scenario are deployed or withdrawn.
    Deployments,
    /// The field definitions of the tenant.
    Fields,
    /// The settings of the server (`[scenario_migration]`).
    Settings,
}

impl Basis {
    /// As it is now.
    pub(super) async fn of(shared: &Shared, tenant: TenantId, plan: &Plan) -> Result<Self> {
        let history = shared.control.deployed(tenant, plan.scenario_id).await;
        let history = history.map_err(|error| plan_error(error, plan.plan_id))?;
        // The plan's own deployment is what the forecast is about.
        let others = history.deployed.iter().filter(|record| record.plan_id != plan.plan_id);
        let others: Vec<(PlanId, bool)> =
            others.map(|record| (record.plan_id, record.withdrawn_at.is_some())).collect();
        let standing = shared.control.standing(tenant, plan.scenario_id).await?;
        Ok(Self {
            revision: plan.revision.0,
            policies: digest(&set_by_operator(&plan.policies)),
            deployments: digest(&others),
            fields: standing.fields.0,
            settings: digest(&shared.config),
        })
    }

    /// As it is kept with a forecast.
    pub(super) fn read(forecast: &Forecast) -> Result<Self> {
        Self::deserialize(&forecast.basis).map_err(|error| Error::Corrupt {
            what: "the control plane",
            reason: format!("the forecast of plan {} cannot be read: {error}", forecast.plan_id),
            source: None,
        })
    }

    /// What differs in the other one. A plan that was approved since has another revision and nothing else.
    pub(super) fn stale(&self, now: &Self) -> Vec<Stale> {
        let Self { revision: _, policies, deployments, fields, settings } = self;
        let differs = [
            (Stale::Policies, *policies != now.policies),
            (Stale::Deployments, *deployments != now.deployments),
            (Stale::Fields, *fields != now.fields),
            (Stale::Settings, *settings != now.settings),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(stale, _)| stale).collect()
    }
}

fn digest(value: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(value).expect("plain data serialises");
    Digest::of_payload(&bytes).to_string()
}
