use crate::units::format_ms;

/// From values to pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub from: f64,
    pub to: f64,
    pub start: f64,
    pub end: f64,
    pub log: bool,
}

impl Scale {
    #[must_use]
    pub fn linear(from: f64, to: f64, start: f64, end: f64) -> Self {
        // An empty range would put everything at infinity.
        let to = if to > from { to } else { from + 1.0 };
        Self { from, to, start, end, log: false }
    }

    /// Linear from zero where the values lie close together, logarithmic where they do not.
    #[must_use]
    pub fn of_latencies(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|v| v.is_finite() && *v > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high <= 0.0 {
            return Self::linear(0.0, 1.0, start, end);
        }
        if high / low > 12.0 {
            return Self { from: low / 1.1, to: high * 1.1, start, end, log: true };
        }
        Self::linear(0.0, high * 1.05, start, end)
    }

    /// The highest value on it.
    #[must_use]
    pub fn to(&self) -> f64 {
        self.to
    }

    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        self.start + share.clamp(-0.02, 1.02) * (self.end - self.start)
    }

    /// About so many round values within.
    #[must_use]
    pub fn ticks(&self, about: usize) -> Vec<f64> {
        if self.log {
            return self.log_ticks();
        }
        let rough = (self.to - self.from) / about.max(1) as f64;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(rough);
        let first = (self.from / step).ceil() as i64;
        (first..)
            .map(|n| (n as f64 * step * 1e9).round() / 1e9)
            .take_while(|v| *v <= self.to * (1.0 + 1e-9))
            .take(50)
            .collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let decades = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
        let fine: &[f64] = if self.to / self.from > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        decades
            .flat_map(|d| fine.iter().map(move |m| m * 10f64.powi(d)))
            .filter(|v| *v >= self.from && *v <= self.to)
            .collect()
    }

    /// For the script: pixels and values at both ends, and the kind.
    #[must_use]
    pub fn described(&self) -> String {
        let kind = if self.log { "log" } else { "lin" };
        format!("{:.1},{:.1},{},{},{kind}", self.start, self.end, self.from, self.to)
    }
}

/// Points as a polyline wants them, a tenth of a pixel exact.
#[must_use]
pub fn points(all: impl Iterator<Item = (f64, f64)>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for (x, y) in all {
        let _ = write!(out, "{}{},{}", if out.is_empty() { "" } else { " " }, tenth(x), tenth(y));
    }
    out
}

/// `12.3`, and `12` for 12.0.
#[must_use]
pub fn tenth(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded}")
}

/// A tick of a latency axis.
#[must_use]
pub fn latency_tick(ms: f64) -> String {
    if ms == 0.0 {
        return "0".to_owned();
    }
    let text = format_ms(ms);
    // `200 ms`, not `200.0 ms`: a tick is round.
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        for (from, to, about, ticks) in [
            (0.0, 100.0, 5, vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (0.0, 30.0, 6, vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]),
            (-12.0, 31.0, 4, vec![0.0, 20.0]),
        ] {
            assert_eq!(Scale::linear(from, to, 0.0, 1.0).ticks(about), ticks);
        }
        let log = Scale { from: 3.0, to: 120.0, start: 0.0, end: 100.0, log: true };
        assert_eq!(log.ticks(5), [5.0, 10.0, 20.0, 50.0, 100.0]);
        assert!((log.at(3.0) - 0.0).abs() < 1e-9 && (log.at(120.0) - 100.0).abs() < 1e-9);
        assert_eq!(latency_tick(200.0), "200 ms");
        assert_eq!(latency_tick(0.5), "500 µs");
        assert_eq!(latency_tick(1500.0), "1.5 s");
    }
}
