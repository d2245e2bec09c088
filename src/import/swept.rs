use serde_json::Value;

use super::draft::{Draft, DraftBody, DraftPart, DraftStep};
use super::secrets::Safe;

impl Draft {
    /// Without what is known to be secret, wherever a value has it; names and keys stay what they are.
    #[must_use]
    pub fn swept(&self, safe: &Safe) -> Self {
        let mut draft = self.clone();
        draft.vars.iter_mut().for_each(|(_, value)| *value = safe.sweep(value));
        draft.notes.iter_mut().for_each(|note| *note = safe.sweep(note));
        draft.steps.iter_mut().for_each(|step| step.sweep(safe));
        draft.name_steps();
        draft
    }
}

impl DraftStep {
    fn sweep(&mut self, safe: &Safe) {
        let path = safe.sweep(&self.path);
        // A name that was made of a path has a word instead, as for an id.
        if path != self.path {
            self.name = safe.replaced(&self.name, |_| "id".to_owned());
        }
        self.path = path;
        for (_, value) in self.query.iter_mut().chain(&mut self.headers) {
            *value = safe.sweep(value);
        }
        self.note = self.note.as_deref().map(|note| safe.sweep(note));
        self.body.sweep(safe);
    }
}

impl DraftBody {
    fn sweep(&mut self, safe: &Safe) {
        match self {
            Self::Json(value) => sweep_json(value, safe),
            Self::Form(fields) => fields.iter_mut().for_each(|(_, value)| *value = safe.sweep(value)),
            Self::Multipart(parts) => {
                for (_, part) in parts {
                    if let DraftPart::Text(value) = part {
                        *value = safe.sweep(value);
                    }
                }
            }
            Self::Text(text) => *text = safe.sweep(text),
            Self::None | Self::File(_) => {}
        }
    }
}

fn sweep_json(value: &mut Value, safe: &Safe) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|own| sweep_json(own, safe)),
        Value::Array(items) => items.iter_mut().for_each(|own| sweep_json(own, safe)),
        Value::String(text) => *text = safe.sweep(text),
        Value::Number(number) => {
            let (text, swept) = (number.to_string(), safe.sweep(&number.to_string()));
            if swept != text {
                *value = Value::String(swept);
            }
        }
        _ => {}
    }
}
