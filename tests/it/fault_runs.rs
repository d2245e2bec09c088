//! What a fault is, and how it is met through the binary: what it has to say, to leave behind and to count.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::conformance_servers::Act::{Hold, Stream};
use crate::conformance_servers::{Act, Serve, Server, answers, scripts, send};
use crate::fault_servers::{answer, settings};
use crate::support::{Ran, json, loadgate, panicked};

/// Nothing here takes longer, on whatever machine: what does hangs.
pub const ENDS_WITHIN: Duration = Duration::from_secs(60);
pub const RATE: u64 = 40;
/// How many runs at once: they mostly wait.
const AT_ONCE: usize = 10;

pub struct Fault {
    pub name: &'static str,
    pub serve: Serve,
    /// Scheme and host; the server's port follows. Or all of an address, where somebody else serves.
    pub base: String,
    pub asks: &'static str,
    /// Steps before it.
    pub before: &'static str,
    pub timeout: &'static str,
    pub flags: Vec<String>,
    pub classes: Vec<&'static str>,
    /// Any of them.
    pub says: Vec<&'static str>,
    /// What the first connection is given, so that the functional request of `quick` passes. Without it the load is a
    /// scenario's.
    pub first: Option<Vec<Act>>,
    pub smoke: bool,
    pub load: bool,
    /// Not every request of the load fails.
    pub some: bool,
}

impl Fault {
    pub fn new(
        name: &'static str,
        serve: Serve,
        base: &str,
        class: &'static str,
        says: &'static str,
    ) -> Self {
        Self {
            name,
            serve,
            base: base.to_owned(),
            asks: "get: /",
            before: "",
            timeout: "8s",
            flags: Vec::new(),
            classes: vec![class],
            says: vec![says],
            first: None,
            smoke: true,
            load: true,
            some: false,
        }
    }

    /// What the server does with each connection.
    pub fn script(
        name: &'static str,
        acts: impl Into<Vec<Act>>,
        class: &'static str,
        says: &'static str,
    ) -> Self {
        let first = Some(answers(1, "ok"));
        Self { first, ..Self::new(name, scripts([acts.into()]), "http://127.0.0.1", class, says) }
    }

    /// How the server answers a request.
    pub fn answer(
        name: &'static str,
        acts: impl Into<Vec<Act>>,
        class: &'static str,
        says: &'static str,
    ) -> Self {
        Self::script(name, [vec![Act::Request], acts.into()].concat(), class, says)
    }

    /// It never ends by itself.
    pub fn hang(name: &'static str, acts: impl Into<Vec<Act>>) -> Self {
        Self { timeout: "400ms", ..Self::script(name, acts, "timeout", "timed out") }
    }

    /// What a server of HTTP/2 does with each connection.
    pub fn http2(
        name: &'static str,
        acts: impl Into<Vec<Act>>,
        class: &'static str,
        says: &'static str,
    ) -> Self {
        let good = vec![Stream, send([settings(), answer(1)].concat()), Hold];
        Self { first: Some(good), ..Self::script(name, acts, class, says) }.with(&["--http2"])
    }

    pub fn tls(name: &'static str, config: Arc<rustls::ServerConfig>, says: &'static str) -> Self {
        Self::new(name, Serve::Tls(config, answers(50, "safe")), "https://localhost", "tls", says)
    }

    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// Which of the two is met is for the kernel to say.
    pub fn or(mut self, class: &'static str, says: &'static str) -> Self {
        self.classes.push(class);
        self.says.push(says);
        self
    }

    pub fn short(self) -> Self {
        Self { timeout: "400ms", ..self }
    }

    pub fn only_smoke(self) -> Self {
        Self { load: false, ..self }
    }

    pub fn only_load(self) -> Self {
        Self { smoke: false, some: true, ..self }
    }

    fn is_told_by(&self, class: &Value, message: &str) -> bool {
        self.classes.iter().any(|own| class == own) && self.says.iter().any(|says| message.contains(says))
    }

    /// The command that meets it, and the server it meets; no command of these may pass.
    pub fn prepare(&self, folder: &Path, transport: &str, under_load: bool) -> (Command, Option<Server>) {
        let mut serve = self.serve.clone();
        let by_quick = under_load && self.first.is_some();
        if let (true, Serve::Scripts(all), Some(first)) = (by_quick, &mut serve, &self.first) {
            all.insert(0, first.clone());
        }
        let server = self.base.matches(':').count() == 1;
        let server = server.then(|| Server::start(&serve));
        let url = match &server {
            Some(server) => format!("{}:{}", self.base, server.address.port()),
            None => self.base.clone(),
        };
        let Self { asks, before, timeout, .. } = self;
        let mut command = loadgate(folder);
        if by_quick {
            let rate = format!("{RATE}/s");
            command.args([
                "quick",
                &url,
                "--rate",
                &rate,
                "--for",
                "1s",
                "--warmup",
                "0s",
                "--timeout",
                timeout,
            ]);
            if asks.contains("large.txt") {
                command.args(["-D", "large.txt"]);
            }
        } else {
            let stages = format!("load: {{ warmup: 0s, stages: [ {{ rate: {RATE}/s, for: 1s }} ] }}\n");
            let (only, load) = if under_load { ("load", stages.as_str()) } else { ("smoke", "") };
            let step = format!("{{ name: ask, {asks}, timeout: {timeout}, only: {only} }}");
            let scenario = format!("feature: fault\nsteps:\n{before}  - {step}\n{load}");
            std::fs::write(folder.join("scenario.yaml"), scenario).expect("writes");
            let kind = if under_load { "run" } else { "smoke" };
            command.args([kind, "scenario.yaml", "--target", &url]);
        }
        if asks.contains("large.txt") {
            std::fs::write(folder.join("large.txt"), vec![b'x'; 16 << 20]).expect("writes");
        }
        command.args(["--transport", transport, "--out", "out"]).args(&self.flags);
        (command, server)
    }

    /// Meets it; an error says what is not as it should be.
    fn meet(&self, transport: &str, under_load: bool) -> Result<(), String> {
        let temp = tempfile::tempdir().expect("a folder");
        let (mut command, _server) = self.prepare(temp.path(), transport, under_load);
        let ran = run_within(&mut command, temp.path(), ENDS_WITHIN).ok_or("it does not end")?;
        let all = || format!("\n--- stdout\n{}\n--- stderr\n{}", ran.out, ran.err);
        proves_it(&ran, &temp.path().join("out"), under_load).map_err(|e| format!("{e}{}", all()))?;
        let record = json(&temp.path().join("out/run.json"));
        if under_load { self.load_tells(&record, &ran) } else { self.smoke_tells(&record, &ran) }
            .map_err(|e| format!("{e}{}", all()))
    }

    fn smoke_tells(&self, record: &Value, ran: &Ran) -> Result<(), String> {
        let steps = record["smoke"]["steps"].as_array().ok_or("no functional steps")?;
        let step = steps.iter().find(|step| step["status"] == "failed").ok_or("no step failed")?;
        let message = step["message"].as_str().unwrap_or_default();
        let first = ran.out.lines().next().unwrap_or_default();
        let by = format!("{} by {message:?}", step["class"]);
        ensure(self.is_told_by(&step["class"], message), || format!("told as {by}"))?;
        ensure(first.starts_with("ROLL BACK. Broken: fault/ask failed"), || "the first line".to_owned())?;
        ensure(self.says.iter().any(|says| first.contains(says)), || format!("not in the first line: {by}"))
    }

    fn load_tells(&self, record: &Value, ran: &Ran) -> Result<(), String> {
        let endpoint = &record["runs"][0]["endpoints"][0];
        let errors: u64 =
            endpoint["errors"].as_object().into_iter().flatten().filter_map(|e| e.1.as_u64()).sum();
        let lost = format!("{} requests, errors {}", endpoint["requests"], endpoint["errors"]);
        ensure(endpoint["requests"] == RATE, || lost.clone())?;
        ensure(if self.some { (RATE / 4..RATE).contains(&errors) } else { errors == RATE }, || lost.clone())?;
        let examples = record["error_examples"].as_array().ok_or("no examples")?;
        ensure(!examples.is_empty(), || "no examples".to_owned())?;
        let shown = self.says.iter().any(|says| ran.out.contains(says));
        ensure(shown, || format!("nobody is told {:?}", self.says))?;
        let strange = |e: &&Value| !self.is_told_by(&e["class"], e["message"].as_str().unwrap_or_default());
        let strange = examples.iter().find(strange);
        strange.map_or(Ok(()), |e| Err(format!("told as {} by {}", e["class"], e["message"])))
    }
}

pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Exit code, verdict and every file of a run that proves something.
pub fn proves_it(ran: &Ran, out: &Path, under_load: bool) -> Result<(), String> {
    ensure(ran.code == 1, || format!("exit code {}", ran.code))?;
    ensure(!panicked(&ran.err), || "a panic".to_owned())?;
    left_behind(out, under_load)?;
    let verdict = json(&out.join("verdict.json"));
    let told = [&verdict["action"], &verdict["outcome"], &verdict["exit_code"]];
    ensure(told == [&Value::from("roll_back"), &"fail".into(), &1.into()], || format!("verdict {told:?}"))?;
    let [junit, markdown] = ["junit.xml", "report.md"].map(|name| std::fs::read_to_string(out.join(name)));
    ensure(junit.is_ok_and(|text| text.contains("<failure")), || "junit.xml has no failure".to_owned())?;
    ensure(markdown.is_ok_and(|text| text.contains("ROLL BACK")), || "report.md says otherwise".to_owned())?;
    let too_many = if under_load { "ROLL BACK. Too many errors: " } else { "ROLL BACK. Broken: " };
    ensure(ran.out.starts_with(too_many), || format!("not `{too_many}`"))
}

/// Whatever happened, all files are there, and nothing that only a run under way has.
pub fn left_behind(out: &Path, under_load: bool) -> Result<(), String> {
    let files = ["run.json", "verdict.json", "report.md", "report.html", "junit.xml"];
    for name in files.into_iter().chain(under_load.then_some("latency.hlog")) {
        let length = std::fs::metadata(out.join(name)).map_or(0, |file| file.len());
        ensure(length > 0, || format!("{name} is missing"))?;
    }
    ensure(!out.join("journal").exists(), || "the journal is left".to_owned())
}

/// Each of them over both transports, in the functional pass and under load.
pub fn meet_all(faults: &[Fault]) {
    let modes = [("http", false), ("wire", false), ("http", true), ("wire", true)];
    let jobs = faults.iter().flat_map(|fault| modes.map(|(transport, load)| (fault, transport, load)));
    let jobs = jobs.filter(|(fault, _, load)| if *load { fault.load } else { fault.smoke });
    side_by_side(&jobs.collect::<Vec<_>>(), |(fault, transport, load)| {
        let mode = if *load { "under load" } else { "functional" };
        fault.meet(transport, *load).map_err(|e| format!("{} by {transport}, {mode}: {e}", fault.name))
    });
}

/// Fails with all that is wrong, not with the first of it.
pub fn side_by_side<J: Sync>(jobs: &[J], work: impl Fn(&J) -> Result<(), String> + Sync) {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
            let problem = work(job).err();
            found.lock().unwrap().extend(problem);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE.min(jobs.len())).for_each(|_| drop(scope.spawn(worker))));
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), jobs.len(), found.join("\n\n"));
}

/// Runs a command that has to end by itself. `None`: it did not, and was killed.
pub fn run_within(command: &mut Command, folder: &Path, limit: Duration) -> Option<Ran> {
    let [out, err] = ["said.out", "said.err"].map(|name| folder.join(name));
    let file = |path: &Path| std::fs::File::create(path).expect("a file");
    let mut child = command
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill().expect("kills");
            child.wait().expect("waits");
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = |path: &Path| {
        let bytes = std::fs::read(path).expect("what it said");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Some(Ran { code: status.code().unwrap_or(-1), out: said(&out), err: said(&err) })
}
