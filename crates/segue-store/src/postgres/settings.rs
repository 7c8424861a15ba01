//! Where a PostgreSQL database is and how Segue uses it: checked before anything connects.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};

use super::Kind;

/// How many connections a pool may have, unless the settings say otherwise.
const POOL_SIZE: usize = 16;

/// The most connections that a pool may have.
const LARGEST_POOL: usize = 1_000;

/// How long the making of a connection may take, TLS and login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a statement waits for another transaction's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a transaction may stand idle, such as that of a process that hangs or of a machine that is gone,
/// before the server ends it and frees its locks. Less than others wait for those locks: no transaction of
/// ours idles longer than a round trip, and one that is ended too soon is done again.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest that any time-out may be.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A silent connection is probed after so long, and then as often; a server that vanished without a word
/// is noticed after about three times that.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long sent bytes may stay unacknowledged before the connection counts as lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Names in PostgreSQL are cut beyond this.
const LONGEST_NAME: usize = 63;

/// A setting that cannot be used. Never shows the password of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidSetting {
    /// Which one: `url`, `schema`, `pool_size`, …
    pub setting: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl InvalidSetting {
    fn new(setting: &'static str, message: impl Into<String>) -> Self {
        Self { setting, message: message.into() }
    }
}

/// Where a database is and how it is used. Shows itself without its password.
///
/// ```
/// use segue_store::postgres::Settings;
///
/// let settings = Settings::new("postgres://segue:secret@db.example:5432/segue")?.with_pool_size(8)?;
/// assert_eq!(settings.to_string(), "postgres://segue@db.example:5432/segue");
/// assert!(Settings::new("postgres://segue@db.example").is_err(), "no database is named");
/// # Ok::<(), segue_store::postgres::InvalidSetting>(())
/// ```
#[derive(Clone)]
pub struct Settings {
    server: Config,
    schema: Option<String>,
    pool_size: usize,
    connect_timeout: Duration,
    statement_timeout: Duration,
    lock_timeout: Duration,
    tls_ca: Option<PathBuf>,
}

impl Settings {
    /// The database at `url`, with defaults for everything else: the schema of the part of Segue that
    /// uses it, 16 connections, 5 s to connect and to wait for a lock, 30 s for a statement, TLS verified
    /// against the public authorities where the server offers it.
    ///
    /// # Errors
    /// [`InvalidSetting`] of `url`: it is not one of PostgreSQL, or names no host, user or database.
    pub fn new(url: &str) -> Result<Self, InvalidSetting> {
        let invalid = |message: &str| Err(InvalidSetting::new("url", message));
        const FORM: &str = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with characters such as \
                            / ? # @ : in the password percent-encoded";
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return invalid(FORM);
        }
        // What the library says about a URL may repeat a piece of the password.
        let Ok(server) = always_verified(url).parse::<Config>() else {
            return invalid(&format!(
                "this is not a URL of PostgreSQL, or has a parameter that is not known (those of libpq's \
                 connection strings are, but certificates are named by tls_ca, and sslmode is disable, \
                 prefer or require); {FORM}"
            ));
        };
        if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
            return invalid(&format!("the URL names no host; {FORM}"));
        }
        let is_torn = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if server.get_hosts().iter().any(is_torn) {
            return invalid(&format!("the URL has more than one @; {FORM}"));
        }
        if server.get_user().is_none_or(str::is_empty) {
            return invalid(&format!("the URL names no user; {FORM}"));
        }
        if server.get_dbname().is_none_or(str::is_empty) {
            return invalid(&format!("the URL names no database; {FORM}"));
        }
        Ok(Self {
            connect_timeout: server.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT),
            server,
            schema: None,
            pool_size: POOL_SIZE,
            statement_timeout: STATEMENT_TIMEOUT,
            lock_timeout: LOCK_TIMEOUT,
            tls_ca: None,
        })
    }

    /// The same database, in this schema.
    ///
    /// # Errors
    /// [`InvalidSetting`] of `schema`: it is no plain name, or one that PostgreSQL keeps for itself.
    pub fn with_schema(mut self, schema: &str) -> Result<Self, InvalidSetting> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = !schema.is_empty()
            && schema.len() <= LONGEST_NAME
            && schema.bytes().all(plain)
            && !schema.as_bytes()[0].is_ascii_digit();
        if !is_name || schema.starts_with("pg_") || schema == "information_schema" {
            return Err(InvalidSetting::new(
                "schema",
                format!(
                    "`{schema}` is not allowed; allowed are up to {LONGEST_NAME} of a-z, 0-9 and _, not \
                     beginning with a digit or pg_"
                ),
            ));
        }
        self.schema = Some(schema.to_owned());
        Ok(self)
    }

    /// The same database, with at most so many connections.
    ///
    /// # Errors
    /// [`InvalidSetting`] of `pool_size`: 1 to 1000 are allowed.
    pub fn with_pool_size(mut self, pool_size: usize) -> Result<Self, InvalidSetting> {
        if !(1..=LARGEST_POOL).contains(&pool_size) {
            let message = format!("{pool_size} is not allowed; allowed are 1 to {LARGEST_POOL}");
            return Err(InvalidSetting::new("pool_size", message));
        }
        self.pool_size = pool_size;
        Ok(self)
    }

    /// The same database, with so much time to make a connection, TLS and login included.
    ///
    /// # Errors
    /// [`InvalidSetting`] of `connect_timeout_ms`: 1 ms to an hour are allowed.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Result<Self, InvalidSetting> {
        self.connect_timeout = limited("connect_timeout_ms", timeout)?;
        Ok(self)
    }

    /// The same database, with so much time for a statement.
    ///
    /// # Errors
    /// [`InvalidSetting`] of `statement_timeout_ms`: 1 ms to an hour are allowed.
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Result<Self, InvalidSetting> {
        self.statement_timeout = limited("statement_timeout_ms", timeout)?;
        Ok(self)
    }

    /// The same database, with so much time to wait for another transaction's lock.
    ///
    /// # Errors
    /// [`InvalidSetting`] of `lock_timeout_ms`: 1 ms to an hour are allowed.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Result<Self, InvalidSetting> {
        self.lock_timeout = limited("lock_timeout_ms", timeout)?;
        Ok(self)
    }

    /// The same database, whose certificate must be of an authority in this PEM file. It is read when the
    /// database is opened.
    #[must_use]
    pub fn with_tls_ca(mut self, file: PathBuf) -> Self {
        self.tls_ca = Some(file);
        self
    }

    /// The same database, with this password instead of the URL's.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.server.password(password);
        self
    }

    /// Whether both are the same schema of the same database, as far as their names tell.
    #[must_use]
    pub fn is_same_place(&self, kind: Kind, other: &Self, other_kind: Kind) -> bool {
        self.server.get_hosts() == other.server.get_hosts()
            && self.server.get_hostaddrs() == other.server.get_hostaddrs()
            && self.server.get_ports() == other.server.get_ports()
            && self.server.get_dbname() == other.server.get_dbname()
            && self.schema(kind) == other.schema(other_kind)
    }

    /// The schema that this part of Segue uses.
    #[must_use]
    pub fn schema(&self, kind: Kind) -> &str {
        self.schema.as_deref().unwrap_or(kind.default_schema())
    }

    /// At most so many connections.
    #[must_use]
    pub fn pool_size(&self) -> usize {
        self.pool_size
    }

    /// So much time for a statement.
    #[must_use]
    pub fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        let hosts = self.server.get_hosts().len().max(self.server.get_hostaddrs().len()).max(1);
        self.connect_timeout.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX))
    }

    pub(super) fn tls_ca(&self) -> Option<&Path> {
        self.tls_ca.as_deref()
    }

    pub(super) fn user(&self) -> &str {
        self.server.get_user().unwrap_or_default()
    }

    /// What every connection is made with, so that no statement has to set it.
    pub(super) fn connection(&self, kind: Kind) -> Config {
        let mut config = self.server.clone();
        let own = format!(
            "-c search_path={} -c statement_timeout={} -c lock_timeout={} \
             -c idle_in_transaction_session_timeout={} -c client_min_messages=warning \
             -c default_transaction_isolation=read\\ committed \
             -c plan_cache_mode=force_generic_plan",
            self.schema(kind),
            self.statement_timeout.as_millis(),
            self.lock_timeout.as_millis(),
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
        );
        let options = match self.server.get_options() {
            Some(given) => format!("{given} {own}"),
            None => own,
        };
        config.options(options).connect_timeout(self.connect_timeout);
        if self.server.get_application_name().is_none() {
            config.application_name("segue");
        }
        if self.server.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(2);
        // Of several servers one is the primary; the others would refuse every write.
        if self.server.get_hosts().len().max(self.server.get_hostaddrs().len()) > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
    }
}

/// The modes by which libpq is told to verify certificates mean no more here than `require`: whenever TLS
/// is used they are verified.
fn always_verified(url: &str) -> String {
    match url.split_once('?') {
        Some((place, parameters)) => {
            let parameters = parameters
                .replace("sslmode=verify-full", "sslmode=require")
                .replace("sslmode=verify-ca", "sslmode=require");
            format!("{place}?{parameters}")
        }
        None => url.to_owned(),
    }
}

fn limited(setting: &'static str, timeout: Duration) -> Result<Duration, InvalidSetting> {
    if (Duration::from_millis(1)..=LONGEST_TIMEOUT).contains(&timeout) {
        return Ok(timeout);
    }
    let message = format!(
        "{} is not allowed; allowed are 1 to {}",
        timeout.as_millis(),
        LONGEST_TIMEOUT.as_millis()
    );
    Err(InvalidSetting::new(setting, message))
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user())?;
        let ports = self.server.get_ports();
        for (nth, host) in self.server.get_hosts().iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = ports.get(nth).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.server.get_dbname().unwrap_or_default())?;
        match &self.schema {
            Some(schema) => write!(f, ", schema {schema}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("database", &self.to_string())
            .field("pool_size", &self.pool_size)
            .field("connect_timeout", &self.connect_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("tls_ca", &self.tls_ca)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://segue:s3cr3t@db.example:5433/orders";

    #[test]
    fn nothing_shows_the_password() {
        let settings = Settings::new(URL).unwrap().with_password("0ther");
        let shown = format!("{settings} {settings:?} {:?}", settings.connection(Kind::Events));
        assert!(!shown.contains("s3cr3t") && !shown.contains("0ther"), "{shown}");
        assert!(shown.contains("postgres://segue@db.example:5433/orders"), "{shown}");
        for wrong in [
            "postgres://u:s3cr3t@h:port/d",
            "postgres://u:p@ss?s3cr3t=1@h/d",
            "postgres://u:p@s3cr3t@h/d",
            "my://s3cr3t@h",
        ] {
            let error = Settings::new(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_in_a_url_is_named() {
        let message = |url| Settings::new(url).unwrap_err().to_string();
        assert!(message("postgres://segue@db.example").contains("no database"));
        assert!(message("postgres://db.example/orders").contains("no user"));
        assert!(message("postgres:///orders?user=u").contains("no host"));
        assert!(message("mysql://h/d").contains("postgres://USER"));
        assert!(
            message(&format!("{URL}?sslmode=sometimes")).contains("disable, prefer or require")
        );
    }

    #[test]
    fn verified_modes_of_libpq_are_accepted() {
        for mode in ["verify-full", "verify-ca", "require", "prefer", "disable"] {
            Settings::new(&format!("{URL}?sslmode={mode}")).unwrap();
        }
    }

    #[test]
    fn settings_have_limits() {
        let settings = || Settings::new(URL).unwrap();
        assert_eq!(settings().with_pool_size(0).unwrap_err().setting, "pool_size");
        assert_eq!(settings().with_pool_size(1001).unwrap_err().setting, "pool_size");
        settings().with_statement_timeout(Duration::ZERO).unwrap_err();
        settings().with_lock_timeout(Duration::from_secs(3601)).unwrap_err();
        for name in ["", "Big", "a-b", "1a", "pg_x", "information_schema", "a b", "a;b"] {
            assert_eq!(settings().with_schema(name).unwrap_err().setting, "schema");
        }
        settings().with_schema("tenants_2").unwrap();
    }

    #[test]
    fn a_connection_carries_its_limits_and_the_options_of_the_url() {
        let url = format!("{URL}?options=-c%20work_mem%3D8MB");
        let settings =
            Settings::new(&url).unwrap().with_lock_timeout(Duration::from_secs(1)).unwrap();
        let config = settings.connection(Kind::Control);
        let options = config.get_options().unwrap();
        for part in ["work_mem=8MB", "search_path=segue_control", "lock_timeout=1000"] {
            assert!(options.contains(part), "{options}");
        }
        assert_eq!(config.get_application_name(), Some("segue"));
    }

    #[test]
    fn two_urls_of_one_schema_are_one_place() {
        let here = Settings::new(URL).unwrap();
        let same =
            Settings::new("postgres://other@db.example:5433/orders?sslmode=disable").unwrap();
        let both = |a: &Settings, kind, b: &Settings, other| a.is_same_place(kind, b, other);
        assert!(both(&here, Kind::Events, &same, Kind::Events));
        assert!(!both(&here, Kind::Events, &same, Kind::Control));
        let named = same.with_schema("segue_events").unwrap();
        assert!(both(&here, Kind::Events, &named, Kind::Control));
    }
}
