//! Corpora that many machines build: `corpus build --queue`, `corpus build
//! --shard`, `corpus worker` and `corpus queue`.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use binscribe_corpus::{
    Corpus, Event, QueueOptions, Store, Toolchain, Unit, Watch, WorkEvent, WorkQueue, Worker,
    unit_name,
};
use serde::Serialize;

use super::{STOP, watch_for_ctrl_c};
use crate::args;
use crate::json;
use crate::output::{self, Field, Format, Table, note};

/// How often the one who waits for the workers looks.
const LOOK: Duration = Duration::from_secs(2);

/// Publishes the units, waits until workers have made them all, and takes them
/// in. Nothing is compiled here.
pub(super) fn by_queue(
    corpus: &Corpus,
    args: &args::CorpusBuild,
    toolchains: &[Toolchain],
    queue: &str,
) -> Result<()> {
    let store = store(args)?;
    let units = corpus.units(&args.corpus.packages, toolchains)?;
    let queue = WorkQueue::open(queue, &args.queue_name, &QueueOptions::default())?;
    watch_for_ctrl_c()?;
    let bodies = units
        .iter()
        .map(|unit| Ok((unit.key(), serde_json::to_vec(unit)?)));
    let added = queue.publish_all(bodies.collect::<Result<Vec<_>>>()?, &store)?;
    note(&format!(
        "{} units: {} published, {} waiting already, {} finished, {} set aside",
        units.len(),
        added.added,
        added.queued,
        added.finished,
        added.set_aside
    ));
    let bar = output::progress("units", (added.added + added.queued) as u64);
    loop {
        let status = queue.status()?;
        let left = status.waiting + status.running;
        bar.set_position((bar.length().unwrap_or_default()).saturating_sub(left));
        bar.set_message(format!("{} running", status.running));
        if left == 0 {
            break;
        }
        if STOP.load(Ordering::Relaxed) {
            bail!("stopped; workers go on, and the same command waits for them again");
        }
        std::thread::sleep(LOOK);
    }
    bar.finish_and_clear();
    for poison in queue.poison()? {
        let last = poison.reasons.last().map_or("", |r| r.reason.as_str());
        note(&format!(
            "warning: unit {} was set aside: {last}",
            poison.key
        ));
    }
    take_in(corpus, &units, &store)
}

/// Makes the units of one share, and puts them into the store.
pub(super) fn by_shard(
    corpus: &Corpus,
    args: &args::CorpusBuild,
    toolchains: &[Toolchain],
    shard: binscribe_corpus::Shard,
    watch: Watch<'_>,
) -> binscribe_corpus::Result<()> {
    let store = match &args.store {
        Some(url) => Some(Store::open(url)?),
        None => None,
    };
    for unit in corpus.units(&args.corpus.packages, toolchains)? {
        let key = unit.key();
        let there = match &store {
            Some(store) => store.exists(&unit_name(&key))?,
            None => corpus.has(&key),
        };
        if there || !shard.holds(&key) {
            continue;
        }
        match Corpus::make(corpus.dir(), &unit, watch) {
            Ok(file) => {
                if let Some(store) = &store {
                    let bytes = fs::read(&file).map_err(|source| binscribe_corpus::Error::Io {
                        path: file.clone(),
                        source,
                    })?;
                    store.put_if_absent(&unit_name(&key), bytes)?;
                }
            }
            Err(binscribe_corpus::Error::Stopped) => {
                return Err(binscribe_corpus::Error::Stopped);
            }
            Err(error) => (watch.report)(Event::Failed {
                package: unit.package.name.clone(),
                message: error.to_string(),
            }),
        }
    }
    Ok(())
}

/// Puts the units that the store has into the corpus.
pub(super) fn take_in(corpus: &Corpus, units: &[Unit], store: &Store) -> Result<()> {
    let mut absent = 0;
    for key in units.iter().map(Unit::key).filter(|key| !corpus.has(key)) {
        let name = unit_name(&key);
        if store.exists(&name)? {
            corpus.adopt(&key, &store.get(&name)?)?;
        } else {
            absent += 1;
        }
    }
    if absent > 0 {
        note(&format!(
            "warning: {absent} units are not in {}",
            store.url()
        ));
    }
    Ok(())
}

/// Puts the finished rows beside the units.
pub(super) fn put_rows(corpus: &Corpus, packages: &[String], store: &Store) -> Result<()> {
    for package in corpus.manifest().select(packages)? {
        let name = format!("{}.parquet", package.name);
        let file = corpus.rows_dir().join(&name);
        if file.is_file() {
            store.put(&format!("rows/{name}"), fs::read(&file)?)?;
        }
    }
    Ok(())
}

pub(super) fn store(args: &args::CorpusBuild) -> Result<Store> {
    let url = args.store.as_ref();
    let url =
        url.ok_or_else(|| anyhow!("say with --store URL where workers put what they make"))?;
    Ok(Store::open(url)?)
}

pub(super) fn work(args: &args::CorpusWorker) -> Result<()> {
    let store = Store::open(&args.store)?;
    let queue = WorkQueue::open(&args.queue, &args.queue_name, &QueueOptions::default())?;
    watch_for_ctrl_c()?;
    let report = |key: &str, event: WorkEvent| {
        let what = match event {
            WorkEvent::Taken => "taken".to_owned(),
            WorkEvent::Done => "done".to_owned(),
            WorkEvent::Skipped => "made by another worker".to_owned(),
            WorkEvent::Failed(why) => format!("failed: {why}"),
            WorkEvent::SetAside(why) => format!("failed too often, set aside: {why}"),
            WorkEvent::HandedBack => "handed back".to_owned(),
            WorkEvent::Unconfirmed(why) => format!("done, but not confirmed: {why}"),
            _ => return,
        };
        note(&format!("{key}: {what}"));
    };
    let worker = Worker {
        queue: &queue,
        store: &store,
        stop: &STOP,
        limit: args.limit,
        idle_exit: args.idle_exit.map(Duration::from_secs),
        report: &report,
    };
    let dir: &Path = &args.corpus;
    let worked = worker.work(|claim| {
        let unit: Unit = serde_json::from_slice(&claim.body).map_err(|e| e.to_string())?;
        if unit.key() != claim.key {
            return Err("the unit is not the one that its key stands for".to_owned());
        }
        note(&format!(
            "{}: {} under {}",
            claim.key, unit.package.name, unit.toolchain
        ));
        let failed = |event: Event| {
            if let Event::Failed { package, message } = event {
                note(&format!("warning: {package}: {message}"));
            }
        };
        let watch = Watch {
            report: &failed,
            stop: &STOP,
        };
        let file = Corpus::make(dir, &unit, watch).map_err(|e| e.to_string())?;
        fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))
    })?;
    note(&format!(
        "{} units made, {} found made, {} tries failed",
        worked.done, worked.skipped, worked.failed
    ));
    Ok(())
}

#[derive(Serialize)]
struct Shown<T> {
    version: u32,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct SetAside {
    set_aside: Vec<binscribe_corpus::Poison>,
}

pub(super) fn queue(args: &args::CorpusQueue) -> Result<()> {
    let queue = WorkQueue::open(&args.queue, &args.queue_name, &QueueOptions::default())?;
    let version = json::VERSION;
    let format = args.format.format;
    match &args.what {
        args::QueueAction::Status => {
            let what = queue.status()?;
            let mut table = Table::new(&["WAITING", "RUNNING", "DONE", "SET ASIDE"]);
            let counts = [what.waiting, what.running, what.done, what.set_aside];
            table.row(counts.map(Field::Count).into());
            table.print_as(format, &Shown { version, what })
        }
        args::QueueAction::Poison => {
            let set_aside = queue.poison()?;
            let mut table = Table::new(&["UNIT", "WHAT", "TRIES", "LAST REASON"]);
            for poison in &set_aside {
                let unit: Option<Unit> = serde_json::from_str(&poison.body).ok();
                let what = unit.map_or_else(String::new, |unit| {
                    format!("{} under {}", unit.package.name, unit.toolchain)
                });
                table.row(vec![
                    poison.key.as_str().into(),
                    what.into(),
                    Field::Count(poison.reasons.len() as u64),
                    poison
                        .reasons
                        .last()
                        .map_or("", |r| r.reason.as_str())
                        .into(),
                ]);
            }
            if format == Format::Table && set_aside.is_empty() {
                note("no unit is set aside");
                return Ok(());
            }
            let what = SetAside { set_aside };
            table.print_as(format, &Shown { version, what })
        }
        args::QueueAction::Forgive { key } => {
            if !queue.forgive(key)? {
                bail!("no unit {key} is set aside: `binscribe corpus queue poison` lists them");
            }
            note("the next `binscribe corpus build --queue` publishes it again");
            Ok(())
        }
        args::QueueAction::Delete => queue.delete().context("the queue is still there"),
    }
}
