//! What a container sees of itself.

use std::path::Path;

use launch::compile::compile;
use launch::plan::{FdIndex, Filter, Signals, SockFilter};
use serde_json::json;

use crate::harness::{Case, Ended, Image, Ready, Room, run};
use crate::spec::{CAPABILITIES, base, parse};

pub const CASES: &[Case] = &[
    Case { name: "a_shell_runs_in_namespaces_of_its_own", run: a_shell_runs_in_namespaces_of_its_own },
];

fn a_shell_runs_in_namespaces_of_its_own(directory: &Path) {
    let image = Image::new(directory);
    let script = "echo $$; hostname; echo $COLOUR; pwd; ls /; cat /proc/self/mountinfo; ls -la /dev; exit 7";
    let (output, ended) = run(&parse(base(script)), &image.options()).expect("it starts");
    println!("{output}");
    assert_eq!(ended, Ended::Code(7));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(&lines[..4], ["1", "sea", "blue", "/"]);
}
