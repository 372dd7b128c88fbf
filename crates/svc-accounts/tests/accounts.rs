//! The accounts service over real gRPC: walls between tenants, creates that can be repeated, the
//! plan rule, and the life of a token.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../../frontdesk/src/token_resolver.rs"]
mod token_resolver;

use core_types::Timestamp;
use lib_platform::refusal::reason_of;
use lib_platform::{Authenticator, AuthorizedChannel, Clock, Role};
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::accounts::{self as pb, Connector, Number, Plan, Tenant, User};
use lib_testkit::{Host, Place, SERVICE, tokens, user};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

type Accounts = AccountServiceClient<AuthorizedChannel>;

/// A running accounts service.
struct Server(Host);

impl Server {
    /// Starts it on the data in `place`. It is asked for the tokens that are not fixed, so its
    /// address is known before it runs.
    async fn start(place: &Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_795_000_000).unwrap());
        let context = place.context(&clock, &address);
        let users = tokens(&[
            ("red", user("red", "root", Role::Administrator)),
            ("blue", user("blue", "root", Role::Administrator)),
            ("red-agent", user("red", "ana", Role::Agent)),
        ]);
        let resolver =
            token_resolver::AccountsTokenResolver::new(context.channel("accounts").unwrap());
        let authenticator = Authenticator::new(clock, users, Some(Box::new(resolver)));
        let life = context.life.clone();
        let parts = svc_accounts::start(svc_accounts::Config::default(), context)
            .await
            .unwrap();
        Self(Host::serve(listener, parts, &life, authenticator).await)
    }

    fn accounts(&self, token: &str) -> Accounts {
        AccountServiceClient::new(self.0.channel(token))
    }

    fn directory(&self, token: &str) -> DirectoryServiceClient<AuthorizedChannel> {
        DirectoryServiceClient::new(self.0.channel(token))
    }

    /// Creates tenants `red` (Premium) and `blue` (Essentials).
    async fn with_tenants(self) -> Self {
        for (id, plan) in [("red", Plan::Premium), ("blue", Plan::Essentials)] {
            self.accounts(SERVICE)
                .create_tenant(tenant(id, plan))
                .await
                .unwrap();
        }
        self
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

fn tenant(id: &str, plan: Plan) -> pb::CreateTenantRequest {
    pb::CreateTenantRequest {
        tenant: Some(Tenant {
            id: id.into(),
            name: format!("{id} shop"),
            plan: plan.into(),
            created_at: None,
        }),
    }
}

fn connector(id: &str, waba_id: &str) -> pb::CreateConnectorRequest {
    pb::CreateConnectorRequest {
        connector: Some(Connector {
            id: id.into(),
            name: "WhatsApp".into(),
            waba_id: waba_id.into(),
            currency_code: "USD".into(),
            time_zone: "America/New_York".into(),
            ..Connector::default()
        }),
        access_token: format!("EAAG{waba_id}"),
    }
}

fn number(id: &str, connector: &str) -> pb::CreateNumberRequest {
    pb::CreateNumberRequest {
        number: Some(Number {
            id: id.into(),
            connector_id: connector.into(),
            phone: "+1 (555) 078-3881".into(),
            verified_name: "Shop".into(),
            ..Number::default()
        }),
    }
}

fn agent(id: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest {
        user: Some(User {
            id: id.into(),
            display_name: "Ana".into(),
            roles: vec![pb::Role::Agent.into()],
            created_at: None,
        }),
    }
}

fn refused(status: &Status) -> (Code, String) {
    (status.code(), reason_of(status).unwrap_or_default())
}

fn not_found() -> (Code, String) {
    (Code::NotFound, "NOT_FOUND".into())
}

lib_testkit::on_both_engines! {
    one_tenant_sees_nothing_of_another,
    rights_follow_the_credential,
    creating_twice_is_harmless_and_changing_by_creating_is_refused,
    essentials_has_no_whatsapp_and_says_so,
    what_is_wrong_is_named_field_by_field,
    a_token_is_shown_once_stored_as_a_digest_and_outlives_a_restart,
    only_the_directory_gives_out_graph_tokens,
    a_token_is_listed_and_withdrawn,
    a_graph_token_is_replaced,
}

async fn one_tenant_sees_nothing_of_another(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let (mut red, mut blue) = (server.accounts("red"), server.accounts("blue"));
    blue.update_tenant(pb::UpdateTenantRequest {
        plan: Plan::Elite.into(),
        ..Default::default()
    })
    .await
    .unwrap();
    red.create_user(agent("ana")).await.unwrap();
    red.create_connector(connector("main", "1001"))
        .await
        .unwrap();
    red.create_number(number("2001", "main")).await.unwrap();

    let seen = blue.get_user(pb::GetUserRequest { id: "ana".into() }).await;
    assert_eq!(refused(&seen.unwrap_err()), not_found());
    let seen = blue.get_connector(pb::GetConnectorRequest { id: "main".into() });
    assert_eq!(refused(&seen.await.unwrap_err()), not_found());
    let seen = blue.get_number(pb::GetNumberRequest { id: "2001".into() });
    assert_eq!(refused(&seen.await.unwrap_err()), not_found());
    let bound = blue.bind_flow(pb::BindFlowRequest {
        number_id: "2001".into(),
        flow_id: "theirs".into(),
    });
    assert_eq!(refused(&bound.await.unwrap_err()), not_found());
    let token = blue.create_access_token(pb::CreateAccessTokenRequest {
        user_id: "ana".into(),
        note: String::new(),
    });
    assert_eq!(refused(&token.await.unwrap_err()), not_found());
    let onto = blue.create_number(number("2002", "main")).await;
    assert_eq!(refused(&onto.unwrap_err()), not_found());
    let users = blue
        .list_users(pb::ListUsersRequest::default())
        .await
        .unwrap();
    assert!(users.into_inner().users.is_empty());
    let numbers = blue
        .list_numbers(pb::ListNumbersRequest::default())
        .await
        .unwrap();
    assert!(numbers.into_inner().numbers.is_empty());
    let connectors = blue.list_connectors(pb::ListConnectorsRequest::default());
    assert!(connectors.await.unwrap().into_inner().connectors.is_empty());

    // Ids of one's own are free; ids of Meta's belong to whoever connected them first.
    blue.create_user(agent("ana")).await.unwrap();
    blue.create_connector(connector("main", "1002"))
        .await
        .unwrap();
    let taken = blue.create_connector(connector("second", "1001")).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    let taken = blue.create_number(number("2001", "main")).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    server.stop().await;
}

async fn rights_follow_the_credential(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut agent_of_red = server.accounts("red-agent");
    let denied = agent_of_red.create_user(agent("x")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let own = agent_of_red
        .get_tenant(pb::GetTenantRequest {})
        .await
        .unwrap();
    assert_eq!(own.into_inner().id, "red");
    let denied = server
        .accounts("red")
        .create_tenant(tenant("x", Plan::Elite))
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let denied = server.accounts(SERVICE).create_user(agent("x")).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let all = pb::ResolveNumbersRequest::default();
    let denied = server.directory("red").resolve_numbers(all).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let denied = server
        .accounts("nobody")
        .who_am_i(pb::WhoAmIRequest {})
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::Unauthenticated);
    let me = server
        .accounts(SERVICE)
        .who_am_i(pb::WhoAmIRequest {})
        .await;
    let me = me.unwrap().into_inner();
    assert_eq!((me.service, me.user_id.as_str()), (true, "test"));
    server.stop().await;
}

async fn creating_twice_is_harmless_and_changing_by_creating_is_refused(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let (mut svc, mut red) = (server.accounts(SERVICE), server.accounts("red"));
    svc.create_tenant(tenant("red", Plan::Premium))
        .await
        .unwrap();
    let other = svc.create_tenant(tenant("red", Plan::Elite)).await;
    assert_eq!(other.unwrap_err().code(), Code::AlreadyExists);

    let first = red.create_user(agent("ana")).await.unwrap().into_inner();
    assert_eq!(
        red.create_user(agent("ana")).await.unwrap().into_inner(),
        first
    );
    let mut other = agent("ana");
    other.user.as_mut().unwrap().display_name = "Anna".into();
    assert_eq!(
        red.create_user(other).await.unwrap_err().code(),
        Code::AlreadyExists
    );

    let first = red
        .create_connector(connector("main", "1001"))
        .await
        .unwrap();
    let again = red
        .create_connector(connector("main", "1001"))
        .await
        .unwrap();
    assert_eq!(again.into_inner(), first.into_inner());
    let mut other = connector("main", "1001");
    other.access_token = "EAAGother".into();
    let other = red.create_connector(other).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);

    let first = red
        .create_number(number("2001", "main"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.phone, "15550783881");
    let bound = pb::BindFlowRequest {
        number_id: "2001".into(),
        flow_id: "welcome".into(),
    };
    red.bind_flow(bound).await.unwrap();
    let again = red
        .create_number(number("2001", "main"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.flow_id, "welcome");
    let mut other = number("2001", "main");
    other.number.as_mut().unwrap().phone = "15550783882".into();
    assert_eq!(
        red.create_number(other).await.unwrap_err().code(),
        Code::AlreadyExists
    );
    server.stop().await;
}

async fn essentials_has_no_whatsapp_and_says_so(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut blue = server.accounts("blue");
    let refusal = blue
        .create_connector(connector("main", "1002"))
        .await
        .unwrap_err();
    let lacks = (Code::FailedPrecondition, "PLAN_LACKS_WHATSAPP".to_owned());
    assert_eq!(refused(&refusal), lacks);
    assert!(refusal.message().contains("Premium or Elite"), "{refusal}");
    let change = |plan: Plan| pb::UpdateTenantRequest {
        plan: plan.into(),
        name: String::new(),
    };
    blue.update_tenant(change(Plan::Premium)).await.unwrap();
    blue.create_connector(connector("main", "1002"))
        .await
        .unwrap();
    let back = blue
        .update_tenant(change(Plan::Essentials))
        .await
        .unwrap_err();
    assert_eq!(refused(&back), lacks);
    server.stop().await;
}

async fn what_is_wrong_is_named_field_by_field(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut bad = connector("main", "10a");
    bad.connector.as_mut().unwrap().time_zone = "EST5ABC".into();
    let refusal = server
        .accounts("red")
        .create_connector(bad)
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let details = refusal.get_details_bad_request().unwrap();
    let fields: Vec<_> = details
        .field_violations
        .iter()
        .map(|one| &one.field)
        .collect();
    assert_eq!(fields, ["connector.waba_id", "connector.time_zone"]);
    server.stop().await;
}

async fn a_token_is_shown_once_stored_as_a_digest_and_outlives_a_restart(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut red = server.accounts("red");
    red.create_user(agent("ana")).await.unwrap();
    let request = pb::CreateAccessTokenRequest {
        user_id: "ana".into(),
        note: "desk".into(),
    };
    let token = red
        .create_access_token(request)
        .await
        .unwrap()
        .into_inner()
        .token;
    assert!(
        token.starts_with("fdt_") && token.len() == 68,
        "{}",
        token.len()
    );
    server.stop().await;

    let server = Server::start(place).await;
    let me = server
        .accounts(&token)
        .who_am_i(pb::WhoAmIRequest {})
        .await
        .unwrap();
    let me = me.into_inner();
    assert_eq!((me.tenant_id.as_str(), me.user_id.as_str()), ("red", "ana"));
    assert_eq!(me.roles, [i32::from(pb::Role::Agent)]);
    let wrong = server
        .accounts("fdt_0000")
        .who_am_i(pb::WhoAmIRequest {})
        .await;
    assert_eq!(wrong.unwrap_err().code(), Code::Unauthenticated);
    // While it runs: the last connection to close removes the write-ahead log.
    for entry in std::fs::read_dir(place.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes())
        );
    }
    server.stop().await;
}

async fn only_the_directory_gives_out_graph_tokens(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut red = server.accounts("red");
    let made = red
        .create_connector(connector("main", "1001"))
        .await
        .unwrap();
    assert!(!format!("{made:?}").contains("EAAG1001"));
    for id in ["2001", "2002", "2003"] {
        red.create_number(number(id, "main")).await.unwrap();
    }
    let mut directory = server.directory(SERVICE);
    let request = pb::ResolveNumbersRequest {
        number_ids: vec!["2002".into(), "9".into()],
    };
    let found = directory
        .resolve_numbers(request)
        .await
        .unwrap()
        .into_inner()
        .numbers;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].access_token, "EAAG1001");
    assert_eq!(found[0].tenant_id, "red");
    let all = pb::ResolveNumbersRequest::default();
    let all = directory
        .resolve_numbers(all)
        .await
        .unwrap()
        .into_inner()
        .numbers;
    assert_eq!(all.len(), 3);
    let waba = pb::ResolveWabaRequest {
        waba_id: "1001".into(),
    };
    let waba = directory.resolve_waba(waba).await.unwrap().into_inner();
    assert_eq!(waba.connector.unwrap().id, "main");
    let unknown = pb::ResolveWabaRequest {
        waba_id: "7".into(),
    };
    assert_eq!(
        directory.resolve_waba(unknown).await.unwrap_err().code(),
        Code::NotFound
    );

    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListNumbersRequest {
            connector_id: "main".into(),
            page_size: 2,
            page_token,
        };
        let page = red.list_numbers(request).await.unwrap().into_inner();
        seen.extend(page.numbers.into_iter().map(|number| number.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["2001", "2002", "2003"]);
    server.stop().await;
}

async fn a_token_is_listed_and_withdrawn(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut red = server.accounts("red");
    red.create_user(agent("ana")).await.unwrap();
    let mut made = Vec::new();
    for note in ["desk", "phone", "lost"] {
        let request = pb::CreateAccessTokenRequest {
            user_id: "ana".into(),
            note: note.into(),
        };
        made.push(red.create_access_token(request).await.unwrap().into_inner());
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListAccessTokensRequest {
            user_id: "ana".into(),
            page_size: 2,
            page_token,
        };
        let page = red.list_access_tokens(request).await.unwrap().into_inner();
        seen.extend(page.access_tokens);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut ids: Vec<&str> = made.iter().map(|token| token.id.as_str()).collect();
    ids.sort_unstable();
    let mut listed: Vec<&str> = seen.iter().map(|token| token.id.as_str()).collect();
    listed.sort_unstable();
    assert_eq!(listed, ids);
    assert!(seen.iter().all(|token| token.revoked_at.is_none()));

    let lost = &made[2];
    let request = pb::RevokeAccessTokenRequest {
        id: lost.id.clone(),
    };
    for _ in 0..2 {
        let answer = red.revoke_access_token(request.clone()).await.unwrap();
        let revoked = answer.into_inner();
        assert!(revoked.revoked_at.is_some() && revoked.note == "lost");
    }
    let denied = server
        .accounts(&lost.token)
        .who_am_i(pb::WhoAmIRequest {})
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::Unauthenticated);
    let kept = server.accounts(&made[0].token);
    kept.clone().who_am_i(pb::WhoAmIRequest {}).await.unwrap();

    // Not by an agent, nor by another tenant.
    let mut agent = server.accounts("red-agent");
    let denied = agent.revoke_access_token(request).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    for id in [made[0].id.as_str(), "", "zz"] {
        let request = pb::RevokeAccessTokenRequest { id: id.into() };
        let unknown = server.accounts("blue").revoke_access_token(request).await;
        assert_eq!(refused(&unknown.unwrap_err()), not_found());
    }
    server.stop().await;
}

async fn a_graph_token_is_replaced(place: &Place) {
    let server = Server::start(place).await.with_tenants().await;
    let mut red = server.accounts("red");
    red.create_connector(connector("main", "1001"))
        .await
        .unwrap();
    red.create_number(number("2001", "main")).await.unwrap();
    let replace = |token: &str| pb::ReplaceGraphTokenRequest {
        connector_id: "main".into(),
        access_token: token.into(),
    };
    for _ in 0..2 {
        let answer = red.replace_graph_token(replace("EAAGnew")).await.unwrap();
        assert!(!format!("{answer:?}").contains("EAAG"), "it is never shown");
    }
    let all = pb::ResolveNumbersRequest::default();
    let numbers = server
        .directory(SERVICE)
        .resolve_numbers(all)
        .await
        .unwrap();
    assert_eq!(numbers.into_inner().numbers[0].access_token, "EAAGnew");
    let invalid = red.replace_graph_token(replace("two words")).await;
    assert_eq!(invalid.unwrap_err().code(), Code::InvalidArgument);
    let mut blue = server.accounts("blue");
    let unknown = blue.replace_graph_token(replace("EAAGx")).await;
    assert_eq!(refused(&unknown.unwrap_err()), not_found());
    let denied = server
        .accounts("red-agent")
        .replace_graph_token(replace("EAAGx"))
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    server.stop().await;
}
