use serde_json::Value;

use super::generate::{Chance, Generator};
use crate::checks::plain_text;
use crate::secrets::SecretText;
use crate::units::percent_encoded;

/// Text with `${name}` in it, compiled to segments: names are looked up once, before anything is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Literal(String),
    /// A number or flag from `vars`, which keeps its type where it stands alone.
    Typed(Value),
    /// Known at load time, hidden from everything that is stored.
    Secret {
        name: String,
        value: SecretText,
    },
    Data {
        source: usize,
        column: usize,
        name: String,
    },
    Capture {
        slot: usize,
        name: String,
    },
    Generated {
        generator: Generator,
        name: String,
    },
}

/// Parts and bytes that variables may bring in.
const MOST_NESTED: usize = 1 << 20;

/// What a name in a template stands for.
#[derive(Clone, Debug)]
pub enum Meaning {
    Text(String),
    Typed(Value),
    Secret {
        name: String,
        value: SecretText,
    },
    Data {
        source: usize,
        column: usize,
    },
    Capture {
        slot: usize,
    },
    Generated(Generator),
    /// Another template, such as a variable that holds one.
    Nested(Template),
}

impl Meaning {
    /// Whether it is the same in every iteration.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        match self {
            Self::Text(_) | Self::Typed(_) | Self::Secret { .. } => true,
            Self::Nested(template) => template.constant().is_some(),
            Self::Data { .. } | Self::Capture { .. } | Self::Generated(_) => false,
        }
    }
}

/// The values of one iteration.
pub struct Context<'a> {
    /// A row for each data source.
    pub rows: &'a [&'a [Value]],
    pub captures: &'a [Option<Value>],
    pub chance: &'a Chance,
}

/// A mistake in a template, with the byte range of the name that is at fault.
#[derive(Debug, PartialEq)]
pub struct TemplateError {
    pub at: std::ops::Range<usize>,
    pub name: String,
}

impl Template {
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self { segments: vec![Segment::Literal(text.into())] }
    }

    /// Compiles `text`; `$${` stands for a literal `${`.
    ///
    /// # Errors
    /// The first name for which `lookup` has no meaning; an unclosed `${` counts as one, and so does what makes it longer
    /// than any text can be meant to be, as variables do that are made of others several times over.
    pub fn compile(text: &str, lookup: &dyn Fn(&str) -> Option<Meaning>) -> Result<Self, TemplateError> {
        let (mut segments, mut nested) = (Vec::new(), 0);
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("${").map(|i| at + i) {
            if found > at && text.as_bytes()[found - 1] == b'$' {
                literal.push_str(&text[at..found]);
                literal.push('{');
                at = found + 2;
                continue;
            }
            literal.push_str(&text[at..found]);
            let close = text[found..].find('}').map(|i| found + i);
            let name = text[found + 2..close.unwrap_or(text.len())].trim().to_owned();
            let end = close.map_or(text.len(), |close| close + 1);
            let meaning = close
                .and_then(|_| lookup(&name))
                .ok_or_else(|| TemplateError { at: found..end, name: name.clone() })?;
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            match meaning {
                Meaning::Text(text) => segments.push(Segment::Literal(text)),
                Meaning::Typed(value) => segments.push(Segment::Typed(value)),
                Meaning::Secret { name, value } => segments.push(Segment::Secret { name, value }),
                Meaning::Data { source, column } => segments.push(Segment::Data { source, column, name }),
                Meaning::Capture { slot } => segments.push(Segment::Capture { slot, name }),
                Meaning::Generated(generator) => segments.push(Segment::Generated { generator, name }),
                Meaning::Nested(template) => {
                    nested += template.size();
                    if nested > MOST_NESTED {
                        return Err(TemplateError { at: found..end, name });
                    }
                    segments.extend(template.segments);
                }
            }
            at = end;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() || segments.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Ok(Self { segments })
    }

    /// The value where nothing in it depends on the iteration.
    #[must_use]
    pub fn constant(&self) -> Option<Value> {
        let fixed = |s: &Segment| {
            !matches!(s, Segment::Data { .. } | Segment::Capture { .. } | Segment::Generated { .. })
        };
        let chance = Chance::default();
        self.segments
            .iter()
            .all(fixed)
            .then(|| self.value(&Context { rows: &[], captures: &[], chance: &chance }))
    }

    /// The secrets in it, by name.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|s| match s {
            Segment::Secret { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The text that it begins with in every iteration, up to the end of a URL's host at least or else none of that.
    #[must_use]
    pub fn beginning(&self) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => out.push_str(text),
                Segment::Secret { value, .. } => out.push_str(value.reveal()),
                Segment::Typed(value) => out.push_str(&plain_text(value)),
                Segment::Data { .. } | Segment::Capture { .. } | Segment::Generated { .. } => {
                    // A host that goes on with a value is not known.
                    let whole = out.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
                    return if whole { out } else { String::new() };
                }
            }
        }
        out
    }

    /// Whether it is a path below the target in every iteration.
    #[must_use]
    pub fn is_path(&self) -> bool {
        matches!(self.segments.first(), Some(Segment::Literal(text)) if text.starts_with('/'))
    }

    /// Whether a part of it is made where it is used.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.segments.iter().any(|s| matches!(s, Segment::Generated { .. }))
    }

    /// Parts and bytes: what it takes to keep it.
    fn size(&self) -> usize {
        let size = |segment: &Segment| match segment {
            Segment::Literal(text) => 1 + text.len(),
            Segment::Secret { value, .. } => 1 + value.reveal().len(),
            _ => 1,
        };
        self.segments.iter().map(size).sum()
    }

    /// The slots of captured values that it uses.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().filter_map(|s| match s {
            Segment::Capture { slot, .. } => Some(*slot),
            _ => None,
        })
    }

    #[must_use]
    pub fn render(&self, context: &Context<'_>) -> String {
        self.render_with(context, |out, value, _| out.push_str(&plain_text(value)))
    }

    /// As a URL: values from data and captures are percent-encoded, except where one is the whole template's start,
    /// as in `${next_page}`.
    #[must_use]
    pub fn render_url(&self, context: &Context<'_>) -> String {
        self.render_with(context, |out, value, first| {
            let plain = plain_text(value);
            if first {
                out.push_str(&plain);
            } else {
                out.push_str(&percent_encoded(&plain));
            }
        })
    }

    fn render_with(&self, context: &Context<'_>, push: impl Fn(&mut String, &Value, bool)) -> String {
        let mut out = String::new();
        for (i, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(text) => out.push_str(text),
                Segment::Secret { value, .. } => out.push_str(value.reveal()),
                Segment::Typed(value) => out.push_str(&plain_text(value)),
                Segment::Data { source, column, .. } => {
                    push(&mut out, &context.rows[*source][*column], i == 0);
                }
                Segment::Capture { slot, .. } => {
                    push(&mut out, context.captures[*slot].as_ref().unwrap_or(&Value::Null), i == 0);
                }
                Segment::Generated { generator, .. } => {
                    push(&mut out, &generator.value(context.chance), i == 0);
                }
            }
        }
        out
    }

    /// A lone `${x}` keeps its type; anything else is text.
    #[must_use]
    pub fn value(&self, context: &Context<'_>) -> Value {
        match self.segments.as_slice() {
            [Segment::Typed(value)] => value.clone(),
            [Segment::Data { source, column, .. }] => context.rows[*source][*column].clone(),
            [Segment::Capture { slot, .. }] => context.captures[*slot].clone().unwrap_or(Value::Null),
            [Segment::Generated { generator, .. }] => generator.value(context.chance),
            _ => Value::String(self.render(context)),
        }
    }

    /// The form for digests and reports: secrets by name, data and captures as written.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Typed(value) => value.to_string(),
                Segment::Secret { name, .. } => format!("${{secret.{name}}}"),
                Segment::Data { name, .. }
                | Segment::Capture { name, .. }
                | Segment::Generated { name, .. } => {
                    format!("${{{name}}}")
                }
            })
            .collect()
    }
}

/// A JSON value with templates at its leaves.
#[derive(Clone, Debug)]
pub enum JsonTemplate {
    Literal(Value),
    Text(Template),
    List(Vec<JsonTemplate>),
    Map(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    #[must_use]
    pub fn render(&self, context: &Context<'_>) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Text(template) => template.value(context),
            Self::List(items) => items.iter().map(|item| item.render(context)).collect(),
            Self::Map(entries) => entries.iter().map(|(k, v)| (k.clone(), v.render(context))).collect(),
        }
    }

    /// The value where nothing in it depends on the iteration.
    #[must_use]
    pub fn constant(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Text(template) => template.constant(),
            Self::List(items) => items.iter().map(Self::constant).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(k, v)| Some((k.clone(), v.constant()?)))
                .collect::<Option<serde_json::Map<_, _>>>()
                .map(Value::Object),
        }
    }

    /// See [`Template::slots`].
    #[must_use]
    pub fn slots(&self) -> Vec<usize> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Text(template) => template.slots().collect(),
            Self::List(items) => items.iter().flat_map(Self::slots).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, item)| item.slots()).collect(),
        }
    }

    /// See [`Template::canonical`].
    #[must_use]
    pub fn canonical(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Text(template) => Value::String(template.canonical()),
            Self::List(items) => items.iter().map(Self::canonical).collect(),
            Self::Map(entries) => entries.iter().map(|(k, v)| (k.clone(), v.canonical())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn lookup(name: &str) -> Option<Meaning> {
        match name {
            "api" => Some(Meaning::Text("/v1".into())),
            "limit" => Some(Meaning::Typed(json!(5))),
            "secret.T" => Some(Meaning::Secret { name: "T".into(), value: SecretText::new("hush") }),
            "t.id" => Some(Meaning::Data { source: 0, column: 0 }),
            "got" => Some(Meaning::Capture { slot: 0 }),
            _ => None,
        }
    }

    #[test]
    fn names_are_replaced_types_kept_and_secrets_hidden() {
        let row = [json!(42)];
        let chance = Chance::default();
        let context = Context { rows: &[&row], captures: &[Some(json!("a b/c"))], chance: &chance };
        for (text, rendered, url, canonical) in [
            ("${api}/x/${t.id}", "/v1/x/42", "/v1/x/42", "/v1/x/${t.id}"),
            ("/q?n=${got}", "/q?n=a b/c", "/q?n=a%20b%2Fc", "/q?n=${got}"),
            ("${got}", "a b/c", "a b/c", "${got}"),
            ("Bearer ${secret.T}", "Bearer hush", "Bearer hush", "Bearer ${secret.T}"),
            ("costs $${5}", "costs ${5}", "costs ${5}", "costs ${5}"),
            ("", "", "", ""),
        ] {
            let template = Template::compile(text, &lookup).unwrap();
            assert_eq!(template.render(&context), rendered);
            assert_eq!(template.render_url(&context), url);
            assert_eq!(template.canonical(), canonical);
        }
        assert_eq!(Template::compile("${t.id}", &lookup).unwrap().value(&context), json!(42));
        assert_eq!(Template::compile("${limit}", &lookup).unwrap().constant(), Some(json!(5)));
        assert_eq!(Template::compile("top ${limit}", &lookup).unwrap().constant(), Some(json!("top 5")));
        assert_eq!(Template::compile("${t.id}", &lookup).unwrap().constant(), None);
        assert_eq!(Template::compile("n${t.id}", &lookup).unwrap().value(&context), json!("n42"));
    }

    /// Each twice the one before: thirty lines once took all memory.
    #[test]
    fn variables_made_of_variables_come_to_an_end() {
        let mut before = Template::literal("0123456789");
        let refused = (0..30).find_map(|_| {
            let own = before.clone();
            let lookup = |name: &str| (name == "a").then(|| Meaning::Nested(own.clone()));
            match Template::compile("${a}${a}", &lookup) {
                Ok(template) => {
                    before = template;
                    None
                }
                Err(error) => Some(error),
            }
        });
        assert_eq!(refused, Some(TemplateError { at: 4..8, name: "a".into() }));
    }

    #[test]
    fn an_unknown_or_unclosed_name_is_placed() {
        assert_eq!(
            Template::compile("a${nope}b", &lookup),
            Err(TemplateError { at: 1..8, name: "nope".into() })
        );
        assert_eq!(Template::compile("a${api", &lookup).unwrap_err().at, 1..6);
    }

    proptest! {
        /// Text without a name in it is itself; `$${` is the one thing that is written otherwise than it is read.
        #[test]
        fn plain_text_is_kept(text in "[^$]{0,40}") {
            let template = Template::compile(&text, &lookup).unwrap();
            prop_assert_eq!(template.constant(), Some(json!(text.clone())));
            let escaped = Template::compile(&format!("{text}$${{x}}"), &lookup).unwrap();
            prop_assert_eq!(escaped.constant(), Some(json!(format!("{text}${{x}}"))));
        }

        /// Whatever stands in a value, it stays one part of a path, and one value of a query.
        #[test]
        fn a_value_never_changes_the_form_of_a_url(value in ".{0,30}") {
            let chance = Chance::default();
            let row = [json!(value)];
            let context = Context { rows: &[&row], captures: &[None], chance: &chance };
            let url = Template::compile("/a/${t.id}/b?c=${t.id}", &lookup).unwrap().render_url(&context);
            prop_assert_eq!(url.matches('/').count(), 3);
            prop_assert_eq!((url.matches('?').count(), url.matches('&').count(), url.matches('#').count()), (1, 0, 0));
            prop_assert!(url.is_ascii());
        }

        /// Any text at all is either compiled or refused at a place within it.
        #[test]
        fn no_text_is_too_odd(text in "[a-z${}. \u{e9}]{0,24}") {
            if let Err(error) = Template::compile(&text, &lookup) {
                prop_assert!(text.get(error.at.clone()).is_some_and(|part| part.starts_with("${")), "{:?}", error);
            }
        }
    }
}
