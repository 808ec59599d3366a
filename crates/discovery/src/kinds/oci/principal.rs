//! `auth: instance_principal`: the machine this runs on is who asks.
//!
//! In: certificates from the machine's metadata service. Out: [`Session`], a token that Oracle's federation service gives for them
//! and the key that signs with it. Oracle's «Calling Services from an Instance» and its SDK's requests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, HeaderValue};
use net::Request;
use net::auth::sign;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use url::Url;
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _};

use super::{Signed, date_of, domain_of};
use crate::SdError;
use crate::http::{Api, json as read_json, require_success};

/// Where every machine of Oracle's finds itself.
const METADATA: &str = "http://169.254.169.254/opc/v2/";
/// Bits of a session's key: as of Oracle's SDK.
const KEY_BITS: usize = 2048;
/// A token is renewed so long before its end, in seconds: as Oracle's SDK does.
const EARLY_SECS: i64 = 300;
/// The oldest regions, which the metadata service calls by their short names.
const SHORT_NAMES: [(&str, &str); 4] =
    [("iad", "us-ashburn-1"), ("phx", "us-phoenix-1"), ("fra", "eu-frankfurt-1"), ("lhr", "uk-london-1")];

/// Where a session is asked for. Others in tests only.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Places {
    pub(super) metadata: String,
    /// Empty for the region's own.
    pub(super) federation: String,
}

impl Default for Places {
    fn default() -> Self {
        Self { metadata: METADATA.to_owned(), federation: String::new() }
    }
}

/// What requests are signed with, for about an hour.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) tenancy: String,
    pub(super) key_id: String,
    pub(super) key_pem: Vec<u8>,
    /// Unix time in seconds.
    ends_secs: i64,
}

impl Session {
    pub(super) fn is_good(&self, now_ms: i64) -> bool {
        now_ms / 1_000 < self.ends_secs - EARLY_SECS
    }

    /// A new one.
    ///
    /// # Errors
    /// When this is no machine of Oracle's, or it may not act for itself.
    pub(super) async fn open(api: &Api, places: &Places, now_ms: i64) -> Result<Self, SdError> {
        let machine = Machine::ask(api, &places.metadata).await.map_err(|err| {
            SdError::other(format!("{err}; auth: instance_principal is for machines of Oracle's cloud"))
        })?;
        let key = tokio::task::spawn_blocking(SessionKey::new).await.map_err(SdError::other)??;
        let url = match places.federation.as_str() {
            "" => format!("https://auth.{}.{}/v1/x509", machine.region, domain_of(&machine.region)),
            base => format!("{base}v1/x509"),
        };
        let url = Url::parse(&url).map_err(SdError::other)?;
        let body = json!({
            "certificate": STANDARD.encode(&machine.leaf_der),
            "publicKey": STANDARD.encode(&key.public_der),
            "intermediateCertificates": [STANDARD.encode(&machine.intermediate_der)],
            "fingerprintAlgorithm": "SHA256",
        });
        let request = machine.signed(&url, body.to_string().into_bytes(), now_ms)?;
        let answer: Value = read_json(&url, &api.send(request).await?)?;
        let token = answer.get("token").and_then(Value::as_str).unwrap_or_default();
        let ends_secs =
            end_of(token).ok_or_else(|| SdError::other(format!("{url}: no token in the answer")))?;
        Ok(Self {
            tenancy: machine.tenancy,
            key_id: format!("ST${token}"),
            key_pem: key.private_pem,
            ends_secs,
        })
    }
}

/// When a token ends, from its middle part; it is Oracle's to check.
fn end_of(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp").and_then(|end| end.as_i64().or_else(|| end.as_f64().map(|end| end as i64)))
}

/// A key that only one session has.
struct SessionKey {
    private_pem: Vec<u8>,
    public_der: Vec<u8>,
}

impl SessionKey {
    /// Takes tenths of a second.
    fn new() -> Result<Self, SdError> {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS).map_err(SdError::other)?;
        let public = key.to_public_key().to_public_key_der().map_err(SdError::other)?;
        let private = key.to_pkcs8_pem(LineEnding::LF).map_err(SdError::other)?;
        Ok(Self { private_pem: private.as_bytes().to_vec(), public_der: public.into_vec() })
    }
}

/// Who this machine is.
struct Machine {
    region: String,
    tenancy: String,
    leaf_der: Vec<u8>,
    intermediate_der: Vec<u8>,
    key_pem: Vec<u8>,
}

impl Machine {
    async fn ask(api: &Api, metadata: &str) -> Result<Self, SdError> {
        let region = get(api, metadata, "instance/region").await?;
        let region = String::from_utf8_lossy(&region).trim().to_ascii_lowercase();
        let long = SHORT_NAMES.iter().find(|(short, _)| *short == region);
        let leaf = certificate(&get(api, metadata, "identity/cert.pem").await?)?;
        let intermediate = certificate(&get(api, metadata, "identity/intermediate.pem").await?)?;
        Ok(Self {
            region: long.map_or(region, |(_, long)| (*long).to_owned()),
            tenancy: tenancy_of(&leaf)?,
            leaf_der: leaf,
            intermediate_der: intermediate,
            key_pem: get(api, metadata, "identity/key.pem").await?,
        })
    }

    /// The request for a token, signed with the machine's own key.
    fn signed(&self, url: &Url, body: Vec<u8>, now_ms: i64) -> Result<Request, SdError> {
        let digest = sign::hex(&sign::sha256(&self.leaf_der));
        let pairs: Vec<_> = digest.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        let by = Signed {
            key_id: &format!("{}/fed-x509-sha256/{}", self.tenancy, pairs.join(":")),
            key_pem: &self.key_pem,
        };
        let hash = STANDARD.encode(sign::sha256(&body));
        let fields = [
            ("date", date_of(now_ms)),
            ("(request-target)", format!("post {}", super::target_of(url))),
            ("content-length", body.len().to_string()),
            ("content-type", "application/json".to_owned()),
            ("x-content-sha256", hash.clone()),
        ];
        let mut request = Request::post(url.clone(), "application/json", body);
        by.put(&mut request, &fields)?;
        let hash = HeaderValue::from_str(&hash).map_err(SdError::other)?;
        request.headers.insert("x-content-sha256", hash);
        Ok(request)
    }
}

async fn get(api: &Api, metadata: &str, path: &str) -> Result<Vec<u8>, SdError> {
    let url = Url::parse(&format!("{metadata}{path}")).map_err(SdError::other)?;
    let mut request = Request::get(url.clone());
    request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer Oracle"));
    let response = api.send(request).await?;
    require_success(&url, &response)?;
    Ok(response.body.to_vec())
}

fn certificate(pem: &[u8]) -> Result<Vec<u8>, SdError> {
    let read = x509_cert::Certificate::from_pem(pem).and_then(|cert| cert.to_der());
    read.map_err(|err| SdError::other(format!("the machine's certificate cannot be read: {err}")))
}

/// It stands in the subject: `OU=opc-tenant:ocid1.tenancy.…`.
fn tenancy_of(leaf_der: &[u8]) -> Result<String, SdError> {
    let leaf = x509_cert::Certificate::from_der(leaf_der).map_err(SdError::other)?;
    let subject = leaf.tbs_certificate().subject().to_string();
    let tenancy = subject.split(['=', ',', '+']).find_map(|part| part.strip_prefix("opc-tenant:"));
    let tenancy = tenancy.map(str::to_owned);
    tenancy.ok_or_else(|| SdError::other("the machine's certificate names no tenancy (opc-tenant)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenancy_is_read_from_the_subject() {
        let leaf = certificate(include_bytes!("../testdata/oci-instance.pem")).unwrap();
        assert_eq!(tenancy_of(&leaf).unwrap(), "ocid1.tenancy.oc1..aaaa");
        let other = certificate(include_bytes!("../testdata/oci-other.pem")).unwrap();
        assert!(tenancy_of(&other).unwrap_err().to_string().contains("opc-tenant"));
        assert!(certificate(b"nothing").is_err());
    }

    #[test]
    fn a_token_tells_its_end() {
        let token = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(end_of(&token(r#"{"exp": 1700000000}"#)), Some(1_700_000_000));
        assert_eq!(end_of(&token(r#"{"exp": 1.7e9}"#)), Some(1_700_000_000));
        for bad in ["", "a.b", "h.!.s", &token("{}"), &token("[]")] {
            assert_eq!(end_of(bad), None, "{bad}");
        }
    }
}
