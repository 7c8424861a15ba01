//! The API keys: made, rotated, revoked, and recognised.
//!
//! Hashing a secret takes some 20 ms, so a key that was recognised is remembered by its SHA-256, and asked
//! for again in the control plane when that memory is old or something about keys was decided.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use segue_core::ids::{KeyId, TenantId};
use segue_store::control::audit::{PLATFORM, Subject};
use segue_store::control::keys::{KEYS, Key, Role, Roles};
use segue_store::control::{
    By, Changes, Conflict, ControlPlane, Error as ControlError, Listing, Noun, Page, Unavailable,
};
use tokio::sync::{Semaphore, watch};

use super::secret::Secret;
use super::{Denied, End, Error};
use crate::clock::Clock;

/// How long a key is believed to be what it was, when nothing else is heard of it.
pub const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// Secrets that are hashed at once, so that whoever tries wrong ones does not take the processor.
const HASHED_AT_ONCE: usize = 2;

/// Credentials that are looked up in the control plane at once, so that whoever makes them up does not take
/// its connections.
const LOOKED_UP_AT_ONCE: usize = 8;

/// How long a request waits to have its credential looked up, and how long to have its secret hashed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wrong secrets that may be tried for one key in a second.
const TRIES_PER_SECOND: u32 = 5;

/// How long no secret is tried for a key after too many wrong ones.
const SHUT_FOR: Duration = Duration::from_secs(1);

/// How often it is written down that a key is in use.
const USED_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Whose or what it is for.
    pub name: String,
    /// What its bearer may do.
    pub roles: Roles,
    /// The only tenant that it is for.
    pub tenant: Option<TenantId>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Requests per second; as configured if there is none.
    pub requests_per_second: Option<NonZeroU32>,
}

/// Why a key cannot be made as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It has no name, or a long one, or one with control characters.
    #[error("a key has a name of 1 to 100 bytes, without control characters")]
    Name,
    /// It could do nothing.
    #[error("a key has at least one of app, operator and platform")]
    NoRole,
    /// An application could reach every tenant.
    #[error("a key with the role app is for one tenant; name it")]
    AppWithoutTenant,
    /// The platform is nobody's alone.
    #[error("the role platform is about all tenants; leave the tenant out, or the role")]
    PlatformWithTenant,
    /// What belongs to no tenant is kept under this id.
    #[error("ffffffff-ffff-ffff-ffff-ffffffffffff is no tenant")]
    NotATenant,
    /// It would open nothing.
    #[error("it has passed already")]
    Expired,
}

impl Invalid {
    /// The part of what was asked for that it is about, where the API has it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Name => "/name",
            Self::NoRole => "/roles",
            Self::AppWithoutTenant | Self::PlatformWithTenant | Self::NotATenant => "/tenant_id",
            Self::Expired => "/expires_at",
        }
    }
}

impl NewKey {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        if !(1..=100).contains(&self.name.len())
            || self.name.trim().is_empty()
            || self.name.chars().any(char::is_control)
        {
            return Err(Invalid::Name);
        }
        if self.roles.0.is_empty() {
            return Err(Invalid::NoRole);
        }
        if self.roles.any_of(&[Role::App]) && self.tenant.is_none() {
            return Err(Invalid::AppWithoutTenant);
        }
        if self.tenant == Some(PLATFORM) {
            return Err(Invalid::NotATenant);
        }
        if self.roles.any_of(&[Role::Platform]) && self.tenant.is_some() {
            return Err(Invalid::PlatformWithTenant);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Invalid::Expired);
        }
        Ok(())
    }
}

/// Why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum Rotation {
    /// It has ended: a new one would revive it.
    #[error("the key {0} is over; make a new one instead")]
    Over(String),
    /// The control plane's answer.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// What is heard of decisions about keys, from a moment on.
#[derive(Debug)]
pub struct Heard(watch::Receiver<u64>);

impl Heard {
    /// Hears once more what was heard last: whoever heard it may have been stopped before it was looked into.
    pub fn again(&mut self) {
        self.0.mark_changed();
    }

    /// Waits until something may have been decided since this was asked the last time.
    pub async fn something(&mut self) {
        if self.0.changed().await.is_err() {
            // The keyring is gone, and nothing will be.
            std::future::pending().await
        }
    }
}

/// What the keyring remembers of a key that was recognised.
#[derive(Debug)]
struct Known {
    key: Arc<Key>,
    read_at: Instant,
    /// The keyring's, before it was read.
    generation: u64,
    /// When its use was written down, in seconds since 1970.
    used_at: Arc<AtomicI64>,
}

/// The API keys of an installation, as one process knows them.
pub struct Keyring {
    control: Arc<dyn ControlPlane>,
    clock: Arc<dyn Clock>,
    known: Cache<[u8; 32], Arc<Known>>,
    /// Counts how often something may have been decided about keys.
    generation: watch::Sender<u64>,
    looking_up: Semaphore,
    hashing: Arc<Semaphore>,
    /// Wrong secrets.
    tries: DefaultKeyedRateLimiter<KeyId>,
    /// Keys for which too many were tried, and until when no more are.
    shut: Cache<KeyId, Instant>,
}

impl Keyring {
    /// Knows no key yet, and listens for what is decided about them.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(control: Arc<dyn ControlPlane>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let tries = NonZeroU32::new(TRIES_PER_SECOND).expect("it is not 0");
        let changes = control.changes();
        let keyring = Arc::new(Self {
            control,
            clock,
            known: Cache::new(KEYS),
            generation: watch::Sender::new(0),
            looking_up: Semaphore::new(LOOKED_UP_AT_ONCE),
            hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
            tries: RateLimiter::keyed(Quota::per_second(tries)),
            shut: Cache::new(KEYS),
        });
        tokio::spawn(follow(changes, Arc::downgrade(&keyring)));
        keyring
    }

    /// Recognises a key that was shown.
    ///
    /// # Errors
    /// [`Denied`], or the control plane cannot be asked.
    pub async fn recognise(&self, shown: &str) -> Result<Arc<Key>, Error> {
        let secret = Secret::parse(shown).ok_or(Denied::UnknownKey)?;
        let fingerprint = secret.fingerprint();
        let generation = self.generation();
        if let Some(known) = self.believed(&fingerprint, generation) {
            return self.valid(known.key.clone());
        }
        let looking_up = self.in_turn(async {
            // Whoever was before may have looked the same key up.
            match self.believed(&fingerprint, generation) {
                Some(known) => Ok((known.key.clone(), true)),
                None => self.look_up(&secret).await.map(|key| (key, false)),
            }
        });
        let (key, is_checked) = looking_up.await??;
        if !is_checked {
            self.check(&secret, fingerprint, generation, &key).await?;
        }
        self.valid(key)
    }

    /// What is remembered of a secret, if that is new enough.
    fn believed(&self, fingerprint: &[u8; 32], generation: u64) -> Option<Arc<Known>> {
        let known = self.known.get(fingerprint)?;
        let is_new = known.generation == generation && known.read_at.elapsed() < BELIEVED_FOR;
        is_new.then(|| {
            self.note_use(&known);
            known
        })
    }

    /// Reads a key, whose bearer was recognised before.
    ///
    /// # Errors
    /// [`Denied`], or the control plane cannot be asked.
    pub async fn of_session(&self, id: KeyId) -> Result<Arc<Key>, Error> {
        match self.control.key(id).await {
            Ok(key) => self.valid(Arc::new(key)),
            Err(ControlError::NotFound(_)) => Err(Denied::UnknownKey.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn valid(&self, key: Arc<Key>) -> Result<Arc<Key>, Error> {
        match End::of(&key, self.clock.now()) {
            None => Ok(key),
            Some(how) => Err(Denied::Over { name: key.name.clone(), how }.into()),
        }
    }

    /// Asks the control plane for the key of a secret's prefix.
    async fn look_up(&self, secret: &Secret) -> Result<Arc<Key>, Error> {
        match self.control.key_by_prefix(secret.prefix()).await {
            Ok(key) => Ok(Arc::new(key)),
            Err(ControlError::NotFound(Noun::Key)) => Err(Denied::UnknownKey.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a secret is this key's, which is remembered then. A secret that was hashed before is not hashed
    /// again, as long as its verifier is the same.
    async fn check(
        &self,
        secret: &Secret,
        fingerprint: [u8; 32],
        generation: u64,
        key: &Arc<Key>,
    ) -> Result<(), Error> {
        let before = self.known.get(&fingerprint);
        let was_hashed = before.as_ref().is_some_and(|before| before.key.verifier == key.verifier);
        if !was_hashed && !self.is_the_one(secret, fingerprint, key).await? {
            tracing::warn!(prefix = secret.prefix(), "a wrong secret was shown for an API key");
            return Err(Denied::UnknownKey.into());
        }
        let used_at = before.map_or_else(Arc::default, |before| before.used_at.clone());
        let known = Known { key: key.clone(), read_at: Instant::now(), generation, used_at };
        self.note_use(&known);
        self.known.insert(fingerprint, Arc::new(known));
        Ok(())
    }

    /// Hashes the secret, unless that was done while this request waited for its turn.
    async fn is_the_one(
        &self,
        secret: &Secret,
        fingerprint: [u8; 32],
        key: &Key,
    ) -> Result<bool, Denied> {
        if self.shut.get(&key.id).is_some_and(|until| Instant::now() < until) {
            return Err(Denied::TooManyTries);
        }
        let permit = self.hashing.clone().acquire_owned();
        let permit = tokio::time::timeout(PATIENCE, permit).await;
        let permit = permit.map_err(|_elapsed| Denied::TooManyTries)?;
        if self.known.get(&fingerprint).is_some_and(|known| known.key.verifier == key.verifier) {
            return Ok(true);
        }
        let (secret, verifier) = (secret.clone(), key.verifier.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            let is_the_one = secret.is(&verifier);
            (is_the_one, permit)
        });
        // The permit is given back when what was found out is remembered, or was wrong.
        let (is_the_one, permit) = hashed.await.expect("hashing does not panic");
        if is_the_one {
            self.remember_hashed(fingerprint, key);
        } else if self.tries.check_key(&key.id).is_err() {
            self.shut.insert(key.id, Instant::now() + SHUT_FOR);
        }
        drop(permit);
        Ok(is_the_one)
    }

    /// Keeps that a secret was hashed, for those that wait to have it hashed too. What else is known of its key
    /// is as of a generation that never was, so nobody believes it.
    fn remember_hashed(&self, fingerprint: [u8; 32], key: &Key) {
        let known = Known {
            key: Arc::new(key.clone()),
            read_at: Instant::now(),
            generation: u64::MAX,
            used_at: Arc::default(),
        };
        self.known.insert(fingerprint, Arc::new(known));
    }

    /// Writes down that a key is in use, from time to time, and nobody waits for it.
    fn note_use(&self, known: &Known) {
        let now = self.clock.now();
        let before = known.used_at.load(Ordering::Relaxed);
        if now.as_second() - before < USED_EVERY.as_secs()
            || known
                .used_at
                .compare_exchange(before, now.as_second(), Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let (control, id) = (self.control.clone(), known.key.id);
        tokio::spawn(async move {
            if let Err(error) = control.key_used(id, now).await {
                tracing::debug!(%error, "could not write down that a key is in use");
            }
        });
    }

    /// Changes whenever something may have been decided about a key.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Hears from now on whether something may have been decided about a key.
    #[must_use]
    pub fn heard(&self) -> Heard {
        Heard(self.generation.subscribe())
    }

    /// Looks a credential up when it is its turn.
    ///
    /// # Errors
    /// The control plane is busy, if that takes too long.
    pub async fn in_turn<T>(&self, look_up: impl Future<Output = T>) -> Result<T, ControlError> {
        let looked_up = tokio::time::timeout(PATIENCE, async {
            let _turn = self.looking_up.acquire().await.expect("it is never closed");
            look_up.await
        });
        let busy = |elapsed| ControlError::Unavailable(Unavailable::Busy, Box::new(elapsed));
        looked_up.await.map_err(busy)
    }

    /// Believes nothing that it remembers of keys; the next request asks again. That a secret was hashed stays
    /// true.
    fn forget(&self) {
        self.generation.send_modify(|generation| *generation += 1);
        self.tries.retain_recent();
    }

    /// Makes a key of this id, and answers with its secret, which nobody can read again.
    ///
    /// # Errors
    /// [`ControlError::Exists`] if there is a key of this id; the control plane's.
    pub async fn create(
        &self,
        id: KeyId,
        new: NewKey,
        by: &By,
    ) -> Result<(Key, Secret), ControlError> {
        let (key, secret) = made(id, new, by).await;
        self.control.create_key(&key, &about(&key, by)).await?;
        Ok((key, secret))
    }

    /// Makes a key of this id in another one's place, which goes on for `overlap`.
    ///
    /// # Errors
    /// [`Rotation::Over`] if it has ended; [`ControlError::NotFound`]; [`ControlError::Exists`] if there is a
    /// key of this id; the control plane's.
    pub async fn rotate(
        &self,
        old: KeyId,
        overlap: Duration,
        id: KeyId,
        by: &By,
    ) -> Result<(Key, Secret), Rotation> {
        let before = self.control.key(old).await?;
        let new = NewKey {
            name: before.name.clone(),
            roles: before.roles,
            tenant: before.tenant,
            expires_at: before.expires_at,
            requests_per_second: before
                .requests_per_second
                .and_then(|rate| u32::try_from(rate).ok())
                .and_then(NonZeroU32::new),
        };
        let (key, secret) = made(id, new, by).await;
        let ends_at = by.at.checked_add(overlap).unwrap_or(Timestamp::MAX);
        let rotated = self.control.rotate_key(old, ends_at, &key, &about(&key, by)).await;
        rotated.map_err(|error| match error {
            ControlError::Conflict(Conflict::KeyOver) => Rotation::Over(before.name),
            other => other.into(),
        })?;
        self.forget();
        Ok((key, secret))
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], and the control plane's.
    pub async fn revoke(&self, id: KeyId, by: &By) -> Result<Key, ControlError> {
        let revoked = self.control.revoke_key(id, by).await;
        self.forget();
        revoked
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn key(&self, id: KeyId) -> Result<Key, ControlError> {
        self.control.key(id).await
    }

    /// Lists keys, the newest first.
    ///
    /// # Errors
    /// The control plane's.
    pub async fn list(&self, page: Page) -> Result<Listing<Key>, ControlError> {
        self.control.list_keys(page).await
    }
}

/// A key as it is to be kept, and its secret.
async fn made(id: KeyId, new: NewKey, by: &By) -> (Key, Secret) {
    let hashed = tokio::task::spawn_blocking(|| {
        let secret = Secret::generate();
        let verifier = secret.verifier();
        (secret, verifier)
    });
    let (secret, verifier) = hashed.await.expect("hashing does not panic");
    let NewKey { name, roles, tenant, expires_at, requests_per_second } = new;
    let key = Key {
        id,
        prefix: secret.prefix().to_owned(),
        name,
        roles,
        tenant,
        verifier,
        requests_per_second: requests_per_second.map(|rate| u64::from(rate.get())),
        created_at: by.at,
        created_by: by.actor.clone(),
        expires_at,
        superseded_at: None,
        revoked_at: None,
        used_at: None,
    };
    (key, secret)
}

/// The line of the audit that tells of a new key.
fn about(key: &Key, by: &By) -> By {
    by.with("name", key.name.clone())
        .with("roles", key.roles.to_string())
        .with("tenant_id", key.tenant.map(|tenant| tenant.to_string()))
}

/// Forgets keys as soon as something about them was decided anywhere.
async fn follow(mut changes: Changes, keyring: Weak<Keyring>) {
    loop {
        let changed = changes.next().await;
        let Some(keyring) = keyring.upgrade() else { return };
        if changed.concerns(PLATFORM, Subject::Key) {
            keyring.forget();
        }
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}
