//! An index of programs compiled here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::{Binscribe, random_model};

/// Two programs with one function in common, the second with symbols.
const SHARED: &str = "
#include <stdio.h>
#define KEEP __attribute__((noinline, noclone))
KEEP int digest(const char *text) {
    int sum = 17;
    while (*text) sum = (sum * 31 + *text++) ^ sum >> 3;
    return sum;
}
";
const FIRST: &str = "
KEEP int refuse(int x) { if (x > 3) puts(\"the frobnicator is jammed\"); return x * 7; }
int main(int n, char **w) { printf(\"%d\\n\", digest(w[0]) + refuse(n)); return 0; }
";
const SECOND: &str = "
KEEP int twice(int x) { for (int i = 0; i < x; i++) x += i * x; return x; }
int main(int n, char **w) { printf(\"%d %d\\n\", twice(n), digest(w[0])); return 1; }
";

fn build(binscribe: &Binscribe, name: &str, text: &str, flags: &[&str]) -> Option<String> {
    let source = binscribe.file(&format!("{name}.c"), format!("{SHARED}{text}").as_bytes());
    let program = source.replace(".c", "");
    let mut compiler = Command::new("cc");
    let compiler = compiler.args(["-O1", "-o", &program, &source]).args(flags);
    let built = compiler.output().is_ok_and(|out| out.status.success());
    built.then_some(program)
}

fn states(document: &Value) -> Vec<&str> {
    let programs = document["programs"].as_array().expect("programs");
    let states = programs.iter().map(|program| program["state"].as_str());
    states.map(|state| state.expect("a word")).collect()
}

#[test]
fn functions_of_many_programs() {
    let binscribe = Binscribe::new();
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let model = model.to_str().expect("UTF-8");
    let (Some(first), Some(second), Some(object)) = (
        build(&binscribe, "first", FIRST, &["-s"]),
        build(&binscribe, "second", SECOND, &[]),
        build(&binscribe, "object", SECOND, &["-c"]),
    ) else {
        return;
    };
    let index = format!("{}/index", binscribe.directory.path().display());
    let add = |paths: &[&str]| {
        let command = ["index", "add", &index, "--model", model];
        binscribe.json(&[&command[..], paths].concat())
    };

    let added = add(&[&first, &second]);
    assert_eq!(states(&added), ["added", "added"]);
    assert_eq!(added["index"]["programs"], 2);
    let functions = added["index"]["functions"].as_u64().expect("a number");
    let again = add(&[&second]);
    assert_eq!(states(&again), ["there already"]);
    assert_eq!(again["index"]["functions"], functions);

    // By example: the same code elsewhere, under the name that it has there. Both are
    // one answer, and the example is none.
    let example = binscribe.json(&["functions", &second]);
    let example = example["functions"].as_array().expect("functions").iter();
    let digest = example.clone().find(|f| f["name"] == "digest");
    let address = digest.expect("digest")["address"].as_str().expect("text");
    let asked = ["similar", &second, address, "--model", model];
    let similar = binscribe.json(&[&asked[..], &["--in", &index]].concat());
    let best = &similar["matches"][0];
    assert_eq!(best["binary"]["path"], first.as_str());
    assert_eq!(best["copies"], 1);
    assert!(best["score"].as_f64().expect("a score") > 0.99);
    let other = binscribe.json(&["similar", &first, "main", "--in", &index, "--model", model]);
    let shown = other["matches"].as_array().expect("matches").iter();
    let copied = shown.clone().find(|found| found["copies"] == 2);
    assert_eq!(copied.expect("digest, twice")["function"]["name"], "digest");

    // By words.
    let english = "complain that the frobnicator is jammed";
    let search = binscribe.json(&["search", english, &index, "--model", model, "-k", "3"]);
    assert_eq!(search["matches"].as_array().map(Vec::len), Some(3));
    assert_eq!(search["matches"][0]["binary"]["path"], first.as_str());
    assert_eq!(search["index"]["programs"], 2);
    let table = binscribe.ok(&["search", english, &index, "--model", model, "-k", "1"]);
    assert!(
        table.contains("first") && !table.contains("second"),
        "{table}"
    );

    // An archive is all of its members, a directory all that is in it.
    let archive = format!("{}/lib/libtwice.a", binscribe.directory.path().display());
    fs::create_dir(PathBuf::from(&archive).with_file_name("")).expect("made");
    let ar = Command::new("ar").args(["rcs", &archive, &object]).output();
    if ar.is_ok_and(|out| out.status.success()) {
        let directory = archive.replace("/libtwice.a", "");
        let added = add(&[&directory]);
        assert_eq!(states(&added), ["added"]);
        assert_eq!(
            added["programs"][0]["path"],
            format!("{archive}:object").as_str()
        );
        let hash = added["programs"][0]["binary"]["blake3"].as_str();
        let hash = &hash.expect("a hash")[..12];
        let vectors = format!("{archive}.parquet");
        let embed = binscribe.run(&["embed", &archive, "-o", &vectors, "--model", model]);
        let said = String::from_utf8_lossy(&embed.stderr);
        assert!(said.contains("functions of 1 files written"), "{said}");
        let removed = binscribe.json(&["index", "remove", &index, hash]);
        assert_eq!(states(&removed), ["removed"]);
    }
    let listed = binscribe.json(&["index", "list", &index]);
    let paths = listed["programs"].as_array().expect("programs").iter();
    assert!(paths.map(|p| &p["path"]).eq([first.as_str(), &second]));
}

#[test]
fn what_cannot_be_indexed_is_said() {
    let binscribe = Binscribe::new();
    let place = |name: &str| binscribe.directory.path().join(name).display().to_string();
    let (model, other) = (place("model"), place("other"));
    random_model::write(PathBuf::from(&model).as_path());
    let Some(program) = build(&binscribe, "first", FIRST, &[]) else {
        return;
    };
    let text = binscribe.file("text", b"no program at all");
    let index = place("index");

    let output = binscribe.run(&["index", "add", &index, &text, &program, "--model", &model]);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("left out") && printed.contains("added"),
        "{printed}"
    );

    let said = binscribe.fails(&["index", "remove", &index, "nothing"]);
    assert!(said.contains("binscribe index list"), "{said}");
    let said = binscribe.fails(&["index", "list", &place("")]);
    assert!(said.contains("is not an index"), "{said}");
    let said = binscribe.fails(&["search", "anything", &place(""), "--model", &model]);
    assert!(said.contains("binscribe index add"), "{said}");
    let said = binscribe.fails(&["index", "add", &place(""), &program, "--model", &model]);
    assert!(said.contains("not empty and not an index"), "{said}");

    let command = ["search", "anything", &index, "--model", &model];
    let said = binscribe.fails(&[&command[..], &["--arch", "arm"]].concat());
    assert!(said.contains("--arch is for a raw image"), "{said}");

    // Another model's vectors say nothing of this one's.
    fs::create_dir(&other).expect("made");
    for entry in fs::read_dir(&model).expect("read") {
        let from = entry.expect("an entry").path();
        let to = PathBuf::from(&other).join(from.file_name().expect("a name"));
        fs::copy(from, to).expect("copied");
    }
    let tokenizer = PathBuf::from(&other).join("tokenizer.json");
    let changed = format!("{}\n", fs::read_to_string(&tokenizer).expect("read"));
    fs::write(&tokenizer, changed).expect("written");
    let said = binscribe.fails(&["search", "anything", &index, "--model", &other]);
    assert!(said.contains("holds vectors of model"), "{said}");

    let sound = binscribe.ok(&["index", "verify", &index]);
    assert!(sound.starts_with("1 programs with"), "{sound}");
    let programs = PathBuf::from(&index).join("programs");
    let file = fs::read_dir(programs).expect("read").next();
    let file = file.expect("a program").expect("an entry").path();
    let mut bytes = fs::read(&file).expect("read");
    bytes[100] ^= 1;
    fs::write(&file, bytes).expect("written");
    let verified = binscribe.run(&["index", "verify", &index, "--format", "json"]);
    assert_eq!(verified.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(states(&document), ["damaged"]);
    let output = binscribe.run(&["search", "anything", &index, "--model", &model]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("damaged"), "{said}");
}
