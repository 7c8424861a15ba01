//! The command line: one file per subcommand. Everything but `serve`, `demo`, `openapi`, `plan diff` and
//! `plan explain` talks to a running server over HTTP, like any other client.

mod bar;
mod client;
mod compare;
mod confirm;
mod demo;
mod erasure;
mod events;
mod explain;
mod failure;
mod field;
mod forecast;
mod input;
mod interrupt;
mod key;
mod openapi;
mod operator;
mod plan;
mod scenario;
mod screen;
mod serve;
mod session;
mod store;
mod stream;
mod subscription;
mod tenant;
mod verify;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use client::Client;
use failure::Failure;
use screen::Screen;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something else failed, such as a file that cannot be read
  2  the command line is wrong
  3  the server cannot be reached
  4  there is no such thing (HTTP 404)
  5  the request is wrong (HTTP 400, 405, 413, 415, 422)
  6  the request does not fit the present state (HTTP 409)
  7  the server failed (HTTP 5xx)
  8  verify: the log is damaged, or the copy of a migration differs
  9  tenant move, cutover: the tenant has not moved; what was started goes on
  10 serve: the configuration is wrong
  11 serve: the address cannot be listened on
  12 serve: a store or the control plane cannot be opened
  13 the server wants another API key, or any (HTTP 401, 403)
  130 interrupted by Ctrl-C; a migration goes on at the server
  (demo ends like serve, or like the command of its story that failed)

Environment: SEGUE_URL, SEGUE_TENANT, SEGUE_API_KEY for every command that talks to a server; SEGUE_LOG for the log
of the server (such as info, or segue=debug,info); SEGUE__SECTION__KEY for any setting; NO_COLOR.";

/// Change the plan while people are following it.
#[derive(Debug, Parser)]
#[command(name = "segue", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Run a server with a tenant whose customers return to a new version, and who moves; tell what happens
    Demo(demo::Demo),
    /// Register scenarios and look at their versions
    #[command(subcommand)]
    Scenario(scenario::Scenario),
    /// Generate, review, deploy and watch migration plans; compare versions and explain cases offline
    #[command(subcommand)]
    Plan(plan::Plan),
    /// Start sessions, take turns, look at what happened
    #[command(subcommand)]
    Session(session::Session),
    /// Append to streams and read them
    #[command(subcommand)]
    Stream(stream::Stream),
    /// Read the tenant's log, and follow it
    Events(events::Events),
    /// Create, read and acknowledge subscriptions to the tenant's log
    #[command(subcommand)]
    Subscription(subscription::Subscription),
    /// Define fields
    #[command(subcommand)]
    Field(field::Field),
    /// Erase a customer
    #[command(subcommand)]
    Customer(erasure::Customer),
    /// Make, list, rotate and revoke API keys
    #[command(subcommand)]
    Key(key::Key),
    /// List the event stores with their health and durability
    #[command(subcommand)]
    Store(store::Store),
    /// Show where tenants live, place new ones, and move them to other stores
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Read a tenant's log back, hash it again, and say what is damaged
    Verify(verify::Verify),
    /// Print the OpenAPI description of the server
    Openapi,
}

/// How a command reaches the server, and how it prints.
#[derive(Debug, Args)]
struct Remote {
    /// The server
    #[arg(long, env = "SEGUE_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// The tenant, a UUID
    #[arg(long, env = "SEGUE_TENANT")]
    tenant: segue_core::ids::TenantId,
    #[command(flatten)]
    output: Output,
}

/// How a command prints.
#[derive(Debug, Args)]
struct Output {
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Remote {
    fn open(&self) -> (Client, Screen) {
        (Client::new(&self.url, self.tenant), self.output.screen())
    }
}

impl Output {
    fn screen(&self) -> Screen {
        Screen::new(self.json)
    }
}

/// Where a list begins and ends.
#[derive(Debug, Args)]
struct Paging {
    /// Items to list, 1 to 100
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where to go on: the cursor that the list before ended with
    #[arg(long)]
    cursor: Option<String>,
}

impl Paging {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.cursor.clone().map(|cursor| ("cursor", cursor)));
        query
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Scenario(scenario) => scenario.run(),
        Command::Plan(plan) => plan.run(),
        Command::Session(session) => session.run(),
        Command::Stream(stream) => stream.run(),
        Command::Events(events) => events.run(),
        Command::Subscription(subscription) => subscription.run(),
        Command::Field(field) => field.run(),
        Command::Customer(customer) => customer.run(),
        Command::Key(key) => key.run(),
        Command::Store(store) => store.run(),
        Command::Tenant(tenant) => tenant.run(),
        Command::Verify(verify) => verify.run(),
        Command::Openapi => openapi::run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }
}
