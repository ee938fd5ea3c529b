//! Questions: each a process of the command, of which so many run, so many wait and the
//! others are refused. What was answered once is kept, as the answer cannot change.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as Turn, Semaphore, watch};

use crate::Options;
use crate::document::Document;
use crate::metrics::{Metrics, Outcome};
use crate::programs::Programs;
use crate::refusal::Refusal;

/// Bytes of the answers that are kept.
const KEPT: usize = 256 << 20;

/// Bytes of one answer at most.
const LARGEST: u64 = 512 << 20;

/// Bytes that are read of what a process says beside its answer.
const SAID: u64 = 64 << 10;

/// The part of an error of the command that says that a function was not found.
const NO_FUNCTION: &str = "no function `";

/// A line of the command: options, and after them what cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) command: &'static str,
    pub(crate) options: Vec<OsString>,
    pub(crate) operands: Vec<OsString>,
    pub(crate) asks_model: bool,
    /// The list of the answer that comes in pages.
    pub(crate) list: Option<&'static str>,
    /// Whether the answer cannot change: not so that of an index.
    pub(crate) lasting: bool,
}

/// An option with its value in one word, so that the value cannot be an option.
pub(crate) fn option(name: &str, value: Option<impl ToString>) -> Option<OsString> {
    value.map(|value| format!("{name}={}", value.to_string()).into())
}

type Answer = Result<Arc<Document>, Refusal>;

#[derive(Debug)]
pub(crate) struct Runner {
    program: PathBuf,
    model_arguments: Vec<OsString>,
    /// Processes run in it: programs are named relative to it.
    programs: Arc<Programs>,
    timeout: Duration,
    jobs: usize,
    queue: usize,
    running: Semaphore,
    /// For those that run and those that wait.
    places: Semaphore,
    max_vectors: u64,
    answers: Mutex<Answers>,
    /// Whoever asks what is being answered already waits for that answer.
    turns: Mutex<HashMap<Question, Weak<Turn<()>>>>,
    ending: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl Runner {
    pub(crate) fn new(
        options: &Options,
        programs: &Arc<Programs>,
        metrics: Arc<Metrics>,
    ) -> Runner {
        Runner {
            program: options.program.clone(),
            model_arguments: options.model_arguments.clone(),
            programs: Arc::clone(programs),
            timeout: options.timeout,
            jobs: options.jobs,
            queue: options.queue,
            running: Semaphore::new(options.jobs),
            places: Semaphore::new(options.jobs + options.queue),
            max_vectors: options.max_stored,
            answers: Mutex::default(),
            turns: Mutex::default(),
            ending: watch::Sender::new(false),
            metrics,
        }
    }

    /// How many processes run, and how many questions wait for one to end.
    pub(crate) fn load(&self) -> (usize, usize) {
        let running = self.jobs - self.running.available_permits();
        let all = self.jobs + self.queue - self.places.available_permits();
        (running, all.saturating_sub(running))
    }

    /// Ends what runs, and is there when all of it is gone.
    pub(crate) async fn end(&self) {
        self.ending.send_replace(true);
        let all = u32::try_from(self.jobs).unwrap_or(u32::MAX);
        // Nothing closes it, and whoever takes all of it lets nobody in.
        if let Ok(permit) = self.running.acquire_many(all).await {
            permit.forget();
        }
    }

    /// The document that the command prints. The process ends with the future.
    pub(crate) async fn ask(&self, question: &Question) -> Answer {
        let mut words = question.operands.iter().chain(&question.options);
        if words.any(|word| word.as_encoded_bytes().contains(&0)) {
            return Err(Refusal::wrong("there is a zero byte in the request"));
        }
        if let Some(answer) = self.known(question) {
            self.metrics.looked_up(true);
            return answer;
        }
        let turn = self.turn(question);
        let _turn = turn.lock().await;
        let known = self.known(question);
        self.metrics.looked_up(known.is_some());
        if let Some(answer) = known {
            return answer;
        }
        let place = self.places.try_acquire();
        let _place = place.map_err(|_| Refusal::busy("questions"))?;
        let permit = self.running.acquire().await;
        let _permit = permit.map_err(|_| ending())?;
        let mut measure = Measure {
            metrics: &self.metrics,
            command: question.command,
            begin: Instant::now(),
            outcome: Outcome::HungUp,
        };
        let (answer, outcome) = self.run(question).await;
        measure.outcome = outcome;
        drop(measure);
        // A process that ended otherwise might have been short of memory or time.
        if question.lasting && matches!(outcome, Outcome::Answered | Outcome::Refused) {
            self.keep(question, &answer);
        }
        answer
    }

    fn known(&self, question: &Question) -> Option<Answer> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(question)
    }

    fn keep(&self, question: &Question, answer: &Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.keep(question.clone(), answer.clone());
    }

    fn turn(&self, question: &Question) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(question).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(question.clone(), Arc::downgrade(&turn));
        turn
    }

    async fn run(&self, question: &Question) -> (Answer, Outcome) {
        if *self.ending.borrow() {
            return (Err(ending()), Outcome::Ended);
        }
        let vectors = self.programs.directory().join("vectors");
        let mut command = Command::new(&self.program);
        command
            .arg(question.command)
            .args(["--format", "json"])
            .args(&question.options)
            .args(
                question
                    .asks_model
                    .then_some(&self.model_arguments)
                    .into_iter()
                    .flatten(),
            )
            .arg("--")
            .args(&question.operands)
            .current_dir(self.programs.directory())
            // What is computed of uploads goes where they are, and goes with them.
            .env("BINSCRIBE_CACHE", &vectors)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return (Err(Refusal::failed(&error)), Outcome::Failed),
        };
        let mut end = self.ending.subscribe();
        let end = async {
            // The sender lives as long as this.
            let _ = end.wait_for(|end| *end).await;
        };
        let ended = tokio::select! {
            read = tokio::time::timeout(self.timeout, read(&mut child)) => read,
            () = end => {
                // The others wait for this one to be gone.
                let _ = child.kill().await;
                return (Err(ending()), Outcome::Ended);
            }
        };
        let (status, printed, said) = match ended {
            Ok(Ok(Some(whole))) => whole,
            Ok(Ok(None)) => {
                let _ = child.kill().await;
                let message = format!("the answer is larger than {} MiB", LARGEST >> 20);
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return (
                    Err(Refusal::new(status, "too_much", message)),
                    Outcome::Failed,
                );
            }
            Ok(Err(error)) => return (Err(Refusal::failed(&error)), Outcome::Failed),
            Err(_) => {
                let _ = child.kill().await;
                let message = format!("ended after {} seconds", self.timeout.as_secs());
                let status = StatusCode::GATEWAY_TIMEOUT;
                return (Err(Refusal::new(status, "timeout", message)), Outcome::Late);
            }
        };
        if question.asks_model {
            let bound = self.max_vectors;
            // Nobody waits for it.
            tokio::task::spawn_blocking(move || trim(&vectors, bound));
        }
        understand(question, status, &printed, &said)
    }
}

/// Counts an analysis when it is over, however that came.
struct Measure<'a> {
    metrics: &'a Metrics,
    command: &'static str,
    begin: Instant,
    outcome: Outcome,
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        let seconds = self.begin.elapsed().as_secs_f64();
        self.metrics.analysed(self.command, self.outcome, seconds);
    }
}

/// What the process left behind, as an answer.
fn understand(
    question: &Question,
    status: ExitStatus,
    printed: &[u8],
    said: &[u8],
) -> (Answer, Outcome) {
    let said = String::from_utf8_lossy(said);
    let mut lines: Vec<String> = said
        .lines()
        .filter_map(|line| line.strip_prefix("binscribe: "))
        .map(|line| plain(line, &question.operands))
        .collect();
    match status.code() {
        Some(0) => match Document::read(printed, question.list, lines) {
            Ok(document) => (Ok(Arc::new(document)), Outcome::Answered),
            Err(error) => (Err(Refusal::failed(&error.into())), Outcome::Failed),
        },
        Some(1) => {
            let message = lines
                .pop()
                .unwrap_or_else(|| "it cannot be read".to_owned());
            let refusal = match message.contains(NO_FUNCTION) {
                true => Refusal::new(StatusCode::NOT_FOUND, "no_function", message),
                false => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", message),
            };
            (Err(refusal), Outcome::Refused)
        }
        // An option with a value that the command does not take.
        Some(2) => {
            let first = said.lines().next().unwrap_or("wrong usage");
            let first = first.strip_prefix("error: ").unwrap_or(first);
            (Err(Refusal::wrong(first)), Outcome::Refused)
        }
        _ => {
            let message =
                format!("the analysis broke down ({status}): this is a fault of binscribe");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            (
                Err(Refusal::new(status, "crashed", message)),
                Outcome::Crashed,
            )
        }
    }
}

/// A message of the command without the names that only the server knows.
fn plain(line: &str, operands: &[OsString]) -> String {
    let mut line = line.strip_prefix("warning: ").unwrap_or(line);
    for operand in operands {
        let rest = operand.to_str().and_then(|o| line.strip_prefix(o));
        line = rest
            .and_then(|rest| rest.strip_prefix(": "))
            .unwrap_or(line);
    }
    line.to_owned()
}

fn ending() -> Refusal {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Refusal::new(status, "ending", "the server is being ended")
}

/// How a process ended, and what it wrote to standard output and standard error; `None`
/// if that is too much.
async fn read(child: &mut Child) -> io::Result<Option<(ExitStatus, Vec<u8>, Vec<u8>)>> {
    async fn all(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            (&mut from).take(most + 1).read_to_end(&mut bytes).await?;
        }
        Ok(bytes)
    }
    let (printed, mut said) = (child.stdout.take(), child.stderr.take());
    let complaints = async {
        let first = all(said.as_mut(), SAID).await?;
        // The process would wait for whoever reads the rest.
        if let Some(said) = &mut said {
            tokio::io::copy(said, &mut tokio::io::sink()).await?;
        }
        Ok(first)
    };
    let (printed, said) = tokio::try_join!(all(printed, LARGEST), complaints)?;
    if printed.len() as u64 > LARGEST {
        return Ok(None);
    }
    Ok(Some((child.wait().await?, printed, said)))
}

/// Removes the oldest files of the cache of vectors until they are at most `bound` bytes.
fn trim(directory: &Path, bound: u64) {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for entry in below(directory).flat_map(|model| below(&model.path())) {
        if let Ok(metadata) = entry.metadata()
            && let Ok(modified) = metadata.modified()
        {
            files.push((modified, metadata.len(), entry.path()));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if bytes <= bound {
            return;
        }
        bytes -= size;
        // A cache that misses costs time only, and another call may have removed it.
        let _ = fs::remove_file(path);
    }
}

/// Answers that were given, those asked for least recently going first.
#[derive(Debug, Default)]
struct Answers {
    answers: HashMap<Question, Kept>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    bytes: usize,
    used: u64,
}

impl Answers {
    fn get(&mut self, question: &Question) -> Option<Answer> {
        self.clock += 1;
        let kept = self.answers.get_mut(question)?;
        kept.used = self.clock;
        Some(kept.answer.clone())
    }

    fn keep(&mut self, question: Question, answer: Answer) {
        /// What a question and an entry take beside the answer, about.
        const ENTRY: usize = 1024;
        let bytes = ENTRY
            + match &answer {
                Ok(document) => document.bytes(),
                Err(refusal) => refusal.message.len(),
            };
        if bytes > KEPT {
            return;
        }
        while self.bytes + bytes > KEPT {
            let those = self.answers.iter();
            let Some(oldest) = those.min_by_key(|(_, kept)| kept.used) else {
                break;
            };
            let oldest = oldest.0.clone();
            if let Some(kept) = self.answers.remove(&oldest) {
                self.bytes -= kept.bytes;
            }
        }
        self.clock += 1;
        let used = self.clock;
        let kept = Kept {
            answer,
            bytes,
            used,
        };
        self.bytes += bytes;
        if let Some(before) = self.answers.insert(question, kept) {
            self.bytes -= before.bytes;
        }
    }
}
