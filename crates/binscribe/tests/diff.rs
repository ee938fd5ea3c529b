//! Two versions of a program, compiled here.

use std::process::Command;

use serde_json::Value;

use crate::{Binscribe, random_model};

/// Whoever reads it in two versions finds one function as it was, one with another
/// number, one that calls another, one that is gone and one that is new.
fn source(new: bool) -> String {
    let part = |old: &str, now: &str| (if new { now } else { old }).to_owned();
    let only = part(
        "KEEP int gone(int x) { for (int i = 0; i < x; i++) printf(\"%d gone\\n\", i); return x; }",
        "KEEP int fresh(int x) { while (x > 3) { puts(\"fresh\"); x = x * 5 % 7; } return x; }",
    );
    format!(
        r#"
#include <stdio.h>
#include <stdlib.h>
#define KEEP __attribute__((noinline, noclone))
KEEP int stays(int x) {{ int sum = 0; for (int i = 0; i < x; i++) sum += i * x ^ sum; return sum; }}
KEEP int bounded(int x) {{ if (x > {limit}) {{ puts("too much"); exit(1); }} return stays(x) + 1; }}
KEEP int other(int x) {{ if (x < 0) puts("negative"); return x * 3 + stays(x); }}
{only}
KEEP int turns(int x) {{ puts("turns"); return {callee}(x) + {callee}(x + 2); }}
int main(int count, char **words) {{
    (void)words;
    printf("%d %d %d\n", bounded(count), turns(count), {mine}(count) + other(count));
    return 0;
}}
"#,
        limit = part("64", "32"),
        callee = part("other", "stays"),
        mine = part("gone", "fresh"),
    )
}

#[test]
fn what_changed_between_two_versions() {
    let binscribe = Binscribe::new();
    let model = binscribe.directory.path().join("model");
    random_model::write(&model);
    let model = model.to_str().expect("UTF-8");
    let built = |name: &str, new: bool, flags: &[&str]| {
        let source = binscribe.file(&format!("{name}.c"), source(new).as_bytes());
        let program = source.replace(".c", "");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(["-O1", "-o", &program, &source]).args(flags);
        let output = compiler.output();
        output
            .is_ok_and(|output| output.status.success())
            .then_some(program)
    };
    let (Some(old), Some(new)) = (built("old", false, &[]), built("new", true, &[])) else {
        return;
    };
    let diff = |old: &str, new: &str, more: &[&str]| {
        let command = ["diff", old, new, "--model", model];
        binscribe.json(&[&command[..], more].concat())
    };
    let document = diff(&old, &new, &["--all"]);
    let functions = document["functions"].as_array().expect("functions");
    let change = |name: &str| -> &str {
        let mut functions = functions.iter();
        let found = functions.find(|f| f["old"]["name"] == name || f["new"]["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name}"));
        found["change"].as_str().expect("a word")
    };
    assert_eq!(change("stays"), "same");
    assert_eq!(change("other"), "same");
    assert_eq!(change("bounded"), "changed");
    assert_eq!(change("turns"), "changed", "it calls another");
    assert_eq!(change("gone"), "removed");
    assert_eq!(change("fresh"), "added");
    let first = diff(&old, &new, &[]);
    let first = first["functions"].as_array().expect("functions");
    assert!(first.iter().all(|function| function["change"] != "same"));
    assert_eq!(
        first[0]["change"], "changed",
        "what matters most comes first"
    );

    let one = diff(&old, &new, &["--function", "bounded"]);
    let lines: Vec<&str> = one["functions"][0]["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let signs = |sign: char| lines.iter().filter(|line| line.starts_with(sign)).count();
    assert_eq!((signs('-'), signs('+')), (1, 1), "{lines:?}");

    // A stripped twin is the same program.
    let (Some(bare), Some(full)) = (built("bare", true, &["-s"]), built("full", true, &[])) else {
        return;
    };
    let twins = diff(&full, &bare, &["--all"]);
    let functions = twins["functions"].as_array().expect("functions");
    let stays = functions.iter().find(|f| f["old"]["name"] == "stays");
    let stays = stays.expect("the function");
    assert_eq!(
        (&stays["change"], &stays["why"]),
        (&"same".into(), &"code".into())
    );
    let checked = binscribe.json(&["eval", "diff", &old, &new, "--model", model]);
    assert!(checked["names"].as_u64().expect("a count") >= 5);
    let missing = ["diff", &old, &new, "--function", "nobody", "--model", model];
    assert!(binscribe.fails(&missing).contains("nobody"));
}
