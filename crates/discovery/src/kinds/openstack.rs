//! `openstack_sd_configs`: instances, hypervisors and load balancers of OpenStack.
//!
//! Identity API v3 (tokens), Compute API v2.1, Networking API v2.0, Load-balancing API v2.0. The service catalogue that comes with a token says
//! where the others are.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use http::header::{HeaderName, HeaderValue};
use model::{Duration, Labels};
use net::{HttpClientConfig, Request, Secret, TlsConfig};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::Kind;
use super::cloud::{Target, items, pairs, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX, bad_answer, require_success, with_path};

/// One element of `openstack_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    account: Account,
    role: Role,
    region: String,
    port: u16,
    all_tenants: bool,
    availability: String,
    refresh_interval: Duration,
    tls: Option<TlsConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Instance,
    Hypervisor,
    LoadBalancer,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Default)]
struct Account {
    identity_endpoint: String,
    username: String,
    userid: String,
    password: Secret,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    credential_name: String,
    credential_id: String,
    credential_secret: Secret,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    identity_endpoint: String,
    username: String,
    userid: String,
    password: Secret,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    application_credential_name: String,
    application_credential_id: String,
    application_credential_secret: Secret,
    role: String,
    region: String,
    refresh_interval: Option<Duration>,
    port: Option<u16>,
    all_tenants: Option<bool>,
    tls_config: Option<TlsConfig>,
    #[serde(deserialize_with = "model::yaml::null_as_empty")]
    availability: Option<String>,
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let availability = keys.availability.unwrap_or_else(|| "public".to_owned());
        let role = match keys.role.as_str() {
            "instance" => Some(Role::Instance),
            "hypervisor" => Some(Role::Hypervisor),
            "loadbalancer" => Some(Role::LoadBalancer),
            "" => None,
            other => return Err(format!("unknown OpenStack SD role {other:?}")),
        };
        if !matches!(availability.as_str(), "public" | "internal" | "admin") {
            let known = "must be one of admin, internal or public";
            return Err(format!("unknown availability {availability}, {known}"));
        }
        let role = role.ok_or("role missing (one of: instance, hypervisor, loadbalancer)")?;
        if keys.region.is_empty() {
            return Err("openstack SD configuration requires a region".to_owned());
        }
        Ok(Self {
            account: Account {
                identity_endpoint: keys.identity_endpoint,
                username: keys.username,
                userid: keys.userid,
                password: keys.password,
                project_name: keys.project_name,
                project_id: keys.project_id,
                domain_name: keys.domain_name,
                domain_id: keys.domain_id,
                credential_name: keys.application_credential_name,
                credential_id: keys.application_credential_id,
                credential_secret: keys.application_credential_secret,
            },
            role,
            region: keys.region,
            port: keys.port.unwrap_or(80),
            all_tenants: keys.all_tenants.unwrap_or(false),
            availability,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            tls: keys.tls_config,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "openstack";

    fn set_directory(&mut self, dir: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.set_directory(dir);
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, OpenStack::new(self)?))
    }
}

impl Account {
    /// As OpenStack's own clients find it: `OS_AUTH_URL` and so on.
    fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Self, SdError> {
        let var = |names: &[&str]| names.iter().find_map(|name| env(name)).unwrap_or_default();
        let account = Self {
            identity_endpoint: var(&["OS_AUTH_URL"]),
            username: var(&["OS_USERNAME"]),
            userid: var(&["OS_USERID", "OS_USER_ID"]),
            password: Secret::new(var(&["OS_PASSWORD"])),
            project_name: var(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: var(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: var(&["OS_USER_DOMAIN_NAME", "OS_DOMAIN_NAME", "OS_PROJECT_DOMAIN_NAME"]),
            domain_id: var(&["OS_USER_DOMAIN_ID", "OS_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID"]),
            credential_name: var(&["OS_APPLICATION_CREDENTIAL_NAME"]),
            credential_id: var(&["OS_APPLICATION_CREDENTIAL_ID"]),
            credential_secret: Secret::new(var(&["OS_APPLICATION_CREDENTIAL_SECRET"])),
        };
        if account.identity_endpoint.is_empty() {
            return Err(SdError::other(
                "identity_endpoint is missing, and so is OS_AUTH_URL in the environment",
            ));
        }
        Ok(account)
    }

    /// The body that asks for a token.
    fn request(&self) -> Value {
        let domain = || match self.domain_id.is_empty() {
            true => json!({ "name": self.domain_name }),
            false => json!({ "id": self.domain_id }),
        };
        let has_domain = !self.domain_id.is_empty() || !self.domain_name.is_empty();
        let with_domain = |mut one: Value| {
            if has_domain {
                one["domain"] = domain();
            }
            one
        };
        let user = match self.userid.as_str() {
            "" => with_domain(json!({ "name": self.username })),
            id => json!({ "id": id }),
        };
        if !self.credential_secret.is_empty() {
            let secret = self.credential_secret.expose();
            let credential = match self.credential_id.as_str() {
                "" => json!({ "name": self.credential_name, "secret": secret, "user": user }),
                id => json!({ "id": id, "secret": secret }),
            };
            let identity =
                json!({ "methods": ["application_credential"], "application_credential": credential });
            return json!({ "auth": { "identity": identity } });
        }
        let mut user = user;
        user["password"] = self.password.expose().into();
        let mut auth = json!({ "identity": { "methods": ["password"], "password": { "user": user } } });
        if !self.project_id.is_empty() {
            auth["scope"] = json!({ "project": { "id": self.project_id } });
        } else if !self.project_name.is_empty() {
            auth["scope"] = json!({ "project": with_domain(json!({ "name": self.project_name })) });
        }
        json!({ "auth": auth })
    }
}

#[derive(Debug)]
struct OpenStack {
    config: Config,
    account: Account,
    api: Api,
}

/// A token, and where services are.
struct Session {
    token: HeaderValue,
    catalog: Value,
}

impl OpenStack {
    fn new(config: &Config) -> Result<Self, SdError> {
        let http = HttpClientConfig { tls_config: config.tls.clone(), ..HttpClientConfig::default() };
        let account = match config.account.identity_endpoint.is_empty() {
            true => Account::from_env(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?,
            false => config.account.clone(),
        };
        Ok(Self { config: config.clone(), account, api: Api::new(&http, config.refresh_interval)? })
    }

    async fn log_in(&self) -> Result<Session, SdError> {
        let base = Url::parse(&self.account.identity_endpoint).map_err(SdError::other)?;
        let has_version = base.path().trim_end_matches('/').ends_with("/v3");
        let path: &[&str] = if has_version { &["auth", "tokens"] } else { &["v3", "auth", "tokens"] };
        let url = with_path(&base, path.iter().copied())?;
        let request = Request::post(url.clone(), "application/json", self.account.request().to_string());
        let response = self.api.send(request).await?;
        let refused = |err| SdError::other(format!("could not authenticate to OpenStack: {err}"));
        require_success(&url, &response).map_err(refused)?;
        let token = response.headers.get("x-subject-token").cloned();
        let mut token = token.ok_or_else(|| bad_answer(&url, "the answer has no X-Subject-Token"))?;
        token.set_sensitive(true);
        Ok(Session { token, catalog: crate::http::json(&url, &response).map_err(refused)? })
    }

    /// Where a service is.
    fn endpoint(&self, session: &Session, kinds: &[&str]) -> Result<Url, SdError> {
        let services = items(&session.catalog, "/token/catalog").iter();
        let mut endpoints = services
            .filter(|service| kinds.contains(&text(service, "/type").as_str()))
            .flat_map(|service| items(service, "/endpoints"));
        let found = endpoints.find(|endpoint| {
            let region = [text(endpoint, "/region"), text(endpoint, "/region_id")];
            text(endpoint, "/interface") == self.config.availability && region.contains(&self.config.region)
        });
        let found = found.ok_or_else(|| {
            let Config { availability, region, .. } = &self.config;
            SdError::other(format!(
                "no {availability} endpoint for service {:?} in region {region:?}",
                kinds[0]
            ))
        })?;
        Url::parse(&text(found, "/url")).map_err(SdError::other)
    }

    /// All pages of a list.
    async fn list(&self, session: &Session, first: Url, key: &str) -> Result<Vec<Value>, SdError> {
        let mut all = Vec::new();
        let mut url = first;
        for _ in 0..PAGES_MAX {
            let mut request = Request::get(url.clone());
            request.headers.insert(HeaderName::from_static("x-auth-token"), session.token.clone());
            let answer: Value = crate::http::json(&url, &self.api.send(request).await?)?;
            all.extend_from_slice(items(&answer, &format!("/{key}")));
            let links = items(&answer, &format!("/{key}_links"));
            let Some(next) = links.iter().find(|link| text(link, "/rel") == "next") else { return Ok(all) };
            let next = url.join(&text(next, "/href")).map_err(SdError::other)?;
            // The token is for this host only.
            if next.host() != url.host() {
                return Err(bad_answer(&url, format!("the next page is at another host: {next}")));
            }
            url = next;
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {key}")))
    }

    async fn network(&self, session: &Session, name: &str) -> Result<Vec<Value>, SdError> {
        let base = self.endpoint(session, &["network"])?;
        self.list(session, with_path(&base, ["v2.0", name])?, name).await
    }

    async fn instances(&self, session: &Session) -> Result<Vec<Labels>, SdError> {
        let compute = self.endpoint(session, &["compute"])?;
        let ports: HashMap<String, String> = self
            .network(session, "ports")
            .await?
            .iter()
            .map(|port| (text(port, "/id"), text(port, "/device_id")))
            .collect();
        let (mut floating, mut known) = (HashMap::new(), HashSet::new());
        for ip in self.network(session, "floatingips").await? {
            let fixed = text(&ip, "/fixed_ip_address");
            if let Some(device) = ports.get(&text(&ip, "/port_id"))
                && !fixed.is_empty()
            {
                floating.insert((device.clone(), fixed), text(&ip, "/floating_ip_address"));
                known.insert(text(&ip, "/floating_ip_address"));
            }
        }
        let mut url = with_path(&compute, ["servers", "detail"])?;
        if self.config.all_tenants {
            url.set_query(Some("all_tenants=true"));
        }
        let mut targets = Vec::new();
        for server in self.list(session, url, "servers").await? {
            self.add_instance(&server, &floating, &known, &mut targets);
        }
        Ok(targets)
    }

    /// A target for each address of an instance that is not a floating one.
    fn add_instance(
        &self,
        server: &Value,
        floating: &HashMap<(String, String), String>,
        known: &HashSet<String>,
        targets: &mut Vec<Labels>,
    ) {
        let of_flavor = ["/flavor/original_name", "/flavor/id"].map(|place| text(server, place));
        let Some(flavor) = of_flavor.into_iter().find(|name| !name.is_empty()) else { return };
        for (pool, addresses) in pairs(server, "/addresses") {
            for address in items(addresses, "") {
                let ip = text(address, "/addr");
                if ip.is_empty() || known.contains(&ip) {
                    continue;
                }
                let mut target = Target::new("__meta_openstack_");
                target.take(
                    server,
                    &[
                        ("instance_id", "/id"),
                        ("instance_status", "/status"),
                        ("instance_name", "/name"),
                        ("instance_image", "/image/id"),
                        ("project_id", "/tenant_id"),
                        ("user_id", "/user_id"),
                    ],
                );
                for (name, value) in pairs(server, "/metadata") {
                    target.tag("tag_", name, value.as_str().unwrap_or_default());
                }
                target.set("instance_flavor", &flavor).set("address_pool", pool).set("private_ip", &ip);
                let public = floating.get(&(text(server, "/id"), ip.clone()));
                target.set("public_ip", public.map_or("", String::as_str));
                targets.push(target.address(&ip, self.config.port).build());
            }
        }
    }

    async fn hypervisors(&self, session: &Session) -> Result<Vec<Labels>, SdError> {
        let url = with_path(&self.endpoint(session, &["compute"])?, ["os-hypervisors", "detail"])?;
        let target = |hypervisor: &Value| {
            let mut target = Target::new("__meta_openstack_hypervisor_");
            target.take(
                hypervisor,
                &[
                    ("id", "/id"),
                    ("hostname", "/hypervisor_hostname"),
                    ("host_ip", "/host_ip"),
                    ("status", "/status"),
                    ("state", "/state"),
                    ("type", "/hypervisor_type"),
                ],
            );
            target.address(&text(hypervisor, "/host_ip"), self.config.port).build()
        };
        Ok(self.list(session, url, "hypervisors").await?.iter().map(target).collect())
    }

    /// Those with a listener that speaks `PROMETHEUS`.
    async fn load_balancers(&self, session: &Session) -> Result<Vec<Labels>, SdError> {
        let base = self.endpoint(session, &["load-balancer"])?;
        let list =
            async |name: &str| self.list(session, with_path(&base, ["v2.0", "lbaas", name])?, name).await;
        let (balancers, listeners) = (list("loadbalancers").await?, list("listeners").await?);
        let floating = self.network(session, "floatingips").await?;
        let target = |balancer: &Value| {
            let id = text(balancer, "/id");
            let listener = listeners.iter().find(|listener| {
                text(listener, "/protocol") == "PROMETHEUS"
                    && items(listener, "/loadbalancers").iter().any(|one| text(one, "/id") == id)
            })?;
            let mut target = Target::new("__meta_openstack_");
            target.take(
                balancer,
                &[
                    ("loadbalancer_id", "/id"),
                    ("loadbalancer_name", "/name"),
                    ("loadbalancer_operating_status", "/operating_status"),
                    ("loadbalancer_provisioning_status", "/provisioning_status"),
                    ("loadbalancer_availability_zone", "/availability_zone"),
                    ("loadbalancer_vip", "/vip_address"),
                    ("loadbalancer_provider", "/provider"),
                    ("project_id", "/project_id"),
                ],
            );
            target.set("loadbalancer_tags", texts(balancer, "/tags").join(","));
            let port = text(balancer, "/vip_port_id");
            let ip = floating.iter().rev().find(|ip| !port.is_empty() && text(ip, "/port_id") == port);
            target.set(
                "loadbalancer_floating_ip",
                ip.map(|ip| text(ip, "/floating_ip_address")).unwrap_or_default(),
            );
            Some(target.address(&text(balancer, "/vip_address"), text(listener, "/protocol_port")).build())
        };
        Ok(balancers.iter().filter_map(target).collect())
    }
}

impl Provider for OpenStack {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let session = self.log_in().await?;
        let targets = match self.config.role {
            Role::Instance => self.instances(&session).await?,
            Role::Hypervisor => self.hypervisors(&session).await?,
            Role::LoadBalancer => self.load_balancers(&session).await?,
        };
        Ok(vec![TargetGroup::new(format!("OS_{}", self.config.region), targets)])
    }
}

#[cfg(test)]
#[path = "openstack_tests.rs"]
mod tests;
