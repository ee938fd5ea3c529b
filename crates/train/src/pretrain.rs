//! Stage 1: masked tokens and jump targets.
//!
//! 15 % of the tokens are to be predicted; of these 80 % are masked, 10 % are
//! replaced and 10 % left (Devlin et al. 2019). Jump targets are chosen more
//! often: predicting them is the second task of jTrans (Wang et al. 2022,
//! section 3.4) and of CLAP's first stage, and since a jump target and its
//! instruction share a vector it asks for the instruction's place.

use std::path::Path;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tch::{Kind, Tensor};

use crate::dataset::{Dataset, Split};
use crate::encoder::{Batch, Encoder};
use crate::optimizer::Optimizer;
use crate::plan::Passes;
use crate::recipe::{Recipe, Schedule};
use crate::stage::{Measures, Stage, generator};
use crate::validate::Scores;
use crate::world::Group;
use crate::{Error, Result};

/// Ids below are padding, unknown, mask and the mark of words.
const FIRST_ID: u16 = 4;
const MASK: u16 = 2;

pub(crate) struct PretrainStage<'a> {
    recipe: &'a Recipe,
    dataset: &'a Dataset,
    encoder: &'a Encoder,
    optimizer: Optimizer,
    listings: Vec<u32>,
    passes: Passes,
}

impl<'a> PretrainStage<'a> {
    pub(crate) fn new(
        recipe: &'a Recipe,
        dataset: &'a Dataset,
        encoder: &'a Encoder,
    ) -> Result<PretrainStage<'a>> {
        let listings = dataset.split_listings(Split::Train);
        if listings.is_empty() {
            return Err(Error::Corpus("no listing of a training package".to_owned()));
        }
        let schedule = &recipe.pretrain.schedule;
        let mut optimizer = Optimizer::new();
        optimizer.add(
            "",
            encoder.parameters(),
            1.0,
            schedule.weight_decay,
            schedule.muon(),
        );
        let lengths = listings
            .iter()
            .map(|&l| dataset.length(l).min(recipe.pretrain.max_tokens))
            .collect();
        let passes = Passes::new(
            recipe.seed,
            "pretrain order",
            lengths,
            recipe.micro_tokens,
            recipe.pretrain.batch_tokens,
        );
        Ok(PretrainStage {
            recipe,
            dataset,
            encoder,
            optimizer,
            listings,
            passes,
        })
    }

    /// Chooses the tokens of a sequence that are to be predicted, and hides
    /// them.
    fn hide(&self, ids: &[u16], random: &mut StdRng) -> (Vec<u16>, Vec<usize>) {
        let config = self.encoder.config();
        let jumps =
            config.instruction_base..config.instruction_base + config.max_instructions as u32;
        let mut hidden = ids.to_vec();
        let mut chosen = Vec::new();
        for (i, id) in hidden.iter_mut().enumerate() {
            let share = if jumps.contains(&u32::from(*id)) {
                self.recipe.pretrain.jump_mask
            } else {
                self.recipe.pretrain.mask
            };
            if !random.random_bool(share) {
                continue;
            }
            chosen.push(i);
            match random.random_range(0..10) {
                0 => {}
                1 => *id = random.random_range(FIRST_ID..config.vocab_size as u16),
                _ => *id = MASK,
            }
        }
        (hidden, chosen)
    }
}

/// A rectangle with what is to be predicted in it.
struct Task {
    batch: Batch,
    /// Cells of the rectangle, by rows.
    places: Vec<i64>,
    targets: Vec<i64>,
    /// 1 for jump targets.
    jumps: Vec<f32>,
}

impl Stage for PretrainStage<'_> {
    const NAME: &'static str = "pretrain";
    const PARTS: [&'static str; 2] = ["tokens", "jumps"];
    type Judgement = Scores;

    fn schedule(&self) -> &Schedule {
        &self.recipe.pretrain.schedule
    }

    fn gradients(&mut self, step: u64, group: &Group) -> Result<Measures> {
        let mut random = generator(self.recipe.seed, Self::NAME, step);
        let config = self.encoder.config();
        let base = i64::from(config.instruction_base);
        let jumps = base..base + config.max_instructions as i64;
        let (mut tokens, mut all, mut all_jumps) = (0, 0, 0);
        let mut tasks = Vec::new();
        for listings in self.passes.rectangles(step) {
            let sequences: Vec<_> = listings
                .iter()
                .map(|&i| self.listings[i])
                .map(|l| self.dataset.tokens(l, self.recipe.pretrain.max_tokens))
                .collect();
            // All processes hide the same tokens, and each learns from its rows.
            let own = group.share(sequences.len());
            let (mut places, mut targets) = (Vec::new(), Vec::new());
            let mut hidden = Vec::new();
            for (row, (ids, _)) in sequences.iter().enumerate() {
                let (ids_hidden, chosen) = self.hide(ids, &mut random);
                tokens += ids.len();
                all += chosen.len();
                let is_jump = |column: &&usize| jumps.contains(&i64::from(ids[**column]));
                all_jumps += chosen.iter().filter(is_jump).count();
                if !own.contains(&row) {
                    continue;
                }
                hidden.push(ids_hidden);
                for column in chosen {
                    places.push((row - own.start, column));
                    targets.push(i64::from(ids[column]));
                }
            }
            if targets.is_empty() {
                continue;
            }
            let hidden: Vec<_> = hidden
                .iter()
                .zip(&sequences[own])
                .map(|(ids, (_, instructions))| (&ids[..], *instructions))
                .collect();
            let jumps = targets
                .iter()
                .map(|t| f32::from(u8::from(jumps.contains(t))))
                .collect();
            let pad = i64::from(config.pad_token_id);
            let batch = Batch::new(&hidden, pad, self.encoder.device());
            let width = batch.ids.size()[1];
            let places = places
                .into_iter()
                .map(|(row, column)| row as i64 * width + column as i64)
                .collect();
            tasks.push(Task {
                batch,
                places,
                targets,
                jumps,
            });
        }
        let device = self.encoder.device();
        let (mut sum, mut jump_sum) = (0.0, 0.0);
        for task in &tasks {
            let hidden = self.encoder.hidden(&task.batch);
            let places = Tensor::from_slice(&task.places).to_device(device);
            let targets = Tensor::from_slice(&task.targets).to_device(device);
            let weights = Tensor::from_slice(&task.jumps).to_device(device);
            let chosen = hidden
                .reshape([-1, config.hidden_size as i64])
                .index_select(0, &places);
            let losses = self.encoder.predict(&chosen).cross_entropy_loss::<Tensor>(
                &targets,
                None,
                tch::Reduction::None,
                -100,
                0.0,
            );
            (losses.sum(Kind::Float) / all as f64).backward();
            let losses = losses.detach();
            sum += losses.sum(Kind::Double).double_value(&[]);
            jump_sum += (losses * weights).sum(Kind::Double).double_value(&[]);
        }
        let [sum, jump_sum] = group.sum_of([sum, jump_sum])?;
        let others = (all - all_jumps).max(1) as f64;
        Ok(Measures {
            loss: sum / all.max(1) as f64,
            parts: [
                (sum - jump_sum) / others,
                jump_sum / all_jumps.max(1) as f64,
            ],
            tokens,
        })
    }

    fn optimizer(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.encoder.save(&folder.join("encoder.safetensors"))
    }

    fn load(&mut self, folder: &Path) -> Result<()> {
        self.encoder
            .parameters()
            .load(&folder.join("encoder.safetensors"))
    }

    fn validate(&mut self) -> Result<Option<Scores>> {
        Ok(None)
    }

    fn validate_every_seconds(&self) -> f64 {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::world::tests::together;
    use tch::Device;

    #[test]
    fn several_processes_have_the_gradients_of_one() {
        let text = include_str!("../../../recipes/tiny.toml");
        let mut recipe = Recipe::parse(text, false).unwrap();
        recipe.pretrain.batch_tokens = 3 * recipe.micro_tokens;
        let gradients = |group: &Group| {
            let rows = testing::rows(40);
            let tokenizer = testing::tokenizer(&rows);
            let dataset = Dataset::from_rows(&rows, &tokenizer);
            let config = recipe.config(tokenizer.vocab_size(), tokenizer.instruction_base());
            let encoder = Encoder::new(config, 5, Device::Cpu, Kind::Float);
            let mut stage = PretrainStage::new(&recipe, &dataset, &encoder).unwrap();
            let measures = stage.gradients(1, group).unwrap();
            stage.optimizer.sum_gradients(group).unwrap();
            let gradients: Vec<(String, Tensor)> = encoder
                .parameters()
                .iter()
                .filter(|(_, tensor)| tensor.grad().defined())
                .map(|(name, tensor)| (name.to_owned(), tensor.grad().copy()))
                .collect();
            (measures, gradients)
        };
        let (alone, expected) = gradients(&Group::alone());
        for (measures, found) in together(3, gradients) {
            assert_eq!(measures.tokens, alone.tokens);
            assert!((measures.loss - alone.loss).abs() < 1e-5);
            assert!((measures.parts[1] - alone.parts[1]).abs() < 1e-5);
            assert_eq!(found.len(), expected.len());
            for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                let size = expected.norm().double_value(&[]);
                let apart = (found - expected).norm().double_value(&[]);
                assert!(apart < 1e-4 * size, "{name}: {apart} of {size}");
            }
        }
    }
}
