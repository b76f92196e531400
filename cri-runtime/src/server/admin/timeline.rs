//! Timeline: what happened to a pod, also to one that is gone.

use std::sync::Arc;

use cri_api::admin::{TimelineEntry, TimelineRequest, TimelineResponse};

use super::super::blocking;
use crate::error::{Class, Failure};
use crate::runtime::Runtime;
use crate::timeline;

pub(super) async fn handle(
    runtime: &Arc<Runtime>,
    request: TimelineRequest,
) -> Result<TimelineResponse, Failure> {
    if request.pod.is_empty() {
        return Err(Failure::new(Class::InvalidArgument, "find timeline: no pod is named"));
    }
    let (dir, pod) = (runtime.config.timelines(), request.pod.clone());
    let found = blocking(move || timeline::find(&dir, &pod)).await?;
    let found = found.map_err(|e| Failure::because(Class::Internal, &e))?.ok_or_else(|| {
        Failure::new(
            Class::NotFound,
            format!("find timeline of pod {:?}: no such pod is remembered", request.pod),
        )
    })?;
    let entries = found.entries.into_iter().map(|entry| TimelineEntry {
        started_at: entry.at,
        duration_ns: entry.nanos,
        stage: entry.stage,
        object: entry.object,
        errno: entry.errno,
        error: entry.error,
        depth: entry.depth,
    });
    Ok(TimelineResponse {
        sandbox_id: found.subject.sandbox,
        namespace: found.subject.namespace,
        name: found.subject.name,
        uid: found.subject.uid,
        entries: entries.collect(),
    })
}
