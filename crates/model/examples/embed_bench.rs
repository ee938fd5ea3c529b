//! The binscribe side of `benches/embed_vs_onnxruntime.py`.
//!
//!     embed_bench MODEL_DIR PROGRAM THREADS ENCODINGS.json VECTORS.json
//!
//! Writes the token ids of every function of PROGRAM to ENCODINGS.json and
//! prints a line. Then, for each line on standard input, embeds them all,
//! prints the seconds that took and writes the vectors to VECTORS.json.

#![allow(
    clippy::print_stdout,
    reason = "this is a program, not a part of the library"
)]

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use binscribe_lift::Program;
use binscribe_model::{Encoding, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, program, threads, encodings_path, vectors_path] = arguments.as_slice() else {
        return Err("usage: embed_bench MODEL_DIR PROGRAM THREADS ENCODINGS VECTORS".into());
    };
    let model = Model::load(Path::new(model))?.with_threads(threads.parse()?);
    let bytes = std::fs::read(program)?;
    let program = Program::parse(&bytes)?;
    let encodings: Vec<Encoding> = program
        .functions()
        .iter()
        .map(|f| model.encode(&program.listing(f).into_text()))
        .collect::<Result<_, _>>()?;
    let ids: Vec<_> = encodings
        .iter()
        .map(|e| (&e.ids, &e.instruction_ids))
        .collect();
    std::fs::write(encodings_path, serde_json::to_string(&ids)?)?;
    // Prepares the graph, which is not part of a round.
    model.embed_encodings(&encodings[..1.min(encodings.len())])?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let vectors = model.embed_encodings(&encodings)?;
        let seconds = start.elapsed().as_secs_f64();
        std::fs::write(vectors_path, serde_json::to_string(&vectors)?)?;
        println!("{seconds}");
    }
    Ok(())
}
