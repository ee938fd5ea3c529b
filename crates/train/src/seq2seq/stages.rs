//! The two stages. First sources are restored: spans of them are hidden behind
//! sentinels and written (Raffel et al. 2020, "T5", section 3.1.4), or the
//! function's own name is, in words, which is the nearest thing to a summary
//! that every function has. Then texts are written.

use std::path::Path;

use binscribe_model::{END, FIRST_SENTINEL, PieceTokenizer, SENTINELS};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tch::{Kind, no_grad};

use super::network::{Losses, Network, PairBatch};
use super::pairs::{Function, Pair};
use super::recipe::Seq2SeqRecipe;
use crate::dataset::rectangles;
use crate::optimizer::Optimizer;
use crate::plan::Passes;
use crate::recipe::Schedule;
use crate::stage::{Event, Judgement, Measures, Stage, generator};
use crate::world::Group;
use crate::{Error, Result, name_words};

/// A source and a target as tokens.
pub(super) type Example = (Vec<u32>, Vec<u32>);

/// How well targets are foreseen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Perplexity {
    /// Negative log-likelihood of a token.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
    /// Share of what is written that is copied.
    pub copied: f64,
    /// Over how many pairs.
    pub pairs: usize,
}

impl std::fmt::Display for Perplexity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "loss {:.3}, perplexity {:.1}, {:.0}% copied ({} pairs)",
            self.loss,
            self.perplexity,
            self.copied * 100.0,
            self.pairs
        )
    }
}

impl Judgement for Perplexity {
    fn total(&self) -> f64 {
        -self.loss
    }

    fn event(self, step: u64, best: bool) -> Event {
        let scores = self;
        Event::Judged { step, scores, best }
    }
}

/// Pairs as tokens.
pub(super) fn encode(
    pairs: &[Pair],
    tokenizer: &PieceTokenizer,
    recipe: &Seq2SeqRecipe,
) -> Vec<Example> {
    let most = recipe.seq2seq.model.max_target_tokens;
    let source_tokens = recipe.seq2seq.finetune.source_tokens;
    pairs
        .iter()
        .map(|pair| {
            (
                tokenizer.encode_source(&pair.function.source, source_tokens),
                tokenizer.encode_target(&pair.text, most),
            )
        })
        .collect()
}

fn optimizer(network: &Network, schedule: &Schedule) -> Optimizer {
    let mut optimizer = Optimizer::new();
    let parameters = network.parameters();
    optimizer.add("", parameters, 1.0, schedule.weight_decay, schedule.muon());
    optimizer
}

const WEIGHTS: &str = "network.safetensors";

/// Adds the gradients of some rectangles of examples.
fn learn(network: &Network, tasks: &[Vec<Example>], smoothing: f64, dropout: f64) -> Measures {
    let batches: Vec<PairBatch> = tasks.iter().map(|task| batch(network, task)).collect();
    let count: usize = batches.iter().map(PairBatch::count).sum();
    let (mut loss, mut likelihood, mut copied) = (0.0, 0.0, 0.0);
    for batch in &batches {
        let losses = network.losses(batch, smoothing, dropout);
        let smoothed = losses.smoothed / count as f64;
        smoothed.backward();
        loss += smoothed.double_value(&[]);
        likelihood += losses.likelihood.double_value(&[]);
        copied += losses.copied.double_value(&[]);
    }
    let examples = tasks.iter().flatten();
    Measures {
        loss,
        parts: [likelihood / count as f64, copied / count as f64],
        tokens: examples.map(|(s, t)| s.len() + t.len()).sum(),
    }
}

fn batch(network: &Network, examples: &[Example]) -> PairBatch {
    let pairs: Vec<(&[u32], &[u32])> = examples.iter().map(|(s, t)| (&s[..], &t[..])).collect();
    PairBatch::new(&pairs, network.device())
}

/// Stage 1.
pub(super) struct DenoiseStage<'a> {
    recipe: &'a Seq2SeqRecipe,
    network: &'a Network,
    optimizer: Optimizer,
    sources: Vec<Vec<u32>>,
    /// The same with the function's name hidden, and its words.
    named: Vec<Option<Example>>,
    passes: Passes,
}

impl<'a> DenoiseStage<'a> {
    pub(super) fn new(
        recipe: &'a Seq2SeqRecipe,
        functions: &[Function],
        tokenizer: &PieceTokenizer,
        network: &'a Network,
    ) -> Result<DenoiseStage<'a>> {
        let denoise = &recipe.seq2seq.denoise;
        let most = denoise.source_tokens;
        let sources: Vec<Vec<u32>> = functions
            .iter()
            .map(|f| tokenizer.encode_source(&f.source, most))
            .collect();
        if sources.is_empty() {
            return Err(Error::Corpus("no source of a training package".to_owned()));
        }
        let targets = recipe.seq2seq.model.max_target_tokens;
        let named = functions
            .iter()
            .map(|f| hide_name(f, tokenizer, most, targets))
            .collect();
        let passes = Passes::new(
            recipe.seed,
            "denoise order",
            sources.iter().map(Vec::len).collect(),
            recipe.micro_tokens,
            denoise.batch_tokens,
        );
        Ok(DenoiseStage {
            recipe,
            network,
            optimizer: optimizer(network, &denoise.schedule),
            sources,
            named,
            passes,
        })
    }

    fn example(&self, place: usize, random: &mut StdRng) -> Example {
        let denoise = &self.recipe.seq2seq.denoise;
        if let Some(named) = &self.named[place]
            && random.random_bool(denoise.name_share)
        {
            return named.clone();
        }
        let most = self.recipe.seq2seq.model.max_target_tokens;
        hide_spans(
            &self.sources[place],
            denoise.hidden,
            denoise.span,
            most,
            random,
        )
    }
}

impl Stage for DenoiseStage<'_> {
    const NAME: &'static str = "denoise";
    const PARTS: [&'static str; 2] = ["tokens", "copied"];
    type Judgement = Perplexity;

    fn schedule(&self) -> &Schedule {
        &self.recipe.seq2seq.denoise.schedule
    }

    fn gradients(&mut self, step: u64, _: &Group) -> Result<Measures> {
        let mut random = generator(self.recipe.seed, Self::NAME, step);
        let places = self.passes.rectangles(step);
        let tasks: Vec<Vec<Example>> = places
            .iter()
            .map(|places| {
                let examples = places.iter().map(|&i| self.example(i, &mut random));
                examples.collect()
            })
            .collect();
        seed_dropout(&mut random);
        let dropout = self.recipe.seq2seq.denoise.dropout;
        Ok(learn(self.network, &tasks, 0.0, dropout))
    }

    fn optimizer(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.network.parameters().save(&folder.join(WEIGHTS))
    }

    fn load(&mut self, folder: &Path) -> Result<()> {
        self.network.parameters().load(&folder.join(WEIGHTS))
    }

    fn validate(&mut self) -> Result<Option<Perplexity>> {
        Ok(None)
    }

    fn validate_every_seconds(&self) -> f64 {
        f64::INFINITY
    }
}

/// Stage 2.
pub(super) struct FinetuneStage<'a> {
    recipe: &'a Seq2SeqRecipe,
    network: &'a Network,
    optimizer: Optimizer,
    training: Vec<Example>,
    validation: Vec<Example>,
    passes: Passes,
}

impl<'a> FinetuneStage<'a> {
    pub(super) fn new(
        recipe: &'a Seq2SeqRecipe,
        training: Vec<Example>,
        validation: Vec<Example>,
        network: &'a Network,
    ) -> FinetuneStage<'a> {
        let finetune = &recipe.seq2seq.finetune;
        let passes = Passes::new(
            recipe.seed,
            "finetune order",
            training.iter().map(|e| e.0.len()).collect(),
            recipe.micro_tokens,
            finetune.batch_tokens,
        );
        FinetuneStage {
            recipe,
            network,
            optimizer: optimizer(network, &finetune.schedule),
            training,
            validation,
            passes,
        }
    }
}

impl Stage for FinetuneStage<'_> {
    const NAME: &'static str = "finetune";
    const PARTS: [&'static str; 2] = ["tokens", "copied"];
    type Judgement = Perplexity;

    fn schedule(&self) -> &Schedule {
        &self.recipe.seq2seq.finetune.schedule
    }

    fn gradients(&mut self, step: u64, _: &Group) -> Result<Measures> {
        let mut random = generator(self.recipe.seed, Self::NAME, step);
        let places = self.passes.rectangles(step);
        let tasks: Vec<Vec<Example>> = places
            .iter()
            .map(|places| places.iter().map(|&i| self.training[i].clone()).collect())
            .collect();
        seed_dropout(&mut random);
        let finetune = &self.recipe.seq2seq.finetune;
        let (smoothing, dropout) = (finetune.label_smoothing, finetune.dropout);
        Ok(learn(self.network, &tasks, smoothing, dropout))
    }

    fn optimizer(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.network.parameters().save(&folder.join(WEIGHTS))
    }

    fn load(&mut self, folder: &Path) -> Result<()> {
        self.network.parameters().load(&folder.join(WEIGHTS))
    }

    fn validate(&mut self) -> Result<Option<Perplexity>> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let lengths: Vec<usize> = self.validation.iter().map(|e| e.0.len()).collect();
        let (mut likelihood, mut copied, mut count) = (0.0, 0.0, 0);
        for places in rectangles(&lengths, self.recipe.micro_tokens) {
            let examples: Vec<Example> =
                places.iter().map(|&i| self.validation[i].clone()).collect();
            let batch = batch(self.network, &examples);
            let losses: Losses = no_grad(|| self.network.losses(&batch, 0.0, 0.0));
            likelihood += losses.likelihood.sum(Kind::Double).double_value(&[]);
            copied += losses.copied.double_value(&[]);
            count += batch.count();
        }
        let loss = likelihood / count as f64;
        Ok(Some(Perplexity {
            loss,
            perplexity: loss.exp(),
            copied: copied / count as f64,
            pairs: self.validation.len(),
        }))
    }

    fn validate_every_seconds(&self) -> f64 {
        self.recipe.seq2seq.validation.minutes * 60.0
    }
}

/// Dropout draws from libtorch's own generator; seeded for each step, it draws
/// the same in a run that goes on.
fn seed_dropout(random: &mut StdRng) {
    tch::manual_seed(random.random_range(0..i64::MAX));
}

/// Hides about a share `hidden` of the tokens, in spans of about `span`, each
/// behind its sentinel. The target is each sentinel with what it hides.
fn hide_spans(ids: &[u32], hidden: f64, span: f64, most: usize, random: &mut StdRng) -> Example {
    let wanted = (ids.len() as f64 * hidden).round().max(1.0) as usize;
    let spans = ((wanted as f64 / span).round().max(1.0) as usize).min(SENTINELS as usize);
    // A sentinel for each span and the end have to fit, too.
    let spans = spans.min(most.saturating_sub(1) / 2).max(1);
    let wanted = wanted
        .min(most.saturating_sub(1 + spans))
        .clamp(spans.min(ids.len()), ids.len());
    let spans = spans.min(wanted);
    let lengths = parts(wanted, spans, random);
    let gaps = parts(ids.len() - wanted + spans + 1, spans + 1, random);
    let (mut source, mut target) = (Vec::new(), Vec::new());
    let mut at = 0;
    for (sentinel, (length, gap)) in (FIRST_SENTINEL..).zip(lengths.iter().zip(&gaps)) {
        // Each gap was drawn one longer, so that it may be empty.
        let start = at + gap - 1;
        source.extend_from_slice(&ids[at..start]);
        source.push(sentinel);
        target.push(sentinel);
        target.extend_from_slice(&ids[start..start + length]);
        at = start + length;
    }
    source.extend_from_slice(&ids[at..]);
    target.push(END);
    (source, target)
}

/// `total` as a sum of `count` numbers from 1 on.
fn parts(total: usize, count: usize, random: &mut StdRng) -> Vec<usize> {
    let mut cuts = rand::seq::index::sample(random, total - 1, count - 1).into_vec();
    cuts.sort_unstable();
    let ends = cuts.iter().map(|cut| cut + 1).chain([total]);
    let mut start = 0;
    ends.map(|end| {
        let part = end - start;
        start = end;
        part
    })
    .collect()
}

/// A source with its function's name behind the first sentinel, and the name
/// in words.
fn hide_name(
    function: &Function,
    tokenizer: &PieceTokenizer,
    source_tokens: usize,
    target_tokens: usize,
) -> Option<Example> {
    let Function { name, source } = function;
    let words = name_words(name);
    if words.is_empty() {
        return None;
    }
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut ids = Vec::new();
    let (mut start, mut found) = (0, false);
    for (at, _) in source.match_indices(name.as_str()) {
        let end = at + name.len();
        let whole = !source[..at].ends_with(part) && !source[end..].starts_with(part);
        if !whole || ids.len() >= source_tokens {
            continue;
        }
        push_source(&mut ids, &source[start..at], tokenizer, source_tokens);
        ids.push(FIRST_SENTINEL);
        (start, found) = (end, true);
    }
    push_source(&mut ids, &source[start..], tokenizer, source_tokens);
    ids.truncate(source_tokens);
    let mut target = vec![FIRST_SENTINEL];
    target.extend(tokenizer.encode_target(&words, target_tokens - 1));
    (found && ids.contains(&FIRST_SENTINEL)).then_some((ids, target))
}

fn push_source(ids: &mut Vec<u32>, text: &str, tokenizer: &PieceTokenizer, most: usize) {
    if !text.trim().is_empty() {
        ids.extend(tokenizer.encode_source(text, most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_spans_can_be_put_back() {
        for length in [1, 2, 5, 40, 192] {
            let ids: Vec<u32> = (100..100 + length).collect();
            for seed in 0..40 {
                let mut random = generator(seed, "test", 0);
                let (source, target) = hide_spans(&ids, 0.15, 3.0, 64, &mut random);
                assert!(target.len() <= 64, "{target:?}");
                let mut back = Vec::new();
                for &id in &source {
                    if id >= 100 {
                        back.push(id);
                        continue;
                    }
                    let at = target.iter().position(|&t| t == id).unwrap();
                    let hidden = target[at + 1..].iter().take_while(|&&t| t >= 100);
                    back.extend(hidden);
                }
                assert_eq!(back, ids, "{source:?} {target:?}");
            }
        }
    }

    #[test]
    fn a_name_is_hidden_wherever_it_stands_alone() {
        let source = "int read_all(int n) { return n ? read_all(n - 1) : pread_all(n); }";
        let tokenizer = PieceTokenizer::train([source].into_iter(), 400).unwrap();
        let function = Function {
            name: "read_all".to_owned(),
            source: source.to_owned(),
        };
        let (ids, target) = hide_name(&function, &tokenizer, 200, 64).unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == FIRST_SENTINEL).count(), 2);
        assert_eq!(target[0], FIRST_SENTINEL);
        assert_eq!(tokenizer.decode(&target), "Read all");
        let other = Function {
            name: "write".to_owned(),
            ..function
        };
        assert_eq!(hide_name(&other, &tokenizer, 200, 64), None);
    }
}
