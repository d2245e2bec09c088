use std::time::{Duration, Instant};

use crate::remote::{Answer, Unanswered};

/// Who is asked: a probe, and for which arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Index into the record's probes.
    pub probe: usize,
    pub of_control: bool,
}

/// One answer, good or not.
#[derive(Clone, Debug)]
pub struct Taken {
    pub whose: Whose,
    /// When it was asked for.
    pub at: Instant,
    pub figure: Result<Figure, Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub value: f64,
    /// Of how many, where it counts.
    pub of: Option<f64>,
    /// How old it is, where that is known.
    pub age: Option<Duration>,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub reason: String,
    /// Asking again will not help.
    pub lasting: bool,
}

impl Problem {
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), lasting: false }
    }

    pub fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), lasting: true }
    }
}

impl From<Unanswered> for Problem {
    fn from(Unanswered { reason, lasting }: Unanswered) -> Self {
        Self { reason, lasting }
    }
}

/// What an answer that is none comes to.
pub fn refused(answer: &Answer) -> Problem {
    let said = match answer.excerpt().as_str() {
        "" => format!("it answers {}", answer.status),
        text => format!("it answers {}: {text}", answer.status),
    };
    match answer.status {
        401 | 403 => Problem::lasting(format!("it answers {}: its credentials are refused", answer.status)),
        300..=499 if !matches!(answer.status, 408 | 425 | 429) => Problem::lasting(said),
        _ => Problem::passing(said),
    }
}
