//! `AccountService`: what a tenant's people see and change of their own tenant. The tenant always
//! comes from the credential.

use lib_platform::{Caller, Clock, Refusal, Role, caller, page};
use lib_proto::accounts::account_service_server::AccountService;
use lib_proto::accounts::{self as pb, Connector, Number, Plan, Tenant, User};
use lib_proto::timestamp_opt;
use lib_storage::{Database, Target};
use tonic::{Request, Response, Status};

use crate::rows::OwnedConnector;
use crate::{check, store};

/// The service.
pub(crate) struct Accounts {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
}

type Answer<T> = Result<Response<T>, Status>;

/// The tenant of an administrator.
fn administered<T>(request: &Request<T>) -> Result<String, Status> {
    let caller = caller(request)?;
    caller.require(&[])?;
    Ok(caller.tenant()?.to_string())
}

/// The tenant of any of its people.
fn tenant_of<T>(request: &Request<T>) -> Result<String, Status> {
    Ok(caller(request)?.tenant()?.to_string())
}

async fn existing_tenant(on: impl Into<Target<'_>>, id: &str) -> Result<Tenant, Refusal> {
    store::tenant(on, id).await?.ok_or_else(|| {
        Refusal::precondition(
            "TENANT_NOT_CREATED",
            format!("tenant `{id}` has not been created; a service creates it with CreateTenant"),
        )
    })
}

/// What a plan without WhatsApp answers to everything that needs it.
fn plan_lacks_whatsapp(message: &str) -> Refusal {
    Refusal::precondition("PLAN_LACKS_WHATSAPP", message)
        .with("plan", Plan::Essentials.as_str_name())
        .with("needed", "PLAN_PREMIUM or PLAN_ELITE")
}

impl Accounts {
    /// Works on `database`; `clock` dates what is created.
    pub(crate) fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }

    async fn add_tenant(&self, wanted: Tenant) -> Result<Tenant, Refusal> {
        let mut tx = self.database.begin().await?;
        if let Some(known) = store::tenant(&mut tx, &wanted.id).await? {
            let same = known.name == wanted.name && known.plan == wanted.plan;
            return if same {
                Ok(known)
            } else {
                Err(Refusal::already_exists("tenant", &wanted.id))
            };
        }
        let now = self.clock.now();
        store::insert_tenant(&mut tx, &wanted, now).await?;
        tx.commit().await?;
        Ok(Tenant {
            created_at: timestamp_opt(Some(now)),
            ..wanted
        })
    }

    async fn change_tenant(
        &self,
        id: &str,
        mut change: pb::UpdateTenantRequest,
    ) -> Result<Tenant, Refusal> {
        check::tenant_change(&mut change.name, change.plan)?;
        let mut tx = self.database.begin().await?;
        let mut tenant = existing_tenant(&mut tx, id).await?;
        if !change.name.is_empty() {
            tenant.name = change.name;
        }
        if change.plan != Plan::Unspecified as i32 {
            tenant.plan = change.plan;
        }
        let connected = store::connectors(&mut tx, id, "", 1).await?;
        if tenant.plan() == Plan::Essentials && !connected.is_empty() {
            return Err(plan_lacks_whatsapp(
                "the tenant has a WhatsApp connector and plan Essentials does not include \
                 WhatsApp; stay on Premium or Elite",
            ));
        }
        store::update_tenant(&mut tx, &tenant).await?;
        tx.commit().await?;
        Ok(tenant)
    }

    async fn add_user(&self, tenant: &str, wanted: User) -> Result<User, Refusal> {
        let mut tx = self.database.begin().await?;
        existing_tenant(&mut tx, tenant).await?;
        let known = store::user(&mut tx, tenant, &wanted.id).await?;
        if let Some(known) = known {
            let same = known.display_name == wanted.display_name && known.roles == wanted.roles;
            return if same {
                Ok(known)
            } else {
                Err(Refusal::already_exists("user", &wanted.id))
            };
        }
        let now = self.clock.now();
        store::insert_user(&mut tx, tenant, &wanted, now).await?;
        tx.commit().await?;
        Ok(User {
            created_at: timestamp_opt(Some(now)),
            ..wanted
        })
    }

    async fn add_connector(&self, wanted: OwnedConnector) -> Result<Connector, Refusal> {
        let id = &wanted.connector.id;
        let mut tx = self.database.begin().await?;
        let tenant = existing_tenant(&mut tx, &wanted.tenant_id).await?;
        let known = store::connector(&mut tx, &tenant.id, id).await?;
        if let Some(known) = known {
            let same = Connector {
                created_at: None,
                ..known.connector.clone()
            } == wanted.connector
                && known.graph_token == wanted.graph_token;
            return if same {
                Ok(known.connector)
            } else {
                Err(Refusal::already_exists("connector", id))
            };
        }
        if tenant.plan() == Plan::Essentials {
            return Err(plan_lacks_whatsapp(
                "plan Essentials does not include WhatsApp; change the tenant's plan to Premium \
                 or Elite, then create the connector again",
            ));
        }
        let waba_id = &wanted.connector.waba_id;
        let taken = store::connector_of_waba(&mut tx, waba_id).await;
        if taken.map_err(Refusal::from)?.is_some() {
            return Err(Refusal::already_exists("connector of the account", waba_id));
        }
        let now = self.clock.now();
        store::insert_connector(&mut tx, &wanted, now).await?;
        tx.commit().await?;
        Ok(Connector {
            created_at: timestamp_opt(Some(now)),
            ..wanted.connector
        })
    }

    async fn add_number(&self, tenant: &str, wanted: Number) -> Result<Number, Refusal> {
        let mut tx = self.database.begin().await?;
        let known = store::number_records(&mut tx, std::slice::from_ref(&wanted.id));
        if let Some(known) = known.await?.pop() {
            let mine = known.tenant_id == tenant;
            let number = known.number.unwrap_or_default();
            // The binding changes by BindFlow; creating again without one asks nothing of it.
            let same = number.connector_id == wanted.connector_id
                && number.phone == wanted.phone
                && number.verified_name == wanted.verified_name
                && (wanted.flow_id.is_empty() || number.flow_id == wanted.flow_id);
            return if mine && same {
                Ok(number)
            } else {
                Err(Refusal::already_exists("number", &wanted.id))
            };
        }
        let connector = store::connector(&mut tx, tenant, &wanted.connector_id).await;
        connector
            .map_err(Refusal::from)?
            .ok_or_else(|| Refusal::not_found("connector", &wanted.connector_id))?;
        let now = self.clock.now();
        store::insert_number(&mut tx, tenant, &wanted, now).await?;
        tx.commit().await?;
        Ok(Number {
            created_at: timestamp_opt(Some(now)),
            ..wanted
        })
    }

    async fn bind(&self, tenant: &str, bind: pb::BindFlowRequest) -> Result<Number, Refusal> {
        check::flow_id(&bind.flow_id)?;
        let mut tx = self.database.begin().await?;
        store::bind_flow(&mut tx, tenant, &bind.number_id, &bind.flow_id).await?;
        let number = store::number(&mut tx, tenant, &bind.number_id).await?;
        let number = number.ok_or_else(|| Refusal::not_found("number", &bind.number_id))?;
        tx.commit().await?;
        Ok(number)
    }
}

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn create_tenant(&self, request: Request<pb::CreateTenantRequest>) -> Answer<Tenant> {
        caller(&request)?.require_service()?;
        let wanted = check::tenant(request.into_inner().tenant)?;
        Ok(Response::new(self.add_tenant(wanted).await?))
    }

    async fn get_tenant(&self, request: Request<pb::GetTenantRequest>) -> Answer<Tenant> {
        let tenant = tenant_of(&request)?;
        Ok(Response::new(
            existing_tenant(&self.database, &tenant).await?,
        ))
    }

    async fn update_tenant(&self, request: Request<pb::UpdateTenantRequest>) -> Answer<Tenant> {
        let tenant = administered(&request)?;
        let changed = self.change_tenant(&tenant, request.into_inner()).await?;
        Ok(Response::new(changed))
    }

    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Answer<User> {
        let tenant = administered(&request)?;
        let wanted = check::user(request.into_inner().user)?;
        Ok(Response::new(self.add_user(&tenant, wanted).await?))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Answer<User> {
        let tenant = tenant_of(&request)?;
        let id = request.into_inner().id;
        let user = store::user(&self.database, &tenant, &id)
            .await
            .map_err(Refusal::from)?;
        let user = user.ok_or_else(|| Refusal::not_found("user", &id))?;
        Ok(Response::new(user))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Answer<pb::ListUsersResponse> {
        let tenant = tenant_of(&request)?;
        let request = request.into_inner();
        let (size, after) = (
            page::size(request.page_size)?,
            page::after(&request.page_token)?,
        );
        let users = store::users(&self.database, &tenant, &after, size + 1).await;
        let mut users = users.map_err(Refusal::from)?;
        let next_page_token = page::cut(&mut users, size, |user| user.id.clone());
        Ok(Response::new(pb::ListUsersResponse {
            users,
            next_page_token,
        }))
    }

    async fn create_access_token(
        &self,
        request: Request<pb::CreateAccessTokenRequest>,
    ) -> Answer<pb::AccessToken> {
        let tenant = administered(&request)?;
        let by = caller(&request)?;
        let token = self.add_token(&tenant, &by, request.into_inner()).await?;
        Ok(Response::new(token))
    }

    async fn list_access_tokens(
        &self,
        request: Request<pb::ListAccessTokensRequest>,
    ) -> Answer<pb::ListAccessTokensResponse> {
        let tenant = administered(&request)?;
        let tokens = self.tokens(&tenant, request.get_ref()).await?;
        Ok(Response::new(tokens))
    }

    async fn revoke_access_token(
        &self,
        request: Request<pb::RevokeAccessTokenRequest>,
    ) -> Answer<pb::AccessTokenInfo> {
        let tenant = administered(&request)?;
        let id = request.into_inner().id;
        Ok(Response::new(self.withdraw_token(&tenant, &id).await?))
    }

    async fn replace_graph_token(
        &self,
        request: Request<pb::ReplaceGraphTokenRequest>,
    ) -> Answer<Connector> {
        let tenant = administered(&request)?;
        let replaced = self.replace_token(&tenant, request.get_ref()).await?;
        Ok(Response::new(replaced))
    }

    async fn create_connector(
        &self,
        request: Request<pb::CreateConnectorRequest>,
    ) -> Answer<Connector> {
        let tenant_id = administered(&request)?;
        let request = request.into_inner();
        let connector = check::connector(request.connector, &request.access_token)?;
        let wanted = OwnedConnector {
            tenant_id,
            connector,
            graph_token: request.access_token,
        };
        Ok(Response::new(self.add_connector(wanted).await?))
    }

    async fn get_connector(&self, request: Request<pb::GetConnectorRequest>) -> Answer<Connector> {
        let tenant = tenant_of(&request)?;
        let id = request.into_inner().id;
        let found = store::connector(&self.database, &tenant, &id)
            .await
            .map_err(Refusal::from)?;
        let owned = found.ok_or_else(|| Refusal::not_found("connector", &id))?;
        Ok(Response::new(owned.connector))
    }

    async fn list_connectors(
        &self,
        request: Request<pb::ListConnectorsRequest>,
    ) -> Answer<pb::ListConnectorsResponse> {
        let tenant = tenant_of(&request)?;
        let request = request.into_inner();
        let (size, after) = (
            page::size(request.page_size)?,
            page::after(&request.page_token)?,
        );
        let connectors = store::connectors(&self.database, &tenant, &after, size + 1).await;
        let mut connectors = connectors.map_err(Refusal::from)?;
        let next_page_token = page::cut(&mut connectors, size, |row| row.id.clone());
        Ok(Response::new(pb::ListConnectorsResponse {
            connectors,
            next_page_token,
        }))
    }

    async fn create_number(&self, request: Request<pb::CreateNumberRequest>) -> Answer<Number> {
        let tenant = administered(&request)?;
        let wanted = check::number(request.into_inner().number)?;
        Ok(Response::new(self.add_number(&tenant, wanted).await?))
    }

    async fn get_number(&self, request: Request<pb::GetNumberRequest>) -> Answer<Number> {
        let tenant = tenant_of(&request)?;
        let id = request.into_inner().id;
        let found = store::number(&self.database, &tenant, &id)
            .await
            .map_err(Refusal::from)?;
        let number = found.ok_or_else(|| Refusal::not_found("number", &id))?;
        Ok(Response::new(number))
    }

    async fn list_numbers(
        &self,
        request: Request<pb::ListNumbersRequest>,
    ) -> Answer<pb::ListNumbersResponse> {
        let tenant = tenant_of(&request)?;
        let request = request.into_inner();
        let (size, after) = (
            page::size(request.page_size)?,
            page::after(&request.page_token)?,
        );
        let connector = &request.connector_id;
        let numbers = store::numbers(&self.database, &tenant, connector, &after, size + 1);
        let mut numbers = numbers.await.map_err(Refusal::from)?;
        let next_page_token = page::cut(&mut numbers, size, |row| row.id.clone());
        Ok(Response::new(pb::ListNumbersResponse {
            numbers,
            next_page_token,
        }))
    }

    async fn bind_flow(&self, request: Request<pb::BindFlowRequest>) -> Answer<Number> {
        let caller = caller(&request)?;
        caller.require(&[Role::FlowAuthor])?;
        let tenant = caller.tenant()?.to_string();
        Ok(Response::new(
            self.bind(&tenant, request.into_inner()).await?,
        ))
    }

    async fn who_am_i(&self, request: Request<pb::WhoAmIRequest>) -> Answer<pb::Caller> {
        Ok(Response::new(match caller(&request)? {
            Caller::Service { name } => pb::Caller {
                user_id: name,
                service: true,
                ..pb::Caller::default()
            },
            Caller::User {
                tenant,
                user,
                roles,
            } => pb::Caller {
                tenant_id: tenant.to_string(),
                user_id: user,
                roles: roles.into_iter().map(role_to_proto).collect(),
                service: false,
            },
        }))
    }
}

fn role_to_proto(role: Role) -> i32 {
    match role {
        Role::Administrator => pb::Role::Administrator.into(),
        Role::Supervisor => pb::Role::Supervisor.into(),
        Role::Agent => pb::Role::Agent.into(),
        Role::FlowAuthor => pb::Role::FlowAuthor.into(),
    }
}
