//! Settings: documented defaults, then a TOML file, then the environment. One table of [`Key`]s
//! says what there is; loading finds every mistake at once and says what to do about each. No
//! secret's value is ever part of a message.

mod file;
mod key;
mod kind;
mod load;
mod problem;
mod settings;
pub mod shape;

pub use key::Key;
pub use kind::{Kind, Shown, Value, duration_text};
pub use load::{MOST_FILE_BYTES, Outcome, PREFIX, Sources, load};
pub use problem::Problem;
pub use settings::{Given, Origin, Settings};

#[cfg(test)]
mod tests;
