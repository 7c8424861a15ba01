//! `X-Request-ID`: one name for a request in the caller's log, in ours and in the answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Clock;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken, in bytes.
const LONGEST: usize = 128;

/// What the caller calls the request, if that can stand in a log; a name of our own otherwise.
pub fn of(headers: &HeaderMap, clock: &dyn Clock) -> HeaderValue {
    match headers.get(HEADER) {
        Some(given) if is_printable(given.as_bytes()) => given.clone(),
        Some(_) | None => HeaderValue::try_from(clock.new_id().to_string())
            .expect("a UUID is made of letters that a header may have"),
    }
}

/// The id as text: it is ASCII.
pub fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

/// Whether it is one word of visible ASCII, and no longer than a log line has room for.
fn is_printable(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn id_for(given: &'static [u8]) -> HeaderValue {
        let value = HeaderValue::from_bytes(given).unwrap();
        of(&HeaderMap::from_iter([(HEADER, value)]), &SystemClock)
    }

    #[test]
    fn an_id_that_can_stand_in_a_log_is_kept() {
        assert_eq!(id_for(b"order-77/try=2"), "order-77/try=2");
    }

    #[test]
    fn an_id_that_cannot_is_replaced() {
        for given in [&b""[..], b"two words", b"tab\tbed", b"\xc3\xa9", &[b'x'; 129]] {
            let id = id_for(given);
            assert_eq!(text(&id).len(), 36, "{id:?} for {given:?}");
        }
        assert_ne!(of(&HeaderMap::new(), &SystemClock), of(&HeaderMap::new(), &SystemClock));
    }
}
