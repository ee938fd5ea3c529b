//! `binscribe corpus show`: rows as a person reads them.

use anyhow::{Result, bail};
use binscribe_corpus::{Row, read_rows, row_files};
use serde::Serialize;

use super::rows_of;
use crate::args::CorpusShow;
use crate::json;
use crate::output::{self, Field, Format, Table};

#[derive(Serialize)]
struct Shown {
    version: u32,
    rows: Vec<Row>,
}

pub(crate) fn run(args: &CorpusShow) -> Result<()> {
    let mut found = Vec::new();
    for file in row_files(&rows_of(&args.corpus)?)? {
        let wanted = |row: &Row| {
            (row.name == args.function || row.function_id == args.function)
                && args
                    .toolchain
                    .as_ref()
                    .is_none_or(|p| p.matches(&row.toolchain()))
        };
        found.extend(read_rows(&file)?.into_iter().filter(wanted));
        if found.len() >= args.k {
            break;
        }
    }
    found.truncate(args.k);
    if found.is_empty() {
        bail!(
            "no row of {:?}: `binscribe corpus stats` tells which packages there are",
            args.function
        );
    }
    if args.format.format == Format::Table {
        for row in &found {
            print(row)?;
        }
        return Ok(());
    }
    let mut table = Table::new(&[
        "PACKAGE",
        "FUNCTION",
        "TOOLCHAIN",
        "FILE",
        "LINE",
        "LISTING",
    ]);
    for row in &found {
        table.row(vec![
            row.package.as_str().into(),
            row.name.as_str().into(),
            row.toolchain().into(),
            row.file.as_str().into(),
            Field::Count(u64::from(row.line)),
            row.listing.as_str().into(),
        ]);
    }
    let version = json::VERSION;
    table.print_as(
        args.format.format,
        &Shown {
            version,
            rows: found,
        },
    )
}

fn print(row: &Row) -> Result<()> {
    let mut text = format!(
        "{} {} ({}, {})  {}:{}  {}\n",
        row.package,
        row.version,
        row.license,
        row.split,
        row.file,
        row.line,
        row.toolchain()
    );
    if let Some(comment) = &row.comment {
        text.push_str(&format!("\n{comment}\n"));
    }
    text.push_str(&format!(
        "\n{}\n\n{}\n",
        row.source.trim_end(),
        row.listing.trim_end()
    ));
    if let Some(ir) = &row.ir {
        text.push_str(&format!("\n{}\n", ir.trim_end()));
    }
    // Sources are other people's: no control character of theirs is obeyed.
    text.lines().try_for_each(output::print_line)
}
