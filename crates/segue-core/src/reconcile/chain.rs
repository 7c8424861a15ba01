//! Which deployed plans concern a session, and how several of them are one migration.
//!
//! A session is marked by the earliest deployed, not withdrawn plan that leads from its version and
//! whose policy at its step admits it. From the version that this plan leads to, further plans are
//! followed as far as each one admits the session: the last one names the target. A chain of which every
//! plan is settled for this session is not offered again; one more deploy at its end is a new chance.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diff::{Diff, Mapping};
use crate::ids::{PlanId, StepId, Version};
use crate::plan::deployed::Deployed;
use crate::plan::policy::{self, AnchorKey, AnchorMigrationPolicy, MigrationScenario, anchor_key};
use crate::reconcile::{Archive, PendingMigration};
use crate::scenario::hash::ContentHash;
use crate::session::{Session, Status};

/// The plans that a session follows, in order; never empty.
#[derive(Debug, Clone)]
pub struct Chain<'a> {
    plans: Vec<&'a Deployed>,
    policies: Vec<Option<&'a AnchorMigrationPolicy>>,
    anchor: AnchorKey,
}

/// Derives the mark of a session.
///
/// Deriving it at any time after a deploy gives what marking at the deploy would have given, because a
/// session changes only in its turns.
#[must_use]
pub fn pending(
    session: &Session,
    plans: &[Deployed],
    archive: &dyn Archive,
) -> Option<PendingMigration> {
    let chain = Chain::find(session, plans, archive)?;
    Some(PendingMigration {
        target_version: chain.target(),
        anchor_content_hash: chain.anchor.clone(),
        migration_plan_id: chain.plans[0].plan_id,
        marked_at: chain.plans[0].deployed_at,
        plan_ids: chain.plan_ids(),
    })
}

impl<'a> Chain<'a> {
    /// Finds the plans that a session follows.
    #[must_use]
    pub fn find(session: &Session, plans: &'a [Deployed], archive: &dyn Archive) -> Option<Self> {
        if session.status != Status::Active {
            return None;
        }
        let applies = |plan: &&Deployed| {
            plan.scenario_id == session.scenario_id
                && plan.marks_sessions
                && plan.withdrawn_at.is_none()
                && plan.to_version > plan.from_version
        };
        let mut from_here: Vec<&Deployed> = plans
            .iter()
            .filter(applies)
            .filter(|plan| plan.from_version == session.version)
            .collect();
        from_here.sort_by_key(|plan| (plan.deployed_at, plan.plan_id));
        for first in from_here {
            let mut standing = Standing::of(session);
            let Some((policy, anchor)) = standing.admitted(first, session, archive) else {
                continue;
            };
            let mut chain = Self { plans: vec![first], policies: vec![policy], anchor };
            loop {
                let last = chain.plans[chain.plans.len() - 1];
                let mut onward: Vec<&Deployed> = plans
                    .iter()
                    .filter(applies)
                    .filter(|plan| plan.from_version == last.to_version)
                    .collect();
                if onward.is_empty() {
                    break;
                }
                standing.follow(last, archive);
                onward.sort_by_key(|plan| (plan.deployed_at, plan.plan_id));
                let admitting = onward.into_iter().find_map(|plan| {
                    standing.admitted(plan, session, archive).map(|(policy, _)| (plan, policy))
                });
                let Some((plan, policy)) = admitting else { break };
                chain.plans.push(plan);
                chain.policies.push(policy);
            }
            if chain.plans.iter().any(|plan| !session.settled.contains(&plan.plan_id)) {
                return Some(chain);
            }
        }
        None
    }

    /// The version that the chain leads to.
    #[must_use]
    pub fn target(&self) -> Version {
        self.plans[self.plans.len() - 1].to_version
    }

    /// The plans.
    #[must_use]
    pub fn plans(&self) -> &[&'a Deployed] {
        &self.plans
    }

    /// The plans' ids.
    #[must_use]
    pub fn plan_ids(&self) -> Vec<PlanId> {
        self.plans.iter().map(|plan| plan.plan_id).collect()
    }

    /// Whether several plans are followed at once.
    #[must_use]
    pub fn is_composite(&self) -> bool {
        self.plans.len() > 1
    }

    /// What policies call the session's step.
    #[must_use]
    pub fn anchor(&self) -> &AnchorKey {
        &self.anchor
    }

    /// Whether the session moves at all: any hop that keeps it on its version keeps it.
    #[must_use]
    pub fn updates_downstream(&self) -> bool {
        self.policies.iter().flatten().all(|policy| policy.update_downstream)
    }

    /// The migration scenario that an operator forces; of several hops the last one that says so wins.
    #[must_use]
    pub fn forced(&self) -> Option<MigrationScenario> {
        self.policies.iter().rev().flatten().find_map(|policy| policy.force_scenario)
    }

    /// The suggestions that operators accepted along the way, as pairs of the session's own version and
    /// the target.
    #[must_use]
    pub fn mappings(&self, archive: &dyn Archive) -> Vec<Mapping> {
        if !self.plans.iter().any(|plan| plan.policies.values().any(|p| p.map_to_step_id.is_some()))
        {
            return Vec::new();
        }
        if let [only] = self.plans[..] {
            return policy::mappings(&only.policies);
        }
        let hops: Option<Vec<Arc<Diff>>> =
            self.plans.iter().map(|plan| hop(plan, archive)).collect();
        let Some(hops) = hops else { return Vec::new() };
        let mut mappings = BTreeSet::new();
        for (nth, plan) in self.plans.iter().enumerate() {
            for mapping in policy::mappings(&plan.policies) {
                if let Some(whole) = along(&hops, nth, &mapping) {
                    mappings.insert(whole);
                }
            }
        }
        mappings.into_iter().collect()
    }
}

/// A mapping of one hop, said in the first and the last version of the chain.
fn along(hops: &[Arc<Diff>], nth: usize, mapping: &Mapping) -> Option<Mapping> {
    let mut from = hops[nth].v1().index(&mapping.from)?;
    for hop in hops[..nth].iter().rev() {
        from = hop.counterpart_back(from)?;
    }
    let mut to = hops[nth].v2().index(&mapping.to)?;
    for hop in &hops[nth + 1..] {
        to = hop.counterpart(to)?;
    }
    let (first, last) = (hops.first()?, hops.last()?);
    Some(Mapping { from: first.v1().step(from).id.clone(), to: last.v2().step(to).id.clone() })
}

fn hop(plan: &Deployed, archive: &dyn Archive) -> Option<Arc<Diff>> {
    archive.diff(plan.from_version, plan.to_version, &policy::mappings(&plan.policies))
}

/// Where a session stands, or would stand after the hops so far.
struct Standing {
    step_id: StepId,
    hash: ContentHash,
}

impl Standing {
    fn of(session: &Session) -> Self {
        Self { step_id: session.step_id.clone(), hash: session.step_content_hash }
    }

    /// The policy at this place and the place's name, if the plan admits the session here.
    fn admitted<'a>(
        &self,
        plan: &'a Deployed,
        session: &Session,
        archive: &dyn Archive,
    ) -> Option<(Option<&'a AnchorMigrationPolicy>, AnchorKey)> {
        let anchor = self.anchor(plan, archive);
        let policy = plan.policies.get(&anchor);
        let admits = policy.is_none_or(|policy| {
            policy.scope_filter.admits(
                &session.channel,
                &self.step_id,
                session.created_at,
                plan.deployed_at,
            )
        });
        admits.then_some((policy, anchor))
    }

    /// What the plan's policies call this place. Only a hash that several steps share needs the graphs.
    fn anchor(&self, plan: &Deployed, archive: &dyn Archive) -> AnchorKey {
        let by_hash = || anchor_key(self.hash, 1);
        let Some(diff) = hop(plan, archive) else { return by_hash() };
        let here = diff.v1().index(&self.step_id).filter(|ix| diff.v1().hash(*ix) == self.hash);
        here.and_then(|ix| diff.anchor_at_v1(ix)).map_or_else(by_hash, |anchor| anchor.key.clone())
    }

    /// Goes where a plan would bring a session that stands here.
    fn follow(&mut self, plan: &Deployed, archive: &dyn Archive) {
        let Some(diff) = hop(plan, archive) else { return };
        let Some(here) = diff.v1().index(&self.step_id) else { return };
        if let Some(anchor) = diff.anchor_at_v1(here).or_else(|| diff.nearest_anchor(here)) {
            self.step_id = diff.v2().step(anchor.v2).id.clone();
            self.hash = diff.v2().hash(anchor.v2);
        }
    }
}
