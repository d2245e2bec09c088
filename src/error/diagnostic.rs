//! A mistake in a file that a person wrote, drawn with its place: file, line, column and a caret.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The text of a file, shared by all diagnostics about it.
#[derive(Debug)]
pub struct SourceText {
    pub path: PathBuf,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub source: Arc<SourceText>,
    /// Byte range in the text.
    pub span: Range<usize>,
    pub message: String,
    /// What stands under the caret.
    pub label: String,
    pub help: Option<String>,
    /// It does not keep the file from being used.
    pub warning: bool,
}

impl Diagnostic {
    #[must_use]
    pub fn render(&self) -> String {
        let path = self.source.path.display().to_string();
        let text = &self.source.text;
        let start =
            (0..=self.span.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let end = (self.span.end..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
        let span = start..end.max(start);
        let snippet = Snippet::source(text.as_str())
            .path(path)
            .annotation(AnnotationKind::Primary.span(span).label(self.label.as_str()));
        let level = if self.warning { Level::WARNING } else { Level::ERROR };
        let mut group = level.primary_title(self.message.as_str()).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Renderer::plain().render(&[group])
    }

    /// Line and column of both ends, each from 1.
    #[must_use]
    pub fn range(&self) -> [(usize, usize); 2] {
        [self.span.start, self.span.end.max(self.span.start)].map(|at| position(&self.source.text, at))
    }
}

/// Line and column, from 1, of a byte offset.
#[must_use]
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let at = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    (text[..at].matches('\n').count() + 1, text[line_start..at].chars().count() + 1)
}

/// The nearest of `known` to a mistyped `name`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len().min(name.len()) / 4
                && 2 * distance <= candidate.chars().count().max(name.chars().count())
        })
        .min_by_key(|(distance, candidate)| (*distance, letters(candidate) != letters(name)))
        .map(|(_, candidate)| candidate)
}

/// Swapped letters are likelier than wrong ones: `p59` is meant to be `p95` rather than `p50`.
fn letters(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters
}
