//! What a turn hears from the language model, from its first question on.
//!
//! Nothing is held meanwhile: the turn leaves its turnstile, asks, comes back, and is decided on what is
//! then stored. If another turn of the session has come in between, what was said of the conversation
//! before is forgotten. A model that failed is not asked again in the same turn.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use segue_core::fields::Definition;
use segue_core::ids::{FieldName, TenantId};
use segue_core::reconcile::advice::{Advice, Silence};
use segue_core::reconcile::{Extractor, Judge, Need};
use segue_core::session::turn::Input;
use segue_core::session::{Message, Role, Session};
use segue_store::control::fields::Defined;
use tokio::time::Instant;

use crate::language::{Judges, Language};

/// How often one turn asks; what it needs beyond that it decides without the model.
const QUESTIONS: usize = 8;

/// What a turn needs to know, and where to look for it.
#[derive(Debug)]
pub(super) struct Question {
    need: Need,
    fields: Arc<Defined>,
    /// Every message so far, this turn's too.
    conversation: VecDeque<Message>,
    /// What the customer was asked already, if they have said nothing since.
    looked_for: BTreeSet<FieldName>,
}

impl Question {
    pub(super) fn new(need: Need, session: &Session, input: &Input, fields: Arc<Defined>) -> Self {
        let looked_for = match input.message {
            Some(_) => BTreeSet::new(),
            None => session.fields_asked.clone(),
        };
        let conversation = said(session, input).cloned().collect();
        Self { need, fields, conversation, looked_for }
    }

    /// Whether there is nothing to read for it, or nothing that was not read before: then it is not worth
    /// a request.
    fn is_vain(&self) -> bool {
        let is_silent = !self.conversation.iter().any(|message| message.role == Role::User);
        let was_looked_for = match &self.need {
            Need::Extract { fields } => fields.iter().all(|field| self.looked_for.contains(field)),
            Need::Judge { .. } => false,
        };
        is_silent || was_looked_for
    }
}

fn said<'a>(session: &'a Session, input: &'a Input) -> impl Iterator<Item = &'a Message> + Clone {
    session.messages.iter().chain(&input.message)
}

/// What one turn asks of the model, and what it was told.
#[derive(Debug)]
pub(super) struct Consultation {
    language: Language,
    tenant: TenantId,
    advice: Advice,
    conversation: VecDeque<Message>,
    questions: usize,
    deadline: Option<Instant>,
}

impl Consultation {
    pub(super) fn new(language: Language, tenant: TenantId) -> Self {
        Self {
            language,
            tenant,
            advice: Advice::default(),
            conversation: VecDeque::new(),
            questions: 0,
            deadline: None,
        }
    }

    /// Forgets what was said of another conversation than the one that this turn is part of now.
    pub(super) fn turn_to(&mut self, session: &Session, input: &Input) {
        if !self.conversation.is_empty() && !said(session, input).eq(&self.conversation) {
            self.conversation.clear();
            self.advice.forget();
        }
    }

    pub(super) fn extractor(&self) -> Extractor<'_> {
        Extractor::Advised(&self.advice)
    }

    pub(super) fn judge(&self) -> Judge<'_> {
        match self.language.judges() {
            Judges::Conditions => Judge::Advised(&self.advice),
            Judges::Nothing => Judge::Nobody,
        }
    }

    /// Asks the model, and takes note of what it says, or of why it says nothing.
    pub(super) async fn ask(&mut self, question: Question) {
        let is_vain = question.is_vain();
        let Question { need, fields, conversation, .. } = question;
        self.conversation = conversation;
        if is_vain {
            match need {
                Need::Extract { fields } => self.advice.hear_values(&fields, [].into()),
                Need::Judge { conditions } => self.advice.hear_judgements(&conditions, [].into()),
            }
            return;
        }
        if self.questions == QUESTIONS {
            return self.advice.close(Silence::TooMuch);
        }
        self.questions += 1;
        let timeout = self.language.turn_timeout();
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + timeout);
        let heard = match need {
            Need::Extract { fields: wanted } => {
                let defined: Vec<&Definition> =
                    wanted.iter().filter_map(|field| fields.definitions.get(field)).collect();
                let found =
                    self.language.extract(self.tenant, &defined, &self.conversation, deadline);
                found.await.map(|(asked, found)| {
                    let asked: Vec<_> = asked.into_iter().cloned().collect();
                    self.advice.hear_values(&asked, found);
                })
            }
            Need::Judge { conditions } => {
                let made =
                    self.language.judge(self.tenant, &conditions, &self.conversation, deadline);
                made.await.map(|(asked, made)| self.advice.hear_judgements(asked, made))
            }
        };
        if let Err(silence) = heard {
            self.advice.close(silence);
        }
    }
}
