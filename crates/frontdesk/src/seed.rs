//! The demo tenant: what a fresh installation holds so that there is something to try. Every call
//! is idempotent and goes through the public contracts; what people changed since is left alone.

use anyhow::Context as _;
use lib_platform::channel::Credential;
use lib_platform::{AuthorizedChannel, Peers};
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{self, Plan};
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use lib_proto::flow_runner::{CreateFlowRequest, GetFlowRequest, PublishFlowRequest};
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{CreateQueueRequest, Queue};
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use lib_proto::sandbox::{CreateAccountRequest, CreateTemplateRequest};
use tonic::{Code, Response, Status};

use crate::patience::{self, Refused};

/// The tenant's id.
pub(crate) const TENANT: &str = "demo";
/// Meta's id of the demo number.
pub(crate) const NUMBER_ID: &str = "100000000000001";
/// The demo number's digits.
pub(crate) const PHONE: &str = "15550100100";
/// The connector's id.
pub(crate) const CONNECTOR: &str = "demo-whatsapp";
/// The support queue, which also takes what a broken flow leaves behind.
pub(crate) const SUPPORT_QUEUE: &str = "support";
/// Agents: user id and name.
pub(crate) const AGENTS: [(&str, &str); 2] = [("ana", "Ana"), ("ben", "Ben")];
/// The flow that answers the demo number.
pub(crate) const FLOW: &str = "whatsapp-for-business";

const WABA_ID: &str = "200000000000001";
const GRAPH_TOKEN: &str = "dev-graph-token";
const FLOW_DEFINITION: &str = include_str!("../../../deploy/flows/whatsapp-for-business.json");

/// Templates as one would create them at Meta.
const TEMPLATES: [&str; 2] = [
    r#"{"name":"conversation_follow_up","language":"en_US","category":"UTILITY","components":[
        {"type":"BODY","text":"Hello {{1}}, there is news about your request {{2}}. Reply here and we will go on.",
         "example":{"body_text":[["Maria","FD-1042"]]}},
        {"type":"BUTTONS","buttons":[{"type":"QUICK_REPLY","text":"Go on"}]}]}"#,
    r#"{"name":"spring_offer","language":"en_US","category":"MARKETING","components":[
        {"type":"HEADER","format":"TEXT","text":"Spring is here"},
        {"type":"BODY","text":"Hi {{1}}, until Sunday everything for the garden is 20 percent off. See you soon!",
         "example":{"body_text":[["Maria"]]}},
        {"type":"FOOTER","text":"Reply STOP to opt out"}]}"#,
];

/// What the sandbox needs to reach us.
pub(crate) struct Secrets<'a> {
    pub(crate) app_secret: &'a str,
    pub(crate) callback: &'a str,
}

/// Seeds everything; again where a service asks for it.
///
/// # Errors
/// With the first call that failed for another reason than that the thing is there already.
pub(crate) async fn run(
    servers: &[(String, String)],
    operator_token: &str,
    secrets: &Secrets<'_>,
) -> anyhow::Result<()> {
    patience::patiently(async || seed_all(servers, operator_token, secrets).await).await
}

async fn seed_all(
    servers: &[(String, String)],
    operator_token: &str,
    secrets: &Secrets<'_>,
) -> anyhow::Result<()> {
    let credential = Credential::bearer(operator_token)?;
    let operator = Peers::with(servers.iter().cloned(), &credential)?;
    let admin = Peers::with(servers.iter().cloned(), &credential.for_tenant(TENANT)?)?;
    seed_accounts(operator.channel("accounts")?, admin.channel("accounts")?).await?;
    seed_flow(admin.channel("flow-runner")?).await?;
    seed_queues(admin.channel("routing")?).await?;
    bind_flow(admin.channel("accounts")?).await?;
    seed_sandbox(operator.channel("sandbox")?, secrets).await
}

/// Makes an access token for each demo user; returns user ids and tokens.
///
/// # Errors
/// When accounts refuses.
pub(crate) async fn tokens(
    servers: &[(String, String)],
    operator_token: &str,
) -> anyhow::Result<Vec<(String, String)>> {
    let credential = Credential::bearer(operator_token)?.for_tenant(TENANT)?;
    let admin = Peers::with(servers.iter().cloned(), &credential)?;
    let accounts = AccountServiceClient::new(admin.channel("accounts")?);
    let mut tokens = Vec::new();
    for (user, _) in [("admin", ""), ("supervisor", "")].iter().chain(&AGENTS) {
        let request = accounts::CreateAccessTokenRequest {
            user_id: (*user).to_owned(),
            note: "made by frontdesk seed".to_owned(),
        };
        let made = patience::patiently(async || {
            let made = accounts.clone().create_access_token(request.clone()).await;
            made.map_err(|status| Refused::of("token", status).into())
        });
        tokens.push(((*user).to_owned(), made.await?.into_inner().token));
    }
    Ok(tokens)
}

/// Says which flow answers the demo number, unless somebody has said so already.
async fn bind_flow(admin: AuthorizedChannel) -> anyhow::Result<()> {
    let mut accounts = AccountServiceClient::new(admin);
    let number = accounts::GetNumberRequest {
        id: NUMBER_ID.into(),
    };
    if accounts
        .get_number(number)
        .await?
        .into_inner()
        .flow_id
        .is_empty()
    {
        let binding = accounts::BindFlowRequest {
            number_id: NUMBER_ID.into(),
            flow_id: FLOW.into(),
        };
        accounts
            .bind_flow(binding)
            .await
            .context("binding the flow")?;
    }
    Ok(())
}

/// Whether it was made now; `Ok(false)` when it was there before.
fn made<T>(what: &str, outcome: Result<Response<T>, Status>) -> anyhow::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::AlreadyExists => Ok(false),
        Err(status) => Err(Refused::of(what, status).into()),
    }
}

async fn seed_accounts(
    operator: AuthorizedChannel,
    admin: AuthorizedChannel,
) -> anyhow::Result<()> {
    let tenant = accounts::Tenant {
        id: TENANT.into(),
        name: "Demo Garden Centre".into(),
        plan: Plan::Premium.into(),
        created_at: None,
    };
    let tenant = accounts::CreateTenantRequest {
        tenant: Some(tenant),
    };
    made(
        "tenant",
        AccountServiceClient::new(operator)
            .create_tenant(tenant)
            .await,
    )?;
    let mut client = AccountServiceClient::new(admin);
    let people = AGENTS
        .iter()
        .map(|(id, name)| (*id, *name, accounts::Role::Agent))
        .chain([("admin", "Admin", accounts::Role::Administrator)])
        .chain([("supervisor", "Sam", accounts::Role::Supervisor)]);
    for (id, name, role) in people {
        let user = accounts::User {
            id: id.into(),
            display_name: name.into(),
            roles: vec![role.into()],
            created_at: None,
        };
        made(
            "user",
            client
                .create_user(accounts::CreateUserRequest { user: Some(user) })
                .await,
        )?;
    }
    let connector = accounts::Connector {
        id: CONNECTOR.into(),
        name: "WhatsApp (sandbox)".into(),
        waba_id: WABA_ID.into(),
        portfolio_id: "300000000000001".into(),
        currency_code: "USD".into(),
        time_zone: "America/New_York".into(),
        created_at: None,
    };
    let connector = accounts::CreateConnectorRequest {
        connector: Some(connector),
        access_token: GRAPH_TOKEN.into(),
    };
    made("connector", client.create_connector(connector).await)?;
    let number = accounts::Number {
        id: NUMBER_ID.into(),
        connector_id: CONNECTOR.into(),
        phone: PHONE.into(),
        verified_name: "Demo Garden Centre".into(),
        flow_id: String::new(),
        created_at: None,
    };
    made(
        "number",
        client
            .create_number(accounts::CreateNumberRequest {
                number: Some(number),
            })
            .await,
    )?;
    Ok(())
}

async fn seed_flow(admin: AuthorizedChannel) -> anyhow::Result<()> {
    let mut flows = FlowServiceClient::new(admin);
    let flow = CreateFlowRequest {
        id: FLOW.into(),
        name: "WhatsApp for Business".into(),
        draft: FLOW_DEFINITION.into(),
    };
    made("flow", flows.create_flow(flow).await)?;
    let flow = flows
        .get_flow(GetFlowRequest { id: FLOW.into() })
        .await?
        .into_inner();
    if flow.published_version == 0 {
        let publish = PublishFlowRequest {
            id: FLOW.into(),
            note: "First version".into(),
            etag: String::new(),
        };
        flows
            .publish_flow(publish)
            .await
            .context("publishing the flow")?;
    }
    Ok(())
}

async fn seed_queues(admin: AuthorizedChannel) -> anyhow::Result<()> {
    let mut routing = RoutingServiceClient::new(admin);
    for (id, name) in [("sales", "Sales"), (SUPPORT_QUEUE, "Support")] {
        let queue = Queue {
            id: id.into(),
            name: name.into(),
            agent_ids: AGENTS
                .iter()
                .map(|(agent, _)| (*agent).to_owned())
                .collect(),
            offer_seconds: 30,
            wrap_up_seconds: 120,
            dispositions: ["solved", "follow-up", "no answer", "spam"]
                .map(String::from)
                .to_vec(),
        };
        made(
            "queue",
            routing
                .create_queue(CreateQueueRequest { queue: Some(queue) })
                .await,
        )?;
    }
    Ok(())
}

async fn seed_sandbox(operator: AuthorizedChannel, secrets: &Secrets<'_>) -> anyhow::Result<()> {
    let mut sandbox = SandboxServiceClient::new(operator);
    let account = CreateAccountRequest {
        waba_id: WABA_ID.into(),
        number_id: NUMBER_ID.into(),
        phone: PHONE.into(),
        verified_name: "Demo Garden Centre".into(),
        access_token: GRAPH_TOKEN.into(),
        callback_url: secrets.callback.into(),
        app_secret: secrets.app_secret.into(),
        currency_code: "USD".into(),
        time_zone: "America/New_York".into(),
    };
    sandbox
        .create_account(account)
        .await
        .context("creating the sandbox's account")?;
    for definition in TEMPLATES {
        let template = CreateTemplateRequest {
            waba_id: WABA_ID.into(),
            definition: definition.into(),
            review: "APPROVED".into(),
        };
        made("template", sandbox.create_template(template).await)?;
    }
    Ok(())
}
