//! What goes wrong by itself, now here and now there.

use std::sync::Arc;
use std::time::Duration;

use super::chance::Chance;
use super::process::Process;
use super::world::{World, weather};

/// Brings trouble until the world comes to rest.
pub async fn brew(world: Arc<World>) {
    let chance = world.chance.fork();
    while !world.is_at_rest() {
        chance.rest(50, 1_200).await;
        if world.is_at_rest() {
            return;
        }
        let dangers = world.dangers;
        let place = chance.index(world.processes().len());
        match chance.below(7) {
            0 | 1 if dangers.stores => bad_weather(&world, &chance),
            2 if dangers.control => bad_weather_at_the_control_plane(&world, &chance),
            3 if dangers.stores => store_away(&world, &chance),
            4 if dangers.control => control_away(&world, &chance),
            5 if dangers.kills => world.kill(place, &chance),
            6 if dangers.freezes => drop(world.freeze(place, &chance)),
            _ => {}
        }
    }
}

fn bad_weather(world: &Arc<World>, chance: &Chance) {
    let process = world.process(chance);
    let nth = chance.index(process.stores.len());
    let weather = weather(chance);
    world.trace.note(format!("{}: {weather:?} at store {nth}", process.name));
    process.stores[nth].set_weather(Some(weather));
    later(chance.millis(100, 3_000), move || process.stores[nth].set_weather(None));
}

fn bad_weather_at_the_control_plane(world: &Arc<World>, chance: &Chance) {
    let process = world.process(chance);
    let weather = weather(chance);
    world.trace.note(format!("{}: {weather:?} at the control plane", process.name));
    process.control.set_weather(Some(weather));
    later(chance.millis(100, 3_000), move || process.control.set_weather(None));
}

/// A store is away: for all, or for one process, whose line is cut.
pub fn store_away(world: &Arc<World>, chance: &Chance) {
    let concerned = concerned(world, chance);
    let nth = chance.index(world.databases.stores.len());
    world.trace.note(format!("store {nth} is away for {} processes", concerned.len()));
    concerned.iter().for_each(|process| process.stores[nth].crash());
    later(chance.millis(50, 4_000), move || {
        concerned.iter().for_each(|process| process.stores[nth].restart());
    });
}

pub fn control_away(world: &Arc<World>, chance: &Chance) {
    let concerned = concerned(world, chance);
    world.trace.note(format!("the control plane is away for {} processes", concerned.len()));
    concerned.iter().for_each(|process| process.control.crash());
    later(chance.millis(50, 4_000), move || {
        concerned.iter().for_each(|process| process.control.restart());
    });
}

fn concerned(world: &Arc<World>, chance: &Chance) -> Vec<Arc<Process>> {
    if chance.percent(50) { world.processes() } else { vec![world.process(chance)] }
}

fn later(after: Duration, act: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        act();
    });
}
