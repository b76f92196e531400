//! One table of ours in the namespace: created whole when it is missing, changed by transactions.

use super::element::Element;
use super::message;
use crate::netlink::{self, Outcome, Protocol, Request, Socket};

/// Failures of nftables.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The conversation failed, or the kernel refused.
    #[error("change nftables table {table}")]
    Change {
        /// Which table.
        table: &'static str,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A table cannot be read.
    #[error("read nftables table {table}")]
    Read {
        /// Which table.
        table: &'static str,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// Others changed nftables each time.
    #[error(
        "change nftables table {table}: given up after {attempts} attempts, something changes nftables all the time"
    )]
    Contended {
        /// Which table.
        table: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
}

/// A table and the socket through which it is reached.
#[derive(Debug)]
pub struct Tables {
    socket: Option<Socket>,
    table: &'static str,
    skeleton: fn() -> Vec<Request>,
    /// Something was deleted through the socket.
    deleted: bool,
}

/// Closing an nftables socket waits until the kernel has freed what was deleted before, which takes a grace period of
/// RCU: 5 ms and more for something nobody waits for. The deletion itself took effect with its transaction.
impl Drop for Tables {
    fn drop(&mut self) {
        let Some(socket) = self.socket.take().filter(|_| self.deleted) else { return };
        let closing = std::thread::Builder::new().name("nft-close".to_owned()).spawn(move || drop(socket));
        if let Err(error) = closing {
            // Without a thread the closure was dropped, and the socket with it: slower, and as good.
            tracing::debug!(%error, "close nftables socket in place");
        }
    }
}

/// What became of [`Tables::add`].
#[derive(Debug)]
pub enum Added {
    /// All elements are in.
    All,
    /// Nothing was changed: the element of this index has a key that is there already.
    Taken(usize),
}

/// Transactions fail when another one commits in between, so they are repeated; each repetition means that somebody
/// else made progress.
const ATTEMPTS: u32 = 50;
use nix::libc::{EAGAIN, EBUSY, EEXIST, EINTR, ENOENT, ERESTART};

impl Tables {
    /// The table `table` in the namespace of the calling thread; `skeleton` creates it with its chains, rules and
    /// sets. Nothing is created yet.
    ///
    /// # Errors
    /// If there is no netlink socket.
    pub fn open(table: &'static str, skeleton: fn() -> Vec<Request>) -> Result<Self, Error> {
        let socket = Socket::open(Protocol::Netfilter).map_err(|source| Error::Read { table, source })?;
        Ok(Self { socket: Some(socket), table, skeleton, deleted: false })
    }

    fn commit(&mut self, generation: Option<u32>, requests: Vec<Request>) -> Result<Vec<Outcome>, Error> {
        let mut batch = Vec::with_capacity(requests.len() + 2);
        batch.push(message::batch_begin(generation));
        batch.extend(requests);
        batch.push(message::batch_end());
        let mut outcomes = self.exchange(&batch)?;
        outcomes.pop();
        Ok(outcomes)
    }

    fn exchange(&mut self, requests: &[Request]) -> Result<Vec<Outcome>, Error> {
        let table = self.table;
        let closed = || netlink::Error::Decode("the socket is closed".to_owned());
        let socket = self.socket.as_mut().ok_or_else(closed);
        socket.and_then(|socket| socket.exchange(requests)).map_err(|source| Error::Change { table, source })
    }

    /// Adds all elements, or none. A missing table is created with them in the same transaction, so there is no
    /// moment with half of it, also after `nft flush ruleset`.
    ///
    /// # Errors
    /// Whatever the kernel refuses, except a taken key.
    pub fn add(&mut self, elements: &[(&'static str, Element)]) -> Result<Added, Error> {
        let mut skeleton = Vec::new();
        for _ in 0..ATTEMPTS {
            let count = skeleton.len();
            let mut requests = std::mem::take(&mut skeleton);
            requests
                .extend(elements.iter().map(|(set, element)| message::add_element(self.table, set, element)));
            let mut outcomes = self.commit(None, requests)?;
            // The outcome of the batch itself comes first, then those of its messages.
            let Some(failed) = outcomes.iter().position(|o| o.errno != 0) else { return Ok(Added::All) };
            let errno = outcomes[failed].errno;
            match errno {
                EAGAIN | EINTR | ERESTART | EBUSY => {}
                ENOENT if count == 0 => skeleton = (self.skeleton)(),
                // Somebody else created the table in the meantime.
                EEXIST if failed <= count && failed > 0 => {}
                EEXIST if failed > count => return Ok(Added::Taken(failed - count - 1)),
                _ => {
                    let refused = outcomes.swap_remove(failed).ok();
                    refused.map_err(|source| Error::Change { table: self.table, source })?;
                }
            }
        }
        Err(Error::Contended { table: self.table, attempts: ATTEMPTS })
    }

    /// The element of this key, or `None`, also if there is no table.
    ///
    /// # Errors
    /// Of the conversation.
    pub fn get(&mut self, set: &str, key: &[u8]) -> Result<Option<Element>, Error> {
        let mut outcomes = self.exchange(&[message::get_element(self.table, set, key)])?;
        let data = outcomes.remove(0).ok_or_tolerate(&[ENOENT]);
        let data = data.map_err(|source| Error::Read { table: self.table, source })?;
        Ok(data.iter().flat_map(|(_, body)| Element::decode_all(body)).next())
    }

    /// All elements of a set; none if there is no table.
    ///
    /// # Errors
    /// Of the conversation, or if the set changed during every attempt to read it.
    pub fn list(&mut self, set: &str) -> Result<Vec<Element>, Error> {
        for _ in 0..ATTEMPTS {
            let outcome = self.exchange(&[message::list_elements(self.table, set)])?.remove(0);
            if outcome.interrupted || matches!(outcome.errno, EAGAIN | EINTR) {
                continue;
            }
            let data = outcome.ok_or_tolerate(&[ENOENT]);
            let data = data.map_err(|source| Error::Read { table: self.table, source })?;
            return Ok(data.iter().flat_map(|(_, body)| Element::decode_all(body)).collect());
        }
        Err(Error::Contended { table: self.table, attempts: ATTEMPTS })
    }

    /// Deletes the elements of these keys in one transaction; what is gone already counts as deleted.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn remove(&mut self, mut keys: Vec<(&'static str, Vec<u8>)>) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            if keys.is_empty() {
                return Ok(());
            }
            let requests =
                keys.iter().map(|(set, key)| message::delete_element(self.table, set, key)).collect();
            self.deleted = true;
            let mut outcomes = self.commit(None, requests)?;
            let Some(failed) = outcomes.iter().position(|o| o.errno != 0) else { return Ok(()) };
            match outcomes[failed].errno {
                EAGAIN | EINTR | ERESTART | EBUSY => {}
                ENOENT => {
                    // The transaction was undone as a whole: again, without what is gone.
                    let gone = |index: usize| outcomes.get(index + 1).is_some_and(|o| o.errno == ENOENT);
                    keys =
                        keys.into_iter().enumerate().filter(|(i, _)| !gone(*i)).map(|(_, key)| key).collect();
                }
                _ => {
                    let refused = outcomes.swap_remove(failed).ok();
                    refused.map_err(|source| Error::Change { table: self.table, source })?;
                }
            }
        }
        Err(Error::Contended { table: self.table, attempts: ATTEMPTS })
    }

    /// Whether the table exists.
    ///
    /// # Errors
    /// Of the conversation.
    pub fn exists(&mut self) -> Result<bool, Error> {
        let outcome = self.exchange(&[message::get_table(self.table)])?.remove(0);
        let found = outcome.errno == 0;
        outcome.ok_or_tolerate(&[ENOENT]).map_err(|source| Error::Read { table: self.table, source })?;
        Ok(found)
    }

    /// Deletes the table if none of `sets` has an element. The check and the deletion are one: the kernel refuses
    /// the transaction if anything changed in between.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn delete_if_empty(&mut self, sets: &[&'static str]) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            if !self.exists()? {
                return Ok(());
            }
            for set in sets {
                if !self.list(set)?.is_empty() {
                    return Ok(());
                }
            }
            let outcomes = self.commit(generation, vec![message::delete_table(self.table)])?;
            let Some(failed) = outcomes.into_iter().find(|o| o.errno != 0) else { return Ok(()) };
            if !matches!(failed.errno, EAGAIN | EINTR | ERESTART | EBUSY) {
                let refused = failed.ok_or_tolerate(&[ENOENT]);
                refused.map_err(|source| Error::Change { table: self.table, source })?;
                return Ok(());
            }
        }
        Err(Error::Contended { table: self.table, attempts: ATTEMPTS })
    }

    fn generation(&mut self) -> Result<Option<u32>, Error> {
        let outcome = self.exchange(&[message::get_generation()])?.remove(0);
        let data = outcome.ok().map_err(|source| Error::Read { table: self.table, source })?;
        let id = data.first().and_then(|(_, body)| crate::netlink::attribute::find(body.get(4..)?, 1));
        Ok(id.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes))
    }
}
