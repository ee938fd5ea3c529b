//! The memory bank: the last vectors of all training functions (Wu et al.
//! 2018). A batch that two cores can afford has few counterexamples. A function
//! is therefore told apart from the texts of *all* training functions; those
//! outside the batch are from when they were last computed, which is not long
//! ago for a text encoder that changes slowly or not at all.

use std::collections::HashMap;
use std::path::Path;

use tch::{Kind, Tensor, no_grad};

use crate::encoder::normalize;
use crate::loss::EXCLUDED;
use crate::parameters::write_tensors;
use crate::world::Group;
use crate::{Error, Result};

/// The bank's file in a checkpoint.
const FILE: &str = "bank.safetensors";

#[derive(Debug)]
pub(crate) struct Bank {
    /// Of one text of each candidate, `[candidates, width]`, in `f32`.
    vectors: Tensor,
    /// Of the listings of each that were last seen, their mean; zeros before
    /// the first time. Kept only for hard negatives.
    codes: Option<Tensor>,
    /// Numbers of name, source body and text of each candidate,
    /// `[3, candidates]`: where one of them is equal, it is no counterexample.
    kinds: Tensor,
}

impl Bank {
    /// A bank of these vectors of texts.
    pub(crate) fn of(vectors: Tensor, kinds: &[[i64; 3]]) -> Bank {
        let kinds = Tensor::from_slice(kinds.as_flattened())
            .view([kinds.len() as i64, 3])
            .tr()
            .contiguous()
            .to_device(vectors.device());
        Bank {
            vectors,
            codes: None,
            kinds,
        }
    }

    /// Keeps the vectors of listings, too.
    pub(crate) fn with_codes(mut self) -> Bank {
        self.codes = Some(self.vectors.zeros_like());
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.vectors.size()[0] as usize
    }

    pub(crate) fn vectors(&self) -> &Tensor {
        &self.vectors
    }

    pub(crate) fn codes(&self) -> Option<&Tensor> {
        self.codes.as_ref()
    }

    /// What to add to the scores of `batch` against the bank:
    /// `[batch, candidates]`, [`EXCLUDED`] where they are no counterexamples.
    pub(crate) fn exclusions(&self, batch: &Tensor) -> Tensor {
        let some = self.kinds.index_select(1, batch).unsqueeze(2);
        let equal = some.eq_tensor(&self.kinds.unsqueeze(1)).any_dim(0, false);
        equal.to_kind(Kind::Float) * f64::from(EXCLUDED)
    }

    /// Keeps the vectors of a batch: texts, and listings as
    /// `[batch, views, width]`.
    pub(crate) fn update(&mut self, batch: &Tensor, texts: &Tensor, listings: &Tensor) {
        no_grad(|| {
            let _ = self.vectors.index_copy_(0, batch, &texts.detach());
            if let Some(codes) = &mut self.codes {
                let mean = listings.mean_dim([1i64].as_slice(), false, Kind::Float);
                let _ = codes.index_copy_(0, batch, &normalize(&mean));
            }
        });
    }

    fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let codes = self.codes.iter().map(|codes| ("codes", codes));
        std::iter::once(("bank", &self.vectors))
            .chain(codes)
            .collect()
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let tensors: Vec<(&str, Tensor)> = self
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_device(tch::Device::Cpu)))
            .collect();
        write_tensors(&folder.join(FILE), &tensors)
    }

    pub(crate) fn load(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let stored: HashMap<String, Tensor> =
            Tensor::read_safetensors(&path)?.into_iter().collect();
        for (name, tensor) in self.tensors() {
            let value = stored
                .get(name)
                .filter(|value| value.size() == tensor.size())
                .ok_or_else(|| Error::Weights {
                    path: path.clone(),
                    name: name.to_owned(),
                })?;
            no_grad(|| tensor.shallow_clone().copy_(value));
        }
        Ok(())
    }

    /// Takes what process 0 has.
    pub(crate) fn share(&self, group: &Group) -> Result<()> {
        self.tensors()
            .into_iter()
            .try_for_each(|(_, tensor)| group.copy(tensor))
    }
}
