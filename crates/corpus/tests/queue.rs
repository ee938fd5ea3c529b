//! Worker processes, some of which are killed, share a queue on real
//! `nats-server`s, some of which are killed, too.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use binscribe_corpus::{Claim, QueueOptions, Store, WorkEvent, WorkQueue, Worker, unit_name};

const NAME: &str = "corpus";
/// Says to this program that it is to be a worker, and with what.
const WORKER: &str = "BINSCRIBE_TEST_WORKER";

/// `nats-server` of `BINSCRIBE_NATS_SERVER` or of the system.
fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("BINSCRIBE_NATS_SERVER") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    dirs.map(|dir| dir.join("nats-server"))
        .find(|file| file.is_file())
        .expect("`cargo xtask test` fetches nats-server; or install Debian's package of that name")
}

struct Server {
    arguments: Vec<String>,
    port: u16,
    child: Child,
}

impl Server {
    fn start(arguments: Vec<String>, port: u16) -> Server {
        let child = Command::new(nats_server())
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Server {
            arguments,
            port,
            child,
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        *self = Server::start(std::mem::take(&mut self.arguments), self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|l| l.local_addr().unwrap().port())
        .collect()
}

/// Servers with JetStream, one alone or a cluster, and their URLs.
fn servers(dir: &Path, count: usize) -> (Vec<Server>, String) {
    servers_with(dir, count, &[])
}

/// [`servers`] with further arguments.
fn servers_with(dir: &Path, count: usize, more: &[&str]) -> (Vec<Server>, String) {
    let ports = free_ports(2 * count);
    let (clients, routes) = ports.split_at(count);
    let url = |port: &u16| format!("nats://127.0.0.1:{port}");
    let urls = |ports: &[u16]| ports.iter().map(url).collect::<Vec<_>>().join(",");
    let started = (0..count).map(|n| {
        let store = dir.join(format!("server{n}"));
        let mut arguments = vec![
            "--name".to_owned(),
            format!("server{n}"),
            "--addr=127.0.0.1".to_owned(),
            format!("--port={}", clients[n]),
            "--jetstream".to_owned(),
            format!("--store_dir={}", store.display()),
            format!("--log={}", dir.join(format!("server{n}.log")).display()),
        ];
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        if count > 1 {
            arguments.push("--cluster_name=test".to_owned());
            arguments.push(format!("--cluster={}", url(&routes[n])));
            arguments.push(format!("--routes={}", urls(routes)));
        }
        Server::start(arguments, clients[n])
    });
    let started: Vec<Server> = started.collect();
    for server in &started {
        wait_until(20, "a server listens", || {
            TcpStream::connect(("127.0.0.1", server.port)).is_ok()
        });
    }
    (started, urls(clients))
}

fn wait_until(seconds: u64, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        let most = Duration::from_secs(seconds);
        assert!(begin.elapsed() < most, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What all processes of a test share.
#[derive(Clone)]
struct Site {
    urls: String,
    dir: PathBuf,
    ack_wait: Duration,
}

impl Site {
    fn queue(&self) -> WorkQueue {
        let options = QueueOptions {
            ack_wait: self.ack_wait,
            retry_delay: Duration::from_millis(200),
            ..QueueOptions::default()
        };
        WorkQueue::open(&self.urls, NAME, &options).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(self.dir.join("store").to_str().unwrap()).unwrap()
    }

    /// Starts this program again as a worker.
    fn worker(&self, idle_exit: Duration) -> Process {
        let told = [
            self.urls.clone(),
            self.dir.display().to_string(),
            self.ack_wait.as_millis().to_string(),
            idle_exit.as_millis().to_string(),
        ];
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process", "--ignored", "--nocapture"])
            .env(WORKER, told.join("\n"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    /// What happened to each unit, as the workers noted it.
    fn log(&self) -> BTreeMap<String, Vec<String>> {
        let text = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (key, event) = line.split_once(' ').unwrap();
            events
                .entry(key.to_owned())
                .or_default()
                .push(event.to_owned());
        }
        events
    }

    fn count(&self, key: &str, event: &str) -> usize {
        let log = self.log();
        let events = log.get(key).map(Vec::as_slice).unwrap_or_default();
        events.iter().filter(|e| *e == event).count()
    }
}

/// A worker that does not outlive the test.
struct Process(Child);

impl Process {
    fn interrupt(&self) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(30, "a worker ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A unit's output, or what goes wrong with it. Its body says how long it
/// takes in milliseconds, and its key how it ends.
fn run(claim: &Claim<'_>, stop: &AtomicBool) -> Result<Vec<u8>, String> {
    let millis: u64 = std::str::from_utf8(&claim.body).unwrap().parse().unwrap();
    let end = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < end {
        if stop.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    match claim.key.split('-').next().unwrap() {
        "fails" => Err(format!("try {}: no such type", claim.attempt)),
        "panics" => panic!("at the sight of {}", claim.key),
        "kills" => {
            let id = std::process::id().to_string();
            Command::new("kill").args(["-KILL", &id]).status().unwrap();
            Err("outlived a kill".to_owned())
        }
        _ => Ok(output(&claim.key)),
    }
}

fn output(key: &str) -> Vec<u8> {
    format!("rows of {key}\n").repeat(1000).into_bytes()
}

static STOP: AtomicBool = AtomicBool::new(false);

#[test]
#[ignore = "what the other tests start as processes of their own"]
fn worker_process() {
    let Ok(told) = std::env::var(WORKER) else {
        return;
    };
    let [urls, dir, ack_wait, idle_exit] = told.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{told:?}");
    };
    let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
    let site = Site {
        urls: urls.to_owned(),
        dir: dir.into(),
        ack_wait: millis(ack_wait),
    };
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed)).unwrap();
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(site.dir.join("log"))
        .unwrap();
    let report = |key: &str, event: WorkEvent| {
        let event = match event {
            WorkEvent::Taken => "taken",
            WorkEvent::Done => "done",
            WorkEvent::Skipped => "skipped",
            WorkEvent::Failed(_) => "failed",
            WorkEvent::SetAside(_) => "set aside",
            WorkEvent::HandedBack => "handed back",
            _ => "unconfirmed",
        };
        (&log)
            .write_all(format!("{key} {event}\n").as_bytes())
            .unwrap();
    };
    let worker = Worker {
        queue: &site.queue(),
        store: &site.store(),
        stop: &STOP,
        limit: None,
        idle_exit: Some(millis(idle_exit)),
        report: &report,
    };
    worker.work(|claim| run(claim, &STOP)).unwrap();
}

/// The server that leads the stream of units.
fn leader(urls: &str) -> usize {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let urls: Vec<&str> = urls.split(',').collect();
        let client = async_nats::connect(urls).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(NAME).await;
        let info = stream.unwrap().cached_info().clone();
        let leader = info.cluster.unwrap().leader.unwrap();
        leader.strip_prefix("server").unwrap().parse().unwrap()
    })
}

#[test]
fn killed_workers_and_a_killed_leader_lose_and_double_nothing() {
    const UNITS: usize = 80;
    let dir = tempfile::tempdir().unwrap();
    let (mut servers, urls) = servers(dir.path(), 3);
    let site = Site {
        urls,
        dir: dir.path().to_owned(),
        ack_wait: Duration::from_secs(3),
    };
    let (queue, store) = (site.queue(), site.store());
    let good: BTreeSet<String> = (0..UNITS).map(|n| format!("unit-{n}")).collect();
    let units = || {
        good.iter()
            .map(|key| (key.clone(), b"150".to_vec()))
            .chain([("fails-always".to_owned(), b"10".to_vec())])
    };
    let added = queue.publish_all(units(), &store).unwrap();
    assert_eq!((added.added, added.queued), (UNITS + 1, 0));
    let outputs = || store.list("units").unwrap().len();

    let mut workers: Vec<Process> = (0..4)
        .map(|_| site.worker(Duration::from_secs(60)))
        .collect();
    wait_until(20, "a quarter is done", || outputs() >= UNITS / 4);
    workers.remove(0).0.kill().unwrap();
    // What waits or runs is not added again, what is done neither.
    let added = queue.publish_all(units(), &store).unwrap();
    assert_eq!(added.added, 0, "{added:?}");

    wait_until(20, "a third is done", || outputs() >= UNITS / 3);
    let leader = leader(&site.urls);
    servers[leader].kill();
    workers.remove(0).0.kill().unwrap();
    workers.push(site.worker(Duration::from_secs(60)));
    wait_until(30, "two servers do half of it", || outputs() >= UNITS / 2);
    servers[leader].start_again();

    wait_until(40, "the queue is empty", || {
        let status = queue.status().unwrap();
        status.waiting + status.running == 0
    });
    for worker in &workers {
        worker.interrupt();
    }
    for mut worker in workers {
        assert!(worker.ended().success());
    }

    let names: Vec<String> = good.iter().map(|key| unit_name(key)).collect();
    assert_eq!(store.list("units").unwrap(), names);
    for key in &good {
        assert_eq!(store.get(&unit_name(key)).unwrap(), output(key));
        assert!(site.count(key, "done") <= 1, "{:?}", site.log()[key]);
    }
    let poison = queue.poison().unwrap();
    assert_eq!(poison.len(), 1);
    assert_eq!(
        (poison[0].key.as_str(), poison[0].body.as_str()),
        ("fails-always", "10")
    );
    let status = queue.status().unwrap();
    assert_eq!((status.done, status.set_aside), (UNITS as u64, 1));
    let added = queue.publish_all(units(), &store).unwrap();
    assert_eq!((added.finished, added.set_aside), (UNITS, 1), "{added:?}");
    queue.delete().unwrap();
}

#[test]
fn a_unit_that_kills_its_workers_or_fails_is_set_aside_after_five_tries() {
    let dir = tempfile::tempdir().unwrap();
    let (_servers, urls) = servers(dir.path(), 1);
    let site = Site {
        urls,
        dir: dir.path().to_owned(),
        ack_wait: Duration::from_secs(1),
    };
    let (queue, store) = (site.queue(), site.store());
    for key in ["kills-9", "fails-0", "panics-0", "unit-1", "unit-2"] {
        assert_eq!(queue.publish(key, b"20").unwrap().added, 1);
    }
    let mut killed = 0;
    while !site.worker(Duration::from_secs(3)).ended().success() {
        killed += 1;
        assert!(killed <= 5);
    }
    assert_eq!(killed, 5);
    for key in ["kills-9", "fails-0", "panics-0"] {
        assert_eq!(site.count(key, "taken"), 5, "{key}: {:?}", site.log()[key]);
    }
    let names = ["units/unit-1.parquet", "units/unit-2.parquet"];
    assert_eq!(store.list("units").unwrap(), names);

    let poison = queue.poison().unwrap();
    let keys: Vec<&str> = poison.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["fails-0", "kills-9", "panics-0"]);
    let reasons = |n: usize| poison[n].reasons.iter().map(|r| r.reason.as_str());
    let tries: Vec<String> = (1..=5).map(|n| format!("try {n}: no such type")).collect();
    assert!(reasons(0).eq(tries.iter().map(String::as_str)));
    assert!(reasons(1).eq([
        "5 of 5 tries ended without an answer: their workers were killed, \
                            ran out of memory or lost the network"
    ]));
    assert!(reasons(2).eq(["panicked: at the sight of panics-0"; 5]));

    // Set aside it stays, until someone thinks that it will do better.
    assert_eq!(queue.publish("fails-0", b"20").unwrap().set_aside, 1);
    assert!(queue.forgive("fails-0").unwrap());
    assert!(!queue.forgive("unit-1").unwrap());
    assert_eq!(queue.publish("fails-0", b"20").unwrap().added, 1);
    let status = queue.status().unwrap();
    assert_eq!((status.waiting, status.done, status.set_aside), (1, 2, 2));
}

#[test]
fn a_long_unit_stays_with_its_worker_and_an_interrupted_one_goes_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (_servers, urls) = servers(dir.path(), 1);
    let site = Site {
        urls,
        dir: dir.path().to_owned(),
        ack_wait: Duration::from_secs(1),
    };
    let (queue, store) = (site.queue(), site.store());
    assert_eq!(queue.publish("long", b"4000").unwrap().added, 1);
    assert_eq!(queue.publish("long", b"4000").unwrap().queued, 1);

    // It is longer than the others' patience and than the wait for an answer.
    let mut workers = [(); 2].map(|()| site.worker(Duration::from_secs(5)));
    wait_until(10, "the unit runs", || site.count("long", "taken") == 1);
    assert_eq!(queue.publish("long", b"4000").unwrap().queued, 1);
    let status = queue.status().unwrap();
    assert_eq!((status.waiting, status.running), (0, 1));
    for worker in &mut workers {
        assert!(worker.ended().success());
    }
    assert_eq!(site.log()["long"], ["taken", "done"]);

    // Wanted again, it is done again, however soon.
    store.delete(&unit_name("long")).unwrap();
    assert_eq!(queue.publish("long", b"4000").unwrap().added, 1);
    let mut worker = site.worker(Duration::from_secs(60));
    wait_until(10, "the unit runs again", || {
        site.count("long", "taken") == 2
    });
    worker.interrupt();
    assert!(worker.ended().success());
    assert_eq!(site.count("long", "handed back"), 1);
    let claim = queue.next(Duration::from_secs(5)).unwrap().unwrap();
    assert_eq!((claim.key.as_str(), claim.attempt), ("long", 2));
    claim.done().unwrap();
    let status = queue.status().unwrap();
    assert_eq!((status.waiting, status.running, status.done), (0, 0, 2));
}

#[test]
fn the_user_of_a_url_is_who_connects() {
    let dir = tempfile::tempdir().unwrap();
    let (_servers, url) = servers_with(dir.path(), 1, &["--user=me", "--pass=a/b@c"]);
    let host = url.strip_prefix("nats://").unwrap();
    let open = |url: String| WorkQueue::open(&url, NAME, &QueueOptions::default());
    let queue = open(format!("nats://me:a%2Fb%40c@{host}")).unwrap();
    assert_eq!(queue.publish("unit-1", b"").unwrap().added, 1);
    // One of several servers may say it for all.
    open(format!("{url},nats://me:a%2Fb%40c@{host}")).unwrap();
    for wrong in [url.clone(), format!("nats://me:guess@{host}")] {
        let message = open(wrong).unwrap_err().to_string();
        assert!(message.contains("USER:PASSWORD@HOST"), "{message}");
        assert!(!message.contains("guess"), "{message}");
    }
}

/// Says to this program what server to reach over TLS.
const SERVER: &str = "BINSCRIBE_TEST_SERVER";

#[test]
#[ignore = "what the test of TLS starts, with certificates in its environment"]
fn client_process() {
    let Ok(url) = std::env::var(SERVER) else {
        return;
    };
    match WorkQueue::open(&url, NAME, &QueueOptions::default()) {
        Ok(queue) => {
            assert_eq!(queue.publish("unit-1", b"body").unwrap().added, 1);
            let claim = queue.next(Duration::from_secs(5)).unwrap().unwrap();
            assert_eq!(claim.body, b"body");
            claim.done().unwrap();
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_server_is_reached_over_tls_by_the_certificates_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = [
        "--tls".to_owned(),
        format!("--tlscert={}", certificate.display()),
        format!("--tlskey={}", key.display()),
    ];
    let (_servers, url) = servers_with(dir.path(), 1, &tls.each_ref().map(String::as_str));
    let client = |trusted: Option<&Path>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "client_process", "--ignored", "--nocapture"])
            .env(SERVER, url.replace("nats://", "tls://"))
            .env_remove("NATS_CA");
        if let Some(file) = trusted {
            command.env("NATS_CA", file);
        }
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), words)
    };
    let (success, words) = client(Some(&certificate));
    assert!(success, "{words}");
    let (success, words) = client(None);
    assert!(!success);
    assert!(words.contains("certificate in NATS_CA"), "{words}");
}

#[test]
fn messages_say_what_is_wrong_and_keep_passwords() {
    let port = free_ports(1)[0];
    let url = format!("nats://me:hunter2@127.0.0.1:{port}");
    let error = WorkQueue::open(&url, NAME, &QueueOptions::default()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("is a nats-server running there"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
    let error = WorkQueue::open(&url, "a.b", &QueueOptions::default()).unwrap_err();
    assert!(error.to_string().contains("letters, digits"), "{error}");
}
