//! Rows are read by programs that are not ours.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of a test"
)]

use std::process::Command;

use binscribe_corpus::{Row, write_rows};

fn python(code: &str, argument: &std::path::Path) -> Option<String> {
    let output = Command::new("python3")
        .args(["-c", code])
        .arg(argument)
        .output()
        .ok()?;
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(output.status.success(), "{words}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn duckdb_reads_rows() {
    let dir = tempfile::tempdir().unwrap();
    let row = |name: &str, comment: Option<&str>, instructions| Row {
        package: "zlib".into(),
        name: name.into(),
        comment: comment.map(str::to_owned),
        instructions,
        ..Row::default()
    };
    let rows = [
        row("inflate", Some("Inflates; \u{e9}."), 7),
        row("deflate", None, 35),
    ];
    write_rows(&dir.path().join("zlib.parquet"), &rows).unwrap();
    const CODE: &str = "import duckdb, sys
query = f\"select name, comment, instructions from '{sys.argv[1]}/*.parquet' order by name\"
print(duckdb.sql(query).fetchall())";
    match python(CODE, dir.path()) {
        Some(found) => assert_eq!(
            found.trim(),
            "[('deflate', None, 35), ('inflate', 'Inflates; \u{e9}.', 7)]"
        ),
        None => eprintln!("skipped: DuckDB for Python is not installed"),
    }
}
