//! The kinds of service discovery: one table, and one file for each.
//!
//! **To add a kind** `foo`:
//! 1. `kinds/foo.rs`: its configuration `Config` (`Debug`, `Clone`, `PartialEq`, `Deserialize` through a struct of keys,
//!    checked while read; [`net::with_http_keys`] adds the keys of an HTTP client), its [`Kind`], its [`Provider`] or
//!    [`Task`], and tests against recorded answers from [`crate::fake`]. Refreshed kinds end [`Kind::start`] with
//!    `Ok(refreshing(context, self.refresh_interval, provider))`; requests go through [`crate::http::Api`].
//! 2. here: `pub mod foo;` and its line in [`table`], moved from `refused` to `served`.
//! 3. docs/user/service-discovery.md: its keys and meta labels; changelog.d/service-discovery.added.md.
//!
//! `scrape_configs` and `alertmanagers` take it then by themselves: both are made by [`with_kinds`](crate::with_kinds).
//!
//! Names of labels, defaults and the words of refusals are Prometheus 3.14's.

pub mod aws;
pub mod azure;
mod cloud;
pub mod consul;
pub mod digitalocean;
pub mod dns;
pub mod docker;
pub mod dockerswarm;
pub mod eureka;
pub mod file;
pub mod gce;
pub mod hetzner;
pub mod http;
pub mod ionos;
pub mod kubernetes;
pub mod kuma;
pub mod linode;
pub mod marathon;
pub mod nerve;
pub mod nomad;
pub mod oci;
pub mod openstack;
pub mod outscale;
pub mod ovhcloud;
pub mod puppetdb;
pub mod scaleway;
pub mod serverset;
pub mod stackit;
pub mod triton;
pub mod uyuni;
pub mod vultr;

use std::path::Path;

pub use aws::{ec2, ecs, elasticache, lightsail, msk, rds};

use model::Duration;

use crate::SdError;
use crate::driver::{Context, Task};
use crate::group::TargetGroup;

#[cfg(doc)]
use crate::driver::Provider;

/// What a kind's configuration can do.
pub trait Kind {
    /// `http`, `consul` and so on: the label `mechanism`, and the key without `_sd_configs`.
    const NAME: &'static str;

    /// Takes relative file names as relative to `dir`, the configuration file's own directory.
    fn set_directory(&mut self, _dir: &Path) {}

    /// What watches it.
    ///
    /// # Errors
    /// When a client cannot be made, for instance since a file of certificates is missing.
    fn start(&self, context: Context) -> Result<Task, SdError>;
}

/// `refresh_interval` as given, or the default. Zero is refused: it would ask without a pause.
///
/// # Errors
/// When it is zero.
pub fn interval(given: Option<Duration>, default_secs: i64) -> Result<Duration, String> {
    match given {
        Some(given) if given.is_zero() => Err("refresh_interval must be greater than 0".to_owned()),
        given => Ok(given.unwrap_or(Duration::from_secs(default_secs))),
    }
}

/// Makes everything that depends on which kinds there are.
macro_rules! table {
    (
        ($d:tt)
        served { $($key:ident: $variant:ident($module:ident),)* }
        refused { $($later:ident,)* }
    ) => {
        /// One element of a `*_sd_configs`, or all `static_configs` of a section.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "named as in the file")]
        pub enum SdConfig {
            Static(Vec<TargetGroup>),
            $($variant(Box<$module::Config>),)*
        }

        /// Which kinds are served, by the keys without `_sd_configs`.
        pub const SERVED: &[&str] = &["static", $(<$module::Config as Kind>::NAME),*];

        $(impl From<$module::Config> for SdConfig {
            fn from(config: $module::Config) -> Self {
                Self::$variant(Box::new(config))
            }
        })*

        impl SdConfig {
            /// `static`, `http`, `consul` and so on.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    Self::Static(_) => "static",
                    $(Self::$variant(_) => <$module::Config as Kind>::NAME,)*
                }
            }

            /// Takes relative file names as relative to `dir`, the configuration file's own directory.
            pub fn set_directory(&mut self, dir: &Path) {
                match self {
                    Self::Static(_) => {}
                    $(Self::$variant(config) => config.set_directory(dir),)*
                }
            }

            pub(crate) fn start(&self, context: Context) -> Result<Task, SdError> {
                match self {
                    Self::Static(groups) => {
                        context.publish(groups.clone());
                        Ok(Box::pin(std::future::ready(())))
                    }
                    $(Self::$variant(config) => config.start(context),)*
                }
            }
        }

        /// Kinds that are known but not served yet: reading one is an error at its own line.
        pub mod refused {
            $(
                /// Stands for a key that is refused.
                #[derive(Debug, Default)]
                #[expect(non_camel_case_types, reason = "named as in the file")]
                pub struct $later;

                impl<'de> serde::Deserialize<'de> for $later {
                    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                        Err(serde::de::Error::custom(concat!(
                            stringify!($later), " is not served yet: use file_sd_configs"
                        )))
                    }
                }
            )*
        }

        /// Adds the keys of all kinds to a struct that is read with `#[serde(default)]`, and a method `take_sd` that
        /// gives what was read; and those of [`net::with_http_keys`], which stand wherever these do. Its crate needs
        /// `serde`, `model` and `net`.
        #[macro_export]
        macro_rules! with_kinds {
            ($d(#[$d meta:meta])* $d vis:vis struct $d name:ident { $d($d body:tt)* }) => {
                net::with_http_keys! {
                $d(#[$d meta])*
                $d vis struct $d name {
                    $d($d body)*
                    #[serde(deserialize_with = "discovery::group::read_static")]
                    static_configs: Vec<$crate::TargetGroup>,
                    $(
                        #[serde(deserialize_with = "discovery::group::read_sections")]
                        $key: Vec<$crate::kinds::$module::Config>,
                    )*
                    $(
                        #[expect(dead_code, reason = "reading it is an error")]
                        $later: $crate::kinds::refused::$later,
                    )*
                }
}

                impl $d name {
                    /// Everything that finds targets, `static_configs` first.
                    pub(crate) fn take_sd(&mut self) -> Vec<$crate::SdConfig> {
                        let mut all = Vec::new();
                        if !self.static_configs.is_empty() {
                            all.push($crate::SdConfig::Static(std::mem::take(&mut self.static_configs)));
                        }
                        $(all.extend(std::mem::take(&mut self.$key).into_iter().map($crate::SdConfig::from));)*
                        all
                    }
                }
            };
        }
    };
}

table! {
    ($)
    served {
        aws_sd_configs: Aws(aws),
        azure_sd_configs: Azure(azure),
        consul_sd_configs: Consul(consul),
        digitalocean_sd_configs: DigitalOcean(digitalocean),
        dns_sd_configs: Dns(dns),
        docker_sd_configs: Docker(docker),
        dockerswarm_sd_configs: DockerSwarm(dockerswarm),
        ec2_sd_configs: Ec2(ec2),
        ecs_sd_configs: Ecs(ecs),
        elasticache_sd_configs: Elasticache(elasticache),
        eureka_sd_configs: Eureka(eureka),
        file_sd_configs: File(file),
        gce_sd_configs: Gce(gce),
        hetzner_sd_configs: Hetzner(hetzner),
        http_sd_configs: Http(http),
        ionos_sd_configs: Ionos(ionos),
        kubernetes_sd_configs: Kubernetes(kubernetes),
        kuma_sd_configs: Kuma(kuma),
        lightsail_sd_configs: Lightsail(lightsail),
        linode_sd_configs: Linode(linode),
        marathon_sd_configs: Marathon(marathon),
        msk_sd_configs: Msk(msk),
        nerve_sd_configs: Nerve(nerve),
        nomad_sd_configs: Nomad(nomad),
        oci_sd_configs: Oci(oci),
        openstack_sd_configs: OpenStack(openstack),
        outscale_sd_configs: Outscale(outscale),
        ovhcloud_sd_configs: OvhCloud(ovhcloud),
        puppetdb_sd_configs: PuppetDb(puppetdb),
        rds_sd_configs: Rds(rds),
        scaleway_sd_configs: Scaleway(scaleway),
        serverset_sd_configs: Serverset(serverset),
        stackit_sd_configs: Stackit(stackit),
        triton_sd_configs: Triton(triton),
        uyuni_sd_configs: Uyuni(uyuni),
        vultr_sd_configs: Vultr(vultr),
    }
    refused {
    }
}
