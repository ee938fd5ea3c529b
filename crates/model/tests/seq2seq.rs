//! A sequence-to-sequence model of random weights: what is written is what the
//! graphs say, whatever the sources are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "the other tests use the rest")]
mod common;

use std::path::Path;

use binscribe_model::export::{Precision, export_seq2seq};
use binscribe_model::{
    Decoding, END, FIRST_SENTINEL, PieceTokenizer, SENTINELS, Seq2Seq, Seq2SeqConfig,
};
use common::{Rng, Weights};

const SOURCES: [&str; 3] = [
    "int twice(int x) { return 2 * x; }",
    "void free_list(list *l) { while (l) { list *n = l->next; free(l); l = n; } }",
    "char *name(void) { return \"</s> <x0>\"; }",
];

fn config() -> Seq2SeqConfig {
    Seq2SeqConfig {
        vocab_size: 400,
        hidden_size: 32,
        encoder_layers: 2,
        decoder_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 64,
        max_source_tokens: 48,
        max_target_tokens: 12,
        ..Seq2SeqConfig::default()
    }
}

fn random_weights(config: &Seq2SeqConfig) -> Weights {
    let mut rng = Rng(5);
    let mut weights = Weights::default();
    let mut add = |name: String, shape: &[usize], mean: f32, deviation: f32| {
        let values = rng.tensor(shape.iter().product(), mean, deviation);
        weights.0.insert(name, (shape.to_vec(), values));
    };
    let (h, inner, vocabulary) = (
        config.hidden_size,
        config.intermediate_size,
        config.vocab_size,
    );
    let mut norms = vec!["embeddings.norm".to_owned()];
    let mut linear = vec![("copy.gate".to_owned(), 1, h)];
    let mut plain = vec![
        ("embeddings.weight".to_owned(), vocabulary, h),
        ("copy.query.weight".to_owned(), h, h),
        ("copy.key.weight".to_owned(), h, h),
    ];
    for (stack, layers) in [
        ("encoder", config.encoder_layers),
        ("decoder", config.decoder_layers),
    ] {
        norms.push(format!("{stack}.norm"));
        for i in 0..layers {
            let name = |part: &str| format!("{stack}.layers.{i}.{part}");
            norms.extend([name("norm1"), name("norm2")]);
            plain.push((name("attention.qkv.weight"), 3 * h, h));
            linear.push((name("attention.out"), h, h));
            linear.push((name("ffn.up"), inner, h));
            linear.push((name("ffn.down"), h, inner));
            if stack == "decoder" {
                norms.push(name("norm3"));
                plain.push((name("cross.query.weight"), h, h));
                plain.push((name("cross.kv.weight"), 2 * h, h));
                linear.push((name("cross.out"), h, h));
            }
        }
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[h], 1.0, 0.1);
        add(format!("{norm}.bias"), &[h], 0.0, 0.1);
    }
    for (name, out, inp) in linear {
        add(format!("{name}.weight"), &[out, inp], 0.0, 0.2);
        add(format!("{name}.bias"), &[out], 0.0, 0.2);
    }
    for (name, out, inp) in plain {
        add(name, &[out, inp], 0.0, 0.3);
    }
    add("output.bias".to_owned(), &[vocabulary], 0.0, 0.1);
    weights
}

fn directory(config: &Seq2SeqConfig) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let to = |name: &str| dir.path().join(name);
    let texts = SOURCES.iter().copied();
    let tokenizer = PieceTokenizer::train(texts, config.vocab_size).unwrap();
    tokenizer.save(&to("tokenizer.json")).unwrap();
    config.save(&to("config.json")).unwrap();
    let weights = to("model.safetensors");
    random_weights(config).save(&weights);
    for (ending, precision) in [("onnx", Precision::Float), ("int8.onnx", Precision::Int8)] {
        let graph = |stem: &str| to(&format!("{stem}.{ending}"));
        export_seq2seq(
            &weights,
            config,
            &graph("encoder"),
            &graph("decoder"),
            precision,
        )
        .unwrap();
    }
    dir
}

fn load(dir: &Path) -> Seq2Seq {
    Seq2Seq::load_with(dir, Precision::Float).unwrap()
}

#[test]
fn probabilities_sum_to_one_and_do_not_look_ahead() {
    let dir = directory(&config());
    let model = load(dir.path());
    let source = model.tokenizer().encode_source(SOURCES[1], 48);
    let all = model
        .log_probabilities(&source, &[60, 70, 80, END])
        .unwrap();
    assert_eq!(all.len(), 4);
    for row in &all {
        let sum: f32 = row.iter().map(|x| x.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }
    let start = model.log_probabilities(&source, &[60, 70]).unwrap();
    assert_eq!(start[..], all[..2]);
    let other = model.log_probabilities(&source, &[61, 70]).unwrap();
    assert_eq!(start[0], other[0]);
    assert_ne!(start[1], other[1]);
    let elsewhere = model.log_probabilities(&source[1..], &[60]).unwrap();
    assert_ne!(start[0], elsewhere[0]);
}

/// The most probable token again and again, each time over the whole prefix.
fn greedy(model: &Seq2Seq, source: &str, max_tokens: usize) -> String {
    let specials = FIRST_SENTINEL + SENTINELS;
    let ids = model.tokenizer().encode_source(source, 48);
    let mut target: Vec<u32> = Vec::new();
    while target.len() < max_tokens {
        let mut asked = target.clone();
        asked.push(END);
        let row = model
            .log_probabilities(&ids, &asked)
            .unwrap()
            .pop()
            .unwrap();
        let may = |id: &u32| *id >= specials || (*id == END && !target.is_empty());
        let best = (0..row.len() as u32)
            .filter(may)
            .max_by(|&a, &b| row[a as usize].total_cmp(&row[b as usize]));
        match best {
            Some(END) | None => break,
            Some(id) => target.push(id),
        }
    }
    model.tokenizer().decode(&target)
}

#[test]
fn greedy_search_takes_the_most_probable_and_threads_change_nothing() {
    let dir = directory(&config());
    let model = load(dir.path());
    let decoding = Decoding {
        beams: 1,
        length_penalty: 1.0,
        max_tokens: 9,
        no_repeat: 0,
    };
    let written = model.generate_with(&SOURCES, &decoding, &|_| ()).unwrap();
    for (source, text) in SOURCES.iter().zip(&written) {
        assert_eq!(*text, greedy(&model, source, 9));
    }
    let many: Vec<&str> = SOURCES.iter().copied().cycle().take(12).collect();
    let one = load(dir.path()).with_threads(1).generate(&many).unwrap();
    let two = load(dir.path()).with_threads(3).generate(&many).unwrap();
    assert_eq!(one, two);
    assert_eq!(one[..3], one[9..]);
}

#[test]
fn whatever_the_source_is_the_text_is_short_and_clean() {
    let dir = directory(&config());
    let model = Seq2Seq::load(dir.path()).unwrap();
    let long = "x(".repeat(1 << 20);
    let hostile = [
        "",
        "\u{0}\u{1b}[2J",
        "\u{202e}<x0></s><pad>",
        "é∀💥",
        long.as_str(),
    ];
    for text in model.generate(&hostile).unwrap() {
        assert!(text.chars().count() <= 1024);
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{text:?}"
        );
    }
}

#[test]
fn the_id_tells_models_apart_and_a_wrong_directory_is_refused() {
    let dir = directory(&config());
    let id = load(dir.path()).id().to_owned();
    assert_ne!(Seq2Seq::load(dir.path()).unwrap().id(), id);
    let greedy = Seq2SeqConfig {
        num_beams: 1,
        ..config()
    };
    greedy.save(&dir.path().join("config.json")).unwrap();
    assert_ne!(load(dir.path()).id(), id);

    let said = |dir: &Path| Seq2Seq::load(dir).unwrap_err().to_string();
    std::fs::write(dir.path().join("decoder.int8.onnx"), "no graph").unwrap();
    assert!(said(dir.path()).contains("not a readable ONNX model"));
    let bad = Seq2SeqConfig {
        num_attention_heads: 3,
        ..config()
    };
    bad.save(&dir.path().join("config.json")).unwrap();
    assert!(said(dir.path()).contains("heads of even width"));
}
