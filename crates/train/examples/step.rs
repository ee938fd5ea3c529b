//! Times training steps of the default encoder on random tokens:
//! `cargo run --release -p binscribe-train --example step -- [auto|bf16|f32] [tokens a batch] [length]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use binscribe_model::Config;
use binscribe_train::{Batch, Encoder, compute_kind};
use tch::{Device, Kind, Tensor};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kind = compute_kind(
        arguments.first().map_or("auto", |a| a.as_str()),
        Device::Cpu,
    )
    .unwrap();
    let number = |i: usize, default: usize| {
        arguments
            .get(i)
            .map_or(default, |argument| argument.parse().unwrap())
    };
    let (tokens, length) = (number(1, 4096), number(2, 128));
    let encoder = Encoder::new(Config::default(), 1, Device::Cpu, kind);
    let rows = tokens / length;
    let ids: Vec<u16> = (0..length as u16).map(|i| 600 + i * 7).collect();
    let instructions: Vec<u16> = (0..length as u16).map(|i| 3 + i / 4).collect();
    let mut sequences = vec![(&ids[..], &instructions[..]); rows];
    sequences[0].0 = &ids[..length - 2];
    sequences[0].1 = &instructions[..length - 2];
    let batch = Batch::new(&sequences, 0, Device::Cpu);
    let masked = Tensor::arange(tokens as i64 * 15 / 100, (Kind::Int64, Device::Cpu)) * 6;
    let mut start = Instant::now();
    let (mut forward, mut backward) = (0.0, 0.0);
    let steps = 12;
    for step in 0..steps {
        if step == 2 {
            start = Instant::now();
            (forward, backward) = (0.0, 0.0);
        }
        let begin = Instant::now();
        let hidden = encoder.hidden(&batch).view([-1, 256]);
        let predicted = encoder.predict(&hidden.index_select(0, &masked));
        let target = batch.ids.view([-1]).index_select(0, &masked);
        let loss = predicted.cross_entropy_for_logits(&target);
        forward += begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        loss.backward();
        backward += begin.elapsed().as_secs_f64();
    }
    let seconds = start.elapsed().as_secs_f64();
    let measured = f64::from(steps - 2) * (rows * length) as f64;
    println!(
        "{kind:?} {tokens} tokens of {length}: {:.0} tokens/s (forward {:.0} ms, backward {:.0} ms)",
        measured / seconds,
        forward / f64::from(steps - 2) * 1e3,
        backward / f64::from(steps - 2) * 1e3,
    );
}
