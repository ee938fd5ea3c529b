//! CLAP's models as model directories: from a directory and from the Hub, and
//! what the commands do with them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Binscribe, fixture, random_model};

const COMMIT: &str = "620f4beba2edce172e8f35e263399716494950c9";

/// A hub of models: what the Hugging Face Hub answers to those who ask for a
/// file or what there is, as its own clients expect it. A repository of `hustcw` is a
/// folder of `root`.
fn hub(root: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || while serve(&connection, &root).is_some() {});
        }
    });
    format!("http://{address}")
}

/// Answers one request; `None` when there are no more.
fn serve(mut connection: &TcpStream, root: &Path) -> Option<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).expect("text").to_lowercase();
    let path = request.split_whitespace().nth(1).expect("a path");
    // /owner/model/resolve/revision/file
    let parts: Vec<&str> = path.split('/').collect();
    let file = match parts[..] {
        ["", "hustcw", model, "resolve", "main" | COMMIT, file] => root.join(model).join(file),
        ["", "api", "models", "hustcw", model, "revision", "main"] => {
            return tell(connection, &root.join(model));
        }
        _ => root.join("nothing"),
    };
    let Ok(bytes) = std::fs::read(&file) else {
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        return connection.write_all(answer.as_bytes()).ok();
    };
    let range = request
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="))
        .expect("it asks for a part");
    let (from, to) = range.trim().split_once('-').expect("a range");
    let from: usize = from.parse().expect("a number");
    let to = to.parse().map_or(bytes.len(), |to: usize| to + 1);
    let header = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\n\
         content-range: bytes {from}-{}/{}\r\netag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n\r\n",
        to - from,
        to - 1,
        bytes.len(),
        blake3::hash(&bytes).to_hex(),
    );
    connection.write_all(header.as_bytes()).ok()?;
    connection.write_all(&bytes[from..to]).ok()
}

/// Tells what files a repository has.
fn tell(mut connection: &TcpStream, folder: &Path) -> Option<()> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let siblings: Vec<_> = names.map(|name| json!({"rfilename": name})).collect();
    let text = json!({"sha": COMMIT, "siblings": siblings}).to_string();
    let header = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    connection.write_all((header + &text).as_bytes()).ok()
}

#[test]
fn a_published_model_directory_is_pulled() {
    let binscribe = Binscribe::new();
    let folder = binscribe.directory.path();
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    random_model::write(&folder.join("hub/ours"));
    std::fs::write(folder.join("hub/ours/weights.bin"), "what nobody asked for").expect("written");
    std::fs::create_dir(folder.join("hub/other")).expect("made");
    std::fs::write(folder.join("hub/other/config.json"), "{}").expect("written");
    let endpoint = hub(folder.join("hub"));
    let pull = |name: &str, out: &str| {
        let mut command = binscribe.command(&["model", "pull", name, "-o", out]);
        let home = folder.join("hf");
        let output = command.env("HF_ENDPOINT", &endpoint).env("HF_HOME", home);
        let output = output.output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let there = path("there");
    let (status, said) = pull("hustcw/ours", &there);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(COMMIT), "{said}");
    let id = |model: &str| binscribe.json(&["model", "info", model])["model"]["id"].clone();
    assert_eq!(id(&there), id(&path("hub/ours")));
    assert!(!folder.join("there/weights.bin").exists());

    let (status, said) = pull("hustcw/ours", &there);
    assert_eq!(status, Some(1));
    assert!(said.contains("it is there already"), "{said}");
    for (name, reason) in [
        ("hustcw/other", "it has no tokenizer.json"),
        ("hustcw/nothing", "it has no config.json"),
        ("ours", "is not owner/name"),
    ] {
        let (status, said) = pull(name, &path("elsewhere"));
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    assert!(!folder.join("elsewhere").exists());
}

#[test]
fn clap_is_imported_from_a_directory_and_from_the_hub() {
    let binscribe = Binscribe::new();
    let path = |name: &str| {
        let path = binscribe.directory.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    };
    let hubs = binscribe.directory.path().join("hub");
    random_model::write_clap(&hubs);
    let (asm, text) = (path("hub/asm"), path("hub/text"));

    let local = path("local");
    binscribe.ok(&["model", "import", &asm, &text, "-o", &local]);
    let info = binscribe.json(&["model", "info", &local]);
    assert_eq!(info["config"]["model_type"], "clap");
    assert_eq!(info["config"]["max_tokens"], 128);
    let again = binscribe.fails(&["model", "import", &asm, &text, "-o", &local]);
    assert!(again.contains("it is there already"), "{again}");
    let other = path("other");
    let turned = binscribe.fails(&["model", "import", &text, &asm, "-o", &other]);
    assert!(turned.contains("name clap-asm first"), "{turned}");
    let nowhere = binscribe.fails(&["model", "import", "nowhere", &text, "-o", &other]);
    assert!(nowhere.contains("no directory either"), "{nowhere}");
    assert!(!Path::new(&other).exists());

    for (from, to) in [("asm", "clap-asm"), ("text", "clap-text")] {
        std::fs::rename(hubs.join(from), hubs.join(to)).expect("renamed");
    }
    let endpoint = hub(hubs);
    let import = |names: [&str; 2], out: &str| {
        let mut command = binscribe.command(&["model", "import", names[0], names[1], "-o", out]);
        let output = command
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_HOME", binscribe.directory.path().join("hf"))
            .output();
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let far = path("far");
    let (status, said) = import(["hustcw/clap-asm", "hustcw/clap-text"], &far);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("not those that CLAP's authors published"),
        "{said}"
    );
    let there = binscribe.json(&["model", "info", &far]);
    assert_eq!(there["model"]["id"], info["model"]["id"]);
    let (status, said) = import(["hustcw/clap-asm", "hustcw/other"], &other);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("hustcw/other: config.json cannot be had"),
        "{said}"
    );
}

#[test]
fn an_imported_clap_answers_and_names_what_is_fed_wrongly() {
    let binscribe = Binscribe::new();
    let path = |name: &str| {
        let path = binscribe.directory.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    };
    random_model::write_clap(&binscribe.directory.path().join("hub"));
    let model = &path("clap");
    let import = [
        "model",
        "import",
        &path("hub/asm"),
        &path("hub/text"),
        "-o",
        model,
    ];
    binscribe.ok(&[&import[..], &["--int8"]].concat());

    let out = &path("out.parquet");
    let embed = |json: &str| {
        let file = binscribe.file("in.json", json.as_bytes());
        let output = binscribe.run(&["embed", "--clap", &file, "-o", out, "--model", model]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (status, said) = embed(r#"[{"1": "push    rbp", "2": "jmp     short INSTR1"}]"#);
    assert_eq!(
        (status, said.contains("warning")),
        (Some(0), false),
        "{said}"
    );
    assert!(std::fs::read(out).expect("written").starts_with(b"PAR1"));
    let (status, said) = embed(r#"{"0": "push    rbp", "1": "retn"}"#);
    assert_eq!(status, Some(0));
    assert!(
        said.contains("function 1: its instructions are numbered from 0"),
        "{said}"
    );
    let (status, said) = embed(r#"{"function": "push rbp\nretn"}"#);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("\"function\" is no number of an instruction"),
        "{said}"
    );
    let (status, said) = embed(r#"["push rbp\nretn"]"#);
    assert_eq!(status, Some(1));
    assert!(said.contains("it is one string"), "{said}");

    let Some((stripped, full)) = fixture() else {
        return;
    };
    // What `listing --clap` writes, `embed --clap` reads.
    let (status, said) = embed(&binscribe.ok(&["listing", full, "main", "--clap"]));
    assert_eq!(
        (status, said.contains("warning")),
        (Some(0), false),
        "{said}"
    );
    let found = binscribe.json(&[
        "search",
        "a checksum",
        stripped,
        "--model",
        model,
        "-k",
        "2",
    ]);
    assert_eq!(found["matches"].as_array().map(Vec::len), Some(2));
    let same = binscribe.json(&["similar", full, "main", "--in", full, "--model", model]);
    assert_eq!(same["matches"][0]["function"]["name"], "main");
    binscribe.json(&["explain", stripped, "--model", model]);
}
