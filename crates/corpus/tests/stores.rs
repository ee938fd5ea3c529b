//! Every kind of store keeps objects alike: a directory, memory, and a bucket of
//! a server that speaks S3, moto's.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of a test"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use binscribe_corpus::Store;

/// Says to this program what store to try, with credentials in its environment.
const STORE: &str = "BINSCRIBE_TEST_STORE";
/// A Python that has moto.
const PYTHON: &str = "BINSCRIBE_MOTO_PYTHON";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Objects are found by name and by folder.
fn objects_are_found(store: &Store) {
    store.put("units/b", b"one".to_vec()).unwrap();
    store.put("units/b", b"three".to_vec()).unwrap();
    store.put("units/a/c", b"two".to_vec()).unwrap();
    store.put("unit", b"".to_vec()).unwrap();
    assert_eq!(store.list("units").unwrap(), ["units/a/c", "units/b"]);
    assert_eq!(store.get("units/b").unwrap(), b"three");
    assert_eq!(store.size("units/b").unwrap(), Some(5));
    assert_eq!(store.size("units/none").unwrap(), None);
    store.delete("units/b").unwrap();
    store.delete("units/b").unwrap();
    assert!(!store.exists("units/b").unwrap());
    assert!(store.list("nothing").unwrap().is_empty());
}

#[test]
fn a_directory_and_memory_keep_objects() {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("file://{}", dir.path().display());
    for url in [file.as_str(), "memory:///"] {
        objects_are_found(&Store::open(url).unwrap());
    }
}

#[test]
#[ignore = "what the test of S3 starts, with credentials in its environment"]
fn store_process() {
    let Ok(url) = std::env::var(STORE) else {
        return;
    };
    let store = Store::open(&url).unwrap();
    objects_are_found(&store);

    let (store, start) = (&store, &Barrier::new(4));
    let first: Vec<bool> = std::thread::scope(|scope| {
        let put = |n: u8| {
            move || {
                start.wait();
                store.put_if_absent("units/raced", vec![n; 1 << 16])
            }
        };
        let writers: Vec<_> = (0..4).map(|n| scope.spawn(put(n))).collect();
        let done = writers.into_iter().map(|w| w.join().unwrap().unwrap());
        done.collect()
    });
    let winner = first.iter().position(|first| *first).unwrap();
    assert_eq!(first.iter().filter(|first| **first).count(), 1);
    let kept = store.get("units/raced").unwrap();
    assert_eq!(kept, vec![winner as u8; 1 << 16]);

    let elsewhere = Store::open("s3://no-such-bucket/x").unwrap();
    let message = elsewhere.get("units/a").unwrap_err().to_string();
    assert!(
        message.contains("s3://no-such-bucket/x/units/a"),
        "{message}"
    );
}

#[test]
fn s3_keeps_objects_as_a_directory_does() {
    let Some(python) = std::env::var_os(PYTHON) else {
        eprintln!("skipped: {PYTHON} names no Python with moto");
        return;
    };
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let server = Command::new(python)
        .args(["-m", "moto.server", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Server(server);
    let begin = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let request = "PUT /corpus HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\
                   Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_process", "--ignored", "--nocapture"])
        .env(STORE, "s3://corpus/a/folder")
        .env("AWS_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "anyone")
        .env("AWS_SECRET_ACCESS_KEY", "anything")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}
