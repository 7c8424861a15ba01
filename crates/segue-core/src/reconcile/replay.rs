//! The replay: what a session's own past means in the target version.
//!
//! The target is walked from its entry towards the place where the session is to go on. At a step that
//! the customer has visited and whose rules are what they were, the walk takes the branch that history
//! took: the customer has answered that question. At a new or changed fork it evaluates the conditions
//! with the data at hand. Steps on the walk that are not in the history are what this customer missed;
//! inserted steps on branches that they never take cost them nothing.
//!
//! A *rule* is a condition with its priority. A step whose rules are the same but whose branches lead
//! elsewhere now, such as to an inserted step, asks the customer nothing new: the branch stays, and what
//! stands behind it counts.
//!
//! The walk visits a step at most once, so it ends. Where it cannot decide (nobody can judge a condition,
//! no branch holds, a cycle closes) the diff's static answer for everyone at that step is taken: all that
//! was inserted before it, and the first new fork that is known to lead elsewhere.

use fixedbitset::FixedBitSet;

use crate::diff::Diff;
use crate::ids::FieldName;
use crate::plan::policy::MigrationScenario;
use crate::reconcile::evidence::Verdict;
use crate::reconcile::gap_fill::{GapFill, Search};
use crate::reconcile::landing::{Fork, Landing};
use crate::reconcile::past::Past;
use crate::reconcile::{Need, checkpoint};
use crate::scenario::graph::{Edge, Graph, Ix};
use crate::session::Visit;

/// Where the customer's own past leads in the target version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the place itself.
    Arrives {
        /// Steps on the way that the customer has not visited, in order.
        missed: Vec<Ix>,
        /// What the migration is for this session.
        scenario: MigrationScenario,
    },
    /// A new rule leads elsewhere.
    ReRoutes {
        /// Where it leads.
        to: Ix,
        /// The fork that has the rule.
        fork: Ix,
        /// Steps before the fork that the customer has not visited.
        missed: Vec<Ix>,
    },
    /// A rule depends on data that is not at hand; [`GapFill`] holds what to ask.
    Lacks,
}

/// Finds where the customer's own past leads.
///
/// # Errors
/// When an answer from outside is needed first.
pub fn route(
    past: Option<&Past<'_>>,
    landing: &Landing,
    bound: MigrationScenario,
    gap_fill: &mut GapFill<'_>,
) -> Result<Route, Need> {
    if bound == MigrationScenario::CleanGraft {
        return Ok(Route::Arrives { missed: Vec::new(), scenario: bound });
    }
    if let (Some(diff), Some(past)) = (landing.diff(), past) {
        let mut walk = Walk {
            landing,
            diff,
            bound,
            past,
            walked: FixedBitSet::with_capacity(diff.v2().len()),
            missed: Vec::new(),
        };
        match walk.go(gap_fill)? {
            Step::Arrived => {
                let scenario = walk.scenario();
                return Ok(Route::Arrives { missed: walk.missed, scenario });
            }
            Step::Elsewhere { to, fork } => {
                return Ok(Route::ReRoutes { to, fork, missed: walk.missed });
            }
            Step::Lacking => return Ok(Route::Lacks),
            Step::Lost | Step::To(_) => {}
        }
    }
    at_everyones(landing, bound, gap_fill)
}

/// What the walk does next.
enum Step {
    To(Ix),
    Arrived,
    Elsewhere { to: Ix, fork: Ix },
    Lacking,
    Lost,
}

/// A walk through the target version.
struct Walk<'a> {
    landing: &'a Landing,
    diff: &'a Diff,
    bound: MigrationScenario,
    past: &'a Past<'a>,
    walked: FixedBitSet,
    missed: Vec<Ix>,
}

impl<'a> Walk<'a> {
    fn target(&self) -> &'a Graph {
        &self.landing.target
    }

    fn scenario(&self) -> MigrationScenario {
        let asks = |ix: &Ix| {
            let step = self.target().step(*ix);
            !step.collects_profile_fields.is_empty() || step.is_required_action
        };
        if self.missed.iter().any(asks) {
            MigrationScenario::GapFill
        } else {
            MigrationScenario::CleanGraft
        }
    }

    fn go(&mut self, gap_fill: &mut GapFill<'_>) -> Result<Step, Need> {
        let mut at = self.target().entry();
        while at != self.landing.place {
            if self.walked.put(at.at()) {
                return Ok(Step::Lost);
            }
            let visit = self.diff.counterpart_back(at).and_then(|v1| self.past.visit(v1));
            if visit.is_none() {
                self.missed.push(at);
            }
            let edges = self.target().edges(at);
            let next = match edges.first() {
                None => Step::Lost,
                Some(only) if edges.iter().all(|edge| edge.to == only.to) => self.on(only.to),
                Some(_) => match visit.and_then(|visit| self.as_before(at, visit)) {
                    Some(next) => next,
                    None => self.decide(at, gap_fill)?,
                },
            };
            match next {
                Step::To(to) => at = to,
                stop @ (Step::Arrived | Step::Elsewhere { .. } | Step::Lacking | Step::Lost) => {
                    return Ok(stop);
                }
            }
        }
        Ok(Step::Arrived)
    }

    /// The branch that history took, if the step asks what it asked then.
    fn as_before(&self, at: Ix, visit: &Visit) -> Option<Step> {
        let (v1, v2) = (self.diff.v1(), self.target());
        let before = self.diff.counterpart_back(at)?;
        let exit = taken(v1, before, v1.index(visit.left_to.as_ref()?)?)?;
        if !self.diff.rules_changed(at) {
            return self.diff.counterpart(exit).map(|to| self.on(to));
        }
        let (old, new) = (v1.edges(before), v2.edges(at));
        let same = |one: &Edge, other: &Edge| {
            one.priority == other.priority && one.condition_text() == other.condition_text()
        };
        let asks_the_same = old.len() == new.len()
            && old.iter().all(|one| {
                old.iter().filter(|other| same(one, other)).count()
                    == new.iter().filter(|other| same(one, other)).count()
            });
        if !asks_the_same {
            return None;
        }
        let mut leads = new
            .iter()
            .filter(|edge| old.iter().any(|taken| taken.to == exit && same(taken, edge)))
            .map(|edge| edge.to);
        let to = leads.next()?;
        leads.all(|other| other == to).then(|| self.branch(at, to))
    }

    /// Decides a fork that history says nothing of.
    fn decide(&mut self, at: Ix, gap_fill: &mut GapFill<'_>) -> Result<Step, Need> {
        // Who may not be redirected is not asked about forks either.
        let search =
            if self.bound == MigrationScenario::ReRoute { Search::On } else { Search::Off };
        let edges = self.target().edges(at);
        for edge in edges.iter().filter(|edge| !edge.is_otherwise()) {
            match gap_fill.verdict(edge, edges, search)? {
                Verdict::Yes if self.walked.contains(edge.to.at()) => {}
                Verdict::Yes if is_ambiguous(edges, edge, gap_fill)? => return Ok(Step::Lost),
                Verdict::Yes => return Ok(self.branch(at, edge.to)),
                Verdict::No => {}
                Verdict::Missing(_) if search == Search::On => return Ok(Step::Lacking),
                Verdict::Missing(_) | Verdict::Undecidable(_) => return Ok(Step::Lost),
            }
        }
        Ok(otherwise(edges).map_or(Step::Lost, |to| self.branch(at, to)))
    }

    /// Takes a branch of a new or changed fork. If the place cannot be reached from there, the fork has
    /// led the customer elsewhere, unless the migration may not redirect them.
    fn branch(&self, fork: Ix, to: Ix) -> Step {
        if self.leads_on(to) {
            self.on(to)
        } else if self.bound == MigrationScenario::ReRoute && !self.walked.contains(to.at()) {
            Step::Elsewhere { to, fork }
        } else {
            Step::Lost
        }
    }

    fn on(&self, to: Ix) -> Step {
        if self.walked.contains(to.at()) { Step::Lost } else { Step::To(to) }
    }

    /// Whether a path leads from here to the place without going back over the walk.
    fn leads_on(&self, from: Ix) -> bool {
        let mut seen = self.walked.clone();
        let mut waiting = vec![from];
        while let Some(ix) = waiting.pop() {
            if ix == self.landing.place {
                return true;
            }
            if !seen.put(ix.at()) {
                waiting.extend(self.target().edges(ix).iter().map(|edge| edge.to));
            }
        }
        false
    }
}

/// The way out by which the customer left a step for another one. An earlier migration may have put new
/// steps between the two; then it is the only way out from which the other one can be reached.
fn taken(graph: &Graph, from: Ix, to: Ix) -> Option<Ix> {
    let edges = graph.edges(from);
    if edges.iter().any(|edge| edge.to == to) {
        return Some(to);
    }
    let mut ways: Vec<Ix> = edges.iter().map(|edge| edge.to).filter(|way| *way != from).collect();
    ways.sort_unstable();
    ways.dedup();
    ways.retain(|way| graph.reachable_without(*way, Some(from)).contains(to.at()));
    match ways[..] {
        [way] => Some(way),
        [] | [_, _, ..] => None,
    }
}

/// Whether another branch of the same priority is known to hold as well and leads elsewhere: then
/// nobody can say which of them counts.
fn is_ambiguous(edges: &[Edge], held: &Edge, gap_fill: &mut GapFill<'_>) -> Result<bool, Need> {
    let rivals = edges.iter().filter(|edge| {
        edge.priority == held.priority && edge.to != held.to && !edge.is_otherwise()
    });
    for rival in rivals {
        if gap_fill.evidence.holds_at(rival, edges)? == Verdict::Yes {
            gap_fill.undecided.push(format!(
                "`{}` and `{}` both hold at priority {}",
                held.condition_text(),
                rival.condition_text(),
                held.priority
            ));
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a fork leads when no condition of it holds. Two such ways out cannot be told apart.
fn otherwise(edges: &[Edge]) -> Option<Ix> {
    let mut ways = edges.iter().filter(|edge| edge.is_otherwise()).map(|edge| edge.to);
    let to = ways.next()?;
    ways.all(|other| other == to).then_some(to)
}

/// What everyone at the step may meet: the first new fork that is known to lead elsewhere, or else all
/// that was inserted before the step.
fn at_everyones(
    landing: &Landing,
    bound: MigrationScenario,
    gap_fill: &mut GapFill<'_>,
) -> Result<Route, Need> {
    // Without the version that was walked nobody can say that the customer's way led over a fork, so
    // only what is known already counts, in the order as written; a customer is not asked for it.
    let search = if landing.diff().is_some() { Search::On } else { Search::Off };
    let upstream = landing.upstream();
    if bound == MigrationScenario::ReRoute {
        for fork in &upstream.forks {
            match first_that_holds(fork, gap_fill, search)? {
                Branch::Holds(to) if to == landing.place => break,
                Branch::Holds(to) if leads_on(gap_fill, landing, to) => {}
                Branch::Holds(to) => {
                    // Whoever is redirected there may have missed what stands before the fork.
                    let before = landing.target.reaching(fork.step);
                    let mut missed = upstream.inserted;
                    missed.retain(|step| {
                        before.contains(step.at())
                            && (search == Search::On
                                || landing.target.step(*step).is_required_action)
                    });
                    return Ok(Route::ReRoutes { to, fork: fork.step, missed });
                }
                Branch::Lacks => return Ok(Route::Lacks),
                Branch::Unknown => {}
            }
        }
    }
    Ok(Route::Arrives { missed: upstream.inserted, scenario: bound })
}

/// Whether a branch only leads to where the session is to go on anyway.
///
/// If the version that was walked is gone, the customer may have come another way, and goes back to the
/// branch, unless that would undo a checkpoint.
fn leads_on(gap_fill: &GapFill<'_>, landing: &Landing, to: Ix) -> bool {
    let session = gap_fill.evidence.session();
    let target = &landing.target;
    target.reaches(to, landing.place)
        && (landing.diff().is_some() || checkpoint::forbids(session, None, target, to).is_some())
}

enum Branch {
    Holds(Ix),
    Lacks,
    Unknown,
}

fn first_that_holds(
    fork: &Fork,
    gap_fill: &mut GapFill<'_>,
    search: Search,
) -> Result<Branch, Need> {
    // The highest priority of a condition that nobody can decide.
    let mut open: Option<i64> = None;
    for edge in fork.edges.iter().filter(|edge| !edge.is_otherwise()) {
        match gap_fill.verdict(edge, &fork.edges, search)? {
            Verdict::Yes
                if search == Search::On
                    && (open.is_some_and(|open| open > edge.priority)
                        || is_ambiguous(&fork.edges, edge, gap_fill)?) =>
            {
                return Ok(Branch::Unknown);
            }
            Verdict::Yes => return Ok(Branch::Holds(edge.to)),
            Verdict::No => {}
            Verdict::Missing(_) if search == Search::On => return Ok(Branch::Lacks),
            Verdict::Missing(_) | Verdict::Undecidable(_) => {
                open = open.max(Some(edge.priority));
            }
        }
    }
    Ok(match otherwise(&fork.edges) {
        Some(to) if open.is_none() => Branch::Holds(to),
        Some(_) | None => Branch::Unknown,
    })
}

/// The fields that these steps collect, each once.
#[must_use]
pub fn collected(graph: &Graph, steps: &[Ix]) -> Vec<FieldName> {
    let mut fields: Vec<FieldName> = Vec::new();
    for ix in steps {
        for field in &graph.step(*ix).collects_profile_fields {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
    }
    fields
}
