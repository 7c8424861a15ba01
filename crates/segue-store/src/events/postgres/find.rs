//! Lists and counts over the facets of snapshots, as SQL.
//!
//! Each is one statement, planned for its values: a filter that matches ten streams and one that matches a
//! million want different ways through the indexes.

use std::fmt::Write as _;

use jiff::Timestamp;
use segue_core::ids::{TenantId, Version};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::columns::Parameter;
use super::link::{Failure, Work};
use super::read::{admitted, is_found};
use super::rows::{self, HEAD, HEAD_COLUMNS, STATE, integer, of};
use crate::events::query::order_key;
use crate::events::{
    Choice, Count, CountBy, CountQuery, Cursor, Filter, Settled, SnapshotPage, SnapshotQuery,
    limits,
};
use crate::postgres::Client;

/// A value of a condition.
enum Value {
    Uuid(Uuid),
    Uuids(Vec<Uuid>),
    Text(String),
    Texts(Vec<String>),
    Number(i64),
    Numbers(Vec<i64>),
    Flag(bool),
}

impl Value {
    fn parameter(&self) -> (Parameter<'_>, Type) {
        match self {
            Self::Uuid(value) => (value, Type::UUID),
            Self::Uuids(values) => (values, Type::UUID_ARRAY),
            Self::Text(value) => (value, Type::TEXT),
            Self::Texts(values) => (values, Type::TEXT_ARRAY),
            Self::Number(value) => (value, Type::INT8),
            Self::Numbers(values) => (values, Type::INT8_ARRAY),
            Self::Flag(value) => (value, Type::BOOL),
        }
    }
}

/// A condition in SQL with its values, numbered from `$1`, which is the tenant.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn of_type(tenant: TenantId, stream_type: &str) -> Self {
        let mut all =
            Self { sql: "tenant_id = $1".to_owned(), values: vec![Value::Uuid(tenant.0)] };
        all.and("stream_type = ?", Value::Text(stream_type.to_owned()));
        all
    }

    /// Adds a condition on one value, which stands in it as `?`.
    fn and(&mut self, sql: &str, value: Value) {
        self.values.push(value);
        let place = format!("${}", self.values.len());
        let sql = sql.replace('?', &place);
        write!(self.sql, " AND {sql}").expect("a string takes everything");
    }

    fn and_filter(&mut self, filter: &Filter) {
        if let Some(id) = filter.scenario_id {
            self.and("scenario_id = ?", Value::Uuid(id.0));
        }
        if let Some(live) = filter.live {
            self.and("live = ?", Value::Flag(live));
        }
        self.and_choice("scenario_version", &filter.versions, |versions: &[Version]| {
            Value::Numbers(versions.iter().map(|version| integer(version.0)).collect())
        });
        self.and_choice("step_id", &filter.steps, |steps| {
            Value::Texts(steps.iter().map(|step| step.as_str().to_owned()).collect())
        });
        self.and_choice("channel", &filter.channels, |channels| {
            Value::Texts(channels.iter().map(|channel| channel.as_str().to_owned()).collect())
        });
        if let Some(id) = &filter.customer_id {
            self.and("customer_id = ?", Value::Text(id.as_str().to_owned()));
        }
        let micros = |time: Timestamp| Value::Number(time.as_microsecond());
        if let Some(from) = filter.started_from {
            self.and("started_at >= ?", micros(from));
        }
        if let Some(until) = filter.started_until {
            self.and("started_at <= ?", micros(until));
        }
        match &filter.settled {
            None => {}
            Some(Settled::By(plan)) => self.and("settled = ?", Value::Uuid(plan.0)),
            Some(Settled::NotBy(plans)) => {
                let plans = plans.iter().map(|plan| plan.0).collect();
                self.and("(settled IS NULL OR settled <> ALL (?))", Value::Uuids(plans));
            }
        }
    }

    fn and_choice<T>(&mut self, column: &str, choice: &Choice<T>, list: impl Fn(&[T]) -> Value) {
        match choice {
            Choice::Any => {}
            Choice::Only(values) => self.and(&format!("{column} = ANY (?)"), list(values)),
            Choice::Except(values) => {
                let sql = format!("({column} IS NULL OR {column} <> ALL (?))");
                self.and(&sql, list(values));
            }
        }
    }

    /// Narrows to what at least one filter admits, or to what none does. A comparison with an empty
    /// column is neither true nor false in SQL; here it is false.
    fn and_any(&mut self, filters: &[Filter], truth: &str) {
        if filters.is_empty() {
            return;
        }
        self.sql.push_str(" AND (");
        for (nth, filter) in filters.iter().enumerate() {
            self.sql.push_str(if nth == 0 { "(true" } else { " OR (true" });
            self.and_filter(filter);
            self.sql.push(')');
        }
        write!(self.sql, ") IS {truth}").expect("a string takes everything");
    }

    fn parameters(&self) -> Vec<(Parameter<'_>, Type)> {
        self.values.iter().map(Value::parameter).collect()
    }
}

fn condition(query: &SnapshotQuery) -> Condition {
    let mut all = Condition::of_type(query.tenant, &query.stream_type);
    all.sql.push_str(" AND listed_at IS NOT NULL");
    all.and_filter(&query.filter);
    all.and_any(&query.any_of, "TRUE");
    all.and_any(&query.none_of, "NOT TRUE");
    all
}

impl Work for SnapshotQuery {
    type Answer = SnapshotPage;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    async fn run(&self, client: &Client) -> Result<SnapshotPage, Failure> {
        let mut matches = condition(self);
        let (total, counted) = match &self.after {
            // From the caller, who may have made it up.
            Some(cursor) => (format!("{}::bigint", integer(cursor.total)), String::new()),
            None => {
                let most = match self.counting.stops_at() {
                    Some(most) => format!("LIMIT {}", integer(most)),
                    None => String::new(),
                };
                let counted = format!(
                    "CROSS JOIN (SELECT count(*) AS n FROM ( \
                        SELECT FROM streams WHERE {} {most}) matching) counted",
                    matches.sql
                );
                ("counted.n".to_owned(), counted)
            }
        };
        if let Some(after) = &self.after {
            matches.and("(listed_at, stream_id) < (?, ", Value::Number(after.started_at));
            matches.values.push(Value::Text(after.stream.as_str().to_owned()));
            write!(matches.sql, "${})", matches.values.len()).expect("a string takes everything");
        }
        let limit = self.limit.clamp(1, limits::SNAPSHOTS_PER_PAGE);
        let sql = format!(
            "SELECT {HEAD}, {}, {total} FROM tenant_head head {counted} LEFT JOIN LATERAL ( \
                SELECT {STATE}, listed_at FROM streams WHERE {} \
                ORDER BY listed_at DESC, stream_id DESC LIMIT {}) page ON true \
             WHERE head.tenant_id = $1 ORDER BY page.listed_at DESC, page.stream_id DESC",
            of("page", STATE),
            matches.sql,
            limit + 1
        );
        let rows = client.query_typed(&sql, &matches.parameters()).await?;
        admitted(&rows, self.tenant, self.access)?;
        let mut streams = Vec::with_capacity(rows.len());
        let mut total = 0;
        for row in &rows {
            total = rows::number(row, HEAD_COLUMNS + rows::STATE_COLUMNS)?;
            if is_found(row)? {
                streams.push(rows::state(row, HEAD_COLUMNS)?);
            }
        }
        let more = streams.len() > limit;
        streams.truncate(limit);
        let next = streams.last().filter(|_| more).map(|last| Cursor {
            started_at: last.snapshot.as_ref().map_or(0, |taken| order_key(&taken.facets)),
            total,
            stream: last.stream_id.clone(),
        });
        Ok(SnapshotPage { streams, total, next })
    }
}

impl Work for CountQuery {
    type Answer = Vec<Count>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    async fn run(&self, client: &Client) -> Result<Vec<Count>, Failure> {
        let mut matches = Condition::of_type(self.tenant, &self.stream_type);
        // Whatever has a scenario has a snapshot; the index over the facets knows the one and not the other.
        if self.filter.scenario_id.is_none() {
            matches.sql.push_str(" AND listed_at IS NOT NULL");
        }
        matches.and_filter(&self.filter);
        const COLUMNS: [&str; 4] = ["scenario_version", "step_id", "channel", "checkpoints"];
        let fine = match self.by {
            CountBy::Version => 1,
            CountBy::Step => 2,
            CountBy::Channel => 3,
            CountBy::Checkpoints => 4,
        };
        let (groups, rest) = COLUMNS.split_at(fine);
        let groups = groups.join(", ");
        let rest: String = rest.iter().map(|column| format!(", NULL AS {column}")).collect();
        // A list of checkpoints that is too long for the index stands in any stream of its group.
        let sql = format!(
            "SELECT {HEAD}, groups.n, scenario_version, step_id, channel, \
                CASE WHEN checkpoints LIKE '#%' THEN ( \
                    SELECT long.checkpoints_long FROM streams long \
                    WHERE long.tenant_id = $1 AND long.checkpoints = groups.checkpoints LIMIT 1) \
                ELSE checkpoints END \
             FROM tenant_head head LEFT JOIN ( \
                SELECT {groups}{rest}, count(*) AS n FROM streams WHERE {} GROUP BY {groups}) groups \
             ON true WHERE head.tenant_id = $1",
            matches.sql
        );
        let rows = client.query_typed(&sql, &matches.parameters()).await?;
        admitted(&rows, self.tenant, self.access)?;
        let mut counts = Vec::with_capacity(rows.len());
        for row in &rows {
            if is_found(row)? {
                counts.push(Count {
                    n: rows::number(row, HEAD_COLUMNS)?,
                    scenario_version: rows::maybe_number(row, HEAD_COLUMNS + 1)?.map(Version),
                    step_id: rows::maybe_parsed(row, HEAD_COLUMNS + 2)?,
                    channel: rows::maybe_parsed(row, HEAD_COLUMNS + 3)?,
                    checkpoints: rows::checkpoints(row, HEAD_COLUMNS + 4)?,
                });
            }
        }
        // As every store answers: the groups in order, what is empty first.
        counts.sort_unstable();
        Ok(counts)
    }
}
