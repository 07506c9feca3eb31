//! The gRPC API, `FineGuidanceSensors`: events to listeners, policies to the control thread. Every
//! method that is not here answers Unimplemented by its name.

use std::sync::{Arc, mpsc};

use tetragon_api::event::runtime_hook_request::Event;
use tetragon_api::event::{
    AddTracingPolicyRequest, AddTracingPolicyResponse, ConfigureTracingPolicyRequest,
    ConfigureTracingPolicyResponse, DeleteTracingPolicyRequest, DeleteTracingPolicyResponse,
    DisableTracingPolicyRequest, DisableTracingPolicyResponse, EnableTracingPolicyRequest,
    EnableTracingPolicyResponse, GetEventsRequest, GetEventsResponse, GetHealthStatusRequest,
    GetHealthStatusResponse, GetVersionRequest, GetVersionResponse, HealthStatus, HealthStatusResult,
    HealthStatusType, ListDomainsRequest, ListDomainsResponse, ListTracingPoliciesRequest,
    ListTracingPoliciesResponse, RuntimeHookRequest, RuntimeHookResponse, TracingPolicyStats,
};
use tetragon_api::service::fine_guidance_sensors_server::FineGuidanceSensors;
use tetragon_filters::{Fields, FilterError, FilterList, Filters, Shown};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::control::{Board, Command, Refusal, Reply, What, mode_of};
use crate::counters::Counters;
use crate::hub::Hub;
use crate::pods::hook::Hook;

/// What `tetra version --server` shows.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), "-rs");

/// The service.
pub struct Service {
    hub: Arc<Hub>,
    board: Arc<Board>,
    counters: Arc<Counters>,
    control: mpsc::Sender<Command>,
    hook: Hook,
    shown: Shown,
}

impl Service {
    /// A service over the agent's threads.
    pub fn new(
        hub: Arc<Hub>,
        board: Arc<Board>,
        counters: Arc<Counters>,
        control: mpsc::Sender<Command>,
        hook: Hook,
    ) -> Service {
        Service { hub, board, counters, control, hook, shown: Shown::default() }
    }

    /// Events say only this: filters about something else are refused.
    pub fn with_shown(self, shown: Shown) -> Service {
        Service { shown, ..self }
    }

    /// Sends a command to the control thread and waits for its answer.
    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), Status> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Status::unavailable("the agent is stopping");
        self.control.send(command(reply)).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(status)
    }

    async fn change(
        &self,
        name: String,
        namespace: String,
        domain: String,
        what: Vec<What>,
    ) -> Result<(), Status> {
        self.ask(|reply| Command::Change { name, namespace, domain, what, reply }).await
    }
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Invalid(text) => Status::invalid_argument(text),
        Refusal::Exists(text) => Status::already_exists(text),
        Refusal::Missing(text) => Status::not_found(text),
        Refusal::Failed(text) => Status::failed_precondition(text),
    }
}

#[tonic::async_trait]
impl FineGuidanceSensors for Service {
    async fn get_events(
        &self,
        request: Request<GetEventsRequest>,
    ) -> Result<Response<BoxStream<GetEventsResponse>>, Status> {
        let request = request.into_inner();
        if request.aggregation_options.is_some() {
            return Err(Status::invalid_argument(
                "aggregation_options: events are not aggregated; leave it out, and every event is sent by itself",
            ));
        }
        let invalid =
            |list: &'static str| move |e: FilterError| Status::invalid_argument(format!("{list}: {e}"));
        let allow = FilterList::of(&request.allow_list, &self.shown).map_err(invalid("allow_list"))?;
        let deny = FilterList::of(&request.deny_list, &self.shown).map_err(invalid("deny_list"))?;
        let fields = Fields::new(&request.field_filters).map_err(invalid("field_filters"))?;
        let filters = Filters::new(allow, deny);
        let events = self.hub.listen(filters, fields);
        // The last one to send an event need not copy it.
        let stream = ReceiverStream::new(events).map(|event| Ok(Arc::unwrap_or_clone(event)));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_health(
        &self,
        request: Request<GetHealthStatusRequest>,
    ) -> Result<Response<GetHealthStatusResponse>, Status> {
        let wanted = request.into_inner().event_set;
        let kind = i32::from(HealthStatusType::Status);
        let running = HealthStatus {
            event: kind,
            status: HealthStatusResult::HealthStatusRunning.into(),
            details: "running".to_owned(),
        };
        let health_status =
            if wanted.is_empty() || wanted.contains(&kind) { vec![running] } else { Vec::new() };
        Ok(Response::new(GetHealthStatusResponse { health_status }))
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        Ok(Response::new(GetVersionResponse { version: VERSION.to_owned() }))
    }

    async fn add_tracing_policy(
        &self,
        request: Request<AddTracingPolicyRequest>,
    ) -> Result<Response<AddTracingPolicyResponse>, Status> {
        let AddTracingPolicyRequest { yaml, domain, .. } = request.into_inner();
        self.ask(|reply| Command::Add { yaml, domain, reply }).await?;
        Ok(Response::new(AddTracingPolicyResponse {}))
    }

    async fn delete_tracing_policy(
        &self,
        request: Request<DeleteTracingPolicyRequest>,
    ) -> Result<Response<DeleteTracingPolicyResponse>, Status> {
        let r = request.into_inner();
        self.change(r.name, r.namespace, r.domain, vec![What::Delete]).await?;
        Ok(Response::new(DeleteTracingPolicyResponse {}))
    }

    async fn enable_tracing_policy(
        &self,
        request: Request<EnableTracingPolicyRequest>,
    ) -> Result<Response<EnableTracingPolicyResponse>, Status> {
        let r = request.into_inner();
        self.change(r.name, r.namespace, r.domain, vec![What::Enable(true)]).await?;
        Ok(Response::new(EnableTracingPolicyResponse {}))
    }

    async fn disable_tracing_policy(
        &self,
        request: Request<DisableTracingPolicyRequest>,
    ) -> Result<Response<DisableTracingPolicyResponse>, Status> {
        let r = request.into_inner();
        self.change(r.name, r.namespace, r.domain, vec![What::Enable(false)]).await?;
        Ok(Response::new(DisableTracingPolicyResponse {}))
    }

    async fn configure_tracing_policy(
        &self,
        request: Request<ConfigureTracingPolicyRequest>,
    ) -> Result<Response<ConfigureTracingPolicyResponse>, Status> {
        let r = request.into_inner();
        let mut what: Vec<What> = r.enable.map(What::Enable).into_iter().collect();
        if let Some(mode) = r.mode {
            what.push(What::Mode(mode_of(mode).map_err(status)?));
        }
        self.change(r.name, r.namespace, r.domain, what).await?;
        Ok(Response::new(ConfigureTracingPolicyResponse {}))
    }

    async fn runtime_hook(
        &self,
        request: Request<RuntimeHookRequest>,
    ) -> Result<Response<RuntimeHookResponse>, Status> {
        let Some(Event::CreateContainer(created)) = request.into_inner().event else {
            return Err(Status::invalid_argument("the request has no event; right would be createContainer"));
        };
        self.hook.created(created).await.map_err(Status::invalid_argument)?;
        Ok(Response::new(RuntimeHookResponse {}))
    }

    async fn list_tracing_policies(
        &self,
        request: Request<ListTracingPoliciesRequest>,
    ) -> Result<Response<ListTracingPoliciesResponse>, Status> {
        let domain = request.into_inner().domain;
        let mut policies = self.board.policies();
        policies.retain(|p| domain.is_empty() || p.domain == domain);
        let counts = self.counters.events();
        for p in &mut policies {
            let namespace = Some(p.namespace.as_str()).filter(|n| !n.is_empty());
            let actions = counts.actions(&p.name, namespace);
            p.stats = Some(TracingPolicyStats { action_counters: Some(actions), ..Default::default() });
        }
        Ok(Response::new(ListTracingPoliciesResponse { policies }))
    }

    async fn list_domains(
        &self,
        _: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        let mut domains: Vec<String> = self.board.policies().into_iter().map(|p| p.domain).collect();
        domains.sort_unstable();
        domains.dedup();
        Ok(Response::new(ListDomainsResponse { domains }))
    }
}

#[cfg(test)]
#[path = "grpc_tests.rs"]
mod tests;
