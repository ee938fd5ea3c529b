//! The assembly encoder: a CLAP-shaped transformer with tied token and
//! instruction embeddings (Wang et al. 2024, section 3), rotary positions,
//! masked mean and projection. Pre-norm, so that a short run trains fast.

use std::path::Path;

use binscribe_model::Config;
use tch::{Device, Kind, Tensor};

use crate::dataset::WIDTH_STEP;
use crate::parameters::Parameters;
use crate::{Error, Result};

/// Standard deviation of the weights that are drawn at random.
pub(crate) const INITIAL_STD: f64 = 0.02;

/// Functions as one rectangle of tokens.
#[derive(Debug)]
pub struct Batch {
    /// Token ids, `[batch, tokens]`, padded with the padding id.
    pub ids: Tensor,
    /// Instruction ids in the same shape.
    pub instruction_ids: Tensor,
    /// 1 where there is a token, 0 for padding; `f32`.
    pub mask: Tensor,
    /// Whether there is any padding.
    pub padded: bool,
}

impl Batch {
    /// Lays sequences of (ids, instruction ids) out, padded to the longest and
    /// on to one of few widths.
    pub fn new(sequences: &[(&[u16], &[u16])], pad: i64, device: Device) -> Batch {
        let longest = sequences.iter().map(|s| s.0.len()).max().unwrap_or(0);
        let width = longest.next_multiple_of(WIDTH_STEP);
        let cells = sequences.len() * width;
        let (mut ids, mut instruction_ids) = (vec![pad; cells], vec![pad; cells]);
        let mut mask = vec![0f32; cells];
        for (row, (tokens, instructions)) in sequences.iter().enumerate() {
            for (column, (&token, &instruction)) in tokens.iter().zip(*instructions).enumerate() {
                let cell = row * width + column;
                ids[cell] = i64::from(token);
                instruction_ids[cell] = i64::from(instruction);
                mask[cell] = 1.0;
            }
        }
        let shape = [sequences.len() as i64, width as i64];
        Batch {
            ids: Tensor::from_slice(&ids).view(shape).to_device(device),
            instruction_ids: Tensor::from_slice(&instruction_ids)
                .view(shape)
                .to_device(device),
            mask: Tensor::from_slice(&mask).view(shape).to_device(device),
            padded: sequences.iter().any(|s| s.0.len() < width),
        }
    }
}

/// The encoder's weights, in `f32`, and its forward pass.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    parameters: Parameters,
    compute: Kind,
}

impl Encoder {
    /// An encoder with random weights, which `seed` fixes. `compute` is the kind of number that
    /// the layers calculate in; weights and sums over a function stay `f32`.
    pub fn new(config: Config, seed: u64, device: Device, compute: Kind) -> Encoder {
        let mut p = Parameters::new(device, seed);
        let (h, f) = (config.hidden_size as i64, config.intermediate_size as i64);
        // As in GPT-2: what is added to the residual stream shrinks with depth.
        let residual = INITIAL_STD / (2.0 * config.num_hidden_layers as f64).sqrt();
        p.random(
            "embeddings.weight",
            &[config.vocab_size as i64, h],
            INITIAL_STD,
        );
        p.norm("embeddings.norm", h);
        for i in 0..config.num_hidden_layers {
            let layer = format!("layers.{i}");
            p.norm(&format!("{layer}.norm1"), h);
            p.random(
                &format!("{layer}.attention.qkv.weight"),
                &[3 * h, h],
                INITIAL_STD,
            );
            p.linear(&format!("{layer}.attention.out"), h, h, residual);
            p.norm(&format!("{layer}.norm2"), h);
            p.linear(&format!("{layer}.ffn.up"), f, h, INITIAL_STD);
            p.linear(&format!("{layer}.ffn.down"), h, f, residual);
        }
        p.norm("norm", h);
        p.linear("projection", config.output_size as i64, h, INITIAL_STD);
        p.constant("mlm.bias", &[config.vocab_size as i64], 0.0);
        Encoder {
            config,
            parameters: p,
            compute,
        }
    }

    /// The encoder that a run wrote.
    pub fn load(path: &Path, config: Config, device: Device, compute: Kind) -> Result<Encoder> {
        let encoder = Encoder::new(config, 0, device, compute);
        encoder.parameters.load(path)?;
        Ok(encoder)
    }

    /// Its shape.
    pub fn config(&self) -> &Config {
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

    /// Hidden states of every token, `[batch, tokens, hidden]`, after the last
    /// layer norm.
    pub fn hidden(&self, batch: &Batch) -> Tensor {
        let c = &self.config;
        let heads = c.num_attention_heads as i64;
        let half = (c.head_size() / 2) as i64;
        let (b, t) = (batch.ids.size()[0], batch.ids.size()[1]);
        let hidden = c.hidden_size as i64;
        let (cos, sin) = self.rotary(t);
        let minus_sin = -&sin;
        let mask = batch.padded.then(|| {
            ((&batch.mask - 1.0) * 1e9)
                .view([b, 1, 1, t])
                .to_kind(self.compute)
        });

        let table = self.parameters.get("embeddings.weight");
        let x = Tensor::embedding(table, &batch.ids, -1, false, false)
            + Tensor::embedding(table, &batch.instruction_ids, -1, false, false);
        let mut x = self.norm("embeddings.norm", &x).to_kind(self.compute);
        for i in 0..c.num_hidden_layers {
            let layer = format!("layers.{i}");
            let normed = self.norm(&format!("{layer}.norm1"), &x);
            let qkv = normed
                .linear(
                    &self.weight(&format!("{layer}.attention.qkv.weight")),
                    None::<Tensor>,
                )
                .view([b, t, 3, heads, 2, half]);
            // Rotary positions (Su et al. 2021), rotating the first half of a
            // head's dimensions against the second; queries and keys at once.
            let qk = qkv.narrow(2, 0, 2);
            let (first, second) = (qk.select(4, 0), qk.select(4, 1));
            let qk = Tensor::cat(
                &[
                    (&first * &cos).addcmul(&second, &minus_sin),
                    (&second * &cos).addcmul(&first, &sin),
                ],
                -1,
            );
            let q = qk.select(2, 0).transpose(1, 2);
            let k = qk.select(2, 1).transpose(1, 2);
            let v = qkv
                .select(2, 2)
                .reshape([b, t, heads, 2 * half])
                .transpose(1, 2);
            let attended = Tensor::scaled_dot_product_attention(
                &q,
                &k,
                &v,
                mask.as_ref(),
                0.0,
                false,
                None,
                false,
            );
            let attended = attended.transpose(1, 2).reshape([b, t, hidden]);
            // Not `+=`: that would change in place what the backward pass needs.
            x = self.linear(&format!("{layer}.attention.out"), &attended) + x;
            let normed = self.norm(&format!("{layer}.norm2"), &x);
            let up = self
                .linear(&format!("{layer}.ffn.up"), &normed)
                .gelu("none");
            x = self.linear(&format!("{layer}.ffn.down"), &up) + x;
        }
        self.norm("norm", &x)
    }

    /// One unit vector a function, `[batch, output_size]`, in `f32`.
    pub fn embed(&self, batch: &Batch) -> Tensor {
        let x = self.hidden(batch).to_kind(Kind::Float);
        let count = batch.mask.sum_dim_intlist(1, true, Kind::Float);
        let share = (&batch.mask / count).unsqueeze(1);
        let pooled = share.bmm(&x).squeeze_dim(1);
        let y = pooled.linear(
            self.parameters.get("projection.weight"),
            Some(self.parameters.get("projection.bias")),
        );
        normalize(&y)
    }

    /// Scores of every vocabulary entry for the hidden states of some tokens,
    /// `[tokens, vocabulary]`, in `f32`.
    pub fn predict(&self, hidden: &Tensor) -> Tensor {
        hidden
            .linear(&self.weight("embeddings.weight"), None::<Tensor>)
            .to_kind(Kind::Float)
            + self.parameters.get("mlm.bias")
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

    fn weight(&self, name: &str) -> Tensor {
        self.parameters.get(name).to_kind(self.compute)
    }

    fn linear(&self, name: &str, x: &Tensor) -> Tensor {
        x.linear(
            &self.weight(&format!("{name}.weight")),
            Some(self.weight(&format!("{name}.bias"))),
        )
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

    /// Writes the weights under the names of the model directory.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.parameters.save(path)
    }
}

/// Rows of length one.
pub(crate) fn normalize(x: &Tensor) -> Tensor {
    let length = x
        .square()
        .sum_dim_intlist(-1, true, Kind::Float)
        .clamp_min(1e-24)
        .sqrt();
    x / length
}

/// The kind of number that a recipe's `precision` names. A processor without
/// bfloat16 takes far longer with it than with `f32`.
pub fn compute_kind(precision: &str, device: Device) -> Result<Kind> {
    match precision {
        "f32" => Ok(Kind::Float),
        "bf16" => Ok(Kind::BFloat16),
        "auto" if device.is_cuda() || calculates_bf16() => Ok(Kind::BFloat16),
        "auto" => Ok(Kind::Float),
        other => Err(Error::Recipe(format!(
            "precision is {other:?}, none of \"auto\", \"f32\" and \"bf16\""
        ))),
    }
}

fn calculates_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// What a recipe calls it.
pub(crate) fn precision_of(compute: Kind) -> &'static str {
    match compute {
        Kind::BFloat16 => "bf16",
        _ => "f32",
    }
}
