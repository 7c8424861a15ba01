//! A store: the tenant's head and log, and what it does about a message.

use segue_core::digest::Mark;
use segue_core::ids::{Epoch, Term};
use segue_core::tenancy::head::{Head, HeadSwap, Mode};

use super::log::{Id, Log};
use super::protocol::{Protocol, Rule};

/// Something asked of a store. It may arrive at once, late, more than once, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    Append { id: Id, epoch: Epoch },
    Swap(HeadSwap),
    Claim { epoch: Epoch, term: Term },
    Import(Page),
    Purge { epoch: Epoch, term: Term },
}

/// A page of a log on its way into a store: what `segue_store::events::Import` comes to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    pub term: Term,
    pub after: Mark,
    pub events: Log,
    pub prepare: Option<Epoch>,
}

/// What a store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Done,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Store {
    pub head: Option<Head>,
    pub log: Log,
    /// The heads since the log last changed, oldest first, that a standby may not have got beyond. An
    /// append or a page that was answered is on both.
    pub undone: Vec<Option<Head>>,
    /// Another incarnation than the one that is known.
    pub is_foreign: bool,
}

impl Store {
    pub fn take(&mut self, request: &Request, protocol: Protocol) -> Answer {
        if self.is_foreign {
            return Answer::Refused;
        }
        let before = (self.head, self.log);
        match request {
            Request::Append { id, epoch } => return self.append(*id, *epoch, protocol),
            Request::Swap(swap) => {
                let Some(head) = self.head else { return Answer::Refused };
                let Ok(head) = protocol.swapped(head, swap) else { return Answer::Refused };
                self.head = Some(head);
            }
            Request::Claim { epoch, term } => {
                let Ok(head) = protocol.claimed(self.head, *epoch, *term) else {
                    return Answer::Refused;
                };
                self.head = Some(head);
            }
            Request::Import(page) => {
                let after = self.head.and_then(|head| protocol.imported(head, page));
                let Some(after) = after else { return Answer::Refused };
                if self.head != Some(after) {
                    page.events.events().iter().for_each(|id| self.log.push(*id));
                }
                self.head = Some(after);
            }
            Request::Purge { epoch, term } => {
                let Ok(head) = protocol.purged(self.head, *epoch, *term) else {
                    return Answer::Refused;
                };
                (self.head, self.log) = (head, Log::default());
            }
        }
        self.remember(before);
        Answer::Done
    }

    fn append(&mut self, id: Id, epoch: Epoch, protocol: Protocol) -> Answer {
        // What a store without tombstones takes for the first write of a new tenant.
        let revived =
            || (!protocol.keeps(Rule::HeadsOutliveTheirLogs)).then(|| Head::opened(epoch));
        let Some(head) = self.head.or_else(revived) else { return Answer::Refused };
        if head.admits_write(epoch).is_err() {
            return Answer::Refused;
        }
        if !self.log.has(id) {
            self.log.push(id);
            let mark = protocol.extended(head.mark(), &[id]);
            let (position, digest) = (mark.position, mark.digest);
            self.head = Some(Head { position, digest, mode: Mode::Open, ..head });
            self.undone.clear();
        }
        Answer::Done
    }

    fn remember(&mut self, (head, log): (Option<Head>, Log)) {
        if log != self.log {
            self.undone.clear();
        } else if head != self.head {
            self.undone.push(head);
        }
    }

    /// Whether it takes a write at an epoch.
    pub fn admits(&self, epoch: Epoch) -> bool {
        !self.is_foreign && self.head.is_some_and(|head| head.admits_write(epoch).is_ok())
    }
}
