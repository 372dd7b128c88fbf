//! The installation as it runs in production: every role a process, two replicas of each, real
//! PostgreSQL and Redis, a balancer before each service. What holds in the all-in-one process holds
//! here; then each replica is killed in turn while customers are being served, and every conversation
//! is finished and billed all the same.

use lib_proto::conversations::ListEngagementsRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::routing::{GetQueueRequest, UpdateQueueRequest};
use tests::cluster::{Cluster, ROLES};
use tokio::runtime::Runtime;

use crate::billed::each_delivered_message_is_billed_once;
use crate::conversation::{Customer, Moment, desk, talk};
use crate::installation::{Access, Installation, Stage};
use crate::{metrics, parked, trace};

/// When a replica of a role has most to lose.
fn moment(role: &str) -> Moment {
    match role {
        "routing" => Moment::Queueing,
        "egress" | "billing" => Moment::Answering,
        _ => Moment::Greeting,
    }
}

/// Ana answers for sales alone: those who only write, and whom the flow hands to support in the end,
/// do not get between her and the customers whose conversations are watched.
async fn ana_is_for_sales(access: &Access) {
    let mut routing = RoutingServiceClient::new(access.channel("routing", "admin"));
    let id = "support".to_owned();
    let queue = routing.get_queue(GetQueueRequest { id }).await.unwrap();
    let mut queue = queue.into_inner();
    queue.agent_ids.retain(|agent| agent != "ana");
    let request = UpdateQueueRequest { queue: Some(queue) };
    routing.update_queue(request).await.unwrap();
}

#[test]
fn what_holds_in_one_process_holds_on_two_replicas_of_each_role() {
    let runtime = Runtime::new().unwrap();
    let installation = Installation::stage(2);
    let access = installation.access();
    runtime.block_on(ana_is_for_sales(access));
    let customer = Customer::number(0);
    let mut ana = desk(access, "ana");
    talk(access, &mut ana, &customer, |_| {});
    // A desk is a call, which is counted at its end.
    drop(ana);
    runtime.block_on(async {
        let writer = "16505550177";
        let trace = trace::one_trace(access, writer).await;
        trace::is_logged_and_names_nobody(&installation, &trace, writer).await;
        parked::what_cannot_be_read_is_parked(access, "16505550188").await;
        parked::write_to_a_number_nobody_set_up(access, "16505550189").await;
        parked::set_the_number_up_and_replay(access, "16505550189").await;
        metrics::what_is_asked_for_is_shown(&installation, &customer.phone).await;
        each_delivered_message_is_billed_once(access).await;
    });
    installation.stop();
}

#[test]
fn every_conversation_is_finished_while_each_replica_is_killed_in_turn() {
    let runtime = Runtime::new().unwrap();
    let mut stage = Stage::start(2);
    let access = stage.access.clone();
    runtime.block_on(ana_is_for_sales(&access));
    let mut ana = desk(&access, "ana");
    talk(&access, &mut ana, &Customer::number(0), |_| {});
    // It stays parked while everybody who could have forgotten it is killed.
    let waits = "16505550189";
    runtime.block_on(parked::write_to_a_number_nobody_set_up(&access, waits));

    let roles = ROLES.iter().filter(|role| **role != "sandbox");
    let replicas: Vec<(&str, usize)> = roles.flat_map(|role| [(*role, 0), (*role, 1)]).collect();
    for (number, (role, replica)) in (1..).zip(&replicas) {
        let cluster: &mut Cluster = &mut stage.cluster;
        talk(&access, &mut ana, &Customer::number(number), |now| {
            if now == moment(role) {
                cluster.kill(role, *replica);
            }
        });
        // The other replica has all the work now.
        let writer = format!("1650556{number:04}");
        runtime.block_on(async {
            trace::one_trace(&access, &writer).await;
            parked::what_cannot_be_read_is_parked(&access, &format!("1650557{number:04}")).await;
        });
        stage.cluster.restart(role, *replica);
    }
    runtime.block_on(async {
        parked::set_the_number_up_and_replay(&access, waits).await;
        let customers = replicas.len() + 1;
        let billed = each_delivered_message_is_billed_once(&access).await;
        // At least two messages of the flow's, one of Ana's and a template to each.
        assert!(billed >= customers * 4, "{billed} messages are billed");
        all_are_finished(&access, customers).await;
    });
    drop(ana);
    stage.stop();
}

/// As many engagements as there were customers at a desk are closed, none more than once.
async fn all_are_finished(access: &Access, customers: usize) {
    let mut log = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let request = ListEngagementsRequest {
        page_size: 500,
        ..ListEngagementsRequest::default()
    };
    let all = log.list_engagements(request).await.unwrap().into_inner();
    let closed = all
        .engagements
        .iter()
        .filter(|engagement| engagement.closed_at.is_some());
    assert_eq!(closed.count(), customers);
}
