//! Starting and stopping: taken ports, used folders, addresses others can reach, going on after a
//! stop.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use lib_proto::flow_runner::GetFlowRequest;
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use tests::process::{Addresses, Frontdesk, program};

fn refused(args: &[&str]) -> String {
    let output = Command::new(program()).args(args).output().unwrap();
    assert!(!output.status.success(), "it started");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = Addresses::free();
    let all = [
        ("--http", &free.http),
        ("--grpc", &free.grpc),
        ("--sandbox", &free.sandbox),
        ("--admin", &free.admin),
    ];
    for (option, _) in all {
        let mut args = vec!["dev", "--ephemeral"];
        for (name, value) in all {
            args.extend([name, if name == option { &address } else { value }]);
        }
        let error = refused(&args);
        assert!(
            error.contains(&address) && error.contains(option),
            "{error}"
        );
    }
}

#[test]
fn well_known_tokens_stay_on_this_machine() {
    let error = refused(&["dev", "--ephemeral", "--grpc", "0.0.0.0:0"]);
    assert!(
        error.contains("--grpc") && error.contains("127.0.0.1"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_health_are_open_and_everything_else_asks_for_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
    for probe in ["healthz", "readyz"] {
        let url = format!("http://{}/{probe}", process.at.admin);
        assert_eq!(
            client.get(url).send().await.unwrap().status(),
            200,
            "{probe}"
        );
    }
    let address = format!("http://{}", process.at.grpc);
    let open = tonic::transport::Endpoint::from_shared(address.clone())
        .unwrap()
        .connect_lazy();
    let mut health = HealthClient::new(open.clone());
    for service in [
        "frontdesk.ingress.v1.IngressService",
        "frontdesk.conversations.v1.ConversationService",
        "frontdesk.flow_runner.v1.FlowRunnerService",
        "frontdesk.routing.v1.DeskService",
        "frontdesk.egress.v1.EgressService",
        "frontdesk.templates.v1.TemplateService",
        "frontdesk.billing.v1.BillingService",
        "frontdesk.accounts.v1.AccountService",
        "frontdesk.sandbox.v1.SandboxService",
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service} is not serving");
    }
    let request = GetFlowRequest {
        id: "whatsapp-for-business".into(),
    };
    let refused = FlowServiceClient::new(open)
        .get_flow(request.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let wrong = lib_platform::channel::connect(&address, "dev-nobody").unwrap();
    let refused = FlowServiceClient::new(wrong)
        .get_flow(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(process.stop().success());
}

#[test]
fn one_folder_serves_one_process_and_a_second_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = Addresses::free();
    let first = Frontdesk::start(folder.path(), &at, &[]);
    let other = Addresses::free();
    let path = folder.path().to_str().unwrap();
    let args = [
        "dev",
        "--data-dir",
        path,
        "--http",
        &other.http,
        "--grpc",
        &other.grpc,
    ];
    let error = refused(
        &[
            &args[..],
            &["--sandbox", &other.sandbox, "--admin", &other.admin],
        ]
        .concat(),
    );
    assert!(error.contains("--data-dir"), "{error}");
    assert!(first.stop().success());

    let second = Frontdesk::start(folder.path(), &at, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let version = runtime.block_on(async {
        let mut flows = FlowServiceClient::new(second.at.channel("admin"));
        let request = GetFlowRequest {
            id: "whatsapp-for-business".into(),
        };
        flows
            .get_flow(request)
            .await
            .unwrap()
            .into_inner()
            .published_version
    });
    assert_eq!(version, 1, "the flow is published once, not at every start");
    assert!(second.stop().success());
}
