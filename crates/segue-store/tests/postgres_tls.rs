//! TLS to PostgreSQL is verified whenever it is used.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use segue_store::control::postgres::Control;
use segue_store::postgres::{OpenError, Refusal, Settings};
use segue_testing::postgres::{Server, TestDatabase};

/// A certificate for 127.0.0.1, its key, and the authority of nobody else that signed it; for a hundred
/// years.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// A server that offers TLS.
async fn secured() -> (Server, TestDatabase) {
    let server = Server::start();
    let data = server.data_folder();
    let owner = std::fs::metadata(&data).unwrap();
    for (from, to) in [("server.pem", "server.crt"), ("server.key", "server.key")] {
        let to = data.join(to);
        std::fs::copy(fixture(from), &to).unwrap();
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let database = TestDatabase::on(&server).await;
    let client = database.client().await;
    client.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while database.client().await.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0)
        != "on"
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (server, database)
}

async fn opened(settings: Settings) -> Result<(), OpenError> {
    Control::open(settings)?.ready().await
}

fn settings(database: &TestDatabase, mode: &str) -> Settings {
    Settings::new(&format!("{}?sslmode={mode}", database.url())).unwrap()
}

#[tokio::test]
async fn a_certificate_of_a_named_authority_is_trusted_and_no_other() {
    let (_server, database) = secured().await;
    for mode in ["require", "prefer", "verify-full"] {
        let trusting = settings(&database, mode).with_tls_ca(fixture("authority.pem"));
        opened(trusting).await.unwrap();
        let refused = opened(settings(&database, mode)).await.unwrap_err().reason;
        assert!(matches!(refused, Refusal::Untrusted(_)), "{refused:?}");
        assert!(refused.to_string().contains("tls_ca"), "{refused}");
        assert!(!refused.passes());
    }
    opened(settings(&database, "disable")).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_host_is_not_trusted() {
    let (_server, database) = secured().await;
    let elsewhere = database.url().replace("127.0.0.1", "localhost");
    let settings = Settings::new(&format!("{elsewhere}?sslmode=require")).unwrap();
    let refused = opened(settings.with_tls_ca(fixture("authority.pem"))).await.unwrap_err().reason;
    assert!(matches!(refused, Refusal::Untrusted(_)), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_named() {
    let settings = Settings::new("postgres://segue@127.0.0.1/segue").unwrap();
    for name in ["server.key", "nothing.pem"] {
        let refused = opened(settings.clone().with_tls_ca(fixture(name))).await.unwrap_err();
        assert!(refused.to_string().contains(name), "{refused}");
    }
}
