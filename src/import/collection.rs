//! Pieces of collections, of format 2.0 and 2.1 alike.

use std::collections::BTreeMap;

use serde_json::Value;

pub fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| format!("it is no JSON: {e}"))
}

pub fn variables(list: &Value) -> BTreeMap<String, String> {
    let enabled = |own: &&Value| own["disabled"] != true && own["enabled"] != false;
    let pair = |own: &Value| {
        let name = own["key"].as_str().or(own["id"].as_str())?;
        Some((name.to_owned(), scalar(&own["value"])))
    };
    list.as_array().into_iter().flatten().filter(enabled).filter_map(pair).collect()
}

pub fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An address that is given in pieces.
pub fn raw_of(url: &Value) -> String {
    let pieces = |own: &Value, between: &str| match own {
        Value::Array(all) => {
            let one = |own: &Value| own.as_str().map_or_else(|| scalar(&own["value"]), str::to_owned);
            all.iter().map(one).collect::<Vec<_>>().join(between)
        }
        other => scalar(other),
    };
    let (host, path) = (pieces(&url["host"], "."), pieces(&url["path"], "/"));
    let scheme = url["protocol"].as_str().map(|own| format!("{own}://")).unwrap_or_default();
    let port = url["port"].as_str().map(|own| format!(":{own}")).unwrap_or_default();
    format!("{scheme}{host}{port}/{}", path.trim_start_matches('/'))
}

/// Variables that a text has, each behind those that its own value is made of.
pub fn needed(
    used: &BTreeMap<String, Option<String>>,
    text: &str,
    open: &mut Vec<String>,
    found: &mut Vec<(String, Option<String>)>,
) {
    let has = |text: &str, name: &str| text.contains(&format!("${{{name}}}"));
    for (name, value) in used {
        let known = open.contains(name) || found.iter().any(|(own, _)| own == name);
        if known || !has(text, name) {
            continue;
        }
        open.push(name.clone());
        needed(used, value.as_deref().unwrap_or_default(), open, found);
        // One that is made of itself has no value.
        let value = value.clone().filter(|value| !open.iter().any(|own| has(value, own)));
        open.pop();
        found.push((name.clone(), value));
    }
}

/// Status codes that a test script asks for.
pub fn statuses(item: &Value) -> impl Iterator<Item = String> {
    let tests = item["event"].as_array().into_iter().flatten().filter(|own| own["listen"] == "test");
    let lines = tests.flat_map(|own| match &own["script"]["exec"] {
        Value::Array(lines) => lines.iter().map(scalar).collect::<Vec<_>>(),
        other => vec![scalar(other)],
    });
    let asked = |line: String| -> Option<String> {
        let line = line.split("//").next().unwrap_or_default().to_owned();
        let at = [
            "to.have.status(",
            "response.code).to.eql(",
            "response.code).to.equal(",
            "responseCode.code === ",
            "responseCode.code == ",
        ]
        .iter()
        .find_map(|form| Some(line.split_once(form)?.1.to_owned()))?;
        let digits: String = at.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().is_ok_and(|code: u16| (100..600).contains(&code)).then_some(digits)
    };
    lines.filter_map(asked).take(1).collect::<Vec<_>>().into_iter()
}
