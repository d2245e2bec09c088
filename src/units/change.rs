use super::{Metric, format_ms, format_share};

/// `131 ms`, or a percentage for an error rate.
#[must_use]
pub fn level_of(metric: Metric, value: f64) -> String {
    match metric {
        Metric::ErrorRate => format_share(value),
        Metric::Quantile(_) => format_ms(value),
    }
}

/// `+3.2%`, or percentage points for an error rate.
#[must_use]
pub fn change_of(metric: Metric, value: f64) -> String {
    let percent = value * 100.0;
    match metric {
        // Nothing is neither more nor less.
        Metric::ErrorRate if percent.abs() < 0.005 => "0.00 points".to_owned(),
        Metric::ErrorRate => format!("{percent:+.2} points"),
        Metric::Quantile(_) if percent.abs() < 0.05 => "0.0%".to_owned(),
        Metric::Quantile(_) => format!("{percent:+.1}%"),
    }
}

/// `+3.2% [-2.0, +8.1] (98%)`: a change with its interval and the interval's level.
#[must_use]
pub fn with_interval(metric: Metric, change: f64, interval: [f64; 2], level: f64) -> String {
    let bare = |value| change_of(metric, value).replace(" points", "").replace('%', "");
    let [low, high] = interval.map(bare);
    format!("{} [{low}, {high}] ({:.0}%)", change_of(metric, change), level * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign_but_nothing_has_none() {
        for (metric, value, text) in [
            (Metric::P95, 0.032, "+3.2%"),
            (Metric::P95, -0.0004, "0.0%"),
            (Metric::P95, -0.0006, "-0.1%"),
            (Metric::ErrorRate, 0.0123, "+1.23 points"),
            (Metric::ErrorRate, -0.00001, "0.00 points"),
        ] {
            assert_eq!(change_of(metric, value), text);
        }
        assert_eq!(with_interval(Metric::P50, 0.032, [-0.02, 0.081], 0.98), "+3.2% [-2.0, +8.1] (98%)");
        assert_eq!(
            with_interval(Metric::ErrorRate, 0.0, [0.0, 0.0018], 0.9),
            "0.00 points [0.00, +0.18] (90%)"
        );
        assert_eq!(
            (level_of(Metric::P50, 131.2), level_of(Metric::ErrorRate, 0.0123)),
            ("131 ms".into(), "1.23%".into())
        );
    }
}
