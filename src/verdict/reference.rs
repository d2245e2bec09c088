use std::collections::BTreeMap;

use crate::metrics::Histogram;

/// The accepted runs of one endpoint, newest last. Baselines become these before they are judged against.
#[derive(Clone, Debug)]
pub struct Reference {
    pub endpoint: String,
    pub digest: String,
    pub runs: Vec<ReferenceRun>,
}

/// One accepted run.
#[derive(Clone, Debug)]
pub struct ReferenceRun {
    pub instance_id: String,
    pub build_id: Option<String>,
    pub requests: u64,
    pub errors: u64,
    /// Within-run variance of ln `Q_p` for each quantile, in ten-thousandths.
    pub w2: BTreeMap<u16, f64>,
    pub response: Histogram,
}
