//! Whom deployed plans concern, as queries over the sessions' facets.
//!
//! A mark is derived from a session (`segue_core::reconcile::pending`). To count a million of them
//! without reading a million sessions, sessions are counted in groups that no plan tells apart (step,
//! channel, age, what was settled), and the core is asked about one of each. To list them, the same rule
//! is said as filters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use segue_core::diff::Diff;
use segue_core::ids::{Channel, PlanId, ScenarioId, SessionId, StepId, TenantId};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::policy::{AnchorKey, AnchorMigrationPolicy, ScopeFilter, mappings};
use segue_core::reconcile::Archive;
use segue_core::reconcile::chain::Chain;
use segue_core::session::Session;
use segue_core::session::event::{Place, SessionStarted};
use segue_store::control::Page;
use segue_store::events::{Choice, CountBy, Filter, Settled};
use uuid::Uuid;

use super::Shared;
use super::archive::View;
use crate::error::{Error, Result};

/// Counts of sessions by anchor.
pub(super) type ByAnchor = BTreeMap<AnchorKey, u64>;

/// The most filters that one list combines.
const FILTERS: usize = 2_000;

/// Filters that together match the sessions with a pending migration: of one scenario, or of all.
pub(super) async fn marked(
    shared: &Shared,
    tenant: TenantId,
    scenario: Option<ScenarioId>,
) -> Result<Vec<Filter>> {
    let mut filters = Vec::new();
    if !shared.config.enabled {
        return Ok(filters);
    }
    let scenarios = match scenario {
        Some(scenario) => vec![scenario],
        None => every_scenario(shared, tenant).await?,
    };
    for scenario in scenarios {
        let view = match shared.archive.fresh_view(tenant, scenario, None).await {
            Ok(view) => view,
            Err(Error::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        for plan in view.deployed.iter().filter(|plan| applies(plan)) {
            let view = shared.archive.fresh_view(tenant, scenario, Some(plan.from_version)).await?;
            filters.extend(filters_of(&view, plan));
            if filters.len() > FILTERS {
                return Err(Error::over_limit(
                    "list",
                    "/pending",
                    "the number of groups that deployed plans tell apart (name a scenario_id)",
                    FILTERS,
                    filters.len(),
                ));
            }
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
    if !applies(plan) || !shared.config.enabled {
        return Ok(pending);
    }
    let view = shared.archive.fresh_view(tenant, plan.scenario_id, Some(plan.from_version)).await?;
    let groups = Groups::of(&view, plan);
    for (from, until) in intervals(groups.age_bounds()) {
        for settled in groups.settled() {
            let filter = Filter {
                versions: Choice::Only(vec![plan.from_version]),
                live: Some(true),
                started_from: from,
                started_until: until,
                settled: Some(settled.clone()),
                ..shared.sessions_of(plan.scenario_id)
            };
            let born = from.or(until).unwrap_or(plan.deployed_at);
            for count in shared.count(tenant, filter, CountBy::Channel).await? {
                let (Some(step), Some(channel)) = (count.step_id, count.channel) else { continue };
                if let Some(anchor) = groups.pending(&step, channel, born, &settled) {
                    *pending.entry(anchor).or_default() += count.n;
                }
            }
        }
    }
    Ok(pending)
}

fn applies(plan: &Deployed) -> bool {
    plan.withdrawn_at.is_none() && plan.marks_sessions
}

/// The plans that apply to sessions on the version that `plan` leaves, `plan` among them, and those that
/// lead on from there.
fn in_reach<'a>(view: &'a View, plan: &Deployed) -> Vec<&'a Deployed> {
    let mut versions = BTreeSet::from([plan.from_version]);
    let mut plans: Vec<&Deployed> = view.deployed.iter().filter(|plan| applies(plan)).collect();
    plans.sort_by_key(|plan| (plan.from_version, plan.deployed_at, plan.plan_id));
    // A plan leads to a greater version, so that one pass in the order of versions meets them all.
    plans.retain(|plan| {
        versions.contains(&plan.from_version) && {
            versions.insert(plan.to_version);
            true
        }
    });
    plans
}

/// The groups of sessions on one version that deployed plans tell apart.
struct Groups<'a> {
    view: &'a View,
    plan: &'a Deployed,
    in_reach: Vec<&'a Deployed>,
    diff: Option<Arc<Diff>>,
}

impl<'a> Groups<'a> {
    fn of(view: &'a View, plan: &'a Deployed) -> Self {
        let diff = view.diff(plan.from_version, plan.to_version, &mappings(&plan.policies));
        Self { view, plan, in_reach: in_reach(view, plan), diff }
    }

    /// The times at which an answer may begin to differ: each the first moment of it.
    fn age_bounds(&self) -> Vec<Timestamp> {
        let mut bounds = Vec::new();
        for plan in &self.in_reach {
            for AnchorMigrationPolicy { scope_filter, .. } in plan.policies.values() {
                let (from, until) = started(scope_filter, plan.deployed_at);
                bounds.extend(from);
                bounds.extend(until.map(|until| until + SignedDuration::from_micros(1)));
            }
        }
        bounds
    }

    /// By what sessions may have been settled: a chain of plans is remembered by its last plan.
    fn settled(&self) -> Vec<Settled> {
        let from_here = |plan: &&&Deployed| plan.from_version == self.plan.from_version;
        let is_alone = self.in_reach.iter().filter(from_here).count() == 1;
        let leads_on = |plan: &&&Deployed| {
            self.in_reach.iter().any(|next| next.from_version == plan.to_version)
        };
        // Where only one chain begins, nothing is pending for those who are settled to its end.
        let undone = self.in_reach.iter().filter(|plan| !is_alone || leads_on(plan));
        let by = undone.map(|plan| Settled::By(plan.plan_id));
        let all = self.in_reach.iter().map(|plan| plan.plan_id).collect();
        std::iter::once(Settled::NotBy(all)).chain(by).collect()
    }

    /// The anchor under which a group's sessions are counted, if the plan is pending for them.
    fn pending(
        &self,
        step: &StepId,
        channel: Channel,
        started_at: Timestamp,
        settled: &Settled,
    ) -> Option<AnchorKey> {
        let one = self.representative(step, channel, started_at, settled)?;
        let chain = Chain::find(&one, &self.view.deployed, self.view)?;
        (chain.plans()[0].plan_id == self.plan.plan_id).then(|| self.anchor_of(step))
    }

    /// A session as all of a group are, as far as plans look at it.
    fn representative(
        &self,
        step: &StepId,
        channel: Channel,
        started_at: Timestamp,
        settled: &Settled,
    ) -> Option<Session> {
        let graph = self.view.graph(self.plan.from_version)?;
        let started = SessionStarted {
            session_id: SessionId(Uuid::nil()),
            scenario_id: self.plan.scenario_id,
            version: self.plan.from_version,
            scenario_checksum: self.plan.from_checksum,
            channel,
            customer_id: None,
            variables: BTreeMap::new(),
            entry: Place::of(&graph, graph.index(step)?),
        };
        let mut session = Session::start(&started, started_at);
        if let Settled::By(last) = settled {
            session.settled = self.settled_by(&session, *last);
        }
        Some(session)
    }

    /// What was settled for a session that was last settled by a chain which ended with this plan: that
    /// chain, and those that were tried before it.
    fn settled_by(&self, session: &Session, last: PlanId) -> Vec<PlanId> {
        let mut session = session.clone();
        let Some(last) = self.in_reach.iter().find(|plan| plan.plan_id == last) else {
            return Vec::new();
        };
        let until_then = self.in_reach.iter().filter(|plan| plan.deployed_at <= last.deployed_at);
        let then: Vec<Deployed> = until_then.map(|plan| (*plan).clone()).collect();
        while let Some(chain) = Chain::find(&session, &then, self.view) {
            let plans = chain.plan_ids();
            let found = plans.last() == Some(&last.plan_id);
            session.settled.extend(plans);
            if found {
                return session.settled;
            }
        }
        vec![last.plan_id]
    }

    fn anchor_of(&self, step: &StepId) -> AnchorKey {
        let found = self.diff.as_ref().and_then(|diff| {
            let ix = diff.v1().index(step)?;
            diff.anchor_at_v1(ix).or_else(|| diff.nearest_anchor(ix))
        });
        found.map_or_else(|| AnchorKey(format!("step:{step}")), |anchor| anchor.key.clone())
    }
}

/// The plans that a chain which is settled for sessions of this plan may have ended with: its own last
/// plan, and those of plans that are only tried after it.
///
/// Scopes of the plans that lead on are not looked at, so a session that one of them leaves out may be
/// matched though nothing is pending for it.
fn settling(view: &View, plan: &Deployed) -> Vec<PlanId> {
    let in_reach = in_reach(view, plan);
    let last_of = |plan: &'_ Deployed| {
        let mut last = in_reach.iter().find(|other| other.plan_id == plan.plan_id)?;
        while let Some(next) = in_reach.iter().find(|next| next.from_version == last.to_version) {
            last = next;
        }
        Some(*last)
    };
    let Some(own) = last_of(plan) else { return vec![plan.plan_id] };
    let later = in_reach
        .iter()
        .filter(|other| other.from_version == plan.from_version)
        .skip_while(|other| other.plan_id != plan.plan_id)
        .skip(1)
        .filter_map(|other| last_of(other))
        .filter(|last| last.deployed_at >= own.deployed_at);
    let mut plans: Vec<PlanId> = later.map(|last| last.plan_id).collect();
    plans.push(own.plan_id);
    plans.sort_unstable();
    plans.dedup();
    plans
}

/// Filters that match the sessions which a plan admits; no session matches two of them.
fn filters_of(view: &View, plan: &Deployed) -> Vec<Filter> {
    let of_plan = Filter {
        scenario_id: Some(plan.scenario_id),
        versions: Choice::Only(vec![plan.from_version]),
        live: Some(true),
        settled: Some(Settled::NotBy(settling(view, plan))),
        ..Filter::default()
    };
    let special = special(view, plan);
    let rest = Choice::Except(special.iter().map(|(step, _)| step.clone()).collect());
    let mut filters = vec![Filter { steps: rest, ..of_plan.clone() }];
    for (step, filter) in special {
        let admitted =
            filter.include_current_nodes.is_empty() || filter.include_current_nodes.contains(&step);
        if !admitted || filter.exclude_current_nodes.contains(&step) {
            continue;
        }
        let (started_from, started_until) = started(filter, plan.deployed_at);
        let included = !filter.include_channels.is_empty();
        let channels = if included {
            let excluded = &filter.exclude_channels;
            let listed = filter.include_channels.iter();
            Choice::Only(listed.filter(|channel| !excluded.contains(channel)).cloned().collect())
        } else {
            Choice::Except(filter.exclude_channels.clone())
        };
        let alike = filters.iter_mut().skip(1).find(|other| {
            other.channels == channels
                && (other.started_from, other.started_until) == (started_from, started_until)
        });
        match alike {
            Some(Filter { steps: Choice::Only(steps), .. }) => steps.push(step),
            _ => filters.push(Filter {
                steps: Choice::Only(vec![step]),
                channels,
                started_from,
                started_until,
                ..of_plan.clone()
            }),
        }
    }
    filters
}

/// The steps where the operator narrowed whom a plan admits. All others are admitted.
fn special<'a>(view: &View, plan: &'a Deployed) -> Vec<(StepId, &'a ScopeFilter)> {
    let diff = view.diff(plan.from_version, plan.to_version, &mappings(&plan.policies));
    let narrowed = plan.policies.iter().filter(|(_, policy)| {
        let everyone = ScopeFilter::default();
        policy.scope_filter != everyone
    });
    let at_step = narrowed.filter_map(|(key, policy)| {
        let anchored = diff.as_ref().and_then(|diff| {
            let anchor = diff.anchor(key)?;
            Some(diff.v1().step(anchor.v1).id.clone())
        });
        let mapped = || key.mapped_step().and_then(|step| StepId::new(step).ok());
        Some((anchored.or_else(mapped)?, &policy.scope_filter))
    });
    at_step.collect()
}

/// When a session must have begun to be of the age that a filter asks for, counted at the deploy in whole
/// seconds, as [`ScopeFilter::admits`] counts it: the first and the last moment. An age that reaches back
/// before all time asks for nothing, or for nobody.
fn started(filter: &ScopeFilter, deployed_at: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let days_before = |days: u32| {
        let seconds = deployed_at.as_second() - i64::from(days) * 86_400;
        Timestamp::from_second(seconds).ok()
    };
    let last_of_second = SignedDuration::from_micros(999_999);
    let from = filter.max_session_age_days.and_then(days_before);
    let until = filter.min_session_age_days.map(|days| {
        days_before(days)
            .unwrap_or(Timestamp::MIN)
            .checked_add(last_of_second)
            .unwrap_or(Timestamp::MAX)
    });
    (from, until)
}

/// Cuts time at the bounds; within one interval every scope answers alike.
fn intervals(mut bounds: Vec<Timestamp>) -> Vec<(Option<Timestamp>, Option<Timestamp>)> {
    bounds.sort_unstable();
    bounds.dedup();
    let starts = std::iter::once(None).chain(bounds.iter().copied().map(Some));
    let before = |bound: &Timestamp| {
        bound.checked_sub(SignedDuration::from_micros(1)).unwrap_or(Timestamp::MIN)
    };
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

    #[test]
    fn an_age_from_before_all_time_is_no_bound() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let age = |days| ScopeFilter { max_session_age_days: Some(days), ..ScopeFilter::default() };
        assert_eq!(started(&age(u32::MAX), now), (None, None));
        let ancient =
            ScopeFilter { min_session_age_days: Some(u32::MAX), ..ScopeFilter::default() };
        let (_, until) = started(&ancient, now);
        assert!(intervals(vec![until.unwrap(), Timestamp::MIN]).len() == 3);
    }
}
