use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::arm::{A_COMMAND, command, duration, read_arm, text};
use super::plan::{Against, Load, OnHold, Phase, Plan, Rollback, Soak};
use crate::digest::sha256_hex;
use crate::error::{Diagnostic, Error, Result, SourceText, nearest};
use crate::metrics::Pairing;
use crate::scenario::yaml::{
    Fields, Node, NodeValue, PLAN_KEYS, Reader, Scope, read_vars, read_watching, required,
};
use crate::scenario::{LoadOptions, Watching};
use crate::secrets::Secrets;
use crate::units::parse_rate;

/// JSON Schema (draft-07) of plans, for editors; the reader decides.
pub const PLAN_SCHEMA: &str = include_str!("../../schema/plan.json");

const PHASE_KEYS: [&str; 6] = ["name", "percent", "approve", "shift", "soak", "load"];
const SOAK_KEYS: [&str; 3] = ["for", "rate", "smoke"];
const LOAD_KEYS: [&str; 3] = ["for", "rate", "against"];
const ROLLBACK_KEYS: [&str; 3] = ["command", "timeout", "within"];
const HOLD_KEYS: [&str; 4] = ["extend", "after", "then", "wait"];

const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
const ROLLBACK_WITHIN: Duration = Duration::from_secs(15 * 60);
const LEAST_PASSES: u32 = 3;
const APPROVE_WITHIN: Duration = Duration::from_secs(3600);
/// What is away for a moment, such as late telemetry, may be back.
const AFTER: Duration = Duration::from_secs(60);
const SMOKE_EVERY: Duration = Duration::from_secs(60);
/// Four segments, each with ten blocks.
const LEAST_SIDE_BY_SIDE: Duration = Duration::from_secs(10);

/// Reads a plan; `vars` replace its own.
///
/// # Errors
/// All mistakes in it.
pub fn read_plan(path: &Path, vars: &[(String, String)], require_secrets: bool) -> Result<Plan> {
    read_plan_as(path, path, vars, require_secrets)
}

/// The same of a copy of a plan that stands elsewhere.
///
/// # Errors
/// All mistakes in it.
pub fn read_plan_as(
    copy: &Path,
    path: &Path,
    vars: &[(String, String)],
    require_secrets: bool,
) -> Result<Plan> {
    let text = std::fs::read_to_string(copy).map_err(|e| Error::input(copy, "read plan", e))?;
    let options = LoadOptions { vars: vars.to_vec(), require_secrets, ..LoadOptions::default() };
    // By other variables it is another plan.
    let mut whole = text.clone();
    for (name, value) in vars {
        let _ = write!(whole, "\n{name}={value}");
    }
    let digest = sha256_hex(whole.as_bytes());
    // One plan, by whatever name and from wherever it is reached.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = if path.is_symlink() { real.parent() } else { path.parent() };
    let folder = folder.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let source = Arc::new(SourceText { path: copy.to_owned(), text });
    let (plan, known) = parse(&source, &folder, &options).map_err(Error::Invalid)?;
    if let Some((unknown, _)) = vars.iter().find(|(name, _)| !known.contains(name)) {
        let hint = nearest(unknown, known.iter().map(String::as_str)).map_or_else(
            || "a `vars:` entry of the plan must exist to be set".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Error::usage_hint(format!("--var {unknown}: the plan has no such variable"), hint));
    }
    Ok(Plan { digest, path: path.to_owned(), ..plan })
}

fn parse(
    source: &Arc<SourceText>,
    folder: &Path,
    options: &LoadOptions,
) -> std::result::Result<(Plan, Vec<String>), Vec<Diagnostic>> {
    let root = Node::parse(source).map_err(|d| vec![d])?;
    let reader = Reader::new(source.clone());
    let mut scope = Scope::new(options, Vec::new());
    let what = "a plan with `rollout`, `scenarios`, `control`, `candidate` and `phases`";
    let plan = reader.fields(&root, what, &PLAN_KEYS).and_then(|fields| {
        read_vars(&reader, &fields, &mut scope);
        let watching = read_watching(&reader, &root, &scope);
        read(&reader, &fields, &scope, watching, folder)
    });
    let secrets = Secrets::new(scope.secrets.into_inner());
    let known = scope.vars.into_iter().map(|(name, _)| name).collect();
    let (mistakes, _) = reader.into_found();
    match plan {
        Some(plan) if mistakes.is_empty() => Ok((Plan { secrets, ..plan }, known)),
        _ => Err(mistakes),
    }
}

fn read(
    reader: &Reader,
    fields: &Fields<'_>,
    scope: &Scope<'_>,
    watching: Watching,
    folder: &Path,
) -> Option<Plan> {
    let name = required(reader, fields, "rollout", "its name").and_then(|n| file_name(reader, n, scope));
    let release = fields.get("release").map(|n| file_name(reader, n, scope));
    let scenarios = match fields.get("scenarios") {
        None => Some(vec![folder.to_owned()]),
        Some(node) => {
            let paths = node
                .items()
                .iter()
                .map(|n| Some(folder.join(reader.text(n, "a file or folder of scenarios")?)));
            paths.collect::<Option<Vec<_>>>()
        }
    };
    let arm = |key: &str| {
        required(reader, fields, key, "`{ url: https://… }`").and_then(|n| read_arm(reader, n, scope))
    };
    let (control, candidate) = (arm("control"), arm("candidate"));
    let pairings = [("mirror", Pairing::Mirror), ("split", Pairing::Split)];
    let pairing = fields.get("pairing").map(|n| reader.word(n, "pairing", &pairings));
    let on_hold = fields
        .get("on_hold")
        .map_or(Some(OnHold { extend: 0, after: AFTER, wait: Duration::ZERO }), |n| read_on_hold(reader, n));
    let rollback = fields.get("rollback").map(|n| read_rollback(reader, n, folder));
    let phases = required(reader, fields, "phases", "a list of phases")
        .and_then(|n| reader.list(n, "a list of phases").map(|list| (n, list)))
        .and_then(|(n, list)| read_phases(reader, n, list, folder));
    let phases = phases?;
    if let Some(phase) = phases.iter().find(|phase| phase.shift.is_some())
        && rollback.is_none()
    {
        let start = fields.span.start;
        reader.fail(
            &(start..start + 1),
            "`rollback` is missing",
            format!("`{}` shifts traffic, so there must be a way back", phase.name),
            Some("`rollback: { command: [./flags.sh, off], within: 15m }`".into()),
        );
    }
    Some(Plan {
        path: folder.to_owned(),
        folder: folder.to_owned(),
        name: name?,
        release: release.map_or(Some(None), |release| release.map(Some))?,
        scenarios: scenarios?,
        control: control?,
        candidate: candidate?,
        pairing: pairing.map_or(Some(None), |pairing| pairing.map(Some))?,
        phases,
        on_hold: on_hold?,
        rollback: rollback.map_or(Some(None), |rollback| rollback.map(Some))?,
        watching,
        secrets: Secrets::default(),
        digest: String::new(),
    })
}

fn file_name(reader: &Reader, node: &Node, scope: &Scope<'_>) -> Option<String> {
    let name = text(reader, node, scope)?;
    let checked = checked_name(&name).map(|()| name.clone());
    reader.take(node, "expected a name", checked)
}

/// Whether it can name a folder.
///
/// # Errors
/// Why not.
pub fn checked_name(name: &str) -> std::result::Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(fits) {
        return Err("it names a folder: letters, digits, `.`, `_`, `-` and `+`, no `.` in front".to_owned());
    }
    Ok(())
}

fn read_on_hold(reader: &Reader, node: &Node) -> Option<OnHold> {
    let fields = reader.fields(node, "`{ extend: 2, then: hold }`", &HOLD_KEYS)?;
    if let Some(n) = fields.get("then") {
        reader.word(n, "what follows", &[("hold", ())])?;
    }
    let extend = fields
        .get("extend")
        .map_or(Some(0), |n| reader.whole_in(n, "a number of further rounds", &(0..=10)))?;
    let wait = fields.get("wait").map_or(Some(Duration::ZERO), |n| duration(reader, n))?;
    let after = fields.get("after").map_or(Some(AFTER), |n| duration(reader, n))?;
    Some(OnHold { extend: extend as u32, after, wait })
}

fn read_rollback(reader: &Reader, node: &Node, folder: &Path) -> Option<Rollback> {
    if !matches!(node.value, NodeValue::Map(_)) {
        let command = command(reader, node, folder, 2 * ROLLBACK_WITHIN)?;
        return Some(Rollback { command, within: ROLLBACK_WITHIN });
    }
    let fields = reader.fields(node, "`{ command: […], within: 15m }`", &ROLLBACK_KEYS)?;
    let within = fields.get("within").map_or(Some(ROLLBACK_WITHIN), |n| duration(reader, n))?;
    // What is late may yet succeed.
    let timeout = fields.get("timeout").map_or(Some(2 * within), |n| duration(reader, n))?;
    let at = required(reader, &fields, "command", A_COMMAND)?;
    Some(Rollback { command: command(reader, at, folder, timeout)?, within })
}

fn read_phases(reader: &Reader, node: &Node, list: &[Node], folder: &Path) -> Option<Vec<Phase>> {
    if list.is_empty() {
        reader.fail(&node.span, "a plan has a phase at least", "none here", None);
        return None;
    }
    let mut phases: Vec<Phase> = Vec::new();
    for item in list {
        let before = phases.last().map_or(0, |phase| phase.percent);
        let phase = read_phase(reader, item, before, folder)?;
        if phases.iter().any(|known| known.name == phase.name) {
            reader.fail(
                &item.span,
                format!("two phases are called `{}`", phase.name),
                "the second one",
                None,
            );
            return None;
        }
        phases.push(phase);
    }
    Some(phases)
}

fn read_phase(reader: &Reader, node: &Node, before: u8, folder: &Path) -> Option<Phase> {
    let what = "a phase such as `{ percent: 25, shift: [./flags.sh, 25], soak: { for: 30m, rate: 20/s } }`";
    let fields = reader.fields(node, what, &PHASE_KEYS)?;
    let percent = fields.get("percent").map_or(Some(before), |n| read_percent(reader, n))?;
    let shift = fields.get("shift").map(|n| command(reader, n, folder, COMMAND_TIMEOUT));
    let shift = shift.map_or(Some(None), |shift| shift.map(Some))?;
    if percent < before {
        let at = fields.get("percent")?;
        let label = format!("the phase before has {before}%");
        reader.fail(
            &at.span,
            "a rollout never goes back by itself",
            label,
            Some("that is what `rollback` is for".into()),
        );
        return None;
    }
    if let (Some((key, _)), None) = (fields.entry("percent"), &shift)
        && percent != before
    {
        let help = Some("add `shift: [./flags.sh, 25]`: the command of yours that does it".to_owned());
        reader.fail(
            &key.span,
            format!("nothing shifts the traffic to {percent}%"),
            "`shift` is missing",
            help,
        );
        return None;
    }
    if let (Some((key, _)), true) = (fields.entry("shift"), percent == before) {
        let label = format!("it stays at {percent}%");
        reader.fail(
            &key.span,
            "a phase that shifts traffic says where to",
            label,
            Some("add `percent: 25`".into()),
        );
        return None;
    }
    let name = fields.get("name").map_or(Some(format!("{percent}%")), |n| reader.scalar(n, "text"))?;
    let approve = match fields.get("approve") {
        None => None,
        Some(Node { value: NodeValue::Bool(asked), .. }) => asked.then_some(APPROVE_WITHIN),
        Some(n) => Some(duration(reader, n)?),
    };
    let soak = fields.get("soak").map(|n| read_soak(reader, n)).map_or(Some(None), |soak| soak.map(Some))?;
    let load = fields
        .get("load")
        .map(|n| read_load(reader, n, percent))
        .map_or(Some(None), |load| load.map(Some))?;
    if soak.is_none() && load.is_none() {
        let label = "nothing would be looked at";
        let help = Some("`soak: { for: 30m, rate: 20/s }`, `load: { for: 2m }`".to_owned());
        reader.fail(&node.span, format!("phase `{name}` has neither `soak` nor `load`"), label, help);
        return None;
    }
    Some(Phase { name, percent, approve, shift, soak, load })
}

fn read_percent(reader: &Reader, node: &Node) -> Option<u8> {
    let text = reader.scalar(node, "a percentage from 0 to 100")?;
    let number = text.trim_end_matches('%').parse::<u8>().ok().filter(|number| *number <= 100);
    reader.take(node, "expected a percentage from 0 to 100", number.ok_or_else(|| "not this".to_owned()))
}

fn read_soak(reader: &Reader, node: &Node) -> Option<Soak> {
    let fields = reader.fields(node, "a soak such as `{ for: 30m, rate: 20/s }`", &SOAK_KEYS)?;
    let (length, rate) = (
        required(reader, &fields, "for", "a duration such as 30m").and_then(|n| duration(reader, n)),
        required(reader, &fields, "rate", "a low rate of all scenarios together, such as 20/s")
            .and_then(|n| reader.take(n, "expected a rate", parse_rate(&reader.scalar(n, "a rate")?))),
    );
    let (length, rate) = (length?, rate?);
    let smoke = match fields.get("smoke") {
        None => SMOKE_EVERY.min(length / LEAST_PASSES),
        Some(n) => {
            let smoke = duration(reader, n)?;
            if smoke * LEAST_PASSES > length {
                let label = "two of three passes could not fail";
                reader.fail(&n.span, "a soak has three functional passes at least", label, None);
                return None;
            }
            smoke
        }
    };
    Some(Soak { length, rate, smoke })
}

fn read_load(reader: &Reader, node: &Node, percent: u8) -> Option<Load> {
    let fields = reader.fields(node, "a load such as `{ for: 2m }`", &LOAD_KEYS)?;
    let words = [("control", Against::Control), ("baselines", Against::Baselines)];
    let against =
        fields.get("against").map_or(Some(Against::Control), |n| reader.word(n, "reference", &words))?;
    if against == Against::Baselines && (1..100).contains(&percent) {
        let at = fields.get("against")?;
        let label = format!("at {percent}% the service answers by two builds");
        let help = Some("here the candidate is held against its control: leave `against` out".to_owned());
        reader.fail(&at.span, "a mixture is no target of a plain run", label, help);
        return None;
    }
    let length =
        fields.get("for").map(|n| duration(reader, n)).map_or(Some(None), |length| length.map(Some))?;
    if let (Some(length), Some(n), Against::Control) = (length, fields.get("for"), against)
        && length < LEAST_SIDE_BY_SIDE
    {
        reader.fail(&n.span, "side by side a load takes 10s at least", "too short to tell anything by", None);
        return None;
    }
    let rate = fields
        .get("rate")
        .map(|n| reader.take(n, "expected a rate", parse_rate(&reader.scalar(n, "a rate")?)));
    Some(Load { against, length, rate: rate.map_or(Some(None), |rate| rate.map(Some))? })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::arm::{ARM_KEYS, COMMAND_KEYS};
    use super::*;

    #[test]
    fn the_schema_of_plans_is_current() {
        let schema: Value = serde_json::from_str(PLAN_SCHEMA).unwrap();
        for (place, keys) in [
            ("", &PLAN_KEYS[..]),
            ("/definitions/arm", &ARM_KEYS),
            ("/properties/phases/items", &PHASE_KEYS),
            ("/properties/phases/items/properties/soak", &SOAK_KEYS),
            ("/properties/phases/items/properties/load", &LOAD_KEYS),
            ("/properties/on_hold", &HOLD_KEYS),
            ("/properties/rollback/anyOf/1", &ROLLBACK_KEYS),
            ("/definitions/command/anyOf/1", &COMMAND_KEYS),
        ] {
            let named = schema.pointer(&format!("{place}/properties")).and_then(Value::as_object);
            let mut named: Vec<&str> =
                named.unwrap_or_else(|| panic!("{place}")).keys().map(String::as_str).collect();
            let mut keys = keys.to_vec();
            named.sort_unstable();
            keys.sort_unstable();
            assert_eq!(named, keys, "{place}");
        }
        let scenario: Value = serde_json::from_str(crate::scenario::SCHEMA).unwrap();
        for shared in ["probes", "alerts"] {
            assert_eq!(schema["properties"][shared], scenario["properties"][shared], "{shared}");
        }
    }
}
