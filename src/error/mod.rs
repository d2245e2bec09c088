//! The one error type that reaches `main`: what was attempted, on what, and what to do about it.

mod diagnostic;

use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, SourceText, nearest, position};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or a combination of flags makes no sense.
    #[error("{message}{}", hint_line(.hint.as_deref()))]
    Usage { message: String, hint: Option<String> },
    /// A file that a person wrote has mistakes; all that were found.
    #[error("{}", .0.iter().map(Diagnostic::render).collect::<Vec<_>>().join("\n\n"))]
    Invalid(Vec<Diagnostic>),
    /// An input could not be read or understood.
    #[error("cannot {operation} {}: {reason}{}", .path.display(), hint_line(.hint.as_deref()))]
    Input { path: PathBuf, operation: &'static str, reason: String, hint: Option<String> },
    /// A result could not be written, or loadgate's own machinery failed.
    #[error("cannot {operation} {}: {reason}{}", .path.display(), hint_line(.hint.as_deref()))]
    Output { path: PathBuf, operation: &'static str, reason: String, hint: Option<String> },
    /// Something loadgate itself starts or needs did not work.
    #[error("{message}")]
    Harness { message: String },
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default()
}

impl Error {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    pub fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    pub fn harness(message: impl Into<String>) -> Self {
        Self::Harness { message: message.into() }
    }

    pub fn input(path: &Path, operation: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Input { path: path.to_owned(), operation, reason: reason.to_string(), hint: None }
    }

    pub fn output(path: &Path, operation: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Output { path: path.to_owned(), operation, reason: reason.to_string(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. } | Self::Input { hint, .. } | Self::Output { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Invalid(_) | Self::Harness { .. } => {}
        }
        self
    }

    /// Once something was sent, it is no mistake of the caller's that nothing was: exit code 2 says so.
    #[must_use]
    pub fn after_sending(self) -> Self {
        if self.is_input() { Self::harness(self.to_string()) } else { self }
    }

    /// Whether the caller's input is at fault (exit code 2) rather than loadgate or its machine (5).
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Usage { .. } | Self::Invalid(_) | Self::Input { .. })
    }
}
