//! What is exported and run equals a plain forward pass.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says when it is skipped"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use binscribe_model::export::{
    Precision, TextConfig, assembly_weights, export_assembly, export_text,
};
use binscribe_model::{Config, Encoding, Model};
use common::{Rng, Weights};
use rten_tensor::NdTensor;

/// A model directory of random weights in the default model's shape. The text
/// encoder is a stand-in: the assembly graph under its name.
struct Random {
    dir: tempfile::TempDir,
    config: Config,
    weights: Weights,
}

impl Random {
    fn new(config: Config) -> Random {
        let dir = tempfile::tempdir().unwrap();
        let tokenizer = common::tokenizer();
        tokenizer.save(&dir.path().join("tokenizer.json")).unwrap();
        tokenizer
            .save(&dir.path().join("text_tokenizer.json"))
            .unwrap();
        config.save(&dir.path().join("config.json")).unwrap();
        let weights = common::random_weights(&config, 7);
        let path = dir.path().join("model.safetensors");
        weights.save(&path);
        for (suffix, precision) in [("onnx", Precision::Float), ("int8.onnx", Precision::Int8)] {
            let out = dir.path().join(format!("assembly.{suffix}"));
            export_assembly(&path, &config, &out, precision).unwrap();
            std::fs::copy(&out, dir.path().join(format!("text.{suffix}"))).unwrap();
        }
        Random {
            dir,
            config,
            weights,
        }
    }

    fn load(&self, precision: Precision) -> Model {
        Model::load_with(self.dir.path(), precision).unwrap()
    }
}

fn small() -> Config {
    Config {
        vocab_size: 1024,
        hidden_size: 32,
        num_hidden_layers: 2,
        intermediate_size: 64,
        output_size: 24,
        ..Config::default()
    }
}

fn encodings(config: &Config, lengths: &[usize]) -> Vec<Encoding> {
    let mut rng = Rng(11);
    let random = |n: &usize| common::random_encoding(config, *n, &mut rng);
    lengths.iter().map(random).collect()
}

/// Rounding to 63 steps of the largest weight of a row (127 in the table) may move
/// a weight by half a step.
#[test]
fn weights_come_back_out_of_a_graph() {
    let random = Random::new(small());
    let dir = random.dir.path();
    let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
    let saved = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    // A run's own weights come before those of a graph.
    let whole = assembly_weights(dir).unwrap();
    assert_eq!(whole.len(), saved.len());
    std::fs::remove_file(dir.join("model.safetensors")).unwrap();
    let back = || {
        let weights = assembly_weights(dir).unwrap();
        let mut names: Vec<String> = weights.iter().map(|w| w.name.clone()).collect();
        names.sort();
        let mut all: Vec<&str> = saved.names();
        all.retain(|name| *name != "mlm.bias");
        all.sort();
        assert_eq!(names, all);
        weights.into_iter().map(|weight| {
            let tensor = saved.tensor(&weight.name).unwrap();
            assert_eq!(tensor.shape(), weight.shape, "{}", weight.name);
            let floats = tensor.data().as_chunks().0.iter();
            let before: Vec<f32> = floats.map(|b| f32::from_le_bytes(*b)).collect();
            (weight, before)
        })
    };
    for (weight, before) in back() {
        let queries = weight.name.contains("qkv");
        for (x, y) in weight.values.iter().zip(&before) {
            let room = if queries { x.abs() * 1e-6 } else { 0.0 };
            assert!((x - y).abs() <= room, "{}: {x} {y}", weight.name);
        }
    }
    std::fs::remove_file(dir.join("assembly.onnx")).unwrap();
    let mut rounded = 0;
    for (weight, before) in back() {
        let width = *weight.shape.last().unwrap();
        let (matrix, table) = (weight.shape.len() == 2, weight.name.starts_with("embed"));
        for (row, before) in weight.values.chunks(width).zip(before.chunks(width)) {
            let largest = before.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            let step = largest / if table { 127.0 } else { 63.0 };
            let room = if matrix { step * 0.501 } else { 0.0 };
            for (x, y) in row.iter().zip(before) {
                assert!((x - y).abs() <= room, "{}: {x} {y}", weight.name);
                rounded += usize::from(x != y);
            }
        }
    }
    assert!(rounded > 0);

    let mut other = random.config.clone();
    other.intermediate_size += 1;
    other.save(&dir.join("config.json")).unwrap();
    let said = assembly_weights(dir).unwrap_err().to_string();
    assert!(said.contains("layers.0.ffn.up"), "{said}");
}

#[test]
fn an_assembly_encoder_equals_its_reference() {
    let random = Random::new(Config::default());
    let encodings = encodings(&random.config, &[1, 2, 33, 150]);
    let float = random
        .load(Precision::Float)
        .embed_encodings(&encodings)
        .unwrap();
    let int8 = random
        .load(Precision::Int8)
        .embed_encodings(&encodings)
        .unwrap();
    for ((encoding, float), int8) in encodings.iter().zip(&float).zip(&int8) {
        let expected = common::assembly_reference(&random.weights, &random.config, encoding);
        let difference = common::largest_difference(float, &expected);
        assert!(difference < 1e-4, "{} tokens: {difference}", encoding.len());
        let cosine = common::cosine(float, int8);
        assert!(cosine > 0.99, "{} tokens: {cosine}", encoding.len());
    }
}

#[test]
fn a_vector_does_not_depend_on_its_neighbours() {
    let random = Random::new(small());
    let encodings = encodings(&random.config, &[5, 512, 1, 40, 41, 300, 5]);
    for precision in [Precision::Float, Precision::Int8] {
        let model = random.load(precision);
        let together = model.embed_encodings(&encodings).unwrap();
        for (encoding, vector) in encodings.iter().zip(&together) {
            let alone = model
                .embed_encodings(std::slice::from_ref(encoding))
                .unwrap();
            assert_eq!(alone[0], *vector);
            assert!((common::cosine(vector, vector) - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn padding_does_not_change_a_vector() {
    let random = Random::new(small());
    let encodings = encodings(&random.config, &[3, 50, 17]);
    let alone = random
        .load(Precision::Float)
        .embed_encodings(&encodings)
        .unwrap();

    let graph = rten::Model::load_file(random.dir.path().join("assembly.onnx")).unwrap();
    let pad = |ids: fn(&Encoding) -> Vec<u32>| {
        let mut padded = NdTensor::<i32, 2>::zeros([3, 50]);
        for (row, encoding) in encodings.iter().enumerate() {
            for (column, id) in ids(encoding).into_iter().enumerate() {
                padded[[row, column]] = id as i32;
            }
        }
        padded
    };
    let inputs = [
        ("input_ids", pad(|e| e.ids.clone())),
        ("instruction_ids", pad(|e| e.instruction_ids.clone())),
        ("attention_mask", pad(|e| vec![1; e.len()])),
    ];
    let inputs = inputs
        .into_iter()
        .map(|(name, ids)| (graph.node_id(name).unwrap(), ids.into()))
        .collect();
    let output = graph.node_id("embedding").unwrap();
    let [padded] = graph.run_n(inputs, [output], None).unwrap();
    let padded: NdTensor<f32, 2> = padded.try_into().unwrap();
    for (row, alone) in alone.iter().enumerate() {
        for (column, x) in alone.iter().enumerate() {
            assert!((padded[[row, column]] - x).abs() < 1e-5);
        }
    }
}

#[test]
fn listings_come_out_in_their_order_with_progress() {
    let random = Random::new(small());
    let model = random.load(Precision::Int8);
    let listings = ["retn", "push    rbp\nretn", "", "retn"].map(str::to_owned);
    let seen = std::cell::RefCell::new(Vec::new());
    let vectors = model
        .embed_listings(&listings, &|done| seen.borrow_mut().push(done))
        .unwrap();
    assert_eq!(seen.into_inner(), [1, 2, 3, 4]);
    assert_eq!(vectors[0], vectors[3]);
    assert_ne!(vectors[0], vectors[1]);
    assert!(vectors.iter().all(|v| v.len() == model.dim()));
    assert!(model.embed_listings(&[], &|_| ()).unwrap().is_empty());
}

#[test]
fn the_id_names_the_weights() {
    let random = Random::new(small());
    let id = |precision| random.load(precision).id().to_owned();
    assert_eq!(id(Precision::Int8), id(Precision::Int8));
    assert_ne!(id(Precision::Int8), id(Precision::Float));
    assert_eq!(id(Precision::Int8).len(), 16);
    // Where there are both, the small one is taken.
    let model = Model::load(random.dir.path()).unwrap();
    assert_eq!(model.id(), id(Precision::Int8));
}

#[test]
fn broken_directories_say_what_is_wrong() {
    let random = Random::new(small());
    let dir = random.dir.path();
    let graph = dir.join("assembly.int8.onnx");
    let listings = ["retn".to_owned()];
    let said = || match Model::load(dir) {
        Ok(model) => model
            .embed_listings(&listings, &|_| ())
            .unwrap_err()
            .to_string(),
        Err(error) => error.to_string(),
    };

    let whole = std::fs::read(&graph).unwrap();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&graph, &whole[..length]).unwrap();
        let said = said();
        assert!(said.contains("assembly.int8.onnx: "), "{length}: {said}");
    }
    std::fs::write(&graph, b"this is not a model").unwrap();
    assert!(said().contains("assembly.int8.onnx: not a readable ONNX model"));
    std::fs::write(&graph, &whole).unwrap();

    std::fs::write(dir.join("tokenizer.json"), b"{}").unwrap();
    assert!(said().contains("tokenizer.json: tokenizer: "), "{}", said());
    std::fs::remove_file(dir.join("tokenizer.json")).unwrap();
    assert!(
        said().contains("tokenizer.json: No such file"),
        "{}",
        said()
    );
    std::fs::write(dir.join("config.json"), b"{\"model_type\": \"bert\"}").unwrap();
    assert!(
        said().contains("config.json: unknown variant `bert`"),
        "{}",
        said()
    );
    std::fs::write(dir.join("config.json"), b"{\"model_type\": \"clap\"}").unwrap();
    assert!(said().contains("config.json: missing field"), "{}", said());
}

#[test]
fn weights_of_another_shape_are_refused() {
    let random = Random::new(small());
    let weights = random.dir.path().join("model.safetensors");
    let out = random.dir.path().join("out.onnx");
    let config = Config {
        hidden_size: 64,
        ..small()
    };
    let said = export_assembly(&weights, &config, &out, Precision::Float).unwrap_err();
    let expected = "tensor embeddings.weight is F32 [1024, 32], not F32 [1024, 64]";
    assert!(said.to_string().ends_with(expected), "{said}");
    assert!(!out.exists());
}

/// The folder of `all-MiniLM-L6-v2`, which `cargo xtask test` fetches.
fn minilm() -> Option<PathBuf> {
    let dir = std::env::var_os("BINSCRIBE_MINILM").map(PathBuf::from);
    if dir.is_none() {
        println!("skipped: BINSCRIBE_MINILM is not set; `cargo xtask test` sets it");
    }
    dir
}

fn with_minilm(random: &Random, minilm: &Path) -> TextConfig {
    let config = TextConfig::from_file(&minilm.join("config.json")).unwrap();
    let weights = minilm.join("model.safetensors");
    for (name, precision) in [
        ("text.onnx", Precision::Float),
        ("text.int8.onnx", Precision::Int8),
    ] {
        let out = random.dir.path().join(name);
        export_text(&weights, &config, &out, precision).unwrap();
    }
    std::fs::copy(
        minilm.join("tokenizer.json"),
        random.dir.path().join("text_tokenizer.json"),
    )
    .unwrap();
    config
}

#[test]
fn the_text_encoder_equals_its_reference_and_knows_english() {
    let Some(minilm) = minilm() else { return };
    let random = Random::new(Config {
        output_size: 384,
        ..small()
    });
    let config = with_minilm(&random, &minilm);
    let size = std::fs::metadata(random.dir.path().join("text.int8.onnx"))
        .unwrap()
        .len();
    assert!(size <= 24_000_000, "{size} bytes");

    let texts = [
        "A function that sorts an array of integers.",
        "bubble sort",
        "computes the SHA-256 hash of a message",
        "cryptographic digest",
        "Die Katze schläft.",
    ]
    .map(str::to_owned);
    let float = random.load(Precision::Float).embed_texts(&texts).unwrap();
    let int8 = random.load(Precision::Int8).embed_texts(&texts).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_file(minilm.join("tokenizer.json")).unwrap();
    let weights = Weights::load(&minilm.join("model.safetensors"));
    for ((text, float), int8) in texts.iter().zip(&float).zip(&int8) {
        let encoding = tokenizer.encode(text.as_str(), true).unwrap();
        let real = encoding.get_attention_mask().iter().sum::<u32>() as usize;
        let ids = &encoding.get_ids()[..real];
        let expected = common::text_reference(&weights, &config, ids);
        let difference = common::largest_difference(float, &expected);
        assert!(difference < 1e-4, "{text}: {difference}");
        assert!(common::cosine(float, int8) > 0.99, "{text}");
    }
    for vectors in [float, int8] {
        let score = |a: usize, b: usize| common::cosine(&vectors[a], &vectors[b]);
        assert!(score(0, 1) > score(0, 2) + 0.2);
        assert!(score(2, 3) > score(1, 2) + 0.2);
        assert!(score(0, 4) < 0.2);
    }
}

#[test]
fn the_default_model_is_the_one_the_environment_names() {
    // In a child, because the environment belongs to all tests.
    let program = std::env::current_exe().unwrap();
    let run = |dir: &str| {
        let output = Command::new(&program)
            .args([
                "--exact",
                "child_prints_the_default_model",
                "--ignored",
                "--nocapture",
            ])
            .env("BINSCRIBE_MODEL", dir)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("/some/where").contains("default: /some/where\n"));
}

#[test]
#[ignore = "run by the_default_model_is_the_one_the_environment_names"]
fn child_prints_the_default_model() {
    println!(
        "default: {}",
        binscribe_model::default_dir().unwrap().display()
    );
}
