use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The shape of an assembly encoder: `config.json` of a model directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Which encoder it is, and so how listings become tokens.
    pub model_type: Architecture,
    /// Entries of the tokenizer's vocabulary, specials included.
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
    /// Tokens of one function that are read; the rest is cut off.
    pub max_tokens: usize,
    /// Tokens of one instruction that are read.
    pub max_pieces_per_instruction: usize,
    /// Tokens of the words of a function that are read before its code.
    pub max_word_tokens: usize,
    /// Vocabulary id of `INSTR1`.
    pub instruction_base: u32,
    /// How many `INSTRk` tokens there are; later instructions share the last.
    pub max_instructions: usize,
    /// Width of the vector that comes out.
    pub output_size: usize,
    /// Base of the rotary position frequencies.
    pub rotary_base: f32,
    /// Temperature that the contrastive loss ended with.
    pub temperature: f32,
    /// Vocabulary id of the padding token.
    pub pad_token_id: u32,
    /// Tokens of one English text that are read.
    #[serde(default = "max_text_tokens")]
    pub max_text_tokens: usize,
    /// What the model has learned from, as container and processor: `elf x86-64`.
    #[serde(default = "plain_code")]
    pub learned_from: Vec<String>,
    /// What its confidences were measured on, in the same form.
    #[serde(default = "plain_code")]
    pub measured_on: Vec<String>,
}

/// The assembly encoders that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Our own: pre-norm layers, over the tokens of [`AsmTokenizer`].
    ///
    /// [`AsmTokenizer`]: crate::AsmTokenizer
    #[serde(rename = "binscribe-asm")]
    Binscribe,
    /// CLAP's (Wang et al. 2024): RoFormer, over the tokens of
    /// [`ClapTokenizer`].
    ///
    /// [`ClapTokenizer`]: crate::ClapTokenizer
    #[serde(rename = "clap")]
    Clap,
}

/// As `all-MiniLM-L6-v2` was published.
fn max_text_tokens() -> usize {
    256
}

/// What every corpus holds.
fn plain_code() -> Vec<String> {
    vec!["elf x86-64".to_owned()]
}

impl Default for Config {
    /// The default model's shape.
    fn default() -> Config {
        Config {
            model_type: Architecture::Binscribe,
            vocab_size: 8192,
            hidden_size: 256,
            num_hidden_layers: 6,
            num_attention_heads: 4,
            intermediate_size: 1024,
            layer_norm_eps: 1e-5,
            max_tokens: 512,
            max_pieces_per_instruction: 20,
            max_word_tokens: 64,
            instruction_base: 4,
            max_instructions: 512,
            output_size: 384,
            rotary_base: 10_000.0,
            temperature: 0.07,
            pad_token_id: 0,
            max_text_tokens: max_text_tokens(),
            learned_from: plain_code(),
            measured_on: plain_code(),
        }
    }
}

impl Config {
    /// Reads and checks a `config.json`.
    pub fn from_file(path: &Path) -> Result<Config> {
        let config: Config = crate::read_json(path)?;
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

    pub(crate) fn check(&self) -> Result<(), String> {
        let heads = self.num_attention_heads;
        if heads == 0
            || !self.hidden_size.is_multiple_of(heads)
            || !self.head_size().is_multiple_of(2)
        {
            return Err(format!(
                "hidden_size {} does not divide into {heads} heads of even width",
                self.hidden_size
            ));
        }
        if self.instruction_base as usize + self.max_instructions > self.vocab_size {
            return Err("the INSTR tokens do not fit the vocabulary".to_owned());
        }
        if self.max_tokens == 0
            || self.max_instructions == 0
            || self.max_pieces_per_instruction == 0
            || self.output_size == 0
            || self.max_text_tokens == 0
        {
            return Err("a size is zero".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_the_disk_and_a_bad_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let config = Config::default();
        config.save(&path).unwrap();
        assert_eq!(Config::from_file(&path).unwrap(), config);

        let bad = Config {
            num_attention_heads: 7,
            ..config
        };
        bad.save(&path).unwrap();
        let said = Config::from_file(&path).unwrap_err().to_string();
        assert!(said.contains("does not divide into 7 heads"), "{said}");
    }
}
