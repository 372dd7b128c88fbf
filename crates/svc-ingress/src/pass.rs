//! One pass: each waiting item is offered to the conversation log once, in order, and gets a
//! verdict. Whether a failure is the item's own fault is judged by its siblings: if others of its
//! kind are taken in the same pass, it is.

use std::collections::BTreeSet;

use lib_platform::AuthorizedChannel;
use lib_proto::common::{ContactIdentity, Fact, fact};
use lib_proto::conversations::conversation_log_service_client::ConversationLogServiceClient;
use lib_proto::conversations::receive_result::Outcome;
use lib_proto::conversations::{ReceiveRequest, ReceiveResult, ReceivedItem};
use tonic::{Code, Status};

/// Failed calls of single items in one pass; then it is left for later.
const PROBES: usize = 8;

/// The conversation log, as ingress needs it.
pub(crate) type LogClient = ConversationLogServiceClient<AuthorizedChannel>;

/// What became of an item in a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the log now.
    Taken,
    /// It was in the log before.
    Known,
    /// It never will be.
    Refused(String),
    /// Not now. `counts`: it is its own fault, as far as can be told.
    Again { cause: String, counts: bool },
    /// It was not offered.
    Untried,
}

/// How a pass went.
#[derive(Debug)]
pub(crate) struct Pass {
    /// One for each item, in order.
    pub(crate) verdicts: Vec<Verdict>,
    /// The call that failed, if one did.
    pub(crate) failure: Option<Status>,
}

/// Offers all items in one call.
pub(crate) async fn together(client: &mut LogClient, items: &[&ReceivedItem]) -> Pass {
    let (mut verdicts, failure) = match call(client, items).await {
        Ok(verdicts) => (verdicts, None),
        Err(status) => (vec![Verdict::Untried; items.len()], Some(status)),
    };
    judge(items, &mut verdicts);
    Pass { verdicts, failure }
}

/// Offers the items one by one, because the calls with all of them failed. An item is not offered
/// while one before it of the same conversation has to wait.
pub(crate) async fn singly(client: &mut LogClient, items: &[&ReceivedItem]) -> Pass {
    let mut verdicts = vec![Verdict::Untried; items.len()];
    let mut blocked = BTreeSet::new();
    let (mut failed, mut failure) = (0, None);
    for (item, verdict) in items.iter().zip(&mut verdicts) {
        let keys = conversation_keys(item);
        if keys.iter().any(|key| blocked.contains(key)) {
            blocked.extend(keys);
            continue;
        }
        *verdict = match call(client, &[item]).await {
            Ok(mut one) => one.pop().unwrap_or(Verdict::Untried),
            Err(status) => {
                failed += 1;
                let verdict = Verdict::Again {
                    cause: format!("{:?}: {}", status.code(), status.message()),
                    // Alone in the call, a faulty argument can only be this one.
                    counts: matches!(status.code(), Code::InvalidArgument | Code::OutOfRange),
                };
                failure = Some(status);
                verdict
            }
        };
        if matches!(verdict, Verdict::Again { .. }) {
            blocked.extend(keys);
        }
        if failed == PROBES {
            break;
        }
    }
    judge(items, &mut verdicts);
    Pass { verdicts, failure }
}

/// Whether a failed call says something about what was in it, rather than about the way there.
pub(crate) fn is_about_the_items(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Internal
            | Code::DataLoss
    )
}

async fn call(client: &mut LogClient, items: &[&ReceivedItem]) -> Result<Vec<Verdict>, Status> {
    let request = ReceiveRequest {
        items: items.iter().map(|item| (*item).clone()).collect(),
    };
    let response = client.receive(request).await?.into_inner();
    let mut verdicts: Vec<Verdict> = response.results.into_iter().map(verdict).collect();
    // An item without an answer is offered again.
    verdicts.resize(items.len(), Verdict::Untried);
    Ok(verdicts)
}

fn verdict(result: ReceiveResult) -> Verdict {
    let (outcome, cause) = (result.outcome(), result.cause);
    match outcome {
        Outcome::Taken => Verdict::Taken,
        Outcome::Duplicate => Verdict::Known,
        Outcome::Refused => Verdict::Refused(cause),
        Outcome::Retry | Outcome::Unspecified => Verdict::Again {
            cause,
            counts: false,
        },
    }
}

/// Counts a failure against the first item of a conversation that has to wait, if a sibling of its
/// kind was taken. Those behind it may only be waiting for it.
fn judge(items: &[&ReceivedItem], verdicts: &mut [Verdict]) {
    if !verdicts
        .iter()
        .any(|verdict| matches!(verdict, Verdict::Again { .. }))
    {
        return;
    }
    let taken: BTreeSet<u8> = items
        .iter()
        .zip(verdicts.iter())
        .filter(|(_, verdict)| **verdict == Verdict::Taken)
        .map(|(item, _)| kind(item))
        .collect();
    let mut waiting = BTreeSet::new();
    for (item, verdict) in items.iter().zip(verdicts) {
        if let Verdict::Again { counts, .. } = verdict {
            let keys = conversation_keys(item);
            let first = !keys.iter().any(|key| waiting.contains(key));
            *counts |= first && taken.contains(&kind(item));
            waiting.extend(keys);
        }
    }
}

fn kind(item: &ReceivedItem) -> u8 {
    match item.fact.as_ref().and_then(|fact| fact.body.as_ref()) {
        Some(fact::Body::Message(_)) => 1,
        Some(fact::Body::Status(_)) => 2,
        Some(fact::Body::Echo(_)) => 3,
        Some(fact::Body::Account(_)) => 4,
        None => 0,
    }
}

/// Every name the item's conversation may go by: two items that share one may belong together.
fn conversation_keys(item: &ReceivedItem) -> Vec<String> {
    let Some(Fact {
        waba_id,
        number_id,
        body: Some(body),
        ..
    }) = &item.fact
    else {
        return Vec::new();
    };
    let contact: Option<&ContactIdentity> = match body {
        fact::Body::Message(message) => message.from.as_ref(),
        fact::Body::Status(status) => status.recipient.as_ref(),
        fact::Body::Echo(echo) => echo.to.as_ref(),
        fact::Body::Account(_) => return vec![format!("account/{waba_id}")],
    };
    let Some(contact) = contact else {
        return vec![format!("{number_id}/")];
    };
    [("u", &contact.user_id), ("p", &contact.phone)]
        .into_iter()
        .filter(|(_, id)| !id.is_empty())
        .map(|(letter, id)| format!("{number_id}/{letter}/{id}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use lib_proto::common::{InboundMessage, StatusUpdate};

    use super::*;

    fn message(phone: &str, user_id: &str) -> ReceivedItem {
        let from = Some(ContactIdentity {
            phone: phone.into(),
            user_id: user_id.into(),
            ..Default::default()
        });
        let body = fact::Body::Message(InboundMessage {
            from,
            ..Default::default()
        });
        item(body)
    }

    fn item(body: fact::Body) -> ReceivedItem {
        ReceivedItem {
            fact: Some(Fact {
                number_id: "n".into(),
                body: Some(body),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn again() -> Verdict {
        Verdict::Again {
            cause: "later".into(),
            counts: false,
        }
    }

    fn counted(items: &[ReceivedItem], mut verdicts: Vec<Verdict>) -> Vec<bool> {
        judge(&items.iter().collect::<Vec<_>>(), &mut verdicts);
        let counts = |verdict| matches!(verdict, Verdict::Again { counts: true, .. });
        verdicts.into_iter().map(counts).collect()
    }

    #[test]
    fn a_failure_counts_only_beside_a_taken_sibling_of_its_kind() {
        let items = [message("1", ""), message("2", "")];
        assert_eq!(counted(&items, vec![again(), again()]), [false, false]);
        assert_eq!(
            counted(&items, vec![again(), Verdict::Taken]),
            [true, false]
        );
        assert_eq!(
            counted(&items, vec![again(), Verdict::Known]),
            [false, false]
        );
        let status = item(fact::Body::Status(StatusUpdate::default()));
        let mixed = [message("1", ""), status];
        assert_eq!(
            counted(&mixed, vec![again(), Verdict::Taken]),
            [false, false]
        );
    }

    #[test]
    fn those_behind_it_in_the_conversation_are_not_blamed() {
        let items = [
            message("1", "US.1"),
            message("", "US.1"),
            message("2", ""),
            message("3", ""),
        ];
        let verdicts = vec![again(), again(), again(), Verdict::Taken];
        assert_eq!(counted(&items, verdicts), [true, false, true, false]);
    }
}
