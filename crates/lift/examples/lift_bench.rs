//! The binscribe side of `benches/lift.py`: reads a program, finds its
//! functions and makes every listing with its facts, as indexing does.
//!
//!     lift_bench PROGRAM [--threads N]
//!
//! Prints CPU seconds of reading and discovery on its first thread, CPU seconds
//! of listing on all, functions, instructions, bytes of code and bytes of text.
//! Where the system does not count for each thread, the seconds are those of the
//! wall clock.

#![allow(
    clippy::print_stdout,
    reason = "this is a program, not a part of the library"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use binscribe_lift::{Function, Program};

/// Functions that a thread takes at a time: enough that the counter is not
/// fought over, few enough that the threads end together.
const CHUNK: usize = 32;

/// A time of this thread.
struct Seconds {
    wall: Instant,
    cpu: Option<f64>,
}

impl Seconds {
    fn now() -> Seconds {
        Seconds {
            wall: Instant::now(),
            cpu: Seconds::cpu(),
        }
    }

    /// Linux: nanoseconds on a processor, those of waiting, and turns.
    fn cpu() -> Option<f64> {
        let counts = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds: f64 = counts.split(' ').next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    }

    fn elapsed(&self) -> f64 {
        let cpu = Seconds::cpu().zip(self.cpu);
        cpu.map_or(self.wall.elapsed().as_secs_f64(), |(now, then)| now - then)
    }
}

#[derive(Default)]
struct Sums {
    seconds: f64,
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
    let start = Seconds::now();
    let bytes = std::fs::read(path)?;
    let program = Program::parse_on(&bytes, threads)?;
    let found = start.elapsed();
    let next = AtomicUsize::new(0);
    let sums: Vec<Sums> = std::thread::scope(|scope| {
        // This thread is one of them.
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| work(&program, &next)))
            .collect();
        let own = work(&program, &next);
        let others = others.into_iter().filter_map(|other| other.join().ok());
        std::iter::once(own).chain(others).collect()
    });
    let listed: f64 = sums.iter().map(|s| s.seconds).sum();
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
    let began = Seconds::now();
    for chunk in std::iter::from_fn(|| take(program, next)) {
        for function in chunk {
            let listing = program.listing(function);
            sums.instructions += listing.facts.instructions;
            for line in listing.lines() {
                sums.code += usize::from(line.len);
                sums.text += line.text.len();
            }
        }
    }
    sums.seconds = began.elapsed();
    sums
}

/// The next functions that no thread has.
fn take<'p>(program: &'p Program<'_>, next: &AtomicUsize) -> Option<&'p [Function]> {
    let start = next.fetch_add(CHUNK, Ordering::Relaxed);
    let rest = program.functions().get(start..)?;
    (!rest.is_empty()).then(|| &rest[..rest.len().min(CHUNK)])
}
