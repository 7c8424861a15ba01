//! Prints for people, in tables and colours, or for programs, as JSON.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, presets};
use owo_colors::{OwoColorize, Style};
use serde_json::Value;

/// Where a command prints.
#[derive(Debug)]
pub struct Screen {
    json: bool,
    colours: bool,
}

impl Screen {
    /// Colours appear on a terminal, unless `NO_COLOR` is set.
    pub fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colours: wanted && std::io::stdout().is_terminal() }
    }

    /// Whether it prints for programs.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the value as JSON if that was asked for; tells whether it did.
    pub fn prints_json(&self, value: &Value) -> bool {
        if self.json {
            let mut text = serde_json::to_string_pretty(value).expect("JSON is printable");
            text.push('\n');
            self.write(&text);
        }
        self.json
    }

    /// Prints the value as one line of JSON if that was asked for; tells whether it did.
    pub fn prints_json_line(&self, value: &Value) -> bool {
        if self.json {
            self.line(value.to_string());
        }
        self.json
    }

    /// Prints a line.
    pub fn line(&self, text: impl AsRef<str>) {
        self.write(&format!("{}\n", text.as_ref()));
    }

    /// Prints names and values, one pair a line; pairs without a value are left out.
    pub fn facts(&self, facts: &[(&str, String)]) {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let name = format!("{name:width$}");
            // Further lines of a value stand under its first.
            let value = value.replace('\n', &format!("\n{:width$}  ", ""));
            self.line(format!("{}  {value}", self.dim(&name)));
        }
    }

    /// Prints a table.
    pub fn table(&self, header: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.iter().map(|title| self.dim(title)));
        for row in rows {
            table.add_row(row);
        }
        for line in table.lines() {
            self.line(line.trim_end());
        }
    }

    /// Prints what a list says at its end.
    pub fn end_of_list(&self, shown: usize, answer: &Value) {
        let total = answer["total"].as_u64().unwrap_or(shown as u64);
        let mut text = format!("{shown} of {total}");
        if let Some(cursor) = answer["next_cursor"].as_str() {
            text.push_str(&format!("; go on with --cursor {cursor}"));
        }
        self.line(self.dim(&text));
    }

    /// Unimportant.
    pub fn dim(&self, text: &str) -> String {
        self.styled(text, Style::new().dimmed())
    }

    /// Important.
    pub fn bold(&self, text: &str) -> String {
        self.styled(text, Style::new().bold())
    }

    /// A word whose meaning has a colour: statuses, migration scenarios, actions, severities.
    pub fn word(&self, word: &str) -> String {
        let style = match word {
            "clean_graft" | "deployed" | "continue" | "active" | "ok" | "normal" | "migrated" => {
                Style::new().green()
            }
            "gap_fill" | "pending" | "paused" | "collect" | "execute_action" | "warning"
            | "cutover_paused" => Style::new().yellow(),
            "re_route" | "approved" | "teleport" | "info" | "bulk_copy" | "dual_write" => {
                Style::new().cyan()
            }
            "rejected" | "withdrawn" | "exit_scenario" | "exited" | "erased" | "critical"
            | "failed" | "rolled_back" => Style::new().red(),
            _ => Style::new(),
        };
        self.styled(word, style)
    }

    fn styled(&self, text: &str, style: Style) -> String {
        if self.colours { text.style(style).to_string() } else { text.to_owned() }
    }

    /// A closed pipe, as of `| head`, is no failure.
    fn write(&self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// A value as people read it: texts without quotes, nothing for null.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| format!("{name}: {}", plain(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The items of a list.
pub fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

/// A time of day as people read it.
pub fn when(value: &Value) -> String {
    let text = plain(value);
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text,
    }
}
