//! `orlop-supervisor`: options, start, serve.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use supervisor::notice::{Level, notice};
use supervisor::options::{HELP, Options};
use supervisor::{server::ServeError, start};

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = match Options::parse(&arguments) {
        Ok(Options::Help) => return print(HELP),
        Ok(Options::Version) => return print(concat!("orlop-supervisor ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Options::Serve) => start::start(),
        Ok(Options::Resume(number)) => start::resume(number),
        Err(message) => {
            eprintln!("orlop-supervisor: {message}");
            return ExitCode::from(2);
        }
    };
    match server
        .map_err(Box::<dyn Error>::from)
        .and_then(|server| Ok(server.run().map_err(Box::<ServeError>::new)?))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut reason = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                reason = format!("{reason}: {error}");
                cause = error.source();
            }
            notice(Level::Error, "cannot go on", &[("reason", &reason)]);
            ExitCode::FAILURE
        }
    }
}

/// A reader that closes its end early (`--help | head -1`) is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
