//! Scripts of faults: from the contract, and from the JSON that people write for `curl`.

use std::time::Duration;

use lib_platform::Refusal;
use lib_proto::sandbox as pb;
use pb::fault_rule::Fault as Wire;
use serde::Deserialize;

use crate::state::{Fault, Mode, Pace, PlatformFault, Rule};

/// Most updates in one delivery.
const LARGEST_BATCH: u32 = 1_000;

/// A script as the state keeps it.
pub(crate) type Parsed = (Vec<Rule>, Option<Pace>, Option<Mode>);

/// Reads a script; what the delivery mode leaves out stays as in `now`.
///
/// # Errors
/// Names the field that cannot be used.
pub(crate) fn from_proto(request: pb::SetFaultsRequest, now: &Mode) -> Result<Parsed, Refusal> {
    let rules = request.rules.into_iter().enumerate();
    let rules = rules
        .map(|(index, rule)| self::rule(index, rule))
        .collect::<Result<_, _>>()?;
    let pace = request.pace.map(pace).transpose()?;
    let mode = request
        .delivery
        .map(|delivery| mode(&delivery, now))
        .transpose()?;
    Ok((rules, pace, mode))
}

fn rule(index: usize, rule: pb::FaultRule) -> Result<Rule, Refusal> {
    let at = |field: &str| format!("rules[{index}].{field}");
    let fault = match rule.fault {
        None => return Err(Refusal::invalid(at("fault"), "must be set")),
        Some(Wire::Error(error)) => {
            let status = match error.http_status {
                0 => crate::graph::error::status(error.code),
                status @ 400..=599 => u16::try_from(status).unwrap_or(500),
                _ => {
                    return Err(Refusal::invalid(
                        at("error.http_status"),
                        "must be 400 to 599",
                    ));
                }
            };
            Fault::Error(status, platform_fault(error))
        }
        Some(Wire::FailLater(error)) => Fault::FailLater(platform_fault(error)),
        Some(Wire::Delay(delay)) => {
            Fault::Delay(span(&at("delay"), Some(delay))?.unwrap_or_default())
        }
        // A switch that is off is no fault, and a rule needs one.
        Some(
            Wire::AcceptAndHangUp(false)
            | Wire::HangUp(false)
            | Wire::NoStatus(false)
            | Wire::ReadWithoutDelivered(false)
            | Wire::StatusBeforeAnswer(false),
        ) => {
            return Err(Refusal::invalid(
                at("fault"),
                "must be true; leave the rule out instead",
            ));
        }
        Some(Wire::AcceptAndHangUp(true)) => Fault::AcceptAndHangUp,
        Some(Wire::HangUp(true)) => Fault::HangUp,
        Some(Wire::NoStatus(true)) => Fault::NoStatus,
        Some(Wire::ReadWithoutDelivered(true)) => Fault::ReadWithoutDelivered,
        Some(Wire::StatusBeforeAnswer(true)) => Fault::StatusBeforeAnswer,
    };
    if rule.per_thousand > 1_000 {
        return Err(Refusal::invalid(at("per_thousand"), "must be 0 to 1000"));
    }
    Ok(Rule {
        body_contains: rule.body_contains,
        left: (rule.times > 0).then_some(rule.times),
        per_thousand: if rule.per_thousand == 0 {
            1_000
        } else {
            rule.per_thousand
        },
        fault,
    })
}

fn platform_fault(error: pb::GraphError) -> PlatformFault {
    let title = if error.message.is_empty() {
        crate::graph::error::title(error.code).to_owned()
    } else {
        error.message
    };
    let details = if error.details.is_empty() {
        title.clone()
    } else {
        error.details
    };
    PlatformFault {
        code: error.code,
        title,
        details,
    }
}

fn pace(pace: pb::StatusPace) -> Result<Pace, Refusal> {
    Ok(Pace {
        sent: span("pace.sent_after", pace.sent_after)?.unwrap_or_default(),
        delivered: span("pace.delivered_after", pace.delivered_after)?.unwrap_or_default(),
        read: span("pace.read_after", pace.read_after)?,
    })
}

fn mode(delivery: &pb::DeliveryMode, now: &Mode) -> Result<Mode, Refusal> {
    if delivery.batch > LARGEST_BATCH {
        return Err(Refusal::invalid("delivery.batch", "must be 1 to 1000"));
    }
    if delivery.duplicate_per_thousand > 1_000 {
        return Err(Refusal::invalid(
            "delivery.duplicate_per_thousand",
            "must be 0 to 1000",
        ));
    }
    let first_backoff = span("delivery.first_backoff", delivery.first_backoff)?;
    Ok(Mode {
        batch: usize::try_from(delivery.batch.max(1)).unwrap_or(1),
        duplicate_per_thousand: delivery.duplicate_per_thousand,
        shuffle: delivery.shuffle,
        first_backoff: first_backoff
            .filter(|span| !span.is_zero())
            .unwrap_or(now.first_backoff),
    })
}

/// A span of time from the wire; absent stays absent.
///
/// # Errors
/// When it is negative.
pub(crate) fn span(
    field: &str,
    span: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Refusal> {
    span.map(|span| {
        Duration::try_from(span).map_err(|_| Refusal::invalid(field, "must not be negative"))
    })
    .transpose()
}

/// A script as JSON. Field names follow the contract; spans are in milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Script {
    rules: Vec<RuleScript>,
    pace: Option<PaceScript>,
    delivery: Option<ModeScript>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RuleScript {
    body_contains: String,
    times: u32,
    per_thousand: u32,
    error: Option<ErrorScript>,
    fail_later: Option<ErrorScript>,
    accept_and_hang_up: bool,
    hang_up: bool,
    no_status: bool,
    read_without_delivered: bool,
    status_before_answer: bool,
    delay_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ErrorScript {
    http_status: u32,
    code: i64,
    message: String,
    details: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PaceScript {
    #[serde(rename = "sent_after_ms")]
    sent: u64,
    #[serde(rename = "delivered_after_ms")]
    delivered: u64,
    #[serde(rename = "read_after_ms")]
    read: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ModeScript {
    batch: u32,
    duplicate_per_thousand: u32,
    shuffle: bool,
    first_backoff_ms: u64,
}

fn millis(millis: u64) -> prost_types::Duration {
    prost_types::Duration::try_from(Duration::from_millis(millis)).unwrap_or_default()
}

impl From<ErrorScript> for pb::GraphError {
    fn from(error: ErrorScript) -> Self {
        let ErrorScript {
            http_status,
            code,
            message,
            details,
        } = error;
        Self {
            http_status,
            code,
            message,
            details,
        }
    }
}

impl From<RuleScript> for pb::FaultRule {
    fn from(rule: RuleScript) -> Self {
        let switches = [
            (rule.accept_and_hang_up, Wire::AcceptAndHangUp(true)),
            (rule.hang_up, Wire::HangUp(true)),
            (rule.no_status, Wire::NoStatus(true)),
            (
                rule.read_without_delivered,
                Wire::ReadWithoutDelivered(true),
            ),
            (rule.status_before_answer, Wire::StatusBeforeAnswer(true)),
        ];
        let switched = switches
            .into_iter()
            .find_map(|(on, fault)| on.then_some(fault));
        let fault = rule
            .error
            .map(|error| Wire::Error(error.into()))
            .or_else(|| rule.fail_later.map(|error| Wire::FailLater(error.into())))
            .or_else(|| rule.delay_ms.map(|delay| Wire::Delay(millis(delay))))
            .or(switched);
        Self {
            body_contains: rule.body_contains,
            times: rule.times,
            per_thousand: rule.per_thousand,
            fault,
        }
    }
}

impl From<Script> for pb::SetFaultsRequest {
    fn from(script: Script) -> Self {
        Self {
            rules: script.rules.into_iter().map(Into::into).collect(),
            pace: script.pace.map(|pace| pb::StatusPace {
                sent_after: Some(millis(pace.sent)),
                delivered_after: Some(millis(pace.delivered)),
                read_after: pace.read.map(millis),
            }),
            delivery: script.delivery.map(|mode| pb::DeliveryMode {
                batch: mode.batch,
                duplicate_per_thousand: mode.duplicate_per_thousand,
                shuffle: mode.shuffle,
                first_backoff: Some(millis(mode.first_backoff_ms)),
            }),
        }
    }
}
