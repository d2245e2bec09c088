use std::path::PathBuf;

use super::session::print;
use crate::engine::Slice;
use crate::error::{Error, Result};
use crate::gate::scenario_records;
use crate::metrics::ShardRecord;
use crate::report::render_plan;
use crate::scenario::{LoadOptions, load};
use crate::transport::Kind;
use crate::units::Rate;

pub struct ValidateRequest {
    pub paths: Vec<PathBuf>,
    pub vars: Vec<(String, String)>,
    pub only: Vec<String>,
    pub shard: Option<ShardRecord>,
    pub rate: Option<Rate>,
}

/// Reads the scenarios and prints what a run would do and could judge. Sends nothing.
///
/// # Errors
/// Every mistake in the files, or rules that could never be judged.
pub fn validate(request: &ValidateRequest) -> Result<u8> {
    let options = LoadOptions {
        vars: request.vars.clone(),
        require_secrets: false,
        only: request.only.clone(),
        transport: Kind::Wire.name(),
        rate: request.rate,
    };
    let scenarios = load(&request.paths, &options)?.scenarios;
    let slice = request.shard.map_or(Slice::WHOLE, |shard| Slice { index: shard.index, count: shard.count });
    let plans: Vec<_> = scenario_records(&scenarios, slice).into_iter().flat_map(|s| s.endpoints).collect();
    let (text, hopeless) = render_plan(&scenarios, &plans);
    print(&text)?;
    if hopeless.is_empty() {
        return Ok(0);
    }
    Err(Error::usage(format!("these rules could never be judged:\n  {}", hopeless.join("\n  "))))
}
