//! The protocol as it is, and as it would be without one of its rules.

use jiff::Timestamp;
use segue_core::digest::{Digest, Mark};
use segue_core::ids::{Epoch, Term};
use segue_core::tenancy::Route;
use segue_core::tenancy::head::{Differs, Head, HeadSwap, Mode};
use segue_core::tenancy::migration::{Decision, Effect, Rules, Sight, Stage, Step, next, record};

use super::log::{Id, extended};
use super::store::Page;
use super::world::swap;

pub const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// What may be taken away from the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A commit compares the term of the route that it was decided on.
    CommitComparesTheTerm,
    /// A commit needs a target that is prepared with all that the source has.
    CommitNeedsProof,
    /// The source reopens after that was decided, not before.
    DecideThenReopen,
    /// A source that reopens does so at a new epoch.
    GivingUpBurnsTheEpoch,
    /// A fence stays until somebody takes it away.
    FencesDoNotExpire,
    /// Whoever hears nothing of their commit reads the route before anything else.
    TimeOutsOpenNothing,
    /// A purge leaves the head.
    HeadsOutliveTheirLogs,
    /// A store that is another one than it was takes nothing until somebody has seen to its heads.
    IncarnationsAreChecked,
    /// Whoever sees to them sets each one, also one that looks right.
    EveryHeadIsSet,
    /// A head takes no effect of a term below its own.
    StoresCompareTerms,
    /// A prepared log takes no page of a copier any more.
    PreparingRevokesTheCopier,
    /// Logs are compared by digest, not only by position.
    DigestsAreCompared,
    /// What the target has stored is read back before the commit.
    CopiesAreReadBack,
}

/// All rules, or all but one.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    without: Option<Rule>,
}

impl Protocol {
    pub const WHOLE: Self = Self { without: None };

    pub fn without(rule: Rule) -> Self {
        Self { without: Some(rule) }
    }

    pub fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    pub fn next(&self, route: &Route, sight: &Sight, rules: &Rules) -> Step {
        let rules = Rules {
            needs_read_back: rules.needs_read_back && self.keeps(Rule::CopiesAreReadBack),
            ..*rules
        };
        let broken = self
            .cutover_without(route, sight, &rules)
            .or_else(|| self.reopening_without(route, sight));
        broken.unwrap_or_else(|| next(route, sight, &rules))
    }

    fn cutover_without(&self, route: &Route, sight: &Sight, rules: &Rules) -> Option<Step> {
        let Stage::CutoverPaused { next, .. } = route.moving.as_ref()?.stage else { return None };
        let owner = sight.owner.filter(|owner| owner.mode == Mode::Fenced)?;
        let open = HeadSwap { term: route.term, ..swap(&owner, owner.epoch, Mode::Open) };
        let is_prepared = sight.peer.is_some_and(|peer| {
            (peer.mode, peer.epoch, peer.mark()) == (Mode::Prepared, next, owner.mark())
        });
        if !self.keeps(Rule::CommitNeedsProof) {
            return Some(Step::Decide(Decision::Commit { at: owner.mark() }));
        }
        // It gives the cutover up when it sees the source open.
        let opens_first = !self.keeps(Rule::DecideThenReopen);
        // It has tried to commit, for all was proved, and heard nothing.
        let opens_instead = !self.keeps(Rule::TimeOutsOpenNothing) && is_prepared;
        let opens = rules.is_over_budget && (opens_first || opens_instead);
        opens.then_some(Step::Perform(Effect::SwapOwner(open)))
    }

    /// Without new epochs the source just opens again, at the one that it has.
    fn reopening_without(&self, route: &Route, sight: &Sight) -> Option<Step> {
        let Stage::Reopening { .. } = route.moving.as_ref()?.stage else { return None };
        let owner = sight.owner.filter(|_| !self.keeps(Rule::GivingUpBurnsTheEpoch))?;
        let open = HeadSwap { term: route.term, ..swap(&owner, route.epoch, Mode::Open) };
        (owner.mode == Mode::Fenced).then_some(Step::Perform(Effect::SwapOwner(open)))
    }

    pub fn record(&self, route: &Route, decision: &Decision) -> Option<Route> {
        let after = record(route, decision, NOW).ok()?;
        let gives_up = matches!(decision, Decision::GiveUp { .. } | Decision::Abort);
        if gives_up && !self.keeps(Rule::GivingUpBurnsTheEpoch) {
            return Some(Route { epoch: route.epoch, minted: route.epoch, ..after });
        }
        Some(after)
    }

    /// Whether a decision is compared with what was decided meanwhile.
    pub fn compares(&self, decision: &Decision) -> bool {
        !matches!(decision, Decision::Commit { .. }) || self.keeps(Rule::CommitComparesTheTerm)
    }

    /// A head as the store looks at it.
    fn looked_at(&self, head: Head) -> Head {
        let term = if self.keeps(Rule::StoresCompareTerms) { head.term } else { Term(0) };
        Head { term, ..head }
    }

    pub fn swapped(&self, head: Head, swap: &HeadSwap) -> Result<Head, Differs> {
        self.looked_at(head).swapped(swap)
    }

    pub fn claimed(&self, head: Option<Head>, epoch: Epoch, term: Term) -> Result<Head, Differs> {
        Head::claimed(head.map(|head| self.looked_at(head)), epoch, term)
    }

    /// The head that a purge leaves.
    pub fn purged(
        &self,
        head: Option<Head>,
        epoch: Epoch,
        term: Term,
    ) -> Result<Option<Head>, Differs> {
        let tombstone = Head::purged(head.map(|head| self.looked_at(head)), epoch, term)?;
        Ok(self.keeps(Rule::HeadsOutliveTheirLogs).then_some(tombstone))
    }

    /// The head after a page, as `segue_store::events::import` decides it.
    pub fn imported(&self, head: Head, page: &Page) -> Option<Head> {
        let Mark { position, digest } = self.extended(page.after, page.events.events());
        let (mode, epoch) = match page.prepare {
            None => (Mode::Copying, head.epoch),
            Some(epoch) => (Mode::Prepared, epoch),
        };
        let end = Head { position, digest, mode, epoch, term: page.term };
        if head == end {
            return Some(head);
        }
        let copies = match head.mode {
            Mode::Copying => true,
            Mode::Prepared => !self.keeps(Rule::PreparingRevokesTheCopier),
            Mode::Open | Mode::Fenced | Mode::Moved | Mode::Tombstone => false,
        };
        let is_copiers = head.term == page.term || !self.keeps(Rule::StoresCompareTerms);
        let fits = head.mark() == page.after && head.epoch <= end.epoch;
        (copies && is_copiers && fits).then_some(end)
    }

    pub fn extended(&self, mark: Mark, events: &[Id]) -> Mark {
        let Mark { position, digest } = extended(mark, events);
        let digest = if self.keeps(Rule::DigestsAreCompared) { digest } else { Digest::EMPTY };
        Mark { position, digest }
    }
}
