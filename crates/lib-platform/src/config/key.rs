//! One setting, as the table declares it.

use crate::config::kind::Kind;
use crate::config::load::PREFIX;

/// One setting. The loader, the checks, the example file and the documentation come from this.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name in the file, such as `grpc.listen`: tables joined by dots.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What holds when nothing is said; as it would stand in the environment.
    pub default: Option<&'static str>,
    /// Roles that read it; for the others it is known but not looked at.
    pub used_by: &'static [&'static str],
    /// Roles that do not start without it.
    pub needed_by: &'static [&'static str],
    /// A value for the example file; never a working secret.
    pub example: &'static str,
    /// What it is for, in sentences.
    pub doc: &'static str,
}

impl Key {
    /// Its name in the environment: `FRONTDESK_GRPC_LISTEN`.
    pub fn env(&self) -> String {
        let name = self.name.replace('.', "_").to_ascii_uppercase();
        format!("{PREFIX}{name}")
    }

    /// Its name in the environment when a file holds the value; secrets only.
    pub fn env_file(&self) -> Option<String> {
        self.kind
            .is_secret()
            .then(|| format!("{}_FILE", self.env()))
    }

    /// Whether `role` reads it; `None` stands for any role.
    pub fn is_used_by(&self, role: Option<&str>) -> bool {
        names(self.used_by, role)
    }

    /// Whether `role` needs it; `None` stands for any role.
    pub fn is_needed_by(&self, role: Option<&str>) -> bool {
        names(self.needed_by, role)
    }

    /// What to do when it is missing or wrong: where to set it, and what it looks like.
    pub fn remedy(&self) -> String {
        let env = self.env();
        let form = self.kind.form();
        match self.env_file() {
            Some(file) => {
                format!("set {env} (or {file}, the path of a file that holds it) to {form}")
            }
            None => format!("set {env} (or `{}` in the file) to {form}", self.name),
        }
    }
}

fn names(roles: &[&str], role: Option<&str>) -> bool {
    match role {
        None => !roles.is_empty(),
        Some(role) => roles.contains(&role),
    }
}
