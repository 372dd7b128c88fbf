//! The settings of every role: the files of `deploy/env`, with the names of containers replaced by
//! addresses of this machine and the folders of containers by folders of the cluster.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// All roles, callers after those they call: what is started first is missed least.
pub const ROLES: [&str; 9] = [
    "accounts",
    "flow-runner",
    "templates",
    "conversations",
    "routing",
    "billing",
    "egress",
    "sandbox",
    "ingress",
];
/// Where containers find their secrets.
const CONTAINER_SECRETS: &str = "/run/secrets/";
/// Where the sandbox's container keeps its file.
const CONTAINER_DATA: &str = "/data";
/// Goes to a collector that is not part of the cluster.
const COLLECTOR: &str = "FRONTDESK_TELEMETRY_OTLP_ENDPOINT";

/// Settings and secrets of one cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    folder: PathBuf,
    /// By service: gRPC, and HTTP where it has some.
    addresses: BTreeMap<String, (String, Option<String>)>,
}

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The settings in the text of an environment file, in order.
///
/// # Panics
/// On a line that is neither a setting nor a comment.
pub(crate) fn parse(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}`"));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// `deploy/make-secrets` into `folder`; what roles read belongs to the user of this process.
///
/// # Panics
/// When this machine does not tell who that is.
pub fn make_secrets(folder: &Path) -> Command {
    let this = fs::metadata("/proc/self").expect("/proc tells of this process");
    let mut make = Command::new(root().join("deploy/make-secrets"));
    make.args(["--owner", &this.uid().to_string()]).arg(folder);
    make
}

impl Settings {
    /// Writes the secrets into `<folder>/secrets`, with `deploy/make-secrets`.
    pub(super) fn new(folder: &Path) -> Self {
        let secrets = folder.join("secrets");
        // The sandbox's, as the image has it.
        fs::create_dir_all(folder.join("data")).expect("the cluster's folder can be made");
        let made = make_secrets(&secrets).output();
        let made = made.expect("deploy/make-secrets runs");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "deploy/make-secrets: {said}");
        // The script leaves some readable, for containers with other users; tests change some.
        for file in fs::read_dir(&secrets)
            .expect("the secrets are there")
            .flatten()
        {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(file.path(), mode).expect("its own files");
        }
        Self {
            folder: folder.to_owned(),
            addresses: BTreeMap::new(),
        }
    }

    fn secret_file(&self, name: &str) -> PathBuf {
        self.folder.join("secrets").join(name)
    }

    pub(super) fn set_secret(&self, name: &str, value: &str) {
        fs::write(self.secret_file(name), value).expect("a secret can be written");
    }

    pub(super) fn secret(&self, name: &str) -> String {
        let file = self.secret_file(name);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Says where a service is.
    pub(super) fn place(&mut self, service: &str, grpc: &str, http: Option<&str>) {
        let address = (grpc.to_owned(), http.map(str::to_owned));
        self.addresses.insert(service.to_owned(), address);
    }

    pub(super) fn grpc(&self, service: &str) -> String {
        let address = self.addresses.get(service);
        address
            .unwrap_or_else(|| panic!("no service is called {service}"))
            .0
            .clone()
    }

    pub(super) fn http(&self, service: &str) -> String {
        let address = self
            .addresses
            .get(service)
            .and_then(|address| address.1.clone());
        address.unwrap_or_else(|| panic!("{service} has no HTTP"))
    }

    /// The settings of a role (or of `seed`), as the compose file gives them, for this machine.
    pub(super) fn of(&self, role: &str) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for file in ["common", role] {
            let path = root().join(format!("deploy/env/{file}.env.example"));
            let text = fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            settings.extend(parse(&text));
        }
        settings.remove(COLLECTOR);
        for value in settings.values_mut() {
            *value = self.for_this_machine(value);
        }
        settings
    }

    /// A value with containers' names and folders replaced.
    fn for_this_machine(&self, value: &str) -> String {
        let mut value = value.to_owned();
        for (service, (grpc, http)) in &self.addresses {
            value = value.replace(&format!("http://{service}:50051"), grpc);
            if let Some(http) = http {
                value = value.replace(&format!("http://{service}:8080"), http);
            }
        }
        if let Some(name) = value.strip_prefix(CONTAINER_SECRETS) {
            return self.secret_file(name).display().to_string();
        }
        if value == CONTAINER_DATA {
            return self.folder.join("data").display().to_string();
        }
        value
    }
}

/// The user of Redis that docs/OPERATIONS.md gives the roles, with a password, and how to log in.
pub(super) fn redis_user() -> (String, &'static str) {
    let guide = std::fs::read_to_string(root().join("docs/OPERATIONS.md"));
    let guide = guide.expect("the guide can be read");
    let line = guide.lines().find_map(|line| line.strip_prefix("user "));
    let line = line.expect("docs/OPERATIONS.md names a user for Redis");
    let user = line.replace(">PASSWORD", ">a-users-password");
    (user, "frontdesk:a-users-password")
}

#[cfg(test)]
mod tests {
    use super::{ROLES, Settings, parse};

    #[test]
    fn comments_and_empty_lines_are_no_settings() {
        let text = "# A comment\n\nA=1\nB=http://a:1/?b=2\n";
        let expected = [("A", "1"), ("B", "http://a:1/?b=2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn no_container_is_left_in_the_settings_of_a_cluster() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::new(folder.path());
        for role in ROLES {
            settings.place(role, "http://127.0.0.1:1", Some("http://127.0.0.1:2"));
        }
        for role in ROLES.into_iter().chain(["seed"]) {
            for (name, value) in settings.of(role) {
                let foreign = value.starts_with("/run/") || value.contains("//sandbox:");
                assert!(!foreign && !value.contains(":50051") || name.ends_with("_LISTEN"));
                if name.ends_with("_FILE") {
                    assert!(
                        std::path::Path::new(&value).is_file(),
                        "{role}: {name}={value}"
                    );
                }
            }
        }
    }
}
