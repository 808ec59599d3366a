//! `azure_sd_configs`: virtual machines of Azure, those of scale sets too.
//!
//! Resource Manager: `Microsoft.Compute` (virtual machines, scale sets and their machines) and network interfaces by their identities. An
//! interface is asked for once and then kept for ten intervals, as in Prometheus.

use std::collections::HashMap;
use std::path::Path;

use futures_util::StreamExt;
use model::{Duration, Labels};
use net::auth::{AzureAdConfig, AzureCredential, Signing};
use net::{HttpClientConfig, Secret};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, pairs, text};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX, bad_answer};

/// Versions of the interfaces that are asked.
const COMPUTE_VERSION: &str = "2024-07-01";
const NETWORK_VERSION: &str = "2024-01-01";
/// Interfaces asked for at once. Chosen: far below what Azure allows a client.
const CONCURRENT: usize = 16;
/// For how many intervals an interface is kept. From Prometheus.
const KEPT_INTERVALS: u32 = 10;

/// One element of `azure_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    subscription_id: String,
    tenant_id: String,
    resource_group: String,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere, and without credentials, in tests only.
    endpoint: String,
    signing: Option<Signing>,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        environment: Option<String>,
        port: Option<u16>,
        subscription_id: String,
        tenant_id: String,
        client_id: String,
        client_secret: Secret,
        refresh_interval: Option<Duration>,
        authentication_method: Option<String>,
        resource_group: Option<String>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let require = |value: &str, name: &str| match value {
            "" => Err(format!("azure SD configuration requires a {name}")),
            _ => Ok(()),
        };
        require(&keys.subscription_id, "subscription_id")?;
        let own = |text: &str| text.to_owned();
        let (client_id, tenant_id) = (own(&keys.client_id), own(&keys.tenant_id));
        let credential = match keys.authentication_method.as_deref().unwrap_or("OAuth") {
            "OAuth" => {
                require(&tenant_id, "tenant_id")?;
                require(&client_id, "client_id")?;
                require(keys.client_secret.expose(), "client_secret")?;
                let client_secret = std::mem::take(&mut keys.client_secret);
                AzureCredential::Oauth { client_id, client_secret, tenant_id }
            }
            "ManagedIdentity" => AzureCredential::ManagedIdentity { client_id },
            "SDK" => AzureCredential::Sdk { tenant_id },
            "WorkloadIdentity" => {
                let token_file_path = String::new();
                AzureCredential::WorkloadIdentity { client_id, tenant_id, token_file_path }
            }
            other => {
                return Err(format!(
                    "unknown authentication_type {other:?}. Supported types are \"OAuth\", \"ManagedIdentity\", \
                     \"SDK\" or \"WorkloadIdentity\""
                ));
            }
        };
        let environment = keys.environment.take().unwrap_or_else(|| "AzurePublicCloud".to_owned());
        let (cloud, endpoint) = match environment.to_uppercase().as_str() {
            "AZURECHINACLOUD" => ("AzureChina", "https://management.chinacloudapi.cn"),
            "AZURECLOUD" | "AZUREGERMANCLOUD" | "AZUREPUBLICCLOUD" => {
                ("AzurePublic", "https://management.azure.com")
            }
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => {
                ("AzureGovernment", "https://management.usgovcloudapi.net")
            }
            other => return Err(format!("there is no cloud configuration matching the name {other:?}")),
        };
        let azure = AzureAdConfig {
            cloud: own(cloud),
            scope: format!("{endpoint}/.default"),
            credential,
            authority: String::new(),
        };
        Ok(Self {
            port: keys.port.unwrap_or(80),
            resource_group: keys.resource_group.take().unwrap_or_default(),
            refresh_interval: super::interval(keys.refresh_interval, 300)?,
            http: keys.take_http()?,
            subscription_id: keys.subscription_id,
            tenant_id: keys.tenant_id,
            endpoint: own(endpoint),
            signing: Some(Signing::AzureAd(azure)),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "azure";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Azure::new(self)?))
    }
}

#[derive(Debug)]
struct Azure {
    config: Config,
    api: Api,
    /// By identity, with until when.
    interfaces: HashMap<String, (Value, Instant)>,
}

/// What an interface says of its machine.
enum Found {
    /// It is the first one, with these addresses.
    Primary { public: String, private: String },
    /// Another one is.
    Other,
    /// The machine is deallocated.
    Deallocated,
}

/// The name of the resource group in an identity.
fn resource_group(id: &str) -> Result<&str, SdError> {
    let mut parts = id.split('/');
    let group = parts.find(|part| part.eq_ignore_ascii_case("resourceGroups")).and_then(|_| parts.next());
    group.ok_or_else(|| SdError::other(format!("invalid ID '{id}'")))
}

impl Azure {
    fn new(config: &Config) -> Result<Self, SdError> {
        let api = Api::signed(&config.http, config.refresh_interval, config.signing.as_ref())?;
        Ok(Self { config: config.clone(), api, interfaces: HashMap::new() })
    }

    fn url(&self, path: &str, version: &str) -> Result<Url, SdError> {
        let text = format!("{}/{}?api-version={version}", self.config.endpoint, path.trim_start_matches('/'));
        Url::parse(&text).map_err(SdError::other)
    }

    /// All pages of a list.
    async fn list(&self, path: &str) -> Result<Vec<Value>, SdError> {
        let mut all = Vec::new();
        let mut url = self.url(path, COMPUTE_VERSION)?;
        for _ in 0..PAGES_MAX {
            let answer: Value = self.api.get_json(&url).await?;
            all.extend_from_slice(items(&answer, "/value"));
            let next = text(&answer, "/nextLink");
            if next.is_empty() {
                return Ok(all);
            }
            let next = url.join(&next).map_err(SdError::other)?;
            // The token is for this host only.
            if next.host() != url.host() {
                return Err(bad_answer(&url, format!("the next page is at another host: {next}")));
            }
            url = next;
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {path}")))
    }

    /// All machines, each with the name of its scale set.
    async fn machines(&self) -> Result<Vec<(Value, String)>, SdError> {
        let subscription = format!("subscriptions/{}", self.config.subscription_id);
        let scope = match self.config.resource_group.as_str() {
            "" => subscription.clone(),
            group => format!("{subscription}/resourceGroups/{group}"),
        };
        let compute = format!("{scope}/providers/Microsoft.Compute");
        let failed = |what: &'static str| move |err| SdError::other(format!("could not get {what}: {err}"));
        let machines =
            self.list(&format!("{compute}/virtualMachines")).await.map_err(failed("virtual machines"))?;
        let mut all: Vec<_> = machines.into_iter().map(|machine| (machine, String::new())).collect();
        let sets = self.list(&format!("{compute}/virtualMachineScaleSets")).await;
        for set in sets.map_err(failed("virtual machine scale sets"))? {
            let (group, name) = (text(&set, "/id"), text(&set, "/name"));
            let group = resource_group(&group)?;
            let path = format!(
                "{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{name}/virtualMachines"
            );
            let of_set = self.list(&path).await.map_err(failed("virtual machine scale set vms"))?;
            all.extend(of_set.into_iter().map(|machine| (machine, name.clone())));
        }
        Ok(all)
    }

    /// Asks for the interfaces that are not kept.
    async fn fill_interfaces(&mut self, machines: &[(Value, String)]) -> Result<(), SdError> {
        let now = Instant::now();
        self.interfaces.retain(|_, (_, until)| *until > now);
        let ids = machines
            .iter()
            .flat_map(|(machine, _)| items(machine, "/properties/networkProfile/networkInterfaces"));
        let missing: Vec<String> = ids
            .map(|nic| text(nic, "/id"))
            .filter(|id| !id.is_empty() && !self.interfaces.contains_key(id))
            .collect();
        let this = &*self;
        let ask = |id: String| async move {
            let mut url = this.url(&id, NETWORK_VERSION)?;
            url.query_pairs_mut().append_pair("$expand", "IPConfigurations/PublicIPAddress");
            match this.api.get_json::<Value>(&url).await {
                Ok(interface) => Ok(Some((id, interface))),
                Err(err) if err.status_code() == Some(404) => {
                    tracing::warn!(name = id, "network interface does not exist");
                    Ok(None)
                }
                Err(err) => {
                    Err(SdError::other(format!("failed to retrieve Interface {id} with error: {err}")))
                }
            }
        };
        let asked: Vec<Result<_, SdError>> =
            futures_util::stream::iter(missing).map(ask).buffer_unordered(CONCURRENT).collect().await;
        let until = now + self.config.refresh_interval.as_std() * KEPT_INTERVALS;
        for found in asked {
            if let Some((id, interface)) = found? {
                self.interfaces.insert(id, (interface, until));
            }
        }
        Ok(())
    }

    fn addresses(interface: &Value, name: &str) -> Result<Found, SdError> {
        match interface.pointer("/properties/primary").and_then(Value::as_bool) {
            None if interface.pointer("/properties").is_none() => Ok(Found::Other),
            // Azure tells it this way only.
            None => Ok(Found::Deallocated),
            Some(false) => Ok(Found::Other),
            Some(true) => {
                let first = "/properties/ipConfigurations/0/properties";
                let private = text(interface, &format!("{first}/privateIPAddress"));
                if private.is_empty() {
                    return Err(SdError::other(format!("unable to find a private IP for VM {name}")));
                }
                let public = text(interface, &format!("{first}/publicIPAddress/properties/ipAddress"));
                Ok(Found::Primary { public, private })
            }
        }
    }

    /// `None` for a machine that is deallocated, or has no interface.
    fn target(&self, machine: &Value, scale_set: &str) -> Result<Option<Labels>, SdError> {
        let id = text(machine, "/id");
        let mut target = Target::new("__meta_azure_");
        target.take(
            machine,
            &[
                ("machine_id", "/id"),
                ("machine_name", "/name"),
                ("machine_computer_name", "/properties/osProfile/computerName"),
                ("machine_os_type", "/properties/storageProfile/osDisk/osType"),
                ("machine_location", "/location"),
                ("machine_size", "/properties/hardwareProfile/vmSize"),
            ],
        );
        target.set("subscription_id", &self.config.subscription_id).set("tenant_id", &self.config.tenant_id);
        target.set("machine_resource_group", resource_group(&id)?).set("machine_scale_set", scale_set);
        for (name, value) in pairs(machine, "/tags") {
            target.tag("machine_tag_", name, value.as_str().unwrap_or_default());
        }
        for nic in items(machine, "/properties/networkProfile/networkInterfaces") {
            let Some((interface, _)) = self.interfaces.get(&text(nic, "/id")) else { return Ok(None) };
            match Self::addresses(interface, &text(machine, "/name"))? {
                Found::Deallocated => return Ok(None),
                Found::Other => {}
                Found::Primary { public, private } => {
                    target.set("machine_public_ip", public).set("machine_private_ip", &private);
                    return Ok(Some(target.address(&private, self.config.port).build()));
                }
            }
        }
        Ok(None)
    }
}

impl Provider for Azure {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let machines = self.machines().await?;
        let incomplete = |err| SdError::other(format!("unable to complete Azure service discovery: {err}"));
        self.fill_interfaces(&machines).await.map_err(incomplete)?;
        let targets: Result<Vec<_>, _> =
            machines.iter().map(|(machine, set)| self.target(machine, set)).collect();
        let targets = targets.map_err(incomplete)?.into_iter().flatten().collect();
        Ok(vec![TargetGroup::new("", targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    const NIC: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/n1";
    const SET_NIC: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/0/networkInterfaces/n";

    fn interface(private: &str, public: &str) -> String {
        format!(
            r#"{{"properties": {{"primary": true, "ipConfigurations": [{{"properties": {{"privateIPAddress": "{private}",
            "publicIPAddress": {{"properties": {{"ipAddress": "{public}"}}}}}}}}]}}}}"#
        )
    }

    async fn cloud() -> Fake {
        let fake = Fake::start(&[]).await;
        let compute = "/subscriptions/s/providers/Microsoft.Compute";
        let version = format!("?api-version={COMPUTE_VERSION}");
        let machine = |name: &str, nic: &str| {
            format!(
                r#"{{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/{name}", "name": "{name}", "location": "westeurope",
                "tags": {{"a-b": "c"}}, "properties": {{"storageProfile": {{"osDisk": {{"osType": "Linux"}}}}, "hardwareProfile": {{"vmSize": "B1"}},
                "osProfile": {{"computerName": "host"}}, "networkProfile": {{"networkInterfaces": [{{"id": "{nic}"}}]}}}}}}"#
            )
        };
        let next = format!("{}more", fake.url);
        let first = format!(r#"{{"value": [{}], "nextLink": "{next}"}}"#, machine("vm1", NIC));
        let gone = format!(r#"{{"value": [{}]}}"#, machine("gone", "/nic/gone"));
        let sets = r#"{"value": [{"id": "/subscriptions/s/resourceGroups/rg/providers/x", "name": "set"}]}"#;
        let of_set = format!(r#"{{"value": [{}]}}"#, machine("set_0", SET_NIC));
        for (path, body) in [
            (format!("{compute}/virtualMachines{version}"), first),
            ("/more".to_owned(), gone),
            (format!("{compute}/virtualMachineScaleSets{version}"), sets.to_owned()),
            (
                format!(
                    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines{version}"
                ),
                of_set,
            ),
            (nic_path(NIC), interface("10.0.0.4", "20.1.2.3")),
            (nic_path(SET_NIC), interface("10.0.0.5", "")),
        ] {
            fake.answer(&path, 200, &[], &body);
        }
        fake
    }

    fn nic_path(id: &str) -> String {
        format!("{id}?api-version={NETWORK_VERSION}&%24expand=IPConfigurations%2FPublicIPAddress")
    }

    fn azure(fake: &Fake) -> Azure {
        let text = "{subscription_id: s, tenant_id: t, authentication_method: ManagedIdentity}";
        let mut config: Config = fake::config(text).unwrap();
        (config.endpoint, config.signing) = (fake.url.as_str().trim_end_matches('/').to_owned(), None);
        Azure::new(&config).unwrap()
    }

    #[tokio::test]
    async fn machines_and_those_of_scale_sets_become_targets() {
        let fake = cloud().await;
        let mut azure = azure(&fake);
        let expected = |name: &str, ip: &str, more: &str, set: &str| {
            format!(
                concat!(
                    r#"{{__address__="{}:80", __meta_azure_machine_computer_name="host", "#,
                    r#"__meta_azure_machine_id="/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/{}", "#,
                    r#"__meta_azure_machine_location="westeurope", __meta_azure_machine_name="{}", __meta_azure_machine_os_type="Linux", "#,
                    r#"__meta_azure_machine_private_ip="{}", {}__meta_azure_machine_resource_group="rg", {}__meta_azure_machine_size="B1", "#,
                    r#"__meta_azure_machine_tag_a_b="c", __meta_azure_subscription_id="s", __meta_azure_tenant_id="t"}}"#
                ),
                ip, name, name, ip, more, set
            )
        };
        let both = [
            expected("vm1", "10.0.0.4", r#"__meta_azure_machine_public_ip="20.1.2.3", "#, ""),
            expected("set_0", "10.0.0.5", "", r#"__meta_azure_machine_scale_set="set", "#),
        ];
        assert_eq!(fake::labels(&azure.refresh().await.unwrap()), both);
        let n_asked = fake.asked().len();
        assert_eq!(fake::labels(&azure.refresh().await.unwrap()), both);
        assert_eq!(
            fake.asked().len(),
            n_asked + 5,
            "interfaces are kept, but the one that was missing is asked for again"
        );
    }

    #[tokio::test]
    async fn all_or_nothing() {
        let fake = cloud().await;
        fake.answer(&nic_path(NIC), 500, &[], "");
        let err = azure(&fake).refresh().await.unwrap_err().to_string();
        assert!(
            err.starts_with("unable to complete Azure service discovery: failed to retrieve Interface"),
            "{err}"
        );
        fake.answer(&nic_path(NIC), 200, &[], r#"{"properties": {"ipConfigurations": []}}"#);
        let groups = azure(&fake).refresh().await.unwrap();
        assert_eq!(groups[0].targets.len(), 1, "deallocated machines are no targets");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "azure SD configuration requires a subscription_id"),
            ("{subscription_id: s}", "azure SD configuration requires a tenant_id"),
            ("{subscription_id: s, tenant_id: t}", "azure SD configuration requires a client_id"),
            (
                "{subscription_id: s, tenant_id: t, client_id: c}",
                "azure SD configuration requires a client_secret",
            ),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
        }
        let unknown = fake::config::<Config>("{subscription_id: s, authentication_method: x}").unwrap_err();
        assert!(unknown.starts_with("p.yml: unknown authentication_type \"x\""), "{unknown}");
    }
}
