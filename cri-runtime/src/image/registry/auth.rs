//! Credentials of one request, and the tokens that registries give for them (I-11, I-12).
//!
//! Credentials come with a pull and go with it: they are never stored, never logged, and their `Debug` says nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::RegistryError;
use super::challenge::Challenge;
use super::client::{Body, Registry};
use super::connect::is_loopback;
use super::hosts::Endpoint;
use crate::image::digest::{Digest, Hasher};

/// Lifetime of a token whose registry does not give one (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// Tokens are renewed this long before they end.
const MARGIN: Duration = Duration::from_secs(10);
/// Largest answer of a token server, bytes.
const ANSWER_MAX: u64 = 1 << 20;
const CLIENT: &str = "orlop";

/// What a caller may show to a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    secret: Secret,
    /// The registry they are for; any if `None`.
    server: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Password {
        user: String,
        password: String,
    },
    /// A refresh token for the token endpoint.
    Identity(String),
    /// A bearer token, used as it is.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The fields of CRI's `AuthConfig`.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the names are those of CRI")]
pub struct AuthFields<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub auth: &'a str,
    pub server_address: &'a str,
    pub identity_token: &'a str,
    pub registry_token: &'a str,
}

impl Credentials {
    /// Reads an `AuthConfig` in the order of the peers: password, `auth`, identity token, registry token. `None` if
    /// all are empty: anonymous.
    pub fn from_fields(fields: AuthFields<'_>) -> Result<Option<Self>, RegistryError> {
        let secret = if !fields.username.is_empty() {
            Secret::Password { user: fields.username.to_owned(), password: fields.password.to_owned() }
        } else if !fields.auth.is_empty() {
            let decoded = STANDARD.decode(fields.auth.trim_end_matches('\0')).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or(RegistryError::Credentials("auth is not base64 text"))?;
            let (user, password) =
                decoded.split_once(':').ok_or(RegistryError::Credentials("auth is not user:password"))?;
            // Docker's files are padded with zero bytes.
            let password = password.trim_end_matches('\0').to_owned();
            Secret::Password { user: user.to_owned(), password }
        } else if !fields.identity_token.is_empty() {
            Secret::Identity(fields.identity_token.to_owned())
        } else if !fields.registry_token.is_empty() {
            Secret::Bearer(fields.registry_token.to_owned())
        } else {
            return Ok(None);
        };
        let server = (!fields.server_address.is_empty()).then(|| registry_of(fields.server_address));
        Ok(Some(Self { secret, server }))
    }

    /// A user and a password, for whatever registry they are shown to.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        let secret = Secret::Password { user: user.into(), password: password.into() };
        Self { secret, server: None }
    }

    /// Whether they are meant for this registry.
    pub fn apply_to(&self, registry: &str) -> bool {
        self.server.as_deref().is_none_or(|server| server == registry)
    }

    /// Tells credentials apart without keeping them.
    pub fn fingerprint(&self) -> Digest {
        let parts = match &self.secret {
            Secret::Password { user, password } => ["password", user, password],
            Secret::Identity(token) => ["identity", token, ""],
            Secret::Bearer(token) => ["bearer", token, ""],
        };
        let mut hasher = Hasher::default();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finish()
    }
}

/// The registry a `server_address` stands for: people write URLs of any age there.
fn registry_of(address: &str) -> String {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default().to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        _ => host,
    }
}

/// Host, scope, and fingerprint of the credentials.
type TokenKey = (String, String, Option<Digest>);

/// Tokens, until they end.
#[derive(Default)]
pub struct Tokens {
    known: Mutex<HashMap<TokenKey, (HeaderValue, Instant)>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registry {
    /// The `Authorization` header that answers these challenges; `None` if nothing we have does.
    ///
    /// `renew` asks for a new token although one is known: the one there was has been refused.
    pub(super) async fn authorize(
        &self,
        endpoint: &Endpoint,
        challenges: &[Challenge],
        credentials: Option<&Credentials>,
        default_scope: &str,
        renew: bool,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        for challenge in challenges {
            match (challenge.scheme.as_str(), credentials.map(|credentials| &credentials.secret)) {
                ("basic", Some(Secret::Password { user, password })) => {
                    return Ok(sensitive(&format!("Basic {}", basic(user, password))));
                }
                ("bearer", Some(Secret::Bearer(token))) => return Ok(sensitive(&format!("Bearer {token}"))),
                ("bearer", _) => {
                    return self.token(endpoint, challenge, credentials, default_scope, renew).await;
                }
                _ => {}
            }
        }
        Ok(None)
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
        default_scope: &str,
        renew: bool,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let scope = challenge.get("scope").unwrap_or(default_scope).to_owned();
        let key = (endpoint.authority.clone(), scope.clone(), credentials.map(Credentials::fingerprint));
        let lock = || self.tokens.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !renew
            && let Some((token, end)) = lock().get(&key)
            && *end > Instant::now()
        {
            return Ok(Some(token.clone()));
        }
        let answer = self.request_token(endpoint, challenge, credentials, &scope).await?;
        let lifetime = answer.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs);
        let Some(token) = answer.token.or(answer.access_token).filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let token = sensitive(&format!("Bearer {token}"));
        if let Some(token) = &token {
            let now = Instant::now();
            let mut known = lock();
            known.retain(|_, (_, end)| *end > now);
            known.insert(key, (token.clone(), now + lifetime.saturating_sub(MARGIN)));
        }
        Ok(token)
    }

    async fn request_token(
        &self,
        endpoint: &Endpoint,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
        scope: &str,
    ) -> Result<Answer, RegistryError> {
        let object = format!("token for {scope}");
        let protocol = |reason: &str| RegistryError::Protocol {
            host: endpoint.authority.clone(),
            object: object.clone(),
            reason: reason.to_owned(),
        };
        let realm = challenge.get("realm").ok_or_else(|| protocol("the challenge names no realm"))?;
        let uri: http::Uri = realm.parse().map_err(|_| protocol("the realm is not a URL"))?;
        let host = uri.host().ok_or_else(|| protocol("the realm is not a URL"))?;
        // A registry on https must not make us send a password in the clear.
        if uri.scheme_str() != Some("https") && endpoint.scheme == "https" && !is_loopback(host) {
            return Err(protocol("the realm is not on https"));
        }
        let secret = credentials.map(|credentials| &credentials.secret);
        // Identity tokens are for POST, everything else starts with GET; servers that know one answer 404 or 405.
        let mut methods = [Method::GET, Method::POST];
        if matches!(secret, Some(Secret::Identity(_))) {
            methods.reverse();
        }
        let service = challenge.get("service").unwrap_or_default();
        let mut status = StatusCode::NOT_FOUND;
        for method in methods {
            if method == Method::POST && secret.is_none() {
                continue;
            }
            let mut fields = vec![("service", service), ("scope", scope)];
            let mut request = http::Request::builder().method(method.clone());
            let body = match (&method, secret) {
                (&Method::POST, Some(Secret::Password { user, password })) => {
                    let grant = [("grant_type", "password"), ("username", user), ("password", password)];
                    fields.extend([("client_id", CLIENT)].into_iter().chain(grant));
                    form(&fields)
                }
                (&Method::POST, Some(Secret::Identity(token) | Secret::Bearer(token))) => {
                    let grant = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
                    fields.extend([("client_id", CLIENT)].into_iter().chain(grant));
                    form(&fields)
                }
                (_, Some(Secret::Password { user, password })) => {
                    fields.push(("account", user));
                    request = request.header("authorization", format!("Basic {}", basic(user, password)));
                    String::new()
                }
                (_, Some(Secret::Identity(token) | Secret::Bearer(token))) => {
                    request = request.header("authorization", format!("Basic {}", basic("<token>", token)));
                    String::new()
                }
                (_, None) => String::new(),
            };
            let target = match method == Method::POST {
                true => realm.to_owned(),
                false => format!("{realm}{}{}", if realm.contains('?') { '&' } else { '?' }, form(&fields)),
            };
            if method == Method::POST {
                request = request.header("content-type", "application/x-www-form-urlencoded");
            }
            let request = request.uri(target).body(Body::from(body));
            let request = request.map_err(|_| protocol("the realm is not a URL"))?;
            let response =
                self.send(endpoint, request).await.map_err(|error| RegistryError::Unavailable {
                    host: host.to_owned(),
                    object: object.clone(),
                    reason: error.to_string(),
                })?;
            status = response.status();
            if status.is_success() {
                let content = super::client::read_body(response, ANSWER_MAX).await;
                let content = content.map_err(|error| protocol(&error.to_string()))?;
                return serde_json::from_slice(&content)
                    .map_err(|_| protocol("the token server's answer is not JSON"));
            }
            if !matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                break;
            }
        }
        let (host, status) = (host.to_owned(), status.as_u16());
        Err(match status {
            401 | 403 => RegistryError::Denied { host, object, status },
            500.. => RegistryError::Unavailable { host, object, reason: format!("HTTP {status}") },
            _ => RegistryError::Status { host, object, status },
        })
    }
}

fn basic(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `application/x-www-form-urlencoded`, without empty fields.
fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes().fold(String::new(), |mut encoded, byte| {
            match plain(byte) {
                true => encoded.push(byte as char),
                false => encoded.push_str(&format!("%{byte:02X}")),
            }
            encoded
        })
    };
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    fields.map(|(key, value)| format!("{key}={}", encode(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;
