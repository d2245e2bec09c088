use std::time::Duration;

use crate::error::nearest;
use crate::units::{parse_duration_ns, parse_share};

/// The features as faults name them; a scenario's `feature` is the same.
pub const FEATURES: [&str; 5] =
    ["predictive-maintenance", "churn-prediction", "market-intelligence", "ai-reporting", "risk-dashboard"];

/// A way in which the demo misbehaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Service times grow by `by` (0.6 is +60%).
    Slow { feature: &'static str, by: f64 },
    /// A share of requests answers 500.
    Errors { feature: &'static str, share: f64 },
    /// Nothing at all is answered for a while, once.
    Stall { after: Duration, length: Duration },
    /// Caches are cold: service times start threefold and recover over this time.
    Cold { length: Duration },
    /// Responses carry an e-mail address, a phone number and a social security number.
    LeakPersonalData { feature: &'static str },
    /// Timestamps are two days old, and nothing says so.
    Stale { feature: &'static str },
    /// Scores leave their range.
    WrongScore { feature: &'static str },
    /// A share of connections ends in the middle of a response.
    Reset { feature: &'static str, share: f64 },
    /// Bodies arrive a byte at a time.
    Drip { feature: &'static str },
    /// Database connections exceed 100 for a while, once.
    DbSpike { after: Duration, length: Duration },
    /// What the demo tells of itself is old.
    LateTelemetry { by: Duration },
    /// The market feed is down: the demo must degrade gracefully.
    FeedDown,
    /// Something that one functional check is there to find.
    Broken(Broken),
}

/// What answers in time, with a good status, and is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No alert is generated.
    Alerts,
    /// The maintenance workflow never hears of an alert.
    Workflow,
    /// The same tenant gets another score each time.
    Consistency,
    /// Scores come without explanations.
    Explanations,
    /// Nothing is served from the cache.
    Cache,
    /// Without its feed the market model answers with an error.
    Degradation,
    /// Reports are never done.
    Reports,
    /// Reports are done and say nothing.
    Summary,
    /// Exports are error pages under the right content type.
    Exports,
    /// Figures do not add up.
    Sums,
    /// The dashboard's page is blank.
    Page,
    /// No events come, by neither way.
    Events,
}

impl Broken {
    pub const WORDS: [(&'static str, Self); 12] = [
        ("no-alerts", Self::Alerts),
        ("lost-alerts", Self::Workflow),
        ("flaky-score", Self::Consistency),
        ("no-explanations", Self::Explanations),
        ("no-cache", Self::Cache),
        ("brittle", Self::Degradation),
        ("stuck-reports", Self::Reports),
        ("empty-summary", Self::Summary),
        ("corrupt-exports", Self::Exports),
        ("wrong-sum", Self::Sums),
        ("blank-page", Self::Page),
        ("silent-events", Self::Events),
    ];
}

const KINDS: [&str; 12] = [
    "slow",
    "errors",
    "stall",
    "cold",
    "leak-personal-data",
    "stale",
    "wrong-score",
    "reset",
    "drip",
    "db-spike",
    "feed-down",
    "late-telemetry",
];

impl Fault {
    /// The feature it concerns, or `None` for all.
    #[must_use]
    pub fn feature(&self) -> Option<&'static str> {
        match self {
            Self::Slow { feature, .. }
            | Self::Errors { feature, .. }
            | Self::LeakPersonalData { feature }
            | Self::Stale { feature }
            | Self::WrongScore { feature }
            | Self::Reset { feature, .. }
            | Self::Drip { feature } => Some(feature),
            Self::Stall { .. }
            | Self::Cold { .. }
            | Self::DbSpike { .. }
            | Self::LateTelemetry { .. }
            | Self::FeedDown
            | Self::Broken(_) => None,
        }
    }
}

impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let (first, second) = rest.split_once(':').unwrap_or((rest, ""));
        let form = |form: &str| format!("`{text}`: expected `{form}`");
        let no_more = |fault| {
            if second.is_empty() { Ok(fault) } else { Err(format!("`{text}`: nothing may follow `{first}`")) }
        };
        match kind {
            "slow" => {
                let by = second
                    .strip_prefix('+')
                    .and_then(|v| v.strip_suffix('%'))
                    .and_then(|v| v.parse::<f64>().ok());
                match by {
                    Some(by) if (0.0..=10_000.0).contains(&by) => {
                        Ok(Self::Slow { feature: feature(first)?, by: by / 100.0 })
                    }
                    _ => Err(form("slow:FEATURE:+60%")),
                }
            }
            "errors" => Ok(Self::Errors {
                feature: feature(first)?,
                share: parse_share(second).map_err(|_| form("errors:FEATURE:2%"))?,
            }),
            "reset" => Ok(Self::Reset {
                feature: feature(first)?,
                share: parse_share(second).map_err(|_| form("reset:FEATURE:1%"))?,
            }),
            "stall" => {
                let (after, length) = span(rest).ok_or_else(|| form("stall:after=4s,for=1s"))?;
                Ok(Self::Stall { after, length })
            }
            "cold" => {
                let length = Duration::from_nanos(parse_duration_ns(rest).map_err(|_| form("cold:20s"))?);
                Ok(Self::Cold { length })
            }
            "leak-personal-data" => no_more(Self::LeakPersonalData { feature: feature(first)? }),
            "stale" => no_more(Self::Stale { feature: feature(first)? }),
            "wrong-score" => no_more(Self::WrongScore { feature: feature(first)? }),
            "drip" => no_more(Self::Drip { feature: feature(first)? }),
            "db-spike" if rest.is_empty() => {
                Ok(Self::DbSpike { after: Duration::ZERO, length: Duration::from_secs(10) })
            }
            "db-spike" => {
                let (after, length) = span(rest).ok_or_else(|| form("db-spike:after=10s,for=10s"))?;
                Ok(Self::DbSpike { after, length })
            }
            "late-telemetry" => {
                let by = parse_duration_ns(rest).map_err(|_| form("late-telemetry:5m"))?;
                Ok(Self::LateTelemetry { by: Duration::from_nanos(by) })
            }
            "feed-down" if rest.is_empty() => Ok(Self::FeedDown),
            _ => match Broken::WORDS.iter().find(|(word, _)| *word == kind) {
                Some((_, broken)) if rest.is_empty() => Ok(Self::Broken(*broken)),
                Some((word, _)) => Err(format!("`{text}`: nothing may follow `{word}`")),
                None => {
                    let words = Broken::WORDS.iter().map(|(word, _)| *word);
                    Err(unknown("fault", kind, &KINDS.into_iter().chain(words).collect::<Vec<_>>()))
                }
            },
        }
    }
}

/// `after=4s,for=1s`
fn span(text: &str) -> Option<(Duration, Duration)> {
    let (mut after, mut length) = (None, None);
    for part in text.split(',') {
        match part.split_once('=')? {
            ("after", v) => after = parse_duration_ns(v).ok(),
            ("for", v) => length = parse_duration_ns(v).ok(),
            _ => return None,
        }
    }
    Some((Duration::from_nanos(after?), Duration::from_nanos(length?)))
}

fn feature(name: &str) -> Result<&'static str, String> {
    FEATURES.into_iter().find(|f| *f == name).ok_or_else(|| unknown("feature", name, &FEATURES))
}

fn unknown(what: &str, name: &str, known: &[&'static str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{name}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_fault_is_read_and_a_typo_named() {
        let churn = "churn-prediction";
        for (text, fault) in [
            ("slow:churn-prediction:+60%", Fault::Slow { feature: churn, by: 0.6 }),
            ("errors:churn-prediction:2%", Fault::Errors { feature: churn, share: 0.02 }),
            (
                "stall:after=4s,for=1s",
                Fault::Stall { after: Duration::from_secs(4), length: Duration::from_secs(1) },
            ),
            ("cold:20s", Fault::Cold { length: Duration::from_secs(20) }),
            ("leak-personal-data:churn-prediction", Fault::LeakPersonalData { feature: churn }),
            ("stale:churn-prediction", Fault::Stale { feature: churn }),
            ("wrong-score:churn-prediction", Fault::WrongScore { feature: churn }),
            ("reset:churn-prediction:1%", Fault::Reset { feature: churn, share: 0.01 }),
            ("drip:churn-prediction", Fault::Drip { feature: churn }),
            ("db-spike", Fault::DbSpike { after: Duration::ZERO, length: Duration::from_secs(10) }),
            (
                "db-spike:after=5s,for=3s",
                Fault::DbSpike { after: Duration::from_secs(5), length: Duration::from_secs(3) },
            ),
            ("late-telemetry:5m", Fault::LateTelemetry { by: Duration::from_secs(300) }),
            ("feed-down", Fault::FeedDown),
        ] {
            assert_eq!(text.parse(), Ok(fault), "{text}");
        }
        for (word, broken) in Broken::WORDS {
            assert_eq!(word.parse(), Ok(Fault::Broken(broken)), "{word}");
        }
        assert!("slwo:churn-prediction:+60%".parse::<Fault>().unwrap_err().contains("did you mean `slow`"));
        assert!(
            "slow:churn-predict:+60%"
                .parse::<Fault>()
                .unwrap_err()
                .contains("did you mean `churn-prediction`")
        );
        assert!("slow:churn-prediction:60".parse::<Fault>().unwrap_err().contains("+60%"));
    }
}
