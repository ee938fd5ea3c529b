//! Trained weights (`.safetensors`) to ONNX graphs, and back from them.
//!
//! The graphs use plain ONNX operators in the shapes that `rten` and ONNX
//! Runtime both know how to fuse. [`Precision::Int8`] quantises as ONNX
//! Runtime's `quantize_dynamic` does: the weights of every linear layer are
//! 8-bit integers with one scale a column, the activations are quantised while
//! the graph runs. Embedding tables are 8-bit integers with one scale a row.

mod average;
mod back;
mod clap;
mod seq2seq;

use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::onnx::{ATTENTION_BIAS, Attribute, DataType, Dim, GraphWriter};
use crate::{Config, Error, Result};

pub use average::average;
pub use back::{BY_TOKEN, HEAD, Weight, assembly_weights};
pub use clap::{ClapTextConfig, export_clap_assembly, export_clap_text};
pub use seq2seq::export_seq2seq;

/// How the numbers of a graph are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    Float,
    /// 8-bit integers for weights and, while running, activations.
    Int8,
}

/// The shape of a BERT text encoder: what is needed of its `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TextConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads of a layer.
    pub num_attention_heads: usize,
    /// Width of a layer's feed-forward block.
    pub intermediate_size: usize,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f32,
    /// Tokens of the longest text.
    pub max_position_embeddings: usize,
    /// Segments that the encoder was trained with; only the first is used.
    pub type_vocab_size: usize,
}

impl TextConfig {
    /// Reads a Hugging Face `config.json`.
    pub fn from_file(path: &Path) -> Result<TextConfig> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::bad_file(path, e.to_string()))
    }
}

/// Writes the graph of an assembly encoder.
///
/// Inputs `input_ids`, `instruction_ids` and `attention_mask`, all
/// `[batch, tokens]`; output `embedding`, one unit vector a row.
pub fn export_assembly(
    weights: &Path,
    config: &Config,
    out: &Path,
    precision: Precision,
) -> Result<()> {
    let bytes = read(weights)?;
    let weights = Weights::new(weights, &bytes)?;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let shape = (hidden, config.num_attention_heads, config.layer_norm_eps);
    let mut e = Exporter::new(weights, shape, precision);
    let ids = e.ids("input_ids");
    let instructions = e.ids("instruction_ids");
    let mask = e.mask();
    let rotary = e.rotary(&ids, config.max_tokens, config.rotary_base);

    let table = e
        .weights
        .get("embeddings.weight", &[config.vocab_size, hidden])?;
    let [token, instruction] = e.embed(&table, [&ids, &instructions]);
    let x = e.graph.op("Add", &[&token, &instruction]);
    let mut x = e.layer_norm(&x, "embeddings.norm")?;
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("layers.{layer}.{part}");
        let h = e.layer_norm(&x, &name("norm1"))?;
        let qkv = e
            .weights
            .get(&name("attention.qkv.weight"), &[3 * hidden, hidden])?;
        let h = e.qkv(&h, qkv, None);
        let h = e.attention(h, Some(&rotary), Some(&mask));
        let h = e.linear(&h, &name("attention.out"), [hidden, hidden])?;
        x = e.graph.op("Add", &[&x, &h]);
        let h = e.layer_norm(&x, &name("norm2"))?;
        let h = e.linear(&h, &name("ffn.up"), [inner, hidden])?;
        let h = e.gelu(&h);
        let h = e.linear(&h, &name("ffn.down"), [hidden, inner])?;
        x = e.graph.op("Add", &[&x, &h]);
    }
    let x = e.layer_norm(&x, "norm")?;
    let x = e.masked_mean(&x, &mask);
    // One row a function: nothing to gain from integers.
    e.precision = Precision::Float;
    let x = e.linear(&x, "projection", [config.output_size, hidden])?;
    e.finish(&x, config.output_size, "binscribe-asm", out)
}

/// Writes the graph of a BERT text encoder with mean pooling, as
/// sentence-transformers runs it.
///
/// Inputs `input_ids` and `attention_mask`, both `[batch, tokens]`; output
/// `embedding`, one unit vector a row. Every text is segment 0.
pub fn export_text(
    weights: &Path,
    config: &TextConfig,
    out: &Path,
    precision: Precision,
) -> Result<()> {
    let bytes = read(weights)?;
    let weights = Weights::new(weights, &bytes)?;
    let hidden = config.hidden_size;
    let shape = (hidden, config.num_attention_heads, config.layer_norm_eps);
    let mut e = Exporter::new(weights, shape, precision);
    let ids = e.ids("input_ids");
    let mask = e.mask();

    let words = e.weights.get(
        "embeddings.word_embeddings.weight",
        &[config.vocab_size, hidden],
    )?;
    let [words] = e.embed(&words, [&ids]);
    let positions = e.positions(&ids, config)?;
    let x = e.graph.op("Add", &[&words, &positions]);
    let mut x = e.layer_norm(&x, "embeddings.LayerNorm")?;
    let layers = PostNorm {
        prefix: "encoder.layer",
        queries_keys_values: BERT_QKV,
        out: "attention.output.dense",
        out_norm: "attention.output.LayerNorm",
        biased: true,
        inner: config.intermediate_size,
        rotary: None,
        relative: None,
        mask: &mask,
    };
    for layer in 0..config.num_hidden_layers {
        x = e.post_norm_layer(x, layer, &layers)?;
    }
    let x = e.masked_mean(&x, &mask);
    e.finish(&x, hidden, "binscribe-text", out)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

/// The tensors of a `.safetensors` file, checked against the shapes that the
/// configuration promises.
struct Weights<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Weights<'a>> {
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|e| Error::bad_file(path, e.to_string()))?;
        Ok(Weights { path, tensors })
    }

    fn all(&self) -> Result<Vec<Weight>> {
        let tensors = self.tensors.tensors();
        let weights = tensors.iter().map(|(name, tensor)| {
            Ok(Weight {
                name: name.clone(),
                shape: tensor.shape().to_vec(),
                values: self.get(name, tensor.shape())?,
            })
        });
        weights.collect()
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let bad = |reason: String| Error::bad_file(self.path, reason);
        let tensor = self
            .tensors
            .tensor(name)
            .map_err(|_| bad(format!("it has no tensor {name}")))?;
        let values: Option<Vec<f32>> = match tensor.dtype() {
            _ if tensor.shape() != shape => None,
            Dtype::F32 => Some(numbers(tensor.data(), f32::from_le_bytes)),
            Dtype::F16 => Some(numbers(tensor.data(), |b| f16::from_le_bytes(b).into())),
            Dtype::BF16 => Some(numbers(tensor.data(), |b| bf16::from_le_bytes(b).into())),
            _ => None,
        };
        let values = values.ok_or_else(|| {
            bad(format!(
                "tensor {name} is {:?} {:?}, not F32 {shape:?}",
                tensor.dtype(),
                tensor.shape()
            ))
        })?;
        if let Some(x) = values.iter().find(|x| !x.is_finite()) {
            return Err(bad(format!("tensor {name} holds {x}")));
        }
        Ok(values)
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| number(*b)).collect()
}

/// The attention mask in the two forms that are needed.
struct Mask {
    /// `[batch, tokens]`: one or zero.
    keep: String,
    /// `[batch, 1, 1, tokens]`: zero or a large negative number.
    bias: String,
}

/// Cosines and sines of the rotary positions, `[tokens, head / 2]`.
struct Rotary {
    cos: String,
    sin: String,
}

/// The layers of a published encoder: each part's output is added to its input
/// and then normalised (Vaswani et al. 2017). What they call their tensors, and
/// what their attention knows of positions.
struct PostNorm<'a> {
    prefix: &'a str,
    queries_keys_values: [&'a str; 3],
    out: &'a str,
    out_norm: &'a str,
    /// Whether queries, keys and values have a bias.
    biased: bool,
    inner: usize,
    /// Positions turned into queries and keys whose dimensions are paired with
    /// their neighbours, as RoFormer publishes them.
    rotary: Option<&'a Rotary>,
    /// `[1, heads, tokens, tokens]`, added to the scores.
    relative: Option<&'a str>,
    mask: &'a Mask,
}

const BERT_QKV: [&str; 3] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
];

struct Exporter<'a> {
    graph: GraphWriter,
    weights: Weights<'a>,
    precision: Precision,
    hidden: usize,
    heads: usize,
    eps: f32,
}

impl<'a> Exporter<'a> {
    /// A graph without anything in it, of that width, number of heads and
    /// epsilon of layer norms.
    fn new(
        weights: Weights<'a>,
        (hidden, heads, eps): (usize, usize, f32),
        precision: Precision,
    ) -> Exporter<'a> {
        Exporter {
            graph: GraphWriter::default(),
            weights,
            precision,
            hidden,
            heads,
            eps,
        }
    }
}

impl Exporter<'_> {
    /// An input of whole numbers, `[batch, tokens]`.
    fn ids(&mut self, name: &str) -> String {
        let dims = [Dim::Named("batch"), Dim::Named("tokens")];
        self.graph.input(name, DataType::Int64, &dims)
    }

    fn mask(&mut self) -> Mask {
        let mask = self.ids("attention_mask");
        let g = &mut self.graph;
        let keep = g.op_with("Cast", &[&mask], vec![("to", Attribute::Int(1))]);
        let one = g.scalar(1.0);
        let drop = g.op("Sub", &[&one, &keep]);
        let large = g.scalar(-1e9);
        let bias = g.op("Mul", &[&drop, &large]);
        let axes = g.ints(&[1, 2]);
        let bias = g.op("Unsqueeze", &[&bias, &axes]);
        let bias = g.name(ATTENTION_BIAS, &bias);
        Mask { keep, bias }
    }

    /// `[tokens]` of the input, as the end of a slice.
    fn token_count(&mut self, ids: &str) -> String {
        let shape = self.graph.op("Shape", &[ids]);
        let one = self.graph.ints(&[1]);
        self.graph.op("Gather", &[&shape, &one])
    }

    /// The first rows of a table, as many as there are tokens.
    fn first_rows(&mut self, table: &str, tokens: &str) -> String {
        let zero = self.graph.ints(&[0]);
        self.graph.op("Slice", &[table, &zero, tokens, &zero])
    }

    fn rotary(&mut self, ids: &str, max_tokens: usize, base: f32) -> Rotary {
        let Rotary { cos, sin } = self.rotary_tables(max_tokens, base);
        let tokens = self.token_count(ids);
        Rotary {
            cos: self.first_rows(&cos, &tokens),
            sin: self.first_rows(&sin, &tokens),
        }
    }

    /// Cosines and sines of all positions, `[max_tokens, head / 2]`.
    fn rotary_tables(&mut self, max_tokens: usize, base: f32) -> Rotary {
        let head = self.hidden / self.heads;
        let half = head / 2;
        let angles: Vec<f64> = (0..max_tokens)
            .flat_map(|position| {
                (0..half).map(move |i| {
                    let exponent = -2.0 * i as f64 / head as f64;
                    position as f64 * f64::from(base).powf(exponent)
                })
            })
            .collect();
        let mut table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|a| f(*a) as f32).collect();
            self.graph.floats(&[max_tokens, half], &values)
        };
        Rotary {
            cos: table(f64::cos),
            sin: table(f64::sin),
        }
    }

    /// Rows of a table, for each of the inputs.
    fn embed<const N: usize>(&mut self, table: &[f32], ids: [&str; N]) -> [String; N] {
        let rows = table.len() / self.hidden;
        let g = &mut self.graph;
        match self.precision {
            Precision::Float => {
                let table = g.floats(&[rows, self.hidden], table);
                ids.map(|ids| g.op("Gather", &[&table, ids]))
            }
            Precision::Int8 => {
                let (table, scales) = quantise_rows(table, self.hidden, 127.0);
                let table = g.int8s(&[rows, self.hidden], &table);
                let scales = g.floats(&[rows, 1], &scales);
                ids.map(|ids| {
                    let row = g.op("Gather", &[&table, ids]);
                    let row = g.op_with("Cast", &[&row], vec![("to", Attribute::Int(1))]);
                    let scale = g.op("Gather", &[&scales, ids]);
                    g.op("Mul", &[&row, &scale])
                })
            }
        }
    }

    /// Position embeddings with segment 0 added, `[tokens, hidden]`.
    fn positions(&mut self, ids: &str, config: &TextConfig) -> Result<String> {
        let rows = config.max_position_embeddings;
        let mut table = self.weights.get(
            "embeddings.position_embeddings.weight",
            &[rows, self.hidden],
        )?;
        let segments = self.weights.get(
            "embeddings.token_type_embeddings.weight",
            &[config.type_vocab_size, self.hidden],
        )?;
        for row in table.chunks_exact_mut(self.hidden) {
            for (x, segment) in row.iter_mut().zip(&segments) {
                *x += segment;
            }
        }
        let table = self.graph.floats(&[rows, self.hidden], &table);
        let tokens = self.token_count(ids);
        Ok(self.first_rows(&table, &tokens))
    }

    fn layer_norm(&mut self, x: &str, name: &str) -> Result<String> {
        let scale = self
            .weights
            .get(&format!("{name}.weight"), &[self.hidden])?;
        let bias = self.weights.get(&format!("{name}.bias"), &[self.hidden])?;
        let scale = self.graph.floats(&[self.hidden], &scale);
        let bias = self.graph.floats(&[self.hidden], &bias);
        Ok(self.graph.op_with(
            "LayerNormalization",
            &[x, &scale, &bias],
            vec![
                ("axis", Attribute::Int(-1)),
                ("epsilon", Attribute::Float(self.eps)),
            ],
        ))
    }

    /// A linear layer with a bias, by the name of its tensors.
    fn linear(&mut self, x: &str, name: &str, [out, inp]: [usize; 2]) -> Result<String> {
        let weight = self.weights.get(&format!("{name}.weight"), &[out, inp])?;
        let bias = self.weights.get(&format!("{name}.bias"), &[out])?;
        Ok(self.multiply(x, &weight, Some(&bias), [out, inp]))
    }

    /// Queries, keys and values of all heads. The queries come out scaled, so
    /// that the scores need not be.
    fn qkv(&mut self, x: &str, mut weight: Vec<f32>, mut bias: Option<Vec<f32>>) -> String {
        let scale = 1.0 / ((self.hidden / self.heads) as f32).sqrt();
        for w in &mut weight[..self.hidden * self.hidden] {
            *w *= scale;
        }
        for b in bias.iter_mut().flat_map(|b| &mut b[..self.hidden]) {
            *b *= scale;
        }
        let shape = [3 * self.hidden, self.hidden];
        self.multiply(x, &weight, bias.as_deref(), shape)
    }

    /// `x` times the transpose of `weight`, plus `bias`.
    fn multiply(
        &mut self,
        x: &str,
        weight: &[f32],
        bias: Option<&[f32]>,
        [out, inp]: [usize; 2],
    ) -> String {
        let g = &mut self.graph;
        let y = match self.precision {
            Precision::Float => {
                let weight = g.floats(&[inp, out], &transposed(weight, inp));
                g.op("MatMul", &[x, &weight])
            }
            Precision::Int8 => {
                let (weight, scales) = quantise_rows(weight, inp, WEIGHT_MAX);
                let weight = g.int8s(&[inp, out], &transposed(&weight, inp));
                let zeros = g.int8s(&[out], &vec![0; out]);
                let scales = g.floats(&[out], &scales);
                let [xq, x_scale, x_zero] = g.ops_with("DynamicQuantizeLinear", &[x], vec![]);
                let y = g.op("MatMulInteger", &[&xq, &weight, &x_zero, &zeros]);
                let y = g.op_with("Cast", &[&y], vec![("to", Attribute::Int(1))]);
                let scale = g.op("Mul", &[&x_scale, &scales]);
                g.op("Mul", &[&y, &scale])
            }
        };
        match bias {
            Some(bias) => {
                let bias = g.floats(&[out], bias);
                g.op("Add", &[&y, &bias])
            }
            None => y,
        }
    }

    fn post_norm_layer(&mut self, x: String, layer: usize, names: &PostNorm) -> Result<String> {
        let (hidden, inner) = (self.hidden, names.inner);
        let name = |part: &str| format!("{}.{layer}.{part}", names.prefix);
        let (mut qkv, mut bias) = (Vec::new(), Vec::new());
        for (at, part) in names.queries_keys_values.iter().enumerate() {
            let part = name(part);
            let mut weight = self
                .weights
                .get(&format!("{part}.weight"), &[hidden, hidden])?;
            if names.rotary.is_some() && at < 2 {
                weight = halves(&weight, hidden / self.heads, hidden);
            }
            qkv.extend(weight);
            if names.biased {
                bias.extend(self.weights.get(&format!("{part}.bias"), &[hidden])?);
            }
        }
        let h = self.qkv(&x, qkv, names.biased.then_some(bias));
        let [q, k, v] = self.heads_of(&h, names.rotary);
        let k = self.graph.op_with("Transpose", &[&k], perm([0, 1, 3, 2]));
        let h = self.attend(&q, &k, &v, names.relative, Some(names.mask));
        let h = self.linear(&h, &name(names.out), [hidden, hidden])?;
        let h = self.graph.op("Add", &[&x, &h]);
        let x = self.layer_norm(&h, &name(names.out_norm))?;
        let h = self.linear(&x, &name("intermediate.dense"), [inner, hidden])?;
        let h = self.gelu(&h);
        let h = self.linear(&h, &name("output.dense"), [hidden, inner])?;
        let h = self.graph.op("Add", &[&x, &h]);
        self.layer_norm(&h, &name("output.LayerNorm"))
    }

    /// Multi-head attention over `[batch, tokens, 3 * hidden]`.
    fn attention(&mut self, qkv: String, rotary: Option<&Rotary>, mask: Option<&Mask>) -> String {
        let [q, k, v] = self.heads_of(&qkv, rotary);
        let k = self.graph.op_with("Transpose", &[&k], perm([0, 1, 3, 2]));
        self.attend(&q, &k, &v, None, mask)
    }

    /// `[batch, tokens, n * hidden]` as `[batch, n * heads, tokens, head]`.
    fn by_head(&mut self, x: &str, n: i64) -> String {
        let head = (self.hidden / self.heads) as i64;
        let g = &mut self.graph;
        let shape = g.ints(&[0, 0, n * self.heads as i64, head]);
        let x = g.op("Reshape", &[x, &shape]);
        g.op_with("Transpose", &[&x], perm([0, 2, 1, 3]))
    }

    /// Queries, keys and values, `[batch, heads, tokens, head]` each.
    fn heads_of(&mut self, qkv: &str, rotary: Option<&Rotary>) -> [String; 3] {
        let qkv = self.by_head(qkv, 3);
        let head = self.hidden / self.heads;
        let heads = self.heads as i64;
        let g = &mut self.graph;
        let sizes = g.ints(&[2 * heads, heads]);
        let [mut qk, v] = g.ops_with("Split", &[&qkv, &sizes], axis(1));
        if let Some(Rotary { cos, sin }) = rotary {
            // Su et al. 2021 (RoFormer), equation 34, with the two halves of a
            // head's dimensions as the pairs.
            let sizes = g.ints(&[head as i64 / 2; 2]);
            let [a, b] = g.ops_with("Split", &[&qk, &sizes], axis(3));
            let (ac, bs) = (g.op("Mul", &[&a, cos]), g.op("Mul", &[&b, sin]));
            let (bc, as_) = (g.op("Mul", &[&b, cos]), g.op("Mul", &[&a, sin]));
            let (a, b) = (g.op("Sub", &[&ac, &bs]), g.op("Add", &[&bc, &as_]));
            qk = g.op_with("Concat", &[&a, &b], axis(3));
        }
        let sizes = g.ints(&[heads; 2]);
        let [q, k] = g.ops_with("Split", &[&qk, &sizes], axis(1));
        [q, k, v]
    }

    /// What queries get of values, `[batch, tokens, hidden]`; the keys are
    /// transposed, and `relative` is added to the scores.
    fn attend(
        &mut self,
        q: &str,
        k: &str,
        v: &str,
        relative: Option<&str>,
        mask: Option<&Mask>,
    ) -> String {
        let g = &mut self.graph;
        let mut scores = g.op("MatMul", &[q, k]);
        if let Some(relative) = relative {
            scores = g.op("Add", &[&scores, relative]);
        }
        if let Some(mask) = mask {
            scores = g.op("Add", &[&scores, &mask.bias]);
        }
        let scores = g.op_with("Softmax", &[&scores], axis(-1));
        let y = g.op("MatMul", &[&scores, v]);
        let y = g.op_with("Transpose", &[&y], perm([0, 2, 1, 3]));
        let shape = g.ints(&[0, 0, self.hidden as i64]);
        g.op("Reshape", &[&y, &shape])
    }

    fn gelu(&mut self, x: &str) -> String {
        let g = &mut self.graph;
        let (root, one, half) = (
            g.scalar(std::f32::consts::SQRT_2),
            g.scalar(1.0),
            g.scalar(0.5),
        );
        let y = g.op("Div", &[x, &root]);
        let y = g.op("Erf", &[&y]);
        let y = g.op("Add", &[&y, &one]);
        let y = g.op("Mul", &[x, &y]);
        g.op("Mul", &[&y, &half])
    }

    fn masked_mean(&mut self, x: &str, mask: &Mask) -> String {
        let g = &mut self.graph;
        let (tokens, last) = (g.ints(&[1]), g.ints(&[2]));
        let keep = g.op("Unsqueeze", &[&mask.keep, &last]);
        let x = g.op("Mul", &[x, &keep]);
        let keepdims = |keep| vec![("keepdims", Attribute::Int(keep))];
        let sum = g.op_with("ReduceSum", &[&x, &tokens], keepdims(0));
        let count = g.op_with("ReduceSum", &[&mask.keep, &tokens], keepdims(1));
        g.op("Div", &[&sum, &count])
    }

    /// Makes unit vectors of the rows and writes the file.
    fn finish(mut self, x: &str, width: usize, name: &str, out: &Path) -> Result<()> {
        let g = &mut self.graph;
        let length = g.op_with(
            "ReduceL2",
            &[x],
            vec![
                ("axes", Attribute::Ints(vec![1])),
                ("keepdims", Attribute::Int(1)),
            ],
        );
        let least = g.scalar(1e-12);
        let length = g.op("Max", &[&length, &least]);
        let x = g.op("Div", &[x, &length]);
        let dims = [Dim::Named("batch"), Dim::Known(width)];
        g.output("embedding", &x, DataType::Float, &dims);
        self.graph.save(name, out)
    }
}

fn axis(axis: i64) -> Vec<(&'static str, Attribute)> {
    vec![("axis", Attribute::Int(axis))]
}

pub(super) fn perm(perm: [i64; 4]) -> Vec<(&'static str, Attribute)> {
    vec![("perm", Attribute::Ints(perm.to_vec()))]
}

/// The largest quantised weight. Seven bits, as `reduce_range` of ONNX
/// Runtime's quantiser: on x86-64 without VNNI the products of two neighbours
/// are added in 16 bits, which eight-bit weights overflow.
const WEIGHT_MAX: f32 = 63.0;

/// Rounds each row to integers of at most `max` and a scale.
fn quantise_rows(values: &[f32], width: usize, max: f32) -> (Vec<i8>, Vec<f32>) {
    let mut integers = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / width);
    for row in values.chunks_exact(width) {
        let largest = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let scale = if largest > 0.0 { largest / max } else { 1.0 };
        scales.push(scale);
        integers.extend(row.iter().map(|x| (x / scale).round_ties_even() as i8));
    }
    (integers, scales)
}

/// The rows of queries or keys, so ordered that the dimensions which RoFormer
/// pairs with their neighbours (2i with 2i + 1) are `head / 2` apart, as
/// [`Exporter::heads_of`] pairs them. Where both have the same order, no score
/// changes.
fn halves(weight: &[f32], head: usize, width: usize) -> Vec<f32> {
    let rows = weight.len() / width;
    let order = (0..rows).map(|row| {
        let (start, place) = (row - row % head, row % head);
        start + place % (head / 2) * 2 + place / (head / 2)
    });
    order
        .flat_map(|row| &weight[row * width..][..width])
        .copied()
        .collect()
}

/// A matrix of rows of `width` values, transposed.
fn transposed<T: Copy>(values: &[T], width: usize) -> Vec<T> {
    let rows = values.len() / width;
    (0..values.len())
        .map(|i| values[i % rows * width + i / rows])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_quantised_by_their_largest_value() {
        let (q, s) = quantise_rows(&[1.0, -2.0, 0.0, 0.0, 0.5, 0.24], 2, 100.0);
        assert_eq!(q, [50, -100, 0, 0, 100, 48]);
        assert_eq!(s, [0.02, 1.0, 0.005]);
    }

    #[test]
    fn neighbours_become_halves() {
        let rows: Vec<f32> = (0..8u8).map(f32::from).collect();
        assert_eq!(
            halves(&rows, 4, 1),
            [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
        );
    }

    #[test]
    fn transposing_swaps_rows_and_columns() {
        assert_eq!(transposed(&[1, 2, 3, 4, 5, 6], 3), [1, 4, 2, 5, 3, 6]);
    }
}
