//! `segue key`: API keys, for who runs the platform.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use segue_core::ids::{KeyId, TenantId};
use segue_store::control::By;
use segue_store::control::keys::{Role, Roles};
use serde_json::{Value, json};

use super::failure::Failure;
use super::operator::Operator;
use super::screen::{Screen, items, plain};
use super::{Paging, serve};
use crate::auth::Keyring;
use crate::auth::keyring::{Invalid, NewKey};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::error::Error;
use crate::http::keys::MadeKey;
use crate::stores;

/// `segue key …`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; it is shown this once
    Create(Create),
    /// List keys, the newest first
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        operator: Operator,
    },
    /// Make a new key in another one's place
    Rotate {
        /// The key, by its id
        key: KeyId,
        /// Seconds that the old key goes on
        #[arg(long, default_value_t = 0)]
        overlap_seconds: u32,
        #[command(flatten)]
        operator: Operator,
    },
    /// Revoke a key: it opens nothing any more
    Revoke {
        /// The key, by its id
        key: KeyId,
        #[command(flatten)]
        operator: Operator,
    },
}

/// `segue key create`
#[derive(Debug, Args)]
pub struct Create {
    /// Whose or what it is for, such as olga or checkout-app
    #[arg(long)]
    name: String,
    /// What its bearer may do: app, operator or platform; may be given again
    #[arg(long = "role", required = true)]
    roles: Vec<Role>,
    /// The only tenant that it is for; needed for app
    #[arg(long = "for-tenant", value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// When it ends by itself, such as 2027-12-31T00:00:00Z
    #[arg(long)]
    expires_at: Option<Timestamp>,
    /// Requests per second, instead of as configured
    #[arg(long)]
    requests_per_second: Option<NonZeroU32>,
    /// Make it in the control plane that the configuration names, without a server and without a key: for
    /// the first one
    #[arg(long)]
    local: bool,
    /// With --local: a configuration file, read after config/default.toml
    #[arg(long, value_name = "FILE", requires = "local")]
    config: Option<PathBuf>,
    #[command(flatten)]
    operator: Operator,
}

impl Key {
    /// Runs it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List { paging, operator } => {
                let (client, screen) = operator.open();
                let answer = client.get("/keys", &paging.query())?;
                if !screen.prints_json(&answer) {
                    list(&screen, &answer);
                }
                Ok(())
            }
            Self::Rotate { key, overlap_seconds, operator } => {
                let (client, screen) = operator.open();
                let body = json!({ "overlap_seconds": overlap_seconds });
                made(&screen, &client.post(&format!("/keys/{key}/rotate"), &body)?);
                Ok(())
            }
            Self::Revoke { key, operator } => {
                let (client, screen) = operator.open();
                let answer = client.delete(&format!("/keys/{key}"))?;
                if !screen.prints_json(&answer) {
                    screen.line(format!(
                        "revoked: {} opens nothing any more",
                        plain(&answer["prefix"])
                    ));
                }
                Ok(())
            }
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let (client, screen) = self.operator.open();
        if self.local {
            let made_key = self.make_locally()?;
            let answer = serde_json::to_value(made_key).expect("plain data serialises");
            made(&screen, &answer);
            return Ok(());
        }
        let body = json!({
            "name": self.name,
            "roles": self.roles,
            "tenant_id": self.tenant,
            "expires_at": self.expires_at,
            "requests_per_second": self.requests_per_second,
        });
        made(&screen, &client.post("/keys", &body)?);
        Ok(())
    }

    /// Whoever can write the control plane may do everything already.
    fn make_locally(self) -> Result<MadeKey, Failure> {
        let config = Config::load(self.config.as_deref(), None)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let new = NewKey {
            name: self.name,
            roles: Roles(self.roles.into_iter().collect()),
            tenant: self.tenant,
            expires_at: self.expires_at,
            requests_per_second: self.requests_per_second,
        };
        let invalid = |invalid: Invalid| format!("{}: {invalid}", invalid.path());
        new.check(clock.now()).map_err(|error| Failure::Other(invalid(error)))?;
        serve::runtime(&config)?.block_on(async {
            let control = stores::open_control(&config.control).await.map_err(Box::new)?;
            let by = By::new("segue key create", clock.now());
            let keyring = Keyring::new(control, clock.clone());
            let created = keyring.create(KeyId(clock.new_id()), new, &by).await;
            let made = created.map_err(|error| Failure::Other(Error::from(error).to_string()))?;
            Ok(MadeKey::of(made, clock.now()))
        })
    }
}

fn made(screen: &Screen, answer: &Value) {
    if screen.prints_json(answer) {
        return;
    }
    screen.line(plain(&answer["key"]));
    eprintln!(
        "key {} ({}) may act as {}; keep it now, it is not shown again",
        plain(&answer["key_id"]),
        plain(&answer["name"]),
        plain(&answer["roles"])
    );
}

fn list(screen: &Screen, answer: &Value) {
    let row = |key: &Value| {
        let state = match (&key["revoked_at"], &key["is_valid"]) {
            (Value::Null, Value::Bool(true)) => "valid",
            (Value::Null, _) => "expired",
            (_, _) => "revoked",
        };
        vec![
            plain(&key["key_id"]),
            plain(&key["name"]),
            plain(&key["roles"]),
            plain(&key["tenant_id"]),
            state.to_owned(),
            plain(&key["expires_at"]),
            plain(&key["used_at"]),
        ]
    };
    let keys = items(answer, "keys");
    let header = ["KEY", "NAME", "ROLES", "TENANT", "STATE", "EXPIRES", "LAST USED"];
    screen.table(&header, keys.iter().map(row).collect());
    screen.end_of_list(keys.len(), answer);
}
