use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const MODEL_TYPE: &str = "binscribe-seq2seq";

/// The shape of a sequence-to-sequence model: its `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seq2SeqConfig {
    /// `binscribe-seq2seq`.
    pub model_type: String,
    /// What the model is called.
    pub name: String,
    /// Entries of the tokenizer's vocabulary, specials included.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Transformer layers that read the source.
    pub encoder_layers: usize,
    /// Transformer layers that write the target.
    pub decoder_layers: usize,
    /// Attention heads of a layer.
    pub num_attention_heads: usize,
    /// Width of a layer's feed-forward block.
    pub intermediate_size: usize,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f32,
    /// Base of the rotary position frequencies.
    pub rotary_base: f32,
    /// Tokens of a source that are read; the rest is cut off.
    pub max_source_tokens: usize,
    /// Tokens of a target that are written at most, its end included.
    pub max_target_tokens: usize,
    /// Hypotheses that beam search keeps; 1 is greedy.
    pub num_beams: usize,
    /// A finished hypothesis is worth its log-probability divided by its
    /// length to this power.
    pub length_penalty: f32,
    /// No sequence of so many tokens is written twice; 0 allows it.
    pub no_repeat_ngram_size: usize,
}

impl Default for Seq2SeqConfig {
    /// The shape of the shadow model.
    fn default() -> Seq2SeqConfig {
        Seq2SeqConfig {
            model_type: MODEL_TYPE.to_owned(),
            name: "shadow".to_owned(),
            vocab_size: 8192,
            hidden_size: 256,
            encoder_layers: 4,
            decoder_layers: 4,
            num_attention_heads: 4,
            intermediate_size: 1024,
            layer_norm_eps: 1e-5,
            rotary_base: 10_000.0,
            max_source_tokens: 384,
            max_target_tokens: 64,
            num_beams: 4,
            length_penalty: 1.0,
            no_repeat_ngram_size: 4,
        }
    }
}

impl Seq2SeqConfig {
    /// Reads and checks a `config.json`.
    pub fn from_file(path: &Path) -> Result<Seq2SeqConfig> {
        let config: Seq2SeqConfig = crate::read_json(path)?;
        config
            .check()
            .map_err(|reason| Error::bad_file(path, reason))?;
        Ok(config)
    }

    /// Writes a `config.json`.
    pub fn save(&self, path: &Path) -> Result<()> {
        crate::write_json(path, self)
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn check(&self) -> Result<(), String> {
        if self.model_type != MODEL_TYPE {
            return Err(format!(
                "model_type is {:?}, not {MODEL_TYPE:?}",
                self.model_type
            ));
        }
        let heads = self.num_attention_heads;
        if heads == 0 || !self.hidden_size.is_multiple_of(2 * heads) {
            return Err(format!(
                "hidden_size {} does not divide into {heads} heads of even width",
                self.hidden_size
            ));
        }
        let sizes = [
            self.hidden_size,
            self.encoder_layers,
            self.decoder_layers,
            self.max_source_tokens,
            self.max_target_tokens,
            self.num_beams,
        ];
        if sizes.contains(&0) {
            return Err("a size is zero".to_owned());
        }
        Ok(())
    }
}
