//! The kinds of receivers: one file for each, with its keys, their checks, and what is sent.
//!
//! In from [`crate::config`] as keys; out to [`crate::notify`] as [`Kind`]s, each of which says one message in one
//! [`Attempt`]. To add a kind: its file here, and its line in the table below.

mod discord;
mod email;
mod incidentio;
mod jira;
mod mattermost;
mod msteams;
mod msteamsv2;
mod opsgenie;
mod pagerduty;
mod pushover;
mod rocketchat;
mod slack;
mod sns;
mod telegram;
mod value;
mod victorops;
mod webex;
pub(crate) mod webhook;
mod wechat;

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use net::HttpClientConfig;
use net::auth::Signing;
use serde::{Deserialize, Serialize};

use crate::config::{At, Checker, Fault, Integration};
use crate::notify::{Attempt, Failure};

pub(crate) use email::host_port;
pub(crate) use slack::APP_URL as SLACK_APP_URL;
pub(crate) use value::{Source, parse_url};

/// What an attempt comes to, later.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// One way of telling, checked and ready.
pub(crate) trait Kind: Debug + Send + Sync {
    /// How it connects; `None` when not by HTTP.
    fn http(&self) -> Option<&HttpClientConfig>;

    /// How its requests are signed, beyond what [`Kind::http`] says.
    fn signing(&self) -> Option<&Signing> {
        None
    }

    /// Its own bound of an attempt; `None` for the group's.
    fn timeout(&self) -> Option<std::time::Duration> {
        None
    }

    /// How many alerts one message holds; 0 for all.
    fn alerts_max(&self) -> usize {
        0
    }

    /// Says the message once.
    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a>;
}

/// The table of kinds: key of the file, name in metrics, module, and whether it tells of resolved alerts when the file
/// does not say.
macro_rules! kinds {
    ($($key:ident $name:literal $module:ident $sends_resolved:literal),* $(,)?) => {
        /// A receiver as it stands in a file.
        #[derive(Debug, Default, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct RawReceiver {
            pub(crate) name: Option<String>,
            pub(crate) labels: Option<std::collections::BTreeMap<String, String>>,
            $($key: Option<Vec<At<Option<$module::Keys>>>>,)*
        }

        /// Names of all kinds, as in metrics.
        pub(crate) const NAMES: &[&str] = &[$($name,)*];

        impl RawReceiver {
            /// All integrations of the receiver called `receiver`, in the table's order.
            pub(crate) fn check(&self, receiver: &str, checker: &Checker<'_>) -> Result<Vec<Arc<Integration>>, Fault> {
                let mut integrations = Vec::new();
                $(for (idx, at) in self.$key.iter().flatten().enumerate() {
                    let missing = || Fault::at(at, concat!("missing ", $name, " config"));
                    let keys = at.value.as_ref().ok_or_else(missing)?;
                    let kind = keys.check(checker).map_err(|fault| fault.or_at(at))?;
                    integrations.push(Arc::new(Integration {
                        receiver: receiver.to_owned(),
                        name: $name,
                        idx,
                        sends_resolved: keys.send_resolved.unwrap_or($sends_resolved),
                        kind: Arc::new(kind),
                    }));
                })*
                Ok(integrations)
            }
        }
    };
}

kinds! {
    webhook_configs "webhook" webhook true,
    email_configs "email" email false,
    slack_configs "slack" slack false,
    pagerduty_configs "pagerduty" pagerduty true,
    opsgenie_configs "opsgenie" opsgenie true,
    victorops_configs "victorops" victorops true,
    pushover_configs "pushover" pushover true,
    wechat_configs "wechat" wechat false,
    sns_configs "sns" sns true,
    telegram_configs "telegram" telegram true,
    discord_configs "discord" discord true,
    webex_configs "webex" webex true,
    msteams_configs "msteams" msteams true,
    msteamsv2_configs "msteamsv2" msteamsv2 true,
    jira_configs "jira" jira true,
    rocketchat_configs "rocketchat" rocketchat false,
    mattermost_configs "mattermost" mattermost true,
    incidentio_configs "incidentio" incidentio true,
}

#[cfg(test)]
mod tests;
