//! Whole runs on a tiny corpus, and the encoder against plain arithmetic.
//!
//! The runs need the text encoder: `cargo xtask minilm` fetches it.

#![allow(clippy::unwrap_used)]

#[path = "../src/testing.rs"]
#[allow(dead_code)]
mod testing;

use testing::minilm;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use binscribe_model::export::{Precision, TextConfig, export_assembly, export_text};
use binscribe_model::{AsmTokenizer, Config, Encoding, Model};
use binscribe_train::{
    Batch, Encoder, Event, Outcome, Recipe, Request, Stages, TextEncoder, train,
};
use tch::{Device, Kind, Tensor, no_grad};

const TINY: &str = include_str!("../../../recipes/tiny.toml");

fn request(folder: &Path, run: &str) -> Request {
    let mut recipe = Recipe::parse(TINY, false).unwrap();
    // Their batches depend on what was seen before: the most to resume.
    recipe.contrast.hard_negatives = 3;
    recipe.contrast.cached_gradients = true;
    let corpus = folder.join("corpus");
    std::fs::create_dir_all(corpus.join("rows")).unwrap();
    binscribe_corpus::write_rows(&corpus.join("rows/tiny.parquet"), &testing::rows(60)).unwrap();
    Request {
        recipe,
        corpus,
        run: folder.join(run),
        minilm: minilm(),
        resume: false,
        device: Device::Cpu,
        stages: Stages::All,
        start: None,
        world: None,
    }
}

fn tensors(path: &Path) -> Vec<(String, Tensor)> {
    let mut tensors = Tensor::read_safetensors(path).unwrap();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Exports a finished run and embeds its parity functions with the engine that
/// users have: the vectors are those of the trainer's own forward pass.
fn assert_inference_agrees(run: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let to = |name: &str| directory.path().join(name);
    let config = Config::from_file(&run.join("config.json")).unwrap();
    config.save(&to("config.json")).unwrap();
    std::fs::copy(run.join("tokenizer.json"), to("tokenizer.json")).unwrap();
    std::fs::copy(minilm().join("tokenizer.json"), to("text_tokenizer.json")).unwrap();
    let text = TextConfig::from_file(&minilm().join("config.json")).unwrap();
    for (ending, precision) in [("onnx", Precision::Float), ("int8.onnx", Precision::Int8)] {
        let weights = run.join("model.safetensors");
        let graph = to(&format!("assembly.{ending}"));
        export_assembly(&weights, &config, &graph, precision).unwrap();
        let weights = minilm().join("model.safetensors");
        export_text(&weights, &text, &to(&format!("text.{ending}")), precision).unwrap();
    }

    let parity = tensors(&run.join("parity.safetensors"));
    let column = |name: &str| &parity.iter().find(|t| t.0 == name).unwrap().1;
    let integers = |name: &str| Vec::<i64>::try_from(column(name)).unwrap();
    let (ids, instructions) = (integers("input_ids"), integers("instruction_ids"));
    let mut start = 0;
    let encodings: Vec<Encoding> = integers("lengths")
        .iter()
        .map(|&length| {
            let range = start..start + length as usize;
            start = range.end;
            let cut = |all: &[i64]| all[range.clone()].iter().map(|&id| id as u32).collect();
            Encoding {
                ids: cut(&ids),
                instruction_ids: cut(&instructions),
            }
        })
        .collect();
    let expected = Vec::<Vec<f32>>::try_from(column("embeddings")).unwrap();
    let embedded = |precision| {
        let model = Model::load_with(directory.path(), precision).unwrap();
        model.embed_encodings(&encodings).unwrap()
    };
    for (ours, theirs) in embedded(Precision::Float).iter().zip(&expected) {
        let difference = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
        let largest = difference.fold(0.0, f32::max);
        assert!(largest < 1e-4, "float: largest difference {largest}");
    }
    for (ours, theirs) in embedded(Precision::Int8).iter().zip(&expected) {
        let cosine: f32 = ours.iter().zip(theirs).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99, "int8: cosine {cosine}");
    }
}

/// A finished run of another recipe can be held against inference too:
/// `BINSCRIBE_RUN=runs/default cargo xtask test`.
#[test]
fn inference_agrees_with_the_run_in_the_environment() {
    if let Some(run) = std::env::var_os("BINSCRIBE_RUN") {
        assert_inference_agrees(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(run),
        );
    }
}

#[test]
fn the_loss_falls_and_a_run_that_was_stopped_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = request(folder.path(), "whole");
    let mut losses: Vec<(&str, f64)> = Vec::new();
    let outcome = train(&whole, &AtomicBool::new(false), &mut |event| {
        if let Event::Step { stage, loss, .. } = event {
            losses.push((stage, *loss));
        }
    });
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    for stage in ["pretrain", "contrast"] {
        let of: Vec<f64> = losses
            .iter()
            .filter(|l| l.0 == stage)
            .map(|l| l.1)
            .collect();
        assert!(of[of.len() - 1] < of[0] - 0.3, "{stage}: {of:?}");
    }
    let names = [
        "config.json",
        "tokenizer.json",
        "recipe.toml",
        "metrics.json",
        "loss.csv",
        "loss.svg",
        "parity.safetensors",
    ];
    for name in names {
        assert!(whole.run.join(name).is_file(), "no {name}");
    }

    assert_inference_agrees(&whole.run);

    // Stopped once in each stage.
    let mut parts = request(folder.path(), "parts");
    for stop_at in [("pretrain", 13), ("contrast", 7)] {
        let stop = AtomicBool::new(false);
        let outcome = train(&parts, &stop, &mut |event| {
            if let Event::Step { stage, step, .. } = event
                && (*stage, *step) == stop_at
            {
                stop.store(true, Ordering::Relaxed);
            }
        });
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
        parts.resume = true;
    }
    let outcome = train(&parts, &AtomicBool::new(false), &mut |_| {});
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let (one, other) = (
        tensors(&whole.run.join("model.safetensors")),
        tensors(&parts.run.join("model.safetensors")),
    );
    assert_eq!(one.len(), other.len());
    for ((name, a), (_, b)) in one.iter().zip(&other) {
        assert_eq!(a, b, "{name}");
    }

    parts.resume = false;
    let said = train(&parts, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(said.to_string().contains("--resume"), "{said}");
    parts.resume = true;
    parts.recipe.seed += 1;
    let said = train(&parts, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(said.to_string().contains("another seed"), "{said}");
}

#[test]
fn a_warm_start_maps_words_close_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path(), "warm");
    // More words than dimensions, and no step that changes them.
    let words = [
        "socket",
        "password",
        "network",
        "directory",
        "encrypt",
        "memory",
        "table",
        "image",
        "weather",
        "kitchen",
        "window",
        "thread",
        "garden",
        "compress",
        "music",
        "river",
        "animal",
        "printer",
        "signal",
        "database",
    ];
    let mut more = testing::rows(60);
    for (i, row) in more.iter_mut().enumerate() {
        let word = words[i % words.len()];
        row.listing += &format!("\ncall    _{word}\ncall    _{word}");
    }
    let path = request.corpus.join("rows/tiny.parquet");
    binscribe_corpus::write_rows(&path, &more).unwrap();
    request.recipe.model.warm_start = "minilm".to_owned();
    request.recipe.model.hidden_size = 16;
    request.recipe.model.intermediate_size = 16;
    request.recipe.pretrain.schedule.steps = 0;
    request.stages = Stages::Pretrain;
    train(&request, &AtomicBool::new(false), &mut |_| {}).unwrap();

    let tokenizer = AsmTokenizer::from_file(&request.run.join("tokenizer.json")).unwrap();
    let config = Config {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 16,
        intermediate_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        ..Config::default()
    };
    let weights = request.run.join("pretrained.safetensors");
    let encoder = Encoder::load(&weights, config, Device::Cpu, Kind::Float).unwrap();
    let mut text = TextEncoder::load(&minilm(), 0, 16, Device::Cpu, Kind::Float).unwrap();
    let found: Vec<(&str, u16)> = words
        .iter()
        .filter_map(
            |word| match tokenizer.encode(&format!("call _{word}")).ids[..] {
                // The word of the header, the mnemonic, the name.
                [id, _, _] => Some((*word, id as u16)),
                _ => None,
            },
        )
        .collect();
    assert!(found.len() > 10, "{found:?}");
    let right = no_grad(|| {
        let ids: Vec<[u16; 1]> = found.iter().map(|(_, id)| [*id]).collect();
        let sequences: Vec<(&[u16], &[u16])> =
            ids.iter().map(|id| (&id[..], &[3u16][..])).collect();
        let vectors = encoder.embed(&Batch::new(&sequences, 0, Device::Cpu));
        let texts: Vec<&str> = found.iter().map(|(word, _)| *word).collect();
        let described = text.embed(&texts).unwrap();
        let best = vectors.matmul(&described.tr()).argmax(1, false);
        let itself = Tensor::arange(found.len() as i64, (Kind::Int64, Device::Cpu));
        best.eq_tensor(&itself).sum(Kind::Int64).int64_value(&[])
    });
    assert!(
        right as usize * 10 >= found.len() * 8,
        "{right} of {}",
        found.len()
    );
}

/// Sentence vectors of the text encoder keep related texts together, and
/// freezing layers changes nothing about them.
#[test]
fn the_text_encoder_knows_what_is_alike() {
    let texts = [
        "compute a sha256 hash",
        "cryptographic digest",
        "open the window",
    ];
    let load =
        |trainable| TextEncoder::load(&minilm(), trainable, 48, Device::Cpu, Kind::Float).unwrap();
    let frozen = no_grad(|| load(0).embed(&texts).unwrap());
    let tuned = no_grad(|| load(2).embed(&texts).unwrap());
    assert!((&frozen - &tuned).abs().max().double_value(&[]) < 1e-5);
    let score = frozen.matmul(&frozen.tr());
    assert!(score.double_value(&[0, 1]) > score.double_value(&[0, 2]) + 0.2);
}

/// The forward pass in plain loops, from the words of the model's description.
mod plain {
    use super::*;

    type Matrix = Vec<Vec<f64>>;

    struct Weights<'a>(&'a Encoder);

    impl Weights<'_> {
        fn matrix(&self, name: &str) -> Matrix {
            let tensor = self.0.parameters().get(name).detach();
            Vec::<Vec<f64>>::try_from(tensor.to_kind(Kind::Double)).unwrap()
        }

        fn vector(&self, name: &str) -> Vec<f64> {
            let tensor = self.0.parameters().get(name).detach();
            Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap()
        }

        fn linear(&self, name: &str, x: &Matrix) -> Matrix {
            let bias = self.vector(&format!("{name}.bias"));
            let mut y = multiply(x, &self.matrix(&format!("{name}.weight")));
            for row in &mut y {
                row.iter_mut().zip(&bias).for_each(|(y, b)| *y += b);
            }
            y
        }

        fn norm(&self, name: &str, x: &Matrix) -> Matrix {
            let scale = self.vector(&format!("{name}.weight"));
            let shift = self.vector(&format!("{name}.bias"));
            x.iter()
                .map(|row| {
                    let n = row.len() as f64;
                    let mean = row.iter().sum::<f64>() / n;
                    let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                    let normed = row.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt());
                    normed
                        .zip(scale.iter().zip(&shift))
                        .map(|(v, (s, b))| v * s + b)
                        .collect()
                })
                .collect()
        }
    }

    fn multiply(x: &Matrix, weight: &Matrix) -> Matrix {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        x.iter()
            .map(|row| weight.iter().map(|w| dot(row, w)).collect())
            .collect()
    }

    /// The error function by its series; the arguments here are small.
    fn erf(x: f64) -> f64 {
        let (mut sum, mut term) = (x, x);
        for n in 1..60 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn rotate(vector: &[f64], position: usize) -> Vec<f64> {
        let half = vector.len() / 2;
        let mut out = vec![0.0; vector.len()];
        for i in 0..half {
            let angle = position as f64 / 10_000f64.powf(i as f64 / half as f64);
            let (a, b) = (vector[i], vector[half + i]);
            out[i] = a * angle.cos() - b * angle.sin();
            out[half + i] = b * angle.cos() + a * angle.sin();
        }
        out
    }

    fn embed(encoder: &Encoder, ids: &[u16], instructions: &[u16]) -> Vec<f64> {
        let w = Weights(encoder);
        let config = encoder.config();
        let size = config.hidden_size / config.num_attention_heads;
        let table = w.matrix("embeddings.weight");
        let sum: Matrix = ids
            .iter()
            .zip(instructions)
            .map(|(&a, &b)| {
                let (a, b) = (&table[a as usize], &table[b as usize]);
                a.iter().zip(b).map(|(a, b)| a + b).collect()
            })
            .collect();
        let mut x = w.norm("embeddings.norm", &sum);
        let add = |x: &mut Matrix, y: Matrix| {
            for (x, y) in x.iter_mut().flatten().zip(y.into_iter().flatten()) {
                *x += y;
            }
        };
        for i in 0..config.num_hidden_layers {
            let h = w.norm(&format!("layers.{i}.norm1"), &x);
            let qkv = multiply(&h, &w.matrix(&format!("layers.{i}.attention.qkv.weight")));
            let mut attended = vec![vec![]; ids.len()];
            for head in 0..config.num_attention_heads {
                let part = |which: usize, t: usize| {
                    let start = which * config.hidden_size + head * size;
                    qkv[t][start..start + size].to_vec()
                };
                for (t, out) in attended.iter_mut().enumerate() {
                    let q = rotate(&part(0, t), t);
                    let scores: Vec<f64> = (0..ids.len())
                        .map(|s| {
                            let k = rotate(&part(1, s), s);
                            let dot: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
                            (dot / (size as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    out.extend((0..size).map(|d| {
                        let terms = scores.iter().enumerate();
                        terms.map(|(s, p)| p / total * part(2, s)[d]).sum::<f64>()
                    }));
                }
            }
            add(
                &mut x,
                w.linear(&format!("layers.{i}.attention.out"), &attended),
            );
            let h = w.norm(&format!("layers.{i}.norm2"), &x);
            let mut up = w.linear(&format!("layers.{i}.ffn.up"), &h);
            for v in up.iter_mut().flatten() {
                *v *= (1.0 + erf(*v / 2f64.sqrt())) / 2.0;
            }
            add(&mut x, w.linear(&format!("layers.{i}.ffn.down"), &up));
        }
        let x = w.norm("norm", &x);
        let mut pooled = vec![0.0; config.hidden_size];
        for (i, value) in pooled.iter_mut().enumerate() {
            *value = x.iter().map(|row| row[i]).sum::<f64>() / ids.len() as f64;
        }
        let y = w.linear("projection", &vec![pooled]).remove(0);
        let length = y.iter().map(|v| v * v).sum::<f64>().sqrt();
        y.iter().map(|v| v / length).collect()
    }

    #[test]
    fn the_forward_pass_is_what_its_description_says() {
        let config = Config {
            vocab_size: 50,
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 24,
            max_instructions: 8,
            output_size: 12,
            ..Config::default()
        };
        let encoder = Encoder::new(config, 3, Device::Cpu, Kind::Float);
        // Larger than a start, so that every part matters.
        no_grad(|| {
            for (_, tensor) in encoder.parameters().iter() {
                let mut tensor = tensor.shallow_clone();
                let noise = tensor.randn_like() * 0.3;
                let _ = tensor.g_add_(&noise);
            }
        });
        let long: (&[u16], &[u16]) = (&[11, 12, 13, 4, 30, 41, 49], &[3, 3, 3, 4, 5, 5, 6]);
        let short: (&[u16], &[u16]) = (&[20, 21, 5], &[3, 4, 4]);
        let batch = Batch::new(&[long, short], 0, Device::Cpu);
        let vectors = no_grad(|| encoder.embed(&batch));
        for (i, (ids, instructions)) in [long, short].into_iter().enumerate() {
            for (j, expected) in embed(&encoder, ids, instructions).into_iter().enumerate() {
                let found = vectors.double_value(&[i as i64, j as i64]);
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{i} {j}: {found} {expected}"
                );
            }
        }
    }
}
