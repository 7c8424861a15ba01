//! Which steps mean the same.
//!
//! Most content hashes stand once in each version, and pairing them is a look-up. Where several steps
//! share one, they are paired by equal id first, then by what surrounds them, the widest surroundings
//! first, and what is left by position.

use std::collections::HashMap;

use crate::diff::Anchor;
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::hash::ContentHash;

/// How many steps around a duplicate are compared at most.
const RADIUS: usize = 8;

/// What pairing found.
pub(super) struct Pairs {
    /// Steps of V1 and V2 that mean the same; each step at most once.
    pub found: Vec<(Ix, Ix)>,
    /// Hashes of which some pair was told from others by position only, in V1's order.
    pub ambiguous: Vec<ContentHash>,
}

/// The steps of both versions that share a hash.
#[derive(Default)]
struct Class {
    v1: Vec<Ix>,
    v2: Vec<Ix>,
}

/// Pairs the steps of two versions by what they mean.
pub(super) fn pair(v1: &Graph, v2: &Graph) -> Pairs {
    let mut classes: HashMap<ContentHash, Class> = HashMap::with_capacity(v1.len());
    for ix in v1.indices() {
        classes.entry(v1.hash(ix)).or_default().v1.push(ix);
    }
    for ix in v2.indices() {
        if let Some(class) = classes.get_mut(&v2.hash(ix)) {
            class.v2.push(ix);
        }
    }
    let mut found = Vec::with_capacity(classes.len());
    let mut undecided = Vec::new();
    for (hash, mut class) in classes {
        if class.v1.len() > 1 || class.v2.len() > 1 {
            pair_where(&mut class, &mut found, |from, to| v1.step(from).id == v2.step(to).id);
        }
        match (class.v1.as_slice(), class.v2.as_slice()) {
            ([], _) | (_, []) => {}
            ([from], [to]) => found.push((*from, *to)),
            _ => undecided.push((hash, class)),
        }
    }
    let ambiguous = pair_by_surroundings(v1, v2, undecided, &mut found);
    Pairs { found, ambiguous }
}

fn pair_by_surroundings(
    v1: &Graph,
    v2: &Graph,
    mut undecided: Vec<(ContentHash, Class)>,
    found: &mut Vec<(Ix, Ix)>,
) -> Vec<ContentHash> {
    if undecided.is_empty() {
        return Vec::new();
    }
    undecided.sort_by_key(|(_, class)| class.v1[0]);
    let (around_v1, around_v2) = (surroundings(v1), surroundings(v2));
    let mut ambiguous = Vec::new();
    for (hash, class) in &mut undecided {
        for radius in (1..=RADIUS).rev() {
            let (a, b) = (&around_v1[radius], &around_v2[radius]);
            if is_tied(class, a, b) && !ambiguous.contains(hash) {
                ambiguous.push(*hash);
            }
            pair_where(class, found, |from, to| a[from.at()] == b[to.at()]);
        }
        if class.v1.len() + class.v2.len() > 2 && !class.v1.is_empty() && !class.v2.is_empty() {
            ambiguous.push(*hash);
        }
        pair_where(class, found, |_, _| true);
    }
    ambiguous.dedup();
    ambiguous
}

/// Whether several steps of one version look the same and there are fewer or more of them in the other,
/// so that it matters which are paired.
fn is_tied(class: &Class, around_v1: &[u64], around_v2: &[u64]) -> bool {
    let mut counts: HashMap<u64, (usize, usize)> = HashMap::new();
    for ix in &class.v1 {
        counts.entry(around_v1[ix.at()]).or_default().0 += 1;
    }
    for ix in &class.v2 {
        counts.entry(around_v2[ix.at()]).or_default().1 += 1;
    }
    counts.values().any(|(a, b)| *a > 0 && *b > 0 && a + b > 2)
}

/// Moves pairs for which `same` holds from the class to `found`, in order; `same` is an equivalence.
fn pair_where(class: &mut Class, found: &mut Vec<(Ix, Ix)>, same: impl Fn(Ix, Ix) -> bool) {
    let Class { v1, v2 } = class;
    v1.retain(|from| match v2.iter().position(|to| same(*from, *to)) {
        Some(nth) => {
            found.push((*from, v2.remove(nth)));
            false
        }
        None => true,
    });
}

/// By radius and step: a fingerprint of everything within that many transitions, forwards and backwards.
fn surroundings(graph: &Graph) -> Vec<Vec<u64>> {
    let conditions: Vec<Vec<u64>> = graph
        .indices()
        .map(|ix| {
            graph
                .edges(ix)
                .iter()
                .map(|edge| mix(text(edge.condition_text()), edge.priority.cast_unsigned()))
                .collect()
        })
        .collect();
    let first =
        graph.indices().map(|ix| mix(graph.hash(ix).0, u64::from(ix == graph.entry()))).collect();
    let mut rings: Vec<Vec<u64>> = vec![first];
    for radius in 1..=RADIUS {
        let inner = &rings[radius - 1];
        let ring = graph
            .indices()
            .map(|ix| {
                // Sums do not depend on the order of neighbours.
                let after = graph
                    .edges(ix)
                    .iter()
                    .zip(&conditions[ix.at()])
                    .fold(0u64, |sum, (edge, when)| {
                        sum.wrapping_add(mix(inner[edge.to.at()], *when))
                    });
                let before = graph
                    .predecessors(ix)
                    .iter()
                    .fold(0u64, |sum, from| sum.wrapping_add(mix(inner[from.at()], 0)));
                mix(mix(inner[ix.at()], after), before)
            })
            .collect();
        rings.push(ring);
    }
    rings
}

/// Mixes two numbers into one (the finaliser of splitmix64).
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.rotate_left(25) ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// By step of each version, a number for what it means: equal content, or mapped by the operator.
pub(super) struct Meanings {
    pub v1: Vec<u32>,
    pub v2: Vec<u32>,
    pub count: usize,
}

/// Numbers what the steps of both versions mean.
pub(super) fn meanings(v1: &Graph, v2: &Graph, anchors: &[Anchor]) -> Meanings {
    let mut numbers: HashMap<ContentHash, u32> = HashMap::with_capacity(v1.len());
    let mut number = |hash: ContentHash| {
        let next = u32::try_from(numbers.len()).expect("both versions have at most 20,000 steps");
        *numbers.entry(hash).or_insert(next)
    };
    let in_v2: Vec<u32> = v2.indices().map(|ix| number(v2.hash(ix))).collect();
    let mut in_v1: Vec<u32> = v1.indices().map(|ix| number(v1.hash(ix))).collect();
    for anchor in anchors {
        in_v1[anchor.v1.at()] = in_v2[anchor.v2.at()];
    }
    Meanings { v1: in_v1, v2: in_v2, count: numbers.len() }
}
