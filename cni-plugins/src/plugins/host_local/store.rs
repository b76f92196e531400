//! Leases as files, in the format of the reference plugin.
//!
//! ```text
//! <dataDir>/<network>/10.85.0.7            <container id> CR LF <interface name>
//!                     last_reserved_ip.0   the address the next walk through range set 0 starts behind
//!                     lock                 flock, around every change
//!                     attachments/<digest> the addresses this attachment may have, one a line   (ours)
//! ```
//! A file name cannot be found by its content without reading all of them, which is what the reference does on every
//! ADD and DEL. Our marker, written before the lease, answers both in constant time. Leases of the reference plugin have
//! none and are found by reading; the reference passes over ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::Error;
use crate::call::ValidAttachment;

const MARKERS: &str = "attachments";
const LOCK: &str = "lock";
/// An attachment holds its lock for well under a millisecond; a process that holds it longer is stuck.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
/// A lease is an id and an interface name; what is larger is no lease.
const LEASE_MAX: u64 = 4096;

/// The threads of this process queue here and not at the file lock, which can only be polled with a deadline.
static THREADS: Mutex<()> = Mutex::new(());

/// The leases of one network.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
}

/// The leases, while nobody else changes them.
#[derive(Debug)]
pub struct Locked<'a> {
    directory: &'a Path,
    _file: File,
    _threads: MutexGuard<'static, ()>,
}

/// Whether an address could be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// It is ours now.
    Yes,
    /// Somebody has it.
    InUse,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Lease { path, source }
}

fn content(container_id: &str, ifname: &str) -> String {
    format!("{container_id}\r\n{ifname}")
}

/// Leases of plugins before 0.8 have no interface name.
fn belongs(lease: &str, container_id: &str, ifname: &str) -> bool {
    let lease = lease.trim();
    lease == container_id || lease == content(container_id, ifname)
}

impl Store {
    /// Opens the directory, creating it.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let markers = directory.join(MARKERS);
        if !markers.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(&markers).map_err(failed(&markers))?;
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Opens the directory if there is one.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn open_existing(directory: &Path) -> Result<Option<Self>, Error> {
        match fs::metadata(directory) {
            Ok(_) => Self::open(directory).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(directory)(error)),
        }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// [`Error::Locked`] after 10 s.
    pub fn lock(&self) -> Result<Locked<'_>, Error> {
        // Whatever a thread that panicked has written is as good as after a crash.
        let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(LOCK);
        let deadline = Instant::now() + LOCK_DEADLINE;
        loop {
            if let Some(file) = kernel::file::try_lock(&path).map_err(failed(&path))? {
                return Ok(Locked { directory: &self.directory, _file: file, _threads: threads });
            }
            if Instant::now() > deadline {
                return Err(Error::Locked { path: self.directory.clone(), seconds: LOCK_DEADLINE.as_secs() });
            }
            // flock has no deadline of its own, and a signal to interrupt it is not for a library to send.
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Releases all addresses of an attachment; none is success.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn release(&self, container_id: &str, ifname: &str) -> Result<(), Error> {
        self.lock()?.release(container_id, ifname)
    }

    /// The addresses of an attachment.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn leases_of(&self, container_id: &str, ifname: &str) -> Result<Vec<IpAddr>, Error> {
        self.lock()?.leases_of(container_id, ifname)
    }

    /// Releases every address that belongs to none of these attachments, and the empty files of crashed writers.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn retain(&self, valid: &[ValidAttachment]) -> Result<(), Error> {
        let locked = self.lock()?;
        for ip in locked.addresses()? {
            let lease = locked.read(&locked.directory.join(ip.to_string()))?.unwrap_or_default();
            if !valid.iter().any(|v| belongs(&lease, &v.container_id, &v.ifname)) {
                locked.remove(&locked.directory.join(ip.to_string()))?;
            }
        }
        let keep: Vec<PathBuf> = valid.iter().map(|v| locked.marker(&v.container_id, &v.ifname)).collect();
        let markers = locked.directory.join(MARKERS);
        for entry in fs::read_dir(&markers).map_err(failed(&markers))? {
            let path = entry.map_err(failed(&markers))?.path();
            if !keep.contains(&path) {
                locked.remove(&path)?;
            }
        }
        Ok(())
    }
}

impl Locked<'_> {
    fn marker(&self, container_id: &str, ifname: &str) -> PathBuf {
        let digest = Sha256::digest(content(container_id, ifname));
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(MARKERS).join(name)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
            _ => Ok(()),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<String>, Error> {
        match kernel::file::read_bounded(path, LEASE_MAX) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(path)(error)),
        }
    }

    /// Says, before the first lease, that this attachment is about to have some.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn remember(&self, container_id: &str, ifname: &str) -> Result<(), Error> {
        let path = self.marker(container_id, ifname);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        kernel::failpoint::hit("cni.host-local.marker");
        Ok(())
    }

    /// Reserves one address. A file without content is what a writer left that was killed between creating and
    /// writing it: under the lock it is free.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn reserve(&self, ip: IpAddr, container_id: &str, ifname: &str) -> Result<Reserved, Error> {
        let path = self.directory.join(ip.to_string());
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::metadata(&path).map_err(failed(&path))?.len() > 0 {
                    return Ok(Reserved::InUse);
                }
                OpenOptions::new().write(true).open(&path).map_err(failed(&path))?
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        kernel::failpoint::hit("cni.host-local.created");
        // The address is in the marker before it is in the lease: whatever has a lease is found by DEL.
        let marker = self.marker(container_id, ifname);
        let mut addresses = OpenOptions::new().append(true).open(&marker).map_err(failed(&marker))?;
        addresses.write_all(format!("{ip}\n").as_bytes()).map_err(failed(&marker))?;
        file.write_all(content(container_id, ifname).as_bytes()).map_err(failed(&path))?;
        kernel::failpoint::hit("cni.host-local.leased");
        Ok(Reserved::Yes)
    }

    /// The content of a lease, on one line.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn holder(&self, ip: IpAddr) -> Result<Option<String>, Error> {
        let lease = self.read(&self.directory.join(ip.to_string()))?;
        Ok(lease.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    /// Every address that has a file.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let mut addresses = Vec::new();
        for entry in fs::read_dir(self.directory).map_err(failed(self.directory))? {
            let name = entry.map_err(failed(self.directory))?.file_name();
            addresses.extend(name.to_str().and_then(|name| name.parse::<IpAddr>().ok()));
        }
        Ok(addresses)
    }

    /// The addresses of an attachment: those its marker names, verified; without a marker, by reading every lease.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn leases_of(&self, container_id: &str, ifname: &str) -> Result<Vec<IpAddr>, Error> {
        match self.marked(container_id, ifname)? {
            Some(own) => Ok(own),
            None => self.verified(self.addresses()?, container_id, ifname),
        }
    }

    /// The addresses its marker names, verified; `None` if this plugin never gave any to the attachment.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn marked(&self, container_id: &str, ifname: &str) -> Result<Option<Vec<IpAddr>>, Error> {
        let Some(marker) = self.read(&self.marker(container_id, ifname))? else { return Ok(None) };
        let named = marker.lines().filter_map(|line| line.parse().ok()).collect();
        self.verified(named, container_id, ifname).map(Some)
    }

    fn verified(
        &self,
        candidates: Vec<IpAddr>,
        container_id: &str,
        ifname: &str,
    ) -> Result<Vec<IpAddr>, Error> {
        let mut own = Vec::new();
        for ip in candidates {
            let lease = self.read(&self.directory.join(ip.to_string()))?;
            if lease.is_some_and(|lease| belongs(&lease, container_id, ifname)) {
                own.push(ip);
            }
        }
        Ok(own)
    }

    /// Releases all addresses of an attachment, its marker last.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn release(&self, container_id: &str, ifname: &str) -> Result<(), Error> {
        for ip in self.leases_of(container_id, ifname)? {
            self.remove(&self.directory.join(ip.to_string()))?;
            kernel::failpoint::hit("cni.host-local.released");
        }
        self.remove(&self.marker(container_id, ifname))
    }

    /// The address that was given out last from a range set.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn last_reserved(&self, set: usize) -> Result<Option<IpAddr>, Error> {
        let text = self.read(&self.directory.join(format!("last_reserved_ip.{set}")))?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    /// Remembers the address given out last.
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn set_last_reserved(&self, set: usize, ip: IpAddr) -> Result<(), Error> {
        let path = self.directory.join(format!("last_reserved_ip.{set}"));
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| file.write_all(ip.to_string().as_bytes())).map_err(failed(&path))
    }
}
