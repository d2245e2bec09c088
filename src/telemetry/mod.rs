//! What a load measures, told while it runs to those who collect figures: OTLP, Prometheus' remote write, a page to scrape.
//!
//! `series` adds blocks up, without a clock; `otlp`, `remote_write` and `text` write the same figures in their own forms; `exporter`
//! sends them, on a thread that only runs while no other wants to. That it cannot changes no verdict.

mod exporter;
mod otlp;
mod page;
mod remote_write;
mod series;
mod text;

pub use exporter::{Collector, Telemetry, TelemetryOptions};
pub use series::EndpointLabels;
