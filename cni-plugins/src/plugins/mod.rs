//! The plugins. Each is one implementation of [`Plugin`], called in process by [`crate::invoke`] and from the command
//! line by [`crate::serve`].

pub mod bridge;
pub mod host_local;
pub mod loopback;
pub mod portmap;

use crate::call::Call;
use crate::error::Error;
use crate::result::CniResult;

/// The verbs of CNI. A plugin runs in the network namespace of the host, on the calling thread, and blocks.
pub trait Plugin: Sync {
    /// The name under which configurations ask for it.
    fn name(&self) -> &'static str;

    /// Makes the attachment. On failure nothing of it is left.
    ///
    /// # Errors
    /// With a code of the specification.
    fn add(&self, call: &Call<'_>) -> Result<CniResult, Error>;

    /// Removes the attachment, or what is left of it: success when there is nothing.
    ///
    /// # Errors
    /// Only if something is there and could not be removed.
    fn del(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Says whether the attachment is as ADD left it.
    ///
    /// # Errors
    /// Naming the first difference.
    fn check(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Removes what belongs to this network and to no valid attachment.
    ///
    /// # Errors
    /// The first of those met; the rest is cleaned up nevertheless.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Says whether ADD could succeed, in less than 2 ms and without any effect.
    ///
    /// # Errors
    /// Code 50 with the reason.
    fn status(&self, call: &Call<'_>) -> Result<(), Error>;
}

static PLUGINS: [&dyn Plugin; 4] =
    [&bridge::Bridge, &host_local::HostLocal, &loopback::Loopback, &portmap::Portmap];

/// The plugin of this name, if it is one of ours.
pub fn find(name: &str) -> Option<&'static dyn Plugin> {
    PLUGINS.into_iter().find(|plugin| plugin.name() == name)
}

/// The names of all plugins.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLUGINS.into_iter().map(Plugin::name)
}
