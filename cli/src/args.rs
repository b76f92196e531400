//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Where our runtime listens.
pub const DEFAULT_ENDPOINT: &str = "unix:///run/orlop/orlop.sock";

const EXIT_CODES: &str = "Exit codes:
  0    success; for `run`: every container succeeded
  64   wrong usage, or a manifest with a mistake
  69   no runtime answers
  70   the runtime or the host failed, or the pod could not be started
  130  ended by Ctrl-C
  For `run`, any other code is that of the container that failed first.";

/// Run Kubernetes pods on this host.
#[derive(Debug, Parser)]
#[command(name = "orlop", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Arguments {
    /// Socket of the runtime
    #[arg(long, global = true, env = "ORLOP_ENDPOINT", value_name = "unix:///PATH")]
    pub endpoint: Option<String>,
    /// Tell on standard error what is going on inside
    #[arg(long, global = true)]
    pub debug: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the pod of a manifest until it ends, with its logs
    #[command(after_help = "Examples:
  orlop run examples/hello.yaml          run it; Ctrl-C ends it in order, twice at once
  orlop run - < pod.yaml                 read the manifest from standard input
  orlop run --pull always pod.yaml       fetch every image anew
  orlop run --keep pod.yaml              leave the ended pod and its logs to be looked at")]
    Run(RunArgs),
    /// List containers
    #[command(after_help = "Examples:
  orlop ps              running containers
  orlop ps -a           all of them
  orlop ps -o json")]
    Ps(ListArgs),
    /// List pods
    #[command(after_help = "Examples:
  orlop pods
  orlop pods -o json")]
    Pods(ListArgs),
    /// Print the logs of a pod
    #[command(after_help = "Examples:
  orlop logs hello                 every container of the pod
  orlop logs -f -c web hello       one container, and what it writes next
  orlop logs --tail 20 default/hello")]
    Logs(LogsArgs),
    /// Stop pods in order; they stay to be looked at, unless an `orlop run` without --keep holds them
    #[command(after_help = "Examples:
  orlop stop hello
  orlop stop --time 5 hello")]
    Stop(StopArgs),
    /// Remove pods
    #[command(
        visible_alias = "delete",
        after_help = "Examples:
  orlop rm hello              a pod that has ended
  orlop rm -f hello web       running ones too"
    )]
    Rm(RmArgs),
    /// Pull, import, list and remove images
    Image(ImageArgs),
    /// Show every recorded stage of a pod's life with its duration
    #[command(after_help = "Examples:
  orlop timeline hello              also for a pod that is gone
  orlop timeline hello -o json")]
    Timeline(TimelineArgs),
    /// Show the versions of orlop and of the runtime
    #[command(after_help = "Examples:
  orlop version
  orlop version -o json")]
    Version(OutputArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  orlop completion bash > /etc/bash_completion.d/orlop
  orlop completion zsh > ~/.zfunc/_orlop")]
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The manifest, YAML or JSON; - reads standard input
    #[arg(value_name = "FILE", required_unless_present = "filename", conflicts_with = "filename")]
    pub file: Option<PathBuf>,
    /// The same, as kubectl spells it
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub filename: Option<PathBuf>,
    /// When to pull images, instead of what the manifest says
    #[arg(long, value_enum, value_name = "POLICY")]
    pub pull: Option<Pull>,
    /// Remove the pod when it has ended; this is the default
    #[arg(long, conflicts_with = "keep")]
    pub rm: bool,
    /// Leave the ended pod and its logs to be looked at
    #[arg(long)]
    pub keep: bool,
    /// Keep trying when an image or a container cannot be had, as a kubelet does, instead of giving up
    #[arg(long)]
    pub retry: bool,
    /// Only the containers' own output
    #[arg(short, long)]
    pub quiet: bool,
    /// Where volumes and other files of pods are kept
    #[arg(long, default_value = "/var/lib/orlop/kubelet", value_name = "DIR", hide_short_help = true)]
    pub pod_root: PathBuf,
    /// Where the logs of pods are kept
    #[arg(long, default_value = "/var/log/pods", value_name = "DIR", hide_short_help = true)]
    pub log_root: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Pull {
    Always,
    Missing,
    Never,
}

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Ended ones too
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// name, namespace/name, or the beginning of the sandbox's id
    pub pod: String,
    /// Only this container
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Go on with what is written next, until the containers end
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Print when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
}

#[derive(Debug, Args)]
pub struct StopArgs {
    /// Pods by name, namespace/name, or the beginning of the sandbox's id
    #[arg(required = true)]
    pub pods: Vec<String>,
    /// Seconds between asking a container to end and ending it
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub time: Duration,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Pods by name, namespace/name, or the beginning of the sandbox's id
    #[arg(required = true)]
    pub pods: Vec<String>,
    /// Running ones too
    #[arg(short, long)]
    pub force: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "a whole number of seconds is needed".to_owned())
}

#[derive(Debug, Args)]
pub struct TimelineArgs {
    /// name, namespace/name, or the beginning of the sandbox's id
    pub pod: String,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    pub command: ImageCommand,
}

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Fetch images from a registry
    #[command(after_help = "Examples:
  orlop image pull docker.io/library/busybox:1.36
  ORLOP_REGISTRY_PASSWORD=... orlop image pull --username me registry.example/app:2")]
    Pull {
        /// References
        #[arg(required = true)]
        images: Vec<String>,
        /// Account at the registry
        #[arg(long)]
        username: Option<String>,
        /// Its password; better given in the environment, where no process list shows it
        #[arg(long, env = "ORLOP_REGISTRY_PASSWORD", hide_env_values = true, requires = "username")]
        password: Option<String>,
    },
    /// Take images from an OCI layout or docker archive (tar)
    #[command(after_help = "Examples:
  orlop image import demo.tar
  docker save app:2 | orlop image import -
  orlop image import --name orlop.local/demo:latest demo.tar")]
    Import {
        /// The archive; - reads standard input
        file: PathBuf,
        /// Name for the image, instead of the archive's
        #[arg(long)]
        name: Option<String>,
    },
    /// List images
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  orlop image list
  orlop image list -o json"
    )]
    List(OutputArgs),
    /// Show everything known of an image, as JSON
    #[command(after_help = "Examples:
  orlop image inspect orlop.local/demo:latest")]
    Inspect {
        /// Reference or id
        image: String,
    },
    /// Remove images
    #[command(after_help = "Examples:
  orlop image rm orlop.local/demo:latest")]
    Rm {
        /// References or ids
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Remove every image that no container uses
    #[command(after_help = "Examples:
  orlop image prune")]
    Prune,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands() {
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(sub.has_subcommands() || help.starts_with("Examples:"), "{}", sub.get_name());
                check(sub);
            }
        }
        check(&Arguments::command());
    }
}
