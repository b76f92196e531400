//! What containers write arrives in their logs, whole and in order.

use anyhow::Result;
use cri_api::v1::ReopenContainerLogRequest;
use tests::log;
use tests::patience;
use tests::runtime::{DEMO, Runtime};

use crate::story;

#[tokio::test]
async fn both_streams_are_told_apart_and_an_unfinished_line_is_marked() -> Result<()> {
    story!("streams in the log");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("streams");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime
        .run_container(
            &pod,
            &sandbox,
            runtime.container("both", &["then", "say", "to", "out", "--", "warn", "to", "err"]),
        )
        .await?;
    runtime.wait_exit(&id).await?;
    runtime.wait_line(&sandbox, "both", "to err").await?;
    let records = log::records(&runtime.log(&sandbox, "both"))?;
    let of = |stream: &str| {
        records
            .iter()
            .filter(|record| record.stream == stream)
            .map(|record| record.content.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!((of("stdout"), of("stderr")), (vec!["to out"], vec!["to err"]));
    assert!(records.iter().all(|record| record.full));
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_long_line_is_split_and_its_pieces_give_it_back() -> Result<()> {
    story!("long lines");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("long");
    let pod = runtime.run_pod(&sandbox).await?;
    let id =
        runtime.run_container(&pod, &sandbox, runtime.container("long", &["lines", "2", "40000"])).await?;
    runtime.wait_exit(&id).await?;
    let path = runtime.log(&sandbox, "long");
    let records = patience::until("two whole lines", || async {
        let records = log::records(&path).unwrap_or_default();
        Ok((records.iter().filter(|record| record.full).count() == 2).then_some(records))
    })
    .await?;
    let mut joined = vec![String::new()];
    for record in &records {
        assert!(record.content.len() <= 16 * 1024, "L-03: a piece of {} bytes", record.content.len());
        if let Some(last) = joined.last_mut() {
            last.push_str(&record.content);
        }
        if record.full {
            joined.push(String::new());
        }
    }
    assert_eq!(joined.iter().map(String::len).collect::<Vec<_>>(), [40_000, 40_000, 0]);
    assert!(joined[0].starts_with("1.") && joined[1].starts_with("2."));
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_flood_arrives_complete() -> Result<()> {
    story!("a flood of lines");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("flood");
    let pod = runtime.run_pod(&sandbox).await?;
    let id =
        runtime.run_container(&pod, &sandbox, runtime.container("flood", &["lines", "50000", "60"])).await?;
    runtime.wait_exit(&id).await?;
    let lines = runtime.wait_line(&sandbox, "flood", "50000.").await?;
    assert_eq!(lines.len(), 50_000);
    assert!(lines.iter().zip(1..).all(|(line, number)| line.starts_with(&format!("{number}."))));
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_rotated_log_loses_no_line() -> Result<()> {
    story!("log rotation");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("rotated");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("writer", &["write", "1"])).await?;
    runtime.wait_line(&sandbox, "writer", "line 50").await?;
    // What the kubelet does: rename, then ask for the file to be opened anew (L-07).
    let path = runtime.log(&sandbox, "writer");
    let rotated = path.with_extension("log.1");
    std::fs::rename(&path, &rotated)?;
    runtime.client()?.reopen_container_log(ReopenContainerLogRequest { container_id: id.clone() }).await?;
    runtime.wait_line(&sandbox, "writer", "line ").await?;
    runtime.stop_container(&id, 0).await?;
    let mut lines = log::lines(&rotated)?;
    lines.extend(log::lines(&path)?);
    let numbers = log::numbers(&lines);
    assert_eq!(log::first_gap(&numbers), None);
    assert!(numbers.len() > 50);
    runtime.remove_pod(&pod).await?;
    Ok(())
}
