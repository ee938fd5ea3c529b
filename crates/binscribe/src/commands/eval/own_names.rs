//! `binscribe eval own-names`: what programs call their functions, and what
//! their symbols say.

use std::path::Path;

use anyhow::Result;
use binscribe_lift::{Function, Kind, Source};
use binscribe_tasks::own_names::{self, Speaker};
use serde::Serialize;

use crate::args::EvalOwnNames;
use crate::input::{self, Input};
use crate::json;
use crate::output::{Field, Table, note};

/// How often something was said, and how often it was right.
#[derive(Debug, Default, Serialize)]
struct Count {
    /// Functions that it is said of.
    functions: usize,
    /// Those that it can be checked of: names against symbols; files that the
    /// function tells itself against the modules of a symbol of Rust; and those of
    /// its neighbours against what it tells itself.
    checked: usize,
    /// Those where it agrees.
    right: usize,
}

impl Count {
    fn add(&mut self, other: &Count) {
        self.functions += other.functions;
        self.checked += other.checked;
        self.right += other.right;
    }

    fn share(&self) -> Field {
        match self.checked {
            0 => Field::Empty,
            checked => Field::Number(self.right as f64 / checked as f64, 3),
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Heard {
    path: String,
    /// Functions with a body of their own.
    functions: usize,
    /// Those with a source file.
    with_file: usize,
    /// Those that tell it themselves.
    files: Count,
    /// Those that do not tell it: the functions before and after them do.
    files_between: Count,
    one_name: Count,
    several_names: Count,
}

#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    files: Vec<Heard>,
    all: Heard,
}

pub(crate) fn run(args: &EvalOwnNames) -> Result<()> {
    let mut files = Vec::new();
    for path in &args.files {
        match heard(path) {
            Ok(heard) => files.push(heard),
            Err(error) => note(&format!("warning: left out: {error:#}")),
        }
    }
    let mut all = Heard {
        path: "all".to_owned(),
        ..Heard::default()
    };
    for file in &files {
        all.functions += file.functions;
        all.with_file += file.with_file;
        all.files.add(&file.files);
        all.files_between.add(&file.files_between);
        all.one_name.add(&file.one_name);
        all.several_names.add(&file.several_names);
    }
    let mut table = Table::new(&[
        "FILE",
        "FUNCTIONS",
        "WITH FILE",
        "TOLD",
        "CHECKED",
        "RIGHT",
        "BETWEEN",
        "CHECKED",
        "RIGHT",
        "ONE NAME",
        "CHECKED",
        "RIGHT",
        "SEVERAL",
        "CHECKED",
        "RIGHT",
    ]);
    for row in files.iter().chain([&all]) {
        table.row(vec![
            row.path.as_str().into(),
            Field::Count(row.functions as u64),
            Field::Count(row.with_file as u64),
            Field::Count(row.files.functions as u64),
            Field::Count(row.files.checked as u64),
            row.files.share(),
            Field::Count(row.files_between.functions as u64),
            Field::Count(row.files_between.checked as u64),
            row.files_between.share(),
            Field::Count(row.one_name.functions as u64),
            Field::Count(row.one_name.checked as u64),
            row.one_name.share(),
            Field::Count(row.several_names.functions as u64),
            Field::Count(row.several_names.checked as u64),
            row.several_names.share(),
        ]);
    }
    let document = Document {
        version: json::VERSION,
        files,
        all,
    };
    table.print_as(args.format.format, &document)
}

fn heard(path: &Path) -> Result<Heard> {
    let input = Input::read(path)?;
    let program = input.program()?;
    let functions: Vec<&Function> = program
        .functions()
        .iter()
        .filter(|function| function.kind == Kind::Normal)
        .collect();
    let listings = input::listings(&program, &functions);
    let speakers: Vec<Speaker<'_>> = listings
        .iter()
        .map(|listing| Speaker {
            listing: listing.text(),
            symbol: None,
        })
        .collect();
    let mut heard = Heard {
        path: path.display().to_string(),
        functions: functions.len(),
        ..Heard::default()
    };
    let told = own_names::told(&speakers);
    (heard.files_between.checked, heard.files_between.right) = own_names::left_out(&told);
    for (function, told) in functions.iter().zip(told) {
        if let Some(file) = &told.file {
            heard.with_file += 1;
            let count = match file.told {
                true => &mut heard.files,
                false => &mut heard.files_between,
            };
            count.functions += 1;
            let agrees = file.told.then(|| is_of_file(&file.path, function));
            if let Some(right) = agrees.flatten() {
                heard.files.checked += 1;
                heard.files.right += usize::from(right);
            }
        }
        let Some(own) = told.names.first() else {
            continue;
        };
        let count = match told.names.len() {
            1 => &mut heard.one_name,
            _ => &mut heard.several_names,
        };
        count.functions += 1;
        if matches!(function.source, Source::Symbol | Source::DynamicSymbol) {
            count.checked += 1;
            count.right += usize::from(is_name_of(&own.name, function));
        }
    }
    Ok(heard)
}

/// Whether the crate and the modules that a symbol of Rust names are those of a
/// source file; none if it names none.
fn is_of_file(path: &str, function: &Function) -> Option<bool> {
    if !matches!(function.source, Source::Symbol | Source::DynamicSymbol) {
        return None;
    }
    let path = path.strip_suffix(".rs")?.replace('\\', "/");
    let (before, inside) = match path.strip_prefix("src/") {
        Some(inside) => ("", inside),
        None => path.rsplit_once("/src/")?,
    };
    let folder = before.rsplit('/').next().unwrap_or(before);
    // `indexmap-2.14.0`
    let name = match folder.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => folder,
    };
    let modules = inside.split('/');
    let mut modules = modules.filter(|module| !["mod", "lib", "main"].contains(module));

    // What implements a trait for a type may stand anywhere.
    let symbol = function.readable_name();
    let symbol = symbol.split(['<', '{']).next()?;
    let (crate_name, rest) = symbol.split_once("::")?;
    let mut rest = rest.split("::");
    let of_crate = crate_name.ends_with(&name.replace('-', "_"));
    let of_modules = modules.all(|module| rest.next() == Some(module));
    Some(of_crate && of_modules)
}

/// Whether a symbol is of this name: but for underscores before it, what a
/// compiler or a linker appends (`.part.0`, `@@V2`), and what some libraries put
/// before the names that they use inside (`IA__gdk_draw_arc`).
fn is_name_of(own: &str, function: &Function) -> bool {
    let symbol = function.readable_name();
    // Of a demangled name without its parameters.
    let symbol = symbol.split('(').next().unwrap_or(&symbol);
    let symbol = symbol.split(['.', '@']).next().unwrap_or(symbol);
    let symbol = symbol.trim_start_matches('_');
    own.trim_start_matches('_') == symbol || own.ends_with(&format!("__{symbol}"))
}
