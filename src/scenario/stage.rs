use crate::units::{NS_PER_S, Rate};

/// One stretch of a load profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    pub level: Level,
    pub length_ns: u64,
    /// Closed model: ends earlier, once this many iterations were begun.
    pub iterations: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Rate(Rate),
    /// Arrivals a second, changing evenly.
    RateRamp {
        from: f64,
        to: f64,
    },
    Users(u32),
    /// Virtual users, changing evenly.
    UsersRamp {
        from: u32,
        to: u32,
    },
}

impl Level {
    #[must_use]
    pub fn is_steady(self) -> bool {
        matches!(self, Self::Rate(_) | Self::Users(_))
    }

    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Rate(_) | Self::RateRamp { .. })
    }

    /// Arrivals a second at the beginning and at the end; 0 in the closed model.
    #[must_use]
    pub fn rates(self) -> (f64, f64) {
        match self {
            Self::Rate(rate) => (rate.per_second(), rate.per_second()),
            Self::RateRamp { from, to } => (from, to),
            Self::Users(_) | Self::UsersRamp { .. } => (0.0, 0.0),
        }
    }

    /// Virtual users at the beginning and at the end; 0 in the open model.
    #[must_use]
    pub fn users(self) -> (u32, u32) {
        match self {
            Self::Users(users) => (users, users),
            Self::UsersRamp { from, to } => (from, to),
            Self::Rate(_) | Self::RateRamp { .. } => (0, 0),
        }
    }
}

impl Stage {
    /// Mean arrivals a second; 0 in the closed model.
    #[must_use]
    pub fn rate_per_s(&self) -> f64 {
        let (from, to) = self.level.rates();
        f64::midpoint(from, to)
    }

    /// Arrivals of the open model.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        match self.level {
            Level::Rate(rate) => rate.arrivals_within(self.length_ns),
            // The last one that falls into the stage; a hair less than a whole one more is rounding.
            _ => (self.rate_per_s() * self.length_ns as f64 / NS_PER_S as f64 - 1e-9).ceil().max(0.0) as u64,
        }
    }

    /// When the arrival at `position` (0 is the stage's beginning, whole numbers its even schedule) is due: the inverse
    /// of the arrivals until t, r₀t + (r₁ − r₀)t²/2L.
    #[must_use]
    pub fn offset_ns(&self, position: f64) -> u64 {
        let (from, to) = self.level.rates();
        let length_s = self.length_ns as f64 / NS_PER_S as f64;
        let slope = (to - from) / length_s;
        // The usual root formula divides by the slope; this form of it holds for a slope of 0 and for one near it.
        let root = (from * from + 2.0 * slope * position).max(0.0).sqrt();
        let seconds = if position > 0.0 { 2.0 * position / (from + root) } else { 0.0 };
        ((seconds * NS_PER_S as f64) as u64).min(self.length_ns.saturating_sub(1))
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "{rate}"),
            Self::RateRamp { from, to } => write!(f, "ramp {from}/s to {to}/s"),
            Self::Users(users) => write!(f, "{users} users"),
            Self::UsersRamp { from, to } => write!(f, "ramp {from} to {to} users"),
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.iterations {
            Some(count) => write!(f, "{}, {count} iterations", self.level),
            None => write!(f, "{} for {} ns", self.level, self.length_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::parse_rate;

    fn stage(level: Level, seconds: u64) -> Stage {
        Stage { level, length_ns: seconds * NS_PER_S, iterations: None }
    }

    #[test]
    fn ramps_pass_through_known_points() {
        // 0 to 100/s in 10 s: 500 arrivals, arrival n at √(n/5) s.
        let up = stage(Level::RateRamp { from: 0.0, to: 100.0 }, 10);
        assert_eq!(up.arrivals(), 500);
        for (n, seconds) in [(0.0, 0.0), (5.0, 1.0), (125.0, 5.0), (320.0, 8.0)] {
            assert!((up.offset_ns(n) as f64 / 1e9 - seconds).abs() < 1e-6, "{n}");
        }
        // Downwards it is the mirror image.
        let down = stage(Level::RateRamp { from: 100.0, to: 0.0 }, 10);
        for n in [1.0, 100.0, 499.0] {
            let mirrored = 1e10 - up.offset_ns(500.0 - n) as f64;
            assert!((down.offset_ns(n) as f64 - mirrored).abs() < 10.0, "{n}");
        }
        let level = stage(Level::RateRamp { from: 50.0, to: 50.0 }, 10);
        assert_eq!((level.arrivals(), level.offset_ns(25.0)), (500, 500_000_000));
    }

    #[test]
    fn a_steady_rate_has_its_exact_count() {
        let steady = stage(Level::Rate(parse_rate("7/m").unwrap()), 60);
        assert_eq!(steady.arrivals(), 7);
        assert_eq!(stage(Level::Users(20), 60).arrivals(), 0);
    }
}
