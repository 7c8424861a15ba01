//! Whether a browser sent a request from a page of this server (protection against cross-site request
//! forgery and DNS rebinding).
//!
//! Browsers say so: `Sec-Fetch-Site` since 2023, `Origin` on every request that changes something since
//! 2020. Clients that are no browsers send neither, and carry no cookie that another page could make use of.
//! The rule is that of Go's `http.CrossOriginProtection`; a request with the cookie of a console session
//! must bring one of the two headers. See docs/decisions/0116.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use serde::{Deserialize, Serialize};

use super::Denied;

/// Whose page a browser sends a request for.
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a server is called from outside, such as `https://segue.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl {
    origin: String,
}

impl PublicUrl {
    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// The host, with the port if there is one.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.origin.split_once("://").map_or(&self.origin, |(_, authority)| authority)
    }
}

/// Says why a text is not the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be scheme and host, such as https://segue.example.com, without a path")]
pub struct NotPublicUrl;

impl FromStr for PublicUrl {
    type Err = NotPublicUrl;
    fn from_str(text: &str) -> Result<Self, NotPublicUrl> {
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| NotPublicUrl)?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        match (scheme, authority, uri.path(), uri.query()) {
            (Some(scheme), Some(authority), "/" | "", None) => {
                // Browsers leave the port out where it goes without saying.
                let usual = if scheme == "https" { ":443" } else { ":80" };
                let authority = authority.as_str();
                let authority = authority.strip_suffix(usual).unwrap_or(authority);
                Ok(Self { origin: format!("{scheme}://{authority}").to_ascii_lowercase() })
            }
            _ => Err(NotPublicUrl),
        }
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = NotPublicUrl;
    fn try_from(text: String) -> Result<Self, NotPublicUrl> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.origin
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// What a request must bring to show that no other site sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: without the headers of a browser it is from no browser.
    IfBrowser,
    /// One of the headers: it carries a cookie, so a browser sent it.
    Always,
}

/// Refuses what a page of another site may have sent.
///
/// # Errors
/// [`Denied::CrossOrigin`].
pub fn check(
    method: &Method,
    headers: &HeaderMap,
    public: Option<&PublicUrl>,
    proof: Proof,
) -> Result<(), Denied> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text(&header::ORIGIN);
    let from = |what: &str| Err(Denied::CrossOrigin { from: shortened(what) });
    if origin.zip(public).is_some_and(|(origin, public)| public.origin.eq_ignore_ascii_case(origin))
    {
        return Ok(());
    }
    match (text(&SEC_FETCH_SITE), origin) {
        (Some("same-origin" | "none"), _) => Ok(()),
        (Some(site), origin) => from(origin.unwrap_or(site)),
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
            match text(&header::HOST) {
                Some(host) if host.eq_ignore_ascii_case(authority) => Ok(()),
                Some(_) | None => from(origin),
            }
        }
        (None, None) => match proof {
            Proof::IfBrowser => Ok(()),
            Proof::Always => from("it did not say which"),
        },
    }
}

/// Refuses a name that is not that of the loopback, nor the server's own: a page on the web whose name was
/// made to point here would be same-origin with everything.
///
/// # Errors
/// [`Denied::WrongHost`].
pub fn check_host(headers: &HeaderMap, public: Option<&PublicUrl>) -> Result<(), Denied> {
    // HTTP/1.0 has no such header, and browsers always send it.
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or("?");
    let is_own = public.is_some_and(|public| public.authority().eq_ignore_ascii_case(host));
    let name = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_own || is_loopback {
        return Ok(());
    }
    Err(Denied::WrongHost { host: shortened(host) })
}

/// What a stranger sent, short enough for a message.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    fn post(pairs: &[(&'static str, &'static str)], proof: Proof) -> Result<(), Denied> {
        let public = "https://segue.example.com".parse().unwrap();
        check(&Method::POST, &headers(pairs), Some(&public), proof)
    }

    #[test]
    fn only_pages_of_this_server_may_change_anything() {
        for own in [
            &[("host", "127.0.0.1:8000"), ("sec-fetch-site", "same-origin")][..],
            &[("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:8000")],
            &[("host", "10.0.0.1:8000"), ("origin", "https://segue.example.com")],
            &[
                ("host", "10.0.0.1"),
                ("origin", "https://segue.example.com"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            assert_eq!(post(own, Proof::Always), Ok(()), "{own:?}");
        }
        for other in [
            &[("host", "127.0.0.1:8000"), ("sec-fetch-site", "cross-site")][..],
            &[("host", "127.0.0.1:8000"), ("sec-fetch-site", "same-site")],
            &[("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:9000")],
            &[("host", "127.0.0.1:8000"), ("origin", "null")],
            &[("origin", "http://evil.example")],
        ] {
            for proof in [Proof::Always, Proof::IfBrowser] {
                assert!(matches!(post(other, proof), Err(Denied::CrossOrigin { .. })), "{other:?}");
            }
        }
        assert_eq!(post(&[("host", "a")], Proof::IfBrowser), Ok(()), "curl");
        assert!(post(&[("host", "a")], Proof::Always).is_err());
    }

    #[test]
    fn reading_is_open_to_links_from_anywhere() {
        let from_elsewhere = headers(&[("sec-fetch-site", "cross-site")]);
        assert_eq!(check(&Method::GET, &from_elsewhere, None, Proof::Always), Ok(()));
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_refused() {
        let public = "https://segue.example.com:8443".parse().unwrap();
        for own in
            ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "segue.example.com:8443"]
        {
            assert_eq!(check_host(&headers(&[("host", own)]), Some(&public)), Ok(()), "{own}");
        }
        for other in
            ["evil.example", "evil.example:8000", "10.0.0.1:8000", "localhost.evil.example", ""]
        {
            assert!(check_host(&headers(&[("host", other)]), Some(&public)).is_err(), "{other}");
        }
    }

    #[test]
    fn a_public_url_is_scheme_and_host() {
        let url: PublicUrl = "https://Segue.example.com/".parse().unwrap();
        assert_eq!(url.to_string(), "https://segue.example.com");
        assert!(url.is_secure());
        let usual: PublicUrl = "https://segue.example.com:443".parse().unwrap();
        assert_eq!(usual, url);
        for wrong in
            ["segue.example.com", "ftp://a", "https://a/console", "https://u@a", "https://a?b", ""]
        {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }
}
