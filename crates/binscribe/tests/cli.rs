//! Runs the real program, on real files: compiled here where there is a C
//! compiler, and on itself. Answers of a model are tested for their form with
//! random weights made in the test, and for their sense with models/default
//! where that is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

mod clap_import;
mod corpus_explain;
mod diff;
mod eval;
mod export;
mod index;
mod mcp;
mod random_model;
mod serve;

/// The program with a cache of its own.
struct Binscribe {
    directory: TempDir,
}

impl Binscribe {
    fn new() -> Binscribe {
        Binscribe {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_binscribe"));
        command
            .args(arguments)
            .env("BINSCRIBE_CACHE", self.directory.path().join("cache"))
            .env_remove("BINSCRIBE_MODEL");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    /// What a successful command printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?} said: {said}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--format", "json"]].concat());
        let document: Value = serde_json::from_str(&text).expect("one JSON document, alone");
        assert_eq!(document["version"], 1);
        document
    }

    /// What a command that failed with exit status 1 said: one line.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?} said: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed something");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        said
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }
}

/// A small C program, compiled and stripped, and the same with its symbols;
/// `None` where there is no C compiler, which is said.
#[allow(clippy::print_stderr)]
fn fixture() -> Option<(&'static str, &'static str)> {
    static BUILT: OnceLock<Option<(TempDir, String, String)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture.c");
        let path = |name: &str| {
            directory
                .path()
                .join(name)
                .to_str()
                .expect("UTF-8")
                .to_owned()
        };
        let (stripped, full) = (path("stripped"), path("full"));
        for (out, flags) in [(&stripped, ["-O2", "-s"]), (&full, ["-O0", "-g0"])] {
            let status = Command::new("cc")
                .args(flags)
                .arg(&source)
                .arg("-o")
                .arg(out)
                .status();
            if !status.is_ok_and(|status| status.success()) {
                eprintln!("no C compiler: the tests of compiled files are skipped");
                return None;
            }
        }
        Some((directory, stripped, full))
    });
    built
        .as_ref()
        .map(|(_, stripped, full)| (stripped.as_str(), full.as_str()))
}

fn default_model() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    path.join("config.json").is_file().then_some(path)
}

#[test]
fn functions_of_a_file() {
    let binscribe = Binscribe::new();
    let Some((stripped, full)) = fixture() else {
        return;
    };
    let document = binscribe.json(&["functions", full]);
    assert_eq!(document["binary"]["format"], "elf");
    assert_eq!(document["binary"]["arch"], "x86-64");
    assert_eq!(document["binary"]["stripped"], false);
    let functions = document["functions"].as_array().expect("functions");
    let main = functions
        .iter()
        .find(|function| function["name"] == "main")
        .expect("main");
    assert!(
        main["address"]
            .as_str()
            .expect("an address")
            .starts_with("0x")
    );
    assert!(main["size"].as_u64().expect("a size") > 10);
    assert_eq!(main["source"], "symbol");

    let document = binscribe.json(&["functions", stripped]);
    assert_eq!(document["binary"]["stripped"], true);
    let functions = document["functions"].as_array().expect("functions");
    assert!(functions.len() >= 4);
    assert!(
        functions
            .iter()
            .all(|function| function["name"] != "checksum")
    );

    let table = binscribe.ok(&["functions", full]);
    assert!(table.contains("main") && table.contains("ADDRESS"));
    let csv = binscribe.ok(&["functions", full, "--format", "csv"]);
    assert!(
        csv.starts_with("address,rva,size,name,kind,found by,sure\n"),
        "{csv}"
    );
    let sure = |line: &str| line.rsplit(',').next().map_or(0, str::len);
    assert!(csv.lines().skip(1).all(|line| sure(line) <= 4), "{csv}");
}

#[test]
fn the_listing_of_a_function() {
    let binscribe = Binscribe::new();
    let Some((_, full)) = fixture() else { return };
    let document = binscribe.json(&["listing", full, "main"]);
    let lines = document["lines"].as_array().expect("lines");
    assert_eq!(lines[0]["number"], 1);
    let address = document["function"]["address"]
        .as_str()
        .expect("an address");
    assert_eq!(lines[0]["address"], address);
    assert!(
        document["strings"]
            .as_array()
            .expect("strings")
            .iter()
            .any(|s| { s.as_str().is_some_and(|s| s.contains("usage")) })
    );
    // By address it is the same function.
    assert_eq!(
        binscribe.json(&["listing", full, address])["lines"],
        document["lines"]
    );

    let clap: Value =
        serde_json::from_str(&binscribe.ok(&["listing", full, "main", "--clap"])).expect("JSON");
    assert_eq!(clap["1"], lines[0]["text"]);
    assert_eq!(clap.as_object().expect("an object").len(), lines.len());

    let said = binscribe.fails(&["listing", full, "no_such_function"]);
    assert!(
        said.contains("no_such_function") && said.contains("binscribe functions"),
        "{said}"
    );
}

/// What is printed is the function, and a compiler takes it.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_function_as_c() {
    let binscribe = Binscribe::new();
    let Some((_, full)) = fixture() else { return };
    let document = binscribe.json(&["decompile", full, "main"]);
    let code = document["code"].as_str().expect("code");
    assert!(code.contains("main(") && code.contains("usage"), "{code}");
    assert_eq!(document["language"], "c");
    let complete = binscribe.ok(&["decompile", full, "main", "--complete"]);
    assert!(complete.ends_with(code), "{complete}");
    let source = binscribe.file("main.c", complete.as_bytes());
    let status = Command::new("cc")
        .args(["-w", "-fno-builtin", "-fsyntax-only", &source])
        .status()
        .expect("a compiler");
    assert!(status.success(), "{complete}");

    let said = binscribe.fails(&["decompile", "../../fixtures/small-aarch64", "0x0"]);
    assert!(said.contains("no function"), "{said}");
}

#[test]
fn what_is_no_program_is_refused_in_a_sentence() {
    let binscribe = Binscribe::new();
    let text = binscribe.file("text", b"#!/bin/sh\necho hello\n");
    let empty = binscribe.file("empty", b"");
    let directory = binscribe
        .directory
        .path()
        .to_str()
        .expect("UTF-8")
        .to_owned();
    let absent = binscribe
        .directory
        .path()
        .join("absent")
        .to_str()
        .expect("UTF-8")
        .to_owned();
    for (file, expected) in [
        (&text, "ELF"),
        (&empty, "empty"),
        (&directory, "directory"),
        (&absent, "cannot read"),
    ] {
        for command in [
            &["functions", file][..],
            &["listing", file, "main"],
            &["explain", file],
        ] {
            let said = binscribe.fails(command);
            assert!(said.contains(expected), "{said}");
        }
    }
}

/// What a command reads may be in an archive.
#[test]
fn member_of_an_archive_is_named_after_it() {
    let binscribe = Binscribe::new();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/libsmall.a");
    for member in [":small.o", "(small.o)"] {
        let file = format!("{archive}{member}");
        let said = binscribe.ok(&["listing", &file, "report"]);
        assert!(said.contains("call    fprintf"), "{said}");
        let document = binscribe.json(&["functions", &file]);
        assert_eq!(document["binary"]["path"], file.as_str());
        assert_eq!(document["binary"]["size"], 4200);
    }
    let said = binscribe.fails(&["functions", archive]);
    assert!(said.contains("it has small.o, case-study.o"), "{said}");
    let said = binscribe.fails(&["functions", &format!("{archive}:other.o")]);
    assert!(said.contains("no member `other.o`"), "{said}");
    let text = binscribe.file("text", b"hello");
    let said = binscribe.fails(&["functions", &format!("{text}:a.o")]);
    assert!(said.contains("neither an archive nor a package"), "{said}");
    let said = binscribe.fails(&["functions", "C:\\no\\such.exe"]);
    assert!(said.contains("cannot read C:\\no\\such.exe"), "{said}");
}

/// Programs in packages are named after the package, and so are members of
/// libraries in them.
#[test]
fn member_of_a_package_is_named_after_it() {
    let binscribe = Binscribe::new();
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/small.deb");
    let file = format!("{package}:usr/bin/small");
    let document = binscribe.json(&["functions", &file]);
    assert_eq!(document["binary"]["path"], file.as_str());
    let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/small");
    let whole = binscribe.json(&["functions", whole]);
    assert_eq!(document["functions"], whole["functions"]);
    assert_eq!(document["binary"]["blake3"], whole["binary"]["blake3"]);
    for member in [
        ":usr/lib/libsmall.a:small.o",
        ":usr/lib/libsmall.a(small.o)",
    ] {
        let said = binscribe.ok(&["listing", &format!("{package}{member}"), "report"]);
        assert!(said.contains("call    fprintf"), "{said}");
    }

    let said = binscribe.fails(&["functions", package]);
    assert!(
        said.contains("small.deb is a Debian package: name one of its members, as")
            && said.contains("small.deb:usr/bin/small; it has usr/bin/small, usr/lib/libsmall.a"),
        "{said}"
    );
    let library = format!("{package}:usr/lib/libsmall.a");
    let said = binscribe.fails(&["functions", &library]);
    assert!(
        said.contains("libsmall.a is an archive") && said.contains("libsmall.a:small.o; it has"),
        "{said}"
    );
    let said = binscribe.fails(&["functions", &format!("{package}:usr/bin/other")]);
    assert!(said.contains("no member `usr/bin/other`"), "{said}");

    // The longest file that is there is the container.
    let bytes = std::fs::read(package).expect("the package");
    let odd = binscribe.file("odd:name.deb", &bytes);
    binscribe.file("odd", b"text");
    binscribe.ok(&["functions", &format!("{odd}:usr/bin/small")]);
    // What is compressed and what lies in ZIP archives.
    let zip = binscribe.file("a.apk", b"PK\x03\x04");
    let said = binscribe.fails(&["functions", &zip]);
    assert!(said.contains("a ZIP archive (zip, apk, jar)"), "{said}");
    let bomb = binscribe.file("cut.xz", b"\xfd7zXZ\0\0\x04");
    let said = binscribe.fails(&["functions", &bomb]);
    assert!(said.contains("the xz data in it cannot be read"), "{said}");
}

/// Code without a format, where the user names the processor.
#[test]
fn raw_images_are_read_by_arch_and_base() {
    let binscribe = Binscribe::new();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/small-fixed");
    let file = std::fs::read(fixture).expect("the fixture");
    let image = binscribe.file("firmware.bin", &file[0x1090..0x133b]);
    let said = binscribe.fails(&["functions", &image]);
    assert!(
        said.contains("if it is a raw image, name its processor and where it lies: --arch"),
        "{said}"
    );
    let raw = ["--arch", "x86-64", "--base", "0x401090"];
    let document = binscribe.json(&[&["functions", &image], &raw[..]].concat());
    assert_eq!(document["binary"]["format"], "raw");
    assert_eq!(document["binary"]["arch"], "x86-64");
    assert_eq!(document["binary"]["image_base"], "0x401090");
    assert_eq!(document["binary"]["entry"], Value::Null);
    let functions = document["functions"].as_array().expect("functions");
    assert!(functions.iter().any(|f| f["address"] == "0x401193"));
    // Decimal means the same.
    let raw = ["--arch", "x86-64", "--base", "4198544"];
    let again = binscribe.json(&[&["functions", &image], &raw[..]].concat());
    assert_eq!(document, again);
    let said = binscribe.ok(&[&["listing", &image, "0x401193"], &raw[..]].concat());
    assert!(said.contains("push    rbp"), "{said}");
    for wrong in [
        &["functions", &image, "--base", "0x1000"][..],
        &["functions", &image, "--arch", "z80"],
        &["functions", &image, "--arch", "x86", "--base", "here"],
    ] {
        assert_eq!(binscribe.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let high = ["--arch", "x86", "--base", "0xffffffff"];
    let said = binscribe.fails(&[&["functions", &image], &high[..]].concat());
    assert!(said.contains("ends beyond the last address"), "{said}");
}

#[test]
fn truncated_files_never_panic() {
    let binscribe = Binscribe::new();
    let Some((stripped, _)) = fixture() else {
        return;
    };
    let bytes = std::fs::read(stripped).expect("bytes");
    for end in [
        1,
        4,
        16,
        63,
        64,
        65,
        200,
        1000,
        bytes.len() / 2,
        bytes.len() - 1,
    ] {
        let file = binscribe.file("cut", &bytes[..end]);
        let output = binscribe.run(&["functions", &file]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{end} bytes: {said}"
        );
        assert!(!said.contains("panicked"), "{end} bytes: {said}");
    }
    let said = binscribe.fails(&["functions", &binscribe.file("cut", &bytes[..64])]);
    assert!(said.contains("cut"), "{said}");
}

#[test]
fn wrong_usage_is_status_2_and_help_has_examples() {
    let binscribe = Binscribe::new();
    for arguments in [
        &["explain"][..],
        &["no-such-command"],
        &["functions", "x", "--format", "yaml"],
        &["classify", "x"],
        &["explain", "x", "--min-confidence", "2"],
        &["eval", "bcsd", "--pool", "1"],
        &["eval", "probe", "--task", "crypto", "--shots", "0"],
        &["eval", "crypto", "--template", "no place"],
        &["corpus"],
    ] {
        assert_eq!(
            binscribe.run(arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    for command in [
        &["explain"][..],
        &["search"],
        &["similar"],
        &["classify"],
        &["functions"],
        &["listing"],
        &["embed"],
        &["corpus", "fetch"],
        &["corpus", "build"],
        &["corpus", "stats"],
        &["eval", "bcsd"],
        &["eval", "retrieval"],
        &["eval", "crypto"],
        &["eval", "protocol"],
        &["eval", "probe"],
        &["eval", "report"],
        &["model", "info"],
        &["model", "export"],
        &["model", "import"],
    ] {
        let help = binscribe.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Example"), "{command:?} has no example");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let binscribe = Binscribe::new();
    let mut child = binscribe
        .command(&["functions", env!("CARGO_BIN_EXE_binscribe")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn what_is_missing_is_named() {
    let binscribe = Binscribe::new();
    let Some((stripped, _)) = fixture() else {
        return;
    };
    let said = binscribe.fails(&["explain", stripped, "--model", "/no/such/model"]);
    assert!(said.contains("/no/such/model"), "{said}");
    let said = binscribe.fails(&["eval", "bcsd", "--corpus", "/no/such/corpus"]);
    assert!(said.contains("binscribe corpus build"), "{said}");
    let output = binscribe
        .command(&["train", "x.toml"])
        .env("PATH", "")
        .output()
        .expect("runs");
    let beside = Path::new(env!("CARGO_BIN_EXE_binscribe")).with_file_name("binscribe-train");
    if !beside.exists() {
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("binscribe-train"));
    }
}

const SPEAKING: &str = r#"
#include <assert.h>
#include <stddef.h>
#define KEEP __attribute__((noinline, noclone))
KEEP int queue_length(const int *queue) { assert(queue != NULL); return queue[0] * 3; }
KEEP int queue_first(const int *queue)
{
    assert(queue != NULL && "no queue");
    assert(queue[0] > 0);
    return queue[1] ^ 0x5a;
}
KEEP int silent(int a, int b) { return a * b + a / (b | 1); }
int main(int argc, char **argv)
{
    int queue[] = { argc, 2, 3 };
    (void)argv;
    return silent(queue_length(queue), queue_first(queue));
}
"#;

/// Real assertions of a real compiler, in a stripped program and in its twin.
#[test]
fn programs_say_what_their_functions_are_called() {
    let binscribe = Binscribe::new();
    let source = binscribe.file("speaking.c", SPEAKING.as_bytes());
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let model = model.to_str().expect("UTF-8");
    // GCC for AArch64 reaches the second one by its distance from the first.
    let names = ["queue_length", "queue_first"];
    for compiler in ["cc", "i686-linux-gnu-gcc-12", "aarch64-linux-gnu-gcc-12"] {
        let path = |name: &str| format!("{source}.{compiler}.{name}");
        let (stripped, full) = (path("stripped"), path("full"));
        let compiled = |out: &str, flags: &[&str]| {
            let mut command = Command::new(compiler);
            let command = command.args(["-O2", "-o", out]).args(flags).arg(&source);
            command.output().is_ok_and(|output| output.status.success())
        };
        if !(compiled(&stripped, &["-s"]) && compiled(&full, &[])) {
            continue;
        }
        let document = binscribe.json(&["explain", &stripped, "--model", model]);
        let functions = document["functions"].as_array().expect("functions");
        let named = |name: &str| {
            let mut functions = functions.iter();
            functions.find(|f| f["names"][0]["name"] == name)
        };
        for name in names {
            let function = named(name).unwrap_or_else(|| panic!("{compiler}: no {name}"));
            assert_eq!(function["names"][0]["source"], "program");
            assert!(function["undecided"].is_null());
            let file = function["source_file"]["path"].as_str().expect("a file");
            assert!(file.ends_with("speaking.c"), "{file}");
            let summary = function["summary"].as_str().expect("a summary");
            assert!(summary.contains("speaking.c"), "{summary}");
        }
        assert!(named("silent").is_none());

        let checked = binscribe.json(&["eval", "own-names", &full]);
        let count = &checked["all"]["one_name"];
        let all = &Value::from(names.len());
        assert_eq!((&count["checked"], &count["right"]), (all, all));
        let table = binscribe.ok(&["search", "a queue", &stripped, "-k", "50", "--model", model]);
        assert!(table.contains("[queue_length]"), "{table}");
        // Names are words, too, whatever the model knows.
        let search = ["search", "length of the queue", &full, "--model", model];
        let best = &binscribe.json(&search)["matches"][0]["function"];
        assert_eq!(best["name"], "queue_length");
    }
}

/// Every command that asks a model, with weights that know nothing.
#[test]
fn answers_have_their_form_whatever_the_model() {
    let binscribe = Binscribe::new();
    let Some((stripped, full)) = fixture() else {
        return;
    };
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let model = model.to_str().expect("UTF-8");

    let document = binscribe.json(&["explain", stripped, "--model", model]);
    let functions = document["functions"].as_array().expect("functions");
    assert!(!functions.is_empty());
    for function in functions {
        assert!(function["names"].is_array() && function["tags"].is_array());
        assert!(!function["summary"].as_str().expect("a summary").is_empty());
        // Without a calibration no name may be given.
        assert!(function["undecided"].is_string());
    }
    // What the instructions prove needs no model.
    assert!(functions.iter().any(|function| {
        let mut tags = function["tags"].as_array().expect("tags").iter();
        tags.any(|tag| tag["source"] == "fact" && tag["tag"] == "checksum")
    }));
    let again = binscribe.json(&["explain", stripped, "--model", model]);
    assert_eq!(document, again, "the cache changes no answer");
    let uncached = binscribe.json(&["explain", stripped, "--model", model, "--no-cache"]);
    assert_eq!(document["functions"], uncached["functions"]);

    let matches = |arguments: &[&str]| -> Vec<Value> {
        let document = binscribe.json(&[arguments, &["--model", model]].concat());
        let matches = document["matches"].as_array().expect("matches").clone();
        assert!(!matches.is_empty(), "{arguments:?}");
        for found in &matches {
            assert!(
                found["function"]["address"]
                    .as_str()
                    .expect("hex")
                    .starts_with("0x")
            );
            assert!(found["score"].is_number() && found.get("confidence").is_some());
        }
        let scores: Vec<f64> = matches
            .iter()
            .map(|found| found["score"].as_f64().expect("a score"))
            .collect();
        assert!(
            scores.windows(2).all(|pair| pair[0] >= pair[1]),
            "best first: {scores:?}"
        );
        matches
    };
    assert_eq!(
        matches(&["search", "compute a checksum", stripped, "-k", "3"]).len(),
        3
    );
    let same = matches(&["similar", full, "checksum", "--in", full]);
    assert_eq!(same[0]["function"]["name"], "checksum");
    assert!(same[0]["score"].as_f64().expect("a score") > 0.999);
    let others = matches(&["similar", full, "checksum"]);
    assert!(
        others
            .iter()
            .all(|found| found["function"]["name"] != "checksum")
    );
    let labelled = matches(&["classify", stripped, "--labels", "crypto"]);
    assert!(labelled.iter().all(|found| found["label"].is_string()));
    let crypto = ["classify", stripped, "--labels", "crypto", "--model", model];
    let document = binscribe.json(&crypto);
    let shares = document["whole"].as_array().expect("shares").iter();
    let shares: Vec<f64> = shares.filter_map(|s| s["share"].as_f64()).collect();
    assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
    assert!(
        (shares.iter().sum::<f64>() - 1.0).abs() < 1e-3,
        "{shares:?}"
    );
    let own = binscribe.file("labels.txt", b"checksum\nlinked list\n\nchecksum\n");
    let one = ["classify", full, "--labels", &own, "--function", "main"];
    let labelled = matches(&one);
    assert_eq!(labelled.len(), 2);
    let templates = ["--template", "do a {}", "--template", "{} of bytes"];
    assert_ne!(matches(&[&one[..], &templates].concat()), labelled);

    let out = binscribe.directory.path().join("out.parquet");
    let out = out.to_str().expect("UTF-8");
    binscribe.ok(&["embed", full, "-o", out, "--model", model]);
    assert!(std::fs::read(out).expect("written").starts_with(b"PAR1"));
    let info = binscribe.json(&["model", "info", model]);
    assert_eq!(info["model"]["id"], document["model"]["id"]);
    assert_eq!(info["calibration"], Value::Null);
}

/// The model that is shipped tells the functions of the fixture apart.
#[test]
fn the_default_model_makes_sense() {
    let binscribe = Binscribe::new();
    let (Some((stripped, full)), Some(model)) = (fixture(), default_model()) else {
        return;
    };
    let model = model.to_str().expect("UTF-8");
    let address = |name: &str| {
        // The stripped program is compiled differently: functions are told by
        // what only they do.
        let document = binscribe.json(&["explain", stripped, "--model", model]);
        let functions = document["functions"].as_array().expect("functions").clone();
        let found = functions.iter().find(|function| {
            let mut tags = function["tags"].as_array().expect("tags").iter();
            tags.any(|tag| tag["source"] == "fact" && tag["tag"] == name)
        });
        found
            .map(|function| function["address"].clone())
            .expect("the function")
    };
    let first = |arguments: &[&str]| -> Value {
        let document = binscribe.json(&[arguments, &["--model", model]].concat());
        document["matches"][0]["function"]["address"].clone()
    };
    assert_eq!(
        first(&["similar", full, "checksum", "--in", stripped]),
        address("checksum")
    );
    let info = binscribe.json(&["model", "info", model]);
    assert!(info["reference"]["vectors"].as_u64().expect("a count") > 1000);
    assert!(info["calibration"]["naming"].is_object());
}
