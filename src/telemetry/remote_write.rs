//! Messages of Prometheus' remote write 1.0 (prompb), as far as they are used, and how figures become them: classic buckets for
//! every receiver, native histograms for those that know them.

use prost::Message;

use super::exporter::Snapshot;
use super::series::{Exponential, SCHEMA};
use super::text::{BOUNDS, Figure, figures};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Native>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Native {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Below this everything is zero to Prometheus; no answer is so fast.
const ZERO_THRESHOLD: f64 = 1e-9;

fn native(own: &Exponential, timestamp_ms: i64) -> Native {
    let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut last, mut before): (Option<i32>, i64) = (None, 0);
    for (number, count) in &own.buckets {
        match (last, spans.last_mut()) {
            (Some(last), Some(span)) if *number == last + 1 => span.length += 1,
            (last, _) => {
                spans.push(Span { offset: last.map_or(*number, |last| number - last - 1), length: 1 });
            }
        }
        deltas.push(*count as i64 - before);
        (last, before) = (Some(*number), *count as i64);
    }
    Native {
        count: Some(own.count),
        sum: own.sum_s,
        schema: SCHEMA,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: Some(0),
        positive_spans: spans,
        positive_deltas: deltas,
        timestamp_ms,
    }
}

/// The compressed body of a request.
pub fn write_request(snapshot: &Snapshot, with_native: bool) -> Vec<u8> {
    let timestamp_ms = (snapshot.now_ns / 1_000_000) as i64;
    let labels = |name: &str, own: &[(&'static str, String)], more: Option<(&str, String)>| {
        let mut all: Vec<Label> = own
            .iter()
            .map(|(name, value)| Label { name: (*name).to_owned(), value: value.clone() })
            .chain(more.map(|(name, value)| Label { name: name.to_owned(), value }))
            .chain([
                Label { name: "__name__".into(), value: name.to_owned() },
                Label { name: "job".into(), value: "loadgate".into() },
                Label { name: "instance".into(), value: snapshot.run_id.clone() },
            ])
            .filter(|label| !label.value.is_empty())
            .collect();
        // The receiver wants them so.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    };
    let plain = |labels: Vec<Label>, value: f64| TimeSeries {
        labels,
        samples: vec![Sample { value, timestamp_ms }],
        histograms: Vec::new(),
    };
    let mut timeseries = Vec::new();
    for (name, own, figure) in figures(snapshot) {
        match figure {
            Figure::Number(value) => timeseries.push(plain(labels(name, &own, None), value)),
            Figure::Histogram(histogram) => {
                let bucket = format!("{name}_bucket");
                for quarter in BOUNDS {
                    let bound = 2f64.powf(f64::from(quarter) / 4.0);
                    let le = Some(("le", format!("{bound}")));
                    timeseries
                        .push(plain(labels(&bucket, &own, le), histogram.at_most_quarter(quarter) as f64));
                }
                let le = Some(("le", "+Inf".to_owned()));
                timeseries.push(plain(labels(&bucket, &own, le), histogram.count as f64));
                timeseries.push(plain(labels(&format!("{name}_sum"), &own, None), histogram.sum_s));
                timeseries.push(plain(labels(&format!("{name}_count"), &own, None), histogram.count as f64));
                if with_native {
                    timeseries.push(TimeSeries {
                        labels: labels(name, &own, None),
                        samples: Vec::new(),
                        histograms: vec![native(histogram, timestamp_ms)],
                    });
                }
            }
        }
    }
    let bytes = WriteRequest { timeseries }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&bytes).unwrap_or_default()
}
