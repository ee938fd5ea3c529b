//! Whether rows may be trained on and judged by.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::row;

/// What is wrong with a directory of rows, and what was looked at.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Files that were read.
    pub files: usize,
    /// Rows that were read.
    pub rows: usize,
    /// What is wrong; nothing, if the rows are sound.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `split`, `source`, `listing`, `duplicate` or `file`.
    pub kind: &'static str,
    /// In words.
    pub message: String,
}

/// Where a hash was seen first.
#[derive(Clone, Copy)]
struct Seen {
    split: usize,
    file: usize,
}

/// Of each kind, so many are told one by one.
const TOLD: usize = 20;

/// Checks that every file can be read, that no package is in two splits, that
/// no source body and no listing is, and that no row is there twice.
pub fn verify(dir: &Path) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut faults: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut splits: Vec<String> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut packages: HashMap<String, usize> = HashMap::new();
    let mut seen: [HashMap<String, Seen>; 2] = Default::default();
    for path in row::row_files(dir)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let rows = match row::read_rows(&path) {
            Ok(rows) => rows,
            Err(error) => {
                faults.entry("file").or_default().push(error.to_string());
                continue;
            }
        };
        verdict.files += 1;
        verdict.rows += rows.len();
        names.push(name.clone());
        let file = names.len() - 1;
        let mut own = HashSet::new();
        for row in &rows {
            let split = splits
                .iter()
                .position(|s| *s == row.split)
                .unwrap_or_else(|| {
                    splits.push(row.split.clone());
                    splits.len() - 1
                });
            let known = *packages.entry(row.package.clone()).or_insert(split);
            if known != split {
                let (a, b) = (&splits[known], &splits[split]);
                let fault = format!("{} is in {a} and in {b}", row.package);
                let told = faults.entry("split").or_default();
                if !told.contains(&fault) {
                    told.push(fault);
                }
            }
            let hashes = [("source", &row.source_hash), ("listing", &row.listing_hash)];
            for ((kind, hash), seen) in hashes.into_iter().zip(&mut seen) {
                let first = *seen.entry(hash.clone()).or_insert(Seen { split, file });
                if first.split != split {
                    faults.entry(kind).or_default().push(format!(
                        "{} of {name} ({}) has the {kind} of a function of {} ({})",
                        row.name, splits[split], names[first.file], splits[first.split]
                    ));
                }
            }
            if !own.insert((row.toolchain(), &row.listing_hash)) {
                let fault = format!(
                    "{} of {name} is there twice under {}",
                    row.name,
                    row.toolchain()
                );
                faults.entry("duplicate").or_default().push(fault);
            }
        }
    }
    for (kind, messages) in faults {
        let more = messages.len().saturating_sub(TOLD);
        let told = messages.into_iter().take(TOLD);
        verdict
            .faults
            .extend(told.map(|message| Fault { kind, message }));
        if more > 0 {
            let message = format!("and {more} more of this kind");
            verdict.faults.push(Fault { kind, message });
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    #[test]
    fn leaks_and_duplicates_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let row = |package: &str, split: &str, source: &str, listing: &str| Row {
            package: package.into(),
            split: split.into(),
            source_hash: source.into(),
            listing_hash: listing.into(),
            ..Row::default()
        };
        let write = |name: &str, rows: &[Row]| {
            row::write_rows(&dir.path().join(name), rows).unwrap();
        };
        write(
            "a.parquet",
            &[row("a", "train", "s1", "l1"), row("a", "train", "s2", "l2")],
        );
        write("b.parquet", &[row("b", "test", "s3", "l3")]);
        assert!(verify(dir.path()).unwrap().faults.is_empty());
        write(
            "b.parquet",
            &[
                row("b", "test", "s1", "l3"),
                row("b", "test", "s4", "l2"),
                row("b", "test", "s5", "l3"),
            ],
        );
        write("c.parquet", &[row("a", "test", "s6", "l6")]);
        std::fs::write(dir.path().join("d.parquet"), "no").unwrap();
        let verdict = verify(dir.path()).unwrap();
        let kinds: Vec<&str> = verdict.faults.iter().map(|f| f.kind).collect();
        assert_eq!(kinds, ["duplicate", "file", "listing", "source", "split"]);
        assert_eq!((verdict.files, verdict.rows), (3, 6));
    }
}
