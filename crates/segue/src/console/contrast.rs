//! Whether everything in the style sheet can be read: WCAG 2.2 AA, computed from the colours themselves, in
//! both schemes. Text needs 4.5 to 1; the edges of controls and the shapes of pictures 3 to 1.

use std::collections::BTreeMap;

const STYLE: &str = include_str!("assets/console.css");

/// Text on its ground.
const TEXT: &[(&str, &[&str])] = &[
    (
        "ink",
        &[
            "paper",
            "surface",
            "sunken",
            "good-soft",
            "warn-soft",
            "bad-soft",
            "info-soft",
            "accent-soft",
        ],
    ),
    ("soft", &["paper", "surface", "sunken"]),
    ("faint", &["paper", "surface", "sunken"]),
    ("accent", &["paper", "surface", "sunken", "accent-soft"]),
    ("on-accent", &["accent"]),
    ("good", &["surface", "paper", "good-soft"]),
    ("warn", &["surface", "paper", "warn-soft"]),
    ("bad", &["surface", "paper", "bad-soft"]),
    ("info", &["surface", "paper", "info-soft"]),
];

/// What is not text and has to be seen, on its ground.
const SHAPES: &[(&str, &[&str])] = &[
    ("edge", &["surface", "paper"]),
    ("accent", &["surface", "paper", "sunken"]),
    ("good", &["surface", "sunken"]),
    ("warn", &["surface", "sunken"]),
    ("bad", &["surface", "sunken"]),
    ("info", &["surface", "sunken"]),
    ("good-fill", &["surface", "sunken"]),
    ("warn-fill", &["surface"]),
    ("bad-fill", &["surface", "sunken"]),
    ("info-fill", &["surface", "sunken"]),
];

/// The colours of both schemes; the dark one falls back on the light one.
fn schemes() -> [(&'static str, BTreeMap<&'static str, &'static str>); 2] {
    let (before, after) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = after.split_once("\n}\n").unwrap().0;
    let colours = |part: &'static str| -> BTreeMap<_, _> {
        part.lines()
            .filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": "))
            .filter(|(_, value)| value.starts_with('#'))
            .collect()
    };
    let light = colours(before);
    let mut both = light.clone();
    both.extend(colours(dark));
    [("light", light), ("dark", both)]
}

/// The relative luminance of `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn everything_can_be_read_in_both_schemes() {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 0.01);
    let mut wrong = Vec::new();
    for (scheme, colours) in schemes() {
        for (pairs, least) in [(TEXT, 4.5), (SHAPES, 3.0)] {
            for (front, grounds) in pairs {
                for ground in *grounds {
                    let reached = contrast(colours[front], colours[ground]);
                    if reached < least {
                        wrong.push(format!(
                            "{scheme}: {front} on {ground} is {reached:.2}, not {least}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_use_the_named_colours_only() {
    let rules = STYLE.split_once("*, *::before").unwrap().1;
    let named = rules.lines().filter(|line| line.contains(": #"));
    assert_eq!(named.collect::<Vec<_>>(), Vec::<&str>::new());
}
