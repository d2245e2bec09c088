use serde::{Deserialize, Serialize};

/// What a rule speaks of: a latency quantile or the share of failed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// A quantile of the response time, in ten-thousandths: 9500 is p95.
    Quantile(u16),
    ErrorRate,
}

impl Metric {
    pub const P50: Self = Self::Quantile(5000);
    pub const P95: Self = Self::Quantile(9500);
    pub const P99: Self = Self::Quantile(9900);
    /// Every name that a scenario may use.
    pub const NAMES: [&'static str; 7] = ["p50", "p75", "p90", "p95", "p99", "p999", "error_rate"];

    /// The quantile as a fraction, or `None` for a rate.
    #[must_use]
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::Quantile(q) => Some(f64::from(q) / 1e4),
            Self::ErrorRate => None,
        }
    }
}

impl std::str::FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "p50" => Self::P50,
            "p75" => Self::Quantile(7500),
            "p90" => Self::Quantile(9000),
            "p95" => Self::P95,
            "p99" => Self::P99,
            "p999" => Self::Quantile(9990),
            "error_rate" => Self::ErrorRate,
            _ => return Err(format!("unknown metric `{name}`; known are {}", Self::NAMES.join(", "))),
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Quantile(5000) => "p50",
            Self::Quantile(7500) => "p75",
            Self::Quantile(9000) => "p90",
            Self::Quantile(9500) => "p95",
            Self::Quantile(9900) => "p99",
            Self::Quantile(9990) => "p999",
            Self::Quantile(_) => "quantile",
            Self::ErrorRate => "error_rate",
        })
    }
}
