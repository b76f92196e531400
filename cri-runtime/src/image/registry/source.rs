//! One repository as one pull sees it: its hosts, its credentials, and what can be fetched from them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;

use super::auth::Credentials;
use super::client::{Body, Registry, TransferError, read_body};
use super::connect::is_loopback;
use super::hosts::{Endpoint, endpoints};
use super::retry::{ATTEMPTS, Verdict, delay, judge};
use super::{RegistryError, challenge};
use crate::image::digest::Digest;
use crate::image::manifest::{ACCEPT, Content, MANIFEST_MAX};
use crate::image::reference::{Reference, Version};

/// Redirects followed for one request.
const REDIRECTS: u32 = 5;
/// Attempts at a host that cannot be connected to: it is rather down than busy.
const CONNECT_ATTEMPTS: u32 = 3;

/// A repository on its registry and its mirrors.
#[derive(Debug)]
pub struct Source {
    registry: Arc<Registry>,
    reference: Reference,
    pub(super) endpoints: Vec<Endpoint>,
    credentials: Option<Credentials>,
    /// `Authorization` that worked, by host: the next request brings it along.
    authorized: Mutex<HashMap<String, HeaderValue>>,
}

/// A manifest or index with what it is known by.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The bytes as they came.
    pub content: Bytes,
    /// Their digest, computed here.
    pub digest: Digest,
}

impl Source {
    /// Reads the host configuration of the reference's registry. Credentials for another server are dropped (I-12).
    pub fn new(
        registry: Arc<Registry>,
        reference: Reference,
        credentials: Option<Credentials>,
    ) -> Result<Self, RegistryError> {
        let mut endpoints = endpoints(&registry.directories, reference.host())?;
        endpoints.retain(|endpoint| endpoint.pulls);
        let credentials = credentials.filter(|credentials| credentials.apply_to(reference.host()));
        Ok(Self { registry, reference, endpoints, credentials, authorized: Mutex::default() })
    }

    /// The repository this is.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Fetches what the reference points to. Every pull really asks: whoever has no access learns nothing from what is
    /// stored already (I-26).
    pub async fn resolve(&self) -> Result<FetchedManifest, RegistryError> {
        match self.reference.version() {
            Version::Digest(digest) => self.manifest(digest).await,
            Version::Tag(tag) => {
                let object = format!("manifest {}", self.reference);
                let content = self.small(&format!("manifests/{tag}"), &object, None, MANIFEST_MAX).await?;
                Ok(FetchedManifest { digest: Digest::of(&content), content })
            }
        }
    }

    /// Fetches a manifest or index by its digest.
    pub async fn manifest(&self, digest: &Digest) -> Result<FetchedManifest, RegistryError> {
        let object = format!("manifest {}", self.reference.with_digest(digest.clone()));
        let content = self.small(&format!("manifests/{digest}"), &object, Some(digest), MANIFEST_MAX).await?;
        Ok(FetchedManifest { content, digest: digest.clone() })
    }

    /// Fetches a blob into memory: configurations.
    pub async fn blob(&self, content: &Content, max: u64) -> Result<Bytes, RegistryError> {
        let object = format!("blob {}", self.reference.with_digest(content.digest.clone()));
        if content.size > max {
            return Err(RegistryError::Protocol {
                host: self.reference.host().to_owned(),
                object,
                reason: format!("{} bytes, at most {max} are accepted", content.size),
            });
        }
        self.small(&format!("blobs/{}", content.digest), &object, Some(&content.digest), max).await
    }

    /// A whole small object from the first host that has it, checked against `expected`.
    async fn small(
        &self,
        path: &str,
        object: &str,
        expected: Option<&Digest>,
        max: u64,
    ) -> Result<Bytes, RegistryError> {
        let mut headers = HeaderMap::new();
        if path.starts_with("manifests/") {
            headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        }
        let mut failure = self.no_host(object);
        // A mirror that may not resolve is asked for digests only.
        for endpoint in self.endpoints.iter().filter(|endpoint| expected.is_some() || endpoint.resolves) {
            match self.small_from(endpoint, path, object, &headers, max).await {
                Ok(content) => match expected.map(|expected| (expected, Digest::of(&content))) {
                    Some((expected, actual)) if *expected != actual => {
                        let (host, object) = (endpoint.authority.clone(), object.to_owned());
                        failure = RegistryError::Digest { host, object, expected: expected.clone(), actual };
                    }
                    _ => return Ok(content),
                },
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn small_from(
        &self,
        endpoint: &Endpoint,
        path: &str,
        object: &str,
        headers: &HeaderMap,
        max: u64,
    ) -> Result<Bytes, RegistryError> {
        let mut attempt = 0;
        loop {
            let response = self.ask(endpoint, path, object, headers).await?;
            let error = match read_body(response, max).await {
                Ok(content) => return Ok(content),
                Err(error @ TransferError::TooLarge(_)) => {
                    let (host, object) = (endpoint.authority.clone(), object.to_owned());
                    return Err(RegistryError::Protocol { host, object, reason: error.to_string() });
                }
                Err(error) => error,
            };
            attempt += 1;
            if attempt >= ATTEMPTS {
                return Err(unavailable(endpoint, object, error.to_string()));
            }
            tokio::time::sleep(delay(attempt, None)).await;
        }
    }

    pub(super) fn no_host(&self, object: &str) -> RegistryError {
        RegistryError::Unavailable {
            host: self.reference.host().to_owned(),
            object: object.to_owned(),
            reason: "no configured host may be asked for it".to_owned(),
        }
    }

    /// Asks one host, repeatedly if that may help; any other status than a success, a part or 416 is an error.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        path: &str,
        object: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, RegistryError> {
        let (host, object) = (endpoint.authority.clone(), object.to_owned());
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (failure, asked, attempts) = match self.request(endpoint, path, &object, headers).await {
                Ok(response) => match judge(response.status(), response.headers()) {
                    Verdict::Take => return Ok(response),
                    Verdict::Again(asked) => {
                        (format!("HTTP {}", response.status().as_u16()), asked, ATTEMPTS)
                    }
                    Verdict::NextHost => {
                        return Err(match response.status().as_u16() {
                            404 => RegistryError::NotFound { host, object },
                            status @ (401 | 403) => RegistryError::Denied { host, object, status },
                            status => RegistryError::Status { host, object, status },
                        });
                    }
                },
                Err(RequestError::Transfer(error)) => (error.to_string(), None, CONNECT_ATTEMPTS),
                Err(RequestError::Registry(error)) => return Err(error),
            };
            if attempt >= attempts {
                return Err(unavailable(endpoint, &object, failure));
            }
            tracing::debug!(host, object, attempt, failure, "a registry is asked again");
            tokio::time::sleep(delay(attempt, asked)).await;
        }
    }

    /// One request with authentication and redirects.
    async fn request(
        &self,
        endpoint: &Endpoint,
        path: &str,
        object: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, RequestError> {
        let protocol = |reason: &str| RegistryError::Protocol {
            host: endpoint.authority.clone(),
            object: object.to_owned(),
            reason: reason.to_owned(),
        };
        let namespace = endpoint.namespace.as_ref().map(|name| format!("?ns={name}")).unwrap_or_default();
        let (scheme, authority, prefix) = (&endpoint.scheme, &endpoint.authority, &endpoint.prefix);
        let repository = self.reference.path();
        let start: Uri = format!("{scheme}://{authority}{prefix}/{repository}/{path}{namespace}")
            .parse()
            .map_err(|_| protocol("the host configuration makes no valid URL"))?;
        let mut authorization = self.known(endpoint);
        let mut renewed = false;
        let mut uri = start.clone();
        let mut redirects = 0;
        loop {
            let mut request = Request::new(Body::default());
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            // Neither credentials nor configured headers leave the host they are for (I-12).
            if same_origin(&start, &uri) {
                for (name, value) in &endpoint.headers {
                    request.headers_mut().append(name, value.clone());
                }
                if let Some(value) = &authorization {
                    request.headers_mut().insert(header::AUTHORIZATION, value.clone());
                }
            }
            let response = self.registry.send(endpoint, request).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && !renewed && same_origin(&start, &uri) {
                renewed = true;
                let challenges: Vec<_> = response
                    .headers()
                    .get_all(header::WWW_AUTHENTICATE)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .flat_map(challenge::parse)
                    .collect();
                let credentials = self.credentials.as_ref().filter(|_| endpoint.is_own_registry);
                let scope = format!("repository:{repository}:pull");
                let refused = authorization.is_some();
                let answer =
                    self.registry.authorize(endpoint, &challenges, credentials, &scope, refused).await?;
                if let Some(value) = answer {
                    self.remember(endpoint, value.clone());
                    authorization = Some(value);
                    continue;
                }
            }
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            redirects += 1;
            if redirects > REDIRECTS {
                return Err(protocol("too many redirects").into());
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            uri = location
                .and_then(|location| redirect(&uri, location))
                .ok_or_else(|| protocol("it redirects to nowhere"))?;
            let plain = uri.scheme_str() == Some("http") && scheme == "https";
            if plain && !uri.host().is_some_and(is_loopback) {
                return Err(protocol("it redirects from https to http").into());
            }
        }
    }

    fn known(&self, endpoint: &Endpoint) -> Option<HeaderValue> {
        let authorized = self.authorized.lock().unwrap_or_else(PoisonError::into_inner);
        authorized.get(&endpoint.authority).cloned()
    }

    fn remember(&self, endpoint: &Endpoint, value: HeaderValue) {
        let mut authorized = self.authorized.lock().unwrap_or_else(PoisonError::into_inner);
        authorized.insert(endpoint.authority.clone(), value);
    }
}

/// Either worth a repetition, or not.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

pub(super) fn unavailable(endpoint: &Endpoint, object: &str, reason: String) -> RegistryError {
    RegistryError::Unavailable { host: endpoint.authority.clone(), object: object.to_owned(), reason }
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

/// Where a `Location` leads: a URL, or a path on the same host.
fn redirect(from: &Uri, location: &str) -> Option<Uri> {
    let target: Uri = location.parse().ok()?;
    if target.authority().is_some() {
        return target.scheme().is_some().then_some(target);
    }
    if !location.starts_with('/') {
        return None;
    }
    format!("{}://{}{location}", from.scheme_str()?, from.authority()?).parse().ok()
}
