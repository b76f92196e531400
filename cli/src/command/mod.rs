//! One file per command, and [`holder`] for those that end pods.

mod holder;
mod list;
mod logs;
mod remove;
mod run;
mod stop;
mod timeline;
mod version;

use clap::CommandFactory;

use crate::args::{Arguments, Command};
use crate::error::Result;
use crate::image;

/// Executes what was typed; the answer is the exit code.
pub async fn execute(arguments: Arguments) -> Result<u8> {
    let endpoint = arguments.endpoint.as_deref();
    match arguments.command {
        Command::Run(options) => run::run(endpoint, options).await,
        Command::Ps(options) => list::containers(endpoint, &options).await,
        Command::Pods(options) => list::pods(endpoint, &options).await,
        Command::Logs(options) => logs::logs(endpoint, &options).await,
        Command::Stop(options) => stop::stop(endpoint, &options).await,
        Command::Rm(options) => remove::remove(endpoint, &options).await,
        Command::Image(options) => image::execute(endpoint, options.command).await,
        Command::Timeline(options) => timeline::timeline(endpoint, &options).await,
        Command::Version(options) => version::version(endpoint, &options).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "orlop", &mut script);
            crate::output::print(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    }
}
