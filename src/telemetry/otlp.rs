//! Messages of OTLP 1.x (opentelemetry-proto, metrics), as far as they are used, and how figures become them. Names follow
//! OpenTelemetry's conventions for HTTP clients where these have one.

use prost::Message;

use super::exporter::Snapshot;
use super::series::{EndpointLabels, Exponential, SCHEMA, phase};

const CUMULATIVE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(oneof = "Data", tags = "5, 7, 10")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Data {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "10")]
    Exponential(ExponentialHistogram),
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberPoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct NumberPoint {
    #[prost(fixed64, tag = "2")]
    start_ns: u64,
    #[prost(fixed64, tag = "3")]
    time_ns: u64,
    #[prost(sfixed64, optional, tag = "6")]
    value: Option<i64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ExponentialHistogram {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<ExponentialPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ExponentialPoint {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "2")]
    start_ns: u64,
    #[prost(fixed64, tag = "3")]
    time_ns: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(sint32, tag = "6")]
    scale: i32,
    #[prost(message, optional, tag = "8")]
    positive: Option<Buckets>,
}

#[derive(Clone, PartialEq, Message)]
struct Buckets {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::Text(value.to_owned())) }) }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::Number(value)) }) }
}

fn attributes(labels: &EndpointLabels, warmup: bool) -> Vec<KeyValue> {
    let mut all = vec![
        text("loadgate.feature", &labels.feature),
        text("loadgate.step", &labels.step),
        text("loadgate.phase", phase(warmup)),
        text("http.request.method", &labels.method),
        text("url.template", &labels.url_template),
        text("server.address", &labels.server),
        number("server.port", i64::from(labels.port)),
    ];
    all.extend(labels.arm.map(|arm| text("loadgate.arm", arm)));
    all
}

/// The body of a request to `/v1/metrics`.
pub fn export(snapshot: &Snapshot) -> Vec<u8> {
    let (start_ns, time_ns) = (snapshot.start_ns, snapshot.now_ns);
    let all = || snapshot.all.series.iter().map(|((i, warmup), own)| (&snapshot.labels[*i], *warmup, own));
    let point = |labels: &EndpointLabels, warmup: bool, own: &Exponential| {
        let (first, last) = (own.buckets.keys().next().copied(), own.buckets.keys().last().copied());
        let range = first.zip(last).map(|(first, last)| first..=last);
        ExponentialPoint {
            attributes: attributes(labels, warmup),
            start_ns,
            time_ns,
            count: own.count,
            sum: Some(own.sum_s),
            scale: SCHEMA,
            // Bucket i of OTLP lies above base^i, Prometheus' below it.
            positive: range.map(|range| Buckets {
                offset: range.start() - 1,
                counts: range.map(|i| own.buckets.get(&i).copied().unwrap_or(0)).collect(),
            }),
        }
    };
    let histogram = |name: &str, description: &str, points: Vec<ExponentialPoint>| Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Exponential(ExponentialHistogram { data_points: points, temporality: CUMULATIVE })),
    };
    let count = |value: u64, attributes: Vec<KeyValue>| NumberPoint {
        start_ns,
        time_ns,
        value: Some(value as i64),
        attributes,
    };
    let sum = |name: &str, unit: &str, description: &str, data_points: Vec<NumberPoint>| Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(Data::Sum(Sum { data_points, temporality: CUMULATIVE, is_monotonic: true })),
    };
    let mut errors = Vec::new();
    for (labels, warmup, own) in all() {
        for (class, failed) in &own.errors {
            let mut attributes = attributes(labels, warmup);
            attributes.push(text("error.type", class));
            errors.push(count(*failed, attributes));
        }
    }
    let metrics = vec![
        histogram(
            "http.client.request.duration",
            "From sending a request to the last byte of its answer",
            all().map(|(labels, warmup, own)| point(labels, warmup, &own.service)).collect(),
        ),
        histogram(
            "loadgate.response.duration",
            "From the instant at which a request should have gone out to the last byte of its answer",
            all().map(|(labels, warmup, own)| point(labels, warmup, &own.response)).collect(),
        ),
        sum(
            "loadgate.requests",
            "{request}",
            "Requests that were sent",
            all().map(|(labels, warmup, own)| count(own.requests, attributes(labels, warmup))).collect(),
        ),
        sum("loadgate.errors", "{request}", "Requests that failed", errors),
        Metric {
            name: "loadgate.in_flight".to_owned(),
            description: "Requests that wait for their answer".to_owned(),
            unit: "{request}".to_owned(),
            data: Some(Data::Gauge(Gauge { data_points: vec![count(snapshot.in_flight, Vec::new())] })),
        },
    ];
    let mut resource = vec![
        text("service.name", "loadgate"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", &snapshot.run_id),
        text("loadgate.env", &snapshot.env),
    ];
    resource.extend(snapshot.service.iter().map(|service| text("loadgate.service", service)));
    let scope = Scope { name: "loadgate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    Export {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: resource }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics }],
        }],
    }
    .encode_to_vec()
}
