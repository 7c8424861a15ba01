//! Deleted and new steps that are probably one step, edited.

use std::collections::HashMap;

use crate::diff::Diff;
use crate::diff::document::{Suggestion, SuggestionReason};
use crate::plan::policy::AnchorKey;
use crate::scenario::graph::{Graph, Ix};

/// What each reason alone says: how likely the two are one step.
const CONFIDENCE: [(SuggestionReason, f64); 3] = [
    (SuggestionReason::SameId, 0.8),
    (SuggestionReason::SamePlace, 0.6),
    (SuggestionReason::SameName, 0.6),
];

/// Pairs deleted steps of V1 with new steps of V2, the likeliest first. Each step is in one suggestion at
/// most; nothing follows from it until an operator accepts it.
pub(super) fn suggestions(diff: &Diff) -> Vec<Suggestion> {
    let deleted: Vec<Ix> = diff.deleted.iter().map(|deleted| deleted.v1).collect();
    if deleted.is_empty() || diff.new.is_empty() {
        return Vec::new();
    }
    let mut reasons: HashMap<(Ix, Ix), Vec<SuggestionReason>> = HashMap::new();
    for v1 in &deleted {
        let same_id = diff.v2.index(&diff.v1.step(*v1).id);
        if let Some(v2) = same_id.filter(|v2| diff.at_v2[v2.at()].is_none()) {
            reasons.entry((*v1, v2)).or_default().push(SuggestionReason::SameId);
        }
    }
    let mut agree = |reason, pairs: Vec<(Ix, Ix)>| {
        for pair in pairs {
            reasons.entry(pair).or_default().push(reason);
        }
    };
    agree(
        SuggestionReason::SamePlace,
        unique_pairs(
            deleted.iter().map(|ix| (place(&diff.v1, *ix, &|step| diff.counterpart(step)), *ix)),
            diff.new
                .iter()
                .map(|ix| (place(&diff.v2, *ix, &|step| diff.at_v2[step.at()].map(|_| step)), *ix)),
        ),
    );
    agree(
        SuggestionReason::SameName,
        unique_pairs(
            deleted.iter().map(|ix| (Some(diff.v1.step(*ix).name.as_str()), *ix)),
            diff.new.iter().map(|ix| (Some(diff.v2.step(*ix).name.as_str()), *ix)),
        ),
    );
    choose(diff, reasons)
}

fn choose(diff: &Diff, reasons: HashMap<(Ix, Ix), Vec<SuggestionReason>>) -> Vec<Suggestion> {
    let mut likely: Vec<(f64, Ix, Ix, Vec<SuggestionReason>)> = reasons
        .into_iter()
        .map(|((v1, v2), reasons)| (confidence(&reasons), v1, v2, reasons))
        .collect();
    likely.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut taken_v1 = vec![false; diff.v1.len()];
    let mut taken_v2 = vec![false; diff.v2.len()];
    let mut chosen = Vec::new();
    for (confidence, v1, v2, reasons) in likely {
        if taken_v1[v1.at()] || taken_v2[v2.at()] {
            continue;
        }
        (taken_v1[v1.at()], taken_v2[v2.at()]) = (true, true);
        let (before, after) = (diff.v1.step(v1), diff.v2.step(v2));
        chosen.push(Suggestion {
            key: AnchorKey::for_mapping(&before.id),
            node_id_v1: before.id.clone(),
            node_name_v1: before.name.clone(),
            node_id_v2: after.id.clone(),
            node_name_v2: after.name.clone(),
            confidence,
            reasons,
        });
    }
    chosen
}

/// Independent reasons add up: each leaves its share of the doubt. Rounded to two digits.
fn confidence(reasons: &[SuggestionReason]) -> f64 {
    let doubt = CONFIDENCE
        .iter()
        .filter(|(reason, _)| reasons.contains(reason))
        .fold(1.0, |doubt, (_, confidence)| doubt * (1.0 - confidence));
    ((1.0 - doubt) * 100.0_f64).round() / 100.0
}

/// The anchors around a step, as steps of V2, and whether it is the entry; nothing if none are known on a
/// side that has neighbours.
type Place = (bool, Vec<Ix>, Vec<Ix>);

fn place(graph: &Graph, ix: Ix, anchor: &dyn Fn(Ix) -> Option<Ix>) -> Option<Place> {
    let side = |neighbours: &mut dyn Iterator<Item = Ix>| -> Option<Vec<Ix>> {
        let mut anchors: Vec<Ix> = neighbours.map(anchor).collect::<Option<_>>()?;
        anchors.sort_unstable();
        anchors.dedup();
        Some(anchors)
    };
    let before = side(&mut graph.predecessors(ix).iter().copied())?;
    let after = side(&mut graph.edges(ix).iter().map(|edge| edge.to))?;
    let is_entry = ix == graph.entry();
    (is_entry || !before.is_empty() || !after.is_empty()).then_some((is_entry, before, after))
}

/// Pairs what has the same key, where nothing else on either side has it.
fn unique_pairs<K: std::hash::Hash + Eq>(
    v1: impl Iterator<Item = (Option<K>, Ix)>,
    v2: impl Iterator<Item = (Option<K>, Ix)>,
) -> Vec<(Ix, Ix)> {
    let mut by_key: HashMap<K, (Vec<Ix>, Vec<Ix>)> = HashMap::new();
    for (key, ix) in v1 {
        if let Some(key) = key {
            by_key.entry(key).or_default().0.push(ix);
        }
    }
    for (key, ix) in v2 {
        if let Some(key) = key {
            by_key.entry(key).or_default().1.push(ix);
        }
    }
    by_key
        .into_values()
        .filter_map(|(v1, v2)| match (v1.as_slice(), v2.as_slice()) {
            ([v1], [v2]) => Some((*v1, *v2)),
            _ => None,
        })
        .collect()
}
