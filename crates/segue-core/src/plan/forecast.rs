//! A forecast: what becomes of every live session if a plan is deployed now.
//!
//! The shell reads the sessions and lets [`foresee`](crate::session::turn::foresee) decide each, with the plan
//! among the deployed ones. Here is what is made of the decisions:
//!
//! - [`Outcome`] is one session's share of it, small enough to be counted and to be compared.
//! - [`Tally`] counts the outcomes exactly, and keeps a few sessions of each as examples.
//! - [`Record`] is what stays of each session: which outcome, foreseen on which version of its stream.
//! - [`Summary`] is the tally as operators read it.
//! - [`Comparison`] holds what was decided after the deploy against that.
//!
//! A forecast takes each session as it is and assumes that its next turn brings nothing. So what was foreseen of
//! a session comes true unless something came between: the session took a turn, its turn brought a value or a
//! message, the customer's profile changed, or time passed that a rule looks at.

mod comparison;
mod outcome;
mod record;
mod summary;
mod tally;

pub use comparison::{Actual, Comparison, Differing, Foreseen, MAX_DIFFERING, Why};
pub use outcome::{Kind, Marks, Outcome, Unaffected, nothing_happens};
pub use record::{Malformed, Record, find, read, write};
pub use summary::{Count, FilledCount, LISTED, Summary, Way};
pub use tally::{Group, MAX_GROUPS, Sample, Tally};
