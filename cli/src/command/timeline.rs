//! `orlop timeline`.

use cri_api::{admin, client};
use serde_json::json;

use crate::args::{Format, TimelineArgs};
use crate::endpoint::{self, ask};
use crate::error::{Error, Result};
use crate::output;

/// Prints the stages of a pod.
pub async fn timeline(endpoint: Option<&str>, options: &TimelineArgs) -> Result<u8> {
    let connection = endpoint::connect(endpoint).await?;
    let request = ask(admin::TimelineRequest { pod: options.pod.clone() });
    let answer = client::admin(connection.channel).timeline(request).await;
    let timeline = answer.map_err(|status| explain(status, &connection.endpoint, &options.pod))?.into_inner();
    match options.output.output {
        Format::Json => output::print_json(&as_json(&timeline)),
        Format::Table => output::print(&as_table(&timeline)),
    }
    Ok(0)
}

fn explain(status: tonic::Status, endpoint: &str, pod: &str) -> Error {
    if status.code() == tonic::Code::Unimplemented {
        return Error::Usage(format!("the runtime at {endpoint} keeps no timeline; only Orlop's own does"));
    }
    Error::call("read the timeline of", pod, status)
}

fn as_json(timeline: &admin::TimelineResponse) -> serde_json::Value {
    let entries: Vec<serde_json::Value> = timeline
        .entries
        .iter()
        .map(|entry| {
            json!({
                "startedAt": entry.started_at, "durationNs": entry.duration_ns, "stage": entry.stage,
                "object": entry.object, "errno": entry.errno, "error": entry.error, "depth": entry.depth,
            })
        })
        .collect();
    json!({
        "sandbox": timeline.sandbox_id, "namespace": timeline.namespace, "name": timeline.name,
        "uid": timeline.uid, "entries": entries,
    })
}

/// Long paths by their ends: the beginning says whose it is, the end which one.
fn shortened(object: &str) -> String {
    const WIDTH: usize = 40;
    let count = object.chars().count();
    if count <= WIDTH {
        return object.to_owned();
    }
    let start: String = object.chars().take(WIDTH / 2 - 2).collect();
    let end: String = object.chars().skip(count - WIDTH / 2).collect();
    format!("{start}..{end}")
}

/// One line a stage: when after the first one, how long, what, and what went wrong.
fn as_table(timeline: &admin::TimelineResponse) -> String {
    let first = timeline.entries.iter().map(|entry| entry.started_at).min().unwrap_or(0);
    let rows: Vec<Vec<String>> = timeline
        .entries
        .iter()
        .map(|entry| {
            let indent = "  ".repeat(usize::try_from(entry.depth).unwrap_or(0));
            let result = match (entry.error.is_empty(), entry.errno) {
                (true, 0) => "ok".to_owned(),
                (true, errno) => format!("errno {errno}"),
                (false, _) => entry.error.clone(),
            };
            vec![
                format!("+{}", output::duration(u64::try_from(entry.started_at - first).unwrap_or(0))),
                output::duration(entry.duration_ns),
                format!("{indent}{}", entry.stage),
                shortened(&entry.object),
                result,
            ]
        })
        .collect();
    let title = format!(
        "{}/{}  uid {}  sandbox {}\n",
        timeline.namespace,
        timeline.name,
        timeline.uid,
        output::short(&timeline.sandbox_id)
    );
    title + &output::table(&["AT", "TOOK", "STAGE", "OBJECT", "RESULT"], &rows)
}
