//! `[control]` and `[stores]`: where things are kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use segue_core::ids::StoreId;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::postgres::{Options, Url};

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// The database of the control plane.
    pub url: Database,
    /// How it is used, if it is PostgreSQL.
    #[serde(flatten)]
    pub options: Options,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            url: Database::Sqlite(PathBuf::from("./segue-data/control.db")),
            options: Options::default(),
        }
    }
}

/// A database by its URL: `sqlite:PATH`, `memory:` or `postgres://…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// Nothing on disk; gone with the process.
    Memory,
    /// PostgreSQL.
    Postgres(Url),
}

const ALLOWED: &str =
    "is not a database; write sqlite:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE";

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if let Some(url) = Url::recognise(url) {
            return Ok(Self::Postgres(url));
        }
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("memory", "")) => Ok(Self::Memory),
            // What stands there may be a URL with a password.
            Some((scheme, _)) => Err(format!("`{scheme}:…` {ALLOWED}")),
            None => Err(format!("`{url}` {ALLOWED}")),
        }
    }
}

impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        url.parse()
    }
}

impl From<Database> for String {
    fn from(database: Database) -> Self {
        match database {
            Database::Sqlite(path) => format!("sqlite:{}", path.display()),
            Database::Memory => "memory:".to_owned(),
            Database::Postgres(url) => url.to_string(),
        }
    }
}

/// `[stores]`: every event store by id, and which one a new tenant lives in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stores {
    /// Where a new tenant lives.
    pub default: StoreId,
    /// The stores. Without any in the configuration: SQLite, as `shared`.
    #[serde(flatten)]
    pub by_id: BTreeMap<StoreId, Store>,
}

/// The id of the store that exists when none is configured.
const SHARED: &str = "shared";

impl Default for Stores {
    fn default() -> Self {
        let shared = StoreId::new(SHARED).expect("a short word is a store id");
        let store = Store::Sqlite { path: PathBuf::from("./segue-data/shared.db") };
        Self { default: shared.clone(), by_id: BTreeMap::from([(shared, store)]) }
    }
}

/// One event store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Store {
    /// A SQLite file.
    Sqlite {
        /// The file; its directory is made if it is missing.
        path: PathBuf,
    },
    /// Nothing on disk; gone with the process.
    Memory,
    /// PostgreSQL.
    Postgres {
        /// `postgres://…`
        url: Url,
        /// How it is used.
        #[serde(flatten)]
        options: Options,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Sqlite,
    Memory,
    Postgres,
}

/// A store as written. A tagged enum, or one struct in another, would lose the path to a wrong key, and so
/// its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStore {
    kind: Kind,
    path: Option<PathBuf>,
    url: Option<Url>,
    schema: Option<String>,
    pool_size: Option<usize>,
    connect_timeout_ms: Option<u64>,
    statement_timeout_ms: Option<u64>,
    lock_timeout_ms: Option<u64>,
    tls_ca: Option<PathBuf>,
    password_env: Option<String>,
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = WrittenStore::deserialize(deserializer)?;
        let options = Options {
            schema: written.schema,
            pool_size: written.pool_size,
            connect_timeout_ms: written.connect_timeout_ms,
            statement_timeout_ms: written.statement_timeout_ms,
            lock_timeout_ms: written.lock_timeout_ms,
            tls_ca: written.tls_ca,
            password_env: written.password_env,
        };
        let has_options = options != Options::default();
        match (written.kind, written.path, written.url) {
            (Kind::Postgres, None, Some(url)) => Ok(Self::Postgres { url, options }),
            (Kind::Sqlite, Some(path), None) if !has_options => Ok(Self::Sqlite { path }),
            (Kind::Memory, None, None) if !has_options => Ok(Self::Memory),
            (Kind::Sqlite, ..) => {
                Err(D::Error::custom("a sqlite store has a path and nothing else"))
            }
            (Kind::Memory, ..) => Err(D::Error::custom("a memory store has nothing but its kind")),
            (Kind::Postgres, ..) => Err(D::Error::custom("a postgres store has a url and no path")),
        }
    }
}

/// `[control]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenControl {
    url: Option<Database>,
    schema: Option<String>,
    pool_size: Option<usize>,
    connect_timeout_ms: Option<u64>,
    statement_timeout_ms: Option<u64>,
    lock_timeout_ms: Option<u64>,
    tls_ca: Option<PathBuf>,
    password_env: Option<String>,
}

impl<'de> Deserialize<'de> for Control {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = WrittenControl::deserialize(deserializer)?;
        let options = Options {
            schema: written.schema,
            pool_size: written.pool_size,
            connect_timeout_ms: written.connect_timeout_ms,
            statement_timeout_ms: written.statement_timeout_ms,
            lock_timeout_ms: written.lock_timeout_ms,
            tls_ca: written.tls_ca,
            password_env: written.password_env,
        };
        let url = written.url.unwrap_or(Self::default().url);
        match url {
            Database::Sqlite(_) | Database::Memory if options != Options::default() => {
                Err(D::Error::custom("only a control plane in PostgreSQL has more than a url"))
            }
            Database::Sqlite(_) | Database::Memory | Database::Postgres(_) => {
                Ok(Self { url, options })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Stores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Stores;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table: default = \"<store id>\" and one [stores.<store id>] each")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stores, A::Error> {
                let mut default = Stores::default().default;
                let mut by_id = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "default" {
                        default = map.next_value()?;
                    } else {
                        let id = StoreId::new(key).map_err(A::Error::custom)?;
                        by_id.insert(id, map.next_value()?);
                    }
                }
                Ok(Stores { default, by_id })
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
