use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::session::tell;
use crate::error::{Error, Result};
use crate::import::{Draft, Imported, import_curl, import_har, import_openapi, import_postman};
use crate::scenario::{LoadOptions, load, value_of_yaml};
use crate::store::write_atomic;
use crate::units::counted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFrom {
    Har,
    OpenApi,
    Postman,
    Curl,
}

pub struct ImportRequest {
    pub from: ImportFrom,
    /// `-` is standard input.
    pub file: PathBuf,
    /// Values of a Postman environment.
    pub environment: Option<PathBuf>,
    /// Operations of an OpenAPI document, such as `get /users*`.
    pub only: Vec<String>,
    pub feature: Option<String>,
    pub dir: PathBuf,
}

const MOST_LEFT_OUT: usize = 12;

/// Writes scenario files; what is there already is never touched.
///
/// # Errors
/// If the file is not what it should be, or one of those to be written is there.
pub fn import(request: &ImportRequest) -> Result<u8> {
    let text = read(&request.file)?;
    let feature = request.feature.as_deref();
    let fail = |reason: String| Error::input(&request.file, "import", reason);
    let imported = match request.from {
        ImportFrom::Har => import_har(&text, feature),
        ImportFrom::Curl => import_curl(&text, feature),
        ImportFrom::Postman => {
            let environment = request.environment.as_deref().map(read).transpose()?;
            import_postman(&text, environment.as_deref(), feature)
        }
        ImportFrom::OpenApi => {
            let root = value_of_yaml(&request.file, &text)?;
            import_openapi(root, &request.only, feature)
        }
    };
    let imported = imported.map_err(fail)?;
    let planned = plan(&imported, &request.dir)?;
    let mut written = Vec::new();
    let whole = write(&imported, &planned, &request.dir, &mut written).and_then(|()| valid(&planned));
    if whole.is_err() {
        // What nobody can use is in the way of the next try.
        for path in &written {
            let _ = std::fs::remove_file(path);
        }
    }
    whole?;
    told(&imported, &planned)
}

/// An importer that writes what is refused is at fault itself.
fn valid(planned: &[(PathBuf, &Draft)]) -> Result<()> {
    let options = LoadOptions::default();
    for (path, _) in planned {
        load(std::slice::from_ref(path), &options).map_err(|e| {
            Error::harness(format!(
                "what was written is no valid scenario, which is a mistake of loadgate's:\n{e}"
            ))
        })?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map_err(|e| Error::input(path, "read", e))?;
    } else {
        bytes = std::fs::read(path).map_err(|e| Error::input(path, "read", e))?;
    }
    String::from_utf8(bytes).map_err(|_| Error::input(path, "read", "it is no text in UTF-8"))
}

fn plan<'a>(imported: &'a Imported, dir: &Path) -> Result<Vec<(PathBuf, &'a Draft)>> {
    let mut planned: Vec<(PathBuf, &Draft)> = Vec::new();
    for draft in &imported.drafts {
        let path = dir.join(format!("{}.yaml", draft.feature));
        let files = draft.files.iter().map(|(name, _)| dir.join(name));
        for path in std::iter::once(path.clone()).chain(files) {
            // An empty file stands for one that somebody puts there, and may have already.
            let stand_in = draft.files.iter().any(|(name, bytes)| bytes.is_empty() && dir.join(name) == path);
            if path.exists() && !stand_in {
                let hint = "choose another --dir, or take it away";
                return Err(Error::usage_hint(format!("{} is there already", path.display()), hint));
            }
        }
        planned.push((path, draft));
    }
    Ok(planned)
}

/// `written` has what was not there before, whether or not all of it could be written.
fn write(
    imported: &Imported,
    planned: &[(PathBuf, &Draft)],
    dir: &Path,
    written: &mut Vec<PathBuf>,
) -> Result<()> {
    let texts = imported.scenarios();
    for ((path, draft), text) in planned.iter().zip(&texts) {
        for (name, bytes) in &draft.files {
            let file = dir.join(name);
            if !file.exists() {
                write_atomic(&file, bytes)?;
                written.push(file);
            }
        }
        write_atomic(path, text.as_bytes())?;
        written.push(path.clone());
    }
    Ok(())
}

fn told(imported: &Imported, written: &[(PathBuf, &Draft)]) -> Result<u8> {
    for (path, draft) in written {
        tell(&format!("{}: {}\n", path.display(), counted(draft.steps.len(), "step")))?;
    }
    if !imported.left_out.is_empty() {
        tell("left out, or to be seen to:\n")?;
        for line in imported.left_out.iter().take(MOST_LEFT_OUT) {
            tell(&format!("  {line}\n"))?;
        }
        let more = imported.left_out.len().saturating_sub(MOST_LEFT_OUT);
        if more > 0 {
            tell(&format!("  and {more} more\n"))?;
        }
    }
    if !imported.secrets.is_empty() {
        tell(&format!("secrets are taken from the environment: {}\n", imported.secrets.join(", ")))?;
    }
    if let Some((path, draft)) = written.first() {
        let target = if draft.target.is_empty() { "URL" } else { &draft.target };
        tell(&format!("next: loadgate smoke {} --target {target}\n", path.display()))?;
    }
    Ok(0)
}
