//! Whom to trust and as whom to come: TLS settings of one host, from `hosts.toml` or docker's certificate directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::RegistryError;

/// What a host's configuration says about TLS. Equal settings share connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// Certificates of authorities to trust beside the system's.
    pub authorities: Vec<PathBuf>,
    /// Certificate and key to present.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Trust anybody (`skip_verify`).
    pub skip_verify: bool,
}

/// The system's authorities, read when the first TLS connection needs them.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let loaded = rustls_native_certs::load_native_certs();
        for error in loaded.errors {
            tracing::warn!(%error, "a system certificate cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(load))
}

/// Builds the TLS configuration of a host; `None` trusts nobody, for connections that are never encrypted.
pub fn client_config(settings: Option<&TlsSettings>) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let fail = |path: &Path, reason: String| RegistryError::Configuration { path: path.to_owned(), reason };
    let nobody = TlsSettings::default();
    let mut roots = if settings.is_some() { system_roots() } else { Arc::new(RootCertStore::empty()) };
    let settings = settings.unwrap_or(&nobody);
    for path in &settings.authorities {
        let certificates = certificates(path).map_err(|reason| fail(path, reason))?;
        Arc::make_mut(&mut roots).add_parsable_certificates(certificates);
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(Path::new(""), error.to_string()))?;
    let builder = match settings.skip_verify {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnybody { provider })),
        false => builder.with_root_certificates(roots),
    };
    match &settings.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate).map_err(|reason| fail(certificate, reason))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| fail(key, error.to_string()))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| fail(certificate, error.to_string()))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("it contains no certificate".to_owned()) } else { Ok(certificates) }
}

/// The operator wrote `skip_verify = true`: every certificate is accepted, signatures are still checked.
#[derive(Debug)]
struct TrustAnybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
