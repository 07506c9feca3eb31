// Generated from proto/ by `cargo run -p tetragon-api --example generate`. Do not edit.
/// Generated client implementations.
pub mod fine_guidance_sensors_client {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    use tonic::codegen::http::Uri;
    /// The agent's API.
    #[derive(Debug, Clone)]
    pub struct FineGuidanceSensorsClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl<T> FineGuidanceSensorsClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
        T::Error: Into<StdError>,
        T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
        <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
    {
        pub fn new(inner: T) -> Self {
            let inner = tonic::client::Grpc::new(inner);
            Self { inner }
        }
        pub fn with_origin(inner: T, origin: Uri) -> Self {
            let inner = tonic::client::Grpc::with_origin(inner, origin);
            Self { inner }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> FineGuidanceSensorsClient<InterceptedService<T, F>>
        where
            F: tonic::service::Interceptor,
            T::ResponseBody: Default,
            T: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<
                    <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                >,
            >,
            <T as tonic::codegen::Service<
                http::Request<tonic::body::Body>,
            >>::Error: Into<StdError> + std::marker::Send + std::marker::Sync,
        {
            FineGuidanceSensorsClient::new(InterceptedService::new(inner, interceptor))
        }
        /// Compress requests with the given encoding.
        ///
        /// This requires the server to support it otherwise it might respond with an
        /// error.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.send_compressed(encoding);
            self
        }
        /// Enable decompressing responses.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.accept_compressed(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_decoding_message_size(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_encoding_message_size(limit);
            self
        }
        pub async fn get_events(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::GetEventsRequest>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<crate::event::GetEventsResponse>>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/GetEvents",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "GetEvents"));
            self.inner.server_streaming(req, path, codec).await
        }
        pub async fn get_health(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::GetHealthStatusRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetHealthStatusResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/GetHealth",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "GetHealth"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn add_tracing_policy(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::AddTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::AddTracingPolicyResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/AddTracingPolicy",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("tetragon.FineGuidanceSensors", "AddTracingPolicy"),
                );
            self.inner.unary(req, path, codec).await
        }
        pub async fn delete_tracing_policy(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::DeleteTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::DeleteTracingPolicyResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/DeleteTracingPolicy",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new(
                        "tetragon.FineGuidanceSensors",
                        "DeleteTracingPolicy",
                    ),
                );
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_tracing_policies(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::ListTracingPoliciesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ListTracingPoliciesResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/ListTracingPolicies",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new(
                        "tetragon.FineGuidanceSensors",
                        "ListTracingPolicies",
                    ),
                );
            self.inner.unary(req, path, codec).await
        }
        pub async fn configure_tracing_policy(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::ConfigureTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ConfigureTracingPolicyResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/ConfigureTracingPolicy",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new(
                        "tetragon.FineGuidanceSensors",
                        "ConfigureTracingPolicy",
                    ),
                );
            self.inner.unary(req, path, codec).await
        }
        #[deprecated]
        pub async fn enable_tracing_policy(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::EnableTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::EnableTracingPolicyResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/EnableTracingPolicy",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new(
                        "tetragon.FineGuidanceSensors",
                        "EnableTracingPolicy",
                    ),
                );
            self.inner.unary(req, path, codec).await
        }
        #[deprecated]
        pub async fn disable_tracing_policy(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::DisableTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::DisableTracingPolicyResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/DisableTracingPolicy",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new(
                        "tetragon.FineGuidanceSensors",
                        "DisableTracingPolicy",
                    ),
                );
            self.inner.unary(req, path, codec).await
        }
        #[deprecated]
        pub async fn list_sensors(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::ListSensorsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ListSensorsResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/ListSensors",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "ListSensors"));
            self.inner.unary(req, path, codec).await
        }
        #[deprecated]
        pub async fn enable_sensor(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::EnableSensorRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::EnableSensorResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/EnableSensor",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "EnableSensor"));
            self.inner.unary(req, path, codec).await
        }
        #[deprecated]
        pub async fn disable_sensor(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::DisableSensorRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::DisableSensorResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/DisableSensor",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("tetragon.FineGuidanceSensors", "DisableSensor"),
                );
            self.inner.unary(req, path, codec).await
        }
        #[deprecated]
        pub async fn remove_sensor(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::RemoveSensorRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::RemoveSensorResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/RemoveSensor",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "RemoveSensor"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_domains(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::ListDomainsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ListDomainsResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/ListDomains",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "ListDomains"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_version(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::GetVersionRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetVersionResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/GetVersion",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "GetVersion"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_info(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::GetInfoRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetInfoResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/GetInfo",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "GetInfo"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn runtime_hook(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::RuntimeHookRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::RuntimeHookResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/RuntimeHook",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "RuntimeHook"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_debug(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::GetDebugRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetDebugResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/GetDebug",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "GetDebug"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn set_debug(
            &mut self,
            request: impl tonic::IntoRequest<crate::event::SetDebugRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::SetDebugResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/tetragon.FineGuidanceSensors/SetDebug",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("tetragon.FineGuidanceSensors", "SetDebug"));
            self.inner.unary(req, path, codec).await
        }
    }
}
/// Generated server implementations.
pub mod fine_guidance_sensors_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with FineGuidanceSensorsServer.
    #[async_trait]
    pub trait FineGuidanceSensors: std::marker::Send + std::marker::Sync + 'static {
        async fn get_events(
            &self,
            request: tonic::Request<crate::event::GetEventsRequest>,
        ) -> std::result::Result<
            tonic::Response<BoxStream<crate::event::GetEventsResponse>>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("GetEvents is not supported by this agent"))
        }
        async fn get_health(
            &self,
            request: tonic::Request<crate::event::GetHealthStatusRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetHealthStatusResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("GetHealth is not supported by this agent"))
        }
        async fn add_tracing_policy(
            &self,
            request: tonic::Request<crate::event::AddTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::AddTracingPolicyResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("AddTracingPolicy is not supported by this agent"))
        }
        async fn delete_tracing_policy(
            &self,
            request: tonic::Request<crate::event::DeleteTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::DeleteTracingPolicyResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("DeleteTracingPolicy is not supported by this agent"))
        }
        async fn list_tracing_policies(
            &self,
            request: tonic::Request<crate::event::ListTracingPoliciesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ListTracingPoliciesResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("ListTracingPolicies is not supported by this agent"))
        }
        async fn configure_tracing_policy(
            &self,
            request: tonic::Request<crate::event::ConfigureTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ConfigureTracingPolicyResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("ConfigureTracingPolicy is not supported by this agent"))
        }
        async fn enable_tracing_policy(
            &self,
            request: tonic::Request<crate::event::EnableTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::EnableTracingPolicyResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("EnableTracingPolicy is not supported by this agent"))
        }
        async fn disable_tracing_policy(
            &self,
            request: tonic::Request<crate::event::DisableTracingPolicyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::DisableTracingPolicyResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("DisableTracingPolicy is not supported by this agent"))
        }
        async fn list_sensors(
            &self,
            request: tonic::Request<crate::event::ListSensorsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ListSensorsResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("ListSensors is not supported by this agent"))
        }
        async fn enable_sensor(
            &self,
            request: tonic::Request<crate::event::EnableSensorRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::EnableSensorResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("EnableSensor is not supported by this agent"))
        }
        async fn disable_sensor(
            &self,
            request: tonic::Request<crate::event::DisableSensorRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::DisableSensorResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("DisableSensor is not supported by this agent"))
        }
        async fn remove_sensor(
            &self,
            request: tonic::Request<crate::event::RemoveSensorRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::RemoveSensorResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("RemoveSensor is not supported by this agent"))
        }
        async fn list_domains(
            &self,
            request: tonic::Request<crate::event::ListDomainsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::ListDomainsResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("ListDomains is not supported by this agent"))
        }
        async fn get_version(
            &self,
            request: tonic::Request<crate::event::GetVersionRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetVersionResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("GetVersion is not supported by this agent"))
        }
        async fn get_info(
            &self,
            request: tonic::Request<crate::event::GetInfoRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetInfoResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("GetInfo is not supported by this agent"))
        }
        async fn runtime_hook(
            &self,
            request: tonic::Request<crate::event::RuntimeHookRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::RuntimeHookResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("RuntimeHook is not supported by this agent"))
        }
        async fn get_debug(
            &self,
            request: tonic::Request<crate::event::GetDebugRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::GetDebugResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("GetDebug is not supported by this agent"))
        }
        async fn set_debug(
            &self,
            request: tonic::Request<crate::event::SetDebugRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::event::SetDebugResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("SetDebug is not supported by this agent"))
        }
    }
    /// The agent's API.
    #[derive(Debug)]
    pub struct FineGuidanceSensorsServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> FineGuidanceSensorsServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for FineGuidanceSensorsServer<T>
    where
        T: FineGuidanceSensors,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/tetragon.FineGuidanceSensors/GetEvents" => {
                    #[allow(non_camel_case_types)]
                    struct GetEventsSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::ServerStreamingService<
                        crate::event::GetEventsRequest,
                    > for GetEventsSvc<T> {
                        type Response = crate::event::GetEventsResponse;
                        type ResponseStream = BoxStream<crate::event::GetEventsResponse>;
                        type Future = BoxFuture<
                            tonic::Response<Self::ResponseStream>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::GetEventsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::get_events(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetEventsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.server_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/GetHealth" => {
                    #[allow(non_camel_case_types)]
                    struct GetHealthSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::GetHealthStatusRequest>
                    for GetHealthSvc<T> {
                        type Response = crate::event::GetHealthStatusResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::GetHealthStatusRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::get_health(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetHealthSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/AddTracingPolicy" => {
                    #[allow(non_camel_case_types)]
                    struct AddTracingPolicySvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::AddTracingPolicyRequest>
                    for AddTracingPolicySvc<T> {
                        type Response = crate::event::AddTracingPolicyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                crate::event::AddTracingPolicyRequest,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::add_tracing_policy(
                                        &inner,
                                        request,
                                    )
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = AddTracingPolicySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/DeleteTracingPolicy" => {
                    #[allow(non_camel_case_types)]
                    struct DeleteTracingPolicySvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<
                        crate::event::DeleteTracingPolicyRequest,
                    > for DeleteTracingPolicySvc<T> {
                        type Response = crate::event::DeleteTracingPolicyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                crate::event::DeleteTracingPolicyRequest,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::delete_tracing_policy(
                                        &inner,
                                        request,
                                    )
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = DeleteTracingPolicySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/ListTracingPolicies" => {
                    #[allow(non_camel_case_types)]
                    struct ListTracingPoliciesSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<
                        crate::event::ListTracingPoliciesRequest,
                    > for ListTracingPoliciesSvc<T> {
                        type Response = crate::event::ListTracingPoliciesResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                crate::event::ListTracingPoliciesRequest,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::list_tracing_policies(
                                        &inner,
                                        request,
                                    )
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListTracingPoliciesSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/ConfigureTracingPolicy" => {
                    #[allow(non_camel_case_types)]
                    struct ConfigureTracingPolicySvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<
                        crate::event::ConfigureTracingPolicyRequest,
                    > for ConfigureTracingPolicySvc<T> {
                        type Response = crate::event::ConfigureTracingPolicyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                crate::event::ConfigureTracingPolicyRequest,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::configure_tracing_policy(
                                        &inner,
                                        request,
                                    )
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ConfigureTracingPolicySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/EnableTracingPolicy" => {
                    #[allow(non_camel_case_types)]
                    struct EnableTracingPolicySvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<
                        crate::event::EnableTracingPolicyRequest,
                    > for EnableTracingPolicySvc<T> {
                        type Response = crate::event::EnableTracingPolicyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                crate::event::EnableTracingPolicyRequest,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::enable_tracing_policy(
                                        &inner,
                                        request,
                                    )
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = EnableTracingPolicySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/DisableTracingPolicy" => {
                    #[allow(non_camel_case_types)]
                    struct DisableTracingPolicySvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<
                        crate::event::DisableTracingPolicyRequest,
                    > for DisableTracingPolicySvc<T> {
                        type Response = crate::event::DisableTracingPolicyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                crate::event::DisableTracingPolicyRequest,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::disable_tracing_policy(
                                        &inner,
                                        request,
                                    )
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = DisableTracingPolicySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/ListSensors" => {
                    #[allow(non_camel_case_types)]
                    struct ListSensorsSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::ListSensorsRequest>
                    for ListSensorsSvc<T> {
                        type Response = crate::event::ListSensorsResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::ListSensorsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::list_sensors(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListSensorsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/EnableSensor" => {
                    #[allow(non_camel_case_types)]
                    struct EnableSensorSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::EnableSensorRequest>
                    for EnableSensorSvc<T> {
                        type Response = crate::event::EnableSensorResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::EnableSensorRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::enable_sensor(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = EnableSensorSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/DisableSensor" => {
                    #[allow(non_camel_case_types)]
                    struct DisableSensorSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::DisableSensorRequest>
                    for DisableSensorSvc<T> {
                        type Response = crate::event::DisableSensorResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::DisableSensorRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::disable_sensor(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = DisableSensorSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/RemoveSensor" => {
                    #[allow(non_camel_case_types)]
                    struct RemoveSensorSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::RemoveSensorRequest>
                    for RemoveSensorSvc<T> {
                        type Response = crate::event::RemoveSensorResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::RemoveSensorRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::remove_sensor(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = RemoveSensorSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/ListDomains" => {
                    #[allow(non_camel_case_types)]
                    struct ListDomainsSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::ListDomainsRequest>
                    for ListDomainsSvc<T> {
                        type Response = crate::event::ListDomainsResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::ListDomainsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::list_domains(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListDomainsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/GetVersion" => {
                    #[allow(non_camel_case_types)]
                    struct GetVersionSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::GetVersionRequest>
                    for GetVersionSvc<T> {
                        type Response = crate::event::GetVersionResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::GetVersionRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::get_version(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetVersionSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/GetInfo" => {
                    #[allow(non_camel_case_types)]
                    struct GetInfoSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::GetInfoRequest>
                    for GetInfoSvc<T> {
                        type Response = crate::event::GetInfoResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::GetInfoRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::get_info(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetInfoSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/RuntimeHook" => {
                    #[allow(non_camel_case_types)]
                    struct RuntimeHookSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::RuntimeHookRequest>
                    for RuntimeHookSvc<T> {
                        type Response = crate::event::RuntimeHookResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::RuntimeHookRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::runtime_hook(&inner, request)
                                    .await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = RuntimeHookSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/GetDebug" => {
                    #[allow(non_camel_case_types)]
                    struct GetDebugSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::GetDebugRequest>
                    for GetDebugSvc<T> {
                        type Response = crate::event::GetDebugResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::GetDebugRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::get_debug(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetDebugSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/tetragon.FineGuidanceSensors/SetDebug" => {
                    #[allow(non_camel_case_types)]
                    struct SetDebugSvc<T: FineGuidanceSensors>(pub Arc<T>);
                    impl<
                        T: FineGuidanceSensors,
                    > tonic::server::UnaryService<crate::event::SetDebugRequest>
                    for SetDebugSvc<T> {
                        type Response = crate::event::SetDebugResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::event::SetDebugRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as FineGuidanceSensors>::set_debug(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = SetDebugSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => {
                    Box::pin(async move {
                        let mut response = http::Response::new(
                            tonic::body::Body::default(),
                        );
                        let headers = response.headers_mut();
                        headers
                            .insert(
                                tonic::Status::GRPC_STATUS,
                                (tonic::Code::Unimplemented as i32).into(),
                            );
                        headers
                            .insert(
                                http::header::CONTENT_TYPE,
                                tonic::metadata::GRPC_CONTENT_TYPE,
                            );
                        Ok(response)
                    })
                }
            }
        }
    }
    impl<T> Clone for FineGuidanceSensorsServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "tetragon.FineGuidanceSensors";
    impl<T> tonic::server::NamedService for FineGuidanceSensorsServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
