//! Stage 2: contrast. A function's vector is drawn to that of the same
//! function out of another toolchain, and to its English text, and away from
//! those of the other functions of the batch (InfoNCE, van den Oord et al.
//! 2018; CLAP's second stage, Wang et al. 2024, section 3).
//!
//! A batch that two cores can afford has few counterexamples. A function is
//! therefore told apart from the texts of *all* training functions: the vectors
//! of those outside the batch are kept from when they were last computed (a
//! memory bank, Wu et al. 2018), which is not long ago for a text encoder that
//! changes slowly or not at all.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tch::{Device, Kind, Tensor, no_grad};

use crate::dataset::{Dataset, Function, Split, rectangles};
use crate::encoder::{Batch, Encoder};
use crate::optimizer::Optimizer;
use crate::parameters::{Parameters, write_tensors};
use crate::recipe::{Recipe, Schedule};
use crate::stage::{Measures, Stage, generator};
use crate::text::TextEncoder;
use crate::validate::{Judge, Scores};
use crate::{Error, Result};

/// Scores are not sharpened beyond this, or single pairs rule the gradient
/// (Radford et al. 2021, section 2.5).
const SHARPEST: f64 = 100.0;
/// Takes a pair that is equal out of the comparison.
const EXCLUDED: f32 = -1e9;
/// The bank's file in a checkpoint.
const BANK: &str = "bank.safetensors";

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
    plan: Plan,
}

/// The last vector of one text of each candidate.
struct Bank {
    /// `[candidates, width]`, in `f32`.
    vectors: Tensor,
    /// Numbers of name, source body and comment of each candidate,
    /// `[3, candidates]`: where one of them is equal, it is no counterexample.
    kinds: Tensor,
}

impl Bank {
    fn new(candidates: &[Candidate], text: &mut TextEncoder) -> Result<Bank> {
        let texts: Vec<&str> = candidates
            .iter()
            .map(|c| c.function.brief.as_deref().unwrap_or(name_text(c.function)))
            .collect();
        let mut vectors = Vec::new();
        for some in texts.chunks(1024) {
            vectors.push(no_grad(|| text.embed(some))?);
        }
        let vectors = Tensor::cat(&vectors, 0);
        let mut kinds = Vec::new();
        for kind in 0..3 {
            let mut numbers: HashMap<&str, i64> = HashMap::new();
            for (candidate, text) in candidates.iter().zip(&texts) {
                let key = match kind {
                    0 => &candidate.function.name,
                    1 => &candidate.function.source_hash,
                    _ => *text,
                };
                let next = numbers.len() as i64;
                kinds.push(*numbers.entry(key).or_insert(next));
            }
        }
        let kinds = Tensor::from_slice(&kinds)
            .view([3, candidates.len() as i64])
            .to_device(vectors.device());
        Ok(Bank { vectors, kinds })
    }

    /// What to add to the scores of `batch` against the bank:
    /// `[batch, candidates]`, [`EXCLUDED`] where they are no counterexamples.
    fn exclusions(&self, batch: &Tensor) -> Tensor {
        let some = self.kinds.index_select(1, batch).unsqueeze(2);
        let equal = some.eq_tensor(&self.kinds.unsqueeze(1)).any_dim(0, false);
        equal.to_kind(Kind::Float) * f64::from(EXCLUDED)
    }

    fn update(&mut self, batch: &Tensor, vectors: &Tensor) {
        let _ = self.vectors.index_copy_(0, batch, &vectors.detach());
    }
}

/// A function that can be learned from: it has two different listings or more.
struct Candidate<'a> {
    function: &'a Function,
    listings: Vec<u32>,
}

#[derive(Default)]
struct Plan {
    first_step: u64,
    epoch: u64,
    batches: Vec<Vec<usize>>,
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
            .filter(|candidate| candidate.listings.len() > 1)
            .collect();
        if candidates.len() < 2 {
            return Err(Error::Corpus(
                "fewer than two training functions were built in two ways".to_owned(),
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
        let bank = Bank::new(&candidates, text)?;
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
        let mut stage = ContrastStage {
            judge: Judge::new(recipe, dataset),
            recipe,
            dataset,
            encoder,
            text,
            scales,
            optimizer,
            candidates,
            bank,
            plan: Plan::default(),
        };
        stage.plan = stage.pass(0, 0);
        Ok(stage)
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

    /// The temperature of the loss against texts.
    pub(crate) fn temperature(&self) -> f64 {
        (-self.scales.get("text").double_value(&[])).exp()
    }

    /// One pass over the functions, in batches within which no name and no
    /// source body occurs twice: a copy is no counterexample.
    fn pass(&self, epoch: u64, first_step: u64) -> Plan {
        let mut random = generator(self.recipe.seed, "contrast order", epoch);
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.shuffle(&mut random);
        let mut waiting: VecDeque<usize> = order.into();
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let (mut names, mut sources) = (HashSet::new(), HashSet::new());
            let mut batch = Vec::new();
            let mut later = Vec::new();
            while batch.len() < self.recipe.contrast.functions {
                let Some(i) = waiting.pop_front() else { break };
                let function = self.candidates[i].function;
                if names.contains(&function.name) || sources.contains(&function.source_hash) {
                    later.push(i);
                    continue;
                }
                names.insert(&function.name);
                sources.insert(&function.source_hash);
                batch.push(i);
            }
            for i in later.into_iter().rev() {
                waiting.push_front(i);
            }
            // A short batch has few counterexamples; it is kept only where
            // there is nothing else.
            if batch.len() == self.recipe.contrast.functions || batches.is_empty() {
                batches.push(batch);
            }
        }
        Plan {
            first_step,
            epoch,
            batches,
        }
    }

    fn batch(&mut self, step: u64) -> Vec<usize> {
        loop {
            let place = (step - self.plan.first_step) as usize;
            if let Some(batch) = self.plan.batches.get(place) {
                return batch.clone();
            }
            let next = self.plan.first_step + self.plan.batches.len() as u64;
            self.plan = self.pass(self.plan.epoch + 1, next);
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

/// Vectors of listings, in their order. Inside, listings of about the same
/// length go through the encoder together.
pub(crate) fn embed_listings(
    encoder: &Encoder,
    dataset: &Dataset,
    listings: &[u32],
    max_tokens: usize,
    micro_tokens: usize,
) -> Tensor {
    let lengths: Vec<usize> = listings
        .iter()
        .map(|&l| dataset.length(l).min(max_tokens))
        .collect();
    let mut vectors = Vec::new();
    let mut place = vec![0i64; listings.len()];
    let mut position = 0;
    for group in rectangles(&lengths, micro_tokens) {
        let sequences: Vec<_> = group
            .iter()
            .map(|&i| dataset.tokens(listings[i], max_tokens))
            .collect();
        let pad = i64::from(encoder.config().pad_token_id);
        vectors.push(encoder.embed(&Batch::new(&sequences, pad, encoder.device())));
        for i in group {
            place[i] = position;
            position += 1;
        }
    }
    let place = Tensor::from_slice(&place).to_device(encoder.device());
    Tensor::cat(&vectors, 0).index_select(0, &place)
}

/// What to add to the scores of function i against function j: [`EXCLUDED`]
/// where they have a text or a listing in common and so are no counterexample.
fn exclusions(texts: &[&str], views: &[[u32; 2]], device: Device) -> Tensor {
    let n = texts.len();
    let mut cells = vec![0f32; n * n];
    let mut exclude = |group: &[usize]| {
        for &i in group {
            for &j in group {
                if i != j {
                    cells[i * n + j] = EXCLUDED;
                }
            }
        }
    };
    let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut by_listing: HashMap<u32, Vec<usize>> = HashMap::new();
    for (i, (text, view)) in texts.iter().zip(views).enumerate() {
        by_text.entry(text).or_default().push(i);
        for &listing in view {
            by_listing.entry(listing).or_default().push(i);
        }
    }
    by_text.values().for_each(|group| exclude(group));
    by_listing.values().for_each(|group| exclude(group));
    Tensor::from_slice(&cells)
        .view([n as i64, n as i64])
        .to_device(device)
}

/// InfoNCE between builds over both views at once, so that each vector has
/// 2n - 2 counterexamples (NT-Xent, Chen et al. 2020, section 2.1).
fn build_loss(vectors: &Tensor, scale: &Tensor, excluded: &Tensor) -> Tensor {
    let n = excluded.size()[0];
    let options = (Kind::Int64, vectors.device());
    let itself = Tensor::eye(2 * n, (Kind::Float, vectors.device())) * f64::from(EXCLUDED);
    let logits = vectors.matmul(&vectors.tr()) * scale + excluded.repeat([2, 2]) + itself;
    let target = Tensor::cat(
        &[
            Tensor::arange_start(n, 2 * n, options),
            Tensor::arange(n, options),
        ],
        0,
    );
    logits.cross_entropy_for_logits(&target)
}

/// InfoNCE between each view and the texts, both ways. A view is compared with
/// the `others` too: scores against the bank, `[2n, candidates]`, scaled.
fn text_loss(
    vectors: &Tensor,
    texts: &Tensor,
    scale: &Tensor,
    excluded: &Tensor,
    others: &Tensor,
) -> Tensor {
    let n = excluded.size()[0];
    let target = Tensor::arange(n, (Kind::Int64, vectors.device()));
    let one_view = |start: i64| {
        let logits = vectors.narrow(0, start, n).matmul(&texts.tr()) * scale + excluded;
        let with_others = Tensor::cat(&[&logits, &others.narrow(0, start, n)], 1);
        with_others.cross_entropy_for_logits(&target)
            + logits.tr().cross_entropy_for_logits(&target)
    };
    (one_view(0) + one_view(n)) / 4.0
}

impl Stage for ContrastStage<'_> {
    const NAME: &'static str = "contrast";
    const PARTS: [&'static str; 2] = ["builds", "text"];
    type Judgement = Scores;

    fn schedule(&self) -> &Schedule {
        &self.recipe.contrast.schedule
    }

    fn gradients(&mut self, step: u64) -> Result<Measures> {
        let mut random = generator(self.recipe.seed, Self::NAME, step);
        let settings = &self.recipe.contrast;
        let (mut views, mut texts) = (Vec::new(), Vec::new());
        let batch = self.batch(step);
        for &i in &batch {
            let Candidate { function, listings } = &self.candidates[i];
            let first = random.random_range(0..listings.len());
            let second = (first + random.random_range(1..listings.len())) % listings.len();
            views.push([listings[first], listings[second]]);
            texts.push(self.text_of(function, &mut random));
        }
        let listings: Vec<u32> = (0..2)
            .flat_map(|view| views.iter().map(move |pair| pair[view]))
            .collect();
        let tokens = listings
            .iter()
            .map(|&l| self.dataset.length(l).min(settings.max_tokens))
            .sum();
        let vectors = embed_listings(
            self.encoder,
            self.dataset,
            &listings,
            settings.max_tokens,
            self.recipe.micro_tokens,
        );
        let described = self.text.embed(&texts)?;
        let excluded = exclusions(&texts, &views, self.encoder.device());
        let builds = build_loss(&vectors, &self.scale("code"), &excluded);
        let scale = self.scale("text");
        let batch: Vec<i64> = batch.into_iter().map(|i| i as i64).collect();
        let batch = Tensor::from_slice(&batch).to_device(self.encoder.device());
        let others = vectors.matmul(&self.bank.vectors.tr()) * &scale
            + self.bank.exclusions(&batch).repeat([2, 1]);
        let text = text_loss(&vectors, &described, &scale, &excluded, &others);
        let loss = &builds + &text * settings.text_weight;
        loss.backward();
        self.bank.update(&batch, &described);
        Ok(Measures {
            loss: loss.double_value(&[]),
            parts: [builds.double_value(&[]), text.double_value(&[])],
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
        let bank = [("bank", self.bank.vectors.shallow_clone())];
        write_tensors(&folder.join(BANK), &bank)
    }

    fn load(&self, folder: &Path) -> Result<()> {
        self.encoder
            .parameters()
            .load(&folder.join("encoder.safetensors"))?;
        self.scales.load(&folder.join("scales.safetensors"))?;
        self.text
            .parameters()
            .load(&folder.join("text.safetensors"))?;
        let path = folder.join(BANK);
        let stored = Tensor::read_safetensors(&path)?;
        let shape = self.bank.vectors.size();
        match stored.iter().find(|(_, tensor)| tensor.size() == shape) {
            Some((_, tensor)) => {
                self.bank.vectors.shallow_clone().copy_(tensor);
                Ok(())
            }
            None => Err(Error::Weights {
                path,
                name: "bank".to_owned(),
            }),
        }
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

    #[test]
    fn equal_texts_and_listings_are_no_counterexamples() {
        let texts = ["a", "b", "a", "c"];
        let views = [[1, 2], [3, 4], [5, 6], [4, 7]];
        let excluded = exclusions(&texts, &views, Device::Cpu);
        let cell = |i, j| excluded.double_value(&[i, j]) < -1.0;
        assert!(cell(0, 2) && cell(2, 0) && cell(1, 3) && cell(3, 1));
        assert!(!cell(0, 0) && !cell(0, 1) && !cell(2, 3));
    }

    #[test]
    fn perfect_vectors_lose_nothing_and_equal_ones_lose_the_logarithm() {
        let n = 8;
        let options = (Kind::Float, Device::Cpu);
        let free = Tensor::zeros([n, n], options);
        let scale = Tensor::from(100f32);
        let eye = Tensor::eye(n, options);
        let views = Tensor::cat(&[&eye, &eye], 0);
        assert!(build_loss(&views, &scale, &free).double_value(&[]) < 1e-5);
        let none = Tensor::full([2 * n, 1], f64::from(EXCLUDED), options);
        assert!(text_loss(&views, &eye, &scale, &free, &none).double_value(&[]) < 1e-5);
        let same = Tensor::ones([2 * n, 4], options) / 2.0;
        let lost = build_loss(&same, &scale, &free).double_value(&[]);
        assert!((lost - ((2 * n - 1) as f64).ln()).abs() < 1e-3, "{lost}");
        let texts = same.narrow(0, 0, n);
        let lost = text_loss(&same, &texts, &scale, &free, &none).double_value(&[]);
        assert!((lost - (n as f64).ln()).abs() < 1e-3, "{lost}");
        // As many others that are just as near: one way has twice as many to choose from.
        let others = Tensor::full([2 * n, n], 100.0, options);
        let more = text_loss(&same, &texts, &scale, &free, &others).double_value(&[]);
        assert!((more - lost - 2f64.ln() / 2.0).abs() < 1e-3, "{more}");
    }
}
