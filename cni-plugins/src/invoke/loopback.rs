//! The loopback interface of a pod: always set up in this process, whatever the node's network is.

use std::os::fd::BorrowedFd;

use crate::error::Error;
use crate::netns::Netns;
use crate::plugins::loopback;

/// Sets `lo` up in a network namespace; for pods without a CNI network of their own too.
///
/// # Errors
/// If the interface cannot be set up, or has an address of somebody else.
pub fn set_up_loopback(netns: BorrowedFd<'_>) -> Result<(), Error> {
    let netns = Netns::from_fd(netns, "").map_err(loopback::Error::Enter)?;
    loopback::set_up(&netns)?;
    Ok(())
}
