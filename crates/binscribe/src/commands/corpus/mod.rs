//! `binscribe corpus`: source packages in, rows out.

mod explain;
mod export;
mod review;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use binscribe_corpus::explain::{SourceFunction, sample};
use binscribe_corpus::{Corpus, Event, Manifest, Stats, Toolchain, Watch};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args;
use crate::json;
use crate::output::{self, Field, Format, Table, note};

pub(crate) fn run(args: &args::Corpus) -> Result<()> {
    match args {
        args::Corpus::Fetch(args) => {
            follow(args, |corpus, names, watch| corpus.fetch(names, watch))
        }
        args::Corpus::Build { args, again } => {
            let toolchains = Toolchain::installed()?;
            follow(args, |corpus, names, watch| {
                corpus.fetch(names, watch)?;
                corpus.build(names, &toolchains, *again, watch)
            })
        }
        args::Corpus::Explain(args) => explain::run(args),
        args::Corpus::Export(args) => export::run(args),
        args::Corpus::Review(args) => review::run(args),
        args::Corpus::Stats { corpus, format } => stats(corpus, format.format),
    }
}

/// Set by Ctrl-C; what is running is finished and kept, and the next run goes
/// on from there.
static STOP: AtomicBool = AtomicBool::new(false);

fn watch_for_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note("finishing what is running; press Ctrl-C again to end at once");
    })
    .context("cannot watch for Ctrl-C")
}

/// The rows of a corpus directory, if it has any.
fn rows_of(corpus: &Path) -> Result<PathBuf> {
    let rows = corpus.join("rows");
    if !rows.is_dir() {
        bail!(
            "{} has no rows: make them with `binscribe corpus build`",
            corpus.display()
        );
    }
    Ok(rows)
}

/// Those of the functions that are meant, in the order of the sample.
fn choose(
    args: &args::FunctionsArgs,
    mut functions: Vec<SourceFunction>,
    wanted: impl Fn(&SourceFunction) -> bool,
) -> Result<Vec<SourceFunction>> {
    for package in &args.packages {
        if !functions.iter().any(|f| f.package == *package) {
            bail!(
                "the corpus has no package {package:?}; `binscribe corpus stats` lists those that it has"
            );
        }
    }
    functions
        .retain(|f| (args.packages.is_empty() || args.packages.contains(&f.package)) && wanted(f));
    Ok(sample(functions, args.sample, args.seed))
}

fn follow(
    args: &args::CorpusArgs,
    work: impl Fn(&Corpus, &[String], Watch<'_>) -> binscribe_corpus::Result<()>,
) -> Result<()> {
    if !args.manifest.is_file() {
        bail!(
            "{}: there is no such list of packages; name one with --manifest FILE",
            args.manifest.display()
        );
    }
    let corpus = Corpus::open(&args.corpus, Manifest::load(&args.manifest)?)?;
    watch_for_ctrl_c()?;
    let display = Display {
        bar: output::progress("", 0),
        failures: Mutex::new(0),
    };
    let report = |event: Event| display.show(event);
    let watch = Watch {
        report: &report,
        stop: &STOP,
    };
    work(&corpus, &args.packages, watch)?;
    display.bar.finish_and_clear();
    let failures = display.failures.lock().map_or(0, |failures| *failures);
    if failures > 0 {
        note(&format!("done, but for {failures} failures told above"));
    }
    Ok(())
}

struct Display {
    bar: ProgressBar,
    failures: Mutex<usize>,
}

impl Display {
    fn show(&self, event: Event) {
        let say = |text: String| self.bar.suspend(|| note(&text));
        match event {
            Event::Fetching { package } => say(format!("{package}: fetching")),
            Event::Recording { package } => say(format!("{package}: building once")),
            Event::Compiling {
                package,
                done,
                total,
            } => {
                self.bar.set_length(total as u64);
                self.bar.set_message(format!("{package}: compiling"));
                self.bar.set_position(done as u64);
            }
            Event::Listing { package, toolchain } => {
                self.bar
                    .set_message(format!("{package}: listing {toolchain}"));
            }
            Event::Written { package, rows } => say(format!("{package}: {rows} rows")),
            Event::Failed { package, message } => {
                if let Ok(mut failures) = self.failures.lock() {
                    *failures += 1;
                }
                say(format!("warning: {package}: {message}"));
            }
            _ => {}
        }
    }
}

#[derive(Serialize)]
struct Counted {
    version: u32,
    #[serde(flatten)]
    stats: Stats,
}

fn stats(directory: &Path, format: Format) -> Result<()> {
    let stats = Stats::of(&rows_of(directory)?)?;
    let mut table = Table::new(&[
        "PACKAGE",
        "VERSION",
        "SPLIT",
        "FUNCTIONS",
        "DOCUMENTED",
        "USEFUL",
        "QUALITY",
        "ROWS",
        "BYTES",
        "BYTES/ROW",
        "FOUND BY LIFT",
    ]);
    let (mut functions, mut documented, mut count, mut bytes) = (0, 0, 0, 0);
    let (mut useful, mut quality) = (0, 0.0);
    for package in &stats.packages {
        functions += package.functions as u64;
        documented += package.documented as u64;
        useful += package.useful as u64;
        quality += package.quality * package.documented as f64;
        count += package.rows as u64;
        bytes += package.bytes;
        table.row(vec![
            package.package.as_str().into(),
            package.version.as_str().into(),
            package.split.as_str().into(),
            Field::Count(package.functions as u64),
            Field::Count(package.documented as u64),
            Field::Count(package.useful as u64),
            Field::Number(package.quality, 2),
            Field::Count(package.rows as u64),
            Field::Count(package.bytes),
            Field::Number(package.bytes_per_row(), 0),
            package
                .discovery_recall()
                .map_or(Field::Empty, |recall| Field::Number(recall, 4)),
        ]);
    }
    if format == Format::Table {
        table.row(vec![
            "all".into(),
            Field::Empty,
            Field::Empty,
            Field::Count(functions),
            Field::Count(documented),
            Field::Count(useful),
            Field::Number(quality / (documented as f64).max(1.0), 2),
            Field::Count(count),
            Field::Count(bytes),
            Field::Number(bytes as f64 / (count as f64).max(1.0), 0),
            Field::Empty,
        ]);
    }
    table.print_as(
        format,
        &Counted {
            version: json::VERSION,
            stats,
        },
    )
}
