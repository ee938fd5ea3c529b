//! `binscribe corpus`: source packages in, rows out.

mod explain;
mod export;
mod many;
mod review;
mod show;
mod stats;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use binscribe_corpus::explain::{SourceFunction, sample};
use binscribe_corpus::{Corpus, Event, Manifest, Rules, Store, Toolchain, Watch, row_files};
use indicatif::ProgressBar;

use crate::args;
use crate::output::{self, note};

pub(crate) fn run(args: &args::Corpus) -> Result<()> {
    match args {
        args::Corpus::Fetch(args) => {
            let corpus = open(args)?;
            follow(|watch| corpus.fetch(&args.packages, watch))
        }
        args::Corpus::Build(args) => build(args),
        args::Corpus::Worker(args) => many::work(args),
        args::Corpus::Queue(args) => many::queue(args),
        args::Corpus::Stats(args) => stats::run(args),
        args::Corpus::Show(args) => show::run(args),
        args::Corpus::Verify { corpus, format } => verify::run(corpus, format.format),
        args::Corpus::Explain(args) => explain::run(args),
        args::Corpus::Export(args) => export::run(args),
        args::Corpus::Review(args) => review::run(args),
    }
}

fn build(args: &args::CorpusBuild) -> Result<()> {
    let rules = Rules {
        align: args.align.into(),
        min_blocks: args.min_blocks,
    };
    let corpus = open(&args.corpus)?.by_rules(rules);
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
    let store = args
        .store
        .as_ref()
        .map(|url| Store::open(url))
        .transpose()?;
    if let Some(shard) = args.shard {
        return follow(|watch| many::by_shard(&corpus, args, &toolchains, shard, watch));
    }
    if let Some(queue) = &args.queue {
        many::by_queue(&corpus, args, &toolchains, queue)?;
    } else if let Some(store) = &store {
        many::take_in(&corpus, &corpus.units(names, &toolchains)?, store)?;
    }
    let effort = follow(|watch| {
        if args.queue.is_some() {
            return corpus.assemble_units(names, &toolchains, watch);
        }
        corpus.fetch(names, watch)?;
        corpus.build(names, &toolchains, args.again, watch)
    })?;
    if let Some(store) = &store {
        many::put_rows(&corpus, names, store)?;
    }
    if let Some(share) = effort.compiler_share() {
        note(&format!(
            "{} rows of {} units in {:.0} s, {:.0} rows a second; builds and compilers had \
             {:.0} % of the time of {} processors, {:.0} CPU seconds, and this program {:.0}",
            effort.rows,
            effort.units,
            effort.seconds,
            effort.rows as f64 / effort.seconds.max(1e-3),
            100.0 * share,
            effort.workers,
            effort.usage.others,
            effort.usage.own,
        ));
    }
    Ok(())
}

/// Where the rows of a corpus directory are; a directory of rows will do, too.
fn rows_of(directory: &Path) -> Result<PathBuf> {
    let rows = directory.join("rows");
    if rows.is_dir() {
        return Ok(rows);
    }
    if directory.is_dir() && !row_files(directory)?.is_empty() {
        return Ok(directory.to_owned());
    }
    bail!(
        "{} has no rows: make them with `binscribe corpus build`",
        directory.display()
    )
}

/// Set by Ctrl-C; what is running is finished and kept, and the next run goes
/// on from there.
static STOP: AtomicBool = AtomicBool::new(false);

fn watch_for_ctrl_c() -> Result<()> {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note("finishing what is running; press Ctrl-C again to end at once");
    })
    .context("cannot watch for Ctrl-C")
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

fn open(args: &args::CorpusArgs) -> Result<Corpus> {
    if !args.manifest.is_file() {
        bail!(
            "{}: there is no such list of packages; name one with --manifest FILE",
            args.manifest.display()
        );
    }
    let mut manifest = Manifest::load(&args.manifest)?;
    if let Some(size) = args.size {
        manifest = manifest.sized(size);
    }
    Ok(Corpus::open(&args.corpus, manifest)?)
}

fn follow<T>(work: impl Fn(Watch<'_>) -> binscribe_corpus::Result<T>) -> Result<T> {
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
