//! Pages of a list by keyset: the rows after a key, however many came or went before it.
//!
//! The statements are the same in every database, save that parameters are written `?1` here and in
//! SQLite, `$1` in PostgreSQL. How one is run is the adapter's to say.

use uuid::Uuid;

use super::{Cursor, Listing, Page};

/// What a list is ordered by. The key is unique, so the order is total.
#[derive(Debug, Clone, Copy)]
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

/// What a column is compared with.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// An id.
    Id(Uuid),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Id(id)
    }
}

/// A statement and its parameters, in their order.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The text.
    pub statement: String,
    /// The parameters.
    pub values: Vec<Value>,
}

/// A list: which columns of which rows, in which order.
#[derive(Debug)]
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
    pub(super) fn only(self, column: &str, value: impl Into<Value>) -> Self {
        self.compared(column, "=", value.into())
    }

    /// Only rows whose column has this value, if there is one.
    pub(super) fn only_if(self, column: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.only(column, value),
            None => self,
        }
    }

    /// Only rows whose column has one of these values, if there are any.
    pub(super) fn only_among<V: Into<Value>>(
        mut self,
        column: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let bound: Vec<_> = values.into_iter().map(|value| self.bind(value.into())).collect();
        if !bound.is_empty() {
            self.conditions.push(format!("{column} IN ({})", bound.join(", ")));
        }
        self
    }

    /// Only rows whose column has this number or a higher one, if there is one.
    pub(super) fn from(self, column: &str, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.compared(column, ">=", Value::Number(number)),
            None => self,
        }
    }

    /// Only rows whose column has a lower number, if there is one.
    pub(super) fn below(self, column: &str, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.compared(column, "<", Value::Number(number)),
            None => self,
        }
    }

    fn compared(mut self, column: &str, sign: &str, value: Value) -> Self {
        let parameter = self.bind(value);
        self.conditions.push(format!("{column} {sign} {parameter}"));
        self
    }

    /// Only rows of which this is true.
    pub(super) fn that(mut self, condition: &str) -> Self {
        self.conditions.push(condition.to_owned());
        self
    }

    /// Counts the whole list.
    pub(super) fn count(&self) -> Query {
        let statement = format!("SELECT count(*) FROM {}{}", self.rows, self.clause());
        Query { statement, values: self.values.clone() }
    }

    /// Reads a page, and one row more, which tells whether there is a next one.
    pub(super) fn select(mut self, page: Page) -> Query {
        if let Some(after) = page.after {
            self.continue_after(after);
        }
        let order = match self.order {
            Order::Descending { rank, id } => format!("{rank} DESC, {id} DESC"),
            Order::Highest(rank) => format!("{rank} DESC"),
            Order::ById(id) => id.to_owned(),
        };
        let statement = format!(
            "SELECT {} FROM {}{} ORDER BY {order} LIMIT {}",
            self.columns,
            self.rows,
            self.clause(),
            limit(page) + 1
        );
        Query { statement, values: self.values }
    }

    fn continue_after(&mut self, after: Cursor) {
        let condition = match self.order {
            Order::Descending { rank, id } => {
                let last_rank = self.bind(Value::Number(after.rank));
                format!("({rank}, {id}) < ({last_rank}, {})", self.bind(Value::Id(after.id)))
            }
            Order::Highest(rank) => format!("{rank} < {}", self.bind(Value::Number(after.rank))),
            Order::ById(id) => format!("{id} > {}", self.bind(Value::Id(after.id))),
        };
        self.conditions.push(condition);
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn clause(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", self.conditions.join(" AND "))
    }
}

fn limit(page: Page) -> usize {
    page.limit.max(1) as usize
}

/// Makes a listing of the rows that [`List::select`] read.
pub(super) fn listing<T>(
    mut items: Vec<T>,
    total: i64,
    page: Page,
    key: fn(&T) -> Cursor,
) -> Listing<T> {
    let more = items.len() > limit(page);
    items.truncate(limit(page));
    let next = if more { items.last().map(key) } else { None };
    Listing { items, total: total.unsigned_abs(), next }
}
