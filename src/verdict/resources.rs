use serde::Serialize;

use super::impact::Acceptance;
use super::probe_summary::{ProbeStanding, ProbeSummary};
use crate::units::Threshold;

/// A release may cost so much of a resource: five points (MISSION, before against after).
pub const MOST_POINTS: f64 = 0.05;

/// What a release costs of one resource whose limit is a percentage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceImpact {
    pub name: String,
    pub limit: Threshold,
    /// Means, as fractions; `None`: nobody knows.
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// A difference, in the same unit.
    pub change: Option<f64>,
    pub allowed: f64,
    pub acceptance: Acceptance,
}

/// Accepted where the limit holds and the mean grows by five points at most; not proven where either is not known.
#[must_use]
pub fn resource_impacts(after: &[ProbeSummary], before: &[ProbeSummary]) -> Vec<ResourceImpact> {
    let own = after.iter().filter(|one| one.arm == "candidate");
    own.filter_map(|one| Some((one, one.limit.filter(|limit| limit.percent)?)))
        .map(|(one, limit)| {
            let control = || after.iter().find(|other| other.arm == "control" && other.name == one.name);
            let earlier = before.iter().find(|other| other.name == one.name).or_else(control);
            let earlier = earlier.and_then(|other| other.mean);
            // A floor is broken downwards.
            let sign = if limit.relation.is_ceiling() { 1.0 } else { -1.0 };
            let change = one.mean.zip(earlier).map(|(after, before)| after - before);
            let acceptance = match (one.standing, change) {
                (ProbeStanding::Broken, _) => Acceptance::NotAccepted,
                (ProbeStanding::Held | ProbeStanding::NearMiss, Some(change))
                    if sign * change > MOST_POINTS =>
                {
                    Acceptance::NotAccepted
                }
                (ProbeStanding::Held | ProbeStanding::NearMiss, Some(_)) => Acceptance::Accepted,
                _ => Acceptance::NotProven,
            };
            ResourceImpact {
                name: one.name.clone(),
                limit,
                before: earlier,
                after: one.mean,
                change,
                allowed: MOST_POINTS,
                acceptance,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_points_are_accepted_where_the_limit_holds() {
        let of = |name: &str, mean: f64, standing| ProbeSummary {
            name: name.into(),
            arm: "candidate".into(),
            limit: Some(Threshold::parse("< 70%").unwrap()),
            for_ms: 0,
            readings: 9,
            mean: Some(mean),
            worst: Some(mean),
            standing,
        };
        let held = ProbeStanding::Held;
        for (before, after, standing, expected) in [
            (0.45, 0.47, held, Acceptance::Accepted),
            (0.45, 0.51, held, Acceptance::NotAccepted),
            (0.45, 0.40, ProbeStanding::Broken, Acceptance::NotAccepted),
            (0.45, 0.46, ProbeStanding::NotKnown, Acceptance::NotProven),
        ] {
            let found = resource_impacts(&[of("cpu", after, standing)], &[of("cpu", before, held)]);
            assert_eq!(found[0].acceptance, expected, "{before} {after}");
        }
        let alone = resource_impacts(&[of("cpu", 0.4, held)], &[of("memory", 0.4, held)]);
        assert_eq!((alone[0].before, alone[0].acceptance), (None, Acceptance::NotProven));
        let control = ProbeSummary { arm: "control".into(), ..of("cpu", 0.44, ProbeStanding::Shown) };
        let beside = resource_impacts(&[of("cpu", 0.47, held), control], &[]);
        assert_eq!((beside[0].before, beside[0].acceptance), (Some(0.44), Acceptance::Accepted));
    }
}
