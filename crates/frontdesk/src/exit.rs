//! Ends of the program that other programs act on: exit codes as in sysexits.h.

use std::fmt;

/// A setting is wrong; starting again does not help.
pub(crate) const CONFIG: u8 = 78;
/// Something needed cannot be used: a taken port, a database of a newer version.
pub(crate) const UNAVAILABLE: u8 = 69;

/// An end with a code of its own.
#[derive(Debug)]
pub(crate) struct Exit {
    /// The process's exit code.
    pub(crate) code: u8,
    /// What people read.
    pub(crate) message: String,
}

impl Exit {
    /// A wrong setting.
    pub(crate) fn config(message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        Self {
            code: CONFIG,
            message,
        }
        .into()
    }

    /// Something needed that cannot be used.
    pub(crate) fn unavailable(message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        Self {
            code: UNAVAILABLE,
            message,
        }
        .into()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}
