//! `aws_sd_configs`, and what its roles have in common, each of which is a kind of its own, too: keys, signed requests, pages, XML.
//!
//! In from the files beside; out through [`crate::http`], signed by [`net::auth`]. Query APIs are asked by forms and answer XML, the others
//! speak JSON. An answer that fails leaves the targets as they were.

pub mod ec2;
pub mod ecs;
pub mod elasticache;
pub mod lightsail;
pub mod msk;
pub mod rds;

use std::path::Path;

use http::header::{HeaderName, HeaderValue};
use model::Duration;
use net::auth::{SigV4Config, Signing};
use net::{HttpClientConfig, Request};
use roxmltree::Node;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text};
use crate::SdError;
use crate::driver::{Context, Task};
use crate::http::{Api, PAGES_MAX, bad_answer, json, require_success};

/// Most requests at once that may be asked for. Chosen: AWS answers some dozens a second.
const CONCURRENCY_MAX: usize = 100;

/// Condition on what is found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    name: String,
    #[serde(default)]
    values: Vec<String>,
}

/// How AWS is asked.
#[derive(Debug, Clone, PartialEq)]
struct Access {
    sigv4: SigV4Config,
    endpoint: String,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

impl Access {
    /// The same access to another service, of the same region; an empty `endpoint` is the service's own.
    fn for_service(&self, service: &str, endpoint: &str) -> Self {
        let mut access = self.clone();
        access.sigv4.service_name = service.to_owned();
        access.endpoint = endpoint.to_owned();
        access
    }
}

/// Adds the keys that all kinds of AWS have, and what reads them.
macro_rules! aws_keys {
    ($(#[$meta:meta])* struct $name:ident { $($body:tt)* }) => {
        net::with_http_keys! {
            $(#[$meta])*
            struct $name {
                $($body)*
                region: Option<String>,
                endpoint: Option<String>,
                access_key: Option<String>,
                secret_key: net::Secret,
                profile: Option<String>,
                role_arn: Option<String>,
                external_id: Option<String>,
                refresh_interval: Option<model::Duration>,
                port: Option<u16>,
            }
        }

        impl $name {
            fn access(&mut self, service: &str) -> Result<$crate::kinds::aws::Access, String> {
                let mut sigv4 = net::auth::SigV4Config {
                    region: self.region.take().unwrap_or_default(),
                    access_key: self.access_key.take().unwrap_or_default(),
                    secret_key: std::mem::take(&mut self.secret_key),
                    profile: self.profile.take().unwrap_or_default(),
                    role_arn: self.role_arn.take().unwrap_or_default(),
                    external_id: self.external_id.take().unwrap_or_default(),
                    service_name: service.to_owned(),
                    ..net::auth::SigV4Config::default()
                };
                // As in Prometheus, one of them alone counts for nothing.
                if sigv4.access_key.is_empty() || sigv4.secret_key.is_empty() {
                    (sigv4.access_key, sigv4.secret_key) = (String::new(), net::Secret::default());
                }
                Ok($crate::kinds::aws::Access {
                    sigv4,
                    endpoint: self.endpoint.take().unwrap_or_default(),
                    port: self.port.unwrap_or(80),
                    refresh_interval: crate::kinds::interval(self.refresh_interval, 60)?,
                    http: self.take_http()?,
                })
            }
        }
    };
}

use aws_keys;

fn checked_filters(filters: Option<Vec<Filter>>, service: &str) -> Result<Vec<Filter>, String> {
    let filters = filters.unwrap_or_default();
    if filters.iter().any(|filter| filter.values.is_empty()) {
        return Err(format!("{service} SD configuration filter values cannot be empty"));
    }
    Ok(filters)
}

/// How a service is asked whose things belong to clusters.
#[derive(Debug, Clone, PartialEq)]
struct Clusters {
    access: Access,
    /// Names or ARNs; empty for all there are.
    wanted: Vec<String>,
    /// Requests at once.
    concurrency: usize,
}

impl Clusters {
    fn new(
        access: Access,
        wanted: Option<Vec<String>>,
        concurrency: Option<i64>,
        concurrency_default: usize,
    ) -> Result<Self, String> {
        let concurrency = match concurrency {
            None => concurrency_default,
            Some(given) => usize::try_from(given)
                .ok()
                .filter(|given| (1..=CONCURRENCY_MAX).contains(given))
                .ok_or_else(|| format!("request_concurrency must be from 1 to {CONCURRENCY_MAX}"))?,
        };
        Ok(Self { access, wanted: wanted.unwrap_or_default(), concurrency })
    }
}

/// Makes the configuration of a kind whose things belong to clusters: its name, the service that signatures name, its provider, and how many
/// requests there are at once.
macro_rules! cluster_kind {
    ($name:literal, $service:literal, $provider:ident, $concurrency:expr) => {
        #[doc = concat!("One element of `", $name, "_sd_configs`.")]
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(try_from = "Keys")]
        pub struct Config(pub(super) Clusters);

        super::aws_keys! {
            #[derive(Debug, Default, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            struct Keys {
                clusters: Option<Vec<String>>,
                request_concurrency: Option<i64>,
            }
        }

        impl Config {
            pub(super) fn of(
                access: Access,
                clusters: Option<Vec<String>>,
                concurrency: Option<i64>,
            ) -> Result<Self, String> {
                Ok(Self(Clusters::new(access, clusters, concurrency, $concurrency)?))
            }
        }

        impl TryFrom<Keys> for Config {
            type Error = String;

            fn try_from(mut keys: Keys) -> Result<Self, String> {
                let (clusters, concurrency) = (keys.clusters.take(), keys.request_concurrency);
                Self::of(keys.access($service)?, clusters, concurrency)
            }
        }

        impl Kind for Config {
            const NAME: &'static str = $name;

            fn set_directory(&mut self, dir: &std::path::Path) {
                self.0.access.http.set_directory(dir);
            }

            fn start(&self, context: Context) -> Result<Task, SdError> {
                Ok(refreshing(context, self.0.access.refresh_interval, $provider::new(self)))
            }
        }
    };
}
use cluster_kind;

/// One element of `aws_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config(Role);

#[derive(Debug, Clone, PartialEq)]
enum Role {
    Ec2(ec2::Config),
    Ecs(ecs::Config),
    Elasticache(elasticache::Config),
    Lightsail(lightsail::Config),
    Msk(msk::Config),
    Rds(rds::Config),
}

aws_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        role: String,
        filters: Option<Vec<Filter>>,
        clusters: Option<Vec<String>>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    /// Filters and clusters may stand beside a role that has none; Prometheus takes them there and does nothing with them.
    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let (filters, clusters) = (keys.filters.take(), keys.clusters.take());
        Ok(Self(match keys.role.as_str() {
            "ec2" => {
                let filters = checked_filters(filters, "EC2")?;
                Role::Ec2(ec2::Config { filters, access: keys.access("ec2")? })
            }
            "ecs" => Role::Ecs(ecs::Config::of(keys.access("ecs")?, clusters, None)?),
            "elasticache" => {
                Role::Elasticache(elasticache::Config::of(keys.access("elasticache")?, clusters, None)?)
            }
            "lightsail" => Role::Lightsail(lightsail::Config { access: keys.access("lightsail")? }),
            "msk" => Role::Msk(msk::Config::of(keys.access("kafka")?, clusters, None)?),
            "rds" => Role::Rds(rds::Config::of(keys.access("rds")?, clusters, None, filters)?),
            other => return Err(format!("unknown AWS SD role {other:?}")),
        }))
    }
}

/// Hands the configuration of a role to an expression.
macro_rules! of_role {
    ($role:expr, $config:ident => $result:expr) => {
        match $role {
            Role::Ec2($config) => $result,
            Role::Ecs($config) => $result,
            Role::Elasticache($config) => $result,
            Role::Lightsail($config) => $result,
            Role::Msk($config) => $result,
            Role::Rds($config) => $result,
        }
    };
}

impl Kind for Config {
    const NAME: &'static str = "aws";

    fn set_directory(&mut self, dir: &Path) {
        of_role!(&mut self.0, config => config.set_directory(dir));
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        of_role!(&self.0, config => config.start(context))
    }
}

/// A service of one region.
#[derive(Debug)]
struct Service {
    api: Api,
    url: Url,
    region: String,
}

impl Service {
    /// Finds the region, which may have to be asked for.
    async fn open(access: &Access, name: &str) -> Result<Self, SdError> {
        let region = net::auth::aws_region(&access.sigv4)
            .await
            .map_err(|err| SdError::other(format!("could not determine AWS region: {err}")))?;
        let text = match access.endpoint.as_str() {
            "" => format!("https://{name}.{region}.{}/", net::auth::aws_dns_suffix(&region)),
            endpoint => endpoint.to_owned(),
        };
        let url = Url::parse(&text).map_err(|err| SdError::other(format!("endpoint {text:?}: {err}")))?;
        let signing = Signing::SigV4(SigV4Config { region: region.clone(), ..access.sigv4.clone() });
        let api = Api::signed(&access.http, access.refresh_interval, Some(&signing))?;
        Ok(Self { api, url, region })
    }

    /// The one that answered last, or a new one.
    async fn ready(kept: &mut Option<Self>, access: &Access, name: &str) -> Result<Self, SdError> {
        match kept.take() {
            Some(service) => Ok(service),
            None => Self::open(access, name).await,
        }
    }

    /// The text of an answer to an action of a query API.
    async fn query(&self, form: &Form) -> Result<String, SdError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        let response = self.api.send(Request::post(self.url.clone(), content_type, body)).await?;
        require_success(&self.url, &response)?;
        String::from_utf8(response.body.to_vec()).map_err(|err| bad_answer(&self.url, err))
    }
    /// Hands the root of every page of an answer of a query API to `take`.
    async fn pages(
        &self,
        mut form: Form,
        paging: &Paging,
        mut take: impl FnMut(Node<'_, '_>),
    ) -> Result<(), SdError> {
        let n_fixed = form.len();
        for _ in 0..PAGES_MAX {
            let answer = self.query(&form).await?;
            let doc = roxmltree::Document::parse(&answer).map_err(|err| bad_answer(&self.url, err))?;
            take(doc.root_element());
            let next = at(doc.root_element(), paging.told);
            if next.is_empty() {
                return Ok(());
            }
            form.truncate(n_fixed);
            form.push((paging.asked.to_owned(), next.to_owned()));
        }
        Err(too_many_pages(&self.url))
    }

    /// The answer of a JSON API to `body`.
    async fn call(&self, operation: &'static str, body: &Value) -> Result<Value, SdError> {
        let mut request = Request::post(self.url.clone(), "application/x-amz-json-1.1", body.to_string());
        let operation = HeaderValue::from_static(operation);
        request.headers.insert(HeaderName::from_static("x-amz-target"), operation);
        let answer = self.api.send(request).await?;
        json(&self.url, &answer)
    }

    /// What stands in the list at `place` of every page of such an answer.
    async fn list(
        &self,
        operation: &'static str,
        mut body: Value,
        paging: &Paging,
        place: &str,
    ) -> Result<Vec<Value>, SdError> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.call(operation, &body).await?;
            all.extend(items(&answer, place).iter().cloned());
            let next = text(&answer, paging.told);
            if next.is_empty() {
                return Ok(all);
            }
            body[paging.asked] = next.into();
        }
        Err(too_many_pages(&self.url))
    }
}

/// Where a page says that there is a next one, and how that is asked for.
struct Paging {
    asked: &'static str,
    told: &'static str,
}

fn too_many_pages(url: &Url) -> SdError {
    bad_answer(url, format!("more than {PAGES_MAX} pages"))
}

/// Fields of a question to a query API.
type Form = Vec<(String, String)>;

/// An action of a query API, and what it takes.
fn action(name: &str, version: &str, fields: &[(&str, &str)]) -> Form {
    let fixed = [("Action", name), ("Version", version)];
    let all = fixed.iter().chain(fields);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The text of the element at a path below `node`; empty when there is none.
fn at<'a>(node: Node<'a, '_>, path: &str) -> &'a str {
    below(node, path).and_then(|node| node.text()).unwrap_or_default()
}

/// The element at a path below `node`.
fn below<'a, 'd>(node: Node<'a, 'd>, path: &str) -> Option<Node<'a, 'd>> {
    path.split('/').try_fold(node, |node, name| node.children().find(|child| child.tag_name().name() == name))
}

/// What stands in the list at a path below `node`, whatever its elements are called.
fn children<'a, 'd>(node: Node<'a, 'd>, path: &str) -> impl Iterator<Item = Node<'a, 'd>> {
    let list = below(node, path);
    list.into_iter().flat_map(|list| list.children()).filter(|child| child.is_element())
}

/// A label and where its value stands.
type Place = (&'static str, &'static str);

/// Sets labels, whose names begin with `group`, from places in XML. Times are cut to seconds, as Prometheus shows them.
fn take_xml(target: &mut Target, group: &str, node: Node<'_, '_>, places: &[Place]) {
    for (name, place) in places {
        let value = at(node, place);
        if !value.is_empty() {
            let is_time = place.ends_with("Time") || place.ends_with("Date");
            let time = if is_time { value.parse::<jiff::Timestamp>().ok() } else { None };
            let time = time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            target.set(&format!("{group}{name}"), time.as_deref().unwrap_or(value));
        }
    }
}

/// Labels of tags in XML.
fn take_xml_tags<'a, 'd: 'a>(target: &mut Target, group: &str, tags: impl Iterator<Item = Node<'a, 'd>>) {
    for tag in tags {
        target.tag(group, at(tag, "Key"), at(tag, "Value"));
    }
}

/// The part of an ARN behind its account: a kind of thing, and what its name is.
fn arn_resource(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(7, ':').skip(5);
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
