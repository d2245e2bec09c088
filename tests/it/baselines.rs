use std::path::{Path, PathBuf};

use loadgate::baseline::{BaselineDocument, Library};
use loadgate::error::Error;
use loadgate::metrics::Repeat;
use loadgate::store::Shelf;
use serde_json::Value;

use crate::simulator::model::{Change, World, look, random, record};
use crate::support::{Ran, fixture, json, loadgate, run};

const WORLD: World = World::new(5, 0.02);

/// Writes a made run of one look; its build is named by the prefix of its name.
pub fn made(folder: &Path, name: &str, change: Change, day: u32) -> String {
    let seed = name.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut look = look(WORLD, change, name, 1, &mut random(seed, 0, 0));
    let started = format!("2026-10-{day:02}T12:00:00Z");
    look.started.clone_from(&started);
    look.build_id = name.split_once('-').map(|(build, _)| build.to_owned());
    let mut record = record(WORLD, name, (Repeat::Times(1), false), vec![look]);
    record.started = started;
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("run.json"), serde_json::to_string(&record).unwrap()).unwrap();
    name.to_owned()
}

pub fn five(folder: &Path, build: &str, change: Change, day: u32) -> Vec<String> {
    (0..5).map(|i| made(folder, &format!("{build}-{i}"), change, day)).collect()
}

fn baseline(folder: &Path, verb: &str, args: &[&str]) -> Ran {
    run(loadgate(folder).args(["baseline", verb]).args(args))
}

fn refresh(folder: &Path, runs: &[String], args: &[&str]) -> Ran {
    run(loadgate(folder).args(["baseline", "refresh", "--from"]).args(runs).args(args))
}

fn compare(folder: &Path, runs: &[String], args: &[&str]) -> Ran {
    run(loadgate(folder).arg("compare").args(runs).args(args))
}

fn stored(folder: &Path, feature: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("baselines/simulated").join(feature)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// New endpoints are taken one by one, worse levels with a reason only, and nothing that verdicts need is pruned.
#[test]
fn a_baselines_life() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let first = five(folder, "one", Change::Same, 1);

    refresh(folder, &first, &[]).expect(2).says("no terminal to ask on");
    refresh(folder, &first, &["--yes"])
        .expect(3)
        .says("left out: f0/step is new")
        .says("no endpoint is left");
    refresh(folder, &first, &["--yes", "--new", "f9/*"]).expect(2).says("new are f0/step");
    assert!(stored(folder, "f0").is_empty(), "nothing is stored that nobody accepted");
    refresh(folder, &first, &["--yes", "--new", "f0/step", "--new", "f[1]"]).expect(2);
    refresh(folder, &first, &["--yes", "--new", "*", "--reason", "first"])
        .expect(0)
        .says("new: f0/step: p50");
    assert_eq!(stored(folder, "f0").len(), 6, "five runs and the anchor");

    baseline(folder, "show", &["--env", "simulated", "f0"])
        .expect(0)
        .says("f0/step")
        .says("one look proves")
        .says("first");
    baseline(folder, "verify", &["--env", "simulated"]).expect(0).says("every file is whole");
    baseline(folder, "verify", &["--env", "simulated", &fixture("short/churn-prediction.yaml")])
        .expect(4)
        .says("MISSING");

    let same = five(folder, "two", Change::Same, 2);
    let slow = five(folder, "slow", Change::Slower(0.2), 3);
    compare(folder, &same[..1], &["--gate", "regression"]).expect(0).says("GO. PASS");
    let caught = compare(folder, &slow, &["--repeat", "auto", "--gate", "safety", "--explain"]).expect(1);
    caught.says("REGRESSION f0/step").says("HOW IT WAS JUDGED").says("beyond them");

    // The other builds of the set are at another level, and say so.
    let refused = refresh(folder, &slow, &["--yes"]).expect(1);
    refused.says("WORSE").says("worse than what was accepted");
    assert_eq!(stored(folder, "f0").len(), 6);
    refresh(folder, &same, &["--yes", "--reason", "second"]).expect(0);
    refresh(folder, &slow, &["--yes", "--accept", "explanations cost 20%"]).expect(0);
    let anchor = json(&folder.join("baselines/simulated/f0/_anchor.json"));
    let given_up = anchor["endpoints"]["f0/step"]["given_up"].as_array().unwrap();
    assert!(given_up.iter().any(|g| g["reason"] == "explanations cost 20%"), "{anchor}");
    baseline(folder, "show", &["--env", "simulated", "f0"]).expect(0).says("given up: p");
    // What was accepted is the level now.
    compare(folder, &slow[..1], &["--gate", "regression"]).expect(0);

    let before = compare(folder, &slow[..1], &["--format", "json"]).out;
    let pruned = baseline(folder, "prune", &["--env", "simulated", "--keep", "5"]).expect(2);
    pruned.says("no terminal to ask on");
    assert_eq!(stored(folder, "f0").len(), 16);
    baseline(folder, "prune", &["--env", "simulated", "--keep", "5", "--yes"])
        .expect(0)
        .says("removed 50 files");
    assert_eq!(stored(folder, "f0").len(), 6);
    assert_eq!(compare(folder, &slow[..1], &["--format", "json"]).out, before, "no verdict needed them");
    baseline(folder, "prune", &["--env", "simulated", "--yes"]).expect(0).says("nothing to remove");

    let damaged = &stored(folder, "f1")[1];
    let text = std::fs::read_to_string(damaged).unwrap();
    std::fs::write(damaged, text.replacen("\"errors\": ", "\"errors\": 9", 1)).unwrap();
    let told = baseline(folder, "verify", &["--env", "simulated"]).expect(2);
    told.says("DAMAGED").says("checksum").says(damaged.file_name().unwrap().to_str().unwrap());
    baseline(folder, "verify", &["--env", "nowhere"]).expect(2).says("no baselines in baselines/nowhere");
}

/// Four steps of +4%, each of which passes: the third is a creep of 12% over the best level.
#[test]
fn creep_in_small_steps_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let step = |number: u32| {
        let change = Change::Slower(1.04f64.powi(number as i32) - 1.0);
        five(folder, &format!("step{number}"), change, number + 1)
    };
    refresh(folder, &step(0), &["--yes", "--new", "*"]).expect(0);
    refresh(folder, &step(1), &["--yes"]).expect(0);
    refresh(folder, &step(2), &["--yes"]).expect(0);
    let third = step(3);
    let verdict = compare(folder, &third, &["--format", "json"]).expect(0).out;
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    let creeps: Vec<&Value> =
        verdict["findings"].as_array().unwrap().iter().filter(|f| f["kind"] == "creep").collect();
    assert!(creeps.iter().all(|f| f["endpoint"] == "f0/step" && f["severity"] == "warn"), "{creeps:?}");
    assert!(!creeps.is_empty(), "a creep is told with every verdict");
    refresh(folder, &third, &["--yes"]).expect(1).says("Crept up: p").says("best accepted level");
    refresh(folder, &third, &["--yes", "--accept", "richer answers"]).expect(0);
    let verdict = compare(folder, &third, &["--format", "json"]).expect(0).out;
    assert!(!verdict.contains("\"creep\""), "an accepted level is the new anchor");
}

/// The other side must be fit to be compared with, and each run named once.
#[test]
fn compared_with_runs_that_are_fit_for_it() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let base = five(folder, "base", Change::Same, 1);
    let same = made(folder, "same-0", Change::Same, 2);
    let against = |others: &[&str]| {
        let mut args = vec!["--against"];
        args.extend(others);
        compare(folder, std::slice::from_ref(&same), &args)
    };
    against(&["base-0", "base-1", "base-2", "base-3", "base-4"]).expect(0).says("GO. PASS");
    against(&["base-0", "base-0"]).expect(2).says("named twice");
    against(&["same-0"]).expect(2).says("named twice");
    let path = folder.join(&base[0]).join("run.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let dropped = text.replacen("\"dropped_arrivals\":0", "\"dropped_arrivals\":7", 1);
    assert_ne!(text, dropped);
    std::fs::write(&path, dropped).unwrap();
    against(&["base-0", "base-1"]).expect(2).says("no measurement to go by").says("7 arrivals were dropped");
    std::fs::write(&path, text.replacen("\"shard\":null", "\"shard\":{\"index\":0,\"count\":2}", 1)).unwrap();
    against(&["base-0"]).expect(2).says("no measurement to go by");
    compare(folder, &[base[0].clone(), base[1].clone()], &[]).expect(2).says("one shard of a load");
    refresh(folder, &[base[0].clone()], &["--yes", "--new", "*"]).expect(2).says("one shard is no baseline");
    let elsewhere = text.replacen("\"env\":\"simulated\"", "\"env\":\"staging\"", 1);
    std::fs::write(&path, elsewhere).unwrap();
    compare(folder, &[base[1].clone(), base[0].clone()], &[]).expect(2).says("environment `staging`");
}

/// What the explanation says of a regression, of an open question and of a pass; to the byte.
#[test]
fn explained_to_the_byte() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    refresh(folder, &five(folder, "base", Change::Same, 1), &["--yes", "--new", "*"]).expect(0);
    let cases = [
        ("fail", Change::Slower(0.2), 3, 1),
        ("open", Change::Slower(0.08), 1, 3),
        ("pass", Change::Same, 5, 0),
    ];
    for (name, change, looks, code) in cases {
        let runs: Vec<String> = (0..looks).map(|i| made(folder, &format!("{name}-{i}"), change, 3)).collect();
        let explain = || {
            compare(folder, &runs, &["--repeat", "auto", "--gate", "safety", "--explain"]).expect(code).out
        };
        let text = explain();
        assert_eq!(text, explain(), "the same inputs, the same bytes");
        insta::assert_snapshot!(format!("explained_{name}"), text);
    }
}

/// Files of every format that was ever written are read.
#[test]
fn earlier_formats_are_read() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let formats = PathBuf::from(fixture("formats"));
    let target = folder.join("baselines/demo/churn-prediction");
    std::fs::create_dir_all(&target).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(&formats).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("baseline-") {
            std::fs::copy(&path, target.join(&name)).unwrap();
            seen += 1;
        } else if name.starts_with("anchor-") {
            std::fs::copy(&path, target.join("_anchor.json")).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 3, "a fixture for each format: baseline 1 and 2, anchor 1");
    baseline(folder, "verify", &["--env", "demo"]).expect(0).says("2 runs");
    baseline(folder, "show", &["--env", "demo"]).expect(0).says("churn-prediction/score tenant");
    let run_json = formats.join("run-1.json").to_str().unwrap().to_owned();
    // Its stage is shorter than the baselines'.
    compare(folder, &[run_json], &[]).expect(0).says("against 1 baseline instance");
    // A later format is refused, not guessed at.
    let later = std::fs::read_to_string(formats.join("baseline-1.json")).unwrap();
    std::fs::write(target.join("later.json"), later.replacen("\"format\": 1", "\"format\": 99", 1)).unwrap();
    baseline(folder, "verify", &["--env", "demo"]).expect(2).says("format 99 is not known");
}

/// Each byte of a file as three others: what is then read is the same as before, or nothing is.
fn any_byte_changed(whole: &[u8], read: impl Fn(&[u8]) -> Result<Value, Error>) {
    let before = read(whole).unwrap();
    let mut bytes = whole.to_vec();
    let (mut refused, mut same) = (0, 0);
    for at in 0..whole.len() {
        let was = whole[at];
        let digit = if was.is_ascii_digit() { b'0' + (was - b'0' + 1) % 10 } else { b'7' };
        for other in [was ^ 1, was ^ 0x80, digit] {
            bytes[at] = other;
            match read(&bytes) {
                Ok(read) => {
                    assert_eq!(read, before, "byte {at}: {} for {}", char::from(other), char::from(was));
                    same += 1;
                }
                Err(error) => {
                    let told = error.to_string();
                    assert!(told.contains("hint: restore it from version control"), "byte {at}: {told}");
                    refused += 1;
                }
            }
        }
        bytes[at] = was;
    }
    assert!(refused > 50 * same, "{refused} refused, {same} read the same");
}

#[test]
fn a_baseline_changed_in_any_byte_is_refused_or_the_same() {
    let json = |document: &BaselineDocument| serde_json::to_value(document).unwrap();
    let whole = std::fs::read(fixture("formats/baseline-2.json")).unwrap();
    any_byte_changed(&whole, |bytes| {
        BaselineDocument::from_bytes(Path::new("baseline.json"), bytes).map(|document| json(&document))
    });
    let temp = tempfile::tempdir().unwrap();
    let library = Library::new(&Shelf::local(temp.path()), "test");
    let path = temp.path().join("test/f/_anchor.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    any_byte_changed(&std::fs::read(fixture("formats/anchor-1.json")).unwrap(), |bytes| {
        std::fs::write(&path, bytes).unwrap();
        library.anchor("f").map(|anchor| serde_json::to_value(anchor).unwrap())
    });
}
