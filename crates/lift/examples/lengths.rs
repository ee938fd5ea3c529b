//! Address and length of every instruction of every listing, one a line: what
//! `cargo xtask discovery --lengths` compares with another disassembler.
//!
//!     lengths PROGRAM

use std::io::{BufWriter, Write};

use binscribe_lift::Program;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: lengths PROGRAM")?;
    let bytes = std::fs::read(path)?;
    let program = Program::parse(&bytes)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for function in program.functions() {
        for line in program.listing(function).lines() {
            writeln!(out, "{:x} {}", line.address, line.len)?;
        }
    }
    out.flush()?;
    Ok(())
}
