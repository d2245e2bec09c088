use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result, nearest};
use crate::metrics::{Pairing, Repeat};
use crate::rollout::ArmPlan;
use crate::scenario::matches;
use crate::secrets::Secrets;
use crate::transport::Kind;
use crate::units::Rate;

/// What a team has to judge.
#[derive(Clone, Default)]
pub struct Project {
    pub path: PathBuf,
    pub services: Vec<Service>,
    pub environments: Vec<Environment>,
    pub profiles: Vec<(String, Settings)>,
    /// For everything that says nothing else.
    pub defaults: Settings,
    pub secrets: Secrets,
    /// Names that `--var` may set here.
    pub vars: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Service {
    pub name: String,
    pub scenarios: Vec<PathBuf>,
    pub only: Vec<String>,
    pub vars: Vec<(String, String)>,
    /// By environment.
    pub targets: Vec<(String, Places)>,
    pub settings: Settings,
}

#[derive(Clone, Default)]
pub struct Environment {
    pub name: String,
    /// By service.
    pub places: Vec<(String, Places)>,
    pub vars: Vec<(String, String)>,
    pub settings: Settings,
}

/// Where a service answers.
#[derive(Clone, Default)]
pub struct Places {
    pub target: Option<ArmPlan>,
    pub control: Option<ArmPlan>,
    pub candidate: Option<ArmPlan>,
}

/// What flags would say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `regression` or `safety`.
    pub gate: Option<&'static str>,
    pub repeat: Option<Repeat>,
    pub rate: Option<Rate>,
    pub max_rate: Option<Rate>,
    pub budget: Option<Duration>,
    pub wait: Option<Duration>,
    pub allow_no_baseline: Option<bool>,
    pub allow_unresolved: Option<bool>,
    pub same_host: Option<bool>,
    pub instances: Option<usize>,
    pub transport: Option<Kind>,
    pub restart_hook: Option<String>,
    pub probes: Option<PathBuf>,
    /// A folder, or a URL.
    pub baselines: Option<String>,
    pub pairing: Option<Pairing>,
    /// Of a canary.
    pub length: Option<Duration>,
}

impl Settings {
    /// The other's, where this one says nothing.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let other = other.clone();
        Self {
            gate: self.gate.or(other.gate),
            repeat: self.repeat.or(other.repeat),
            rate: self.rate.or(other.rate),
            max_rate: self.max_rate.or(other.max_rate),
            budget: self.budget.or(other.budget),
            wait: self.wait.or(other.wait),
            allow_no_baseline: self.allow_no_baseline.or(other.allow_no_baseline),
            allow_unresolved: self.allow_unresolved.or(other.allow_unresolved),
            same_host: self.same_host.or(other.same_host),
            instances: self.instances.or(other.instances),
            transport: self.transport.or(other.transport),
            restart_hook: self.restart_hook.or(other.restart_hook),
            probes: self.probes.or(other.probes),
            baselines: self.baselines.or(other.baselines),
            pairing: self.pairing.or(other.pairing),
            length: self.length.or(other.length),
        }
    }
}

/// One service in one environment by one profile.
#[derive(Clone, Default)]
pub struct Resolved {
    pub service: Option<String>,
    pub scenarios: Vec<PathBuf>,
    pub only: Vec<String>,
    /// Of the service: each must be a scenario's.
    pub vars: Vec<(String, String)>,
    /// Of the environment: for scenarios that have them.
    pub defaults: Vec<(String, String)>,
    pub places: Places,
    pub environment: Option<String>,
    pub settings: Settings,
    pub secrets: Secrets,
    /// Names of `--var` that are the project's, not its scenarios'.
    pub project_vars: Vec<String>,
}

impl Places {
    fn or(self, other: Self) -> Self {
        Self {
            target: self.target.or(other.target),
            control: self.control.or(other.control),
            candidate: self.candidate.or(other.candidate),
        }
    }
}

impl Project {
    /// What is asked for, service by service in the file's order. Without a name all services are; the only environment needs
    /// none.
    ///
    /// # Errors
    /// If a name is not in the file, or it is not clear which environment is meant.
    pub fn resolve(
        &self,
        services: &[String],
        environment: Option<&str>,
        profile: Option<&str>,
    ) -> Result<Vec<Resolved>> {
        let (environment, profile) = (self.environment(environment)?, self.profile(profile)?);
        for pattern in services {
            if !self.services.iter().any(|service| matches(pattern, &service.name)) {
                let names: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
                return Err(self.unknown("service", pattern, &names));
            }
        }
        let asked = |service: &&Service| {
            services.is_empty() || services.iter().any(|pattern| matches(pattern, &service.name))
        };
        let resolve = |service: &Service| self.one(service, environment, &profile);
        Ok(self.services.iter().filter(asked).map(resolve).collect())
    }

    /// For scenarios that are no service's.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn bare(&self, environment: Option<&str>, profile: Option<&str>) -> Result<Resolved> {
        let (environment, profile) = (self.environment(environment)?, self.profile(profile)?);
        let nameless = self.one(&Service::default(), environment, &profile);
        Ok(Resolved { service: None, ..nameless })
    }

    fn profile(&self, name: Option<&str>) -> Result<Settings> {
        let Some(name) = name else { return Ok(Settings::default()) };
        let names: Vec<&str> = self.profiles.iter().map(|(own, _)| own.as_str()).collect();
        let found = self.profiles.iter().find(|(own, _)| own == name);
        Ok(found.ok_or_else(|| self.unknown("profile", name, &names))?.1.clone())
    }

    fn environment(&self, name: Option<&str>) -> Result<Option<&Environment>> {
        let names: Vec<&str> = self.environments.iter().map(|own| own.name.as_str()).collect();
        match (name, self.environments.as_slice()) {
            // Then --env names the baseline set alone.
            (_, []) => Ok(None),
            (None, [only]) => Ok(Some(only)),
            (None, _) => Err(Error::usage_hint(
                format!("{} has several environments", self.path.display()),
                format!("give --env {}", names.join(", or --env ")),
            )),
            (Some(name), all) => {
                let found = all.iter().find(|own| own.name == name);
                Ok(Some(found.ok_or_else(|| self.unknown("environment", name, &names))?))
            }
        }
    }

    fn unknown(&self, what: &str, name: &str, names: &[&str]) -> Error {
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => format!("it has no {what} at all"),
            None => format!("it has {}", names.join(", ")),
        };
        Error::usage_hint(format!("{} has no {what} `{name}`", self.path.display()), hint)
    }

    fn one(&self, service: &Service, environment: Option<&Environment>, profile: &Settings) -> Resolved {
        let of = |places: &[(String, Places)], name: &str| {
            places.iter().find(|(own, _)| own == name).map(|(_, own)| own.clone()).unwrap_or_default()
        };
        let places = environment.map_or_else(Places::default, |environment| {
            of(&service.targets, &environment.name).or(of(&environment.places, &service.name))
        });
        let mut settings = service.settings.clone().or(profile);
        if let Some(environment) = environment {
            settings = settings.or(&environment.settings);
        }
        Resolved {
            service: Some(service.name.clone()),
            scenarios: service.scenarios.clone(),
            only: service.only.clone(),
            vars: service.vars.clone(),
            defaults: environment.map(|own| own.vars.clone()).unwrap_or_default(),
            places,
            environment: environment.map(|own| own.name.clone()),
            settings: settings.or(&self.defaults),
            secrets: self.secrets.clone(),
            project_vars: self.vars.clone(),
        }
    }
}
