//! Recipes: the TOML files that training runs are repeated from.

use std::path::Path;

use binscribe_corpus::explain::Preference;
use binscribe_model::Config;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::{Error, Result};

/// Everything that a run depends on besides the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the model is called.
    pub name: String,
    /// Seed of weights, batches and masks.
    pub seed: u64,
    /// What the layers calculate in: `f32`, `bf16`, or `auto` for `bf16` where the
    /// device has it. Weights stay `f32`.
    pub precision: String,
    /// Tokens that go through the encoder at once; a step may take several
    /// such rectangles.
    pub micro_tokens: usize,
    /// The encoder's shape.
    pub model: Shape,
    /// The assembly tokenizer.
    pub tokenizer: TokenizerRecipe,
    /// Stage 1: masked tokens and jump targets.
    pub pretrain: Pretrain,
    /// Stage 2: contrast with other builds and with English.
    pub contrast: Contrast,
    /// How the model is judged while it trains.
    pub validation: Validation,
}

/// The encoder's shape; see [`Config`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width of a layer's feed-forward block.
    pub intermediate_size: usize,
    /// Tokens of a function that are read at inference.
    pub max_tokens: usize,
    /// Of these, tokens of its words, which come first.
    pub max_word_tokens: usize,
    /// First values of the token table: `random`, or `minilm` to start the
    /// words in it from the text encoder's vectors.
    pub warm_start: String,
}

/// The assembly tokenizer's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// `INSTRk` tokens among them.
    pub max_instructions: usize,
    /// Listings that it learns from.
    pub listings: usize,
}

/// What both stages have: how long and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps at most.
    pub steps: u64,
    /// Minutes at most. The learning rate follows whichever of steps and
    /// minutes is further on; a run that ends by its minutes is not repeated
    /// bit for bit.
    #[serde(default)]
    pub max_minutes: Option<f64>,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// Decay of the weights of matrices.
    pub weight_decay: f64,
    /// Length that the gradient is clipped to.
    pub clip: f64,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// `adamw`, or `muon` for Muon on the matrices of the layers.
    pub optimizer: String,
}

impl Schedule {
    /// How much of the stage is over after `step` steps and `seconds`.
    pub(crate) fn fraction(&self, step: u64, seconds: f64) -> f64 {
        if self.steps == 0 {
            return 1.0;
        }
        let by_steps = step as f64 / self.steps as f64;
        let by_time = self
            .max_minutes
            .map_or(0.0, |minutes| seconds / (minutes * 60.0));
        by_steps.max(by_time).min(1.0)
    }

    /// Linear warm-up, then a cosine down to a fiftieth.
    pub(crate) fn rate(&self, step: u64, seconds: f64) -> f64 {
        const LAST: f64 = 0.02;
        let warm = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let cosine = (1.0 + (std::f64::consts::PI * self.fraction(step, seconds)).cos()) / 2.0;
        self.learning_rate * warm * (LAST + (1.0 - LAST) * cosine)
    }

    pub(crate) fn muon(&self) -> bool {
        self.optimizer == "muon"
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.optimizer.as_str() {
            "adamw" | "muon" => Ok(()),
            _ => Err(Error::Recipe(
                "optimizer is neither \"adamw\" nor \"muon\"".to_owned(),
            )),
        }
    }
}

/// Stage 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// Tokens of a function that are read.
    pub max_tokens: usize,
    /// Tokens of a step.
    pub batch_tokens: usize,
    /// Share of tokens that are to be predicted.
    pub mask: f64,
    /// Share of jump targets that are.
    pub jump_mask: f64,
    /// How long and how fast.
    pub schedule: Schedule,
}

/// Stage 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// Tokens of a function that are read.
    pub max_tokens: usize,
    /// Functions of a step; each is seen in two builds.
    pub functions: usize,
    /// Shorter functions say too little to be told apart.
    pub min_instructions: u32,
    /// Word pieces of a text that are read.
    pub text_pieces: usize,
    /// Last layers of the text encoder that are trained.
    pub text_trainable_layers: usize,
    /// Their learning rate beside the assembly encoder's.
    pub text_rate: f64,
    /// Weight of the loss against texts beside that between builds.
    pub text_weight: f64,
    /// How often a documented function's text is its name instead.
    pub name_share: f64,
    /// How often a name is followed by those of what the function calls.
    pub calls_share: f64,
    /// How often a comment is cut off after its first sentence, as queries are.
    pub brief_share: f64,
    /// Weight of the loss against what files are about, beside that against
    /// texts: most comments do not say of what they tell a step.
    #[serde(default)]
    pub topic_weight: f64,
    /// First temperature of both losses; it is learned.
    pub temperature: f64,
    /// Explanations that take the place of comments: origins or kinds of them,
    /// best first, as `teacher:NAME,teacher,shadow`. Empty for comments alone.
    #[serde(default)]
    pub explanations: String,
    /// Builds of a function that a step sees: two, or one for a loss against
    /// texts alone.
    #[serde(default = "two")]
    pub views: usize,
    /// Makes vectors without a graph first and propagates back through the
    /// encoders `micro_tokens` at a time, so that a batch of any size fits the
    /// memory; costs a second forward pass.
    #[serde(default)]
    pub cached_gradients: bool,
    /// How many of its neighbours follow each function into a batch: those
    /// whose listings had the nearest vectors when they were last seen.
    #[serde(default)]
    pub hard_negatives: usize,
    /// How long and how fast.
    pub schedule: Schedule,
}

fn two() -> usize {
    2
}

/// Validation while training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Minutes between validations.
    pub minutes: f64,
    /// Functions in each pool.
    pub pool: usize,
    /// Functions whose embeddings are kept for the test of inference.
    pub parity: usize,
}

impl Recipe {
    /// Reads a recipe. With `gpu`, the values of its table `[gpu]` replace
    /// those of the same names.
    pub fn read(path: &Path, gpu: bool) -> Result<Recipe> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Recipe::parse(&text, gpu)
    }

    /// [`Recipe::read`] from the text of the file.
    pub fn parse(text: &str, gpu: bool) -> Result<Recipe> {
        let recipe: Recipe = parse_table(text, gpu)?
            .try_into()
            .map_err(|error: toml::de::Error| Error::Recipe(error.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The configuration of the model that comes out.
    pub(crate) fn config(&self, vocab_size: usize, instruction_base: u32) -> Config {
        Config {
            vocab_size,
            hidden_size: self.model.hidden_size,
            num_hidden_layers: self.model.layers,
            num_attention_heads: self.model.heads,
            intermediate_size: self.model.intermediate_size,
            max_tokens: self.model.max_tokens,
            max_word_tokens: self.model.max_word_tokens,
            instruction_base,
            max_instructions: self.tokenizer.max_instructions,
            ..Config::default()
        }
    }

    fn check(&self) -> Result<()> {
        let fail = |message: &str| Err(Error::Recipe(message.to_owned()));
        crate::compute_kind(&self.precision, Device::Cpu)?;
        if !matches!(self.model.warm_start.as_str(), "random" | "minilm") {
            return fail("warm_start is neither \"random\" nor \"minilm\"");
        }
        for schedule in [&self.pretrain.schedule, &self.contrast.schedule] {
            schedule.check()?;
        }
        if self.tokenizer.vocab_size > usize::from(u16::MAX) {
            return fail("vocab_size does not fit 16 bits");
        }
        if self.contrast.functions < 2 {
            return fail("a contrast needs two functions or more");
        }
        if !self.contrast.explanations.is_empty()
            && self.contrast.explanations.parse::<Preference>().is_err()
        {
            return fail(
                "explanations is a list of doc, teacher, shadow, teacher:NAME, shadow:NAME",
            );
        }
        if !matches!(self.contrast.views, 1 | 2) {
            return fail("views is neither 1 nor 2");
        }
        if self.contrast.hard_negatives >= self.contrast.functions {
            return fail("hard_negatives leaves no place in a batch for anything else");
        }
        let heads = self.model.heads;
        if heads == 0 || !self.model.hidden_size.is_multiple_of(2 * heads) {
            return fail("hidden_size does not divide into heads of even width");
        }
        Ok(())
    }
}

/// The table of a recipe; with `gpu`, the values of its table `[gpu]` in place
/// of those of the same names.
pub(crate) fn parse_table(text: &str, gpu: bool) -> Result<toml::Table> {
    let mut table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| Error::Recipe(error.to_string()))?;
    if let Some(overrides) = table.remove("gpu")
        && gpu
    {
        merge(&mut table, overrides);
    }
    Ok(table)
}

fn merge(table: &mut toml::Table, overrides: toml::Value) {
    let toml::Value::Table(overrides) = overrides else {
        return;
    };
    for (key, value) in overrides {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), new @ toml::Value::Table(_)) => merge(old, new),
            (_, new) => {
                table.insert(key, new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = include_str!("../../../recipes/default.toml");

    #[test]
    fn the_default_recipe_is_valid_for_both_devices() {
        let cpu = Recipe::parse(DEFAULT, false).unwrap();
        let gpu = Recipe::parse(DEFAULT, true).unwrap();
        assert!(gpu.contrast.functions > cpu.contrast.functions);
        assert_eq!(gpu.model, cpu.model);
    }

    #[test]
    fn claps_recipe_has_its_batch_on_a_gpu_and_no_loss_but_its_own() {
        let text = include_str!("../../../recipes/clap.toml");
        let cpu = Recipe::parse(text, false).unwrap();
        let gpu = Recipe::parse(text, true).unwrap();
        assert_eq!((cpu.contrast.views, gpu.contrast.views), (1, 1));
        assert_eq!(gpu.contrast.functions, 4096);
        assert!(gpu.contrast.cached_gradients);
        let minutes = |schedule: &Schedule| schedule.max_minutes.unwrap_or(f64::INFINITY);
        let all = minutes(&cpu.pretrain.schedule) + minutes(&cpu.contrast.schedule);
        assert!(all < 120.0, "{all}");
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let text = DEFAULT.replace("seed =", "sead =");
        let said = Recipe::parse(&text, false).unwrap_err().to_string();
        assert!(said.contains("sead"), "{said}");
    }

    #[test]
    fn the_rate_rises_and_falls_by_steps_or_by_time() {
        let mut schedule = Recipe::parse(DEFAULT, false).unwrap().pretrain.schedule;
        schedule.steps = 1000;
        schedule.warmup_steps = 10;
        schedule.max_minutes = Some(1.0);
        let top = schedule.learning_rate;
        assert!(schedule.rate(0, 0.0) < top * 0.11);
        assert!(schedule.rate(10, 0.0) > top * 0.99);
        assert!((schedule.rate(500, 0.0) - top * 0.51).abs() < top * 0.01);
        assert!((schedule.rate(500, 60.0) - top * 0.02).abs() < top * 1e-9);
    }
}
