//! containerd's `certs.d`: which hosts stand for a registry, read anew for every pull (I-14).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::Deserialize;

use super::RegistryError;
use super::connect::is_loopback;
use super::tls::TlsSettings;

/// Largest `hosts.toml`, bytes.
const HOSTS_MAX: u64 = 1 << 20;

/// One place to ask for content of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: String,
    /// Host with its port, if it is not the scheme's own.
    pub authority: String,
    /// Path in front of the repository, without a slash at its end: `/v2` mostly.
    pub prefix: String,
    /// May turn tags into digests; one that may not is asked for digests only.
    pub resolves: bool,
    /// May be asked for content at all.
    pub pulls: bool,
    /// The registry that this host stands in for: sent as `?ns=` when it is another.
    pub namespace: Option<String>,
    /// Whether this is the image's own registry, which alone gets the caller's credentials (I-12).
    pub is_own_registry: bool,
    /// TLS settings.
    pub tls: TlsSettings,
    /// Headers of the configuration.
    pub headers: HeaderMap,
    /// Longest time to connect.
    pub dial_timeout: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HostsFile {
    server: Option<String>,
    /// In the order of the file (`preserve_order`): the order of the hosts is the order of asking.
    host: toml::Table,
    #[serde(flatten)]
    own: HostSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HostSettings {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany>,
    client: Option<Identity>,
    skip_verify: bool,
    override_path: bool,
    header: BTreeMap<String, OneOrMany>,
    dial_timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// One file with certificate and key, or pairs of files.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Identity {
    One(String),
    Many(Vec<OneOrMany>),
}

impl Identity {
    fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Self::One(file) => Some((file, file)),
            // Only the first pair can be presented; a registry asks for one.
            Self::Many(pairs) => match pairs.first()?.all() {
                [file] => Some((file, file)),
                [certificate, key, ..] if !key.is_empty() => Some((certificate, key)),
                [certificate, ..] => Some((certificate, certificate)),
                [] => None,
            },
        }
    }
}

/// The hosts to ask for content of `registry`, in order; the registry itself comes last.
///
/// Directories are searched in order for `host_port_`, `host:port` and `_default`; the first that exists decides.
pub fn endpoints(directories: &[PathBuf], registry: &str) -> Result<Vec<Endpoint>, RegistryError> {
    for directory in candidates(directories, registry) {
        let file = directory.join("hosts.toml");
        match kernel::file::read_bounded(&file, HOSTS_MAX) {
            Ok(content) => {
                return parse(&content, &directory, registry)
                    .map_err(|reason| RegistryError::Configuration { path: file, reason });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(RegistryError::Configuration { path: file, reason: error.to_string() });
            }
        }
        if directory.is_dir() {
            let tls = docker_certificates(&directory).map_err(|error| RegistryError::Configuration {
                path: directory.clone(),
                reason: error.to_string(),
            })?;
            return Ok(vec![Endpoint { tls, ..default_endpoint(registry) }]);
        }
    }
    Ok(vec![default_endpoint(registry)])
}

fn candidates(directories: &[PathBuf], registry: &str) -> Vec<PathBuf> {
    let mut names = Vec::new();
    // A colon is not allowed in file names everywhere.
    if let Some((host, port)) = registry.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        names.push(format!("{host}_{port}_"));
    }
    names.extend([registry.to_owned(), "_default".to_owned()]);
    // A name of one directory is looked up in all before the next name: `_default` is for those without an own one.
    names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name))).collect()
}

/// The registry itself: https, but http on loopback, where certificates are rare and nobody listens in.
fn default_endpoint(registry: &str) -> Endpoint {
    let authority = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let host = authority.parse::<http::uri::Authority>().map(|parsed| parsed.host().to_owned());
    let plain = host.as_deref().is_ok_and(is_loopback) && !authority.ends_with(":443");
    Endpoint {
        scheme: if plain { "http" } else { "https" }.to_owned(),
        authority: authority.to_owned(),
        prefix: "/v2".to_owned(),
        resolves: true,
        pulls: true,
        namespace: None,
        is_own_registry: true,
        tls: TlsSettings::default(),
        headers: HeaderMap::new(),
        dial_timeout: None,
    }
}

fn parse(content: &[u8], directory: &Path, registry: &str) -> Result<Vec<Endpoint>, String> {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
    let file: HostsFile = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut endpoints = Vec::new();
    for (url, settings) in &file.host {
        let settings: HostSettings =
            settings.clone().try_into().map_err(|error| format!("host {url:?}: {error}"))?;
        endpoints.push(endpoint(url, &settings, directory, registry)?);
    }
    let last = match &file.server {
        Some(server) => endpoint(server, &file.own, directory, registry)?,
        None => {
            let default = default_endpoint(registry);
            let url = format!("{}://{}", default.scheme, default.authority);
            endpoint(&url, &file.own, directory, registry)?
        }
    };
    endpoints.push(last);
    Ok(endpoints)
}

fn endpoint(
    url: &str,
    settings: &HostSettings,
    directory: &Path,
    registry: &str,
) -> Result<Endpoint, String> {
    let whole = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let uri: Uri = whole.parse().map_err(|error| format!("host {url:?}: {error}"))?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("host {url:?}: not an http or https URL"));
    };
    if authority.as_str().contains('@') {
        return Err(format!("host {:?}: credentials do not belong into a URL", authority.host()));
    }
    let path = uri.path().trim_end_matches('/');
    let prefix = match settings.override_path {
        true => path.to_owned(),
        // Older files spell out what is added anyway.
        false if path.ends_with("/v2") => path.to_owned(),
        false => format!("{path}/v2"),
    };
    let own = default_endpoint(registry);
    let is_own_registry = authority.as_str() == own.authority || authority.as_str() == registry;
    let capable = |name: &str| {
        settings.capabilities.as_ref().is_none_or(|all| all.iter().any(|known| known.as_str() == name))
    };
    let mut headers = HeaderMap::new();
    for (name, values) in &settings.header {
        let name: HeaderName = name.parse().map_err(|_| format!("header {name:?}: not a header name"))?;
        for value in values.all() {
            let value: HeaderValue = value.parse().map_err(|_| format!("header {name:?}: not a value"))?;
            headers.append(name.clone(), value);
        }
    }
    let dial_timeout = match settings.dial_timeout.as_deref() {
        None => None,
        Some(text) => {
            Some(duration(text).ok_or_else(|| format!("dial_timeout {text:?}: not a duration like 30s"))?)
        }
    };
    let files = settings.ca.iter().flat_map(OneOrMany::all);
    Ok(Endpoint {
        scheme: scheme.to_owned(),
        authority: authority.to_string(),
        prefix,
        resolves: capable("resolve"),
        pulls: capable("pull"),
        namespace: (!is_own_registry).then(|| registry.to_owned()),
        is_own_registry,
        tls: TlsSettings {
            authorities: files.map(|file| directory.join(file)).collect(),
            identity: settings
                .client
                .as_ref()
                .and_then(Identity::pair)
                .map(|(certificate, key)| (directory.join(certificate), directory.join(key))),
            skip_verify: settings.skip_verify,
        },
        headers,
        dial_timeout,
    })
}

/// Go's durations, as far as a time-out needs them: `300ms`, `30s`, `2m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// Docker's layout: `*.crt` are authorities, `NAME.cert` with `NAME.key` is the client.
fn docker_certificates(directory: &Path) -> io::Result<TlsSettings> {
    let mut tls = TlsSettings::default();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.authorities.push(file),
            Some("cert") if tls.identity.is_none() => {
                let key = file.with_extension("key");
                tls.identity = Some((file, key));
            }
            _ => {}
        }
    }
    Ok(tls)
}

#[cfg(test)]
mod tests;
