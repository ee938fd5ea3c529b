//! Names in the programs that analysts work in: in radare2 itself where it is
//! there, and in what `plugins/tools.py` does of those that must be bought or
//! are too large for a test.

use std::process::Command;

use serde_json::{Value, json};

use crate::{Binscribe, SPEAKING, random_model};

/// A stripped program whose functions say what they are called, and a model that
/// knows nothing.
struct Stage {
    binscribe: Binscribe,
    program: String,
    model: String,
}

impl Stage {
    fn new() -> Option<Stage> {
        let binscribe = Binscribe::new();
        let source = binscribe.file("speaking.c", SPEAKING.as_bytes());
        let model = binscribe.directory.path().join("model");
        random_model::write(&model);
        let model = model.to_str().expect("UTF-8").to_owned();
        let program = format!("{source}.stripped");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-O2", "-s", "-o", &program, &source]);
        let built = compiler.output().is_ok_and(|out| out.status.success());
        built.then_some(Stage {
            binscribe,
            program,
            model,
        })
    }

    fn export(&self, to: &str, more: &[&str]) -> String {
        let command = ["export", &self.program, "--to", to, "--model", &self.model];
        self.binscribe.ok(&[&command[..], more].concat())
    }

    fn document(&self) -> Value {
        let document: Value = serde_json::from_str(&self.export("json", &[])).expect("JSON");
        assert_eq!(document["version"], 1);
        document
    }
}

/// The names of a document with their addresses from the image's base.
fn names(document: &Value) -> Vec<(String, String)> {
    let functions = document["functions"].as_array().expect("functions");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let named = functions.iter().filter(|f| !f["name"].is_null());
    named.map(|f| (text(&f["rva"]), text(&f["name"]))).collect()
}

#[test]
fn names_as_data() {
    let Some(stage) = Stage::new() else { return };
    let document = stage.document();
    let found: Vec<String> = names(&document).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["queue_length", "queue_first"]);
    for function in document["functions"].as_array().expect("functions") {
        assert_eq!(function["source"], "program");
        assert!(function["confidence"].as_f64().expect("a number") > 0.5);
        let comment = function["comment"].as_str().expect("a comment");
        assert!(comment.contains("speaking.c"), "{comment}");
    }
    let more = stage.export("json", &["--summaries"]);
    let more: Value = serde_json::from_str(&more).expect("JSON");
    assert_eq!(names(&more), names(&document));
    let count = |document: &Value| document["functions"].as_array().map(Vec::len);
    assert!(count(&more) > count(&document));

    let csv = stage.export("csv", &[]);
    assert!(csv.starts_with("address,rva,name,source,confidence,comment\n"));
    assert_eq!(csv.lines().count(), 3);

    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/small.o");
    let refused = ["export", object, "--to", "ida", "--model", &stage.model];
    assert!(stage.binscribe.fails(&refused).contains("object file"));
    let refused = ["export", &stage.program, "--to", "csv", "--mode", "undo"];
    assert!(stage.binscribe.fails(&refused).contains("--mode"));
}

/// One script after the other upon the same functions of a tool.
struct Tool<'s> {
    stage: &'s Stage,
    name: &'static str,
    database: String,
}

impl Tool<'_> {
    /// Runs the script of this mode; what it says and what the tool then knows.
    fn run(&self, mode: &str) -> (String, Value) {
        let script = self.stage.export(self.name, &["--mode", mode]);
        let script = self.stage.binscribe.file("script.py", script.as_bytes());
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/tools.py");
        let mut python = Command::new("python3");
        let python = python.args([tools, self.name, &script, &self.database]);
        let output = python.output().expect("Python");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {said}", self.name);
        let text = std::fs::read_to_string(&self.database).expect("written");
        let database: Value = serde_json::from_str(&text).expect("JSON");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        (said, database["functions"].clone())
    }
}

#[test]
fn scripts_name_what_has_no_name() {
    let Some(stage) = Stage::new() else { return };
    let document = stage.document();
    let [(first, _), (second, _)] = &names(&document)[..] else {
        panic!("two names: {document}");
    };
    // Where the tool put the file is its own affair.
    const BASE: u64 = 0x10_0000;
    let rva = |text: &str| u64::from_str_radix(&text[2..], 16).expect("hexadecimal");
    let place = |text: &str| format!("{:#x}", BASE + rva(text));
    for (name, prefix) in [("ghidra", "FUN_"), ("ida", "sub_"), ("binaryninja", "sub_")] {
        let own = |text: &str| format!("{prefix}{:x}", BASE + rva(text));
        let before = json!({
            place(first): {"name": own(first), "by": "tool", "comment": "mine"},
            place(second): {"name": "my_own", "by": "person", "comment": null},
        });
        let database = json!({
            "sha256": document["sha256"], "path": stage.program, "base": BASE,
            "functions": before,
        });
        let tool = Tool {
            stage: &stage,
            name,
            database: stage
                .binscribe
                .file("database.json", database.to_string().as_bytes()),
        };
        let (said, shown) = tool.run("show");
        assert!(
            said.contains(&format!("{} -> queue_length", own(first))),
            "{said}"
        );
        assert_eq!(shown, before, "{name}: a dry run changes nothing");

        let (_, remarked) = tool.run("comment");
        assert_eq!(remarked[place(first)]["name"], own(first));
        let (said, applied) = tool.run("apply");
        assert!(said.contains("1 named, 1 kept"), "{said}");
        let named = &applied[place(first)];
        assert_eq!(named["name"], "queue_length");
        let comment = named["comment"].as_str().expect("a comment");
        assert!(comment.starts_with("mine\nbinscribe: queue_length "));
        assert_eq!(comment.matches("binscribe: queue_length").count(), 1);
        assert_eq!(applied[place(second)]["name"], "my_own");

        let (said, undone) = tool.run("undo");
        assert!(said.contains("1 taken back"), "{said}");
        assert_eq!(undone, before, "{name}: all is as it was");

        let other = json!({
            "sha256": "00", "path": concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            "base": BASE, "functions": before,
        });
        let other = stage
            .binscribe
            .file("other.json", other.to_string().as_bytes());
        let script = stage.export(name, &[]);
        let script = stage.binscribe.file("script.py", script.as_bytes());
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/tools.py");
        let mut python = Command::new("python3");
        let output = python.args([tools, name, &script, &other]).output();
        let said = output.expect("Python").stderr;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("made for another file"), "{name}: {said}");
    }
}

/// `BINSCRIBE_RADARE2` is the program, which xtask fetches.
#[test]
fn radare2_takes_the_names() {
    let (Some(stage), Some(radare2)) = (Stage::new(), std::env::var_os("BINSCRIBE_RADARE2")) else {
        return;
    };
    let found = names(&stage.document());
    let [(first, _), (second, _)] = &found[..] else {
        panic!("two names: {found:?}");
    };
    let script = |mode: &str| {
        let name = format!("{mode}.r2.js");
        let text = stage.export("r2", &["--mode", mode]);
        stage.binscribe.file(&name, text.as_bytes())
    };
    let commands = format!(
        "afn my_own @ {second};. {show};afl~fcn?;. {apply};. {apply};afl;CC. @ {first};\
         ?e -- undone --;. {undo};afl;CC. @ {first}",
        show = script("show"),
        apply = script("apply"),
        undo = script("undo"),
    );
    for base in ["0x0", "0x10000"] {
        // Commands name the functions where they were put.
        let at = |rva: &str| {
            let rva = u64::from_str_radix(&rva[2..], 16).expect("hexadecimal");
            let base = u64::from_str_radix(&base[2..], 16).expect("hexadecimal");
            format!("{:#x}", base + rva)
        };
        let commands = commands
            .replace(&format!("@ {first}"), &format!("@ {}", at(first)))
            .replace(&format!("@ {second}"), &format!("@ {}", at(second)));
        let mut program = Command::new(&radare2);
        program.args(["-q", "-2", "-N", "-e", "scr.color=0", "-B", base, "-A"]);
        let output = program.args(["-c", &commands, &stage.program]).output();
        let said = String::from_utf8(output.expect("radare2").stdout).expect("UTF-8");
        // What the script itself says comes after what commands print.
        for line in [
            "-> queue_length\n",
            "1 would be named, 1 kept",
            "1 named, 1 kept",
            "0 named, 2 kept",
            "1 taken back",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        let (applied, undone) = said.split_once("-- undone --").expect("both parts");
        let lists = |part: &str, name: &str| {
            let mut lines = part.lines().filter(|line| line.starts_with("0x0"));
            lines.any(|line| line.ends_with(name))
        };
        assert!(lists(applied, " queue_length") && lists(applied, " my_own"));
        assert_eq!(applied.matches("binscribe: queue_length").count(), 1);
        assert!(!lists(undone, " queue_length") && lists(undone, " my_own"));
        assert!(!undone.contains("binscribe: queue_length"), "{said}");
    }
}
