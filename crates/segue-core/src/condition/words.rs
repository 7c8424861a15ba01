//! The words that operators write, turned into the signs that CEL reads.
//!
//! | written | read |
//! |---|---|
//! | `a and b`, `a OR b` | `a && b`, <code>a &#124;&#124; b</code> |
//! | `not a == b` | `!(a == b)`: a word binds as in a sentence, up to the next `and`, `or`, comma or end |
//! | `a not in [...]` | `!(a in [...])` |
//! | `a = b` | `a == b` |
//! | `True`, `FALSE` | `true`, `false` |
//! | `has(a)` | whether the field `a` is known |
//! | `` `e-mail` `` | the field of that name; so does `fields["e-mail"]` |

use cel::parser::pratt_parser::TokenKind;

use crate::condition::tokens::Token;

/// The name under which every field can be reached: `fields["e-mail"]`, `fields.age`.
pub(super) const ALL_FIELDS: &str = "fields";
/// Marks the operand of `not in` until the tree is built.
pub(super) const NOT_IN: &str = "__not_in";

/// Asks whether a field is known; CEL's own `has` takes selections only.
pub(super) const KNOWN: &str = "__known";

/// An operator written as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    And,
    Or,
    Not,
    In,
}

/// The operator that a word stands for.
pub(super) fn operator(token: &Token<'_>) -> Option<Word> {
    if token.declared || token.text.len() > 3 {
        return None;
    }
    [("and", Word::And), ("or", Word::Or), ("not", Word::Not), ("in", Word::In)]
        .into_iter()
        .find_map(|(text, word)| token.text.eq_ignore_ascii_case(text).then_some(word))
}

/// Whether the whole text is the operator's word for "in every other case".
pub(super) fn is_otherwise(text: &str) -> bool {
    ["otherwise", "else", "default"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a text reads as a phrase as much as an expression: nothing but plain words without digits
/// or underscores, as in `angry or sad`.
pub(super) fn is_phrase(tokens: &[Token<'_>]) -> bool {
    tokens.iter().all(|token| {
        matches!(token.kind, TokenKind::TokIdent | TokenKind::TokIn)
            && token.text.chars().all(|c| c.is_ascii_alphabetic())
            && boolean(token.text).is_none()
    })
}

/// Writes the tokens as CEL.
pub(super) fn rewrite(tokens: &[Token<'_>]) -> String {
    let mut writer = Writer { cel: String::new(), depth: 0, open: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        at += writer.write(&tokens[..at], &tokens[at..]);
    }
    writer.close(|_| true);
    writer.cel
}

/// A bracket that was opened for a word and closes where its operand ends.
struct Open {
    depth: usize,
    word: Word,
}

struct Writer {
    cel: String,
    depth: usize,
    open: Vec<Open>,
}

impl Writer {
    /// Writes the first of the tokens that remain and says how many it took.
    fn write(&mut self, before: &[Token<'_>], rest: &[Token<'_>]) -> usize {
        let token = &rest[0];
        let selected = before.last().is_some_and(|t| t.kind == TokenKind::TokDot);
        self.end_operands(token, selected);
        match token.kind {
            TokenKind::TokIdent if selected => self.put(token.text),
            TokenKind::TokIdent => return self.write_name(rest),
            TokenKind::TokEqual => self.put("=="),
            _ => self.put(token.text),
        }
        1
    }

    fn write_name(&mut self, rest: &[Token<'_>]) -> usize {
        let token = &rest[0];
        let second = rest.get(1);
        match operator(token) {
            Some(Word::And) => self.put("&&"),
            Some(Word::Or) => self.put("||"),
            Some(Word::In) => self.put("in"),
            Some(Word::Not) if second.is_some_and(|t| operator(t) == Some(Word::In)) => {
                self.put("in");
                self.open(Word::In, NOT_IN);
                return 2;
            }
            Some(Word::Not) => self.open(Word::Not, "!"),
            None if token.text == "has" && names_a_field(rest) => {
                self.put(KNOWN);
                self.put("(");
                self.put_field(&rest[2]);
                self.put(")");
                return 4;
            }
            None if token.declared || token.text.starts_with('`') => self.put_field(token),
            None => match boolean(token.text) {
                Some(value) => self.put(value),
                None => self.put(token.text),
            },
        }
        1
    }

    /// Closes the operands of words that end before this token.
    fn end_operands(&mut self, token: &Token<'_>, selected: bool) {
        use TokenKind as T;
        let depth = self.depth;
        let word = if selected { None } else { operator(token) };
        match token.kind {
            T::TokLogicalAnd | T::TokLogicalOr | T::TokQuestion | T::TokColon | T::TokComma => {
                self.close(|open| open.depth == depth);
            }
            T::TokIdent if matches!(word, Some(Word::And | Word::Or)) => {
                self.close(|open| open.depth == depth);
            }
            T::TokEqual
            | T::TokEqualEqual
            | T::TokExclamationEqual
            | T::TokLess
            | T::TokLessEqual
            | T::TokGreater
            | T::TokGreaterEqual
            | T::TokIn => self.close(|open| open.depth == depth && open.word == Word::In),
            T::TokIdent if word == Some(Word::In) => {
                self.close(|open| open.depth == depth && open.word == Word::In);
            }
            T::TokLeftParen | T::TokLeftBracket | T::TokLeftBrace => self.depth += 1,
            T::TokRightParen | T::TokRightBracket | T::TokRightBrace => {
                self.close(|open| open.depth == depth);
                self.depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn open(&mut self, word: Word, prefix: &str) {
        self.put(prefix);
        self.put("(");
        self.open.push(Open { depth: self.depth, word });
    }

    fn close(&mut self, ends: impl Fn(&Open) -> bool) {
        while self.open.pop_if(|open| ends(open)).is_some() {
            self.put(")");
        }
    }

    fn put(&mut self, text: &str) {
        self.cel.push_str(text);
        self.cel.push(' ');
    }

    /// Writes the name of a field that may not be an identifier.
    fn put_field(&mut self, token: &Token<'_>) {
        let name = if token.declared { token.text } else { token.text.trim_matches('`') };
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        self.put(&format!("{ALL_FIELDS}[\"{quoted}\"]"));
    }
}

/// Whether the tokens begin with `has(name)`.
fn names_a_field(rest: &[Token<'_>]) -> bool {
    rest.len() > 3
        && rest[1].kind == TokenKind::TokLeftParen
        && rest[2].kind == TokenKind::TokIdent
        && rest[3].kind == TokenKind::TokRightParen
}

fn boolean(text: &str) -> Option<&'static str> {
    ["true", "false"].into_iter().find(|value| text.eq_ignore_ascii_case(value))
}
