//! The text of an API key: `segue_` + 12 hexadecimal digits that it is found by + `_` + 64 that are secret.
//!
//! The shape is fixed so that scanners for leaked secrets can look for it. 256 random bits cannot be
//! guessed; they are hashed with Argon2id all the same, so that a copy of the database opens nothing.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use segue_store::control::keys::Verifier;
use sha2::{Digest, Sha256};

/// What every key begins with.
const KIND: &str = "segue_";
/// Hexadecimal digits that a key is found by.
const PREFIX_DIGITS: usize = 12;
/// Hexadecimal digits that are secret.
const SECRET_DIGITS: usize = 64;

/// An API key as its bearer shows it. It does not show itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes a new one.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; (PREFIX_DIGITS + SECRET_DIGITS) / 2];
        getrandom::fill(&mut bytes).expect("the machine has randomness");
        let (prefix, secret) = bytes.split_at(PREFIX_DIGITS / 2);
        Self(format!("{KIND}{}_{}", hex(prefix), hex(secret)))
    }

    /// Reads what was sent; `None` if it has another shape, and so cannot be a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, secret) = text.strip_prefix(KIND)?.split_once('_')?;
        let is_hex = |digits: &str, length| {
            digits.len() == length
                && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        };
        (is_hex(prefix, PREFIX_DIGITS) && is_hex(secret, SECRET_DIGITS))
            .then(|| Self(text.to_owned()))
    }

    /// The public part that it is found by.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[KIND.len()..KIND.len() + PREFIX_DIGITS]
    }

    /// The whole key, for the one time that it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands for it in memory: nothing that would open anything elsewhere.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Hashes it, which takes some 20 ms.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let hashed: PasswordHash = Argon2::default()
            .hash_password(self.0.as_bytes())
            .expect("a key of this length can be hashed, and the machine has randomness");
        Verifier(hashed.to_string())
    }

    /// Whether it is the one that was hashed. Takes as long as hashing, and the same time for every wrong one.
    #[must_use]
    pub fn is(&self, verifier: &Verifier) -> bool {
        PasswordHash::new(&verifier.0).is_ok_and(|hashed| {
            Argon2::default().verify_password(self.0.as_bytes(), &hashed).is_ok()
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({KIND}{}_…)", self.prefix())
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_by_its_verifier_and_no_other_is() {
        let (key, other) = (Secret::generate(), Secret::generate());
        let verifier = key.verifier();
        assert!(verifier.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", verifier.0);
        assert!(key.is(&verifier));
        assert!(!other.is(&verifier));
        assert!(!key.is(&Verifier("not a hash".to_owned())));
    }

    #[test]
    fn a_key_reads_back_and_never_shows_itself_by_accident() {
        let key = Secret::generate();
        assert_eq!(Secret::parse(key.reveal()), Some(key.clone()));
        let shown = format!("{key:?}");
        assert!(shown.contains(key.prefix()));
        assert!(!shown.contains(&key.reveal()[20..]), "{shown}");
    }

    #[test]
    fn what_has_another_shape_is_not_a_key() {
        let key = Secret::generate();
        let key = key.reveal();
        for text in
            ["", "segue_", "Bearer x", &key[1..], &key[..key.len() - 1], &key.to_uppercase()]
        {
            assert_eq!(Secret::parse(text), None, "{text}");
        }
        assert_eq!(Secret::parse(&format!("{key}0")), None);
    }
}
