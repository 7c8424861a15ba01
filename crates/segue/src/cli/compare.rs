//! `segue plan diff`: two versions compared, without a server.

use std::sync::Arc;

use clap::Args;
use segue_core::diff::Diff;
use segue_core::diff::document::{AnchorTransformation, TransformationMap};
use segue_core::diff::map::Map;
use segue_core::diff::picture;
use segue_core::ids::{ScenarioId, Version};
use segue_core::plan::summary::SessionCounts;
use segue_core::scenario::graph::Graph;

use super::Output;
use super::failure::Failure;
use super::input::{self, File};
use super::screen::Screen;
use crate::error::Error;
use crate::http::error::Refusal;
use crate::http::scenarios::NewScenario;

/// `segue plan diff`
#[derive(Debug, Args)]
pub struct Compare {
    /// The old version as JSON
    v1: File,
    /// The new version as JSON
    v2: File,
    #[command(flatten)]
    drawing: Drawing,
    #[command(flatten)]
    output: Output,
}

/// How two versions are drawn, if they are.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Drawing {
    /// Draw both versions in one picture, as SVG
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// Draw both versions in one picture, for Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
}

impl Drawing {
    /// The picture, if one was asked for.
    pub fn of(&self, diff: &Diff, sessions: &SessionCounts) -> Option<String> {
        match (self.svg, self.dot) {
            (true, _) => Some(picture::svg(diff, sessions)),
            (false, true) => Some(picture::dot(diff, sessions)),
            (false, false) => None,
        }
    }

    /// Whether one was asked for.
    pub fn is_wanted(&self) -> bool {
        self.svg || self.dot
    }
}

impl Compare {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let v1 = graph(input::document(&self.v1)?, Version(1))?;
        let v2 = graph(input::document(&self.v2)?, v1.scenario().version.next())?;
        let diff = Diff::between(v1, v2, &[]);
        let screen = self.output.screen();
        if let Some(picture) = self.drawing.of(&diff, &SessionCounts::default()) {
            screen.line(picture.trim_end());
            return Ok(());
        }
        // A file is read by whoever asked for it: nothing is left out.
        let map = Map::of(&diff).document(usize::MAX);
        let value = serde_json::to_value(&map).expect("plain data serialises");
        if !screen.prints_json(&value) {
            print(&screen, &map);
        }
        Ok(())
    }
}

/// Checks a version and compiles it.
pub fn graph(document: NewScenario, version: Version) -> Result<Arc<Graph>, Failure> {
    let id = document.id.unwrap_or(ScenarioId(uuid::Uuid::nil()));
    let checked = document
        .into_scenario(id, version)
        .and_then(|scenario| {
            let invalid = |problems| Error::Invalid { what: "scenario", problems };
            Graph::new(scenario).map_err(invalid)
        })
        .map_err(Refusal::from)?;
    Ok(Arc::new(checked))
}

fn print(screen: &Screen, map: &TransformationMap) {
    let row = |anchor: &AnchorTransformation| {
        let names = anchor.upstream_changes.inserted_nodes.iter();
        let names = names.map(|node| node.node_name.clone()).collect::<Vec<_>>().join(", ");
        vec![
            anchor.anchor_name.clone(),
            screen.word(scenario_word(anchor)),
            names,
            anchor.upstream_changes.new_forks.len().to_string(),
            anchor.downstream_changes.inserted_nodes.len().to_string(),
            anchor.anchor_key.to_string(),
        ]
    };
    let header = ["ANCHOR", "MIGRATION", "NEW BEFORE IT", "FORKS", "NEW AFTER IT", "KEY"];
    screen.table(&header, map.anchors.iter().map(row).collect());
    for deleted in &map.deleted_nodes {
        let place = deleted.nearest_anchor_id_v2.as_ref().map_or_else(
            || "sessions there have no place to go to".to_owned(),
            |step| format!("sessions there go on at {step}"),
        );
        screen.line(format!("deleted: {} ({place})", screen.bold(&deleted.node_name)));
    }
    for suggestion in &map.suggestions {
        screen.line(format!(
            "perhaps {} became {} (confidence {:.2}); accept it as policy {}",
            suggestion.node_name_v1,
            screen.bold(&suggestion.node_name_v2),
            suggestion.confidence,
            suggestion.key,
        ));
    }
}

fn scenario_word(anchor: &AnchorTransformation) -> &'static str {
    use segue_core::plan::policy::MigrationScenario;
    match anchor.migration_scenario {
        MigrationScenario::CleanGraft => "clean_graft",
        MigrationScenario::GapFill => "gap_fill",
        MigrationScenario::ReRoute => "re_route",
    }
}
