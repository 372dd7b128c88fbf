//! The sandbox's gRPC services.

pub(crate) mod faults;
mod phone;
mod sandbox;

use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Lifecycle, Parts};
use lib_proto::sandbox::phone_service_server::PhoneServiceServer;
use lib_proto::sandbox::sandbox_service_server::SandboxServiceServer;

use crate::deliverer::Deliverer;
use crate::graph::Graph;

/// Both services.
pub(crate) fn parts(graph: &Graph, deliverer: &Deliverer, life: &Lifecycle) -> Parts {
    let phones = phone::Phones {
        graph: graph.clone(),
        life: life.clone(),
    };
    let sandbox = sandbox::Sandbox {
        graph: graph.clone(),
        deliverer: deliverer.clone(),
    };
    Parts::new().grpc(PhoneServiceServer::new(phones)).grpc(
        SandboxServiceServer::new(sandbox)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
    )
}
