//! How well functions are found: real packages built by several compilers for
//! several processors, stripped, and compared with the symbols of the twin that
//! was not.

mod build;
mod plan;
mod tools;
mod truth;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub(crate) use build::is_there;
use build::{Job, Workshop};
use plan::{Driver, Language, Table};
use tools::{Found, Ours, Peers};
use truth::Truth;

use crate::Result;

#[derive(Debug)]
struct Options {
    quick: bool,
    lengths: bool,
    jobs: usize,
    /// After these, no other file is begun.
    minutes: f64,
}

/// Counts of one cell of a table.
#[derive(Debug, Default, Clone, Copy)]
struct Cell {
    truth: usize,
    found: usize,
    right: usize,
    same_size: usize,
}

/// Instructions whose length another disassembler says, too.
#[derive(Debug, Default, Clone)]
struct Lengths {
    equal: usize,
    unequal: Vec<String>,
    only_theirs: usize,
}

/// What is known of one file.
#[derive(Debug)]
struct Outcome {
    job: Job,
    ours: Result<Cell>,
    peers: Option<[Result<Cell>; 2]>,
    lengths: Option<Result<Lengths>>,
}

/// The order of the rows of a table.
type Key = (usize, Language, Table, usize);

const PAGE: &str = "docs/discovery.md";

/// Builds, measures, prints the tables, and writes the page unless only a part
/// was asked for.
pub(crate) fn discovery(root: &Path, arguments: &[OsString]) -> Result<()> {
    let options = options(arguments)?;
    let began = Instant::now();
    let work = root.join("target/discovery");
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let workshop = Workshop::open(root, &work)?;
    let ours = Ours::build(root)?;
    let peers = Peers::fetch(&work);
    let (jobs, skipped) = jobs(&options);
    for line in &skipped {
        eprintln!("skipped: {line}");
    }
    let mut sources = BTreeMap::new();
    for package in &plan::PACKAGES {
        if jobs.iter().any(|job| job.package.name == package.name) {
            sources.insert(package.name, workshop.sources(package)?);
        }
    }
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if began.elapsed().as_secs_f64() > 60.0 * options.minutes {
                        break;
                    }
                    let outcome = measure(&workshop, &ours, &peers, job, &sources, &options);
                    let mut outcomes = outcomes.lock().expect("no worker panics");
                    outcomes.push(outcome);
                    eprint!("\r{} of {} files ", outcomes.len(), jobs.len());
                }
            });
        }
    });
    eprintln!();
    let outcomes = outcomes.into_inner().expect("no worker panics");
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let files = format!("{} of {} files", outcomes.len(), jobs.len());
    let page = page(&outcomes, &skipped, &workshop, &files, minutes);
    println!("{page}");
    if !options.quick {
        std::fs::write(root.join(PAGE), page).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn options(arguments: &[OsString]) -> Result<Options> {
    let mut options = Options {
        quick: false,
        lengths: false,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        minutes: f64::INFINITY,
    };
    let mut rest = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = rest.next() {
        match &*argument {
            "--quick" => options.quick = true,
            "--lengths" => options.lengths = true,
            "--jobs" => {
                let number = rest.next().and_then(|number| number.parse().ok());
                options.jobs = number.filter(|n| *n > 0).ok_or("--jobs takes a number")?;
            }
            "--minutes" => {
                let number = rest.next().and_then(|number| number.parse().ok());
                options.minutes = number.ok_or("--minutes takes a number")?;
            }
            other => return Err(format!("discovery does not know {other}")),
        }
    }
    // The page has them.
    options.lengths |= !options.quick;
    Ok(options)
}

/// All files to build, and what is left out since a compiler is not here.
fn jobs(options: &Options) -> (Vec<Job>, Vec<String>) {
    let mut jobs = Vec::new();
    let mut skipped = Vec::new();
    for toolchain in plan::TOOLCHAINS {
        let programs = match toolchain.driver {
            Driver::System(c, cpp) if toolchain.languages.contains(&Language::Cpp) => vec![c, cpp],
            Driver::System(c, _) => vec![c],
            Driver::Go => vec!["go"],
            _ => vec![],
        };
        if let Some(program) = programs.iter().find(|program| !build::is_there(program)) {
            skipped.push(format!(
                "{} for {}: no {program} here",
                toolchain.name, toolchain.target
            ));
            continue;
        }
        for package in &plan::PACKAGES {
            for level in toolchain.levels {
                for &table in toolchain.tables {
                    let quick = plan::is_quick(toolchain, package, level);
                    if toolchain.languages.contains(&package.language) && (quick || !options.quick)
                    {
                        jobs.push(Job {
                            package,
                            toolchain,
                            level,
                            table,
                        });
                    }
                }
            }
        }
    }
    // Whoever has not the time for all of them has something of each compiler.
    jobs.sort_by_key(|job| {
        (
            job.level != plan::PEERS,
            !matches!(job.level, "-O0" | "-Os"),
        )
    });
    (jobs, skipped)
}

fn measure(
    workshop: &Workshop,
    ours: &Ours,
    peers: &Peers,
    job: &Job,
    sources: &BTreeMap<&str, Vec<std::path::PathBuf>>,
    options: &Options,
) -> Outcome {
    let mut outcome = Outcome {
        job: *job,
        ours: Err(String::new()),
        peers: None,
        lengths: None,
    };
    let sources = sources.get(job.package.name).map_or(&[][..], Vec::as_slice);
    let twins = workshop.build(job, sources);
    let built = twins.and_then(|twins| Ok((Truth::read(&twins.named)?, twins)));
    let (truth, twins) = match built {
        Ok(built) => built,
        Err(why) => {
            eprintln!("\n{} {}: {why}", job.label(), job.package.name);
            outcome.ours = Err(format!("not built: {why}"));
            return outcome;
        }
    };
    outcome.ours = match ours.functions(&twins.stripped) {
        Ok(Found::Functions(found)) => Ok(compare(&truth, &found)),
        Ok(Found::Refused(why)) => Err(format!("not read: {why}")),
        Err(why) => Err(why),
    };
    if options.lengths && outcome.ours.is_ok() {
        outcome.lengths = Some(compare_lengths(ours, &truth, &twins));
    }
    if job.level == plan::PEERS && matches!(job.package.name, "lua5.4" | "tinyxml2" | "hexyl") {
        let starts = |found: Result<Vec<u64>>| {
            found.map(|starts| compare(&truth, &starts.into_iter().map(|s| (s, 0)).collect()))
        };
        outcome.peers = Some(peers.functions(&twins.stripped).map(starts));
    }
    outcome
}

fn compare(truth: &Truth, found: &BTreeMap<u64, u64>) -> Cell {
    let mut cell = Cell {
        truth: truth.functions.len(),
        ..Cell::default()
    };
    for (&start, &size) in found {
        cell.found += usize::from(truth.counts(start));
        if let Some(right) = truth.functions.get(&start) {
            cell.right += 1;
            cell.same_size += usize::from(right.is(size));
        }
    }
    cell
}

fn compare_lengths(ours: &Ours, truth: &Truth, twins: &build::Twins) -> Result<Lengths> {
    let ours = ours.lengths(&twins.stripped)?;
    let mut lengths = Lengths::default();
    let theirs = tools::llvm_lengths(&twins.named)?;
    for (address, (theirs, text)) in theirs.into_iter().filter(|(at, _)| truth.is_code(*at)) {
        match ours.get(&address) {
            Some(&ours) if ours == theirs => lengths.equal += 1,
            Some(ours) => lengths
                .unequal
                .push(format!("{address:#x}: {ours}, LLVM has {theirs} ({text})")),
            None => lengths.only_theirs += 1,
        }
    }
    Ok(lengths)
}

impl Cell {
    fn add(&mut self, other: Cell) {
        self.truth += other.truth;
        self.found += other.found;
        self.right += other.right;
        self.same_size += other.same_size;
    }

    fn scores(self) -> (f64, f64, f64) {
        let precision = self.right as f64 / self.found.max(1) as f64;
        let recall = self.right as f64 / self.truth.max(1) as f64;
        let f1 = 2.0 * precision * recall / (precision + recall).max(1e-9);
        (precision, recall, f1)
    }
}

fn key(job: &Job) -> Key {
    let order = |a: &plan::Toolchain| std::ptr::eq(a, job.toolchain);
    let toolchain = plan::TOOLCHAINS.iter().position(order).unwrap_or_default();
    let levels = job.toolchain.levels.iter();
    let level = levels.take_while(|level| **level != job.level).count();
    (toolchain, job.package.language, job.table, level)
}

fn page(
    outcomes: &[Outcome],
    skipped: &[String],
    workshop: &Workshop,
    files: &str,
    minutes: f64,
) -> String {
    let mut page = include_str!("page.md").to_owned();
    let versions = versions(workshop);
    for (mark, text) in [
        ("{machine}", machine()),
        ("{files}", files.to_owned()),
        ("{versions}", versions),
        ("{starts}", starts_table(outcomes)),
        ("{peers}", peers_table(outcomes)),
        ("{lengths}", lengths_table(outcomes)),
        ("{minutes}", format!("{minutes:.0}")),
        ("{skipped}", list(skipped)),
    ] {
        page = page.replace(mark, text.trim_end());
    }
    page
}

fn list(lines: &[String]) -> String {
    if lines.is_empty() {
        return "Nothing was left out for want of a compiler.".to_owned();
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("- {line}\n")).collect();
    format!("Left out:\n\n{}", lines.concat())
}

/// The rows that packages are added up in; a file that is not read or not
/// built says why.
fn starts_table(outcomes: &[Outcome]) -> String {
    let mut rows: BTreeMap<Key, (&Job, Cell, Option<&str>)> = BTreeMap::new();
    for outcome in outcomes {
        let row = rows
            .entry(key(&outcome.job))
            .or_insert((&outcome.job, Cell::default(), None));
        match &outcome.ours {
            Ok(cell) => row.1.add(*cell),
            Err(why) => row.2 = Some(why),
        }
    }
    let mut table = String::from(
        "| target | compiler | language | table | level | functions | precision | recall | F1 | bounds |\n\
         | --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (job, cell, why) in rows.into_values() {
        let (precision, recall, f1) = cell.scores();
        let head = head(job);
        let level = job.level_shown();
        let _ = match why {
            Some(why) if cell.truth == 0 => writeln!(
                table,
                "| {head} | {level} | | {} | | | |",
                why.replace('|', " ")
            ),
            _ => writeln!(
                table,
                "| {head} | {level} | {} | {precision:.4} | {recall:.4} | {f1:.4} | {:.4} |",
                cell.truth,
                cell.same_size as f64 / cell.truth.max(1) as f64,
            ),
        };
    }
    table
}

fn head(job: &Job) -> String {
    let table = match job.table {
        Table::Yes => "yes",
        Table::No => "no",
    };
    format!(
        "{} | {} | {} | {table}",
        job.toolchain.target,
        job.toolchain.name,
        job.package.language.name()
    )
}

impl Job {
    fn level_shown(&self) -> &'static str {
        match self.toolchain.driver {
            Driver::Go => "",
            _ => self.level,
        }
    }
}

fn peers_table(outcomes: &[Outcome]) -> String {
    let mut rows: BTreeMap<(Key, &str), (&Job, [String; 3])> = BTreeMap::new();
    for outcome in outcomes {
        let Some(peers) = &outcome.peers else {
            continue;
        };
        let [radare2, smda] = peers;
        let cells = [&outcome.ours, radare2, smda].map(|cell| match cell {
            Ok(cell) => {
                let (precision, recall, f1) = cell.scores();
                format!("{precision:.3} / {recall:.3} / **{f1:.3}**")
            }
            Err(why) => why.split(':').next().unwrap_or_default().replace('|', " "),
        });
        let name = outcome.job.package.name;
        rows.insert((key(&outcome.job), name), (&outcome.job, cells));
    }
    let [radare2, smda] = Peers::NAMES;
    let mut table = format!(
        "| target | compiler | language | table | package | binscribe | {radare2} | {smda} |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for ((_, package), (job, [ours, radare2, smda])) in rows {
        let head = head(job);
        let _ = writeln!(
            table,
            "| {head} | {package} | {ours} | {radare2} | {smda} |"
        );
    }
    table
}

fn lengths_table(outcomes: &[Outcome]) -> String {
    let mut rows: BTreeMap<&str, Lengths> = BTreeMap::new();
    let mut failures = Vec::new();
    for outcome in outcomes {
        match &outcome.lengths {
            Some(Ok(lengths)) => {
                let row = rows.entry(outcome.job.toolchain.target).or_default();
                row.equal += lengths.equal;
                row.only_theirs += lengths.only_theirs;
                row.unequal.extend(lengths.unequal.iter().cloned());
            }
            Some(Err(why)) => failures.push(format!("{}: {why}", outcome.job.label())),
            None => {}
        }
    }
    if rows.is_empty() {
        return "Not measured in this run.".to_owned();
    }
    let mut table = String::from(
        "| target | equal | unequal | only in LLVM's |\n| --- | ---: | ---: | ---: |\n",
    );
    for (target, row) in &rows {
        let _ = writeln!(
            table,
            "| {target} | {} | {} | {} |",
            row.equal,
            row.unequal.len(),
            row.only_theirs
        );
    }
    for (target, row) in rows.iter().filter(|(_, row)| !row.unequal.is_empty()) {
        let _ = writeln!(table, "\nThe first unequal ones of {target}:\n");
        for line in row.unequal.iter().take(10) {
            let _ = writeln!(table, "    {line}");
        }
    }
    if !failures.is_empty() {
        let _ = writeln!(table, "\nNot compared: {}.", failures.join("; "));
    }
    table
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| Some(line.split_once(':')?.1.trim()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cores} cores of an {}",
        name.unwrap_or("unknown processor")
    )
}

/// First lines of what the compilers and the tools say of themselves.
fn versions(workshop: &Workshop) -> String {
    let zig = workshop.zig.to_string_lossy().into_owned();
    let objdump = build::newest("llvm-objdump").unwrap_or_default();
    let objdump = objdump.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for (name, program, argument) in [
        ("gcc", "gcc", "-dumpfullversion"),
        ("clang", "clang", "-dumpversion"),
        ("zig", &zig, "version"),
        ("rustc", "rustc", "--version"),
        ("go", "go", "version"),
        ("llvm-objdump", &objdump, "--version"),
    ] {
        let output = says(program, argument);
        let Some(version) = output.split_whitespace().find(|word| {
            let word = word.trim_start_matches("go");
            word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')
        }) else {
            continue;
        };
        found.push(format!("{name} {}", version.trim_start_matches("go")));
    }
    found.join(", ")
}

fn says(program: &str, argument: &str) -> String {
    crate::apt::quietly(std::process::Command::new(program).arg(argument))
        .map(|output| String::from_utf8_lossy(&output).into_owned())
        .unwrap_or_default()
}
