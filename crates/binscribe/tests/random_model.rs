//! A model directory whose weights are drawn from a seed: it knows nothing, and
//! answers like any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use binscribe_model::export::{self, Precision, TextConfig};
use binscribe_model::{AsmTokenizer, Config};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

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

    /// The second half of a layer of BERT's form.
    fn feed_forward(&mut self, layer: &str) {
        self.linear(&format!("{layer}.intermediate.dense"), INNER, HIDDEN);
        self.linear(&format!("{layer}.output.dense"), HIDDEN, INNER);
        self.norm(&format!("{layer}.output.LayerNorm"));
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

/// Writes CLAP's two models, much smaller than they are, as directories `asm`
/// and `text` in the form of the Hugging Face Hub.
pub(crate) fn write_clap(directory: &Path) {
    let write = |folder: &str, config: Value, tokenizer: Value, weights: &Weights| {
        let folder = directory.join(folder);
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("config.json"), config.to_string()).expect("written");
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).expect("written");
        weights.write(&folder.join("model.safetensors"));
    };
    let specials = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"].map(str::to_owned);
    let letters = ('a'..='z').chain('0'..='9').chain("[]+-*_;.".chars());
    let pieces = letters.flat_map(|c| [c.to_string(), format!("##{c}")]);
    let english: Vec<String> = specials.iter().cloned().chain(pieces.clone()).collect();
    let instructions: Vec<String> = (1..=64).map(|k| format!("INSTR{k}")).collect();
    let assembly: Vec<String> = specials
        .into_iter()
        .chain(instructions)
        .chain(pieces)
        .collect();
    let sizes = json!({
        "hidden_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": INNER, "hidden_act": "gelu", "pad_token_id": 1
    });
    let config = |more: Value| {
        let mut all = sizes.clone();
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        all
    };

    let mut weights = Weights::new(3);
    weights.random(
        "jroformer.embeddings.word_embeddings.weight",
        &[assembly.len(), HIDDEN],
    );
    weights.norm("jroformer.embeddings.LayerNorm");
    let layer = "jroformer.encoder.layer.0";
    for part in ["query", "key", "value"] {
        weights.random(
            &format!("{layer}.attention.self.{part}.weight"),
            &[HIDDEN, HIDDEN],
        );
    }
    weights.linear(&format!("{layer}.attention.output.dense"), HIDDEN, HIDDEN);
    weights.norm(&format!("{layer}.attention.output.LayerNorm"));
    weights.feed_forward(layer);
    weights.linear("projection", HIDDEN, HIDDEN);
    let shape = config(json!({
        "model_type": "roformer", "vocab_size": assembly.len(), "embedding_size": HIDDEN,
        "layer_norm_eps": 1e-12, "max_position_embeddings": 128
    }));
    write(
        "asm",
        shape,
        word_piece(&assembly, 70, "<s>", "</s>"),
        &weights,
    );

    let mut weights = Weights::new(4);
    weights.random(
        "embeddings.word_embeddings.weight",
        &[english.len(), HIDDEN],
    );
    weights.random("embeddings.position_embeddings.weight", &[66, HIDDEN]);
    weights.norm("embeddings.LayerNorm");
    weights.random("encoder.relative_attention_bias.weight", &[32, 2]);
    let layer = "encoder.layer.0";
    for part in ["q", "k", "v", "o"] {
        weights.linear(&format!("{layer}.attention.attn.{part}"), HIDDEN, HIDDEN);
    }
    weights.norm(&format!("{layer}.attention.LayerNorm"));
    weights.feed_forward(layer);
    let shape = config(json!({
        "model_type": "mpnet", "vocab_size": english.len(), "layer_norm_eps": 1e-5,
        "max_position_embeddings": 66, "relative_attention_num_buckets": 32
    }));
    write(
        "text",
        shape,
        word_piece(&english, 6, "<s>", "</s>"),
        &weights,
    );
}

/// A `tokenizer.json` of BERT's kind, the first entries of whose vocabulary are
/// special ones.
fn word_piece(vocabulary: &[String], specials: usize, start: &str, end: &str) -> Value {
    let id = |piece: &str| vocabulary.iter().position(|entry| entry == piece);
    let numbered: serde_json::Map<String, Value> = vocabulary
        .iter()
        .enumerate()
        .map(|(id, piece)| (piece.clone(), id.into()))
        .collect();
    let special = |id: usize| {
        json!({
            "id": id, "content": vocabulary[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        })
    };
    let token = |name: &str| json!({ "SpecialToken": { "id": name, "type_id": 0 } });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": (0..specials).map(special).collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token(start), { "Sequence": { "id": "A", "type_id": 0 } }, token(end)],
            "pair": [
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } }
            ],
            "special_tokens": {
                start: { "id": start, "ids": [id(start)], "tokens": [start] },
                end: { "id": end, "ids": [id(end)], "tokens": [end] }
            }
        },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": numbered
        }
    })
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
    let tokenizer = word_piece(&vocabulary, 5, "[CLS]", "[SEP]");
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
    weights.feed_forward("encoder.layer.0");
    weights.write(weights_file);
    let out = directory.join("text.int8.onnx");
    export::export_text(weights_file, &config, &out, Precision::Int8).expect("exported");
}
