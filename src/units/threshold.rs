use serde::{Deserialize, Serialize};

use super::duration::format_share;

/// How a value must stand to a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    #[serde(rename = "<")]
    Below,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = ">")]
    Above,
    #[serde(rename = ">=")]
    AtLeast,
}

impl Relation {
    /// The longer signs first, so that none is taken for the beginning of another.
    const SIGNS: [(&'static str, Self); 4] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Below), (">", Self::Above)];

    fn sign(self) -> &'static str {
        Self::SIGNS.iter().find(|(_, own)| *own == self).map_or("", |(sign, _)| *sign)
    }

    /// What holds where this one does not.
    #[must_use]
    pub fn contrary(self) -> Self {
        match self {
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
            Self::Above => Self::AtMost,
            Self::AtLeast => Self::Below,
        }
    }

    /// Whether larger values are worse.
    #[must_use]
    pub fn is_ceiling(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

/// A bound on any figure, such as `< 70%` or `>= 3`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    pub relation: Relation,
    /// A percentage is a fraction.
    pub value: f64,
    /// Written as a percentage, so that figures beside it are shown as such.
    #[serde(default)]
    pub percent: bool,
}

impl Threshold {
    /// # Errors
    /// Says what form was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}` is no bound; expected a sign and a number, such as `< 70%` or `< 100`");
        let trimmed = text.trim();
        let (sign, relation) =
            Relation::SIGNS.into_iter().find(|(sign, _)| trimmed.starts_with(sign)).ok_or_else(expected)?;
        let number = trimmed[sign.len()..].trim();
        let (number, percent) = number.strip_suffix('%').map_or((number, false), |number| (number, true));
        let value: f64 = number.trim().replace('_', "").parse().map_err(|_| expected())?;
        if !value.is_finite() {
            return Err(expected());
        }
        Ok(Self { relation, value: if percent { value / 100.0 } else { value }, percent })
    }

    /// The same bound for figures that are percentages by themselves: `< 70`.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self { value: (self.value * 1e6).round() / 1e4, percent: false, ..*self }
    }

    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        match self.relation {
            Relation::Below => value < self.value,
            Relation::AtMost => value <= self.value,
            Relation::Above => value > self.value,
            Relation::AtLeast => value >= self.value,
        }
    }

    /// The worse of two values.
    #[must_use]
    pub fn worse(&self, a: f64, b: f64) -> f64 {
        if self.relation.is_ceiling() { a.max(b) } else { a.min(b) }
    }

    /// A figure in the unit of this bound.
    #[must_use]
    pub fn told(&self, value: f64) -> String {
        if self.percent { format_share(value) } else { format_figure(value) }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = self.relation.sign();
        if self.percent {
            write!(f, "{sign} {}%", (self.value * 1e7).round() / 1e5)
        } else {
            write!(f, "{sign} {}", self.value)
        }
    }
}

/// A figure of no known unit, with the digits that count.
#[must_use]
pub fn format_figure(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e9 {
        return format!("{value:.0}");
    }
    match value.abs() {
        other if !(0.001..1e9).contains(&other) => format!("{value:.2e}"),
        small if small < 1.0 => format!("{value:.4}"),
        small if small < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_as_people_write_them() {
        for (text, holds, breaks, told) in [
            ("< 70%", 0.69, 0.70, "< 70%"),
            ("<=0.5 %", 0.005, 0.0051, "<= 0.5%"),
            ("> 3", 3.5, 3.0, "> 3"),
            (">= 1_000", 1000.0, 999.0, ">= 1000"),
        ] {
            let bound = Threshold::parse(text).unwrap();
            assert!(bound.holds(holds) && !bound.holds(breaks), "{text}");
            assert_eq!(bound.to_string(), told);
        }
        for text in ["70%", "= 3", "< much", "< NaN", "<"] {
            assert!(Threshold::parse(text).unwrap_err().contains("< 70%"), "{text}");
        }
        assert_eq!(Threshold::parse("< 70%").unwrap().told(0.8312), "83.1%");
        assert_eq!([3.0, 0.25, 108.5, 1e12].map(format_figure), ["3", "0.2500", "108.5", "1.00e12"]);
    }
}
