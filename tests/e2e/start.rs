//! Starting and stopping: taken ports, used folders, addresses others can reach, going on after a
//! stop.

use std::net::TcpListener;
use std::process::Command;

use lib_proto::flow_runner::GetFlowRequest;
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;

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
    let error = refused(&[&args[..], &["--sandbox", &other.sandbox]].concat());
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
