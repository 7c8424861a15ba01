//! Where tenants live, whether their writes go on, and what every turn asks first.

use segue_core::ids::{Epoch, ScenarioId, TenantId, Term, Version};
use uuid::Uuid;

use super::Database;
use super::world::{World, at, new_store, olga};
use crate::control::audit::{Action, Filter};
use crate::control::routing::{Phase, PhaseChange, Placement, Tenant};
use crate::control::standing::Standing;
use crate::control::{Conflict, Error, Generation, Noun, Page};

/// Those who come later, or at the same time, are told where it lives.
pub async fn a_new_tenant_is_placed_once_at_epoch_one(database: &dyn Database) {
    let world = World::empty(database).await;
    assert_eq!(world.control.route(world.tenant).await.unwrap(), None);
    let unplaced = world.control.tenant(world.tenant).await;
    assert!(matches!(unplaced, Err(Error::NotFound(Noun::Tenant))));

    let race = (0..8).map(|racer| {
        let (control, tenant, store) = (world.control.clone(), world.tenant, new_store());
        tokio::spawn(async move { control.place(tenant, &store, &olga(racer)).await.unwrap() })
    });
    let mut placed = Vec::new();
    let mut told = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Placement::Placed(route) => placed.push(route),
            Placement::Home(route) => told.push(route),
        }
    }
    let route = world.control.route(world.tenant).await.unwrap().unwrap();
    assert_eq!((route.epoch, route.phase, route.term), (Epoch(1), Phase::Settled, Term(0)));
    assert_eq!(placed, std::slice::from_ref(&route));
    assert_eq!(told, vec![route.clone(); 7]);
    assert_eq!(world.control.tenant(world.tenant).await.unwrap().route, route);
}

/// The operator's list, by id.
pub async fn tenants_list_by_store_in_pages(database: &dyn Database) {
    let world = World::empty(database).await;
    let (store, other) = (new_store(), new_store());
    let mut expected = Vec::new();
    for second in 0..5 {
        let tenant_id = TenantId(Uuid::new_v4());
        let route = world.control.place(tenant_id, &store, &olga(second)).await.unwrap().route();
        expected.push(Tenant { tenant_id, route, placed_at: at(second) });
    }
    world.control.place(world.tenant, &other, &olga(9)).await.unwrap();
    expected.sort_by_key(|tenant| tenant.tenant_id);

    let first = world.control.list_tenants(Some(&store), Page::first(3)).await.unwrap();
    assert_eq!((&first.items[..], first.total), (&expected[..3], 5));
    let page = Page { limit: 3, after: first.next };
    let second = world.control.list_tenants(Some(&store), page).await.unwrap();
    assert_eq!((&second.items[..], second.total, second.next), (&expected[3..], 5, None));
    let all = world.control.list_tenants(None, Page::first(1)).await.unwrap();
    assert!(all.total >= 6);
}

/// What was decided on something older is refused, and nothing of it is told.
pub async fn a_pause_is_decided_once_per_term(database: &dyn Database) {
    let world = World::empty(database).await;
    let pause = PhaseChange { expected: Term(0), phase: Phase::Paused { since: at(1) } };
    let unplaced = world.control.change_phase(world.tenant, pause, &olga(1)).await;
    assert!(matches!(unplaced, Err(Error::NotFound(Noun::Tenant))), "{unplaced:?}");

    let home = world.control.place(world.tenant, &new_store(), &olga(0)).await.unwrap().route();
    let paused = world.control.change_phase(world.tenant, pause, &olga(1)).await.unwrap();
    assert_eq!((paused.phase, paused.term), (pause.phase, Term(1)));
    assert_eq!((&paused.store_id, paused.epoch), (&home.store_id, home.epoch));
    let again = world.control.change_phase(world.tenant, pause, &olga(2)).await;
    assert!(matches!(again, Err(Error::Conflict(Conflict::Route(Term(1))))), "{again:?}");

    let other = database.open().await;
    assert_eq!(other.route(world.tenant).await.unwrap(), Some(paused.clone()));
    let standing = other.standing(world.tenant, world.scenario).await.unwrap();
    assert_eq!(standing.route, Some(paused.clone()));
    assert_eq!(other.tenant(world.tenant).await.unwrap().route, paused);

    let resume = PhaseChange { expected: Term(1), phase: Phase::Settled };
    let resumed = other.change_phase(world.tenant, resume, &olga(3)).await.unwrap();
    assert_eq!((resumed.phase, resumed.term), (Phase::Settled, Term(2)));
    assert_eq!(world.control.route(world.tenant).await.unwrap(), Some(resumed));

    let lines = world.control.list_audit(world.tenant, &Filter::default(), Page::first(9)).await;
    let told = lines.unwrap().items.into_iter().map(|line| (line.action, line.at));
    let expected = [
        (Action::WritesResumed, at(3)),
        (Action::WritesPaused, at(1)),
        (Action::TenantPlaced, at(0)),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// Two processes that decide on the same term never both believe that they did.
pub async fn of_racing_decisions_about_writes_one_wins(database: &dyn Database) {
    let world = World::empty(database).await;
    world.control.place(world.tenant, &new_store(), &olga(0)).await.unwrap();
    let race = (0..8).map(|racer| {
        let (control, tenant) = (world.control.clone(), world.tenant);
        let change = PhaseChange { expected: Term(0), phase: Phase::Paused { since: at(racer) } };
        tokio::spawn(async move { control.change_phase(tenant, change, &olga(racer)).await })
    });
    let mut won = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(route) => won.push(route),
            Err(error) => {
                assert!(matches!(error, Error::Conflict(Conflict::Route(Term(1)))), "{error:?}");
            }
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(world.control.route(world.tenant).await.unwrap().as_ref(), won.first());
}

/// Neither a route, nor a scenario, nor fields.
pub async fn what_a_turn_asks_first_is_empty_for_strangers(database: &dyn Database) {
    let world = World::empty(database).await;
    let nothing = Standing { route: None, scenario: None, fields: Generation(0) };
    let standing = world.control.standing(world.tenant, world.scenario).await.unwrap();
    assert_eq!(standing, nothing);

    let route = world.control.place(world.tenant, &new_store(), &olga(1)).await.unwrap().route();
    world.register(ScenarioId(Uuid::new_v4()), 2).await;
    let standing = world.control.standing(world.tenant, world.scenario).await.unwrap();
    assert_eq!(standing, Standing { route: Some(route), ..nothing });
}

/// Nothing is cached that another process may have changed.
pub async fn what_one_process_decides_the_others_next_turn_finds(database: &dyn Database) {
    let world = World::with_scenario(database).await;
    let other = database.open().await;
    for to in 2..20 {
        let plan = world.create(to - 1, to, 10).await;
        world.deploy(&plan, &[], 11).await.unwrap();
        let found = other.standing(world.tenant, world.scenario).await.unwrap().scenario.unwrap();
        assert_eq!(found, world.standing().await);
        assert_eq!(found.current_version, Version(to));
    }
}
