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
    /// Those that it can be checked of: names against symbols, and of files those
    /// that the function tells itself against those of its neighbours.
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
        all.files_between.add(&file.files_between);
        all.one_name.add(&file.one_name);
        all.several_names.add(&file.several_names);
    }
    let mut table = Table::new(&[
        "FILE",
        "FUNCTIONS",
        "WITH FILE",
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
            heard.files_between.functions += usize::from(!file.told);
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
