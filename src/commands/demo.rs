use tokio::io::AsyncReadExt as _;

use super::signals::block_on;
use crate::demo::{DemoOptions, serve};
use crate::error::Result;

pub struct DemoRequest {
    pub options: DemoOptions,
    /// End when standard input does: a parent that dies takes its demo along.
    pub until_stdin_closes: bool,
}

/// Serves the embedded target until it is ended.
///
/// # Errors
/// If the port cannot be bound.
pub fn demo(request: DemoRequest) -> Result<u8> {
    block_on(async {
        let serving = serve(request.options, |address| println!("loadgate demo listens on http://{address}"));
        if request.until_stdin_closes {
            let mut ignored = Vec::new();
            tokio::select! {
                served = serving => served?,
                _ = async { tokio::io::stdin().read_to_end(&mut ignored).await } => std::process::exit(0),
            }
        } else {
            serving.await?;
        }
        Ok(0)
    })
}
