//! The picture as SVG: light and dark by the reader's preference, signs beside colours, a legend, and a
//! description that a screen reader can read.

use std::fmt::Write as _;

use super::layout::{Layout, NODE_HEIGHT, NODE_WIDTH, layout};
use super::{Fate, Line, Node, Picture, Spot};

const MARGIN: f64 = 32.0;
/// Room for the title and the legend above the graph.
const HEAD: f64 = 104.0;
/// The legend needs this much.
const MIN_WIDTH: f64 = 780.0;
/// How far beside the middle of a node lines upwards begin and end.
const BACK_OFFSET: f64 = 28.0;
const MAX_NAME: usize = 21;
const MAX_DETAIL: usize = 29;
const MAX_CONDITION: usize = 26;

/// Names and colours, light and dark. They are written out, since not every renderer knows variables.
const COLOURS: [(&str, &str, &str); 12] = [
    ("$paper", "#ffffff", "#0b1120"),
    ("$ink", "#0f172a", "#e2e8f0"),
    ("$soft", "#475569", "#94a3b8"),
    ("$card", "#f8fafc", "#172033"),
    ("$moved-card", "#eff6ff", "#13244a"),
    ("$inserted-card", "#f0fdf4", "#0f2a1d"),
    ("$deleted-card", "#fef2f2", "#331417"),
    ("$kept", "#94a3b8", "#64748b"),
    ("$moved", "#2563eb", "#60a5fa"),
    ("$changed", "#b45309", "#fbbf24"),
    ("$inserted", "#15803d", "#4ade80"),
    ("$deleted", "#b91c1c", "#f87171"),
];

const SHAPES: &str = "\
svg{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
.title{font-size:18px;font-weight:650}.note{font-size:12px}.name{font-size:14px;font-weight:600}\
.detail,.condition{font-size:11px}.card{stroke-width:1.25}.inner{fill:none;stroke-width:1}\
.deleted .card{stroke-dasharray:6 4}.deleted .name{text-decoration:line-through}\
.moved .card,.inserted .card{stroke-width:1.75}.sign{font-size:13px;font-weight:700;text-anchor:middle}\
.count{font-size:11px;font-weight:600;text-anchor:middle}.line{fill:none;stroke-width:1.5}\
.line.changed,.line.inserted{stroke-width:2}.line.deleted{stroke-dasharray:6 4}\
.condition{text-anchor:middle;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}";

const PAINT: &str = "\
.paper{fill:$paper}.title,.name{fill:$ink}.note,.detail{fill:$soft}.card{fill:$card;stroke:$kept}\
.inner{stroke:$kept}.moved .card{fill:$moved-card;stroke:$moved}\
.inserted .card{fill:$inserted-card;stroke:$inserted}.deleted .card{fill:$deleted-card;stroke:$deleted}\
.moved .inner{stroke:$moved}.inserted .inner{stroke:$inserted}.deleted .inner{stroke:$deleted}\
.moved .sign{fill:$moved}.inserted .sign{fill:$inserted}.deleted .sign{fill:$deleted}\
.fork{fill:$changed}.pill{fill:$ink}.count{fill:$paper}.line{stroke:$kept}.line.changed{stroke:$changed}\
.line.inserted{stroke:$inserted}.line.deleted{stroke:$deleted}.head{fill:$kept}\
.head.changed{fill:$changed}.head.inserted{fill:$inserted}.head.deleted{fill:$deleted}\
.condition{fill:$soft;stroke:$paper}.condition.changed{fill:$changed}\
.condition.inserted{fill:$inserted}.condition.deleted{fill:$deleted}";

/// The style sheet: light, and dark for readers who prefer it.
fn style() -> String {
    let (mut light, mut dark) = (PAINT.to_owned(), PAINT.to_owned());
    for (name, in_light, in_dark) in COLOURS {
        light = light.replace(name, in_light);
        dark = dark.replace(name, in_dark);
    }
    format!("{SHAPES}{light}@media(prefers-color-scheme:dark){{{dark}}}")
}

pub(super) fn draw(picture: &Picture) -> String {
    let placed = layout(picture);
    let width = (placed.width + 2.0 * MARGIN).max(MIN_WIDTH);
    let height = placed.height + HEAD + 2.0 * MARGIN;
    let left = (width - placed.width) / 2.0;
    let mut svg = Svg { text: String::new(), name: "", link: &|_| None };
    svg.add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"title description\">"
    ));
    svg.add(format_args!("<title id=\"title\">{}</title>", escaped(&picture.title)));
    svg.add(format_args!("<desc id=\"description\">{}</desc>", escaped(&description(picture))));
    svg.add(format_args!("<style>{}</style>", style()));
    svg.heads();
    svg.add(format_args!("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>"));
    svg.heading(picture);
    svg.add(format_args!("<g transform=\"translate({left:.1} {:.1})\">", HEAD + MARGIN));
    svg.graph(picture, &placed);
    svg.add(format_args!("</g>"));
    svg.add(format_args!("</svg>"));
    svg.text
}

/// The room around a picture in a page.
const INLINE_MARGIN: f64 = 24.0;

/// Draws the graph alone, in the colours of the page around it.
pub(super) fn inline(picture: &Picture, name: &str, link: Link<'_>) -> String {
    let placed = layout(picture);
    let width = placed.width + 2.0 * INLINE_MARGIN;
    // Loops stand out to the right.
    let width =
        if picture.lines.iter().any(|line| line.from == line.to) { width + 64.0 } else { width };
    let height = placed.height + 2.0 * INLINE_MARGIN;
    let mut svg = Svg { text: String::new(), name, link };
    svg.add(format_args!(
        "<svg class=\"graph\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} \
         {height:.0}\" role=\"group\" aria-labelledby=\"{name}title {name}description\">"
    ));
    svg.add(format_args!("<title id=\"{name}title\">{}</title>", escaped(&picture.title)));
    svg.add(format_args!(
        "<desc id=\"{name}description\">{}</desc>",
        escaped(&description(picture))
    ));
    svg.heads();
    svg.add(format_args!("<g transform=\"translate({INLINE_MARGIN} {INLINE_MARGIN})\">"));
    svg.graph(picture, &placed);
    svg.add(format_args!("</g></svg>"));
    svg.text
}

/// Where a node leads, if anywhere.
type Link<'a> = &'a dyn Fn(&Spot) -> Option<String>;

struct Svg<'a> {
    text: String,
    /// What ids begin with.
    name: &'a str,
    link: Link<'a>,
}

impl Svg<'_> {
    /// The heads of arrows.
    fn heads(&mut self) {
        let name = self.name;
        for fate in ["kept", "changed", "inserted", "deleted"] {
            self.add(format_args!(
                "<marker id=\"{name}to-{fate}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" \
                 markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
                 <path class=\"head {fate}\" d=\"M0 1L10 5L0 9Z\"/></marker>"
            ));
        }
    }

    fn graph(&mut self, picture: &Picture, placed: &Layout) {
        for nth in 0..picture.lines.len() {
            self.line(picture, placed, nth);
        }
        for (node, at) in picture.nodes.iter().zip(&placed.nodes) {
            self.node(node, *at, picture.is_comparison);
        }
        for nth in 0..picture.lines.len() {
            self.condition(picture, placed, nth);
        }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        self.text.write_fmt(element).expect("a string takes any text");
        self.text.push('\n');
    }

    fn heading(&mut self, picture: &Picture) {
        let x = MARGIN;
        self.add(format_args!(
            "<text class=\"title\" x=\"{x}\" y=\"38\">{}</text>",
            escaped(&shortened(&picture.title, 80))
        ));
        self.add(format_args!(
            "<text class=\"note\" x=\"{x}\" y=\"58\">{}</text>",
            escaped(&counts(picture))
        ));
        let fates = [Fate::Kept, Fate::Moved, Fate::Inserted, Fate::Deleted];
        let mut x = MARGIN;
        for fate in fates {
            self.add(format_args!(
                "<g class=\"{0}\" transform=\"translate({x:.0} 76)\"><rect class=\"card\" width=\"26\" \
                 height=\"16\" rx=\"4\"/><text class=\"sign\" x=\"13\" y=\"12.5\">{1}</text>\
                 <text class=\"note\" x=\"33\" y=\"12.5\">{0}</text></g>",
                fate.word(),
                fate.sign()
            ));
            x += 104.0;
        }
        self.add(format_args!(
            "<g transform=\"translate({x:.0} 76)\"><path class=\"fork\" d=\"M8 0L16 8L8 16L0 8Z\"/>\
             <text class=\"note\" x=\"23\" y=\"12.5\">new fork</text></g>"
        ));
        self.add(format_args!(
            "<g transform=\"translate({:.0} 76)\"><rect class=\"card\" width=\"26\" height=\"16\" rx=\"4\"/>\
             <rect class=\"inner\" x=\"3\" y=\"3\" width=\"20\" height=\"10\" rx=\"2\"/>\
             <text class=\"note\" x=\"33\" y=\"12.5\">checkpoint</text></g>",
            x + 92.0
        ));
        self.add(format_args!(
            "<g transform=\"translate({:.0} 76)\"><rect class=\"pill\" width=\"26\" height=\"16\" rx=\"8\"/>\
             <text class=\"count\" x=\"13\" y=\"12\">7</text>\
             <text class=\"note\" x=\"33\" y=\"12.5\">sessions here</text></g>",
            x + 204.0
        ));
    }

    fn node(&mut self, node: &Node, (x, y): (f64, f64), is_comparison: bool) {
        let (left, top) = (x - NODE_WIDTH / 2.0, y - NODE_HEIGHT / 2.0);
        let link = (self.link)(&node.spot);
        if let Some(link) = &link {
            self.add(format_args!("<a href=\"{}\">", escaped(link)));
        }
        self.add(format_args!(
            "<g class=\"{}\" transform=\"translate({left:.1} {top:.1})\"><title>{}</title>",
            node.fate.word(),
            escaped(&if is_comparison { told(node) } else { described(node) })
        ));
        self.add(format_args!(
            "<rect class=\"card\" width=\"{NODE_WIDTH}\" height=\"{NODE_HEIGHT}\" rx=\"10\"/>"
        ));
        if node.is_checkpoint {
            self.add(format_args!(
                "<rect class=\"inner\" x=\"4\" y=\"4\" width=\"{}\" height=\"{}\" rx=\"7\"/>",
                NODE_WIDTH - 8.0,
                NODE_HEIGHT - 8.0
            ));
        }
        let detail = detail(node);
        let name_y = if detail.is_empty() { NODE_HEIGHT / 2.0 + 5.0 } else { 26.0 };
        self.add(format_args!(
            "<text class=\"name\" x=\"14\" y=\"{name_y}\">{}</text>",
            escaped(&shortened(&node.name, MAX_NAME))
        ));
        if !detail.is_empty() {
            self.add(format_args!(
                "<text class=\"detail\" x=\"14\" y=\"43\">{}</text>",
                escaped(&shortened(&detail, MAX_DETAIL))
            ));
        }
        if node.fate != Fate::Kept {
            let sign = node.fate.sign();
            let x = NODE_WIDTH - 15.0;
            self.add(format_args!("<text class=\"sign\" x=\"{x}\" y=\"19\">{sign}</text>"));
        }
        if node.is_new_fork {
            self.add(format_args!(
                "<path class=\"fork\" transform=\"translate({} {NODE_HEIGHT})\" d=\"M0 -8L8 0L0 8L-8 0Z\"/>",
                NODE_WIDTH / 2.0
            ));
        }
        if node.sessions > 0 {
            let count = node.sessions.to_string();
            let width = 14.0 + 7.0 * f64::from(u8::try_from(count.len()).unwrap_or(u8::MAX));
            self.add(format_args!(
                "<g transform=\"translate({:.1} -9)\"><rect class=\"pill\" width=\"{width}\" height=\"18\" \
                 rx=\"9\"/><text class=\"count\" x=\"{:.1}\" y=\"13\">{count}</text></g>",
                12.0,
                width / 2.0
            ));
        }
        self.add(format_args!("</g>"));
        if link.is_some() {
            self.add(format_args!("</a>"));
        }
    }

    fn line(&mut self, picture: &Picture, placed: &Layout, nth: usize) {
        let line = &picture.lines[nth];
        let name = self.name;
        self.add(format_args!(
            "<path class=\"line {0}{1}\" marker-end=\"url(#{2}to-{0})\" d=\"{3}\"/>",
            line.fate.word(),
            if line.skipped > 0 { " skips" } else { "" },
            name,
            path(line, placed, nth)
        ));
    }

    fn condition(&mut self, picture: &Picture, placed: &Layout, nth: usize) {
        let line = &picture.lines[nth];
        if line.condition.is_empty() {
            return;
        }
        let points = points(line, placed, nth);
        // Near the source, where the branches of a fork stand apart from each other.
        let ((x1, y1), (x2, y2)) = (points[0], points[1]);
        let (x, y) = if line.from == line.to {
            (x1 + NODE_WIDTH / 2.0 + 34.0, y1)
        } else {
            (x1 + (x2 - x1) * 0.62, y1 + (y2 - y1) * 0.62 + 4.0)
        };
        self.add(format_args!(
            "<text class=\"condition {}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            line.fate.word(),
            escaped(&shortened(&line.condition, MAX_CONDITION))
        ));
    }
}

/// The points of a line, its ends on the borders of their nodes.
fn points(line: &Line, placed: &Layout, nth: usize) -> Vec<(f64, f64)> {
    let ((x1, y1), (x2, y2)) = (placed.nodes[line.from], placed.nodes[line.to]);
    let half = NODE_HEIGHT / 2.0;
    let (start, end) = if placed.is_back[nth] {
        // Beside the lines downwards, which may connect the same two nodes.
        ((x1 + BACK_OFFSET, y1 - half), (x2 + BACK_OFFSET, y2 + half))
    } else {
        ((x1, y1 + half), (x2, y2 - half))
    };
    let mut points = vec![start];
    points.extend(&placed.bends[nth]);
    points.push(end);
    points
}

/// Smooth from point to point, leaving and arriving vertically.
fn path(line: &Line, placed: &Layout, nth: usize) -> String {
    if line.from == line.to {
        let (x, y) = placed.nodes[line.from];
        let right = x + NODE_WIDTH / 2.0;
        return format!("M{right:.1} {:.1}c44 -18 44 42 0 24", y - 12.0);
    }
    let points = points(line, placed, nth);
    let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    for pair in points.windows(2) {
        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
        let middle = (y1 + y2) / 2.0;
        write!(path, "C{x1:.1} {middle:.1} {x2:.1} {middle:.1} {x2:.1} {y2:.1}")
            .expect("a string takes any text");
    }
    path
}

fn detail(node: &Node) -> String {
    let mut parts = Vec::new();
    if node.is_entry {
        parts.push("entry".to_owned());
    }
    if !node.collects.is_empty() {
        parts.push(format!("asks {}", node.collects.join(", ")));
    }
    if node.is_checkpoint {
        parts.push("irreversible".to_owned());
    }
    parts.join(" · ")
}

/// A node in words, and what becomes of it.
fn told(node: &Node) -> String {
    let fate = format!(" ({})", node.fate.word());
    in_words(node, &fate)
}

/// A node in words.
fn described(node: &Node) -> String {
    in_words(node, "")
}

fn in_words(node: &Node, fate: &str) -> String {
    let mut told = format!("{}{fate}", node.name);
    if !detail(node).is_empty() {
        write!(told, ", {}", detail(node)).expect("a string takes any text");
    }
    if node.is_new_fork {
        told.push_str(", new fork");
    }
    if node.sessions > 0 {
        write!(told, ", {} session(s) here", node.sessions).expect("a string takes any text");
    }
    told
}

fn counts(picture: &Picture) -> String {
    let with = |fate| picture.nodes.iter().filter(|node| node.fate == fate).count();
    let sessions: u64 = picture.nodes.iter().map(|node| node.sessions).sum();
    let forks = picture.nodes.iter().filter(|node| node.is_new_fork).count();
    format!(
        "{} kept, {} moved, {} inserted, {} deleted, {forks} new fork(s), {sessions} active session(s)",
        with(Fate::Kept),
        with(Fate::Moved),
        with(Fate::Inserted),
        with(Fate::Deleted),
    )
}

fn description(picture: &Picture) -> String {
    if !picture.is_comparison {
        let sessions: u64 = picture.nodes.iter().map(|node| node.sessions).sum();
        return format!("{} step(s), {sessions} active session(s)", picture.nodes.len());
    }
    let changed: Vec<String> = picture
        .nodes
        .iter()
        .filter(|node| node.fate != Fate::Kept || node.is_new_fork)
        .take(40)
        .map(told)
        .collect();
    format!("{}. {}", counts(picture), changed.join("; "))
}

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit - 1).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Text for XML, which allows no control characters at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            // Overrides of the writing direction would reorder everything after them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
