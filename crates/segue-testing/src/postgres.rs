//! PostgreSQL for tests: servers in temporary folders, and fresh databases.
//!
//! A test that needs a database takes [`TestDatabase::fresh`]. It lies on the server that the environment
//! variable [`SERVER`] names (`./test` starts one and sets it), or else on a server that the test process
//! starts for itself. Nothing there is durable, which makes it fast.
//!
//! A test that crashes PostgreSQL, fills its disk or changes its settings starts a [`Server`] of its own.
//! That one is durable, as in production.
//!
//! ```no_run
//! # async fn example() {
//! use segue_testing::postgres::{Server, TestDatabase};
//!
//! let mut server = Server::start();
//! let database = TestDatabase::on(&server).await;
//! // … write to database.url() …
//! server.stop_immediate();
//! server.start_again();
//! // … what was committed is there …
//! # }
//! ```

mod account;
mod database;
mod error;
mod installation;
mod server;

pub use database::TestDatabase;
pub use error::Error;
pub use server::{Server, Setup};

/// The environment variable with the URL of the server that plain tests share. Its user must be allowed
/// to create databases.
pub const SERVER: &str = "SEGUE_TEST_POSTGRES";
