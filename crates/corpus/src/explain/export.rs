use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::functions::SourceFunction;
use super::prompt::Prompt;
use super::store::{Explanations, Preference};
use crate::error::{At as _, Result};
use crate::{process, row};

/// Which pairs go into a file for fine-tuning.
#[derive(Clone, Debug)]
pub struct ChatExport {
    /// Which explanation a function is paired with.
    pub preference: Preference,
    /// Sources are cut to about so many bytes, as when a server is asked.
    pub source_bytes: usize,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Exported {
    /// Lines of the file.
    pub pairs: usize,
    /// Functions, or rows, that have no such explanation.
    pub without: usize,
}

/// Writes (source, explanation) pairs as chat JSONL, in OpenAI's format for
/// fine-tuning, which the usual tools take. The messages are those that a server
/// is asked with, so that a model tuned on them can be served back as the shadow.
///
/// Each function is written once, for each stands for a distinct body.
pub fn export_chat(
    path: &Path,
    functions: &[SourceFunction],
    explanations: &Explanations,
    export: &ChatExport,
) -> Result<Exported> {
    let mut exported = Exported::default();
    let lines = functions.iter().filter_map(|function| {
        let best = explanations.best(&function.source_hash, &export.preference);
        exported.count(best.is_some());
        let prompt = Prompt::single(&function.source, export.source_bytes);
        Some(json!({ "messages": [
            { "role": "system", "content": prompt.system },
            { "role": "user", "content": prompt.user },
            { "role": "assistant", "content": best?.text },
        ]}))
    });
    write_lines(path, lines.map(Ok))?;
    Ok(exported)
}

/// Writes (listing, explanation) pairs of a split, one for each row: the listing
/// is in CLAP's form, an object from the instruction's number, from 1, to its
/// text.
pub fn export_clap(
    path: &Path,
    rows: &Path,
    split: &str,
    explanations: &Explanations,
    preference: &Preference,
) -> Result<Exported> {
    let mut exported = Exported::default();
    let files = row::row_files(rows)?.into_iter();
    // File by file: all listings together may not fit into memory.
    let lines = files.flat_map(|file| {
        let rows = match row::read_rows(&file) {
            Ok(rows) => rows,
            Err(error) => return vec![Err(error)],
        };
        let of_split = rows.iter().filter(|row| row.split == split);
        let pairs = of_split.filter_map(|row| {
            let best = explanations.best(&row.source_hash, preference);
            exported.count(best.is_some());
            let asm: Map<String, Value> = row
                .listing
                .lines()
                .enumerate()
                .map(|(i, line)| ((i + 1).to_string(), line.into()))
                .collect();
            Some(Ok(json!({ "asm": asm, "text": best?.text })))
        });
        pairs.collect()
    });
    write_lines(path, lines)?;
    Ok(exported)
}

impl Exported {
    fn count(&mut self, explained: bool) {
        if explained {
            self.pairs += 1;
        } else {
            self.without += 1;
        }
    }
}

/// Writes one JSON document a line, under a temporary name first. Where there is
/// nothing to write, what may lie at `path` stays.
fn write_lines(path: &Path, lines: impl Iterator<Item = Result<Value>>) -> Result<()> {
    let temporary = process::temporary_name(path);
    let mut file = BufWriter::new(fs::File::create(&temporary).at(&temporary)?);
    let mut count = 0;
    for line in lines {
        writeln!(file, "{}", line?).at(&temporary)?;
        count += 1;
    }
    file.flush().at(&temporary)?;
    if count == 0 {
        return fs::remove_file(&temporary).at(&temporary);
    }
    fs::rename(&temporary, path).at(path)
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::explanation;
    use super::super::{ExplanationStore, INSTRUCTION};
    use super::*;
    use crate::row::{Row, write_rows};

    /// Checks a line as OpenAI's description of its format has it: an object of
    /// `messages` alone, each an object of `role` and `content`, both strings,
    /// the roles in this order, nothing empty.
    fn check_chat(line: &str) -> [String; 3] {
        let value: Value = serde_json::from_str(line).unwrap();
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&value), ["messages"]);
        let messages = value["messages"].as_array().unwrap();
        let contents = messages.iter().zip(["system", "user", "assistant"]);
        let contents: Vec<String> = contents
            .map(|(message, role)| {
                assert_eq!(keys(message), ["role", "content"]);
                assert_eq!(message["role"], role);
                let content = message["content"].as_str().unwrap();
                assert!(!content.trim().is_empty());
                content.to_owned()
            })
            .collect();
        assert_eq!(messages.len(), 3);
        contents.try_into().unwrap()
    }

    #[test]
    fn pairs_are_written_as_a_server_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let store = ExplanationStore::open(dir.path()).unwrap();
        for e in [
            explanation("1", "teacher:m", 0.9),
            explanation("2", "doc", 0.1),
        ] {
            store.merge(&e.origin.clone(), vec![e]).unwrap();
        }
        let functions: Vec<_> = ["1", "2", "3"]
            .map(|hash| SourceFunction {
                source_hash: hash.into(),
                source: "int f(void)\n{\n\treturn \"\u{2028}</s>\"[0];\n}".into(),
                ..SourceFunction::default()
            })
            .into();
        let path = dir.path().join("out.jsonl");
        let all = Explanations::read(dir.path()).unwrap();
        let export = ChatExport {
            preference: "teacher,doc".parse::<Preference>().unwrap().at_least(0.5),
            source_bytes: 1000,
        };
        let exported = export_chat(&path, &functions, &all, &export).unwrap();
        assert_eq!((exported.pairs, exported.without), (1, 2));
        let text = fs::read_to_string(&path).unwrap();
        let [line] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("one line: {text}");
        };
        let [system, user, assistant] = check_chat(line);
        assert!(system.starts_with(INSTRUCTION));
        assert_eq!(user, Prompt::single(&functions[0].source, 1000).user);
        assert_eq!(assistant, "teacher:m says what 1 does.");
    }

    #[test]
    fn listings_are_written_in_the_form_of_clap() {
        let dir = tempfile::tempdir().unwrap();
        let store = ExplanationStore::open(dir.path()).unwrap();
        let e = explanation("1", "doc", 0.9);
        store.merge(&e.origin.clone(), vec![e]).unwrap();
        let row = |hash: &str, split: &str| Row {
            source_hash: hash.into(),
            split: split.into(),
            listing: "push    rbp\nretn".into(),
            ..Row::default()
        };
        let rows = [row("1", "train"), row("1", "test"), row("2", "train")];
        let rows_dir = dir.path().join("rows");
        fs::create_dir(&rows_dir).unwrap();
        write_rows(&rows_dir.join("p.parquet"), &rows).unwrap();
        let path = dir.path().join("out.jsonl");
        let all = Explanations::read(dir.path()).unwrap();
        let preference = "doc".parse().unwrap();
        let exported = export_clap(&path, &rows_dir, "train", &all, &preference).unwrap();
        assert_eq!((exported.pairs, exported.without), (1, 1));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"asm\":{\"1\":\"push    rbp\",\"2\":\"retn\"},\"text\":\"doc says what 1 does.\"}\n"
        );
    }
}
