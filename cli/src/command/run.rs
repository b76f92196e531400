//! `orlop run`: one pod, from its manifest to its exit code.

mod prepare;
mod report;
mod stream;

use std::sync::Arc;

use kubelet::host::Host;
use kubelet::layout::Layout;
use kubelet::plan::{Phase, Stage};
use kubelet::runtime::cri::Cri;
use kubelet::worker::{self, Handle, Snapshot};
use tokio::sync::watch;

use crate::args::RunArgs;
use crate::endpoint::{self, Connection};
use crate::error::{self, Error, Result};
use crate::signals::Signals;
use report::Report;
use stream::Streams;

/// Runs the pod.
pub async fn run(endpoint: Option<&str>, options: RunArgs) -> Result<u8> {
    let pod = prepare::pod(&options)?;
    let host = Host::read().map_err(|error| Error::Pod(chain(&error)))?;
    // Signals are taken before anything is started, so that there is no moment in which Ctrl-C just ends us.
    endpoint::with_runtime(endpoint, async |connection, signals| {
        run_at(connection, signals, pod, host, &options).await
    })
    .await
}

async fn run_at(
    connection: &Connection,
    signals: Signals,
    pod: k8s_openapi::api::core::v1::Pod,
    host: Host,
    options: &RunArgs,
) -> Result<u8> {
    prepare::refuse_second(connection, &pod).await?;
    let layout = Layout { root: options.pod_root.clone(), logs: options.log_root.clone() };
    let logs = layout.pod_logs(&kubelet::names::Identity::of(&pod));
    let report = Report::new(options.quiet, &pod);
    let handle = worker::spawn(worker::Config {
        runtime: Arc::new(Cri::new(connection.channel.clone())),
        pod,
        host,
        layout,
        remove: !options.keep,
        clock: worker::system_clock(),
    });
    let streams = Streams::start(handle.snapshots(), logs.clone());
    let ended = watch_over(&handle, signals, report, !options.retry).await;
    streams.finish().await?;
    if !options.keep {
        remove_logs(&logs)?;
    }
    let Ended { snapshot, interrupted, gave_up } = ended;
    if let Some(reason) = gave_up {
        return Err(Error::Pod(reason));
    }
    Ok(exit_code(&snapshot, interrupted))
}

/// How it came to the pod's end.
struct Ended {
    snapshot: Snapshot,
    interrupted: bool,
    gave_up: Option<String>,
}

/// Tells what happens until the pod has ended; turns the first signal into a graceful end, and the second into one at
/// once.
async fn watch_over(handle: &Handle, mut signals: Signals, mut report: Report, give_up: bool) -> Ended {
    let mut snapshots: watch::Receiver<Snapshot> = handle.snapshots();
    let mut interrupts = 0_u32;
    let mut gave_up = None;
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        report.show(&snapshot);
        if give_up && gave_up.is_none() && interrupts == 0 {
            gave_up = report::hopeless(&snapshot);
            if gave_up.is_some() {
                handle.stop(None).await;
            }
        }
        if snapshot.stage == Stage::Terminated {
            return Ended { snapshot, interrupted: interrupts > 0, gave_up };
        }
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() {
                // The worker is gone without having ended the pod: only a defect of ours does that.
                let snapshot = snapshots.borrow().clone();
                let gave_up = gave_up.or_else(|| Some(format!("the worker of pod {} failed", snapshot.pod.name)));
                return Ended { snapshot, interrupted: interrupts > 0, gave_up };
            },
            () = signals.next() => {
                interrupts += 1;
                report.interrupted(interrupts);
                if interrupts == 1 { handle.stop(None).await } else { handle.kill().await }
            }
        }
    }
}

fn exit_code(snapshot: &Snapshot, interrupted: bool) -> u8 {
    if interrupted {
        return error::INTERRUPTED;
    }
    if snapshot.phase == Phase::Succeeded {
        return 0;
    }
    match snapshot.failures().first() {
        // Codes of containers are one byte on Linux; anything else of a runtime counts as a plain failure.
        Some((_, exit)) => u8::try_from(exit.code).unwrap_or(1),
        None => error::RUNTIME,
    }
}

fn remove_logs(logs: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(logs) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", logs.display().to_string(), source))
        }
        _ => Ok(()),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
