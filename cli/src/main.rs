//! `orlop`: what a person types.
#![forbid(unsafe_code)]

mod args;
mod command;
mod endpoint;
mod error;
mod image;
mod log;
mod output;
mod pods;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors; clap prints each to the right stream.
            let code = if error.use_stderr() { error::USAGE } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(error::RUNTIME),
            };
        }
    };
    output::logging(arguments.debug);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(command::execute(arguments));
            // A thread that still reads standard input may do so for ever.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error::Error::Io {
            operation: "start the event loop of",
            object: "orlop".to_owned(),
            source: error,
        }),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("orlop: {}", error.one_line());
            ExitCode::from(error.code())
        }
    }
}
