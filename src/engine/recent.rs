use std::collections::VecDeque;

use crate::metrics::{AbortRecord, Histogram, Outcome, Sample};
use crate::scenario::AbortRule;
use crate::units::Metric;

/// A rule fires on at least this many requests, or this many beyond its quantile.
const LEAST_REQUESTS: u64 = 20;
const LEAST_BEYOND: f64 = 10.0;

/// What came back lately, by endpoint and the instant at which it came: what `abort_when` looks at.
pub struct Recent {
    endpoints: Vec<Piece>,
}

#[derive(Clone, Default)]
pub struct Piece {
    requests: u64,
    errors: u64,
    response: Histogram,
}

impl Piece {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.response.merge(&other.response);
    }
}

impl Recent {
    pub fn new(endpoints: usize) -> Self {
        Self { endpoints: vec![Piece::default(); endpoints] }
    }

    pub fn add(&mut self, sample: &Sample) {
        let piece = &mut self.endpoints[sample.endpoint];
        piece.requests += 1;
        piece.errors += u64::from(matches!(sample.outcome, Outcome::Failed(_)));
        if sample.outcome == Outcome::Ok || sample.is_censored() {
            piece.response.record(sample.response_ns());
        }
    }

    /// What came since it was last asked.
    pub fn drain(&mut self) -> Vec<Piece> {
        let count = self.endpoints.len();
        std::mem::replace(&mut self.endpoints, vec![Piece::default(); count])
    }
}

/// The last seconds of all workers together.
#[derive(Default)]
pub struct Watch {
    /// Arrival of a worker's pieces, nanoseconds since the load began, the oldest first.
    pieces: VecDeque<(u64, Vec<Piece>)>,
}

impl Watch {
    pub fn add(&mut self, at_ns: u64, pieces: Vec<Piece>, longest_ns: u64) {
        self.pieces.push_back((at_ns, pieces));
        while self.pieces.front().is_some_and(|(then_ns, _)| then_ns + longest_ns < at_ns) {
            self.pieces.pop_front();
        }
    }

    /// Whether `rule` holds for an endpoint now.
    pub fn fires(&self, rule: &AbortRule, endpoint: usize, name: &str, now_ns: u64) -> Option<AbortRecord> {
        // A window that is not yet full says nothing of its length.
        if now_ns < rule.window_ns {
            return None;
        }
        let mut sum = Piece::default();
        let within = self.pieces.iter().filter(|(at_ns, _)| at_ns + rule.window_ns >= now_ns);
        within.for_each(|(_, pieces)| sum.merge(&pieces[endpoint]));
        let observed = match rule.metric.quantile() {
            None if sum.requests < LEAST_REQUESTS => return None,
            None => sum.errors as f64 / sum.requests as f64,
            Some(q) if (sum.response.count() as f64) * (1.0 - q) < LEAST_BEYOND => return None,
            Some(q) => sum.response.quantile_ms(q)?,
        };
        (observed > rule.above).then(|| AbortRecord {
            endpoint: name.to_owned(),
            metric: rule.metric,
            above: rule.above,
            observed,
            requests: sum.requests,
            errors: if rule.metric == Metric::ErrorRate { sum.errors } else { 0 },
            window_ms: rule.window_ns / 1_000_000,
            at_ms: now_ns / 1_000_000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_class::ErrorClass;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_rule_fires_over_its_window_and_not_on_a_handful() {
        let rule = AbortRule { metric: Metric::ErrorRate, above: 0.5, window_ns: 2 * S };
        let fires = |seconds: &[(u64, u64)]| {
            let mut watch = Watch::default();
            for (second, (requests, errors)) in (1u64..).zip(seconds) {
                let mut recent = Recent::new(1);
                for i in 0..*requests {
                    let outcome = if i < *errors { Outcome::Failed(ErrorClass::Status) } else { Outcome::Ok };
                    let (planned_ns, done_ns) = (second * S, second * S + 5_000_000);
                    recent.add(&Sample {
                        endpoint: 0,
                        planned_ns,
                        sent_ns: planned_ns,
                        done_ns,
                        outcome,
                        warmup: false,
                    });
                }
                watch.add(second * S, recent.drain(), 2 * S);
            }
            watch.fires(&rule, 0, "f/s", seconds.len() as u64 * S).map(|abort| (abort.requests, abort.errors))
        };
        assert_eq!(fires(&[(100, 0), (100, 100), (100, 100), (100, 100)]), Some((300, 300)));
        assert_eq!(fires(&[(100, 0), (100, 0), (100, 100), (100, 0)]), None);
        assert_eq!(fires(&[(4, 4), (4, 4), (4, 4)]), None, "12 requests prove nothing");
        assert_eq!(fires(&[(100, 100)]), None, "the window is not full");
    }
}
