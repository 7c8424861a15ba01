//! A tenant with one scenario, and short ways to work on it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use segue_core::ids::{PlanId, ScenarioId, StepId, StoreId, TenantId, Version};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::lifecycle::{self, Signed, Status};
use segue_core::plan::policy::{AnchorKey, AnchorMigrationPolicy, Policies};
use segue_core::scenario::hash::checksum;
use segue_core::scenario::{Scenario, Step};
use serde_json::json;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::Database;
use crate::control::audit::Action;
use crate::control::deployments::{Deployment, Withdrawal};
use crate::control::plans::{Change, NewPlan, Plan};
use crate::control::scenarios::{NewVersion, Registered};
use crate::control::standing::ScenarioStanding;
use crate::control::{By, ControlPlane, Generation, Result};

/// A tenant with one scenario.
pub struct World {
    /// Where it is kept.
    pub control: Arc<dyn ControlPlane>,
    /// The tenant, new in every world.
    pub tenant: TenantId,
    /// The scenario, new in every world.
    pub scenario: ScenarioId,
}

/// So many seconds after the beginning of the story, and some microseconds.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond(1_700_000_000_000_123).unwrap() + SignedDuration::from_secs(second)
}

/// Olga, at a second of the story.
pub fn olga(second: i64) -> By {
    By::new("olga", at(second))
}

/// A store that no other world knows.
pub fn new_store() -> StoreId {
    StoreId::new(format!("store-{}", Uuid::new_v4())).unwrap()
}

impl World {
    /// A tenant without anything.
    pub async fn empty(database: &dyn Database) -> Self {
        Self {
            control: database.open().await,
            tenant: TenantId(Uuid::new_v4()),
            scenario: ScenarioId(Uuid::new_v4()),
        }
    }

    /// A tenant whose scenario has version 1, since second 0.
    pub async fn with_scenario(database: &dyn Database) -> Self {
        let world = Self::empty(database).await;
        world.register(world.scenario, 0).await;
        world
    }

    /// Registers a scenario's version 1.
    pub async fn register(&self, scenario: ScenarioId, second: i64) -> Registered {
        let first = version(scenario, 1);
        self.control.register_scenario(self.tenant, &first, &olga(second)).await.unwrap()
    }

    /// A pending plan that brings the version it leads to.
    pub async fn create(&self, from: u64, to: u64, second: i64) -> Plan {
        let plan = self.new_plan(from, to);
        self.control.create_plan(self.tenant, &plan, &olga(second)).await.unwrap()
    }

    /// A plan that brings the version it leads to.
    pub fn new_plan(&self, from: u64, to: u64) -> NewPlan {
        NewPlan {
            plan_id: PlanId(Uuid::new_v4()),
            scenario_id: self.scenario,
            from_version: Version(from),
            to_version: Version(to),
            new_version: Some(version(self.scenario, to)),
            policies: policies(to),
            overview: json!({"anchors": 3}),
            summary: to_raw_value(&json!({"total_anchors": 3})).unwrap(),
            map: to_raw_value(&json!({"anchors": ["a", "b", "ç"]})).unwrap(),
        }
    }

    /// Approves a plan.
    pub async fn approve(&self, plan: &Plan, second: i64) -> Plan {
        let change = approval(plan, second);
        let action = Action::PlanApproved;
        self.control.update_plan(self.tenant, &change, action, &olga(second)).await.unwrap()
    }

    /// Rejects a plan.
    pub async fn reject(&self, plan: &Plan, second: i64) -> Plan {
        let rejected = Status::Rejected { rejected: signed(second), reason: None };
        let change = change(plan, rejected);
        let action = Action::PlanRejected;
        self.control.update_plan(self.tenant, &change, action, &olga(second)).await.unwrap()
    }

    /// Deploys a plan in place of others.
    pub async fn deploy(&self, plan: &Plan, instead_of: &[&Plan], second: i64) -> Result<Plan> {
        let deployment = deployment(plan, instead_of, second);
        self.control.deploy(self.tenant, &deployment, &olga(second)).await
    }

    /// Makes a plan at one second and deploys it at the next.
    pub async fn deployed(&self, from: u64, to: u64, second: i64) -> Plan {
        let plan = self.create(from, to, second).await;
        self.deploy(&plan, &[], second + 1).await.unwrap()
    }

    /// Takes a deployed plan back.
    pub async fn withdraw(&self, plan: &Plan, second: i64) -> Result<Plan> {
        let withdrawal = withdrawal(plan, second);
        self.control.withdraw(self.tenant, &withdrawal, &olga(second)).await
    }

    /// What a turn finds of the scenario.
    pub async fn standing(&self) -> ScenarioStanding {
        let standing = self.control.standing(self.tenant, self.scenario).await.unwrap();
        standing.scenario.unwrap()
    }

    /// The scenario's generation.
    pub async fn generation(&self) -> Generation {
        self.standing().await.generation
    }

    /// The version that new sessions begin on.
    pub async fn current(&self) -> u64 {
        self.standing().await.current_version.0
    }

    /// The plan as it is.
    pub async fn plan(&self, plan: &Plan) -> Plan {
        self.control.plan(self.tenant, plan.plan_id).await.unwrap()
    }
}

/// A version with as many steps as its number, and one more.
pub fn version(scenario: ScenarioId, number: u64) -> NewVersion {
    let steps: Vec<Step> = (0..=number).map(step).collect();
    let document = Scenario {
        id: scenario,
        name: format!("Order \"{number}\" – naïve"),
        description: (number > 1).then(|| "With an age check".to_owned()),
        version: Version(number),
        entry_step_id: steps[0].id.clone(),
        steps,
    };
    NewVersion { checksum: checksum(&document), document: Arc::new(document) }
}

fn step(number: u64) -> Step {
    Step {
        id: StepId::new(format!("step-{number}")).unwrap(),
        name: format!("Step {number}"),
        description: None,
        transitions: Vec::new(),
        rule_ids: Vec::new(),
        collects_profile_fields: Vec::new(),
        is_checkpoint: number == 1,
        checkpoint_description: None,
        is_entry: number == 0,
        is_terminal: false,
        performs_action: false,
        is_required_action: false,
    }
}

/// Policies that say which plan they are of.
pub fn policies(number: u64) -> Policies {
    let policy = AnchorMigrationPolicy { update_downstream: false, ..Default::default() };
    Policies::from([(AnchorKey(format!("{number:016x}")), policy)])
}

/// Olga's signature.
pub fn signed(second: i64) -> Signed {
    Signed { by: Some("olga".to_owned()), at: at(second) }
}

/// The change of a plan's status alone.
pub fn change(plan: &Plan, status: Status) -> Change {
    Change { plan_id: plan.plan_id, expected: plan.revision, status, policies: None }
}

/// The approval of a plan.
pub fn approval(plan: &Plan, second: i64) -> Change {
    change(plan, Status::Approved { approved: signed(second) })
}

/// A deployed status with a count.
pub fn deployed_status(second: i64, sessions_marked: u64) -> Status {
    let signed = signed(second);
    let deployed =
        lifecycle::Deployment { signed, sessions_marked, sessions_by_anchor: Default::default() };
    Status::Deployed { approved: None, deployed }
}

/// The deploy of a plan in place of others.
pub fn deployment(plan: &Plan, instead_of: &[&Plan], second: i64) -> Deployment {
    let superseded = Status::Superseded {
        approved: None,
        deployed: None,
        at: at(second),
        by_plan: plan.plan_id,
    };
    Deployment {
        plan: change(plan, deployed_status(second, 0)),
        superseded: instead_of.iter().map(|older| change(older, superseded.clone())).collect(),
        record: record(plan, second),
    }
}

/// The record of a plan that is deployed at this second.
pub fn record(plan: &Plan, second: i64) -> Deployed {
    Deployed {
        plan_id: plan.plan_id,
        scenario_id: plan.scenario_id,
        from_version: plan.from_version,
        to_version: plan.to_version,
        from_checksum: version(plan.scenario_id, plan.from_version.0).checksum,
        to_checksum: version(plan.scenario_id, plan.to_version.0).checksum,
        policies: plan.policies.clone(),
        deployed_at: at(second),
        marks_sessions: true,
        withdrawn_at: None,
    }
}

/// The withdrawal of a plan.
pub fn withdrawal(plan: &Plan, second: i64) -> Withdrawal {
    let deployed = plan.status.deployed().cloned().unwrap_or(lifecycle::Deployment {
        signed: signed(second),
        sessions_marked: 0,
        sessions_by_anchor: Default::default(),
    });
    let withdrawn = Status::Withdrawn { approved: None, deployed, withdrawn: signed(second) };
    Withdrawal { plan: change(plan, withdrawn), withdrawn_at: at(second) }
}
