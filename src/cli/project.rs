//! Which services of a project file are meant, if one is.

use std::path::{Path, PathBuf};

use super::args::ScenarioArgs;
use crate::error::{Error, Result};
use crate::project::{Resolved, read_project};
use crate::scenario::PROJECT_FILE;

/// The services that flags name; where there is no project to go by, one nameless one of which nothing is known.
pub fn services(args: &ScenarioArgs, env: Option<&str>, require_secrets: bool) -> Result<Vec<Resolved>> {
    let asked = args.project.is_some() || !args.services.is_empty() || args.profile.is_some();
    let path = match &args.project {
        Some(path) => Some(path.clone()),
        None if asked || args.paths.is_empty() => found(),
        None => None,
    };
    let Some(path) = path else {
        if asked {
            let flag = if args.profile.is_some() { "--profile" } else { "--service" };
            return Err(Error::usage_hint(
                format!("there is no {PROJECT_FILE} here, nor in a folder above"),
                format!("{flag} is for projects: name their file with --project"),
            ));
        }
        return Ok(vec![Resolved::default()]);
    };
    let project = read_project(&path, &args.vars, require_secrets)?;
    if !args.paths.is_empty() {
        if !args.services.is_empty() {
            let hint = "a service has scenarios of its own";
            return Err(Error::usage_hint("give scenarios or --service, not both", hint));
        }
        // Scenarios that are named, by the profile and in the environment.
        return Ok(vec![project.bare(env, args.profile.as_deref())?]);
    }
    project.resolve(&args.services, env, args.profile.as_deref())
}

/// Here or in a folder above, as far as the repository goes.
fn found() -> Option<PathBuf> {
    let here = Path::new(PROJECT_FILE);
    if here.exists() {
        return Some(here.to_owned());
    }
    let current = std::env::current_dir().ok()?;
    for folder in current.ancestors() {
        let path = folder.join(PROJECT_FILE);
        if path.exists() {
            return Some(path);
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    None
}

/// What `--expect` names; `project` stands for all services of the project.
pub fn expected(names: &[String], project: Option<&Path>) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for name in names {
        if name != "project" {
            all.push(name.clone());
            continue;
        }
        let path = project.map(Path::to_owned).or_else(found).ok_or_else(|| {
            Error::usage_hint(
                format!("there is no {PROJECT_FILE} here, nor in a folder above"),
                "name the file with --project, or the services themselves with --expect",
            )
        })?;
        let services = read_project(&path, &[], false)?.services;
        all.extend(services.into_iter().map(|service| service.name));
    }
    Ok(all)
}

/// Where a command is for one service at a time.
pub fn only_one<T>(all: Vec<T>, name: impl Fn(&T) -> Option<&str>, command: &str) -> Result<T> {
    if all.len() > 1 {
        let names: Vec<&str> = all.iter().filter_map(name).collect();
        return Err(Error::usage_hint(
            format!("{command} is for one service at a time"),
            format!("give --service {}", names.join(", or --service ")),
        ));
    }
    all.into_iter().next().ok_or_else(|| Error::usage("there is no service"))
}
