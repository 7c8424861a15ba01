//! Finding and counting streams by their snapshots' facets.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use segue_core::ids::{
    Channel, CustomerId, PlanId, ScenarioId, StepId, StreamId, TenantId, Version,
};
use segue_core::scenario::hash::ContentHash;

use super::error::Error;
use super::event::StreamState;
use super::facets::Facets;
use super::head::Access;

/// What a snapshot must have to match. Each field narrows; the default matches every snapshot. Times are
/// compared by the microsecond.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this scenario.
    pub scenario_id: Option<ScenarioId>,
    /// On one of these versions.
    pub versions: Choice<Version>,
    /// At one of these steps.
    pub steps: Choice<StepId>,
    /// On one of these channels.
    pub channels: Choice<Channel>,
    /// Of this customer.
    pub customer_id: Option<CustomerId>,
    /// Still taking turns, or no longer.
    pub live: Option<bool>,
    /// Begun at or after this time.
    pub started_from: Option<Timestamp>,
    /// Begun at or before this time.
    pub started_until: Option<Timestamp>,
    /// Decided by a plan, or not by it.
    pub settled: Option<Settled>,
}

/// Which values a field may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice<T> {
    /// Every one, or none at all.
    #[default]
    Any,
    /// One of these.
    Only(Vec<T>),
    /// Every other one, or none at all.
    Except(Vec<T>),
}

impl<T: PartialEq> Choice<T> {
    fn admits(&self, value: Option<&T>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(values) => value.is_some_and(|value| values.contains(value)),
            Self::Except(values) => value.is_none_or(|value| !values.contains(value)),
        }
    }
}

/// Whether a plan was the last one decided for a session without moving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// By this plan.
    By(PlanId),
    /// By none of these plans, or by none at all.
    NotBy(Vec<PlanId>),
}

impl Filter {
    /// Whether `facets` have what it takes.
    #[must_use]
    pub fn admits(&self, facets: &Facets) -> bool {
        let micros = |time: Timestamp| time.as_microsecond();
        let started_at = facets.started_at.map(micros);
        self.scenario_id.is_none_or(|id| facets.scenario_id == Some(id))
            && self.versions.admits(facets.scenario_version.as_ref())
            && self.steps.admits(facets.step_id.as_ref())
            && self.channels.admits(facets.channel.as_ref())
            && (self.customer_id.is_none() || self.customer_id == facets.customer_id)
            && self.live.is_none_or(|live| live == facets.live)
            && self.started_from.is_none_or(|from| started_at >= Some(micros(from)))
            && self
                .started_until
                .is_none_or(|until| started_at.is_some_and(|at| at <= micros(until)))
            && match &self.settled {
                None => true,
                Some(Settled::By(plan)) => facets.settled == Some(*plan),
                Some(Settled::NotBy(plans)) => {
                    facets.settled.is_none_or(|settled| !plans.contains(&settled))
                }
            }
    }
}

/// A request for a page of streams by their snapshots, newest first (by `started_at`, then by stream id;
/// those that have none come last).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// Whose log.
    pub tenant: TenantId,
    /// On what ground; see [`Access`].
    pub access: Access,
    /// Which kind of stream, such as `session`.
    pub stream_type: String,
    /// What a snapshot must have.
    pub filter: Filter,
    /// At least one of these must match too; empty asks for nothing more.
    pub any_of: Vec<Filter>,
    /// None of these may match.
    pub none_of: Vec<Filter>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// The most of them; bounded by [`super::limits::SNAPSHOTS_PER_PAGE`].
    pub limit: usize,
    /// How far all that match are counted, for the first page.
    pub counting: Counting,
}

/// How far a list counts what matches. A count looks at everything that matches, a page only at itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counting {
    /// To the end.
    #[default]
    Exactly,
    /// Not beyond this number: where more match, the total is this number and one.
    UpTo(u64),
}

impl Counting {
    /// Where counting stops.
    pub(crate) fn stops_at(self) -> Option<u64> {
        match self {
            Self::Exactly => None,
            Self::UpTo(most) => Some(most.saturating_add(1)),
        }
    }
}

impl SnapshotQuery {
    /// Whether `facets` match.
    #[must_use]
    pub fn admits(&self, facets: &Facets) -> bool {
        self.filter.admits(facets)
            && (self.any_of.is_empty() || self.any_of.iter().any(|filter| filter.admits(facets)))
            && !self.none_of.iter().any(|filter| filter.admits(facets))
    }
}

/// A page of streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPage {
    /// The streams, each with its snapshot.
    pub streams: Vec<StreamState>,
    /// How many match in all, as far as that was counted for the first page.
    pub total: u64,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Cursor>,
}

/// The place where a page ended. Callers pass it on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Microseconds since 1970 of the last stream's `started_at`, 0 for none.
    pub(crate) started_at: i64,
    pub(crate) total: u64,
    pub(crate) stream: StreamId,
}

/// Where a snapshot stands in a list, before its stream id decides.
pub(crate) fn order_key(facets: &Facets) -> i64 {
    facets.started_at.map_or(0, Timestamp::as_microsecond)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { started_at, total, stream } = self;
        write!(f, "{started_at}.{total}.{stream}")
    }
}

impl FromStr for Cursor {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let mut parts = text.splitn(3, '.');
            let started_at = parts.next()?.parse().ok()?;
            let total = parts.next()?.parse().ok()?;
            let stream = StreamId::new(parts.next()?).ok()?;
            Some(Self { started_at, total, stream })
        };
        parse().ok_or_else(|| Error::Invalid("the cursor is not one that a page gave".into()))
    }
}

/// A request to count streams by their snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountQuery {
    /// Whose log.
    pub tenant: TenantId,
    /// On what ground; see [`Access`].
    pub access: Access,
    /// Which kind of stream, such as `session`.
    pub stream_type: String,
    /// What a snapshot must have.
    pub filter: Filter,
    /// How fine the groups are.
    pub by: CountBy,
}

/// How fine the groups of a count are; each splits the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountBy {
    /// By version of the scenario.
    Version,
    /// … and by step.
    Step,
    /// … and by channel.
    Channel,
    /// … and by the checkpoints passed.
    Checkpoints,
}

/// What one group of a count has in common: version, step, channel, checkpoints.
pub(crate) type CountGroup = (Option<Version>, Option<StepId>, Option<Channel>, Vec<ContentHash>);

impl CountBy {
    /// The group that a snapshot counts for.
    pub(crate) fn group_of(self, facets: &Facets) -> CountGroup {
        (
            facets.scenario_version,
            facets.step_id.clone().filter(|_| self >= Self::Step),
            facets.channel.clone().filter(|_| self >= Self::Channel),
            if self >= Self::Checkpoints { facets.checkpoints.clone() } else { Vec::new() },
        )
    }
}

impl From<(CountGroup, u64)> for Count {
    fn from(((scenario_version, step_id, channel, checkpoints), n): (CountGroup, u64)) -> Self {
        Self { scenario_version, step_id, channel, checkpoints, n }
    }
}

/// A group of streams and how many they are. Fields finer than asked for are empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The version they walk.
    pub scenario_version: Option<Version>,
    /// Where they stand.
    pub step_id: Option<StepId>,
    /// Where the conversations take place.
    pub channel: Option<Channel>,
    /// What the checkpoints they have passed mean; empty where none was passed, or not asked for.
    pub checkpoints: Vec<ContentHash>,
    /// How many.
    pub n: u64,
}
