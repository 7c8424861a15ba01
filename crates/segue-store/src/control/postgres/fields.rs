//! The field definitions' rows.

use async_trait::async_trait;
use deadpool_postgres::GenericClient;
use segue_core::fields::{Definition, Definitions};
use segue_core::ids::{FieldName, TenantId};

use super::super::audit::{Action, Subject};
use super::super::fields::{Defined, Fields};
use super::super::{By, Error, Generation, Noun, Result};
use super::column::{Json, Number};
use super::statement::{decide, execute, row, rows};
use super::{Control, audit};

async fn find(
    on: &impl GenericClient,
    tenant: TenantId,
    name: &FieldName,
) -> Result<Option<Definition>> {
    let statement = "SELECT definition FROM fields WHERE tenant_id = $1 AND name = $2";
    match row(on, statement, &[&tenant.0, &name.as_str()]).await? {
        Some(found) => Ok(Some(found.try_get::<_, Json<_>>(0)?.0)),
        None => Ok(None),
    }
}

async fn generation(on: &impl GenericClient, tenant: TenantId) -> Result<Generation> {
    let statement = "SELECT generation FROM field_generations WHERE tenant_id = $1";
    match row(on, statement, &[&tenant.0]).await? {
        Some(found) => Ok(Generation(found.try_get::<_, Number>(0)?.0)),
        None => Ok(Generation(0)),
    }
}

#[async_trait]
impl Fields for Control {
    async fn put_field(
        &self,
        tenant: TenantId,
        definition: &Definition,
        by: &By,
    ) -> Result<Generation> {
        let mut client = self.client().await?;
        let transaction = decide(&mut client, tenant).await?;
        if find(&transaction, tenant, &definition.name).await?.as_ref() == Some(definition) {
            return generation(&transaction, tenant).await;
        }
        execute(
            &transaction,
            "INSERT INTO fields (tenant_id, name, definition) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant_id, name) DO UPDATE SET definition = excluded.definition",
            &[&tenant.0, &definition.name.as_str(), &Json(definition)],
        )
        .await?;
        execute(
            &transaction,
            "INSERT INTO field_generations (tenant_id, generation) VALUES ($1, 1) \
             ON CONFLICT (tenant_id) DO UPDATE SET generation = field_generations.generation + 1",
            &[&tenant.0],
        )
        .await?;
        let subject = (Subject::Field, definition.name.to_string());
        audit::write(&transaction, tenant, by, Action::FieldDefined, subject).await?;
        let after = generation(&transaction, tenant).await?;
        transaction.commit().await?;
        Ok(after)
    }

    async fn field(&self, tenant: TenantId, name: &FieldName) -> Result<Definition> {
        let found = find(&self.client().await?, tenant, name).await?;
        found.ok_or(Error::NotFound(Noun::Field))
    }

    async fn fields(&self, tenant: TenantId) -> Result<Defined> {
        // One statement, and so one snapshot: definitions and generation belong together.
        let statement = "\
            SELECT g.generation, f.definition FROM field_generations g \
            JOIN fields f ON f.tenant_id = g.tenant_id WHERE g.tenant_id = $1";
        let mut defined =
            Defined { generation: Generation(0), definitions: Definitions::default() };
        for found in rows(&self.client().await?, statement, &[&tenant.0]).await? {
            defined.generation = Generation(found.try_get::<_, Number>(0)?.0);
            let Json(field): Json<Definition> = found.try_get(1)?;
            defined.definitions.insert(field.name.clone(), field);
        }
        Ok(defined)
    }
}
