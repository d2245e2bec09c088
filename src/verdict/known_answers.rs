//! Figures that were computed independently: `tests/fixtures/statistics/make.py` says how.

use serde_json::Value;

use super::contrast::contrasts;
use super::errors::{self, ErrorSeries};
use super::side_by_side::both_uncertain;
use super::statistics::{
    benjamini_hochberg, conditional_binomial, holm, proportion_lower, proportion_upper, t_quantile,
    t_upper_tail,
};
use super::stored::{Levels, compare, tests::series};
use crate::units::{Metric, RegressionRule, Tolerance};

fn known(name: &str) -> Vec<Value> {
    let all: Value =
        serde_json::from_str(include_str!("../../tests/fixtures/statistics/known.json")).unwrap();
    let rows = all[name].as_array().unwrap().clone();
    assert!(!rows.is_empty());
    rows
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(got: f64, known: &Value) {
    let known = known.as_f64().unwrap();
    assert!((got - known).abs() <= 1e-9 + known.abs() * 1e-6, "{got} is not {known}");
}

#[test]
fn the_bound_of_a_difference_of_two_uncertain_rates() {
    for row in known("newcombe") {
        let [x1, n1, x0, n0, phi, q, lower, upper] = numbers(&row)[..] else { panic!("{row}") };
        let delta = Tolerance { share: 0.005, floor_ms: 0.0 };
        let series = ErrorSeries {
            endpoint: "a".into(),
            rule: RegressionRule { metric: Metric::ErrorRate, delta, explicit: true },
            baseline: vec![(x0 as u64, n0 as u64)],
            candidate: (x1 as u64, n1 as u64),
            candidate_instances: 1,
        };
        let levels = Levels { alpha: 0.01, errors_apart: None, q, least_fail: 0.0, judges: true };
        let found = both_uncertain(errors::compare(&series, phi, levels), &series, phi, levels);
        close(found.interval[0], &lower.into());
        close(found.interval[1], &upper.into());
    }
}

#[test]
fn distributions() {
    let check = |name: &str, of: &dyn Fn(&[f64]) -> f64| {
        for row in known(name) {
            let row = numbers(&row);
            let (known, inputs) = row.split_last().unwrap();
            close(of(inputs), &(*known).into());
        }
    };
    check("t_upper_tail", &|x| t_upper_tail(x[0], x[1]));
    check("t_quantile", &|x| t_quantile(x[0], x[1]));
    check("proportion_upper", &|x| proportion_upper(x[0], x[1], x[2]));
    check("proportion_lower", &|x| proportion_lower(x[0], x[1], x[2]));
    check("conditional_binomial", &|x| conditional_binomial(x[0], x[1], x[2]));
}

#[test]
fn families_of_tests() {
    for row in known("families") {
        let (p, alpha) = (numbers(&row["p"]), row["alpha"].as_f64().unwrap());
        let flags = |value: &Value| -> Vec<bool> {
            value.as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect()
        };
        assert_eq!(benjamini_hochberg(&p, alpha), flags(&row["bh"]), "{row}");
        assert_eq!(holm(&p, alpha), flags(&row["holm"]), "{row}");
    }
}

/// Steps 1 and 2 whole: from instances to p, for five features down to one, and one baseline instance.
#[test]
fn stored_instances() {
    for case in known("stored") {
        let all: Vec<_> = case["baseline"]
            .as_array()
            .unwrap()
            .iter()
            .zip(case["candidate"].as_array().unwrap())
            .enumerate()
            .map(|(f, (baseline, candidate))| {
                series(&format!("f{f}"), &numbers(baseline), &numbers(candidate))
            })
            .collect();
        let levels = Levels {
            alpha: 0.002,
            errors_apart: None,
            q: case["q"].as_f64().unwrap(),
            least_fail: 0.0,
            judges: true,
        };
        let compared = compare(&all, levels);
        let contrasts = contrasts(&all, &compared, levels);
        for (i, known) in case["endpoints"].as_array().unwrap().iter().enumerate() {
            let got = &compared[i];
            close(got.theta, &known["theta"]);
            close(got.se, &known["se"]);
            close(got.nu, &known["nu"]);
            close(got.upper, &known["upper"]);
            close(got.comparison.p, &known["p"]);
            assert_eq!(contrasts[i].is_some(), known.get("contrast").is_some());
            if let (Some(got), Some(known)) = (&contrasts[i], known.get("contrast")) {
                close(got.contrast.change.ln_1p(), &known["theta"]);
                close(got.se, &known["se"]);
                close(got.nu, &known["nu"]);
                close(got.contrast.others.ln_1p(), &known["others"]);
                close(got.contrast.p, &known["p"]);
                assert_eq!(got.contrast.others_gained, known["others_gained"].as_bool().unwrap());
            }
        }
    }
}

#[test]
fn error_counts() {
    for case in known("errors") {
        let pair = |value: &Value| (value[0].as_u64().unwrap(), value[1].as_u64().unwrap());
        let delta = Tolerance { share: 0.005, floor_ms: 0.0 };
        let series = ErrorSeries {
            endpoint: "a".into(),
            rule: RegressionRule { metric: Metric::ErrorRate, delta, explicit: true },
            baseline: case["baseline"].as_array().unwrap().iter().map(pair).collect(),
            candidate: pair(&case["candidate"]),
            candidate_instances: 1,
        };
        let phi = errors::overdispersion(std::slice::from_ref(&series));
        close(phi, &case["phi"]);
        let got = errors::compare(
            &series,
            phi,
            Levels { alpha: 0.01, errors_apart: None, q: 0.99, least_fail: 0.0, judges: true },
        );
        close(got.p, &case["p"]);
        close(got.interval[1], &case["upper"]);
    }
}
