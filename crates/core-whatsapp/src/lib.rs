//! Meta's wire format to and from the vocabulary; signature, limits, error table.
//!
//! Everything Meta-shaped in Frontdesk is here: what a webhook body holds ([`webhook`]), whether it
//! is Meta's ([`signature`]), how a message is put into a request and what the answer means
//! ([`send`]), and what an error code means ([`errors`]).

pub mod errors;
pub mod send;
pub mod signature;
mod text;
pub mod webhook;
