//! How far long work has come: a line on standard error that is written over, where somebody looks on.

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// The bar itself, as wide as there is room, and what is done of what is to do.
const BEGINNING: &str = "[{wide_bar}] {percent:>3} %  {human_pos} of {human_len}";

/// A line that shows progress.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// Of so many of these, with the rate and the time that is left, as far as they can be seen from here.
    pub fn of(what: &str) -> Self {
        Self::styled(&format!("{BEGINNING} {what}  {{per_sec}}  {{eta}} left"))
    }

    /// Of so many of these, with a text that somebody gives who knows more.
    pub fn with_text(what: &str) -> Self {
        Self::styled(&format!("{BEGINNING} {what}  {{msg}}"))
    }

    fn styled(template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is one of ours");
        let bar = ProgressBar::no_length().with_style(style.progress_chars("=> "));
        Self(bar)
    }

    /// Shows how many are done.
    pub fn show(&self, done: u64, all: u64) {
        if all > 0 {
            self.0.set_length(all);
            self.0.set_position(done.min(all));
        }
    }

    /// Shows how many are done, and a text.
    pub fn tell(&self, done: u64, all: u64, text: String) {
        self.show(done, all);
        self.0.set_message(text);
    }

    /// Does something that prints, without the line in between.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// A number as people read it, such as 12,345.
pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}
