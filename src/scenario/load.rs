use std::path::{Path, PathBuf};

use super::data::Pick;
use super::model::Scenario;
use super::node::{Node, NodeValue};
use super::parse::{Parsed, parse};
use super::stage::Stage;
use super::watching::{Watching, parse_watching};
use crate::error::{Diagnostic, Error, Result, SourceText, nearest};
use crate::secrets::Secrets;
use crate::units::{NS_PER_S, Rate};

/// What a project file is called.
pub const PROJECT_FILE: &str = "loadgate.yaml";

#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Values for the files' `vars`; the last of a name counts.
    pub vars: Vec<(String, String)>,
    /// The same for files that have such a variable; `vars` count before them.
    pub defaults: Vec<(String, String)>,
    /// Whether a secret that is not in the environment is a mistake; `validate` does without.
    pub require_secrets: bool,
    /// Features to keep, with `*` as a wildcard; all where there is none.
    pub only: Vec<String>,
    /// The transport under load, as part of what makes measurements comparable.
    pub transport: &'static str,
    /// Arrivals of all scenarios together at their highest, shared out by weight, instead of the files' own rates.
    pub rate: Option<Rate>,
    /// A file of probes, alerts and webhooks for all features.
    pub watching: Option<PathBuf>,
}

/// Scenarios, and what was found while they were read.
#[derive(Clone, Default)]
pub struct Loaded {
    pub scenarios: Vec<Scenario>,
    pub secrets: Secrets,
    /// What is watched, by the scenarios and by the file that is for all of them.
    pub watching: Watching,
    /// What keeps nothing from being run.
    pub warnings: Vec<Diagnostic>,
}

/// Reads every scenario below `paths` (files, or folders of `.yaml` and `.yml` files).
///
/// # Errors
/// All mistakes of all files; a path that is not there; no scenario at all; one feature twice.
pub fn load(paths: &[PathBuf], options: &LoadOptions) -> Result<Loaded> {
    if paths.is_empty() {
        return Err(Error::usage_hint("no scenario is named", "give files, or folders of them"));
    }
    let loaded = read(paths, options, &|_| 1.0)?;
    let Some(rate) = options.rate else {
        enough_unique_rows(&loaded.scenarios)?;
        return Ok(loaded);
    };
    // Rates are part of what makes measurements comparable, so the files are read anew with the ones that hold.
    let scales = shared_out(&loaded.scenarios, rate)?;
    let scale = |path: &Path| scales.iter().find(|(own, _)| own == path).map_or(1.0, |(_, scale)| *scale);
    let loaded = read(paths, options, &scale)?;
    enough_unique_rows(&loaded.scenarios)?;
    Ok(loaded)
}

/// A file of probes, alerts and webhooks by itself, and its secrets.
///
/// # Errors
/// All mistakes in it; variables that it does not have.
pub fn watching_file(path: &Path, options: &LoadOptions) -> Result<(Watching, Secrets)> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::input(path, "read probes", e))?;
    let parsed =
        parse_watching(SourceText { path: path.to_owned(), text }, options).map_err(Error::Invalid)?;
    known_variables(options, &parsed.vars)?;
    Ok((parsed.watching, Secrets::new(parsed.secrets)))
}

fn known_variables(options: &LoadOptions, known: &[String]) -> Result<()> {
    let Some((unknown, _)) = options.vars.iter().find(|(name, _)| !known.contains(name)) else {
        return Ok(());
    };
    let hint = nearest(unknown, known.iter().map(String::as_str)).map_or_else(
        || "a `vars:` entry must exist to be set".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Error::usage_hint(format!("--var {unknown}: no scenario has such a variable"), hint))
}

/// By what each file's rates are multiplied, so that they add up to `rate`, each in proportion to its weight.
fn shared_out(scenarios: &[Scenario], rate: Rate) -> Result<Vec<(PathBuf, f64)>> {
    let total: f64 = scenarios.iter().filter(|s| s.load.is_some()).map(|s| f64::from(s.weight)).sum();
    let loads = scenarios.iter().filter_map(|scenario| Some((scenario, scenario.load.as_ref()?)));
    loads
        .map(|(scenario, load)| {
            if !load.is_open() {
                let message = "--rate shares out arrivals, but this file has virtual users";
                return Err(mistake(scenario, &["load"], message.into(), "leave it out by --only"));
            }
            let highest =
                load.stages.iter().map(|s| s.level.rates().0.max(s.level.rates().1)).fold(0.0, f64::max);
            Ok((scenario.path.clone(), rate.per_second() * f64::from(scenario.weight) / total / highest))
        })
        .collect()
}

fn read(paths: &[PathBuf], options: &LoadOptions, scale: &dyn Fn(&Path) -> f64) -> Result<Loaded> {
    let (mut mistakes, mut all_warnings) = (Vec::new(), Vec::new());
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut secrets = Vec::new();
    let mut vars: Vec<String> = Vec::new();
    for path in files(paths)? {
        if path.to_string_lossy().contains("://") {
            let hint = "`loadgate quick URL` asks one address; a scenario's is given with --target URL";
            return Err(Error::usage_hint("an address is no scenario file", hint));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::input(&path, "read scenario", e))?;
        if is_plan(&text) {
            let hint = "`loadgate rollout run` goes by it; the scenarios stand beside it";
            return Err(Error::input(&path, "read scenario", "it is the plan of a rollout").with_hint(hint));
        }
        match parse(SourceText { path: path.clone(), text }, options, scale(&path)) {
            Ok(Parsed { scenario, secrets: found, vars: own, warnings }) => {
                all_warnings.extend(warnings);
                if let Some(other) = scenarios.iter().find(|s| s.feature == scenario.feature) {
                    let message =
                        format!("feature `{}` stands in {} too", scenario.feature, other.path.display());
                    return Err(mistake(&scenario, &["feature"], message, "one feature, one file"));
                }
                scenarios.push(scenario);
                secrets.extend(found);
                vars.extend(own);
            }
            Err(found) => mistakes.extend(found),
        }
    }
    let mut watching = Watching::default();
    if let Some(path) = &options.watching {
        let text = std::fs::read_to_string(path).map_err(|e| Error::input(path, "read probes", e))?;
        match parse_watching(SourceText { path: path.clone(), text }, options) {
            Ok(parsed) => {
                secrets.extend(parsed.secrets);
                vars.extend(parsed.vars);
                watching = parsed.watching;
            }
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        return Err(Error::Invalid(mistakes));
    }
    known_variables(options, &vars)?;
    for pattern in &options.only {
        if !scenarios.iter().any(|s| matches(pattern, &s.feature)) {
            let known: Vec<&str> = scenarios.iter().map(|s| s.feature.as_str()).collect();
            return Err(Error::usage_hint(
                format!("--only {pattern} matches no feature"),
                format!("there are {}", known.join(", ")),
            ));
        }
    }
    scenarios.retain(|s| {
        options.only.is_empty() || options.only.iter().any(|pattern| matches(pattern, &s.feature))
    });
    let watching = watching.with_scenarios(&scenarios)?;
    Ok(Loaded { scenarios, secrets: Secrets::new(secrets), watching, warnings: all_warnings })
}

/// Scenarios warm up together, so the longest warm-up of all counts; two seconds more cover its notice and smoke's rows.
///
/// # Errors
/// With the place in the file.
pub fn enough_unique_rows(scenarios: &[Scenario]) -> Result<()> {
    let loads = scenarios.iter().filter_map(|s| s.load.as_ref());
    let warmup_ns =
        loads.map(|load| load.warmup.most_ns() + load.lead_ns()).max().unwrap_or(0) + 2 * NS_PER_S;
    for scenario in scenarios {
        let Some(load) = &scenario.load else { continue };
        if !load.is_open() {
            if let Some(source) = scenario.data.iter().find(|d| d.pick == Pick::Unique) {
                let message = format!(
                    "`unique` rows of `{}` cannot be promised: how often virtual users iterate is not known beforehand",
                    source.name
                );
                let help = "use `pick: sequential` or `random`, or a `rate` instead of `vus`";
                return Err(mistake(scenario, &["data", &source.name], message, help));
            }
            continue;
        }
        let warm = Stage { length_ns: warmup_ns, ..load.stages[0] };
        let lead: u64 = load.lead.iter().map(Stage::arrivals).sum();
        let needed = load.arrivals() + lead + warm.arrivals();
        let short = scenario.data.iter().find(|d| d.pick == Pick::Unique && (d.rows.len() as u64) < needed);
        if let Some(source) = short {
            let rows = source.rows.len();
            let message = format!(
                "the `unique` rows of `{}` cannot last: {rows} of {needed} that a run may take",
                source.name
            );
            let help = "use `pick: sequential` or `random`, add rows, or give `warmup` a fixed length";
            return Err(mistake(scenario, &["data", &source.name], message, help));
        }
    }
    Ok(())
}

/// What is wrong with a file only beside others, or beside flags; `keys` lead to its place.
fn mistake(scenario: &Scenario, keys: &[&str], message: String, help: &str) -> Error {
    let mut span = 0..1;
    let mut node = Node::parse(&scenario.source).ok();
    for name in keys {
        let Some(NodeValue::Map(entries)) = node.map(|node| node.value) else { break };
        let Some((key, value)) = entries.into_iter().find(|(key, _)| key.name == *name) else { break };
        (span, node) = (key.span, Some(value));
    }
    Error::Invalid(vec![Diagnostic {
        source: scenario.source.clone(),
        span,
        message,
        label: "this cannot be run".into(),
        help: Some(help.to_owned()),
        warning: false,
    }])
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| Error::input(path, "list", e))?;
        let mut found: Vec<PathBuf> =
            entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| is_scenario(p)).collect();
        // The plan of a rollout may stand beside the scenarios that it is of, and so may a project.
        found.retain(|path| path.file_name().is_none_or(|name| name != PROJECT_FILE));
        found.retain(|path| !std::fs::read_to_string(path).is_ok_and(|text| is_plan(&text)));
        if found.is_empty() {
            return Err(Error::input(path, "find scenarios in", "no .yaml or .yml file there"));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Whether it is the plan of a rollout. One word alone may be a mistake in a scenario, which is to be told.
fn is_plan(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    has("rollout:") && has("phases:") && !has("feature:")
}

fn is_scenario(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|i| rest.is_char_boundary(*i)).any(|i| matches(tail, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c*", "abc", true),
            ("b*", "abc", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
