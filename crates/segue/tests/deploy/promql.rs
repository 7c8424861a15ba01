//! As much of PromQL as it takes to find the metrics and labels that an expression asks for.

use std::collections::BTreeMap;

/// A metric and what is asked of its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    /// Each label with the value that it must have; nothing where that is a pattern or a variable.
    pub labels: BTreeMap<String, Option<String>>,
}

/// Words that stand where a metric may.
const WORDS: [&str; 9] = ["and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end"];

/// Words that are followed by labels in brackets.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// The series of a line of `/metrics`, without its value.
pub fn series_of(line: &str) -> &str {
    line.rsplit_once(' ').unwrap().0
}

/// Every metric that an expression names.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let tokens = tokens(expression);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else {
            if *token == Token::Sign('[') {
                at = after(&tokens, at, ']');
            }
            continue;
        };
        let is_call = tokens.get(at) == Some(&Token::Sign('('));
        if GROUPINGS.contains(&word.as_str()) {
            at = if is_call { after(&tokens, at, ')') } else { at };
            continue;
        }
        let starts_like_one = word.starts_with(|first: char| first.is_alphabetic() || first == '_');
        let is_aggregation =
            matches!(tokens.get(at), Some(Token::Word(next)) if GROUPINGS.contains(&next.as_str()));
        if is_call || is_aggregation || !starts_like_one || WORDS.contains(&word.as_str()) {
            continue;
        }
        let mut labels = BTreeMap::new();
        if tokens.get(at) == Some(&Token::Sign('{')) {
            let end = after(&tokens, at, '}');
            labels = matchers(&tokens[at + 1..end - 1]);
            at = end;
        }
        found.push(Selector { metric: word.clone(), labels });
    }
    found
}

/// Where the tokens go on after a sign.
fn after(tokens: &[Token], from: usize, sign: char) -> usize {
    let found = tokens[from..].iter().position(|token| *token == Token::Sign(sign));
    from + found.unwrap_or_else(|| panic!("no {sign} in {tokens:?}")) + 1
}

fn matchers(tokens: &[Token]) -> BTreeMap<String, Option<String>> {
    let each = tokens.split(|token| *token == Token::Sign(','));
    each.filter(|matcher| !matcher.is_empty())
        .map(|matcher| match matcher {
            [Token::Word(label), Token::Sign('='), Token::Text(value)] => {
                (label.clone(), Some(value.clone()).filter(|value| !value.contains('$')))
            }
            [Token::Word(label), Token::Sign(_), .., Token::Text(_)] => (label.clone(), None),
            other => panic!("no matcher: {other:?}"),
        })
        .collect()
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.chars().peekable();
    while let Some(first) = rest.next() {
        let is_of_word =
            |sign: char| sign.is_alphanumeric() || matches!(sign, '_' | ':' | '$' | '.');
        if first == '"' {
            let text: String = rest.by_ref().take_while(|sign| *sign != '"').collect();
            tokens.push(Token::Text(text));
        } else if is_of_word(first) {
            let mut word = first.to_string();
            while let Some(next) = rest.next_if(|sign| is_of_word(*sign)) {
                word.push(next);
            }
            tokens.push(Token::Word(word));
        } else if !first.is_whitespace() {
            tokens.push(Token::Sign(first));
        }
    }
    tokens
}

#[test]
fn metrics_are_told_from_functions_labels_and_durations() {
    let found = selectors(
        "topk(3, histogram_quantile(0.99, sum by (le, state) (rate(a_bucket{x=\"{y}\",z=~\"5..\"}[$__rate_interval])))) \
         > 7 * 86400 or vector(0) and on (job) b{} unless count without (k) (c == 0)",
    );
    let names: Vec<&str> = found.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(names, ["a_bucket", "b", "c"]);
    assert_eq!(found[0].labels["x"], Some("{y}".to_owned()));
    assert_eq!(found[0].labels["z"], None);
}
