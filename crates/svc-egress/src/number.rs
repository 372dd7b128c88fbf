//! How fast, and whether at all, one number sends: an even pace, a bound on requests under way, a
//! pause when Meta asks for one, a stop when a person has to look.
//!
//! Pace and pauses run on real time even where the domain's clock is virtual: Meta is real.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use core_types::{TenantId, Timestamp};
use core_whatsapp::errors;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::Config;
use crate::graph::{Fate, backoff, in_words};
use crate::rate::Pace;

/// Most places in the line taken at once, when that many messages wait.
const PLACES: u32 = 10;
/// How often at most a stopped number's token is looked up again.
const RECHECK: Duration = Duration::from_secs(5);

/// All numbers that have sent since the start.
pub(crate) struct Numbers {
    pace: Arc<Pace>,
    max_in_flight: usize,
    known: Mutex<BTreeMap<String, Arc<Number>>>,
}

/// One number.
pub(crate) struct Number {
    /// Meta's phone_number_id.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) tenant: String,
    pace: Arc<Pace>,
    slots: Arc<Semaphore>,
    /// One message asks for places at a time.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// When the next messages may leave.
    places: VecDeque<Instant>,
    pause: Option<(Instant, Timestamp)>,
    /// Pauses since the last accepted message.
    pauses: u32,
    stop: Option<Stop>,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Stop {
    cause: String,
    refused_token: Arc<str>,
    checked: Instant,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages Meta took.
    pub(crate) accepted: u64,
    /// Messages refused for good.
    pub(crate) rejected: u64,
    /// Attempts nobody knows the outcome of.
    pub(crate) ambiguous: u64,
    /// Messages in hand that have not been tried yet.
    pub(crate) waiting: u64,
}

/// What people may see of a number.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Why it is stopped, if it is.
    pub(crate) stopped: Option<String>,
    /// Until when it pauses, if it does.
    pub(crate) paused_until: Option<Timestamp>,
    /// What happened.
    pub(crate) counts: Counts,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every update is a few assignments; a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Numbers {
    /// Numbers that keep to `pace` and the limits of `config`.
    pub(crate) fn new(config: &Config, pace: Pace) -> Self {
        Self {
            pace: Arc::new(pace),
            max_in_flight: config.max_in_flight,
            known: Mutex::default(),
        }
    }

    /// The number `id`; new ones start unhindered.
    pub(crate) fn get(&self, id: &str, tenant: &str) -> Arc<Number> {
        let mut known = locked(&self.known);
        if let Some(number) = known.get(id) {
            return Arc::clone(number);
        }
        let number = Arc::new(Number {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
            pace: Arc::clone(&self.pace),
            asking: tokio::sync::Mutex::default(),
            slots: Arc::new(Semaphore::new(self.max_in_flight)),
            state: Mutex::default(),
        });
        known.insert(id.to_owned(), Arc::clone(&number));
        number
    }

    /// The number `id` if it is `tenant`'s; any tenant's when `tenant` is absent.
    pub(crate) fn find(&self, id: &str, tenant: Option<&TenantId>) -> Option<Arc<Number>> {
        let number = locked(&self.known).get(id).cloned()?;
        tenant
            .is_none_or(|tenant| tenant.as_str() == number.tenant)
            .then_some(number)
    }

    /// All numbers of `tenant`, or of all tenants, by id.
    pub(crate) fn list(&self, tenant: Option<&TenantId>) -> Vec<Arc<Number>> {
        let known = locked(&self.known);
        let visible =
            |number: &&Arc<Number>| tenant.is_none_or(|tenant| tenant.as_str() == number.tenant);
        known.values().filter(visible).cloned().collect()
    }
}

impl Number {
    /// Waits for this message's turn. The permit bounds how many requests are under way; `None`
    /// means the number is stopped.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            let turn = locked(&self.state).next_turn(Instant::now());
            match turn {
                Turn::Stopped => return None,
                Turn::Ask => self.take_places().await,
                Turn::LookAgain(at) => sleep_until(at).await,
                Turn::Leave(at) => {
                    sleep_until(at).await;
                    return Some(permit);
                }
            }
        }
    }

    /// Takes places in the line for the messages that wait, if nobody has meanwhile.
    async fn take_places(&self) {
        let _alone = self.asking.lock().await;
        let waiting = {
            let state = locked(&self.state);
            if !state.places.is_empty() {
                return;
            }
            u32::try_from(state.counts.waiting).unwrap_or(PLACES)
        };
        let places = self.pace.reserve(&self.id, waiting.clamp(1, PLACES)).await;
        locked(&self.state).places.extend(places);
    }

    /// Takes in what became of a request, made at `now`. Returns how long the number pauses, if it
    /// does from now on.
    pub(crate) fn note(&self, fate: &Fate, now: Timestamp, token: &Arc<str>) -> Option<Duration> {
        let mut state = locked(&self.state);
        match fate {
            Fate::Accepted(_) => {
                state.counts.accepted += 1;
                state.pauses = 0;
            }
            Fate::Rejected(_) => state.counts.rejected += 1,
            Fate::Ambiguous(_) => state.counts.ambiguous += 1,
            Fate::NotWritten(_) => {}
            Fate::Wait(class, _) => {
                if class.is_number_wide() {
                    return Some(state.pause(now));
                }
            }
            Fate::Stop(error) => {
                if state.stop.is_none() {
                    let remedy = errors::remedy(error.code);
                    let cause = format!("{}. What to do: {remedy}", in_words(error));
                    // Meta's words stay out of the log: they may hold a phone number.
                    let code = error.code;
                    tracing::error!(number = %self.id, code, remedy, "the number is stopped");
                    state.stop = Some(Stop {
                        cause,
                        refused_token: Arc::clone(token),
                        checked: Instant::now(),
                    });
                }
            }
        }
        None
    }

    /// Whether it is time to see if a stopped number's token has been replaced.
    pub(crate) fn recheck_is_due(&self) -> bool {
        let mut state = locked(&self.state);
        let Some(stop) = &mut state.stop else {
            return false;
        };
        let due = stop.checked.elapsed() >= RECHECK;
        if due {
            stop.checked = Instant::now();
        }
        due
    }

    /// Lets a stopped number go on if its token is no longer the refused one.
    pub(crate) fn resume_with(&self, token: &str) {
        let mut state = locked(&self.state);
        if state
            .stop
            .as_ref()
            .is_some_and(|stop| *stop.refused_token != *token)
        {
            tracing::info!(number = %self.id, "the number has a new token and goes on");
            state.stop = None;
        }
    }

    /// Lets the number send again.
    pub(crate) fn resume(&self) {
        let mut state = locked(&self.state);
        state.stop = None;
        state.pause = None;
        state.pauses = 0;
    }

    /// Counts a message taken in hand.
    pub(crate) fn begin_waiting(&self) {
        locked(&self.state).counts.waiting += 1;
    }

    /// Counts a message whose turn came.
    pub(crate) fn end_waiting(&self) {
        let mut state = locked(&self.state);
        state.counts.waiting = state.counts.waiting.saturating_sub(1);
    }

    /// Counts a message refused before Meta was asked.
    pub(crate) fn count_rejected(&self) {
        locked(&self.state).counts.rejected += 1;
    }

    /// What people may see.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = locked(&self.state);
        let paused = state.pause.filter(|(until, _)| *until > Instant::now());
        Snapshot {
            stopped: state.stop.as_ref().map(|stop| stop.cause.clone()),
            paused_until: paused.map(|(_, until)| until),
            counts: state.counts,
        }
    }
}

/// When a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Not before a person has looked.
    Stopped,
    /// The number pauses until then; it may pause again.
    LookAgain(Instant),
    /// Then.
    Leave(Instant),
    /// Places in the line must be taken first.
    Ask,
}

impl State {
    /// Takes the next place in the line.
    fn next_turn(&mut self, now: Instant) -> Turn {
        if self.stop.is_some() {
            return Turn::Stopped;
        }
        match self.pause {
            Some((until, _)) if until > now => Turn::LookAgain(until),
            _ => self.places.pop_front().map_or(Turn::Ask, Turn::Leave),
        }
    }

    /// Pauses for longer each time. Answers to requests that were under way when the pause began
    /// neither lengthen it nor count.
    fn pause(&mut self, now: Timestamp) -> Duration {
        let real = Instant::now();
        if let Some((until, _)) = self.pause
            && until > real
        {
            return until - real;
        }
        self.pauses += 1;
        let span = backoff(self.pauses);
        self.pause = Some((real + span, now.plus(span)));
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_one_crowd_pause_once() {
        let mut state = State::default();
        assert_eq!(state.pause(Timestamp::EPOCH), Duration::from_secs(1));
        assert!(state.pause(Timestamp::EPOCH) <= Duration::from_secs(1));
        assert_eq!(state.pauses, 1);
        let turn = state.next_turn(Instant::now());
        assert!(matches!(turn, Turn::LookAgain(_)), "{turn:?}");
    }
}
