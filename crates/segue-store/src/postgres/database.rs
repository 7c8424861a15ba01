//! One schema of one PostgreSQL database: a pool of connections behind the gate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, QueueMode,
    RecyclingMethod, Runtime, TimeoutType,
};
use refinery::Migration;
use tokio::sync::OnceCell;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::incarnation::Watch;
use super::lifetime::Lifetime;
use super::outage::Outage;
use super::refusal::{OpenError, Refusal};
use super::{Kind, Settings, lifetime, schema, tls};

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
    incarnation: Arc<Watch>,
    prepared: OnceCell<()>,
}

/// What is acknowledged has reached the disk, whatever the server's or the user's default is; a default
/// that promises more, such as a standby's disk, is kept. Notes whether the connection takes writes.
async fn make_durable(client: &mut ClientWrapper, lifetime: &Lifetime) -> Result<(), HookError> {
    let said = client
        .simple_query(
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') = 'off'; \
             SELECT 1 WHERE current_setting('transaction_read_only') = 'on'",
        )
        .await
        .map_err(HookError::Backend)?;
    // The first statement answers `on`, if anything.
    let is_one = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("1"),
        _ => false,
    };
    if said.iter().any(is_one) {
        lifetime.made_read_only();
    }
    Ok(())
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
        let manager = Manager::from_config(settings.connection(kind), tls.clone(), recycling);
        let lifetime = Arc::new(Lifetime::default());
        let incarnation = Arc::new(Watch::default());
        let of_new = (Arc::clone(&lifetime), Arc::clone(&incarnation));
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size())
            // The last used first, so that those which are not needed can be told.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(settings.connect_timeout()))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let (lifetime, incarnation) = of_new.clone();
                Box::pin(async move {
                    make_durable(client, &lifetime).await?;
                    if kind == Kind::Events {
                        incarnation.ask(client).await?;
                    }
                    Ok(())
                })
            }))
            .pre_recycle(Hook::sync_fn(move |_, metrics| match lifetime.is_over(metrics) {
                true => Err(HookError::message("it was made while the server took no writes")),
                false => Ok(()),
            }))
            .build()
            .expect("a runtime is given for the time-outs");
        let inner = Inner {
            settings,
            kind,
            migrations: migrations.to_vec(),
            tls,
            pool,
            outage: Outage::default(),
            incarnation,
            prepared: OnceCell::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings it was opened with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Which database it is, as its connections say.
    pub(crate) fn incarnation(&self) -> &Watch {
        &self.inner.incarnation
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
        let mut client = Client::take(self.get().await?);
        let prepared = schema::bring_up_to_date(&mut client, settings, *kind, migrations).await;
        match &prepared {
            Ok(()) => {
                outage.is_over();
                self.close_unused_connections();
            }
            Err(error) => outage.failed(error),
        }
        prepared
    }

    /// From now on, as long as there is the database.
    fn close_unused_connections(&self) {
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(lifetime::LOOK_EVERY).await;
                let Some(inner) = inner.upgrade() else { return };
                lifetime::close_unused(&inner.pool, lifetime::IDLE);
            }
        });
    }

    /// A connection to a database that is [`Database::ready`]. Waits at most 5 s for one when all are in
    /// use, and at most the connect time-out for a new one.
    ///
    /// # Errors
    /// As [`Database::ready`], and [`Refusal::Busy`].
    pub(crate) async fn client(&self) -> Result<Client, OpenError> {
        self.ready().await?;
        let client = self.get().await?;
        self.inner.outage.is_over();
        Ok(client)
    }

    async fn get(&self) -> Result<Client, OpenError> {
        let Inner { settings, pool, outage, .. } = &*self.inner;
        outage.admit(settings.connect_timeout())?;
        pool.get().await.map_err(|error| self.no_connection(error))
    }

    /// Explains why the pool has no connection, and remembers it unless other connections go on.
    fn no_connection(&self, error: PoolError) -> OpenError {
        let Inner { settings, outage, .. } = &*self.inner;
        let error = match error {
            PoolError::Timeout(TimeoutType::Wait) => OpenError::new(settings, Refusal::Busy),
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                OpenError::new(settings, Refusal::TimedOut)
            }
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                OpenError::explain(settings, error)
            }
            // It recovers.
            PoolError::PostCreateHook(HookError::Message(_)) => {
                OpenError::new(settings, Refusal::ReadOnly)
            }
            PoolError::Closed | PoolError::NoRuntimeSpecified => {
                OpenError::new(settings, Refusal::Other)
            }
        };
        if !matches!(error.reason, Refusal::Busy | Refusal::TooManyConnections) {
            outage.failed(&error);
        }
        error
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use segue_testing::postgres::{Server, TestDatabase};

    use super::super::{Fault, fault};
    use super::*;

    fn migrations(count: u32) -> Vec<Migration> {
        let make =
            |n| Migration::unapplied(&format!("V{n}__t{n}"), &format!("CREATE TABLE t{n} ()"));
        (1..=count).map(|n| make(n).unwrap()).collect()
    }

    fn open(url: &str, kind: Kind, versions: u32) -> Database {
        Database::open(Settings::new(url).unwrap(), kind, &migrations(versions)).unwrap()
    }

    async fn refusal(database: &Database) -> Refusal {
        database.ready().await.unwrap_err().reason
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_servers_make_the_schema_at_once_and_all_are_ready() {
        let test = TestDatabase::fresh().await;
        let starting: Vec<_> = (0..8)
            .map(|_| {
                let database = open(test.url(), Kind::Events, 3);
                tokio::spawn(async move { database.client().await.map(drop) })
            })
            .collect();
        for started in starting {
            started.await.unwrap().unwrap();
        }
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'segue_events'";
        let row = test.client().await.query_one(tables, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 4);
        open(test.url(), Kind::Control, 2).ready().await.unwrap();
        open(test.url(), Kind::Events, 4).ready().await.unwrap();
    }

    #[tokio::test]
    async fn a_schema_of_a_newer_segue_of_another_part_or_another_program_is_refused() {
        let test = TestDatabase::fresh().await;
        open(test.url(), Kind::Events, 3).ready().await.unwrap();
        let newer = refusal(&open(test.url(), Kind::Events, 2)).await;
        assert_eq!(newer, Refusal::NewerSchema { found: 3, known: 2 });
        assert!(
            newer.to_string().contains("Start the version of Segue that wrote it, or a later one")
        );

        let settings = Settings::new(test.url()).unwrap().with_schema("segue_events").unwrap();
        let other_part = Database::open(settings, Kind::Control, &migrations(1)).unwrap();
        let other_part = refusal(&other_part).await;
        assert!(other_part.to_string().contains("a Segue event store"), "{other_part}");

        let recipes = "CREATE SCHEMA kitchen; CREATE TABLE kitchen.recipes (title text)";
        test.client().await.batch_execute(recipes).await.unwrap();
        let settings = Settings::new(test.url()).unwrap().with_schema("kitchen").unwrap();
        let foreign = Database::open(settings, Kind::Control, &migrations(1)).unwrap();
        assert!(matches!(refusal(&foreign).await, Refusal::Foreign { .. }));
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'kitchen'";
        let row = test.client().await.query_one(tables, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1, "what is refused is left as it was");
    }

    #[tokio::test]
    async fn another_encoding_a_missing_database_and_a_missing_right_are_named() {
        let test = TestDatabase::fresh().await;
        let client = test.client().await;
        let name = test.url().rsplit('/').next().unwrap();
        let odd = format!("{name}_latin");
        let create =
            format!("CREATE DATABASE {odd} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
        client.batch_execute(&create).await.unwrap();
        let latin = refusal(&open(&test.url().replace(name, &odd), Kind::Events, 1)).await;
        client.batch_execute(&format!("DROP DATABASE {odd} WITH (FORCE)")).await.unwrap();
        assert_eq!(latin, Refusal::Encoding("LATIN1".to_owned()));

        let missing = refusal(&open(&format!("{}_not", test.url()), Kind::Events, 1)).await;
        assert_eq!(missing, Refusal::NoDatabase);

        let guest = format!("{name}_guest");
        client.batch_execute(&format!("CREATE ROLE {guest} LOGIN")).await.unwrap();
        let url = test.url().replace("postgres@", &format!("{guest}@"));
        let denied = refusal(&open(&url, Kind::Events, 1)).await;
        client.batch_execute(&format!("DROP ROLE {guest}")).await.unwrap();
        assert!(matches!(denied, Refusal::Denied(_)), "{denied}");
    }

    #[tokio::test]
    async fn a_connection_is_durable_and_limited_in_its_own_schema() {
        let test = TestDatabase::fresh().await;
        let settings = Settings::new(test.url()).unwrap();
        let settings = settings.with_lock_timeout(Duration::from_millis(70)).unwrap();
        let database = Database::open(settings, Kind::Events, &migrations(1)).unwrap();
        let client = database.client().await.unwrap();
        let shown = "SELECT current_setting('search_path'), current_setting('lock_timeout'), \
                     current_setting('synchronous_commit'), current_setting('application_name')";
        let row = client.query_one(shown, &[]).await.unwrap();
        let shown: Vec<String> = (0..4).map(|nth| row.get(nth)).collect();
        assert_eq!(shown, ["segue_events", "70ms", "on", "segue"]);
    }

    #[tokio::test]
    async fn a_server_that_went_away_is_answered_for_at_once_and_found_again() {
        let mut server = Server::start();
        let database = open(&server.url(), Kind::Events, 1);
        database.ready().await.unwrap();
        drop(database.client().await.unwrap());
        server.stop_immediate();
        // The pool learns of it from the connections themselves.
        while database.client().await.is_ok() {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        for _ in 0..1_000 {
            let error = database.client().await.map(drop).unwrap_err();
            assert!(error.reason.passes(), "{error:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        server.start_again();
        let begun = Instant::now();
        while database.client().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn when_all_connections_are_in_use_the_wait_is_limited() {
        let test = TestDatabase::fresh().await;
        let settings = Settings::new(test.url()).unwrap().with_pool_size(1).unwrap();
        let database = Database::open(settings, Kind::Events, &migrations(1)).unwrap();
        let held = database.client().await.unwrap();
        let begun = Instant::now();
        assert_eq!(database.client().await.map(drop).unwrap_err().reason, Refusal::Busy);
        assert!(begun.elapsed() < WAIT * 2);
        drop(held);
        drop(database.client().await.unwrap());
    }

    #[tokio::test]
    async fn a_server_without_tls_is_refused_where_tls_is_required() {
        let test = TestDatabase::fresh().await;
        let url = format!("{}?sslmode=require", test.url());
        assert_eq!(refusal(&open(&url, Kind::Events, 1)).await, Refusal::NoTls);
    }

    #[tokio::test]
    async fn a_connection_made_while_no_writes_were_taken_is_made_anew() {
        let test = TestDatabase::fresh().await;
        let name = test.url().rsplit('/').next().unwrap();
        let admin = test.client().await;
        let database = open(test.url(), Kind::Events, 1);
        database.ready().await.unwrap();
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
        admin.batch_execute(&set).await.unwrap();

        let write = "CREATE TABLE written ()";
        let refused = database.client().await.unwrap().batch_execute(write).await.unwrap_err();
        assert_eq!(fault(&refused), Fault::ReadOnly);
        admin.batch_execute(&format!("ALTER DATABASE {name} RESET ALL")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        database.client().await.unwrap().batch_execute(write).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_nobody_needs_is_given_up() {
        let test = TestDatabase::fresh().await;
        let database = open(test.url(), Kind::Events, 1);
        let several = [database.client().await, database.client().await, database.client().await];
        drop(several.map(Result::unwrap));
        let used = Instant::now();
        let one = database.client().await.unwrap();
        lifetime::close_unused(&database.inner.pool, used.elapsed());
        drop(one);

        let count = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = 'segue'";
        let observer = test.client().await;
        let begun = Instant::now();
        while observer.query_one(count, &[]).await.unwrap().get::<_, i64>(0) != 1 {
            assert!(begun.elapsed() < Duration::from_secs(5), "they are still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        database.client().await.unwrap().batch_execute("SELECT 1").await.unwrap();
    }
}
