use std::sync::Arc;

use super::token::Tokens;
use crate::metrics::Pairing;
use crate::random::pick;

/// The arms of a load, in the order of their scenarios: of a side-by-side load the control, then the candidate.
pub const CONTROL: usize = 0;
pub const CANDIDATE: usize = 1;

/// Where the requests of one arm go.
#[derive(Clone)]
pub struct ArmTarget {
    pub url: String,
    pub tokens: Arc<Tokens>,
}

const DRAWN: u64 = 0x0A53;

/// Which arm comes first at this arrival, where each goes to both; or which it goes to, of each two one to each. Drawn by the
/// scenario's seed, so that it is the same whatever worker or shard asks.
#[must_use]
pub fn drawn(pairing: Pairing, seed: u64, index: u64) -> usize {
    let draw = |of: u64| (pick(seed ^ DRAWN, of) >> 17) & 1;
    (match pairing {
        Pairing::Mirror => draw(index),
        Pairing::Split => draw(index / 2) ^ (index & 1),
    }) as usize
}

/// Whether an arm gets this arrival.
#[must_use]
pub fn takes(pairing: Option<Pairing>, arm: usize, seed: u64, index: u64) -> bool {
    match pairing {
        Some(Pairing::Split) => drawn(Pairing::Split, seed, index) == arm,
        Some(Pairing::Mirror) | None => true,
    }
}

/// Which part of a scenario's arrivals each arm gets.
#[must_use]
pub fn part(pairing: Option<Pairing>) -> f64 {
    if pairing == Some(Pairing::Split) { 0.5 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_drawn_evenly_and_each_pair_is_split() {
        for pairing in [Pairing::Mirror, Pairing::Split] {
            let first: usize = (0..10_000).map(|index| drawn(pairing, 7, index)).sum();
            assert!((4_800..5_200).contains(&first), "{pairing:?}: {first}");
        }
        for pair in 0..1_000 {
            let arms = [2 * pair, 2 * pair + 1].map(|index| drawn(Pairing::Split, 7, index));
            assert_eq!(arms.iter().sum::<usize>(), 1);
            assert!(takes(Some(Pairing::Split), arms[0], 7, 2 * pair));
            assert!(!takes(Some(Pairing::Split), arms[1], 7, 2 * pair));
        }
        assert!(
            (0..20).all(|index| takes(Some(Pairing::Mirror), CONTROL, 7, index) && takes(None, 0, 7, index))
        );
    }
}
