use serde::{Deserialize, Serialize};

/// Parses `250us`, `400ms`, `2s`, `1.5m`, `1h` into nanoseconds.
///
/// # Errors
/// Says what form was expected.
pub fn parse_duration_ns(text: &str) -> Result<u64, String> {
    let expected =
        || format!("`{text}` is not a duration; expected a number with a unit: 250us, 400ms, 2s, 5m, 1h");
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ').ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return Err(expected()),
    };
    let value: f64 = number.trim().parse().map_err(|_| expected())?;
    if !value.is_finite() || !(0.0..=1e6).contains(&(value * scale / 1e9)) {
        return Err(expected());
    }
    Ok((value * scale).round() as u64)
}

/// Parses `2%`, `0.1%` or a bare fraction such as `0.02` into a fraction.
///
/// # Errors
/// Says what form was expected.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let expected =
        || format!("`{text}` is not a share; expected a percentage such as 0.1% or a fraction such as 0.001");
    let trimmed = text.trim();
    let (number, scale) = trimmed.strip_suffix('%').map_or((trimmed, 1.0), |n| (n, 0.01));
    let value = number.trim().parse::<f64>().map_err(|_| expected())? * scale;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(expected()) }
}

/// A share as a percentage with two or three digits that count.
#[must_use]
pub fn format_share(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".into(),
        p if p.abs() < 0.1 => format!("{p:.3}%"),
        p if p.abs() < 10.0 => format!("{p:.2}%"),
        p => format!("{p:.1}%"),
    }
}

/// An arrival rate kept as a ratio of integers, so that a schedule computed from it never drifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Thousandths of an arrival for each `per_ns`.
    pub count_milli: u64,
    pub per_ns: u64,
}

impl Rate {
    /// Arrivals a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.count_milli as f64 / 1e3 / (self.per_ns as f64 / 1e9)
    }

    /// This rate times `factor`, to a thousandth of an arrival.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { count_milli: ((self.count_milli as f64 * factor).round() as u64).max(1), ..self }
    }

    /// The distance of arrival `n` from the start, in nanoseconds, rounded down.
    #[must_use]
    pub fn offset_ns(self, n: u64) -> u64 {
        (u128::from(n) * u128::from(self.per_ns) * 1000 / u128::from(self.count_milli)) as u64
    }

    /// How many arrivals have an offset below `length_ns`.
    #[must_use]
    pub fn arrivals_within(self, length_ns: u64) -> u64 {
        (u128::from(length_ns) * u128::from(self.count_milli)).div_ceil(u128::from(self.per_ns) * 1000) as u64
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.per_ns {
            60_000_000_000 => "m",
            3_600_000_000_000 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count_milli as f64 / 1e3)
    }
}

/// Parses `100/s`, `0.5/s`, `6000/m`.
///
/// # Errors
/// Says what form was expected.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let expected =
        || format!("`{text}` is not a rate; expected arrivals for each unit of time: 100/s, 6000/m");
    let (count, unit) = text.trim().split_once('/').ok_or_else(expected)?;
    let per_ns = match unit.trim() {
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(expected()),
    };
    let count: f64 = count.trim().parse().map_err(|_| expected())?;
    let count_milli = (count * 1e3).round();
    if !(1.0..=1e12).contains(&count_milli) {
        return Err(expected());
    }
    Ok(Rate { count_milli: count_milli as u64, per_ns })
}

/// Three significant digits with a unit: `412 µs`, `1.23 ms`, `131 ms`, `2.05 s`.
#[must_use]
pub fn format_ns(ns: f64) -> String {
    let (value, unit) = match ns {
        0.0 => return "0 s".to_owned(),
        v if v < 1e3 => (v, "ns"),
        v if v < 999.5e3 => (v / 1e3, "µs"),
        v if v < 999.5e6 => (v / 1e6, "ms"),
        v => (v / 1e9, "s"),
    };
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// [`format_ns`] for a value in milliseconds.
#[must_use]
pub fn format_ms(ms: f64) -> String {
    format_ns(ms * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_rates_and_shares_as_people_write_them() {
        for (text, ns) in
            [("250us", 250_000), ("400ms", 400_000_000), ("1.5m", 90_000_000_000), ("2 s", 2_000_000_000)]
        {
            assert_eq!(parse_duration_ns(text), Ok(ns), "{text}");
        }
        for bad in ["", "5", "ms", "5 parsecs", "-1s", "1e99h"] {
            assert!(parse_duration_ns(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_share("0.1%"), Ok(0.001));
        assert!(parse_share("120%").is_err());
        assert!(parse_rate("0/s").is_err() && parse_rate("100").is_err());
    }

    #[test]
    fn a_schedule_never_drifts_and_counts_its_arrivals() {
        let rate = parse_rate("3/s").unwrap();
        assert_eq!(rate.offset_ns(3), NS);
        assert_eq!(rate.offset_ns(3_000_000_000), 1_000_000_000 * NS);
        for (rate, length, count) in
            [("100/s", 30 * NS, 3000), ("3/s", NS, 3), ("7/m", 60 * NS, 7), ("0.5/s", NS, 1)]
        {
            let rate = parse_rate(rate).unwrap();
            assert_eq!(rate.arrivals_within(length), count);
            assert!(rate.offset_ns(count) >= length && rate.offset_ns(count - 1) < length);
        }
    }

    #[test]
    fn three_significant_digits() {
        for (ns, text) in [
            (412e3, "412 µs"),
            (1.234e6, "1.23 ms"),
            (131.4e6, "131 ms"),
            (999.6e6, "1.00 s"),
            (12.34e6, "12.3 ms"),
        ] {
            assert_eq!(format_ns(ns), text);
        }
    }

    const NS: u64 = 1_000_000_000;
}
