//! Sentences of the library as a page shows them: what stands in backticks there is set as code here.

use maud::{Markup, html};

/// A sentence.
#[must_use]
pub fn sentence(text: &str) -> Markup {
    html! {
        @for (nth, part) in text.split('`').enumerate() {
            @if nth % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// Sentences, one below the other.
#[must_use]
pub fn sentences<'a>(lines: impl IntoIterator<Item = &'a str>) -> Markup {
    html! { ul.told { @for line in lines { li { (sentence(line)) } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_set_as_code_and_nothing_is_more_than_text() {
        let html = sentence("Go on with `segue <id>`, or `not").into_string();
        assert_eq!(html, "Go on with <code>segue &lt;id&gt;</code>, or <code>not</code>");
    }
}
