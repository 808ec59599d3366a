//! `sigv4`: AWS keys from wherever AWS' own tools find them, and requests signed with them.
//!
//! In from configuration, environment, the shared files, the security token service and the metadata services of containers and machines;
//! out to [`super::Authorizer`]. Order and names from «AWS SDKs and Tools Reference Guide», checks from Prometheus' `sigv4`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use stdx::dir::Dir;
use url::Url;

use super::token::Ends;
use super::{Surroundings, failed, sigv4};
use crate::Secret;
use crate::client::{Request, status_error};
use crate::error::{BuildError, HttpError};
use crate::secret::{read_secret, secret_value};

const WAY: &str = "sigv4";
/// What remote writes are signed for unless told otherwise: Amazon Managed Service for Prometheus.
const SERVICE: &str = "aps";
/// Of one request to a metadata service; there is none on most machines. Chosen.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// Keys are renewed this much before they end. From Prometheus' `sigv4`; ten seconds more come from [`super::token`].
const MARGIN: Duration = Duration::from_secs(20);
/// Profiles that name each other. Chosen.
const PROFILES_MAX: usize = 5;

/// How requests to AWS are signed. What is not given is looked for as AWS' own tools do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Keys")]
#[expect(missing_docs, reason = "named as in the file, explained in the user's handbook")]
pub struct SigV4Config {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access_key: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub secret_key: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_fips_sts_endpoint: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    region: Option<String>,
    access_key: Option<String>,
    secret_key: Secret,
    profile: Option<String>,
    role_arn: Option<String>,
    external_id: Option<String>,
    use_fips_sts_endpoint: Option<bool>,
    service_name: Option<String>,
}

impl TryFrom<Keys> for SigV4Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let config = Self {
            region: keys.region.unwrap_or_default(),
            access_key: keys.access_key.unwrap_or_default(),
            secret_key: keys.secret_key,
            profile: keys.profile.unwrap_or_default(),
            role_arn: keys.role_arn.unwrap_or_default(),
            external_id: keys.external_id.unwrap_or_default(),
            use_fips_sts_endpoint: keys.use_fips_sts_endpoint.unwrap_or(false),
            service_name: keys.service_name.unwrap_or_default(),
        };
        if config.access_key.is_empty() != config.secret_key.is_empty() {
            return Err(
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in \
                        the SigV4 config"
                    .to_owned(),
            );
        }
        if !config.external_id.is_empty() && config.role_arn.is_empty() {
            return Err("external_id can only be used with role_arn".to_owned());
        }
        Ok(config)
    }
}

/// Keys as AWS gives them out.
#[derive(Clone)]
pub(crate) struct Credentials {
    access_key: String,
    secret_key: String,
    session_token: String,
    lasts: Option<Duration>,
}

impl Ends for Credentials {
    fn lasts(&self) -> Option<Duration> {
        self.lasts.map(|lasts| lasts.saturating_sub(MARGIN))
    }
}

impl Credentials {
    fn fixed(access_key: &str, secret_key: &str, session_token: &str) -> Self {
        let own = str::to_owned;
        Self {
            access_key: own(access_key),
            secret_key: own(secret_key),
            session_token: own(session_token),
            lasts: None,
        }
    }

    /// As the metadata services write them.
    fn from_json(body: &[u8], now_ms: i64) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            access_key_id: String,
            secret_access_key: String,
            #[serde(default)]
            token: String,
            #[serde(default)]
            expiration: String,
        }
        let answer: Answer =
            serde_json::from_slice(body).map_err(|err| format!("its answer has no keys: {err}"))?;
        let mut keys = Self::fixed(&answer.access_key_id, &answer.secret_access_key, &answer.token);
        keys.lasts = until(&answer.expiration, now_ms);
        Ok(keys)
    }

    /// As the security token service writes them.
    fn from_xml(body: &[u8], now_ms: i64) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|err| err.to_string())?;
        let doc = roxmltree::Document::parse(text).map_err(|err| format!("its answer is not XML: {err}"))?;
        let text = |name: &str| {
            let node = doc.descendants().find(|node| node.has_tag_name_any(name));
            node.and_then(|node| node.text()).unwrap_or_default()
        };
        if text("AccessKeyId").is_empty() || text("SecretAccessKey").is_empty() {
            return Err("its answer has no keys".to_owned());
        }
        let mut keys = Self::fixed(text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken"));
        keys.lasts = until(text("Expiration"), now_ms);
        Ok(keys)
    }
}

/// Elements by name, whatever their namespace.
trait AnyNamespace {
    fn has_tag_name_any(&self, name: &str) -> bool;
}

impl AnyNamespace for roxmltree::Node<'_, '_> {
    fn has_tag_name_any(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// How long until an RFC 3339 time.
fn until(time: &str, now_ms: i64) -> Option<Duration> {
    let end: jiff::Timestamp = time.parse().ok()?;
    Some(Duration::from_millis(u64::try_from(end.as_millisecond() - now_ms).unwrap_or(0)))
}

/// The shared files: profiles with their settings.
#[derive(Debug, Default)]
struct Profiles(BTreeMap<String, BTreeMap<String, String>>);

impl Profiles {
    fn read(around: &Surroundings) -> Self {
        let home = around.var("HOME").map(PathBuf::from).unwrap_or_default();
        let mut profiles = Self::default();
        let places =
            [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")];
        for (name, usual) in places {
            let path = around.var(name).map_or_else(|| home.join(usual), PathBuf::from);
            if let Ok(bytes) = around.dir.read(&path) {
                profiles.add(&String::from_utf8_lossy(&bytes));
            }
        }
        profiles
    }

    /// What stands in the file with keys wins over the file with settings, which is read first.
    fn add(&mut self, text: &str) {
        let mut section: Option<String> = None;
        for line in text.lines() {
            if let Some(header) = line.trim().strip_prefix('[') {
                let name = header.split(']').next().unwrap_or_default().trim();
                section = Some(name.strip_prefix("profile ").unwrap_or(name).trim().to_owned());
            } else if let (Some(section), Some((key, value))) = (&section, line.split_once('='))
                && !line.starts_with(['#', ';', ' ', '\t'])
            {
                let value = value.split(" #").next().unwrap_or_default().trim().to_owned();
                let of_section = self.0.entry(section.clone()).or_default();
                of_section.insert(key.trim().to_ascii_lowercase(), value);
            }
        }
    }

    fn get(&self, profile: &str, key: &str) -> &str {
        self.0.get(profile).and_then(|section| section.get(key)).map_or("", String::as_str)
    }
}

fn profile_of(config: &SigV4Config, around: &Surroundings) -> String {
    let own = Some(config.profile.clone()).filter(|name| !name.is_empty());
    own.or_else(|| around.var("AWS_PROFILE")).unwrap_or_else(|| "default".to_owned())
}

/// What configuration, environment and shared files say; empty when they say nothing.
fn known_region(config: &SigV4Config, around: &Surroundings) -> String {
    Some(config.region.clone())
        .filter(|region| !region.is_empty())
        .or_else(|| around.var("AWS_REGION"))
        .or_else(|| around.var("AWS_DEFAULT_REGION"))
        .unwrap_or_else(|| Profiles::read(around).get(&profile_of(config, around), "region").to_owned())
}

/// The region to ask, for discovery: as [`known_region`], else the one this machine stands in.
///
/// # Errors
/// When nobody knows.
pub async fn aws_region(config: &SigV4Config) -> Result<String, HttpError> {
    let around = Surroundings::new(&crate::config::HttpClientConfig::default())?;
    region_in(config, &around).await
}

pub(super) async fn region_in(config: &SigV4Config, around: &Surroundings) -> Result<String, HttpError> {
    let region = known_region(config, around);
    if !region.is_empty() {
        return Ok(region);
    }
    let machine = Machine::open(around).await?;
    Ok(String::from_utf8_lossy(&machine.get(around, "meta-data/placement/region").await?).trim().to_owned())
}

/// Signs.
pub(crate) struct Signer {
    config: SigV4Config,
    region: String,
}

impl Signer {
    /// Finds the region, which must be known from the start.
    pub(crate) fn new(config: &SigV4Config, around: &Surroundings) -> Result<Self, BuildError> {
        let region = known_region(config, around);
        if region.is_empty() {
            return Err(BuildError::Invalid {
                what: WAY,
                reason: "region not configured in sigv4 or in default credentials chain".to_owned(),
            });
        }
        Ok(Self { config: config.clone(), region })
    }

    /// Adds the signature to `headers`.
    pub(crate) fn sign(
        &self,
        keys: &Credentials,
        now_ms: i64,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), HttpError> {
        let service = if self.config.service_name.is_empty() { SERVICE } else { &self.config.service_name };
        let scope = sigv4::Scope {
            access_key: &keys.access_key,
            secret_key: &keys.secret_key,
            session_token: &keys.session_token,
            region: &self.region,
            service,
        };
        sigv4::sign(&scope, now_ms, method, url, headers, body)
            .map_err(|_| HttpError::Invalid("sigv4: the keys have characters HTTP forbids".to_owned()))
    }

    /// Keys, from wherever there are any, changed for those of the role when one is given.
    pub(crate) async fn credentials(&self, around: &Surroundings) -> Result<Credentials, HttpError> {
        let keys = self.own_credentials(around).await?;
        if self.config.role_arn.is_empty() {
            return Ok(keys);
        }
        self.assume(around, &keys, &self.config.role_arn, &self.config.external_id).await
    }

    async fn own_credentials(&self, around: &Surroundings) -> Result<Credentials, HttpError> {
        let config = &self.config;
        if !config.access_key.is_empty() {
            return Ok(Credentials::fixed(&config.access_key, config.secret_key.expose(), ""));
        }
        if config.profile.is_empty() && around.var("AWS_PROFILE").is_none() {
            let env = |name| around.var(name).unwrap_or_default();
            let (access, secret) = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"));
            if !access.is_empty() && !secret.is_empty() {
                return Ok(Credentials::fixed(&access, &secret, &env("AWS_SESSION_TOKEN")));
            }
            if let Some(file) = around.var("AWS_WEB_IDENTITY_TOKEN_FILE") {
                let session = around.var("AWS_ROLE_SESSION_NAME");
                return self.web_identity(around, &file, &env("AWS_ROLE_ARN"), session).await;
            }
        }
        let profiles = Profiles::read(around);
        let profile = profile_of(config, around);
        if let Some(keys) = self.of_profile(around, &profiles, &profile).await? {
            return Ok(keys);
        }
        if !config.profile.is_empty() && !profiles.0.contains_key(&profile) {
            return Err(failed(WAY, "the shared files", format!("there is no profile {profile:?} in them")));
        }
        if let Some(keys) = of_container(around).await? {
            return Ok(keys);
        }
        of_machine(around).await
    }

    /// Keys of a profile; of one that assumes roles, through the profile it names.
    async fn of_profile(
        &self,
        around: &Surroundings,
        profiles: &Profiles,
        profile: &str,
    ) -> Result<Option<Credentials>, HttpError> {
        let mut roles = Vec::new();
        let mut at = profile.to_owned();
        let mut found = None;
        for _ in 0..PROFILES_MAX {
            let get = |key| profiles.get(&at, key).to_owned();
            for key in ["credential_process", "sso_session", "sso_start_url"] {
                if !get(key).is_empty() {
                    let reason =
                        format!("{key} of profile {at:?} is not served: use keys, a role or the environment");
                    return Err(failed(WAY, "the shared files", reason));
                }
            }
            let (access, secret) = (get("aws_access_key_id"), get("aws_secret_access_key"));
            let role = get("role_arn");
            if !role.is_empty() && !get("web_identity_token_file").is_empty() {
                let session = Some(get("role_session_name")).filter(|name| !name.is_empty());
                found =
                    Some(self.web_identity(around, &get("web_identity_token_file"), &role, session).await?);
                break;
            }
            if !role.is_empty() && (at != get("source_profile") || access.is_empty()) {
                roles.push((role, get("external_id")));
                match get("credential_source").as_str() {
                    "" => {}
                    "Environment" => {
                        let env = |name| around.var(name).unwrap_or_default();
                        found = Some(Credentials::fixed(
                            &env("AWS_ACCESS_KEY_ID"),
                            &env("AWS_SECRET_ACCESS_KEY"),
                            &env("AWS_SESSION_TOKEN"),
                        ));
                        break;
                    }
                    "EcsContainer" => {
                        found = of_container(around).await?;
                        break;
                    }
                    "Ec2InstanceMetadata" => {
                        found = Some(of_machine(around).await?);
                        break;
                    }
                    other => {
                        let reason = format!("credential_source {other:?} of profile {at:?} is not known");
                        return Err(failed(WAY, "the shared files", reason));
                    }
                }
                at = get("source_profile");
                continue;
            }
            if !access.is_empty() {
                found = Some(Credentials::fixed(&access, &secret, &get("aws_session_token")));
            }
            break;
        }
        let Some(mut keys) = found else { return Ok(None) };
        for (role, external_id) in roles.iter().rev() {
            keys = self.assume(around, &keys, role, external_id).await?;
        }
        Ok(Some(keys))
    }

    fn sts_url(&self, around: &Surroundings) -> String {
        let own = around.var("AWS_ENDPOINT_URL_STS").or_else(|| around.var("AWS_ENDPOINT_URL"));
        own.unwrap_or_else(|| {
            let name = if self.config.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
            format!("https://{name}.{}.{}/", self.region, dns_suffix(&self.region))
        })
    }

    /// Keys of a role, asked for with `keys`.
    async fn assume(
        &self,
        around: &Surroundings,
        keys: &Credentials,
        role: &str,
        external_id: &str,
    ) -> Result<Credentials, HttpError> {
        let session = format!("hinomi-{}", around.clock.now_ms());
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", &session),
        ];
        if !external_id.is_empty() {
            form.push(("ExternalId", external_id));
        }
        self.ask_sts(around, &form, Some(keys)).await
    }

    /// Keys of a role, asked for with a token that lies in a file (IAM roles for service accounts).
    async fn web_identity(
        &self,
        around: &Surroundings,
        file: &str,
        role: &str,
        session: Option<String>,
    ) -> Result<Credentials, HttpError> {
        let token = read_secret(&around.dir, "web identity token", Path::new(file))?;
        let session = session.unwrap_or_else(|| format!("hinomi-{}", around.clock.now_ms()));
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", &session),
            ("WebIdentityToken", &token),
        ];
        self.ask_sts(around, &form, None).await
    }

    async fn ask_sts(
        &self,
        around: &Surroundings,
        form: &[(&str, &str)],
        keys: Option<&Credentials>,
    ) -> Result<Credentials, HttpError> {
        let text = self.sts_url(around);
        let url = Url::parse(&text).map_err(|err| failed(WAY, text.as_str(), err))?;
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(url, "application/x-www-form-urlencoded", Bytes::from(body));
        let now_ms = around.clock.now_ms();
        if let Some(keys) = keys {
            let own = SigV4Config { service_name: "sts".to_owned(), ..SigV4Config::default() };
            let signer = Self { config: own, region: self.region.clone() };
            let Request { method, url, headers, body } = &mut request;
            signer.sign(keys, now_ms, method, url, headers, body)?;
        }
        let response = around.ask(request).await.map_err(|err| failed(WAY, text.as_str(), err))?;
        if !response.status.is_success() {
            let body = String::from_utf8_lossy(&response.body).into_owned();
            let message = body.split("<Message>").nth(1).and_then(|rest| rest.split("</Message>").next());
            let reason = format!("{}: {}", status_error(response.status), message.unwrap_or_default());
            return Err(failed(WAY, text, reason));
        }
        Credentials::from_xml(&response.body, now_ms).map_err(|err| failed(WAY, text, err))
    }
}

/// Below which domain a region's services live.
#[must_use]
pub fn dns_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

async fn metadata(around: &Surroundings, request: Request) -> Result<Bytes, HttpError> {
    let from = request.url.to_string();
    let response =
        around.ask_within(request, METADATA_TIMEOUT).await.map_err(|err| failed(WAY, from.as_str(), err))?;
    match response.status.is_success() {
        true => Ok(response.body),
        false => Err(failed(WAY, from, status_error(response.status))),
    }
}

/// Keys of the task or pod this process runs in; `None` when it runs in none.
async fn of_container(around: &Surroundings) -> Result<Option<Credentials>, HttpError> {
    let url = match around.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("http://169.254.170.2{path}"),
        None => match around.var("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(url) => url,
            None => return Ok(None),
        },
    };
    let mut request = Request::get(Url::parse(&url).map_err(|err| failed(WAY, url.as_str(), err))?);
    let token = match around.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read_secret(&around.dir, "container authorization token", Path::new(&file))?),
        None => around.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        request.headers.insert(AUTHORIZATION, secret_value(&token)?);
    }
    let body = metadata(around, request).await?;
    Credentials::from_json(&body, around.clock.now_ms()).map(Some).map_err(|err| failed(WAY, url, err))
}

/// The metadata service of the machine this process runs on, in its second version.
struct Machine {
    base: String,
    session: HeaderValue,
}

impl Machine {
    async fn open(around: &Surroundings) -> Result<Self, HttpError> {
        if around.var("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            let places = "the configuration, the environment and the shared files";
            return Err(failed(WAY, places, "there are none"));
        }
        let base = around.var("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let base = format!("{}/latest/", base.trim_end_matches('/'));
        let mut request = Request { method: Method::PUT, ..Request::get(url_of(&base, "api/token")?) };
        let seconds = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
        request.headers.insert(seconds, HeaderValue::from_static("21600"));
        let session = metadata(around, request).await?;
        Ok(Self { session: secret_value(String::from_utf8_lossy(&session).trim())?, base })
    }

    async fn get(&self, around: &Surroundings, path: &str) -> Result<Bytes, HttpError> {
        let mut request = Request::get(url_of(&self.base, path)?);
        request.headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token"), self.session.clone());
        metadata(around, request).await
    }
}

fn url_of(base: &str, path: &str) -> Result<Url, HttpError> {
    let text = format!("{base}{path}");
    Url::parse(&text).map_err(|err| failed(WAY, text, err))
}

/// Keys of the machine this process runs on.
async fn of_machine(around: &Surroundings) -> Result<Credentials, HttpError> {
    let machine = Machine::open(around).await?;
    let folder = "meta-data/iam/security-credentials/";
    let roles = machine.get(around, folder).await?;
    let roles = String::from_utf8_lossy(&roles);
    let role = roles.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(failed(WAY, machine.base, "the machine has no role"));
    }
    let body = machine.get(around, &format!("{folder}{role}")).await?;
    Credentials::from_json(&body, around.clock.now_ms()).map_err(|err| failed(WAY, machine.base, err))
}
