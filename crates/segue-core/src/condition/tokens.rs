//! The tokens of a condition, and the limits counted on them.
//!
//! The lexer is that of `cel`, so that what is counted here is what its parser will see: a bracket in
//! a string is no bracket, however the string is quoted.

use cel::parser::pratt_parser::{Lexer, LexerPosition, TokenKind};

use crate::condition::{Error, words};
use crate::ids::FieldName;

/// The longest condition, in bytes.
pub const MAX_BYTES: usize = 4 * 1024;
/// The deepest nesting of brackets.
pub const MAX_DEPTH: usize = 32;
/// The most operators: signs, words such as `and`, dots and opening brackets; commas do not count.
pub const MAX_OPERATORS: usize = 256;

/// Checks the limits without parsing.
///
/// # Errors
/// When the text is too long, nested too deep, or has too many operators.
pub fn check_limits(text: &str) -> Result<(), Error> {
    check(text.trim(), &[])
}

/// As [`check_limits`], reading declared names as [`Tokens`] does.
pub(super) fn check(text: &str, declared: &[FieldName]) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooLong { actual: text.len() });
    }
    let mut size = Size::default();
    Tokens::new(text, declared).map_while(Result::ok).try_for_each(|token| size.count(&token))
}

/// How much of the limits a text uses.
#[derive(Debug, Default)]
pub(super) struct Size {
    depth: usize,
    /// The deepest nesting of brackets so far.
    pub deepest: usize,
    /// Operators so far.
    pub operators: usize,
}

impl Size {
    /// Counts the next token.
    pub(super) fn count(&mut self, token: &Token<'_>) -> Result<(), Error> {
        match token.role() {
            Role::Open => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
            Role::Close => self.depth = self.depth.saturating_sub(1),
            Role::Operator | Role::Other => {}
        }
        // An opening bracket may be an index or a call, and these chain without nesting: `x[0][0][0]`.
        if matches!(token.role(), Role::Open | Role::Operator) {
            self.operators += 1;
        }
        if self.depth > MAX_DEPTH {
            return Err(Error::TooDeep { at: token.at });
        }
        if self.operators > MAX_OPERATORS {
            return Err(Error::TooManyOperators { at: token.at });
        }
        Ok(())
    }
}

/// A token other than space and comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub kind: TokenKind,
    pub text: &'t str,
    /// In bytes from the start.
    pub at: usize,
    /// Whether it is a declared name that CEL would not read as one identifier.
    pub declared: bool,
}

enum Role {
    Open,
    Close,
    Operator,
    Other,
}

impl Token<'_> {
    fn role(&self) -> Role {
        use TokenKind as T;
        match self.kind {
            T::TokLeftParen | T::TokLeftBracket | T::TokLeftBrace => Role::Open,
            T::TokRightParen | T::TokRightBracket | T::TokRightBrace => Role::Close,
            T::TokIdent if words::operator(self).is_some() => Role::Operator,
            T::TokDot
            | T::TokIn
            | T::TokMinus
            | T::TokPlus
            | T::TokAsterisk
            | T::TokSlash
            | T::TokPercent
            | T::TokQuestion
            | T::TokColon
            | T::TokExclamation
            | T::TokEqual
            | T::TokEqualEqual
            | T::TokExclamationEqual
            | T::TokLess
            | T::TokLessEqual
            | T::TokGreater
            | T::TokGreaterEqual
            | T::TokLogicalAnd
            | T::TokLogicalOr => Role::Operator,
            T::TokError
            | T::TokEnd
            | T::TokWhitespace
            | T::TokComment
            | T::TokNull
            | T::TokFalse
            | T::TokTrue
            | T::TokReservedWord
            | T::TokInt
            | T::TokUint
            | T::TokFloat
            | T::TokString
            | T::TokBytes
            | T::TokIdent
            | T::TokComma => Role::Other,
        }
    }
}

/// Reads the tokens of a text; ends with an error at what is no token of CEL.
pub(super) struct Tokens<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    at: usize,
    /// Declared names that CEL would not read as one identifier.
    odd_names: Vec<&'t str>,
    failed: bool,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str, declared: &'t [FieldName]) -> Self {
        let odd_names =
            declared.iter().map(FieldName::as_str).filter(|name| !is_identifier(name)).collect();
        Self { text, lexer: Lexer::new(text), at: 0, odd_names, failed: false }
    }

    /// The longest odd name that stands here as a word of its own.
    fn odd_name(&self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        let ends = |name: &str| !rest[name.len()..].starts_with(is_word_character);
        let fits = |name: &&str| rest.starts_with(*name) && ends(name);
        self.odd_names.iter().copied().filter(fits).max_by_key(|name| name.len())
    }

    fn skip_to(&mut self, pos: usize) {
        self.at = pos;
        self.lexer.restore_position(LexerPosition { pos, at_end: false, done: false, err: None });
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Result<Token<'t>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.failed || self.at >= self.text.len() {
                return None;
            }
            if let Some(name) = self.odd_name() {
                let token =
                    Token { kind: TokenKind::TokIdent, text: name, at: self.at, declared: true };
                self.skip_to(self.at + name.len());
                return Some(Ok(token));
            }
            let found = self.lexer.lex();
            self.at = found.end;
            match found.kind {
                TokenKind::TokWhitespace | TokenKind::TokComment => {}
                TokenKind::TokError => {
                    self.failed = true;
                    let what = self.lexer.get_error().map_or("no token of CEL", |e| &e.message);
                    return Some(Err(format!("no CEL: {what} at byte {}", found.start)));
                }
                kind => {
                    let text = self.text.get(found.start..found.end)?;
                    return Some(Ok(Token { kind, text, at: found.start, declared: false }));
                }
            }
        }
    }
}

/// Whether CEL reads a name as one identifier.
pub(super) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
