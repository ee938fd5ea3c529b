//! `binscribe mcp`, asked by the protocol's own client for Python.

use std::process::Command;

use serde_json::{Value, json};

use crate::{Binscribe, fixture, random_model};

/// A program for another processor than is decompiled.
const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/small-aarch64");

/// What a server with these arguments says of itself and to these questions.
/// `BINSCRIBE_MCP_PYTHON` is a Python with the client, which xtask installs; `None`
/// without one.
fn ask(binscribe: &Binscribe, arguments: &[&str], questions: &Value) -> Option<Value> {
    let python = std::env::var_os("BINSCRIBE_MCP_PYTHON")?;
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/client.py");
    let questions = binscribe.file("questions.json", questions.to_string().as_bytes());
    let mut client_of = Command::new(python);
    client_of.args([client, &questions, env!("CARGO_BIN_EXE_binscribe"), "mcp"]);
    let output = client_of.args(arguments).output().expect("Python");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn an_assistant_reads_a_program() {
    let Some((stripped, _)) = fixture() else {
        return;
    };
    let binscribe = Binscribe::new();
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let model = model.to_str().expect("UTF-8");
    let document = binscribe.json(&["functions", stripped]);
    let functions = document["functions"].as_array().expect("functions");
    let raw = binscribe.file("raw.bin", &[0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3].repeat(20));
    let questions = json!([
        ["functions", {"file": stripped, "limit": 2, "offset": 1}],
        ["explain", {"file": stripped, "limit": 1}],
        ["search", {"text": "print usage", "file": stripped, "k": 1}],
        ["listing", {"file": stripped, "function": functions[0]["address"], "limit": 1}],
        ["functions", {"file": raw, "arch": "x86-64", "base": "0x1000"}],
        ["functions", {"file": "--help"}],
        ["diff", {"old": stripped, "new": stripped}],
        ["decompile", {"file": raw, "function": "0x1000", "arch": "x86-64", "base": "0x1000"}],
        ["decompile", {"file": raw, "function": "0x1000", "arch": "x86-64", "base": "0x1000",
                       "offset": 1, "limit": 1}],
        ["decompile", {"file": OTHER, "function": "main"}],
    ]);
    let Some(said) = ask(&binscribe, &["--model", model, "--no-cache"], &questions) else {
        return;
    };
    assert_eq!(said["hello"]["serverInfo"]["name"], "binscribe");
    let tools = said["tools"].as_array().expect("tools");
    assert!(tools.iter().all(|tool| {
        tool["annotations"]["readOnlyHint"] == true && tool["description"].is_string()
    }));
    let results = said["results"].as_array().expect("results");
    let answer = |at: usize| {
        assert_eq!(results[at]["isError"], false, "{}", results[at]);
        &results[at]["structuredContent"]
    };
    assert_eq!(answer(0)["functions"], json!(functions[1..3]));
    assert_eq!(answer(0)["total"], functions.len());
    assert_eq!(answer(0)["next_offset"], 3);
    assert_eq!(answer(1)["functions"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer(2)["matches"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer(3)["lines"][0]["number"], 1);
    assert_eq!(answer(4)["binary"]["image_base"], "0x1000");
    // What an assistant is told to ask is never an option.
    assert_eq!(results[5]["isError"], true);
    let reason = results[5]["content"][0]["text"].as_str().expect("text");
    assert!(reason.contains("cannot read --help"), "{reason}");
    assert_eq!(answer(6)["next_offset"], Value::Null);
    let code = answer(7)["code"].as_str().expect("code");
    assert!(code.contains("sub_1000("), "{code}");
    assert_eq!(answer(7)["next_offset"], Value::Null);
    assert_eq!(answer(8)["code"], "{\n");
    assert_eq!(answer(8)["next_offset"], 2);
    assert_eq!(results[9]["isError"], true);
    let reason = results[9]["content"][0]["text"].as_str().expect("text");
    assert!(reason.contains("only code of x86-64"), "{reason}");
}

#[test]
fn files_elsewhere_are_not_read() {
    let Some((stripped, _)) = fixture() else {
        return;
    };
    let binscribe = Binscribe::new();
    let inside = binscribe.directory.path().join("inside");
    std::fs::create_dir(&inside).expect("made");
    let program = inside.join("program");
    std::fs::copy(stripped, &program).expect("copied");
    let (inside, program) = (inside.display(), program.display());
    let questions = json!([
        ["functions", {"file": program.to_string()}],
        ["functions", {"file": stripped}],
        ["functions", {"file": format!("{inside}/../../../../../../bin/true")}],
        ["functions", {"file": format!("{inside}/nothing")}],
        ["similar", {"file": program.to_string(), "function": "main", "within": stripped}],
    ]);
    let arguments = ["--root", &inside.to_string()];
    let Some(said) = ask(&binscribe, &arguments, &questions) else {
        return;
    };
    let results = said["results"].as_array().expect("results");
    assert_eq!(results[0]["isError"], false, "{}", results[0]);
    for result in &results[1..] {
        let reason = result["content"][0]["text"].as_str().expect("text");
        assert!(reason.contains("no such file below"), "{reason}");
    }
    let said = binscribe.fails(&["mcp", "--root", &format!("{inside}/nothing")]);
    assert!(said.contains("cannot read"), "{said}");
}
