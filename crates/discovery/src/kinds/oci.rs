//! `oci_sd_configs`: compute instances of Oracle Cloud.
//!
//! Core Services and Identity APIs of 2016-09-18, with Oracle's request signature (an RSA signature of date, target and host).

mod principal;

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use base64::Engine as _;
use http::header::{AUTHORIZATION, DATE, HeaderName, HeaderValue};
use model::{Duration, Labels};
use net::auth::sign;
use net::{HttpClientConfig, Request, Secret};
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, SecretDocument};
use serde::Deserialize;
use serde_json::Value;
use stdx::clock::Clock;
use stdx::dir::Dir;
use url::{Position, Url};

use self::principal::Session;
use super::Kind;
use super::cloud::{Target, items, pairs, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, sanitized};
use crate::http::{Api, PAGES_MAX, json};

/// Requests of one look that go out without a pause, and the pause between later ones. From Prometheus: Oracle refuses more.
const BURST: usize = 50;
const PAUSE: StdDuration = StdDuration::from_millis(100);

/// One element of `oci_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    credential: Credential,
    compartments: Vec<String>,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere in tests only.
    compute: String,
    identity: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
enum Credential {
    /// A user with a key that is registered there.
    ApiKey(ApiKey),
    /// This machine, which Oracle knows.
    Machine(principal::Places),
}

#[derive(Debug, Clone, PartialEq)]
struct ApiKey {
    tenancy: String,
    user: String,
    fingerprint: String,
    key_file: PathBuf,
    key_passphrase: Secret,
    key_passphrase_file: Option<PathBuf>,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        auth: Option<String>,
        tenancy: String,
        user: String,
        fingerprint: String,
        key_file: PathBuf,
        key_passphrase: Secret,
        key_passphrase_file: Option<PathBuf>,
        region: String,
        compartments: Option<Vec<String>>,
        port: Option<u16>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let require =
            |is_there: bool, what: &str| if is_there { Ok(()) } else { Err(format!("oci_sd: {what}")) };
        require(!keys.region.is_empty(), "region is required")?;
        let auth = keys.auth.take().unwrap_or_else(|| "api_key".to_owned());
        let key = ApiKey::of(&mut keys);
        let credential = match auth.as_str() {
            "api_key" => {
                key.check().map_err(|what| format!("oci_sd: {what}"))?;
                Credential::ApiKey(key)
            }
            "instance_principal" => {
                require(
                    key.is_empty(),
                    "instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set",
                )?;
                Credential::Machine(principal::Places::default())
            }
            other => {
                let known = "expected \"api_key\" or \"instance_principal\"";
                return Err(format!("oci_sd: unknown auth method {other:?}, {known}"));
            }
        };
        let compartments = keys.compartments.take().unwrap_or_default();
        if let Some(i) = compartments.iter().position(String::is_empty) {
            return Err(format!("oci_sd: compartments[{i}] must not be empty"));
        }
        let domain = domain_of(&keys.region);
        Ok(Self {
            compute: format!("https://iaas.{}.{domain}/20160918/", keys.region),
            identity: format!("https://identity.{}.{domain}/20160918/", keys.region),
            compartments,
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            credential,
        })
    }
}

impl ApiKey {
    fn of(keys: &mut Keys) -> Self {
        let take = std::mem::take::<String>;
        Self {
            tenancy: take(&mut keys.tenancy),
            user: take(&mut keys.user),
            fingerprint: take(&mut keys.fingerprint),
            key_file: std::mem::take(&mut keys.key_file),
            key_passphrase: std::mem::take(&mut keys.key_passphrase),
            key_passphrase_file: keys.key_passphrase_file.take().filter(|file| !file.as_os_str().is_empty()),
        }
    }

    /// What is missing, or too much.
    fn check(&self) -> Result<(), &'static str> {
        let require = |is_there: bool, what| if is_there { Ok(()) } else { Err(what) };
        require(!self.tenancy.is_empty(), "api_key auth requires tenancy")?;
        require(!self.user.is_empty(), "api_key auth requires user")?;
        require(!self.fingerprint.is_empty(), "api_key auth requires fingerprint")?;
        require(!self.key_file.as_os_str().is_empty(), "api_key auth requires key_file")?;
        require(
            self.key_passphrase.is_empty() || self.key_passphrase_file.is_none(),
            "at most one of key_passphrase and key_passphrase_file must be configured",
        )
    }

    fn is_empty(&self) -> bool {
        [&self.tenancy, &self.user, &self.fingerprint].into_iter().all(String::is_empty)
            && self.key_file.as_os_str().is_empty()
            && self.key_passphrase.is_empty()
            && self.key_passphrase_file.is_none()
    }

    /// The key in PEM, without a passphrase.
    fn pem(&self, dir: &dyn Dir) -> Result<Vec<u8>, SdError> {
        let read = |what: &str, file: &Path| {
            let bytes = dir.read(file);
            bytes.map_err(|err| SdError::other(format!("reading OCI {what} {file:?}: {err}")))
        };
        let file = &self.key_file;
        let key = read("key file", file)?;
        let passphrase = match &self.key_passphrase_file {
            Some(file) => String::from_utf8_lossy(&read("key passphrase file", file)?)
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => self.key_passphrase.expose().to_owned(),
        };
        if passphrase.is_empty() {
            return Ok(key);
        }
        decrypted(&key, &passphrase).map_err(|why| SdError::other(format!("OCI key file {file:?}: {why}")))
    }
}

/// Below which domain a region's services live.
fn domain_of(region: &str) -> &'static str {
    match region {
        "us-langley-1" | "us-luke-1" => "oraclegovcloud.com",
        region if region.starts_with("us-gov-") => "oraclegovcloud.com",
        region if region.starts_with("uk-gov-") => "oraclegovcloud.uk",
        _ => "oraclecloud.com",
    }
}

impl Kind for Config {
    const NAME: &'static str = "oci";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        if let Credential::ApiKey(key) = &mut self.credential {
            key.key_file = dir.join(&key.key_file);
            key.key_passphrase_file.iter_mut().for_each(|file| *file = dir.join(&*file));
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let oci = Oci::new(self, Arc::clone(&context.dir), Arc::clone(&context.clock))?;
        Ok(refreshing(context, self.refresh_interval, oci))
    }
}

#[derive(Debug)]
struct Oci {
    config: Config,
    api: Api,
    dir: Arc<dyn Dir>,
    clock: Arc<dyn Clock>,
    n_asked: usize,
    /// Of a machine that asks for itself.
    session: Option<Session>,
}

/// What requests are signed with.
struct Signed<'a> {
    key_id: &'a str,
    key_pem: &'a [u8],
}

impl Signed<'_> {
    /// Puts the signature of `fields`, `date` among them, into the headers, as in Oracle's «Request Signatures».
    fn put(&self, request: &mut Request, fields: &[(&str, String)]) -> Result<(), SdError> {
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        let signature =
            sign::rsa("RS256", self.key_pem, lines.join("\n").as_bytes()).map_err(SdError::other)?;
        let signed = format!(
            "Signature version=\"1\",keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{}\",signature=\"{}\"",
            self.key_id,
            names.join(" "),
            base64::engine::general_purpose::STANDARD.encode(signature)
        );
        let date = fields.iter().find(|(name, _)| *name == "date").map(|(_, date)| date.clone());
        for (name, value) in [(DATE, date.unwrap_or_default()), (AUTHORIZATION, signed)] {
            let mut value = HeaderValue::from_str(&value).map_err(SdError::other)?;
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }
}

/// As in the header `Date`.
fn date_of(now_ms: i64) -> String {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Path and query.
fn target_of(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

/// The key in `pem` without its passphrase; one that has none is returned as it is.
fn decrypted(pem: &[u8], passphrase: &str) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(pem).map_err(|_| "the key is not PEM".to_owned())?;
    if !text.contains("ENCRYPTED") {
        return Ok(pem.to_owned());
    }
    let (label, document) = SecretDocument::from_pem(text).map_err(|err| {
        format!(
            "the key is encrypted in another way than PKCS#8 ({err}): rewrite it (openssl pkcs8 -topk8 -v2 aes256 -in key.pem -out new.pem)"
        )
    })?;
    let sealed = EncryptedPrivateKeyInfo::try_from(document.as_bytes());
    let sealed = sealed.map_err(|err| format!("{label} cannot be read: {err}"))?;
    let opened = sealed.decrypt(passphrase).map_err(|_| "the passphrase does not open the key".to_owned())?;
    let plain = opened.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|err| err.to_string())?;
    Ok(plain.as_bytes().to_vec())
}

impl Oci {
    fn new(config: &Config, dir: Arc<dyn Dir>, clock: Arc<dyn Clock>) -> Result<Self, SdError> {
        let api = Api::new(&config.http, config.refresh_interval)?;
        Ok(Self { config: config.clone(), api, dir, clock, n_asked: 0, session: None })
    }

    /// Tenancy, name of the key and the key itself.
    async fn signer(&mut self) -> Result<(String, String, Vec<u8>), SdError> {
        match &self.config.credential {
            Credential::ApiKey(key) => {
                let key_id = format!("{}/{}/{}", key.tenancy, key.user, key.fingerprint);
                Ok((key.tenancy.clone(), key_id, key.pem(&*self.dir)?))
            }
            Credential::Machine(places) => {
                let now_ms = self.clock.now_ms();
                if !self.session.as_ref().is_some_and(|session| session.is_good(now_ms)) {
                    self.session = Some(Session::open(&self.api, places, now_ms).await?);
                }
                let session = self.session.clone().expect("opened above");
                Ok((session.tenancy, session.key_id, session.key_pem))
            }
        }
    }

    /// An answer, and the name of the next page.
    async fn get(&mut self, url: &Url) -> Result<(Value, String), SdError> {
        self.n_asked += 1;
        if self.n_asked > BURST {
            tokio::time::sleep(PAUSE).await;
        }
        let (_, key_id, key_pem) = self.signer().await?;
        let mut request = Request::get(url.clone());
        let fields = [
            ("date", date_of(self.clock.now_ms())),
            ("(request-target)", format!("get {}", target_of(url))),
            ("host", url[Position::BeforeHost..Position::AfterPort].to_owned()),
        ];
        Signed { key_id: &key_id, key_pem: &key_pem }.put(&mut request, &fields)?;
        let response = self.api.send(request).await?;
        Ok((json(url, &response)?, response.header(&HeaderName::from_static("opc-next-page")).to_owned()))
    }

    /// All pages of a list.
    async fn list(&mut self, base: &str, name: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, SdError> {
        let mut all = Vec::new();
        let mut page = String::new();
        for _ in 0..PAGES_MAX {
            let mut url = Url::parse(&format!("{base}{name}")).map_err(SdError::other)?;
            url.query_pairs_mut().extend_pairs(query).append_pair("limit", "100");
            if !page.is_empty() {
                url.query_pairs_mut().append_pair("page", &page);
            }
            let (answer, next) = self.get(&url).await?;
            all.extend_from_slice(items(&answer, ""));
            page = next;
            if page.is_empty() {
                return Ok(all);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {name}")))
    }

    /// Those configured, or all that can be reached from the tenancy's root.
    async fn compartments(&mut self, tenancy: &str) -> Vec<String> {
        if !self.config.compartments.is_empty() {
            return self.config.compartments.clone();
        }
        let identity = self.config.identity.clone();
        let mut queue = VecDeque::from([tenancy.to_owned()]);
        let (mut known, mut all) = (HashSet::new(), Vec::new());
        while let Some(id) = queue.pop_front() {
            if !known.insert(id.clone()) {
                continue;
            }
            let query = [
                ("compartmentId", id.as_str()),
                ("accessLevel", "ACCESSIBLE"),
                ("compartmentIdInSubtree", "false"),
            ];
            match self.list(&identity, "compartments", &query).await {
                Ok(children) => {
                    let active = children.iter().filter(|child| text(child, "/lifecycleState") == "ACTIVE");
                    queue.extend(active.map(|child| text(child, "/id")).filter(|id| !id.is_empty()));
                }
                Err(error) => {
                    tracing::warn!(compartment = id, error = %error, "compartments below cannot be listed and are left out");
                }
            }
            all.push(id);
        }
        all
    }

    /// The interface that is an instance's first one.
    async fn primary_vnic(&mut self, instance: &Value) -> Result<Value, SdError> {
        let compute = self.config.compute.clone();
        let (compartment, id) = (text(instance, "/compartmentId"), text(instance, "/id"));
        let query = [("compartmentId", compartment.as_str()), ("instanceId", &id)];
        for attachment in self.list(&compute, "vnicAttachments", &query).await? {
            let vnic = text(&attachment, "/vnicId");
            if vnic.is_empty() || text(&attachment, "/lifecycleState") != "ATTACHED" {
                continue;
            }
            let url = Url::parse(&compute).map_err(SdError::other)?;
            let (vnic, _) = self.get(&crate::http::with_path(&url, ["vnics", &vnic])?).await?;
            if vnic.pointer("/isPrimary").and_then(Value::as_bool) == Some(true) {
                return Ok(vnic);
            }
        }
        Ok(Value::Null)
    }

    /// `None` for an instance without addresses.
    fn target(&self, tenancy: &str, instance: &Value, vnic: &Value) -> Option<Labels> {
        let mut ipv6 = texts(vnic, "/ipv6Addresses");
        ipv6.sort();
        let addresses = [text(vnic, "/privateIp"), text(vnic, "/publicIp")];
        let address = addresses.iter().chain(&ipv6).find(|address| !address.is_empty())?;
        let mut target = Target::new("__meta_oci_");
        target.take(
            instance,
            &[
                ("instance_id", "/id"),
                ("instance_name", "/displayName"),
                ("instance_state", "/lifecycleState"),
                ("instance_shape", "/shape"),
                ("availability_domain", "/availabilityDomain"),
                ("fault_domain", "/faultDomain"),
                ("region", "/region"),
                ("compartment_id", "/compartmentId"),
                ("image_id", "/imageId"),
            ],
        );
        let of_vnic = [
            ("vnic_id", "/id"),
            ("private_ip", "/privateIp"),
            ("public_ip", "/publicIp"),
            ("hostname_label", "/hostnameLabel"),
        ];
        target.take(vnic, &of_vnic).set("tenancy_id", tenancy).list("ipv6_addresses", &ipv6);
        for (name, value) in pairs(instance, "/freeformTags") {
            target.tag("tag_", name, value.as_str().unwrap_or_default());
        }
        for (space, tags) in pairs(instance, "/definedTags") {
            for (name, value) in pairs(tags, "") {
                let value = match value {
                    // All numbers of JSON are floats to Go.
                    Value::Number(number) => {
                        number.as_f64().map_or_else(String::new, |number| number.to_string())
                    }
                    value => text(value, ""),
                };
                target.set(&format!("defined_tag_{}_{}", sanitized(space), sanitized(name)), value);
            }
        }
        Some(target.address(address, self.config.port).build())
    }
}

impl Provider for Oci {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        self.n_asked = 0;
        let compute = self.config.compute.clone();
        let (tenancy, ..) = self.signer().await?;
        let mut targets = Vec::new();
        for compartment in self.compartments(&tenancy).await {
            let instances = self.list(&compute, "instances", &[("compartmentId", &compartment)]).await;
            let instances = instances.map_err(|err| {
                SdError::other(format!("listing OCI instances in compartment {compartment}: {err}"))
            })?;
            for instance in &instances {
                match self.primary_vnic(instance).await {
                    Ok(vnic) => targets.extend(self.target(&tenancy, instance, &vnic)),
                    Err(error) => {
                        let id = text(instance, "/id");
                        tracing::warn!(instance = id, error = %error, "an instance's addresses cannot be read; it is left out");
                    }
                }
            }
        }
        Ok(vec![TargetGroup::new("OCI", targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    fn oci(fake: &Fake, more: &str) -> Oci {
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/src/auth/testdata/rsa.pem");
        let text = format!("{{tenancy: t, user: u, fingerprint: f, key_file: '{key}', region: r{more}}}");
        let mut config: Config = fake::config(&text).unwrap();
        (config.compute, config.identity) = (fake.url.to_string(), fake.url.to_string());
        let dir = Arc::new(stdx::dir::DiskDir::anywhere());
        Oci::new(&config, dir, Arc::new(stdx::clock::TestClock::new())).unwrap()
    }

    #[tokio::test]
    async fn instances_of_all_compartments_become_targets() {
        let instance = r#"[{"id": "i1", "compartmentId": "c1", "displayName": "web", "lifecycleState": "RUNNING", "shape": "VM.1", "availabilityDomain": "AD-1",
            "faultDomain": "FD-1", "region": "r", "imageId": "img", "freeformTags": {"a-b": "c"}, "definedTags": {"Ops": {"Cost": 42, "x": null}}}]"#;
        let vnic = r#"{"id": "v1", "isPrimary": true, "privateIp": "10.0.0.2", "publicIp": "1.2.3.4", "hostnameLabel": "web",
            "ipv6Addresses": ["2001:db8::2", "2001:db8::1"]}"#;
        let sub =
            r#"[{"id": "c1", "lifecycleState": "ACTIVE"}, {"id": "gone", "lifecycleState": "DELETED"}]"#;
        let below = "accessLevel=ACCESSIBLE&compartmentIdInSubtree=false&limit=100";
        let fake = Fake::start(&[
            (&format!("/compartments?compartmentId=t&{below}"), sub),
            ("/instances?compartmentId=t&limit=100&page=two", "[]"),
            ("/instances?compartmentId=c1&limit=100", instance),
            (
                "/vnicAttachments?compartmentId=c1&instanceId=i1&limit=100",
                r#"[{"vnicId": "v1", "lifecycleState": "ATTACHED"}]"#,
            ),
            ("/vnics/v1", vnic),
        ])
        .await;
        fake.answer("/instances?compartmentId=t&limit=100", 200, &[("opc-next-page", "two")], "[]");
        let expected = concat!(
            r#"{__address__="10.0.0.2:80", __meta_oci_availability_domain="AD-1", __meta_oci_compartment_id="c1", __meta_oci_defined_tag_Ops_Cost="42", "#,
            r#"__meta_oci_fault_domain="FD-1", __meta_oci_hostname_label="web", __meta_oci_image_id="img", __meta_oci_instance_id="i1", "#,
            r#"__meta_oci_instance_name="web", __meta_oci_instance_shape="VM.1", __meta_oci_instance_state="RUNNING", "#,
            r#"__meta_oci_ipv6_addresses=",2001:db8::1,2001:db8::2,", __meta_oci_private_ip="10.0.0.2", __meta_oci_public_ip="1.2.3.4", "#,
            r#"__meta_oci_region="r", __meta_oci_tag_a_b="c", __meta_oci_tenancy_id="t", __meta_oci_vnic_id="v1"}"#,
        );
        assert_eq!(fake::labels(&oci(&fake, "").refresh().await.unwrap()), [expected]);
        let headers = fake.asked()[0].headers.clone();
        assert_eq!(headers["date"], "Wed, 01 Jan 2025 00:00:00 GMT");
        let signed = headers["authorization"].to_str().unwrap();
        assert!(
            signed.starts_with("Signature version=\"1\",keyId=\"t/u/f\",algorithm=\"rsa-sha256\","),
            "{signed}"
        );
        fake.answer("/instances?compartmentId=c1&limit=100", 429, &[], "slow down");
        let err = oci(&fake, ", compartments: [c1]").refresh().await.unwrap_err().to_string();
        assert!(err.starts_with("listing OCI instances in compartment c1: "), "{err}");
    }

    #[tokio::test]
    async fn a_key_may_have_a_passphrase() {
        let sealed = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kinds/testdata/oci-encrypted.pem");
        let fake = Fake::start(&[("/instances?compartmentId=c&limit=100", "[]")]).await;
        let signed = async |more: &str| {
            let mut oci = oci(&fake, &format!(", compartments: [c]{more}"));
            let Credential::ApiKey(key) = &mut oci.config.credential else { panic!("a key by default") };
            key.key_file = sealed.into();
            oci.refresh().await?;
            Ok::<_, SdError>(fake.asked().pop().unwrap().headers["authorization"].clone())
        };
        let mut plain = oci(&fake, ", compartments: [c]");
        plain.refresh().await.unwrap();
        let expected = fake.asked().pop().unwrap().headers["authorization"].clone();
        assert_eq!(signed(", key_passphrase: hunter2").await.unwrap(), expected);
        let file = tempfile::NamedTempFile::new().unwrap();
        stdx::DiskDir::anywhere().write_atomic(file.path(), b"hunter2\n").unwrap();
        let of_file = format!(", key_passphrase_file: '{}'", file.path().display());
        assert_eq!(signed(&of_file).await.unwrap(), expected);
        let why = signed(", key_passphrase: wrong").await.unwrap_err().to_string();
        assert!(why.ends_with("the passphrase does not open the key"), "{why}");
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(decrypted(old.as_bytes(), "x").unwrap_err().contains("openssl pkcs8 -topk8"));
    }

    #[tokio::test]
    async fn a_machine_asks_for_itself() {
        let (leaf, key) = (
            include_str!("testdata/oci-instance.pem"),
            include_str!("../../../net/src/auth/testdata/rsa.pem"),
        );
        // Ends 400 s after the test's clock begins: good at first, renewed after more than 100 s.
        let token = |end: i64| {
            let claims = format!(r#"{{"exp": {end}}}"#);
            format!("h.{}.s", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
        };
        let answer = |end: i64| format!(r#"{{"token": "{}"}}"#, token(end));
        let fake = Fake::start(&[
            ("/instance/region", "phx"),
            ("/identity/cert.pem", leaf),
            ("/identity/intermediate.pem", leaf),
            ("/identity/key.pem", key),
            ("/v1/x509", &answer(1_735_690_000)),
            ("/instances?compartmentId=c&limit=100", "[]"),
        ])
        .await;
        let mut config: Config =
            fake::config("{region: us-phoenix-1, auth: instance_principal, compartments: [c]}").unwrap();
        (config.compute, config.identity) = (fake.url.to_string(), fake.url.to_string());
        config.credential = Credential::Machine(principal::Places {
            metadata: fake.url.to_string(),
            federation: fake.url.to_string(),
        });
        let clock = Arc::new(stdx::clock::TestClock::new());
        let dir = Arc::new(stdx::dir::DiskDir::anywhere());
        let mut oci = Oci::new(&config, dir, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        oci.refresh().await.unwrap();
        oci.refresh().await.unwrap();
        let paths = |fake: &Fake| fake.asked().into_iter().map(|asked| asked.path).collect::<Vec<_>>();
        let (list, ask) = ("/instances?compartmentId=c&limit=100", "/v1/x509");
        let first = [
            "/instance/region",
            "/identity/cert.pem",
            "/identity/intermediate.pem",
            "/identity/key.pem",
            ask,
        ];
        assert_eq!(paths(&fake), [first.as_slice(), &[list, list]].concat());
        let asked = fake.asked();
        assert_eq!(asked[0].headers["authorization"], "Bearer Oracle");
        let body: Value = serde_json::from_slice(&asked[4].body).unwrap();
        assert_eq!(body["fingerprintAlgorithm"], "SHA256");
        assert!(leaf.replace('\n', "").contains(body["certificate"].as_str().unwrap()));
        let signed = asked[4].headers["authorization"].to_str().unwrap();
        let by = "keyId=\"ocid1.tenancy.oc1..aaaa/fed-x509-sha256/";
        assert!(
            signed.contains(by) && signed.contains("content-length content-type x-content-sha256"),
            "{signed}"
        );
        let signed = asked[5].headers["authorization"].to_str().unwrap();
        assert!(signed.contains(&format!("keyId=\"ST${}\"", token(1_735_690_000))), "{signed}");
        clock.advance_ms(200_000);
        fake.answer("/v1/x509", 200, &[], &answer(1_735_693_600));
        oci.refresh().await.unwrap();
        assert_eq!(paths(&fake).iter().filter(|path| *path == ask).count(), 2);
        fake.answer("/identity/cert.pem", 404, &[], "");
        clock.advance_ms(10_000_000);
        let why = oci.refresh().await.unwrap_err().to_string();
        assert!(why.ends_with("auth: instance_principal is for machines of Oracle's cloud"), "{why}");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "oci_sd: region is required"),
            ("{region: r}", "oci_sd: api_key auth requires tenancy"),
            (
                "{region: r, auth: x}",
                "oci_sd: unknown auth method \"x\", expected \"api_key\" or \"instance_principal\"",
            ),
            (
                "{region: r, tenancy: t, user: u, fingerprint: f, key_file: k, key_passphrase: p, key_passphrase_file: f}",
                "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured",
            ),
            (
                "{region: r, auth: instance_principal, user: u}",
                "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set",
            ),
            (
                "{region: r, tenancy: t, user: u, fingerprint: f, key_file: k, compartments: [a, '']}",
                "oci_sd: compartments[1] must not be empty",
            ),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
        }
    }
}
