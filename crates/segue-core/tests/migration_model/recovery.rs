//! Whether somebody is stuck: a coordinator that has the world for itself carries the move on.

use segue_core::digest::Mark;
use segue_core::tenancy::Phase;
use segue_core::tenancy::migration::{
    Contradiction, Decision, Effect, Rules, Sight, Stage, Step, Waiting,
};
use segue_core::tenancy::pause::{Wish, decide};

use super::protocol::{NOW, Protocol};
use super::store::Answer;
use super::world::{Place, World};

/// More steps than any move has left.
const STEPS: usize = 60;

/// What is asked of a coordinator that is left alone.
pub const ALONE: Rules = Rules {
    lag_threshold: 1,
    needs_read_back: false,
    cut_over: true,
    is_over_budget: false,
    keeps_way_back: true,
    purge_is_due: true,
};

/// Says how it ends when nobody else does anything any more; or what is stuck.
pub fn check(world: &World, protocol: Protocol, rules: &Rules) -> Result<(), String> {
    let mut world = world.clone();
    for place in Place::BOTH {
        if world.store(place).is_foreign {
            let route = world.register.clone();
            world.guarded(place, &route, protocol);
        }
    }
    let mut aborted = world.clone();
    let mut end = carried_on(&mut world, protocol, rules)?;
    resumed(&mut world, protocol);
    if let Step::Wait(Waiting::WritesPaused | Waiting::Operator) = end {
        world.decide(&Decision::Resume, protocol);
        end = carried_on(&mut world, protocol, rules)?;
    }
    if !world.takes_writes() {
        return Err(format!("it ends with {end:?}, and no writer can write: {world:?}"));
    }
    match end {
        Step::Over | Step::Wait(Waiting::Retention) => {}
        // Somebody has to look, and is shown both ends. Only damaged data may come to this.
        Step::Stop(Contradiction::Diverged { .. } | Contradiction::CopyDamaged { .. })
            if rules.needs_read_back => {}
        // A cutover failed, twice; the writers go on, and an operator decides what becomes of it.
        Step::Wait(Waiting::Events) if is_following(&world) => {}
        Step::Wait(Waiting::Events) => finish(&mut world, protocol, rules)?,
        Step::Wait(Waiting::WritesPaused | Waiting::Operator)
        | Step::Stop(_)
        | Step::Decide(_)
        | Step::Perform(_) => return Err(format!("it ends with {end:?}: {world:?}")),
    }
    if aborted.decide(&Decision::Abort, protocol) {
        let end = carried_on(&mut aborted, protocol, rules)?;
        resumed(&mut aborted, protocol);
        if end != Step::Over || !aborted.takes_writes() {
            return Err(format!("after an abort it ends with {end:?}: {aborted:?}"));
        }
    }
    Ok(())
}

fn is_following(world: &World) -> bool {
    world.register.moving.as_ref().is_some_and(|moving| moving.stage == Stage::DualWrite)
}

/// An operator who is content makes an end of it.
fn finish(world: &mut World, protocol: Protocol, rules: &Rules) -> Result<(), String> {
    let purge_at = NOW;
    if !world.decide(&Decision::Finish { purge_at }, protocol) {
        return Err(format!("it waits for events, but cannot be finished: {world:?}"));
    }
    match carried_on(world, protocol, rules)? {
        Step::Over | Step::Wait(Waiting::Retention) if world.takes_writes() => Ok(()),
        end => Err(format!("finished, it ends with {end:?}: {world:?}")),
    }
}

/// The operator who has paused resumes.
fn resumed(world: &mut World, protocol: Protocol) {
    if let Ok(Some(phase @ Phase::Settled)) = decide(Wish::Resume, &world.register, NOW) {
        (world.register.phase, world.register.term) = (phase, world.register.term.next());
    }
    if let Some((place, request)) = world.settle(&world.register) {
        world.deliver(place, &request, protocol);
    }
}

/// Takes the steps that are left until there is none; the last answer.
pub fn carried_on(world: &mut World, protocol: Protocol, rules: &Rules) -> Result<Step, String> {
    carried_on_until(world, protocol, rules, |_| false)
}

/// The same, but not beyond a moment.
pub fn carried_on_until(
    world: &mut World,
    protocol: Protocol,
    rules: &Rules,
    is_there: impl Fn(&World) -> bool,
) -> Result<Step, String> {
    let mut rules = *rules;
    let mut given_up = 0;
    let mut read_back = Mark::START;
    let mut is_purged = false;
    for _ in 0..STEPS {
        let heads = [world.stores[0].head, world.stores[1].head];
        let owner = world.owner();
        let sight = Sight {
            owner: heads[owner as usize],
            peer: heads[owner.other() as usize],
            read_back,
            preflight_passed: true,
            is_purged,
        };
        let step = protocol.next(&world.register, &sight, &rules);
        if is_there(world) {
            return Ok(step);
        }
        match &step {
            Step::Decide(decision) => {
                given_up += u8::from(matches!(decision, Decision::GiveUp { .. }));
                rules.cut_over &= given_up < 2;
                if !world.decide(decision, protocol) {
                    return Err(format!("{decision:?} does not fit: {world:?}"));
                }
            }
            Step::Perform(Effect::ReadBack) => {
                let read = world.read_back(owner.other(), read_back, protocol);
                read_back = read.unwrap_or(read_back);
            }
            Step::Perform(effect) => {
                if let Some((place, request)) = world.request(&world.register, &heads, effect) {
                    let answer = world.deliver(place, &request, protocol);
                    is_purged = matches!(effect, Effect::Purge { .. }) && answer == Answer::Done;
                }
            }
            Step::Wait(_) | Step::Over | Step::Stop(_) => return Ok(step),
        }
    }
    Err(format!("it does not come to an end: {world:?}"))
}
