//! Many verdicts as one: the gravest decides, and is told first.

use super::model::{Action, Outcome, UNVERIFIED, Verdict};
use crate::exit_code::ExitCode;
use crate::units::counted;

/// As many are told in full.
pub const WORST: usize = 5;

/// One of many: a service, or a run.
pub struct One<'a> {
    pub name: &'a str,
    /// `None`: it has none, which is why.
    pub verdict: Result<&'a Verdict, &'a str>,
}

/// What all of them come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    pub action: Action,
    pub exit_code: u8,
    pub summary: String,
    /// Indices, the gravest first; else in their order.
    pub order: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    Fail,
    Fault,
    Missing,
    Interrupted,
    Hold,
    NoBaseline,
    Go,
}

fn gravity(one: &One<'_>) -> Gravity {
    match one.verdict {
        Err(_) => Gravity::Missing,
        Ok(verdict) => match verdict.outcome {
            Outcome::Fail => Gravity::Fail,
            Outcome::Interrupted if verdict.exit_code == ExitCode::Harness.code() => Gravity::Fault,
            Outcome::Interrupted => Gravity::Interrupted,
            // A part of a load is judged by nobody.
            Outcome::Inconclusive | Outcome::Partial => Gravity::Hold,
            Outcome::NoBaseline => Gravity::NoBaseline,
            Outcome::Pass => Gravity::Go,
        },
    }
}

/// Precedence: proven fail > a fault of loadgate > no verdict, interrupted, hold > no baseline > go. None at all is a hold.
#[must_use]
pub fn combine(all: &[One<'_>]) -> Combined {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|number| gravity(&all[*number]));
    let worst = order.first().map_or(Gravity::Missing, |number| gravity(&all[*number]));
    let (action, code) = match worst {
        Gravity::Fail => (Action::RollBack, ExitCode::Fail),
        Gravity::Fault => (Action::Hold, ExitCode::Harness),
        Gravity::Missing | Gravity::Interrupted | Gravity::Hold => (Action::Hold, ExitCode::Hold),
        Gravity::NoBaseline => (Action::Hold, ExitCode::NoBaseline),
        Gravity::Go => (Action::Go, ExitCode::Pass),
    };
    Combined { action, exit_code: code.code(), summary: summary(all, &order, action), order }
}

fn summary(all: &[One<'_>], order: &[usize], action: Action) -> String {
    let word = match action {
        Action::Go => "GO",
        Action::Hold => "HOLD",
        Action::RollBack => "ROLL BACK",
    };
    if all.is_empty() {
        return format!("{word}. There is no verdict at all.");
    }
    let of = |wanted: &[Gravity]| -> Vec<&str> {
        let own = order.iter().map(|number| &all[*number]);
        own.filter(|one| wanted.contains(&gravity(one))).map(|one| one.name).collect()
    };
    let told = |names: &[&str], what: &str| {
        let shown = names.iter().take(WORST).copied().collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(WORST);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!names.is_empty()).then(|| format!("{} {what}: {shown}{more}.", names.len()))
    };
    let parts = [
        told(&of(&[Gravity::Fail]), "proven bad"),
        told(&of(&[Gravity::Fault]), "cut off"),
        told(&of(&[Gravity::Missing]), "without a verdict"),
        told(&of(&[Gravity::Interrupted]), "interrupted"),
        told(&of(&[Gravity::Hold]), "held"),
        told(&of(&[Gravity::NoBaseline]), "without a baseline"),
    ];
    let blind = |one: &One<'_>| {
        one.verdict.is_ok_and(|own| own.findings.iter().any(|finding| finding.reason.starts_with(UNVERIFIED)))
    };
    let unverified: Vec<&str> =
        order.iter().map(|n| &all[*n]).filter(|one| blind(one)).map(|one| one.name).collect();
    let go = of(&[Gravity::Go]).len();
    let rest = if go == all.len() {
        format!("All {} pass.", counted(go, "verdict"))
    } else {
        format!("{go} of {} pass.", all.len())
    };
    let rest = if go == 1 && all.len() == 1 { "The one verdict passes.".to_owned() } else { rest };
    std::iter::once(format!("{word}."))
        .chain(parts.into_iter().flatten())
        .chain([rest])
        .chain(told(&unverified, "verified no certificate (--insecure)"))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Outcome {
    /// `GO`, `HOLD` and so on, of one among others.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "GO",
            Self::Fail => "ROLL BACK",
            Self::Inconclusive => "HOLD",
            Self::NoBaseline => "NO BASELINE",
            Self::Interrupted => "INTERRUPTED",
            Self::Partial => "PARTIAL",
        }
    }
}
