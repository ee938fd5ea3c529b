//! What files are about.
//!
//! A comment says what a step does, and hardly ever of which algorithm or
//! protocol it is a step: the author wrote that once, in the name of the file.
//! So a function is told apart by what its file is about, too (InfoNCE over the
//! files of all training functions), with the same vector that is compared with
//! its own text.

use std::collections::HashMap;

use tch::{Kind, Reduction, Tensor};

use crate::Result;
use crate::dataset::Function;
use crate::text::TextEncoder;

/// Of a function whose file tells nothing.
const NONE: i64 = -100;
/// Files of more functions are about too much: a whole library in one, say.
const MAX_FUNCTIONS: usize = 256;

#[derive(Debug)]
pub(crate) struct Topics {
    /// Of each topic as the text encoder was at the start, `[topics, width]`.
    vectors: Tensor,
    /// The topic of each candidate.
    of: Vec<i64>,
}

impl Topics {
    /// Of all candidates, in their order.
    pub(crate) fn of(functions: &[&Function], text: &mut TextEncoder) -> Result<Option<Topics>> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for function in functions {
            *counts.entry(&function.topic).or_default() += 1;
        }
        let mut numbers: HashMap<&str, i64> = HashMap::new();
        let mut topics: Vec<&str> = Vec::new();
        let of = functions
            .iter()
            .map(|function| {
                let topic = function.topic.as_str();
                if topic.is_empty() || counts[topic] > MAX_FUNCTIONS {
                    return NONE;
                }
                *numbers.entry(topic).or_insert_with(|| {
                    topics.push(topic);
                    topics.len() as i64 - 1
                })
            })
            .collect();
        if topics.len() < 2 {
            return Ok(None);
        }
        let vectors = text.embed_all(&topics)?;
        Ok(Some(Topics { vectors, of }))
    }

    /// The topics of some candidates, `[candidates]`.
    pub(crate) fn of_batch(&self, batch: &[usize]) -> Tensor {
        let of: Vec<i64> = batch.iter().map(|&i| self.of[i]).collect();
        Tensor::from_slice(&of).to_device(self.vectors.device())
    }

    /// The loss of vectors `[functions, views, width]` whose topics are `of`,
    /// summed over those that have one, by the number of `all` vectors.
    pub(crate) fn loss(&self, vectors: &Tensor, of: &Tensor, scale: &Tensor, all: i64) -> Tensor {
        let views = vectors.size()[1];
        let width = vectors.size()[2];
        let flat = vectors.reshape([-1, width]);
        let targets = of.repeat_interleave_self_int(views, 0, None);
        let logits = flat.matmul(&self.vectors.tr()) * scale;
        let sum = logits.cross_entropy_loss::<Tensor>(&targets, None, Reduction::Sum, NONE, 0.0);
        sum.to_kind(Kind::Float) / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::testing;
    use tch::Device;

    /// Functions of one file have one topic; one whose file tells nothing adds
    /// nothing; and the loss is lowest at the topic's own vector.
    #[test]
    fn functions_are_drawn_to_what_their_file_is_about() {
        let rows = testing::rows(12);
        let dataset = Dataset::from_rows(&rows, &testing::tokenizer(&rows));
        let functions: Vec<&Function> = dataset.functions().iter().collect();
        let folder = testing::minilm();
        let mut text = TextEncoder::load(&folder, 0, 16, Device::Cpu, Kind::Float).unwrap();
        let topics = Topics::of(&functions, &mut text).unwrap().unwrap();
        for (a, one) in functions.iter().enumerate() {
            assert_eq!(topics.of[a] == NONE, one.topic.is_empty());
            for (b, other) in functions.iter().enumerate() {
                assert_eq!(topics.of[a] == topics.of[b], one.topic == other.topic);
            }
        }
        let named = topics.of.iter().position(|&of| of != NONE).unwrap();
        let silent = topics.of.iter().position(|&of| of == NONE).unwrap();
        let own = topics.vectors.select(0, topics.of[named]);
        let loss = |vector: &Tensor, of: usize| {
            let scale = Tensor::from(10.0_f32);
            let vectors = vector.view([1, 1, -1]);
            topics
                .loss(&vectors, &topics.of_batch(&[of]), &scale, 1)
                .double_value(&[])
        };
        assert!(loss(&own, named) < loss(&-&own, named));
        assert_eq!(loss(&own, silent), 0.0);
    }
}
