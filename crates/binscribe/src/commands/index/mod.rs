//! `binscribe index`: functions of many programs, to be searched together.

mod ask;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use binscribe_index::{Damage, Index, ProgramFacts};

use crate::args;
use crate::engine::{Candidates, Engine};
use crate::input::{self, Input};
use crate::json::{self, IndexProgram, Indexed};
use crate::output::{self, Field, Format, Table, note};

pub(crate) use ask::{Question, ask, open};

/// So many digits of a program's hash are shown, and at least so many tell which one
/// is meant.
const HASH_SHOWN: usize = 16;
const HASH_LEAST: usize = 8;
/// The state of a program that is listed.
const THERE: &str = "there";

pub(crate) fn run(args: &args::Index) -> Result<()> {
    match args {
        args::Index::Add(args) => add(args),
        args::Index::List { index, format } => list(index, format.format),
        args::Index::Remove(args) => remove(args),
        args::Index::Verify { index, format } => verify(index, format.format),
    }
}

/// What is said of the index itself.
fn about(index: &Index, programs: &[ProgramFacts]) -> json::Index {
    json::Index {
        path: index.directory().display().to_string(),
        model: index.model().to_owned(),
        programs: programs.len(),
        functions: programs.iter().map(|facts| facts.functions).sum(),
    }
}

fn print(index: json::Index, programs: Vec<IndexProgram>, format: Format) -> Result<()> {
    let headings = ["PROGRAM", "FUNCTIONS", "FORMAT", "ARCH", "BLAKE3", "STATE"];
    // That all are there is what a list is.
    let told = programs.iter().any(|program| program.state != THERE);
    let mut table = Table::new(if told { &headings } else { &headings[..5] });
    for program in &programs {
        let mut row = vec![Field::from(program.path.as_str())];
        match &program.binary {
            Some(binary) => row.extend(binary.row(HASH_SHOWN)),
            None => row.extend([Field::Empty, Field::Empty, Field::Empty, Field::Empty]),
        }
        row.extend(told.then(|| program.state.into()));
        table.row(row);
    }
    let document = json::IndexPrograms {
        version: json::VERSION,
        index,
        programs,
    };
    table.print_as(format, &document)
}

fn state(facts: &ProgramFacts, state: &'static str) -> IndexProgram {
    IndexProgram {
        path: facts.path.clone(),
        state,
        binary: Some(Indexed::new(facts)),
        reason: None,
    }
}

fn add(args: &args::IndexAdd) -> Result<()> {
    let engine = Engine::open(&args.model)?;
    let index = Index::open_or_create(&args.index, engine.id(), engine.dim())?;
    let known = index.programs()?.into_iter();
    let mut adding = Adding {
        known: known.map(|facts| (facts.blake3.clone(), facts)).collect(),
        index: &index,
        engine: &engine,
        programs: Vec::new(),
    };
    let mut missed = 0;
    for path in &args.paths {
        let files = match path.is_dir() {
            true => input::programs_below(path),
            false => Ok(vec![path.clone()]),
        };
        let whole = match files {
            Ok(files) => {
                let whole: Vec<bool> = files.iter().map(|file| adding.file(file)).collect();
                // What lies in a directory was not asked for by name.
                path.is_dir() || whole.iter().all(|whole| *whole)
            }
            Err(error) => adding.leave_out(path, &error),
        };
        missed += usize::from(!whole);
    }
    let programs = std::mem::take(&mut adding.programs);
    let known: Vec<ProgramFacts> = adding.known.into_values().collect();
    print(about(&index, &known), programs, args.format.format)?;
    if missed > 0 {
        bail!(
            "{missed} of {} paths could not be added, or not whole",
            args.paths.len()
        );
    }
    Ok(())
}

/// An index that is added to.
struct Adding<'a> {
    index: &'a Index,
    engine: &'a Engine,
    /// What is in it, by hash.
    known: BTreeMap<String, ProgramFacts>,
    programs: Vec<IndexProgram>,
}

impl Adding<'_> {
    /// Adds what is in a file; whether all of it could be.
    fn file(&mut self, path: &Path) -> bool {
        match Input::read_all(path) {
            Ok(inputs) => {
                let added = inputs.iter().filter(|input| self.input(input)).count();
                added == inputs.len()
            }
            Err(error) => self.leave_out(path, &error),
        }
    }

    fn input(&mut self, input: &Input) -> bool {
        let hash = input.hash();
        if let Some(facts) = self.known.get(&hash) {
            self.programs.push(IndexProgram {
                path: input.path.display().to_string(),
                ..state(facts, "there already")
            });
            return true;
        }
        match self.new_program(input, &hash) {
            Ok(facts) => {
                let plural = if facts.functions == 1 { "" } else { "s" };
                note(&format!(
                    "{}: {} function{plural}",
                    facts.path, facts.functions
                ));
                self.programs.push(state(&facts, "added"));
                self.known.insert(hash, facts);
                true
            }
            Err(error) => self.leave_out(&input.path, &error),
        }
    }

    fn new_program(&self, input: &Input, hash: &str) -> Result<ProgramFacts> {
        let program = input.program()?;
        let candidates = Candidates::of(input, &program, self.engine, None)?;
        let entries = candidates.entries(&program);
        let info = program.info();
        let facts = ProgramFacts {
            path: input.path.display().to_string(),
            blake3: hash.to_owned(),
            format: info.format.id().to_owned(),
            arch: info.arch.id().to_owned(),
            image_base: info.image_base,
            size: info.size,
            stripped: info.stripped,
            functions: entries.len(),
        };
        let vectors = (0..entries.len()).map(|row| candidates.vectors.row(row));
        self.index.add(&facts, &entries, vectors)?;
        Ok(facts)
    }

    fn leave_out(&mut self, path: &Path, error: &anyhow::Error) -> bool {
        let reason = format!("{error:#}");
        note(&format!("warning: left out: {reason}"));
        self.programs.push(IndexProgram {
            path: path.display().to_string(),
            state: "left out",
            binary: None,
            reason: Some(reason),
        });
        false
    }
}

fn list(path: &Path, format: Format) -> Result<()> {
    let index = Index::open(path)?;
    let programs = index.programs()?;
    let states = programs.iter().map(|facts| state(facts, THERE));
    print(about(&index, &programs), states.collect(), format)
}

fn remove(args: &args::IndexRemove) -> Result<()> {
    let index = Index::open(&args.index)?;
    let programs = index.programs()?;
    let is_hash =
        |text: &str| text.len() >= HASH_LEAST && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut gone = vec![false; programs.len()];
    for wanted in &args.programs {
        let meant: Vec<usize> = (0..programs.len())
            .filter(|&at| {
                let facts = &programs[at];
                facts.path == *wanted || is_hash(wanted) && facts.blake3.starts_with(wanted)
            })
            .collect();
        if meant.is_empty() {
            bail!(
                "{}: no program `{wanted}` is in it, and none was removed: give a path or the \
                 first {HASH_LEAST} digits or more of a hash, as `binscribe index list {}` shows \
                 them",
                args.index.display(),
                args.index.display()
            );
        }
        meant.into_iter().for_each(|at| gone[at] = true);
    }
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    for (facts, gone) in programs.into_iter().zip(gone) {
        if gone {
            index.remove(&facts.blake3)?;
            removed.push(state(&facts, "removed"));
        } else {
            left.push(facts);
        }
    }
    print(about(&index, &left), removed, args.format.format)
}

fn verify(path: &Path, format: Format) -> Result<()> {
    let index = Index::open(path)?;
    let bar = output::progress("verifying", index.hashes()?.len() as u64);
    let (sound, damaged) = index.verify(|| bar.inc(1))?;
    bar.finish_and_clear();
    let damage = damaged.iter().map(|Damage { path, error }| IndexProgram {
        path: path.display().to_string(),
        state: "damaged",
        binary: None,
        reason: Some(error.to_string()),
    });
    let about = about(&index, &sound);
    let said = format!(
        "{} programs with {} functions are as they were written",
        about.programs, about.functions
    );
    if format == Format::Table {
        for damage in &damaged {
            note(&damage.error.to_string());
        }
        if damaged.is_empty() {
            return output::print_line(&said);
        }
        note(&said);
    } else {
        print(about, damage.collect(), format)?;
    }
    if !damaged.is_empty() {
        bail!(
            "{} files of {} are damaged: remove them, and add their programs again",
            damaged.len(),
            path.display()
        );
    }
    Ok(())
}
