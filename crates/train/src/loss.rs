//! The losses of a contrastive step, and their gradients with regard to the
//! vectors, block by block: the scores of a batch of 65,536 functions would
//! fill any memory at once.

use std::collections::HashMap;
use std::ops::Range;

use tch::{Device, Kind, Reduction, Tensor};

use crate::Result;
use crate::bank::Bank;
use crate::topics::Topics;
use crate::world::Group;

/// Takes a pair that is equal out of the comparison.
pub(crate) const EXCLUDED: f32 = -1e9;
/// Scores that are held at once; few in tests, so that they see several blocks.
const CELLS: usize = if cfg!(test) { 1 << 11 } else { 1 << 23 };

/// A batch as vectors, all processes' together.
pub(crate) struct Comparison<'a> {
    /// Of listings, `[functions, views, width]`.
    pub(crate) vectors: Tensor,
    /// Of texts, `[functions, width]`.
    pub(crate) texts: Tensor,
    /// What is equal in it.
    pub(crate) equals: Equals,
    /// The vectors of the other texts, and the places of the batch among them.
    pub(crate) bank: Option<(&'a Bank, Tensor)>,
    /// What files are about, and which of that each function's is.
    pub(crate) topics: Option<(&'a Topics, Tensor)>,
    /// Of topics beside texts.
    pub(crate) topic_weight: f64,
    pub(crate) text_weight: f64,
    /// Whether gradients with regard to texts are wanted.
    pub(crate) learn_texts: bool,
}

/// Losses, and their gradients with regard to this process's vectors.
pub(crate) struct Lost {
    pub(crate) loss: f64,
    /// Between builds, and against texts.
    pub(crate) parts: [f64; 2],
    pub(crate) vectors: Tensor,
    pub(crate) texts: Option<Tensor>,
}

/// Numbers of the texts and listings of a batch.
pub(crate) struct Equals {
    /// `[functions]`.
    texts: Tensor,
    /// `[functions, views]`.
    listings: Tensor,
}

impl Equals {
    /// `views` holds as many listings of each function.
    pub(crate) fn new(texts: &[&str], views: &[Vec<u32>], device: Device) -> Equals {
        let mut numbers: HashMap<&str, i64> = HashMap::new();
        let texts: Vec<i64> = texts
            .iter()
            .map(|text| {
                let next = numbers.len() as i64;
                *numbers.entry(text).or_insert(next)
            })
            .collect();
        let listings: Vec<i64> = views.iter().flatten().map(|&l| i64::from(l)).collect();
        Equals {
            listings: Tensor::from_slice(&listings)
                .view([texts.len() as i64, -1])
                .to_device(device),
            texts: Tensor::from_slice(&texts).to_device(device),
        }
    }

    /// What to add to the scores of some functions against all of the batch:
    /// [`EXCLUDED`] where they have a text or a listing in common and so are
    /// no counterexample.
    fn exclusions(&self, rows: &Range<usize>) -> Tensor {
        let (start, count) = (rows.start as i64, rows.len() as i64);
        let n = self.texts.size()[0];
        let texts = self.texts.narrow(0, start, count).unsqueeze(1);
        let mut equal = texts.eq_tensor(&self.texts.unsqueeze(0));
        let views = self.listings.size()[1];
        for one in 0..views {
            for other in 0..views {
                let some = self.listings.select(1, one).narrow(0, start, count);
                let all = self.listings.select(1, other);
                equal = equal.logical_or(&some.unsqueeze(1).eq_tensor(&all.unsqueeze(0)));
            }
        }
        let numbers = Tensor::arange(n, (Kind::Int64, equal.device()));
        let itself = numbers.narrow(0, start, count).unsqueeze(1);
        let others = itself.ne_tensor(&numbers.unsqueeze(0));
        equal.logical_and(&others).to_kind(Kind::Float) * f64::from(EXCLUDED)
    }
}

impl Comparison<'_> {
    fn shape(&self) -> (i64, i64, i64) {
        let size = self.vectors.size();
        (size[0], size[1], size[2])
    }

    /// The share of some functions in the losses between builds and against
    /// texts: over all functions, the shares add up to the losses.
    ///
    /// Between builds it is InfoNCE over both views at once, so that each
    /// vector has 2n - 2 counterexamples (NT-Xent, Chen et al. 2020, section
    /// 2.1). Against texts it goes both ways for each view; a view is compared
    /// with the texts of the bank, too.
    pub(crate) fn share(
        &self,
        rows: &Range<usize>,
        code_scale: &Tensor,
        text_scale: &Tensor,
    ) -> (Tensor, Tensor) {
        let (n, views, width) = self.shape();
        let (start, count) = (rows.start as i64, rows.len() as i64);
        let integers = (Kind::Int64, self.vectors.device());
        let excluded = self.equals.exclusions(rows);
        let some = self.vectors.narrow(0, start, count);
        let flat = some.reshape([count * views, width]);
        let of = |logits: &Tensor, target: &Tensor| {
            logits.cross_entropy_loss::<Tensor>(target, None, Reduction::Sum, -100, 0.0)
        };

        let builds = if views == 2 {
            let all = self.vectors.reshape([n * views, width]);
            let columns = Tensor::arange(n * views, integers);
            let own = columns.narrow(0, start * views, count * views);
            let itself = own.unsqueeze(1).eq_tensor(&columns.unsqueeze(0));
            let excluded = excluded
                .repeat_interleave_self_int(2, 0, None)
                .repeat_interleave_self_int(2, 1, None);
            let logits = flat.matmul(&all.tr()) * code_scale
                + excluded
                + itself.to_kind(Kind::Float) * f64::from(EXCLUDED);
            // The other view is the neighbour: an even number's is one more.
            of(&logits, &own.bitwise_xor(1)) / (n * views) as f64
        } else {
            Tensor::zeros([], (Kind::Float, self.vectors.device()))
        };

        let target = Tensor::arange(n, integers).narrow(0, start, count);
        let mut logits = flat.matmul(&self.texts.tr()) * text_scale
            + excluded.repeat_interleave_self_int(views, 0, None);
        if let Some((bank, places)) = &self.bank {
            let barred = bank.exclusions(&places.narrow(0, start, count));
            let others = flat.matmul(&bank.vectors().tr()) * text_scale
                + barred.repeat_interleave_self_int(views, 0, None);
            logits = Tensor::cat(&[logits, others], 1);
        }
        let both = target.repeat_interleave_self_int(views, 0, None);
        let mut ways = vec![of(&logits, &both)];
        let described = self.texts.narrow(0, start, count);
        for view in 0..views {
            let logits =
                described.matmul(&self.vectors.select(1, view).tr()) * text_scale + &excluded;
            ways.push(of(&logits, &target));
        }
        let mut text = Tensor::stack(&ways, 0).sum(Kind::Float) / (2 * n * views) as f64;
        if let Some((topics, of)) = &self.topics {
            let of = of.narrow(0, start, count);
            text += topics.loss(&some, &of, text_scale, n * views) * self.topic_weight;
        }
        (builds, text)
    }

    /// Losses and gradients, the latter for the rows of this process; those of
    /// the scales are left at the scales. Each process does its own rows.
    pub(crate) fn losses(&self, group: &Group, scales: &dyn Fn() -> [Tensor; 2]) -> Result<Lost> {
        let (n, views, _) = self.shape();
        let leaves = Comparison {
            vectors: self.vectors.detach().set_requires_grad(true),
            texts: self.texts.detach().set_requires_grad(self.learn_texts),
            equals: Equals {
                texts: self.equals.texts.shallow_clone(),
                listings: self.equals.listings.shallow_clone(),
            },
            bank: self
                .bank
                .as_ref()
                .map(|(bank, places)| (*bank, places.shallow_clone())),
            topics: self
                .topics
                .as_ref()
                .map(|(topics, of)| (*topics, of.shallow_clone())),
            topic_weight: self.topic_weight,
            text_weight: self.text_weight,
            learn_texts: self.learn_texts,
        };
        let others = self.bank.as_ref().map_or(0, |(bank, _)| bank.len());
        let width = (n * (2 * views + 2)) as usize + others;
        let block = (CELLS / (width * views as usize)).max(1);
        let own = group.share(n as usize);
        let mut parts = [0.0; 2];
        for start in own.clone().step_by(block) {
            let rows = start..(start + block).min(own.end);
            let [code, text] = scales();
            let (builds, texts) = leaves.share(&rows, &code, &text);
            (&builds + &texts * self.text_weight).backward();
            parts[0] += builds.double_value(&[]);
            parts[1] += texts.double_value(&[]);
        }
        let parts = group.sum_of(parts)?;
        let gradient = |leaf: &Tensor| -> Result<Tensor> {
            let found = leaf.grad();
            // A process without rows has no gradient to add.
            let found = if found.defined() {
                found
            } else {
                leaf.detach().zeros_like()
            };
            let all = group.sum(&found)?;
            Ok(all.narrow(0, own.start as i64, own.len() as i64))
        };
        Ok(Lost {
            loss: parts[0] + parts[1] * self.text_weight,
            parts,
            vectors: gradient(&leaves.vectors)?,
            texts: match self.learn_texts {
                true => Some(gradient(&leaves.texts)?),
                false => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(vectors: Tensor, texts: Tensor) -> Comparison<'static> {
        let n = vectors.size()[0] as u32;
        let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let views: Vec<Vec<u32>> = (0..n).map(|i| vec![2 * i, 2 * i + 1]).collect();
        Comparison {
            vectors,
            texts,
            equals: Equals::new(&names, &views, Device::Cpu),
            bank: None,
            topics: None,
            topic_weight: 0.0,
            text_weight: 1.0,
            learn_texts: false,
        }
    }

    #[test]
    fn equal_texts_and_listings_are_no_counterexamples() {
        let texts = ["a", "b", "a", "c"];
        let views = [[1, 2], [3, 4], [5, 6], [4, 7]].map(Vec::from);
        let excluded = Equals::new(&texts, &views, Device::Cpu).exclusions(&(0..4));
        let cell = |i, j| excluded.double_value(&[i, j]) < -1.0;
        assert!(cell(0, 2) && cell(2, 0) && cell(1, 3) && cell(3, 1));
        assert!(!cell(0, 0) && !cell(0, 1) && !cell(2, 3));
    }

    #[test]
    fn perfect_vectors_lose_nothing_and_equal_ones_lose_the_logarithm() {
        let n = 8;
        let options = (Kind::Float, Device::Cpu);
        let scale = Tensor::from(100f32);
        let lost = |views: Tensor, texts: Tensor| {
            let (builds, text) = comparison(views, texts).share(&(0..8), &scale, &scale);
            (builds.double_value(&[]), text.double_value(&[]))
        };
        let eye = Tensor::eye(n, options);
        let views = Tensor::stack(&[&eye, &eye], 1);
        let (builds, text) = lost(views, eye);
        assert!(builds < 1e-5 && text < 1e-5, "{builds} {text}");
        let same = Tensor::ones([n, 2, 4], options) / 2.0;
        let (builds, text) = lost(same.copy(), same.select(1, 0));
        assert!(
            (builds - ((2 * n - 1) as f64).ln()).abs() < 1e-3,
            "{builds}"
        );
        assert!((text - (n as f64).ln()).abs() < 1e-3, "{text}");
        // With as many others that are just as near, one way has twice as many
        // to choose from.
        let mut with_others = comparison(same.copy(), same.select(1, 0));
        let numbers: Vec<[i64; 3]> = (0..2 * n).map(|i| [i; 3]).collect();
        let texts = Tensor::cat(&[same.select(1, 0), same.select(1, 0)], 0);
        let bank = Bank::of(texts, &numbers);
        with_others.bank = Some((&bank, Tensor::arange(n, (Kind::Int64, Device::Cpu))));
        let (_, more) = with_others.share(&(0..8), &scale, &scale);
        let more = more.double_value(&[]);
        // Of the bank, the seven others of the batch and eight strangers.
        let expected = ((3 * n - 1) as f64).ln() / 2.0 + (n as f64).ln() / 2.0;
        assert!((more - expected).abs() < 1e-3, "{more} {expected}");
    }
}
