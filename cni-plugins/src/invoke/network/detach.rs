//! Detaching: a container that ends, and whatever is nobody's. The cache tells which configuration each was attached
//! with; it forgets what has been removed and nothing else.

use std::os::fd::BorrowedFd;
use std::sync::PoisonError;

use serde_json::Map;

use super::{Network, NetworkError, cached_list};
use crate::call::{Arguments, Teardown, ValidAttachment};
use crate::invoke::cache::Entry;
use crate::invoke::chain::Subject;
use crate::invoke::conflist::Conflist;

impl Network {
    /// Detaches a container from every network it was attached to, with the configuration of then. Success if it is
    /// attached to none, so it can be repeated.
    ///
    /// `netns` is `None` once the namespace is gone. If it is there, the caller drops it as soon as this returns:
    /// plugins that run in process leave the link to the kernel then (see [`Teardown::NamespaceDropped`]).
    ///
    /// # Errors
    /// The first error met; every network is tried, and those that failed stay remembered.
    pub fn del(&self, container_id: &str, netns: Option<(BorrowedFd<'_>, &str)>) -> Result<(), NetworkError> {
        let _call = self.enter();
        self.detach(container_id, netns)
    }

    fn detach(&self, container_id: &str, netns: Option<(BorrowedFd<'_>, &str)>) -> Result<(), NetworkError> {
        let entries = self
            .cache
            .of_container(container_id)
            .map_err(|source| NetworkError::Cache { container_id: container_id.to_owned(), source })?;
        let mut first = None;
        for entry in entries {
            if let Err(error) = self.detach_one(&entry, netns) {
                first = first.or(Some(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn detach_one(&self, entry: &Entry, netns: Option<(BorrowedFd<'_>, &str)>) -> Result<(), NetworkError> {
        let list = cached_list(entry)?;
        let arguments = Arguments::new(entry.cni_args.clone().unwrap_or_default());
        let capabilities = entry.capability_args.clone().unwrap_or_default();
        let teardown = if netns.is_some() { Teardown::NamespaceDropped } else { Teardown::Link };
        let subject = Subject {
            container_id: &entry.container_id,
            netns,
            ifname: &entry.if_name,
            arguments: &arguments,
            capabilities: &capabilities,
            teardown,
        };
        let container_id = || entry.container_id.clone();
        self.chain(&list)
            .del(&subject, entry.result.as_ref())
            .map_err(|source| NetworkError::Del { container_id: container_id(), source: Box::new(source) })?;
        kernel::failpoint::hit("cni.network.deleted");
        self.cache
            .remove(entry)
            .map_err(|source| NetworkError::Cache { container_id: container_id(), source })
    }

    /// Detaches every container that is not in `valid`, then lets the plugins clean up what is nobody's (RC-10): of
    /// the current network, and of the built-in one.
    ///
    /// # Errors
    /// The first error met; everything is tried.
    pub fn gc(&self, valid: &[&str]) -> Result<(), NetworkError> {
        let _alone = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        let mut first = None;
        let mut collect = |outcome: Result<(), NetworkError>| {
            if let Err(error) = outcome {
                first.get_or_insert(error);
            }
        };
        let failed = |source| NetworkError::Cache { container_id: "every container".to_owned(), source };
        let entries = self.cache.all().map_err(failed)?;
        let mut keep: Vec<ValidAttachment> = Vec::new();
        for entry in &entries {
            if valid.contains(&entry.container_id.as_str()) {
                let (container_id, ifname) = (entry.container_id.clone(), entry.if_name.clone());
                keep.push(ValidAttachment { container_id, ifname });
            } else {
                collect(self.detach_one(entry, None));
            }
        }
        // A container whose entry was lost is still alive: its interface is named by convention.
        for id in valid {
            if keep.iter().all(|k| k.container_id != *id) {
                keep.push(ValidAttachment { container_id: (*id).to_owned(), ifname: "eth0".to_owned() });
            }
        }
        let (arguments, capabilities) = (Arguments::default(), Map::new());
        let subject = Subject::none(&arguments, &capabilities);
        let mut run = |list: &Conflist| {
            collect(self.chain(list).gc(&subject, &keep).map_err(|e| NetworkError::Gc(Box::new(e))));
        };
        let current = self.current();
        if let Ok(list) = &current {
            run(list);
        }
        if let Some(builtin) = &self.config.builtin
            && current.is_ok_and(|list| !list.built_in)
            && let Ok(list) = builtin.conflist(&self.config.state_dir)
        {
            run(&list);
        }
        first.map_or(Ok(()), Err)
    }
}
