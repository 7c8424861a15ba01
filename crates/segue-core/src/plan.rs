//! Migration plans: two versions, their diff, the operator's policies, and the life of a decision.

pub mod deployed;
pub mod lifecycle;
pub mod policy;
