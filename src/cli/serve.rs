//! The command that a server begins for whoever asks.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser as _};

use super::args::{Args, Command};
use super::canary::canaries;
use super::resolve::{duration, run_sessions, smoke_sessions};
use crate::commands::{ServeRequest, Session};
use crate::error::{Error, Result};
use crate::serve::Template;
use crate::store::is_remote;

const TOKEN: &str = "LOADGATE_SERVE_TOKEN";
/// In place of what is not known before a question comes; a number passes where numbers are expected.
const SAMPLE: &str = "1";

#[derive(ClapArgs, Debug)]
#[command(
    after_help = "POST /gate/KEY begins a gate, GET /gate/KEY tells where it stands: JSON with state and action (go, hold, \
                        roll_back), 503 until it is done; ?wait=10m keeps the answer back that long. /gate/KEY/go and \
                        /gate/KEY/roll-back answer 200 only where that is what it came to, /flagger/go and \
                        /flagger/roll-back the same for Flagger's webhooks. With LOADGATE_SERVE_TOKEN set, questions must bring \
                        that token."
)]
pub struct ServeArgs {
    /// Address to answer on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8474", env = "LOADGATE_LISTEN")]
    pub listen: String,
    /// Folder that keeps gates and their results, across restarts
    #[arg(long, value_name = "DIR", default_value = "gates", env = "LOADGATE_GATES")]
    pub out: PathBuf,
    /// How long a verdict is an answer; the next question after it measures anew
    #[arg(long, value_name = "DURATION", default_value = "24h", env = "LOADGATE_FRESH_FOR")]
    pub fresh_for: String,
    /// run, smoke or canary with its flags but for --out; {ask.key} and {ask.NAME} become what a question says
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

pub fn serving(args: ServeArgs) -> Result<ServeRequest> {
    let listen: SocketAddr = args.listen.parse().map_err(|_| {
        Error::usage_hint(
            format!("--listen {}: expected an address and a port", args.listen),
            "such as 127.0.0.1:8474, or 0.0.0.0:8474 for all addresses of this machine",
        )
    })?;
    if is_remote(&args.out) {
        let hint = "keep them on a volume; the command itself may have --baselines there";
        return Err(Error::usage_hint("gates are kept in a folder, not in object storage", hint));
    }
    if args.out.is_file() {
        return Err(Error::usage(format!("--out {} is a file, not a folder", args.out.display())));
    }
    let fresh_for = duration("--fresh-for", &args.fresh_for)?;
    let template = Template::new(args.command).map_err(Error::usage)?;
    check(&template)?;
    let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    Ok(ServeRequest { listen, folder: args.out, template, fresh_for, token })
}

/// Finds mistakes before anybody asks: in the flags, and, where nothing of the command is open, in the files as well.
fn check(template: &Template) -> Result<()> {
    let words = template.sample(SAMPLE);
    if words.iter().any(|word| word == "--out" || word.starts_with("--out=")) {
        let hint = "leave --out out of the command: `serve --out` says where all results are kept";
        return Err(Error::usage_hint("each gate has a folder of its own", hint));
    }
    let all = std::iter::once("loadgate".to_owned()).chain(words);
    let parsed = Args::try_parse_from(all).map_err(|e| {
        let text = e.render().to_string();
        let told = text.lines().take_while(|line| !line.starts_with("Usage:"));
        let told: Vec<&str> = told.map(str::trim).filter(|line| !line.is_empty()).collect();
        let told = told.join("; ");
        let told = told.trim_start_matches("error: ");
        Error::usage_hint(
            format!("the command of the gates: {told}"),
            "expected run, smoke or canary with its flags",
        )
    })?;
    let open = !template.names().is_empty();
    let needs_target = !matches!(parsed.command, Command::Canary(_));
    let sessions: Vec<Session> = match parsed.command {
        Command::Run(_) | Command::Canary(_) | Command::Smoke(_) if open => return Ok(()),
        Command::Run(args) => run_sessions(*args)?,
        Command::Canary(args) => canaries(&args)?.into_iter().map(|request| request.session).collect(),
        Command::Smoke(args) if args.watch.is_none() => smoke_sessions(&args)?,
        _ => {
            let hint = "expected run, smoke or canary";
            return Err(Error::usage_hint("the command of the gates is none that comes to a verdict", hint));
        }
    };
    sessions.iter().try_for_each(|session| {
        if needs_target {
            session.target()?;
        }
        session.loaded().map(drop)
    })
}
