//! Meta's wire format to and from the vocabulary; signature, limits, error table.
//!
//! Everything Meta-shaped in Frontdesk is here: what a webhook body holds ([`webhook`]), whether it
//! is Meta's ([`signature`]), how a message is put into a request and what the answer means
//! ([`send`]), what an error code means ([`errors`]), what a template wants filled in
//! ([`template`]), and all of that for people who debug ([`describe`]).

pub mod describe;
pub mod errors;
pub mod send;
pub mod signature;
pub mod template;
mod text;
pub mod webhook;
