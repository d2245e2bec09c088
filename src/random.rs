//! Numbers that look random and are fixed by their seed: the same on every worker, look and shard.

/// `SplitMix64`'s output function (Steele, Lea, Flood 2014).
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `index`-th number of the stream `seed`.
#[must_use]
pub fn pick(seed: u64, index: u64) -> u64 {
    splitmix(seed ^ splitmix(index))
}

/// [`pick`], evenly spread over the open interval (0, 1).
#[must_use]
pub fn unit(seed: u64, index: u64) -> f64 {
    ((pick(seed, index) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}
