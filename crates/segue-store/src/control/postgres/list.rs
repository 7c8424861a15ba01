//! Pages of a list, read in one round trip.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::list::{Query, listing};
use super::super::{Cursor, Listing, Page, Result};
use super::statement::rows;

pub(super) use super::super::list::{List, Order};

impl List {
    /// Reads a page, and counts the whole list beside it.
    pub(super) async fn fetch<T>(
        self,
        client: &impl GenericClient,
        page: Page,
        read: fn(&Row) -> Result<T>,
        key: fn(&T) -> Cursor,
    ) -> Result<Listing<T>> {
        let count = self.count();
        let select = self.select(page);
        let (total, found) = tokio::try_join!(run(client, &count), run(client, &select))?;
        let total = total.first().map_or(Ok(0), |row| row.try_get(0))?;
        let items = found.iter().map(read).collect::<Result<Vec<T>>>()?;
        Ok(listing(items, total, page, key))
    }
}

async fn run(client: &impl GenericClient, query: &Query) -> Result<Vec<Row>> {
    let values: Vec<&(dyn ToSql + Sync)> =
        query.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
    rows(client, &query.statement.replace('?', "$"), &values).await
}
