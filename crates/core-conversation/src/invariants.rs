//! What must hold at all times. Tests check it after every event; a breach is a bug of ours.

use crate::state::{AttemptState, Conversation};

/// Checks one state, and the step to it from `before` when there is one.
///
/// # Errors
/// Says what does not hold.
pub fn check(before: Option<&Conversation>, now: &Conversation) -> Result<(), String> {
    let holds = |what: bool, text: &str| if what { Ok(()) } else { Err(text.to_owned()) };
    let moving = now.outbox.iter().enumerate().filter(|(_, entry)| {
        matches!(
            entry.state,
            AttemptState::InFlight { .. } | AttemptState::Ambiguous { .. }
        )
    });
    let moving: Vec<usize> = moving.map(|(at, _)| at).collect();
    holds(moving.len() <= 1, "two messages are on their way (G7)")?;
    holds(
        moving.iter().all(|at| *at == 0),
        "a message overtook another (G7)",
    )?;
    for entry in &now.outbox {
        holds(
            entry.doubtful <= 1 + entry.kind.resends(),
            "a message was sent too often (G6)",
        )?;
        holds(entry.doubtful <= entry.attempts, "doubt without an attempt")?;
    }
    if let Some(flow) = now.open_engagement().and_then(|it| it.flow.as_ref()) {
        holds(
            flow.failed_sends.is_empty()
                || now
                    .engagement
                    .as_ref()
                    .is_some_and(|it| it.agent().is_none()),
            "a flow waits for news it will not get",
        )?;
    }
    let Some(before) = before else { return Ok(()) };
    holds(
        before.id == now.id && before.tenant == now.tenant,
        "the conversation changed hands",
    )?;
    holds(now.sequence >= before.sequence, "the log went back")?;
    holds(now.messages >= before.messages, "messages went back")?;
    holds(
        now.window_closes_at >= before.window_closes_at,
        "the window went back",
    )?;
    holds(
        now.engagements >= before.engagements,
        "engagements went back",
    )?;
    if let (Some(was), Some(is)) = (&before.engagement, &now.engagement) {
        holds(
            was.id != is.id || is.epoch >= was.epoch,
            "the epoch went back",
        )?;
        holds(
            was.id == is.id || !was.is_open(),
            "an open engagement was left behind (G8)",
        )?;
        holds(
            was.id != is.id || was.is_open() || !is.is_open(),
            "a closed engagement came back",
        )?;
    }
    Ok(())
}
