//! Tables, CSV and JSON on standard output; notes and progress on standard
//! error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, ContentArrangement, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::terminal;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document, see docs/json.md.
    Json,
    /// For spreadsheets.
    Csv,
}

/// A field of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Text(String),
    /// A number that people see rounded to so many decimals.
    Number(f64, usize),
    Count(u64),
    Address(u64),
    Empty,
}

impl From<&str> for Field {
    fn from(text: &str) -> Field {
        Field::Text(text.to_owned())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Field {
        Field::Text(text)
    }
}

/// Rows under headings, printed as a table or as CSV.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<Field>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Table {
        Table {
            headings: headings
                .iter()
                .map(|heading| (*heading).to_owned())
                .collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, fields: Vec<Field>) {
        self.rows.push(fields);
    }

    /// Prints for people: columns aligned, lines wrapped to the terminal, and
    /// not wrapped at all where standard output is not one.
    pub(crate) fn print(&self) -> Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        let cell = |text: String| comfy_table::Cell::new(text);
        table.set_header(self.headings.iter().map(|heading| cell(heading.clone())));
        for row in &self.rows {
            table.add_row(row.iter().map(|field| match field {
                Field::Text(text) => cell(terminal::clean(text)),
                Field::Number(number, decimals) => {
                    cell(format!("{number:.decimals$}")).set_alignment(CellAlignment::Right)
                }
                Field::Count(count) => cell(count.to_string()).set_alignment(CellAlignment::Right),
                Field::Address(address) => cell(format!("{address:#x}")),
                Field::Empty => cell(String::new()),
            }));
        }
        let mut text = String::new();
        for (number, line) in table.lines().enumerate() {
            let line = line.trim_end();
            let first = line.trim_start();
            let (first, rest) = first.split_at(first.find(' ').unwrap_or(first.len()));
            if number == 0 {
                paint(&mut text, HEADING, line);
            } else if first.starts_with("0x") {
                text.push_str(&line[..line.len() - first.len() - rest.len()]);
                paint(&mut text, ADDRESS, first);
                text.push_str(rest);
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        write_out(&text)
    }

    pub(crate) fn print_csv(&self) -> Result<()> {
        write_out(&self.csv()?)
    }

    /// As CSV, with the headings in lower case.
    pub(crate) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.headings.iter().map(|heading| heading.to_lowercase()))?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|field| match field {
                Field::Text(text) => terminal::csv_safe(text),
                Field::Number(number, _) => shortest(*number),
                Field::Count(count) => count.to_string(),
                Field::Address(address) => format!("{address:#x}"),
                Field::Empty => String::new(),
            }))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    /// Prints in `format`, with `json` for JSON.
    pub(crate) fn print_as(&self, format: Format, json: &impl Serialize) -> Result<()> {
        match format {
            Format::Table => self.print(),
            Format::Csv => self.print_csv(),
            Format::Json => print_json(json),
        }
    }
}

/// The fewest decimals that give the number back, as what it was before if that
/// was a single-precision one.
fn shortest(number: f64) -> String {
    let single = number as f32;
    if f64::from(single) == number {
        single.to_string()
    } else {
        number.to_string()
    }
}

/// Prints one JSON document, alone.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    write_out(&json_text(value)?)
}

/// One JSON document.
pub(crate) fn json_text(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(value)?;
    Ok(format!("{}\n", terminal::json_safe(&json)))
}

/// Prints a line of ours with hostile parts in it.
pub(crate) fn print_line(text: &str) -> Result<()> {
    write_out(&format!("{}\n", terminal::clean(text)))
}

/// Prints hostile text of several lines, as it is laid out.
pub(crate) fn print_text(text: &str) -> Result<()> {
    for line in text.lines() {
        print_line(&line.replace('\t', "        "))?;
    }
    Ok(())
}

const HEADING: Style = Style::new().bold();
const ADDRESS: Style = AnsiColor::Cyan.on_default();
const MNEMONIC: Style = AnsiColor::Yellow.on_default();
const COMMENT: Style = AnsiColor::Green.on_default();
const ASIDE: Style = Style::new().dimmed();

/// Appends `text` in colour. On what is no terminal, or where the environment
/// says `NO_COLOR`, the colours are left out when it is written.
fn paint(out: &mut String, style: Style, text: &str) {
    out.push_str(&format!("{style}{text}{style:#}"));
}

/// Prints an instruction: its number, its address and its text.
pub(crate) fn print_instruction(number: &str, address: u64, text: &str) -> Result<()> {
    let text = terminal::clean(text);
    let (code, comment) = text.split_at(text.find("; ").unwrap_or(text.len()));
    let (mnemonic, operands) = code.split_at(code.find(' ').unwrap_or(code.len()));
    let mut line = String::with_capacity(text.len() + 64);
    paint(&mut line, ASIDE, number);
    line.push_str("  ");
    paint(&mut line, ADDRESS, &hex(address));
    line.push_str("  ");
    paint(&mut line, MNEMONIC, mnemonic);
    line.push_str(operands);
    if !comment.is_empty() {
        paint(&mut line, COMMENT, comment);
    }
    line.push('\n');
    write_out(&line)
}

/// Prints `text` as it is.
pub(crate) fn write_out(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Tells the user something on standard error.
pub(crate) fn note(text: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "binscribe: {}", terminal::clean_lines(text));
}

/// A bar on standard error, seen only where that is a terminal.
pub(crate) fn progress(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// Writes a file under a temporary name first, so that a killed run leaves
/// nothing half-written.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Refuses a directory that is to be made and is there.
pub(crate) fn refuse_existing(path: &Path) -> Result<()> {
    if path.exists() {
        bail!(
            "{}: it is there already; remove it, or name another directory with -o",
            path.display()
        );
    }
    Ok(())
}

/// Makes a directory by `fill`, under a temporary name until all of it is there.
pub(crate) fn new_directory<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    beside(path, |new| {
        let filled = fill(new)?;
        std::fs::rename(new, path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(filled)
    })
}

/// Gives `fill` a new directory beside `path`, to move what it makes there; removes it
/// where that fails.
pub(crate) fn beside<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let new = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    fill(&new).inspect_err(|_| {
        // What went wrong is the answer; a leftover directory is not.
        let _ = std::fs::remove_dir_all(&new);
    })
}

/// An address as JSON has it.
pub(crate) fn hex(address: u64) -> String {
    format!("{address:#x}")
}
