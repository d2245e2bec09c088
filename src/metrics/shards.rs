use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::generator::Environment;
use super::run_record::{EndpointRecord, LookRecord, RunRecord};

/// Every `count`-th arrival or virtual user, from `index` on (0-based).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    pub index: u64,
    #[serde(deserialize_with = "count_of_shards")]
    pub count: u64,
}

/// A load has no more of them.
pub const MOST_SHARDS: u64 = 10_000;

fn count_of_shards<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let count = u64::deserialize(deserializer)?;
    if (1..=MOST_SHARDS).contains(&count) {
        return Ok(count);
    }
    Err(D::Error::custom(format!("a load has 1 to {MOST_SHARDS} shards, not {count}")))
}

/// What all shards together plan of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WholePlan {
    pub rate_per_s: f64,
    pub planned: u64,
}

/// How far this machine's clock is ahead of the target's, as the `Date` headers of its responses tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockRecord {
    pub ahead_ms: f64,
    /// It is known to this much, either way.
    pub within_ms: f64,
}

/// The shards that a record was put together from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MergedRecord {
    /// How many there should be.
    #[serde(deserialize_with = "count_of_shards")]
    pub count: u64,
    /// By index.
    pub shards: Vec<ShardPart>,
}

/// What is known of one shard, beside the measurements that it has in common with the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShardPart {
    pub index: u64,
    pub id: String,
    pub started: String,
    pub label: Option<String>,
    pub environment: Environment,
    pub clock: Option<ClockRecord>,
    /// A functional step failed, so that no load was sent.
    pub broken: bool,
    pub interrupted: Option<String>,
    pub not_ready: Option<String>,
    pub setup_failed: Option<String>,
    pub probe_failed: Option<String>,
    pub looks: Vec<ShardLook>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShardLook {
    /// Without its endpoints, blocks and readings.
    pub look: LookRecord,
    /// One for each endpoint.
    pub sent: Vec<SentRecord>,
}

/// How the sending of one endpoint went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SentRecord {
    /// Of this shard alone.
    pub planned: u64,
    pub requests: u64,
    pub skipped: u64,
    pub cut: u64,
    pub lag_p99_us: Option<f64>,
    pub p50_ns: Option<u64>,
}

impl SentRecord {
    #[must_use]
    pub fn of(endpoint: &EndpointRecord, planned: u64) -> Self {
        Self {
            planned,
            requests: endpoint.requests,
            skipped: endpoint.skipped,
            cut: endpoint.cut,
            lag_p99_us: endpoint.lag_p99_us,
            p50_ns: endpoint.response.quantile_ns(0.5),
        }
    }
}

impl MergedRecord {
    #[must_use]
    pub fn missing(&self) -> Vec<u64> {
        let there: BTreeSet<u64> = self.shards.iter().map(|part| part.index).collect();
        (0..self.count).filter(|index| !there.contains(index)).collect()
    }

    /// `3/8`, as it was given with `--shard`.
    #[must_use]
    pub fn name(&self, index: u64) -> String {
        format!("{index}/{}", self.count)
    }

    /// How far apart the shards' measured windows began, by their clocks as far as these were compared with the target's; and
    /// how well that is known, where all clocks were compared.
    #[must_use]
    pub fn spread_ms(&self) -> Option<(f64, Option<f64>)> {
        let compared = self.shards.iter().all(|part| part.clock.is_some());
        let began = self.shards.iter().filter_map(|part| {
            let look = part.looks.first()?;
            let own: Timestamp = look.look.window_started.as_ref()?.parse().ok()?;
            let ahead_ms = part.clock.filter(|_| compared).map_or(0.0, |clock| clock.ahead_ms);
            Some(own.as_nanosecond() as f64 / 1e6 - ahead_ms)
        });
        let (mut first, mut last, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0);
        for at_ms in began {
            (first, last, count) = (first.min(at_ms), last.max(at_ms), count + 1);
        }
        let mut within: Vec<f64> =
            self.shards.iter().filter_map(|part| Some(part.clock?.within_ms)).collect();
        within.sort_by(f64::total_cmp);
        // Two ends, each off by no more than the worst two.
        let within_ms = compared.then(|| within.iter().rev().take(2).sum());
        (count > 1).then_some((last - first, within_ms))
    }
}

impl RunRecord {
    /// A shard's record in the form in which it is put together with others.
    pub(super) fn as_part(&self, shard: ShardRecord) -> ShardPart {
        let planned: Vec<u64> =
            self.scenarios.iter().flat_map(|s| &s.endpoints).map(|plan| plan.planned).collect();
        let looks = self.runs.iter().map(|look| ShardLook {
            sent: look
                .endpoints
                .iter()
                .zip(&planned)
                .map(|(endpoint, planned)| SentRecord::of(endpoint, *planned))
                .collect(),
            look: LookRecord {
                endpoints: Vec::new(),
                blocks: Vec::new(),
                readings: Vec::new(),
                notes: Vec::new(),
                remarks: Vec::new(),
                warmup: super::run_record::WarmupRecord {
                    response: None,
                    first: None,
                    ..look.warmup.clone()
                },
                ..look.clone()
            },
        });
        ShardPart {
            index: shard.index,
            id: self.id.clone(),
            started: self.started.clone(),
            label: self.label.clone(),
            environment: self.environment.clone(),
            clock: self.clock,
            broken: self.smoke.as_ref().is_some_and(|smoke| !smoke.passed()),
            interrupted: self.interrupted.clone(),
            not_ready: self.not_ready.clone(),
            setup_failed: self.setup_failed.clone(),
            probe_failed: self.probe_failed.clone(),
            looks: looks.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lacks of 2⁵⁰ shards was once listed.
    #[test]
    fn a_load_has_no_more_shards_than_can_be() {
        let read =
            |count: u64| serde_json::from_str::<ShardRecord>(&format!("{{\"index\":0,\"count\":{count}}}"));
        assert!(read(1).is_ok() && read(MOST_SHARDS).is_ok());
        assert!(read(0).is_err() && read(1 << 50).is_err());
        assert!(serde_json::from_str::<MergedRecord>("{\"count\":1125899906842624,\"shards\":[]}").is_err());
    }
}
