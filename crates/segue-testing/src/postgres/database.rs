//! A fresh, empty database that is dropped when the test is over.

use std::sync::OnceLock;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::{Error, SERVER, Server};

/// A fresh, empty database, dropped at the end of its life.
///
/// A test that is killed leaves it behind. That matters on a server of your own only; the names begin
/// with `segue_test_`.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    end: End,
}

/// What becomes of a database when its test is over.
#[derive(Debug)]
enum End {
    /// It is dropped from the server with this URL.
    Dropped { server: String, name: String },
    /// It goes with its server.
    WithItsServer,
}

impl TestDatabase {
    /// Creates a database on the server that [`SERVER`] names, or else on one that this process starts
    /// for itself at the first call.
    ///
    /// # Panics
    /// When there is no server, or it creates no database; with the reason and what to do.
    pub async fn fresh() -> Self {
        let url = match std::env::var(SERVER) {
            Ok(url) => url,
            Err(_) => tokio::task::spawn_blocking(own_server).await.expect("the server starts"),
        };
        Self::at(&url).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`TestDatabase::fresh`], for a test without a runtime.
    ///
    /// # Panics
    /// As [`TestDatabase::fresh`].
    #[must_use]
    pub fn fresh_blocking() -> Self {
        block_on(Self::fresh())
    }

    /// Creates a database on this server, which ends with the server and not before.
    ///
    /// # Panics
    /// When the server is down.
    pub async fn on(server: &Server) -> Self {
        let created = create(&server.url()).await;
        let (_, url) = created.unwrap_or_else(|error| panic!("{error}"));
        Self { url, end: End::WithItsServer }
    }

    /// Creates a database on the server that a URL names.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not let this user create databases.
    pub async fn at(server: &str) -> Result<Self, Error> {
        let (name, url) = create(server).await?;
        Ok(Self { url, end: End::Dropped { server: server.to_owned(), name } })
    }

    /// The URL of the database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When the server is down.
    pub async fn client(&self) -> Client {
        connect(&self.url).await.unwrap_or_else(|error| panic!("{}: {error}", self.url))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.end {
            End::WithItsServer => {}
            End::Dropped { server, name } => {
                let server = server.clone();
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                // A server that is gone by now has taken the database with it.
                let _ = block_on(async move { run(&server, &statement).await });
            }
        }
    }
}

/// The server that this process shares among its tests. It ends with the process.
fn own_server() -> String {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::setup().volatile().start()).url()
}

/// Runs a future on a thread of its own, so that the caller may have a runtime or none.
fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime needs no more than a thread").block_on(future)
    };
    match std::thread::spawn(run).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Creates a database; answers with its name and URL.
async fn create(server: &str) -> Result<(String, String), Error> {
    let name = format!("segue_test_{}", Uuid::new_v4().simple());
    // Nobody is ever connected to template0, so databases can be created at the same time.
    run(server, &format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
    let url = named(server, &name);
    Ok((name, url))
}

async fn run(server: &str, statement: &str) -> Result<(), Error> {
    let refused = |error: tokio_postgres::Error| Error::Database {
        server: server.to_owned(),
        reason: reason(&error),
    };
    let client = connect(server).await.map_err(refused)?;
    client.batch_execute(statement).await.map_err(refused)
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends when the client is dropped or the server goes away; the client then says so.
    tokio::spawn(connection);
    Ok(client)
}

/// The error and what caused it: the outermost alone says no more than `db error`.
fn reason(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The URL of another database on the same server.
fn named(url: &str, database: &str) -> String {
    let (server, options) = match url.split_once('?') {
        Some((server, options)) => (server, format!("?{options}")),
        None => (url, String::new()),
    };
    let authority = server.find("://").map_or(0, |at| at + 3);
    let end = server[authority..].find('/').map_or(server.len(), |slash| authority + slash);
    format!("{}/{database}{options}", &server[..end])
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_database_takes_the_place_of_the_one_in_the_url() {
        for (url, expected) in [
            ("postgres://u:p@h:5432/postgres", "postgres://u:p@h:5432/new"),
            ("postgres://h", "postgres://h/new"),
            ("postgres://h/", "postgres://h/new"),
            ("postgres://h/db?sslmode=disable", "postgres://h/new?sslmode=disable"),
            ("postgresql://h?connect_timeout=3", "postgresql://h/new?connect_timeout=3"),
        ] {
            assert_eq!(named(url, "new"), expected);
        }
    }
}
