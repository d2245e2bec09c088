use super::errors::negligible;
use super::statistics::{ln_beta_tail, ln_phi};
use crate::metrics::{EarlyStop, EndpointPlan, Histogram};
use crate::units::{Metric, Tolerance};

/// What all early stops together may spend on false alarms.
const ALPHA: f64 = 0.004;
const METRICS: [Metric; 3] = [Metric::P50, Metric::P95, Metric::P99];
/// An exceedance counts from this much (ln) above the control's quantile on: a smaller change is not what is stopped for, and
/// correlation within an arm is not taken for one.
const LEAST_SHIFT: f64 = 0.03;
/// Two instances of one build differ by more than so many standard deviations in one of 30,000 pairs.
const SHIFT_DEVIATIONS: f64 = 4.0;
/// When the threshold is taken anew, and then frozen so that it is known before what it is held against; then at each doubling.
const FROZEN_FROM_MS: u64 = 5_000;
/// The time of measurement that the test is tuned for.
const TUNED_FOR_MS: f64 = 20_000.0;
/// Blocks whose arms got requests in numbers further apart say nothing of errors.
const MOST_UNEQUAL: f64 = 0.05;
const NEARLY_ALL: f64 = 0.95;
/// The breaker: over so much time, of at least so many requests on each arm, so many more fail on the candidate.
const BREAKER_MS: u64 = 2_000;
const BREAKER_REQUESTS: u64 = 20;
const BREAKER_SHARE: f64 = 0.5;

/// What one arm got in one block.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    pub requests: u64,
    pub errors: u64,
    pub response: &'a Histogram,
}

/// Watches a side-by-side run, and tells when the candidate is proven worse: at any time, with the false alarms of all
/// times together at α (DESIGN §5, abort early). Pure: what it says depends on the blocks and their order alone.
pub struct Sequential {
    endpoints: Vec<Watched>,
    /// What an exceedance must exceed the threshold by, as a factor.
    shift: f64,
    stopped: Option<EarlyStop>,
}

struct Watched {
    name: String,
    judged: bool,
    /// δ: a smaller change is not what is stopped for.
    ignore: Tolerance,
    /// The control's responses so far, and when the thresholds are taken from them next.
    control: Histogram,
    freeze_at_ms: u64,
    tails: [Option<Tail>; METRICS.len()],
    /// Blocks with more and with fewer errors on the candidate's side.
    more: f64,
    fewer: f64,
    errors: [Counts; 2],
    /// The latest blocks, as the breaker sees them: their end, candidate, control.
    recent: Vec<(u64, Counts, Counts)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
    }

    fn rate(self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }
}

/// The normal mixture of one quantile's exceedances.
#[derive(Clone, Copy, Debug)]
struct Tail {
    above_ms: f64,
    /// What the candidate's responses are held against: that and what is allowed for.
    exceeds_ms: f64,
    rho: f64,
    sum: f64,
    squares: f64,
    /// Of both arms, for the report: exceedances in blocks, and how many blocks.
    candidate: f64,
    control: f64,
    blocks: f64,
}

impl Tail {
    /// ρ is the mixture's variance that is sharpest once the differences' squares add up to v* (Howard et al. 2021).
    fn new(quantile: f64, block_requests: f64, block_ms: f64) -> Self {
        let level = -2.0 * (2.0 * ALPHA).ln();
        let expected = TUNED_FOR_MS / block_ms * 2.0 * quantile * (1.0 - quantile) / block_requests;
        let rho = expected / (level + level.ln_1p());
        Self {
            above_ms: f64::INFINITY,
            exceeds_ms: f64::INFINITY,
            rho,
            sum: 0.0,
            squares: 0.0,
            candidate: 0.0,
            control: 0.0,
            blocks: 0.0,
        }
    }

    /// ln e of the one-sided normal mixture: ½ ln(4ρ/(V+ρ)) + S²/(2(V+ρ)) + ln Φ(S/√(V+ρ)). Differences are symmetric about
    /// zero at the boundary of "no worse", since which arm is which was drawn; so no variance needs to be known
    /// (self-normalised; Howard, Ramdas, `McAuliffe`, Sekhon 2021).
    fn ln_e(&self) -> f64 {
        let scale = self.squares + self.rho;
        let z = self.sum / scale.sqrt();
        0.5 * (4.0 * self.rho / scale).ln() + z * z / 2.0 + ln_phi(z)
    }
}

/// e of so many blocks with more and with fewer errors on the candidate's side, where the one is no likelier than the other.
/// Half of it is the uniform mixture of likelihood ratios over (½, 1), `2^{a+c+1} B(a+1, c+1) I_½(c+1, a+1)`; the other half
/// bets on nearly all blocks, as in an outage, which it finds some blocks earlier.
fn e_sign(more: f64, fewer: f64) -> f64 {
    let bet = more * (2.0 * NEARLY_ALL).ln() + fewer * (2.0 * (1.0 - NEARLY_ALL)).ln();
    f64::midpoint(ln_e_sign(more, fewer).min(700.0).exp(), bet.min(700.0).exp())
}

fn ln_e_sign(more: f64, fewer: f64) -> f64 {
    let (a, c) = (more + 1.0, fewer + 1.0);
    (a + c - 1.0) * std::f64::consts::LN_2 + ln_beta_tail(a, c)
}

impl Sequential {
    #[must_use]
    pub fn new(plans: &[&EndpointPlan], sigma_dep: f64) -> Self {
        let endpoints = plans.iter().map(|plan| Watched::new(plan)).collect();
        let shift = LEAST_SHIFT.ln_1p().max(SHIFT_DEVIATIONS * std::f64::consts::SQRT_2 * sigma_dep);
        Self { endpoints, shift: shift.exp(), stopped: None }
    }

    /// Takes one block of both arms; blocks of an endpoint come in order. `from_ms` counts measured time over all segments.
    pub fn add(
        &mut self,
        endpoint: usize,
        (from_ms, len_ms): (u64, u64),
        candidate: Piece<'_>,
        control: Piece<'_>,
    ) {
        if let Some(watched) = self.endpoints.get_mut(endpoint).filter(|watched| watched.judged) {
            watched.add((from_ms, len_ms), candidate, control, self.shift);
        }
    }

    /// What ends the run at `at_ms` of measured time, once the evidence suffices.
    pub fn decide(&mut self, at_ms: u64) -> Option<&EarlyStop> {
        if self.stopped.is_none() {
            self.stopped = self.breaker(at_ms).or_else(|| self.evidence(at_ms));
        }
        self.stopped.as_ref()
    }

    fn breaker(&self, at_ms: u64) -> Option<EarlyStop> {
        self.endpoints.iter().find_map(|watched| {
            let (candidate, control) = watched.recent();
            let enough = candidate.requests.min(control.requests) >= BREAKER_REQUESTS;
            (enough && candidate.rate() - control.rate() >= BREAKER_SHARE).then(|| EarlyStop {
                endpoint: watched.name.clone(),
                metric: Metric::ErrorRate,
                evidence: 0.0,
                breaker: true,
                candidate: candidate.rate(),
                control: control.rate(),
                beyond_ms: None,
                at_ms,
            })
        })
    }

    /// The mean of e-values is one, whatever depends on what among them (Vovk & Wang 2021), and so is their process.
    fn evidence(&self, at_ms: u64) -> Option<EarlyStop> {
        let judged = || self.endpoints.iter().filter(|watched| watched.judged);
        let count = judged().count() * (METRICS.len() + 1);
        let mut strongest: Option<(f64, &Watched, usize)> = None;
        let mut sum = 0.0;
        for watched in judged() {
            for (place, e) in watched.e_values().into_iter().enumerate() {
                sum += e;
                if strongest.is_none_or(|(most, ..)| e > most) {
                    strongest = Some((e, watched, place));
                }
            }
        }
        let evidence = sum / count.max(1) as f64;
        let (_, watched, place) = strongest.filter(|_| evidence >= 1.0 / ALPHA)?;
        let stop = |metric, candidate, control, beyond_ms| EarlyStop {
            endpoint: watched.name.clone(),
            metric,
            evidence: evidence.min(1e12),
            breaker: false,
            candidate,
            control,
            beyond_ms,
            at_ms,
        };
        Some(match watched.tails.get(place) {
            Some(Some(tail)) => stop(
                METRICS[place],
                tail.candidate / tail.blocks,
                tail.control / tail.blocks,
                Some(tail.above_ms),
            ),
            _ => stop(Metric::ErrorRate, watched.errors[0].rate(), watched.errors[1].rate(), None),
        })
    }
}

impl Watched {
    fn new(plan: &EndpointPlan) -> Self {
        Self {
            name: plan.endpoint.clone(),
            judged: !plan.shown_only,
            ignore: plan.rules.ignore(),
            control: Histogram::default(),
            freeze_at_ms: FROZEN_FROM_MS,
            tails: [None; METRICS.len()],
            more: 0.0,
            fewer: 0.0,
            errors: [Counts::default(); 2],
            recent: Vec::new(),
        }
    }

    fn add(&mut self, (from_ms, len_ms): (u64, u64), candidate: Piece<'_>, control: Piece<'_>, shift: f64) {
        while from_ms >= self.freeze_at_ms {
            self.freeze(len_ms, control.requests, shift);
            self.freeze_at_ms *= 2;
        }
        if !candidate.response.is_empty() && !control.response.is_empty() {
            for tail in self.tails.iter_mut().flatten() {
                let (own, other) = (
                    candidate.response.share_above(tail.exceeds_ms),
                    control.response.share_above(tail.above_ms),
                );
                tail.sum += own - other;
                tail.squares += (own - other).powi(2);
                tail.candidate += candidate.response.share_above(tail.above_ms);
                tail.control += other;
                tail.blocks += 1.0;
            }
        }
        self.control.merge(control.response);
        let counts = |piece: Piece<'_>| Counts { requests: piece.requests, errors: piece.errors };
        let (own, other) = (counts(candidate), counts(control));
        self.errors[0].add(own);
        self.errors[1].add(other);
        let (n, m) = (own.requests as f64, other.requests as f64);
        if n > 0.0 && (n - m).abs() <= MOST_UNEQUAL * n.max(m) {
            self.more += f64::from(u8::from(own.errors > other.errors));
            self.fewer += f64::from(u8::from(own.errors < other.errors));
        }
        self.recent.retain(|(end_ms, ..)| end_ms + BREAKER_MS > from_ms + len_ms);
        self.recent.push((from_ms + len_ms, own, other));
    }

    /// Takes the thresholds from what the control answered so far; what was counted goes on.
    fn freeze(&mut self, block_ms: u64, block_requests: u64, shift: f64) {
        for (tail, metric) in self.tails.iter_mut().zip(METRICS) {
            let q = metric.quantile().unwrap_or(0.5);
            let Some(above_ms) = self.control.quantile_ms(q) else { continue };
            let known = tail
                .get_or_insert_with(|| Tail::new(q, block_requests.max(1) as f64, block_ms.max(1) as f64));
            known.above_ms = above_ms;
            known.exceeds_ms = above_ms * shift.max(self.ignore.ln_at(above_ms).exp());
        }
    }

    fn recent(&self) -> (Counts, Counts) {
        let (mut own, mut other) = (Counts::default(), Counts::default());
        for (_, candidate, control) in &self.recent {
            own.add(*candidate);
            other.add(*control);
        }
        (own, other)
    }

    /// Of each quantile, then of the errors.
    fn e_values(&self) -> [f64; METRICS.len() + 1] {
        let mut all = [1.0; METRICS.len() + 1];
        for (e, tail) in all.iter_mut().zip(&self.tails) {
            *e = tail.map_or(1.0, |tail| tail.ln_e().min(700.0).exp());
        }
        let sign = e_sign(self.more, self.fewer);
        let [own, other] = self.errors.map(Counts::rate);
        // What is not worth naming is not stopped for; a smaller e is as valid.
        all[METRICS.len()] = if own - other < negligible(other) { sign.min(1.0) } else { sign };
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the closed forms in double precision by another program, with Φ from `erfc` and I as a sum of binomial terms.
    #[test]
    fn known_answers() {
        let tail = |rho, sum, squares| Tail { rho, sum, squares, ..Tail::new(0.95, 50.0, 250.0) };
        for (rho, sum, squares, expected) in
            [(0.02, 0.0, 0.0, 0.0), (0.02, 0.8, 0.05, 4.636_945_033_3), (0.02, -0.5, 0.1, -1.758_594_868_2)]
        {
            let e = tail(rho, sum, squares).ln_e();
            assert!((e - expected).abs() < 1e-6, "{rho} {sum} {squares}: {e}");
        }
        for (more, fewer, expected) in [
            (0.0, 0.0, 0.0),
            (10.0, 0.0, 5.226_235_312_9),
            (6.0, 6.0, -1.075_895_262_4),
            (20.0, 4.0, 4.838_289_218_2),
        ] {
            let e = ln_e_sign(more, fewer);
            assert!((e - expected).abs() < 1e-6, "{more} {fewer}: {e}");
        }
        assert!((ln_phi(-40.0) - -804.608_442_01).abs() < 1e-3, "{}", ln_phi(-40.0));
    }
}
