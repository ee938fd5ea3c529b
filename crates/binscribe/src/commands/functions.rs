//! `binscribe functions`: what functions a file has.

use anyhow::Result;

use crate::args::Functions;
use crate::input::Input;
use crate::json::{self, Binary, FunctionEntry};
use crate::output::{Field, Table};

pub(crate) fn run(args: &Functions) -> Result<()> {
    let input = Input::read(&args.file)?
        .or_raw(args.raw)
        .with_pdb(&args.pdb)?;
    let program = input.program()?;
    let mut table = Table::new(&["ADDRESS", "RVA", "SIZE", "NAME", "KIND", "FOUND BY", "SURE"]);
    for function in program.functions() {
        table.row(vec![
            Field::Address(function.address),
            Field::Address(function.rva),
            Field::Count(function.size),
            function.readable_name().into(),
            function.kind.to_string().into(),
            function.source.to_string().into(),
            Field::Number(f64::from(function.confidence), 2),
        ]);
    }
    let document = json::Functions {
        version: json::VERSION,
        binary: Binary::new(&input.path, &input.hash(), &program),
        functions: program.functions().iter().map(FunctionEntry::new).collect(),
    };
    table.print_as(args.format.format, &document)
}
