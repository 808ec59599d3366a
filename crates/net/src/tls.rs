//! `tls_config` made into what rustls wants.
//!
//! Files are read again whenever a client is used, so that a renewed certificate is taken without a reload.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use stdx::dir::Dir;

use crate::config::{TlsConfig, TlsVersion};
use crate::der;
use crate::error::BuildError;

/// The part of a certificate check that is the same whoever is checked: that the other side holds the certificate's key. For types with
/// a field `provider`.
macro_rules! signatures_by_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls_pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let known = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, dss, known)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls_pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let known = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, known)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}
pub(crate) use signatures_by_provider;

/// What the files of a `tls_config` hold.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsFiles {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    /// Reads them; inline values count as files.
    pub(crate) fn read(tls: &TlsConfig, dir: &dyn Dir) -> Result<Self, BuildError> {
        let read = |what: &'static str, inline: &str, file: Option<&Path>| match file {
            None => Ok(inline.as_bytes().to_vec()),
            Some(path) => dir.read(path).map_err(|why| BuildError::File { what, path: path.to_owned(), why }),
        };
        Ok(Self {
            ca: read("ca", &tls.ca, tls.ca_file.as_deref())?,
            cert: read("cert", &tls.cert, tls.cert_file.as_deref())?,
            key: read("key", tls.key.expose(), tls.key_file.as_deref())?,
        })
    }
}

/// What rustls wants.
pub(crate) fn client_config(tls: &TlsConfig, files: &TlsFiles) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls12_allowed = tls.min_version.is_none_or(|min| min <= TlsVersion::TLS12);
    let tls13_allowed = tls.max_version.is_none_or(|max| max >= TlsVersion::TLS13);
    let mut versions = Vec::new();
    if tls13_allowed {
        versions.push(&rustls::version::TLS13);
    }
    if tls12_allowed {
        versions.push(&rustls::version::TLS12);
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|err| BuildError::Invalid { what: "min_version or max_version", reason: err.to_string() })?;
    let builder = if tls.insecure_skip_verify {
        let any = Arc::new(AnyCertificate { provider });
        builder.dangerous().with_custom_certificate_verifier(any)
    } else if files.ca.is_empty() {
        builder.with_root_certificates(native_roots())
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OwnAuthorities::from_pem(&files.ca, provider)?))
    };
    let config = if files.cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let invalid = |what, reason: String| BuildError::Invalid { what, reason };
        let chain = CertificateDer::pem_slice_iter(&files.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| invalid("cert", err.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|err| invalid("key", err.to_string()))?;
        builder.with_client_auth_cert(chain, key).map_err(|err| invalid("cert and key", err.to_string()))?
    };
    Ok(config)
}

pub(crate) fn roots_from_pem(pem: &[u8]) -> Result<Arc<RootCertStore>, BuildError> {
    let invalid = |reason: String| BuildError::Invalid { what: "ca", reason };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(pem) {
        let cert = cert.map_err(|err| invalid(err.to_string()))?;
        roots.add(cert).map_err(|err| invalid(err.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("no certificate in it".to_owned()));
    }
    Ok(Arc::new(roots))
}

/// The machine's own authorities, read at first use and then shared by all clients.
pub(crate) fn native_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (n_added, n_ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(
            n_added,
            n_ignored,
            n_errors = found.errors.len(),
            "read the machine's certificate authorities"
        );
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(load))
}

/// The authorities of a `ca_file`. A certificate that stands there itself is trusted as it is: one made by `openssl req -x509` is
/// its own authority, which the usual rules refuse to a server and Go does not.
#[derive(Debug)]
struct OwnAuthorities {
    provider: Arc<CryptoProvider>,
    usual: Arc<WebPkiServerVerifier>,
    listed: Vec<CertificateDer<'static>>,
}

impl OwnAuthorities {
    fn from_pem(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, BuildError> {
        let usual = WebPkiServerVerifier::builder_with_provider(roots_from_pem(pem)?, Arc::clone(&provider))
            .build()
            .map_err(|err| BuildError::Invalid { what: "ca", reason: err.to_string() })?;
        // All of them were read a line above.
        let listed = CertificateDer::pem_slice_iter(pem).flatten().collect();
        Ok(Self { provider, usual, listed })
    }

    fn verify_listed(
        cert: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !der::is_valid_at(cert, now).ok_or(CertificateError::BadEncoding)? {
            return Err(CertificateError::Expired.into());
        }
        verify_server_name(&ParsedCertificate::try_from(cert)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for OwnAuthorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.listed.contains(end_entity) {
            return Self::verify_listed(end_entity, server_name, now);
        }
        self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    signatures_by_provider!();
}

/// Takes any certificate (`insecure_skip_verify`), but still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_provider!();
}

/// A handshake's failure in the words Go users know, where there are such words.
pub(crate) fn plain_tls_error(err: &rustls::Error) -> String {
    use rustls::CertificateError as Cert;
    let cert = match err {
        rustls::Error::InvalidCertificate(cert) => cert,
        other => return format!("tls: {other}"),
    };
    let reason = match cert {
        // A wrong signature is what an authority of the same name but another key looks like; Go says the same of both.
        Cert::UnknownIssuer | Cert::BadSignature => "certificate signed by unknown authority".to_owned(),
        Cert::Expired | Cert::ExpiredContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        Cert::NotValidYet | Cert::NotValidYetContext { .. } => "certificate is not valid yet".to_owned(),
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => {
            "certificate is not valid for the host's name (setting: tls_config.server_name)".to_owned()
        }
        other => format!("{other:?}"),
    };
    format!("tls: failed to verify certificate: x509: {reason}")
}
