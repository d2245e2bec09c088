use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A loadgate command in a folder of its own, untouched by the caller's environment.
pub fn loadgate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgate"));
    command.current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOADGATE_")) {
        command.env_remove(name);
    }
    command
}

/// The same with no more than so much address space.
pub fn loadgate_within(folder: &Path, kilobytes: u64) -> Command {
    let own = loadgate(folder);
    let mut command = Command::new("sh");
    let limited = format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"");
    command.args(["-c", &limited]).arg(own.get_program()).current_dir(folder).stdin(Stdio::null());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // An arena for each thread would take up address space by the number of cores, not by what is kept.
    command.env("MALLOC_ARENA_MAX", "1");
    command
}

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    /// Fails with everything that was printed.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert!(all.contains(text), "`{text}` is not in\n{all}");
        self
    }
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The endpoints that findings of a severity name.
pub fn named(verdict: &Value, severity: &str) -> Vec<String> {
    let findings = verdict["findings"].as_array().expect("findings");
    let mut names: Vec<String> = findings
        .iter()
        .filter(|f| f["severity"] == severity)
        .filter_map(|f| f["endpoint"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A demo target of one's own; ends with this.
pub struct Demo {
    child: Child,
    pub url: String,
}

impl Demo {
    pub fn start(args: &[&str]) -> Self {
        let mut child = loadgate(Path::new("."))
            .args(["demo", "--port", "0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("the demo says its address");
        let url = line.split_whitespace().last().expect("an address").to_owned();
        Self { child, url }
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends raw HTTP/1.1 and reads until `enough` or the end.
pub fn raw(address: &str, request: &str, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut got = Vec::new();
    let mut chunk = [0; 8192];
    while !enough(&got) {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(n) => got.extend_from_slice(&chunk[..n]),
        }
    }
    got
}

/// Status and body of one exchange.
pub fn http(address: &str, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let got = raw(address, &request, |_| false);
    let head = got.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let status = String::from_utf8_lossy(&got[9..12]).parse().expect("a status");
    (status, got[head + 4..].to_vec())
}

pub fn results(folder: &Path) -> PathBuf {
    folder.join("out")
}
