//! No split may hold what another one is fitted to.

use std::collections::HashSet;
use std::path::Path;

use crate::build::{BUILD_KEY, UNITS_KEY};
use crate::error::Result;
use crate::row;

/// Drops rows from validation files whose source or listing a train file has
/// too, and from test files what a train or validation file has: packages share
/// copied code, and a model would be judged by what it has seen. Returns how
/// many rows were dropped.
pub(crate) fn remove(dir: &Path) -> Result<usize> {
    let mut splits: [Vec<_>; 3] = Default::default();
    for file in row::row_files(dir)? {
        let side = match row::text_column(&file, "split")?
            .first()
            .map(String::as_str)
        {
            Some("train") => 0,
            Some("validation") => 1,
            Some(_) => 2,
            None => continue,
        };
        splits[side].push(file);
    }
    let (mut sources, mut listings) = (HashSet::new(), HashSet::new());
    let mut dropped = 0;
    for files in splits {
        for file in &files {
            let file_sources = row::text_column(file, "source_hash")?;
            let file_listings = row::text_column(file, "listing_hash")?;
            let clean = file_sources.iter().all(|h| !sources.contains(h))
                && file_listings.iter().all(|h| !listings.contains(h));
            if clean {
                continue;
            }
            let mut rows = row::read_rows(file)?;
            let before = rows.len();
            rows.retain(|r| {
                !sources.contains(&r.source_hash) && !listings.contains(&r.listing_hash)
            });
            dropped += before - rows.len();
            let metadata: Vec<(&str, String)> = [BUILD_KEY, UNITS_KEY]
                .into_iter()
                .filter_map(|key| Some((key, row::metadata(file, key)?)))
                .collect();
            row::write_with(file, &rows, &metadata, row::Effort::Best)?;
        }
        // Only now: packages of one split may share what they like.
        for file in &files {
            sources.extend(row::text_column(file, "source_hash")?);
            listings.extend(row::text_column(file, "listing_hash")?);
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
