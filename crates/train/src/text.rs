//! The text encoder: all-MiniLM-L6-v2, a BERT of six layers whose masked mean
//! is a sentence's vector (Reimers and Gurevych 2019). It plays the part that
//! a sentence transformer plays in CLAP. Its last layers may be trained.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use tch::{Device, Kind, Tensor, no_grad};
use tokenizers::Tokenizer;

use crate::contrast::backward;
use crate::encoder::normalize;
use crate::parameters::{Parameters, write_tensors};
use crate::{Error, Result};

const LAYERS: usize = 6;
const HIDDEN: i64 = 384;
const HEADS: i64 = 12;
const EPSILON: f64 = 1e-12;
/// The separator that ends a text.
const SEPARATOR: u32 = 102;
/// Texts that are encoded at once.
const CHUNK: usize = 64;

/// MiniLM with its first layers frozen.
#[derive(Debug)]
pub struct TextEncoder {
    tokenizer: Tokenizer,
    max_pieces: usize,
    trainable: usize,
    compute: Kind,
    device: Device,
    frozen: HashMap<String, Tensor>,
    parameters: Parameters,
    /// Hidden states below the trainable layers, `[pieces, hidden]` a text:
    /// they never change.
    below: HashMap<String, Tensor>,
}

impl TextEncoder {
    /// Reads `model.safetensors` and `tokenizer.json` from `folder`; the last
    /// `trainable` layers become parameters.
    pub fn load(
        folder: &Path,
        trainable: usize,
        max_pieces: usize,
        device: Device,
        compute: Kind,
    ) -> Result<TextEncoder> {
        if trainable > LAYERS {
            return Err(Error::Recipe(format!(
                "text_trainable_layers is {trainable}; the text encoder has {LAYERS}"
            )));
        }
        let tokenizer = |error: tokenizers::Error| Error::TextTokenizer(error.to_string());
        let mut tokens = Tokenizer::from_file(folder.join("tokenizer.json")).map_err(tokenizer)?;
        tokens.with_padding(None);
        tokens.with_truncation(None).map_err(tokenizer)?;
        let mut frozen = HashMap::new();
        let mut parameters = Parameters::new(device, 0);
        let mut stored = Tensor::read_safetensors(folder.join("model.safetensors"))?;
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        let first = LAYERS - trainable;
        for (name, tensor) in stored {
            let layer = name
                .strip_prefix("encoder.layer.")
                .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            if layer.is_some_and(|layer| layer >= first) {
                parameters.add(&name, tensor);
            } else {
                frozen.insert(name, tensor.to_device(device));
            }
        }
        Ok(TextEncoder {
            tokenizer: tokens,
            max_pieces,
            trainable,
            compute,
            device,
            frozen,
            parameters,
            below: HashMap::new(),
        })
    }

    /// The weights of the trainable layers; none if all are frozen.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Writes all weights under the names of Hugging Face's BERT.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(&str, Tensor)> = self
            .frozen
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.to_device(Device::Cpu)))
            .chain(
                self.parameters
                    .iter()
                    .map(|(name, tensor)| (name, tensor.detach().to_device(Device::Cpu))),
            )
            .collect();
        tensors.sort_by(|a, b| a.0.cmp(b.0));
        write_tensors(path, &tensors)
    }

    /// One unit vector a text, `[texts, 384]`, in `f32`; with gradients where
    /// layers are trainable.
    pub fn embed(&mut self, texts: &[&str]) -> Result<Tensor> {
        if texts.is_empty() {
            return Ok(Tensor::zeros([0, HIDDEN], (Kind::Float, self.device)));
        }
        self.remember(texts)?;
        if self.trainable == 0 {
            let below: Vec<&Tensor> = texts.iter().map(|text| &self.below[*text]).collect();
            return Ok(Tensor::cat(&below, 0));
        }
        let mut vectors: Vec<Tensor> = Vec::new();
        let order = self.order(texts);
        for chunk in order.chunks(CHUNK) {
            vectors.push(self.above(texts, chunk));
        }
        let mut place = vec![0i64; order.len()];
        for (position, &i) in order.iter().enumerate() {
            place[i] = position as i64;
        }
        let place = Tensor::from_slice(&place).to_device(self.device);
        Ok(Tensor::cat(&vectors, 0).index_select(0, &place))
    }

    /// The same of many texts, some at a time and without gradients.
    pub(crate) fn embed_all(&mut self, texts: &[&str]) -> Result<Tensor> {
        let vectors: Vec<Tensor> = texts
            .chunks(1024)
            .map(|some| no_grad(|| self.embed(some)))
            .collect::<Result<_>>()?;
        Ok(Tensor::cat(&vectors, 0))
    }

    /// Adds the gradients of the trainable layers from those of the vectors
    /// that [`TextEncoder::embed`] makes of the same texts, some texts at a
    /// time.
    pub(crate) fn backward(&mut self, texts: &[&str], gradients: &Tensor) -> Result<()> {
        self.remember(texts)?;
        for chunk in self.order(texts).chunks(CHUNK) {
            let places: Vec<i64> = chunk.iter().map(|&i| i as i64).collect();
            let places = Tensor::from_slice(&places).to_device(self.device);
            backward(
                &self.above(texts, chunk),
                &gradients.index_select(0, &places),
            );
        }
        Ok(())
    }

    /// Places of remembered texts, those of about the same length together.
    fn order(&self, texts: &[&str]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| self.below[texts[i]].size()[0]);
        order
    }

    /// Vectors of some of the texts, from the trainable layers on.
    fn above(&self, texts: &[&str], some: &[usize]) -> Tensor {
        let hidden: Vec<&Tensor> = some.iter().map(|&i| &self.below[texts[i]]).collect();
        let (hidden, mask) = pad(&hidden, self.device);
        let hidden = self.layers(hidden, &mask, LAYERS - self.trainable..LAYERS);
        pool(&hidden, &mask)
    }

    /// Encodes the texts that were never seen up to the trainable layers.
    ///
    /// The last bits of a result depend on what a text is encoded beside. A
    /// run that is to be repeated bit for bit therefore does this once for all
    /// its texts, before it starts.
    pub fn remember(&mut self, texts: &[&str]) -> Result<()> {
        let unseen: BTreeSet<&str> = texts
            .iter()
            .copied()
            .filter(|text| !self.below.contains_key(*text))
            .collect();
        let mut unseen: Vec<(&str, Vec<i64>)> = unseen
            .into_iter()
            .map(|text| Ok((text, self.pieces(text)?)))
            .collect::<Result<_>>()?;
        unseen.sort_by_key(|(_, pieces)| pieces.len());
        for chunk in unseen.chunks(CHUNK) {
            let states = no_grad(|| {
                let embedded: Vec<Tensor> = chunk
                    .iter()
                    .map(|(_, pieces)| self.embeddings(pieces))
                    .collect();
                let embedded: Vec<&Tensor> = embedded.iter().collect();
                let (hidden, mask) = pad(&embedded, self.device);
                let hidden = self.layers(hidden, &mask, 0..LAYERS - self.trainable);
                if self.trainable == 0 {
                    pool(&hidden, &mask).unsqueeze(1)
                } else {
                    hidden
                }
            });
            for (i, (text, pieces)) in chunk.iter().enumerate() {
                let state = states.get(i as i64);
                let length = (pieces.len() as i64).min(state.size()[0]);
                self.below
                    .insert((*text).to_owned(), state.narrow(0, 0, length).copy());
            }
        }
        Ok(())
    }

    fn pieces(&self, text: &str) -> Result<Vec<i64>> {
        let encoding = self
            .tokenizer
            .encode(text, true)
            .map_err(|error| Error::TextTokenizer(error.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > self.max_pieces {
            ids.truncate(self.max_pieces - 1);
            ids.push(SEPARATOR);
        }
        Ok(ids.into_iter().map(i64::from).collect())
    }

    fn embeddings(&self, pieces: &[i64]) -> Tensor {
        let ids = Tensor::from_slice(pieces).to_device(self.device);
        let words = self
            .get("embeddings.word_embeddings.weight")
            .index_select(0, &ids);
        let positions =
            self.get("embeddings.position_embeddings.weight")
                .narrow(0, 0, pieces.len() as i64);
        let kind = self
            .get("embeddings.token_type_embeddings.weight")
            .narrow(0, 0, 1);
        self.norm("embeddings", &(words + positions + kind))
            .to_kind(self.compute)
    }

    fn layers(&self, mut x: Tensor, mask: &Tensor, range: std::ops::Range<usize>) -> Tensor {
        let (b, t) = (x.size()[0], x.size()[1]);
        let bias = ((mask - 1.0) * 1e9)
            .view([b, 1, 1, t])
            .to_kind(self.compute);
        let split = |x: Tensor| x.view([b, t, HEADS, HIDDEN / HEADS]).transpose(1, 2);
        for i in range {
            let layer = format!("encoder.layer.{i}");
            let attended = Tensor::scaled_dot_product_attention(
                &split(self.linear(&format!("{layer}.attention.self.query"), &x)),
                &split(self.linear(&format!("{layer}.attention.self.key"), &x)),
                &split(self.linear(&format!("{layer}.attention.self.value"), &x)),
                Some(&bias),
                0.0,
                false,
                None,
                false,
            );
            let attended = attended.transpose(1, 2).reshape([b, t, HIDDEN]);
            let attended = self.linear(&format!("{layer}.attention.output.dense"), &attended);
            x = self.norm(&format!("{layer}.attention.output"), &(x + attended));
            let up = self
                .linear(&format!("{layer}.intermediate.dense"), &x)
                .gelu("none");
            let down = self.linear(&format!("{layer}.output.dense"), &up);
            x = self.norm(&format!("{layer}.output"), &(x + down));
        }
        x
    }

    fn get(&self, name: &str) -> &Tensor {
        self.frozen
            .get(name)
            .unwrap_or_else(|| self.parameters.get(name))
    }

    fn linear(&self, name: &str, x: &Tensor) -> Tensor {
        x.linear(
            &self.get(&format!("{name}.weight")).to_kind(self.compute),
            Some(self.get(&format!("{name}.bias")).to_kind(self.compute)),
        )
    }

    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        x.layer_norm(
            [HIDDEN],
            Some(self.get(&format!("{name}.LayerNorm.weight"))),
            Some(self.get(&format!("{name}.LayerNorm.bias"))),
            EPSILON,
            false,
        )
    }
}

/// Sequences of hidden states as one rectangle, with its mask in `f32`.
fn pad(sequences: &[&Tensor], device: Device) -> (Tensor, Tensor) {
    let lengths: Vec<i64> = sequences.iter().map(|s| s.size()[0]).collect();
    let lengths = Tensor::from_slice(&lengths).to_device(device);
    let hidden = Tensor::pad_sequence(sequences, true, 0.0, "right");
    let columns = Tensor::arange(hidden.size()[1], (Kind::Int64, device));
    let mask = columns
        .unsqueeze(0)
        .lt_tensor(&lengths.unsqueeze(1))
        .to_kind(Kind::Float);
    (hidden, mask)
}

fn pool(hidden: &Tensor, mask: &Tensor) -> Tensor {
    let share = (mask / mask.sum_dim_intlist(1, true, Kind::Float)).unsqueeze(1);
    normalize(&share.bmm(&hidden.to_kind(Kind::Float)).squeeze_dim(1))
}
