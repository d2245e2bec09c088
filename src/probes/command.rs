use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::reading::{Figure, Problem};

/// More output than this is no figure.
const MOST_OUTPUT: u64 = 64 << 10;

/// What a process prints first: one number.
pub async fn read(
    program: &str,
    arguments: &[String],
    variables: &[(&'static str, String)],
    timeout: Duration,
) -> Result<Figure, Problem> {
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Problem::lasting(format!("its command cannot be run: {e}")))?;
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            let (mut stdout, mut stderr) = (stdout.take(MOST_OUTPUT), stderr.take(MOST_OUTPUT));
            // What cannot be read is not there, which is told below.
            let _ = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        }
        (child.wait().await, out, err)
    };
    let ended = tokio::time::timeout(timeout, run).await;
    // Whatever it left behind ends with it.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let Ok((status, out, err)) = ended else {
        return Err(Problem::passing("its command timed out"));
    };
    let said = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            return Err(Problem::passing(format!("its command ended with {status}: {}", said(&err))));
        }
        Err(e) => return Err(Problem::passing(format!("its command cannot be waited for: {e}"))),
    }
    let text = String::from_utf8_lossy(&out).into_owned();
    let word = text.split_whitespace().next().unwrap_or_default();
    let (number, scale) = word.strip_suffix('%').map_or((word, 1.0), |number| (number, 0.01));
    let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
    let value = value.ok_or_else(|| {
        Problem::lasting(format!("its command prints no number first, but: {}", said(&out)))
    })?;
    Ok(Figure { value: value * scale, of: None, age: None })
}
