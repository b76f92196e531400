//! The files a pod gives its containers: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` (F-02, F-04, F-52).
//!
//! They are bind-mounted into a container unless it mounts its own there.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cri_api::v1::{DnsConfig, PodSandboxConfig};

/// Longest host name the kernel takes, bytes.
pub const HOSTNAME_MAX: usize = 64;
/// Largest `/etc/resolv.conf` of the host that is copied, bytes.
const RESOLV_CONF_MAX: u64 = 1024 * 1024;

/// Why the files cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct FilesError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Where the files of one pod are.
#[derive(Debug, Clone)]
pub struct PodFiles {
    dir: PathBuf,
}

impl PodFiles {
    /// The files in `dir`, which need not exist.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Mounted at `/etc/hosts`.
    pub fn hosts(&self) -> PathBuf {
        self.dir.join("hosts")
    }

    /// Mounted at `/etc/hostname`.
    pub fn hostname(&self) -> PathBuf {
        self.dir.join("hostname")
    }

    /// Mounted at `/etc/resolv.conf`.
    pub fn resolv_conf(&self) -> PathBuf {
        self.dir.join("resolv.conf")
    }

    /// Writes the files of a pod with this host name and these addresses.
    ///
    /// # Errors
    /// A file cannot be written, or the host's `resolv.conf` cannot be read.
    pub fn write(&self, config: &PodSandboxConfig, hostname: &str, ips: &[IpAddr]) -> Result<(), FilesError> {
        let fail = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| FilesError { operation, path, source }
        };
        fs::create_dir_all(&self.dir).map_err(fail("make directory", &self.dir))?;
        let put = |path: PathBuf, text: &str| fs::write(&path, text).map_err(fail("write", &path));
        put(self.hostname(), &format!("{hostname}\n"))?;
        put(self.hosts(), &hosts_text(hostname, ips))?;
        let resolv = match &config.dns_config {
            Some(dns) => resolv_text(dns),
            None => {
                let path = Path::new("/etc/resolv.conf");
                match kernel::file::read_bounded(path, RESOLV_CONF_MAX) {
                    Ok(text) => String::from_utf8_lossy(&text).into_owned(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                    Err(error) => return Err(fail("read", path)(error)),
                }
            }
        };
        put(self.resolv_conf(), &resolv)
    }

    /// Removes the files, if they are there.
    ///
    /// # Errors
    /// The directory cannot be removed.
    pub fn remove(&self) -> Result<(), FilesError> {
        match kernel::tree::remove_all(&self.dir) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FilesError { operation: "remove", path: self.dir.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

fn hosts_text(hostname: &str, ips: &[IpAddr]) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for ip in ips {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{ip}\t{hostname}");
    }
    text
}

/// `search`, `nameserver` and `options` lines in this order. A line break inside a value would begin a line of its
/// own, so it ends the value.
fn resolv_text(dns: &DnsConfig) -> String {
    fn first_line(value: &str) -> &str {
        value.split(['\n', '\r']).next().unwrap_or_default()
    }
    let joined = |values: &[String]| values.iter().map(|v| first_line(v)).collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    if !dns.searches.is_empty() {
        let _ = writeln!(text, "search {}", joined(&dns.searches));
    }
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {}", first_line(server));
    }
    if !dns.options.is_empty() {
        let _ = writeln!(text, "options {}", joined(&dns.options));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_lines_come_in_order_and_no_value_can_begin_a_line_of_its_own() {
        let dns = DnsConfig {
            servers: vec!["10.96.0.10".into(), "1.1.1.1\nnameserver 6.6.6.6".into()],
            searches: vec!["ns.svc.cluster.local".into(), "svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        };
        let text = resolv_text(&dns);
        assert_eq!(
            text,
            "search ns.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:5\n"
        );
        assert_eq!(resolv_text(&DnsConfig::default()), "");
    }

    #[test]
    fn every_address_of_the_pod_names_its_host() {
        let text = hosts_text("web", &["10.85.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]);
        assert!(text.ends_with("10.85.0.2\tweb\nfd00::2\tweb\n"));
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
    }
}
