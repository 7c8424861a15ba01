//! A number for each step, such that steps that mean the same have the same number in both versions.
//!
//! ```text
//!            0 ……………… singles │ duplicates, by meaning │ only in this version
//! V1 columns [ same in V1 and V2 │ …                      │ …                   ]
//! V2 columns [ same in V1 and V2 │ …                      │ …                   ]
//! ```
//!
//! Inside each part, steps of the kinds that change sets list come first, each kind in the order of
//! [`Order::listing`]: so what lies before an anchor is a few ranges of columns, and a plan stays small.
//!
//! With it "steps here that nothing on the same side there means" is word by word `here & !there` for
//! the singles, one test for each meaning that stands several times, and simply `here` for the rest.

use std::ops::Range;

use crate::diff::order::Order;
use crate::diff::{Diff, bits, changes};
use crate::scenario::graph::Ix;

/// The columns of both versions.
pub(super) struct Columns {
    /// By step of V1: its column.
    pub v1: Vec<usize>,
    /// By step of V2: its column.
    pub v2: Vec<usize>,
    /// By column: the step of V1.
    pub steps_v1: Vec<Ix>,
    /// By column: the step of V2.
    pub steps_v2: Vec<Ix>,
    /// How many meanings stand exactly once in each version; their columns come first.
    pub singles: usize,
    /// For each meaning that stands several times: its columns in V1 and in V2.
    pub duplicates: Vec<(Range<usize>, Range<usize>)>,
}

/// Where a meaning stands.
#[derive(Default, Clone)]
struct Standing {
    v1: Vec<Ix>,
    v2: Vec<Ix>,
}

impl Columns {
    /// Numbers the steps, close ones next to each other.
    pub fn of(diff: &Diff, order_v1: &Order, order_v2: &Order) -> Self {
        let mut standing = vec![Standing::default(); diff.meanings];
        for ix in &order_v1.listing {
            standing[diff.meaning_v1[ix.at()] as usize].v1.push(*ix);
        }
        for ix in &order_v2.listing {
            standing[diff.meaning_v2[ix.at()] as usize].v2.push(*ix);
        }
        let meaning = |ix: &Ix, of: &[u32]| of[ix.at()] as usize;
        let mut steps_v1 = Vec::with_capacity(order_v1.listing.len());
        let mut steps_v2 = Vec::with_capacity(order_v2.listing.len());
        let mut duplicated = Vec::new();
        for ix in &order_v2.listing {
            let nth = meaning(ix, &diff.meaning_v2);
            match standing[nth] {
                Standing { ref v1, ref v2 } if v1.len() == 1 && v2.len() == 1 => {
                    steps_v1.push(v1[0]);
                    steps_v2.push(*ix);
                }
                Standing { ref v1, ref v2 } if !v1.is_empty() && v2[0] == *ix => {
                    duplicated.push(nth)
                }
                Standing { .. } => {}
            }
        }
        let singles = steps_v2.len();
        let mut pairs: Vec<(Ix, Ix)> = steps_v1.into_iter().zip(steps_v2).collect();
        // Gained a branch, other changed transitions, neither.
        pairs.sort_by_cached_key(|(_, v2)| {
            std::cmp::Reverse((
                changes::gained_branch(diff, *v2),
                changes::rules_changed(diff, *v2),
            ))
        });
        let (mut steps_v1, mut steps_v2): (Vec<Ix>, Vec<Ix>) = pairs.into_iter().unzip();
        let mut duplicates = Vec::with_capacity(duplicated.len());
        for nth in duplicated {
            let from = (steps_v1.len(), steps_v2.len());
            steps_v1.extend_from_slice(&standing[nth].v1);
            steps_v2.extend_from_slice(&standing[nth].v2);
            duplicates.push((from.0..steps_v1.len(), from.1..steps_v2.len()));
        }
        let only_v1 = |ix: &&Ix| standing[meaning(ix, &diff.meaning_v1)].v2.is_empty();
        let only_v2 = |ix: &&Ix| standing[meaning(ix, &diff.meaning_v2)].v1.is_empty();
        steps_v1.extend(order_v1.listing.iter().filter(only_v1));
        let mut new: Vec<Ix> = order_v2.listing.iter().filter(only_v2).copied().collect();
        new.sort_by_cached_key(|ix| std::cmp::Reverse(changes::branches(&diff.v2, *ix) > 1));
        steps_v2.extend(new);
        Self {
            v1: columns(&steps_v1),
            v2: columns(&steps_v2),
            steps_v1,
            steps_v2,
            singles,
            duplicates,
        }
    }

    /// Writes what is in `here` (a row of V2) and means nothing in `there` (a row of V1) to `only`.
    pub fn only_in_v2(&self, here: &[u64], there: &[u64], only: &mut [u64]) {
        self.without_singles(here, there, only);
        for (v1, v2) in &self.duplicates {
            if bits::any(there, v1.clone()) {
                bits::clear(only, v2.clone());
            }
        }
    }

    /// Writes what is in `here` (a row of V1) and means nothing in `there` (a row of V2) to `only`.
    pub fn only_in_v1(&self, here: &[u64], there: &[u64], only: &mut [u64]) {
        self.without_singles(here, there, only);
        for (v1, v2) in &self.duplicates {
            if bits::any(there, v2.clone()) {
                bits::clear(only, v1.clone());
            }
        }
    }

    fn without_singles(&self, here: &[u64], there: &[u64], only: &mut [u64]) {
        only.copy_from_slice(here);
        for (nth, only) in only.iter_mut().enumerate() {
            let mask = bits::below(self.singles, nth);
            if mask == 0 {
                break;
            }
            *only &= !(there[nth] & mask);
        }
    }
}

fn columns(steps: &[Ix]) -> Vec<usize> {
    let mut columns = vec![0; steps.len()];
    for (column, ix) in steps.iter().enumerate() {
        columns[ix.at()] = column;
    }
    columns
}
