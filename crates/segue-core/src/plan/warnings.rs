//! What an operator should look at before approving.

use std::collections::BTreeSet;

use crate::diff::map::MappedAnchor;
use crate::plan::policy::MigrationScenario;
use crate::plan::summary::{Basis, Judge, MigrationWarning, Needed, Severity};
use crate::scenario::graph::{Graph, Ix};
use crate::scenario::validate;

/// Warnings of one kind that a summary lists; how many more there are is said.
const MAX_OF_A_KIND: usize = 100;
/// Distinct conditions that are parsed for the summary; parsing is slow.
const MAX_PARSED: usize = 200;

/// Everything worth a look, the gravest first.
pub(super) fn warnings(basis: Basis<'_>, fields: &[Needed]) -> Vec<MigrationWarning> {
    let mut all = Vec::new();
    let kinds = [
        ("deleted steps with sessions", deleted_steps(basis)),
        ("checkpoints that may block a redirection", checkpoints(basis)),
        ("duplicates", duplicates(basis)),
        ("steps that lead elsewhere", rewired(basis)),
        ("conditions that nobody can evaluate", unjudged(basis)),
        ("notes on the new version", new_version(basis)),
        ("fields", may_be_asked(fields)),
    ];
    for (what, mut kind) in kinds {
        let rest = kind.len().saturating_sub(MAX_OF_A_KIND);
        if rest > 0 {
            let severity = kind[MAX_OF_A_KIND].severity;
            let affected = kind[MAX_OF_A_KIND..].iter().map(|w| w.affected_sessions_estimate).sum();
            kind.truncate(MAX_OF_A_KIND);
            kind.push(general(severity, format!("… and {rest} more {what}"), affected));
        }
        all.append(&mut kind);
    }
    all.sort_by_key(|warning| std::cmp::Reverse(warning.severity));
    all
}

fn general(severity: Severity, message: String, sessions: u64) -> MigrationWarning {
    MigrationWarning {
        severity,
        anchor_name: None,
        anchor_key: None,
        message,
        affected_sessions_estimate: sessions,
    }
}

fn may_be_asked(fields: &[Needed]) -> Vec<MigrationWarning> {
    let warning = |needed: &Needed| {
        let names = &needed.field.affected_anchors;
        let is_single = needed.only_anchor.is_some();
        MigrationWarning {
            severity: Severity::Info,
            anchor_name: Some(if is_single { names[0].clone() } else { "Multiple".to_owned() }),
            anchor_key: needed.only_anchor.clone(),
            message: format!(
                "Customers may be asked for '{}' if not in profile",
                needed.field.field_name
            ),
            affected_sessions_estimate: needed.sessions,
        }
    };
    fields.iter().map(warning).collect()
}

/// For each anchor whose customers may be redirected: the checkpoints on the way there. Whoever passed one
/// cannot be taken to where it would be undone.
fn checkpoints(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, map, sessions, .. } = basis;
    let standing: Vec<Ix> =
        diff.v1().indices().filter(|ix| diff.v1().step(*ix).is_checkpoint).collect();
    let reached: Vec<_> = standing.iter().map(|ix| diff.v1().reachable_from(*ix)).collect();
    let mut found = Vec::new();
    for (anchor, ixs) in map.anchors().iter().zip(diff.anchors()) {
        if anchor.migration_scenario != MigrationScenario::ReRoute {
            continue;
        }
        for node in map.inserted_upstream(anchor).filter(|node| node.is_checkpoint) {
            found.push(blocks(anchor, &node.node_name, 0));
        }
        for (checkpoint, reached) in standing.iter().zip(&reached) {
            if reached.contains(ixs.v1.at()) {
                let step = diff.v1().step(*checkpoint);
                let passed = sessions.passed_at(&step.id, &anchor.v1);
                found.push(blocks(anchor, &step.name, passed));
            }
        }
    }
    found.sort_by_key(|warning| std::cmp::Reverse(warning.affected_sessions_estimate));
    found
}

fn blocks(anchor: &MappedAnchor, checkpoint: &str, passed: u64) -> MigrationWarning {
    MigrationWarning {
        severity: Severity::Warning,
        anchor_name: Some(anchor.name.clone()),
        anchor_key: Some(anchor.key.clone()),
        message: format!(
            "Re-route anchor has upstream checkpoint '{checkpoint}'. Customers who passed checkpoints may \
             be blocked."
        ),
        affected_sessions_estimate: passed,
    }
}

fn deleted_steps(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, sessions, .. } = basis;
    let warning = |deleted: &crate::diff::Deleted| {
        let step = diff.v1().step(deleted.v1);
        let here = sessions.at(&step.id);
        if here == 0 {
            return None;
        }
        let nearest = deleted.nearest.map(|nth| &diff.anchors()[nth]);
        Some(MigrationWarning {
            severity: if nearest.is_some() { Severity::Warning } else { Severity::Critical },
            anchor_name: nearest.map(|anchor| anchor.name.clone()),
            anchor_key: nearest.map(|anchor| anchor.key.clone()),
            message: match nearest {
                Some(anchor) => format!(
                    "{here} session(s) stand at deleted step '{}' and will go on at '{}'",
                    step.name, anchor.name
                ),
                None => format!(
                    "{here} session(s) stand at deleted step '{}' and have nowhere to go on; map the \
                     step to one of the new version, or they will be let go",
                    step.name
                ),
            },
            affected_sessions_estimate: here,
        })
    };
    let mut found: Vec<_> = diff.deleted().iter().filter_map(warning).collect();
    found.sort_by_key(|w| std::cmp::Reverse((w.severity, w.affected_sessions_estimate)));
    found
}

fn duplicates(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, sessions, .. } = basis;
    let warning = |hash: &crate::scenario::hash::ContentHash| {
        let same: Vec<_> = diff.v1().indices().filter(|ix| diff.v1().hash(*ix) == *hash).collect();
        let name = &diff.v1().step(same[0]).name;
        general(
            Severity::Warning,
            format!(
                "Several steps mean the same as '{name}', and only their position tells which of them \
                 belong together; check their anchors"
            ),
            same.iter().map(|ix| sessions.at(&diff.v1().step(*ix).id)).sum(),
        )
    };
    diff.ambiguous().iter().map(warning).collect()
}

/// Forks that exist in both versions and lead elsewhere without having gained a branch: nobody is
/// redirected because of them at most anchors, but a customer's own past may lead another way.
fn rewired(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, .. } = basis;
    let warning = |anchor: &crate::diff::Anchor| {
        if !diff.retargeted(anchor.v2) {
            return None;
        }
        Some(MigrationWarning {
            severity: Severity::Info,
            anchor_name: Some(anchor.name.clone()),
            anchor_key: Some(anchor.key.clone()),
            message: format!(
                "'{}' leads elsewhere than before; customers who come past it may go another way",
                anchor.name
            ),
            affected_sessions_estimate: 0,
        })
    };
    diff.anchors().iter().filter_map(warning).collect()
}

/// New conditions in natural language that no judge answers.
fn unjudged(basis: Basis<'_>) -> Vec<MigrationWarning> {
    let Basis { diff, definitions, judge, .. } = basis;
    if judge == Judge::Configured {
        return Vec::new();
    }
    let v2: &Graph = diff.v2();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for ix in v2.indices().filter(|ix| diff.rules_changed(*ix)) {
        for edge in v2.edges(ix) {
            let Some(condition) = &edge.condition else { continue };
            if seen.len() == MAX_PARSED || !seen.insert(condition.text()) {
                continue;
            }
            let is_defined = |name: &str| definitions.contains_key(name);
            if let Some(reason) = condition.natural_language(is_defined) {
                found.push(general(
                    Severity::Warning,
                    format!(
                        "Nobody can evaluate the condition '{}' at '{}' ({reason}); write it as an \
                         expression or configure a judge",
                        condition.text(),
                        v2.step(ix).name
                    ),
                    0,
                ));
            }
        }
    }
    if seen.len() == MAX_PARSED {
        found.push(general(
            Severity::Info,
            format!(
                "only the first {MAX_PARSED} new conditions were checked for being expressions"
            ),
            0,
        ));
    }
    found
}

fn new_version(basis: Basis<'_>) -> Vec<MigrationWarning> {
    validate::warnings(basis.diff.v2())
        .into_iter()
        .map(|problem| {
            let severity = match problem.code.as_str() {
                "unreachable_step" | "no_way_out" => Severity::Warning,
                _ => Severity::Info,
            };
            general(severity, format!("New version: {}", problem.message), 0)
        })
        .collect()
}
