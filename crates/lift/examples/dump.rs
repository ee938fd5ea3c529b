//! Prints the functions of a file, and the listing of one or of all.
//!
//!     cargo run -p binscribe-lift --example dump -- FILE [FUNCTION | --all | --lines | --time]

use std::io::Write;
use std::time::Instant;

use binscribe_lift::{Function, Program};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: dump FILE [FUNCTION | --all | --lines | --time]")?;
    let what = arguments.next();
    let bytes = std::fs::read(&path)?;
    let began = Instant::now();
    let program = Program::parse(&bytes)?;
    let parsed = began.elapsed();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for diagnostic in program.diagnostics() {
        writeln!(out, "# {diagnostic}")?;
    }
    match what.as_deref() {
        None => {
            for function in program.functions() {
                writeln!(out, "{}", head(function))?;
            }
        }
        Some("--time") => {
            let began = Instant::now();
            let (mut instructions, mut size) = (0, 0);
            for function in program.functions() {
                instructions += program.listing(function).facts.instructions;
                size += function.size;
            }
            let listed = began.elapsed();
            let rate = size as f64 / listed.as_secs_f64() / 1e6;
            writeln!(
                out,
                "{} functions, {instructions} instructions, {size} bytes of code: \
                 parsed in {parsed:.1?}, listed in {listed:.1?} ({rate:.1} MB/s)",
                program.functions().len()
            )?;
        }
        Some("--lines") => {
            for function in program.functions() {
                for line in program.listing(function).lines() {
                    writeln!(out, "@{:x} {}", line.address, line.text)?;
                }
            }
        }
        Some("--all") => {
            for function in program.functions() {
                writeln!(
                    out,
                    "\n{}\n{}",
                    head(function),
                    program.listing(function).text()
                )?;
            }
        }
        Some(name) => {
            let function = program.find(name).ok_or("no such function")?;
            let listing = program.listing(function);
            writeln!(out, "{}", head(function))?;
            for (at, line) in listing.lines().enumerate() {
                writeln!(out, "{:#x} {:5} {}", line.address, at + 1, line.text)?;
            }
            writeln!(out, "{:#?}", listing.facts)?;
        }
    }
    Ok(())
}

fn head(f: &Function) -> String {
    let parts = f.ranges.len();
    let (name, source, kind) = (f.display_name(), f.source, f.kind);
    format!(
        "{:#x} {:6} {parts} {source} {kind} {name}",
        f.address, f.size
    )
}
