//! Names and bodies come from the target and from whoever wrote the scenario: nothing in them may act on a terminal, a
//! page, or the direction of the text around it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::metrics::RunRecord;
use crate::verdict::Verdict;

/// Characters that are not seen but do something: controls, marks of direction, what joins or hides.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// What GitHub Actions takes for a command wherever it stands in a line of a log.
const COMMAND: &str = "##[";

/// Text in which what would act is shown instead; lines and tabs stay.
#[must_use]
pub fn inert(text: &str) -> Cow<'_, str> {
    if text.contains(COMMAND) {
        return Cow::Owned(inert(&text.replace(COMMAND, "##⟨[⟩")).into_owned());
    }
    if !text.chars().any(|c| acts(c) && c != '\n' && c != '\t') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
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

/// At most so many characters, the middle left out: names differ at either end.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

/// JSON in which what would act on a terminal is escaped; it reads back the same.
///
/// # Errors
/// If the value cannot be serialized.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if acts(c) && c != '\n' {
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
#[must_use]
pub fn inert_verdict(verdict: &Verdict) -> Verdict {
    mapped(verdict, &line).unwrap_or_else(|| verdict.clone())
}

/// Every text of a record made inert; names and messages on one line.
#[must_use]
pub fn inert_record(record: &RunRecord) -> RunRecord {
    // The looks hold histograms, which need no going through; their few texts are done by hand.
    let shell = RunRecord { runs: Vec::new(), ..record.clone() };
    let mut clean = mapped(&shell, &|text| inert(text).into_owned()).unwrap_or(shell);
    for text in clean
        .scenarios
        .iter_mut()
        .flat_map(|s| std::iter::once(&mut s.feature).chain([&mut s.file]))
        .chain([&mut clean.target, &mut clean.env, &mut clean.id])
    {
        *text = line(text);
    }
    for plan in clean.scenarios.iter_mut().flat_map(|s| &mut s.endpoints) {
        plan.endpoint = line(&plan.endpoint);
        plan.request = line(&plan.request);
    }
    for step in clean.smoke.iter_mut().flat_map(|smoke| &mut smoke.steps) {
        step.endpoint = line(&step.endpoint);
        step.place = line(&step.place);
    }
    for example in &mut clean.error_examples {
        example.endpoint = line(&example.endpoint);
    }
    clean.runs.clone_from(&record.runs);
    for look in &mut clean.runs {
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
    }
    clean
}

fn mapped<T: Serialize + DeserializeOwned>(value: &T, map: &dyn Fn(&str) -> String) -> Option<T> {
    fn walk(value: &mut Value, map: &dyn Fn(&str) -> String) {
        match value {
            Value::String(text) => *text = map(text),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, map)),
            Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, map)),
            _ => {}
        }
    }
    let mut tree = serde_json::to_value(value).ok()?;
    walk(&mut tree, map);
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
        ] {
            assert_eq!(inert(text), shown);
        }
        assert_eq!(line("a\nb\u{1b}c"), "a b␛c");
        assert_eq!(shortened("abcdefghij", 5), "ab…ij");
        assert_eq!(shortened("abc", 5), "abc");
    }

    #[test]
    fn json_reads_back_the_same() {
        let text = "\u{1b}[2J\u{9b}\u{202e}\u{e0041}<script>\n";
        let written = json(&text).unwrap();
        assert!(written.trim_end().chars().all(|c| !acts(c)), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
