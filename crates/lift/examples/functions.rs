//! The functions of a program as JSON: what `cargo xtask discovery` compares
//! with the truth. Builds in a minute, unlike the whole command, and needs no
//! model.
//!
//!     functions PROGRAM

#![allow(
    clippy::print_stdout,
    reason = "this is a program, not a part of the library"
)]

use binscribe_lift::Program;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: functions PROGRAM")?;
    let bytes = std::fs::read(path)?;
    let program = match Program::parse(&bytes) {
        Ok(program) => program,
        Err(refusal) => {
            println!("{}", serde_json::json!({ "refused": refusal.to_string() }));
            return Ok(());
        }
    };
    let functions: Vec<_> = program
        .functions()
        .iter()
        .map(|function| {
            // The parts that a compiler moved away have symbols of their own.
            let body = function.ranges.first().map_or(0, |r| r.end - r.start);
            serde_json::json!({ "start": function.address, "size": body })
        })
        .collect();
    println!("{}", serde_json::json!({ "functions": functions }));
    Ok(())
}
