//! One schema of one PostgreSQL database: a pool of connections behind the gate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType};
use refinery::Migration;
use tokio::sync::OnceCell;
use tokio_postgres::{Connection, Socket};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::outage::Outage;
use super::refusal::{OpenError, Refusal};
use super::{Kind, Settings, schema, tls};

/// A connection of the pool. Statements that it prepared by `prepare_cached` stay prepared.
pub(crate) type Client = deadpool_postgres::Object;

/// How long a caller waits for a connection when all are in use.
const WAIT: Duration = Duration::from_secs(5);

/// One schema of one database. Clones share the pool.
#[derive(Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    kind: Kind,
    migrations: Vec<Migration>,
    tls: MakeRustlsConnect,
    pool: Pool,
    outage: Outage,
    prepared: OnceCell<()>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("settings", &self.inner.settings)
            .field("kind", &self.inner.kind)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Names the database; nothing connects before something is asked of it.
    ///
    /// # Errors
    /// [`Refusal::Authority`] when the settings name a file of certificates that cannot be used.
    pub(crate) fn open(
        settings: Settings,
        kind: Kind,
        migrations: &[Migration],
    ) -> Result<Self, OpenError> {
        let tls = tls::connector(&settings)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = deadpool_postgres::Manager::from_config(
            settings.connection(kind),
            tls.clone(),
            recycling,
        );
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size())
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(settings.connect_timeout()))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is given for the time-outs");
        let inner = Inner {
            settings,
            kind,
            migrations: migrations.to_vec(),
            tls,
            pool,
            outage: Outage::default(),
            prepared: OnceCell::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings it was opened with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Connects, finds out what the database is, and brings its schema up to date, unless that was done.
    /// Answers at once while the database is known to be down.
    ///
    /// # Errors
    /// What is wrong with the database; [`Refusal::passes`] says whether waiting may help.
    pub(crate) async fn ready(&self) -> Result<(), OpenError> {
        self.inner.prepared.get_or_try_init(|| self.prepare()).await.copied()
    }

    async fn prepare(&self) -> Result<(), OpenError> {
        let Inner { settings, kind, migrations, outage, .. } = &*self.inner;
        // Taken out of the pool: it ends with this function, and with it its lock and its time-outs.
        let mut client = Client::take(self.checkout().await?);
        let prepared = schema::bring_up_to_date(&mut client, settings, *kind, migrations).await;
        if let Err(error) = &prepared {
            outage.failed(error);
        }
        prepared
    }

    /// A connection to a database that is [`Database::ready`]. Waits at most 5 s for one when all are in
    /// use, and at most the connect time-out for a new one.
    ///
    /// # Errors
    /// As [`Database::ready`], and [`Refusal::Busy`].
    pub(crate) async fn client(&self) -> Result<Client, OpenError> {
        self.ready().await?;
        self.checkout().await
    }

    async fn checkout(&self) -> Result<Client, OpenError> {
        let Inner { settings, pool, outage, .. } = &*self.inner;
        outage.admit(settings.connect_timeout())?;
        match pool.get().await {
            Ok(client) => {
                outage.is_over();
                Ok(client)
            }
            Err(error) => Err(self.no_connection(error)),
        }
    }

    /// Explains why the pool has no connection, and remembers it unless other connections go on.
    fn no_connection(&self, error: PoolError) -> OpenError {
        let Inner { settings, outage, .. } = &*self.inner;
        let error = match error {
            PoolError::Timeout(TimeoutType::Wait) => OpenError::new(settings, Refusal::Busy),
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                OpenError::new(settings, Refusal::TimedOut)
            }
            PoolError::Backend(error) => OpenError::explain(settings, error),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                OpenError::new(settings, Refusal::Other)
            }
        };
        if !matches!(error.reason, Refusal::Busy | Refusal::TooManyConnections) {
            outage.failed(&error);
        }
        error
    }

    /// Waits until it is worth asking again; returns at once while the database is up.
    pub(crate) async fn pause(&self) {
        if let Some(left) = self.inner.outage.pause_left() {
            tokio::time::sleep(left).await;
        }
    }

    /// A connection of its own, outside of the pool, whose messages the caller reads.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub(crate) async fn connection(
        &self,
    ) -> Result<
        (
            tokio_postgres::Client,
            Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
        ),
        OpenError,
    > {
        let Inner { settings, kind, tls, .. } = &*self.inner;
        let config = settings.connection(*kind);
        let connecting = config.connect(tls.clone());
        match tokio::time::timeout(settings.connect_timeout(), connecting).await {
            Ok(connected) => connected.map_err(|error| OpenError::explain(settings, error)),
            Err(_) => Err(OpenError::new(settings, Refusal::TimedOut)),
        }
    }
}
