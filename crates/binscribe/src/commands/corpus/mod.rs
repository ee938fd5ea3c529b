//! `binscribe corpus`: source packages in, rows out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use binscribe_corpus::{Corpus, Event, Manifest, Stats, Toolchain, Watch};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args;
use crate::json;
use crate::output::{self, Field, Format, Table, note};

pub(crate) fn run(args: &args::Corpus) -> Result<()> {
    match args {
        args::Corpus::Fetch(args) => {
            let corpus = open(args)?;
            follow(|watch| corpus.fetch(&args.packages, watch))
        }
        args::Corpus::Build(args) => build(args),
        args::Corpus::Stats { corpus, format } => stats(corpus, format.format),
    }
}

fn build(args: &args::CorpusBuild) -> Result<()> {
    let corpus = open(&args.corpus)?.aligned(args.align.into());
    let (mut toolchains, absent) = corpus.toolchains();
    for why in absent {
        note(&format!("warning: left out: {why}"));
    }
    if !args.toolchains.is_empty() {
        let names: Vec<String> = toolchains.iter().map(Toolchain::to_string).collect();
        toolchains.retain(|t| args.toolchains.iter().any(|p| p.matches(&t.to_string())));
        if toolchains.is_empty() {
            bail!("no toolchain is called so; there are {}", names.join(", "));
        }
    }
    if toolchains.is_empty() {
        bail!("no compiler of the manifest is installed: apt-get install gcc-12 clang-14");
    }
    let names = &args.corpus.packages;
    let effort = follow(|watch| {
        corpus.fetch(names, watch)?;
        corpus.build(names, &toolchains, args.again, watch)
    })?;
    if let Some(share) = effort.compiler_share() {
        note(&format!(
            "{} rows of {} units in {:.0} s, {:.0} rows a second; compilers had {:.0} % of the time",
            effort.rows,
            effort.units,
            effort.seconds,
            effort.rows as f64 / effort.seconds.max(1e-3),
            100.0 * share,
        ));
    }
    Ok(())
}

/// Set by Ctrl-C; what is running is finished and kept, and the next run goes
/// on from there.
static STOP: AtomicBool = AtomicBool::new(false);

fn open(args: &args::CorpusArgs) -> Result<Corpus> {
    if !args.manifest.is_file() {
        bail!(
            "{}: there is no such list of packages; name one with --manifest FILE",
            args.manifest.display()
        );
    }
    Ok(Corpus::open(&args.corpus, Manifest::load(&args.manifest)?)?)
}

fn follow<T>(work: impl Fn(Watch<'_>) -> binscribe_corpus::Result<T>) -> Result<T> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note("finishing what is running; press Ctrl-C again to end at once");
    })
    .context("cannot watch for Ctrl-C")?;
    let display = Display {
        bar: output::progress("", 0),
        failures: Mutex::new(0),
    };
    let report = |event: Event| display.show(event);
    let watch = Watch {
        report: &report,
        stop: &STOP,
    };
    let result = work(watch)?;
    display.bar.finish_and_clear();
    let failures = display.failures.lock().map_or(0, |failures| *failures);
    if failures > 0 {
        note(&format!("done, but for {failures} failures told above"));
    }
    Ok(result)
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

fn stats(directory: &std::path::Path, format: Format) -> Result<()> {
    let rows = directory.join("rows");
    if !rows.is_dir() {
        bail!(
            "{} has no rows: make them with `binscribe corpus build`",
            directory.display()
        );
    }
    let stats = Stats::of(&rows)?;
    let mut table = Table::new(&[
        "PACKAGE",
        "VERSION",
        "SPLIT",
        "FUNCTIONS",
        "DOCUMENTED",
        "ROWS",
        "BYTES",
        "BYTES/ROW",
        "FOUND BY LIFT",
    ]);
    let (mut functions, mut documented, mut count, mut bytes) = (0, 0, 0, 0);
    for package in &stats.packages {
        functions += package.functions as u64;
        documented += package.documented as u64;
        count += package.rows as u64;
        bytes += package.bytes;
        table.row(vec![
            package.package.as_str().into(),
            package.version.as_str().into(),
            package.split.as_str().into(),
            Field::Count(package.functions as u64),
            Field::Count(package.documented as u64),
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
