//! `frontdesk config` and wrong settings of roles, as an operator meets them: exit codes, what is
//! printed, and that nothing was started. The cases one by one are in the program's own tests.

use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;

use tests::process::{free_address, program};

const CONFIG: i32 = 78;
const UNAVAILABLE: i32 = 69;

/// Runs the program with these variables and no others that begin as ours do.
fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FRONTDESK_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What the accounts role needs in development.
fn accounts(grpc: &str, admin: &str) -> Vec<(&'static str, String)> {
    vec![
        ("FRONTDESK_ENVIRONMENT", "development".to_owned()),
        ("FRONTDESK_SERVICE_TOKEN", "a-service-token".to_owned()),
        (
            "FRONTDESK_POSTGRES_URL",
            "postgres://u:hunter2@127.0.0.1:1/x".to_owned(),
        ),
        ("FRONTDESK_GRPC_LISTEN", grpc.to_owned()),
        ("FRONTDESK_ADMIN_LISTEN", admin.to_owned()),
    ]
}

#[test]
fn a_role_names_every_mistake_and_starts_nothing() {
    let env = [
        ("FRONTDESK_ENVIRONMENT", "development"),
        ("FRONTDESK_GRPC_LISTEN", "nowhere"),
        ("FRONTDESK_REDIS_ULR", "redis://redis"),
        ("FRONTDESK_SERVICE_TOKEN", "hunter2 hunter2"),
    ];
    let output = run(&["egress"], &env);
    assert_eq!(output.status.code(), Some(CONFIG));
    let error = text(&output.stderr);
    for said in [
        "FRONTDESK_GRPC_LISTEN",
        "did you mean FRONTDESK_REDIS_URL?",
        "FRONTDESK_POSTGRES_URL_FILE",
        "service.token",
        "Nothing was started",
    ] {
        assert!(error.contains(said), "`{said}` is not in: {error}");
    }
    assert!(!error.contains("hunter2"), "{error}");
    // The check says the same, for people and for programs.
    let output = run(&["config", "check", "--role", "egress"], &env);
    assert_eq!(output.status.code(), Some(CONFIG));
    assert!(!text(&output.stderr).contains("Nothing was started"));
    let output = run(&["config", "check", "--role", "egress", "--json"], &env);
    assert_eq!(output.status.code(), Some(CONFIG));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"].as_array().unwrap().len(), 5, "{json}");
    assert!(json["problems"][0]["remedy"].is_string());
}

#[test]
fn right_settings_are_shown_with_where_each_comes_from() {
    let (grpc, admin) = (free_address(), free_address());
    let env = accounts(&grpc, &admin);
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let output = run(&["config", "check", "--role", "accounts"], &env);
    let shown = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{shown} {}",
        text(&output.stderr)
    );
    assert!(
        shown.contains(&format!("grpc.listen = {grpc} (FRONTDESK_GRPC_LISTEN)")),
        "{shown}"
    );
    assert!(shown.contains("u:***@127.0.0.1:1/x"), "{shown}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("a-service-token"),
        "{shown}"
    );
}

#[test]
fn help_and_version_work_whatever_the_settings_are() {
    // N72
    for args in [
        &["--help"][..],
        &["--version"],
        &["egress", "--help"],
        &["config", "--help"],
    ] {
        let output = run(
            args,
            &[
                ("FRONTDESK_GRPC_LISTEN", "nowhere"),
                ("FRONTDESK_CONFIG", "/nowhere"),
            ],
        );
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn no_secret_can_be_given_on_the_command_line() {
    // N74: every user of the machine sees arguments.
    for role in ["ingress", "accounts", "seed", "agent", "chat"] {
        for option in [
            "--service-token",
            "--token",
            "--app-secret",
            "--postgres-url",
            "--redis-url",
        ] {
            let output = run(&[role, option, "hunter2"], &[]);
            assert_eq!(
                output.status.code(),
                Some(2),
                "{role} {option}: {}",
                text(&output.stderr)
            );
        }
    }
}

#[test]
fn a_taken_address_is_named_with_its_key_and_no_other_is_tried() {
    // N14
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = free_address();
    for (grpc, admin, key) in [
        (&address, &free, "grpc.listen"),
        (&free, &address, "admin.listen"),
    ] {
        let env = accounts(grpc, admin);
        let env: Vec<(&str, &str)> = env
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let output = run(&["accounts"], &env);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(UNAVAILABLE), "{error}");
        assert!(error.contains(&address) && error.contains(key), "{error}");
    }
}

#[test]
fn a_wrong_server_address_is_explained_to_clients() {
    let env = [("FRONTDESK_SERVER", "routnig=http://127.0.0.1:1")];
    for args in [&["agent"][..], &["chat"], &["seed"]] {
        let env = [
            env[0],
            (
                "FRONTDESK_OPERATOR_TOKEN",
                "an-operator-token-of-32-characters",
            ),
            ("FRONTDESK_SANDBOX_APP_SECRET", "dev"),
        ];
        let output = run(args, &env);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(CONFIG), "{args:?}: {error}");
        assert!(error.contains("`routnig`"), "{args:?}: {error}");
    }
}

#[test]
fn keys_and_the_example_are_printed() {
    let output = run(&["config", "keys", "--json"], &[]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = json["keys"].as_array().unwrap();
    assert!(
        keys.iter().any(|key| key["env"] == "FRONTDESK_GRPC_LISTEN"),
        "{json}"
    );
    let output = run(&["config", "keys", "--role", "ingress"], &[]);
    let listed = text(&output.stdout);
    assert!(
        listed.contains("ingress.app_secrets") && !listed.contains("routing.grace"),
        "{listed}"
    );
    let example = text(&run(&["config", "example"], &[]).stdout);
    let committed = include_str!("../../deploy/frontdesk.example.toml");
    assert_eq!(example, committed);
}

#[test]
fn a_health_check_that_nobody_answers_fails_and_says_where() {
    let admin = format!("http://{}", free_address());
    let output = run(&["health", "--admin", &admin], &[]);
    assert_eq!(output.status.code(), Some(UNAVAILABLE));
    assert!(text(&output.stderr).contains(&admin));
    for wrong in ["127.0.0.1:9090", "http://127.0.0.1:9090/readyz"] {
        let output = run(&["health", "--admin", wrong], &[]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(CONFIG), "{error}");
        assert!(
            error.contains("FRONTDESK_ADMIN_URL") && error.contains("write http://host:port"),
            "{error}"
        );
    }
}
