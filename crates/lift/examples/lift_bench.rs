//! The binscribe side of `benches/lift.py`: reads a program, finds its
//! functions and makes every listing with its facts, as indexing does.
//!
//!     lift_bench PROGRAM [--threads N]
//!
//! Prints seconds of reading and discovery, seconds of listing, functions,
//! instructions, bytes of code and bytes of text.

#![allow(
    clippy::print_stdout,
    reason = "this is a program, not a part of the library"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use binscribe_lift::Program;

/// Functions that a thread takes at a time: enough that the counter is not
/// fought over, few enough that the threads end together.
const CHUNK: usize = 32;

#[derive(Default)]
struct Sums {
    instructions: usize,
    code: usize,
    text: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, threads) = match arguments.as_slice() {
        [path] => (path, 1),
        [path, flag, threads] if flag == "--threads" => (path, threads.parse()?),
        _ => return Err("usage: lift_bench PROGRAM [--threads N]".into()),
    };
    let start = Instant::now();
    let bytes = std::fs::read(path)?;
    let program = Program::parse(&bytes)?;
    let found = start.elapsed().as_secs_f64();
    let next = AtomicUsize::new(0);
    let sums: Vec<Sums> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| scope.spawn(|| work(&program, &next)))
            .collect();
        workers.into_iter().filter_map(|w| w.join().ok()).collect()
    });
    let listed = start.elapsed().as_secs_f64() - found;
    println!(
        "{found:.4} {listed:.4} {} {} {} {}",
        program.functions().len(),
        sums.iter().map(|s| s.instructions).sum::<usize>(),
        sums.iter().map(|s| s.code).sum::<usize>(),
        sums.iter().map(|s| s.text).sum::<usize>(),
    );
    Ok(())
}

/// Makes listings until none is left, and drops each when it is counted.
fn work(program: &Program<'_>, next: &AtomicUsize) -> Sums {
    let mut sums = Sums::default();
    loop {
        let start = next.fetch_add(CHUNK, Ordering::Relaxed);
        let Some(rest) = program.functions().get(start..) else {
            return sums;
        };
        if rest.is_empty() {
            return sums;
        }
        for function in rest.iter().take(CHUNK) {
            let listing = program.listing(function);
            sums.instructions += listing.facts.instructions;
            for line in listing.lines() {
                sums.code += usize::from(line.len);
                sums.text += line.text.len();
            }
        }
    }
}
