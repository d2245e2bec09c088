use std::cell::RefCell;
use std::collections::BTreeSet;

use super::data::DataSource;
use super::fields::Reader;
use super::generate::{GENERATORS, Generator};
use super::load::LoadOptions;
use super::node::{Key, Node};
use super::template::{Meaning, Template, TemplateError};
use crate::secrets::SecretText;

/// The names that templates of one file may use.
pub struct Scope<'a> {
    pub options: &'a LoadOptions,
    pub vars: Vec<(String, Meaning)>,
    pub data: Vec<DataSource>,
    pub captures: Vec<CaptureName>,
    /// Data sources that could not be read: named once, not again by every use.
    pub unread: Vec<String>,
    /// Every name that is captured anywhere in the file.
    pub declared: Vec<Key>,
    /// Every secret that was looked up, with its value.
    pub secrets: RefCell<Vec<(String, String)>>,
    pub used: RefCell<BTreeSet<String>>,
    /// The step at hand may be passed over, so it may use what others that may be passed over capture.
    pub conditional: bool,
    /// Steps of `finally` may use what any branch captures; they are passed over where it was not.
    pub lenient: bool,
}

pub struct CaptureName {
    pub name: String,
    pub slot: usize,
    pub in_smoke: bool,
    pub in_load: bool,
    /// Why nothing after it can count on it.
    pub hidden: Option<Hidden>,
}

/// The later ones outweigh the earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hidden {
    /// By a step that may be skipped.
    When,
    /// In a branch of a `one_of` that has ended.
    Branch,
    /// In an iteration, of which a teardown knows nothing.
    Iteration,
}

impl Scope<'_> {
    pub fn new(options: &LoadOptions, declared: Vec<Key>) -> Scope<'_> {
        Scope {
            options,
            vars: Vec::new(),
            data: Vec::new(),
            captures: Vec::new(),
            unread: Vec::new(),
            declared,
            secrets: RefCell::default(),
            used: RefCell::default(),
            conditional: false,
            lenient: false,
        }
    }

    /// What was captured since there were `visible` names is not to be counted on any more.
    pub fn hide_from(&mut self, visible: usize, why: Hidden) {
        for capture in &mut self.captures[visible..] {
            capture.hidden = capture.hidden.max(Some(why));
        }
    }

    fn declares(&self, name: &str) -> bool {
        self.declared.iter().any(|declared| declared.name == name)
    }

    fn is_visible(&self, capture: &CaptureName) -> bool {
        match capture.hidden {
            None => true,
            Some(Hidden::When) => self.conditional || self.lenient,
            Some(Hidden::Branch) => self.lenient,
            Some(Hidden::Iteration) => false,
        }
    }

    /// Compiles a template; an unknown name is noted at its place.
    pub fn template(&self, reader: &Reader, node: &Node, text: &str, step: (bool, bool)) -> Option<Template> {
        Template::compile(text, &|name| self.meaning(name, step))
            .map_err(|error| self.explain(reader, node, text, &error))
            .ok()
    }

    /// Compiles a template that stands for all steps; `None` also where a step comes before what it uses is captured.
    pub fn shared_template(
        &self,
        reader: &Reader,
        node: &Node,
        text: &str,
        step: (bool, bool),
    ) -> Option<Template> {
        match Template::compile(text, &|name| self.meaning(name, step)) {
            Ok(template) => Some(template),
            Err(error) if self.declares(&error.name) => None,
            Err(error) => {
                self.explain(reader, node, text, &error);
                None
            }
        }
    }

    /// Compiles a template that is used outside of iterations. `own` names what is known only there, by its place.
    pub fn outer_template(&self, reader: &Reader, node: &Node, text: &str, own: &[&str]) -> Option<Template> {
        let meaning = |name: &str| match own.iter().position(|known| *known == name) {
            Some(slot) => Some(Meaning::Capture { slot }),
            None => self.meaning(name, (true, true)).filter(Meaning::is_constant),
        };
        let compiled = Template::compile(text, &meaning);
        let changing = |error: &TemplateError| {
            self.meaning(&error.name, (true, true)).is_some_and(|meaning| !meaning.is_constant())
        };
        match compiled {
            Ok(template) => Some(template),
            Err(error) if changing(&error) => {
                let message = format!("`{}` changes from one iteration to the next", error.name);
                reader.fail(&node.span, message, "here one text serves them all", None);
                None
            }
            Err(error) => {
                self.explain(reader, node, text, &error);
                None
            }
        }
    }

    fn explain(&self, reader: &Reader, node: &Node, text: &str, error: &TemplateError) {
        let place = text.get(error.at.clone()).unwrap_or(text);
        let within = reader.source().text.get(node.span.clone()).and_then(|t| t.find(place)).unwrap_or(0);
        let start = node.span.start + within;
        let span = start..start + place.len();
        let name = error.name.as_str();
        if name.split_once('.').is_some_and(|(source, _)| self.unread.iter().any(|u| u == source)) {
            return;
        }
        if let Some(secret) = name.strip_prefix("secret.") {
            let is = if std::env::var_os(secret).is_some() { "is empty" } else { "is not set" };
            let label = format!("the environment variable {secret} {is}");
            let help = Some(format!("export {secret}=…; `validate` does without"));
            reader.fail(&span, "a secret is missing", label, help);
        } else if !place.ends_with('}') {
            let help = Some("`$${` stands for a plain `${`".into());
            reader.fail(&span, "`${` is never closed", "expected `}`", help);
        } else if let Some(Err(reason)) = Generator::parse(name) {
            reader.fail(&span, format!("`{name}` cannot be generated"), reason, None);
        } else if let Some(capture) = self.captures.iter().rev().find(|c| c.name == name) {
            let (label, help) = match capture.hidden {
                Some(Hidden::Branch) => (
                    "captured only in one branch of a `one_of`".to_owned(),
                    "use it inside its branch, or capture it in a step of every iteration".to_owned(),
                ),
                Some(Hidden::When) => (
                    "captured by a step that `when` may skip".to_owned(),
                    "give this step the same `when`, or capture it in a step that is always sent".to_owned(),
                ),
                Some(Hidden::Iteration) => (
                    "captured in an iteration, and a teardown comes after all of them".to_owned(),
                    "use what `setup` captures, or clean up in `finally`".to_owned(),
                ),
                None => {
                    let phase = if capture.in_load { "load" } else { "smoke" };
                    (
                        format!("captured only under {phase}, but this step runs without it too"),
                        format!("add `only: {phase}` to this step, or take it away from the capturing one"),
                    )
                }
            };
            reader.fail(&span, format!("`{name}` is not always captured"), label, Some(help));
        } else if self.declares(name) {
            let help = Some("move this step behind the one that captures it".to_owned());
            reader.fail(&span, format!("`{name}` is not captured yet"), "a later step captures it", help);
        } else if self.vars.iter().any(|(var, _)| var == name) {
            let label = "it is made of others, several times over";
            reader.fail(&span, format!("`{name}` makes this text too long"), label, None);
        } else {
            let known = self.names();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            reader.unknown(&span, "variable", name, &known);
        }
    }

    fn meaning(&self, name: &str, (in_smoke, in_load): (bool, bool)) -> Option<Meaning> {
        self.used.borrow_mut().insert(name.to_owned());
        if let Some(secret) = name.strip_prefix("secret.") {
            // A trailing newline comes from `$(cat token)` in a quoted file and is never meant.
            let value = std::env::var(secret).ok().map(|v| v.trim_end_matches(['\r', '\n']).to_owned());
            // CI hands an empty one to whom it must not have the real one.
            let value = value.filter(|value| !value.is_empty());
            let value = if self.options.require_secrets { value? } else { value.unwrap_or_default() };
            self.secrets.borrow_mut().push((secret.to_owned(), value.clone()));
            return Some(Meaning::Secret { name: secret.to_owned(), value: SecretText::new(value) });
        }
        if let Some(capture) = self.captures.iter().rev().find(|c| c.name == name && self.is_visible(c)) {
            let available = (!in_smoke || capture.in_smoke) && (!in_load || capture.in_load);
            return (available || self.lenient).then_some(Meaning::Capture { slot: capture.slot });
        }
        if let Some((source, column)) = name.split_once('.')
            && let Some(index) = self.data.iter().position(|d| d.name == source)
        {
            let column = self.data[index].columns.iter().position(|c| c == column)?;
            return Some(Meaning::Data { source: index, column });
        }
        if let Some((_, meaning)) = self.vars.iter().find(|(var, _)| var == name) {
            return Some(meaning.clone());
        }
        Generator::parse(name)?.ok().map(Meaning::Generated)
    }

    fn names(&self) -> Vec<String> {
        let columns = self.data.iter().flat_map(|d| d.columns.iter().map(move |c| format!("{}.{c}", d.name)));
        let captures = self.captures.iter().map(|c| c.name.clone());
        let generators = GENERATORS.iter().map(|name| (*name).to_owned());
        self.vars
            .iter()
            .map(|(name, _)| name.clone())
            .chain(columns)
            .chain(captures)
            .chain(generators)
            .collect()
    }
}
