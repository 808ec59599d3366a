//! `kubernetes_sd_configs`: nodes, pods, services, endpoints and ingresses of a Kubernetes cluster.
//!
//! Every kind of object that a role needs is listed once and then watched; a watch that breaks goes on from where it was,
//! and one that is too old begins with a new list. Changes within half a second go on together.

mod build;
mod client;
mod object;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use net::HttpClientConfig;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use self::build::Builder;
use self::client::{Client, SERVICE_ACCOUNT, Scope};
use self::object::Object;
use super::Kind;
use crate::SdError;
use crate::driver::{Backoff, Context, Task};
use crate::group::TargetGroup;

/// Changes that may wait to be taken; a watch waits beyond. Chosen.
const EVENTS_MAX: usize = 1024;
/// Between two rounds of changes. Chosen.
const PUBLISH_PAUSE: StdDuration = StdDuration::from_millis(500);
/// Longest pause after a failure. From Kubernetes' own clients.
const RETRY_MAX: StdDuration = StdDuration::from_secs(30);

/// One element of `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    api_server: Option<Url>,
    role: Resource,
    kubeconfig_file: Option<PathBuf>,
    namespaces: Namespaces,
    selectors: Vec<Selector>,
    attach_metadata: AttachMetadata,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        api_server: Option<String>,
        role: String,
        kubeconfig_file: Option<PathBuf>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        namespaces: Namespaces,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        selectors: Vec<Selector>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        attach_metadata: AttachMetadata,
    }
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Namespaces {
    own_namespace: bool,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    names: Vec<String>,
}

/// Which objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Selector {
    role: String,
    label: String,
    field: String,
}

/// What else is told of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AttachMetadata {
    node: bool,
    namespace: bool,
    deployment: bool,
    job: bool,
    cronjob: bool,
}

/// A kind of object; those of the first line are roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Node,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    Namespace,
    ReplicaSet,
    Job,
}

impl Resource {
    fn of_role(role: &str) -> Result<Self, String> {
        Ok(match role {
            "node" => Self::Node,
            "pod" => Self::Pod,
            "service" => Self::Service,
            "endpoints" => Self::Endpoints,
            "endpointslice" => Self::EndpointSlice,
            "ingress" => Self::Ingress,
            _ => return Err(format!("unknown Kubernetes SD role {role:?}")),
        })
    }

    /// The API's group, and the plural.
    fn path(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Node => (&["api", "v1"], "nodes"),
            Self::Pod => (&["api", "v1"], "pods"),
            Self::Service => (&["api", "v1"], "services"),
            Self::Endpoints => (&["api", "v1"], "endpoints"),
            Self::EndpointSlice => (&["apis", "discovery.k8s.io", "v1"], "endpointslices"),
            Self::Ingress => (&["apis", "networking.k8s.io", "v1"], "ingresses"),
            Self::Namespace => (&["api", "v1"], "namespaces"),
            Self::ReplicaSet => (&["apis", "apps", "v1"], "replicasets"),
            Self::Job => (&["apis", "batch", "v1"], "jobs"),
        }
    }

    /// The role's name, and the label of metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
            Self::Namespace => "namespace",
            Self::ReplicaSet => "replicaset",
            Self::Job => "job",
        }
    }

    /// Whether it stands in no namespace.
    fn is_global(self) -> bool {
        matches!(self, Self::Node | Self::Namespace)
    }

    /// Which objects selectors may choose.
    fn selectable(self) -> &'static [&'static str] {
        match self {
            Self::Pod => &["pod", "node"],
            Self::Service => &["service"],
            Self::EndpointSlice => &["pod", "service", "endpointslice"],
            Self::Endpoints => &["pod", "service", "endpoints"],
            Self::Node => &["node"],
            Self::Ingress => &["ingress"],
            Self::Namespace | Self::ReplicaSet | Self::Job => &[],
        }
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        if keys.role.is_empty() {
            return Err(
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)".to_owned()
            );
        }
        let role = Resource::of_role(&keys.role)?;
        let http = keys.take_http()?;
        let has_http = http != HttpClientConfig::default();
        let api_server = keys.api_server.filter(|url| !url.is_empty());
        let api_server = api_server.map(|url| crate::http::checked_url(&url)).transpose()?;
        let kubeconfig_file = keys.kubeconfig_file.filter(|file| !file.as_os_str().is_empty());
        let both = |a: &str, b: &str| Err(format!("cannot use '{a}' and '{b}' simultaneously"));
        if api_server.is_some() && kubeconfig_file.is_some() {
            return both("kubeconfig_file", "api_server");
        }
        if kubeconfig_file.is_some() && has_http {
            return Err(
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'".to_owned()
            );
        }
        if api_server.is_none() && has_http {
            return Err(
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly"
                    .to_owned(),
            );
        }
        if keys.namespaces.own_namespace && api_server.is_some() {
            return both("api_server", "namespaces.own_namespace");
        }
        if keys.namespaces.own_namespace && kubeconfig_file.is_some() {
            return both("kubeconfig_file", "namespaces.own_namespace");
        }
        for (i, selector) in keys.selectors.iter().enumerate() {
            if keys.selectors[..i].iter().any(|earlier| earlier.role == selector.role) {
                return Err(format!("duplicated selector role: {}", selector.role));
            }
            Resource::of_role(&selector.role)?;
            if !role.selectable().contains(&selector.role.as_str()) {
                return Err(format!(
                    "{} role supports only {} selectors",
                    keys.role,
                    role.selectable().join(", ")
                ));
            }
        }
        let (namespaces, selectors, attach_metadata) =
            (keys.namespaces, keys.selectors, keys.attach_metadata);
        Ok(Self { api_server, role, kubeconfig_file, namespaces, selectors, attach_metadata, http })
    }
}

impl Kind for Config {
    const NAME: &'static str = "kubernetes";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        if let Some(file) = &mut self.kubeconfig_file {
            *file = dir.join(&*file);
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let client = Arc::new(Client::new(self, &*context.dir)?);
        let mut namespaces = self.namespaces.names.clone();
        if self.namespaces.own_namespace {
            let path = Path::new(SERVICE_ACCOUNT).join("namespace");
            let own = context.dir.read(&path).map_err(|err| {
                SdError::Other(format!("could not determine the pod's namespace: {}: {err}", path.display()))
            })?;
            let own = String::from_utf8_lossy(&own).trim().to_owned();
            if own.is_empty() {
                return Err(SdError::other("could not read own namespace name (empty file)"));
            }
            namespaces.push(own);
        }
        Ok(Box::pin(run(context, client, self.scopes(&namespaces), self.role, self.attach_metadata)))
    }
}

impl Config {
    /// Everything that is watched.
    fn scopes(&self, namespaces: &[String]) -> Vec<Scope> {
        let attach = self.attach_metadata;
        let mut wanted = vec![self.role];
        if matches!(self.role, Resource::Endpoints | Resource::EndpointSlice) {
            wanted.extend([Resource::Service, Resource::Pod]);
        }
        let has_pods = wanted.contains(&Resource::Pod);
        let optional = [
            (has_pods && attach.node, Resource::Node),
            (self.role != Resource::Node && attach.namespace, Resource::Namespace),
            (has_pods && attach.deployment, Resource::ReplicaSet),
            (has_pods && (attach.job || attach.cronjob), Resource::Job),
        ];
        wanted.extend(optional.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, resource)| resource));
        let everywhere = [String::new()];
        let mut scopes = Vec::new();
        for resource in wanted {
            let selector = self.selectors.iter().find(|selector| selector.role == resource.as_str());
            let places =
                if resource.is_global() || namespaces.is_empty() { &everywhere[..] } else { namespaces };
            scopes.extend(places.iter().map(|namespace| Scope {
                resource,
                namespace: namespace.clone(),
                label_selector: selector.map(|selector| selector.label.clone()).unwrap_or_default(),
                field_selector: selector.map(|selector| selector.field.clone()).unwrap_or_default(),
            }));
        }
        scopes
    }
}

/// What a watcher tells.
#[derive(Debug)]
enum Change {
    /// All objects there are.
    All(Vec<Object>),
    /// One that is new or changed.
    Set(Box<Object>),
    /// One that is gone.
    Gone(String),
}

/// Objects by watcher.
#[derive(Debug, Default)]
struct Store {
    scopes: Vec<(Resource, Option<BTreeMap<String, Object>>)>,
}

impl Store {
    fn get(&self, resource: Resource, key: &str) -> Option<&Object> {
        let same = self.scopes.iter().filter(|(of, _)| *of == resource);
        same.filter_map(|(_, objects)| objects.as_ref()).find_map(|objects| objects.get(key))
    }

    fn keys(&self, resource: Resource) -> impl Iterator<Item = &String> {
        let same = self.scopes.iter().filter(move |(of, _)| *of == resource);
        same.filter_map(|(_, objects)| objects.as_ref()).flat_map(BTreeMap::keys)
    }

    fn has_synced(&self) -> bool {
        self.scopes.iter().all(|(_, objects)| objects.is_some())
    }

    /// Takes a change; returns the keys of what is not as it was.
    fn apply(&mut self, scope: usize, change: Change) -> Vec<String> {
        let (resource, objects) = &mut self.scopes[scope];
        // The heartbeat of a node changes nothing that is looked at.
        let is_meta_only = resource.is_global();
        let differs = |old: Option<&Object>, new: &Object| {
            old.is_none_or(|old| if is_meta_only { old.metadata != new.metadata } else { old != new })
        };
        let known = objects.get_or_insert_default();
        match change {
            Change::Gone(key) => known.remove(&key).map(|_| key).into_iter().collect(),
            Change::Set(object) => {
                let key = object.key();
                let is_changed = differs(known.get(&key), &object);
                known.insert(key.clone(), *object);
                if is_changed { vec![key] } else { Vec::new() }
            }
            Change::All(all) => {
                let fresh: BTreeMap<String, Object> =
                    all.into_iter().map(|object| (object.key(), object)).collect();
                let gone = known.keys().filter(|key| !fresh.contains_key(*key)).cloned();
                let new = fresh
                    .iter()
                    .filter(|(key, object)| differs(known.get(*key), object))
                    .map(|(key, _)| key.clone());
                let changed = gone.chain(new).collect();
                *known = fresh;
                changed
            }
        }
    }
}

/// Which objects of the role a change concerns.
fn concerned(
    store: &Store,
    role: Resource,
    changed: Resource,
    keys: Vec<String>,
    dirty: &mut BTreeSet<String>,
) {
    if changed == role {
        dirty.extend(keys);
    } else if changed.is_global() {
        if !keys.is_empty() {
            dirty.extend(store.keys(role).cloned());
        }
    } else {
        let namespaces: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('/')?.0)).collect();
        let is_near = |key: &&String| key.split_once('/').is_some_and(|(near, _)| namespaces.contains(near));
        dirty.extend(store.keys(role).filter(is_near).cloned());
    }
}

async fn run(
    context: Context,
    client: Arc<Client>,
    scopes: Vec<Scope>,
    role: Resource,
    attach: AttachMetadata,
) {
    let (sender, mut changes) = mpsc::channel(EVENTS_MAX);
    let mut store = Store { scopes: scopes.iter().map(|scope| (scope.resource, None)).collect() };
    // Ends with this task: a set that is dropped ends its tasks.
    let mut tasks = JoinSet::new();
    for (i, scope) in scopes.into_iter().enumerate() {
        tasks.spawn(follow(context.clone(), Arc::clone(&client), scope, i, sender.clone()));
    }
    let mut groups: BTreeMap<String, TargetGroup> = BTreeMap::new();
    let mut dirty = BTreeSet::new();
    loop {
        let Some((mut scope, mut change)) = changes.recv().await else { return };
        loop {
            let resource = store.scopes[scope].0;
            // The address of a node is looked at when nodes are the targets.
            let keys = match (&change, role == Resource::Node) {
                (Change::Set(object), true) => {
                    let key = object.key();
                    store.apply(scope, change);
                    vec![key]
                }
                (Change::All(all), true) => {
                    let mut keys: Vec<_> = all.iter().map(Object::key).collect();
                    keys.extend(store.apply(scope, change));
                    keys
                }
                _ => store.apply(scope, change),
            };
            concerned(&store, role, resource, keys, &mut dirty);
            match changes.try_recv() {
                Ok(next) => (scope, change) = next,
                Err(_) => break,
            }
        }
        if !store.has_synced() {
            continue;
        }
        let builder = Builder { store: &store, attach };
        for key in std::mem::take(&mut dirty) {
            let group = store.get(role, &key).and_then(|object| builder.group(role, object));
            match group {
                Some(group) => groups.insert(key, group),
                None => groups.remove(&key),
            };
        }
        context.publish(groups.values().filter(|group| !group.targets.is_empty()).cloned().collect());
        tokio::time::sleep(PUBLISH_PAUSE).await;
    }
}

/// Lists and watches one kind of object, until nobody listens any more.
async fn follow(
    context: Context,
    client: Arc<Client>,
    scope: Scope,
    i: usize,
    sender: mpsc::Sender<(usize, Change)>,
) {
    let mut backoff = Backoff::new(RETRY_MAX);
    loop {
        let mut version = match client.list(&scope).await {
            Ok((objects, version)) => {
                if sender.send((i, Change::All(objects))).await.is_err() {
                    return;
                }
                version
            }
            Err(err) => {
                context.metrics.kinds.kubernetes_failures.inc();
                context.failed(&err);
                tokio::time::sleep(backoff.pause(false)).await;
                continue;
            }
        };
        backoff = Backoff::new(RETRY_MAX);
        // As long as watches go on from one another, no new list is needed.
        while let Err(err) = watch(&context, &client, &scope, &mut version, i, &sender).await {
            context.metrics.kinds.kubernetes_failures.inc();
            context.failed(&err);
            tokio::time::sleep(backoff.pause(false)).await;
            if sender.is_closed() {
                return;
            }
        }
        if sender.is_closed() {
            return;
        }
    }
}

/// Watches, one watch after the other; `Ok` when a new list is needed, or nobody listens any more.
async fn watch(
    context: &Context,
    client: &Client,
    scope: &Scope,
    version: &mut String,
    i: usize,
    sender: &mpsc::Sender<(usize, Change)>,
) -> Result<(), SdError> {
    let count = |event: &str| {
        context.metrics.kinds.kubernetes_events.with(&[scope.resource.as_str(), event]).inc();
    };
    loop {
        let mut stream = match client.watch(scope, version).await {
            Err(err) if err.status_code() == Some(410) => return Ok(()),
            other => other?,
        };
        let started = context.clock.monotonic();
        while let Some(event) = stream.next().await? {
            if event.kind == "ERROR" {
                // Too old a version, or something that a new list may mend.
                tracing::debug!(resource = scope.resource.as_str(), status = %event.object, "a watch ended");
                return Ok(());
            }
            if let Some(newer) = event.object["metadata"]["resourceVersion"].as_str() {
                newer.clone_into(version);
            }
            if event.kind == "BOOKMARK" {
                continue;
            }
            let object: Object = serde_json::from_value(event.object).map_err(SdError::other)?;
            let change = match event.kind.as_str() {
                "DELETED" => {
                    count("delete");
                    Change::Gone(object.key())
                }
                kind => {
                    count(if kind == "ADDED" { "add" } else { "update" });
                    Change::Set(Box::new(object))
                }
            };
            if sender.send((i, change)).await.is_err() {
                return Ok(());
            }
        }
        // A server that ends every watch at once must not be asked without a pause.
        let lasted = context.clock.monotonic().saturating_sub(started);
        tokio::time::sleep(PUBLISH_PAUSE.saturating_sub(lasted)).await;
    }
}
