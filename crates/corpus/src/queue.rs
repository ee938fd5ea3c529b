//! Units of work shared by any number of machines, as a NATS JetStream work
//! queue.
//!
//! A queue `NAME` is two streams: `NAME` holds each unit under a subject of its
//! own until it is acknowledged, and `NAME_poison` the reasons why tries failed.
//! Delivery is at least once. What makes a unit count once is its output, which
//! is named by the unit's content and written at once or not at all.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{Context, DeleteStreamErrorKind};
use async_nats::jetstream::message::{AckKind, Message, PublishMessage};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Request, ServerAddr, StatusCode};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use crate::error::{Error, Result};
use crate::store::{Store, runtime};
use crate::worker::unit_name;

/// A unit that failed this often is set aside.
pub(crate) const MAX_TRIES: u64 = 5;
/// How long a call is tried again while servers elect a leader or come back.
const PATIENCE: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Servers forget after this that they have seen a unit, if they no longer
/// hold it.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Units that may run at once, over all workers.
const MAX_RUNNING: i64 = 65_536;
/// Idle workers that may ask at once.
const MAX_WAITING: i64 = 16_384;
/// Publishes in flight.
const AT_ONCE: usize = 32;
/// Bytes of a reason that are kept, the last ones: compilers sum up at the end.
const REASON_BYTES: usize = 4096;
/// Room for subject and headers beside a unit in a message.
const HEADER_BYTES: usize = 1024;
/// The consumer that all workers share.
const CONSUMER: &str = "workers";

/// How a queue is made. A queue that is there keeps what it was made with,
/// except for the delay.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// How many servers keep a copy: 3 on a cluster and 1 elsewhere if not said.
    pub replicas: Option<usize>,
    /// A unit whose worker is silent for so long is given to another. Workers
    /// that are alive speak up four times as often.
    pub ack_wait: Duration,
    /// How long a failed unit waits for its next try.
    pub retry_delay: Duration,
}

impl Default for QueueOptions {
    fn default() -> QueueOptions {
        QueueOptions {
            replicas: None,
            ack_wait: Duration::from_secs(60),
            retry_delay: Duration::from_secs(10),
        }
    }
}

/// What became of units that were published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// New in the queue.
    pub added: usize,
    /// Waiting or running already.
    pub queued: usize,
    /// Not published, since the store has their output.
    pub finished: usize,
    /// Not published, since they are set aside ([`WorkQueue::forgive`]).
    pub set_aside: usize,
}

/// How far a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Units that no worker has taken yet.
    pub waiting: u64,
    /// Units that a worker holds, and failed ones that wait for their next try.
    pub running: u64,
    /// Units that are finished.
    pub done: u64,
    /// Units that failed too often.
    pub set_aside: u64,
}

/// Why one try of a unit failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The worker, as host and process.
    pub worker: String,
    /// What it said last.
    pub reason: String,
}

/// A unit that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Poison {
    /// The unit's key.
    pub key: String,
    /// The unit.
    pub body: String,
    /// Why its tries failed, the first one first.
    pub reasons: Vec<Reason>,
}

/// What `NAME_poison` keeps about a unit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tries {
    reasons: Vec<Reason>,
    /// Tries that say nothing about the unit: their workers were asked to stop.
    handed_back: u64,
    /// Given when the unit is set aside.
    body: Option<String>,
    /// How often it was set aside before and given another chance.
    forgiven: u64,
}

/// A queue of units, each known by a key that stands for its content.
///
/// Its calls block, so it must not be used from within an asynchronous runtime;
/// threads may share it. While servers die and come back its calls are tried
/// again, for a minute.
#[derive(Debug)]
pub struct WorkQueue {
    name: String,
    shown: String,
    worker: String,
    retry_delay: Duration,
    ack_wait: Duration,
    context: Context,
    units: Stream,
    tries: Stream,
    runtime: &'static Runtime,
}

impl WorkQueue {
    /// Connects to a queue, which is made if it is absent. `urls` are some
    /// servers of one cluster, such as `nats://a:4222,nats://b:4222`, or `tls://`
    /// where nothing may go in the clear. A user and password, or a token, may
    /// stand in one of them, percent-encoded, or the file that `NATS_CREDS` names
    /// may have them. `NATS_CA` names certificates (PEM) to be trusted beside
    /// those of the system.
    pub fn open(urls: &str, name: &str, options: &QueueOptions) -> Result<WorkQueue> {
        check_name(name)?;
        let servers: Vec<&str> = urls.split(',').map(str::trim).collect();
        let shown = format!("{name} at {}", without_users(&servers).join(","));
        let fail = |doing: &str, reason: String| Error::Queue {
            queue: shown.clone(),
            doing: doing.to_owned(),
            reason,
        };
        let runtime = runtime().map_err(|reason| fail("be opened", reason))?;
        let client = runtime.block_on(connect(&servers));
        let client = client.map_err(|reason| fail("be reached", reason))?;
        let replicas = options.replicas.unwrap_or_else(|| {
            let cluster = client.server_info().cluster.is_some();
            if cluster { 3 } else { 1 }
        });
        // The context starts a task of its own.
        let _inside = runtime.enter();
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(REQUEST_TIMEOUT);
        let opened = runtime.block_on(retry(Duration::from_secs(20), || async {
            let units = context.get_or_create_stream(units_config(name, replicas));
            let units = units.await.map_err(|e| e.to_string())?;
            let tries = context.get_or_create_stream(tries_config(name, replicas));
            let tries = tries.await.map_err(|e| e.to_string())?;
            let consumer = consumer_config(options.ack_wait);
            let consumer: PullConsumer = units
                .get_or_create_consumer(CONSUMER, consumer)
                .await
                .map_err(|e| e.to_string())?;
            Ok::<_, String>((units, tries, consumer.cached_info().config.ack_wait))
        }));
        let (units, tries, ack_wait) = opened.map_err(|reason| {
            let hint = format!(
                "{replicas} of its servers must have JetStream (`nats-server -js`), or ask for \
                 fewer replicas"
            );
            fail("be made", format!("{reason}; {hint}"))
        })?;
        Ok(WorkQueue {
            name: name.to_owned(),
            shown,
            worker: format!("{} {}", host(), std::process::id()),
            retry_delay: options.retry_delay,
            ack_wait,
            context,
            units,
            tries,
            runtime,
        })
    }

    /// Adds a unit, unless it waits, runs or is set aside.
    pub fn publish(&self, key: &str, body: &[u8]) -> Result<Added> {
        check_name(key)?;
        self.runtime.block_on(async {
            let before = self.tries(key).await?;
            let aside = before.is_some_and(|tries| tries.body.is_some());
            self.add(key, body.to_vec(), aside).await
        })
    }

    /// Adds many units, except for those whose output is in the store and those
    /// that wait, run or are set aside. So what was interrupted is simply
    /// published again.
    pub fn publish_all(
        &self,
        units: impl IntoIterator<Item = (String, Vec<u8>)>,
        store: &Store,
    ) -> Result<Added> {
        let finished: std::collections::HashSet<String> =
            store.list("units")?.into_iter().collect();
        let aside: std::collections::HashSet<String> =
            self.poison()?.into_iter().map(|p| p.key).collect();
        let units: Vec<(String, Vec<u8>)> = units.into_iter().collect();
        for (key, _) in &units {
            check_name(key)?;
        }
        let published = stream::iter(units)
            .map(|(key, body)| {
                let finished = finished.contains(&unit_name(&key));
                let aside = aside.contains(&key);
                async move {
                    if finished {
                        return Ok(Added {
                            finished: 1,
                            ..Added::default()
                        });
                    }
                    self.add(&key, body, aside).await
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(Added::default(), |sum, one| async move {
                Ok(Added {
                    added: sum.added + one.added,
                    queued: sum.queued + one.queued,
                    finished: sum.finished + one.finished,
                    set_aside: sum.set_aside + one.set_aside,
                })
            });
        self.runtime.block_on(published)
    }

    /// Takes a unit, or nothing if there is none within `wait`. An error means
    /// that no server answered, which a worker may wait out.
    pub fn next(&self, wait: Duration) -> Result<Option<Claim<'_>>> {
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(claim) = self.runtime.block_on(self.take(left))? else {
                return Ok(None);
            };
            if !self.runtime.block_on(claim.is_poison())? {
                return Ok(Some(claim));
            }
        }
    }

    /// The units that were set aside.
    pub fn poison(&self) -> Result<Vec<Poison>> {
        let mut poison = Vec::new();
        for (key, tries) in self.runtime.block_on(self.all_tries())? {
            if let Some(body) = tries.body {
                poison.push(Poison {
                    key,
                    body,
                    reasons: tries.reasons,
                });
            }
        }
        Ok(poison)
    }

    /// Lets a unit that was set aside be published again; says whether it was.
    pub fn forgive(&self, key: &str) -> Result<bool> {
        check_name(key)?;
        self.runtime.block_on(async {
            match self.tries(key).await? {
                Some(tries) if tries.body.is_some() => {
                    let forgiven = Tries {
                        forgiven: tries.forgiven + 1,
                        ..Tries::default()
                    };
                    self.keep(key, &forgiven).await?;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    }

    /// How many units wait, run, are done and are set aside.
    pub fn status(&self) -> Result<QueueStatus> {
        let doing = "say how far it is";
        self.runtime.block_on(async {
            let tries = self.all_tries().await?;
            let aside = tries.iter().filter(|(_, t)| t.body.is_some()).count() as u64;
            let forgiven: u64 = tries.iter().map(|(_, t)| t.forgiven).sum();
            let state = self.persist(doing, || self.units.get_info()).await?.state;
            let consumer = self
                .persist(doing, || self.units.consumer_info(CONSUMER))
                .await?;
            let left = state.last_sequence.saturating_sub(state.messages);
            Ok(QueueStatus {
                waiting: consumer.num_pending,
                running: consumer.num_ack_pending as u64,
                done: left.saturating_sub(aside + forgiven),
                set_aside: aside,
            })
        })
    }

    /// Removes the queue with all its units and what is known of them.
    pub fn delete(self) -> Result<()> {
        for name in [self.name.clone(), tries_name(&self.name)] {
            let delete = self.persist("be removed", || async {
                match self.context.delete_stream(&name).await {
                    Ok(_) => Ok(()),
                    // An earlier try may have removed it.
                    Err(error) => match error.kind() {
                        DeleteStreamErrorKind::JetStream(inner)
                            if inner.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                        {
                            Ok(())
                        }
                        _ => Err(error),
                    },
                }
            });
            self.runtime.block_on(delete)?;
        }
        Ok(())
    }

    async fn add(&self, key: &str, body: Vec<u8>, aside: bool) -> Result<Added> {
        let nothing = Added::default();
        if aside {
            return Ok(Added {
                set_aside: 1,
                ..nothing
            });
        }
        let subject = self.subject(key);
        let most = self
            .context
            .client()
            .max_payload()
            .saturating_sub(HEADER_BYTES);
        if body.len() > most {
            let reason = format!("{key} has {} bytes, but {most} fit", body.len());
            return Err(self.error("take a unit", reason));
        }
        let new = self
            .persist("take a unit", || async {
                // The id keeps a publish that is tried again from counting
                // twice, and the stream holds one unit under a subject at most.
                let message = PublishMessage::build().payload(body.clone().into());
                let named = message.clone().message_id(key);
                match self.send(&subject, named).await {
                    Ok(false) => return Ok(true),
                    Ok(true) if self.holds(&subject).await? => return Ok(false),
                    Ok(true) => {}
                    Err(_) if self.holds(&subject).await? => return Ok(false),
                    Err(error) => return Err(error),
                }
                // It was here a moment ago and has ended since; asked for
                // again, it is done again.
                match self.send(&subject, message).await {
                    Ok(_) => Ok(true),
                    Err(_) if self.holds(&subject).await? => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(match new {
            true => Added {
                added: 1,
                ..nothing
            },
            false => Added {
                queued: 1,
                ..nothing
            },
        })
    }
    /// Publishes to the stream of units; says whether the server took it for
    /// one that it had seen.
    async fn send(&self, subject: &str, message: PublishMessage) -> Result<bool, String> {
        let subject = subject.to_owned();
        let sent = async { self.context.send_publish(subject, message).await?.await }.await;
        Ok(sent.map_err(|error| error.to_string())?.duplicate)
    }

    async fn holds(&self, subject: &str) -> Result<bool, String> {
        Ok(last(&self.units, subject).await?.is_some())
    }

    /// What is known of a unit that has failed.
    async fn tries(&self, key: &str) -> Result<Option<Tries>> {
        let subject = self.tries_subject(key);
        self.persist("say what failed", || async {
            match last(&self.tries, &subject).await? {
                Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| e.to_string()),
                None => Ok(None),
            }
        })
        .await
    }

    async fn all_tries(&self) -> Result<Vec<(String, Tries)>> {
        let prefix = self.tries_subject("");
        let filter = self.tries_subject("*");
        let subjects: Vec<(String, usize)> = self
            .persist("say what failed", || async {
                let subjects = self.tries.info_with_subjects(&filter).await;
                let subjects = subjects.map_err(|e| e.to_string())?;
                subjects.try_collect().await.map_err(|e| e.to_string())
            })
            .await?;
        let mut all = Vec::new();
        for (subject, _) in subjects {
            let Some(key) = subject.strip_prefix(&prefix) else {
                continue;
            };
            if let Some(tries) = self.tries(key).await? {
                all.push((key.to_owned(), tries));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    async fn keep(&self, key: &str, tries: &Tries) -> Result<()> {
        let subject = self.tries_subject(key);
        let doing = "note a failure";
        let bytes = serde_json::to_vec(tries).map_err(|e| self.error(doing, e))?;
        self.persist(doing, || async {
            let message = PublishMessage::build().payload(bytes.clone().into());
            self.send(&subject, message).await
        })
        .await?;
        Ok(())
    }

    async fn take(&self, wait: Duration) -> Result<Option<Claim<'_>>> {
        let doing = "hand out a unit";
        let expires = wait.max(Duration::from_millis(1));
        let client = self.context.client();
        // A unit comes under its own subject, which is not told from others in
        // the inbox that requests share.
        let request = Request::new()
            .inbox(client.new_inbox())
            .payload(format!(r#"{{"batch":1,"expires":{}}}"#, expires.as_nanos()).into())
            .timeout(Some(expires + REQUEST_TIMEOUT));
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{CONSUMER}", self.name);
        let message = client.send_request(subject, request).await;
        let message = message.map_err(|e| self.error(doing, e))?;
        match message.status {
            None | Some(StatusCode::OK) => {}
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => return Ok(None),
            Some(status) => {
                let why = message.description.unwrap_or_default();
                return Err(self.error(doing, format!("{status} {why}")));
            }
        }
        let message = Message {
            message,
            context: self.context.clone(),
        };
        let attempt = message.info().map_err(|e| self.error(doing, e))?.delivered;
        let key = message.subject.rsplit('.').next().unwrap_or_default();
        let reply = message.reply.clone().unwrap_or_else(|| "".into());
        Ok(Some(Claim {
            key: key.to_owned(),
            body: message.payload.to_vec(),
            attempt: u64::try_from(attempt).unwrap_or(1),
            heartbeat: self.heartbeat(client, reply.to_string()),
            reply: reply.to_string(),
            queue: self,
        }))
    }

    /// Tells the servers that a unit is being worked on, until it is aborted.
    fn heartbeat(&self, client: Client, reply: String) -> AbortHandle {
        let period = self.ack_wait / 4;
        let task = self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                // A server that cannot be told is coming back, or the unit is
                // given to another worker, which does no harm.
                let _ = client
                    .publish(reply.clone(), AckKind::Progress.into())
                    .await;
            }
        });
        task.abort_handle()
    }

    fn subject(&self, key: &str) -> String {
        format!("{}.unit.{key}", self.name)
    }

    fn tries_subject(&self, key: &str) -> String {
        format!("{}.tries.{key}", self.name)
    }

    async fn persist<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        doing: &str,
        call: impl FnMut() -> F,
    ) -> Result<T> {
        let result = retry(PATIENCE, call).await;
        result.map_err(|error| self.error(doing, error))
    }

    fn error(&self, doing: &str, reason: impl Display) -> Error {
        Error::Queue {
            queue: self.shown.clone(),
            doing: doing.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// A unit that this process works on. As long as this is held, no other worker
/// gets the unit; dropped without an answer, another gets it some time later.
#[derive(Debug)]
pub struct Claim<'q> {
    /// Stands for the unit's content.
    pub key: String,
    /// The unit, as it was published.
    pub body: Vec<u8>,
    /// The how-manieth try this is, from 1.
    pub attempt: u64,
    reply: String,
    heartbeat: AbortHandle,
    queue: &'q WorkQueue,
}

impl Claim<'_> {
    /// Takes the unit out of the queue: its output is written. If that cannot be
    /// confirmed for a minute, the unit may be handed out again, and its next
    /// worker finds the output.
    pub fn done(self) -> Result<()> {
        self.queue.runtime.block_on(async {
            self.answer(AckKind::Ack).await?;
            if self.attempt == 1 {
                return Ok(());
            }
            let forgiven = match self.queue.tries(&self.key).await? {
                None => return Ok(()),
                Some(tries) => tries.forgiven,
            };
            if forgiven > 0 {
                let tries = Tries {
                    forgiven,
                    ..Tries::default()
                };
                return self.queue.keep(&self.key, &tries).await;
            }
            let subject = self.queue.tries_subject(&self.key);
            self.queue
                .persist("forget a failure", || async {
                    self.queue.tries.purge().filter(&subject).await
                })
                .await?;
            Ok(())
        })
    }

    /// Hands the unit in for another try some time later, or sets it aside if
    /// it has failed five times; says whether it did.
    pub fn failed(self, reason: &str) -> Result<bool> {
        let queue = self.queue;
        queue.runtime.block_on(async {
            let mut tries = queue.tries(&self.key).await?.unwrap_or_default();
            tries.reasons.push(Reason {
                worker: queue.worker.clone(),
                reason: last_part(reason).to_owned(),
            });
            if self.attempt.saturating_sub(tries.handed_back) >= MAX_TRIES {
                self.set_aside(tries).await?;
                return Ok(true);
            }
            queue.keep(&self.key, &tries).await?;
            let again = AckKind::Nak(Some(queue.retry_delay));
            self.answer(again).await?;
            Ok(false)
        })
    }

    /// Gives the unit to the next worker, as if it had not been tried.
    pub fn hand_back(self) -> Result<()> {
        let queue = self.queue;
        queue.runtime.block_on(async {
            let mut tries = queue.tries(&self.key).await?.unwrap_or_default();
            tries.handed_back += 1;
            queue.keep(&self.key, &tries).await?;
            self.answer(AckKind::Nak(None)).await
        })
    }

    /// Sets the unit aside if every try that it may have was used up without an
    /// answer, since its workers died of it; says whether it did.
    ///
    /// A limit of the server (`max_deliver`) would keep such a unit in the
    /// stream without a word to anyone but who listens just then.
    async fn is_poison(&self) -> Result<bool> {
        let tried = self.attempt.saturating_sub(1);
        if tried < MAX_TRIES {
            return Ok(false);
        }
        let tries = self.queue.tries(&self.key).await?.unwrap_or_default();
        if tried.saturating_sub(tries.handed_back) < MAX_TRIES {
            return Ok(false);
        }
        self.set_aside(tries).await?;
        Ok(true)
    }

    async fn set_aside(&self, mut tries: Tries) -> Result<()> {
        let silent = MAX_TRIES.saturating_sub(tries.reasons.len() as u64);
        if silent > 0 {
            tries.reasons.push(Reason {
                worker: self.queue.worker.clone(),
                reason: format!(
                    "{silent} of {MAX_TRIES} tries ended without an answer: their workers were \
                     killed, ran out of memory or lost the network"
                ),
            });
        }
        tries.body = Some(String::from_utf8_lossy(&self.body).into_owned());
        self.queue.keep(&self.key, &tries).await?;
        self.answer(AckKind::Ack).await
    }

    /// Answers until a server confirms it. A plain reply may be lost with the
    /// server that got it.
    async fn answer(&self, kind: AckKind) -> Result<()> {
        let client = self.queue.context.client();
        let answered = retry(PATIENCE, || client.request(self.reply.clone(), kind.into()));
        match answered.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.queue.error("confirm an answer", error)),
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn connect(servers: &[&str]) -> Result<Client, String> {
    let addresses: Vec<ServerAddr> = servers
        .iter()
        .map(|server| server.parse())
        .collect::<std::io::Result<_>>()
        .map_err(|error| format!("{error}; a server is named as in nats://HOST:4222"))?;
    let mut options = ConnectOptions::new()
        .name("binscribe")
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(REQUEST_TIMEOUT));
    // The client reads the host of a URL, and leaves who stands before it.
    if let Some((address, user)) = addresses.iter().find_map(|a| Some((a, a.username()?))) {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        options = match address.password() {
            Some(password) => options.user_and_password(plain(user), plain(password)),
            None => options.token(plain(user)),
        };
    }
    if let Some(file) = std::env::var_os("NATS_CREDS") {
        let read = options.credentials_file(&file).await;
        options = read.map_err(|error| format!("{} (NATS_CREDS): {error}", file.display()))?;
    }
    if let Some(file) = std::env::var_os("NATS_CA") {
        options = options.add_root_certificates(file.into());
    }
    let connected = options.connect(&addresses[..]).await;
    connected.map_err(|error| {
        let text = error.to_string();
        let hint = match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                "say who you are, as in nats://USER:PASSWORD@HOST:4222, or name a file of \
                 credentials in NATS_CREDS"
            }
            _ if text.contains("certificate") => {
                "if an authority of your own has signed it, name that one's certificate in NATS_CA"
            }
            _ => "is a nats-server running there, and is the URL right?",
        };
        format!("{text}; {hint}")
    })
}

fn units_config(name: &str, replicas: usize) -> Config {
    Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.unit.*")],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: DUPLICATE_WINDOW,
        // A unit that waits or runs is refused a second time, however long ago
        // it was published.
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        ..Config::default()
    }
}

fn tries_config(name: &str, replicas: usize) -> Config {
    Config {
        name: tries_name(name),
        subjects: vec![format!("{name}.tries.*")],
        storage: StorageType::File,
        num_replicas: replicas,
        max_messages_per_subject: 1,
        ..Config::default()
    }
}

fn consumer_config(ack_wait: Duration) -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        max_ack_pending: MAX_RUNNING,
        max_waiting: MAX_WAITING,
        ..pull::Config::default()
    }
}

fn tries_name(name: &str) -> String {
    format!("{name}_poison")
}

/// The message that a stream holds under a subject. The stream's leader is
/// asked, since its followers may be behind.
async fn last(stream: &Stream, subject: &str) -> Result<Option<Vec<u8>>, String> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message.payload.to_vec())),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Calls until it succeeds or `patience` has run out, ever more rarely.
async fn retry<T, E, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    mut call: impl FnMut() -> F,
) -> Result<T, E> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(50);
    loop {
        match call().await {
            Err(_) if Instant::now() < end => {}
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Keys and names become parts of subjects and of paths.
fn check_name(name: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=200).contains(&name.len()) && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(Error::Name(name.to_owned()))
    }
}

fn without_users(servers: &[&str]) -> Vec<String> {
    let bare = |server: &&str| match server.rsplit_once('@') {
        Some((user, host)) => {
            let scheme = user.split_once("://").map_or("nats", |(scheme, _)| scheme);
            format!("{scheme}://{host}")
        }
        None => (*server).to_owned(),
    };
    servers.iter().map(bare).collect()
}

fn host() -> String {
    std::env::var("HOSTNAME")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"))
        .map_or_else(|_| "a machine".to_owned(), |name| name.trim().to_owned())
}

fn last_part(text: &str) -> &str {
    let start = text.len().saturating_sub(REASON_BYTES);
    &text[text.ceil_char_boundary(start)..]
}
