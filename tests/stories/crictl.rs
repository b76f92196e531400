//! A real crictl sees and does everything it can.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests::runtime::{DEMO, Runtime};
use tests::{host, patience};

use crate::story;

struct Crictl {
    program: PathBuf,
    endpoint: String,
}

impl Crictl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "--runtime-endpoint",
            &self.endpoint,
            "--image-endpoint",
            &self.endpoint,
            "--timeout",
            "30s",
        ]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Standard output of a command that must succeed.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().context("run crictl")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "crictl {} failed: {text}{error}", arguments.join(" "));
        Ok(text.trim().to_owned())
    }

    fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let text = self.run(arguments)?;
        serde_json::from_str(&text)
            .with_context(|| format!("read the answer of crictl {}", arguments.join(" ")))
    }
}

#[tokio::test]
async fn crictl_runs_a_pod_and_every_command_that_people_use() -> Result<()> {
    story!("crictl");
    let Some(program) = host::peer("crictl") else {
        eprintln!("SKIPPED crictl: no crictl on PATH or in PEERS_BIN");
        return Ok(());
    };
    let runtime = Runtime::start().await?;
    let crictl = Crictl { program, endpoint: runtime.endpoint() };
    let folder = runtime.scratch("crictl")?;
    let logs = runtime.logs().join("crictl");
    std::fs::create_dir_all(&logs)?;
    let write = |name: &str, content: serde_json::Value| -> Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, serde_json::to_vec_pretty(&content)?)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let pod_file = write(
        "pod.json",
        serde_json::json!({
            "metadata": {"name": "hand", "namespace": "stories", "uid": "by-hand", "attempt": 0},
            "hostname": "hand", "log_directory": logs, "linux": {},
        }),
    )?;
    let container_file = write(
        "container.json",
        serde_json::json!({
            "metadata": {"name": "web", "attempt": 0}, "image": {"image": DEMO},
            "args": ["web", "8080"], "log_path": "web.log", "linux": {},
        }),
    )?;

    assert!(crictl.run(&["version"])?.contains("RuntimeApiVersion:  v1"));
    let info = crictl.json(&["info"])?;
    let conditions = info["status"]["conditions"].as_array().context("info has conditions")?;
    assert!(conditions.iter().all(|condition| condition["status"] == true), "{conditions:?}");

    crictl.run(&["pull", DEMO])?;
    assert!(crictl.run(&["images"])?.contains("registry.test/demo"));
    assert_eq!(crictl.json(&["inspecti", DEMO])?["status"]["repoTags"][0], DEMO);

    let pod = crictl.run(&["runp", &pod_file])?;
    assert!(crictl.run(&["pods"])?.contains(&pod[..13]));
    assert_eq!(crictl.json(&["inspectp", &pod])?["status"]["state"], "SANDBOX_READY");
    let container = crictl.run(&["create", &pod, &container_file, &pod_file])?;
    crictl.run(&["start", &container])?;
    assert!(crictl.run(&["ps"])?.contains(&container[..13]));
    let inspected = crictl.json(&["inspect", &container[..12]])?;
    assert_eq!(inspected["status"]["state"], "CONTAINER_RUNNING", "abbreviated ids are resolved (G-06)");
    assert!(inspected["info"]["pid"].as_u64().is_some_and(|pid| pid > 1));

    patience::until_now("crictl logs shows the server's first line", || {
        Ok(crictl.run(&["logs", &container])?.contains("listening on port 8080").then_some(()))
    })?;
    assert!(crictl.run(&["logs", "--tail", "1", "-t", &container])?.contains('T'));
    let shown = crictl.run(&["exec", "-s", &container, "/bin/demo", "ps"])?;
    assert!(shown.contains("/bin/demo web 8080"), "{shown}");
    let failed = crictl.command(&["exec", "-s", &container, "/bin/demo", "exit", "7"]).output()?;
    assert!(!failed.status.success());

    patience::until_now("statistics are there", || {
        Ok(crictl.run(&["stats"])?.contains(&container[..13]).then_some(()))
    })?;
    assert!(crictl.json(&["imagefsinfo"])?["status"]["imageFilesystems"].is_array());

    crictl.run(&["stop", &container])?;
    assert!(crictl.run(&["ps", "-a"])?.contains("Exited"));
    follow(&crictl, &container)?;
    crictl.run(&["rm", &container])?;
    crictl.run(&["stopp", &pod])?;
    assert_eq!(crictl.json(&["inspectp", &pod])?["status"]["state"], "SANDBOX_NOTREADY");
    crictl.run(&["rmp", &pod])?;
    crictl.run(&["rmi", DEMO])?;
    assert!(!crictl.run(&["images"])?.contains("registry.test/demo"));
    Ok(())
}

/// `logs -f` of a container that has ended prints everything and comes back by itself.
fn follow(crictl: &Crictl, container: &str) -> Result<()> {
    let mut child = crictl.command(&["logs", "-f", container]).stdout(Stdio::null()).spawn()?;
    let status = patience::until_now("crictl logs -f comes back", || Ok(child.try_wait()?));
    if status.is_err() {
        child.kill()?;
        child.wait()?;
    }
    ensure!(status?.success());
    Ok(())
}
