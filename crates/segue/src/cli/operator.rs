//! How an operator reaches the server: on behalf of nobody in particular.

use super::Output;
use super::client::Client;
use super::screen::Screen;

/// How an operator reaches the server.
#[derive(Debug, clap::Args)]
pub struct Operator {
    /// The server
    #[arg(long, env = "SEGUE_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    #[command(flatten)]
    output: Output,
}

impl Operator {
    /// Opens nothing yet.
    pub fn open(&self) -> (Client, Screen) {
        (Client::of_operator(&self.url), self.output.screen())
    }
}
