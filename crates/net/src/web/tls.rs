//! `tls_server_config` made into what rustls wants, and the check of clients' certificates.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use stdx::dir::Dir;

use super::config::{ClientAuth, TlsServer};
use crate::config::TlsVersion;
use crate::der;
use crate::error::BuildError;
use crate::tls::{native_roots, roots_from_pem, signatures_by_provider};

/// What the files of a `tls_server_config` hold; inline values count as files.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl ServerFiles {
    /// Reads them.
    pub(crate) fn read(tls: &TlsServer, dir: &dyn Dir) -> Result<Self, BuildError> {
        let read = |what: &'static str, inline: &str, file: Option<&std::path::Path>| match file {
            None => Ok(inline.as_bytes().to_vec()),
            Some(path) => dir.read(path).map_err(|why| BuildError::File { what, path: path.to_owned(), why }),
        };
        Ok(Self {
            cert: read("cert", &tls.cert, tls.cert_file.as_deref())?,
            key: read("key", tls.key.expose(), tls.key_file.as_deref())?,
            client_ca: read("client_ca", &tls.client_ca, tls.client_ca_file.as_deref())?,
        })
    }
}

/// The suite of Go's name.
pub(crate) fn suite_of(name: &str) -> Option<SupportedCipherSuite> {
    use ring::cipher_suite as suites;
    Some(match name {
        "TLS_AES_128_GCM_SHA256" => suites::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_256_GCM_SHA384" => suites::TLS13_AES_256_GCM_SHA384,
        "TLS_CHACHA20_POLY1305_SHA256" => suites::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" | "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305" => {
            suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" | "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305" => {
            suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
        _ => return None,
    })
}

/// The curve of Go's name.
pub(crate) fn curve_of(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    Some(match name {
        "X25519" => ring::kx_group::X25519,
        "CurveP256" => ring::kx_group::SECP256R1,
        "CurveP384" => ring::kx_group::SECP384R1,
        _ => return None,
    })
}

fn invalid(what: &'static str, reason: impl std::fmt::Display) -> BuildError {
    BuildError::Invalid { what, reason: reason.to_string() }
}

/// What rustls wants.
pub(crate) fn server_config(
    tls: &TlsServer,
    files: &ServerFiles,
    http2: bool,
) -> Result<Arc<ServerConfig>, BuildError> {
    let provider = Arc::new(provider(tls)?);
    let mut versions = Vec::new();
    if tls.max_version >= TlsVersion::TLS13 {
        versions.push(&rustls::version::TLS13);
    }
    if tls.min_version <= TlsVersion::TLS12 {
        versions.push(&rustls::version::TLS12);
    }
    let has_12 = provider.cipher_suites.iter().any(|suite| suite.tls13().is_none());
    versions.retain(|version| has_12 || version.version == rustls::ProtocolVersion::TLSv1_3);
    if versions.is_empty() {
        return Err(invalid(
            "cipher_suites",
            "none of them is spoken in the versions of TLS that are allowed",
        ));
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|err| invalid("min_version, max_version or cipher_suites", err))?;
    let builder = match tls.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        _ => builder.with_client_cert_verifier(Arc::new(ClientPolicy::new(tls, files, &provider)?)),
    };
    let chain = CertificateDer::pem_slice_iter(&files.cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|err| invalid("cert", err))?;
    if chain.is_empty() {
        return Err(invalid("cert", "no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|err| invalid("key", err))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|err| invalid("cert and key", err))?;
    config.ignore_client_order = tls.prefer_server_suites;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(Arc::new(config))
}

/// Suites and curves as the file names them. Go lets nobody choose among the suites of TLS 1.3; nor do we.
fn provider(tls: &TlsServer) -> Result<CryptoProvider, BuildError> {
    let mut provider = ring::default_provider();
    if !tls.suites.is_empty() {
        let named =
            tls.suites.iter().filter_map(|name| suite_of(name)).filter(|suite| suite.tls13().is_none());
        let named: Vec<_> = named.collect();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        provider.cipher_suites.extend(named);
    }
    if !tls.curves.is_empty() {
        provider.kx_groups = tls.curves.iter().filter_map(|name| curve_of(name)).collect();
        if provider.kx_groups.is_empty() {
            return Err(invalid(
                "curve_preferences",
                "CurveP521 is not spoken; add X25519, CurveP256 or CurveP384",
            ));
        }
    }
    Ok(provider)
}

/// What is asked of a client's certificate.
#[derive(Debug)]
struct ClientPolicy {
    is_mandatory: bool,
    /// Checks the chain; `None` when any certificate will do.
    chain: Option<Chain>,
    /// Names of which the certificate must bear one.
    allowed_names: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Chain {
    /// `None` when there is no authority that could have signed.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// The authorities' own certificates: a client may show one that signed itself.
    authorities: Vec<CertificateDer<'static>>,
}

impl ClientPolicy {
    fn new(tls: &TlsServer, files: &ServerFiles, provider: &Arc<CryptoProvider>) -> Result<Self, BuildError> {
        let is_verified = matches!(tls.client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify);
        let chain = is_verified.then(|| Chain::new(&files.client_ca, provider)).transpose()?;
        Ok(Self {
            is_mandatory: matches!(tls.client_auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify),
            chain,
            allowed_names: tls.client_allowed_sans.clone(),
            provider: Arc::clone(provider),
        })
    }
}

impl Chain {
    /// From authorities in PEM; without any, from the machine's own, as Go does.
    fn new(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, BuildError> {
        let (roots, authorities) = match pem.is_empty() {
            true => (native_roots(), Vec::new()),
            false => {
                let authorities = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
                (roots_from_pem(pem)?, authorities.map_err(|err| invalid("client_ca", err))?)
            }
        };
        if roots.is_empty() {
            return Ok(Self { verifier: None, authorities });
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        Ok(Self { verifier: Some(verifier.map_err(|err| invalid("client_ca", err))?), authorities })
    }

    fn verify(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some(verifier) = &self.verifier else { return Err(CertificateError::UnknownIssuer.into()) };
        let Err(err) = verifier.verify_client_cert(end, intermediates, now) else { return Ok(()) };
        // webpki takes no authority as a client; people make a client's certificate sign itself and name it here.
        let is_named = self.authorities.iter().any(|authority| authority == end);
        let is_valid = der::is_valid_at(end, now) == Some(true);
        let is_ca = matches!(&err, rustls::Error::InvalidCertificate(CertificateError::Other(_)));
        if is_named && is_valid && is_ca { Ok(()) } else { Err(err) }
    }
}

impl ClientCertVerifier for ClientPolicy {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        let verifier = self.chain.as_ref().and_then(|chain| chain.verifier.as_ref());
        verifier.map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(chain) = &self.chain {
            chain.verify(end_entity, intermediates, now)?;
        }
        if let Some(allowed) = &self.allowed_names
            && !der::names(end_entity).iter().any(|name| allowed.contains(name))
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    signatures_by_provider!();
}
