//! Values that must never leave the process in any output: collected once, scrubbed at every sink.

use std::sync::Arc;

/// The secrets of one invocation. Cloning shares them.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<Vec<(String, String)>>,
}

impl Secrets {
    /// `values` are pairs of name and value; values shorter than four characters are not scrubbed,
    /// since they would mangle ordinary text.
    #[must_use]
    pub fn new(mut values: Vec<(String, String)>) -> Self {
        values.retain(|(_, value)| value.len() >= 4);
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values: Arc::new(values) }
    }

    /// Replaces each secret in `text` by `$NAME`.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.values
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("${name}")))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} values)", self.values.len())
    }
}
