use serde_json::Value;

use super::draft::{DraftBody, DraftPart, FORM, JSON};
use super::secrets::{Safe, plain};

/// What `-d` and its kin give.
pub enum Data {
    Text(String),
    Encoded(String, String),
    File(String),
}

impl Data {
    /// A text, or a file behind `@`.
    pub fn read(text: String) -> Self {
        match text.strip_prefix('@') {
            Some(file) => Self::File(file.to_owned()),
            None => Self::Text(text),
        }
    }

    pub fn read_encoded(text: String) -> Self {
        match (text.split_once('='), text.split_once('@')) {
            (Some((name, own)), _) => Self::Encoded(name.to_owned(), own.to_owned()),
            (None, Some((_, file))) => Self::File(file.to_owned()),
            (None, None) => Self::Encoded(String::new(), text),
        }
    }

    fn sent(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Encoded(name, value) => {
                let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                Some(if name.is_empty() { value } else { format!("{name}={value}") })
            }
            Self::File(_) => None,
        }
    }
}

/// A `-F`, or a `--form-string`, in which nothing has a meaning of its own.
pub struct FormPart {
    pub text: String,
    pub literal: bool,
}

/// All that a command sends as its body.
#[derive(Default)]
pub struct Sent {
    pub data: Vec<Data>,
    /// Given by `--json`.
    pub json: bool,
    pub form: Vec<FormPart>,
    pub upload: Option<String>,
}

impl Sent {
    /// The type that curl sends where no header says another.
    pub fn usual_type(&self) -> Option<&'static str> {
        let given = !self.data.is_empty() && self.form.is_empty() && self.upload.is_none();
        given.then_some(if self.json { JSON } else { FORM })
    }

    pub fn body(&self, kind: &str, safe: &mut Safe, left_out: &mut Vec<String>) -> DraftBody {
        if let Some(file) = &self.upload {
            return DraftBody::File(file_name(file));
        }
        if !self.form.is_empty() {
            return DraftBody::parts(self.form.iter().filter_map(|own| own.part(safe)).collect(), left_out);
        }
        if let [Data::File(file)] = self.data.as_slice() {
            return DraftBody::File(file_name(file));
        }
        for data in &self.data {
            if let Data::File(file) = data {
                left_out.push(format!("-d @{file} beside other data: its content as a part of the body"));
            }
        }
        let all: Vec<String> = self.data.iter().filter_map(Data::sent).collect();
        let text = all.join(if self.json { "" } else { "&" });
        body_of(
            &text,
            self.json || kind.contains("json"),
            kind.is_empty() || kind.contains("urlencoded"),
            safe,
        )
    }
}

impl FormPart {
    fn part(&self, safe: &mut Safe) -> Option<(String, DraftPart)> {
        let (name, rest) = self.text.split_once('=')?;
        if self.literal {
            return Some((plain(name), DraftPart::Text(safe.field(name, rest))));
        }
        let (file, rest) = match rest.strip_prefix(['@', '<']) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (value, more) = worded(rest);
        let kind = more.split(';').find_map(|piece| Some(piece.trim().strip_prefix("type=")?.to_owned()));
        let part = if file {
            DraftPart::File(file_name(&value), kind)
        } else {
            DraftPart::Text(safe.field(name, &value))
        };
        Some((plain(name), part))
    }
}

/// Up to the next `;`, which quotes may hold; and what is behind it.
fn worded(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, more) = text.split_once(';').unwrap_or((text, ""));
        return (value.to_owned(), more);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &quoted[at + 1..]),
            _ => {
                value.push(c);
                escaped = false;
            }
        }
    }
    (value, "")
}

/// A body of text, as what it is: JSON, a form, or text.
pub fn body_of(text: &str, json: bool, form: bool, safe: &mut Safe) -> DraftBody {
    if text.is_empty() {
        return DraftBody::None;
    }
    let json = json || text.trim_start().starts_with(['{', '[']);
    if json && let Ok(mut value) = serde_json::from_str::<Value>(text) {
        safe.json("", &mut value);
        return DraftBody::Json(value);
    }
    let looks = text.contains('=') && !text.contains('\n') && !text.starts_with(['{', '[', '<', '"']);
    if form && looks {
        let fields = url::form_urlencoded::parse(text.as_bytes());
        return DraftBody::Form(
            fields.map(|(name, value)| (plain(&name), safe.field(&name, &value))).collect(),
        );
    }
    DraftBody::Text(safe.text(&plain(text)))
}

/// A file's own name: it stands beside the scenario.
pub fn file_name(path: &str) -> String {
    let name: String = path
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(path)
        .chars()
        .map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    if name.trim_matches('.').is_empty() { "file.bin".to_owned() } else { name }
}
