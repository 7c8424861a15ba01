//! Computing a forecast: sessions in pages, newest first, each decided as its next turn would decide it.
//!
//! A list goes by when sessions began, which never changes, so every session that was there at the start is met
//! once, whatever turns are taken meanwhile and wherever the tenant moves. While one page is decided on a thread
//! of its own the next one is read.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_core::fields::{Definitions, Profile};
use segue_core::ids::{CustomerId, Epoch, StreamId, TenantId};
use segue_core::plan::deployed::Deployed;
use segue_core::plan::forecast::{
    Group, Marks, Outcome, Record, Sample, Tally, nothing_happens, write,
};
use segue_core::reconcile::{Archive as _, Extractor, Judge, Situation};
use segue_core::scenario::graph::Graph;
use segue_core::session::turn::{Foreseen, foresee};
use segue_store::control::forecasts::{Forecast, Page, Progress, Range};
use segue_store::control::plans::Plan;
use segue_store::events::{
    Counting, Cursor, Filter, SnapshotPage, SnapshotQuery, StreamState, limits,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::CancellationToken;

use super::super::archive::{Archive, View};
use super::super::deployer;
use super::super::sessions::{customer_stream, folded, profiles};
use super::super::{SESSION, Shared};
use crate::error::{Error, Result};

/// Sessions in a page of records.
const RECORDS_PER_PAGE: usize = 8_192;

/// How often a forecast tells how far it has come, at least.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Sessions in the first page that is read, when their size is not known yet.
const FIRST_PAGE: usize = 100;

/// Bytes of sessions in a page that is read, about.
const BYTES_PER_PAGE: usize = 4 * 1024 * 1024;

/// How long a store that does not answer is waited for, time after time, before a forecast is given up.
const PATIENCE: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// The result of a forecast, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What becomes of how many; records name a group by its place here.
    pub(super) groups: Vec<Group>,
    /// Examples.
    pub(super) samples: Vec<Sample>,
}

/// Reads the result of a forecast.
pub(super) async fn result(
    shared: &Shared,
    tenant: TenantId,
    forecast: &Forecast,
) -> Result<Option<Kept>> {
    let (plan, id) = (forecast.plan_id, forecast.forecast_id);
    let Some(result) = shared.control.forecast_result(tenant, plan, id).await? else {
        return Ok(None);
    };
    let read = serde_json::from_str(result.get());
    read.map(Some).map_err(|error| Error::Corrupt {
        what: "the control plane",
        reason: format!("the forecast of plan {plan} cannot be read: {error}"),
        source: None,
    })
}

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Somebody has cancelled it, or another forecast of the plan has begun.
    Unwanted,
    /// For this reason, in words for people.
    Because(String),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Because(error.to_string())
    }
}

/// The scenario as it would be after the deploy.
#[derive(Debug)]
struct Imagined {
    view: View,
    record: Deployed,
    current: Arc<Graph>,
    definitions: Definitions,
    marks: Marks,
}

/// A forecast under way.
#[derive(Debug)]
pub(super) struct Computation {
    shared: Arc<Shared>,
    tenant: TenantId,
    plan: Plan,
    forecast: Forecast,
    stopping: CancellationToken,
    told: Instant,
    done: u64,
    total: u64,
    records: Vec<Record>,
    pages: u64,
}

/// Sessions that were read, with the profiles of their customers.
struct Read {
    sessions: Vec<StreamState>,
    profiles: HashMap<CustomerId, Profile>,
    total: u64,
    next: Option<Cursor>,
    per_page: usize,
}

impl Computation {
    pub(super) fn new(
        shared: Arc<Shared>,
        tenant: TenantId,
        plan: Plan,
        forecast: Forecast,
    ) -> Self {
        let stopping = shared.forecasting.stopping.clone();
        let told = Instant::now();
        let records = Vec::with_capacity(RECORDS_PER_PAGE);
        Self {
            shared,
            tenant,
            plan,
            forecast,
            stopping,
            told,
            done: 0,
            total: 0,
            records,
            pages: 0,
        }
    }

    /// Computes it all, and answers with what is to be kept.
    pub(super) async fn run(mut self) -> Result<Box<RawValue>, Stopped> {
        let imagined = Arc::new(self.imagine().await?);
        let mut tally = Tally::default();
        let mut read = Some(self.read(&imagined, None, FIRST_PAGE).await?);
        while let Some(page) = read.take() {
            let Read { sessions, profiles, total, next, per_page } = page;
            self.total = total;
            let (shared, to_decide) = (self.shared.clone(), imagined.clone());
            let deciding = tokio::task::spawn_blocking(move || {
                let decided = decide(&shared, &to_decide, &mut tally, sessions, &profiles);
                (decided, tally)
            });
            let reading = async {
                match next {
                    Some(next) => self.read(&imagined, Some(next), per_page).await.map(Some),
                    None => Ok(None),
                }
            };
            let (decided, following) = tokio::join!(deciding, reading);
            let (decided, counted) =
                decided.map_err(|error| Stopped::Because(format!("a page failed: {error}")))?;
            tally = counted;
            for record in decided? {
                self.done += 1;
                self.records.push(record);
                if self.records.len() == RECORDS_PER_PAGE {
                    self.tell().await?;
                }
            }
            if self.told.elapsed() >= TELL_EVERY {
                self.tell().await?;
            }
            self.still_holds(&imagined).await?;
            read = following?;
        }
        if !self.records.is_empty() {
            self.tell().await?;
        }
        let (groups, samples) = tally.into_parts();
        Ok(to_raw_value(&Kept { groups, samples }).expect("plain data serialises"))
    }

    /// The scenario as the deploy of the plan would leave it.
    async fn imagine(&self) -> Result<Imagined, Stopped> {
        let Self { shared, tenant, plan, forecast, .. } = self;
        let (tenant, scenario) = (*tenant, plan.scenario_id);
        let history = shared.control.deployed(tenant, scenario).await.map_err(Error::from)?;
        if history.deployed.iter().any(|record| record.plan_id == plan.plan_id) {
            return Err(Stopped::Because("the plan was deployed meanwhile".to_owned()));
        }
        let record = deployer::record(shared, tenant, plan, forecast.started_at).await?;
        let view = Archive::imagined(history, record.clone());
        shared.archive.grow(tenant, scenario, &view, record.from_version).await?;
        let current = view.graph(view.current_version);
        let current = current.ok_or_else(|| {
            Stopped::Because(format!("version {} is not archived", view.current_version))
        })?;
        let fields = shared.control.fields(tenant).await.map_err(Error::from)?;
        let marks = if shared.config.enabled && record.marks_sessions {
            Marks::Sessions
        } else {
            Marks::Nobody
        };
        Ok(Imagined { view, record, current, definitions: fields.definitions, marks })
    }

    /// Reads a page of sessions, their customers' profiles, and the versions that they walk. A store that does
    /// not answer is asked again.
    async fn read(
        &self,
        imagined: &Imagined,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Read, Stopped> {
        let mut waits = PATIENCE.iter();
        loop {
            let reading = self.try_read(imagined, after.clone(), limit);
            let read = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(stopped()),
                read = reading => read,
            };
            match (read, waits.next()) {
                (Ok(read), _) => return Ok(read),
                (Err(Error::Unavailable { .. }), Some(wait)) => tokio::select! {
                    () = self.stopping.cancelled() => return Err(stopped()),
                    () = tokio::time::sleep(*wait) => {}
                },
                (Err(error), _) => return Err(error.into()),
            }
        }
    }

    async fn try_read(
        &self,
        imagined: &Imagined,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Read> {
        let Self { shared, tenant, plan, .. } = self;
        let query = SnapshotQuery {
            tenant: *tenant,
            access: Epoch::default().into(),
            stream_type: SESSION.to_owned(),
            filter: Filter { live: Some(true), ..shared.sessions_of(plan.scenario_id) },
            any_of: Vec::new(),
            none_of: Vec::new(),
            after,
            limit,
            counting: Counting::Exactly,
        };
        let SnapshotPage { streams: sessions, total, next } = shared.router.list(query).await?;
        let facets = || sessions.iter().filter_map(|state| Some(&state.snapshot.as_ref()?.facets));
        let versions: BTreeSet<_> = facets().filter_map(|facets| facets.scenario_version).collect();
        for version in versions {
            shared.archive.grow(*tenant, plan.scenario_id, &imagined.view, version).await?;
        }
        let customers: BTreeSet<CustomerId> =
            facets().filter_map(|facets| facets.customer_id.clone()).collect();
        let profiles = self.profiles(customers).await?;
        let bytes = sessions.iter().filter_map(|state| Some(state.snapshot.as_ref()?.state.len()));
        let each = bytes.sum::<usize>() / sessions.len().max(1);
        let per_page = BYTES_PER_PAGE / each.max(1);
        let per_page = per_page.clamp(10, limits::SNAPSHOTS_PER_PAGE);
        Ok(Read { sessions, profiles, total, next, per_page })
    }

    async fn profiles(
        &self,
        customers: BTreeSet<CustomerId>,
    ) -> Result<HashMap<CustomerId, Profile>> {
        let streams: Vec<StreamId> = customers.iter().map(customer_stream).collect();
        let mut profiles = HashMap::with_capacity(customers.len());
        let mut customers = customers.into_iter();
        for some in streams.chunks(limits::STREAMS_PER_LOAD) {
            let states = self.shared.router.load_many(self.tenant, some).await?;
            for (state, customer) in states.into_iter().zip(customers.by_ref()) {
                if let Some(state) = state {
                    profiles.insert(customer, profiles::folded(state)?.profile);
                }
            }
        }
        Ok(profiles)
    }

    /// Keeps the records so far as a page, and tells how far it has come.
    async fn tell(&mut self) -> Result<(), Stopped> {
        let Self { shared, tenant, forecast, done, total, .. } = &*self;
        let progress = Progress { done: *done, total: (*total).max(*done), at: shared.now() };
        let page = match self.records.iter().map(|record| record.session_id).min() {
            Some(first) => {
                let last = self.records.iter().map(|record| record.session_id).max();
                let range = Range { page: self.pages, first, last: last.unwrap_or(first) };
                Some(Page { range, records: write(self.records.clone()) })
            }
            None => None,
        };
        let (plan, id) = (forecast.plan_id, forecast.forecast_id);
        let noted = shared.control.note_forecast(*tenant, plan, id, progress, page).await;
        if !noted.map_err(Error::from)? {
            return Err(Stopped::Unwanted);
        }
        if self.records.len() == RECORDS_PER_PAGE {
            self.records.clear();
            self.pages += 1;
        }
        self.told = Instant::now();
        Ok(())
    }

    /// Gives up when what it is computed from is no longer so.
    async fn still_holds(&self, imagined: &Imagined) -> Result<(), Stopped> {
        let Self { shared, tenant, plan, .. } = self;
        let standing = shared.control.standing(*tenant, plan.scenario_id).await;
        let scenario = standing.map_err(Error::from)?.scenario;
        if scenario.map(|scenario| scenario.generation) == Some(imagined.view.generation()) {
            return Ok(());
        }
        let now = shared.control.deployed(*tenant, plan.scenario_id).await;
        let now = now.map_err(Error::from)?.deployed;
        // A cleanup changes the generation and nothing that matters here.
        if imagined.view.deployed.split_last().is_some_and(|(_, before)| before == now) {
            return Ok(());
        }
        Err(Stopped::Because(
            "a plan of the scenario was deployed or withdrawn meanwhile: ask for the forecast again"
                .to_owned(),
        ))
    }
}

fn stopped() -> Stopped {
    let reason = "the server that computed it was stopped: ask for the forecast again";
    Stopped::Because(reason.to_owned())
}

/// Decides a page of sessions.
fn decide(
    shared: &Shared,
    imagined: &Imagined,
    tally: &mut Tally,
    sessions: Vec<StreamState>,
    profiles: &HashMap<CustomerId, Profile>,
) -> Result<Vec<Record>> {
    let Imagined { view, record, current, definitions, marks } = imagined;
    let nothing_known = Profile::default();
    let mut records = Vec::with_capacity(sessions.len());
    for state in sessions {
        let Some(session) = folded(Some(state))? else { continue };
        let customer = session.customer_id.as_ref();
        let profile = customer.and_then(|customer| profiles.get(customer));
        let situation = Situation {
            session: &session,
            profile: profile.unwrap_or(&nothing_known),
            plans: &view.deployed,
            archive: view,
            current,
            definitions,
            config: &shared.config,
            extractor: Extractor::Embedded,
            judge: Judge::Nobody,
            now: record.deployed_at,
        };
        let decision = match foresee(&situation) {
            Ok(Foreseen::Decided(decision)) => decision,
            Ok(Foreseen::Need(need)) => {
                unreachable!("the embedded extractor and no judge need nothing: {need:?}")
            }
            // It takes no turns any more.
            Err(_) => continue,
        };
        let outcome = Outcome::of_decision(&decision, &session, record, *marks);
        let reason = match (&decision.result.reason, &outcome) {
            (Some(reason), _) => reason.clone(),
            (None, Outcome::Unaffected { because }) => nothing_happens(*because, record.plan_id),
            (None, _) => String::new(),
        };
        let version = session.stream_version;
        let outcome = tally.add(&session, outcome, &reason);
        records.push(Record { session_id: session.id, version, outcome });
    }
    Ok(records)
}
