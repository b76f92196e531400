//! `orlop version`.

use cri_api::v1;
use serde_json::json;

use crate::args::{Format, OutputArgs};
use crate::endpoint::{self, ask};
use crate::error::Result;
use crate::output;

/// Prints our version, and that of the runtime if one answers.
pub async fn version(endpoint: Option<&str>, options: &OutputArgs) -> Result<u8> {
    let runtime = match endpoint::connect(endpoint).await {
        Ok(connection) => {
            let request = ask(v1::VersionRequest { version: "v1".to_owned() });
            connection.runtime().version(request).await.ok().map(tonic::Response::into_inner)
        }
        // Our own version is the answer even where nothing runs, unless a runtime was asked for.
        Err(error) if endpoint.is_some() => return Err(error),
        Err(_) => None,
    };
    let own = env!("CARGO_PKG_VERSION");
    match options.output {
        Format::Json => {
            let runtime = runtime.map(|runtime| {
                json!({ "name": runtime.runtime_name, "version": runtime.runtime_version,
                        "api": runtime.runtime_api_version })
            });
            output::print_json(&json!({ "orlop": own, "runtime": runtime }));
        }
        Format::Table => {
            let second = match runtime {
                Some(runtime) => format!(
                    "runtime  {} {} (CRI {})",
                    runtime.runtime_name, runtime.runtime_version, runtime.runtime_api_version
                ),
                None => "runtime  not running".to_owned(),
            };
            output::print(&format!("orlop    {own}\n{second}\n"));
        }
    }
    Ok(0)
}
