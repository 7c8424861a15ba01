//! Two versions of a scenario, compared by what their steps mean.

use crate::ids::StepId;

/// An accepted suggestion: sessions at this step of V1 go on at this step of V2.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mapping {
    /// A step of V1 that has no equal in V2.
    pub from: StepId,
    /// Where it goes on in V2.
    pub to: StepId,
}

/// Two versions, compared.
#[derive(Debug, Clone)]
pub struct Diff {}
