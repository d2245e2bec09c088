use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::notify::Notify;
use super::publish::Outlet;
use crate::baseline::Library;
use crate::credentials::is_telling;
use crate::engine::Slice;
use crate::error::{Error, Result};
use crate::gate::{GateRequest, TargetSpec, scenario_records};
use crate::metrics::{JudgementPlan, Repeat, ShardRecord};
use crate::report::{Detail, Paint, Screen, inert};
use crate::scenario::{LoadOptions, LoadPlan, Loaded, Scenario, Watching, load};
use crate::secrets::{Secrets, credentials_in, known};
use crate::store::Shelf;
#[cfg(feature = "telemetry")]
use crate::telemetry::TelemetryOptions;
use crate::transport::{Kind, Signature, TransportOptions};
use crate::units::Rate;
use crate::verdict::{Allow, Reference, never_seen};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// An unresolved comparison passes and says what is not excluded: for pull requests.
    Regression,
    /// An unresolved comparison holds: for promotion.
    Safety,
}

impl Gate {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Safety => "safety",
        }
    }
}

/// The names of the transports, as digests hold them.
pub const TRANSPORTS: [&str; 4] = ["wire", "http", "wire, HTTP/2", "http, HTTP/2"];

/// What the commands that measure have in common.
#[derive(Clone, Debug)]
pub struct Session {
    pub paths: Vec<PathBuf>,
    pub vars: Vec<(String, String)>,
    /// The same for scenarios that have such a variable; what stands in `vars` counts before it.
    pub defaults: Vec<(String, String)>,
    pub only: Vec<String>,
    /// A file of probes, alerts and webhooks for all features.
    pub probes: Option<PathBuf>,
    /// The same from a plan, with its secrets.
    pub watching: Option<Box<(Watching, Secrets)>>,
    /// Of the project file.
    pub secrets: Secrets,
    pub target: Option<TargetSpec>,
    pub env: Option<String>,
    pub baselines: Shelf,
    pub out: Option<PathBuf>,
    pub gate: Gate,
    pub repeat: Repeat,
    /// No further look is begun that would end after it.
    pub budget: Option<Duration>,
    pub restart_hook: Option<String>,
    /// Baselines from another kind of machine void the run.
    pub same_host: bool,
    /// An endpoint without a baseline holds even where it has no rule to compare by.
    pub require_baseline: bool,
    /// How many of the newest baseline instances count.
    pub instances: usize,
    pub wait: Option<Duration>,
    pub allow: Allow,
    pub kind: Option<Kind>,
    pub transport: TransportOptions,
    /// All features together send no more than this to another machine.
    pub max_rate: Option<Rate>,
    pub shard: Option<ShardRecord>,
    /// Whether each request of the load carries a `traceparent`.
    pub traced: bool,
    /// When the first load begins, if not at once.
    pub start_at: Option<Timestamp>,
    #[cfg(feature = "telemetry")]
    pub telemetry: TelemetryOptions,
    pub rate: Option<Rate>,
    /// What people call this run.
    pub label: Option<String>,
    /// Of the project.
    pub service: Option<String>,
    /// Others are measured by the same invocation.
    pub one_of_many: bool,
    /// Whether webhooks are told.
    pub notify: Notify,
    pub quiet: bool,
    pub no_color: bool,
}

impl Session {
    pub fn target(&self) -> Result<TargetSpec> {
        self.target.clone().ok_or_else(|| {
            Error::usage_hint("there is no target", "give --target URL, or --demo for the embedded one")
        })
    }

    pub fn loaded(&self) -> Result<Loaded> {
        let options = LoadOptions {
            vars: self.vars.clone(),
            defaults: self.defaults.clone(),
            require_secrets: true,
            only: self.only.clone(),
            transport: self.transport_name(),
            rate: self.rate,
            watching: self.probes.clone(),
        };
        let mut loaded = load(&self.paths, &options)?;
        loaded.secrets = loaded.secrets.with(&self.secrets);
        if let Some(of_plan) = &self.watching {
            let (watching, secrets) = &**of_plan;
            loaded.watching = watching.clone().with_scenarios(&loaded.scenarios)?;
            loaded.secrets = loaded.secrets.with(secrets);
        }
        if !self.quiet {
            for warning in &loaded.warnings {
                complain(&format!("{}\n", warning.render()));
            }
        }
        Ok(loaded)
    }

    /// Measurements through another transport cannot be compared.
    pub fn transport_name(&self) -> &'static str {
        match (self.kind.unwrap_or(Kind::Wire), self.transport.http2) {
            (Kind::Wire, false) => TRANSPORTS[0],
            (Kind::Http, false) => TRANSPORTS[1],
            (Kind::Wire, true) => TRANSPORTS[2],
            (Kind::Http, true) => TRANSPORTS[3],
        }
    }

    /// Says what of `loaded` so many loads in a row could never show.
    pub fn warn_of_the_unseen(&self, loaded: &Loaded, in_a_row: usize) {
        if !self.quiet {
            warn_of_the_unseen(&loaded.scenarios, &loaded.watching, in_a_row);
        }
    }

    /// Functional passes alone are no load that probes could be read beside.
    pub fn warn_of_idle_probes(&self, loaded: &Loaded) {
        if !loaded.watching.probes.is_empty() && !self.quiet {
            complain("warning: probes are read beside a load; here there is none, so none is read");
        }
    }

    pub fn slice(&self) -> Slice {
        Slice::of_shard(self.shard)
    }

    pub fn env(&self) -> String {
        let fallback = if matches!(self.target, Some(TargetSpec::Demo { .. })) { "demo" } else { "default" };
        self.env.clone().unwrap_or_else(|| fallback.to_owned())
    }

    pub fn references(&self, scenarios: &[Scenario]) -> Result<Vec<Reference>> {
        let library = Library::new(&self.baselines, &self.env());
        library.references_of(&scenario_records(scenarios, self.slice()), self.instances)
    }

    pub fn plan(&self) -> JudgementPlan {
        let restarts =
            self.restart_hook.is_some() || self.target.as_ref().is_some_and(TargetSpec::is_started);
        JudgementPlan {
            gate: self.gate.name().into(),
            repeat: self.repeat,
            restarts,
            same_host: self.same_host,
            require_baseline: self.require_baseline,
            instances: self.instances,
            side_by_side: None,
        }
    }

    pub fn request(
        &self,
        loaded: Loaded,
        references: Vec<Reference>,
        id: &str,
        out: &Path,
    ) -> Result<GateRequest> {
        self.target.iter().for_each(|target| learn_credentials(&loaded.secrets, target));
        Ok(GateRequest {
            scenarios: loaded.scenarios,
            secrets: loaded.secrets,
            watching: loaded.watching,
            target: self.target()?,
            beside: None,
            out: out.to_owned(),
            env: self.env(),
            id: id.to_owned(),
            label: self.label.clone(),
            service: self.service.clone(),
            budget: self.budget,
            invocation: id.to_owned(),
            references,
            plan: self.plan(),
            stale_baselines: self.baselines.stale(),
            restart_hook: self.restart_hook.clone(),
            restart_first: false,
            wait: self.wait,
            allow: self.allow,
            smoke: true,
            load: true,
            watch: None,
            passes_every: None,
            transport: TransportOptions {
                signature: Signature { run: id.to_owned(), ..self.transport.signature.clone() },
                ..self.transport.clone()
            },
            kind: self.kind,
            max_rate: self.max_rate,
            shard: self.shard,
            start_at: self.start_at,
            traced: self.traced,
            #[cfg(feature = "telemetry")]
            telemetry: self.telemetry.clone(),
        })
    }

    /// Where a run of this name puts its results.
    ///
    /// # Errors
    /// If it is known beforehand that they cannot be put there.
    pub fn outlet(&self, id: &str) -> Result<Outlet> {
        Outlet::of(self.out.as_deref(), id)
    }

    /// What is shown of a run whose live view this session had.
    pub fn detail(&self) -> Detail<'static> {
        Detail { instead: None, steps_shown: !self.quiet }
    }

    pub fn stdout(&self) -> Stdout {
        Stdout { no_color: self.no_color }
    }
}

/// Says what so many loads in a row could never show.
pub fn warn_of_the_unseen(scenarios: &[Scenario], watching: &Watching, in_a_row: usize) {
    let windows = scenarios.iter().filter_map(|s| s.load.as_ref()).map(LoadPlan::window_ns);
    let window_ms = windows.max().unwrap_or(0) / 1_000_000 * in_a_row as u64;
    let plans: Vec<_> = watching.probes.iter().map(|probe| probe.plan.clone()).collect();
    for text in never_seen(window_ms, &plans, &watching.alerts) {
        complain(&format!("warning: {text}"));
    }
}

/// What is known of standard output.
#[derive(Clone, Copy, Debug)]
pub struct Stdout {
    pub no_color: bool,
}

impl Stdout {
    /// Colours in a terminal, where nobody forbids them; its width, which `COLUMNS` overrides.
    pub fn screen(self) -> Screen {
        let terminal = std::io::stdout().is_terminal();
        let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Screen {
            paint: paint(self.no_color, terminal),
            width: given.or_else(crate::machine::terminal_columns),
        }
    }
}

pub fn paint(no_color: bool, terminal: bool) -> Paint {
    let forbidden = no_color || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    Paint { enabled: terminal && !forbidden }
}

/// Plain text that may hold what somebody else wrote, on standard output.
pub fn tell(text: &str) -> Result<()> {
    print(&inert(text))
}

/// The same on standard error.
pub fn complain(text: &str) {
    use std::io::Write as _;
    // A reader that has gone away is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{}", inert(&known().scrub(text)));
}

/// To standard output, as it is; a reader that has gone away is no reason to fail.
pub fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::harness(format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// A header's value of this length may be a secret, whatever its name.
pub const LEAST_TOKEN: usize = 16;
/// Shorter, what stands behind a scheme may be any word.
const LEAST_BEHIND: usize = 8;

/// What a header that a flag or a variable gives must not be shown by, where its name tells so or it has `least` bytes: a
/// word such as `beta` would be cut out of every text.
pub fn learn_header(secrets: &Secrets, name: &str, value: &str, least: usize) {
    if is_telling(name) || value.len() >= least {
        secrets.learn(name, value);
        // Whoever refuses it may name it without its scheme.
        if let Some((_, own)) = value.split_once(' ').filter(|(_, own)| own.len() >= LEAST_BEHIND) {
            secrets.learn(name, own);
        }
    }
}

/// What an address has in front of its host must be shown nowhere.
pub fn learn_credentials(secrets: &Secrets, target: &TargetSpec) {
    for credentials in credentials_in(target.name()) {
        secrets.learn("TARGET_CREDENTIALS", &credentials);
    }
}
