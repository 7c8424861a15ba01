//! What was just done, told once on the page that follows: `?done=<word>`. A word and never a text, so that
//! a link cannot make the console say what it did not do.

use maud::{Markup, html};

use super::parts::{Tone, alert};

macro_rules! dones {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $text:literal;)+) => {
        /// What was just done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Done {
            $($(#[$doc])* $name,)+
        }

        impl Done {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in the address.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

dones! {
    /// A scenario was registered.
    Registered = "registered", "The scenario is registered. New sessions begin on its first version.";
    /// A plan was generated.
    Planned = "planned", "The plan is ready for review. Nothing has changed for anybody yet.";
    /// Policies were saved.
    PoliciesSaved = "policies", "The policy is saved.";
    /// A plan was approved.
    Approved = "approved", "The plan is approved. It has no effect before it is deployed.";
    /// A plan was rejected.
    Rejected = "rejected", "The plan is rejected.";
    /// A plan was deployed.
    Deployed = "deployed", "The plan is deployed. Each session migrates at its customer's next message.";
    /// A plan was withdrawn.
    Withdrawn = "withdrawn", "The plan is withdrawn. Sessions that have not migrated stay where they are.";
}

impl Done {
    /// What a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|done| done.word() == word)
    }

    /// Says so.
    #[must_use]
    pub fn shown(done: Option<Self>) -> Markup {
        html! {
            @if let Some(done) = done {
                div role="status" { (alert(Tone::Good, done.text(), html! {})) }
            }
        }
    }
}
