#![no_main]
//! Templates with names of every kind, and what they render to. What follows a NUL is the value of data and captures.

use libfuzzer_sys::{Corpus, fuzz_target};
use loadgate::scenario::yaml::Meaning;
use loadgate::scenario::{Chance, Context, Generator, Template};
use loadgate::secrets::SecretText;
use serde_json::{Value, json};

fn lookup(name: &str) -> Option<Meaning> {
    match name {
        "api" => Some(Meaning::Text("/v1".into())),
        "limit" => Some(Meaning::Typed(json!(5))),
        "secret.T" => Some(Meaning::Secret { name: "T".into(), value: SecretText::new("hush") }),
        "t.id" => Some(Meaning::Data { source: 0, column: 0 }),
        "got" => Some(Meaning::Capture { slot: 0 }),
        "lost" => Some(Meaning::Capture { slot: 1 }),
        "nested" => Template::compile("a${t.id}${api}", &lookup).ok().map(Meaning::Nested),
        other => Generator::parse(other)?.ok().map(Meaning::Generated),
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let (text, value) = text.split_once('\0').unwrap_or((text, "a b/ü"));
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    let template = match Template::compile(text, &lookup) {
        Ok(template) => template,
        Err(error) => {
            assert!(text.get(error.at.clone()).is_some_and(|part| part.starts_with("${")), "{error:?}");
            return Corpus::Keep;
        }
    };
    let (row, chance) = ([value.clone()], Chance::new(7));
    let context = Context { rows: &[&row], captures: &[Some(value), None], chance: &chance };
    let rendered = template.render(&context);
    if !text.contains("${") {
        assert_eq!(rendered, text);
        assert_eq!(template.constant(), Some(Value::String(rendered)));
    }
    let _ = (template.render_url(&context), template.value(&context), template.canonical());
    assert!(template.slots().all(|slot| slot < 2));
    Corpus::Keep
});
