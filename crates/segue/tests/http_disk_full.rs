//! A disk without room: the turn fails with 5xx, nothing that was acknowledged is lost, and the server
//! goes on by itself when there is room. The disk is a limit on the size of files, lifted later.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::Command;

use serde_json::json;
use support::{Server, order_flow};

#[test]
fn a_full_disk_fails_the_turn_and_loses_nothing_and_room_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    let limited = "ulimit -S -f 600; trap '' XFSZ; exec \"$0\" serve --listen 127.0.0.1:0";
    command.current_dir(dir.path()).env("SEGUE_LOG", "error");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_segue")]);
    let server = Server::spawn(command, dir);
    let tenant = server.tenant();
    let scenario = tenant.registered(&order_flow());
    let session = tenant.started(&scenario, "web");
    let path = format!("/sessions/{session}/turns");

    let text = "x".repeat(15_000);
    let body = json!({"message": {"text": text}});
    let mut acknowledged = 0;
    let refused = loop {
        let answer = tenant.post(&path, &body);
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 1_000, "the limit is never reached");
    };
    assert_eq!(refused.headers["retry-after"], "1");
    refused.refused(503, "store_unavailable");
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);

    let pid = server.pid().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    tenant.turn(&session, &json!({}));
    let found = tenant.get(&format!("/sessions/{session}")).is(200);
    assert_eq!(found["turn_count"], acknowledged + 1, "acknowledged turns, and the one after");
    assert_eq!(server.send("GET", "/readyz", &[], b"").status, 200);
}
