//! What goes wrong next, for any kind of calls.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Fault, Weather};
use crate::dice::Dice;

/// The faults of one wrapper, whose calls are told apart by `Operation`.
#[derive(Debug)]
pub(super) struct Faults<Operation> {
    state: Mutex<State<Operation>>,
    released: Notify,
}

#[derive(Debug)]
struct State<Operation> {
    calls: HashMap<Operation, u64>,
    injected: HashMap<(Operation, u64), Fault>,
    weather: Option<(Weather, Dice)>,
    is_crashed: bool,
    is_held: bool,
}

impl<Operation> Default for Faults<Operation> {
    fn default() -> Self {
        let state = State {
            calls: HashMap::new(),
            injected: HashMap::new(),
            weather: None,
            is_crashed: false,
            is_held: false,
        };
        Self { state: Mutex::new(state), released: Notify::new() }
    }
}

impl<Operation: Copy + Eq + Hash> Faults<Operation> {
    pub(super) fn inject(&self, operation: Operation, nth: u64, fault: Fault) {
        self.state().injected.insert((operation, nth), fault);
    }

    pub(super) fn inject_next(&self, operation: Operation, fault: Fault) {
        let nth = self.calls(operation) + 1;
        self.inject(operation, nth, fault);
    }

    pub(super) fn set_weather(&self, weather: Option<Weather>) {
        self.state().weather = weather.map(|weather| (weather, Dice(weather.seed)));
    }

    pub(super) fn calls(&self, operation: Operation) -> u64 {
        self.state().calls.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn crash(&self) {
        self.state().is_crashed = true;
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.state().is_crashed
    }

    pub(super) fn restart(&self) {
        self.state().is_crashed = false;
    }

    pub(super) fn mend(&self) {
        {
            let mut state = self.state();
            (state.weather, state.is_crashed) = (None, false);
            state.injected.clear();
        }
        self.release();
    }

    pub(super) fn hold(&self) {
        self.state().is_held = true;
    }

    pub(super) fn release(&self) {
        self.state().is_held = false;
        self.released.notify_waiters();
    }

    /// Lets a call do its work, with whatever fault it meets; `failed` makes the error of a call that fails.
    pub(super) async fn meet<T, Error>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, Error>>,
        failed: impl Fn() -> Error,
    ) -> Result<T, Error> {
        self.pass().await;
        let fault = self.state().next(operation);
        match fault {
            None => work.await,
            Some(Fault::Before | Fault::CrashBefore) => Err(failed()),
            Some(Fault::After | Fault::CrashAfter) => work.await.and_then(|_| Err(failed())),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                // Whoever is frozen meanwhile does not wake for it.
                self.pass().await;
                work.await
            }
        }
    }

    /// Waits while calls are held.
    async fn pass(&self) {
        loop {
            let mut released = pin!(self.released.notified());
            released.as_mut().enable();
            if !self.state().is_held {
                return;
            }
            released.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<Operation>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Operation: Copy + Eq + Hash> State<Operation> {
    /// The fault that this call meets.
    fn next(&mut self, operation: Operation) -> Option<Fault> {
        let calls = self.calls.entry(operation).or_default();
        *calls += 1;
        let injected = self.injected.remove(&(operation, *calls));
        if self.is_crashed {
            return Some(Fault::Before);
        }
        let fault = injected
            .or_else(|| self.weather.as_mut().and_then(|(weather, dice)| weather.roll(dice)));
        self.is_crashed = matches!(fault, Some(Fault::CrashBefore | Fault::CrashAfter));
        fault
    }
}
