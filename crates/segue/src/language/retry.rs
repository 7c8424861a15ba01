//! What went wrong with a request, whether it is worth another one, and how long to wait before.

use std::time::Duration;

use jiff::Timestamp;

/// About the pause before the first retry.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause that failures make.
const LONGEST: Duration = Duration::from_secs(5);

/// Why a request brought no answer. It holds no word of what was sent or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection was made, or it broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It took longer than it may.
    #[error("it did not answer in time")]
    TimedOut,
    /// It answered with another status than 200.
    #[error("it answered with status {status}")]
    Status {
        /// The status.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// The answer is longer than any answer should be.
    #[error("its answer is too long")]
    TooLong,
    /// What it answered is no chat completion.
    #[error("what it answers is no chat completion")]
    Garbled,
}

/// When an endpoint wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this time.
    In(Duration),
    /// At this moment.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads the header of that name: seconds, or a date.
    #[must_use]
    pub fn read(header: &str) -> Option<Self> {
        let header = header.trim();
        match header.parse::<u64>() {
            Ok(seconds) => Some(Self::In(Duration::from_secs(seconds))),
            Err(_) => {
                let at = jiff::fmt::rfc2822::parse(header).ok()?;
                Some(Self::At(at.timestamp()))
            }
        }
    }

    /// How long that is from now on.
    #[must_use]
    pub fn from(self, now: Timestamp) -> Duration {
        match self {
            Self::In(time) => time,
            Self::At(at) => at.duration_since(now).try_into().unwrap_or_default(),
        }
    }
}

impl Fault {
    /// Whether the same request may succeed in a moment.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Status { status, .. } => *status == 429 || (500..=599).contains(status),
            Self::TooLong | Self::Garbled => false,
        }
    }

    /// Whether it says something of the endpoint. A request that is refused for what it holds does not:
    /// one customer's words must not take the model away from all others.
    #[must_use]
    pub fn is_of_the_endpoint(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::Garbled => true,
            Self::Status { status, .. } => !matches!(status, 400 | 413 | 422),
            Self::TooLong => false,
        }
    }

    /// Whether it may have been paid for: whoever gives up waiting does not know.
    #[must_use]
    pub fn may_cost(&self) -> bool {
        match self {
            Self::TimedOut | Self::TooLong | Self::Garbled => true,
            Self::Unreachable(_) | Self::Status { .. } => false,
        }
    }

    /// When the endpoint wants to be asked again, if it says so.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => retry_after.map(|after| after.from(now)),
            Self::Unreachable(_) | Self::TimedOut | Self::TooLong | Self::Garbled => None,
        }
    }

    /// The word for it in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Status { status: 429, .. } => "rate_limited",
            Self::Status { status: 500..=599, .. } => "server_error",
            Self::Status { .. } => "refused",
            Self::TooLong => "too_long",
            Self::Garbled => "garbled",
        }
    }
}

/// The pause after so many failures: it doubles, and half of it is chance (from 0 to 1), so that nobody
/// comes back in step with others.
#[must_use]
pub fn pause(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let half = doubled.min(LONGEST) / 2;
    half + half.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_half_of_each_is_chance() {
        let milliseconds = |failures, chance| pause(failures, chance).as_millis();
        assert_eq!((milliseconds(1, 0.0), milliseconds(1, 1.0)), (100, 200));
        assert_eq!((milliseconds(3, 0.0), milliseconds(3, 1.0)), (400, 800));
        assert_eq!((milliseconds(60, 0.0), milliseconds(60, 1.0)), (2_500, 5_000));
    }

    #[test]
    fn a_wish_for_a_later_request_is_read_as_seconds_and_as_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        let wait = |header| RetryAfter::read(header).map(|after| after.from(now).as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(wait("Sun, 06 Nov 1994 08:48:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let status = |status| Fault::Status { status, retry_after: None };
        let passing: Vec<u16> =
            [200, 302, 400, 401, 404, 408, 413, 422, 429, 500, 502, 503, 504].into();
        let passing: Vec<u16> = passing.into_iter().filter(|code| status(*code).passes()).collect();
        assert_eq!(passing, [429, 500, 502, 503, 504]);
        assert!(!status(400).is_of_the_endpoint() && status(401).is_of_the_endpoint());
    }
}
