//! Conditions: when a transition is taken.
//!
//! Operators write a condition as CEL, with the words `and`, `or`, `not` beside the signs if they like:
//! `age < 18 and country == 'FR'`. What cannot be read as CEL is natural language ("the customer is
//! angry") and waits for a judge; `otherwise` holds where no other transition of its step does.
//!
//! ```text
//! text -> [tokens] checked against the limits -> [words] into signs -> the parser of `cel`
//!      -> [expr], a tree of our own over the fields that it names -> [eval] with three truth values
//! ```
//!
//! Three things make this safe for text from anyone: length, depth and number of operators are counted
//! on the tokens before anything recurses; what recurses runs on a stack of the size that these counts
//! call for; and an evaluation has a budget of work. So hostile text is an [`Error`], never a panic or
//! a stall.

mod eval;
mod expr;
mod functions;
mod tokens;
mod value;
mod words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::condition::expr::Program;
use crate::ids::FieldName;

pub use crate::condition::tokens::{MAX_BYTES, MAX_DEPTH, MAX_OPERATORS, check_limits};

/// What a condition looks up.
///
/// Sources combine as tuples, where the first that knows a field answers: `(&turn, &session, &profile)`.
pub trait Facts {
    /// The value of a field, if it is known now.
    fn get(&self, field: &str) -> Option<&Value>;

    /// Whether the tenant has a field of this name, known of this customer or not.
    ///
    /// It decides whether a condition of plain words, such as `urgent`, names fields or is natural
    /// language.
    fn is_defined(&self, field: &str) -> bool {
        self.get(field).is_some()
    }
}

/// The answer of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be said.
    Unknown(Unknown),
}

/// Why it cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// These fields are missing; with them it could be said.
    Missing(Vec<FieldName>),
    /// A value has a type that the condition cannot use; worth a warning.
    TypeError(String),
    /// The text is natural language and nobody has judged it.
    Unjudged,
}

/// Why a text is refused as a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is longer than [`MAX_BYTES`].
    #[error(
        "a condition has at most {MAX_BYTES} bytes, this one has {actual}; split it into steps"
    )]
    TooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// Brackets are nested more than [`MAX_DEPTH`] deep.
    #[error(
        "a condition nests brackets at most {MAX_DEPTH} deep, this one goes deeper at byte {at}"
    )]
    TooDeep {
        /// Where the limit is passed, in bytes from the start.
        at: usize,
    },
    /// There are more than [`MAX_OPERATORS`] operators.
    #[error(
        "a condition has at most {MAX_OPERATORS} operators, this one has more from byte {at} on; \
         to compare with many values write `field in [...]`"
    )]
    TooManyOperators {
        /// Where the limit is passed, in bytes from the start.
        at: usize,
    },
}

/// A condition within the limits. Its text is parsed when it is first needed, and once.
///
/// ```
/// use std::collections::BTreeMap;
/// use segue_core::condition::{Condition, Truth, Unknown};
/// use segue_core::ids::FieldName;
/// use serde_json::{Value, json};
///
/// let condition = Condition::parse("age < 18 and country == 'FR'")?;
/// let mut facts: BTreeMap<FieldName, Value> = [(FieldName::new("country")?, json!("FR"))].into();
/// assert_eq!(
///     condition.evaluate(&facts),
///     Truth::Unknown(Unknown::Missing(vec![FieldName::new("age")?]))
/// );
/// facts.insert(FieldName::new("age")?, json!(17));
/// assert_eq!(condition.evaluate(&facts), Truth::True);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    declared: Box<[FieldName]>,
    meaning: OnceLock<Meaning>,
}

/// How the text of a condition is read.
#[derive(Debug, Clone)]
enum Meaning {
    Otherwise,
    Expression(Arc<Program>),
    Natural(String),
}

impl Condition {
    /// Takes a condition whose fields are the names that occur in it.
    ///
    /// Any text is a condition: what is not CEL is natural language.
    ///
    /// # Errors
    /// When the text passes a limit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::with_fields(text, &[])
    }

    /// Takes a condition together with the fields that its transition declares
    /// ([`condition_fields`](crate::scenario::Transition::condition_fields)).
    ///
    /// A declared name is a field wherever it stands as a word of its own, also where CEL would read
    /// something else: `e-mail_2nd` is not a subtraction then, and `urgent` not natural language.
    ///
    /// # Errors
    /// When the text passes a limit.
    pub fn with_fields(text: &str, declared: &[FieldName]) -> Result<Self, Error> {
        let text = text.trim();
        tokens::check(text, declared)?;
        Ok(Self { text: text.into(), declared: declared.into(), meaning: OnceLock::new() })
    }

    /// The text as written, without the space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is the word `otherwise`, `else` or `default`: it holds where no other transition of
    /// its step does, whatever their order, and [`Self::evaluate`] calls it true.
    #[must_use]
    pub fn is_otherwise(&self) -> bool {
        words::is_otherwise(&self.text)
            && !self.declared.iter().any(|name| name.as_str() == &*self.text)
    }

    /// Why the text is natural language, or nothing if it is an expression. Parses it.
    ///
    /// A text of plain words, such as `urgent`, is an expression once one of them is a field: see
    /// [`Facts::is_defined`].
    #[must_use]
    pub fn natural_language(&self, is_defined: impl Fn(&str) -> bool) -> Option<&str> {
        match self.meaning() {
            Meaning::Natural(reason) => Some(reason),
            Meaning::Expression(program) if !program.names_fields(is_defined) => {
                Some("none of its words is the name of a defined field")
            }
            Meaning::Otherwise | Meaning::Expression(_) => None,
        }
    }

    /// The names of fields in it, in order of appearance; none in natural language. Parses it.
    ///
    /// What `has(…)` asks about is not among them: such a condition is decided without that field.
    #[must_use]
    pub fn fields(&self) -> &[FieldName] {
        match self.meaning() {
            Meaning::Expression(program) => &program.needed,
            Meaning::Otherwise | Meaning::Natural(_) => &[],
        }
    }

    /// Says whether it holds.
    ///
    /// `and`, `or`, `not` and `?:` follow Kleene: what is decided by the known operands is known. A
    /// field that is null is missing.
    #[must_use]
    pub fn evaluate(&self, facts: &dyn Facts) -> Truth {
        match self.meaning() {
            Meaning::Otherwise => Truth::True,
            Meaning::Natural(_) => Truth::Unknown(Unknown::Unjudged),
            Meaning::Expression(program) => eval::evaluate(program, facts),
        }
    }

    fn meaning(&self) -> &Meaning {
        self.meaning.get_or_init(|| {
            if self.is_otherwise() {
                return Meaning::Otherwise;
            }
            match Program::compile(&self.text, &self.declared) {
                Ok(program) => Meaning::Expression(Arc::new(program)),
                Err(reason) => Meaning::Natural(reason),
            }
        })
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.declared == other.declared
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl<F: Facts + ?Sized> Facts for &F {
    fn get(&self, field: &str) -> Option<&Value> {
        (**self).get(field)
    }

    fn is_defined(&self, field: &str) -> bool {
        (**self).is_defined(field)
    }
}

/// Nothing is known.
impl Facts for () {
    fn get(&self, _field: &str) -> Option<&Value> {
        None
    }
}

impl<A: Facts, B: Facts> Facts for (A, B) {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).or_else(|| self.1.get(field))
    }

    fn is_defined(&self, field: &str) -> bool {
        self.0.is_defined(field) || self.1.is_defined(field)
    }
}

impl<A: Facts, B: Facts, C: Facts> Facts for (A, B, C) {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).or_else(|| self.1.get(field)).or_else(|| self.2.get(field))
    }

    fn is_defined(&self, field: &str) -> bool {
        self.0.is_defined(field) || self.1.is_defined(field) || self.2.is_defined(field)
    }
}

impl Facts for std::collections::BTreeMap<FieldName, Value> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.get(field)
    }
}

impl Facts for serde_json::Map<String, Value> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.get(field)
    }
}
