//! Seeded random weights, and the forward passes once more: plain loops in
//! double precision, written from the architecture and not from the exporter.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use binscribe_model::export::TextConfig;
use binscribe_model::{AsmTokenizer, Config, Encoding};

/// Tensors by name, with their shapes.
#[derive(Default)]
pub(crate) struct Weights(pub(crate) BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Weights {
    pub(crate) fn save(&self, path: &Path) {
        let bytes: BTreeMap<&str, Vec<u8>> = self
            .0
            .iter()
            .map(|(name, (_, values))| {
                let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                (name.as_str(), bytes)
            })
            .collect();
        let views: HashMap<&str, safetensors::tensor::TensorView> = self
            .0
            .iter()
            .map(|(name, (shape, _))| {
                let view = safetensors::tensor::TensorView::new(
                    safetensors::Dtype::F32,
                    shape.clone(),
                    &bytes[name.as_str()],
                );
                (name.as_str(), view.unwrap())
            })
            .collect();
        safetensors::serialize_to_file(views, None, path).unwrap();
    }

    pub(crate) fn load(path: &Path) -> Weights {
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut weights = Weights::default();
        for (name, tensor) in tensors.tensors() {
            if tensor.dtype() == safetensors::Dtype::F32 {
                let (values, _) = tensor.data().as_chunks();
                let values = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
                weights.0.insert(name, (tensor.shape().to_vec(), values));
            }
        }
        weights
    }

    fn get(&self, name: &str) -> &[f32] {
        &self.0[name].1
    }
}

pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// xorshift64*
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Nearly normal, of variance one.
    fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64).sum();
        (sum / (1u64 << 53) as f64 - 6.0) as f32
    }

    pub(crate) fn tensor(&mut self, n: usize, mean: f32, deviation: f32) -> Vec<f32> {
        (0..n).map(|_| mean + deviation * self.normal()).collect()
    }
}

/// Random weights in the shapes of a trained model.
pub(crate) fn random_weights(config: &Config, seed: u64) -> Weights {
    let mut rng = Rng(seed);
    let mut weights = Weights::default();
    let mut add = |name: String, shape: &[usize], mean: f32, deviation: f32| {
        let values = rng.tensor(shape.iter().product(), mean, deviation);
        weights.0.insert(name, (shape.to_vec(), values));
    };
    let (h, inner) = (config.hidden_size, config.intermediate_size);
    add(
        "embeddings.weight".into(),
        &[config.vocab_size, h],
        0.0,
        0.02,
    );
    let mut norms = vec!["embeddings.norm".to_owned(), "norm".to_owned()];
    let mut linear = vec![("projection".to_owned(), config.output_size, h)];
    for i in 0..config.num_hidden_layers {
        let name = |part: &str| format!("layers.{i}.{part}");
        norms.extend([name("norm1"), name("norm2")]);
        let qkv = name("attention.qkv.weight");
        add(qkv, &[3 * h, h], 0.0, 0.05);
        linear.push((name("attention.out"), h, h));
        linear.push((name("ffn.up"), inner, h));
        linear.push((name("ffn.down"), h, inner));
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[h], 1.0, 0.1);
        add(format!("{norm}.bias"), &[h], 0.0, 0.1);
    }
    for (name, out, inp) in linear {
        add(format!("{name}.weight"), &[out, inp], 0.0, 0.05);
        add(format!("{name}.bias"), &[out], 0.0, 0.05);
    }
    weights
}

/// A tokenizer of fewer than 1024 entries.
pub(crate) fn tokenizer() -> AsmTokenizer {
    let listing = "push    rbp\nmov     rbp, rsp\nmov     [rbp+var_18], rdi\n\
        call    _error_at_line\njmp     short INSTR2\nretn";
    AsmTokenizer::train([listing, listing].into_iter(), 1024, 512).unwrap()
}

/// Random tokens in instructions of one to five.
pub(crate) fn random_encoding(config: &Config, tokens: usize, rng: &mut Rng) -> Encoding {
    let mut encoding = Encoding::default();
    let mut instruction = 0;
    while encoding.ids.len() < tokens {
        let pieces = 1 + rng.next() % 5;
        for _ in 0..pieces.min((tokens - encoding.ids.len()) as u64) {
            let id = 3 + rng.next() % (config.vocab_size as u64 - 3);
            encoding.ids.push(id as u32);
            encoding
                .instruction_ids
                .push(config.instruction_base + instruction);
        }
        instruction += 1;
    }
    encoding
}

type Matrix = Vec<Vec<f64>>;

fn row(table: &[f32], width: usize, i: usize) -> impl Iterator<Item = f64> + '_ {
    table[i * width..(i + 1) * width]
        .iter()
        .map(|x| f64::from(*x))
}

fn layer_norm(x: &mut Matrix, weights: &Weights, name: &str, eps: f32) {
    let scale = weights.get(&format!("{name}.weight"));
    let bias = weights.get(&format!("{name}.bias"));
    for row in x {
        let n = row.len() as f64;
        let mean = row.iter().sum::<f64>() / n;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        for (i, x) in row.iter_mut().enumerate() {
            *x = (*x - mean) / (variance + f64::from(eps)).sqrt();
            *x = *x * f64::from(scale[i]) + f64::from(bias[i]);
        }
    }
}

fn linear(x: &Matrix, weights: &Weights, name: &str) -> Matrix {
    let (shape, weight) = &weights.0[&format!("{name}.weight")];
    let bias = weights.0.get(&format!("{name}.bias"));
    let weight: Vec<f64> = weight.iter().map(|w| f64::from(*w)).collect();
    let multiply = |x: &Vec<f64>| {
        (0..shape[0])
            .map(|o| {
                let row = &weight[o * shape[1]..(o + 1) * shape[1]];
                let sum: f64 = row.iter().zip(x).map(|(w, x)| w * x).sum();
                sum + bias.map_or(0.0, |(_, b)| f64::from(b[o]))
            })
            .collect()
    };
    x.iter().map(multiply).collect()
}

fn attention(q: &Matrix, k: &Matrix, v: &Matrix, heads: usize) -> Matrix {
    let (tokens, hidden) = (q.len(), q[0].len());
    let d = hidden / heads;
    let mut out = vec![vec![0.0; hidden]; tokens];
    for head in 0..heads {
        let part = head * d..(head + 1) * d;
        for i in 0..tokens {
            let scores: Vec<f64> = (0..tokens)
                .map(|j| {
                    let dot: f64 = part.clone().map(|c| q[i][c] * k[j][c]).sum();
                    dot / (d as f64).sqrt()
                })
                .collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let powers: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            for c in part.clone() {
                out[i][c] = (0..tokens).map(|j| powers[j] / sum * v[j][c]).sum();
            }
        }
    }
    out
}

/// Rotates (first half, second half) pairs of each head's dimensions.
fn rotate(x: &mut Matrix, heads: usize, base: f32) {
    let d = x[0].len() / heads;
    for (position, row) in x.iter_mut().enumerate() {
        for head in 0..heads {
            for i in 0..d / 2 {
                let angle = position as f64 * f64::from(base).powf(-2.0 * i as f64 / d as f64);
                let (a, b) = (head * d + i, head * d + d / 2 + i);
                let (x, y) = (row[a], row[b]);
                row[a] = x * angle.cos() - y * angle.sin();
                row[b] = y * angle.cos() + x * angle.sin();
            }
        }
    }
}

fn gelu(x: &mut Matrix) {
    for x in x.iter_mut().flatten() {
        *x = 0.5 * *x * (1.0 + erf(*x / 2f64.sqrt()));
    }
}

/// By the series whose terms are all positive (Abramowitz and Stegun, 7.1.6).
fn erf(x: f64) -> f64 {
    if x.abs() >= 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    sum * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}

fn add(x: &mut Matrix, y: &Matrix) {
    for (x, y) in x.iter_mut().flatten().zip(y.iter().flatten()) {
        *x += y;
    }
}

fn mean(x: &Matrix) -> Vec<f64> {
    (0..x[0].len())
        .map(|c| x.iter().map(|row| row[c]).sum::<f64>() / x.len() as f64)
        .collect()
}

fn unit(x: &[f64]) -> Vec<f64> {
    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    x.iter().map(|x| x / length).collect()
}

/// The assembly encoder.
pub(crate) fn assembly_reference(
    weights: &Weights,
    config: &Config,
    encoding: &Encoding,
) -> Vec<f64> {
    let (h, heads, eps) = (
        config.hidden_size,
        config.num_attention_heads,
        config.layer_norm_eps,
    );
    let table = weights.get("embeddings.weight");
    let mut x: Matrix = encoding
        .ids
        .iter()
        .zip(&encoding.instruction_ids)
        .map(|(token, instruction)| {
            row(table, h, *token as usize)
                .zip(row(table, h, *instruction as usize))
                .map(|(a, b)| a + b)
                .collect()
        })
        .collect();
    layer_norm(&mut x, weights, "embeddings.norm", eps);
    for i in 0..config.num_hidden_layers {
        let name = |part: &str| format!("layers.{i}.{part}");
        let mut y = x.clone();
        layer_norm(&mut y, weights, &name("norm1"), eps);
        let qkv = linear(&y, weights, &name("attention.qkv"));
        let part = |n: usize| -> Matrix {
            let cut = |row: &Vec<f64>| row[n * h..(n + 1) * h].to_vec();
            qkv.iter().map(cut).collect()
        };
        let (mut q, mut k, v) = (part(0), part(1), part(2));
        rotate(&mut q, heads, config.rotary_base);
        rotate(&mut k, heads, config.rotary_base);
        let y = attention(&q, &k, &v, heads);
        add(&mut x, &linear(&y, weights, &name("attention.out")));
        let mut y = x.clone();
        layer_norm(&mut y, weights, &name("norm2"), eps);
        let mut y = linear(&y, weights, &name("ffn.up"));
        gelu(&mut y);
        add(&mut x, &linear(&y, weights, &name("ffn.down")));
    }
    layer_norm(&mut x, weights, "norm", eps);
    let pooled = vec![mean(&x)];
    unit(&linear(&pooled, weights, "projection")[0])
}

/// The BERT text encoder.
pub(crate) fn text_reference(weights: &Weights, config: &TextConfig, ids: &[u32]) -> Vec<f64> {
    let (h, heads, eps) = (
        config.hidden_size,
        config.num_attention_heads,
        config.layer_norm_eps,
    );
    let word = weights.get("embeddings.word_embeddings.weight");
    let position = weights.get("embeddings.position_embeddings.weight");
    let segment = weights.get("embeddings.token_type_embeddings.weight");
    let mut x: Matrix = ids
        .iter()
        .enumerate()
        .map(|(i, id)| {
            row(word, h, *id as usize)
                .zip(row(position, h, i))
                .zip(row(segment, h, 0))
                .map(|((a, b), c)| a + b + c)
                .collect()
        })
        .collect();
    layer_norm(&mut x, weights, "embeddings.LayerNorm", eps);
    for i in 0..config.num_hidden_layers {
        let name = |part: &str| format!("encoder.layer.{i}.{part}");
        let part = |part: &str| linear(&x, weights, &name(&format!("attention.self.{part}")));
        let y = attention(&part("query"), &part("key"), &part("value"), heads);
        add(
            &mut x,
            &linear(&y, weights, &name("attention.output.dense")),
        );
        layer_norm(&mut x, weights, &name("attention.output.LayerNorm"), eps);
        let mut y = linear(&x, weights, &name("intermediate.dense"));
        gelu(&mut y);
        add(&mut x, &linear(&y, weights, &name("output.dense")));
        layer_norm(&mut x, weights, &name("output.LayerNorm"), eps);
    }
    unit(&mean(&x))
}

pub(crate) fn largest_difference(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - b).abs())
        .fold(0.0, f64::max)
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
