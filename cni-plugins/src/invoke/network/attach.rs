//! Attaching a container: remember it, ADD of every plugin, remember the result; or undo all of it.

use std::net::IpAddr;

use super::{Network, NetworkError};
use crate::call::Teardown;
use crate::invoke::attachment::{Attached, Attachment};
use crate::invoke::cache::{Entry, KIND};
use crate::invoke::chain::Subject;
use crate::invoke::conflist::Conflist;
use crate::invoke::loopback::set_up_loopback;
use crate::result::CniResult;

impl Network {
    /// Attaches a container. If that fails, it is detached again before the error is returned; what could not be
    /// removed stays remembered for [`Self::del`] and [`Self::gc`].
    ///
    /// # Errors
    /// [`NetworkError`]; the code of the plugin is in [`NetworkError::plugin`].
    pub fn add(&self, attachment: &Attachment<'_>) -> Result<Attached, NetworkError> {
        let _call = self.enter();
        let list = self.current()?;
        let container_id = attachment.container_id.to_owned();
        let remembered = |source| NetworkError::Cache { container_id: container_id.clone(), source };
        let known = self.cache.of_container(&container_id).map_err(remembered)?;
        if known
            .iter()
            .any(|e| e.if_name == attachment.ifname && e.network_name == list.name && e.result.is_some())
        {
            return Err(NetworkError::Attached { container_id, network: list.name.clone() });
        }
        self.chain(&list).locate().map_err(|source| NetworkError::Add {
            container_id: container_id.clone(),
            source: Box::new(source),
        })?;
        let capabilities = attachment.capabilities.to_map();
        let mut entry = Entry {
            kind: KIND.to_owned(),
            container_id: container_id.clone(),
            config: Entry::encode_config(&list.source),
            if_name: attachment.ifname.to_owned(),
            network_name: list.name.clone(),
            netns: attachment.netns_path.to_owned(),
            cni_args: Some(attachment.arguments.pairs().to_vec()),
            capability_args: Some(capabilities.clone()),
            result: None,
        };
        self.cache.write(&entry).map_err(remembered)?;
        kernel::failpoint::hit("cni.network.intent");
        let subject = Subject {
            container_id: &container_id,
            netns: Some((attachment.netns, attachment.netns_path)),
            ifname: attachment.ifname,
            arguments: &attachment.arguments,
            capabilities: &capabilities,
            teardown: Teardown::Link,
        };
        match self.run_add(&list, &subject) {
            Ok(attached) => {
                entry.result = Some(attached.result.clone());
                if let Err(source) = self.cache.write(&entry) {
                    self.undo(&list, &subject, &entry);
                    return Err(remembered(source));
                }
                kernel::failpoint::hit("cni.network.added");
                Ok(attached)
            }
            Err(error) => {
                self.undo(&list, &subject, &entry);
                Err(error)
            }
        }
    }

    fn run_add(&self, list: &Conflist, subject: &Subject<'_>) -> Result<Attached, NetworkError> {
        let chain = self.chain(list);
        let id = || subject.container_id.to_owned();
        // Our bridge sets lo up in the same batch as its own interface.
        let has_bridge = list.plugins.iter().any(|p| p.get("type").is_some_and(|kind| kind == "bridge"));
        if let (Some((netns, _)), true) = (subject.netns, !has_bridge || self.is_external(list)) {
            set_up_loopback(netns).map_err(|source| NetworkError::Loopback { container_id: id(), source })?;
        }
        let mut stages = Vec::with_capacity(list.plugins.len());
        let result = chain
            .add(subject, &mut stages)
            .map_err(|source| NetworkError::Add { container_id: id(), source: Box::new(source) })?;
        let decoded =
            chain.decode(&result).map_err(|source| NetworkError::Result { container_id: id(), source })?;
        let ips = container_ips(&decoded, subject.ifname);
        if ips.is_empty() {
            return Err(NetworkError::NoAddress { container_id: id(), network: list.name.clone() });
        }
        Ok(Attached { ips, result, stages })
    }

    fn undo(&self, list: &Conflist, subject: &Subject<'_>, entry: &Entry) {
        // The caller gets the error that made this necessary; this one only says what is left for later.
        match self.chain(list).del(subject, None) {
            Ok(()) => {
                if let Err(error) = self.cache.remove(entry) {
                    tracing::warn!(%error, container = entry.container_id, "forget failed attachment");
                }
            }
            Err(error) => {
                tracing::warn!(%error, cause = %error.source, container = entry.container_id, "undo failed attachment");
            }
        }
    }
}

/// The addresses of the container's interface, else all that are not of an interface of the host.
fn container_ips(result: &CniResult, ifname: &str) -> Vec<IpAddr> {
    let of = |wanted: &dyn Fn(Option<&crate::result::Interface>) -> bool| -> Vec<IpAddr> {
        let interface = |index: usize| result.interfaces.get(index);
        let ips = result.ips.iter().filter(|ip| wanted(ip.interface.and_then(interface)));
        ips.map(|ip| ip.address.addr()).collect()
    };
    let own = of(&|i| i.is_some_and(|i| i.name == ifname && !i.sandbox.is_empty()));
    if own.is_empty() { of(&|i| i.is_none_or(|i| !i.sandbox.is_empty())) } else { own }
}
