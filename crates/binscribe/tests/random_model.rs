//! A model directory whose weights are drawn from a seed: it knows nothing, and
//! answers like any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use binscribe_model::export::{self, Precision, TextConfig};
use binscribe_model::{AsmTokenizer, Config};
use safetensors::tensor::{Dtype, TensorView};

const HIDDEN: usize = 32;
const INNER: usize = 64;

/// Named tensors, filled in the order in which they are asked for.
struct Weights {
    state: u32,
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
}

impl Weights {
    fn new(seed: u32) -> Weights {
        Weights {
            state: seed,
            tensors: BTreeMap::new(),
        }
    }

    fn random(&mut self, name: &str, shape: &[usize]) {
        let scale = 1.5 / (shape[shape.len() - 1] as f32).sqrt();
        let mut bytes = Vec::new();
        for _ in 0..shape.iter().product::<usize>() {
            self.state = self
                .state
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let uniform = (self.state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            bytes.extend((uniform * scale).to_le_bytes());
        }
        self.tensors
            .insert(name.to_owned(), (shape.to_vec(), bytes));
    }

    fn linear(&mut self, name: &str, rows: usize, columns: usize) {
        self.random(&format!("{name}.weight"), &[rows, columns]);
        self.random(&format!("{name}.bias"), &[rows]);
    }

    fn norm(&mut self, name: &str) {
        let ones = (0..HIDDEN).flat_map(|_| 1f32.to_le_bytes()).collect();
        self.tensors
            .insert(format!("{name}.weight"), (vec![HIDDEN], ones));
        self.tensors
            .insert(format!("{name}.bias"), (vec![HIDDEN], vec![0; HIDDEN * 4]));
    }

    fn write(&self, path: &Path) {
        let views = self.tensors.iter().map(|(name, (shape, bytes))| {
            (
                name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor"),
            )
        });
        let bytes = safetensors::serialize(views, None).expect("tensors");
        fs::write(path, bytes).expect("written");
    }
}

/// Writes the directory.
pub(crate) fn write(directory: &Path) {
    fs::create_dir_all(directory).expect("made");
    let weights = directory.join("weights");
    assembly(directory, &weights);
    text(directory, &weights);
    fs::remove_file(&weights).expect("removed");
}

fn assembly(directory: &Path, weights_file: &Path) {
    let listing = "push    rbp\nmov     rbp, rsp\nmov     eax, [rbp+var_18]\ncall    _malloc\n\
                   lea     rdi, aUsage; \"usage: %s\"\njz      short INSTR2\npop     rbp\nretn";
    let tokenizer = AsmTokenizer::train([listing; 4].into_iter(), 700, 512).expect("a tokenizer");
    tokenizer
        .save(&directory.join("tokenizer.json"))
        .expect("saved");
    let config = Config {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: HIDDEN,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: INNER,
        output_size: HIDDEN,
        ..Config::default()
    };
    config.save(&directory.join("config.json")).expect("saved");
    let mut weights = Weights::new(1);
    weights.random("embeddings.weight", &[config.vocab_size, HIDDEN]);
    weights.norm("embeddings.norm");
    weights.norm("layers.0.norm1");
    weights.random("layers.0.attention.qkv.weight", &[3 * HIDDEN, HIDDEN]);
    weights.linear("layers.0.attention.out", HIDDEN, HIDDEN);
    weights.norm("layers.0.norm2");
    weights.linear("layers.0.ffn.up", INNER, HIDDEN);
    weights.linear("layers.0.ffn.down", HIDDEN, INNER);
    weights.norm("norm");
    weights.linear("projection", HIDDEN, HIDDEN);
    weights.write(weights_file);
    let out = directory.join("assembly.int8.onnx");
    export::export_assembly(weights_file, &config, &out, Precision::Int8).expect("exported");
}

fn text(directory: &Path, weights_file: &Path) {
    let mut vocabulary: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .map(str::to_owned)
        .to_vec();
    vocabulary.extend(('a'..='z').map(String::from));
    vocabulary.extend(('a'..='z').map(|letter| format!("##{letter}")));
    let numbered: serde_json::Map<String, serde_json::Value> = vocabulary
        .iter()
        .enumerate()
        .map(|(id, piece)| (piece.clone(), id.into()))
        .collect();
    let special = |id: usize| {
        serde_json::json!({
            "id": id, "content": vocabulary[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        })
    };
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": "[CLS]", "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": "[SEP]", "type_id": 0 } }
            ],
            "pair": [
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } }
            ],
            "special_tokens": {
                "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] },
                "[SEP]": { "id": "[SEP]", "ids": [3], "tokens": ["[SEP]"] }
            }
        },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": numbered
        }
    });
    fs::write(directory.join("text_tokenizer.json"), tokenizer.to_string()).expect("written");

    let config = TextConfig {
        vocab_size: vocabulary.len(),
        hidden_size: HIDDEN,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: INNER,
        layer_norm_eps: 1e-12,
        max_position_embeddings: 512,
        type_vocab_size: 2,
    };
    let mut weights = Weights::new(2);
    weights.random(
        "embeddings.word_embeddings.weight",
        &[config.vocab_size, HIDDEN],
    );
    weights.random("embeddings.position_embeddings.weight", &[512, HIDDEN]);
    weights.random("embeddings.token_type_embeddings.weight", &[2, HIDDEN]);
    weights.norm("embeddings.LayerNorm");
    for part in ["query", "key", "value"] {
        weights.linear(
            &format!("encoder.layer.0.attention.self.{part}"),
            HIDDEN,
            HIDDEN,
        );
    }
    weights.linear("encoder.layer.0.attention.output.dense", HIDDEN, HIDDEN);
    weights.norm("encoder.layer.0.attention.output.LayerNorm");
    weights.linear("encoder.layer.0.intermediate.dense", INNER, HIDDEN);
    weights.linear("encoder.layer.0.output.dense", HIDDEN, INNER);
    weights.norm("encoder.layer.0.output.LayerNorm");
    weights.write(weights_file);
    let out = directory.join("text.int8.onnx");
    export::export_text(weights_file, &config, &out, Precision::Int8).expect("exported");
}
