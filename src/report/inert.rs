//! Names and bodies come from the target and from whoever wrote the scenario: nothing in them may act on a terminal, a
//! page, or the direction of the text around it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::metrics::RunRecord;
use crate::verdict::Verdict;

/// Characters that are not seen but do something: controls, marks of direction, what joins or hides.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// What GitHub Actions takes for a command: the one wherever it stands in a line of a log, the other at its beginning,
/// where any word may come to stand that is broken off a long line.
const COMMANDS: [&str; 2] = ["##[", "::"];

fn has_command(text: &str) -> bool {
    let first = |word: &str| word.starts_with(COMMANDS[1]);
    text.contains(COMMANDS[0]) || (text.contains(COMMANDS[1]) && text.split_whitespace().any(first))
}

/// Text in which what would act is shown instead; lines and tabs stay.
#[must_use]
pub fn inert(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| acts(c) && c != '\n' && c != '\t') && !has_command(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '[' if out.ends_with("##") => out.push_str("⟨[⟩"),
            ':' if rest.peek() == Some(&':') && out.chars().next_back().is_none_or(char::is_whitespace) => {
                rest.next();
                out.push_str("⟨::⟩");
            }
            // The picture of a control character has its number.
            c if (c as u32) < 0x20 => out.extend(char::from_u32(0x2400 + c as u32)),
            '\u{7f}' => out.push('\u{2421}'),
            c if acts(c) => {
                let _ = write!(out, "⟨U+{:04X}⟩", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// [`inert`], on one line.
#[must_use]
pub fn line(text: &str) -> String {
    inert(text).replace(['\n', '\t'], " ")
}

/// How many columns of a terminal a text takes: some characters take two.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// At most so many columns, the middle left out: names differ at either end.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let within = |all: &mut dyn Iterator<Item = char>, most: usize| -> String {
        let mut taken = 0;
        let fits = |c: &char| {
            taken += c.width().unwrap_or(0);
            taken <= most
        };
        all.take_while(fits).collect()
    };
    let start = within(&mut text.chars(), kept.div_ceil(2));
    let end = within(&mut text.chars().rev(), kept / 2);
    format!("{start}…{}", end.chars().rev().collect::<String>())
}

/// JSON in which what would act on a terminal is escaped; it reads back the same.
///
/// # Errors
/// If the value cannot be serialized.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let mut out = String::with_capacity(text.len() + 1);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // What would be a command in the log of GitHub Actions.
        let command = c == '#' && rest.peek() == Some(&'[');
        if (acts(c) && c != '\n') || command {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    Ok(out)
}

/// Every text of a verdict made inert, and on one line.
///
/// # Panics
/// If it does not read back from JSON, as it must where it is stored: rather no report than one with text that acts.
#[must_use]
pub fn inert_verdict(verdict: &Verdict) -> Verdict {
    mapped(verdict).expect("a verdict reads back from JSON")
}

/// Every text of a record made inert, and on one line; the lines of bodies and commands stay.
///
/// # Panics
/// As [`inert_verdict`].
#[must_use]
pub fn inert_record(record: &RunRecord) -> RunRecord {
    // The looks hold histograms, which need no going through; their few texts are done by hand.
    let mut shell = record.clone();
    let runs = std::mem::take(&mut shell.runs);
    let beside = shell.control.as_mut().map(|control| std::mem::take(&mut control.runs));
    let mut clean = mapped(&shell).expect("a record reads back from JSON");
    clean.runs = runs;
    if let (Some(control), Some(runs)) = (&mut clean.control, beside) {
        control.runs = runs;
    }
    for look in clean.runs.iter_mut().chain(clean.control.iter_mut().flat_map(|control| &mut control.runs)) {
        let texts = [&mut look.arm, &mut look.instance_id, &mut look.started, &mut look.stop];
        let lists = look.notes.iter_mut().chain(&mut look.remarks).chain(&mut look.stages);
        for text in texts.into_iter().chain(lists).chain(&mut look.build_id).chain(&mut look.warmup.unsteady)
        {
            *text = line(text);
        }
        for endpoint in &mut look.endpoints {
            endpoint.endpoint = line(&endpoint.endpoint);
        }
        if let Some(abort) = &mut look.abort {
            abort.endpoint = line(&abort.endpoint);
        }
        if let Some(stop) = &mut look.early_stop {
            stop.endpoint = line(&stop.endpoint);
        }
        if let Some(own) = &mut look.answered_by {
            for names in [&mut own.instances, &mut own.builds, &mut own.cohorts] {
                *names = names.iter().map(|name| line(name)).collect();
            }
        }
    }
    clean
}

/// What has lines of its own, by the name of its field.
const MULTILINE: [&str; 2] = ["body", "reproduce"];

fn mapped<T: Serialize + DeserializeOwned>(value: &T) -> Option<T> {
    fn walk(name: &str, value: &mut Value) {
        match value {
            Value::String(text) if MULTILINE.contains(&name) => *text = inert(text).into_owned(),
            Value::String(text) => *text = line(text),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(name, item)),
            Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| walk(name, field)),
            _ => {}
        }
    }
    let mut tree = serde_json::to_value(value).ok()?;
    walk("", &mut tree);
    serde_json::from_value(tree).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_and_what_is_text_stays() {
        for (text, shown) in [
            ("plain, ümläut, 漢字, עברית", "plain, ümläut, 漢字, עברית"),
            ("\u{1b}[31mred\u{7}", "␛[31mred␇"),
            ("a\r\nb\tc", "a␍\nb\tc"),
            ("\u{9b}31m \u{202e}gnp.exe", "⟨U+009B⟩31m ⟨U+202E⟩gnp.exe"),
            ("zero\u{200b}width", "zero⟨U+200B⟩width"),
            ("a ##[error]b", "a ##⟨[⟩error]b"),
            ("::error::x\n\t::debug::y a::b [::1]", "⟨::⟩error::x\n\t⟨::⟩debug::y a::b [::1]"),
        ] {
            assert_eq!(inert(text), shown);
        }
        assert_eq!(line("a\nb\u{1b}c"), "a b␛c");
        assert_eq!(shortened("abcdefghij", 5), "ab…ij");
        assert_eq!(shortened("abc", 5), "abc");
        assert_eq!(shortened("漢字漢字", 5), "漢…字", "columns, not characters");
    }

    #[test]
    fn json_reads_back_the_same() {
        let text = "\u{1b}[2J\u{9b}\u{202e}\u{e0041}<script>\n ##[error]x";
        let written = json(&text).unwrap();
        assert!(written.trim_end().chars().all(|c| !acts(c)) && !written.contains("##["), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
