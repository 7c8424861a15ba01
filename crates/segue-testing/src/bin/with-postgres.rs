//! Runs a command beside a PostgreSQL server of its own, which `SEGUE_TEST_POSTGRES` names to it.
//!
//! `./test` and `./bench` use it. The server is stopped and removed when the command ends, and also when
//! this program is killed.

use std::process::{Command, ExitCode};

use clap::Parser;
use segue_testing::postgres::{Error, SERVER, Server, TestDatabase};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a command beside a PostgreSQL server of its own, which SEGUE_TEST_POSTGRES names to it.
#[derive(Parser)]
struct Arguments {
    /// Uses this server, as a user who may create databases, and starts none.
    #[arg(long, value_name = "URL")]
    pg: Option<String>,
    /// Starts a server that keeps what it acknowledges, as in production; otherwise it is only fast.
    #[arg(long)]
    durable: bool,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let (_server, url) = match arguments.pg {
        Some(url) => (None, url),
        None => {
            let setup = Server::setup();
            let setup = if arguments.durable { setup } else { setup.volatile() };
            let server = setup.try_start()?;
            let url = server.url();
            (Some(server), url)
        }
    };
    // Before hundreds of tests say the same: databases can be created there.
    drop(TestDatabase::at(&url).await?);

    let [program, rest @ ..] = arguments.command.as_slice() else {
        unreachable!("the command is required");
    };
    let mut child = Command::new(program)
        .args(rest)
        .env(SERVER, url)
        .spawn()
        .map_err(|source| Error::Run { program: program.into(), source })?;
    pass_signals_on(child.id());
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.expect("it does not panic");
    let code = ended.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Outlives Ctrl-C, which a terminal sends to the command as well, and passes a request to end on, so that
/// the command ends before the server does.
fn pass_signals_on(child: u32) {
    let mut interrupts = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut requests = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = requests.recv() => {
                    let _ = Command::new("kill").arg(child.to_string()).status();
                }
            }
        }
    });
}
