//! The pieces that pages are made of. Each renders itself, and looks the same everywhere.

use maud::{Markup, html};
use segue_core::scenario::validate::Problem;

use super::words;

/// What something means for whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong, or taken back.
    Bad,
    /// Under way.
    Info,
    /// Over, or not begun.
    Idle,
    /// Ours to show first.
    Lead,
}

impl Tone {
    /// The class that colours it.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Info => "info",
            Self::Idle => "idle",
            Self::Lead => "lead-tone",
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Good => Icon::Check,
            Self::Warn => Icon::Exclamation,
            Self::Bad => Icon::Cross,
            Self::Info => Icon::Circle,
            Self::Idle => Icon::Dash,
            Self::Lead => Icon::Arrow,
        }
    }
}

/// A small picture beside a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what it is called")]
pub enum Icon {
    Home,
    Graph,
    Plan,
    Talk,
    Book,
    Store,
    Move,
    Check,
    Cross,
    Exclamation,
    Circle,
    Dash,
    Arrow,
    People,
    Key,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Home => "M2.5 7 8 2.5 13.5 7v6.5h-4V10h-3v3.5h-4z",
            Self::Graph => {
                "M8 5v2.5M8 7.5H4v3M8 7.5h4v3M6.5 2h3v3h-3zM2.5 10.5h3v3h-3zM10.5 10.5h3v3h-3z"
            }
            Self::Plan => "M3 4h4M3 8h10M3 12h6M10 4h3",
            Self::Talk => "M2.5 3h11v8h-6L4.5 13.5V11h-2z",
            Self::Book => "M3 2.5h10v11H3zM5.5 5.5h5M5.5 8h5M5.5 10.5h3",
            Self::Store => {
                "M2.5 4c0-1 2.5-1.7 5.5-1.7s5.5.7 5.5 1.7-2.5 1.7-5.5 1.7S2.5 5 2.5 4zm0 0v8c0 1 2.5 1.7 \
                 5.5 1.7s5.5-.7 5.5-1.7V4M2.5 8c0 1 2.5 1.7 5.5 1.7s5.5-.7 5.5-1.7"
            }
            Self::Move => "M2 5.5h11M10 2.5l3 3-3 3M14 10.5H3M6 7.5l-3 3 3 3",
            Self::Check => "M3 8.5l3.2 3.2L13 4.8",
            Self::Cross => "M4 4l8 8M12 4l-8 8",
            Self::Exclamation => "M8 2.5v7M8 13v.2",
            Self::Circle => "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
            Self::Dash => "M4 8h8",
            Self::Arrow => "M3 8h10M9 4l4 4-4 4",
            Self::Key => {
                "M5.2 13.3a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM7.2 8.7l6.1-6.1M11 4.9l1.8 1.8M9 6.9l1.3 1.3"
            }
            Self::People => {
                "M6 7.5a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6zM1.8 13c.3-2.2 1.9-3.5 4.2-3.5s3.9 1.3 4.2 \
                 3.5M10.8 3.2a2.2 2.2 0 0 1 0 4M12 9.8c1.2.5 2 1.6 2.2 3.2"
            }
        }
    }
}

/// A small picture; what it says must be said in words beside it.
#[must_use]
pub fn icon(icon: Icon) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" aria-hidden="true" { path d=(icon.path()) {} }
    }
}

/// A word about the state of something.
#[must_use]
pub fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (icon(tone.icon())) (word) } }
}

/// Something that has to be said before anything else.
#[must_use]
pub fn alert(tone: Tone, title: &str, more: Markup) -> Markup {
    html! {
        div class={ "alert " (tone.class()) } {
            (icon(tone.icon()))
            div { strong { (title) } (more) }
        }
    }
}

/// The name of a page, a line about it, and what can be done on it.
#[must_use]
pub fn heading(title: Markup, lead: Markup, actions: Markup) -> Markup {
    html! {
        div.heading {
            div {
                div.title { (title) }
                div.lead { (lead) }
            }
            div.actions { (actions) }
        }
    }
}

/// Names and what they are, one below the other.
#[must_use]
pub fn pairs(pairs: &[(&str, Markup)]) -> Markup {
    html! {
        dl.pairs {
            @for (name, value) in pairs {
                dt { (name) }
                dd { (value) }
            }
        }
    }
}

/// A number that is worth a large type.
#[derive(Debug)]
pub struct Figure<'a> {
    /// Of what.
    pub name: &'a str,
    /// The number.
    pub value: Markup,
    /// A few words more.
    pub note: Markup,
}

/// Numbers in a row.
#[must_use]
pub fn figures(figures: &[Figure<'_>]) -> Markup {
    html! {
        dl.figures {
            @for Figure { name, value, note } in figures {
                div {
                    dt { (name) }
                    dd { (value) }
                    dd.note { (note) }
                }
            }
        }
    }
}

/// One part of a whole.
#[derive(Debug)]
pub struct Part<'a> {
    /// How it is coloured.
    pub tone: Tone,
    /// What it is.
    pub name: &'a str,
    /// How much.
    pub amount: u64,
}

/// A bar of parts, and beside it in words and numbers what they are.
#[must_use]
pub fn parts(whole: &[Part<'_>]) -> Markup {
    let total: u64 = whole.iter().map(|part| part.amount).sum();
    #[allow(clippy::cast_precision_loss, reason = "a bar is some hundred pixels wide")]
    let share = |amount: u64| amount as f64 * 100.0 / total.max(1) as f64;
    let mut at = 0;
    let mut placed = Vec::with_capacity(whole.len());
    for part in whole {
        placed.push((part, share(at), share(part.amount)));
        at += part.amount;
    }
    html! {
        svg.parts aria-hidden="true" {
            @for (part, left, width) in placed {
                @if part.amount > 0 {
                    rect class=(part.tone.class()) x={ (format!("{left:.3}")) "%" } width={ (format!("{width:.3}")) "%" } height="10" {}
                }
            }
        }
        ul.legend {
            @for part in whole {
                li {
                    span class={ "dot " (part.tone.class()) } aria-hidden="true" {}
                    span { b { (words::count(part.amount)) } " " (part.name) }
                }
            }
        }
    }
}

/// What a list says when it is empty: what to do next.
#[must_use]
pub fn empty(title: &str, next: Markup) -> Markup {
    html! { div.empty { p.title { (title) } (next) } }
}

/// The foot of a list: how much of it is shown, and where it goes on.
#[must_use]
pub fn pager(
    shown: usize,
    total: u64,
    noun: &str,
    first: Option<&str>,
    next: Option<&str>,
) -> Markup {
    let told = format!("{} of {}", words::length(shown), words::counted(total, noun));
    pages(&told, first, next)
}

/// As [`pager`], for a list that has its own words for how much of it is shown.
#[must_use]
pub fn pages(told: &str, first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        div.pager {
            span { (told) }
            @if first.is_some() || next.is_some() {
                nav.row aria-label="Pages" {
                    @if let Some(first) = first { a.button.plain href=(first) { "First page" } }
                    @if let Some(next) = next { a.button.plain href=(next) rel="next" { "Next page" } }
                }
            }
        }
    }
}

/// A line of a form.
#[derive(Debug, Clone, Copy, Default)]
pub struct Field<'a> {
    /// Its name in what is sent; unique on the page.
    pub name: &'a str,
    /// What it is called.
    pub label: &'a str,
    /// What stands in it.
    pub value: &'a str,
    /// A few words about what belongs there.
    pub hint: &'a str,
    /// What is wrong with what stands there.
    pub wrong: Option<&'a str>,
}

impl Field<'_> {
    fn described(&self) -> Option<String> {
        let hint = (!self.hint.is_empty()).then(|| format!("{}-hint", self.name));
        let wrong = self.wrong.map(|_| format!("{}-wrong", self.name));
        let ids: Vec<String> = wrong.into_iter().chain(hint).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    fn around(&self, control: &Markup) -> Markup {
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                (control)
                @if let Some(wrong) = self.wrong { p.wrong id={ (self.name) "-wrong" } { (wrong) } }
                @if !self.hint.is_empty() { p.hint id={ (self.name) "-hint" } { (self.hint) } }
            }
        }
    }

    /// One line of text.
    #[must_use]
    pub fn text(&self) -> Markup {
        self.around(&html! {
            input id=(self.name) name=(self.name) value=(self.value) autocomplete="off"
                aria-describedby=[self.described()] aria-invalid=[self.wrong.map(|_| "true")];
        })
    }

    /// A number from 0 on.
    #[must_use]
    pub fn number(&self) -> Markup {
        self.around(&html! {
            input id=(self.name) name=(self.name) value=(self.value) inputmode="numeric" autocomplete="off"
                aria-describedby=[self.described()] aria-invalid=[self.wrong.map(|_| "true")];
        })
    }

    /// A day.
    #[must_use]
    pub fn day(&self) -> Markup {
        self.around(&html! {
            input type="date" id=(self.name) name=(self.name) value=(self.value)
                aria-describedby=[self.described()] aria-invalid=[self.wrong.map(|_| "true")];
        })
    }

    /// Several lines of text.
    #[must_use]
    pub fn area(&self) -> Markup {
        self.around(&html! {
            textarea id=(self.name) name=(self.name)
                aria-describedby=[self.described()] aria-invalid=[self.wrong.map(|_| "true")] { "\n" (self.value) }
        })
    }

    /// A document.
    #[must_use]
    pub fn code(&self) -> Markup {
        self.around(&html! {
            textarea.code id=(self.name) name=(self.name) spellcheck="false" autocapitalize="off"
                aria-describedby=[self.described()] aria-invalid=[self.wrong.map(|_| "true")] { "\n" (self.value) }
        })
    }

    /// One of several, each a value and what it is called.
    #[must_use]
    pub fn select(&self, choices: &[(String, String)]) -> Markup {
        self.around(&html! {
            select id=(self.name) name=(self.name)
                aria-describedby=[self.described()] aria-invalid=[self.wrong.map(|_| "true")] {
                @for (value, called) in choices {
                    option value=(value) selected[value == self.value] { (called) }
                }
            }
        })
    }
}

/// What is wrong in a document, and where.
#[must_use]
pub fn problems(all: &[Problem]) -> Markup {
    html! {
        @if !all.is_empty() {
            ul {
                @for problem in all {
                    li {
                        code.chip { @if problem.path.is_empty() { "/" } @else { (problem.path) } }
                        span { (problem.message) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::check;

    #[test]
    fn what_is_wrong_with_a_field_is_tied_to_it() {
        let field = Field {
            name: "by",
            label: "Your name",
            value: "<script>",
            hint: "It is kept in the audit.",
            wrong: Some("It is empty."),
        };
        let html = html! { form action="/" { (field.text()) } }.into_string();
        check::fragment(&html);
        assert!(
            html.contains(r#"aria-describedby="by-wrong by-hint" aria-invalid="true""#),
            "{html}"
        );
    }

    #[test]
    fn a_bar_of_nothing_is_empty_and_still_says_so() {
        let html = parts(&[Part { tone: Tone::Good, name: "applied", amount: 0 }]).into_string();
        assert!(!html.contains("<rect") && html.contains("<b>0</b> applied"), "{html}");
    }
}
