//! Scripts of flows: JavaScript in a sandbox (QuickJS) that has nothing but what is handed in. It has so
//! much time, counted in instructions, so much memory and so deep a stack; its clock and its chance
//! are given. A script that asks another system stops there; once the answer is there it is run again
//! from its beginning, with the answers it has had, and does the same up to that point.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rquickjs::context::EvalOptions;
use rquickjs::{CatchResultExt as _, Context, Ctx, Function, Module, Object, Runtime, Value};
use serde::{Deserialize, Serialize};

const PRELUDE: &str = include_str!("prelude.js");
/// What a script is called in errors.
const FILE: &str = "eval_script";
/// Memory of one run, in bytes.
const MEMORY: usize = 8 << 20;
/// Stack of one run, in bytes: a thread has two megabytes.
const STACK: usize = 256 << 10;
/// How often the interpreter asks whether it may go on; it does so every 10,000 jumps and calls.
const TURNS: u32 = 300;
/// Most promises settled in one run.
const JOBS: u32 = 20_000;
/// Most bytes a script may say of what it did.
const MAX_SAID: usize = 1 << 20;

/// What a run is handed.
#[derive(Debug, Serialize)]
pub(crate) struct Given<'a> {
    /// What variables hold, by full name.
    pub(crate) variables: serde_json::Map<String, serde_json::Value>,
    /// Names of those it may set.
    pub(crate) own: Vec<&'a str>,
    /// The answers to what it asked in earlier runs, in order.
    pub(crate) answers: &'a [Answer],
    /// Milliseconds since 1970.
    pub(crate) now: i64,
    /// The beginning of its chance.
    pub(crate) seed: u32,
}

/// What one question of a script was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The question, by [`Ask::mark`].
    pub(crate) of: u64,
    /// The HTTP status; 0 without an answer.
    pub(crate) status: u16,
    /// The body.
    pub(crate) text: String,
    /// Why there is no answer.
    pub(crate) failed: Option<String>,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is over.
    Done(Said),
    /// It waits for the answer to this.
    Asks(Ask),
    /// It cannot go on, for this reason.
    Failed(String, Vec<String>),
}

/// What a script that is over has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// What `main` gave back.
    pub(crate) exit: Option<String>,
    /// What it set, by full name.
    pub(crate) set: serde_json::Map<String, serde_json::Value>,
    /// What it wrote down.
    pub(crate) log: Vec<String>,
}

/// A question to another system.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    /// Whether the body is JSON.
    pub(crate) json: bool,
    pub(crate) credential: Option<String>,
    /// In seconds.
    pub(crate) timeout: Option<f64>,
}

/// The prelude's state, as it tells it.
#[derive(Deserialize)]
struct State {
    done: bool,
    exit: Option<String>,
    error: Option<String>,
    set: serde_json::Map<String, serde_json::Value>,
    log: Vec<String>,
    asks: Vec<Ask>,
}

/// A place to run something in once.
struct Sandbox {
    // Before the runtime it belongs to.
    context: Context,
    turns: Arc<AtomicU32>,
    _runtime: Runtime,
}

impl Sandbox {
    fn new() -> Result<Self, rquickjs::Error> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(MEMORY);
        runtime.set_max_stack_size(STACK);
        let turns = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&turns);
        let handler = move || counted.fetch_add(1, Ordering::Relaxed) >= TURNS;
        runtime.set_interrupt_handler(Some(Box::new(handler)));
        Ok(Self {
            context: Context::full(&runtime)?,
            turns,
            _runtime: runtime,
        })
    }

    fn is_over(&self) -> bool {
        self.turns.load(Ordering::Relaxed) > TURNS
    }
}

/// Runs `code`, up to its end or its next question. Never panics and never lasts, whatever it is.
pub(crate) fn run(code: &str, given: &Given<'_>) -> Outcome {
    let failed = |reason: &str| Outcome::Failed(reason.to_owned(), Vec::new());
    let (Ok(sandbox), Ok(given_text)) = (Sandbox::new(), serde_json::to_string(given)) else {
        return failed("there is no memory for the script");
    };
    let is_over = || sandbox.is_over();
    let told = sandbox
        .context
        .with(|ctx| tell(&ctx, code, given_text, is_over));
    if sandbox.is_over() {
        return failed("the script takes too long");
    }
    match told {
        Ok(text) if text.len() > MAX_SAID => failed("the script says too much"),
        Ok(text) => match serde_json::from_str::<State>(&text) {
            Ok(state) if !asks_the_same(&state, given) => {
                failed("it asks otherwise when it is run again")
            }
            Ok(state) => outcome(state, given.answers.len()),
            Err(_) => failed("the script left nothing that can be read"),
        },
        Err(reason) => Outcome::Failed(reason, Vec::new()),
    }
}

/// Whether it has asked what it was answered: an answer must not become another question's.
fn asks_the_same(state: &State, given: &Given<'_>) -> bool {
    let asked = state.asks.iter().map(Ask::mark);
    let answered = given.answers.iter().map(|answer| answer.of);
    state.error.is_some()
        || answered.len() <= state.asks.len()
            && asked.zip(answered).all(|(one, other)| one == other)
}

impl Ask {
    /// The same for the same question: FNV-1a.
    pub(crate) fn mark(&self) -> u64 {
        let text = serde_json::to_string(self).unwrap_or_default();
        text.bytes().fold(0xCBF2_9CE4_8422_2325, |mark, byte| {
            (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
    }
}

fn outcome(mut state: State, answered: usize) -> Outcome {
    if let Some(error) = state.error {
        return Outcome::Failed(error, state.log);
    }
    if state.done {
        return Outcome::Done(Said {
            exit: state.exit,
            set: state.set,
            log: state.log,
        });
    }
    if state.asks.len() > answered {
        return Outcome::Asks(state.asks.swap_remove(answered));
    }
    let reason = "main waits for something that never comes";
    Outcome::Failed(reason.to_owned(), state.log)
}

/// What became of it, as the prelude tells it.
fn tell(
    ctx: &Ctx<'_>,
    code: &str,
    given: String,
    is_over: impl Fn() -> bool,
) -> Result<String, String> {
    let prelude: Function = ctx.eval(PRELUDE).catch(ctx).map_err(words)?;
    let given = ctx.json_parse(given).catch(ctx).map_err(words)?;
    let handle: Object = prelude
        .call((ctx.globals(), given))
        .catch(ctx)
        .map_err(words)?;
    // Before the script: what it does to these names does not matter then.
    let start: Function = handle.get("start").catch(ctx).map_err(words)?;
    let read: Function = handle.get("read").catch(ctx).map_err(words)?;
    let () = ctx
        .eval_with_options(code, sloppy())
        .catch(ctx)
        .map_err(words)?;
    let main = "typeof main === 'undefined' ? undefined : main";
    let main: Value = ctx.eval(main).catch(ctx).map_err(words)?;
    let () = start.call((main,)).catch(ctx).map_err(words)?;
    for _ in 0..JOBS {
        if is_over() {
            break;
        }
        if !ctx.execute_pending_job() {
            return read.call(()).catch(ctx).map_err(words);
        }
    }
    Err("the script takes too long".to_owned())
}

/// As web pages run them.
fn sloppy() -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options
}

/// What is wrong with a script's grammar, with its line; it is compiled, and nothing of it is run.
pub(crate) fn mistake(code: &str) -> Option<String> {
    let Ok(sandbox) = Sandbox::new() else {
        return Some("there is no memory to read the script".to_owned());
    };
    sandbox.context.with(|ctx| {
        let read = Module::declare(ctx.clone(), FILE, code);
        read.catch(&ctx).err().map(words)
    })
}

/// An error in words, with its line where it has one.
fn words(error: rquickjs::CaughtError<'_>) -> String {
    let text = match &error {
        rquickjs::CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            let stack = exception.stack().unwrap_or_default();
            match line(&stack) {
                Some(line) => format!("line {line}: {message}"),
                None => message,
            }
        }
        _ => "the script threw something that is no error, or has no memory left".to_owned(),
    };
    text.chars().take(300).collect()
}

/// The first line number of a stack: `at main (eval_script:3:5)`.
fn line(stack: &str) -> Option<u32> {
    let first = stack.lines().find(|line| line.contains("eval_script:"))?;
    let (_, place) = first.split_once("eval_script:")?;
    let digits: String = place.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
