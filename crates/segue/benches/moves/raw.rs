//! The same rows, moved without any of ours: the measure of a copy.

use std::pin::pin;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rusqlite::{Connection, params};
use tokio_postgres::{Client, NoTls};

use super::world::{Kind, PAYLOAD, STREAMS, World, stream, tenant};

/// Events per second of a bare copy of the tenant's rows into another schema with the same indexes.
pub async fn copy(world: &World, url: &str, events: u64) -> f64 {
    match world.kind {
        Kind::Postgres => postgres(world, url, events).await,
        Kind::Sqlite => sqlite(world, events),
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// `COPY … TO STDOUT | COPY … FROM STDIN`, binary, table by table, into tables made like the store's.
async fn postgres(world: &World, _url: &str, events: u64) -> f64 {
    let (from, into) = (connect(&world.places[0]).await, connect(&world.places[1]).await);
    let tables = ["events", "streams", "digests"];
    into.batch_execute("CREATE SCHEMA raw").await.unwrap();
    for table in tables {
        let like = format!("CREATE TABLE raw.{table} (LIKE segue_events.{table} INCLUDING ALL)");
        into.batch_execute(&like).await.unwrap();
    }
    let begun = Instant::now();
    for table in tables {
        let read = format!("COPY segue_events.{table} TO STDOUT BINARY");
        let mut rows = pin!(from.copy_out(&read).await.unwrap());
        let write = format!("COPY raw.{table} FROM STDIN BINARY");
        let mut sink = pin!(into.copy_in::<_, Bytes>(&write).await.unwrap());
        while let Some(chunk) = rows.next().await {
            sink.send(chunk.unwrap()).await.unwrap();
        }
        sink.finish().await.unwrap();
    }
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    into.batch_execute("DROP SCHEMA raw CASCADE").await.unwrap();
    rate
}

/// Inserts of the same rows into a table with the same indexes, a thousand in a transaction.
fn sqlite(world: &World, events: u64) -> f64 {
    let conn = Connection::open(world.folder.path().join("raw.db")).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn.execute_batch(
        "CREATE TABLE events (tenant_id BLOB NOT NULL, position INTEGER NOT NULL,
            stream_id TEXT NOT NULL, stream_type TEXT NOT NULL, version INTEGER NOT NULL,
            event_id BLOB NOT NULL, event_type TEXT NOT NULL, payload_hash BLOB NOT NULL,
            metadata BLOB NOT NULL, recorded_at INTEGER NOT NULL,
            append_first_position INTEGER NOT NULL, payload BLOB,
            PRIMARY KEY (tenant_id, position)) STRICT, WITHOUT ROWID;
         CREATE UNIQUE INDEX by_stream ON events (tenant_id, stream_id, version);
         CREATE UNIQUE INDEX by_id ON events (tenant_id, event_id);",
    )
    .unwrap();
    let streams: Vec<_> = (0..STREAMS).map(stream).collect();
    let (tenant, payload, hash) = (tenant(1), vec![b'x'; PAYLOAD], [7_u8; 32]);
    let begun = Instant::now();
    for first in (0..events).step_by(1_000) {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = conn
            .prepare_cached(
                "INSERT INTO events VALUES (?1, ?2, ?3, 'session', ?4, ?5, 'TurnTaken', ?6, ?7, ?8,
                    ?2, ?9)",
            )
            .unwrap();
        for n in first..(first + 1_000).min(events) {
            insert
                .execute(params![
                    tenant.0.as_bytes(),
                    n as i64 + 1,
                    streams[(n % STREAMS) as usize].as_str(),
                    (n / STREAMS) as i64 + 1,
                    uuid::Uuid::now_v7().as_bytes(),
                    hash,
                    b"{}",
                    1_800_000_000_000_000_i64,
                    payload,
                ])
                .unwrap();
        }
        drop(insert);
        conn.execute_batch("COMMIT").unwrap();
    }
    events as f64 / begun.elapsed().as_secs_f64()
}
