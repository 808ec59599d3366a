//! A certificate and its key, from PEM or from a PFX file (PKCS#12, RFC 7292).
//!
//! In: bytes of files and a password. Out: a chain, its own certificate first, and a key in PEM. Keeps nothing.

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

const PEM_BEGIN: &[u8] = b"-----BEGIN ";

/// What signs, and what shows who signed.
pub(crate) struct Signer {
    /// Never empty; the one that the key belongs to stands first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// PKCS#1 or PKCS#8.
    pub(crate) key_pem: Vec<u8>,
}

/// Reads `bytes`; `key_pem` is of a file of its own, `password` is a PFX file's.
///
/// # Errors
/// When they hold no certificate or no key, or the password does not open them.
pub(crate) fn read(bytes: &[u8], key_pem: Option<Vec<u8>>, password: &str) -> Result<Signer, String> {
    let is_pem = bytes.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN);
    if is_pem { of_pem(bytes, key_pem) } else { of_pfx(bytes, key_pem, password) }
}

fn of_pem(pem: &[u8], key_pem: Option<Vec<u8>>) -> Result<Signer, String> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|err| format!("failed to parse certificate data: {err}"))?;
    if chain.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(Signer { chain, key_pem: key_pem.unwrap_or_else(|| pem.to_owned()) })
}

fn of_pfx(der: &[u8], key_pem: Option<Vec<u8>>, password: &str) -> Result<Signer, String> {
    let store = KeyStore::from_pkcs12(der, password, Pkcs12ImportPolicy::Strict)
        .map_err(|err| format!("neither PEM nor a PFX file that certificate_password opens: {err}"))?;
    let (_, entry) = store.private_key_chain().ok_or("the PFX file has no key with its certificate")?;
    let chain: Vec<_> =
        entry.certs().iter().map(|cert| CertificateDer::from(cert.as_der().to_vec())).collect();
    if chain.is_empty() {
        return Err("the PFX file has no certificate of its key".to_owned());
    }
    let key_pem = key_pem.unwrap_or_else(|| pem_of("PRIVATE KEY", entry.key().as_der()));
    Ok(Signer { chain, key_pem })
}

/// `der` in PEM.
fn pem_of(label: &str, der: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    // Lines of 64, RFC 7468.
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made of `rsa.pem` and `certificate.pem` by OpenSSL 3: as it does by default (AES-256), and with `-legacy` (RC2, 3DES), as Windows did.
    const FILES: [(&str, &[u8]); 2] = [
        ("modern", include_bytes!("testdata/modern.pfx")),
        ("legacy", include_bytes!("testdata/legacy.pfx")),
    ];
    const KEY: &[u8] = include_bytes!("testdata/rsa.pem");
    const CERTIFICATE: &[u8] = include_bytes!("testdata/certificate.pem");

    fn signature(key_pem: &[u8]) -> Vec<u8> {
        super::super::sign::rsa("RS256", key_pem, b"text").unwrap()
    }

    #[test]
    fn a_pfx_file_holds_what_its_pem_files_hold() {
        let plain = read(CERTIFICATE, Some(KEY.to_vec()), "").unwrap();
        for (name, pfx) in FILES {
            let opened = read(pfx, None, "hunter2").unwrap();
            assert_eq!(opened.chain, plain.chain, "{name}");
            assert_eq!(signature(&opened.key_pem), signature(&plain.key_pem), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        for (bytes, password, expected) in [
            (FILES[0].1, "wrong", "neither PEM nor a PFX file that certificate_password opens: "),
            (FILES[1].1, "", "neither PEM nor a PFX file that certificate_password opens: "),
            (b"nothing", "", "neither PEM nor a PFX file that certificate_password opens: "),
            (KEY, "", "no certificate in it"),
        ] {
            let why = read(bytes, None, password).err().unwrap_or_default();
            assert!(why.starts_with(expected) && !why.contains("wrong"), "{why}");
        }
        let all = (0..FILES[0].1.len()).step_by(7);
        all.for_each(|end| assert!(read(&FILES[0].1[..end], None, "hunter2").is_err(), "{end}"));
    }
}
