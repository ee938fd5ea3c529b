//! The recipe of a sequence-to-sequence model.

use std::path::Path;

use binscribe_model::Seq2SeqConfig;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::recipe::{Schedule, parse_table};
use crate::{Error, Result};

/// Everything that a run depends on besides the corpus and the pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seq2SeqRecipe {
    /// What the model is called.
    pub name: String,
    /// Seed of weights, batches, hidden spans and dropout.
    pub seed: u64,
    /// What the layers calculate in: `f32`, `bf16`, or `auto` for `bf16` where the
    /// device has it. Weights stay `f32`.
    pub precision: String,
    /// Tokens of sources that go through the encoder at once; a step may take
    /// several such rectangles.
    pub micro_tokens: usize,
    /// The rest, in one table, whose presence tells this recipe from an
    /// encoder's.
    pub seq2seq: Parts,
}

/// The parts of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// The shape.
    pub model: ModelRecipe,
    /// The tokenizer.
    pub tokenizer: PieceRecipe,
    /// Which texts are learned from.
    pub pairs: PairRecipe,
    /// Stage 1: hidden spans and hidden names.
    pub denoise: Denoise,
    /// Stage 2: from source to text.
    pub finetune: Finetune,
    /// How texts are written.
    pub generate: Generate,
    /// How the model is judged.
    pub validation: Judging,
}

/// The shape; see [`Seq2SeqConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Layers that read.
    pub encoder_layers: usize,
    /// Layers that write.
    pub decoder_layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width of a layer's feed-forward block.
    pub intermediate_size: usize,
    /// Tokens of a source that are read at inference.
    pub max_source_tokens: usize,
    /// Tokens of a target.
    pub max_target_tokens: usize,
}

/// The tokenizer's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PieceRecipe {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Sources that it learns from, beside all targets.
    pub sources: usize,
}

/// Which texts are learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRecipe {
    /// Characters of a comment's first sentences that are the target. What a
    /// file of pairs holds is taken whole.
    pub comment_characters: usize,
    /// Shorter comments say too little.
    pub min_words: usize,
}

/// Stage 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoise {
    /// Tokens of a source that are read.
    pub source_tokens: usize,
    /// Tokens of sources in a step.
    pub batch_tokens: usize,
    /// Share of tokens that are hidden.
    pub hidden: f64,
    /// Mean length of a hidden span.
    pub span: f64,
    /// How often the function's name is hidden instead, to be written in words.
    pub name_share: f64,
    /// Share of values that are dropped.
    pub dropout: f64,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// Stage 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// Tokens of a source that are read.
    pub source_tokens: usize,
    /// Tokens of sources in a step.
    pub batch_tokens: usize,
    /// Share of probability that every token gets.
    pub label_smoothing: f64,
    /// Share of values that are dropped.
    pub dropout: f64,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// How texts are written; see [`binscribe_model::Decoding`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Hypotheses that are kept.
    pub beams: usize,
    /// Power of the length that a score is divided by.
    pub length_penalty: f32,
    /// No sequence of so many tokens is written twice.
    pub no_repeat: usize,
}

/// How the model is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// Minutes between validations.
    pub minutes: f64,
    /// Validation pairs whose loss is taken.
    pub pairs: usize,
    /// Validation pairs whose texts are written and compared at the end.
    pub texts: usize,
    /// Pairs whose log-probabilities are kept for the test of inference.
    pub parity: usize,
}

impl Seq2SeqRecipe {
    /// Reads a recipe; none if it is that of an encoder. With `gpu`, the
    /// values of its table `[gpu]` replace those of the same names.
    pub fn read(path: &Path, gpu: bool) -> Result<Option<Seq2SeqRecipe>> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Seq2SeqRecipe::parse(&text, gpu)
    }

    /// [`Seq2SeqRecipe::read`] from the text of the file.
    pub fn parse(text: &str, gpu: bool) -> Result<Option<Seq2SeqRecipe>> {
        let table = parse_table(text, gpu)?;
        if !table.contains_key("seq2seq") {
            return Ok(None);
        }
        let recipe: Seq2SeqRecipe = table
            .try_into()
            .map_err(|error: toml::de::Error| Error::Recipe(error.to_string()))?;
        recipe.check()?;
        Ok(Some(recipe))
    }

    /// The configuration of the model that comes out.
    pub(crate) fn config(&self, vocab_size: usize) -> Seq2SeqConfig {
        let (model, generate) = (&self.seq2seq.model, &self.seq2seq.generate);
        Seq2SeqConfig {
            name: self.name.clone(),
            vocab_size,
            hidden_size: model.hidden_size,
            encoder_layers: model.encoder_layers,
            decoder_layers: model.decoder_layers,
            num_attention_heads: model.heads,
            intermediate_size: model.intermediate_size,
            max_source_tokens: model.max_source_tokens,
            max_target_tokens: model.max_target_tokens,
            num_beams: generate.beams,
            length_penalty: generate.length_penalty,
            no_repeat_ngram_size: generate.no_repeat,
            ..Seq2SeqConfig::default()
        }
    }

    fn check(&self) -> Result<()> {
        let fail = |message: &str| Err(Error::Recipe(message.to_owned()));
        let parts = &self.seq2seq;
        crate::compute_kind(&self.precision, Device::Cpu)?;
        parts.denoise.schedule.check()?;
        parts.finetune.schedule.check()?;
        let model = &parts.model;
        if model.heads == 0 || !model.hidden_size.is_multiple_of(2 * model.heads) {
            return fail("hidden_size does not divide into heads of even width");
        }
        if model.max_target_tokens < 2 || model.max_source_tokens == 0 {
            return fail("a pair needs a token of source and two of target");
        }
        let longest = parts
            .denoise
            .source_tokens
            .max(parts.finetune.source_tokens);
        if longest > model.max_source_tokens || longest > self.micro_tokens {
            return fail("source_tokens is more than max_source_tokens or micro_tokens");
        }
        let share = |x: f64| (0.0..1.0).contains(&x);
        let shares = [
            parts.denoise.hidden,
            parts.denoise.name_share,
            parts.denoise.dropout,
            parts.finetune.dropout,
            parts.finetune.label_smoothing,
        ];
        if !shares.into_iter().all(share) || parts.denoise.span < 1.0 {
            return fail("a share is not between 0 and 1, or span is less than 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADOW: &str = include_str!("../../../../recipes/shadow.toml");

    #[test]
    fn the_recipe_of_the_shadow_is_valid_and_an_encoders_is_none() {
        let shadow = Seq2SeqRecipe::parse(SHADOW, false).unwrap();
        assert_eq!(shadow.unwrap().name, "shadow");
        let default = include_str!("../../../../recipes/default.toml");
        assert_eq!(Seq2SeqRecipe::parse(default, false).unwrap(), None);
    }

    #[test]
    fn a_mistake_is_refused_with_its_name() {
        let check = |from: &str, to: &str, says: &str| {
            let text = SHADOW.replace(from, to);
            let said = Seq2SeqRecipe::parse(&text, false).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        };
        check("beams =", "beems =", "beems");
        check("heads = 4", "heads = 7", "heads of even width");
        check("optimizer = \"muon\"", "optimizer = \"sgd\"", "adamw");
    }
}
