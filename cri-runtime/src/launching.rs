//! From a compiled plan to a start the supervisor can be asked for, and from its answer to words.

use std::os::fd::OwnedFd;
use std::time::Duration;

use launch::plan::Filter;
use launch::protocol::{MAX_FDS, Stdio, StepTime};
use launch::{Compiled, gather};
use oci_spec::runtime::Spec;

use crate::error::{Class, Failure, chain};
use crate::oci::{self, ResolveError};
use crate::runtime::Runtime;
use crate::supervisor::{Start, SupervisorError};
use crate::timeline::Recorder;

/// Opens what a plan needs and puts everything together. `given` are the descriptors the plan counts from 0.
///
/// # Errors
/// Something cannot be opened, or there are more descriptors than one message carries.
pub fn assemble(
    id: &str,
    compiled: Compiled,
    given: Vec<OwnedFd>,
    stdio: Stdio,
    streams: Vec<OwnedFd>,
    record: bool,
) -> Result<Start, Failure> {
    let gathered = gather(&compiled.needs).map_err(|e| Failure::because(Class::Internal, &e))?;
    let mut descriptors = given;
    descriptors.extend(gathered);
    let count = descriptors.len() + streams.len() + 1;
    if count > MAX_FDS {
        return Err(Failure::new(
            Class::InvalidArgument,
            format!(
                "start {id}: it needs {count} descriptors and one start can have {MAX_FDS}; use fewer mounts"
            ),
        ));
    }
    let plan = compiled.plan.encode();
    let plan = plan.map_err(|e| Failure::new(Class::Internal, format!("encode plan of {id}: {e}")))?;
    Ok(Start { id: id.to_owned(), plan, descriptors, stdio, streams, record })
}

/// The program of a spec's seccomp section, from memory where it was compiled before.
///
/// # Errors
/// The profile cannot be compiled.
pub fn filter(runtime: &Runtime, spec: &Spec) -> Result<Option<Filter>, Failure> {
    let Some(seccomp) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else {
        return Ok(None);
    };
    oci::filter(&runtime.filters, seccomp).map(Some).map_err(|e| resolve_failure(&e))
}

/// A spec that could not be made, as its caller is told.
pub fn resolve_failure(error: &ResolveError) -> Failure {
    Failure { class: error.class(), message: chain(error) }
}

/// A start that failed, as its caller is told.
pub fn supervisor_failure(what: &str, error: &SupervisorError) -> Failure {
    let class = match error {
        SupervisorError::Deadline => Class::DeadlineExceeded,
        SupervisorError::Step(_) | SupervisorError::Refused(_) => Class::Internal,
        SupervisorError::Reach { .. } | SupervisorError::Version { .. } | SupervisorError::Lost => {
            Class::Unavailable
        }
    };
    Failure::new(class, format!("{what}: {}", chain(error)))
}

/// Adds the steps of a start to the timeline.
pub fn record_steps(recorder: &Recorder, object: &str, at: i64, steps: &[StepTime]) {
    let steps = steps.iter().map(|step| (step.name.clone(), Duration::from_nanos(step.nanos)));
    recorder.steps(object, at, steps);
}
