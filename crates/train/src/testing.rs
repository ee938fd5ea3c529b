//! A tiny corpus for tests.

use std::path::{Path, PathBuf};

use binscribe_corpus::Row;
use binscribe_model::AsmTokenizer;

const TOPICS: [(&str, &str); 4] = [
    ("read_file", "Reads a file into memory."),
    ("hash_block", "Mixes one block into the state of the hash."),
    ("sort_list", "Sorts a linked list by its keys."),
    (
        "parse_number",
        "Parses a decimal number and reports overflow.",
    ),
];

/// The text encoder, which `cargo xtask minilm` fetches.
pub(crate) fn minilm() -> PathBuf {
    std::env::var_os("BINSCRIBE_MINILM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/minilm"),
        PathBuf::from,
    )
}

/// Rows of `count` functions in four builds each; every fifth function is for
/// validation.
pub(crate) fn rows(count: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for i in 0..count {
        let (topic, comment) = TOPICS[i % TOPICS.len()];
        for (compiler, level) in [("gcc", "O0"), ("gcc", "O2"), ("gcc", "O3"), ("clang", "O2")] {
            let mut lines = vec!["push    rbp".to_owned()];
            for k in 0..4 + i % 5 {
                lines.push(match (compiler, level) {
                    ("clang", _) => format!("lea     rax, [rdi+{}]", i * 8 + k),
                    (_, "O0") => format!("mov     eax, [rbp+var_{:X}]", i * 8 + k),
                    _ => format!("add     ecx, {}", i * 8 + k),
                });
                lines.push(format!("call    _{topic}"));
            }
            if level == "O3" {
                lines.push("nop".to_owned());
            }
            lines.push("jnz     short INSTR2".to_owned());
            lines.push("retn".to_owned());
            let listing = lines.join("\n");
            rows.push(Row {
                package: "tiny".to_owned(),
                split: if i % 5 == 4 { "validation" } else { "train" }.to_owned(),
                compiler: compiler.to_owned(),
                level: level.to_owned(),
                name: format!("{topic}_{i}"),
                file: if i % 3 == 0 {
                    "main.c".to_owned()
                } else {
                    format!("src/{topic}.c")
                },
                instructions: lines.len() as u32,
                comment: (i % 2 == 0).then(|| format!("{comment} Variant {i}.")),
                source_hash: format!("s{i}"),
                listing_hash: format!("l{i}{compiler}{level}"),
                function_id: format!("f{i}"),
                listing,
                ..Row::default()
            });
        }
    }
    rows
}

pub(crate) fn tokenizer(rows: &[Row]) -> AsmTokenizer {
    AsmTokenizer::train(rows.iter().map(|r| r.listing.as_str()), 800, 64).expect("a tokenizer")
}
