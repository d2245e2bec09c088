use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::random::unit;
use crate::scenario::CheckSample;

/// Of a worker's core.
const MOST_OF_CORE: f64 = 0.1;
/// However dear the checks are, some are made.
const LEAST_SHARE: f64 = 0.001;

/// Which responses are taken apart: all while that costs little, else a sample.
pub struct Sampler {
    fixed: Option<f64>,
    share: Cell<f64>,
    asked: Cell<u64>,
    /// Since the last adjustment.
    spent: Cell<Duration>,
    made: Cell<u64>,
    seen: Cell<u64>,
    since: Cell<Instant>,
}

impl Sampler {
    pub fn new(sample: CheckSample) -> Self {
        let fixed = match sample {
            CheckSample::Auto => None,
            CheckSample::Share(share) => Some(share),
        };
        Self {
            fixed,
            share: Cell::new(fixed.unwrap_or(1.0)),
            asked: Cell::new(0),
            spent: Cell::default(),
            made: Cell::default(),
            seen: Cell::default(),
            since: Cell::new(Instant::now()),
        }
    }

    pub fn draw(&self) -> bool {
        self.seen.set(self.seen.get() + 1);
        self.asked.set(self.asked.get() + 1);
        self.share.get() >= 1.0 || unit(0x5eed, self.asked.get()) < self.share.get()
    }

    /// Notes what the checks of one response cost.
    pub fn spent(&self, took: Duration) {
        self.made.set(self.made.get() + 1);
        self.spent.set(self.spent.get() + took);
    }

    /// Now and then: what the last stretch cost decides how much of the next is looked at.
    pub fn adjust(&self, now: Instant) {
        let wall = now.duration_since(self.since.get());
        if self.fixed.is_none() && self.made.get() > 0 {
            let share = affordable(wall, self.spent.get(), self.made.get(), self.seen.get());
            self.share.set(share);
        }
        self.since.set(now);
        self.spent.set(Duration::ZERO);
        self.made.set(0);
        self.seen.set(0);
    }
}

/// Which share of `seen` responses can be taken apart in a tenth of `wall`, if `made` of them took `spent`.
fn affordable(wall: Duration, spent: Duration, made: u64, seen: u64) -> f64 {
    let each = spent.as_secs_f64() / made as f64;
    let all = each * seen as f64;
    (MOST_OF_CORE * wall.as_secs_f64() / all.max(1e-12)).clamp(LEAST_SHARE, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_take_a_tenth_of_a_core_at_most() {
        let ms = Duration::from_millis;
        for (wall, spent, made, seen, share) in [
            // 1,000 responses at 10 µs each are 1% of a second.
            (ms(1000), ms(10), 1000, 1000, 1.0),
            // 20,000 at 10 µs are 20%: half of them can be afforded, also where only some were looked at.
            (ms(1000), ms(200), 20_000, 20_000, 0.5),
            (ms(1000), ms(20), 2000, 20_000, 0.5),
            // A megabyte of JSON in each.
            (ms(1000), ms(900), 90, 9_000_000, LEAST_SHARE),
        ] {
            assert!((affordable(wall, spent, made, seen) - share).abs() < 1e-9, "{made} of {seen}");
        }
        let sampler = Sampler::new(CheckSample::Share(0.25));
        let drawn = (0..4000).filter(|_| sampler.draw()).count();
        assert!((850..1150).contains(&drawn), "{drawn}");
    }
}
