//! The picture for Graphviz.

use std::fmt::Write as _;

use super::{Fate, Picture};

pub(super) fn write(picture: &Picture) -> String {
    let mut dot = String::from("digraph segue {\n");
    let mut line = |text: String| {
        dot.push_str(&text);
        dot.push('\n');
    };
    line(format!("  label={}; labelloc=t; fontname=\"sans-serif\";", quoted(&picture.title)));
    line("  node [shape=box, style=rounded, fontname=\"sans-serif\"];".to_owned());
    line("  edge [fontname=\"sans-serif\", fontsize=10];".to_owned());
    for (nth, node) in picture.nodes.iter().enumerate() {
        let mut label = format!("{} {}", node.fate.sign(), node.name).trim().to_owned();
        if node.sessions > 0 {
            write!(label, "\n{} session(s)", node.sessions).expect("a string takes any text");
        }
        let shape = if node.is_new_fork { "diamond" } else { "box" };
        let borders = if node.is_checkpoint { 2 } else { 1 };
        line(format!(
            "  n{nth} [label={}, shape={shape}, peripheries={borders}, {}];",
            quoted(&label),
            look(node.fate)
        ));
    }
    for drawn in &picture.lines {
        line(format!(
            "  n{} -> n{} [label={}, {}];",
            drawn.from,
            drawn.to,
            quoted(&drawn.condition),
            look(drawn.fate)
        ));
    }
    dot.push_str("}\n");
    dot
}

fn look(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "color=\"#64748b\"",
        Fate::Moved => "color=\"#2563eb\", penwidth=2",
        Fate::Changed => "color=\"#b45309\", penwidth=2",
        Fate::Inserted => "color=\"#15803d\", penwidth=2",
        Fate::Deleted => "color=\"#b91c1c\", style=dashed",
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
