//! A disk that is full, or that may not be written: one clear error at each write, and what fitted is whole.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::routing::{get, post};
use serde_json::Value;

use crate::baselines::made;
use crate::gates::Gates;
use crate::rollouts::{PHASES, SHOP, SWITCH, night, plan, switched};
use crate::servers::{Service, folder};
use crate::simulator::model::Change;
use crate::support::{Demo, Ran, apart, at_once, files, loadgate, requests, results, run, whole};
use crate::survival::{PAGE, reported, stored};

/// Runs it where `full` is a disk with these options; what is on that afterwards is in `kept`.
fn on_a_disk(folder: &Path, options: &str, before: &str, args: &[&str]) -> Ran {
    fs::create_dir(folder.join("full")).unwrap();
    let script = format!(
        "mount -t tmpfs -o {options} none full || exit 99; {before}\n\"$0\" \"$@\"; code=$?; cp -a full kept; exit $code"
    );
    let ran = run(apart(folder, 'm', &script).args(args)).sound();
    whole(&folder.join("kept"), false);
    ran
}

/// One clear error of loadgate's own, and that code.
#[track_caller]
fn refused(ran: Ran, phrase: &str) -> Ran {
    assert_eq!(ran.err.matches("error: ").count(), 1, "{}", ran.err);
    ran.expect(5).says(phrase)
}

/// What fitted is there, and says what was measured.
#[test]
fn a_disk_that_is_full_at_any_write_is_one_clear_error_and_loses_nothing_that_fitted() {
    let service = Service::start(Router::new().fallback(get(async || "well")));
    let quick = ["quick", &service.url, "--rate", "100/s", "--for", "2s", "--warmup", "0s", "--out", "full"];
    let longer = [&quick[..5], &["6s"], &quick[6..]].concat();
    let smoke = ["smoke", "scenario.yaml", "--target", &service.url, "--out", "full"];
    let many = ["run", "many.yaml", "--target", &service.url, "--out", "full"];
    let rows = [
        // By the number of files, of which the root is one.
        (&quick[..], "nr_inodes=1", "true", "cannot create journal full/journal", None),
        (&quick, "nr_inodes=2", "true", "cannot write full/run.json", Some(200)),
        (&quick, "nr_inodes=3", "true", "cannot write full/latency.hlog", Some(200)),
        (&quick, "nr_inodes=4", "true", "cannot write full/verdict.json", Some(200)),
        (&quick, "nr_inodes=5", "true", "cannot write full/report.md", Some(200)),
        (&quick, "nr_inodes=6", "true", "cannot write full/junit.xml", Some(200)),
        (&smoke, "size=12k", "true", "cannot write full/report.html", Some(0)),
        (&quick, "size=4k", BALLAST, "cannot append to journal full/journal", None),
        (&longer, "size=8k", "true", "cannot append to journal full/journal", Some(50)),
        (&longer, "size=12k", &for_a_moment(4096, 8192), "cannot append to journal full/journal", Some(50)),
        (&many, "size=40k", "true", "cannot append to journal full/journal", Some(25)),
        (
            &many,
            "size=128k",
            &for_a_moment(90_112, 40_960),
            "cannot append to journal full/journal",
            Some(50),
        ),
    ];
    at_once(&rows, |(args, options, before, phrase, left)| {
        let folder = folder(PAGE);
        fs::write(folder.path().join("many.yaml"), many_steps()).unwrap();
        refused(on_a_disk(folder.path(), options, before, args), phrase).says("No space left on device");
        if let Some(least) = left {
            let shown = reported(folder.path(), "kept");
            assert!(requests(&shown) >= *least, "{options}, {before}: {shown}");
        }
    });
}

const BALLAST: &str = "head -c 4096 /dev/zero >full/ballast";

/// Somebody else makes room as soon as the journal could not be gone on with.
fn for_a_moment(ballast: usize, journal: usize) -> String {
    format!(
        "head -c {ballast} /dev/zero >full/ballast; for i in $(seq 1000); do \
         [ \"$(stat -c %s full/journal 2>&1)\" = {journal} ] && rm full/ballast && break; sleep 0.01; done &"
    )
}

/// So many endpoints that what is written at once is more than a buffer holds.
fn many_steps() -> String {
    let steps = (0..30).map(|i| format!("  - {{ name: s{i}, get: /{i} }}\n")).collect::<Vec<_>>().concat();
    format!("feature: page\nsteps:\n{steps}load: {{ warmup: 0s, stages: [ {{ rate: 25/s, for: 6s }} ] }}\n")
}

#[test]
fn where_nothing_can_be_written_it_says_so_and_sends_nothing() {
    let service = Service::start(Router::new().fallback(get(async || "well")));
    let read_only = "mount --bind full full && mount -o remount,bind,ro full";
    for (before, out, phrase) in [
        (read_only, "full", "cannot create journal full/journal: Read-only file system"),
        (read_only, "full/below", "cannot create folder full/below: Read-only file system"),
        ("touch file", "file", "cannot create folder file: "),
        ("touch file", "file/below", "cannot create folder file/below: Not a directory"),
        ("ln -s nowhere link", "link", "cannot create folder link: "),
        ("ln -s link link", "link", "cannot create folder link: "),
        ("ulimit -f 0", "out", "journal: File too large"),
        ("ulimit -f 8", "out", "cannot write out/report.html: File too large"),
    ] {
        let folder = folder(PAGE);
        fs::create_dir(folder.path().join("full")).unwrap();
        let mut command = apart(folder.path(), 'm', &format!("{before} && exec \"$0\" \"$@\""));
        command.args(["smoke", "scenario.yaml", "--target", &service.url, "--out", out]);
        refused(run(&mut command).sound(), phrase);
        assert!(service.log().is_empty() || out == "out", "{before}: {:?}", service.log());
        whole(&results(folder.path()), false);
    }
}

#[test]
fn no_command_leaves_a_part_of_its_files_on_a_full_disk() {
    let demo = Demo::start(&[]);
    let url = format!("{}/dashboard", demo.url);
    let record = ["baseline", "record", "scenario.yaml", "--target", &demo.url, "--baselines", "full"];
    let record = [&record[..], &["--repeat", "1", "--reason", "a full disk"]].concat();
    let rows: [(&str, &[&str]); 7] = [
        ("size=4k", &["report", "one-0", "--format", "html", "-o", "full/new.html"]),
        ("size=4k", &["compare", "one-0", "--format", "markdown", "-o", "full/ballast"]),
        ("size=4k", &["import", "curl", "commands", "--dir", "full"]),
        ("size=4k", &["init", &url, "--dir", "full"]),
        ("size=16k", &["init", &url, "--dir", "full"]),
        ("size=4k", &record),
        ("nr_inodes=2", &record),
    ];
    at_once(&rows, |(options, args)| {
        let folder = folder(PAGE);
        made(folder.path(), "one-0", Change::Same, 1);
        fs::write(folder.path().join("commands"), format!("curl {url}\n")).unwrap();
        refused(on_a_disk(folder.path(), options, BALLAST, args), "No space left on device");
        let kept = folder.path().join("kept");
        assert_eq!(files(&kept), [kept.join("ballast")], "{args:?}");
        assert_eq!(fs::read(kept.join("ballast")).unwrap(), [0; 4096], "{args:?}");
    });
}

#[test]
fn a_set_of_baselines_is_stored_whole_or_not_at_all() {
    let rows: Vec<u32> = (1..=20).collect();
    at_once(&rows, |files| {
        let folder = tempfile::tempdir().unwrap();
        let one = made(folder.path(), "one-0", Change::Same, 1);
        let args = ["baseline", "refresh", "--from", &one, "--yes", "--new", "*", "--baselines", "full"];
        let ran = on_a_disk(folder.path(), &format!("nr_inodes={files}"), "true", &args);
        let stored = stored(folder.path(), "kept", "simulated");
        if ran.code == 0 {
            // The folders with the root, five runs and their anchors.
            assert!(stored == 5 && *files >= 17, "{stored} by {files}");
        } else {
            refused(ran, "No space left on device");
            assert!(stored == 0 && *files < 17, "{stored} by {files}");
        }
    });
}

/// Every command that writes several files, with one more file that fits each time, until all do.
#[test]
fn wherever_a_disk_is_full_no_command_tells_a_verdict_that_it_has_not_written() {
    let service = Service::start(Router::new().fallback(get(async || "well")));
    let url = service.url.as_str();
    let two = tempfile::tempdir().unwrap();
    let page = "feature: page\nsteps: [ { name: page, get: /page } ]\n";
    for shard in ["0/2", "1/2"] {
        let out = two.path().join(shard.replace('/', "-"));
        fs::write(two.path().join("page.yaml"), PAGE).unwrap();
        let mut command = loadgate(two.path());
        command.args(["run", "page.yaml", "--target", url, "--shard", shard, "--out"]).arg(out);
        run(&mut command).sound().expect(0);
    }
    let shards = two.path().to_str().unwrap();
    let rows: [(&str, &[&str], i32, usize); 4] = [
        ("smoke", &["smoke", "scenario.yaml", "--target", url, "--out", "full"], 0, 5),
        ("services", &["smoke", "--target", url, "--out", "full"], 0, 13),
        // Its shards were not begun together.
        ("merge", &["merge", shards, "--out", "full"], 3, 6),
        (
            "told",
            &["smoke", "scenario.yaml", "--target", url, "--probes", "told.yaml", "--out", "full"],
            0,
            6,
        ),
    ];
    at_once(&rows, |(name, args, code, all)| {
        for inodes in 1.. {
            assert!(inodes < 40, "{name} never gets by");
            let folder = folder(page);
            fs::write(folder.path().join("two.yaml"), page.replace("page", "two")).unwrap();
            let services = "services: { one: scenario.yaml, two: two.yaml }\n";
            fs::write(folder.path().join("loadgate.yaml"), services).unwrap();
            let nobody = "notify: [ { webhook: \"http://127.0.0.1:9\", on: [pass], retries: 0 } ]\n";
            fs::write(folder.path().join("told.yaml"), nobody).unwrap();
            let ran = on_a_disk(folder.path(), &format!("nr_inodes={inodes}"), "true", args);
            let there = files(&folder.path().join("kept")).len();
            if ran.code == *code && there == *all {
                break;
            }
            // What is to be told is no part of the verdict.
            if *name == "told" && ran.code == 0 {
                assert_eq!(there, all - 1);
                let ran = ran.says("outbox.jsonl: No space left on device");
                ran.says("could not be told in 1 try").says("nor can that be written down");
                continue;
            }
            assert!(there < *all, "{name}, {inodes}: {there} files, {}\n{}", ran.code, ran.err);
            ran.expect(5).says("No space left on device");
        }
    });
}

/// Whatever a rollout could not write down, it goes on once there is room, and has shifted once.
#[test]
fn a_rollout_on_a_full_disk_shifts_nothing_twice_and_goes_on_once_there_is_room() {
    let service = Service::start(Router::new().fallback(get(async || "[]")));
    let by_inodes =
        (1..=12).chain([14, 16, 18, 20, 21, 22, 24, 26]).map(|inodes| format!("nr_inodes={inodes}"));
    let by_size = [4, 8, 12, 16, 24, 40].map(|kilobytes| format!("size={kilobytes}k"));
    let rows: Vec<String> = by_inodes.chain(by_size).collect();
    at_once(&rows, |options| {
        let night = night(SHOP, SWITCH, &plan(&service.url, &service.url, PHASES));
        let folder = night.path();
        fs::create_dir(folder.join("full")).unwrap();
        // What is held goes on as a person decides who sees whether it has shifted.
        let script = format!(
            "mount -t tmpfs -o {options} none full || exit 99; \"$0\" \"$@\" >first 2>&1; code=$?; echo $code >code
             mount -o remount,size=64m,nr_inodes=1000 full
             if [ $code = 3 ]; then
               word=extend; grep -q 'HELD at 100%, shift' first && [ -s switched.log ] && word=approve
               \"$0\" rollout $word plan.yaml --state full --reason 'there is room' || exit 98
             fi
             \"$0\" \"$@\"; code=$?; cp -a full kept; exit $code"
        );
        let args = ["rollout", "run", "plan.yaml", "--state", "full"];
        let ran = run(apart(folder, 'm', &script).args(args)).sound();
        let code: i32 = fs::read_to_string(folder.join("code")).unwrap().trim().parse().unwrap();
        let first = fs::read_to_string(folder.join("first")).unwrap();
        for path in files(&folder.join("kept")) {
            let text = fs::read_to_string(&path).unwrap();
            let kind = path.extension().and_then(|kind| kind.to_str());
            let good = match kind {
                Some("json" | "ended") => serde_json::from_str::<Value>(&text).is_ok(),
                Some("jsonl") => text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
                _ => true,
            };
            assert!(good, "{options}: {} is not whole: {text}", path.display());
        }
        if code != 0 {
            assert!(code == 5 || first.contains("\nHELD at "), "{options}: {first}");
            assert!(first.contains("No space left on device"), "{options}: {first}");
        }
        ran.expect(0).says("COMPLETE");
        assert_eq!(switched(folder), ["100% 0 100"], "{options}");
    });
}

/// Nothing is answered that is not written, and nothing is lost for good.
#[test]
fn gates_on_a_full_disk_hold_until_there_is_room() {
    let service = Service::start(Router::new().fallback(get(async || "well")));
    let rows: Vec<u32> = (3..=14).collect();
    at_once(&rows, |inodes| {
        let folder = folder(PAGE);
        fs::create_dir(folder.path().join("full")).unwrap();
        let script = format!(
            "mount -t tmpfs -o nr_inodes={inodes} none full || exit 99
             (while [ ! -e room ]; do sleep 0.05; done; mount -o remount,nr_inodes=1000 full; touch made) >/dev/null 2>&1 &
             exec \"$0\" \"$@\""
        );
        let command = ["smoke", "scenario.yaml", "--target", &service.url];
        let gates = Gates::begin(apart(folder.path(), 'm', &script), "full", &command);
        let (status, answer) = gates.ask("POST", "/gate/one?wait=3s");
        fs::write(folder.path().join("room"), "").unwrap();
        crate::rollouts::until("there is room", || folder.path().join("made").exists());
        assert!(status != 200 || *inodes > 12 || answer["action"] == "hold", "{inodes}: {answer}");
        // Whoever asked asks again, as controllers do.
        let (mut status, mut answer) = gates.ask("POST", "/gate/one?wait=30s");
        if answer["action"] == "hold" {
            (status, answer) = gates.ask("POST", "/gate/one/again?wait=30s");
        }
        assert_eq!((status, &answer["action"]), (200, &"go".into()), "{inodes}: {answer}");
    });
}

/// Neither a full disk nor an output that nobody takes keeps what is proven from whoever is to know it.
#[test]
fn what_is_proven_is_told_and_stays_proven_whatever_cannot_be_written() {
    let service =
        Service::start(Router::new().route("/hook", post(async || "")).fallback(get(async || "ill")));
    let told = format!("notify: [ {{ webhook: \"{}/hook\", on: [fail], retries: 0 }} ]\n", service.url);
    let bad = "feature: page\nsteps: [ { name: page, get: /page, check: [ status: 404 ] } ]\n";
    let args = ["smoke", "scenario.yaml", "--target", &service.url, "--probes", "told.yaml", "--out", "full"];
    for (inodes, redirected) in [(4, ""), (5, ""), (9, ">/dev/full"), (5, ">/dev/full")] {
        let folder = folder(bad);
        fs::write(folder.path().join("told.yaml"), &told).unwrap();
        fs::create_dir(folder.path().join("full")).unwrap();
        let script =
            format!("mount -t tmpfs -o nr_inodes={inodes} none full || exit 99; \"$0\" \"$@\" {redirected}");
        let before = service.count("POST /hook");
        let ran = run(apart(folder.path(), 'm', &script).args(args)).sound().expect(1);
        assert_eq!(ran.err.matches("error: ").count(), 1, "{}", ran.err);
        assert_eq!(ran.out.contains("ROLL BACK"), redirected.is_empty(), "{}", ran.out);
        assert_eq!(service.count("POST /hook"), before + 1, "{inodes} {redirected}: {}", ran.err);
    }
    // Of two services: one is bad, and what they come to together cannot be written.
    let folder = folder(bad);
    fs::write(folder.path().join("two.yaml"), bad.replace("404", "200")).unwrap();
    fs::write(folder.path().join("loadgate.yaml"), "services: { one: scenario.yaml, two: two.yaml }\n")
        .unwrap();
    let ran = on_a_disk(
        folder.path(),
        "nr_inodes=14",
        "true",
        &["smoke", "--target", &service.url, "--out", "full"],
    );
    let ran = ran.expect(1).says("ROLL BACK. 1 proven bad: one").says("No space left on device");
    assert!(!ran.out.contains("junit.xml and combined.json are in"), "{}", ran.out);
}
