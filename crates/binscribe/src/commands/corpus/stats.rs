//! `binscribe corpus stats`: what a corpus holds.

use std::fs;

use anyhow::{Context, Result};
use binscribe_corpus::{PackageStats, Stats};
use serde::Serialize;

use super::rows_of;
use crate::args::{CorpusStats, StatsTable};
use crate::json;
use crate::output::{Field, Format, Table, note};

#[derive(Serialize)]
struct Counted {
    version: u32,
    #[serde(flatten)]
    stats: Stats,
}

pub(crate) fn run(args: &CorpusStats) -> Result<()> {
    let stats = Stats::of(&rows_of(&args.corpus)?)?;
    if let Some(dir) = &args.plots {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        stats.draw(dir)?;
        note(&format!(
            "lengths.svg and toolchains.svg are in {}",
            dir.display()
        ));
    }
    let format = args.format.format;
    let table = match args.table {
        StatsTable::Packages => packages(&stats, format),
        StatsTable::Toolchains => toolchains(&stats),
        StatsTable::Lengths => lengths(&stats),
        StatsTable::Pairs => pairs(&stats, format),
    };
    let version = json::VERSION;
    table.print_as(format, &Counted { version, stats })
}

fn packages(stats: &Stats, format: Format) -> Table {
    let mut table = Table::new(&[
        "PACKAGE",
        "VERSION",
        "SPLIT",
        "FUNCTIONS",
        "DOCUMENTED",
        "USEFUL",
        "QUALITY",
        "PAIRS",
        "ROWS",
        "BYTES",
        "BYTES/ROW",
        "OF TEXT",
        "FOUND BY LIFT",
        "NAMES AGREE",
    ]);
    let share = |share: Option<f64>| share.map_or(Field::Empty, |share| Field::Number(share, 4));
    let per_row = |bytes: u64, rows: usize| bytes as f64 / (rows as f64).max(1.0);
    for package in &stats.packages {
        table.row(vec![
            package.package.as_str().into(),
            package.version.as_str().into(),
            package.split.as_str().into(),
            Field::Count(package.functions as u64),
            Field::Count(package.documented as u64),
            Field::Count(package.useful as u64),
            Field::Number(package.quality, 2),
            Field::Count(package.pairs as u64),
            Field::Count(package.rows as u64),
            Field::Count(package.bytes),
            Field::Number(package.bytes_per_row(), 0),
            Field::Number(per_row(package.text_bytes, package.rows), 0),
            share(package.discovery_recall()),
            share(package.agreement()),
        ]);
    }
    if format == Format::Table {
        let sum = |of: fn(&PackageStats) -> usize| stats.packages.iter().map(of).sum::<usize>();
        let bytes: u64 = stats.packages.iter().map(|p| p.bytes).sum();
        let text: u64 = stats.packages.iter().map(|p| p.text_bytes).sum();
        table.row(vec![
            "all".into(),
            Field::Empty,
            Field::Empty,
            Field::Count(sum(|p| p.functions) as u64),
            Field::Count(sum(|p| p.documented) as u64),
            Field::Count(sum(|p| p.useful) as u64),
            Field::Empty,
            Field::Count(stats.pairs as u64),
            Field::Count(stats.rows as u64),
            Field::Count(bytes),
            Field::Number(per_row(bytes, stats.rows), 0),
            Field::Number(per_row(text, stats.rows), 0),
            Field::Empty,
            Field::Empty,
        ]);
    }
    table
}

fn toolchains(stats: &Stats) -> Table {
    let mut table = Table::new(&["TOOLCHAIN", "ROWS"]);
    for (toolchain, rows) in &stats.rows_by_toolchain {
        table.row(vec![toolchain.as_str().into(), Field::Count(*rows as u64)]);
    }
    table
}

fn lengths(stats: &Stats) -> Table {
    let mut table = Table::new(&["TEXT", "COUNT", "MEDIAN", "90TH PERCENTILE"]);
    for (name, histogram) in stats.lengths.all() {
        let at = |share| {
            histogram
                .percentile(share)
                .map_or(Field::Empty, Field::Count)
        };
        table.row(vec![
            name.into(),
            Field::Count(histogram.count as u64),
            at(0.5),
            at(0.9),
        ]);
    }
    table
}

/// Table 1 of "Assembly-source masked language modelling": over all
/// configurations of a package, its functions in machine code, in the sources,
/// and the pairs that were matched.
fn pairs(stats: &Stats, format: Format) -> Table {
    let mut table = Table::new(&[
        "PACKAGE/VERSION",
        "CONFIGURATIONS",
        "ASSEMBLY FUNCTIONS",
        "SOURCE FUNCTIONS",
        "PAIRS MATCHED",
    ]);
    let mut total = 0;
    for package in &stats.packages {
        let units = &package.units;
        let configurations: Vec<&str> = units.iter().map(|u| u.toolchain.as_str()).collect();
        let count = |of: fn(&binscribe_corpus::UnitStats) -> usize| {
            Field::Count(units.iter().map(of).sum::<usize>() as u64)
        };
        total += package.rows as u64;
        table.row(vec![
            format!("{}-{}", package.package, package.version).into(),
            configurations.join(" ").into(),
            count(|u| u.lifted),
            count(|u| u.definitions),
            Field::Count(package.rows as u64),
        ]);
    }
    if format == Format::Table {
        table.row(vec![
            "total".into(),
            Field::Empty,
            Field::Empty,
            Field::Empty,
            Field::Count(total),
        ]);
    }
    table
}
