//! `orlop image`.

mod list;
mod progress;
mod remove;
mod transfer;

use crate::args::ImageCommand;
use crate::endpoint::{self, Connection};
use crate::error::Result;

/// Executes a subcommand.
pub async fn execute(endpoint: Option<&str>, command: ImageCommand) -> Result<u8> {
    endpoint::with_runtime(endpoint, async |connection, signals| {
        endpoint::until_signal(signals, at(connection, command)).await
    })
    .await
}

async fn at(connection: &Connection, command: ImageCommand) -> Result<u8> {
    match command {
        ImageCommand::Pull { images, username, password } => {
            transfer::pull(connection, &images, username.as_deref(), password.as_deref()).await
        }
        ImageCommand::Import { file, name } => transfer::import(connection, &file, name.as_deref()).await,
        ImageCommand::List(options) => list::list(connection, options.output).await,
        ImageCommand::Inspect { image } => list::inspect(connection, &image).await,
        ImageCommand::Rm { images } => remove::remove(connection, &images).await,
        ImageCommand::Prune => remove::prune(connection).await,
    }
}
