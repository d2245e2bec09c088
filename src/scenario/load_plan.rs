use super::stage::Stage;
use crate::units::Metric;

/// How load is offered: a leading ramp, a warm-up at the first steady level, then the measured stages.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub warmup: Warmup,
    /// Ramps before the first steady stage; left out like the warm-up that they lead into.
    pub lead: Vec<Stage>,
    /// The first one is steady. All are of one model, open or closed.
    pub stages: Vec<Stage>,
    pub process: Process,
}

/// How arrivals of the open model are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Process {
    /// Evenly.
    #[default]
    Constant,
    /// At random, as many as evenly spread ones would be, so that every run sends equally many.
    Poisson,
}

/// Ends the run early: the metric of one endpoint lies above this over the last `window_ns`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AbortRule {
    pub metric: Metric,
    /// Milliseconds for a quantile, a fraction for the error rate.
    pub above: f64,
    pub window_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmup {
    Fixed {
        ns: u64,
    },
    /// At least [`WARMUP_AUTO_NS`]; extended until the load is steady, at most to `max_ns`.
    Auto {
        max_ns: u64,
    },
}

pub const WARMUP_AUTO_NS: u64 = 4_000_000_000;

impl Warmup {
    /// How long it may last.
    #[must_use]
    pub fn most_ns(self) -> u64 {
        match self {
            Self::Fixed { ns } => ns,
            Self::Auto { max_ns } => max_ns.max(WARMUP_AUTO_NS),
        }
    }

    /// How long it lasts if the load is steady at once.
    #[must_use]
    pub fn least_ns(self) -> u64 {
        match self {
            Self::Fixed { ns } => ns,
            Self::Auto { max_ns } => WARMUP_AUTO_NS.min(max_ns),
        }
    }
}

impl LoadPlan {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stages[0].level.is_open()
    }

    /// The measured window.
    #[must_use]
    pub fn window_ns(&self) -> u64 {
        self.stages.iter().map(|stage| stage.length_ns).fold(0, u64::saturating_add)
    }

    #[must_use]
    pub fn lead_ns(&self) -> u64 {
        self.lead.iter().map(|stage| stage.length_ns).fold(0, u64::saturating_add)
    }

    /// Arrivals in the measured window; 0 in the closed model.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.stages.iter().map(Stage::arrivals).fold(0, u64::saturating_add)
    }

    /// The most arrivals a second that it rises to; 0 in the closed model.
    #[must_use]
    pub fn highest_per_s(&self) -> f64 {
        let rates = self.lead.iter().chain(&self.stages).map(|stage| stage.level.rates());
        rates.map(|(from, to)| from.max(to)).fold(0.0, f64::max)
    }

    /// Makes every measured stage so many times as long.
    pub fn scale(&mut self, by: f64) {
        for stage in &mut self.stages {
            stage.length_ns = (stage.length_ns as f64 * by).round() as u64;
        }
    }

    /// For people: `100/s for 30 s, ramp 100/s to 200/s for 10 s`.
    #[must_use]
    pub fn described(&self) -> String {
        let one = |stage: &Stage| match stage.iterations {
            Some(_) => stage.to_string(),
            None => format!("{} for {} s", stage.level, stage.length_ns as f64 / 1e9),
        };
        self.lead.iter().chain(&self.stages).map(one).collect::<Vec<_>>().join(", ")
    }

    /// What of it makes measurements comparable.
    #[must_use]
    pub fn canonical(&self) -> String {
        let stages: Vec<String> = self.lead.iter().chain(&self.stages).map(ToString::to_string).collect();
        let process = if self.process == Process::Poisson { " poisson" } else { "" };
        format!("{}{process}", stages.join(", "))
    }
}
