//! The floor program, asked for one measurement at a time, so that it takes turns with the others.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longest wait for one measurement.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running floor program.
pub struct Floor {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<std::io::Result<String>>,
}

impl Floor {
    /// Starts it.
    pub fn start(dir: &Path, cgroup: &str, program: &Path, pause: &Path) -> Result<Self> {
        let floor = std::env::current_exe().context("find this program")?.with_file_name("floor");
        let mut command = Command::new(&floor);
        command
            .arg("--answer")
            .arg("--dir")
            .arg(dir)
            .arg("--cgroup")
            .arg(format!("{}/floor", cgroup.trim_matches('/')));
        command.arg("--program").arg(program).arg("--pause").arg(pause);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", floor.display()))?;
        let questions = child.stdin.take();
        let output = child.stdout.take().context("the floor program has no output")?;
        let (sender, answers) = channel();
        // Ends with the program's output.
        std::thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| sender.send(line)));
        Ok(Self { child, questions, answers })
    }

    /// One measurement of an operation, by its name on the command line of `floor`.
    pub fn measure(&mut self, operation: &str) -> Result<Duration> {
        let questions = self.questions.as_mut().context("the floor program was stopped")?;
        writeln!(questions, "{operation}").context("ask the floor program")?;
        let answer = self.answers.recv_timeout(DEADLINE).context("wait for the floor program")??;
        match answer.parse() {
            Ok(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
            Err(_) => bail!("measure floor of {operation}: {answer}"),
        }
    }

    /// Lets it end and clear up.
    pub fn stop(&mut self) -> Result<()> {
        // The end of its input is the end of its work.
        if self.questions.take().is_some() {
            super::subject::wait(&mut self.child, "the floor program", DEADLINE)?;
        }
        Ok(())
    }
}
