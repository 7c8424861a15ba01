//! What the seed decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use segue_store::dice::Dice;
use uuid::Uuid;

/// Dice of one actor. What one throws does not shift what another one does.
#[derive(Debug, Clone)]
pub struct Chance(Arc<Mutex<Dice>>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Dice(seed))))
    }

    /// Dice for somebody else.
    pub fn fork(&self) -> Self {
        Self::new(self.seed())
    }

    pub fn seed(&self) -> u64 {
        self.below(u64::MAX)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.0.lock().unwrap().below(bound)
    }

    /// From one number to another, both included.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Whether one of so many throws came up.
    pub fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }

    pub fn pick<T: Clone>(&self, from: &[T]) -> T {
        from[self.index(from.len())].clone()
    }

    pub fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// A time between two, in milliseconds.
    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.within(from, to))
    }

    pub async fn rest(&self, from: u64, to: u64) {
        tokio::time::sleep(self.millis(from, to)).await;
    }

    pub fn id(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.seed()) << 64 | u128::from(self.seed()))
    }
}
