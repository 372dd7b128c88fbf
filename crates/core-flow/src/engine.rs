//! The step: from an input to the next wait or the end. Pure, deterministic, and safe against any
//! bytes that claim to be a session.

use core_types::Timestamp;

use crate::answer::Answer;
use crate::compile::{Call, CompiledFlow, Exit, Node, Pause, Question, ScriptNode};
use crate::run::Run;
use crate::session::{Session, SessionError, State, Waiting};
use crate::step::{EffectKey, Facts, Failure, Input, Step, Wait};

/// Takes one step. Without a session, `input` must be [`Input::Start`]. Inputs that mean nothing
/// to the session (a wait that is over already, a reaction, anything after the end) give it back
/// unchanged, without effects.
///
/// # Errors
/// When the session is not one of this flow's version, the input does not fit it, or a limit is
/// reached. Never for what a customer wrote.
pub fn advance<'f>(
    flow: &'f CompiledFlow,
    session: Option<&[u8]>,
    input: &Input,
    facts: &dyn Facts,
    now: Timestamp,
) -> Result<Step<'f>, Failure> {
    let outside = (facts, now);
    let Some(bytes) = session else {
        return begin(flow, input, outside);
    };
    let session = Session::decode(bytes)?;
    if session.version != flow.version {
        return Err(Failure::Invalid(format!(
            "the session runs on version {}, this is version {}",
            session.version, flow.version
        )));
    }
    let State::Waiting(waiting) = session.state else {
        return Ok(unchanged(bytes, None));
    };
    let here = Here::of(flow, waiting.widget)?;
    let sprint = session.sprint;
    let next = sprint.checked_add(1).ok_or(SessionError::Bad("counter"))?;
    let wait = Wait {
        wait: sprint,
        until: waiting.until,
    };
    match input {
        Input::Start(_) => Err(Failure::Invalid(
            "the session has begun already: it cannot be started again".into(),
        )),
        Input::Message(content) => match Answer::of(content) {
            Answer::Aside => Ok(unchanged(bytes, Some(wait))),
            answer => match here {
                Here::Question(question) => {
                    let run = Run::new(flow, outside, next, waiting).anew();
                    run.hear(question, content, answer)
                }
                Here::Pause(Pause {
                    message: Some(exit),
                    ..
                }) => Run::new(flow, outside, next, waiting).anew().play(exit),
                Here::Pause(_) | Here::Call(_) | Here::Script(_) => {
                    Ok(unchanged(bytes, Some(wait)))
                }
            },
        },
        Input::TimedOut { wait: over } if *over == sprint => {
            let run = Run::new(flow, outside, next, waiting);
            match here {
                Here::Question(question) => run.anew().play(&question.timeout),
                Here::Pause(pause) => run.anew().play(&pause.next),
                Here::Call(call) => run.call_timed_out(call),
                Here::Script(script) => run.script_answered(script, None),
            }
        }
        Input::TimedOut { .. } => Ok(unchanged(bytes, Some(wait))),
        Input::Called { wait: of, called } => match here {
            Here::Call(call) if *of == sprint => {
                Run::new(flow, outside, next, waiting).called(call, called)
            }
            Here::Script(script) if *of == sprint => {
                Run::new(flow, outside, next, waiting).script_answered(script, Some(called))
            }
            _ => Ok(unchanged(bytes, Some(wait))),
        },
        Input::SendFailed { key } => match failed_exit(flow, sprint, &waiting, *key)? {
            Some(exit) => Run::new(flow, outside, next, waiting).leave().play(exit),
            None => Ok(unchanged(bytes, Some(wait))),
        },
    }
}

/// The first step of a session.
fn begin<'f>(
    flow: &'f CompiledFlow,
    input: &Input,
    outside: (&dyn Facts, Timestamp),
) -> Result<Step<'f>, Failure> {
    let Input::Start(_) = input else {
        let message = "there is no session yet: the first input must be a start";
        return Err(Failure::Invalid(message.into()));
    };
    Run::new(flow, outside, 1, Waiting::default()).play(&flow.entry)
}

/// What a session waits at.
#[derive(Clone, Copy)]
enum Here<'f> {
    Question(&'f Question),
    Pause(&'f Pause),
    Call(&'f Call),
    Script(&'f ScriptNode),
}

impl<'f> Here<'f> {
    fn of(flow: &'f CompiledFlow, widget: u16) -> Result<Self, SessionError> {
        match flow.nodes.get(usize::from(widget)) {
            Some(Node::Collect(question)) => Ok(Self::Question(question)),
            Some(Node::Pause(pause)) => Ok(Self::Pause(pause)),
            Some(Node::Call(call)) => Ok(Self::Call(call)),
            Some(Node::Script(script)) => Ok(Self::Script(script)),
            _ => Err(SessionError::Bad("position")),
        }
    }
}

fn unchanged<'f>(bytes: &[u8], wait: Option<Wait>) -> Step<'f> {
    Step {
        session: bytes.to_vec(),
        effects: Vec::new(),
        finished: wait.is_none(),
        wait,
        path: Vec::new(),
    }
}

/// Where the failure of `key` leads, if it still leads anywhere.
fn failed_exit<'f>(
    flow: &'f CompiledFlow,
    sprint: u64,
    waiting: &Waiting<'_>,
    key: EffectKey,
) -> Result<Option<&'f Exit>, Failure> {
    let sent = waiting
        .sends
        .iter()
        .find(|sent| {
            key.index
                .checked_sub(sent.first)
                .is_some_and(|n| n < sent.count)
        })
        .filter(|_| key.sprint == sprint);
    match sent.map(|sent| flow.nodes.get(usize::from(sent.widget))) {
        None => Ok(None),
        Some(Some(Node::Send {
            failed: Some(exit), ..
        })) => Ok(Some(exit)),
        Some(Some(Node::Template(template))) => Ok(template.failed.as_ref()),
        Some(_) => Err(SessionError::Bad("send").into()),
    }
}
