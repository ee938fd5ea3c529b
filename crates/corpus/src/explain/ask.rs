use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::answer::{self, Refusal};
use super::chat::{Failure, Reply, Server};
use super::functions::SourceFunction;
use super::log::{Answer, AnswerLog};
use super::prompt::{self, Prompt};
use super::quality::Quality;
use super::store::{Explanation, ExplanationStore, Origin};
use super::{Follow, Step};
use crate::error::{Error, Result};

/// How a model is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Sources are cut to about so many bytes.
    pub source_bytes: usize,
    /// Functions in one request.
    pub batch: usize,
    /// Requests at a time.
    pub parallel: usize,
    /// What may be used up, earlier runs included.
    pub budget: Budget,
}

/// What may be used up on one model for one corpus, over all runs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Budget {
    /// Whatever it takes.
    Unlimited,
    /// Tokens, of questions and answers together.
    Tokens(u64),
    /// Money, in any currency.
    Cost {
        /// How much.
        limit: f64,
        /// The price of a million tokens of questions.
        input: f64,
        /// The price of a million tokens of answers.
        output: f64,
    },
}

impl Budget {
    fn limit(&self) -> f64 {
        match *self {
            Budget::Unlimited => f64::INFINITY,
            Budget::Tokens(tokens) => tokens as f64,
            Budget::Cost { limit, .. } => limit,
        }
    }

    /// What so many tokens of questions and of answers take from it.
    pub fn taken(&self, (input, output): (u64, u64)) -> f64 {
        match *self {
            Budget::Unlimited | Budget::Tokens(_) => (input + output) as f64,
            Budget::Cost {
                input: price_in,
                output: price_out,
                ..
            } => (input as f64 * price_in + output as f64 * price_out) / 1e6,
        }
    }
}

/// What a run would ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Functions that were chosen.
    pub functions: usize,
    /// Those of them that were answered in earlier runs.
    pub known: usize,
    /// Requests that are left.
    pub requests: usize,
    /// Tokens of their questions, estimated from their bytes.
    pub question_tokens: u64,
    /// Tokens of their answers, at most.
    pub answer_tokens: u64,
    /// Tokens used in earlier runs.
    pub spent: u64,
    /// What the questions and the longest answers would take from the budget.
    pub estimate: f64,
    /// The first question.
    pub first: Option<FirstPrompt>,
}

/// What is sent first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstPrompt {
    /// The system message.
    pub system: String,
    /// The user message.
    pub user: String,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// Functions that were chosen.
    pub functions: usize,
    /// Those of them that have an explanation now.
    pub explained: usize,
    /// Answers that said that the model cannot help.
    pub declined: usize,
    /// Answers that said nothing.
    pub empty: usize,
    /// Functions that no try got an answer for in this run.
    pub failed: usize,
    /// Functions that were not asked about.
    pub left: usize,
    /// Requests made in this run, tries included.
    pub requests: usize,
    /// Tokens used in this run, of questions and answers.
    pub tokens: u64,
    /// Tokens used on this model over all runs.
    pub tokens_in_all: u64,
    /// The run was ended by its caller.
    pub stopped: bool,
    /// The next request might have gone beyond the budget.
    pub over_budget: bool,
    /// Why the run gave up on the server.
    pub gave_up: Option<String>,
}

/// One request that is to be made.
struct Task {
    /// Places in the list of functions.
    functions: Vec<usize>,
    prompt: Prompt,
    tried: u32,
    /// Not before this moment.
    due: Instant,
}

impl Task {
    /// Tokens that it cannot exceed: a token is at least one byte of text, and
    /// the frame that a server puts around messages is small.
    fn bound(&self, server: &Server) -> (u64, u64) {
        let frame = 100;
        (
            self.prompt.bytes() as u64 + frame,
            server.limit(self.functions.len()),
        )
    }
}

/// Tokens of a text, roughly: C has about 3.5 bytes to one.
fn estimated_tokens(bytes: usize) -> u64 {
    (bytes as u64 * 2).div_ceil(7)
}

/// A server that asks for more patience than this is asked another day.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// After so many functions in a row without an answer the rest is spared.
const HOPELESS: usize = 5;

impl ExplanationStore {
    /// What [`ask`](Self::ask) would send.
    pub fn plan(
        &self,
        functions: &[SourceFunction],
        origin: &Origin,
        server: &Server,
        asking: &Asking,
    ) -> Result<Plan> {
        let log = AnswerLog::open(&self.answers_path(origin))?;
        let asked = hashes(functions, server, asking);
        let tasks = self.tasks(&asked, &log, origin, asking)?;
        let mut plan = Plan {
            functions: functions.len(),
            known: functions.len(),
            requests: tasks.len(),
            spent: log.spent.0 + log.spent.1,
            ..Plan::default()
        };
        for task in &tasks {
            plan.known -= task.functions.len();
            plan.question_tokens += estimated_tokens(task.prompt.bytes());
            plan.answer_tokens += server.limit(task.functions.len());
        }
        plan.estimate = asking
            .budget
            .taken((plan.question_tokens, plan.answer_tokens));
        plan.first = tasks.into_iter().next().map(|task| FirstPrompt {
            system: task.prompt.system,
            user: task.prompt.user,
        });
        Ok(plan)
    }

    /// Asks a server about every function that it has not answered for yet, in
    /// the order given, within the budget. Each answer is on disk before the
    /// next question; the explanations are written at the end, however it comes.
    pub fn ask(
        &self,
        functions: &[SourceFunction],
        origin: &Origin,
        server: &Server,
        asking: &Asking,
        follow: Follow<'_>,
    ) -> Result<Outcome> {
        let log = AnswerLog::open(&self.answers_path(origin))?;
        let asked = hashes(functions, server, asking);
        let tasks = self.tasks(&asked, &log, origin, asking)?;
        let new: usize = tasks.iter().map(|task| task.functions.len()).sum();
        let spent = log.spent.0 + log.spent.1;
        let run = Run {
            asked: &asked,
            server,
            asking,
            follow,
            changed: Condvar::new(),
            state: Mutex::new(State {
                tasks,
                log,
                reserved: 0.0,
                in_flight: 0,
                done: functions.len() - new,
                failed_in_a_row: 0,
                heard: false,
                not_before: Instant::now(),
                end: None,
                error: None,
                outcome: Outcome {
                    functions: functions.len(),
                    ..Outcome::default()
                },
            }),
        };
        std::thread::scope(|scope| {
            for _ in 0..asking.parallel.max(1) {
                scope.spawn(|| run.work());
            }
        });

        let state = run
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let mut outcome = state.outcome;
        self.keep(origin, &asked, &state.log, &mut outcome)?;
        if let Some(error) = state.error {
            return Err(error);
        }
        outcome.tokens_in_all = state.log.spent.0 + state.log.spent.1;
        outcome.tokens = outcome.tokens_in_all - spent;
        outcome.left = functions.len() - state.done;
        match state.end {
            Some(End::Budget) => outcome.over_budget = true,
            Some(End::Server(reason)) => outcome.gave_up = Some(reason),
            None => outcome.stopped = outcome.left > 0,
        }
        Ok(outcome)
    }

    /// The requests for what is neither in the log nor among the explanations:
    /// those may have come from another machine without its log.
    fn tasks(
        &self,
        asked: &[(String, &SourceFunction)],
        log: &AnswerLog,
        origin: &Origin,
        asking: &Asking,
    ) -> Result<VecDeque<Task>> {
        let stored = self.read(origin)?;
        let stored: HashSet<&str> = stored.iter().map(|e| e.prompt_hash.as_str()).collect();
        let new: Vec<usize> = (0..asked.len())
            .filter(|&i| log.get(&asked[i].0).is_none() && !stored.contains(asked[i].0.as_str()))
            .collect();
        Ok(new
            .chunks(asking.batch.max(1))
            .map(|batch| task(batch.to_vec(), asked, asking))
            .collect())
    }

    /// Makes explanations of the answers to `asked`, and writes them.
    pub(crate) fn keep(
        &self,
        origin: &Origin,
        asked: &[(String, &SourceFunction)],
        log: &AnswerLog,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut texts = Vec::new();
        let stored = self.read(origin)?;
        let stored: HashSet<&str> = stored.iter().map(|e| e.prompt_hash.as_str()).collect();
        for (hash, function) in asked {
            match log.get(hash).map(|a| (a, answer::clean(&a.text, a.cut))) {
                Some((answer, Ok(text))) => texts.push((hash, *function, answer, text)),
                Some((_, Err(Refusal::Declined))) => outcome.declined += 1,
                Some((_, Err(Refusal::Empty))) => outcome.empty += 1,
                None => outcome.explained += usize::from(stored.contains(hash.as_str())),
            }
        }
        outcome.explained += texts.len();
        let mut sharing: HashMap<(&str, &str), usize> = HashMap::new();
        for (_, function, _, text) in &texts {
            *sharing.entry((&function.package, text)).or_default() += 1;
        }
        let new = texts.iter().map(|(hash, function, answer, text)| {
            let others = sharing[&(function.package.as_str(), text.as_str())] - 1;
            Explanation {
                function_id: function.function_id.clone(),
                source_hash: function.source_hash.clone(),
                text: text.clone(),
                origin: origin.clone(),
                prompt_hash: (*hash).clone(),
                tokens: u32::try_from(answer.tokens.0 + answer.tokens.1).unwrap_or(u32::MAX),
                quality: Quality::of(text, &function.source, others).score(),
            }
        });
        self.merge(origin, new.collect())
    }
}

/// Each function with the hash of the prompt that asks for it alone: answers
/// are kept under it, however the functions were batched.
fn hashes<'f>(
    functions: &'f [SourceFunction],
    server: &Server,
    asking: &Asking,
) -> Vec<(String, &'f SourceFunction)> {
    let hash =
        |f: &SourceFunction| Prompt::single(&f.source, asking.source_bytes).hash(&server.model);
    functions.iter().map(|f| (hash(f), f)).collect()
}

fn task(functions: Vec<usize>, asked: &[(String, &SourceFunction)], asking: &Asking) -> Task {
    let sources: Vec<&SourceFunction> = functions.iter().map(|&i| asked[i].1).collect();
    Task {
        prompt: Prompt::batch(&sources, asking.source_bytes),
        functions,
        tried: 0,
        due: Instant::now(),
    }
}

/// What the threads of a run share.
struct Run<'a> {
    asked: &'a [(String, &'a SourceFunction)],
    server: &'a Server,
    asking: &'a Asking,
    follow: Follow<'a>,
    state: Mutex<State>,
    /// Something in the state has changed.
    changed: Condvar,
}

struct State {
    tasks: VecDeque<Task>,
    log: AnswerLog,
    /// What the requests in flight may take from the budget.
    reserved: f64,
    in_flight: usize,
    /// Functions that are done with.
    done: usize,
    failed_in_a_row: usize,
    /// The server has said something, if only that it is busy.
    heard: bool,
    /// The server asked for no request before this moment.
    not_before: Instant,
    end: Option<End>,
    error: Option<Error>,
    outcome: Outcome,
}

/// Why a run ends before everything is asked.
enum End {
    Budget,
    Server(String),
}

impl Run<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes requests until there are none left.
    fn work(&self) {
        let agent = self.server.agent();
        while let Some(task) = self.next() {
            let answer = self.server.ask(&agent, &task.prompt, task.functions.len());
            let mut state = self.lock();
            state.in_flight -= 1;
            state.reserved -= self.asking.budget.taken(task.bound(self.server));
            let settled = match answer {
                Ok(reply) => self.answered(&mut state, &task, reply),
                Err(failure) => self.failed(&mut state, task, failure),
            };
            if let Err(error) = settled {
                state.error = Some(error);
            }
            let (done, spent) = (state.done, state.log.spent);
            drop(state);
            self.changed.notify_all();
            (self.follow.report)(Step::Done {
                done,
                total: self.asked.len(),
                tokens: spent.0 + spent.1,
            });
        }
    }

    /// The next request that is due and within the budget; waits for one, and
    /// is none when the run is over.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if self.follow.stopped() || state.end.is_some() || state.error.is_some() {
                return None;
            }
            if state.tasks.is_empty() && state.in_flight == 0 {
                return None;
            }
            let now = Instant::now();
            let due = state.tasks.iter().position(|task| task.due <= now);
            if let Some(place) = due.filter(|_| state.not_before <= now) {
                let budget = &self.asking.budget;
                let bound = budget.taken(state.tasks[place].bound(self.server));
                let used = budget.taken(state.log.spent) + state.reserved;
                if used + bound <= budget.limit() {
                    let task = state.tasks.remove(place)?;
                    state.reserved += bound;
                    state.in_flight += 1;
                    state.outcome.requests += 1;
                    return Some(task);
                }
                // What is in flight may turn out to be shorter than it could.
                if state.in_flight == 0 {
                    state.end = Some(End::Budget);
                    return None;
                }
            }
            // Short, for a caller that stops the run tells nobody here.
            let wait = Duration::from_millis(50);
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn answered(&self, state: &mut State, task: &Task, reply: Reply) -> Result<()> {
        (state.heard, state.failed_in_a_row) = (true, 0);
        let count = task.functions.len();
        let (input, output) = reply.usage.unwrap_or((
            estimated_tokens(task.prompt.bytes()),
            estimated_tokens(reply.text.len()),
        ));
        let mut parts = if count == 1 {
            vec![Some(reply.text)]
        } else {
            prompt::split_answer(&reply.text, count)
        };
        if reply.cut {
            // A batch is cut in its last answer; alone, that one may have room.
            // An answer cut before it began would only be kept as empty.
            let last = parts.iter_mut().rev().find(|part| part.is_some());
            if let Some(part) = last
                && (count > 1 || answer::clean(part.as_deref().unwrap_or_default(), true).is_err())
            {
                *part = None;
            }
        }
        // The first takes what is left over, so that the sum is right.
        let n = count as u64;
        let share = |i: usize| match i {
            0 => (input - input / n * (n - 1), output - output / n * (n - 1)),
            _ => (input / n, output / n),
        };
        let mut answers = Vec::new();
        for (i, (&place, part)) in task.functions.iter().zip(parts).enumerate() {
            let found = part.is_some();
            answers.push(Answer {
                prompt: found.then(|| self.asked[place].0.clone()),
                text: part.unwrap_or_default(),
                cut: reply.cut && count == 1,
                tokens: share(i),
            });
            if found {
                state.done += 1;
            } else if count > 1 {
                state
                    .tasks
                    .push_back(self::task(vec![place], self.asked, self.asking));
            } else {
                let reason = "the answer was cut before it said anything; allow longer ones";
                self.give_up(state, &task.functions, reason);
            }
        }
        state.log.add(answers)
    }

    fn failed(&self, state: &mut State, mut task: Task, failure: Failure) -> Result<()> {
        task.tried += 1;
        let mut wait = backoff(&task);
        state.heard |= !matches!(failure, Failure::Unreachable(_));
        let reason = match failure {
            Failure::Busy { said, after } => {
                if let Some(after) = after {
                    wait = after;
                    if after > LONGEST_WAIT {
                        let seconds = after.as_secs();
                        state.end = Some(End::Server(format!(
                            "{said} (it asks to come back in {seconds} seconds)"
                        )));
                    }
                    // The other requests would be refused as well.
                    state.not_before = state.not_before.max(Instant::now() + after);
                }
                said
            }
            Failure::Unreachable(said) => {
                // Nobody was ever there: rather a wrong address than a restart.
                if !state.heard {
                    state.end = Some(End::Server(said.clone()));
                }
                said
            }
            Failure::Lost(said) => {
                // The server may have worked, and counted, to the end.
                state.log.add(vec![Answer {
                    prompt: None,
                    text: String::new(),
                    cut: false,
                    tokens: task.bound(self.server),
                }])?;
                said
            }
            Failure::Refused { status, said } => {
                let said = format!("status {status}: {said}");
                // Wrong address, key or model: the same for every function.
                if matches!(status, 300..=399 | 401..=405) {
                    state.end = Some(End::Server(said.clone()));
                }
                task.tried = self.server.tries;
                said
            }
        };
        if state.end.is_some() {
            return Ok(());
        }
        if task.tried >= self.server.tries {
            self.give_up(state, &task.functions, &reason);
            return Ok(());
        }
        (self.follow.report)(Step::Waiting { reason });
        task.due = Instant::now() + wait;
        state.tasks.push_back(task);
        Ok(())
    }

    fn give_up(&self, state: &mut State, functions: &[usize], reason: &str) {
        state.done += functions.len();
        state.outcome.failed += functions.len();
        for &i in functions {
            (self.follow.report)(Step::Failed {
                function: format!("{}/{}", self.asked[i].1.package, self.asked[i].1.name),
                reason: reason.to_owned(),
            });
        }
        state.failed_in_a_row += 1;
        if state.failed_in_a_row >= HOPELESS {
            state.end = Some(End::Server(format!(
                "{HOPELESS} requests in a row failed, the last one so: {reason}"
            )));
        }
    }
}

/// 1, 2, 4 ... 60 seconds, each up to a quarter longer by what is asked, so that
/// requests that failed together do not come back together.
fn backoff(task: &Task) -> Duration {
    let seconds = (1u64 << (task.tried - 1).min(6)).min(60);
    let spread = task.prompt.bytes() as u64 % 250;
    Duration::from_millis(seconds * (1000 + spread))
}
