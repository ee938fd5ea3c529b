//! `binscribe serve`, asked by an HTTP client, and its page by a browser.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use ureq::Agent;

use crate::{Binscribe, fixture, random_model};

/// A library with members.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/libsmall.a");

/// A program for another processor than is decompiled.
const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/small-aarch64");

/// A server with a temporary directory of its own.
struct Served<'a> {
    binscribe: &'a Binscribe,
    server: Child,
    url: String,
    token: Option<&'static str>,
    agent: Agent,
}

impl Binscribe {
    fn temporary(&self) -> String {
        let path = self.directory.path().join("temporary");
        fs::create_dir_all(&path).expect("made");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn random_model(&self) -> String {
        let model = self.directory.path().join("model");
        random_model::write(&model);
        model.to_str().expect("UTF-8").to_owned()
    }

    fn serve(&self, arguments: &[&str]) -> Served<'_> {
        let all = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = self.command(&all);
        command
            .env("TMPDIR", self.temporary())
            .stderr(Stdio::piped());
        let mut server = command.spawn().expect("the program runs");
        let mut said = String::new();
        let output = server.stderr.take().expect("a pipe");
        BufReader::new(output).read_line(&mut said).expect("a line");
        let url = said.trim().strip_prefix("binscribe: listening on ");
        let url = url.and_then(|url| url.strip_suffix('/'));
        let url = url.unwrap_or_else(|| panic!("{said}")).to_owned();
        let config = Agent::config_builder().http_status_as_error(false);
        Served {
            binscribe: self,
            server,
            url,
            token: None,
            agent: config.build().into(),
        }
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        // It may have been ended by the test.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Served<'_> {
    /// The status and the document that a path is answered with.
    fn get(&self, path: &str) -> (u16, Value) {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().expect("an answer");
        let body = response.body_mut().with_config().limit(1 << 30);
        let text = body.read_to_string().expect("text");
        let document = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (response.status().as_u16(), document)
    }

    fn ok(&self, path: &str) -> Value {
        let (status, document) = self.get(path);
        assert_eq!(status, 200, "{path}: {document}");
        document
    }

    /// The status, the code and the message of an error.
    fn refused(&self, path: &str) -> (u16, String, String) {
        let (status, document) = self.get(path);
        assert_eq!(document["version"], 1, "{path}: {document}");
        let text = |name: &str| document["error"][name].as_str().expect("text").to_owned();
        (status, text("code"), text("message"))
    }

    fn upload_bytes(&self, bytes: &[u8], query: &str) -> (u16, Value) {
        let url = format!("{}/v1/programs{query}", self.url);
        let request = self.agent.post(url);
        let request = request.header("content-type", "application/octet-stream");
        let mut response = request.send(bytes).expect("an answer");
        let text = response.body_mut().read_to_string().expect("text");
        let document = serde_json::from_str(&text).expect("JSON");
        (response.status().as_u16(), document)
    }

    /// The id of a program that is there now.
    fn upload(&self, path: &str) -> String {
        let (status, document) = self.upload_bytes(&fs::read(path).expect("a file"), "");
        assert_eq!(status, 200, "{document}");
        document["id"].as_str().expect("an id").to_owned()
    }

    /// What is answered to a request that no client would make, in its first line and
    /// the rest.
    fn raw(&self, head: &str) -> String {
        let address = self.url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("a connection");
        write!(stream, "{head}\r\nconnection: close\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Ends it as a terminal does, and waits for that.
    fn interrupt(&mut self) -> Option<i32> {
        let process = self.server.id().to_string();
        let sent = Command::new("kill").args(["-INT", &process]).status();
        assert!(sent.expect("kill").success());
        self.server.wait().expect("an end").code()
    }
}

/// The address of the first function that is large enough to be compared.
fn address_of(document: &Value) -> String {
    let functions = document["functions"].as_array().expect("functions");
    let large = functions
        .iter()
        .find(|function| function["size"].as_u64() > Some(40));
    let address = large.expect("a function")["address"].as_str();
    address.expect("an address").to_owned()
}

/// The document without what the server adds.
fn printed(mut document: Value) -> Value {
    let object = document.as_object_mut().expect("an object");
    for added in ["total", "next_offset", "warnings"] {
        object.shift_remove(added);
    }
    document
}

#[test]
fn answers_are_those_of_the_commands() {
    let Some((stripped, full)) = fixture() else {
        return;
    };
    let binscribe = Binscribe::new();
    let model = binscribe.random_model();
    let index = format!("{}/libraries", binscribe.directory.path().display());
    binscribe.ok(&["index", "add", &index, full, "--model", &model]);
    let served = binscribe.serve(&["--model", &model, "--index", &index]);
    let (id, other) = (served.upload(stripped), served.upload(full));

    // The command is run where the files have the names that the server gives them.
    let place = binscribe.directory.path().join("place");
    fs::create_dir(&place).expect("made");
    fs::copy(stripped, place.join(&id)).expect("copied");
    fs::copy(full, place.join(&other)).expect("copied");
    let command = |arguments: &[&str]| -> Value {
        let all = [arguments, &["--format", "json"]].concat();
        let mut command = binscribe.command(&all);
        let output = command.current_dir(&place).output().expect("run");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let functions = command(&["functions", &id]);
    let address = address_of(&functions);
    let program = format!("/v1/programs/{id}");
    let asked = [
        (format!("{program}/functions"), vec!["functions", &id]),
        (format!("{program}/explain"), vec!["explain", &id]),
        (
            format!("{program}/explain?function={address}&top=5&min_confidence=0"),
            vec![
                "explain",
                &id,
                "--function",
                &address,
                "--top=5",
                "--min-confidence=0",
            ],
        ),
        (
            format!("{program}/listing?function={address}&limit=1000"),
            vec!["listing", &id, &address],
        ),
        (
            format!("{program}/decompile?function={address}"),
            vec!["decompile", &id, &address],
        ),
        (
            format!("{program}/search?q=print%20usage&k=3"),
            vec!["search", "print usage", &id, "-k3"],
        ),
        (
            // Whatever is looked for is no option.
            format!("{program}/search?q=--help"),
            vec!["search", "--", "--help", &id],
        ),
        (
            format!("{program}/similar?function={address}"),
            vec!["similar", &id, &address],
        ),
        (
            format!("{program}/similar?function={address}&in={other}&k=2"),
            vec!["similar", &id, &address, "--in", &other, "-k2"],
        ),
        (
            format!("{program}/similar?function={address}&index=libraries"),
            vec!["similar", &id, &address, "--in", &index],
        ),
        (
            format!("{program}/classify?labels=crypto"),
            vec!["classify", &id, "--labels", "crypto"],
        ),
        (
            format!("/v1/diff?old={id}&new={other}&all=true"),
            vec!["diff", &id, &other, "--all"],
        ),
        (
            "/v1/indices/libraries/search?q=checksum".to_owned(),
            vec!["search", "checksum", &index],
        ),
    ];
    let description = served.ok("/openapi.json");
    let mut described = BTreeSet::new();
    for (path, mut arguments) in asked {
        let answer = served.ok(&path);
        described.insert(validate(&description, &path, "200", &answer));
        if !["functions", "listing", "decompile"].contains(&arguments[0]) {
            let at = arguments.iter().position(|a| *a == "--");
            let at = at.unwrap_or(arguments.len());
            arguments.splice(at..at, ["--model", &model]);
        }
        if arguments.contains(&"--") {
            // What follows it is no option, so what the harness adds goes before.
            arguments.splice(1..1, ["--format=json"]);
            let mut command = binscribe.command(&arguments);
            let output = command.current_dir(&place).output().expect("run");
            let expected: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(printed(answer), expected, "{path}");
        } else {
            assert_eq!(printed(answer), command(&arguments), "{path}");
        }
    }
    // A second time it is the same.
    let again = served.ok(&format!("{program}/functions?limit=2&offset=1"));
    assert_eq!(
        again["functions"],
        json!(functions["functions"].as_array().expect("all")[1..3])
    );
    assert_eq!(again["next_offset"], 3);

    for path in [program.as_str(), "/v1", "/healthz"] {
        described.insert(validate(&description, path, "200", &served.ok(path)));
    }
    let (_, uploaded) = served.upload_bytes(&fs::read(full).expect("a file"), "");
    assert_eq!(uploaded["binary"]["stripped"], false);
    let (status, refused) = served.upload_bytes(b"no program", "");
    assert_eq!(status, 422);
    validate(&description, &program, "422", &refused);
    // No route that answers with a document was left out.
    let paths = description["paths"].as_object().expect("paths").iter();
    let documents = paths.filter(|(path, _)| path.starts_with("/v1") || *path == "/healthz");
    let documents = documents.filter(|(_, methods)| methods.get("get").is_some());
    let documents: BTreeSet<String> = documents.map(|(path, _)| path.clone()).collect();
    assert_eq!(described, documents);

    let figures = served.get("/metrics").1;
    let figures = figures.as_str().expect("text");
    assert!(
        figures.contains("binscribe_analyses_total{command=\"functions\",outcome=\"Answered\"} 2"),
        "{figures}"
    );
    assert!(figures.contains("binscribe_programs 3\n"), "{figures}");
}

/// Holds an answer against what the description says of it, and gives the route.
/// Whatever it does not name is an error here.
fn validate(description: &Value, path: &str, status: &str, answer: &Value) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let asked: Vec<&str> = path.split('/').collect();
    let paths = description["paths"].as_object().expect("paths");
    let (route, methods) = paths
        .iter()
        .find(|(route, _)| {
            let parts: Vec<&str> = route.split('/').collect();
            let mut pairs = parts.iter().zip(&asked);
            parts.len() == asked.len()
                && pairs.all(|(part, word)| part.starts_with('{') || part == word)
        })
        .unwrap_or_else(|| panic!("{path} is not described"));
    let operation = &methods["get"];
    let resolve = |value: &Value| match value["$ref"].as_str() {
        Some(reference) => description.pointer(&reference[1..]).expect("there").clone(),
        None => value.clone(),
    };
    let parameters = operation["parameters"].as_array();
    let parameters: Vec<Value> = parameters.into_iter().flatten().map(resolve).collect();
    for (name, _) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        assert!(
            parameters.iter().any(|p| p["name"] == name),
            "{route}: {name}"
        );
    }
    let response = resolve(&operation["responses"][status]);
    let mut schema = response["content"]["application/json"]["schema"].clone();
    schema["components"] = closed(description["components"].clone());
    schema["unevaluatedProperties"] = false.into();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(answer)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{route}: {errors:#?}");
    route.clone()
}

/// The schemas of the parts of documents, without room for what they do not name.
fn closed(mut components: Value) -> Value {
    // Those of whole documents are put together with others.
    const WHOLE: [&str; 9] = [
        "Functions",
        "Explained",
        "Listing",
        "Decompiled",
        "Matches",
        "IndexMatches",
        "Versions",
        "Page",
        "Warnings",
    ];
    let schemas = components["schemas"].as_object_mut().expect("schemas");
    for (name, schema) in schemas.iter_mut() {
        if schema.get("properties").is_some() && !WHOLE.contains(&name.as_str()) {
            schema["additionalProperties"] = false.into();
        }
    }
    components
}

#[test]
fn what_is_asked_wrongly_is_told_so() {
    let Some((stripped, _)) = fixture() else {
        return;
    };
    let binscribe = Binscribe::new();
    let model = binscribe.random_model();
    let served = binscribe.serve(&["--model", &model, "--max-upload", "1"]);
    let id = served.upload(stripped);
    let unknown = "0".repeat(64);
    let long = "a".repeat(5000);
    let cases: [(&str, u16, &str); 14] = [
        (
            &format!("/v1/programs/{unknown}/functions"),
            404,
            "no_program",
        ),
        (
            "/v1/programs/..%2F..%2Fetc%2Fpasswd/functions",
            400,
            "bad_request",
        ),
        ("/v1/programs/%2Fetc%2Fpasswd/functions", 400, "bad_request"),
        ("/v1/programs/%ff/functions", 400, "bad_request"),
        (
            &format!("/v1/programs/{id}/functions?limit=0"),
            400,
            "bad_request",
        ),
        (
            &format!("/v1/programs/{id}/functions?file=%2Fetc%2Fpasswd"),
            400,
            "bad_request",
        ),
        (
            &format!("/v1/programs/{id}/functions?arch=pdp11"),
            400,
            "bad_request",
        ),
        (
            &format!("/v1/programs/{id}/listing?function=nothing"),
            404,
            "no_function",
        ),
        (
            &format!("/v1/programs/{id}/listing?function=a%00b"),
            400,
            "bad_request",
        ),
        (
            &format!("/v1/programs/{id}/search?q={long}"),
            400,
            "bad_request",
        ),
        (
            &format!("/v1/programs/{id}/classify?labels=%2Fetc%2Fpasswd"),
            400,
            "bad_request",
        ),
        (
            &format!("/v1/programs/{id}:member/functions"),
            422,
            "unreadable",
        ),
        ("/v1/indices/..%2Fmodel/search?q=x", 404, "no_index"),
        ("/nothing", 404, "no_route"),
    ];
    let description = served.ok("/openapi.json");
    let codes = &description["components"]["schemas"]["Error"]["properties"]["error"]["properties"]
        ["code"]["enum"];
    for (path, status, code) in cases {
        let refused = served.refused(path);
        assert_eq!(
            (refused.0, refused.1.as_str()),
            (status, code),
            "{path}: {}",
            refused.2
        );
        assert!(codes.as_array().expect("codes").contains(&json!(code)));
        // Where the server keeps things is nobody's business.
        assert!(!refused.2.contains("binscribe-serve-"), "{}", refused.2);
    }
    let (status, document) = served.upload_bytes(&vec![0; (1 << 20) + 1], "");
    assert_eq!(
        (status, &document["error"]["code"]),
        (413, &json!("too_large"))
    );
    let form = served.agent.post(format!("{}/v1/programs", served.url));
    let form = form.header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(form.send("--x").expect("an answer").status(), 415);
    let put = served.agent.put(format!("{}/v1/programs", served.url));
    let mut answer = put.send("").expect("an answer");
    assert_eq!(answer.status(), 405);
    let text = answer.body_mut().read_to_string().expect("text");
    assert!(text.contains("\"code\":\"method\""), "{text}");

    // What is removed is gone.
    let remove = served
        .agent
        .delete(format!("{}/v1/programs/{id}", served.url));
    assert_eq!(remove.call().expect("an answer").status(), 204);
    assert_eq!(served.refused(&format!("/v1/programs/{id}")).0, 404);
}

#[test]
fn packages_and_raw_images_are_read_too() {
    let binscribe = Binscribe::new();
    let model = binscribe.random_model();
    let served = binscribe.serve(&["--model", &model]);
    let (status, document) = served.upload_bytes(&fs::read(PACKAGE).expect("a file"), "");
    assert_eq!(
        (status, &document["error"]["code"]),
        (422, &json!("unreadable"))
    );
    let message = document["error"]["message"].as_str().expect("text");
    assert!(message.contains("name one of its members"), "{message}");
    let id = document["error"]["id"].as_str().expect("an id");
    let listed = binscribe.fails(&["functions", PACKAGE]);
    let member = listed
        .split(&format!("{PACKAGE}:"))
        .nth(1)
        .expect("a member");
    let member = member.split(';').next().expect("its name");
    let document = served.ok(&format!("/v1/programs/{id}:{member}/functions"));
    let path = document["binary"]["path"].as_str();
    assert_eq!(path, Some(format!("{id}:{member}").as_str()));

    let image = [0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3].repeat(20);
    let (status, document) = served.upload_bytes(&image, "?arch=x86-64&base=0x1000");
    assert_eq!(status, 200, "{document}");
    assert_eq!(document["binary"]["image_base"], "0x1000");
    let id = document["id"].as_str().expect("an id");
    let raw = "arch=x86-64&base=0x1000";
    let path = format!("/v1/programs/{id}/decompile?function=0x1000&{raw}");
    let code = served.ok(&path)["code"].clone();
    assert!(
        code.as_str().is_some_and(|c| c.contains("sub_1000")),
        "{code}"
    );
}

#[test]
fn what_cannot_be_decompiled_is_told_so() {
    let binscribe = Binscribe::new();
    let served = binscribe.serve(&["--model", &binscribe.random_model()]);
    let id = served.upload(OTHER);
    let path = format!("/v1/programs/{id}/decompile?function=main");
    let (status, document) = served.get(&path);
    assert_eq!(status, 422);
    validate(&served.ok("/openapi.json"), &path, "422", &document);
    let said = binscribe.fails(&["decompile", OTHER, "main"]);
    let message = document["error"]["message"].as_str().expect("text");
    assert_eq!(said.trim_end(), format!("binscribe: {message}"));
    assert_eq!(document["error"]["code"], "unreadable");
}

#[test]
fn other_sites_and_names_are_refused() {
    let binscribe = Binscribe::new();
    let model = binscribe.random_model();
    let served = binscribe.serve(&["--model", &model]);
    let status = |head: &str| -> u16 {
        let answer = served.raw(head);
        answer[9..12].parse().expect("a status")
    };
    let host = "host: localhost:1";
    let upload = format!("POST /v1/programs HTTP/1.1\r\n{host}\r\ncontent-length: 0");
    for (head, expected) in [
        (format!("GET /v1 HTTP/1.1\r\n{host}"), 200),
        ("GET /v1 HTTP/1.1\r\nhost: 127.0.0.1".to_owned(), 200),
        ("GET /v1 HTTP/1.1\r\nhost: [::1]:80".to_owned(), 200),
        // A name of somebody else that was made to mean this machine.
        ("GET /v1 HTTP/1.1\r\nhost: evil.example".to_owned(), 421),
        (
            "GET / HTTP/1.1\r\nhost: localhost.evil.example".to_owned(),
            421,
        ),
        (
            format!("GET http://evil.example/v1 HTTP/1.1\r\n{host}"),
            421,
        ),
        ("GET /v1 HTTP/1.0".to_owned(), 400),
        (format!("{upload}\r\norigin: http://evil.example"), 403),
        (format!("{upload}\r\norigin: null"), 403),
        (format!("{upload}\r\norigin: http://localhost:2"), 403),
        (format!("{upload}\r\nsec-fetch-site: cross-site"), 403),
        (format!("{upload}\r\nsec-fetch-site: same-site"), 403),
        (
            format!("{upload}\r\norigin: http://localhost:1\r\nsec-fetch-site: same-origin"),
            422,
        ),
        (
            format!("GET /v1 HTTP/1.1\r\n{host}\r\nsec-fetch-site: cross-site"),
            403,
        ),
        // A link to the page.
        (
            format!("GET / HTTP/1.1\r\n{host}\r\nsec-fetch-site: cross-site"),
            200,
        ),
    ] {
        assert_eq!(status(&head), expected, "{head}");
    }
    let page = served
        .raw(&format!("GET / HTTP/1.1\r\n{host}"))
        .to_lowercase();
    for said in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("access-control"), "{page}");
    assert!(
        !page.contains("<script>") && !page.contains(" style="),
        "{page}"
    );
}

#[test]
fn a_token_is_asked_for() {
    const TOKEN: &str = "correct horse battery staple";
    let binscribe = Binscribe::new();
    let model = binscribe.random_model();
    let file = binscribe.file("token", format!("{TOKEN}\n").as_bytes());
    let everywhere = ["serve", "--listen", "0.0.0.0:0", "--model", &model];
    let said = binscribe.fails(&everywhere);
    assert!(said.contains("--token-file"), "{said}");
    let short = binscribe.file("short", b"1234\n");
    let said = binscribe.fails(&[&everywhere[..], &["--token-file", &short]].concat());
    assert!(said.contains("at least 16"), "{said}");

    let mut served = binscribe.serve(&["--model", &model, "--token-file", &file]);
    for path in ["/v1", "/metrics", "/v1/diff"] {
        assert_eq!(served.refused(path).1, "token", "{path}");
    }
    for path in ["/", "/page.js", "/healthz", "/openapi.json"] {
        assert_eq!(served.get(path).0, 200, "{path}");
    }
    let answer = served.raw("GET /v1 HTTP/1.1\r\nhost: localhost");
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    served.token = Some("correct horse battery stapl");
    assert_eq!(served.get("/v1").0, 401);
    served.token = Some(TOKEN);
    assert_eq!(served.get("/v1").0, 200);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let Some((stripped, _)) = fixture() else {
        return;
    };
    let binscribe = Binscribe::new();
    let model = binscribe.random_model();
    let mut served = binscribe.serve(&["--model", &model]);
    let id = served.upload(stripped);
    served.ok(&format!("/v1/programs/{id}/explain"));
    let temporary = served.binscribe.temporary();
    let left = || fs::read_dir(&temporary).expect("a directory").count();
    assert_eq!(left(), 1);
    assert_eq!(served.interrupt(), Some(0));
    assert_eq!(left(), 0);
    // Nor in the caches of whoever runs it.
    assert!(!binscribe.directory.path().join("cache").exists());
}

/// A program with very many functions, the first of which has a name, and a string,
/// that would act on a page that took them for markup.
fn hostile(binscribe: &Binscribe) -> Option<String> {
    // The reader makes spaces of a name into other marks; markup can do without.
    const MARKUP: &str = "<img/src=x/onerror=document.title=1>";
    let mut text = String::from(".text\n");
    let mut function = |name: &str, body: &str| {
        let _ = write!(
            text,
            ".type \"{name}\", @function\n\"{name}\":\n{body}\n\
             .size \"{name}\", . - \"{name}\"\n"
        );
    };
    function(
        MARKUP,
        "leaq words(%rip), %rdi\nxorl %eax, %eax\naddl $7, %eax\ncall other\nincl %eax\nret",
    );
    function(
        "other",
        "movl %edi, %eax\nimull $3, %eax\nxorl $5, %eax\naddl $9, %eax\nret",
    );
    for number in 0..12_000 {
        function(
            &format!("many_{number}"),
            "movl %edi, %eax\nnegl %eax\nsubl $4, %eax\nnotl %eax\nret",
        );
    }
    let _ = write!(
        text,
        ".section .rodata\nwords: .string \"<script>document.title=2</script>\"\n"
    );
    let source = binscribe.file("hostile.s", text.as_bytes());
    let program = source.replace(".s", "<b>.so");
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-shared", "-nostdlib", "-o", &program, &source]);
    let built = built.output().is_ok_and(|output| output.status.success());
    built.then_some(program)
}

/// `BINSCRIBE_BROWSER_PYTHON` is a Python with Playwright, beside a Chromium; `cargo
/// xtask test` installs both, and fails where it cannot.
#[test]
#[allow(clippy::print_stderr)]
fn people_use_the_page() {
    let binscribe = Binscribe::new();
    let (Some((stripped, _)), Some(hostile)) = (fixture(), hostile(&binscribe)) else {
        return;
    };
    let Some(python) = std::env::var_os("BINSCRIBE_BROWSER_PYTHON") else {
        eprintln!("no BINSCRIBE_BROWSER_PYTHON: the test of the page is skipped");
        return;
    };
    let model = binscribe.random_model();
    let file = binscribe.file("token", b"correct horse battery staple");
    let served = binscribe.serve(&["--model", &model, "--token-file", &file]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/browse.py");
    let mut browser = Command::new(python);
    let browser = browser
        .arg(script)
        .args([&served.url, &hostile, PACKAGE, stripped, OTHER]);
    let output = browser.output().expect("Python");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen["problems"], json!([]), "{seen:#}");

    // What the file says is text.
    assert_eq!(seen["name"], "<img/src=x/onerror=document.title=1>");
    assert!(
        seen["strings"]
            .as_str()
            .is_some_and(|s| s.contains("<script>document.title=2</script>")),
        "{seen:#}"
    );
    assert_eq!(seen["markup"], 0);
    assert_eq!(seen["title"], "hostile<b>.so – binscribe");

    assert_eq!(seen["refused without a token"], true);
    assert_eq!(seen["rows"], 100);
    assert_eq!(seen["count"], "12,002 functions");
    assert_eq!(seen["last page"], "12,001 to 12,002");
    assert_eq!(seen["filtered"], "1 of 12,002 functions");
    assert_eq!(seen["largest"], "<img/src=x/onerror=document.title=1>");
    assert_eq!(seen["found"], 20);
    assert!(
        seen["listing"].as_str().is_some_and(|l| l.contains("imul")),
        "{seen:#}"
    );
    assert_eq!(seen["C before it is wanted"], 0);
    assert!(
        seen["C"].as_str().is_some_and(|c| c.contains("* 3")),
        "{seen:#}"
    );
    assert_eq!(seen["assembly beside C"], false);
    // A string of the code stays one, and what it calls is a link.
    assert!(
        seen["C of the caller"]
            .as_str()
            .is_some_and(|c| c.contains("\"<script>document.title=2</script>\"")),
        "{seen:#}"
    );
    assert_eq!(seen["links"], 1);
    assert!(
        seen["address after a link"]
            .as_str()
            .is_some_and(|address| address.starts_with("0x")),
        "{seen:#}"
    );
    assert_eq!(
        seen["not decompiled"],
        "Only code of x86-64 can be decompiled, and this is aarch64."
    );
    assert!(seen["similar"].as_u64() > Some(0), "{seen:#}");
    assert_eq!(seen["caller"], "<img/src=x/onerror=document.title=1>");
    assert_eq!(seen["closed by a key"], true);
    assert_eq!(seen["after loading again"], "hostile<b>.so");
    let error = seen["error"].as_str().expect("text");
    assert!(
        error.to_lowercase().contains("not") && error.contains("ELF"),
        "{error}"
    );
    let member = seen["member"].as_str().expect("text");
    assert!(member.starts_with("libsmall.a:"), "{member}");
    assert_eq!(seen["second"], "stripped");
}
