//! What may be spent on a language model: requests in an hour and tokens in a day, by tenant and in all.
//!
//! Before a request the most that it can cost is reserved, and afterwards what it did cost is settled; so a
//! limit is never passed, however many ask at once. Hours and days are those of UTC. Each server counts for
//! itself from its start on: what lies in memory here saves money and decides nothing about data.

use std::collections::HashMap;

use jiff::Timestamp;
use segue_core::ids::TenantId;

/// So many tenants are counted one by one; a further one in the same hour or day gets nothing.
const TENANTS: usize = 100_000;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// The most of something in one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Of all tenants together.
    pub in_all: u64,
    /// Of one tenant.
    pub per_tenant: u64,
}

/// What may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests, retries among them.
    pub requests_per_hour: Limit,
    /// Tokens, in and out.
    pub tokens_per_day: Limit,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    /// Requests in this hour.
    #[error("extraction.max_requests_per_hour is reached")]
    Requests,
    /// Requests in this hour of this tenant.
    #[error("extraction.max_requests_per_hour_per_tenant is reached")]
    RequestsOfTenant,
    /// Tokens in this day.
    #[error("extraction.max_tokens_per_day leaves no room for one more request")]
    Tokens,
    /// Tokens in this day of this tenant.
    #[error("extraction.max_tokens_per_day_per_tenant leaves no room for one more request")]
    TokensOfTenant,
}

/// Tokens that are set aside for a request under way.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what a request did cost is to be settled"]
pub struct Reserved {
    tenant: TenantId,
    tokens: u64,
    day: i64,
}

/// What was spent so far.
#[derive(Debug)]
pub struct Spending {
    limits: Limits,
    requests: Span,
    tokens: Span,
}

/// What was spent in one hour or day.
#[derive(Debug, Default)]
struct Span {
    /// Which hour or day since 1970.
    number: i64,
    in_all: u64,
    by_tenant: HashMap<TenantId, u64>,
}

enum Over {
    InAll,
    OfTenant,
}

impl Span {
    /// Begins anew when the time has come. A clock that is put back begins nothing.
    fn turn_to(&mut self, number: i64) {
        if number > self.number {
            *self = Self { number, ..Self::default() };
        }
    }

    fn admits(&self, tenant: TenantId, more: u64, limit: Limit) -> Result<(), Over> {
        let of_tenant = self.by_tenant.get(&tenant).copied();
        if self.in_all.saturating_add(more) > limit.in_all {
            return Err(Over::InAll);
        }
        let is_counted = of_tenant.is_some() || self.by_tenant.len() < TENANTS;
        if !is_counted || of_tenant.unwrap_or(0).saturating_add(more) > limit.per_tenant {
            return Err(Over::OfTenant);
        }
        Ok(())
    }

    fn add(&mut self, tenant: TenantId, more: u64) {
        self.in_all = self.in_all.saturating_add(more);
        let of_tenant = self.by_tenant.entry(tenant).or_default();
        *of_tenant = of_tenant.saturating_add(more);
    }

    fn take_back(&mut self, tenant: TenantId, less: u64) {
        self.in_all = self.in_all.saturating_sub(less);
        if let Some(of_tenant) = self.by_tenant.get_mut(&tenant) {
            *of_tenant = of_tenant.saturating_sub(less);
        }
    }
}

impl Spending {
    /// Nothing is spent.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, requests: Span::default(), tokens: Span::default() }
    }

    /// Counts a request and sets aside the most tokens that it can cost.
    ///
    /// # Errors
    /// The limit that it would pass; then nothing is counted.
    pub fn reserve(
        &mut self,
        tenant: TenantId,
        tokens: u64,
        now: Timestamp,
    ) -> Result<Reserved, Spent> {
        let seconds = now.as_second();
        let day = seconds.div_euclid(DAY);
        self.requests.turn_to(seconds.div_euclid(HOUR));
        self.tokens.turn_to(day);
        let Limits { requests_per_hour, tokens_per_day } = self.limits;
        self.requests.admits(tenant, 1, requests_per_hour).map_err(|over| match over {
            Over::InAll => Spent::Requests,
            Over::OfTenant => Spent::RequestsOfTenant,
        })?;
        self.tokens.admits(tenant, tokens, tokens_per_day).map_err(|over| match over {
            Over::InAll => Spent::Tokens,
            Over::OfTenant => Spent::TokensOfTenant,
        })?;
        self.requests.add(tenant, 1);
        self.tokens.add(tenant, tokens);
        Ok(Reserved { tenant, tokens, day: self.tokens.number })
    }

    /// Notes what a request did cost.
    pub fn settle(&mut self, reserved: Reserved, tokens: u64) {
        if reserved.day != self.tokens.number {
            return;
        }
        self.tokens.take_back(reserved.tenant, reserved.tokens);
        self.tokens.add(reserved.tenant, tokens);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;

    const ANN: TenantId = TenantId(Uuid::from_u128(1));
    const BOB: TenantId = TenantId(Uuid::from_u128(2));
    const CAT: TenantId = TenantId(Uuid::from_u128(3));

    fn spending() -> Spending {
        Spending::new(Limits {
            requests_per_hour: Limit { in_all: 3, per_tenant: 2 },
            tokens_per_day: Limit { in_all: 1_000, per_tenant: 600 },
        })
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-27T{time}Z").parse().unwrap()
    }

    #[test]
    fn one_tenant_leaves_the_others_their_requests_until_the_hour_is_over() {
        let mut spending = spending();
        let mut ask = |tenant, time| spending.reserve(tenant, 1, at(time)).map(drop);
        assert_eq!(ask(ANN, "10:00:00"), Ok(()));
        assert_eq!(ask(ANN, "10:20:00"), Ok(()));
        assert_eq!(ask(ANN, "10:59:59"), Err(Spent::RequestsOfTenant));
        assert_eq!(ask(BOB, "10:59:59"), Ok(()));
        assert_eq!(ask(CAT, "10:59:59"), Err(Spent::Requests));
        assert_eq!(ask(ANN, "11:00:00"), Ok(()));
        assert_eq!(ask(ANN, "10:59:00"), Ok(()), "a clock that is put back");
        assert_eq!(ask(ANN, "10:59:30"), Err(Spent::RequestsOfTenant), "starts no hour");
    }

    #[test]
    fn tokens_are_set_aside_for_requests_under_way_and_settled_by_what_they_cost() {
        let mut spending = spending();
        let first = spending.reserve(ANN, 400, at("10:00:00")).unwrap();
        let over = spending.reserve(ANN, 400, at("10:00:00"));
        assert_eq!(over, Err(Spent::TokensOfTenant));
        spending.settle(first, 100);
        let second = spending.reserve(ANN, 400, at("10:00:00")).unwrap();
        assert_eq!(spending.reserve(BOB, 600, at("10:00:00")), Err(Spent::Tokens));
        spending.settle(second, 700);
        assert_eq!(spending.reserve(ANN, 1, at("11:00:00")), Err(Spent::TokensOfTenant));
    }

    #[test]
    fn what_is_settled_after_midnight_belongs_to_the_day_before() {
        let mut spending = spending();
        let late = spending.reserve(ANN, 500, at("23:59:59")).unwrap();
        let next = at("23:59:59") + SignedDuration::from_secs(2);
        let new = spending.reserve(ANN, 600, next);
        spending.settle(late, 600);
        assert!(new.is_ok() && spending.reserve(ANN, 1, next).is_err());
    }
}
