//! The field definitions' rows.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use segue_core::fields::{Definition, Definitions};
use segue_core::ids::{FieldName, TenantId};

use super::super::audit::{Action, Subject};
use super::super::fields::{Defined, Fields};
use super::super::{By, Error, Generation, Noun, Result};
use super::column::{Id, Json, Number};
use super::{Control, audit};

fn find(
    connection: &Connection,
    tenant: TenantId,
    name: &FieldName,
) -> rusqlite::Result<Option<Definition>> {
    connection
        .prepare_cached("SELECT definition FROM fields WHERE tenant_id = ?1 AND name = ?2")?
        .query_row(params![Id(tenant.0), name.as_str()], |row| row.get::<_, Json<_>>(0))
        .optional()
        .map(|found| found.map(|Json(definition)| definition))
}

fn generation(connection: &Connection, tenant: TenantId) -> rusqlite::Result<Generation> {
    connection
        .prepare_cached("SELECT generation FROM field_generations WHERE tenant_id = ?1")?
        .query_row([Id(tenant.0)], |row| row.get::<_, Number>(0))
        .optional()
        .map(|found| Generation(found.map_or(0, |Number(generation)| generation)))
}

#[async_trait]
impl Fields for Control {
    async fn put_field(
        &self,
        tenant: TenantId,
        definition: &Definition,
        by: &By,
    ) -> Result<Generation> {
        let (definition, by) = (definition.clone(), by.clone());
        self.connections
            .write(move |transaction| {
                if find(transaction, tenant, &definition.name)?.as_ref() == Some(&definition) {
                    return Ok(generation(transaction, tenant)?);
                }
                transaction
                    .prepare_cached(
                        "INSERT INTO fields (tenant_id, name, definition) VALUES (?1, ?2, ?3) \
                         ON CONFLICT DO UPDATE SET definition = excluded.definition",
                    )?
                    .execute(params![Id(tenant.0), definition.name.as_str(), Json(&definition)])?;
                transaction
                    .prepare_cached(
                        "INSERT INTO field_generations (tenant_id, generation) VALUES (?1, 1) \
                         ON CONFLICT DO UPDATE SET generation = generation + 1",
                    )?
                    .execute([Id(tenant.0)])?;
                let subject = (Subject::Field, definition.name.to_string());
                audit::write(transaction, tenant, &by, Action::FieldDefined, subject)?;
                Ok(generation(transaction, tenant)?)
            })
            .await
    }

    async fn field(&self, tenant: TenantId, name: &FieldName) -> Result<Definition> {
        let name = name.clone();
        let found =
            self.connections.read(move |snapshot| Ok(find(snapshot, tenant, &name)?)).await?;
        found.ok_or(Error::NotFound(Noun::Field))
    }

    async fn fields(&self, tenant: TenantId) -> Result<Defined> {
        self.connections
            .read(move |snapshot| {
                let definitions = snapshot
                    .prepare_cached("SELECT definition FROM fields WHERE tenant_id = ?1")?
                    .query_map([Id(tenant.0)], |row| row.get::<_, Json<Definition>>(0))?
                    .map(|row| row.map(|Json(field)| (field.name.clone(), field)))
                    .collect::<rusqlite::Result<Definitions>>()?;
                Ok(Defined { generation: generation(snapshot, tenant)?, definitions })
            })
            .await
    }
}
