use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::quality::Quality;
use crate::error::Result;
use crate::row;

/// One distinct body of source, whatever it was compiled with.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SourceFunction {
    /// Stands for the body without comments and white space.
    pub source_hash: String,
    /// Joins it with its rows; of several functions with this body, the first.
    pub function_id: String,
    /// Source package.
    pub package: String,
    /// `train`, `validation` or `test`.
    pub split: String,
    /// The function's name.
    pub name: String,
    /// The file that defines it.
    pub file: String,
    /// The definition as it stands in the file.
    pub source: String,
    /// The best comment that any function with this body has.
    pub comment: Option<String>,
    /// The score of that comment, see [`Quality`].
    pub comment_quality: f32,
}

/// Reads each distinct body of source of a directory of rows once, ordered by
/// `source_hash`. Listings are not read.
pub fn source_functions(rows: &Path) -> Result<Vec<SourceFunction>> {
    let mut found: BTreeMap<String, SourceFunction> = BTreeMap::new();
    let mut comments = BTreeSet::new();
    for path in row::row_files(rows)? {
        let column = |name| row::text_column(&path, name);
        let hashes = column("source_hash")?;
        let [ids, packages, splits, names, files, sources, texts] = [
            column("function_id")?,
            column("package")?,
            column("split")?,
            column("name")?,
            column("file")?,
            column("source")?,
            column("comment")?,
        ];
        for (i, hash) in hashes.into_iter().enumerate() {
            if !texts[i].is_empty() {
                comments.insert((hash.clone(), packages[i].clone(), texts[i].clone()));
            }
            let new = || SourceFunction {
                source_hash: hash.clone(),
                function_id: ids[i].clone(),
                package: packages[i].clone(),
                split: splits[i].clone(),
                name: names[i].clone(),
                file: files[i].clone(),
                source: sources[i].clone(),
                ..SourceFunction::default()
            };
            let known = found.entry(hash.clone()).or_insert_with(new);
            // Rows may come in any order, and none may leak into training.
            if strictness(&splits[i]) > strictness(&known.split)
                || (splits[i] == known.split
                    && (&packages[i], &ids[i]) < (&known.package, &known.function_id))
            {
                *known = new();
            }
        }
    }

    let mut sharing: HashMap<(&str, &str), usize> = HashMap::new();
    for (_, package, text) in &comments {
        *sharing.entry((package, text)).or_default() += 1;
    }
    for (hash, package, text) in &comments {
        let Some(function) = found.get_mut(hash) else {
            continue;
        };
        let others = sharing[&(package.as_str(), text.as_str())] - 1;
        let score = Quality::of(text, &function.source, others).score();
        if function.comment.is_none() || score > function.comment_quality {
            function.comment = Some(text.clone());
            function.comment_quality = score;
        }
    }
    Ok(found.into_values().collect())
}

fn strictness(split: &str) -> u8 {
    match split {
        "test" => 2,
        "validation" => 1,
        _ => 0,
    }
}

/// Puts functions into an order drawn by `seed` and keeps the first `count`.
/// Each has its place by its own hash, so a larger sample holds the smaller
/// one, and functions that are added do not move the others.
pub fn sample(
    mut functions: Vec<SourceFunction>,
    count: Option<usize>,
    seed: u64,
) -> Vec<SourceFunction> {
    functions.sort_by_cached_key(|function| place(&function.source_hash, seed));
    functions.truncate(count.unwrap_or(usize::MAX));
    functions
}

/// Where in an order drawn by `seed` something with this hash stands.
pub(crate) fn place(hash: &str, seed: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(hash.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Row, write_rows};

    fn row(package: &str, split: &str, hash: &str, comment: Option<&str>) -> Row {
        Row {
            package: package.into(),
            split: split.into(),
            source_hash: hash.into(),
            function_id: format!("{package}-{hash}"),
            source: "int f(int size) { return size; }".into(),
            comment: comment.map(str::to_owned),
            ..Row::default()
        }
    }

    #[test]
    fn a_body_is_read_once_with_its_best_comment_and_strictest_split() {
        let dir = tempfile::tempdir().unwrap();
        let good = "Returns the size that it was given.";
        let rows = [
            row("a", "train", "1", Some("The helper.")),
            row("a", "train", "1", None),
            row("a", "train", "2", None),
        ];
        write_rows(&dir.path().join("a.parquet"), &rows).unwrap();
        let rows = [row("b", "test", "1", Some(good))];
        write_rows(&dir.path().join("b.parquet"), &rows).unwrap();

        let functions = source_functions(dir.path()).unwrap();
        assert_eq!(functions.len(), 2);
        assert_eq!(functions[0].comment.as_deref(), Some(good));
        assert_eq!(functions[0].comment_quality, 1.0);
        assert_eq!(functions[0].split, "test");
        assert_eq!(functions[1].comment, None);
    }

    #[test]
    fn samples_are_nested_and_differ_by_seed() {
        let all = |n: usize| -> Vec<SourceFunction> {
            (0..n)
                .map(|i| SourceFunction {
                    source_hash: i.to_string(),
                    ..SourceFunction::default()
                })
                .collect()
        };
        let small = sample(all(100), Some(10), 1);
        let large = sample(all(100), Some(20), 1);
        assert_eq!(small, large[..10]);
        assert_ne!(small, sample(all(100), Some(10), 2));
        let grown: Vec<_> = sample(all(120), None, 1)
            .into_iter()
            .filter(|f| f.source_hash.len() < 3)
            .collect();
        assert_eq!(small, grown[..10], "those added move nobody");
    }
}
