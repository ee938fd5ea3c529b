//! No split may hold what another one is fitted to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::Row;
use crate::build::{BUILD_KEY, UNITS_KEY};
use crate::error::Result;
use crate::manifest::Split;
use crate::row;

/// The sources and listings of the splits before one.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    sources: HashSet<String>,
    listings: HashSet<String>,
}

impl Earlier {
    /// What the files of rows in `dir` have of the splits before `split`.
    pub(crate) fn than(split: Split, dir: &Path) -> Result<Earlier> {
        let mut earlier = Earlier::default();
        if split == Split::Train {
            return Ok(earlier);
        }
        for (file, of) in files(dir)? {
            if of < split {
                earlier.take(&file)?;
            }
        }
        Ok(earlier)
    }

    fn take(&mut self, file: &Path) -> Result<()> {
        self.sources.extend(row::text_column(file, "source_hash")?);
        self.listings
            .extend(row::text_column(file, "listing_hash")?);
        Ok(())
    }

    /// Drops the rows whose source or listing is known, and says how many.
    pub(crate) fn drop_from(&self, rows: &mut Vec<Row>) -> usize {
        let before = rows.len();
        rows.retain(|r| {
            !self.sources.contains(&r.source_hash) && !self.listings.contains(&r.listing_hash)
        });
        before - rows.len()
    }

    /// The same in a file, which is left as it is if it has none.
    fn drop_from_file(&self, file: &Path) -> Result<usize> {
        let has = |column, known: &HashSet<String>| {
            Ok(row::text_column(file, column)?
                .iter()
                .any(|hash| known.contains(hash)))
        };
        if !has("source_hash", &self.sources)? && !has("listing_hash", &self.listings)? {
            return Ok(0);
        }
        let mut rows = row::read_rows(file)?;
        let dropped = self.drop_from(&mut rows);
        let metadata: Vec<(&str, String)> = [BUILD_KEY, UNITS_KEY]
            .into_iter()
            .filter_map(|key| Some((key, row::metadata(file, key)?)))
            .collect();
        row::write_with(file, &rows, &metadata, row::Effort::Best)?;
        Ok(dropped)
    }
}

/// The files of rows in `dir` that have any, and the split of each.
fn files(dir: &Path) -> Result<Vec<(PathBuf, Split)>> {
    let mut files = Vec::new();
    for file in row::row_files(dir)? {
        let words = row::text_column(&file, "split")?;
        let Some(word) = words.first() else { continue };
        let earlier = [Split::Train, Split::Validation];
        let split = earlier.into_iter().find(|split| split.as_str() == word);
        let split = split.unwrap_or(Split::Test);
        files.push((file, split));
    }
    Ok(files)
}

/// Drops rows from validation files whose source or listing a train file has
/// too, and from test files what a train or validation file has: packages share
/// copied code, and a model would be judged by what it has seen. Returns how
/// many rows were dropped.
pub(crate) fn remove(dir: &Path) -> Result<usize> {
    let files = files(dir)?;
    let mut earlier = Earlier::default();
    let mut dropped = 0;
    for split in [Split::Train, Split::Validation, Split::Test] {
        let files = files.iter().filter(|(_, of)| *of == split);
        let files: Vec<&Path> = files.map(|(file, _)| file.as_path()).collect();
        if split != Split::Train {
            let each = files.par_iter().map(|file| earlier.drop_from_file(file));
            dropped += each.sum::<Result<usize>>()?;
        }
        // Only now: packages of one split may share what they like.
        for file in files {
            earlier.take(file)?;
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    #[test]
    fn what_train_has_is_dropped_from_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let row = |split: &str, source: &str, listing: &str| Row {
            split: split.into(),
            source_hash: source.into(),
            listing_hash: listing.into(),
            ..Row::default()
        };
        let write = |name: &str, rows: &[Row]| {
            row::write_with(
                &dir.path().join(name),
                rows,
                &[(BUILD_KEY, "k".into())],
                row::Effort::Quick,
            )
            .unwrap();
        };
        write(
            "a.parquet",
            &[
                row("test", "s1", "l9"),
                row("test", "s2", "l2"),
                row("test", "s3", "l3"),
            ],
        );
        write(
            "b.parquet",
            &[row("validation", "s2", "l8"), row("validation", "s4", "l1")],
        );
        write(
            "c.parquet",
            &[row("train", "s1", "l1"), row("train", "s1", "l5")],
        );
        write("d.parquet", &[row("train", "s1", "l1")]);
        assert_eq!(remove(dir.path()).unwrap(), 3);
        let left = |name: &str| row::read_rows(&dir.path().join(name)).unwrap();
        assert_eq!(left("a.parquet"), [row("test", "s3", "l3")]);
        assert_eq!(left("b.parquet"), [row("validation", "s2", "l8")]);
        assert_eq!((left("c.parquet").len(), left("d.parquet").len()), (2, 1));
        let kept = row::metadata(&dir.path().join("a.parquet"), BUILD_KEY);
        assert_eq!(kept.as_deref(), Some("k"));
        assert_eq!(remove(dir.path()).unwrap(), 0);
    }
}
