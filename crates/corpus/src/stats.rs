use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::build::UNITS_KEY;
use crate::error::{At as _, Result};
use crate::explain::{Quality, USEFUL};
use crate::row;
use crate::unit::UnitStats;

/// What a directory of rows holds.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// By the name of the package.
    pub packages: Vec<PackageStats>,
    /// Rows in all.
    pub rows: usize,
    /// Distinct pairs of a source and a listing.
    pub pairs: usize,
    /// Distinct bodies of functions.
    pub sources: usize,
    /// Those of them that have a comment.
    pub documented: usize,
    /// Rows under each toolchain.
    pub rows_by_toolchain: BTreeMap<String, usize>,
    /// How long the texts are.
    pub lengths: Lengths,
}

/// What the rows of one package hold.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PackageStats {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The split it is in.
    pub split: String,
    /// Distinct functions of the source that have a row.
    pub functions: usize,
    /// Those of them that have a comment.
    pub documented: usize,
    /// Distinct pairs of a source and a listing.
    pub pairs: usize,
    /// Those of them whose comment says something, by [`USEFUL`].
    pub useful: usize,
    /// Mean [`Quality`] of the comments.
    pub quality: f64,
    /// Rows under each toolchain, such as `gcc-12.2.0-O2`.
    pub rows_by_toolchain: BTreeMap<String, usize>,
    /// Rows in all.
    pub rows: usize,
    /// Size of the file without LLVM IR.
    pub bytes: u64,
    /// Size of the LLVM IR in it.
    pub ir_bytes: u64,
    /// Size of the listings, sources and comments in it.
    pub text_bytes: u64,
    /// What became of the functions of each unit when it was listed; `rows`
    /// there is before leaks between splits were removed.
    pub units: Vec<UnitStats>,
}

impl PackageStats {
    /// Bytes on disk for each row, without LLVM IR.
    pub fn bytes_per_row(&self) -> f64 {
        self.bytes as f64 / self.rows.max(1) as f64
    }

    /// Share of the functions in the debug information that the lifter found
    /// in the stripped units, none if there are no units.
    pub fn discovery_recall(&self) -> Option<f64> {
        self.share(|u| u.discovered, |u| u.subprograms)
    }

    /// Of the functions for which debug information and names both find a
    /// definition, the share for which it is the same one.
    pub fn agreement(&self) -> Option<f64> {
        self.share(|u| u.agree, |u| u.both)
    }

    fn share(&self, part: fn(&UnitStats) -> usize, all: fn(&UnitStats) -> usize) -> Option<f64> {
        let part: usize = self.units.iter().map(part).sum();
        let all: usize = self.units.iter().map(all).sum();
        (all > 0).then(|| part as f64 / all as f64)
    }
}

/// How long the texts of the rows are, in characters, each source and comment
/// counted once: the figures behind ContraBin's Figure 5.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Lengths {
    /// Definitions as they stand in their files.
    pub source: Histogram,
    /// What is said of them.
    pub comment: Histogram,
    /// Listings of machine code.
    pub listing: Histogram,
    /// LLVM IR.
    pub ir: Histogram,
}

impl Lengths {
    /// Each of them with its name.
    pub fn all(&self) -> [(&'static str, &Histogram); 4] {
        [
            ("source", &self.source),
            ("comment", &self.comment),
            ("listing", &self.listing),
            ("LLVM IR", &self.ir),
        ]
    }
}

/// Counts of lengths in classes that grow by a quarter of a doubling.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Histogram {
    /// Texts in all.
    pub count: usize,
    /// How many are in each class, by the least length of the class.
    pub classes: BTreeMap<u64, usize>,
}

impl Histogram {
    fn add(&mut self, text: &str) {
        let length = text.chars().count().max(1) as f64;
        let class = (length.log2() * 4.0).floor() / 4.0;
        self.count += 1;
        *self.classes.entry(class.exp2().ceil() as u64).or_default() += 1;
    }

    /// The least length of the class that this share of the texts is below or
    /// in; none without texts.
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let mut below = 0;
        for (&length, &count) in &self.classes {
            below += count;
            if below as f64 >= share * self.count as f64 {
                return Some(length);
            }
        }
        None
    }
}

impl Stats {
    /// Reads the statistics of every file of rows in `dir`.
    pub fn of(dir: &Path) -> Result<Stats> {
        let mut all = Stats::default();
        let (mut pairs, mut sources, mut documented) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for path in row::row_files(dir)? {
            let rows = row::read_rows(&path)?;
            let Some(first) = rows.first() else { continue };
            let sizes = row::column_bytes(&path)?;
            let size_of = |columns: &[&str]| -> u64 {
                let of_those = sizes.iter().filter(|(name, _)| columns.contains(&&**name));
                of_those.map(|(_, size)| size).sum()
            };
            let ir_bytes = size_of(&["ir"]);
            let mut stats = PackageStats {
                package: first.package.clone(),
                version: first.version.clone(),
                split: first.split.clone(),
                rows: rows.len(),
                bytes: fs::metadata(&path)
                    .at(&path)?
                    .len()
                    .saturating_sub(ir_bytes),
                ir_bytes,
                text_bytes: size_of(&["listing", "source", "comment"]),
                units: row::metadata(&path, UNITS_KEY)
                    .and_then(|json| serde_json::from_str(&json).ok())
                    .unwrap_or_default(),
                ..PackageStats::default()
            };
            let (mut functions, mut commented, mut package_pairs) =
                (BTreeSet::new(), BTreeMap::new(), HashSet::new());
            for row in &rows {
                functions.insert(&row.function_id);
                *stats.rows_by_toolchain.entry(row.toolchain()).or_default() += 1;
                let pair = (row.source_hash.clone(), row.listing_hash.clone());
                package_pairs.insert(pair.clone());
                pairs.insert(pair);
                all.lengths.listing.add(&row.listing);
                if let Some(ir) = &row.ir {
                    all.lengths.ir.add(ir);
                }
                if sources.insert(row.source_hash.clone()) {
                    all.lengths.source.add(&row.source);
                }
                if let Some(comment) = &row.comment {
                    commented.insert(&row.function_id, (comment, &row.source));
                    if documented.insert(row.source_hash.clone()) {
                        all.lengths.comment.add(comment);
                    }
                }
            }
            (stats.functions, stats.documented) = (functions.len(), commented.len());
            stats.pairs = package_pairs.len();
            for (toolchain, rows) in &stats.rows_by_toolchain {
                *all.rows_by_toolchain.entry(toolchain.clone()).or_default() += rows;
            }
            all.rows += stats.rows;
            let mut sharing: BTreeMap<&str, usize> = BTreeMap::new();
            for (comment, _) in commented.values() {
                *sharing.entry(comment).or_default() += 1;
            }
            let mut sum = 0.0;
            for (comment, source) in commented.values() {
                let score = Quality::of(comment, source, sharing[comment.as_str()] - 1).score();
                stats.useful += usize::from(score >= USEFUL);
                sum += f64::from(score);
            }
            stats.quality = sum / commented.len().max(1) as f64;
            all.packages.push(stats);
        }
        all.pairs = pairs.len();
        (all.sources, all.documented) = (sources.len(), documented.len());
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_class() {
        let mut lengths = Histogram::default();
        assert_eq!(lengths.percentile(0.5), None);
        for n in [1, 10, 10, 100, 1000] {
            lengths.add(&"x".repeat(n));
        }
        assert_eq!(lengths.percentile(0.0), Some(1));
        let middle = lengths.percentile(0.5).unwrap();
        assert!((8..=10).contains(&middle), "{middle}");
        let top = lengths.percentile(1.0).unwrap();
        assert!((840..=1000).contains(&top), "{top}");
    }
}
