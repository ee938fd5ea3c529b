//! CLAP's released encoders (Wang et al. 2024) to ONNX: a RoFormer over
//! assembly and an MPNet over English.

use std::path::Path;

use serde::Deserialize;

use super::{BERT_QKV, Exporter, PostNorm, Precision, Weights, read};
use crate::{Config, Error, Result};

/// The shape of CLAP's text encoder: what is needed of its `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClapTextConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream, and of the vectors that come out.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads of a layer.
    pub num_attention_heads: usize,
    /// Width of a layer's feed-forward block.
    pub intermediate_size: usize,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f32,
    /// Rows of the position table, the padding's and the one before it too.
    pub max_position_embeddings: usize,
    /// Kinds of distance that the scores know.
    pub relative_attention_num_buckets: usize,
    /// Vocabulary id of the padding token; the first position follows it.
    pub pad_token_id: usize,
}

impl ClapTextConfig {
    /// Reads a Hugging Face `config.json`.
    pub fn from_file(path: &Path) -> Result<ClapTextConfig> {
        crate::import::expect_model_type(path, "mpnet")?;
        let config: ClapTextConfig = crate::read_json(path)?;
        let heads = config.num_attention_heads;
        if heads == 0 || !config.hidden_size.is_multiple_of(heads) || config.max_tokens() == 0 {
            return Err(Error::bad_file(path, "its sizes do not go together"));
        }
        Ok(config)
    }

    /// Tokens of the longest text.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.pad_token_id + 1)
    }
}

/// Writes the graph of CLAP's assembly encoder, from `clap-asm`'s weights.
///
/// Inputs `input_ids`, `instruction_ids` (CLAP's token types) and
/// `attention_mask`, all `[batch, tokens]`; output `embedding`, one unit vector
/// a row.
pub fn export_clap_assembly(
    weights: &Path,
    config: &Config,
    out: &Path,
    precision: Precision,
) -> Result<()> {
    let bytes = read(weights)?;
    let weights = Weights::new(weights, &bytes)?;
    let hidden = config.hidden_size;
    // As published, and as those who trained on have saved it.
    let known = ["jroformer.", "roformer.", ""];
    let has = |prefix: &&str| weights.has(&format!("{prefix}{TABLE}"));
    let prefix = known.into_iter().find(has).unwrap_or(known[0]);
    let shape = (hidden, config.num_attention_heads, config.layer_norm_eps);
    let mut e = Exporter::new(weights, shape, precision);
    let ids = e.ids("input_ids");
    let instructions = e.ids("instruction_ids");
    let mask = e.mask();
    let rotary = e.rotary(&ids, config.max_tokens, config.rotary_base);

    let name = |part: &str| format!("{prefix}{part}");
    let shape = [config.vocab_size, hidden];
    let table = e.weights.get(&name(TABLE), &shape)?;
    let types = name("embeddings.token_type_embeddings.weight");
    let [token, instruction] = match e.weights.has(&types) {
        // The two are one table, stored twice or trained apart.
        true => {
            let types = e.weights.get(&types, &shape)?;
            let [token] = e.embed(&table, [&ids]);
            let [instruction] = e.embed(&types, [&instructions]);
            [token, instruction]
        }
        false => e.embed(&table, [&ids, &instructions]),
    };
    let x = e.graph.op("Add", &[&token, &instruction]);
    let mut x = e.layer_norm(&x, &name("embeddings.LayerNorm"))?;
    let layers = PostNorm {
        prefix: &name("encoder.layer"),
        queries_keys_values: BERT_QKV,
        out: "attention.output.dense",
        out_norm: "attention.output.LayerNorm",
        biased: false,
        inner: config.intermediate_size,
        rotary: Some(&rotary),
        relative: None,
        mask: &mask,
    };
    for layer in 0..config.num_hidden_layers {
        x = e.post_norm_layer(x, layer, &layers)?;
    }
    let x = e.masked_mean(&x, &mask);
    // One row a function: nothing to gain from integers.
    e.precision = Precision::Float;
    let x = e.linear(&x, "projection", [config.output_size, hidden])?;
    e.finish(&x, config.output_size, "clap-asm", out)
}

const TABLE: &str = "embeddings.word_embeddings.weight";

/// Writes the graph of CLAP's text encoder, from `clap-text`'s weights: MPNet
/// (Song et al. 2020) with mean pooling and no projection.
///
/// Inputs `input_ids` and `attention_mask`, both `[batch, tokens]`; output
/// `embedding`, one unit vector a row.
pub fn export_clap_text(
    weights: &Path,
    config: &ClapTextConfig,
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

    let words = e.weights.get(TABLE, &[config.vocab_size, hidden])?;
    let [words] = e.embed(&words, [&ids]);
    let tokens = e.token_count(&ids);
    let rows = config.max_position_embeddings;
    let positions = e
        .weights
        .get("embeddings.position_embeddings.weight", &[rows, hidden])?;
    let first = (config.pad_token_id + 1) * hidden;
    let positions = e
        .graph
        .floats(&[config.max_tokens(), hidden], &positions[first..]);
    let positions = e.first_rows(&positions, &tokens);
    let x = e.graph.op("Add", &[&words, &positions]);
    let mut x = e.layer_norm(&x, "embeddings.LayerNorm")?;
    let relative = e.relative_bias(config, &tokens)?;
    let layers = PostNorm {
        prefix: "encoder.layer",
        queries_keys_values: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
        out: "attention.attn.o",
        out_norm: "attention.LayerNorm",
        biased: true,
        inner: config.intermediate_size,
        rotary: None,
        relative: Some(&relative),
        mask: &mask,
    };
    for layer in 0..config.num_hidden_layers {
        x = e.post_norm_layer(x, layer, &layers)?;
    }
    let x = e.masked_mean(&x, &mask);
    e.finish(&x, hidden, "clap-text", out)
}

impl Exporter<'_> {
    /// What every layer adds to its scores, by how far the key is from the
    /// query: `[1, heads, tokens, tokens]`.
    fn relative_bias(&mut self, config: &ClapTextConfig, tokens: &str) -> Result<String> {
        let (buckets, heads) = (config.relative_attention_num_buckets, self.heads);
        let table = self
            .weights
            .get("encoder.relative_attention_bias.weight", &[buckets, heads])?;
        let longest = config.max_tokens() as i64;
        let distances: Vec<f32> = (1 - longest..longest)
            .flat_map(|distance| {
                let bucket = bucket(distance, buckets);
                table[bucket * heads..][..heads].iter().copied()
            })
            .collect();
        let g = &mut self.graph;
        let distances = g.floats(&[2 * longest as usize - 1, heads], &distances);
        let places: Vec<i64> = (0..longest).collect();
        let places = g.ints(&places);
        let (first, last) = (g.ints(&[0]), g.ints(&[1]));
        let places = g.op("Slice", &[&places, &first, tokens, &first]);
        let keys = g.op("Unsqueeze", &[&places, &first]);
        let queries = g.op("Unsqueeze", &[&places, &last]);
        let distance = g.op("Sub", &[&keys, &queries]);
        // The first row is of the key that is farthest before its query.
        let farthest = g.ints(&[longest - 1]);
        let row = g.op("Add", &[&distance, &farthest]);
        let bias = g.op("Gather", &[&distances, &row]);
        let bias = g.op("Unsqueeze", &[&bias, &first]);
        Ok(g.op_with("Transpose", &[&bias], super::perm([0, 3, 1, 2])))
    }
}

/// Which row of the table is for a key this far behind its query: T5's buckets
/// (Raffel et al. 2020, section 2.1), half for each direction, exact where near
/// and logarithmic up to 128. In single precision, like the code that the
/// weights were trained by.
fn bucket(distance: i64, buckets: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let direction = if distance > 0 { half } else { 0 };
    let near = distance.unsigned_abs() as usize;
    if near < exact {
        return direction + near;
    }
    let octaves = (128.0 / exact as f64).ln() as f32;
    let far = (near as f32 / exact as f32).ln() / octaves * (half - exact) as f32;
    direction + (exact + far as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_share_buckets_as_in_t5() {
        let of = |distances: &[i64]| -> Vec<usize> {
            distances.iter().map(|d| bucket(*d, 32)).collect()
        };
        assert_eq!(of(&[0, -1, -7, -8, -11, -12, -15]), [0, 1, 7, 8, 8, 9, 9]);
        assert_eq!(of(&[-16, -127, -128, -500]), [10, 15, 15, 15]);
        assert_eq!(of(&[1, 7, 8, 500]), [17, 23, 24, 31]);
    }
}
