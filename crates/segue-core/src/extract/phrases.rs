//! The words and forms that the extractor knows, in English and French; another language goes here.

use std::sync::LazyLock;

use regex::Regex;

/// Patterns of several pieces, compiled at first use.
macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $($piece:expr),+;)+) => {
        $($(#[$doc])*
        pub(super) static $name: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(&[$($piece),+].concat()).expect("the pattern is fixed and valid")
        });)+

        /// Every pattern, for the test that they are valid.
        #[cfg(test)]
        pub(super) fn all() -> Vec<&'static Regex> {
            vec![$(&*$name),+]
        }
    };
}

patterns! {
    EMAIL = r"[\p{L}0-9.!#$%&'*+/=?^_`{|}~-]+@[\p{L}0-9-]+(?:\.[\p{L}0-9-]+)+";
    LINK = r"(?i)\b(?:https?://|www\.)\S+";
    PHONE = r"(?:\+|\b00|\(|\b)\d(?:[\s.\-/()\u{a0}\u{202f}]{0,2}\d){6,16}\b";
    TIME = r"(?i)\b\d{1,2}(?::\d{2}|h\d{0,2}\b|\s?[ap]\.?m\b)";
    RANGE = r"\b\d+\s?[-–/:]\s?\d+\b";
    /// With thousands in groups of three, or without.
    NUMBER =
        r"[-−]?(?:\d{1,3}(?:[ ,.'’\u{a0}\u{202f}]\d{3})+(?:[.,]\d{1,2})?",
        r"|\d+(?:[.,]\d+)?)";
    WORD = r"\S+";

    SENTENCE_END = r"[.!?…]+(\s|$)|[;\n?!]";
    CLAUSE_END = r"(?i),|\s[–—-]\s|\b(but|and|mais|et|while|whereas|although|tandis que)\b";

    YES =
        r"(?i)^\W*(yes|yeah|yep|yup|sure|of course|certainly|absolutely|definitely|indeed|correct",
        r"|right|true|i do|i am|i have|i agree|agreed|ok|okay",
        r"|oui|ouais|bien sûr|d['’]accord|tout à fait|exact)\b";
    NO =
        r"(?i)^\W*(no|nope|nah|not|never|false|wrong|i do not|i don['’]t|i am not|i['’]m not",
        r"|i have not|i haven['’]t|non|jamais|pas)\b";
    UNDECIDED =
        r"(?i)\b(maybe|perhaps|not (really )?sure|don['’]t know|no idea|depends",
        r"|peut-être|sais pas)\b";
    /// After a yes or no: it may be the opposite in the end.
    REVERSED = r"(?i)\b(but|mais|not|no|yes|oui|non)\b";

    /// Before a value: it is the one that it is not.
    NEGATED =
        r"(?i)(n['’]t|\b(not|never|no longer|pas|jamais|rather than|instead of|plutôt que))",
        r"\b[^,;]*$";
    /// The customer speaks of themselves.
    OWN = r"(?i)\b(i|my|mine|me|our|je|mon|ma|mes|moi|notre)\b|\bj['’]";
    SOMEBODY_ELSE =
        r"(?i)\b(legal|minimum|min|maximum|max|average|limit|required|everyone|people|he|she|they|his|her|their|il|elle",
        r"|(my|our|your|mon|ma|ton|ta|notre|votre) (\w+ )?",
        r"(wife|husband|son|daughter|mother|mom|mum|father|dad|brother|sister|friend|boss|colleague",
        r"|child|kid|baby|partner|neighbou?r|dog|cat|company|team|agent",
        r"|femme|mari|fils|fille|mère|père|frère|sœur|ami|amie|enfant|collègue))\b";
    /// Holds a pronoun that is nobody.
    PLEASE = r"(?i)\bs['’]il (vous|te) pla[iî]t\b";
    HYPOTHESIS =
        r"(?i)\b(if|suppose|imagine|pretend|would be|would have|were|wish|when i was|used to|for example|e\.g",
        r"|in \w+ years|will be|si|imagine[rz]?|serais|quand j['’]étais)\b";
    /// Before a value: it is only a bound of the real one, or near it.
    BOUND =
        r"(?i)\b(under|over|above|below|than|least|most|until|before|after|since|about|around",
        r"|almost|nearly|approximately|roughly|maybe|perhaps",
        r"|moins de|plus de|environ|avant|après|depuis|presque)\s+(the\s+|le\s+)?\W*$";

    /// Before a number: the customer may be telling an age.
    I_AM =
        r"(?i)\b(i['’]?m|i am|im|j['’]ai|just turned|turned|aged)\s+",
        r"(only |just |now |already )?$";
    /// After a number: it counts years of life, or nothing at all.
    YEARS_OR_NOTHING =
        r"(?i)^\s*(-?\s*years?[\s-]old|yrs?\b|yo\b|y/o|ans\b|printemps)",
        r"|^\s*$|^\s*[.,;!)]|^\s+(and|et|now|today)\b";
    YEARS_OLD = r"(?i)^\s*(-?\s*years?[\s-]old|yrs? old|yo\b|y/o)";

    /// What may stand beside a bare answer.
    FILLING =
        r"(?i)\b(it['’]?s|it is|that['’]?s|that is|i['’]?m|i am|my|is|the|sure|ok|okay|yes|yep|well",
        r"|here|thanks|thank you|please|hi|hello|answer|years|year|old|euros?|dollars?|eur|usd",
        r"|c['’]est|oui|merci|voici|bonjour|mon|ma|est|je suis|j['’]ai|ans)\b";

    DATE =
        r"(?i)\b(?:(?<y1>\d{4})[-/.](?<m1>\d{1,2})[-/.](?<d1>\d{1,2})",
        r"|(?<a>\d{1,2})(?<sign>[-/.])(?<b>\d{1,2})[-/.](?<y2>\d{4})",
        r"|(?<d3>\d{1,2})(?:st|nd|rd|th|er)?\s+(?:of\s+)?(?<n3>\p{L}{3,10})\.?\s*,?\s+(?<y3>\d{4})",
        r"|(?<n4>\p{L}{3,10})\.?\s+(?<d4>\d{1,2})(?:st|nd|rd|th)?\s*,?\s+(?<y4>\d{4}))\b";
}

/// The months, by their first letters.
pub(super) const MONTHS: &[(&str, i8)] = &[
    ("jan", 1),
    ("feb", 2),
    ("fév", 2),
    ("fev", 2),
    ("mar", 3),
    ("apr", 4),
    ("avr", 4),
    ("may", 5),
    ("mai", 5),
    ("jun", 6),
    ("juin", 6),
    ("jul", 7),
    ("juil", 7),
    ("aug", 8),
    ("aoû", 8),
    ("aou", 8),
    ("sep", 9),
    ("oct", 10),
    ("nov", 11),
    ("dec", 12),
    ("déc", 12),
];

/// Words that say nothing about which field is meant.
pub(super) const EMPTY_WORDS: &[&str] = &[
    "is", "has", "the", "of", "a", "an", "user", "customer", "client", "current", "value", "field",
    "info", "number", "code", "id", "date", "name", "your", "my", "for", "and", "or",
];

/// What customers and agents call the fields that most forms have.
pub(super) const SYNONYMS: &[(&str, &[&str])] = &[
    ("age", &["âge", "how old"]),
    ("birth", &["born", "birthday", "birthdate", "dob", "né", "née", "naissance"]),
    ("birthday", &["born", "birth", "birthdate", "dob", "né", "née", "naissance"]),
    ("dob", &["born", "birth", "birthday", "birthdate", "naissance"]),
    ("email", &["e-mail", "mail", "courriel", "mél"]),
    ("mail", &["e-mail", "email", "courriel", "mél"]),
    ("phone", &["telephone", "tel", "mobile", "cell", "téléphone", "portable", "numéro"]),
    ("telephone", &["phone", "tel", "mobile", "cell", "téléphone", "portable", "numéro"]),
    ("mobile", &["phone", "telephone", "cell", "portable"]),
    ("amount", &["montant", "sum", "total"]),
    ("country", &["pays"]),
    ("city", &["ville", "town"]),
    ("zip", &["postcode", "postal"]),
    ("postal", &["postcode", "zip"]),
];
