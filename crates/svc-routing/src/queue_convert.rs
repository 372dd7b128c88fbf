//! Queues between the wire and `core-routing`.

use core_routing::{DEFAULT_OFFER_SECONDS, Queue};
use core_types::{AgentId, QueueId};
use lib_platform::Refusal;
use lib_proto::routing as pb;

/// A queue from the wire, checked.
///
/// # Errors
/// With every field that cannot be used.
pub(crate) fn queue_from_proto(queue: Option<pb::Queue>) -> Result<Queue, Refusal> {
    let queue = queue.ok_or_else(|| Refusal::invalid("queue", "must be set"))?;
    let mut problems: Vec<(String, String)> = Vec::new();
    let id = QueueId::new(&queue.id).map_err(|error| problems.push(at("id", &error)));
    let mut agents = Vec::with_capacity(queue.agent_ids.len());
    for (index, agent) in queue.agent_ids.iter().enumerate() {
        match AgentId::new(agent) {
            Ok(agent) => agents.push(agent),
            Err(error) => problems.push(at(&format!("agent_ids[{index}]"), &error)),
        }
    }
    // A stand-in lets the other fields be checked too; the refusal comes all the same.
    let stand_in = QueueId::new("unnamed").map_err(|error| Refusal::internal(&error))?;
    let checked = Queue {
        id: id.unwrap_or(stand_in),
        name: queue.name,
        agents,
        offer_seconds: match queue.offer_seconds {
            0 => DEFAULT_OFFER_SECONDS,
            seconds => seconds,
        },
        wrap_up_seconds: queue.wrap_up_seconds,
        dispositions: queue.dispositions,
    };
    problems.extend(
        checked
            .violations()
            .into_iter()
            .map(|found| (format!("queue.{}", found.field), found.problem)),
    );
    let mut problems = problems.into_iter();
    match problems.next() {
        None => Ok(checked),
        Some((field, problem)) => Err(problems.fold(
            Refusal::invalid(field, problem),
            |refusal, (field, problem)| refusal.and_field(field, problem),
        )),
    }
}

fn at(field: &str, error: &dyn std::fmt::Display) -> (String, String) {
    (format!("queue.{field}"), error.to_string())
}

/// A queue for the wire.
pub(crate) fn queue_to_proto(queue: &Queue) -> pb::Queue {
    pb::Queue {
        id: queue.id.to_string(),
        name: queue.name.clone(),
        agent_ids: queue.agents.iter().map(ToString::to_string).collect(),
        offer_seconds: queue.offer_seconds,
        wrap_up_seconds: queue.wrap_up_seconds,
        dispositions: queue.dispositions.clone(),
    }
}
