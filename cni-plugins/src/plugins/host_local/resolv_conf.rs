//! `resolvConf`: a file from which the result's DNS settings are taken.

use std::path::Path;

use super::Error;
use crate::result::Dns;

const MAX: u64 = 64 * 1024;

/// Reads the file.
pub fn read(path: &Path) -> Result<Dns, Error> {
    let bytes = kernel::file::read_bounded(path, MAX)
        .map_err(|source| Error::ResolvConf { path: path.to_owned(), source })?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Takes from `resolv.conf(5)` what a result can say; the last `search` and `domain` line count.
pub fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.nameservers.extend(words.next()),
            Some("domain") => dns.domain = words.next().unwrap_or_default(),
            Some("search") => dns.search = words.collect(),
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}
