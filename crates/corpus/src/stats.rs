use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::build::UNITS_KEY;
use crate::error::{At as _, Result};
use crate::explain::{Quality, USEFUL};
use crate::row;
use crate::unit::UnitStats;

/// What a directory of rows holds, package by package.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// By the name of the package.
    pub packages: Vec<PackageStats>,
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
    /// Those of them whose comment says something, by [`USEFUL`].
    pub useful: usize,
    /// Mean [`Quality`] of the comments.
    pub quality: f64,
    /// Rows under each toolchain, such as `gcc-O2`.
    pub rows_by_toolchain: BTreeMap<String, usize>,
    /// Rows in all.
    pub rows: usize,
    /// Size of the file.
    pub bytes: u64,
    /// What became of the functions of each unit when it was listed; `rows`
    /// there is before leaks between splits were removed.
    pub units: Vec<UnitStats>,
}

impl PackageStats {
    /// Bytes on disk for each row.
    pub fn bytes_per_row(&self) -> f64 {
        self.bytes as f64 / self.rows.max(1) as f64
    }

    /// Share of the functions in the debug information that the lifter found
    /// in the stripped units, none if there are no units.
    pub fn discovery_recall(&self) -> Option<f64> {
        let all: usize = self.units.iter().map(|u| u.subprograms).sum();
        let found: usize = self.units.iter().map(|u| u.discovered).sum();
        (all > 0).then(|| found as f64 / all as f64)
    }
}

impl Stats {
    /// Reads the statistics of every file of rows in `dir`.
    pub fn of(dir: &Path) -> Result<Stats> {
        let mut packages = Vec::new();
        for path in row::row_files(dir)? {
            let rows = row::read_rows(&path)?;
            let Some(first) = rows.first() else { continue };
            let mut stats = PackageStats {
                package: first.package.clone(),
                version: first.version.clone(),
                split: first.split.clone(),
                rows: rows.len(),
                bytes: fs::metadata(&path).at(&path)?.len(),
                units: row::metadata(&path, UNITS_KEY)
                    .and_then(|json| serde_json::from_str(&json).ok())
                    .unwrap_or_default(),
                ..PackageStats::default()
            };
            let mut functions = BTreeSet::new();
            let mut documented = BTreeMap::new();
            for row in &rows {
                functions.insert(&row.function_id);
                if let Some(comment) = &row.comment {
                    documented.insert(&row.function_id, (comment, &row.source));
                }
                let toolchain = format!("{}-{}", row.compiler, row.level);
                *stats.rows_by_toolchain.entry(toolchain).or_default() += 1;
            }
            (stats.functions, stats.documented) = (functions.len(), documented.len());
            let mut sharing: BTreeMap<&str, usize> = BTreeMap::new();
            for (comment, _) in documented.values() {
                *sharing.entry(comment).or_default() += 1;
            }
            let mut sum = 0.0;
            for (comment, source) in documented.values() {
                let score = Quality::of(comment, source, sharing[comment.as_str()] - 1).score();
                stats.useful += usize::from(score >= USEFUL);
                sum += f64::from(score);
            }
            stats.quality = sum / documented.len().max(1) as f64;
            packages.push(stats);
        }
        Ok(Stats { packages })
    }
}
