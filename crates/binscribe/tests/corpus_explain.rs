//! `corpus explain`, `export` and `review`: the real program against a server
//! that speaks the chat interface over a real socket. What a paid model would
//! say is made up; how it is said on the wire is not.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use binscribe_corpus::explain::{Explanations, Origin};
use binscribe_corpus::{Row, write_rows};
use serde_json::{Value, json};

use super::Binscribe;

/// What the server does with a request.
enum Act {
    /// Answers with this content, as OpenAI does.
    Say(String),
    /// Answers with this status, header lines and body.
    Raw(&'static str, &'static str, String),
    /// Answers nothing, until the client has gone.
    Hold,
}

/// A request as it came.
#[derive(Clone)]
struct Asked {
    at: Instant,
    head: String,
    body: Value,
}

impl Asked {
    fn user(&self) -> &str {
        self.body["messages"][1]["content"]
            .as_str()
            .expect("a text")
    }
}

struct ChatServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The user messages that were answered with a text, to the last byte.
    answered: Arc<Mutex<Vec<String>>>,
}

/// Tokens that every answer is said to have cost.
const PROMPT_TOKENS: u64 = 120;
const ANSWER_TOKENS: u64 = 30;

impl ChatServer {
    /// Serves `act`, which is given how many requests had this very user message
    /// before, and the request.
    fn start(act: impl Fn(usize, &Asked) -> Act + Send + Sync + 'static) -> ChatServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let server = ChatServer {
            address: listener.local_addr().expect("an address"),
            asked: Arc::default(),
            answered: Arc::default(),
        };
        let act = Arc::new(act);
        let (asked, answered) = (server.asked.clone(), server.answered.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, asked, answered) = (act.clone(), asked.clone(), answered.clone());
                std::thread::spawn(move || {
                    // A client that was killed is part of the tests.
                    let _ = converse(stream, &*act, &asked, &answered);
                });
            }
        });
        server
    }

    fn base(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }

    /// How often a text that holds `part` was asked about.
    fn count(&self, part: &str) -> usize {
        self.asked()
            .iter()
            .filter(|a| a.user().contains(part))
            .count()
    }
}

fn converse(
    stream: TcpStream,
    act: &dyn Fn(usize, &Asked) -> Act,
    asked: &Mutex<Vec<Asked>>,
    answered: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head
            .lines()
            .find_map(|l| {
                l.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = Asked {
            at: Instant::now(),
            head,
            body: serde_json::from_slice(&body).expect("JSON"),
        };
        let before = {
            let mut asked = asked.lock().expect("a lock");
            let same = asked.iter().filter(|a| a.user() == request.user());
            let before = same.count();
            asked.push(request.clone());
            before
        };
        let (status, headers, body) = match act(before, &request) {
            Act::Say(text) => ("200 OK", "", completion(&request, &text)),
            Act::Raw(status, headers, body) => (status, headers, body),
            Act::Hold => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
        };
        write!(
            writer,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        writer.flush()?;
        if status == "200 OK" {
            let user = request.user().to_owned();
            answered.lock().expect("a lock").push(user);
        }
    }
}

fn completion(request: &Asked, text: &str) -> String {
    json!({
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.body["model"],
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": text },
            "logprobs": null,
            "finish_reason": "stop"
        }],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": ANSWER_TOKENS,
            "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS
        }
    })
    .to_string()
}

/// A model that says which function it saw.
fn say(request: &Asked) -> Act {
    let name = request.user().split("int ").nth(1).unwrap_or_default();
    let name = name.split('(').next().unwrap_or_default();
    Act::Say(format!("It gives the number of {name}. Tags: {name}"))
}

fn row(package: &str, name: &str, level: &str, comment: Option<&str>) -> Row {
    Row {
        package: package.into(),
        split: if package == "lib" { "train" } else { "test" }.into(),
        level: level.into(),
        name: name.into(),
        file: format!("src/{name}.c"),
        listing: "mov     eax, 1\nretn".into(),
        source: format!("int {name}(void)\n{{\n\treturn 1;\n}}"),
        comment: comment.map(str::to_owned),
        source_hash: format!("hash-of-{name}"),
        function_id: format!("{package}-{name}"),
        ..Row::default()
    }
}

/// A corpus of `count` functions at two levels each, the first with a comment.
fn corpus(binscribe: &Binscribe, count: usize) -> String {
    let dir = binscribe.directory.path().join("corpus");
    std::fs::create_dir_all(dir.join("rows")).expect("a directory");
    let comment = |i: usize| (i == 0).then_some("Returns the number one, whatever it is given.");
    let rows: Vec<Row> = (0..count)
        .flat_map(|i| ["O0", "O2"].map(|l| row("lib", &format!("f{i:02}"), l, comment(i))))
        .collect();
    write_rows(&dir.join("rows/lib.parquet"), &rows).expect("written");
    dir.to_str().expect("UTF-8").to_owned()
}

fn teacher<'a>(corpus: &'a str, base: &'a str) -> Vec<&'a str> {
    vec![
        "corpus",
        "explain",
        "--corpus",
        corpus,
        "--teacher",
        base,
        "--teacher-model",
        "big:8b",
    ]
}

fn texts(corpus: &str, count: usize) -> BTreeMap<String, String> {
    let all = Explanations::read(Path::new(corpus)).expect("explanations");
    let origin = Origin::Teacher("big:8b".into());
    (0..count)
        .filter_map(|i| {
            let of = all.of(&format!("hash-of-f{i:02}")).iter();
            let text = of.filter(|e| e.origin == origin).map(|e| e.text.clone());
            let mut text: Vec<String> = text.collect();
            assert!(text.len() <= 1, "one explanation of each body and origin");
            Some((format!("f{i:02}"), text.pop()?))
        })
        .collect()
}

#[test]
fn a_teacher_is_asked_once_about_each_body() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 6);
    let server = ChatServer::start(|_, request| say(request));
    let base = server.base();
    let mut command = binscribe.command(&teacher(&corpus, &base));
    command
        .args(["--format", "json"])
        // Of nobody: a server on this machine is asked without it.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("BINSCRIBE_TEACHER_KEY", "sk-test");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("sk-test"));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(document["version"], 1);
    assert_eq!(document["docs"], json!({ "explanations": 1, "useful": 1 }));
    let model = &document["models"][0];
    assert_eq!(model["origin"], "teacher:big:8b");
    assert_eq!(
        (&model["explained"], &model["requests"]),
        (&json!(6), &json!(6))
    );
    assert_eq!(model["tokens"], 6 * (PROMPT_TOKENS + ANSWER_TOKENS));

    let asked = server.asked();
    assert_eq!(asked.len(), 6, "twelve rows are six bodies");
    let first = &asked[0];
    assert!(
        first
            .head
            .starts_with("POST /v1/chat/completions HTTP/1.1\r\n")
    );
    assert!(
        first
            .head
            .to_lowercase()
            .contains("authorization: bearer sk-test\r\n")
    );
    assert_eq!(first.body["model"], "big:8b");
    assert_eq!(first.body["max_tokens"], 400);
    let system = first.body["messages"][0]["content"]
        .as_str()
        .expect("a text");
    assert!(system.starts_with("Explain the purpose of each function in the given code snippet"));
    assert!(first.user().starts_with("```c\nint f"), "{}", first.user());
    assert_eq!(
        texts(&corpus, 6)["f03"],
        "It gives the number of f03. Tags: f03"
    );

    // The same again costs nothing and changes no byte.
    let file = || {
        let files = std::fs::read_dir(Path::new(&corpus).join("explanations")).expect("files");
        let files = files.flatten().map(|f| f.path());
        let files = files.filter(|p| p.extension().is_some_and(|e| e == "parquet"));
        files
            .map(|p| (p.clone(), std::fs::read(p).expect("a file")))
            .collect::<BTreeMap<_, _>>()
    };
    let before = file();
    let document = binscribe.json(&teacher(&corpus, &base));
    assert_eq!(document["models"][0]["requests"], 0);
    assert_eq!(server.asked().len(), 6);
    assert_eq!(file(), before);
}

#[test]
fn a_dry_run_asks_nothing() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 6);
    let server = ChatServer::start(|_, request| say(request));
    let base = server.base();
    let dry = [
        teacher(&corpus, &base),
        vec!["--dry-run", "--sample", "4", "--batch", "3"],
    ]
    .concat();
    let document = binscribe.json(&dry);
    let plan = &document["models"][0];
    assert_eq!(
        (&plan["functions"], &plan["requests"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(plan["answer_tokens"], 1600);
    assert!(
        plan["question_tokens"]
            .as_u64()
            .is_some_and(|n| (200..2000).contains(&n))
    );
    let text = binscribe.ok(&dry);
    assert!(text.contains("[system]\nExplain the purpose"), "{text}");
    assert!(text.contains("### 1\n```c\nint f"), "{text}");
    assert!(server.asked().is_empty());
}

#[test]
fn troubles_of_a_server_are_waited_out() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 7);
    let server = ChatServer::start(|before, request| {
        let about = |name: &str| request.user().contains(name) && before == 0;
        if about("f00") {
            let body = r#"{"error":{"message":"Rate limit reached","type":"requests"}}"#;
            Act::Raw("429 Too Many Requests", "Retry-After: 1\r\n", body.into())
        } else if about("f01") {
            Act::Raw("500 Internal Server Error", "", "oops".into())
        } else if about("f02") {
            Act::Raw("200 OK", "", "{\"choices\": [{\"mess".into())
        } else if about("f03") {
            // Longer than the client waits.
            Act::Hold
        } else if request.user().contains("f04") {
            let body = r#"{"error":{"message":"This model's maximum context length is 8"}}"#;
            Act::Raw("400 Bad Request", "", body.into())
        } else if request.user().contains("f05") {
            Act::Say("I'm sorry, but I can't assist with that.".into())
        } else {
            say(request)
        }
    });
    let base = server.base();
    let mut arguments = teacher(&corpus, &base);
    arguments.extend(["--timeout", "2", "--tries", "3", "--format", "json"]);
    let output = binscribe.run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("lib/f04: status 400: This model's maximum context length"),
        "{said}"
    );
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let model = &document["models"][0];
    let number = |name: &str| model[name].as_u64().expect("a number");
    assert_eq!(
        (number("explained"), number("declined"), number("failed")),
        (5, 1, 1)
    );
    // Two answers were lost, and count as the longest that they could have been.
    let heard = 6 * (PROMPT_TOKENS + ANSWER_TOKENS);
    assert!(number("tokens") > heard + 2 * 400, "{model}");

    for (name, times) in [
        ("f00", 2),
        ("f01", 2),
        ("f02", 2),
        ("f03", 2),
        ("f04", 1),
        ("f05", 1),
    ] {
        assert_eq!(server.count(name), times, "{name}");
    }
    let asked = server.asked();
    let of: Vec<_> = asked.iter().filter(|a| a.user().contains("f00")).collect();
    assert!(
        of[1].at - of[0].at >= Duration::from_secs(1),
        "it waited as it was told"
    );
    assert_eq!(texts(&corpus, 7).len(), 5);
}

#[test]
fn a_killed_run_has_lost_nothing_and_asks_nothing_twice() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 20);
    // After seven answers it holds all others back: once both connections are
    // held, the client has put every answer that it got on disk.
    let server = ChatServer::start({
        let count = Mutex::new(0);
        move |_, request| {
            let mut count = count.lock().expect("a lock");
            *count += 1;
            if (8..=9).contains(&*count) {
                Act::Hold
            } else {
                say(request)
            }
        }
    });
    let base = server.base();
    let mut arguments = teacher(&corpus, &base);
    arguments.extend(["--parallel", "2"]);
    let mut child = Killed(
        binscribe
            .command(&arguments)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs"),
    );
    while server.asked().len() < 9 {
        assert!(
            child.0.try_wait().expect("a status").is_none(),
            "it goes on"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child.0.kill().expect("SIGKILL");
    child.0.wait().expect("its end");
    let paid = server.answered.lock().expect("a lock").clone();
    assert_eq!(paid.len(), 7);

    let document = binscribe.json(&arguments);
    let model = &document["models"][0];
    assert_eq!(
        (&model["explained"], &model["requests"]),
        (&json!(20), &json!(13))
    );
    let answered = server.answered.lock().expect("a lock").clone();
    let distinct: std::collections::BTreeSet<_> = answered.iter().collect();
    assert_eq!(
        (answered.len(), distinct.len()),
        (20, 20),
        "none was paid twice"
    );
    assert_eq!(texts(&corpus, 20).len(), 20);
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_budget_is_kept_over_all_runs() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 30);
    let server = ChatServer::start(|_, request| say(request));
    let base = server.base();
    let run = |budget: &[&str]| {
        let document = binscribe.json(&[&teacher(&corpus, &base)[..], budget].concat());
        document["models"][0].clone()
    };
    let spent = || server.asked().len() as u64 * (PROMPT_TOKENS + ANSWER_TOKENS);

    let model = run(&["--budget-tokens", "3500"]);
    assert_eq!(model["over_budget"], true);
    assert!((1500..=3500).contains(&spent()), "{}", spent());
    assert_eq!(model["tokens_in_all"], spent());
    let asked = server.asked().len();
    assert_eq!(model["left"], 30 - asked);
    let again = run(&["--budget-tokens", "3500"]);
    assert_eq!(
        (&again["requests"], server.asked().len()),
        (&json!(0), asked)
    );

    // 1 for a million of questions, 2 of answers: 0.00018 for each function.
    let model = run(&["--budget-cost", "0.0055", "--price", "1,2"]);
    let cost = server.asked().len() as f64 * 0.00018;
    assert!(cost <= 0.0055 && model["over_budget"] == true, "{cost}");
    let model = run(&[]);
    assert_eq!(
        (&model["explained"], &model["left"]),
        (&json!(30), &json!(0))
    );
    assert_eq!(server.asked().len(), 30, "nothing was asked twice");
}

#[test]
fn what_a_batch_leaves_out_is_asked_alone() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 5);
    let server = ChatServer::start(|_, request| match request.user().matches("int f").count() {
        1 => say(request),
        n => Act::Say(
            (1..n)
                .map(|i| format!("### {i}\nIt is number {i} of them.\n\n"))
                .collect(),
        ),
    });
    let base = server.base();
    let mut arguments = teacher(&corpus, &base);
    arguments.extend(["--batch", "3", "--parallel", "1"]);
    let model = binscribe.json(&arguments)["models"][0].clone();
    // Three and two; the last of each is missing and asked for again.
    assert_eq!(
        (&model["explained"], &model["requests"]),
        (&json!(5), &json!(4))
    );
    assert_eq!(model["tokens"], 4 * (PROMPT_TOKENS + ANSWER_TOKENS));
    let texts = texts(&corpus, 5);
    assert_eq!(texts.values().filter(|t| t.contains("of them")).count(), 3);
    // Whatever the batches: each function is known.
    let again = binscribe.json(&teacher(&corpus, &base));
    assert_eq!(again["models"][0]["requests"], 0);
}

#[test]
fn a_shadow_explains_what_the_teacher_did_not() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 6);
    let server = ChatServer::start(|_, request| say(request));
    let base = server.base();
    binscribe.json(&[teacher(&corpus, &base), vec!["--sample", "2"]].concat());
    let shadow = [
        "corpus",
        "explain",
        "--corpus",
        &corpus,
        "--shadow",
        &base,
        "--shadow-model",
        "s",
    ];
    let model = binscribe.json(&shadow)["models"][0].clone();
    assert_eq!(model["origin"], "shadow:s");
    assert_eq!(
        (&model["functions"], &model["requests"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(server.asked().len(), 6);
}

#[test]
fn a_wrong_address_key_or_name_is_told_at_once() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 6);
    let last = |said: &[u8]| {
        let said = String::from_utf8_lossy(said);
        said.lines().last().unwrap_or_default().to_owned()
    };
    let free = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let nobody = format!("http://{}/v1", free.local_addr().expect("an address"));
    drop(free);
    let output = binscribe.run(&teacher(&corpus, &nobody));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        last(&output.stderr).contains("refused"),
        "{}",
        last(&output.stderr)
    );

    let server = ChatServer::start(|_, _| {
        let body = r#"{"error":{"message":"Incorrect API key provided"}}"#;
        Act::Raw("401 Unauthorized", "", body.into())
    });
    let base = server.base();
    let output = binscribe.run(&[teacher(&corpus, &base), vec!["--parallel", "1"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = last(&output.stderr);
    assert!(
        said.contains("teacher:big:8b: status 401: Incorrect API key provided"),
        "{said}"
    );
    assert_eq!(server.asked().len(), 1);

    let said = binscribe.fails(&["corpus", "explain", "--corpus", "/nowhere"]);
    assert!(said.contains("binscribe corpus build"), "{said}");
    let kept = binscribe.file("kept.jsonl", b"precious");
    let export = ["corpus", "export", "--chat", &kept, "--corpus", &corpus];
    let said = binscribe.fails(&[&export[..], &["--origins", "shadow"]].concat());
    assert!(said.contains("--origins"), "{said}");
    assert_eq!(std::fs::read(&kept).expect("a file"), b"precious");
}

#[test]
fn pairs_are_exported_for_fine_tuning() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 4);
    let rows = [row("other", "tested", "O2", None)];
    write_rows(&Path::new(&corpus).join("rows/other.parquet"), &rows).expect("written");
    let server = ChatServer::start(|_, request| say(request));
    let base = server.base();
    binscribe.json(&teacher(&corpus, &base));
    let out = binscribe.file("out.jsonl", b"");
    let document = binscribe.json(&["corpus", "export", "--corpus", &corpus, "--chat", &out]);
    assert_eq!(
        (&document["pairs"], &document["without"]),
        (&json!(4), &json!(0))
    );
    let text = std::fs::read_to_string(&out).expect("a file");
    assert_eq!(text.lines().count(), 4, "each body once");
    assert!(!text.contains("tested"), "nothing of the test split");
    let asked = server.asked();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let same = |a: &&Asked| a.body["messages"][1] == line["messages"][1];
        let asked = asked.iter().find(same).expect("what the teacher was asked");
        assert_eq!(asked.body["messages"][0], line["messages"][0]);
        assert_eq!(line["messages"][2]["role"], "assistant");
    }
    let document = binscribe.json(&["corpus", "export", "--corpus", &corpus, "--clap", &out]);
    assert_eq!(document["pairs"], 8, "each row");
}

#[test]
fn a_person_rates_on_a_terminal() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 3);
    let server =
        ChatServer::start(|_, _| Act::Say("It clears \u{1b}[2J the screen </script>.".into()));
    let base = server.base();
    binscribe.json(&teacher(&corpus, &base));
    let review = [
        "corpus",
        "review",
        "--corpus",
        &corpus,
        "--hide-origin",
        "--origins",
        "teacher",
    ];
    let rate = |input: &str| {
        let mut child = binscribe
            .command(&review)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = rate("9\nl\nf\n4 clear enough\n2\nq\n");
    assert!(
        text.contains("        return 1;") && text.contains("retn"),
        "{text}"
    );
    assert!(!text.contains("teacher"), "the origin is hidden: {text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(text.contains("--- 3 of 3"), "{text}");
    let text = rate("");
    assert!(
        text.contains("--- 3 of 3") && !text.contains("--- 2 of 3"),
        "it goes on: {text}"
    );

    let document = binscribe.json(&["corpus", "review", "--corpus", &corpus, "--summary"]);
    let origin = &document["origins"][0];
    assert_eq!(
        (&origin["count"], &origin["mean"]),
        (&json!(2), &json!(3.0))
    );
    let kept = std::fs::read_to_string(Path::new(&corpus).join("review.jsonl")).expect("a file");
    assert!(kept.contains("\"note\":\"clear enough\""), "{kept}");
}

#[test]
fn a_person_rates_in_a_browser() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 2);
    let mut hostile = row(
        "evil",
        "evil",
        "O2",
        Some("Runs </script><img src=x onerror=alert(1)> of it."),
    );
    hostile.source =
        "int evil() {\n/* </pre></script><script>alert(1)</script> \u{1b}[31m */\n}".into();
    write_rows(&Path::new(&corpus).join("rows/evil.parquet"), &[hostile]).expect("written");
    binscribe.ok(&["corpus", "explain", "--corpus", &corpus]);
    let review = |address: &str| {
        let mut command = binscribe.command(&["corpus", "review", "--corpus", &corpus, "--serve"]);
        command.args([address, "--packages", "evil"]);
        command
    };
    let refused = review("0.0.0.0:0").output().expect("it runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--public"));

    let mut child = Killed(
        review("127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs"),
    );
    let mut said = String::new();
    let stderr = child.0.stderr.take().expect("a pipe");
    BufReader::new(stderr).read_line(&mut said).expect("a line");
    let url = said
        .split_whitespace()
        .find(|w| w.starts_with("http://"))
        .expect("an address");
    let (host, path) = url["http://".len()..].split_once('/').expect("a path");
    let send = |method: &str, path: &str, headers: &str, body: &str| {
        let mut stream = TcpStream::connect(host).expect("a connection");
        let length = body.len();
        write!(
            stream,
            "{method} /{path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    let own = format!("Host: {host}\r\n");

    let page = send("GET", path, &own, "");
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "only our own: {page}");
    assert_eq!(page.matches("</script>").count(), 1, "{page}");
    assert!(
        page.contains("&lt;img src=x onerror=alert(1)&gt;"),
        "{page}"
    );
    assert!(
        page.contains("\\x1b[31m") && !page.contains('\u{1b}'),
        "{page}"
    );
    assert!(
        page.contains("Content-Security-Policy: default-src 'none'"),
        "{page}"
    );
    let listing = send("GET", &format!("{path}listing/0"), &own, "");
    assert!(
        listing.contains("text/plain") && listing.contains("retn"),
        "{listing}"
    );

    let score = "pair=0&note=so+so%21&score=3";
    for (method, path, headers) in [
        ("GET", "", own.clone()),
        ("POST", "0123/", own.clone()),
        ("POST", path, format!("{own}Origin: http://example.com\r\n")),
        ("POST", path, "Host: rebound.example.com\r\n".to_owned()),
    ] {
        let answer = send(
            method,
            path,
            &headers,
            if method == "POST" { score } else { "" },
        );
        assert!(
            answer.starts_with("HTTP/1.1 40"),
            "{method} {path} {headers}: {answer}"
        );
    }
    let kept = Path::new(&corpus).join("review.jsonl");
    assert!(!kept.exists(), "no stranger has scored");
    let answer = send(
        "POST",
        path,
        &format!("{own}Origin: http://{host}\r\n"),
        score,
    );
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let kept = std::fs::read_to_string(kept).expect("a file");
    assert!(
        kept.contains("\"score\":3") && kept.contains("\"note\":\"so so!\""),
        "{kept}"
    );
    let page = send("GET", path, &own, "");
    assert!(page.contains("rated or skipped"), "{page}");
}

#[test]
fn ctrl_c_keeps_what_was_answered() {
    let binscribe = Binscribe::new();
    let corpus = corpus(&binscribe, 8);
    let server = ChatServer::start({
        let count = Mutex::new(0);
        move |_, request| {
            let mut count = count.lock().expect("a lock");
            *count += 1;
            // The fourth is slow: Ctrl-C comes while it is thought about.
            if *count == 4 {
                std::thread::sleep(Duration::from_secs(1));
            }
            say(request)
        }
    });
    let base = server.base();
    let child = binscribe
        .command(
            &[
                &teacher(&corpus, &base)[..],
                &["--parallel", "1", "--format", "json"],
            ]
            .concat(),
        )
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    while server.asked().len() < 4 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let model = &document["models"][0];
    assert_eq!(
        (&model["stopped"], &model["left"]),
        (&json!(true), &json!(4))
    );
    assert_eq!(texts(&corpus, 8).len(), 4, "the slow one too");
}
