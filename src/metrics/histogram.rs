use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Latencies in nanoseconds, 1 µs to 1 h, three significant digits (the only door to `hdrhistogram`).
#[derive(Clone, PartialEq)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;

impl Default for Histogram {
    fn default() -> Self {
        Self(
            hdrhistogram::Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3)
                .expect("constant bounds are valid"),
        )
    }
}

impl Histogram {
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub fn merge(&mut self, other: &Self) {
        // All histograms share their bounds, the only thing that could be wrong here.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }

    /// What is left without `part`; `None` if `part` was never merged in.
    #[must_use]
    pub fn without(&self, part: &Self) -> Option<Self> {
        let mut rest = self.clone();
        rest.0.subtract(&part.0).ok()?;
        Some(rest)
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at quantile `q` in nanoseconds; `None` without samples.
    #[must_use]
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        (!self.is_empty()).then(|| self.0.value_at_quantile(q))
    }

    /// The value at quantile `q` in milliseconds; `None` without samples.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.quantile_ns(q).map(|ns| ns as f64 / 1e6)
    }

    #[must_use]
    pub fn mean_ms(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.0.mean() / 1e6)
    }

    #[must_use]
    pub fn max_ms(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.0.max() as f64 / 1e6)
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram({} samples, max {} ns)", self.count(), self.0.max())
    }
}

/// V2 deflate in base64, the interchange form of the `HdrHistogram` family; an empty one is the empty string.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            return serializer.serialize_str("");
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
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
        let read: hdrhistogram::Histogram<u64> =
            HdrDeserializer::new().deserialize(&mut bytes.as_slice()).map_err(serde::de::Error::custom)?;
        let mut own = Self::default();
        own.0.add(&read).map_err(serde::de::Error::custom)?;
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

    #[test]
    fn three_digits_hold() {
        let mut histogram = Histogram::default();
        histogram.record(123_456_789);
        let read = histogram.quantile_ns(0.5).unwrap() as f64;
        assert!((read / 123_456_789.0 - 1.0).abs() < 1e-3);
    }
}
