//! Forecasts: one at a time, told of by one process and read by all.

use jiff::Timestamp;
use segue_core::ids::{PlanId, SessionId, StreamVersion};
use segue_core::plan::forecast::{Record, write};
use serde_json::json;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::Database;
use super::world::{World, at, olga};
use crate::control::forecasts::{
    Begun, End, Forecast, NewForecast, PAGE_BYTES, Page, Progress, RESULT_BYTES, Range, State,
};
use crate::control::plans::Plan;
use crate::control::{Error, Noun};

/// A session by number.
fn session(nth: u128) -> SessionId {
    SessionId(Uuid::from_u128(nth << 80))
}

/// A page of what was foreseen of these sessions.
fn page(nth: u64, sessions: std::ops::Range<u128>) -> Page {
    let range =
        Range { page: nth, first: session(sessions.start), last: session(sessions.end - 1) };
    let record = |nth| Record { session_id: session(nth), version: StreamVersion(7), outcome: 3 };
    Page { range, records: write(sessions.map(record).collect()) }
}

fn progress(done: u64, second: i64) -> Progress {
    Progress { done, total: 300, at: at(second) }
}

impl World {
    fn new_forecast(&self, plan: &Plan, second: i64) -> NewForecast {
        NewForecast {
            plan_id: plan.plan_id,
            forecast_id: Uuid::new_v4(),
            process: Uuid::new_v4(),
            started_at: at(second),
            basis: json!({"policies": "ç", "revision": 1}),
        }
    }

    /// Begins a forecast, whoever computed one before.
    async fn begin(&self, plan: &Plan, second: i64) -> Forecast {
        let new = self.new_forecast(plan, second);
        let begun = self.control.begin_forecast(self.tenant, &new, Timestamp::MAX).await;
        match begun.unwrap() {
            Begun::Started(forecast) => forecast,
            Begun::Running(other) => panic!("{other:?} was not to be taken for alive"),
        }
    }

    async fn note(&self, forecast: &Forecast, done: u64, page: Option<Page>) -> bool {
        let (plan, id) = (forecast.plan_id, forecast.forecast_id);
        let noted = self.control.note_forecast(self.tenant, plan, id, progress(done, 20), page);
        noted.await.unwrap()
    }

    async fn end(&self, forecast: &Forecast, end: End) -> bool {
        let (plan, id) = (forecast.plan_id, forecast.forecast_id);
        self.control.end_forecast(self.tenant, plan, id, end, at(30)).await.unwrap()
    }

    async fn found(&self, plan: PlanId) -> Forecast {
        self.control.forecast(self.tenant, plan).await.unwrap()
    }

    async fn result(&self, forecast: &Forecast) -> Option<String> {
        let (plan, id) = (forecast.plan_id, forecast.forecast_id);
        let result = self.control.forecast_result(self.tenant, plan, id).await.unwrap();
        result.map(|result| result.get().to_owned())
    }
}

fn done() -> End {
    End::Done(to_raw_value(&json!({"groups": ["ç", 1]})).unwrap())
}

/// Progress, pages and the result, as they were written.
pub async fn a_forecast_is_told_of_page_by_page_and_read_by_everybody(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let forecast = world.begin(&plan, 10).await;
    assert_eq!(world.found(plan.plan_id).await, forecast);
    assert_eq!(world.result(&forecast).await, None);

    let pages = [page(0, 100..200), page(1, 1..100)];
    for (nth, page) in (1..).zip(&pages) {
        assert!(world.note(&forecast, nth * 100, Some(page.clone())).await);
    }
    assert!(world.note(&forecast, 250, None).await);
    let under_way = world.found(plan.plan_id).await;
    let expected =
        Forecast { sessions_done: 250, sessions_total: 300, heard_at: at(20), ..forecast.clone() };
    assert_eq!(under_way, expected);

    assert!(world.end(&forecast, done()).await);
    let other = database.open().await;
    let found = other.forecast(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(found, Forecast { state: State::Done, heard_at: at(30), ..expected });
    let ranges = other.forecast_ranges(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(ranges, pages.iter().map(|page| page.range).collect::<Vec<_>>());
    for page in pages {
        let read = other.forecast_page(world.tenant, plan.plan_id, page.range.page).await;
        assert_eq!(read.unwrap(), page);
    }
    assert_eq!(world.result(&forecast).await.unwrap(), "{\"groups\":[\"ç\",1]}");
}

/// Whoever asks for another one is told of the one that runs.
pub async fn one_forecast_of_a_plan_runs_at_a_time(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let (plan, other) = (world.create(1, 2, 1).await, world.create(1, 3, 2).await);
    let forecast = world.begin(&plan, 10).await;
    let again = world.new_forecast(&plan, 12);
    let begun = world.control.begin_forecast(world.tenant, &again, at(10)).await.unwrap();
    assert_eq!(begun, Begun::Running(forecast.clone()));
    world.begin(&other, 12).await;
    assert!(world.note(&forecast, 1, None).await, "another plan's is another matter");

    world.end(&forecast, End::Failed("the store was \"away\"".to_owned())).await;
    let failed = world.found(plan.plan_id).await;
    assert_eq!(failed.state, State::Failed { reason: "the store was \"away\"".to_owned() });
    let begun = world.control.begin_forecast(world.tenant, &again, at(10)).await.unwrap();
    assert!(matches!(begun, Begun::Started(_)), "{begun:?}");
}

/// The others find it.
pub async fn of_racing_forecasts_one_begins(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let racers = (0..8).map(|_| {
        let (control, tenant) = (world.control.clone(), world.tenant);
        let new = world.new_forecast(&plan, 10);
        tokio::spawn(async move { control.begin_forecast(tenant, &new, at(5)).await.unwrap() })
    });
    let mut begun = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Begun::Started(forecast) => begun.push(forecast),
            Begun::Running(_) => {}
        }
    }
    assert_eq!(begun, [world.found(plan.plan_id).await]);
}

/// A process may die at any moment; the next one that is asked begins anew, and the first, if it was only
/// asleep, changes nothing any more.
pub async fn a_forecast_whose_process_is_not_heard_of_is_replaced(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let asleep = world.begin(&plan, 10).await;
    assert!(world.note(&asleep, 100, Some(page(0, 1..9))).await, "heard of at second 20");
    let again = world.new_forecast(&plan, 60);
    let begun = world.control.begin_forecast(world.tenant, &again, at(20)).await.unwrap();
    assert!(matches!(begun, Begun::Running(_)), "{begun:?}");
    let begun = world.control.begin_forecast(world.tenant, &again, at(21)).await.unwrap();
    let Begun::Started(forecast) = begun else { panic!("{begun:?}") };

    assert!(!world.note(&asleep, 200, Some(page(1, 9..12))).await);
    assert!(!world.end(&asleep, done()).await);
    assert_eq!(world.found(plan.plan_id).await, forecast);
    let ranges = world.control.forecast_ranges(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(ranges, []);
}

/// Neither pages nor a result.
pub async fn a_new_forecast_leaves_nothing_of_the_one_before(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let first = world.begin(&plan, 10).await;
    world.note(&first, 100, Some(page(0, 1..100))).await;
    world.note(&first, 200, Some(page(1, 100..200))).await;
    world.end(&first, done()).await;

    let second = world.begin(&plan, 40).await;
    assert_eq!(world.result(&first).await, None);
    assert_eq!(world.result(&second).await, None);
    world.note(&second, 50, Some(page(0, 5..9))).await;
    let ranges = world.control.forecast_ranges(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(ranges, [page(0, 5..9).range]);
    let gone = world.control.forecast_page(world.tenant, plan.plan_id, 1).await;
    assert!(matches!(gone, Err(Error::NotFound(Noun::Forecast))), "{gone:?}");
}

/// Also not what is too large for anybody to read.
pub async fn a_forecast_that_is_over_takes_nothing_more(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let plan = world.create(1, 2, 1).await;
    let forecast = world.begin(&plan, 10).await;
    let large = Page { records: vec![1; PAGE_BYTES + 1], ..page(0, 1..2) };
    let (id, so_far) = (forecast.forecast_id, progress(1, 11));
    let refused =
        world.control.note_forecast(world.tenant, plan.plan_id, id, so_far, Some(large)).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let large = End::Done(to_raw_value(&"x".repeat(RESULT_BYTES)).unwrap());
    let refused = world.control.end_forecast(world.tenant, plan.plan_id, id, large, at(12)).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");

    assert!(world.end(&forecast, done()).await);
    let over = world.found(plan.plan_id).await;
    assert!(!world.note(&forecast, 300, Some(page(0, 1..9))).await);
    assert!(!world.end(&forecast, End::Failed("too late".to_owned())).await);
    assert_eq!(world.found(plan.plan_id).await, over);
    let ranges = world.control.forecast_ranges(world.tenant, plan.plan_id).await.unwrap();
    assert_eq!(ranges, []);
}

/// Another tenant finds none of it, and a plan that never was has none.
pub async fn a_forecast_is_of_one_tenants_plan(database: &dyn Database) {
    let (world, other) =
        (World::with_scenario(database).await, World::with_scenario(database).await);
    let plan = world.create(1, 2, 1).await;
    let none = world.control.forecast(world.tenant, plan.plan_id).await;
    assert!(matches!(none, Err(Error::NotFound(Noun::Forecast))), "{none:?}");
    let new = other.new_forecast(&plan, 10);
    let refused = other.control.begin_forecast(other.tenant, &new, at(0)).await;
    assert!(matches!(refused, Err(Error::NotFound(Noun::Plan))), "{refused:?}");

    let forecast = world.begin(&plan, 10).await;
    world.note(&forecast, 1, Some(page(0, 1..9))).await;
    let hidden = other.control.forecast(other.tenant, plan.plan_id).await;
    assert!(matches!(hidden, Err(Error::NotFound(Noun::Forecast))), "{hidden:?}");
    assert!(!other.note(&forecast, 9, None).await);
    assert!(!other.end(&forecast, done()).await);
    assert_eq!(other.control.forecast_ranges(other.tenant, plan.plan_id).await.unwrap(), []);
    assert!(other.control.forecast_page(other.tenant, plan.plan_id, 0).await.is_err());
}

/// When a plan is past its retention.
pub async fn forecasts_go_with_their_plans(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let (old, kept) = (world.create(1, 2, 1).await, world.create(1, 3, 2).await);
    for plan in [&old, &kept] {
        let forecast = world.begin(plan, 10).await;
        world.note(&forecast, 1, Some(page(0, 1..9))).await;
        world.end(&forecast, done()).await;
    }
    world.reject(&old, 40).await;
    let gone = world.control.cleanup_old_plans(world.tenant, at(50), &olga(60)).await.unwrap();
    assert_eq!(gone, [old.plan_id]);
    let forecast = world.control.forecast(world.tenant, old.plan_id).await;
    assert!(matches!(forecast, Err(Error::NotFound(Noun::Forecast))), "{forecast:?}");
    assert_eq!(world.control.forecast_ranges(world.tenant, old.plan_id).await.unwrap(), []);
    assert_eq!(world.found(kept.plan_id).await.state, State::Done);
}
