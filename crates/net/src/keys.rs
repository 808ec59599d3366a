//! The keys of an HTTP client beside a struct's own, without `serde(flatten)`, which loses lines and unknown keys.

/// Adds the keys of [`HttpClientKeys`](crate::config::HttpClientKeys) to a struct that is read with `#[serde(default)]`,
/// and a method `take_http` that checks and gives what was read.
#[macro_export]
macro_rules! with_http_keys {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($body:tt)* }) => {
        $(#[$meta])*
        $vis struct $name {
            $($body)*
            basic_auth: Option<$crate::config::BasicAuth>,
            authorization: Option<$crate::config::Authorization>,
            oauth2: Option<$crate::config::OAuth2>,
            bearer_token: Option<$crate::Secret>,
            bearer_token_file: Option<std::path::PathBuf>,
            tls_config: Option<$crate::config::TlsConfig>,
            proxy_url: Option<$crate::Secret>,
            no_proxy: Option<String>,
            proxy_from_environment: Option<bool>,
            proxy_connect_header: Option<std::collections::BTreeMap<String, Vec<$crate::Secret>>>,
            follow_redirects: Option<bool>,
            enable_http2: Option<bool>,
            http_headers: Option<std::collections::BTreeMap<String, $crate::config::HeaderConfig>>,
        }

        impl $name {
            /// How to connect.
            $vis fn take_http(&mut self) -> Result<$crate::HttpClientConfig, String> {
                $crate::HttpClientConfig::try_from($crate::config::HttpClientKeys {
                    basic_auth: self.basic_auth.take(),
                    authorization: self.authorization.take(),
                    oauth2: self.oauth2.take(),
                    bearer_token: self.bearer_token.take(),
                    bearer_token_file: self.bearer_token_file.take(),
                    tls_config: self.tls_config.take(),
                    proxy_url: self.proxy_url.take(),
                    no_proxy: self.no_proxy.take(),
                    proxy_from_environment: self.proxy_from_environment.take(),
                    proxy_connect_header: self.proxy_connect_header.take(),
                    follow_redirects: self.follow_redirects.take(),
                    enable_http2: self.enable_http2.take(),
                    http_headers: self.http_headers.take(),
                })
            }
        }
    };
}
