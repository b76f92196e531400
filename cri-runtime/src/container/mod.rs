//! Containers: one file per verb. They belong to the owner task of their pod, which is the only one to change them.

mod create;
pub mod exec_sync;
mod exit;
mod log;
mod remove;
pub mod signal;
mod start;
mod stop;
pub mod stopping;

use cri_api::v1::{NamespaceMode, Signal};

pub(crate) use create::put as store;
pub(crate) use exit::{judge, lost};
pub(crate) use remove::finish as finish_removal;

use crate::record::ContainerRecord;

/// Whether the first process of a container is not process 1 of a namespace of its own: its end then ends nothing else.
fn shares_processes(container: &ContainerRecord) -> bool {
    let security = container.config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let options = security.and_then(|security| security.namespace_options.as_ref());
    options.is_none_or(|options| options.pid != i32::from(NamespaceMode::Container))
}

/// The signal a container is asked to stop with: its own, its image's, or SIGTERM.
pub fn stop_signal(container: &ContainerRecord) -> i32 {
    let own = Signal::try_from(container.config.stop_signal).ok().and_then(signal::of_cri);
    let image = || container.image.stop_signal.as_deref().and_then(signal::number);
    own.or_else(image).unwrap_or(signal::SIGTERM)
}
