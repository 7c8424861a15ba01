//! Scenario migration, performed: what `segue-core` decides is read from and written to the stores here.
//!
//! - [`Catalog`] keeps scenarios, versions and fields.
//! - [`MigrationPlanner`] makes plans and takes them through review.
//! - [`MigrationForecaster`] says what a plan would do to every session, and compares that with what it did.
//! - [`MigrationDeployer`] deploys them, takes them back, and counts whom they concern.
//! - [`Sessions`] takes turns, and migrates each session just in time before its turn.
//! - [`Erasure`] forgets: a stream, or everything about a customer.
//!
//! All six are handles on one [`Shared`] and cheap to clone. Nothing in it is state that matters: the
//! archive holds immutable versions and what the control plane's generations vouch for.

mod archive;
mod catalog;
mod deployer;
mod erasure;
mod forecaster;
mod planner;
mod retention;
mod scope;
mod sessions;
mod signature;

use std::sync::Arc;

use jiff::Timestamp;
use segue_core::config::Migration;
use segue_core::ids::{ScenarioId, StreamId, TenantId};
use segue_core::plan::summary::Judge;
use segue_store::control::{By, ControlPlane};
use segue_store::events::{Choice, Count, CountBy, CountQuery, Filter};

pub use catalog::{Catalog, Standings};
pub use deployer::{Application, DeploymentResult, DeploymentStatus, MigrationDeployer};
pub use erasure::{Asked, ErasedCustomer, Erasure, RedactedStream};
pub use forecaster::{
    ForecastActual, ForecastResult, ForecastState, ForecastView, MigrationForecaster, Stale,
};
pub use planner::{MigrationPlanner, Overview};
pub use retention::Removed;
pub use sessions::{
    BROWSED, SessionFilter, SessionPage, SessionView, Sessions, StartSession, TurnAnswer,
};
pub use signature::{SOMEONE, Signature};

use crate::clock::Clock;
use crate::error::Result;
use crate::language::{Judges, Language};
use crate::tenants::TenantStoreRouter;
use archive::Archive;
use forecaster::Forecasting;
use sessions::Turnstiles;

/// The stream type of sessions.
const SESSION: &str = "session";
/// The stream type of customers' profiles.
const CUSTOMER: &str = "customer";
/// The stream type of what came of a plan.
const PLAN: &str = "plan";

/// Scenario migration as one value: everything that the HTTP layer serves.
#[derive(Debug, Clone)]
pub struct Scenarios {
    /// Scenarios, versions and fields.
    pub catalog: Catalog,
    /// Plans up to their approval.
    pub planner: MigrationPlanner,
    /// Forecasts of plans.
    pub forecaster: MigrationForecaster,
    /// Plans from their deploy on.
    pub deployer: MigrationDeployer,
    /// Sessions and profiles.
    pub sessions: Sessions,
    /// What customers may ask to be forgotten.
    pub erasure: Erasure,
}

impl Scenarios {
    /// Puts the parts together, without a language model.
    #[must_use]
    pub fn new(
        control: Arc<dyn ControlPlane>,
        router: Arc<TenantStoreRouter>,
        clock: Arc<dyn Clock>,
        config: Migration,
    ) -> Self {
        Self::on(Foundation { control, router, clock, config, language: None })
    }

    /// Puts the parts together.
    #[must_use]
    pub fn on(foundation: Foundation) -> Self {
        let Foundation { control, router, clock, config, language } = foundation;
        let archive = Archive::new(control.clone());
        let turnstiles = Turnstiles::default();
        let forecasting = Forecasting::default();
        let shared = Arc::new(Shared {
            control,
            router,
            clock,
            config,
            language,
            archive,
            turnstiles,
            forecasting,
        });
        Self {
            catalog: Catalog(shared.clone()),
            planner: MigrationPlanner(shared.clone()),
            forecaster: MigrationForecaster(shared.clone()),
            deployer: MigrationDeployer(shared.clone()),
            sessions: Sessions(shared.clone()),
            erasure: Erasure(shared),
        }
    }
}

/// What scenario migration stands on.
#[derive(Debug)]
pub struct Foundation {
    /// Keeps decisions.
    pub control: Arc<dyn ControlPlane>,
    /// Leads to tenants' logs.
    pub router: Arc<TenantStoreRouter>,
    /// Tells the time and makes ids.
    pub clock: Arc<dyn Clock>,
    /// The settings.
    pub config: Migration,
    /// Reads what customers write, where the embedded extractor cannot.
    pub language: Option<Language>,
}

/// What the parts share.
#[derive(Debug)]
struct Shared {
    control: Arc<dyn ControlPlane>,
    router: Arc<TenantStoreRouter>,
    clock: Arc<dyn Clock>,
    config: Migration,
    language: Option<Language>,
    archive: Archive,
    turnstiles: Turnstiles,
    forecasting: Forecasting,
}

impl Shared {
    /// The present moment, to the microsecond: what the stores keep, so that a state folded again from
    /// its events is the state that was written.
    fn now(&self) -> Timestamp {
        let now = self.clock.now().as_microsecond();
        Timestamp::from_microsecond(now).expect("the clock tells a time")
    }

    /// Who acts now.
    fn by(&self, actor: &str) -> By {
        By::new(actor, self.now())
    }

    /// Whether somebody judges conditions in natural language.
    fn judge(&self) -> Judge {
        match self.language.as_ref().map(Language::judges) {
            Some(Judges::Conditions) => Judge::Configured,
            Some(Judges::Nothing) | None => Judge::None,
        }
    }

    /// Every session of a scenario.
    fn sessions_of(&self, scenario: ScenarioId) -> Filter {
        Filter { scenario_id: Some(scenario), channels: Choice::Any, ..Filter::default() }
    }

    /// Counts sessions.
    async fn count(&self, tenant: TenantId, filter: Filter, by: CountBy) -> Result<Vec<Count>> {
        let epoch = segue_core::ids::Epoch::default();
        let query =
            CountQuery { tenant, access: epoch.into(), stream_type: SESSION.into(), filter, by };
        Ok(self.router.count(query).await?)
    }
}

/// Whether a stream is one of those that Segue keeps itself.
pub(crate) fn keeps(stream: &StreamId) -> bool {
    let kinds = [SESSION, CUSTOMER, PLAN];
    let parts = stream.as_str().split_once('-');
    parts.is_some_and(|(kind, _)| kinds.contains(&kind))
}

/// The stream of a session, a customer or an outcome: names made here are always valid.
fn stream(name: String) -> StreamId {
    StreamId::new(name).expect("a prefix and an id are short and free of control characters")
}
