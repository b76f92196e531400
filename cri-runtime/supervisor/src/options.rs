//! The command line.

/// Text of `--help`.
pub const HELP: &str = "\
The one small parent of every container on the node.

Usage: orlop-supervisor [--help | --version]

It is started by cri-runtime and serves it on a socket that it inherits: descriptor 3 is a listening
SOCK_SEQPACKET socket, descriptor 4 the directory of exit records, standard error its log. It starts
processes, carries their output into log files, and writes down how they end, whether or not a daemon
runs. SIGTERM ends it when no process is left.

Options:
  -h, --help     Print this text
  -V, --version  Print the version
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Options {
    /// Serve.
    Serve,
    /// Go on with the state under this descriptor number. How the supervisor executes itself; not for people.
    Resume(i32),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

impl Options {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// One line that names the argument that is not understood.
    pub fn parse(arguments: &[&str]) -> Result<Self, String> {
        match arguments {
            [] => Ok(Self::Serve),
            ["-h" | "--help"] => Ok(Self::Help),
            ["-V" | "--version"] => Ok(Self::Version),
            ["--resume", number] => match number.parse() {
                Ok(number) if number > 2 => Ok(Self::Resume(number)),
                _ => Err(format!("--resume: {number:?} is not the number of a descriptor above 2")),
            },
            [other, ..] => Err(format!("unexpected argument {other:?}; try --help")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood_or_named() {
        assert_eq!(Options::parse(&[]), Ok(Options::Serve));
        assert_eq!(Options::parse(&["--help"]), Ok(Options::Help));
        assert_eq!(Options::parse(&["-V"]), Ok(Options::Version));
        assert_eq!(Options::parse(&["--resume", "7"]), Ok(Options::Resume(7)));
        assert!(Options::parse(&["--resume", "1"]).unwrap_err().contains("\"1\""));
        assert!(Options::parse(&["--verbose"]).unwrap_err().contains("--verbose"));
    }
}
