//! Who decides something about a plan: the name that they give, and the API key that they have shown.

use jiff::Timestamp;
use segue_core::ids::{KeyId, PlanId, TenantId};
use segue_store::control::audit::{Action, Filter, Subject};
use segue_store::control::{By, Page};

use super::Shared;
use crate::error::{Error, Result};

/// Who acts when nobody says who they are.
pub const SOMEONE: &str = "operator";

/// The detail of an audit line that names the key of who acted.
const KEY: &str = "key_id";

/// Who decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// The name that stays on record.
    pub name: Option<String>,
    /// The key that they have shown, if any.
    pub key: Option<KeyId>,
}

impl From<Option<String>> for Signature {
    fn from(name: Option<String>) -> Self {
        Self { name, key: None }
    }
}

impl From<&str> for Signature {
    fn from(name: &str) -> Self {
        Some(name.to_owned()).into()
    }
}

impl Signature {
    /// The line of the audit.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> By {
        let by = By::new(self.name.as_deref().unwrap_or(SOMEONE), now);
        match self.key {
            Some(key) => by.with(KEY, key.to_string()),
            None => by,
        }
    }
}

/// Refuses an approval by the key that made the plan or changed its policies, or by one of the same name, where
/// four eyes are wanted; and of a plan that was made without a key, for that could have been anybody.
/// The audit tells who did: its lines are written in the transaction of what they tell of.
///
/// # Errors
/// [`Error::FourEyes`].
pub(super) async fn four_eyes(
    shared: &Shared,
    tenant: TenantId,
    plan: PlanId,
    approver: &Signature,
) -> Result<()> {
    if !shared.config.deployment.four_eyes {
        return Ok(());
    }
    let refused = || Error::FourEyes { plan_id: plan.to_string() };
    // Who shows no key could be anybody.
    let approver = approver.key.ok_or_else(refused)?;
    // A key that was rotated has another id and the same name.
    let name = shared.control.key(approver).await?.name;
    for action in [Action::PlanCreated, Action::PlanPoliciesChanged] {
        let filter = Filter {
            action: Some(action),
            subjects: vec![Subject::Plan],
            subject_id: Some(plan.to_string()),
            ..Filter::default()
        };
        let mut page = Page::first(100);
        loop {
            let lines = shared.control.list_audit(tenant, &filter, page).await?;
            for line in &lines.items {
                let maker = line.details[KEY].as_str().and_then(|key| key.parse().ok());
                let maker: KeyId = maker.ok_or_else(refused)?;
                if maker == approver || shared.control.key(maker).await?.name == name {
                    return Err(refused());
                }
            }
            match lines.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}
