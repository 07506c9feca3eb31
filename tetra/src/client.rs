//! Connecting to an agent and calling it, with the command line's timeout and retries.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tetragon_api::service::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::address;
use crate::cli::Globals;
use crate::terminal::note;

/// The agent's API.
pub(crate) type Client = FineGuidanceSensorsClient<Channel>;

/// The pause before the first retry. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What every command runs in.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("failed to start")
}

/// Connects, and tries again as often as the command line allows while its timeout lasts.
pub(crate) async fn connect(globals: &Globals) -> anyhow::Result<Client> {
    let address = address::resolve(globals.server_address.as_deref());
    if globals.debug {
        note(&format!("DEBUG: server address {address}"));
    }
    let endpoint = address::endpoint(&address)?;
    let tls = globals.tls.connector(&address)?;
    let deadline = Instant::now() + globals.timeout;
    let mut pause = FIRST_PAUSE;
    let mut left = globals.retries;
    loop {
        let connect = async {
            match &tls {
                Some(tls) => endpoint.connect_with_connector(tls.clone().service()).await,
                None => endpoint.connect().await,
            }
        };
        let error = match timeout_at(deadline, connect).await {
            Ok(Ok(channel)) => {
                return Ok(Client::new(channel).max_decoding_message_size(globals.max_recv_size));
            }
            Ok(Err(error)) => anyhow!("{}", root_cause(&error)),
            Err(_) => anyhow!("no answer within {:?}", globals.timeout),
        };
        let retry = Instant::now() + pause;
        if left == 0 || retry >= deadline {
            // Where the agent's certificate is not trusted, that is all.
            let hint = match error.to_string() {
                text if text.contains("invalid peer certificate") => "",
                _ => globals.tls.hint(),
            };
            return Err(error.context(format!(
                "failed to connect to {address} (is the agent running? --server-address says where it listens){hint}"
            )));
        }
        if globals.debug {
            note(&format!("DEBUG: {error:#}; trying again in {pause:?}"));
        }
        left -= 1;
        pause *= 2;
        sleep_until(retry).await;
    }
}

/// Connects and makes one call, all within the timeout. `what` finishes "failed to ...".
pub(crate) fn call<T, F>(globals: &Globals, what: &str, make: impl FnOnce(Client) -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    runtime()?.block_on(async {
        let deadline = Instant::now() + globals.timeout;
        let client = connect(globals).await?;
        match timeout_at(deadline, make(client)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => {
                // An error below the answer, and no answer of the agent.
                let hint = if status.source().is_some() { globals.tls.hint() } else { "" };
                Err(refused(&status).context(format!("failed to {what}{hint}")))
            }
            Err(_) => Err(anyhow!("failed to {what}: no answer within {:?}", globals.timeout)),
        }
    })
}

/// A status as gRPC tools show it.
pub(crate) fn refused(status: &Status) -> anyhow::Error {
    let message = match status.source().filter(|_| status.message() == "transport error") {
        Some(error) => root_cause(error).to_string(),
        None => status.message().to_owned(),
    };
    anyhow!("rpc error: code = {:?} desc = {message}", status.code())
}

/// The innermost error, which is the one that says something.
fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
