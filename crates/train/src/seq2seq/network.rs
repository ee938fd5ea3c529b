//! The encoder and decoder on libtorch: pre-norm and rotary positions as in
//! the assembly encoder, one table for sources, targets and output, and a copy
//! mechanism (See et al. 2017, "Get To The Point", section 2.2): comments
//! repeat words of the source, and a small model on few pairs learns sooner to
//! point at a word than to spell it.

use std::path::Path;

use binscribe_model::{PAD, SMALLEST, START, Seq2SeqConfig};
use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::encoder::INITIAL_STD;
use crate::parameters::Parameters;

/// Sources and targets are padded to a multiple of these: oneDNN compiles a
/// kernel for each new shape.
const SOURCE_STEP: usize = 16;
const TARGET_STEP: usize = 16;
/// The target that no loss is taken of.
const IGNORED: i64 = -100;

/// Pairs as two rectangles.
#[derive(Debug)]
pub struct PairBatch {
    /// `[pairs, source]`.
    sources: Tensor,
    /// 1 where there is a token of a source, 0 for padding; `f32`.
    mask: Tensor,
    /// What the decoder sees: each target after [`START`], without its end.
    before: Tensor,
    /// What it is to write; [`IGNORED`] beyond the end.
    targets: Tensor,
    count: usize,
}

impl PairBatch {
    /// Lays pairs of (source, target with its end) out.
    pub fn new(pairs: &[(&[u32], &[u32])], device: Device) -> PairBatch {
        let width = |longest: Option<usize>, step: usize| {
            longest.unwrap_or(0).max(1).next_multiple_of(step)
        };
        let columns = width(pairs.iter().map(|p| p.0.len()).max(), SOURCE_STEP);
        let places = width(pairs.iter().map(|p| p.1.len()).max(), TARGET_STEP);
        let mut sources = vec![i64::from(PAD); pairs.len() * columns];
        let mut mask = vec![0f32; pairs.len() * columns];
        let mut before = vec![i64::from(PAD); pairs.len() * places];
        let mut targets = vec![IGNORED; pairs.len() * places];
        for (row, (source, target)) in pairs.iter().enumerate() {
            for (cell, &id) in (row * columns..).zip(*source) {
                sources[cell] = i64::from(id);
                mask[cell] = 1.0;
            }
            let shifted = std::iter::once(&START).chain(*target);
            for ((cell, &id), &last) in (row * places..).zip(*target).zip(shifted) {
                targets[cell] = i64::from(id);
                before[cell] = i64::from(last);
            }
        }
        let rows = pairs.len() as i64;
        let lay = |values: &[i64], width: usize| {
            Tensor::from_slice(values)
                .view([rows, width as i64])
                .to_device(device)
        };
        PairBatch {
            sources: lay(&sources, columns),
            mask: Tensor::from_slice(&mask)
                .view([rows, columns as i64])
                .to_device(device),
            before: lay(&before, places),
            targets: lay(&targets, places),
            count: pairs.iter().map(|p| p.1.len()).sum(),
        }
    }

    /// Tokens that are to be written.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// What a batch of pairs costs, summed over the tokens of its targets.
#[derive(Debug)]
pub struct Losses {
    /// What is to be made small: with label smoothing; has a gradient.
    pub smoothed: Tensor,
    /// Negative log-likelihood.
    pub likelihood: Tensor,
    /// How much was copied.
    pub copied: Tensor,
}

/// The weights, in `f32`, and the forward pass.
#[derive(Debug)]
pub struct Network {
    config: Seq2SeqConfig,
    parameters: Parameters,
    compute: Kind,
}

impl Network {
    /// A model with random weights, which `seed` fixes. `compute` is the kind
    /// of number that the layers calculate in.
    pub fn new(config: Seq2SeqConfig, seed: u64, device: Device, compute: Kind) -> Network {
        let mut p = Parameters::new(device, seed);
        let (h, f) = (config.hidden_size as i64, config.intermediate_size as i64);
        let layers = config.encoder_layers + config.decoder_layers;
        // As in GPT-2: what is added to the residual stream shrinks with depth.
        let residual = INITIAL_STD / (layers as f64).sqrt();
        let vocabulary = config.vocab_size as i64;
        p.random("embeddings.weight", &[vocabulary, h], INITIAL_STD);
        p.norm("embeddings.norm", h);
        let stacks = [
            ("encoder", config.encoder_layers),
            ("decoder", config.decoder_layers),
        ];
        for (stack, layers) in stacks {
            for i in 0..layers {
                let name = |part: &str| format!("{stack}.layers.{i}.{part}");
                p.norm(&name("norm1"), h);
                p.random(&name("attention.qkv.weight"), &[3 * h, h], INITIAL_STD);
                p.linear(&name("attention.out"), h, h, residual);
                p.norm(&name("norm2"), h);
                if stack == "decoder" {
                    p.random(&name("cross.query.weight"), &[h, h], INITIAL_STD);
                    p.random(&name("cross.kv.weight"), &[2 * h, h], INITIAL_STD);
                    p.linear(&name("cross.out"), h, h, residual);
                    p.norm(&name("norm3"), h);
                }
                p.linear(&name("ffn.up"), f, h, INITIAL_STD);
                p.linear(&name("ffn.down"), h, f, residual);
            }
            p.norm(&format!("{stack}.norm"), h);
        }
        p.constant("output.bias", &[vocabulary], 0.0);
        p.random("copy.query.weight", &[h, h], INITIAL_STD);
        p.random("copy.key.weight", &[h, h], INITIAL_STD);
        p.linear("copy.gate", 1, h, INITIAL_STD);
        Network {
            config,
            parameters: p,
            compute,
        }
    }

    /// The model that a run wrote.
    pub fn load(
        path: &Path,
        config: Seq2SeqConfig,
        device: Device,
        compute: Kind,
    ) -> Result<Network> {
        let network = Network::new(config, 0, device, compute);
        network.parameters.load(path)?;
        Ok(network)
    }

    /// Its shape.
    pub fn config(&self) -> &Seq2SeqConfig {
        &self.config
    }

    /// Its weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where its weights lie.
    pub fn device(&self) -> Device {
        self.parameters.device()
    }

    /// What a batch costs. `dropout` is the share of values that are dropped
    /// after the embeddings and in what each block adds; 0 where nothing is
    /// learned.
    pub fn losses(&self, batch: &PairBatch, smoothing: f64, dropout: f64) -> Losses {
        let Written { logits, copy, gate } = self.forward(batch, dropout);
        let known = batch.targets.ge(0).to_kind(Kind::Float);
        let targets = batch.targets.clamp_min(0);
        let logs = logits.log_softmax(-1, Kind::Float);
        let of_target = logs
            .gather(-1, &targets.unsqueeze(-1), false)
            .squeeze_dim(-1);
        let same = batch
            .sources
            .unsqueeze(1)
            .eq_tensor(&targets.unsqueeze(-1))
            .to_kind(Kind::Float);
        let from_source = (copy * same).sum_dim_intlist(-1, false, Kind::Float);
        let written = of_target.exp() * &gate;
        let rest: Tensor = 1.0 - gate;
        let copied = rest * from_source;
        let likelihood = -(&written + &copied + f64::from(SMALLEST)).log() * &known;
        // The uniform part of label smoothing (Szegedy et al. 2016, section 7)
        // is taken of the vocabulary alone.
        let uniform = -logs.mean_dim(-1, false, Kind::Float) * &known;
        let smoothed = &likelihood * (1.0 - smoothing) + uniform * smoothing;
        let share = (&copied / (&written + &copied + f64::from(SMALLEST))) * &known;
        Losses {
            smoothed: smoothed.sum(Kind::Float),
            likelihood: likelihood.detach().sum(Kind::Double),
            copied: share.detach().sum(Kind::Double),
        }
    }

    /// The log-probability of every vocabulary entry at every place,
    /// `[pairs, places, vocabulary]`.
    pub fn log_probabilities(&self, batch: &PairBatch) -> Tensor {
        let Written { logits, copy, gate } = self.forward(batch, 0.0);
        let written = logits.softmax(-1, Kind::Float) * gate.unsqueeze(-1);
        let rest: Tensor = 1.0 - gate;
        let share = copy * rest.unsqueeze(-1);
        let places = batch.sources.unsqueeze(1).expand_as(&share);
        let both = written.scatter_add(-1, &places, &share);
        (both + f64::from(SMALLEST)).log()
    }

    fn forward(&self, batch: &PairBatch, dropout: f64) -> Written {
        let c = &self.config;
        let hidden = c.hidden_size as i64;
        let (b, s) = batch.sources.size2().unwrap_or((0, 0));
        let bias = (&batch.mask - 1.0) * 1e9;
        let mask = bias.view([b, 1, 1, s]).to_kind(self.compute);

        let mut x = self.embed(&batch.sources, dropout);
        let rotary = self.rotary(s);
        for i in 0..c.encoder_layers {
            let name = |part: &str| format!("encoder.layers.{i}.{part}");
            let h = self.norm(&name("norm1"), &x);
            let [q, k, v] = self.heads(&h, &name("attention.qkv.weight"), &rotary);
            let h = attend(&q, &k, &v, Some(&mask), false);
            x = self.added(&name("attention.out"), x, &h, dropout);
            x = self.feed_forward(&name("norm2"), &name("ffn"), x, dropout);
        }
        let memory = self.norm("encoder.norm", &x);

        let mut x = self.embed(&batch.before, dropout);
        let t = batch.before.size()[1];
        let rotary = self.rotary(t);
        for i in 0..c.decoder_layers {
            let name = |part: &str| format!("decoder.layers.{i}.{part}");
            let h = self.norm(&name("norm1"), &x);
            let [q, k, v] = self.heads(&h, &name("attention.qkv.weight"), &rotary);
            // Padding stands behind the targets: no token looks at it.
            let h = attend(&q, &k, &v, None, true);
            x = self.added(&name("attention.out"), x, &h, dropout);

            let h = self.norm(&name("norm2"), &x);
            let q = self.project(&h, &name("cross.query.weight"));
            let kv = self.project(&memory, &name("cross.kv.weight"));
            let kv = kv.chunk(2, -1);
            let h = attend(
                &self.by_head(&q),
                &self.by_head(&kv[0]),
                &self.by_head(&kv[1]),
                Some(&mask),
                false,
            );
            x = self.added(&name("cross.out"), x, &h, dropout);
            x = self.feed_forward(&name("norm3"), &name("ffn"), x, dropout);
        }
        let x = self.norm("decoder.norm", &x);

        let q = self.project(&x, "copy.query.weight");
        let k = self.project(&memory, "copy.key.weight");
        let scores = q.matmul(&k.transpose(1, 2)).to_kind(Kind::Float);
        let scores = scores * (1.0 / (hidden as f64).sqrt()) + bias.unsqueeze(1);
        let logits = self.project(&x, "embeddings.weight").to_kind(Kind::Float)
            + self.parameters.get("output.bias");
        let gate = self.linear("copy.gate", &x).to_kind(Kind::Float);
        Written {
            logits,
            copy: scores.softmax(-1, Kind::Float),
            gate: gate.sigmoid().squeeze_dim(-1),
        }
    }

    fn embed(&self, ids: &Tensor, dropout: f64) -> Tensor {
        let table = self.parameters.get("embeddings.weight");
        let x = Tensor::embedding(table, ids, -1, false, false);
        let x = self.norm("embeddings.norm", &x).to_kind(self.compute);
        drop_out(x, dropout)
    }

    /// Queries, keys and values, `[batch, heads, tokens, head]`, with rotary
    /// positions (Su et al. 2021): the first half of a head's dimensions
    /// against the second.
    fn heads(&self, x: &Tensor, name: &str, (cos, sin): &(Tensor, Tensor)) -> [Tensor; 3] {
        let heads = self.config.num_attention_heads as i64;
        let half = (self.config.head_size() / 2) as i64;
        let (b, t) = (x.size()[0], x.size()[1]);
        let qkv = self.project(x, name).view([b, t, 3, heads, 2, half]);
        let qk = qkv.narrow(2, 0, 2);
        let (first, second) = (qk.select(4, 0), qk.select(4, 1));
        let qk = Tensor::cat(
            &[&first * cos - &second * sin, &second * cos + &first * sin],
            -1,
        );
        let v = qkv.select(2, 2).reshape([b, t, heads, 2 * half]);
        [qk.select(2, 0), qk.select(2, 1), v].map(|x| x.transpose(1, 2))
    }

    fn rotary(&self, tokens: i64) -> (Tensor, Tensor) {
        let half = (self.config.head_size() / 2) as i64;
        let base = f64::from(self.config.rotary_base);
        let options = (Kind::Double, self.device());
        let frequency = (Tensor::arange(half, options) * (-base.ln() / half as f64)).exp();
        let angle = Tensor::arange(tokens, options).outer(&frequency);
        let table = |x: Tensor| x.to_kind(self.compute).view([tokens, 1, 1, half]);
        (table(angle.cos()), table(angle.sin()))
    }

    fn by_head(&self, x: &Tensor) -> Tensor {
        let heads = self.config.num_attention_heads as i64;
        let (b, t) = (x.size()[0], x.size()[1]);
        x.reshape([b, t, heads, self.config.head_size() as i64])
            .transpose(1, 2)
    }

    fn feed_forward(&self, norm: &str, name: &str, x: Tensor, dropout: f64) -> Tensor {
        let h = self.norm(norm, &x);
        let h = self.linear(&format!("{name}.up"), &h).gelu("none");
        self.added(&format!("{name}.down"), x, &h, dropout)
    }

    /// `x` and what a linear layer makes of `h`.
    fn added(&self, name: &str, x: Tensor, h: &Tensor, dropout: f64) -> Tensor {
        drop_out(self.linear(name, h), dropout) + x
    }

    fn project(&self, x: &Tensor, name: &str) -> Tensor {
        let weight = self.parameters.get(name).to_kind(self.compute);
        x.linear(&weight, None::<Tensor>)
    }

    fn linear(&self, name: &str, x: &Tensor) -> Tensor {
        let of = |part: &str| {
            let tensor = self.parameters.get(&format!("{name}.{part}"));
            tensor.to_kind(self.compute)
        };
        x.linear(&of("weight"), Some(of("bias")))
    }

    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        x.layer_norm(
            [self.config.hidden_size as i64],
            Some(self.parameters.get(&format!("{name}.weight"))),
            Some(self.parameters.get(&format!("{name}.bias"))),
            f64::from(self.config.layer_norm_eps),
            false,
        )
    }
}

/// What the decoder says at every place of the targets, in `f32`.
struct Written {
    /// `[pairs, places, vocabulary]`.
    logits: Tensor,
    /// How much of each token of the source is copied,
    /// `[pairs, places, source]`.
    copy: Tensor,
    /// The share that is not copied, `[pairs, places]`.
    gate: Tensor,
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
    let y = Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, causal, None, false);
    let (b, heads, t, head) = y.size4().unwrap_or((0, 0, 0, 0));
    y.transpose(1, 2).reshape([b, t, heads * head])
}

fn drop_out(x: Tensor, share: f64) -> Tensor {
    if share > 0.0 {
        x.dropout(share, true)
    } else {
        x
    }
}
