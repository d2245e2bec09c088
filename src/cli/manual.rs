use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;

use super::args::Args;
use crate::commands;
use crate::error::{Error, Result};
use crate::store::write_atomic;

/// The command line, understood; where it is not, this ends the process.
pub fn parsed() -> Args {
    Args::from_arg_matches(&described().get_matches()).unwrap_or_else(|e| e.exit())
}

/// As it is told to people: an address in the environment may hold a password.
pub fn described() -> clap::Command {
    fn hidden(command: clap::Command) -> clap::Command {
        command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(hidden)
    }
    hidden(Args::command())
}

/// Prints what completes commands and flags.
pub fn completions(shell: Shell) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "loadgate", &mut text);
    commands::print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}

/// Writes a page for each command.
pub fn manual(dir: &Path) -> Result<u8> {
    let mut root = described();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "loadgate", &mut pages)?;
    for (name, page) in &pages {
        write_atomic(&dir.join(format!("{name}.1")), page)?;
    }
    commands::print(&format!(
        "{} pages are in {dir}: man -l {dir}/loadgate.1\n",
        pages.len(),
        dir = dir.display()
    ))?;
    Ok(0)
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .source(concat!("loadgate ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .map_err(|e| Error::harness(format!("cannot make the manual: {e}")))?;
    pages.push((name.to_owned(), page));
    let shown = |own: &&clap::Command| !own.is_hide_set() && own.get_name() != "help";
    command
        .get_subcommands()
        .filter(shown)
        .try_for_each(|own| collect(own, &format!("{name}-{}", own.get_name()), pages))
}
