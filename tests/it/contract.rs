//! What STABILITY.md promises, held to the binary: a flag that comes or goes changes that page in the same commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use regex::Regex;
use serde_json::Value;

use crate::rollouts::{night, plan, rollout};
use crate::support::{fixture, json, loadgate, run};

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn help(words: &[&str]) -> String {
    let temp = tempfile::tempdir().unwrap();
    run(loadgate(temp.path()).args(words).arg("--help")).expect(0).out
}

/// Commands that have no others below them.
fn commands() -> Vec<Vec<String>> {
    let below = |words: &[&str]| -> Vec<String> {
        let help = help(words);
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        lines
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .filter(|name| name != "help")
            .collect()
    };
    let mut all = Vec::new();
    for name in below(&[]) {
        let own = below(&[&name]);
        if own.is_empty() {
            all.push(vec![name]);
        } else {
            all.extend(own.into_iter().map(|below| vec![name.clone(), below]));
        }
    }
    all
}

/// The long flags of each command, but for those that all have.
fn flags() -> BTreeMap<String, Vec<String>> {
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?--([a-z0-9-]+)").unwrap();
    let of = |words: &Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = help(&words);
        let options = help.split_once("\nOptions:").map_or("", |(_, options)| options);
        let all: BTreeSet<String> = flag.captures_iter(options).map(|own| own[1].to_owned()).collect();
        all.into_iter().filter(|name| name != "help" && name != "log").collect()
    };
    commands().iter().map(|words| (words.join(" "), of(words))).collect()
}

#[test]
fn flags_are_those_that_the_page_promises() {
    let mut table = String::from("| command | flags |\n|---|---|\n");
    for (command, flags) in flags() {
        let flags: Vec<String> = flags.iter().map(|name| format!("`--{name}`")).collect();
        writeln!(table, "| `{command}` | {} |", flags.join(" ")).unwrap();
    }
    let page = text("STABILITY.md");
    let told = page.split_once("<!-- flags -->\n").unwrap().1.split_once("<!-- /flags -->").unwrap().0;
    assert!(told == table, "STABILITY.md should have\n{table}\nbut has\n{told}");
}

/// What the README names exists, and what exists is named there, or in a README that it leads to.
#[test]
fn the_readme_names_every_flag_and_no_other() {
    let pages: Vec<String> = [
        "README.md",
        "ci/controllers/README.md",
        "ci/github/README.md",
        "ci/gitlab/README.md",
        "ci/kubernetes/README.md",
    ]
    .map(text)
    .into();
    let pages = pages.join("\n");
    let word = Regex::new(r"(?:^|[^\w-])--([a-z][a-z0-9-]*)").unwrap();
    let named: BTreeSet<String> = word.captures_iter(&pages).map(|own| own[1].to_owned()).collect();
    let known: BTreeSet<String> =
        flags().into_values().flatten().chain(["log".to_owned(), "help".to_owned()]).collect();
    let unnamed: Vec<&String> = known.difference(&named).collect();
    assert!(unnamed.is_empty(), "no README says a word of {unnamed:?}");
    // Of cargo, docker, curl, kubectl, bench scripts and the like.
    let others = [
        "release",
        "features",
        "write",
        "only",
        "rm",
        "init",
        "target",
        "build-arg",
        "locked",
        "namespace",
        "from-file",
        "wait",
        "timeout",
        "soak",
        "for",
        "digest",
        "quick",
        "from-literal",
        "connections",
        "path",
    ];
    let strange: Vec<&String> =
        named.difference(&known).filter(|name| !others.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "a README names {strange:?}, which no command has");
}

/// One table in three places.
#[test]
fn exit_codes_are_the_same_everywhere() {
    let page = text("STABILITY.md");
    let code = Regex::new(r"(?m)^\| (\d+(?:, \d+)*) \| ").unwrap();
    let codes = |text: &str| -> BTreeSet<String> {
        let cells = code.captures_iter(text).map(|own| own[1].to_owned());
        cells.flat_map(|cell| cell.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let promised = codes(page.split_once("## Exit codes").unwrap().1);
    assert_eq!(promised.len(), 9);
    assert_eq!(promised, codes(text("README.md").split_once("## Exit codes").unwrap().1));
    let told = help(&[]);
    let told = told.split_once("Exit codes:").unwrap().1;
    let told: BTreeSet<String> = Regex::new(r"\b(\d+)(?: [a-z]|/)")
        .unwrap()
        .captures_iter(told)
        .map(|own| own[1].to_owned())
        .collect();
    let own = told.into_iter().chain(["143".to_owned()]).collect::<BTreeSet<_>>();
    assert_eq!(promised, own);
}

const FEATURE: &str = "feature: f
steps:
  - { name: s, get: /dashboard, check: [ status: 200 ] }
load: { warmup: 0s, stages: [ { rate: 60/s, for: 3s } ] }
limits: { error_rate: < 90% }
";

/// Each code by a run that comes to it.
#[test]
fn every_exit_code_is_met() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    std::fs::write(folder.join("f.yaml"), FEATURE).unwrap();
    std::fs::write(folder.join("wrong.yaml"), FEATURE.replace("status: 200", "status: 404")).unwrap();
    std::fs::write(folder.join("file"), "").unwrap();
    for (code, words) in [
        (0, "smoke f.yaml --demo --out a"),
        (1, "smoke wrong.yaml --demo --out b"),
        (2, "smoke f.yaml --demo --no-such-flag"),
        (2, "smoke nowhere.yaml --demo"),
        (3, "smoke f.yaml --target http://127.0.0.1:9 --wait 1s --out c"),
        (4, "run f.yaml --demo --require-baseline --out d"),
        (0, "run f.yaml --demo --require-baseline --allow no-baseline --out e"),
        (5, "smoke f.yaml --demo --out file/below"),
    ] {
        run(loadgate(folder).args(words.split(' '))).expect(code);
    }
    let verdict = json(&folder.join("d/verdict.json"));
    assert_eq!((&verdict["outcome"], &verdict["action"]), (&"no_baseline".into(), &"hold".into()));
    for (code, signal) in [(130, rustix::process::Signal::INT), (143, rustix::process::Signal::TERM)] {
        let out = format!("signal-{code}");
        let mut command = loadgate(folder);
        command.args(["smoke", "f.yaml", "--demo", "--watch", "60s", "--out", &out]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        crate::rollouts::until("it begins", || folder.join(&out).join("journal").exists());
        std::thread::sleep(std::time::Duration::from_millis(300));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
    let failing = "#!/bin/sh\n[ \"$1\" = 100 ]\n";
    let phases = "phases: [ { percent: 100, shift: [./switch.sh, 100], load: { against: baselines } } ]\n";
    let wrong = FEATURE.replace("status: 200", "status: 404");
    let url =
        crate::servers::Service::start(axum::Router::new().fallback(axum::routing::get(|| async { "x" })));
    let lost = night(&wrong, failing, &plan(&url.url, &url.url, phases));
    rollout(lost.path(), &["run", "plan.yaml"]).expect(6);
}

fn files(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn files_are_those_that_the_page_promises_and_as_their_schemas_have_them() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("f.yaml"), FEATURE).unwrap();
    let page = text("STABILITY.md");
    let table = page.split_once("## Files in `--out`").unwrap().1.split_once("\n## ").unwrap().0;
    let name = Regex::new(r"`([a-z]+\.[a-z]+)`").unwrap();
    let promised: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .flat_map(|line| {
            name.captures_iter(line.split(" | ").next().unwrap())
                .map(|own| own[1].to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(promised.len(), 6);
    run(loadgate(temp.path()).args(["run", "f.yaml", "--demo", "--out", "whole", "--traceparent"])).expect(0);
    assert_eq!(files(&temp.path().join("whole")), promised);
    run(loadgate(temp.path()).args(["smoke", "f.yaml", "--demo", "--out", "smoke"])).expect(0);
    let without: BTreeSet<String> = promised.iter().filter(|name| *name != "latency.hlog").cloned().collect();
    assert_eq!(files(&temp.path().join("smoke")), without);
    // Quick, and what earlier versions of the same format left.
    run(loadgate(temp.path()).args(["quick", "http://127.0.0.1:9/", "--for", "1s", "--out", "quick"]))
        .expect(1);
    let earlier = [
        "formats/run-1.json",
        "reports/pass/run.json",
        "reports/fail/run.json",
        "reports/inconclusive/run.json",
    ];
    let earlier = earlier.map(|name| ("run", Path::new(&fixture(name)).to_owned()));
    let own = ["whole", "smoke", "quick"]
        .into_iter()
        .flat_map(|out| ["run", "verdict"].map(|of| (of, temp.path().join(out).join(format!("{of}.json")))));
    for (of, path) in own.chain(earlier) {
        fits(of, &path);
    }
}

/// What a run has left is as `loadgate schema` says, member by member.
#[track_caller]
pub fn fit_their_schemas(out: &Path) {
    fits("run", &out.join("run.json"));
    fits("verdict", &out.join("verdict.json"));
}

#[track_caller]
fn fits(of: &str, path: &Path) {
    let schema: Value = serde_json::from_str(&text(&format!("schema/{of}.json"))).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let mut value = json(path);
    let wrong: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    value["unheard_of"] = true.into();
    assert!(!validator.is_valid(&value), "the schema lets through what is not there");
}

#[test]
fn schemas_that_are_printed_are_those_in_the_folder() {
    let temp = tempfile::tempdir().unwrap();
    for of in ["scenario", "plan", "project", "run", "verdict"] {
        assert_eq!(
            run(loadgate(temp.path()).args(["schema", of])).expect(0).out,
            text(&format!("schema/{of}.json"))
        );
    }
    assert_eq!(files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).len(), 5);
}

/// Every variable that `--help` names stands beside the flag that it is named after.
#[test]
fn twins_in_the_environment_are_named_after_their_flags() {
    let flag = Regex::new(r"^ +(?:-\w, )?--([a-z0-9-]+)").unwrap();
    let twin = Regex::new(r"\[env: (LOADGATE_[A-Z_]+)\]").unwrap();
    let renamed = [("state", "ROLLOUTS"), ("out", "GATES"), ("wait", "MERGE_WAIT")];
    let mut seen = BTreeSet::new();
    for words in commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut own = String::new();
        for line in help(&words).lines() {
            if let Some(found) = flag.captures(line) {
                own = found[1].to_owned();
            }
            let Some(found) = twin.captures(line) else { continue };
            let name = found[1].trim_start_matches("LOADGATE_");
            let as_named = name == own.to_uppercase().replace('-', "_");
            assert!(as_named || renamed.contains(&(own.as_str(), name)), "{words:?}: --{own} and {name}");
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let temp = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(loadgate(temp.path()).args(["completions", shell])).expect(0).out;
        assert!(script.contains("require-baseline") && script.contains("rollout"), "{shell}");
        assert!(!script.contains("supervise"), "{shell} completes what is nobody's to call");
    }
    let script = run(loadgate(temp.path()).args(["completions", "bash"])).expect(0).out;
    std::fs::write(temp.path().join("c.bash"), script).unwrap();
    let asked = "source c.bash; COMP_WORDS=(loadgate rollo); COMP_CWORD=1; _loadgate loadgate rollo loadgate; echo \"${COMPREPLY[@]}\"";
    run(std::process::Command::new("bash").args(["-c", asked]).current_dir(temp.path()))
        .expect(0)
        .says("rollout");
    run(loadgate(temp.path()).args(["man", "pages"])).expect(0);
    let pages = files(&temp.path().join("pages"));
    for words in commands() {
        assert!(pages.contains(&format!("loadgate-{}.1", words.join("-"))), "{words:?} is not in {pages:?}");
    }
    assert!(pages.contains("loadgate.1"));
    let page = std::fs::read_to_string(temp.path().join("pages/loadgate-run.1")).unwrap();
    assert!(page.contains("loadgate\\-run") && page.contains("require\\-baseline"), "{page}");
}
