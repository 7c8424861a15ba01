//! `segue tenant explain`: in words where a tenant stands, who carries its migration on, what happens next.

use segue_core::ids::TenantId;

use crate::cli::failure::Failure;
use crate::cli::operator::Operator;
use crate::cli::screen::plain;

/// `segue tenant explain`
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The tenant
    tenant: TenantId,
    #[command(flatten)]
    operator: Operator,
}

impl Explain {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.operator.open();
        let answer = client.get(&format!("/tenants/{}", self.tenant), &[])?;
        if !screen.prints_json(&answer) {
            let tenant = screen.bold(&plain(&answer["tenant_id"]));
            screen.line(format!("tenant {tenant}: {}", screen.word(&plain(&answer["state"]))));
            for line in plain(&answer["explanation"]).lines() {
                screen.line(format!("  {line}"));
            }
        }
        Ok(())
    }
}
