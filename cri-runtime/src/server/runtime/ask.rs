//! Asking the owner of a pod.

use tokio::sync::oneshot;

use crate::error::{Class, Failure};
use crate::index::Inbox;
use crate::sandbox::{Command, Reply};

/// Sends a command and awaits its answer. When the caller is dropped meanwhile, the command is carried out all the
/// same.
pub(super) async fn ask<T>(inbox: &Inbox, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Failure> {
    let gone = || Failure::new(Class::NotFound, "ask the owner of the pod: the pod is gone");
    let (reply, answer) = oneshot::channel();
    inbox.send(command(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

/// For calls that end something: an object that is gone is what the caller wants.
pub(super) fn gone_is_done(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.class == Class::NotFound => Ok(()),
        result => result,
    }
}
