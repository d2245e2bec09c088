//! The documented exit codes, in one place.

/// What the process tells its caller. Precedence: proven fail > hold > no baseline > pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Go.
    Pass,
    /// Proven: a check, a limit, a regression, errors. Roll back.
    Fail,
    /// Usage, or an invalid scenario, plan, baseline or record. Nothing was sent.
    Usage,
    /// The measurement cannot be trusted, or does not settle the question.
    Hold,
    /// No baseline for an endpoint that has a `regression:` rule; everything else passed.
    NoBaseline,
    /// Results could not be written, or loadgate itself failed.
    Harness,
    /// The traffic may still be where it was: the rollback of a rollout failed.
    RollbackFailed,
    /// Stopped by SIGINT; what was measured is kept.
    Interrupted,
    /// Stopped by SIGTERM; what was measured is kept.
    Terminated,
}

impl ExitCode {
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Usage => 2,
            Self::Hold => 3,
            Self::NoBaseline => 4,
            Self::Harness => 5,
            Self::RollbackFailed => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}
