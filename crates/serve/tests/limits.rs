//! What holds whatever the analysis does. In the place of the command there is one that
//! takes what was uploaded for a script and runs it.
#![cfg(unix)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use binscribe_serve::{Error, Options, Server};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::http::Response;

/// An answer without functions, printed by a script.
const ANSWER: &str = r#"echo '{"version": 1, "binary": {}, "functions": []}'"#;

/// Long enough for any machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    address: SocketAddr,
    directory: TempDir,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn options(directory: &TempDir) -> Options {
    let program = directory.path().join("command");
    // Written by another process: a file that this one had open could not be run while
    // another test starts a process.
    let write = format!(
        "cat > '{0}' && chmod +x '{0}'",
        program.to_str().expect("UTF-8")
    );
    let script = "#!/bin/sh\nfor last; do :; done\nexec sh \"./$last\"\n";
    let mut shell = Command::new("sh")
        .args(["-c", &write])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut input = shell.stdin.take().expect("a pipe");
    input.write_all(script.as_bytes()).expect("written");
    drop(input);
    assert!(shell.wait().expect("ended").success());
    Options {
        program,
        model_arguments: Vec::new(),
        schemas: Map::new(),
        indices: Vec::new(),
        token: None,
        max_upload: 1 << 20,
        max_stored: 1 << 20,
        timeout: PATIENCE,
        jobs: 4,
        queue: 4,
    }
}

fn serve(change: impl FnOnce(&mut Options)) -> Served {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory);
    change(&mut options);
    let (send_address, address) = std::sync::mpsc::channel();
    let (end, ended) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let local = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = Server::bind(local, options).await.expect("a server");
            send_address.send(server.address()).expect("sent");
            let end = async {
                let _ = ended.await;
            };
            server.run(end).await;
        });
    });
    Served {
        address: address.recv().expect("an address"),
        directory,
        end: Some(end),
        thread: Some(thread),
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

impl Served {
    fn end(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("an end");
        }
    }

    fn upload(&self, script: &str) -> (u16, Value, Response<ureq::Body>) {
        let config = Agent::config_builder().http_status_as_error(false);
        let agent: Agent = config.build().into();
        let url = format!("http://{}/v1/programs", self.address);
        let request = agent
            .post(url)
            .header("content-type", "application/octet-stream");
        let mut response = request.send(script).expect("an answer");
        let text = response.body_mut().read_to_string().expect("text");
        let document = serde_json::from_str(&text).expect("JSON");
        (response.status().as_u16(), document, response)
    }

    /// The connection of an upload whose answer nobody has read.
    fn begin(&self, script: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        write!(
            stream,
            "POST /v1/programs HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{script}",
            script.len()
        )
        .expect("written");
        stream
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A script that says which process it is and where, and then takes long.
    fn long(&self, name: &str) -> String {
        let file = self.file(name).display().to_string();
        format!("echo $$ $(pwd) > '{file}.new' && mv '{file}.new' '{file}'; exec sleep 600")
    }
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process that a script of [`Served::long`] is, and where it runs.
fn process(file: &Path) -> (String, PathBuf) {
    wait("the process begins", || file.exists());
    let text = fs::read_to_string(file).expect("written");
    let (process, directory) = text.trim().split_once(' ').expect("both");
    (process.to_owned(), directory.into())
}

fn runs(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat"));
    // One that has ended and was not asked how is there as a name.
    status.is_ok_and(|status| !status.contains(") Z "))
}

#[test]
fn a_file_that_breaks_the_analysis_breaks_nothing_else() {
    let served = serve(|_| {});
    for script in ["kill -SEGV $$", "exit 101"] {
        let (status, document, _) = served.upload(script);
        assert_eq!(
            (status, &document["error"]["code"]),
            (422, &json!("crashed"))
        );
    }
    let (status, document, _) = served.upload("echo no JSON");
    assert_eq!(
        (status, &document["error"]["code"]),
        (500, &json!("server"))
    );
    assert_eq!(served.upload(ANSWER).0, 200);
}

#[test]
fn what_the_command_says_is_told() {
    let served = serve(|_| {});
    let refused = "echo 'binscribe: there is no program in it' >&2; exit 1";
    let (status, document, _) = served.upload(refused);
    assert_eq!(status, 422);
    assert_eq!(document["error"]["code"], "unreadable");
    assert_eq!(document["error"]["message"], "there is no program in it");
    assert_eq!(document["error"]["id"].as_str().map(str::len), Some(64));
    let warned = format!("echo 'binscribe: warning: half of it' >&2; {ANSWER}");
    let (_, document, _) = served.upload(&warned);
    assert_eq!(document["warnings"], json!(["half of it"]));
}

#[test]
fn an_analysis_ends_after_its_time() {
    let served = serve(|options| options.timeout = Duration::from_secs(1));
    let (status, document, _) = served.upload(&served.long("late"));
    assert_eq!(
        (status, &document["error"]["code"]),
        (504, &json!("timeout"))
    );
    let (late, _) = process(&served.file("late"));
    wait("the process is gone", || !runs(&late));
}

#[test]
fn an_analysis_ends_with_whoever_asked() {
    let served = serve(|_| {});
    let stream = served.begin(&served.long("left"));
    let (left, _) = process(&served.file("left"));
    assert!(runs(&left));
    drop(stream);
    wait("the process is gone", || !runs(&left));
}

#[test]
fn what_is_too_much_is_refused_for_now() {
    let served = serve(|options| (options.jobs, options.queue) = (1, 0));
    let stream = served.begin(&served.long("first"));
    let (first, _) = process(&served.file("first"));
    let (status, document, response) = served.upload(ANSWER);
    assert_eq!((status, &document["error"]["code"]), (429, &json!("busy")));
    assert!(response.headers().contains_key("retry-after"));
    drop(stream);
    wait("the process is gone", || !runs(&first));
    wait("the next one is let in", || served.upload(ANSWER).0 == 200);
}

#[test]
fn what_waits_has_its_turn() {
    let served = serve(|options| (options.jobs, options.queue) = (1, 1));
    let stream = served.begin(&served.long("first"));
    process(&served.file("first"));
    let mut second = served.begin(ANSWER);
    drop(stream);
    let mut answer = [0; 12];
    second.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn one_question_is_answered_once() {
    let served = serve(|_| {});
    let count = served.file("count");
    let script = format!("echo x >> '{}'; sleep 1; {ANSWER}", count.display());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(served.upload(&script).0, 200));
        }
    });
    assert_eq!(served.upload(&script).0, 200);
    assert_eq!(fs::read_to_string(count).expect("written"), "x\n");
}

#[test]
fn the_end_leaves_nothing() {
    let mut served = serve(|_| {});
    let _stream = served.begin(&served.long("last"));
    let (last, directory) = process(&served.file("last"));
    assert!(directory.is_dir());
    served.end();
    wait("the process is gone", || !runs(&last));
    assert!(!directory.exists());
}

#[test]
fn too_large_is_said_to_whoever_still_sends() {
    let served = serve(|_| {});
    let (status, document, _) = served.upload(&"#".repeat((1 << 20) + (1 << 19)));
    assert_eq!(
        (status, &document["error"]["code"]),
        (413, &json!("too_large"))
    );
    // What just fits is taken, and the one before goes for it.
    let largest = format!("{ANSWER}\n#{}", " ".repeat((1 << 20) - 100));
    let (status, first, _) = served.upload(&largest);
    assert_eq!(status, 200);
    assert_eq!(served.upload(ANSWER).0, 200);
    let id = first["id"].as_str().expect("an id");
    let gone = ureq::get(format!("http://{}/v1/programs/{id}", served.address)).call();
    assert!(
        matches!(gone, Err(ureq::Error::StatusCode(404))),
        "{gone:?}"
    );
}

#[test]
fn what_cannot_be_safe_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bind = |address: [u8; 4], change: fn(&mut Options)| {
        let mut options = options(&directory);
        change(&mut options);
        runtime.block_on(Server::bind((address, 0).into(), options))
    };
    let error = bind([0; 4], |_| {}).expect_err("open to all");
    assert!(matches!(error, Error::Exposed { .. }));
    let error = bind([0; 4], |options| options.token = Some("short".into()));
    assert!(matches!(error, Err(Error::ShortToken { length: 5 })));
    let error = bind([127, 0, 0, 1], |options| options.max_stored = 1);
    assert!(matches!(error, Err(Error::Bounds { .. })));
    let error = bind([127, 0, 0, 1], |options| {
        options.indices = vec![("a".into(), "1/a".into()), ("a".into(), "2/a".into())];
    });
    assert!(matches!(error, Err(Error::IndexName { .. })));
    let token = |options: &mut Options| options.token = Some("0123456789abcdef".into());
    assert!(bind([0; 4], token).is_ok());
}
