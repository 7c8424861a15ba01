//! Asking before something that matters, where somebody sits at a terminal.

use std::io::{BufRead, IsTerminal, Write};

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Asks a question that takes a written `yes`.
pub fn ask(question: &str) -> Answer {
    if !std::io::stdin().is_terminal() {
        return Answer::Nobody;
    }
    eprint!("{question} Type yes to go on: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" { Answer::Yes } else { Answer::No }
}
