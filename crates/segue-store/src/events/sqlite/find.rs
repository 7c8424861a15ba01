//! Lists and counts over the facets of snapshots, as SQL.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use segue_core::ids::{TenantId, Version};

use super::rows::{self, STATE, fail, parsed};
use crate::events::query::order_key;
use crate::events::{
    Choice, Count, CountBy, CountQuery, Counting, Cursor, Filter, Result, Settled, SnapshotPage,
    SnapshotQuery, limits,
};

/// A list that matches no more streams than this finds them by what they have in common and sorts them; one
/// that matches more walks all streams from the newest on and meets a page of matches soon.
const SORTED_AT_MOST: u64 = 10_000;

/// A condition in SQL with its values, in order.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    /// What every stream of a type with a snapshot admits, and `filter` too.
    fn of_type(tenant: TenantId, stream_type: &str, filter: &Filter) -> Self {
        let mut all = Self { sql: "tenant_id = ?".to_owned(), values: Vec::with_capacity(8) };
        all.values.push(Value::Blob(tenant.0.as_bytes().to_vec()));
        all.and("stream_type = ?", [Value::Text(stream_type.to_owned())]);
        // Whatever has a scenario has a snapshot; the index over the facets knows the one and not the other.
        if filter.scenario_id.is_none() {
            all.and("snapshot_version IS NOT NULL", []);
        }
        all.and_filter(filter);
        all
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    fn and_filter(&mut self, filter: &Filter) {
        if let Some(id) = filter.scenario_id {
            self.and("scenario_id = ?", [Value::Blob(id.0.as_bytes().to_vec())]);
        }
        match filter.live {
            Some(live) => self.and("live = ?", [Value::Integer(live.into())]),
            // Spelled out, so that the index is used past this column.
            None => self.and("live IN (0, 1)", []),
        }
        let version = |version: &Version| match i64::try_from(version.0) {
            Ok(number) => Value::Integer(number),
            // No column has it.
            Err(_) => Value::Text(version.to_string()),
        };
        let text = |text: &str| Value::Text(text.to_owned());
        self.and_choice("scenario_version", &filter.versions, version);
        self.and_choice("step_id", &filter.steps, |step| text(step.as_str()));
        self.and_choice("channel", &filter.channels, |channel| text(channel.as_str()));
        if let Some(id) = &filter.customer_id {
            self.and("customer_id = ?", [Value::Text(id.as_str().to_owned())]);
        }
        let micros = |time: Timestamp| Value::Integer(time.as_microsecond());
        if let Some(from) = filter.started_from {
            self.and("started_at >= ?", [micros(from)]);
        }
        if let Some(until) = filter.started_until {
            self.and("started_at <= ?", [micros(until)]);
        }
        match &filter.settled {
            None => {}
            Some(Settled::By(plan)) => {
                self.and("settled IS ?", [Value::Blob(plan.0.as_bytes().to_vec())]);
            }
            Some(Settled::NotBy(plans)) => {
                for plan in plans {
                    self.and("settled IS NOT ?", [Value::Blob(plan.0.as_bytes().to_vec())]);
                }
            }
        }
    }

    /// A list travels as one JSON value, so that its length is not bound by SQLite's number of variables. A single
    /// value is compared as such, which is quicker.
    fn and_choice<T>(&mut self, column: &str, choice: &Choice<T>, value: impl Fn(&T) -> Value) {
        let list = |values: &[T]| {
            let json = values.iter().map(|each| match value(each) {
                Value::Integer(number) => serde_json::Value::from(number),
                Value::Text(text) => serde_json::Value::from(text),
                Value::Null | Value::Real(_) | Value::Blob(_) => serde_json::Value::Null,
            });
            Value::Text(serde_json::Value::Array(json.collect()).to_string())
        };
        let (values, is_wanted) = match choice {
            Choice::Any => return,
            Choice::Only(values) => (&values[..], true),
            Choice::Except(values) => (&values[..], false),
        };
        match (values, is_wanted) {
            ([], false) => {}
            ([one], true) => self.and(&format!("{column} = ?"), [value(one)]),
            ([one], false) => self.and(&format!("{column} IS NOT ?"), [value(one)]),
            (many, true) => {
                let sql = format!("{column} IN (SELECT value FROM json_each(?))");
                self.and(&sql, [list(many)]);
            }
            (many, false) => {
                let sql = format!(
                    "({column} IS NULL OR {column} NOT IN (SELECT value FROM json_each(?)))"
                );
                self.and(&sql, [list(many)]);
            }
        }
    }

    /// Narrows to what at least one filter admits, or to what none does. A comparison with an empty
    /// column is neither true nor false in SQL; here it is false.
    fn and_any(&mut self, filters: &[Filter], truth: &str) {
        if filters.is_empty() {
            return;
        }
        let mut any = Self { sql: String::new(), values: Vec::new() };
        any.or(filters);
        self.and(&format!("({}) IS {truth}", any.sql), any.values);
    }

    /// What at least one filter admits. Halved again and again, because SQLite refuses expressions that
    /// nest deeper than a thousand levels, and `a OR b OR c` nests one level for each.
    fn or(&mut self, filters: &[Filter]) {
        match filters {
            [] => {}
            [only] => {
                self.sql.push_str("(1");
                self.and_filter(only);
                self.sql.push(')');
            }
            many => {
                let (left, right) = many.split_at(many.len() / 2);
                self.sql.push('(');
                self.or(left);
                self.sql.push_str(" OR ");
                self.or(right);
                self.sql.push(')');
            }
        }
    }
}

impl SnapshotQuery {
    fn condition(&self) -> Condition {
        let mut all = Condition::of_type(self.tenant, &self.stream_type, &self.filter);
        all.and_any(&self.any_of, "TRUE");
        all.and_any(&self.none_of, "NOT TRUE");
        all
    }
}

/// The page that a list asks for.
pub(super) fn list(conn: &Connection, query: &SnapshotQuery) -> Result<SnapshotPage> {
    let mut matches = query.condition();
    let total = match &query.after {
        Some(cursor) => cursor.total,
        None => count_all(conn, &matches, query.counting)?,
    };
    if total == 0 {
        return Ok(SnapshotPage { streams: Vec::new(), total, next: None });
    }
    if let Some(after) = &query.after {
        let stream = Value::Text(after.stream.as_str().to_owned());
        // The index is used for a comparison of its column, and not for one of a pair: without this a page
        // would walk over all pages before it.
        matches.and("ifnull(started_at, 0) <= ?", [Value::Integer(after.started_at)]);
        let place = [Value::Integer(after.started_at), stream];
        matches.and("(ifnull(started_at, 0), stream_id) < (?, ?)", place);
    }
    let way = Way::of(query, total);
    if way == Way::ByAge {
        // The index by age holds these only, and is used where that is said.
        matches.and("snapshot_version IS NOT NULL", []);
    }
    let limit = query.limit.clamp(1, limits::SNAPSHOTS_PER_PAGE);
    let sql = format!(
        "SELECT {STATE} FROM streams {} WHERE {} ORDER BY {} LIMIT {}",
        way.index(),
        matches.sql,
        way.order(),
        limit + 1,
    );
    let page = || {
        let mut statement = conn.prepare_cached(&sql)?;
        let found = statement.query_map(params_from_iter(matches.values), rows::state)?;
        found.collect::<rusqlite::Result<Vec<_>>>()
    };
    let mut streams = page().map_err(fail)?;
    let more = streams.len() > limit;
    streams.truncate(limit);
    let next = streams.last().filter(|_| more).map(|last| Cursor {
        started_at: last.snapshot.as_ref().map_or(0, |taken| order_key(&taken.facets)),
        total,
        stream: last.stream_id.clone(),
    });
    Ok(SnapshotPage { streams, total, next })
}

/// How a page of a list is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the newest stream on, until the page is full.
    ByAge,
    /// Everything that matches, by the index over what it has in common, and then sorted.
    Sorted,
}

impl Way {
    /// The one for a list that matches `total`, as far as that was counted.
    fn of(query: &SnapshotQuery, total: u64) -> Self {
        let has_index = query.filter.scenario_id.is_some() || query.filter.customer_id.is_some();
        let counted_to = query.counting.stops_at().map_or(u64::MAX, |stops_at| stops_at - 1);
        if has_index && total <= SORTED_AT_MOST.min(counted_to) {
            Self::Sorted
        } else {
            Self::ByAge
        }
    }

    fn index(self) -> &'static str {
        match self {
            Self::ByAge => "INDEXED BY streams_by_age",
            Self::Sorted => "",
        }
    }

    /// The plus signs keep SQLite from walking by age to save itself a short sort.
    fn order(self) -> &'static str {
        match self {
            Self::ByAge => "ifnull(started_at, 0) DESC, stream_id DESC",
            Self::Sorted => "+ifnull(started_at, 0) DESC, +stream_id DESC",
        }
    }
}

fn count_all(conn: &Connection, matches: &Condition, counting: Counting) -> Result<u64> {
    let most = match counting.stops_at() {
        Some(most) => format!("LIMIT {}", i64::try_from(most).unwrap_or(i64::MAX)),
        None => String::new(),
    };
    let count = || {
        let sql =
            format!("SELECT count(*) FROM (SELECT 1 FROM streams WHERE {} {most})", matches.sql);
        conn.prepare_cached(&sql)?
            .query_row(params_from_iter(&matches.values), |row| rows::number(row, 0))
    };
    count().map_err(fail)
}

/// The groups that a count asks for.
pub(super) fn count(conn: &Connection, query: &CountQuery) -> Result<Vec<Count>> {
    let matches = Condition::of_type(query.tenant, &query.stream_type, &query.filter);
    let columns = match query.by {
        CountBy::Version => "scenario_version, NULL, NULL, NULL",
        CountBy::Step => "scenario_version, step_id, NULL, NULL",
        CountBy::Channel => "scenario_version, step_id, channel, NULL",
        CountBy::Checkpoints => "scenario_version, step_id, channel, checkpoints",
    };
    let sql = format!(
        "SELECT {columns}, count(*) FROM streams WHERE {} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        matches.sql
    );
    let groups = || {
        let mut statement = conn.prepare_cached(&sql)?;
        let groups = statement.query_map(params_from_iter(matches.values), |row| {
            Ok(Count {
                scenario_version: rows::maybe_number(row, 0)?.map(Version),
                step_id: parsed(row, 1)?,
                channel: parsed(row, 2)?,
                checkpoints: rows::checkpoints(row, 3)?,
                n: rows::number(row, 4)?,
            })
        })?;
        groups.collect::<rusqlite::Result<Vec<_>>>()
    };
    groups().map_err(fail)
}
