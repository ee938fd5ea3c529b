//! `binscribe decompile`: one function as C.

use anyhow::Result;
use binscribe_decompile::PRELUDE;

use crate::args::Decompile;
use crate::input::{self, Input};
use crate::json::{self, Binary, FunctionEntry};
use crate::output::{self, Field, Format, Table, hex};

pub(crate) fn run(args: &Decompile) -> Result<()> {
    let input = Input::read(&args.file)?
        .or_raw(args.raw)
        .with_pdb(&args.pdb)?;
    let program = input.program()?;
    let function = input::find(&program, &input.path, &args.function)?;
    let found = binscribe_decompile::decompile(&program, function)?;
    match args.format.format {
        Format::Table => {
            if args.complete {
                PRELUDE.lines().try_for_each(output::print_line)?;
                output::print_line("")?;
                for global in &found.globals {
                    output::print_line(&global.declaration)?;
                }
                for name in &found.calls {
                    output::print_line(&format!("u64 {name}();"))?;
                }
                output::print_line("")?;
            }
            found.code.lines().try_for_each(output::print_line)
        }
        Format::Csv => {
            let mut table = Table::new(&["NUMBER", "TEXT"]);
            for (index, line) in found.code.lines().enumerate() {
                table.row(vec![Field::Count(index as u64 + 1), line.into()]);
            }
            table.print_csv()
        }
        Format::Json => {
            let globals = found.globals.into_iter().map(|global| json::Global {
                name: global.name,
                address: global.address.map(hex),
                declaration: global.declaration,
            });
            output::print_json(&json::Decompiled {
                version: json::VERSION,
                binary: Binary::new(&input.path, &input.hash(), &program),
                function: FunctionEntry::new(function),
                language: "c",
                code: found.code,
                globals: globals.collect(),
                calls: found.calls,
            })
        }
    }
}
