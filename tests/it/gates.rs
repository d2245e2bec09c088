use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

use crate::servers::Service;
use crate::support::{loadgate, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `loadgate serve` on a free port; ended with this.
pub struct Gates {
    child: Child,
    address: String,
    _pipes: (BufReader<ChildStdout>, ChildStderr),
}

impl Gates {
    fn start(folder: &Path, token: Option<&str>, command: &[&str]) -> Self {
        let mut serve = loadgate(folder);
        if let Some(token) = token {
            serve.env("LOADGATE_SERVE_TOKEN", token);
        }
        Self::begin(serve, "gates", command)
    }

    /// By a loadgate that is already called.
    pub fn begin(mut serve: Command, out: &str, command: &[&str]) -> Self {
        serve.args(["serve", "--listen", "127.0.0.1:0", "--out", out, "--"]).args(command);
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("no address in `{line}`")).to_owned();
        let pipes = (out, child.stderr.take().unwrap());
        Self { child, address, _pipes: pipes }
    }

    pub fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let (status, text) = self.send(method, path, "", "");
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}")))
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: gates\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status: u16 = head[9..12].parse().unwrap();
        assert_eq!(head.contains("retry-after: 5"), status == 503, "{head}");
        (status, body.to_owned())
    }

    fn end(mut self, signal: &str) -> i32 {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Gates {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
            let _ = self.child.wait();
        }
    }
}

/// One that is well, one that is not, one that nobody listens at.
fn targets() -> (Service, Service) {
    let well = Service::start(Router::new().fallback(get(|| async { "well" })));
    let ill = Service::start(Router::new().fallback(get(|| async { (StatusCode::BAD_GATEWAY, "ill") })));
    (well, ill)
}

fn port(service: &Service) -> String {
    service.url.rsplit(':').next().unwrap().to_owned()
}

const CHECKED: &str = "feature: page\nsteps: [ { name: page, get: /, check: [ { status: 200 } ] } ]\n";

fn folder(scenario: &str) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("page.yaml"), scenario).unwrap();
    temp
}

const SMOKE: [&str; 4] = ["smoke", "page.yaml", "--target", "http://127.0.0.1:{ask.port}"];

/// Go, roll back and hold are three answers, by the action and by the status; the first question begins a gate, no other does.
#[test]
fn a_gate_is_begun_by_its_first_question_and_answered_by_its_verdict() {
    let (well, ill) = targets();
    let temp = folder(CHECKED);
    let gates = Gates::start(temp.path(), None, &SMOKE);
    assert_eq!(gates.send("GET", "/healthz", "", "").0, 200);
    let (status, answer) = gates.ask("GET", "/gate/r1-25?wait=1m");
    assert_eq!(status, 404, "{answer}");
    assert_eq!(gates.ask("POST", "/gate/r1-25/roll-back").0, 404, "begins nothing either");
    assert_eq!(well.count("GET /"), 0);

    let (status, answer) = gates.ask("POST", &format!("/gate/r1-25?port={}&wait=30s", port(&well)));
    assert_eq!((status, &answer["action"], &answer["exit_code"]), (200, &"go".into(), &0.into()), "{answer}");
    assert!(answer["summary"].as_str().unwrap().starts_with("GO."), "{answer}");
    assert_eq!(gates.ask("POST", &format!("/gate/r1-25/go?port={}", port(&well))).0, 200);
    assert_eq!(gates.ask("GET", "/gate/r1-25/roll-back").0, 403);
    assert_eq!(well.count("GET /"), 1, "asked four times, measured once");
    let (status, report) = gates.send("GET", "/gate/r1-25/report", "", "");
    assert!(status == 200 && report.contains("<html"), "{report}");

    let (status, answer) = gates.ask("POST", &format!("/gate/r2-25?port={}&wait=30s", port(&ill)));
    assert_eq!((status, &answer["action"]), (200, &"roll_back".into()), "{answer}");
    assert_eq!(gates.ask("GET", "/gate/r2-25/go").0, 403);
    assert_eq!(gates.ask("GET", "/gate/r2-25/roll-back").0, 200);
    let (status, answer) = gates.ask("POST", "/gate/r2-25/again");
    assert_eq!(status, 409, "what is decided is not measured until it passes: {answer}");

    // A mistake in what was asked for is found by the gate: a hold, and says why.
    let (status, answer) = gates.ask("POST", "/gate/r3?port=x&wait=30s");
    assert_eq!(
        (status, &answer["action"], &answer["exit_code"]),
        (200, &"hold".into(), &2.into()),
        "{answer}"
    );
    assert!(answer["summary"].as_str().unwrap().contains("http://127.0.0.1:x"), "{answer}");
    assert_eq!((gates.ask("GET", "/gate/r3/go").0, gates.ask("GET", "/gate/r3/roll-back").0), (403, 403));
    let (status, log) = gates.send("GET", "/gate/r3/report", "", "");
    assert!(
        status == 200 && log.contains("invalid port number"),
        "where there is no report, what was said: {log}"
    );
    let (status, answer) = gates.ask("POST", "/gate/r3/again?wait=30s");
    assert_eq!((status, &answer["attempt"]), (200, &2.into()), "a hold may be measured again: {answer}");
    let (status, answer) = gates.ask("POST", "/gate/r1-25");
    assert_eq!(
        (status, &answer["action"]),
        (200, &"go".into()),
        "what was said need not be said again: {answer}"
    );

    for (method, path, status, why) in [
        ("POST", "/gate/r4".to_owned(), 400, "the command needs `port`"),
        ("POST", "/gate/r4?prot=1".to_owned(), 400, "did you mean `port`?"),
        ("POST", "/gate/r4?port=1&wait=soon".to_owned(), 400, "wait: "),
        ("POST", "/gate/r4?port=1&wait=2h".to_owned(), 400, "wait: at most 1h"),
        ("POST", "/gate/r4?port=1%20--insecure".to_owned(), 400, "but no ` `"),
        ("POST", "/gate/..?port=1".to_owned(), 400, "a key is"),
        ("POST", "/gate/a%2Fb?port=1".to_owned(), 400, "a key is"),
        ("GET", "/gate/r1-25?port=1".to_owned(), 400, "only POST"),
        ("POST", "/gate/r3/again?port=1".to_owned(), 400, "only POST"),
        ("POST", "/flagger/go?gate=promotion".to_owned(), 400, "`gate`: only POST"),
        ("POST", "/gate/r1-25?port=1".to_owned(), 409, "was asked for with other values"),
        ("GET", "/gate".to_owned(), 404, "expected /gate/KEY"),
        ("GET", "/gate/r4/report".to_owned(), 404, "nobody has asked"),
    ] {
        let (got, answer) = gates.ask(method, &path);
        assert_eq!(got, status, "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{path}: {answer}");
    }
    // Another command is another question, whatever the key; and so is a verdict of long ago.
    assert_eq!(gates.end("-INT"), 0);
    let fixed = ["smoke", "page.yaml", "--target", &well.url];
    let gates = Gates::start(temp.path(), None, &fixed);
    let (status, answer) = gates.ask("GET", "/gate/r1-25/go");
    assert_eq!(
        (status, &answer["state"], &answer["action"]),
        (503, &"expired".into(), &Value::Null),
        "{answer}"
    );
    let (status, answer) = gates.ask("POST", "/gate/r1-25?wait=30s");
    assert_eq!((status, &answer["attempt"], well.count("GET /")), (200, &2.into(), 2), "{answer}");
    let ended = temp.path().join("gates/r1-25/2.ended");
    // A clock that was set back says nothing of how old it is.
    for (at, state) in
        [("25 hours ago", "expired"), ("23 hours ago", "done"), ("+1 hour", "done"), ("+25 hours", "expired")]
    {
        assert!(Command::new("touch").args(["-d", at]).arg(&ended).status().unwrap().success());
        assert_eq!(gates.ask("GET", "/gate/r1-25").1["state"], state, "{at}");
    }
    let (_, all) = gates.ask("GET", "/gates");
    let keys: Vec<&str> =
        all["gates"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["r1-25", "r2-25", "r3"]);
    assert_eq!(gates.end("-INT"), 0);
}

const LOADED: &str = "feature: page\nvars: { page: none }\nsteps: [ { name: page, get: \"/${page}\" } ]\nload: { warmup: 1s, stages: [ { rate: 10/s, for: 4s } ] }\n";

/// A server that is killed leaves its gate running, and the next one waits for that; one that is asked to end, ends it.
#[test]
fn answers_outlive_the_server_and_an_interrupted_gate_is_begun_again() {
    let (well, _) = targets();
    let temp = folder(LOADED);
    let command = ["run", "page.yaml", "--target", &well.url, "--var", "page={ask.key}"];
    let first = Gates::start(temp.path(), None, &command);
    let until = |gates: &Gates, state: &str| {
        let limit = Instant::now() + Duration::from_secs(20);
        while gates.ask("GET", "/gate/r1").1["state"] != state {
            assert!(Instant::now() < limit, "never {state}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert_eq!(first.ask("POST", "/gate/r1").0, 503);
    assert_eq!(first.ask("POST", "/gate/r2").1["state"], "queued", "one load at a time");
    until(&first, "running");
    let mut other = loadgate(temp.path());
    other.args(["serve", "--listen", "127.0.0.1:0", "--out", "gates", "--"]).args(command);
    run(&mut other).expect(2).says("another process serves the gates");
    first.end("-KILL");
    let second = Gates::start(temp.path(), None, &command);
    assert_eq!(second.ask("GET", "/gate/r1").1["state"], "running");
    let (status, answer) = second.ask("POST", "/gate/r1?wait=30s");
    assert_eq!((status, &answer["attempt"]), (200, &1.into()), "{answer}");
    assert!(answer["run_id"].is_string(), "{answer}");
    assert_eq!(well.count("GET /r1"), 51, "a smoke pass and 10/s for 5 s, once");
    // What waited is measured next, by whoever serves then.
    let limit = Instant::now() + Duration::from_secs(20);
    while second.ask("GET", "/gate/r2").1["state"] != "running" {
        assert!(Instant::now() < limit);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(second.end("-TERM"), 0);
    let third = Gates::start(temp.path(), None, &command);
    assert_eq!(third.ask("GET", "/gate/r1?wait=1s").0, 200, "kept");
    let (status, answer) = third.ask("GET", "/gate/r2");
    assert_eq!((status, &answer["state"]), (503, &"interrupted".into()), "{answer}");
    let (status, answer) = third.ask("POST", "/gate/r2?wait=30s");
    assert_eq!((status, &answer["state"], &answer["attempt"]), (200, &"done".into(), &2.into()), "{answer}");
    // What could not even be begun, here since its log cannot be written, is tried again by the next question.
    let log = temp.path().join("gates/r4/1.log");
    std::fs::create_dir_all(&log).unwrap();
    assert_eq!(third.ask("POST", "/gate/r4?wait=1s").1["state"], "queued");
    std::fs::remove_dir(&log).unwrap();
    let (status, answer) = third.ask("POST", "/gate/r4?wait=30s");
    assert_eq!((status, &answer["state"], &answer["attempt"]), (200, &"done".into(), &1.into()), "{answer}");
    // Whoever ran it was killed, again and again: that is no verdict, and not tried for ever.
    let lost = temp.path().join("gates/r3");
    std::fs::create_dir(&lost).unwrap();
    std::fs::write(lost.join("ask.json"), "{\"key\":\"r3\",\"values\":{}}").unwrap();
    let spec =
        std::fs::read_to_string(temp.path().join("gates/r2/1.json")).unwrap().replace("page=r2", "page=r3");
    let spec = spec.replace("\"r2\"", "\"r3\"");
    for attempt in 1..=3 {
        std::fs::write(lost.join(format!("{attempt}.json")), &spec).unwrap();
        std::fs::write(lost.join(format!("{attempt}.started")), "").unwrap();
    }
    let (status, answer) = third.ask("POST", "/gate/r3");
    assert_eq!((status, &answer["action"]), (200, &"hold".into()), "{answer}");
    assert!(answer["summary"].as_str().unwrap().contains("nobody knows how far it came"), "{answer}");
}

/// A file of YAML as Python's reader has it.
fn yaml(path: &Path) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let ran =
        run(Command::new(root().join("target/venv/bin/python3")).args(["-c", script]).arg(path)).expect(0);
    serde_json::from_str(&ran.out).unwrap()
}

/// The example's webhooks, called as Flagger calls them.
#[test]
fn flaggers_webhooks_advance_on_go_alone_and_roll_back_on_roll_back_alone() {
    let canary = yaml(&root().join("ci/controllers/flagger/canary.yaml"));
    let hooks = canary["spec"]["analysis"]["webhooks"].as_array().unwrap();
    let (well, ill) = targets();
    let mut answers: Vec<(&str, u16, u16)> = Vec::new();
    for (name, target) in [("well", well.url.as_str()), ("ill", &ill.url), ("away", "http://127.0.0.1:9")] {
        let temp = folder(CHECKED);
        let gates =
            Gates::start(temp.path(), Some("replace-me"), &["smoke", "page.yaml", "--target", target]);
        let call = |hook: &Value, token: Option<&str>| {
            let mut metadata = hook["metadata"].clone();
            metadata["token"] = token.into();
            let payload = json!({
                "name": canary["metadata"]["name"], "namespace": canary["metadata"]["namespace"],
                "phase": "Progressing", "checksum": "85d557f47b", "metadata": metadata, "failedChecks": 0
            });
            let path = hook["url"].as_str().unwrap().split(":8474").nth(1).unwrap();
            gates.send("POST", path, "content-type: application/json\r\n", &payload.to_string())
        };
        let of = |kind: &'static str| hooks.iter().filter(move |hook| hook["type"] == kind);
        let (more, promotion) = (of("confirm-traffic-increase").next(), of("confirm-promotion").next());
        let (more, promotion) = (more.unwrap(), promotion.unwrap());
        let back: Vec<&Value> = of("rollback").collect();
        assert_eq!(call(back[0], Some("replace-me")).0, 503, "asked before anything was begun");
        assert_eq!(call(more, Some("another")).0, 401);
        assert_eq!(gates.send("GET", "/gates", "", "").0, 401);
        assert_eq!(gates.send("GET", "/gates", "authorization: Bearer replace-me\r\n", "").0, 200);
        // As a browser brings it, for the report: `x:replace-me`.
        assert_eq!(gates.send("GET", "/gates", "authorization: Basic eDpyZXBsYWNlLW1l\r\n", "").0, 200);
        let limit = Instant::now() + Duration::from_secs(30);
        let (status, text) = loop {
            let (status, text) = call(more, Some("replace-me"));
            if status != 503 {
                break (status, text);
            }
            assert!(text.starts_with("loadgate, shop.search.85d557f47b: "), "{text}");
            assert!(Instant::now() < limit, "{text}");
            std::thread::sleep(Duration::from_millis(100));
        };
        assert_eq!(text.lines().count(), 1, "it becomes an event: {text}");
        answers.push((name, status, call(back[0], Some("replace-me")).0));
        assert_eq!(call(promotion, Some("replace-me")).0, 503, "a gate of its own");
        let keys = ["shop.search.85d557f47b", "shop.search.85d557f47b.promotion"];
        assert!(keys.iter().all(|key| temp.path().join("gates").join(key).exists()));
        assert_eq!(gates.send("POST", "/flagger/go", "", "{\"name\": \"search\"}").0, 400);
        let mut wrong = promotion.clone();
        wrong["metadata"]["gates"] = "promotion".into();
        assert_eq!(
            call(&wrong, Some("replace-me")).0,
            400,
            "or the first gate's answer would stand for the second's"
        );
    }
    assert_eq!(answers[..2], [("well", 200, 403), ("ill", 403, 200)]);
    assert_eq!(answers[2].1, 403, "a target that nobody reaches is no go");
}

/// By Argo Rollouts' own types, in which nothing unknown may stand; and the template's question, asked as it asks.
#[test]
fn argos_web_metric_takes_the_action_for_its_result() {
    let argo = root().join("ci/controllers/argo");
    let template = yaml(&argo.join("analysis-template.yaml"));
    let rollout = yaml(&argo.join("rollout.yaml"));
    let modules = root().join("target/browser");
    if std::env::var_os("LOADGATE_SKIP_BROWSER").is_none() {
        let temp = tempfile::tempdir_in(&modules).unwrap();
        let checked = |kind: &str, manifest: &Value| {
            let file = temp.path().join("manifest.ts");
            let text = format!(
                "import type {{ I{kind} }} from \"@kubernetes-models/argo-rollouts/argoproj.io/v1alpha1/{kind}\";\nexport const manifest: \
                 I{kind} = {manifest};\n"
            );
            std::fs::write(&file, text).unwrap();
            let args = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"];
            run(Command::new("node")
                .arg(modules.join("node_modules/typescript/bin/tsc"))
                .args(args)
                .arg(file))
        };
        checked("AnalysisTemplate", &template).expect(0);
        checked("Rollout", &rollout).expect(0);
        let mut wrong = template.clone();
        wrong["spec"]["metrics"][0]["provider"]["web"]["timeout"] = 5.into();
        assert_ne!(checked("AnalysisTemplate", &wrong).code, 0, "that mistakes are found at all");
    }

    let metric = &template["spec"]["metrics"][0];
    let web = &metric["provider"]["web"];
    assert_eq!(
        (&metric["successCondition"], &metric["failureCondition"], &web["jsonPath"]),
        (&"result == \"go\"".into(), &"result == \"roll_back\"".into(), &"{$.action}".into())
    );
    assert_eq!(web["method"], "POST");
    let (well, _) = targets();
    let temp = folder(CHECKED);
    let gates =
        Gates::start(temp.path(), Some("secret-token"), &["smoke", "page.yaml", "--target", &well.url]);
    let fill = |text: &Value| {
        let values =
            [("service", "search"), ("release", "6c9d8f7b5"), ("step", "25"), ("token", "secret-token")];
        values.iter().fold(text.as_str().unwrap().to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{args.{name}}}}}"), value)
        })
    };
    let header = &web["headers"][0];
    let header = format!("{}: {}\r\n", fill(&header["key"]), fill(&header["value"]));
    let url = fill(&web["url"]);
    let path = url.split(":8474").nth(1).unwrap();
    let (status, text) = gates.send("POST", path, &header, "");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["action"]), (200, &"go".into()), "{answer}");
    assert_eq!(gates.send("POST", path, "", "").0, 401);
    // Each step's arguments are those that the template has.
    let steps = rollout["spec"]["strategy"]["canary"]["steps"].as_array().unwrap();
    let analyses: Vec<&Value> = steps.iter().filter_map(|step| step.get("analysis")).collect();
    assert_eq!(analyses.len(), 3);
    for analysis in analyses {
        assert_eq!(analysis["templates"][0]["templateName"], template["metadata"]["name"]);
        let names: Vec<&Value> =
            analysis["args"].as_array().unwrap().iter().map(|arg| &arg["name"]).collect();
        assert_eq!(names, ["service", "release", "step"]);
    }
}

/// What Kubernetes knows, with a command that the binary knows; mistakes in it are found when it starts.
#[test]
fn the_servers_manifests_and_mistakes_in_its_command() {
    let base = root().join("ci/controllers/base");
    let files: Vec<PathBuf> = ["volume", "deployment", "service", "network-policy"]
        .map(|name| base.join(format!("{name}.yaml")))
        .into();
    let tool = root().join("target/venv/bin/kubernetes-validate");
    run(Command::new(tool).args(["--strict", "-k", "1.34"]).args(&files)).expect(0);
    let listed = yaml(&base.join("kustomization.yaml"))["resources"].as_array().unwrap().len();
    assert_eq!(listed, files.len());
    let container = yaml(&files[1])["spec"]["template"]["spec"]["containers"][0].clone();
    let (well, _) = targets();
    let temp = folder(CHECKED);
    let values = [
        ("$(TARGET)", well.url.as_str()),
        ("$(ENVIRONMENT)", "production"),
        ("/scenarios", "page.yaml"),
        ("/work/gates", "gates"),
        ("0.0.0.0:8474", "192.0.2.1:8474"),
    ];
    let words: Vec<String> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| {
            values
                .iter()
                .fold(word.as_str().unwrap().to_owned(), |word, (name, value)| word.replace(name, value))
        })
        .collect();
    // All of it is fine but the address, which is none of this machine's.
    run(loadgate(temp.path()).args(&words)).expect(2).says("--listen 192.0.2.1:8474: ");
    assert!(container["securityContext"]["readOnlyRootFilesystem"].as_bool().unwrap());
    let example = root().join("ci/controllers/example");
    run(loadgate(temp.path()).arg("validate").arg(example.join("scenarios"))).expect(0);

    for (command, why) in [
        (&["run", "page.yaml", "--traget", "http://x"][..], "unexpected argument '--traget'"),
        (&["run", "page.yaml", "--target", "http://x", "--out", "x"], "leave --out out"),
        (&["demo"], "none that comes to a verdict"),
        (&["smoke", "page.yaml"], "there is no target"),
        (&["run", "page.yaml", "--gate", "safty"], "possible values: regression, safety"),
        (&["smoke", "page.yaml", "--watch", "1m"], "none that comes to a verdict"),
        (&["smoke", "nothing.yaml", "--target", "http://x"], "nothing.yaml"),
        (&["smoke", "page.yaml", "--label", "{ask.}"], "expected a placeholder"),
        (&["smoke", "page.yaml", "--label", "{ask.wait}"], "take another name"),
    ] {
        let mut serve = loadgate(temp.path());
        serve.args(["serve", "--listen", "127.0.0.1:0", "--"]).args(command);
        run(&mut serve).expect(2).says(why);
    }
    let mut serve = loadgate(temp.path());
    serve.args(["serve", "--out", "s3://perf/gates", "smoke", "page.yaml", "--target", "http://x"]);
    run(&mut serve).expect(2).says("not in object storage");
    std::fs::write(temp.path().join("broken.yaml"), "feature: page\nstep: []\n").unwrap();
    let mut serve = loadgate(temp.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--", "smoke", "broken.yaml", "--target", "http://x"]);
    run(&mut serve).expect(2).says("broken.yaml:2:1").says("did you mean `steps`?");
    assert!(!temp.path().join("gates").exists(), "nothing is written before the command is known to be fine");
}
