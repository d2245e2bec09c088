use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ran, loadgate, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// By Kubernetes' own schemas, with nothing unknown in them.
fn validated(files: &[PathBuf]) -> Ran {
    let tool = root().join("target/venv/bin/kubernetes-validate");
    run(Command::new(tool).args(["--strict", "-k", "1.34"]).args(files))
}

#[test]
fn manifests_are_what_kubernetes_knows() {
    let base = root().join("ci/kubernetes/base");
    let kustomization = std::fs::read_to_string(base.join("kustomization.yaml")).unwrap();
    let named: Vec<PathBuf> = kustomization
        .lines()
        .filter_map(|line| Some(base.join(line.strip_prefix("  - ")?)))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    assert_eq!(named.len(), 3, "{kustomization}");
    validated(&named).expect(0);
    // That the tool finds mistakes at all.
    let temp = tempfile::tempdir().unwrap();
    let wrong = temp.path().join("wrong.yaml");
    let text = std::fs::read_to_string(&named[1]).unwrap().replace("completionMode:", "completionsMode:");
    std::fs::write(&wrong, text).unwrap();
    assert_ne!(validated(&[wrong]).code, 0);
    for (file, container) in [("shards.yaml", "run"), ("merge.yaml", "merge")] {
        let text = std::fs::read_to_string(base.join(file)).unwrap();
        for needed in [
            "runAsNonRoot: true",
            "readOnlyRootFilesystem: true",
            "drop: [ALL]",
            "requests:",
            "automountServiceAccountToken: false",
        ] {
            assert!(text.contains(needed), "{file}: {needed}");
        }
        // The arguments are those that the binary knows, with values of their kind.
        let words: Vec<String> = text
            .lines()
            .skip_while(|line| line.trim() != "args:")
            .skip(1)
            .take_while(|line| line.trim_start().starts_with("- "))
            .map(|line| line.trim_start().trim_start_matches("- ").to_owned())
            .collect();
        assert_eq!(words[0], container);
        let values = [
            ("$(TARGET)", "http://127.0.0.1:9"),
            ("$(ENVIRONMENT)", "staging"),
            ("$(SHARDS)", "4"),
            ("$(START_AT)", "2020-01-01T00:00:00Z"),
            ("$(STORE)", "/tmp/nowhere"),
            ("$(RUN)", "r"),
            ("$(MERGE_WAIT)", "1ms"),
            ("$(JOB_COMPLETION_INDEX)", "2"),
        ];
        let words = words
            .iter()
            .map(|word| values.iter().fold(word.clone(), |word, (name, own)| word.replace(name, own)));
        let mut command = loadgate(temp.path());
        command.args(words).env("JOB_COMPLETION_INDEX", "2");
        let expected =
            if container == "run" { "--start-at: `2020-01-01T00:00:00Z` was" } else { "/tmp/nowhere/runs/r" };
        run(&mut command).expect(2).says(expected);
    }
    let example = root().join("ci/kubernetes/example");
    let text = std::fs::read_to_string(example.join("kustomization.yaml")).unwrap();
    for name in ["scenarios/search.yaml", "secrets.env"] {
        assert!(text.contains(name) && example.join(name).exists(), "{name}");
    }
    run(loadgate(temp.path()).arg("validate").arg(example.join("scenarios"))).expect(0);
    run(Command::new("bash").arg("-n").arg(root().join("ci/kubernetes/start"))).expect(0);
}

/// GitHub's comments, as far as the action asks for them, in memory.
struct Comments {
    url: String,
    kept: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Comments {
    fn start() -> Self {
        use std::io::{BufRead as _, Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = std::sync::Arc::new(std::sync::Mutex::new(vec!["a person's comment".to_owned()]));
        let all = kept.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = std::io::BufReader::new(stream.try_clone().unwrap());
                let (mut first, mut length, mut allowed) = (String::new(), 0, false);
                lines.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    lines.read_line(&mut line).unwrap();
                    let low = line.to_ascii_lowercase();
                    if let Some(own) = low.strip_prefix("content-length: ") {
                        length = own.trim().parse().unwrap();
                    }
                    allowed |= low.trim() == "authorization: bearer t0ken";
                    if line == "\r\n" {
                        break;
                    }
                }
                let mut body = vec![0; length];
                lines.read_exact(&mut body).unwrap();
                let mut all = all.lock().unwrap();
                let text = || {
                    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    value["body"].as_str().unwrap().to_owned()
                };
                let answer = match first.split(' ').collect::<Vec<_>>().as_slice() {
                    _ if !allowed => serde_json::json!({"message": "Bad credentials"}),
                    ["GET", path, ..] if path.starts_with("/repos/o/r/issues/41/comments?per_page=100") => {
                        all.iter()
                            .enumerate()
                            .map(|(id, body)| serde_json::json!({"id": id, "body": body}))
                            .collect()
                    }
                    ["POST", "/repos/o/r/issues/41/comments", ..] => {
                        all.push(text());
                        serde_json::json!({})
                    }
                    ["PATCH", path, ..] => {
                        let id: usize =
                            path.strip_prefix("/repos/o/r/issues/comments/").unwrap().parse().unwrap();
                        all[id] = text();
                        serde_json::json!({})
                    }
                    other => panic!("{other:?}"),
                };
                let status = if allowed { "200 OK" } else { "401 Unauthorized" };
                let text = answer.to_string();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                )
                .unwrap();
            }
        });
        Self { url, kept }
    }
}

/// One comment that is written anew, outputs, exit codes; forks are neutral.
#[test]
fn the_action_comments_once_and_ends_with_the_verdict() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, comments) = (temp.path(), Comments::start());
    let demo = crate::support::Demo::start(&[]);
    std::fs::write(folder.join("good.yaml"), "feature: good\nsteps: [ { name: page, get: /dashboard } ]\n")
        .unwrap();
    std::fs::write(folder.join("bad.yaml"), "feature: bad\nsteps: [ { name: page, get: /nowhere } ]\n")
        .unwrap();
    let gate = |command: &str, out: &str, more: &[(&str, &str)]| {
        let mut script = Command::new("bash");
        script.arg(root().join("ci/github/gate.sh")).current_dir(folder);
        script.envs([
            ("LG_COMMAND", command),
            ("LG_BINARY", env!("CARGO_BIN_EXE_loadgate")),
            ("LG_OUT", out),
            ("LG_KEY", "gate"),
            ("LG_TOKEN", "t0ken"),
            ("LG_PULL_REQUEST", "41"),
            ("GITHUB_API_URL", &comments.url),
            ("GITHUB_REPOSITORY", "o/r"),
            ("GITHUB_OUTPUT", "outputs"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_STEP_SUMMARY", "step-summary"),
        ]);
        script.envs(more.iter().copied());
        run(&mut script)
    };
    let smoke = |file: &str| format!("smoke {file} --target {} --quiet", demo.url);
    gate(&smoke("good.yaml"), "one", &[]).expect(0);
    gate(&smoke("bad.yaml"), "two", &[]).expect(1).says("::error file=bad.yaml");
    let kept = comments.kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 2, "one comment, written anew: {kept:?}");
    assert!(kept[0] == "a person's comment" && kept[1].starts_with("<!-- loadgate:gate -->\n"), "{kept:?}");
    assert!(kept[1].contains("ROLL BACK") && !kept[1].contains("All 1 functional"), "{}", kept[1]);
    let outputs = std::fs::read_to_string(folder.join("outputs")).unwrap();
    assert!(
        outputs.contains("exit-code=0\nsummary=GO.") && outputs.contains("exit-code=1\nsummary=ROLL BACK."),
        "{outputs}"
    );
    assert!(std::fs::read_to_string(folder.join("step-summary")).unwrap().contains("ROLL BACK"));
    // A fork: neutral, with the smoke that it may run or without any.
    let fork = [("LG_FORK", "true"), ("LG_TOKEN", "")];
    gate("run nothing", "three", &fork).expect(0).says("nothing was judged");
    let own = smoke("bad.yaml");
    gate("run nothing", "four", &[("LG_FORK", "true"), ("LG_SMOKE", &own), ("LG_TOKEN", "")])
        .expect(0)
        .says("this fails nothing");
    // A hold passes only where that is asked for; a comment that is refused changes nothing.
    let down = "smoke good.yaml --target http://127.0.0.1:9 --quiet --wait 100ms";
    gate(down, "five", &[("LG_TOKEN", "wrong")]).expect(3).says("the comment could not be written");
    gate(down, "six", &[("LG_HOLD_PASSES", "true")]).expect(0).says("::warning title=loadgate::HOLD");
    let before = comments.kept.lock().unwrap().clone();
    gate("smoke absent.yaml", "seven", &[]).expect(2);
    // The results of an earlier gate in the same folder are not this one's.
    gate(&smoke("good.yaml"), "two", &[]).expect(2);
    assert_eq!(*comments.kept.lock().unwrap(), before);
    let outputs = std::fs::read_to_string(folder.join("outputs")).unwrap();
    assert!(outputs.ends_with("exit-code=2\nsummary=loadgate left no verdict\n"), "{outputs}");
    let action = std::fs::read_to_string(root().join("ci/github/action.yml")).unwrap();
    assert!(
        action.contains("head.repo.full_name != github.repository"),
        "a fork's own pull requests are no forks'"
    );
}

/// The template is YAML with what GitLab reads, and its widget's file is there where GitLab runs loadgate.
#[test]
fn gitlab_gets_what_its_widgets_read() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, demo) = (temp.path(), crate::support::Demo::start(&[]));
    let text = std::fs::read_to_string(root().join("ci/gitlab/loadgate.gitlab-ci.yml")).unwrap();
    for needed in [
        "exit_codes: [3, 4]",
        "resource_group: loadgate-$",
        "load_performance: ",
        "junit: ",
        "--shard auto",
        "$CI_PIPELINE_CREATED_AT+",
    ] {
        assert!(text.contains(needed), "{needed}");
    }
    let python = root().join("target/venv/bin/python3");
    let read = "import sys, yaml; assert set(yaml.safe_load(open(sys.argv[1]))) == {'.loadgate', '.loadgate-shards', '.loadgate-merge'}";
    run(Command::new(python).args(["-c", read]).arg(root().join("ci/gitlab/loadgate.gitlab-ci.yml")))
        .expect(0);
    let scenario = "feature: f\nsteps: [ { name: page, get: /dashboard } ]\nload: { warmup: 500ms, stages: [ { rate: 60/s, for: 4s } ] }\nlimits: {}\n";
    std::fs::write(folder.join("f.yaml"), scenario).unwrap();
    let args = ["run", "f.yaml", "--target", &demo.url, "--quiet", "--out", "out"];
    let ran = run(loadgate(folder).args(args).env("GITLAB_CI", "true"));
    let told = crate::support::json(&folder.join("out/load-performance.json"));
    let verdict = crate::support::json(&folder.join("out/verdict.json"));
    let (metrics, own) = (&told["metrics"], &verdict["endpoints"][0]);
    assert_eq!(
        (&metrics["http_reqs"]["count"], &metrics["http_req_waiting"]["p(95)"]),
        (&own["requests"], &own["p95_ms"]),
        "{}",
        ran.out
    );
    assert_eq!(metrics["checks"]["fails"], 0);
    run(loadgate(folder).args(["run", "f.yaml", "--target", &demo.url, "--quiet", "--out", "plain"]));
    assert!(!folder.join("plain/load-performance.json").exists());
}
