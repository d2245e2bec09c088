use std::time::Instant;

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
    /// When the figure was true.
    pub at: Instant,
    pub figure: Result<Figure, Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub value: f64,
    /// Of how many, where it counts.
    pub of: Option<f64>,
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
