use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use hdrhistogram::Histogram as Hdr;
use loadgate::metrics::{
    Block, BlockGrid, ErrorExample, LookBuilder, Outcome as Came, RunRecord, Sample, ShardRecord,
    SmokeRecord, SmokeStatus, SmokeStep, WholePlan, merge_shards,
};
use loadgate::verdict::{Allow, Outcome, judge};
use proptest::prelude::*;
use serde_json::Value;

use crate::judging::{GOOD, Made, record};
use crate::support::{Demo, Ran, fixture, json, loadgate, run};

/// One request: which shard sent it, which endpoint, when it was planned, how long it took, what came of it.
type Told = (u64, usize, u64, u64, u8);

type ChangedOne = fn(&mut RunRecord);
type ChangedAll = fn(&mut Vec<RunRecord>);

const SHARDS: u64 = 5;
const WINDOW_MS: u64 = 20_000;

/// A run of these requests: of one shard, or of all as if one machine had sent them.
fn made(requests: &[Told], shard: Option<u64>) -> RunRecord {
    let mut made = record(&Made { looks: 1, ..GOOD });
    let own: Vec<&Told> =
        requests.iter().filter(|told| shard.is_none_or(|index| told.0 % SHARDS == index)).collect();
    let mut plans = made.scenarios[0].endpoints.clone();
    for (number, plan) in plans.iter_mut().enumerate() {
        let planned =
            |of: &dyn Fn(&Told) -> bool| requests.iter().filter(|told| told.1 == number && of(told)).count();
        let whole = planned(&|_| true) as u64;
        let whole = WholePlan { rate_per_s: whole as f64 / 20.0, planned: whole };
        plan.length_ms = WINDOW_MS;
        (plan.planned, plan.rate_per_s, plan.whole) = match shard {
            None => (whole.planned, whole.rate_per_s, None),
            Some(index) => (
                planned(&|told| told.0 % SHARDS == index) as u64,
                whole.rate_per_s / SHARDS as f64,
                Some(whole),
            ),
        };
    }
    let grid = BlockGrid::new(100.0, WINDOW_MS * 1_000_000);
    let mut blocks: BTreeMap<(usize, u64, bool), Block> = BTreeMap::new();
    for (_, endpoint, at_ns, took_ns, came) in own {
        let warmup = *came > 250;
        let index = grid.index(*at_ns);
        let block = blocks.entry((*endpoint, index, warmup)).or_insert_with(|| Block {
            endpoint: *endpoint,
            index,
            start_ms: grid.start_ns(index) / 1_000_000,
            len_ms: grid.length_ns / 1_000_000,
            warmup,
            ..Block::default()
        });
        let outcome = match came % 50 {
            0 => Came::Failed(loadgate::error_class::ErrorClass::Status),
            1 => Came::Failed(loadgate::error_class::ErrorClass::Timeout),
            2 => Came::Cut,
            _ => Came::Ok,
        };
        let sample = Sample {
            endpoint: *endpoint,
            warmup,
            planned_ns: *at_ns,
            sent_ns: at_ns + took_ns / 10,
            done_ns: at_ns + took_ns,
            outcome,
        };
        block.add(&sample);
    }
    let mut builder = LookBuilder::new(plans.clone());
    for block in blocks.into_values() {
        builder.add(block).expect("an endpoint of the plan");
    }
    let look = &mut made.runs[0];
    (look.window_ms, look.stop) = (WINDOW_MS, "done".into());
    builder.finish(look);
    made.scenarios[0].endpoints = plans;
    if let Some(index) = shard {
        made.id = format!("2026112{index}T080000Z-{index}{index}");
        made.started = format!("2026-11-26T08:00:0{index}Z");
        made.shard = Some(ShardRecord { index, count: SHARDS });
        let example = |number: u64| ErrorExample {
            endpoint: "f/a".into(),
            class: loadgate::error_class::ErrorClass::Status,
            message: format!("{number} of shard {index}"),
            evidence: None,
        };
        made.error_examples = (0..9).map(example).collect();
        let (status, message) = match index {
            3 => (SmokeStatus::NearMiss, Some("first try: 503".to_owned())),
            _ => (SmokeStatus::Passed, None),
        };
        made.smoke = Some(SmokeRecord {
            steps: vec![SmokeStep {
                endpoint: "f/a".into(),
                place: "f.yaml:3".into(),
                status,
                elapsed_ms: index as f64,
                request: None,
                message,
                class: None,
                evidence: None,
            }],
        });
    }
    made
}

fn requests() -> impl Strategy<Value = Vec<Told>> {
    let one = (0..SHARDS, 0..2usize, 0..WINDOW_MS * 1_000_000, 1_000u64..3_000_000_000, any::<u8>());
    proptest::collection::vec(one, 0..400)
}

/// Merges in the order of `keys`, two at a time where `pairwise` says so.
fn merged(mut parts: Vec<RunRecord>, keys: &[u8], pairwise: bool) -> RunRecord {
    let mut keyed: Vec<_> = keys.iter().copied().zip(parts.drain(..)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    let mut parts: Vec<_> = keyed.into_iter().map(|(_, part)| part).collect();
    while pairwise && parts.len() > 2 {
        let (at, one) = (parts.len() / 2, parts.remove(parts.len() / 2));
        let other = parts.remove(at - 1);
        parts.push(merge_shards(vec![one, other]).expect("shards of one load"));
    }
    merge_shards(parts).expect("shards of one load")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any order, any steps: the same record. And what was measured is what one machine would have recorded, to the bucket.
    #[test]
    fn shards_merge_without_loss_in_any_order(
        requests in requests(),
        keys in proptest::collection::vec(any::<u8>(), SHARDS as usize),
        left_out in 0..2 * SHARDS,
    ) {
        let part = |index| RunRecord { unverified: index == 3, ..made(&requests, Some(index)) };
        let parts: Vec<RunRecord> = (0..SHARDS).map(part).collect();
        let at_once = merged(parts.clone(), &[0, 1, 2, 3, 4], false);
        let text = serde_json::to_string(&at_once).unwrap();
        prop_assert_eq!(&serde_json::to_string(&merged(parts.clone(), &keys, false)).unwrap(), &text);
        prop_assert_eq!(&serde_json::to_string(&merged(parts.clone(), &keys, true)).unwrap(), &text);
        prop_assert!(at_once.unverified, "one of them verified no certificate");
        // A record that was written and read again merges all the same.
        let stored = parts.iter().map(|part| {
            serde_json::from_str::<RunRecord>(&serde_json::to_string(part).unwrap()).unwrap()
        });
        prop_assert_eq!(&serde_json::to_string(&merged(stored.collect(), &keys, true)).unwrap(), &text);
        let whole = made(&requests, None);
        let (one, all) = (&whole.runs[0], &at_once.runs[0]);
        prop_assert_eq!(&one.blocks, &all.blocks);
        for (one, all) in one.endpoints.iter().zip(&all.endpoints) {
            prop_assert_eq!((&one.response, &one.service, &one.error), (&all.response, &all.service, &all.error));
            prop_assert_eq!((one.requests, &one.errors, one.cut), (all.requests, &all.errors, all.cut));
            prop_assert!((one.rate_achieved - all.rate_achieved).abs() < 1e-9);
        }
        prop_assert_eq!(one.warmup.p50_ms, all.warmup.p50_ms);
        prop_assert_eq!((at_once.error_examples.len(), at_once.merged.as_ref().unwrap().shards.len()), (20, 5));
        // Without some of them it says which.
        let kept: Vec<_> = parts.into_iter().filter(|part| part.shard.unwrap().index != left_out).collect();
        let lacking = merge_shards(kept).unwrap().merged.unwrap().missing();
        prop_assert_eq!(lacking, (0..SHARDS).filter(|index| *index == left_out).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_no_part_of_the_same_load_is_refused() {
    let told: Vec<Told> = (0..50).map(|n| (n, 0, n * 1_000_000, 5_000_000, 9)).collect();
    let part = |index| made(&told, Some(index));
    let table: [(ChangedOne, &str); 8] = [
        (|r| r.shard = None, "a whole run, not a shard"),
        (|r| r.shard = Some(ShardRecord { index: 0, count: 5 }), "two runs of shard 0/5"),
        (|r| r.shard = Some(ShardRecord { index: 1, count: 4 }), "one of 4 shards, the first one of 5"),
        (
            |r| r.scenarios[0].digest = "another0digest".into(),
            "its scenario f is another: digest another0dige",
        ),
        (|r| r.scenarios[0].endpoints[1].digest = "x".into(), "f/b was to be sent otherwise"),
        (|r| r.target = "http://other".into(), "its target is http://other"),
        (|r| r.plan.gate = "safety".into(), "judged otherwise"),
        (|r| r.loadgate_version = "9.9.9".into(), "version of loadgate is 9.9.9"),
    ];
    for (change, expected) in table {
        let mut other = part(1);
        change(&mut other);
        let refused = merge_shards(vec![part(0), other]).expect_err(expected);
        assert!(refused.record == 1 && refused.reason.contains(expected), "{expected}: {refused:?}");
    }
}

/// What each shard that is not whole is called, and that nothing passes without it.
#[test]
fn a_shard_that_is_not_whole_is_named_and_holds() {
    let told: Vec<Told> = (0..40_000)
        .map(|n| (n, (n / SHARDS % 2) as usize, n * 500_000, 5_000_000 + n % 7 * 100_000, 9))
        .collect();
    let parts: Vec<RunRecord> = (0..SHARDS).map(|index| made(&told, Some(index))).collect();
    let verdict = |change: &dyn Fn(&mut Vec<RunRecord>)| {
        let mut parts = parts.clone();
        change(&mut parts);
        judge(&merge_shards(parts).unwrap(), &[], Allow { no_baseline: true, unresolved: false }).verdict
    };
    let whole = verdict(&|_| {});
    assert_eq!(whole.outcome, Outcome::Pass, "{:#?}", whole.findings);
    let table: [(ChangedAll, &str); 9] = [
        (|p| drop(p.remove(3)), "Shard 3/5 is missing: what is here is 4 of 5 parts"),
        (|p| p.truncate(2), "Shards 2/5, 3/5 and 4/5 are missing"),
        (|p| p[1].interrupted = Some("crash".into()), "Shard 1/5 was killed, or fell over"),
        (|p| p[1].interrupted = Some("SIGTERM".into()), "Shard 1/5 was ended by SIGTERM"),
        (
            |p| {
                p[2].runs.clear();
                p[2].not_ready = Some("after 60 s, connection refused".into());
            },
            "Shard 2/5 sent no load: for it the target never became ready: after 60 s",
        ),
        (
            |p| {
                p[2].runs.clear();
                p[2].setup_failed = Some("make: got 500.".into());
            },
            "Shard 2/5 sent no load: its setup failed. make: got 500.",
        ),
        (|p| p[4].runs[0].generator.dropped_arrivals = 3, "shard 4/5: 3 arrivals were dropped"),
        (
            |p| {
                for (seconds, part) in p.iter_mut().enumerate() {
                    part.runs[0].window_started = Some(format!("2026-11-26T08:00:0{}Z", seconds / 4 * 3));
                }
            },
            "began 3.0 s apart (by their own clocks",
        ),
        (
            |p| p[0].runs[0].warmup.unsteady = Some("never reached a steady state".into()),
            "(seen by shard 0/5)",
        ),
    ];
    for (change, expected) in table {
        let verdict = verdict(&change);
        assert_eq!(verdict.outcome, Outcome::Inconclusive, "{expected}: {:#?}", verdict.findings);
        assert!(verdict.summary.contains(expected), "{expected}: {}", verdict.summary);
    }
    // What one shard proved stays proven, whatever befell another.
    let broken = verdict(&|p| {
        p.remove(3);
        p[0].runs.clear();
        p[0].smoke.as_mut().unwrap().steps[0].status = SmokeStatus::Failed;
    });
    assert_eq!((broken.outcome, broken.exit_code), (Outcome::Fail, 1));
    // Clocks that are apart are set right before anything is said of when the shards began.
    let told_apart = |p: &mut Vec<RunRecord>| {
        for (seconds, part) in p.iter_mut().enumerate() {
            part.runs[0].window_started = Some(format!("2026-11-26T08:00:0{seconds}Z"));
            part.clock =
                Some(loadgate::metrics::ClockRecord { ahead_ms: seconds as f64 * 1000.0, within_ms: 4.0 });
        }
    };
    let set_right = verdict(&told_apart);
    assert_eq!(set_right.outcome, Outcome::Pass, "{:#?}", set_right.findings);
    let said = |f: &loadgate::verdict::Finding| {
        f.reason.contains("began within 0 ms of each other (±8 ms, by the target's clock)")
    };
    assert!(set_right.findings.iter().any(said), "{:#?}", set_right.findings);
}

fn merge(folder: &Path, runs: &[&str], more: &[&str]) -> Ran {
    run(loadgate(folder).arg("merge").args(runs).args(more))
}

/// The response times that several records hold of an endpoint, added up by the library alone.
fn added(records: &[PathBuf], endpoint: usize) -> Hdr<u64> {
    let mut all = Hdr::<u64>::new_with_bounds(1_000, 3_600_000_000_000, 3).unwrap();
    for path in records {
        let record = json(path);
        let text = record["runs"][0]["endpoints"][endpoint]["response"].as_str().unwrap().to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let one: Hdr<u64> =
            hdrhistogram::serialization::Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        all.add(one).unwrap();
    }
    all
}

/// Four processes as shards of one load, begun together; one of a second load is killed.
#[test]
fn shards_of_a_load_are_merged_and_judged_as_one() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let demo = Demo::start(&[]);
    let scenario = "feature: shared\nsteps: [ { name: page, get: /dashboard } ]\nload: { warmup: 1s, stages: [ { rate: 160/s, \
                    for: 8s } ] }\nlimits: { p95: < 2s }\n";
    std::fs::write(folder.join("shared.yaml"), scenario).unwrap();
    let start = |file: &str, index: u64, name: &str| {
        let at = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4)).as_second();
        let mut command = loadgate(folder);
        command.args([
            "run",
            &format!("{file}.yaml"),
            "--target",
            &demo.url,
            "--quiet",
            "--start-at",
            &at.to_string(),
        ]);
        command.args(["--out", &format!("{name}/{index}"), "--shard", "auto/4"]);
        command.env("JOB_COMPLETION_INDEX", index.to_string()).stdout(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let mut shards: Vec<_> = (0..4).map(|index| start("shared", index, "all")).collect();
    let awaited = loadgate(folder)
        .args(["merge", "all", "--wait", "60s", "--out", "w"])
        .stdout(std::process::Stdio::null())
        .spawn();
    for shard in &mut shards {
        assert_eq!(shard.wait().unwrap().code(), Some(0));
    }
    assert_eq!(awaited.unwrap().wait().unwrap().code(), Some(0), "it waits for all of them");
    merge(folder, &["all"], &["--out", "one"])
        .expect(0)
        .says("GO. PASS: 1 endpoint within limits.")
        .says("4 shards began within");
    let verdict = json(&folder.join("one/verdict.json"));
    let page = &verdict["endpoints"][0];
    assert_eq!((&page["requests"], &page["rate_offered"]), (&Value::from(1280), &Value::from(160.0)));
    let records: Vec<_> = (0..4).map(|index| folder.join(format!("all/{index}/run.json"))).collect();
    let all = added(&records, 0);
    assert_eq!(all.len(), 1280);
    for (key, q) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
        assert_eq!(page[key].as_f64().unwrap(), all.value_at_quantile(q) as f64 / 1e6, "{key}");
    }
    for record in &records {
        let clock = &json(record)["clock"];
        let (ahead, within) = (clock["ahead_ms"].as_f64().unwrap(), clock["within_ms"].as_f64().unwrap());
        assert!(ahead.abs() <= within + 1.0, "one machine has one clock: {clock}");
    }
    for file in ["run.json", "verdict.json", "report.html", "report.md", "junit.xml", "latency.hlog"] {
        assert!(folder.join("one").join(file).exists(), "{file}");
    }
    for own in ["one", "all/0"] {
        crate::contract::fit_their_schemas(&folder.join(own));
    }
    run(loadgate(folder).args(["report", "one", "--format", "markdown"])).expect(0).says("GO.");
    merge(folder, &["all"], &["--out", "one"]).expect(2).says("one already holds a run");
    // Over two steps it is the same record.
    merge(folder, &["all/3", "all/1"], &["--out", "some"]).expect(3).says("Shards 0/4 and 2/4 are missing");
    merge(folder, &["some", "all/0", "all/2"], &["--out", "again"]).expect(0);
    let read = |name: &str| std::fs::read(folder.join(name).join("run.json")).unwrap();
    assert!(read("one") == read("again"));
    merge(folder, &["all/0", "all/0"], &["--out", "x"]).expect(2).says("shard 0/4 is named twice");
    merge(folder, &["."], &["--out", "x"]).expect(2).says("is named twice");
    merge(folder, &["shared.yaml"], &["--out", "y"]).expect(2).says("cannot read record shared.yaml");

    merge(folder, &["absent"], &["--wait", "10ms"]).expect(2).says("absent");
    merge(folder, &["all/0"], &["--wait", "10ms", "--out", "v"])
        .expect(3)
        .says("Shards 1/4, 2/4 and 3/4 are missing");
    std::fs::write(folder.join("other.yaml"), scenario.replace("/dashboard", "/dashboard?x")).unwrap();
    let mut shards: Vec<_> = (0..4).map(|index| start("shared", index, "killed")).collect();
    let mut other = start("other", 3, "other");
    std::thread::sleep(std::time::Duration::from_secs(10));
    shards[2].kill().unwrap();
    let ends: Vec<_> = shards.iter_mut().map(|shard| shard.wait().unwrap().code()).collect();
    assert_eq!(ends, [Some(0), Some(0), None, Some(0)]);
    let ran = merge(folder, &["killed"], &["--out", "lacking"]).expect(3);
    ran.says("HOLD. The measurement cannot be trusted. Shard 2/4 was killed, or fell over: what it wrote until then is counted.");
    // Nor is it hidden among others, or judged alone.
    let compare = |runs: &[&str]| run(loadgate(folder).arg("compare").args(runs));
    for runs in [["one", "lacking"], ["lacking", "one"]] {
        compare(&runs).expect(2).says("Shard 2/4 was killed").says("judge it by itself");
    }
    compare(&["all/0"]).expect(2).says("one shard of a load is judged by nobody");
    other.wait().unwrap();
    merge(folder, &["all/0", "all/1", "all/2", "other/3"], &["--out", "z"])
        .expect(2)
        .says("cannot merge other/3: its scenario shared is another: digest");
    assert!(!folder.join("z").exists());
}

#[test]
fn shards_are_asked_for_in_ways_that_make_sense() {
    let temp = tempfile::tempdir().unwrap();
    let load = fixture("load");
    let refused = |more: &[&str]| {
        run(loadgate(temp.path()).args(["run", &load, "--target", "http://127.0.0.1:9"]).args(more)).expect(2)
    };
    refused(&["--shard", "auto"]).says("finds no scheduler");
    refused(&["--shard", "0/2", "--repeat", "3"]).says("a shard takes one look");
    refused(&["--shard", "0/2", "--restart-hook", "true"]).says("a shard takes one look");
    run(loadgate(temp.path()).args(["validate", &load, "--shard", "1/8"])).expect(0);
    refused(&["--start-at", "2020-01-01T00:00:00Z"]).says("s ago");
    assert!(std::fs::read_dir(temp.path()).unwrap().next().is_none(), "nothing was sent or written");
}
