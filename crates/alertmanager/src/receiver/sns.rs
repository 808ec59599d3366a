//! Amazon SNS: one message to a topic, an endpoint or a telephone, by the query interface of version 2010-03-31.

use std::collections::BTreeMap;
use std::path::PathBuf;

use net::auth::{SigV4Config, Signing};
use net::{HttpClientConfig, Request};
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{cut_bytes, non_empty, or_template};
use super::{Kind, Sending};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

/// Longest message, in bytes. Amazon's limit.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Longest message to a telephone, in bytes. Amazon's limit of one publication.
const SMS_BYTES_MAX: usize = 1600;

/// `sns_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<String>,
    sigv4: Option<SigV4Config>,
    topic_arn: Option<String>,
    phone_number: Option<String>,
    target_arn: Option<String>,
    subject: Option<String>,
    message: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    use_aws_http_client: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Sns {
    http: HttpClientConfig,
    signing: Signing,
    /// A template, or the region's own address.
    url: String,
    /// The parameter's name and a template of its value.
    to: (&'static str, String),
    subject: String,
    message: String,
    attributes: BTreeMap<String, String>,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Sns, Fault> {
        let to = [
            ("TopicArn", &self.topic_arn),
            ("PhoneNumber", &self.phone_number),
            ("TargetArn", &self.target_arn),
        ];
        let mut to = to.into_iter().filter_map(|(name, value)| Some((name, non_empty(value)?)));
        let (Some(to), None) = (to.next(), to.next()) else {
            return Err(Fault::new(
                "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config",
            ));
        };
        let mut sigv4 = self.sigv4.clone().unwrap_or_default();
        let url = match (non_empty(&self.api_url), sigv4.region.as_str()) {
            (Some(url), _) => url,
            (None, "") => return Err(Fault::new("region not configured in sns.sigv4.region")),
            (None, region) => format!("https://sns.{region}.amazonaws.com/"),
        };
        sigv4.service_name = "sns".to_owned();
        Ok(Sns {
            http: self.client(checker),
            signing: Signing::SigV4(sigv4),
            url,
            to,
            subject: or_template(&self.subject, "sns.default.subject"),
            message: or_template(&self.message, "sns.default.message"),
            attributes: self.attributes.clone().unwrap_or_default(),
        })
    }
}

impl Keys {
    /// How Amazon is reached. As its own library does it when it is asked for, or when a bundle of authorities is named in the
    /// environment: of `http_config` TLS and proxies count, and that bundle takes the place of the machine's authorities.
    fn client(&self, checker: &Checker<'_>) -> HttpClientConfig {
        let http = checker.http(self.http_config.as_ref());
        let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        if bundle.is_none() && self.use_aws_http_client != Some(true) {
            return http;
        }
        as_amazons(http, bundle.map(PathBuf::from))
    }
}

fn as_amazons(http: HttpClientConfig, bundle: Option<PathBuf>) -> HttpClientConfig {
    let mut tls_config = http.tls_config;
    if let Some(bundle) = bundle {
        let tls = tls_config.get_or_insert_default();
        (tls.ca, tls.ca_file) = (String::new(), Some(bundle));
    }
    HttpClientConfig { tls_config, proxy: http.proxy, ..HttpClientConfig::default() }
}

impl Sns {
    /// The form's fields, in order.
    fn fields(&self, attempt: &Attempt<'_>) -> Result<Vec<(String, String)>, Failure> {
        let (name, template) = &self.to;
        let to = attempt.text(template)?;
        let field = |name: &str, value: String| (name.to_owned(), value);
        let mut fields =
            vec![field("Action", "Publish".to_owned()), field("Version", "2010-03-31".to_owned())];
        if *name == "TopicArn" && to.ends_with(".fifo") {
            fields.push(field("MessageDeduplicationId", attempt.group_hash()));
            fields.push(field("MessageGroupId", attempt.group_hash()));
        }
        fields.push(field(name, to));
        let bytes_max = if *name == "PhoneNumber" { SMS_BYTES_MAX } else { MESSAGE_BYTES_MAX };
        let message = attempt.text(&self.message)?;
        let is_cut = message.len() > bytes_max;
        fields.push(field("Message", cut_bytes(message, bytes_max)));
        let subject = attempt.text(&self.subject)?;
        if !subject.is_empty() {
            fields.push(field("Subject", subject));
        }
        let mut attributes = BTreeMap::new();
        for (name, value) in &self.attributes {
            attributes.insert(attempt.text(name)?, attempt.text(value)?);
        }
        if is_cut {
            attributes.insert("truncated".to_owned(), "true".to_owned());
        }
        for (i, (name, value)) in (1..).zip(attributes) {
            let entry = format!("MessageAttributes.entry.{i}");
            fields.push((format!("{entry}.Name"), name));
            fields.push((format!("{entry}.Value.DataType"), "String".to_owned()));
            fields.push((format!("{entry}.Value.StringValue"), value));
        }
        Ok(fields)
    }
}

fn form_of(fields: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl Kind for Sns {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn signing(&self) -> Option<&Signing> {
        Some(&self.signing)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let url = Url::parse(&attempt.text(&self.url)?)
                .map_err(|err| Failure::refused(format!("api_url is not a URL: {err}")))?;
            let form = form_of(&self.fields(attempt)?);
            let request = Request::post(url, "application/x-www-form-urlencoded", form);
            attempt.deliver(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_client_takes_tls_and_proxies_and_the_bundle_of_the_environment() {
        let text = "{basic_auth: {username: u}, follow_redirects: false, proxy_url: 'http://p:1', tls_config: {server_name: s, ca: x}}";
        let http: HttpClientConfig = model::yaml::parse("a.yml", text).expect("good");
        let plain = as_amazons(http.clone(), None);
        assert_eq!((&plain.basic_auth, plain.follow_redirects, &plain.proxy), (&None, true, &http.proxy));
        assert_eq!(plain.tls_config, http.tls_config);
        let tls = as_amazons(http, Some("/b.pem".into())).tls_config.expect("with a bundle");
        assert_eq!((tls.server_name.as_str(), tls.ca.as_str()), ("s", ""));
        assert_eq!(tls.ca_file.as_deref(), Some(std::path::Path::new("/b.pem")));
        let tls = as_amazons(HttpClientConfig::default(), Some("/b.pem".into())).tls_config;
        assert!(tls.is_some_and(|tls| tls.ca_file.is_some()));
    }
}
