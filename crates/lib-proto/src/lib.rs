//! The gRPC contracts, generated from `proto/`, and conversions between them and `core-types`.
//!
//! Conversions that involve a service's own types live in that service. A conversion from the
//! wire names the field it refuses: see [`FieldError`].

mod convert;

pub use convert::{
    FieldError, account_fact_from_proto, content_from_proto, identity_from_proto,
    referral_from_proto, required, status_update_from_proto, template_from_proto,
    timestamp_from_proto, timestamp_opt, timestamp_to_proto,
};

/// Every descriptor, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/frontdesk.bin"));

#[expect(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; the contracts carry the comments"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/frontdesk.rs"));
}

pub use generated::frontdesk::{
    accounts::v1 as accounts, billing::v1 as billing, common::v1 as common,
    conversations::v1 as conversations, egress::v1 as egress, flow_runner::v1 as flow_runner,
    ingress::v1 as ingress, routing::v1 as routing, sandbox::v1 as sandbox,
    templates::v1 as templates,
};
