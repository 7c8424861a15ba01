//! The field definitions of a tenant.

use async_trait::async_trait;
use segue_core::fields::{Definition, Definitions};
use segue_core::ids::{FieldName, TenantId};

use super::{By, Generation, Result};

/// A tenant's definitions, as of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    /// The generation that this is true of; 0 before anything was defined.
    pub generation: Generation,
    /// The definitions by field.
    pub definitions: Definitions,
}

/// Keeps field definitions.
#[async_trait]
pub trait Fields: Send + Sync {
    /// Defines a field, or defines it anew, and answers the generation after it.
    ///
    /// A definition equal to the present one changes nothing, the generation included.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn put_field(
        &self,
        tenant: TenantId,
        definition: &Definition,
        by: &By,
    ) -> Result<Generation>;

    /// Reads a definition.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn field(&self, tenant: TenantId, name: &FieldName) -> Result<Definition>;

    /// Reads all of a tenant's definitions, from one snapshot.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn fields(&self, tenant: TenantId) -> Result<Defined>;
}
