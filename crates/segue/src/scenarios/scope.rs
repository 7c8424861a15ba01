//! Whom deployed plans concern, as queries over the sessions' facets.
//!
//! A mark is derived from a session (`segue_core::reconcile::pending`). To count or list a million of
//! them without reading a million sessions, the same rule is asked of facets: a plan admits a session by
//! its version, step, channel and age, and a session that its chain was settled for is marked no more.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use segue_core::diff::Diff;
use segue_core::ids::{PlanId, ScenarioId, StepId, TenantId};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::policy::{AnchorKey, AnchorMigrationPolicy, ScopeFilter, mappings};
use segue_core::reconcile::Archive;
use segue_store::control::Page;
use segue_store::events::{Choice, CountBy, Filter, Settled};

use super::Shared;
use super::archive::View;
use crate::error::Result;

/// Counts of sessions by anchor.
pub(super) type ByAnchor = BTreeMap<AnchorKey, u64>;

/// Filters that together match the sessions with a pending migration: of one scenario, or of all.
pub(super) async fn marked(
    shared: &Shared,
    tenant: TenantId,
    scenario: Option<ScenarioId>,
) -> Result<Vec<Filter>> {
    let scenarios = match scenario {
        Some(scenario) => vec![scenario],
        None => every_scenario(shared, tenant).await?,
    };
    let mut filters = Vec::new();
    for scenario in scenarios {
        let view = match shared.archive.fresh_view(tenant, scenario, None).await {
            Ok(view) => view,
            Err(crate::Error::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        for plan in view.deployed.iter().filter(|plan| applies(plan)) {
            let view = shared.archive.fresh_view(tenant, scenario, Some(plan.from_version)).await?;
            filters.extend(filters_of(&view, plan));
        }
    }
    Ok(filters)
}

/// Every scenario of a tenant.
pub(super) async fn every_scenario(shared: &Shared, tenant: TenantId) -> Result<Vec<ScenarioId>> {
    let mut scenarios = Vec::new();
    let mut page = Page::first(100);
    loop {
        let listed = shared.control.list_scenarios(tenant, page).await?;
        scenarios.extend(listed.items.iter().map(|scenario| scenario.scenario_id));
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(scenarios),
        }
    }
}

/// How many sessions have a pending migration by this plan, by the anchor where they stand (those at a
/// deleted step under the anchor that they go to).
pub(super) async fn pending_by_anchor(
    shared: &Shared,
    tenant: TenantId,
    plan: &Deployed,
) -> Result<ByAnchor> {
    let mut pending = ByAnchor::new();
    if !applies(plan) {
        return Ok(pending);
    }
    let view = shared.archive.fresh_view(tenant, plan.scenario_id, Some(plan.from_version)).await?;
    let before: Vec<_> = view
        .deployed
        .iter()
        .take_while(|other| other.plan_id != plan.plan_id)
        .filter(|other| applies(other) && other.from_version == plan.from_version)
        .collect();
    let contenders: Vec<_> =
        before.iter().copied().chain([plan]).map(|plan| Scope::of(&view, plan)).collect();
    let settled = Settled::NotBy(last_of_chain(&view, plan));
    let mut bounds = Vec::new();
    for contender in &contenders {
        contender.age_bounds(&mut bounds);
    }
    for (from, until) in intervals(bounds) {
        let filter = Filter {
            versions: Choice::Only(vec![plan.from_version]),
            live: Some(true),
            started_from: from,
            started_until: until,
            settled: Some(settled),
            ..shared.sessions_of(plan.scenario_id)
        };
        let born = from.or(until).unwrap_or(plan.deployed_at);
        for group in shared.count(tenant, filter, CountBy::Channel).await? {
            let (Some(step), Some(channel)) = (group.step_id, group.channel) else { continue };
            let first = contenders.iter().find(|scope| scope.admits(&step, &channel, born));
            if let Some(scope) = first.filter(|scope| scope.plan.plan_id == plan.plan_id) {
                *pending.entry(scope.anchor_of(&step)).or_default() += group.n;
            }
        }
    }
    Ok(pending)
}

fn applies(plan: &Deployed) -> bool {
    plan.withdrawn_at.is_none() && plan.marks_sessions
}

/// The last plan that sessions come to by way of this one. A chain that is settled for a session is
/// remembered under its last plan, so that a later deploy is offered again.
fn last_of_chain(view: &View, plan: &Deployed) -> PlanId {
    let (mut last, mut seen) = (plan, BTreeSet::from([plan.from_version]));
    while seen.insert(last.to_version) {
        let next =
            view.deployed.iter().find(|next| applies(next) && next.from_version == last.to_version);
        match next {
            Some(next) => last = next,
            None => break,
        }
    }
    last.plan_id
}

/// Filters that match the sessions which a plan admits; no session matches two of them.
fn filters_of(view: &View, plan: &Deployed) -> Vec<Filter> {
    let scope = Scope::of(view, plan);
    let of_plan = Filter {
        scenario_id: Some(plan.scenario_id),
        versions: Choice::Only(vec![plan.from_version]),
        live: Some(true),
        settled: Some(Settled::NotBy(last_of_chain(view, plan))),
        ..Filter::default()
    };
    let mut filters = Vec::new();
    for (step, filter) in &scope.special {
        let admitted =
            filter.include_current_nodes.is_empty() || filter.include_current_nodes.contains(step);
        if !admitted || filter.exclude_current_nodes.contains(step) {
            continue;
        }
        let steps = Choice::Only(vec![step.clone()]);
        let (started_from, started_until) = started(filter, plan.deployed_at);
        let included = !filter.include_channels.is_empty();
        let channels = if included {
            let excluded = &filter.exclude_channels;
            let listed = filter.include_channels.iter();
            Choice::Only(listed.filter(|channel| !excluded.contains(channel)).cloned().collect())
        } else {
            Choice::Except(filter.exclude_channels.clone())
        };
        filters.push(Filter { steps, channels, started_from, started_until, ..of_plan.clone() });
    }
    let rest = Choice::Except(scope.special.into_keys().collect());
    filters.push(Filter { steps: rest, ..of_plan });
    filters
}

/// Whom one plan admits. Steps that are not special are all admitted.
struct Scope<'a> {
    plan: &'a Deployed,
    diff: Option<std::sync::Arc<Diff>>,
    special: BTreeMap<StepId, &'a ScopeFilter>,
}

impl<'a> Scope<'a> {
    fn of(view: &View, plan: &'a Deployed) -> Self {
        let diff = view.diff(plan.from_version, plan.to_version, &mappings(&plan.policies));
        let mut special = BTreeMap::new();
        for (key, AnchorMigrationPolicy { scope_filter, .. }) in &plan.policies {
            if *scope_filter == ScopeFilter::default() {
                continue;
            }
            let anchored = diff.as_ref().and_then(|diff| {
                let anchor = diff.anchor(key)?;
                Some(diff.v1().step(anchor.v1).id.clone())
            });
            let mapped = || key.mapped_step().and_then(|step| StepId::new(step).ok());
            if let Some(step) = anchored.or_else(mapped) {
                special.insert(step, scope_filter);
            }
        }
        Self { plan, diff, special }
    }

    fn admits(
        &self,
        step: &StepId,
        channel: &segue_core::ids::Channel,
        started_at: Timestamp,
    ) -> bool {
        self.special
            .get(step)
            .is_none_or(|filter| filter.admits(channel, step, started_at, self.plan.deployed_at))
    }

    /// The anchor that sessions at a step are counted under.
    fn anchor_of(&self, step: &StepId) -> AnchorKey {
        let found = self.diff.as_ref().and_then(|diff| {
            let ix = diff.v1().index(step)?;
            diff.anchor_at_v1(ix).or_else(|| diff.nearest_anchor(ix))
        });
        found.map_or_else(|| AnchorKey(format!("step:{step}")), |anchor| anchor.key.clone())
    }

    /// The times at which this scope begins to answer otherwise: each the first moment of an answer.
    fn age_bounds(&self, bounds: &mut Vec<Timestamp>) {
        for filter in self.special.values() {
            let (from, until) = started(filter, self.plan.deployed_at);
            bounds.extend(from);
            bounds.extend(until.map(|until| until + SignedDuration::from_micros(1)));
        }
    }
}

/// When a session must have begun to be of the age that a filter asks for, counted at the deploy in whole
/// seconds, as [`ScopeFilter::admits`] counts it: the first and the last moment.
fn started(filter: &ScopeFilter, deployed_at: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let days_before = |days: u32| {
        let seconds = deployed_at.as_second() - i64::from(days) * 86_400;
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)
    };
    let last_of_second = SignedDuration::from_micros(999_999);
    let from = filter.max_session_age_days.map(days_before);
    let until = filter
        .min_session_age_days
        .map(|days| days_before(days).checked_add(last_of_second).unwrap_or(Timestamp::MAX));
    (from, until)
}

/// Cuts time at the bounds; within one interval every scope answers alike.
fn intervals(mut bounds: Vec<Timestamp>) -> Vec<(Option<Timestamp>, Option<Timestamp>)> {
    bounds.sort_unstable();
    bounds.dedup();
    let starts = std::iter::once(None).chain(bounds.iter().copied().map(Some));
    let before = |bound: &Timestamp| *bound - SignedDuration::from_micros(1);
    let ends = bounds.iter().map(before).map(Some).chain([None]);
    starts.zip(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_cover_all_time_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let before = |second| at(second) - SignedDuration::from_micros(1);
        assert_eq!(intervals(vec![]), [(None, None)]);
        assert_eq!(
            intervals(vec![at(20), at(10), at(20)]),
            [(None, Some(before(10))), (Some(at(10)), Some(before(20))), (Some(at(20)), None),]
        );
    }

    #[test]
    fn the_moments_of_an_age_are_those_that_the_filter_admits() {
        let deployed_at: Timestamp = "2026-11-20T10:00:00.5Z".parse().unwrap();
        let filter = ScopeFilter {
            max_session_age_days: Some(30),
            min_session_age_days: Some(2),
            ..ScopeFilter::default()
        };
        let (Some(from), Some(until)) = started(&filter, deployed_at) else { panic!("bounded") };
        let (channel, step) = ("web".parse().unwrap(), "a".parse().unwrap());
        let admits = |at| filter.admits(&channel, &step, at, deployed_at);
        let tick = SignedDuration::from_micros(1);
        assert!(admits(from) && !admits(from - tick));
        assert!(admits(until) && !admits(until + tick));
    }
}
