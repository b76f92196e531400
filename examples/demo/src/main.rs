//! The program in the demo image. One static binary, many small verbs: what a story about containers needs to see from
//! inside one, without a distribution around it.
//!
//! It owns no state. Every verb writes plain lines, so that they can be read in a container's log.

#![forbid(unsafe_code)]

mod inspect;
mod load;
mod stream;
mod web;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const HELP: &str = "\
demo: a small web server, and verbs that show a container from inside

  demo web [PORT]                     serve a page that names this host; log a line per request (8080)
  demo fetch URL [SECONDS]            print what an http:// address answers; give up after SECONDS (5)
  demo write MILLISECONDS [COUNT]     a numbered line each MILLISECONDS, COUNT times or for ever
  demo lines COUNT LENGTH             COUNT numbered lines of LENGTH bytes, as fast as possible
  demo say TEXT... | warn TEXT...     a line to standard output | standard error
  demo copy                           standard input to standard output
  demo cat FILE... | put FILE TEXT    print files | write one
  demo ls FOLDER                      names in a folder, sorted
  demo env | pwd | id | fds | ps      what this process was given, what it may do, who else is here
  demo sleep [SECONDS]                wait, for ever without SECONDS; ends at once on SIGTERM with 143
  demo stubborn [SECONDS]             the same, but says so and goes on when SIGTERM comes
  demo exit CODE [SECONDS]            end with CODE, after SECONDS
  demo crash                          end by SIGABRT
  demo hold MEBIBYTES [SECONDS]       keep memory that is really there
  demo spin [SECONDS]                 use one processor
  demo children COUNT [SECONDS [LIFE]]  start COUNT children that sleep LIFE seconds; says how many could be started
  demo orphan                         leave a grandchild behind that ends after a second
  demo then VERB... [-- VERB...]...   several verbs one after the other

example: demo then say hello -- web 8080
";

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong: exit status 2.
    Usage(String),
    /// It was tried and failed: exit status 1.
    Failed(String),
}

pub(crate) type Outcome = Result<(), Failure>;

/// Adds what was being done, and on what, to an error of the system.
pub(crate) fn doing(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Failed(format!("{what}: {error}"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("demo: {text} (try demo --help)");
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            eprintln!("demo: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    let Some((verb, rest)) = arguments.split_first() else {
        return Err(Failure::Usage("no verb".to_owned()));
    };
    match verb.as_str() {
        "--help" | "-h" | "help" => print(HELP),
        "--version" => print(concat!("demo ", env!("CARGO_PKG_VERSION"), "\n")),
        "web" => web::serve(optional(rest, 0, "port")?.unwrap_or(8080)),
        "fetch" => web::fetch(text(rest, 0, "URL")?, seconds(rest, 1)?.unwrap_or(Duration::from_secs(5))),
        "write" => stream::numbered(
            Duration::from_millis(required(rest, 0, "milliseconds")?),
            optional(rest, 1, "count")?,
        ),
        "lines" => stream::flood(required(rest, 0, "count")?, required(rest, 1, "length")?),
        "say" => print(&format!("{}\n", rest.join(" "))),
        "warn" => {
            eprintln!("{}", rest.join(" "));
            Ok(())
        }
        "copy" => stream::copy(),
        "cat" => stream::files(rest),
        "put" => stream::put(text(rest, 0, "FILE")?, text(rest, 1, "TEXT")?),
        "ls" => inspect::folder(text(rest, 0, "FOLDER")?),
        "env" => inspect::environment(),
        "pwd" => inspect::working_directory(),
        "id" => inspect::identity(),
        "fds" => inspect::descriptors(),
        "ps" => inspect::processes(),
        "sleep" => wait(seconds(rest, 0)?, OnTerm::End),
        "stubborn" => wait(seconds(rest, 0)?, OnTerm::Refuse),
        "exit" => {
            let code: u8 = required(rest, 0, "code")?;
            wait(Some(seconds(rest, 1)?.unwrap_or_default()), OnTerm::End)?;
            std::process::exit(code.into())
        }
        "crash" => std::process::abort(),
        "hold" => {
            let held = load::memory(required(rest, 0, "mebibytes")?)?;
            wait(seconds(rest, 1)?, OnTerm::End)?;
            drop(held);
            Ok(())
        }
        "spin" => load::processor(seconds(rest, 0)?),
        "children" => {
            load::children(required(rest, 0, "count")?, rest.get(2).map_or("86400", String::as_str))?;
            wait(seconds(rest, 1)?, OnTerm::End)
        }
        "orphan" => load::orphan(),
        "then" => rest.split(|word| word == "--").try_for_each(run),
        other => Err(Failure::Usage(format!("unknown verb {other}"))),
    }
}

/// What a waiting verb does when it is asked to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnTerm {
    /// Exit at once with 128 + the signal's number.
    End,
    /// Say so and go on.
    Refuse,
}

/// Waits, for ever if no time is given, and hears signals meanwhile.
fn wait(time: Option<Duration>, on_term: OnTerm) -> Outcome {
    if time == Some(Duration::ZERO) {
        return Ok(());
    }
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(doing("listen for signals"))?;
    let listener = std::thread::spawn(move || {
        for signal in signals.forever() {
            if on_term == OnTerm::End {
                std::process::exit(128 + signal);
            }
            // A closed log must not end a program that was told to be stubborn.
            let _refused = print(&format!("signal {signal} refused\n"));
        }
    });
    match time {
        Some(time) => std::thread::sleep(time),
        None => drop(listener.join()),
    }
    Ok(())
}

/// Writes a whole text at once, so that lines of several writers do not mix.
pub(crate) fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(doing("write standard output"))
}

fn text<'a>(arguments: &'a [String], index: usize, name: &str) -> Result<&'a str, Failure> {
    arguments.get(index).map(String::as_str).ok_or_else(|| Failure::Usage(format!("no {name}")))
}

fn optional<T: std::str::FromStr>(
    arguments: &[String],
    index: usize,
    name: &str,
) -> Result<Option<T>, Failure> {
    arguments
        .get(index)
        .map(|word| word.parse().map_err(|_| Failure::Usage(format!("{name} is not a number: {word}"))))
        .transpose()
}

fn required<T: std::str::FromStr>(arguments: &[String], index: usize, name: &str) -> Result<T, Failure> {
    optional(arguments, index, name)?.ok_or_else(|| Failure::Usage(format!("no {name}")))
}

fn seconds(arguments: &[String], index: usize) -> Result<Option<Duration>, Failure> {
    let Some(value) = optional::<f64>(arguments, index, "seconds")? else { return Ok(None) };
    Duration::try_from_secs_f64(value).map(Some).map_err(|error| Failure::Usage(format!("seconds: {error}")))
}
