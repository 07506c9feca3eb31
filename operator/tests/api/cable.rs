//! A way to the API server that can be cut and mended.

use std::sync::Arc;

use kube::{Client, Config};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub struct Cable {
    whole: watch::Sender<bool>,
    address: String,
    _carrier: JoinSet<()>,
}

impl Cable {
    /// To the server of that configuration.
    pub async fn lay(configuration: &Config) -> Cable {
        let url = &configuration.cluster_url;
        let server = format!("{}:{}", url.host().unwrap(), url.port_u16().unwrap_or(443));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (whole, watching) = watch::channel(true);
        let mut carrier = JoinSet::new();
        carrier.spawn(carry(listener, server.into(), watching));
        Cable { whole, address, _carrier: carrier }
    }

    /// A client at its end.
    pub fn client(&self, configuration: &Config) -> Client {
        let mut configuration = configuration.clone();
        configuration.tls_server_name = configuration.cluster_url.host().map(str::to_owned);
        configuration.cluster_url = format!("https://{}", self.address).parse().unwrap();
        Client::try_from(configuration).unwrap()
    }

    /// What is under way is lost, and nothing passes any more: connections hang, as in a network that
    /// drops packets.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(listener: TcpListener, server: Arc<str>, watching: watch::Receiver<bool>) {
    let mut all = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let (server, mut watching) = (server.clone(), watching.clone());
        all.spawn(async move {
            if !*watching.borrow() {
                let _ = watching.wait_for(|whole| *whole).await;
                return;
            }
            let Ok(mut far) = TcpStream::connect(&*server).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = watching.wait_for(|whole| !*whole) => {}
            }
        });
    }
}
