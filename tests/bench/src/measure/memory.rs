//! What a runtime holds in memory: idle, and for each pod. PSS, so that shared pages count once.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{remove, row};
use crate::account;
use crate::report::Report;
use crate::sample::Figure;
use crate::stage::Stage;
use crate::subject::{Network, Subject, ours};

const IDLE: &str = "daemon idle PSS";
const POD: &str = "PSS per additional pod with one container";
const SUPERVISOR: &str = "supervisor PSS with all of these pods";

pub const MEASURES: [&str; 3] = [IDLE, POD, SUPERVISOR];

/// Time for allocators and background work to come to rest.
const REST: Duration = Duration::from_secs(2);

pub async fn measure(stage: &mut Stage, report: &mut Report, pods: u32) -> Result<()> {
    let (subjects, _) = stage.players()?;
    let (mut idle, mut slopes, mut supervisor) = (Vec::new(), Vec::new(), None);
    for (side, subject) in subjects.iter_mut().enumerate() {
        tokio::time::sleep(REST).await;
        let pid = subject.pid()?;
        idle.push(Some(mebibytes(account::pss(pid).context("the daemon has ended")?)));
        // One pod first: what the first pod of a daemon's life costs is not what another one costs.
        let mut made = vec![pod(subject).await?];
        if side == 0 {
            ours::adopt_supervisor(subject)?;
        }
        tokio::time::sleep(REST).await;
        let before = subject.account.memory()?;
        for _ in 0..pods {
            made.push(pod(subject).await?);
        }
        tokio::time::sleep(REST).await;
        let after = subject.account.memory()?;
        slopes.push(Some(Figure::from((after as f64 - before as f64) / f64::from(pods) / 1024.0)));
        if side == 0 {
            let pss = account::pss(ours::supervisor()?).context("the supervisor has ended")?;
            supervisor = Some(mebibytes(pss));
        }
        remove(subject, &made).await?;
    }
    report.push(row(IDLE, "MiB", &idle, None));
    report.push(row(POD, "KiB", &slopes, None));
    report.push(row(SUPERVISOR, "MiB", &[supervisor], None));
    Ok(())
}

async fn pod(subject: &mut Subject) -> Result<crate::subject::Pod> {
    let mut pod = subject.prepare(Network::Pod)?;
    subject.run(&mut pod).await?;
    let container = subject.create(&pod, &["sleep"]).await?;
    subject.start(&container).await?;
    Ok(pod)
}

fn mebibytes(bytes: u64) -> Figure {
    Figure::from(bytes as f64 / f64::from(1 << 20))
}
