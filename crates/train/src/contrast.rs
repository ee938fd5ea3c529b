//! Stage 2: contrast. A function's vector is drawn to that of the same
//! function out of another toolchain, and to its English text, and away from
//! those of the other functions of the batch (InfoNCE, van den Oord et al.
//! 2018; CLAP's second stage, Wang et al. 2024, section 3), and of the
//! [`Bank`]; and, where the recipe asks for it, to what its file is about (see
//! [`crate::topics`]).
//!
//! The losses are those of the whole batch, and their gradients with regard to
//! the vectors are known before anything is propagated back into the encoders.
//! With cached gradients (GradCache, Gao et al. 2021, section 3) the vectors
//! are therefore made without a graph, and each rectangle of `micro_tokens`
//! goes through the encoder once more, with one: a batch of any size fits the
//! memory that one rectangle needs. Neither encoder has dropout, so both times
//! the same comes out. Several processes each do this for a part of the batch.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tch::{Kind, Tensor};

use crate::bank::Bank;
use crate::batches::{Batches, Traits};
use crate::dataset::{Dataset, Function, Split, rectangles};
use crate::encoder::{Batch, Encoder};
use crate::loss::{Comparison, Equals};
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;
use crate::recipe::{Recipe, Schedule};
use crate::stage::{Measures, Stage, generator};
use crate::text::TextEncoder;
use crate::topics::Topics;
use crate::validate::{Judge, Scores};
use crate::world::Group;
use crate::{Error, Result, files};

/// Scores are not sharpened beyond this, or single pairs rule the gradient
/// (Radford et al. 2021, section 2.5).
const SHARPEST: f64 = 100.0;
/// The batches of the current pass in a checkpoint, where they depend on more
/// than the seed.
const PLAN: &str = "plan.json";

pub(crate) struct ContrastStage<'a> {
    recipe: &'a Recipe,
    dataset: &'a Dataset,
    encoder: &'a Encoder,
    text: &'a mut TextEncoder,
    judge: Judge<'a>,
    scales: Parameters,
    optimizer: Optimizer,
    candidates: Vec<Candidate<'a>>,
    bank: Bank,
    topics: Option<Topics>,
    batches: Batches,
}

/// A function that can be learned from: it has as many different listings as
/// there are views, or more.
struct Candidate<'a> {
    function: &'a Function,
    listings: Vec<u32>,
}

impl Candidate<'_> {
    /// The text that stands for it in the bank.
    fn text(&self) -> &str {
        self.function
            .brief
            .as_deref()
            .unwrap_or(name_text(self.function))
    }
}

/// A batch: places of candidates, listings and a text of each.
struct Drawn<'a> {
    batch: Vec<usize>,
    views: Vec<Vec<u32>>,
    texts: Vec<&'a str>,
}

/// Numbers of name, source body and text of each candidate.
fn kinds(candidates: &[Candidate]) -> Vec<[i64; 3]> {
    let mut numbers: [HashMap<&str, i64>; 3] = Default::default();
    candidates
        .iter()
        .map(|candidate| {
            let function = candidate.function;
            let keys = [&function.name, &function.source_hash, candidate.text()];
            std::array::from_fn(|kind| {
                let next = numbers[kind].len() as i64;
                *numbers[kind].entry(keys[kind]).or_insert(next)
            })
        })
        .collect()
}

fn bank(candidates: &[Candidate], kinds: &[[i64; 3]], text: &mut TextEncoder) -> Result<Bank> {
    let texts: Vec<&str> = candidates.iter().map(Candidate::text).collect();
    Ok(Bank::of(text.embed_all(&texts)?, kinds))
}

impl<'a> ContrastStage<'a> {
    pub(crate) fn new(
        recipe: &'a Recipe,
        dataset: &'a Dataset,
        encoder: &'a Encoder,
        text: &'a mut TextEncoder,
    ) -> Result<ContrastStage<'a>> {
        let settings = &recipe.contrast;
        let candidates: Vec<Candidate<'a>> = dataset
            .functions()
            .iter()
            .filter(|function| function.split == Split::Train)
            .map(|function| Candidate {
                function,
                listings: dataset.listings_of(function, settings.min_instructions),
            })
            .filter(|candidate| candidate.listings.len() >= settings.views)
            .collect();
        if candidates.len() < 2 {
            return Err(Error::Corpus(
                "fewer than two training functions have as many listings as the recipe's views"
                    .to_owned(),
            ));
        }
        let texts: Vec<&str> = candidates
            .iter()
            .flat_map(|candidate| {
                [
                    candidate.function.comment.as_deref(),
                    candidate.function.brief.as_deref(),
                    Some(name_text(candidate.function)),
                    Some(candidate.function.calls.as_str()),
                ]
            })
            .flatten()
            .collect();
        text.remember(&texts)?;
        let kinds = kinds(&candidates);
        let mut bank = bank(&candidates, &kinds, text)?;
        if settings.hard_negatives > 0 {
            bank = bank.with_codes();
        }
        let topics = match settings.topic_weight {
            0.0 => None,
            _ => {
                let functions: Vec<&Function> = candidates.iter().map(|c| c.function).collect();
                Topics::of(&functions, text)?
            }
        };
        let traits = candidates
            .iter()
            .zip(&kinds)
            .map(|(candidate, &kinds)| Traits {
                kinds,
                listings: candidate.listings.clone(),
            })
            .collect();
        let batches = Batches::new(
            recipe.seed,
            settings.functions,
            settings.hard_negatives,
            traits,
        );
        let mut scales = Parameters::new(encoder.device(), 0);
        for name in ["code", "text"] {
            scales.constant(name, &[], -settings.temperature.ln());
        }
        let schedule = &settings.schedule;
        let (decay, muon) = (schedule.weight_decay, schedule.muon());
        let mut optimizer = Optimizer::new();
        optimizer.add("", encoder.parameters(), 1.0, decay, muon);
        optimizer.add("text.", text.parameters(), settings.text_rate, decay, false);
        optimizer.add("scale.", &scales, 1.0, 0.0, false);
        Ok(ContrastStage {
            judge: Judge::new(recipe, dataset),
            recipe,
            dataset,
            encoder,
            text,
            scales,
            optimizer,
            candidates,
            bank,
            topics,
            batches,
        })
    }

    /// How many functions are learned from, and how many of them have a
    /// comment.
    pub(crate) fn functions(&self) -> (usize, usize) {
        let documented = self
            .candidates
            .iter()
            .filter(|candidate| candidate.function.comment.is_some())
            .count();
        (self.candidates.len(), documented)
    }

    /// How many functions have a text of each origin.
    pub(crate) fn origins(&self) -> BTreeMap<String, usize> {
        let mut origins = BTreeMap::new();
        for origin in self.candidates.iter().flat_map(|c| &c.function.origin) {
            *origins.entry(origin.clone()).or_default() += 1;
        }
        origins
    }

    /// The temperature of the loss against texts.
    pub(crate) fn temperature(&self) -> f64 {
        (-self.scales.get("text").double_value(&[])).exp()
    }

    /// What step `step` learns from; the same in all processes.
    fn draw(&mut self, step: u64) -> Drawn<'a> {
        let mut random = generator(self.recipe.seed, Self::NAME, step);
        let batch = self.batches.batch(step, self.bank.codes());
        let (mut views, mut texts) = (Vec::new(), Vec::new());
        for &i in &batch {
            let Candidate { function, listings } = &self.candidates[i];
            let first = random.random_range(0..listings.len());
            let mut seen = vec![listings[first]];
            if self.recipe.contrast.views == 2 {
                let second = first + random.random_range(1..listings.len());
                seen.push(listings[second % listings.len()]);
            }
            views.push(seen);
            texts.push(self.text_of(function, &mut random));
        }
        Drawn {
            batch,
            views,
            texts,
        }
    }

    fn text_of(&self, function: &'a Function, random: &mut StdRng) -> &'a str {
        let settings = &self.recipe.contrast;
        let mut chance = |share: f64| random.random_bool(share);
        match (&function.comment, &function.brief) {
            (Some(comment), Some(brief)) if !chance(settings.name_share) => {
                match chance(settings.brief_share) {
                    true => brief,
                    false => comment,
                }
            }
            _ if chance(settings.calls_share) && !function.words.is_empty() => &function.calls,
            _ => name_text(function),
        }
    }

    fn scale(&self, name: &str) -> Tensor {
        self.scales.get(name).exp().clamp_max(SHARPEST)
    }
}

/// The text of a function without a comment.
fn name_text(function: &Function) -> &str {
    if function.words.is_empty() {
        &function.name
    } else {
        &function.words
    }
}

/// Listings of about the same length as one rectangle, and their places.
fn rectangle(
    encoder: &Encoder,
    dataset: &Dataset,
    listings: &[u32],
    max_tokens: usize,
    group: &[usize],
) -> Batch {
    let sequences: Vec<_> = group
        .iter()
        .map(|&i| dataset.tokens(listings[i], max_tokens))
        .collect();
    let pad = i64::from(encoder.config().pad_token_id);
    Batch::new(&sequences, pad, encoder.device())
}

fn groups(
    dataset: &Dataset,
    listings: &[u32],
    max_tokens: usize,
    micro_tokens: usize,
) -> Vec<Vec<usize>> {
    let lengths: Vec<usize> = listings
        .iter()
        .map(|&l| dataset.length(l).min(max_tokens))
        .collect();
    rectangles(&lengths, micro_tokens)
}

/// Vectors of listings, in their order. Inside, listings of about the same
/// length go through the encoder together.
pub(crate) fn embed_listings(
    encoder: &Encoder,
    dataset: &Dataset,
    listings: &[u32],
    max_tokens: usize,
    micro_tokens: usize,
) -> Tensor {
    if listings.is_empty() {
        let width = encoder.config().output_size as i64;
        return Tensor::zeros([0, width], (Kind::Float, encoder.device()));
    }
    let mut vectors = Vec::new();
    let mut place = vec![0i64; listings.len()];
    let mut position = 0;
    for group in groups(dataset, listings, max_tokens, micro_tokens) {
        let batch = rectangle(encoder, dataset, listings, max_tokens, &group);
        vectors.push(encoder.embed(&batch));
        for i in group {
            place[i] = position;
            position += 1;
        }
    }
    let place = Tensor::from_slice(&place).to_device(encoder.device());
    Tensor::cat(&vectors, 0).index_select(0, &place)
}

/// Adds the weights' gradients from those of the vectors that
/// [`embed_listings`] makes of the same listings, one rectangle after the
/// other.
fn backward_listings(
    encoder: &Encoder,
    dataset: &Dataset,
    listings: &[u32],
    max_tokens: usize,
    micro_tokens: usize,
    gradients: &Tensor,
) {
    for group in groups(dataset, listings, max_tokens, micro_tokens) {
        let batch = rectangle(encoder, dataset, listings, max_tokens, &group);
        let places: Vec<i64> = group.iter().map(|&i| i as i64).collect();
        let places = Tensor::from_slice(&places).to_device(encoder.device());
        backward(&encoder.embed(&batch), &gradients.index_select(0, &places));
    }
}

/// Propagates back from some values of which the gradients are known.
pub(crate) fn backward(values: &Tensor, gradients: &Tensor) {
    (values * gradients).sum(Kind::Float).backward();
}

impl Stage for ContrastStage<'_> {
    const NAME: &'static str = "contrast";
    const PARTS: [&'static str; 2] = ["builds", "text"];
    type Judgement = Scores;

    fn schedule(&self) -> &Schedule {
        &self.recipe.contrast.schedule
    }

    fn gradients(&mut self, step: u64, group: &Group) -> Result<Measures> {
        let settings = &self.recipe.contrast;
        let (max_tokens, micro_tokens) = (settings.max_tokens, self.recipe.micro_tokens);
        let Drawn {
            batch,
            views,
            texts,
        } = self.draw(step);
        let tokens = views
            .iter()
            .flatten()
            .map(|&l| self.dataset.length(l).min(max_tokens))
            .sum();
        let device = self.encoder.device();
        let places: Vec<i64> = batch.iter().map(|&i| i as i64).collect();
        let places = Tensor::from_slice(&places).to_device(device);

        let own = group.share(batch.len());
        let listings: Vec<u32> = views[own.clone()].concat();
        let own_texts = &texts[own.clone()];
        let (vectors, described) = {
            // Lives as long as nothing is to be remembered for the way back.
            let _cached = settings.cached_gradients.then(tch::no_grad_guard);
            (
                embed_listings(
                    self.encoder,
                    self.dataset,
                    &listings,
                    max_tokens,
                    micro_tokens,
                ),
                self.text.embed(own_texts)?,
            )
        };
        let width = vectors.size()[1];
        let shaped = vectors
            .detach()
            .view([own.len() as i64, settings.views as i64, width]);
        let comparison = Comparison {
            vectors: group.gather(&shaped, batch.len())?,
            texts: group.gather(&described.detach(), batch.len())?,
            equals: Equals::new(&texts, &views, device),
            bank: Some((&self.bank, places.shallow_clone())),
            topics: self.topics.as_ref().map(|all| (all, all.of_batch(&batch))),
            topic_weight: settings.topic_weight,
            text_weight: settings.text_weight,
            learn_texts: settings.text_trainable_layers > 0,
        };
        let scales = || [self.scale("code"), self.scale("text")];
        let lost = comparison.losses(group, &scales)?;
        let gradients = lost.vectors.reshape([-1, width]);
        match settings.cached_gradients {
            _ if own.is_empty() => {}
            true => {
                backward_listings(
                    self.encoder,
                    self.dataset,
                    &listings,
                    max_tokens,
                    micro_tokens,
                    &gradients,
                );
                if let Some(gradients) = &lost.texts {
                    self.text.backward(own_texts, gradients)?;
                }
            }
            false => {
                backward(&vectors, &gradients);
                if let Some(gradients) = &lost.texts {
                    backward(&described, gradients);
                }
            }
        }
        let Comparison { vectors, texts, .. } = comparison;
        self.bank.update(&places, &texts, &vectors);
        Ok(Measures {
            loss: lost.loss,
            parts: lost.parts,
            tokens,
        })
    }

    fn optimizer(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.encoder.save(&folder.join("encoder.safetensors"))?;
        self.scales.save(&folder.join("scales.safetensors"))?;
        self.text
            .parameters()
            .save(&folder.join("text.safetensors"))?;
        self.bank.save(folder)?;
        match self.recipe.contrast.hard_negatives {
            0 => Ok(()),
            _ => files::write_json(&folder.join(PLAN), &self.batches.plan),
        }
    }

    fn load(&mut self, folder: &Path) -> Result<()> {
        self.encoder
            .parameters()
            .load(&folder.join("encoder.safetensors"))?;
        self.scales.load(&folder.join("scales.safetensors"))?;
        self.text
            .parameters()
            .load(&folder.join("text.safetensors"))?;
        self.bank.load(folder)?;
        if self.recipe.contrast.hard_negatives > 0 {
            let path = folder.join(PLAN);
            let bytes = fs::read(&path).map_err(|error| Error::io(&path, error))?;
            self.batches.plan =
                serde_json::from_slice(&bytes).map_err(|error| Error::io(&path, error.into()))?;
        }
        Ok(())
    }

    fn share(&mut self, group: &Group) -> Result<()> {
        self.optimizer.share(group)?;
        self.bank.share(group)?;
        let fail = |error: serde_json::Error| Error::World(format!("batches: {error}"));
        let plan = serde_json::to_vec(&self.batches.plan).map_err(fail)?;
        let plan = group.broadcast(plan)?;
        self.batches.plan = serde_json::from_slice(&plan).map_err(fail)?;
        Ok(())
    }

    fn validate(&mut self) -> Result<Option<Scores>> {
        let max_tokens = self.recipe.contrast.max_tokens;
        self.judge
            .judge(self.encoder, self.text, max_tokens)
            .map(Some)
    }

    fn validate_every_seconds(&self) -> f64 {
        self.recipe.validation.minutes * 60.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::world::tests::together;
    use tch::Device;

    type Named = Vec<(String, Tensor)>;

    /// A recipe whose steps take several rectangles and train everything.
    fn recipe() -> Recipe {
        let text = include_str!("../../../recipes/tiny.toml");
        let mut recipe = Recipe::parse(text, false).unwrap();
        recipe.micro_tokens = 256;
        recipe.contrast.functions = 23;
        recipe.contrast.text_trainable_layers = 1;
        recipe.contrast.hard_negatives = 2;
        recipe
    }

    /// Hands a stage of this recipe, from its first weights, to `does`.
    fn with_stage<T>(recipe: &Recipe, does: impl FnOnce(&mut ContrastStage) -> T) -> T {
        let rows = testing::rows(60);
        let tokenizer = testing::tokenizer(&rows);
        let dataset = Dataset::from_rows(&rows, &tokenizer);
        let config = recipe.config(tokenizer.vocab_size(), tokenizer.instruction_base());
        let encoder = Encoder::new(config, 5, Device::Cpu, Kind::Float);
        let layers = recipe.contrast.text_trainable_layers;
        let folder = testing::minilm();
        let mut text = TextEncoder::load(&folder, layers, 16, Device::Cpu, Kind::Float).unwrap();
        let mut stage = ContrastStage::new(recipe, &dataset, &encoder, &mut text).unwrap();
        does(&mut stage)
    }

    fn gradients_of(stage: &ContrastStage) -> Named {
        let sets = [
            stage.encoder.parameters(),
            stage.text.parameters(),
            &stage.scales,
        ];
        sets.into_iter()
            .flat_map(Parameters::iter)
            .filter(|(_, tensor)| tensor.grad().defined())
            .map(|(name, tensor)| (name.to_owned(), tensor.grad().copy()))
            .collect()
    }

    /// Gradients after two steps without an update, so that the bank has
    /// changed, and the loss of the second.
    fn steps(recipe: &Recipe, group: &Group) -> (Named, f64) {
        with_stage(recipe, |stage| {
            stage.gradients(0, group).unwrap();
            let loss = stage.gradients(1, group).unwrap().loss;
            stage.optimizer.sum_gradients(group).unwrap();
            (gradients_of(stage), loss)
        })
    }

    /// The same in the plainest way: one graph from the weights to the loss.
    fn steps_in_one_graph(recipe: &Recipe) -> (Named, f64) {
        with_stage(recipe, |stage| {
            let mut loss = 0.0;
            for step in 0..2 {
                let drawn = stage.draw(step);
                let (n, tokens) = (drawn.batch.len(), recipe.contrast.max_tokens);
                let listings = drawn.views.concat();
                let vectors = embed_listings(stage.encoder, stage.dataset, &listings, tokens, 4096);
                let width = vectors.size()[1];
                let places: Vec<i64> = drawn.batch.iter().map(|&i| i as i64).collect();
                let places = Tensor::from_slice(&places);
                let whole = Comparison {
                    vectors: vectors.view([n as i64, -1, width]),
                    texts: stage.text.embed(&drawn.texts).unwrap(),
                    equals: Equals::new(&drawn.texts, &drawn.views, Device::Cpu),
                    bank: Some((&stage.bank, places.shallow_clone())),
                    topics: stage
                        .topics
                        .as_ref()
                        .map(|all| (all, all.of_batch(&drawn.batch))),
                    topic_weight: recipe.contrast.topic_weight,
                    text_weight: recipe.contrast.text_weight,
                    learn_texts: true,
                };
                let scales = [stage.scale("code"), stage.scale("text")];
                let (builds, text) = whole.share(&(0..n), &scales[0], &scales[1]);
                let sum = builds + text * recipe.contrast.text_weight;
                sum.backward();
                loss = sum.double_value(&[]);
                let Comparison { vectors, texts, .. } = whole;
                stage.bank.update(&places, &texts, &vectors);
            }
            (gradients_of(stage), loss)
        })
    }

    fn assert_same(what: &str, found: &(Named, f64), expected: &(Named, f64)) {
        assert!((found.1 - expected.1).abs() < 1e-5, "{what}: loss");
        let names = |named: &Named| -> Vec<String> { named.iter().map(|n| n.0.clone()).collect() };
        assert_eq!(names(&found.0), names(&expected.0), "{what}");
        for ((name, found), (_, expected)) in found.0.iter().zip(&expected.0) {
            let size = expected.norm().double_value(&[]);
            let apart = (found - expected).norm().double_value(&[]);
            // Some are nothing but rounding: a bias of keys changes no score.
            assert!(
                apart < 1e-4 * size + 1e-7,
                "{what}: {name}: {apart} of {size}"
            );
        }
    }

    #[test]
    fn cached_gradients_and_those_of_several_processes_are_those_of_one_graph() {
        for views in [2, 1] {
            let mut recipe = recipe();
            recipe.contrast.views = views;
            let expected = steps_in_one_graph(&recipe);
            let text = |(name, _): &(String, Tensor)| name.starts_with("encoder.layer.5");
            assert!(
                expected.0.iter().any(text),
                "no gradient of the text encoder"
            );
            assert_same("plain", &steps(&recipe, &Group::alone()), &expected);
            recipe.contrast.cached_gradients = true;
            assert_same("cached", &steps(&recipe, &Group::alone()), &expected);
            for (rank, found) in together(3, |group| steps(&recipe, group))
                .iter()
                .enumerate()
            {
                assert_same(&format!("process {rank} of 3"), found, &expected);
            }
        }
    }

    #[test]
    fn a_process_without_a_function_of_its_own_takes_part() {
        let mut recipe = recipe();
        recipe.contrast.functions = 3;
        let expected = steps(&recipe, &Group::alone());
        for found in together(4, |group| steps(&recipe, group)) {
            assert_same("four processes, three functions", &found, &expected);
        }
    }
}
