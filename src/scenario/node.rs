use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::error::{Diagnostic, SourceText};

/// A YAML value with its place in the file (the only door to `serde_saphyr`).
#[derive(Clone, Debug)]
pub struct Node {
    pub value: NodeValue,
    /// Byte range in the file.
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum NodeValue {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    /// In the file's order.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    pub span: Range<usize>,
}

/// Any YAML or JSON document as a value: what is written by others, and read for what it says.
///
/// # Errors
/// The first place where it is neither.
pub fn value_of_yaml(path: &std::path::Path, text: &str) -> crate::error::Result<serde_json::Value> {
    let text = text.trim_start_matches('\u{feff}');
    // Large ones are JSON mostly.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let source = Arc::new(SourceText { path: path.to_owned(), text: text.to_owned() });
    let root = Node::parse(&source).map_err(|mistake| crate::error::Error::Invalid(vec![mistake]))?;
    Ok(root.into_value())
}

impl Node {
    fn into_value(self) -> serde_json::Value {
        use serde_json::Value;
        match self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(own) => Value::Bool(own),
            NodeValue::Number(own) => Value::Number(own),
            NodeValue::Text(own) => Value::String(own),
            NodeValue::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            NodeValue::Map(entries) => {
                Value::Object(entries.into_iter().map(|(key, own)| (key.name, own.into_value())).collect())
            }
        }
    }

    /// # Errors
    /// The first place where the text is not YAML.
    pub fn parse(source: &Arc<SourceText>) -> Result<Self, Diagnostic> {
        let options = serde_saphyr::options! {
            strict_indentation: true,
            strict_booleans: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options::<Spanned<Raw>>(&source.text, options).map(located).map_err(
            |error| {
                let location = error.location();
                let mut start =
                    location.map_or(0, |l| offset_of(&source.text, l.line() as usize, l.column() as usize));
                // The parser points behind the tab.
                if source.text[..start].ends_with('\t') {
                    start -= 1;
                }
                let span = start..start + 1;
                let text = error.to_string();
                let message = text.split(" at line ").next().unwrap_or(&text).trim_start_matches("error: ");
                // The parser's advice is for who calls it, not for who writes a scenario.
                let (label, help) = match message.strip_prefix("duplicate mapping key: ") {
                    Some(rest) => {
                        let key = rest.split(',').next().unwrap_or(rest);
                        (format!("`{key}` stands twice in this mapping"), None)
                    }
                    None if message.contains("tabs disallowed") => {
                        ("a tab, where YAML wants spaces".to_owned(), Some("indent with spaces".to_owned()))
                    }
                    None => {
                        let line = source.text[..start].rfind('\n').map_or(0, |at| at + 1);
                        let line = source.text[line..].lines().next().unwrap_or_default();
                        let flow = message.contains("flow") && line.contains(['{', '[']);
                        let help = if message.contains("escape") {
                            Some("between single quotes a backslash is one: `'^\\d+$'`")
                        } else if flow {
                            Some("inside `{ }` and `[ ]` a text with `[`, `{`, `,` or `${name}` stands in quotes")
                        } else {
                            None
                        };
                        (message.to_owned(), help.map(str::to_owned))
                    }
                };
                Diagnostic {
                    source: source.clone(),
                    span,
                    message: "this is not valid YAML".into(),
                    label,
                    help,
                    warning: false,
                }
            },
        )
    }

    /// What kind of value stands here, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Number(_) => "a number",
            NodeValue::Text(_) => "text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a mapping",
        }
    }

    /// Where the last scalar in it ends: of a list or mapping only the beginning is known.
    pub fn end(&self) -> usize {
        let inner = match &self.value {
            NodeValue::List(items) => items.iter().map(Self::end).max(),
            NodeValue::Map(entries) => entries.iter().map(|(_, value)| value.end()).max(),
            _ => None,
        };
        inner.unwrap_or(self.span.end).max(self.span.end)
    }

    /// What stands here by itself, or as a list.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// A scalar as it would be written in a template; `None` for lists and mappings.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            NodeValue::Text(text) => Some(text.clone()),
            NodeValue::Number(number) => Some(number.to_string()),
            NodeValue::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }
}

/// The byte offset of a line and column, both counted from 1.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let within = text[before..].char_indices().nth(column.saturating_sub(1)).map_or(0, |(at, _)| at);
    let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
    (before + within).min(last)
}

fn located(spanned: Spanned<Raw>) -> Node {
    let span = place(&spanned);
    Node { value: spanned.value.0, span }
}

fn place<T>(spanned: &Spanned<T>) -> Range<usize> {
    let span = spanned.referenced.span();
    let start = span.byte_offset().unwrap_or(0) as usize;
    let length = span.byte_len().unwrap_or(1).max(1) as usize;
    start..start + length
}

struct Raw(NodeValue);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor).map(Self)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = NodeValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_none<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<NodeValue, E> {
        Ok(NodeValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<NodeValue, E> {
        Ok(NodeValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<NodeValue, E> {
        Ok(NodeValue::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<NodeValue, E> {
        serde_json::Number::from_f64(value)
            .map(NodeValue::Number)
            .ok_or_else(|| E::custom("numbers must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<NodeValue, E> {
        Ok(NodeValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<NodeValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Raw>>()? {
            items.push(located(item));
        }
        Ok(NodeValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodeValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let span = place(&key);
            entries.push((Key { name: key.value, span }, located(map.next_value()?)));
        }
        Ok(NodeValue::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last letter was once cut in two.
    #[test]
    fn a_mistake_at_the_end_of_a_text_is_placed_whatever_its_letters() {
        for text in ["a: [é", "a: \"é", "é: {日", "\t\u{e9}", "- é\n\t\u{1f600}", ""] {
            let source = Arc::new(SourceText { path: "a.yaml".into(), text: text.to_owned() });
            if let Err(found) = Node::parse(&source) {
                assert!(found.render().contains("a.yaml:"), "{text}");
            }
        }
        assert_eq!(offset_of("a\né", 9, 9), 2);
    }
}
