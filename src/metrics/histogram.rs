use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::interchange::decoded;

/// Latencies in nanoseconds, 1 µs to 1 h, three significant digits (with the interval log the only door to `hdrhistogram`).
///
/// A block holds a few dozen samples, for which a full array of counts (192 KiB) would be waste; so counts are kept as
/// pairs until there are many of them. What is recorded is the same either way.
#[derive(Clone)]
pub struct Histogram(Counts);

#[derive(Clone)]
enum Counts {
    /// The lowest value of each bucket, and its count.
    Sparse(BTreeMap<u64, u64>),
    Dense(Box<hdrhistogram::Histogram<u64>>),
}

pub(super) const LOWEST_NS: u64 = 1_000;
pub(super) const HIGHEST_NS: u64 = 3_600_000_000_000;
pub(super) const DIGITS: u8 = 3;
const MOST_PAIRS: usize = 1024;

impl Default for Histogram {
    fn default() -> Self {
        Self(Counts::Sparse(BTreeMap::new()))
    }
}

/// The lowest value that shares its bucket with `ns`: 2,048 buckets a binary order of magnitude, in units of 512 ns.
fn bucket(ns: u64) -> u64 {
    let ns = ns.min(HIGHEST_NS);
    let shift = (ns | 1).ilog2().saturating_sub(10).max(9);
    ns >> shift << shift
}

/// The highest value that shares a bucket with its lowest one.
fn highest(lowest: u64) -> u64 {
    lowest + (1 << (lowest | 1).ilog2().saturating_sub(10).max(9)) - 1
}

/// How many buckets there are, from 0 to an hour.
pub const BUCKETS: usize = 25_000;

/// The number of the bucket whose lowest value is given; numbers rise with values.
fn number(lowest: u64) -> usize {
    let shift = (lowest | 1).ilog2().saturating_sub(10).max(9);
    ((u64::from(shift) - 9) * 1024 + (lowest >> shift)) as usize
}

/// The lowest value of bucket `number`.
fn lowest(number: usize) -> u64 {
    let (shift, within) = if number < 2048 { (9, number) } else { (number / 1024 + 8, number % 1024 + 1024) };
    (within as u64) << shift
}

/// The highest value of bucket `number`, in milliseconds.
#[must_use]
pub fn bucket_ms(number: usize) -> f64 {
    highest(lowest(number)) as f64 / 1e6
}

impl Histogram {
    /// Each bucket's number with its count, in rising order, where there is any.
    pub fn each_bucket(&self, mut visit: impl FnMut(usize, u64)) {
        match &self.0 {
            Counts::Sparse(pairs) => pairs.iter().for_each(|(value, count)| visit(number(*value), *count)),
            Counts::Dense(histogram) => histogram
                .iter_recorded()
                .for_each(|v| visit(number(bucket(v.value_iterated_to())), v.count_at_value())),
        }
    }

    pub fn record(&mut self, ns: u64) {
        self.record_n(ns, 1);
    }

    fn record_n(&mut self, ns: u64, count: u64) {
        match &mut self.0 {
            Counts::Dense(histogram) => histogram.saturating_record_n(ns, count),
            Counts::Sparse(pairs) => {
                *pairs.entry(bucket(ns)).or_default() += count;
                if pairs.len() > MOST_PAIRS {
                    self.0 = Counts::Dense(Box::new(self.dense().into_owned()));
                }
            }
        }
    }

    pub(super) fn dense(&self) -> Cow<'_, hdrhistogram::Histogram<u64>> {
        match &self.0 {
            Counts::Dense(histogram) => Cow::Borrowed(histogram),
            Counts::Sparse(pairs) => {
                let mut histogram = hdrhistogram::Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
                    .expect("constant bounds are valid");
                for (value, count) in pairs {
                    histogram.saturating_record_n(*value, *count);
                }
                Cow::Owned(histogram)
            }
        }
    }

    fn pairs(&self) -> BTreeMap<u64, u64> {
        match &self.0 {
            Counts::Sparse(pairs) => pairs.clone(),
            Counts::Dense(histogram) => histogram
                .iter_recorded()
                .map(|v| (bucket(v.value_iterated_to()), v.count_at_value()))
                .collect(),
        }
    }

    pub fn merge(&mut self, other: &Self) {
        if let (Counts::Dense(own), Counts::Dense(other)) = (&mut self.0, &other.0) {
            // Both have the same bounds, the only thing that could be wrong here.
            let added = own.add(&**other);
            debug_assert!(added.is_ok());
            return;
        }
        match &other.0 {
            Counts::Sparse(pairs) => pairs.iter().for_each(|(value, count)| self.record_n(*value, *count)),
            Counts::Dense(_) => {
                other.pairs().into_iter().for_each(|(value, count)| self.record_n(value, count));
            }
        }
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            Counts::Sparse(pairs) => pairs.values().sum(),
            Counts::Dense(histogram) => histogram.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The value at quantile `q` in nanoseconds; `None` without samples.
    #[must_use]
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        match &self.0 {
            Counts::Dense(histogram) => (!histogram.is_empty()).then(|| histogram.value_at_quantile(q)),
            Counts::Sparse(pairs) => {
                let rank = rank(q, self.count());
                let mut seen = 0;
                let mut passed = pairs.iter().skip_while(|(_, count)| {
                    seen += **count;
                    seen < rank
                });
                passed.next().map(|(lowest, _)| if q == 0.0 { *lowest } else { highest(*lowest) })
            }
        }
    }

    /// The value at quantile `q` in milliseconds; `None` without samples.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.quantile_ns(q).map(|ns| ns as f64 / 1e6)
    }

    /// The share of samples above `ms`, to the bucket that `ms` lies in; 0 without samples.
    #[must_use]
    pub fn share_above(&self, ms: f64) -> f64 {
        let last = number(bucket((ms * 1e6).round().max(0.0) as u64));
        let (mut above, mut all) = (0u64, 0u64);
        self.each_bucket(|number, count| {
            all += count;
            above += if number > last { count } else { 0 };
        });
        if all == 0 { 0.0 } else { above as f64 / all as f64 }
    }

    #[must_use]
    pub fn mean_ms(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.dense().mean() / 1e6)
    }

    #[must_use]
    pub fn max_ms(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.dense().max() as f64 / 1e6)
    }
}

/// Which of `count` values in rising order stands for quantile `q`, from 1 on.
#[must_use]
pub fn rank(q: f64, count: u64) -> u64 {
    ((q.min(1.0) * count as f64).ceil() as u64).max(1)
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.pairs() == other.pairs()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram({} samples, max {:?} ms)", self.count(), self.max_ms())
    }
}

/// V2 deflate in base64, the interchange form of the `HdrHistogram` family; an empty one is the empty string.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            return serializer.serialize_str("");
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&*self.dense(), &mut bytes)
            .map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bytes = BASE64.decode(&text).map_err(serde::de::Error::custom)?;
        let mut own = Self::default();
        for (number, count) in decoded(&bytes).map_err(serde::de::Error::custom)? {
            own.record_n(lowest(number), count);
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_to_the_count() {
        let mut histogram = Histogram::default();
        (1..=10_000u64).for_each(|i| histogram.record(i * 10_007));
        let text = serde_json::to_string(&histogram).unwrap();
        let back: Histogram = serde_json::from_str(&text).unwrap();
        assert_eq!(back, histogram);
        assert_eq!(serde_json::from_str::<Histogram>("\"\"").unwrap().count(), 0);
        assert!(serde_json::from_str::<Histogram>("\"AAAA\"").is_err());
    }

    /// Pairs and the full array give the same figures, whatever is merged into what.
    #[test]
    fn sparse_and_dense_agree() {
        let value = |i: u64| 900 + (i * i * 7_919) % 900_000_000_000;
        let (mut sparse, mut reference) = (
            Histogram::default(),
            hdrhistogram::Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).unwrap(),
        );
        for i in 0..900 {
            sparse.record(value(i));
            reference.saturating_record(value(i));
        }
        assert!(matches!(sparse.0, Counts::Sparse(_)));
        assert_eq!(*sparse.dense(), reference);
        let mut dense = Histogram(Counts::Dense(Box::new(reference.clone())));
        assert_eq!(sparse, dense);
        for q in [0.0, 0.5, 0.95, 0.999, 1.0] {
            assert_eq!(sparse.quantile_ns(q), dense.quantile_ns(q));
        }
        let mut numbered = Vec::new();
        sparse.each_bucket(|number, count| numbered.push((number, count)));
        let mut last = None;
        sparse.pairs().into_iter().zip(numbered).for_each(|((lowest, count), (number, seen))| {
            assert!(last < Some(number) && number < BUCKETS && seen == count);
            assert_eq!(bucket_ms(number), highest(lowest) as f64 / 1e6);
            last = Some(number);
        });
        dense.merge(&sparse);
        let mut twice = sparse.clone();
        twice.merge(&dense);
        sparse.merge(&sparse.clone());
        assert_eq!(sparse, dense);
        assert_eq!(twice.count(), 2_700);
        let mut many = Histogram::default();
        (0..20_000).for_each(|i| many.record(value(i)));
        assert!(matches!(many.0, Counts::Dense(_)) && many.count() == 20_000);
    }

    #[test]
    fn three_digits_hold() {
        let mut histogram = Histogram::default();
        histogram.record(123_456_789);
        let read = histogram.quantile_ns(0.5).unwrap() as f64;
        assert!((read / 123_456_789.0 - 1.0).abs() < 1e-3);
    }
}
