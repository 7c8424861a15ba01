//! The key of an endpoint, which nothing prints.

use std::fmt;

use axum::http::HeaderValue;

/// A key that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(HeaderValue);

impl Key {
    /// A key, unless it is blank or no header can hold it. The white space around it is not part of it.
    ///
    /// ```
    /// use segue::language::Key;
    ///
    /// let key = Key::new("sk-s3cr3t\n").expect("it is a key");
    /// assert_eq!(format!("{key:?}"), "Key(…)");
    /// assert!(Key::new(" ").is_none() && Key::new("a\nb").is_none());
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        (!text.is_empty()).then_some(Self(value))
    }

    /// The `Authorization` of a request.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
