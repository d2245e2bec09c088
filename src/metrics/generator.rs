use serde::{Deserialize, Serialize};

/// The machine that generated the load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub cpu_model: String,
    pub cores: usize,
    pub kernel: String,
    pub ci_run: Option<String>,
    pub git_commit: Option<String>,
}

impl Environment {
    /// What makes two machines of one kind; empty where it is not known.
    #[must_use]
    pub fn host_class(&self) -> String {
        if self.cores == 0 { String::new() } else { format!("{} × {}", self.cores, self.cpu_model) }
    }
}

/// How the load generator itself fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorRecord {
    pub workers: usize,
    pub dropped_arrivals: u64,
    pub send_lag_p99_us: Option<f64>,
    /// CPU share of the busiest worker thread.
    pub cpu_busy: Option<f64>,
    /// Connections or sockets that this machine itself refused (descriptors, ports).
    pub local_failures: u64,
    /// Arrivals were dropped since the limit of open files allowed no more requests in flight.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub few_files: bool,
    /// Arrivals that were still waiting to be sent when the window had ended.
    #[serde(default)]
    pub unsent_arrivals: u64,
}
