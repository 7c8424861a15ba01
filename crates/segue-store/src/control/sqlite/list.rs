//! Pages of a list, read from one snapshot.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql, Transaction, params_from_iter};

use super::super::list::{Value, listing};
use super::super::{Cursor, Listing, Page, Result};

pub(super) use super::super::list::{List, Order};

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Id(id) => ValueRef::Blob(id.as_bytes()),
        }))
    }
}

impl List {
    /// Reads a page, and counts the whole list.
    pub(super) fn page<T>(
        self,
        snapshot: &Transaction<'_>,
        page: Page,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
        key: fn(&T) -> Cursor,
    ) -> Result<Listing<T>> {
        let count = self.count();
        let total = snapshot
            .prepare_cached(&count.statement)?
            .query_row(params_from_iter(&count.values), |row| row.get(0))?;
        let select = self.select(page);
        let items = snapshot
            .prepare_cached(&select.statement)?
            .query_map(params_from_iter(&select.values), read)?
            .collect::<rusqlite::Result<Vec<T>>>()?;
        Ok(listing(items, total, page, key))
    }
}
