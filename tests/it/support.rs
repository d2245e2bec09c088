use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// The same, begun by another command that is given it with its arguments.
pub fn loadgate_by(folder: &Path, before: &[&str]) -> Command {
    let own = loadgate(folder);
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(own.get_program()).current_dir(folder).stdin(Stdio::null());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The same with no more than so much address space.
pub fn loadgate_within(folder: &Path, kilobytes: u64) -> Command {
    let mut command =
        loadgate_by(folder, &["sh", "-c", &format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"")]);
    // An arena for each thread would take up address space by the number of cores, not by what is kept.
    command.env("MALLOC_ARENA_MAX", "1");
    command
}

/// Rows side by side, since they mostly wait.
pub fn at_once<T: Sync>(rows: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(row);
                }
            });
        }
    });
}

/// Disks and networks of one's own: as a user who is root in a namespace, or as root.
static UNSHARE: LazyLock<&str> = LazyLock::new(|| {
    let works =
        |flags: &&str| Command::new("unshare").args([flags, "true"]).status().is_ok_and(|s| s.success());
    ["-rmn", "-mn"]
        .into_iter()
        .find(works)
        .expect("`unshare` needs user namespaces, or root (docker run --privileged)")
});

/// A script that may do as root to a namespace of its own (`m`: mounts, `n`: network) what it will; `"$0" "$@"` is loadgate.
pub fn apart(folder: &Path, namespace: char, script: &str) -> Command {
    let flags = format!("{}{namespace}", UNSHARE.trim_end_matches("mn"));
    loadgate_by(folder, &["unshare", &flags, "sh", "-c", script])
}

pub fn spawned(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
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

    /// Fails if a panic was met on the way.
    #[track_caller]
    pub fn sound(self) -> Self {
        assert!(!panicked(&self.err), "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert!(all.contains(text), "`{text}` is not in\n{all}");
        self
    }
}

/// By the words of loadgate's own hook, and by those of the standard library.
pub fn panicked(said: &str) -> bool {
    said.contains("by a fault of its own") || said.contains("panicked at")
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// How many requests a verdict has of its first endpoint.
pub fn requests(verdict: &Value) -> u64 {
    verdict["endpoints"][0]["requests"].as_u64().unwrap_or(0)
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

/// All below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every file but the journal is whole; what was about to be written when it was killed has a hidden name.
#[track_caller]
pub fn whole(folder: &Path, killed: bool) {
    for path in files(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let good = match name.rsplit_once('.').map_or(name.as_str(), |(_, kind)| kind) {
            "journal" | "ballast" => true,
            _ if name.starts_with('.') => killed,
            "json" => serde_json::from_str::<Value>(&text).is_ok(),
            "html" => text.trim_end().ends_with("</html>"),
            "xml" => text.trim_end().ends_with("</testsuites>"),
            _ => text.ends_with('\n'),
        };
        assert!(good, "{} is not whole: {} bytes", path.display(), bytes.len());
    }
}
