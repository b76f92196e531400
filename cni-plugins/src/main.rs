//! The multi-call binary: the name it is called by is the plugin it is.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cni_plugins::plugins;
use cni_plugins::serve::{Variables, deliver, serve};

const HELP: &str = "\
CNI plugins of Orlop in one file. The name it is called by is the plugin it is: put links into the plugin directory.

Usage: cni-plugins [--help | --version]
       CNI_COMMAND=... <plugin> < network configuration

Examples:
  for p in $(cni-plugins --list); do ln -f cni-plugins /opt/cni/bin/$p; done
  CNI_COMMAND=VERSION /opt/cni/bin/bridge
  echo '{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"type\":\"bridge\"}' |
    CNI_COMMAND=STATUS CNI_PATH=/opt/cni/bin /opt/cni/bin/bridge

Options:
  --list     print the names of the plugins
  --help     print this
  --version  print the version
";

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = called.rsplit('/').next().unwrap_or_default();
    if let Some(plugin) = plugins::find(name) {
        return ExitCode::from(deliver(&serve(plugin, &Variables::of_process(), std::io::stdin().lock())));
    }
    match arguments.next().as_deref() {
        Some("--version" | "-V") => println!("cni-plugins {}", env!("CARGO_PKG_VERSION")),
        Some("--list") => plugins::names().for_each(|name| println!("{name}")),
        Some("--help" | "-h") => print!("{HELP}"),
        _ => {
            let names: Vec<&str> = plugins::names().collect();
            eprintln!(
                "cni-plugins: {name} is no plugin of this file; it has {}. See --help",
                names.join(", ")
            );
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}
