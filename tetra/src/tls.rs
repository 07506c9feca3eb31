//! TLS to an agent, as the command line asks for it: any of its flags switches it on.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tetragon_tls::client::{system_roots, trusting, unchecked};
use tetragon_tls::{add_authorities, certificates, key, read};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;

/// Flags of TLS.
#[derive(Args, Debug)]
pub(crate) struct Tls {
    /// Client certificate, PEM, for agents that ask for one
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS options")]
    tls_cert_file: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS options")]
    tls_key_file: Option<PathBuf>,
    /// Authorities that the agent's certificate is checked with, PEM [default: the system's]
    #[arg(long, global = true, value_name = "FILES", value_delimiter = ',', help_heading = "TLS options")]
    tls_ca_cert_files: Vec<PathBuf>,
    /// The name that the agent's certificate is for [default: the address's host]
    #[arg(long, global = true, value_name = "NAME", help_heading = "TLS options")]
    tls_server_name: Option<String>,
    /// Do not check the agent's certificate (for development only)
    #[arg(long, global = true, help_heading = "TLS options")]
    tls_skip_verify: bool,
}

impl Tls {
    fn is_on(&self) -> bool {
        let own = self.tls_cert_file.is_some() || self.tls_key_file.is_some();
        own || !self.tls_ca_cert_files.is_empty() || self.tls_server_name.is_some() || self.tls_skip_verify
    }

    /// What may be the matter when an agent ends a connection: it says so only once the handshake is over.
    pub(crate) fn hint(&self) -> &'static str {
        if self.is_on() && self.tls_cert_file.is_none() {
            " (does the agent ask its clients for a certificate? --tls-cert-file and --tls-key-file give it one)"
        } else {
            ""
        }
    }

    /// How to connect to an address with TLS; `None`: without.
    pub(crate) fn connector(&self, address: &str) -> anyhow::Result<Option<Connector>> {
        if !self.is_on() {
            return Ok(None);
        }
        let authorities = !self.tls_ca_cert_files.is_empty();
        if address.starts_with("unix:") {
            bail!(
                "{address}: a Unix socket has no TLS; --server-address HOST:PORT has, or leave the --tls flags out"
            );
        }
        if self.tls_skip_verify && authorities {
            bail!(
                "--tls-skip-verify checks nothing, so that --tls-ca-cert-files has no effect; leave one of them out"
            );
        }
        let trust = if self.tls_skip_verify {
            unchecked()?
        } else if authorities {
            let mut roots = RootCertStore::empty();
            for path in &self.tls_ca_cert_files {
                add_authorities(&mut roots, &read(path)?).with_context(|| path.display().to_string())?;
            }
            trusting(roots)?
        } else {
            trusting(system_roots().context("name a file of certificates with --tls-ca-cert-files")?)?
        };
        let mut config = match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => trust.with_no_client_auth(),
            (Some(certificate), Some(own)) => {
                let chain =
                    certificates(&read(certificate)?).with_context(|| certificate.display().to_string())?;
                let key = key(&read(own)?).with_context(|| own.display().to_string())?;
                let pair = || format!("{} and {} do not fit", certificate.display(), own.display());
                trust.with_client_auth_cert(chain, key).with_context(pair)?
            }
            _ => bail!("--tls-cert-file and --tls-key-file belong together"),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = self.tls_server_name.as_ref().map(|name| server_name(name)).transpose()?;
        Ok(Some(Connector { tls: TlsConnector::from(Arc::new(config)), name }))
    }
}

fn server_name(name: &str) -> anyhow::Result<ServerName<'static>> {
    // Addresses of IPv6 are in brackets before a port.
    let name = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(name.to_owned()).with_context(|| format!("{name:?} is no name of a server"))
}

/// Connects and shakes hands.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    name: Option<ServerName<'static>>,
}

/// A connection that is being made.
type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<TlsStream<TcpStream>>>> + Send>>;

impl Connector {
    /// As tonic asks for it.
    pub(crate) fn service(
        self,
    ) -> impl tower::Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future = Connecting>
    {
        tower::service_fn(move |to: Uri| -> Connecting { Box::pin(self.clone().connect(to)) })
    }

    async fn connect(self, to: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let host = to.host().unwrap_or_default();
        let name = match self.name {
            Some(name) => name,
            None => server_name(host).map_err(io::Error::other)?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, to.port_u16().unwrap_or_default())).await?;
        tcp.set_nodelay(true)?;
        Ok(TokioIo::new(self.tls.connect(name, tcp).await?))
    }
}
