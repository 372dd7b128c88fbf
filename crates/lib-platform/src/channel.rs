//! Calls to other services: a lazy connection, a deadline, our credential and the trace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::credential::FOR_TENANT;
use crate::trace;

/// How long a call may take until its first answer, unless the request says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// A channel that authenticates itself.
pub type AuthorizedChannel = InterceptedService<Channel, Credential>;

/// Adds the credential and the trace to each call.
#[derive(Clone, Debug)]
pub struct Credential {
    bearer: MetadataValue<Ascii>,
    tenant: Option<MetadataValue<Ascii>>,
}

impl Credential {
    /// A credential from a token.
    ///
    /// # Errors
    /// When the token holds characters that metadata cannot carry.
    pub fn bearer(token: &str) -> anyhow::Result<Self> {
        let value = format!("Bearer {token}").parse();
        Ok(Self {
            bearer: value.map_err(|_| anyhow::anyhow!("the token is not plain ASCII text"))?,
            tenant: None,
        })
    }

    /// The operator's credential, acting for `tenant`.
    ///
    /// # Errors
    /// When the tenant's id holds characters that metadata cannot carry.
    pub fn for_tenant(self, tenant: &str) -> anyhow::Result<Self> {
        let value = tenant.parse();
        let value = value.map_err(|_| anyhow::anyhow!("`{tenant}` is not a tenant's id"))?;
        Ok(Self {
            tenant: Some(value),
            ..self
        })
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        if let Some(tenant) = &self.tenant {
            request.metadata_mut().insert(FOR_TENANT, tenant.clone());
        }
        if let Some(parent) = trace::current_traceparent().and_then(|text| text.parse().ok()) {
            request.metadata_mut().insert("traceparent", parent);
        }
        Ok(request)
    }
}

/// Connects to `address`, such as `http://127.0.0.1:50051`, with a token. The connection is made at
/// the first call and again whenever it breaks.
///
/// # Errors
/// When the address or the token cannot be used.
pub fn connect(address: &str, token: &str) -> anyhow::Result<AuthorizedChannel> {
    let credential = Credential::bearer(token)?;
    Ok(InterceptedService::new(lazy_channel(address)?, credential))
}

pub(crate) fn lazy_channel(address: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| anyhow::anyhow!("`{address}` is not an address: {error}"))?
        .timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    Ok(endpoint.connect_lazy())
}

/// Where the other services are, and what we show them.
#[derive(Clone, Debug)]
pub struct Peers {
    channels: Arc<BTreeMap<String, AuthorizedChannel>>,
}

impl Peers {
    /// `addresses` by service name; `*` stands for every service not named.
    ///
    /// # Errors
    /// When an address or the token cannot be used.
    pub fn new(
        addresses: impl IntoIterator<Item = (String, String)>,
        token: &str,
    ) -> anyhow::Result<Self> {
        Self::with(addresses, &Credential::bearer(token)?)
    }

    /// The same with any credential.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn with(
        addresses: impl IntoIterator<Item = (String, String)>,
        credential: &Credential,
    ) -> anyhow::Result<Self> {
        let channel = |address: &str| {
            let channel = lazy_channel(address)?;
            anyhow::Ok(InterceptedService::new(channel, credential.clone()))
        };
        let channels = addresses
            .into_iter()
            .map(|(service, address)| Ok((service, channel(&address)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            channels: Arc::new(channels),
        })
    }

    /// The channel to a service such as `conversations`.
    ///
    /// # Errors
    /// When no address is configured for it.
    pub fn channel(&self, service: &str) -> anyhow::Result<AuthorizedChannel> {
        let channel = self
            .channels
            .get(service)
            .or_else(|| self.channels.get("*"));
        channel
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("no address is configured for `{service}`"))
    }
}
