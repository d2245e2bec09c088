use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::model::Place;
use super::node::{Key, Node, NodeValue};
use crate::error::{Diagnostic, SourceText, nearest, position};

/// Reads nodes and collects every mistake on the way, so that one pass names them all.
pub struct Reader {
    source: Arc<SourceText>,
    mistakes: RefCell<Vec<Diagnostic>>,
}

/// The entries of a mapping whose keys are all known.
pub struct Fields<'a> {
    entries: &'a [(Key, Node)],
    /// A key is mistyped, so that what seems to be missing may be meant by it.
    pub mistyped: bool,
    /// Where the mapping stands, for keys that are missing.
    pub span: Range<usize>,
}

impl<'a> Fields<'a> {
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|(_, node)| node)
    }

    pub fn entry(&self, name: &str) -> Option<&'a (Key, Node)> {
        self.entries.iter().find(|(key, _)| key.name == name)
    }
}

/// What other tools, and people in a hurry, call things.
const SYNONYMS: [(&str, &[&str]); 29] = [
    ("name", &["feature"]),
    ("requests", &["steps"]),
    ("scenarios", &["steps"]),
    ("tasks", &["steps"]),
    ("options", &["load"]),
    ("errors", &["error_rate"]),
    ("equal", &["equals"]),
    ("url", &["get"]),
    ("path", &["get"]),
    ("method", &["get"]),
    ("request", &["get"]),
    ("assert", &["check"]),
    ("asserts", &["check"]),
    ("checks", &["check"]),
    ("expect", &["check"]),
    ("tests", &["check"]),
    ("extract", &["capture"]),
    ("captures", &["capture"]),
    ("params", &["query"]),
    ("data", &["json"]),
    ("payload", &["json"]),
    ("sleep", &["think"]),
    ("pause", &["think"]),
    ("thresholds", &["limits"]),
    ("variables", &["vars"]),
    ("duration", &["for", "within"]),
    ("if", &["when"]),
    ("cookies", &["session"]),
    ("scenario", &["steps"]),
];

/// What is said elsewhere than in the mapping at hand.
const ADVICE: [(&[&str], &str, &str); 2] = [
    (
        &["url", "host", "target", "base_url", "baseUrl", "baseURL"],
        "feature",
        "the target is given with the command: `--target URL`; a step has its path, as in `get: /items`",
    ),
    (
        &["rate", "vus", "for", "duration", "iterations"],
        "stages",
        "that belongs to a stage: `stages: [ { rate: 100/s, for: 30s } ]`",
    ),
];

fn advice(name: &str, known: &[&str]) -> Option<&'static str> {
    let here = ADVICE.iter().find(|(names, marker, _)| names.contains(&name) && known.contains(marker));
    here.map(|(_, _, text)| *text)
}

fn synonym<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (_, meant) = SYNONYMS.iter().find(|(other, _)| *other == name)?;
    known.iter().copied().find(|key| meant.contains(key))
}

impl Reader {
    pub fn new(source: Arc<SourceText>) -> Self {
        Self { source, mistakes: RefCell::new(Vec::new()) }
    }

    pub fn source(&self) -> &Arc<SourceText> {
        &self.source
    }

    pub fn found_any(&self) -> bool {
        self.mistakes.borrow().iter().any(|found| !found.warning)
    }

    /// All mistakes and all warnings, in the file's order.
    pub fn into_found(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let mut found = self.mistakes.into_inner();
        found.sort_by_key(|d| d.span.start);
        // What stands for all steps is read with each of them.
        found.dedup_by(|a, b| (&a.span, &a.message, &a.label) == (&b.span, &b.message, &b.label));
        found.into_iter().partition(|found| !found.warning)
    }

    pub fn place(&self, span: &Range<usize>) -> Place {
        let line = position(&self.source.text, span.start).0;
        Place { start: span.start, end: span.end, line }
    }

    pub fn fail(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.mistakes.borrow_mut().push(Diagnostic {
            source: self.source.clone(),
            span: span.clone(),
            message: message.into(),
            label: label.into(),
            help,
            warning: false,
        });
    }

    pub fn warn(&self, span: &Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.mistakes.borrow_mut().push(Diagnostic {
            source: self.source.clone(),
            span: span.clone(),
            message: message.into(),
            label: label.into(),
            help: None,
            warning: true,
        });
    }

    /// Takes the value, or notes why there is none.
    pub fn take<T>(&self, node: &Node, message: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|reason| self.fail(&node.span, message, reason, None)).ok()
    }

    /// Notes a name that is none of `known`, with the nearest one.
    pub fn unknown(&self, span: &Range<usize>, what: &str, name: &str, known: &[&str]) {
        let near = || synonym(name, known).or_else(|| nearest(name, known.iter().copied()));
        let help = match advice(name, known) {
            Some(advice) => advice.to_owned(),
            None => match near() {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "there are none here".into(),
                None => format!("known here: {}", known.join(", ")),
            },
        };
        self.fail(span, format!("unknown {what} `{name}`"), format!("no such {what}"), Some(help));
    }

    fn expected(&self, node: &Node, what: &str) {
        self.fail(&node.span, format!("expected {what}"), format!("this is {}", node.kind()), None);
    }

    /// A mapping whose keys are all in `known`; unknown ones are noted, the rest is still read.
    pub fn fields<'a>(&self, node: &'a Node, what: &str, known: &[&str]) -> Option<Fields<'a>> {
        let entries = self.map(node, what)?;
        let mut mistyped = false;
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                self.unknown(&key.span, "key", &key.name, known);
                mistyped = true;
            }
        }
        Some(Fields { entries, mistyped, span: node.span.clone() })
    }

    pub fn map<'a>(&self, node: &'a Node, what: &str) -> Option<&'a [(Key, Node)]> {
        match &node.value {
            NodeValue::Map(entries) => Some(entries),
            _ => {
                self.expected(node, what);
                None
            }
        }
    }

    pub fn list<'a>(&self, node: &'a Node, what: &str) -> Option<&'a [Node]> {
        match &node.value {
            NodeValue::List(items) => Some(items),
            _ => {
                self.expected(node, what);
                None
            }
        }
    }

    pub fn text<'a>(&self, node: &'a Node, what: &str) -> Option<&'a str> {
        match &node.value {
            NodeValue::Text(text) => Some(text),
            _ => {
                self.expected(node, what);
                None
            }
        }
    }

    /// Text, or a number or flag as it was written.
    pub fn scalar(&self, node: &Node, what: &str) -> Option<String> {
        let text = node.scalar_text();
        if text.is_none() {
            self.expected(node, what);
        }
        text
    }

    pub fn number(&self, node: &Node, what: &str) -> Option<f64> {
        match &node.value {
            NodeValue::Number(number) => number.as_f64(),
            _ => {
                self.expected(node, what);
                None
            }
        }
    }

    pub fn whole(&self, node: &Node, what: &str) -> Option<u64> {
        let whole = match &node.value {
            NodeValue::Number(number) => number.as_u64(),
            _ => None,
        };
        if whole.is_none() {
            self.expected(node, what);
        }
        whole
    }

    /// A whole number within bounds.
    pub fn whole_in(&self, node: &Node, what: &str, bounds: &RangeInclusive<u64>) -> Option<u64> {
        let number = self.whole(node, what)?;
        if !bounds.contains(&number) {
            let message = format!("expected {what} from {} to {}", bounds.start(), bounds.end());
            self.fail(&node.span, message, "out of range", None);
            return None;
        }
        Some(number)
    }

    /// Which one of `names` stands in the mapping `node`.
    pub fn exactly_one(
        &self,
        node: &Node,
        fields: &Fields<'_>,
        what: &str,
        names: &[&'static str],
    ) -> Option<&'static str> {
        let found: Vec<&'static str> = names.iter().copied().filter(|k| fields.get(k).is_some()).collect();
        match found.as_slice() {
            [one] => Some(one),
            [] if fields.mistyped => None,
            _ => {
                let label = if found.is_empty() {
                    "none here".into()
                } else {
                    format!("here are {}", found.join(" and "))
                };
                let span = match found.get(1).and_then(|name| fields.entry(name)) {
                    Some((second, _)) => second.span.clone(),
                    None => node.span.clone(),
                };
                let message = match what {
                    "" => format!("expected exactly one of {}", names.join(", ")),
                    _ => format!("{what} has exactly one of {}", names.join(", ")),
                };
                self.fail(&span, message, label, None);
                None
            }
        }
    }

    pub fn flag(&self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            NodeValue::Bool(flag) => Some(*flag),
            _ => {
                self.expected(node, what);
                None
            }
        }
    }

    pub fn duration(&self, node: &Node, what: &str) -> Option<u64> {
        let text = self.scalar(node, what)?;
        self.take(node, &format!("expected {what}"), crate::units::parse_duration_ns(&text))
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.unknown(&node.span, what, text, &known);
        }
        found
    }
}
