//! Calls to other systems that flows ask for. Each is made after the step that asks for it is stored, by
//! the replica that stored it, and never a second time: should that replica die, or should nobody be
//! able to take what came of it, the flow's wait ends by itself and takes the way of a timeout.

use std::sync::Arc;
use std::time::Duration;

use core_conversation::{Called, Conversation, FlowCall, Input};
use core_types::EngagementId;
use lib_platform::Lifecycle;
use lib_proto::flow_runner::CallRequest;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::committer::{Answer, Committer, Unit, What};
use crate::flow_runner::FlowRunner;

/// Most calls at once; more wait, and their time runs.
const AT_ONCE: usize = 256;
/// Most calls that wait to be made.
const WAITING: usize = 4_096;
/// How often the outcome is handed in while it cannot be taken, and how long to wait in between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// A call to be made.
pub(crate) struct Call {
    asked: CallRequest,
    engagement: EngagementId,
    wait: u64,
    /// When its answer is of no use any more.
    until: Instant,
    traceparent: String,
}

impl Call {
    /// What a flow of `conversation` asks for; `None` when it is in no flow any more.
    pub(crate) fn of(
        conversation: &Conversation,
        call: FlowCall,
        traceparent: &str,
    ) -> Option<Self> {
        let flow = conversation.open_engagement()?.flow.as_ref()?;
        Some(Self {
            asked: CallRequest {
                tenant_id: conversation.tenant.to_string(),
                flow_id: flow.flow_id.to_string(),
                flow_version: flow.version,
                call: call.request,
                idempotency_key: format!("{}.{}", call.engagement, call.wait),
            },
            engagement: call.engagement,
            wait: call.wait,
            until: Instant::now() + call.patience,
            traceparent: traceparent.to_owned(),
        })
    }
}

/// Takes calls to be made. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls(mpsc::Sender<Call>);

impl Calls {
    /// The place for calls, and where they come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Call>) {
        let (calls, asked) = mpsc::channel(WAITING);
        (Self(calls), asked)
    }

    /// Has them made. One for which there is no room is not made, and times out.
    pub(crate) fn make(&self, calls: Vec<Call>) {
        for call in calls {
            if let Err(refused) = self.0.try_send(call) {
                let call = refused.into_inner();
                tracing::warn!(engagement = %call.engagement, "too many calls of flows wait; this one is not made");
            }
        }
    }
}

/// Makes what is asked for until the service stops.
pub(crate) fn spawn(
    life: &Lifecycle,
    flows: FlowRunner,
    committer: Committer,
    asked: mpsc::Receiver<Call>,
) {
    let caller = Caller {
        flows,
        committer,
        life: life.clone(),
    };
    life.spawn_critical("calls", caller.run(asked));
}

/// Makes calls.
#[derive(Clone)]
struct Caller {
    flows: FlowRunner,
    committer: Committer,
    life: Lifecycle,
}

impl Caller {
    /// Makes what comes until the service stops. Calls under way end with it: what they asked for may
    /// have happened, and the flow is told that time is over.
    async fn run(self, mut asked: mpsc::Receiver<Call>) -> anyhow::Result<()> {
        let free = Arc::new(Semaphore::new(AT_ONCE));
        let stopped = self.life.stopped();
        tokio::pin!(stopped);
        loop {
            let call = tokio::select! {
                call = asked.recv() => call,
                () = &mut stopped => return Ok(()),
            };
            let Some(call) = call else { return Ok(()) };
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
                return Ok(());
            };
            let caller = self.clone();
            self.life.spawn("call", async move {
                let stopped = caller.life.stopped();
                tokio::select! {
                    () = caller.make(call) => {}
                    () = stopped => {}
                }
                drop(permit);
            });
        }
    }

    async fn make(&self, call: Call) {
        let Call {
            asked,
            engagement,
            wait,
            until,
            traceparent,
        } = call;
        // What waited for so long that its time is over must not be asked any more.
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            tracing::warn!(%engagement, "a call waited too long to be made");
            return;
        };
        // What took too long is the wait's to tell.
        if let Some(called) = self.flows.call(asked, left).await {
            self.hand_in(&engagement, wait, &called, &traceparent).await;
        }
    }

    async fn hand_in(
        &self,
        engagement: &EngagementId,
        wait: u64,
        called: &Called,
        traceparent: &str,
    ) {
        for _ in 0..TRIES {
            let input = Input::Called {
                engagement: engagement.clone(),
                wait,
                called: called.clone(),
            };
            let unit = Unit {
                what: What::Desk(None, engagement.clone(), Box::new(input)),
                traceparent: traceparent.to_owned(),
            };
            match self.committer.submit(vec![unit]).await {
                Ok(answers) if matches!(answers.first(), Some(Answer::Retry(_))) => {}
                Ok(answers) if matches!(answers.first(), Some(Answer::Elsewhere)) => {
                    tracing::info!(%engagement, "another replica has the conversation; the flow's wait ends by itself");
                    return;
                }
                _ => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::warn!(%engagement, "what came of a call could not be taken; the flow's wait ends by itself");
    }
}
