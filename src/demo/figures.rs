use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::faults::Fault;
use super::server::Demo;
use crate::machine;

/// What the demo tells of itself.
struct Figures {
    /// Since the start, of all of this machine.
    cpu: f64,
    cpu_s: f64,
    memory: f64,
    connections: u64,
    served: u64,
    failed: u64,
    /// How much later than it was true, where telemetry lags.
    late: Duration,
}

impl Demo {
    fn figures(&self) -> Figures {
        let up_s = self.started.elapsed().as_secs_f64().max(1e-3);
        let cpu_s = machine::process_cpu_s() - self.cpu_at_start;
        let active = self.active.load(Ordering::Relaxed);
        let (mut connections, mut late) = (8 + (active / 8).min(40), Duration::ZERO);
        for (fault, since) in self.faults.read().expect("no panics under this lock").iter() {
            match fault {
                Fault::DbSpike { after, length } if (*after..*after + *length).contains(&since.elapsed()) => {
                    connections += 100;
                }
                Fault::LateTelemetry { by } => late = *by,
                _ => {}
            }
        }
        Figures {
            cpu: cpu_s / up_s / machine::cores() as f64,
            cpu_s,
            memory: machine::memory_share().unwrap_or(0.0),
            connections,
            served: self.served.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            late,
        }
    }

    /// The figures as JSON, with the time of which they are.
    pub fn stats(&self) -> Value {
        let own = self.figures();
        json!({
            "at": (jiff::Timestamp::now() - own.late).to_string(),
            "cpu": own.cpu,
            "memory": own.memory,
            "db": { "connections": own.connections },
            "requests": own.served,
            "errors": own.failed,
        })
    }

    /// Prometheus text exposition.
    pub fn metrics(&self) -> String {
        let own = self.figures();
        let at = match own.late {
            Duration::ZERO => String::new(),
            late => format!(" {}", (jiff::Timestamp::now() - late).as_millisecond()),
        };
        let mut text = String::new();
        for (name, kind, help, value) in [
            (
                "demo_cpu_ratio",
                "gauge",
                "Share of this machine's CPU since the start.",
                format!("{:.4}", own.cpu),
            ),
            (
                "process_cpu_seconds_total",
                "counter",
                "CPU seconds of this process.",
                format!("{:.3}", own.cpu_s),
            ),
            ("demo_memory_ratio", "gauge", "Share of this machine's memory.", format!("{:.4}", own.memory)),
            ("demo_db_connections", "gauge", "Active database connections.", own.connections.to_string()),
            ("demo_requests_total", "counter", "Requests answered.", own.served.to_string()),
            ("demo_errors_total", "counter", "Requests answered by an error.", own.failed.to_string()),
        ] {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}{at}\n");
        }
        text
    }
}
