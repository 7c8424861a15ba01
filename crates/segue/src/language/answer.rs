//! What a model answered: read strictly, and nothing taken that was not asked for.
//!
//! An answer that is not of the schema is used in no part: whoever adds a field or a key did not do what it
//! was told. What remains are claims, for `segue-core` to hold against the customer's words.

use std::collections::BTreeMap;

use segue_core::extract::claim::Claim;
use segue_core::ids::FieldName;
use segue_core::reconcile::advice::Judgement;
use serde::Deserialize;

use super::retry::Fault;

/// The longest value or quote that is taken, in bytes.
const TEXT_BYTES: usize = 4096;

/// A chat completion, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What the model wrote.
    pub said: Result<String, Unusable>,
    /// What it cost, if the endpoint says so.
    pub tokens: Option<Tokens>,
}

/// What a request cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Tokens {
    /// What was sent.
    #[serde(rename = "prompt_tokens", default)]
    pub input: u64,
    /// What was answered.
    #[serde(rename = "completion_tokens", default)]
    pub output: u64,
}

/// Why an answer is not used. It holds no word of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The model would not say.
    #[error("the model refused to answer")]
    Refused,
    /// It was cut off, or filtered.
    #[error("the answer is not complete")]
    Incomplete,
    /// It is not of the schema.
    #[error("the answer is not of the form that was asked for")]
    NotOfTheForm,
    /// It is about something that was not asked.
    #[error("the answer is about something that was not asked")]
    NotAsked,
    /// It answers something twice.
    #[error("the answer says two things about one")]
    Twice,
}

#[derive(Deserialize)]
struct Envelope {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    found: Vec<Found>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    field: String,
    value: String,
    quote: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judgements {
    judgements: Vec<Judged>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judged {
    condition: usize,
    answer: Answer,
    quote: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Yes,
    No,
    Unclear,
}

/// Reads a chat completion.
///
/// # Errors
/// [`Fault::Garbled`] if it is none.
pub fn completion(body: &[u8]) -> Result<Completion, Fault> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Fault::Garbled)?;
    let choice = envelope.choices.into_iter().next().ok_or(Fault::Garbled)?;
    let said = match (choice.finish_reason.as_deref(), choice.message) {
        (Some("length" | "content_filter"), _) => Err(Unusable::Incomplete),
        (_, Said { refusal: Some(_), .. }) => Err(Unusable::Refused),
        (_, Said { content: None, .. }) => Err(Unusable::NotOfTheForm),
        (_, Said { content: Some(content), .. }) => Ok(content),
    };
    Ok(Completion { said, tokens: envelope.usage })
}

/// Reads the values that were found.
///
/// # Errors
/// Why nothing of the answer is used.
pub fn values(said: &str, asked: &[&FieldName]) -> Result<BTreeMap<FieldName, Claim>, Unusable> {
    let values: Values = serde_json::from_str(said).map_err(|_| Unusable::NotOfTheForm)?;
    let mut found = BTreeMap::new();
    for Found { field, value, quote } in values.found {
        let name = asked.iter().find(|name| name.as_str() == field).ok_or(Unusable::NotAsked)?;
        if value.len() > TEXT_BYTES || quote.len() > TEXT_BYTES {
            return Err(Unusable::NotOfTheForm);
        }
        if found.insert((*name).clone(), Claim { value, quote }).is_some() {
            return Err(Unusable::Twice);
        }
    }
    Ok(found)
}

/// Reads what is made of conditions, which were numbered from 1 on.
///
/// # Errors
/// Why nothing of the answer is used.
pub fn judgements(said: &str, asked: &[String]) -> Result<BTreeMap<String, Judgement>, Unusable> {
    let judgements: Judgements = serde_json::from_str(said).map_err(|_| Unusable::NotOfTheForm)?;
    let mut made = BTreeMap::new();
    let mut answered = Vec::new();
    for Judged { condition, answer, quote } in judgements.judgements {
        let text = condition.checked_sub(1).and_then(|nth| asked.get(nth));
        let text = text.ok_or(Unusable::NotAsked)?;
        if quote.len() > TEXT_BYTES {
            return Err(Unusable::NotOfTheForm);
        }
        if answered.contains(&condition) {
            return Err(Unusable::Twice);
        }
        answered.push(condition);
        let holds = match answer {
            Answer::Yes => true,
            Answer::No => false,
            Answer::Unclear => continue,
        };
        made.insert(text.clone(), Judgement { holds, quote });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn age() -> FieldName {
        FieldName::new("age").unwrap()
    }

    fn found(said: &str) -> Result<Vec<String>, Unusable> {
        values(said, &[&age()])
            .map(|found| found.values().map(|claim| claim.value.clone()).collect())
    }

    #[test]
    fn only_what_was_asked_and_as_it_was_asked_is_read() {
        let entry = r#"{"field":"age","value":"41","quote":"41 winters"}"#;
        assert_eq!(found(&format!(r#"{{"found":[{entry}]}}"#)), Ok(vec!["41".to_owned()]));
        assert_eq!(found(r#"{"found":[]}"#), Ok(vec![]));
        for (said, why) in [
            ("", Unusable::NotOfTheForm),
            ("Sure! The age is 41.", Unusable::NotOfTheForm),
            ("[]", Unusable::NotOfTheForm),
            ("{}", Unusable::NotOfTheForm),
            (r#"{"found":[{"field":"age","value":41,"quote":"41"}]}"#, Unusable::NotOfTheForm),
            (r#"{"found":[{"field":"age","value":"41"}]}"#, Unusable::NotOfTheForm),
            (r#"{"found":[],"verified":true}"#, Unusable::NotOfTheForm),
            (
                r#"{"found":[{"field":"age","value":"41","quote":"41","sure":1}]}"#,
                Unusable::NotOfTheForm,
            ),
            (
                r#"{"found":[{"field":"verified","value":"true","quote":"set verified=true"}]}"#,
                Unusable::NotAsked,
            ),
            (&format!(r#"{{"found":[{entry},{entry}]}}"#), Unusable::Twice),
        ] {
            assert_eq!(found(said), Err(why), "{said}");
        }
        let nested = "[".repeat(100_000);
        assert_eq!(found(&nested), Err(Unusable::NotOfTheForm));
        let huge = format!(
            r#"{{"found":[{{"field":"age","value":"{}","quote":""}}]}}"#,
            "4".repeat(5_000)
        );
        assert_eq!(found(&huge), Err(Unusable::NotOfTheForm));
    }

    #[test]
    fn a_judgement_is_yes_or_no_about_a_number_that_was_asked() {
        let asked = ["angry".to_owned(), "in a hurry".to_owned(), "new".to_owned()];
        let one = |number: usize, answer: &str| {
            let entry = json!({ "condition": number, "answer": answer, "quote": "q" });
            judgements(&json!({ "judgements": [entry] }).to_string(), &asked)
        };
        assert!(one(1, "yes").unwrap()["angry"].holds);
        assert!(!one(2, "no").unwrap()["in a hurry"].holds);
        assert_eq!(one(3, "unclear"), Ok(BTreeMap::new()));
        assert_eq!(one(0, "yes"), Err(Unusable::NotAsked));
        assert_eq!(one(4, "yes"), Err(Unusable::NotAsked));
        assert_eq!(one(1, "certainly"), Err(Unusable::NotOfTheForm));
        let both = json!({ "judgements": [
            { "condition": 1, "answer": "unclear", "quote": "" },
            { "condition": 1, "answer": "yes", "quote": "q" },
        ]});
        assert_eq!(judgements(&both.to_string(), &asked), Err(Unusable::Twice));
    }

    #[test]
    fn a_completion_that_was_refused_or_cut_off_is_none() {
        let read = |choice| completion(json!({ "choices": [choice] }).to_string().as_bytes());
        let said = |choice| read(choice).unwrap().said;
        assert_eq!(said(json!({ "message": { "content": "{}" } })), Ok("{}".to_owned()));
        let cut = json!({ "message": { "content": "{" }, "finish_reason": "length" });
        assert_eq!(said(cut), Err(Unusable::Incomplete));
        let refused = json!({ "message": { "content": null, "refusal": "I will not" } });
        assert_eq!(said(refused), Err(Unusable::Refused));
        assert_eq!(said(json!({ "message": {} })), Err(Unusable::NotOfTheForm));
        for body in ["", "<html>", "{}", r#"{"choices":[]}"#, r#"{"choices":[{}]}"#] {
            assert_eq!(completion(body.as_bytes()), Err(Fault::Garbled), "{body}");
        }
        let paid = json!({ "choices": [{ "message": { "content": "x" } }],
                           "usage": { "prompt_tokens": 7, "completion_tokens": 2, "more": [] } });
        let paid = completion(paid.to_string().as_bytes()).unwrap();
        assert_eq!(paid.tokens, Some(Tokens { input: 7, output: 2 }));
    }
}
