//! Connections for protocols that are not HTTP: TCP, and TLS over it where there is a `tls_config`. No proxies.
//!
//! Files of the `tls_config` are read again for each connection, so that a renewed certificate is taken without a reload.

use std::sync::Arc;

use rustls::ClientConfig;
use stdx::DiskDir;

use crate::config::TlsConfig;
use crate::connect::{Stream, dial, handshake};
use crate::error::{BuildError, Cause};
use crate::tls::{TlsFiles, client_config};

/// Makes connections of one kind.
#[derive(Debug, Clone)]
pub struct Dialer {
    tls: Option<TlsConfig>,
}

impl Dialer {
    /// Without settings for TLS, connections are plain.
    ///
    /// # Errors
    /// When a file cannot be read or is not what its key asks for.
    pub fn new(tls: Option<TlsConfig>) -> Result<Self, BuildError> {
        if let Some(tls) = &tls {
            read(tls)?;
        }
        Ok(Self { tls })
    }

    /// A connection to the first address of `host` that answers. Takes as long as the system lets it: the caller sets the time.
    ///
    /// # Errors
    /// When there is no address, no answer, or no agreement on TLS.
    pub async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, Cause> {
        let tcp = dial(host, port, 0, false).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let config = read(tls).map_err(|err| Cause::Tls(err.to_string()))?;
        Ok(Box::new(handshake(Arc::new(config), tls, host, tcp).await?))
    }
}

fn read(tls: &TlsConfig) -> Result<ClientConfig, BuildError> {
    client_config(tls, &TlsFiles::read(tls, &DiskDir::anywhere())?)
}
