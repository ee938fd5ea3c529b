//! `binscribe listing`: the instructions of one function.

use anyhow::Result;

use crate::args::Listing;
use crate::input::{self, Input};
use crate::json::{self, Binary, FunctionEntry};
use crate::output::{self, Field, Format, Table, hex};

pub(crate) fn run(args: &Listing) -> Result<()> {
    let input = Input::read(&args.file)?
        .or_raw(args.raw)
        .with_pdb(&args.pdb)?;
    let program = input.program()?;
    let function = input::find(&program, &input.path, &args.function)?;
    let listing = program.listing(function);
    if args.clap {
        return output::print_json(&listing.to_clap_json());
    }
    match args.format.format {
        Format::Table => {
            output::print_line(&format!(
                "{} at {:#x}, {} instructions",
                function.readable_name(),
                function.address,
                listing.len()
            ))?;
            let width = listing.len().to_string().len();
            for (index, line) in listing.lines().enumerate() {
                let number = index + 1;
                output::print_line(&format!(
                    "{number:width$}  {:#x}  {}",
                    line.address, line.text
                ))?;
            }
            Ok(())
        }
        Format::Csv => {
            let mut table = Table::new(&["NUMBER", "ADDRESS", "TEXT"]);
            for (index, line) in listing.lines().enumerate() {
                table.row(vec![
                    Field::Count(index as u64 + 1),
                    Field::Address(line.address),
                    line.text.into(),
                ]);
            }
            table.print_csv()
        }
        Format::Json => {
            let lines = listing.lines().enumerate().map(|(index, line)| json::Line {
                number: index + 1,
                address: hex(line.address),
                text: line.text.to_owned(),
            });
            let calls = listing.facts.calls.iter().map(|call| json::Call {
                name: call.name.clone(),
                address: call.address.map(hex),
                import: call.import,
            });
            output::print_json(&json::Listing {
                version: json::VERSION,
                binary: Binary::new(&input.path, &input.hash(), &program),
                function: FunctionEntry::new(function),
                lines: lines.collect(),
                calls: calls.collect(),
                strings: listing.facts.strings.clone(),
                constants: listing.facts.constants.iter().copied().map(hex).collect(),
                tables: listing
                    .facts
                    .tables
                    .iter()
                    .map(|table| json::KnownTable {
                        address: hex(table.address),
                        name: table.name,
                        algorithm: table.algorithm,
                    })
                    .collect(),
                blocks: listing
                    .blocks()
                    .map(|block| json::Block {
                        first: block.lines.start + 1,
                        last: block.lines.end,
                        next: block.next.iter().map(|&to| to as usize + 1).collect(),
                    })
                    .collect(),
                callers: program.callers(function).map(json::Place::new).collect(),
                returns: !program.never_returns(function),
            })
        }
    }
}
