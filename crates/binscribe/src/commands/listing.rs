//! `binscribe listing`: the instructions of one function.

use anyhow::Result;

use crate::args::Listing;
use crate::input::{self, Input};
use crate::json::{self, Binary, FunctionEntry};
use crate::output::{self, Field, Format, Table, hex};

pub(crate) fn run(args: &Listing) -> Result<()> {
    let input = Input::read(&args.file)?.with_pdb(&args.pdb)?;
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
                function.display_name(),
                function.address,
                listing.lines.len()
            ))?;
            let width = listing.lines.len().to_string().len();
            for (index, line) in listing.lines.iter().enumerate() {
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
            for (index, line) in listing.lines.iter().enumerate() {
                table.row(vec![
                    Field::Count(index as u64 + 1),
                    Field::Address(line.address),
                    line.text.as_str().into(),
                ]);
            }
            table.print_csv()
        }
        Format::Json => {
            let lines = listing
                .lines
                .iter()
                .enumerate()
                .map(|(index, line)| json::Line {
                    number: index + 1,
                    address: hex(line.address),
                    text: line.text.clone(),
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
            })
        }
    }
}
