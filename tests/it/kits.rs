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
