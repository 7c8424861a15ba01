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
    /// A forecast was begun.
    ForecastBegun = "forecast", "The forecast has begun. It goes on when you leave this page, and changes nothing.";
    /// A forecast was cancelled.
    ForecastCancelled = "forecast-cancelled", "The forecast is cancelled.";
    /// A plan was approved.
    Approved = "approved", "The plan is approved. It has no effect before it is deployed.";
    /// A plan was rejected.
    Rejected = "rejected", "The plan is rejected.";
    /// A plan was deployed.
    Deployed = "deployed", "The plan is deployed. Each session migrates at its customer's next message.";
    /// A plan was withdrawn.
    Withdrawn = "withdrawn", "The plan is withdrawn. Sessions that have not migrated stay where they are.";
    /// A tenant's writes were paused.
    WritesPaused = "writes-paused", "Writes are paused, on every server. Reads go on.";
    /// A tenant's writes go on.
    WritesResumed = "writes-resumed", "Writes go on.";
    /// A move was started.
    MoveStarted = "move-started", "The move has begun. Reads and writes go on.";
    /// A move was paused.
    MovePaused = "move-paused", "The copying is paused. Reads and writes go on.";
    /// A move was resumed.
    MoveResumed = "move-resumed", "The move goes on where it was.";
    /// A cutover was asked for, and comes later.
    CutoverAsked = "cutover-asked", "The cutover is asked for. It follows as soon as the target is close enough and verified.";
    /// A tenant has moved.
    Moved = "moved", "The tenant has moved.";
    /// A move back was begun.
    Reversed = "reversed", "This is the way back: a move of its own. It is cut over like any other.";
    /// A move was aborted.
    MoveAborted = "move-aborted", "The move is aborted. The tenant stays where it is.";
    /// A move was finished.
    MoveFinished = "move-finished", "The move is finished. There is no way back any more.";
    /// A verification was begun.
    Verifying = "verifying", "The comparison has begun. It goes on when you leave this page.";
    /// A repair was begun.
    Repairing = "repairing", "The repair has begun. It goes on when you leave this page.";
    /// An API key was revoked.
    KeyRevoked = "key-revoked", "The key is revoked. It opens nothing any more, on other servers within seconds.";
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
