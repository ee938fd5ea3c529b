//! Named weights: their first values, their files, their gradients.

use std::collections::HashMap;
use std::path::Path;

use rand::RngExt as _;
use tch::{Device, Kind, Tensor, no_grad};

use crate::stage::generator;
use crate::{Error, Result};

/// Trainable `f32` tensors, kept in the order in which they were made.
#[derive(Debug)]
pub struct Parameters {
    device: Device,
    seed: u64,
    entries: Vec<(String, Tensor)>,
    places: HashMap<String, usize>,
}

impl Parameters {
    pub(crate) fn new(device: Device, seed: u64) -> Parameters {
        Parameters {
            device,
            seed,
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    pub(crate) fn add(&mut self, name: &str, value: Tensor) {
        let value = value.to_device(self.device).set_requires_grad(true);
        self.places.insert(name.to_owned(), self.entries.len());
        self.entries.push((name.to_owned(), value));
    }

    /// Drawn from a generator of the tensor's own, so that a seed gives the
    /// same weights on any device and whatever else draws numbers.
    pub(crate) fn random(&mut self, name: &str, shape: &[i64], std: f64) {
        let mut random = generator(self.seed, name, 0);
        let count: i64 = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                // Box and Muller; 1 - u is never 0.
                let (u, v): (f64, f64) = (random.random(), random.random());
                let length = (-2.0 * (1.0 - u).ln()).sqrt();
                (length * (std::f64::consts::TAU * v).cos() * std) as f32
            })
            .collect();
        self.add(name, Tensor::from_slice(&values).view(shape));
    }

    pub(crate) fn constant(&mut self, name: &str, shape: &[i64], value: f64) {
        let value = Tensor::full(shape, value, (Kind::Float, Device::Cpu));
        self.add(name, value);
    }

    pub(crate) fn linear(&mut self, name: &str, rows: i64, columns: i64, std: f64) {
        self.random(&format!("{name}.weight"), &[rows, columns], std);
        self.constant(&format!("{name}.bias"), &[rows], 0.0);
    }

    pub(crate) fn norm(&mut self, name: &str, size: i64) {
        self.constant(&format!("{name}.weight"), &[size], 1.0);
        self.constant(&format!("{name}.bias"), &[size], 0.0);
    }

    /// The tensor of that name.
    ///
    /// # Panics
    ///
    /// If there is none: names are fixed by the encoder's own code.
    pub fn get(&self, name: &str) -> &Tensor {
        match self.places.get(name) {
            Some(&place) => &self.entries[place].1,
            None => panic!("no parameter is called {name}"),
        }
    }

    /// Names and tensors, always in the same order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Fills every tensor from a safetensors file.
    pub fn load(&self, path: &Path) -> Result<()> {
        let mut stored: HashMap<String, Tensor> =
            Tensor::read_safetensors(path)?.into_iter().collect();
        for (name, tensor) in &self.entries {
            let value = stored
                .remove(name)
                .filter(|value| value.size() == tensor.size())
                .ok_or_else(|| Error::Weights {
                    path: path.to_owned(),
                    name: name.clone(),
                })?;
            no_grad(|| tensor.shallow_clone().copy_(&value));
        }
        Ok(())
    }

    /// Writes every tensor to a safetensors file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors: Vec<(&str, Tensor)> = self
            .iter()
            .map(|(name, tensor)| (name, tensor.detach().to_device(Device::Cpu)))
            .collect();
        write_tensors(path, &tensors)
    }
}

/// Writes a safetensors file under a temporary name and renames it.
pub(crate) fn write_tensors(path: &Path, tensors: &[(&str, Tensor)]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let contiguous: Vec<(&str, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| (*name, tensor.contiguous()))
        .collect();
    Tensor::write_safetensors(&contiguous, &temporary)?;
    std::fs::rename(&temporary, path).map_err(|error| Error::io(path, error))
}
