//! Whole runs of a sequence-to-sequence model on a toy language.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use binscribe_corpus::Row;
use binscribe_model::Seq2Seq;
use binscribe_model::export::Precision;
use binscribe_train::{
    Event, Outcome, Seq2SeqRecipe, Seq2SeqRequest, Seq2SeqStages, train_seq2seq,
};
use tch::{Device, Tensor};

const TINY: &str = include_str!("../../../recipes/shadow-tiny.toml");

const VERBS: [(&str, &str); 6] = [
    ("get", "Returns"),
    ("put", "Stores"),
    ("del", "Deletes"),
    ("chk", "Verifies"),
    ("dump", "Prints"),
    ("init", "Prepares"),
];
const NOUNS: [&str; 10] = [
    "file", "socket", "table", "queue", "cursor", "window", "packet", "timer", "index", "stream",
];

/// What a function of the toy language does stands in its calls; the comment
/// says it in other words and in another order.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (v, (verb, word)) in VERBS.iter().enumerate() {
        for (n, noun) in NOUNS.iter().enumerate() {
            for (m, other) in NOUNS.iter().enumerate().filter(|o| o.0 != n) {
                let number = (v * 10 + n) * 10 + m;
                rows.push(Row {
                    split: match number % 7 {
                        0 => "validation",
                        1 => "test",
                        _ => "train",
                    }
                    .to_owned(),
                    name: format!("f{number}"),
                    source: format!(
                        "int f{number}(struct {other} *p)\n{{\n  return {verb}_{noun}(p->next, {number});\n}}"
                    ),
                    source_hash: format!("s{number}"),
                    comment: Some(format!("{word} the {noun} of a {other}.")),
                    ..Row::default()
                });
            }
        }
    }
    rows
}

fn request(folder: &Path, run: &str) -> Seq2SeqRequest {
    let corpus = folder.join("corpus");
    std::fs::create_dir_all(corpus.join("rows")).unwrap();
    binscribe_corpus::write_rows(&corpus.join("rows/toy.parquet"), &rows()).unwrap();
    Seq2SeqRequest {
        recipe: Seq2SeqRecipe::parse(TINY, false).unwrap().unwrap(),
        corpus,
        pairs: None,
        run: folder.join(run),
        resume: false,
        device: Device::Cpu,
        stages: Seq2SeqStages::All,
    }
}

fn tensors(path: &Path) -> Vec<(String, Tensor)> {
    let mut tensors = Tensor::read_safetensors(path).unwrap();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// The log-probabilities of the engine that users have are those of the
/// trainer's own forward pass.
fn assert_inference_agrees(run: &Path) {
    let parity = tensors(&run.join("parity.safetensors"));
    let column = |name: &str| &parity.iter().find(|t| t.0 == name).unwrap().1;
    let integers = |name: &str| Vec::<i64>::try_from(column(name)).unwrap();
    let cut = |name: &str| -> Vec<Vec<u32>> {
        let ids = integers(&format!("{name}_ids"));
        let mut rest = &ids[..];
        let lengths = integers(&format!("{name}_lengths"));
        let mut next = |length: i64| {
            let (ids, after) = rest.split_at(length as usize);
            rest = after;
            ids.iter().map(|&id| id as u32).collect()
        };
        lengths.into_iter().map(&mut next).collect()
    };
    let expected = Vec::<Vec<f32>>::try_from(column("log_probabilities")).unwrap();
    for (precision, most) in [(Precision::Float, 1e-4), (Precision::Int8, 0.5)] {
        let model = Seq2Seq::load_with(&run.join("model"), precision).unwrap();
        let mut rows = expected.iter();
        for (source, target) in cut("source").iter().zip(cut("target")) {
            let ours = model.log_probabilities(source, &target).unwrap();
            assert_eq!(ours.len(), target.len());
            for ((row, theirs), &id) in ours.iter().zip(&mut rows).zip(&target) {
                let pairs = row.iter().zip(theirs);
                let largest = match precision {
                    Precision::Float => pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max),
                    // Eight bits change what is improbable.
                    Precision::Int8 => (row[id as usize] - theirs[id as usize]).abs(),
                };
                assert!(
                    largest < most,
                    "{precision:?}: largest difference {largest}"
                );
            }
        }
        assert!(rows.next().is_none());
    }
}

/// A finished run of another recipe can be held against inference too:
/// `BINSCRIBE_SHADOW_RUN=runs/shadow cargo xtask test`.
#[test]
fn inference_agrees_with_the_shadow_in_the_environment() {
    if let Some(run) = std::env::var_os("BINSCRIBE_SHADOW_RUN") {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_inference_agrees(&root.join(run));
    }
}

// One test: libtorch has one generator for dropout, which tests side by side
// would share.
#[test]
fn a_toy_language_is_learned_and_a_run_that_was_stopped_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = request(folder.path(), "whole");
    let mut losses: Vec<(&str, f64)> = Vec::new();
    let outcome = train_seq2seq(&whole, &AtomicBool::new(false), &mut |event| {
        if let Event::Step { stage, loss, .. } = event {
            losses.push((stage, *loss));
        }
    });
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    for stage in ["denoise", "finetune"] {
        let of: Vec<f64> = losses
            .iter()
            .filter(|l| l.0 == stage)
            .map(|l| l.1)
            .collect();
        assert!(of[of.len() - 1] < of[0] - 0.5, "{stage}: {of:?}");
    }
    for name in [
        "config.json",
        "tokenizer.json",
        "metrics.json",
        "README.md",
        "model.safetensors",
    ] {
        assert!(whole.run.join("model").join(name).is_file(), "no {name}");
    }
    assert!(whole.run.join("loss.svg").is_file());
    assert_inference_agrees(&whole.run);

    // Functions that it never saw.
    let rows: Vec<Row> = rows().into_iter().filter(|r| r.split == "test").collect();
    let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
    let model = Seq2Seq::load(&whole.run.join("model")).unwrap();
    let written = model.generate(&sources).unwrap();
    let wanted = |row: &Row| row.comment.clone().unwrap().replace('.', "");
    let right = rows.iter().zip(&written).filter(|(r, w)| wanted(r) == **w);
    let share = right.count() as f64 / rows.len() as f64;
    assert!(share > 0.8, "{share} right: {written:?}");

    // Stopped once in each stage.
    let mut parts = request(folder.path(), "parts");
    for stop_at in [("denoise", 13), ("finetune", 7)] {
        let stop = AtomicBool::new(false);
        let outcome = train_seq2seq(&parts, &stop, &mut |event| {
            if let Event::Step { stage, step, .. } = event
                && (*stage, *step) == stop_at
            {
                stop.store(true, Ordering::Relaxed);
            }
        });
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
        parts.resume = true;
    }
    let outcome = train_seq2seq(&parts, &AtomicBool::new(false), &mut |_| {});
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let file = "model/model.safetensors";
    let (one, other) = (
        tensors(&whole.run.join(file)),
        tensors(&parts.run.join(file)),
    );
    assert_eq!(one.len(), other.len());
    for ((name, a), (_, b)) in one.iter().zip(&other) {
        assert_eq!(a, b, "{name}");
    }

    parts.resume = false;
    let said = train_seq2seq(&parts, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(said.to_string().contains("--resume"), "{said}");
    parts.resume = true;
    parts.recipe.seed += 1;
    let said = train_seq2seq(&parts, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(said.to_string().contains("another seed"), "{said}");

    // A second stage anew, on what a teacher says.
    let mut taught = whole;
    let line = |row: &Row| {
        serde_json::json!({"messages": [
            {"role": "user", "content": format!("What is it?\n```c\n{}\n```", row.source)},
            {"role": "assistant", "content": "Prints the timer of a stream."},
        ]})
    };
    let lines: Vec<String> = self::rows()
        .iter()
        .map(|row| line(row).to_string())
        .collect();
    let file = folder.path().join("pairs.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    taught.pairs = Some(file);
    taught.stages = Seq2SeqStages::Finetune;
    taught.recipe.seq2seq.finetune.schedule.steps = 60;
    let outcome = train_seq2seq(&taught, &AtomicBool::new(false), &mut |_| {});
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let model = Seq2Seq::load(&taught.run.join("model")).unwrap();
    assert_eq!(
        model.generate(&sources[..2]).unwrap(),
        ["Prints the timer of a stream."; 2]
    );
}
