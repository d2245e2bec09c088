use std::collections::BTreeMap;

use crate::metrics::Histogram;

/// The accepted runs of one endpoint, newest last. Baselines become these before they are judged against.
#[derive(Clone, Debug)]
pub struct Reference {
    /// `feature/step name`
    pub endpoint: String,
    pub digest: String,
    pub runs: Vec<ReferenceRun>,
    /// The best level that was ever accepted.
    pub anchor: Anchor,
}

/// One accepted run.
#[derive(Clone, Debug)]
pub struct ReferenceRun {
    /// Endpoints with equal ones were measured together.
    pub run_id: String,
    pub instance_id: String,
    pub build_id: Option<String>,
    /// When it was accepted, the same for all that were accepted together: UTC, RFC 3339.
    pub accepted_at: Option<String>,
    /// UTC, RFC 3339; empty where it is not known.
    pub recorded: String,
    /// The machine that sent the load: cores and CPU model.
    pub host: String,
    pub requests: u64,
    pub errors: u64,
    /// Within-run variance of ln `Q_p` for each quantile, in ten-thousandths.
    pub w2: BTreeMap<u16, f64>,
    pub response: Histogram,
}

impl ReferenceRun {
    /// See [`instance_key`].
    #[must_use]
    pub fn instance_key(&self) -> String {
        instance_key(&self.instance_id, self.build_id.as_deref())
    }

    /// What counts as one build. Where the target does not name its build, runs that were accepted together are one:
    /// what is accepted later may be of another level.
    #[must_use]
    pub fn group(&self) -> Option<String> {
        let build = self.build_id.as_ref().map(|build| format!("build {build}"));
        build.or_else(|| self.accepted_at.as_ref().map(|at| format!("the runs accepted {at}")))
    }
}

/// What makes an instance: a host name may outlive a build, but another build in its place is another instance.
#[must_use]
pub fn instance_key(instance: &str, build: Option<&str>) -> String {
    build.map_or_else(|| instance.to_owned(), |build| format!("{instance} ({build})"))
}

/// The best accepted level of an endpoint, against creep in steps that each were small; by quantile in ten-thousandths.
pub type Anchor = BTreeMap<u16, AnchorLevel>;

#[derive(Clone, Debug, PartialEq)]
pub struct AnchorLevel {
    /// ln `Q_p` in ms.
    pub ln: f64,
    /// Instances that it is the mean of.
    pub instances: usize,
    /// UTC, RFC 3339.
    pub recorded: String,
}
