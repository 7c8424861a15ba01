//! Small charts as SVG, drawn by the server without a script or a style of their own: a line over time, and
//! bars side by side.

use std::fmt::Write;

use maud::{Markup, html};

/// How wide and how high a chart is drawn; it is stretched to its place.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 96.0;

/// What is left free above and below the line.
const MARGIN: f64 = 6.0;

/// How many bars are drawn, the last ones.
const BARS: usize = 12;

/// What a chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What the values are.
    pub title: &'static str,
    /// The newest value, for people.
    pub now: String,
    /// A few words about what is drawn, or instead of it.
    pub note: String,
    /// What is drawn.
    pub drawn: Drawn,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawn {
    /// A value over time.
    Line {
        /// Each value at its second, the oldest first.
        points: Vec<(f64, f64)>,
        /// A line across, such as a threshold, with its name.
        mark: Option<(f64, String)>,
    },
    /// Values side by side, the oldest first; those that came to nothing look otherwise.
    Bars(Vec<Bar>),
}

/// A value among others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// How high it is.
    pub value: f64,
    /// Whether what it is about succeeded.
    pub is_good: bool,
}

impl Chart {
    /// Draws it.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let told = format!("{}: {}. {}", self.title, self.now, self.note);
        html! {
            figure.spark {
                figcaption { span.quiet { (self.title) } strong { (self.now) } }
                @match &self.drawn {
                    Drawn::Line { points, mark } => (line(&told, points, mark.as_ref())),
                    Drawn::Bars(bars) => (side_by_side(&told, bars)),
                }
                p.note { (self.note) }
            }
        }
    }
}

fn plot(told: &str, within: &Markup) -> Markup {
    html! {
        svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
            aria-label=(told) {
            line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - 0.5) y2=(HEIGHT - 0.5) {}
            (within)
        }
    }
}

fn nothing() -> Markup {
    html! { p.unseen-yet { "Nothing seen yet" } }
}

fn line(told: &str, points: &[(f64, f64)], mark: Option<&(f64, String)>) -> Markup {
    let Some(path) = Path::of(points, mark.map(|(value, _)| *value)) else { return nothing() };
    let inside = html! {
        path.under-trace d=(path.area) {}
        @if let Some(y) = &path.mark { line.threshold x1="0" x2=(WIDTH) y1=(y) y2=(y) {} }
        path.trace d=(path.line) {}
    };
    html! {
        (plot(told, &inside))
        @if let Some((_, name)) = mark.filter(|_| path.mark.is_some()) {
            p.key { span.dash aria-hidden="true" {} (name) }
        }
    }
}

fn side_by_side(told: &str, bars: &[Bar]) -> Markup {
    let shown = &bars[bars.len().saturating_sub(BARS)..];
    let highest = shown.iter().map(|bar| bar.value).fold(0.0, f64::max);
    if highest <= 0.0 {
        return nothing();
    }
    let slot = WIDTH / shown.len().max(4) as f64;
    let inside = html! {
        @for (nth, bar) in shown.iter().enumerate() {
            @let height = (HEIGHT - MARGIN) * bar.value / highest;
            rect.bar.failed[!bar.is_good] x=(format!("{:.1}", slot * (nth as f64 + 0.15)))
                y=(format!("{:.1}", HEIGHT - height)) width=(format!("{:.1}", slot * 0.7))
                height=(format!("{height:.1}")) {}
        }
    };
    plot(told, &inside)
}

/// The parts of a line, as SVG has them.
#[derive(Debug, PartialEq)]
struct Path {
    line: String,
    area: String,
    mark: Option<String>,
}

impl Path {
    /// Nothing for fewer than two moments.
    fn of(points: &[(f64, f64)], mark: Option<f64>) -> Option<Self> {
        let ((first, _), (last, _)) = (*points.first()?, *points.last()?);
        if last <= first {
            return None;
        }
        let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        // A threshold far above the line would press it flat; then it is left out.
        let mark = mark.filter(|mark| *mark > 0.0 && *mark <= highest * 4.0);
        let top = mark.unwrap_or(0.0).max(highest);
        let top = if top > 0.0 { top } else { 1.0 };
        let x = |at: f64| WIDTH * (at - first) / (last - first);
        let y = |value: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * (value.max(0.0) / top);
        let mut line = String::new();
        for (nth, (at, value)) in points.iter().enumerate() {
            let command = if nth == 0 { 'M' } else { 'L' };
            // Writing to a text never fails.
            let _ = write!(line, "{command}{:.1} {:.1}", x(*at), y(*value));
        }
        let area = format!("{line}L{WIDTH:.1} {HEIGHT:.1}L0.0 {HEIGHT:.1}Z");
        Some(Self { line, area, mark: mark.map(|mark| format!("{:.1}", y(mark))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    fn chart(drawn: Drawn) -> String {
        let (title, now, note) = ("Lag", "12".to_owned(), "0 to 40".to_owned());
        let html = Chart { title, now, note, drawn }.markup().into_string();
        check::fragment(&html);
        html
    }

    fn line(points: &[(f64, f64)], mark: Option<f64>) -> String {
        let mark = mark.map(|value| (value, "the <limit>".to_owned()));
        chart(Drawn::Line { points: points.to_vec(), mark })
    }

    #[test]
    fn a_line_spans_the_chart_from_the_first_moment_to_the_last() {
        let drawn = line(&[(100.0, 0.0), (110.0, 40.0), (120.0, 20.0)], None);
        assert!(drawn.contains(r#"d="M0.0 90.0L240.0 6.0L480.0 48.0""#), "{drawn}");
        assert!(drawn.contains(r#"aria-label="Lag: 12. 0 to 40""#), "{drawn}");
    }

    #[test]
    fn a_threshold_is_drawn_and_named_unless_it_would_press_the_line_flat() {
        let near = line(&[(0.0, 10.0), (1.0, 40.0)], Some(20.0));
        assert!(near.contains("threshold") && near.contains("the &lt;limit&gt;"), "{near}");
        let far = line(&[(0.0, 10.0), (1.0, 40.0)], Some(900.0));
        assert!(!far.contains("threshold") && !far.contains("limit"), "{far}");
    }

    #[test]
    fn one_moment_is_no_line_and_nothing_is_divided_by_nothing() {
        for points in [&[][..], &[(1.0, 1.0)], &[(1.0, 1.0), (1.0, 2.0)]] {
            assert!(line(points, None).contains("Nothing seen yet"));
        }
        let flat = line(&[(0.0, 0.0), (1.0, 0.0)], Some(0.0));
        assert!(!flat.contains("NaN") && !flat.contains("inf"), "{flat}");
    }

    #[test]
    fn bars_tell_what_failed_and_only_the_last_ones_are_drawn() {
        let bar = |value: f64, is_good| Bar { value, is_good };
        let mut bars = vec![bar(1_000_000.0, true); 3];
        bars.extend([bar(10.0, false); 11]);
        bars.push(bar(5.0, true));
        let drawn = chart(Drawn::Bars(bars));
        assert_eq!(drawn.matches("<rect").count(), BARS);
        assert_eq!(drawn.matches("failed").count(), BARS - 1);
        assert!(drawn.contains(r#"height="90.0""#), "the highest that is shown fills it: {drawn}");
        assert!(chart(Drawn::Bars(Vec::new())).contains("Nothing seen yet"));
    }
}
