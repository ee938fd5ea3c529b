//! Makes a corpus, or says what is in one:
//! `corpus fetch|build|again|stats|show DIR MANIFEST [PACKAGE..]`.
//!
//! `again` lists anew what was built, `show` prints a few rows.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use binscribe_corpus::{Corpus, Event, Manifest, Stats, Toolchain, Watch, read_rows};

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, dir, manifest, names @ ..] = arguments.as_slice() else {
        eprintln!("corpus fetch|build|again|stats|show DIR MANIFEST [PACKAGE..]");
        std::process::exit(2);
    };
    if let Err(error) = run(command, Path::new(dir), Path::new(manifest), names) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run(
    command: &str,
    dir: &Path,
    manifest: &Path,
    names: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed))?;
    let corpus = Corpus::open(dir, Manifest::load(manifest)?)?;
    let report = |event: Event| match event {
        Event::Compiling { done, total, .. } if done != total && done % 200 != 0 => {}
        event => eprintln!("{event:?}"),
    };
    let watch = Watch {
        report: &report,
        stop: &STOP,
    };
    match command {
        "fetch" => corpus.fetch(names, watch)?,
        "build" => corpus.build(names, &Toolchain::installed()?, false, watch)?,
        "again" => corpus.build(names, &Toolchain::installed()?, true, watch)?,
        "stats" => print_stats(&Stats::of(&corpus.rows_dir())?),
        "show" => {
            for name in names {
                let rows = read_rows(&corpus.rows_dir().join(format!("{name}.parquet")))?;
                for row in rows.iter().step_by(rows.len() / 5 + 1) {
                    println!(
                        "==== {} {} {} {}:{}",
                        row.package, row.compiler, row.level, row.file, row.line
                    );
                    println!("{:?}\n{}\n{}", row.comment, row.source, row.listing);
                }
            }
        }
        other => return Err(format!("unknown command {other}").into()),
    }
    Ok(())
}

fn print_stats(stats: &Stats) {
    let mut table = comfy_table::Table::new();
    table.set_header([
        "package",
        "split",
        "functions",
        "documented",
        "rows",
        "B/row",
        "recall",
        "aligned",
        "rows by toolchain",
    ]);
    let mut splits: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for p in &stats.packages {
        let found: usize = p.units.iter().map(|u| u.discovered).sum();
        let aligned: usize = p.units.iter().map(|u| u.aligned).sum();
        let by: Vec<String> = p
            .rows_by_toolchain
            .iter()
            .map(|(t, n)| format!("{t} {n}"))
            .collect();
        table.add_row([
            p.package.clone(),
            p.split.clone(),
            p.functions.to_string(),
            format!(
                "{} ({:.0}%)",
                p.documented,
                100.0 * p.documented as f64 / p.functions as f64
            ),
            p.rows.to_string(),
            format!("{:.0}", p.bytes_per_row()),
            p.discovery_recall()
                .map_or_else(String::new, |r| format!("{:.2}%", 100.0 * r)),
            format!("{:.1}%", 100.0 * aligned as f64 / found.max(1) as f64),
            by.join(" "),
        ]);
        let sums = splits.entry(&p.split).or_default();
        for (sum, n) in sums.iter_mut().zip([p.functions, p.documented, p.rows]) {
            *sum += n;
        }
    }
    println!("{table}");
    for (split, [functions, documented, rows]) in splits {
        println!("{split}: {functions} functions, {documented} documented, {rows} rows");
    }
}
