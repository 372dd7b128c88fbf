//! A second tenant in the same installation, with a number, a flow, queues and customers of its own,
//! and a history of its own. Its queues and its agent are named as the first tenant's are; only what
//! its customers write and who they are tells the two apart. Nothing of it may be seen by the first
//! tenant, nor the other way round (I32).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lib_platform::channel::Credential;
use lib_platform::{AuthorizedChannel, Peers};
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{
    BindFlowRequest, Connector, CreateConnectorRequest, CreateNumberRequest, CreateTenantRequest,
    CreateUserRequest, Number, Plan, Role, Tenant, User,
};
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use lib_proto::flow_runner::{CreateFlowRequest, PublishFlowRequest};
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{CreateQueueRequest, Queue};
use tokio::task::JoinHandle;

use super::checker::{self, Facts, Violation};
use super::history::{Entry, History, Item, Op};
use super::meta::{Line, Meta};
use super::run::{PATH, QUEUES, Run};
use super::stores::{Reader, Stores};

const TENANT: &str = "neighbour";
const FLOW: &str = "whatsapp-for-business";
const DEFINITION: &str = include_str!("../../../deploy/flows/whatsapp-for-business.json");
/// Longest wait for its conversations to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);

/// The second tenant.
pub struct Neighbour {
    history: History,
    meta: Meta,
    line: Line,
    customers: Vec<JoinHandle<()>>,
    met: u64,
}

impl Neighbour {
    /// Makes the tenant as an operator does, with all it needs to answer its customers.
    ///
    /// # Errors
    /// When the installation refuses.
    pub async fn move_in(run: &Run) -> anyhow::Result<Self> {
        let history = History::new(Some(&run.folder.join("neighbour.jsonl")));
        let line = Line {
            number: "100000000000009".to_owned(),
            waba: "200000000000009".to_owned(),
        };
        accounts(run, &line).await.context("accounts")?;
        let mut flows = FlowServiceClient::new(channel(run, "flow-runner")?);
        let flow = CreateFlowRequest {
            id: FLOW.to_owned(),
            name: "Neighbour".to_owned(),
            draft: DEFINITION.to_owned(),
        };
        flows.create_flow(flow).await.context("flow")?;
        let publish = PublishFlowRequest {
            id: FLOW.to_owned(),
            ..PublishFlowRequest::default()
        };
        flows.publish_flow(publish).await.context("publishing")?;
        let mut routing = RoutingServiceClient::new(channel(run, "routing")?);
        for id in QUEUES {
            let queue = Queue {
                id: id.to_owned(),
                name: format!("Neighbour {id}"),
                agent_ids: vec!["bot-0".to_owned()],
                offer_seconds: 30,
                wrap_up_seconds: 120,
                dispositions: vec!["solved".to_owned()],
            };
            let queue = CreateQueueRequest { queue: Some(queue) };
            routing.create_queue(queue).await.context("queue")?;
        }
        let bind = BindFlowRequest {
            number_id: line.number.clone(),
            flow_id: FLOW.to_owned(),
        };
        let mut accounts = AccountServiceClient::new(channel(run, "accounts")?);
        accounts.bind_flow(bind).await.context("binding")?;
        let meta = run.meta.of_another(history.clone());
        run.graph.add_line_of(&line, meta.clone());
        Ok(Self {
            history,
            meta,
            line,
            customers: Vec::new(),
            met: 0,
        })
    }

    /// Customers who go the way of the first tenant's, at the same time.
    pub fn customers(&mut self, count: u64, within: Duration) {
        for _ in 0..count {
            let phone = format!("1777{:07}", self.met);
            self.met += 1;
            let (meta, line) = (self.meta.clone(), self.line.clone());
            let pause = within / 3;
            self.customers.push(tokio::spawn(async move {
                for (number, text) in PATH.iter().enumerate() {
                    let wamid = format!("wamid.IN{phone}.{number}");
                    let body = meta.text_body(&line, &phone, &wamid, text);
                    meta.deliver(&body).await;
                    // Some bodies come again.
                    if phone.ends_with(['3', '7']) {
                        meta.deliver(&body).await;
                    }
                    tokio::time::sleep(pause).await;
                }
            }));
        }
    }

    /// Waits until everything of the neighbour's has happened, and says what is wrong if it does not.
    /// Its stores, as its own administrator sees them.
    ///
    /// # Errors
    /// When the stores cannot be read.
    ///
    /// # Panics
    /// When a customer's task failed.
    pub async fn settle(&mut self, run: &Run) -> anyhow::Result<(Stores, Vec<Violation>)> {
        for task in self.customers.drain(..) {
            task.await.expect("a customer's task ends");
        }
        let began = Instant::now();
        loop {
            let mut reader = reader(run)?;
            let read = tokio::time::timeout(PATIENCE, reader.read()).await;
            let stores = match read.context("the second tenant's stores do not answer")? {
                // Its work may be moving to another replica.
                Err(_) if began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    continue;
                }
                read => read?,
            };
            let found = checker::check(&self.entries(), &stores, &Facts::default());
            let quiet = run.graph.telling() == 0 && self.meta.in_flight() == 0;
            if (found.is_empty() && quiet) || began.elapsed() > PATIENCE {
                return Ok((stores, found));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// What happened to it.
    pub fn entries(&self) -> Vec<Entry> {
        self.history.entries()
    }
}

/// A channel to a service as the operator, acting for the neighbour.
fn channel(run: &Run, service: &str) -> anyhow::Result<AuthorizedChannel> {
    let (address, token) = {
        let subject = run.subject();
        (subject.service(service), subject.token("operator"))
    };
    let credential = Credential::bearer(&token)?.for_tenant(TENANT)?;
    Peers::with([("*".to_owned(), address)], &credential)?.channel(service)
}

/// As the neighbour's own administrator sees it; the inbox is the operator's.
fn reader(run: &Run) -> anyhow::Result<Reader> {
    let services = ["conversations", "ingress", "routing", "billing"];
    let channels = services.map(|service| channel(run, service));
    let [conversations, parked, routing, billing] = channels;
    let inbox = run.channel("ingress", "operator");
    Ok(Reader::over(
        conversations?,
        inbox,
        parked?,
        routing?,
        billing?,
    ))
}

async fn accounts(run: &Run, line: &Line) -> anyhow::Result<()> {
    let tenant = Tenant {
        id: TENANT.to_owned(),
        name: "Neighbour".to_owned(),
        plan: Plan::Premium.into(),
        created_at: None,
    };
    let tenant = CreateTenantRequest {
        tenant: Some(tenant),
    };
    let mut operator = AccountServiceClient::new(run.channel("accounts", "operator"));
    operator.create_tenant(tenant).await?;
    let mut accounts = AccountServiceClient::new(channel(run, "accounts")?);
    let user = User {
        id: "bot-0".to_owned(),
        display_name: "Neighbour's agent".to_owned(),
        roles: vec![Role::Agent.into()],
        created_at: None,
    };
    let user = CreateUserRequest { user: Some(user) };
    accounts.create_user(user).await?;
    let connector = Connector {
        id: "demo-whatsapp".to_owned(),
        name: "Neighbour's WhatsApp".to_owned(),
        waba_id: line.waba.clone(),
        portfolio_id: "300000000000009".to_owned(),
        currency_code: "EUR".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        created_at: None,
    };
    let connector = CreateConnectorRequest {
        connector: Some(connector),
        access_token: "neighbour-graph-token".to_owned(),
    };
    accounts.create_connector(connector).await?;
    let number = Number {
        id: line.number.clone(),
        connector_id: "demo-whatsapp".to_owned(),
        phone: "15550177700".to_owned(),
        verified_name: "Neighbour".to_owned(),
        flow_id: String::new(),
        created_at: None,
    };
    let number = CreateNumberRequest {
        number: Some(number),
    };
    accounts.create_number(number).await?;
    Ok(())
}

/// I32: texts that only one tenant may see and that stand in what another was told. `theirs` is the
/// other's history, `told` everything this one's API told.
pub fn seen_next_door(theirs: &[Entry], told: &Stores) -> Vec<String> {
    let parked = told.parked.iter();
    let parked: Vec<_> = parked
        .map(|item| String::from_utf8_lossy(&item.payload))
        .collect();
    let told = format!("{told:?} {parked:?}");
    let marks = marks(theirs);
    let seen = marks.into_iter().filter(|mark| told.contains(mark));
    seen.map(|mark| format!("`{mark}` is another tenant's"))
        .collect()
}

/// Customers, Meta's ids and marks of what cannot be read: all that tells one tenant's from another's.
pub fn marks(history: &[Entry]) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    for entry in history {
        match &entry.op {
            Op::Post { items, .. } => {
                for item in items {
                    match item {
                        Item::Message {
                            wamid, customer, ..
                        } => marks.extend([wamid.clone(), customer.clone()]),
                        Item::Status { wamid, .. } => marks.extend([wamid.clone()]),
                        Item::Poison { mark } => marks.extend([mark.clone()]),
                    }
                }
            }
            Op::Accepted { wamid, to, .. } => marks.extend([wamid.clone(), to.clone()]),
            _ => {}
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survive::history::Outcome;

    #[test]
    fn what_belongs_next_door_is_seen() {
        let history = History::new(None);
        let op = Op::Accepted {
            intent: "v1.1".to_owned(),
            number: "100000000000009".to_owned(),
            to: "17770000001".to_owned(),
            wamid: "wamid.OUT000001".to_owned(),
            template: false,
            answer: "Ok".to_owned(),
            category: "service".to_owned(),
        };
        history.record("graph", Outcome::Ok, op);
        let mut told = Stores::default();
        assert!(seen_next_door(&history.entries(), &told).is_empty());
        let contact = lib_proto::common::ContactIdentity {
            phone: "17770000001".to_owned(),
            ..Default::default()
        };
        told.conversations
            .push(lib_proto::conversations::Conversation {
                contact: Some(contact),
                ..Default::default()
            });
        assert_eq!(
            seen_next_door(&history.entries(), &told),
            ["`17770000001` is another tenant's"]
        );
    }
}
