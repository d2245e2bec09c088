use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::histogram::Histogram;
use super::run_record::{LookRecord, RunRecord};
use crate::units::percent_encoded;

const CONTROL: &str = "control!";

/// The measured window as an `HdrHistogram` interval log (V2, nanoseconds), which its readers in any language
/// understand. An interval is a block of an endpoint; its tag is the endpoint's name, percent-encoded. What failed fast
/// stands in one interval of its own an endpoint and look, tagged `NAME!errors`, so that it improves no percentile and
/// the counts of both are all requests. Those of a control have `control!` before their names.
///
/// # Errors
/// If the histograms cannot be written to memory, which would be a fault here.
pub fn interval_log(record: &RunRecord) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let control = record.control.iter().flat_map(|control| &control.runs).map(|look| (look, CONTROL));
    let looks: Vec<(&LookRecord, &str)> = record.runs.iter().map(|look| (look, "")).chain(control).collect();
    let starts: Vec<f64> =
        looks.iter().map(|(look, _)| unix_s(&look.started) + look.warmup.length_ms as f64 / 1e3).collect();
    let base_s = starts.first().copied().unwrap_or_else(|| unix_s(&record.started));
    let base = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(base_s);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!("loadgate {} run {}; response times in ns", record.loadgate_version, record.id))
        .with_start_time(base)
        .with_base_time(base)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut out, &mut serializer)?;
    for ((look, arm), start_s) in looks.into_iter().zip(starts) {
        let at = |ms: u64| Duration::from_secs_f64((start_s - base_s).max(0.0) + ms as f64 / 1e3);
        let mut intervals: Vec<(u64, u64, String, &Histogram)> = look
            .blocks
            .iter()
            .filter(|block| !block.histogram.is_empty())
            .filter_map(|block| {
                let endpoint = look.endpoints.get(block.endpoint)?;
                let name = format!("{arm}{}", percent_encoded(&endpoint.endpoint));
                Some((block.start_ms, block.len_ms, name, &block.histogram))
            })
            .collect();
        intervals.extend(look.endpoints.iter().filter(|e| !e.error.is_empty()).map(|endpoint| {
            (
                0,
                look.window_ms,
                format!("{arm}{}!errors", percent_encoded(&endpoint.endpoint)),
                &endpoint.error,
            )
        }));
        intervals.sort_by_key(|(start_ms, ..)| *start_ms);
        for (start_ms, len_ms, name, histogram) in intervals {
            let failed = |e| std::io::Error::other(format!("{e:?}"));
            log.write_histogram(
                &*histogram.dense(),
                at(start_ms),
                Duration::from_millis(len_ms),
                Tag::new(&name),
            )
            .map_err(failed)?;
        }
    }
    drop(log);
    Ok(out)
}

/// Seconds since 1970; 0 for what is no timestamp, or was before.
fn unix_s(text: &str) -> f64 {
    text.parse::<jiff::Timestamp>().map_or(0.0, |at| at.as_microsecond() as f64 / 1e6).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both once ended the program.
    #[test]
    fn a_log_is_made_of_blocks_of_no_endpoint_and_of_runs_before_1970() {
        let text = include_str!("../../tests/fixtures/formats/run-1.json");
        let mut record: RunRecord = serde_json::from_str(text).unwrap();
        record.runs[0].started = "1969-01-01T00:00:00Z".into();
        let whole = interval_log(&record).unwrap();
        record.runs[0].blocks[0].endpoint = 99;
        let lines = |log: &[u8]| String::from_utf8_lossy(log).lines().count();
        assert_eq!(lines(&interval_log(&record).unwrap()), lines(&whole) - 1);
    }
}
