//! What a question without choices takes for an answer, as it is written.

use core_types::MediaKind;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_ANSWER;

/// What a question without choices takes for an answer. Each kind is kept in one form, however it was
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Accept {
    /// A text.
    Text {
        /// Fewest characters, from 1.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        least: u32,
        /// Most characters.
        #[serde(default = "longest", skip_serializing_if = "is_longest")]
        most: u32,
    },
    /// Digits only, such as a code; kept without what stands between them.
    Digits {
        /// Fewest digits, from 1.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        least: u32,
        /// Most digits, up to 40.
        most: u32,
        /// A sign that may stand at the end, such as `#`; not kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finish: Option<String>,
    },
    /// A number, kept as `1234.5`.
    Number {
        /// Not below this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<i64>,
        /// Not above this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<i64>,
        /// Whether only whole numbers count.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
    },
    /// An e-mail address.
    Email {},
    /// A telephone number, kept as digits, with `+` where the country's code was written.
    Phone {},
    /// A web address; without a scheme, https is meant.
    Url {},
    /// A day, kept as `2026-11-30`.
    Date {
        /// `11/30/2026` instead of `30/11/2026`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        month_first: bool,
    },
    /// A time of day, kept as `14:30`.
    Time {},
    /// A place, kept as `latitude,longitude`.
    Location {},
    /// A file of one of these kinds, kept as Meta's media id.
    Media {
        /// At least one.
        kinds: Vec<MediaKind>,
    },
}

impl Default for Accept {
    fn default() -> Self {
        Self::Text {
            least: one(),
            most: longest(),
        }
    }
}

impl Accept {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn one() -> u32 {
    1
}

fn longest() -> u32 {
    MAX_ANSWER as u32
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_one(number: &u32) -> bool {
    *number == one()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_longest(number: &u32) -> bool {
    *number == longest()
}
