//! AdamW (Loshchilov and Hutter 2019), and Muon (Jordan et al. 2024) for the
//! matrices inside the layers: where there is time for a few hundred steps
//! only, orthogonalised updates get further in each. libtorch's own optimizers
//! cannot be saved through `tch`, and a run must be able to go on.

use std::path::Path;

use tch::{Kind, Tensor, no_grad};

use crate::parameters::{Parameters, write_tensors};
use crate::world::Group;
use crate::{Error, Result};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.98;
const EPSILON: f64 = 1e-8;
const MUON_MOMENTUM: f64 = 0.95;
/// Brings the size of a Muon update to that of Adam's, so that both share a
/// learning rate (Liu et al. 2025, "Muon is Scalable for LLM Training", eq. 4).
const MUON_SCALE: f64 = 0.2;

#[derive(Debug)]
struct Slot {
    name: String,
    weight: Tensor,
    /// First and second moments; Muon has one only.
    moments: Vec<Tensor>,
    /// How many square-ish matrices lie one below the other in the weight
    /// (query, key and value are three); 0 for Adam.
    blocks: i64,
    decay: f64,
    rate: f64,
}

/// The state of an optimizer over several sets of parameters.
#[derive(Debug)]
pub struct Optimizer {
    slots: Vec<Slot>,
    step: i32,
}

impl Optimizer {
    /// An optimizer of nothing; see [`Optimizer::add`].
    pub fn new() -> Optimizer {
        Optimizer {
            slots: Vec::new(),
            step: 0,
        }
    }

    /// Adds parameters. `rate` multiplies the learning rate of each step;
    /// `prefix` keeps names of different sets apart; `muon` uses Muon for the
    /// matrices of the layers.
    pub fn add(
        &mut self,
        prefix: &str,
        parameters: &Parameters,
        rate: f64,
        decay: f64,
        muon: bool,
    ) {
        for (name, weight) in parameters.iter() {
            let matrix = weight.dim() == 2;
            let blocks = match (muon && matrix && name.contains("layers."), name) {
                (false, _) => 0,
                (true, name) if name.ends_with(".qkv.weight") => 3,
                (true, name) if name.ends_with(".kv.weight") => 2,
                (true, _) => 1,
            };
            let moments = if blocks == 0 { 2 } else { 1 };
            self.slots.push(Slot {
                name: format!("{prefix}{name}"),
                weight: weight.shallow_clone(),
                moments: (0..moments).map(|_| weight.detach().zeros_like()).collect(),
                blocks,
                // Vectors are scales and shifts; the table's rows of rare
                // tokens would only fade.
                decay: if matrix && name != "embeddings.weight" {
                    decay
                } else {
                    0.0
                },
                rate,
            });
        }
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.weight.zero_grad();
        }
    }

    /// Clips the gradients to a common length of `clip`, takes one step, and
    /// returns the length that they had.
    pub fn step(&mut self, learning_rate: f64, clip: f64) -> f64 {
        no_grad(|| {
            let squares: Vec<Tensor> = self
                .slots
                .iter()
                .map(|slot| slot.weight.grad())
                .filter(Tensor::defined)
                .map(|gradient| gradient.square().sum(Kind::Float))
                .collect();
            if squares.is_empty() {
                return 0.0;
            }
            let length = Tensor::stack(&squares, 0)
                .sum(Kind::Double)
                .sqrt()
                .double_value(&[]);
            if !length.is_finite() {
                return length;
            }
            self.step += 1;
            let factor = (clip / (length + 1e-6)).min(1.0);
            for slot in &mut self.slots {
                let gradient = slot.weight.grad();
                if gradient.defined() {
                    slot.update(&(gradient * factor), learning_rate, self.step);
                }
            }
            length
        })
    }

    /// Adds up the gradients of all processes.
    pub(crate) fn sum_gradients(&mut self, group: &Group) -> Result<()> {
        if group.size() == 1 {
            return Ok(());
        }
        // A process may have no gradient of a weight, for want of data.
        let defined: Vec<f32> = self
            .slots
            .iter()
            .map(|slot| f32::from(u8::from(slot.weight.grad().defined())))
            .collect();
        let anywhere = Vec::<f32>::try_from(group.sum(&Tensor::from_slice(&defined))?)?;
        let learned: Vec<&Tensor> = self
            .slots
            .iter()
            .zip(anywhere)
            .filter(|(_, processes)| *processes > 0.0)
            .map(|(slot, _)| &slot.weight)
            .collect();
        if learned.is_empty() {
            return Ok(());
        }
        for weight in &learned {
            if !weight.grad().defined() {
                (*weight * weight.zeros_like()).sum(Kind::Float).backward();
            }
        }
        no_grad(|| {
            let own: Vec<Tensor> = learned.iter().map(|w| w.grad().flatten(0, -1)).collect();
            let all = group.sum(&Tensor::cat(&own, 0))?;
            let mut start = 0;
            for weight in &learned {
                let count = weight.numel() as i64;
                let sum = all.narrow(0, start, count).view_as(weight);
                weight.grad().copy_(&sum);
                start += count;
            }
            Ok(())
        })
    }

    /// Takes weights, moments and step count of process 0.
    pub(crate) fn share(&mut self, group: &Group) -> Result<()> {
        for slot in &self.slots {
            for tensor in std::iter::once(&slot.weight).chain(&slot.moments) {
                group.copy(tensor)?;
            }
        }
        let step = Tensor::from(i64::from(self.step));
        group.copy(&step)?;
        self.step = step.int64_value(&[]) as i32;
        Ok(())
    }

    /// Writes moments and step count.
    pub fn save(&self, path: &Path) -> Result<()> {
        let names: Vec<(String, Tensor)> = self
            .slots
            .iter()
            .flat_map(|slot| {
                let of = |(i, moment): (usize, &Tensor)| {
                    (
                        format!("{}.{i}", slot.name),
                        moment.to_device(tch::Device::Cpu),
                    )
                };
                slot.moments.iter().enumerate().map(of)
            })
            .chain(std::iter::once((
                "step".to_owned(),
                Tensor::from(i64::from(self.step)),
            )))
            .collect();
        let tensors: Vec<(&str, Tensor)> = names
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.shallow_clone()))
            .collect();
        write_tensors(path, &tensors)
    }

    /// Reads what [`Optimizer::save`] wrote.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let stored: std::collections::HashMap<String, Tensor> =
            Tensor::read_safetensors(path)?.into_iter().collect();
        let get = |name: &str| {
            stored.get(name).ok_or_else(|| Error::Weights {
                path: path.to_owned(),
                name: name.to_owned(),
            })
        };
        self.step = get("step")?.int64_value(&[]) as i32;
        for slot in &mut self.slots {
            for (i, moment) in slot.moments.iter_mut().enumerate() {
                moment.copy_(get(&format!("{}.{i}", slot.name))?);
            }
        }
        Ok(())
    }
}

impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer::new()
    }
}

impl Slot {
    fn update(&mut self, gradient: &Tensor, learning_rate: f64, step: i32) {
        let rate = learning_rate * self.rate;
        if self.decay > 0.0 {
            let _ = self.weight.g_mul_scalar_(1.0 - rate * self.decay);
        }
        if self.blocks > 0 {
            let momentum = &mut self.moments[0];
            let _ = momentum.g_mul_scalar_(MUON_MOMENTUM);
            let _ = momentum.g_add_(gradient);
            let ahead = gradient + &*momentum * MUON_MOMENTUM;
            for (block, mut weight) in ahead
                .chunk(self.blocks, 0)
                .iter()
                .zip(self.weight.chunk(self.blocks, 0))
            {
                let size = block.size();
                let scale = MUON_SCALE * (size[0].max(size[1]) as f64).sqrt();
                let _ = weight.g_add_(&(orthogonalize(block) * (-rate * scale)));
            }
            return;
        }
        let (first, second) = self.moments.split_at_mut(1);
        let (first, second) = (&mut first[0], &mut second[0]);
        let _ = first.lerp_(gradient, 1.0 - BETA1);
        let _ = second.g_mul_scalar_(BETA2);
        let _ = second.addcmul_(gradient, &(gradient * (1.0 - BETA2)));
        let correction = (1.0 - BETA2.powi(step)).sqrt();
        let denominator = second.sqrt() / correction + EPSILON;
        let factor = -rate / (1.0 - BETA1.powi(step));
        let _ = self.weight.addcdiv_(&(&*first * factor), &denominator);
    }
}

/// The nearest matrix whose singular values are all about one, by five steps
/// of the Newton-Schulz iteration with Jordan's coefficients, in bfloat16: about
/// one is good enough.
fn orthogonalize(matrix: &Tensor) -> Tensor {
    let size = matrix.size();
    let tall = size[0] > size[1];
    let mut x = if tall {
        matrix.tr()
    } else {
        matrix.shallow_clone()
    };
    x = (&x / (x.norm() + 1e-7)).to_kind(Kind::BFloat16);
    for _ in 0..5 {
        let a = x.matmul(&x.tr());
        let b = &a * -4.7750 + a.matmul(&a) * 2.0315;
        x = &x * 3.4445 + b.matmul(&x);
    }
    let x = x.to_kind(matrix.kind());
    if tall { x.tr() } else { x }
}
