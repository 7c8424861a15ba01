//! What a language model said of what a turn needs to know, and what it did not say.
//!
//! The core names what it [`Need`](super::Need)s, the shell asks, and the decision is taken again with the
//! answers. An answer is a claim: values are held against the customer's words by
//! [`claim::check`](crate::extract::claim::check) each time they are used, a judgement that something is so
//! has to quote them. Where the model has no say, the reason is kept and told.
//!
//! A model that failed is not asked again in the same turn: its advice is closed, and the decision is taken
//! without it.

use std::collections::BTreeMap;
use std::fmt;

use crate::extract::claim::{Claim, Unfounded};
use crate::ids::FieldName;

/// What a language model was asked so far in a turn, and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    values: BTreeMap<FieldName, Option<Claim>>,
    judgements: BTreeMap<String, Option<Judgement>>,
    closed: Option<Silence>,
}

/// What a model makes of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it holds.
    pub holds: bool,
    /// The customer's words that show that it does.
    pub quote: String,
}

/// Why a language model has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// It could not tell.
    Nothing,
    /// It took too long.
    TimedOut,
    /// It could not be reached, or answered with an error.
    Unavailable,
    /// It failed over and over, and is left alone for a while.
    LeftAlone,
    /// Too many ask it at once.
    Busy,
    /// What may be spent on it is spent.
    Spent,
    /// Its answer was not what it was asked for.
    Unusable,
    /// One turn asks no more.
    TooMuch,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "it could not tell",
            Self::TimedOut => "it did not answer in time",
            Self::Unavailable => "it could not be asked",
            Self::LeftAlone => "it failed and is left alone for a while",
            Self::Busy => "too many ask it at once",
            Self::Spent => "its spending limit is reached",
            Self::Unusable => "its answer could not be used",
            Self::TooMuch => "one turn asks it no more",
        })
    }
}

/// Why nothing came of a model's help with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unhelped {
    /// It had no say.
    Silent(Silence),
    /// What it said is not borne out by the customer's words.
    Unfounded(Unfounded),
}

impl fmt::Display for Unhelped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(silence) => silence.fmt(f),
            Self::Unfounded(unfounded) => unfounded.fmt(f),
        }
    }
}

/// How many of a model's claims about fields were borne out by the customer's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// That many were.
    pub founded: usize,
    /// And that many were not.
    pub unfounded: usize,
}

impl Advice {
    /// Notes what was found of these fields. What was found of others is left out: nobody asked for it.
    pub fn hear_values(&mut self, asked: &[FieldName], mut found: BTreeMap<FieldName, Claim>) {
        for field in asked {
            self.values.insert(field.clone(), found.remove(field));
        }
    }

    /// Notes what is made of these conditions, and nothing of others.
    pub fn hear_judgements(&mut self, asked: &[String], mut made: BTreeMap<String, Judgement>) {
        for condition in asked {
            self.judgements.insert(condition.clone(), made.remove(condition));
        }
    }

    /// Forgets what was said, for it was said of something else. A model that failed is still not asked.
    pub fn forget(&mut self) {
        self.values.clear();
        self.judgements.clear();
    }

    /// Nothing more is asked in this turn; what was said already still counts.
    pub fn close(&mut self, why: Silence) {
        self.closed = Some(why);
    }

    /// What was said of a field; nothing if it has to be asked first.
    pub(super) fn value(&self, field: &FieldName) -> Option<Result<&Claim, Silence>> {
        let said = self.values.get(field);
        said.map(|claim| claim.as_ref().ok_or(Silence::Nothing)).or(self.closed.map(Err))
    }

    /// What was made of a condition; nothing if it has to be asked first.
    pub(super) fn judgement(&self, condition: &str) -> Option<Result<&Judgement, Silence>> {
        let said = self.judgements.get(condition);
        said.map(|made| made.as_ref().ok_or(Silence::Nothing)).or(self.closed.map(Err))
    }
}
