//! Pages of a list by keyset: the rows after a key, however many came or went before it.

use rusqlite::types::Value;
use rusqlite::{Row, Transaction};

use super::super::{Cursor, Listing, Page, Result};

/// What a list is ordered by. The key is unique, so the order is total.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// The highest number first, and the highest id first among equal numbers.
    Descending {
        /// The number's column.
        rank: &'static str,
        /// The id's column.
        id: &'static str,
    },
    /// The highest number first; numbers are unique.
    Highest(&'static str),
    /// The lowest id first.
    ById(&'static str),
}

/// A list: which columns of which rows, in which order.
pub(super) struct List {
    columns: &'static str,
    rows: &'static str,
    order: Order,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl List {
    pub(super) fn new(columns: &'static str, rows: &'static str, order: Order) -> Self {
        Self { columns, rows, order, conditions: Vec::new(), values: Vec::new() }
    }

    /// Only rows whose column has this value.
    pub(super) fn only(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.conditions.push(format!("{column} = ?{}", self.values.len()));
        self
    }

    /// Only rows whose column has this value, if there is one.
    pub(super) fn only_if(self, column: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.only(column, value),
            None => self,
        }
    }

    /// Only rows of which this is true.
    pub(super) fn that(mut self, condition: &str) -> Self {
        self.conditions.push(condition.to_owned());
        self
    }

    /// Reads a page, and counts the whole list.
    pub(super) fn page<T>(
        mut self,
        snapshot: &Transaction<'_>,
        page: Page,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
        key: fn(&T) -> Cursor,
    ) -> Result<Listing<T>> {
        let limit = page.limit.max(1) as usize;
        let total = self.total(snapshot)?;
        if let Some(after) = page.after {
            self.continue_after(after);
        }
        let order = match self.order {
            Order::Descending { rank, id } => format!("{rank} DESC, {id} DESC"),
            Order::Highest(rank) => format!("{rank} DESC"),
            Order::ById(id) => id.to_owned(),
        };
        // One row more than asked for tells whether there is a next page.
        let statement = format!(
            "SELECT {} FROM {}{} ORDER BY {order} LIMIT {}",
            self.columns,
            self.rows,
            self.clause(),
            limit + 1
        );
        let mut items = snapshot
            .prepare_cached(&statement)?
            .query_map(rusqlite::params_from_iter(&self.values), read)?
            .collect::<rusqlite::Result<Vec<T>>>()?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Ok(Listing { items, total, next })
    }

    fn total(&self, snapshot: &Transaction<'_>) -> Result<u64> {
        let statement = format!("SELECT count(*) FROM {}{}", self.rows, self.clause());
        let total: i64 = snapshot
            .prepare_cached(&statement)?
            .query_row(rusqlite::params_from_iter(&self.values), |row| row.get(0))?;
        Ok(total.unsigned_abs())
    }

    fn continue_after(&mut self, after: Cursor) {
        let next = self.values.len() + 1;
        let id = || Value::Blob(after.id.as_bytes().to_vec());
        match self.order {
            Order::Descending { rank, id: column } => {
                self.conditions.push(format!("({rank}, {column}) < (?{next}, ?{})", next + 1));
                self.values.extend([Value::Integer(after.rank), id()]);
            }
            Order::Highest(rank) => {
                self.conditions.push(format!("{rank} < ?{next}"));
                self.values.push(Value::Integer(after.rank));
            }
            Order::ById(column) => {
                self.conditions.push(format!("{column} > ?{next}"));
                self.values.push(id());
            }
        }
    }

    fn clause(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", self.conditions.join(" AND "))
    }
}

/// An id as a list compares it.
pub(super) fn blob(id: uuid::Uuid) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}
