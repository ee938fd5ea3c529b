//! One ONNX graph, run by `rten`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use crate::onnx::without_attention_bias;
use crate::{Error, Result};

/// A sequence to embed: what the graph's inputs `input_ids` and, for assembly,
/// `instruction_ids` get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub(crate) ids: &'a [u32],
    pub(crate) instruction_ids: Option<&'a [u32]>,
}

pub(crate) struct Encoder {
    path: PathBuf,
    graph: rten::Model,
    input_ids: NodeId,
    instruction_ids: Option<NodeId>,
    attention_mask: NodeId,
    output: NodeId,
    width: usize,
}

impl Encoder {
    pub(crate) fn load(path: &Path, bytes: Vec<u8>, width: usize) -> Result<Encoder, String> {
        let unreadable = |e: &dyn std::fmt::Display| format!("not a readable ONNX model: {e}");
        let bytes = without_attention_bias(bytes).map_err(|e| unreadable(&e))?;
        let graph = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load(bytes)
            .map_err(|e| unreadable(&e))?;
        let node = |name: &str| {
            graph
                .find_node(name)
                .ok_or_else(|| format!("the graph has no {name}"))
        };
        let (input_ids, attention_mask) = (node("input_ids")?, node("attention_mask")?);
        let output = node("embedding")?;
        Ok(Encoder {
            path: path.to_owned(),
            instruction_ids: node("instruction_ids").ok(),
            graph,
            input_ids,
            attention_mask,
            output,
            width,
        })
    }

    /// Embeds one sequence on the calling thread.
    ///
    /// One at a time, so that no padding is computed and, in 8-bit graphs,
    /// whose activations share one scale a run, so that a vector does not
    /// depend on its neighbours.
    fn embed(&self, sequence: Sequence, pool: &Arc<ThreadPool>) -> Result<Vec<f32>> {
        let tokens = sequence.ids.len();
        let row = |ids: &[u32]| {
            let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
            NdTensor::from_data([1, tokens], ids)
        };
        let mut inputs: Vec<(NodeId, ValueOrView)> = vec![
            (self.input_ids, row(sequence.ids).into()),
            (
                self.attention_mask,
                NdTensor::full([1, tokens], 1i32).into(),
            ),
        ];
        if let (Some(node), Some(ids)) = (self.instruction_ids, sequence.instruction_ids) {
            inputs.push((node, row(ids).into()));
        }
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let failed = |reason: String| Error::Inference {
            path: self.path.clone(),
            reason,
        };
        let [vector] = self
            .graph
            .run_n(inputs, [self.output], Some(options))
            .map_err(|e| failed(e.to_string()))?;
        let vector: NdTensor<f32, 2> = vector
            .try_into()
            .map_err(|_| failed("the output is not a batch of vectors".to_owned()))?;
        if vector.shape() != [1, self.width] {
            return Err(failed(format!(
                "the output is {:?}, not {:?}",
                vector.shape(),
                [1, self.width]
            )));
        }
        Ok(vector.into_data())
    }

    /// Embeds sequences, in their order, one single-threaded run a pool.
    ///
    /// `progress` hears how many are done.
    pub(crate) fn embed_all(
        &self,
        sequences: &[Sequence],
        pools: &[Arc<ThreadPool>],
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Vec<f32>>> {
        // The longest first, so that no thread is left with one at the end.
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(sequences[*i].ids.len()));
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let (sender, receiver) = mpsc::channel();

        let mut vectors = vec![Vec::new(); sequences.len()];
        std::thread::scope(|scope| {
            for pool in &pools[..pools.len().min(sequences.len())] {
                let (sender, order, next, stop) = (sender.clone(), &order, &next, &stop);
                let work = move || {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(i) = order.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            break;
                        };
                        let vector = self.embed(sequences[*i], pool);
                        if sender.send((*i, vector)).is_err() {
                            break;
                        }
                    }
                };
                // Inside the pool, so that a run need not change threads.
                scope.spawn(move || pool.run(work));
            }
            drop(sender);
            let mut done = 0;
            for (i, vector) in receiver {
                match vector {
                    Ok(vector) => vectors[i] = vector,
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
                done += 1;
                progress(done);
            }
            Ok(())
        })?;
        Ok(vectors)
    }
}
