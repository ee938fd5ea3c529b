//! A sequence-to-sequence model that says in English what a function's source
//! does: CLAP's *shadow model* (Wang et al. 2024, section 3.1), which explains
//! what the teacher was not paid to explain. There it is a fine-tuned LLaMA,
//! here a small encoder and decoder with a copy mechanism, trained by
//! `binscribe-train recipes/shadow.toml`.

mod beam;
mod config;
mod tokenizer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

pub use config::Seq2SeqConfig;
pub use tokenizer::{END, FIRST_SENTINEL, PAD, PieceTokenizer, SENTINELS, START, source_words};

use crate::export::Precision;
use crate::{Error, Result};

/// Longest text that is returned, in characters.
const MAX_TEXT: usize = 1024;

/// How texts are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoding {
    /// Hypotheses that are kept; 1 is greedy.
    pub beams: usize,
    /// A finished hypothesis is worth its log-probability divided by its
    /// length to this power.
    pub length_penalty: f32,
    /// Tokens that are written at most.
    pub max_tokens: usize,
    /// No sequence of so many tokens is written twice; 0 allows it.
    pub no_repeat: usize,
}

impl Decoding {
    /// What a model directory asks for.
    pub fn of(config: &Seq2SeqConfig) -> Decoding {
        Decoding {
            beams: config.num_beams,
            length_penalty: config.length_penalty,
            max_tokens: config.max_target_tokens,
            no_repeat: config.no_repeat_ngram_size,
        }
    }
}

/// A directory with a sequence-to-sequence model, ready to write.
///
/// ```no_run
/// use binscribe_model::Seq2Seq;
/// let shadow = Seq2Seq::load("models/shadow".as_ref())?;
/// let texts = shadow.generate(&["int twice(int x) { return 2 * x; }"])?;
/// # Ok::<(), binscribe_model::Error>(())
/// ```
pub struct Seq2Seq {
    id: String,
    config: Seq2SeqConfig,
    tokenizer: PieceTokenizer,
    encoder: Graph<1, 3>,
    decoder: Graph<6, 5>,
    pools: Vec<Arc<ThreadPool>>,
}

impl std::fmt::Debug for Seq2Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seq2Seq")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What the decoder needs of a source.
struct Memory {
    ids: Vec<u32>,
    keys: Value,
    values: Value,
    copy_keys: Value,
}

/// Keys and values of what hypotheses have written, `[hypotheses,
/// layers * heads, tokens, head]`.
struct Past {
    keys: NdTensor<f32, 4>,
    values: NdTensor<f32, 4>,
}

impl Past {
    /// The hypotheses at these places, in this order.
    fn select(&self, places: &[usize]) -> Past {
        let pick = |tensor: &NdTensor<f32, 4>| {
            let [_, lanes, tokens, head] = tensor.shape();
            let row = lanes * tokens * head;
            let data = tensor.to_vec();
            let mut rows = Vec::with_capacity(places.len() * row);
            for &place in places {
                rows.extend_from_slice(&data[place * row..(place + 1) * row]);
            }
            NdTensor::from_data([places.len(), lanes, tokens, head], rows)
        };
        Past {
            keys: pick(&self.keys),
            values: pick(&self.values),
        }
    }
}

impl Seq2Seq {
    /// Loads a model directory, the 8-bit graphs where there are both.
    pub fn load(dir: &Path) -> Result<Seq2Seq> {
        let precision = match graph_path(dir, "decoder", Precision::Int8).exists() {
            true => Precision::Int8,
            false => Precision::Float,
        };
        Seq2Seq::load_with(dir, precision)
    }

    /// Loads the graphs of one precision.
    pub fn load_with(dir: &Path, precision: Precision) -> Result<Seq2Seq> {
        let config = Seq2SeqConfig::from_file(&dir.join("config.json"))?;
        let mut hasher = blake3::Hasher::new();
        let mut read = |path: &Path| -> Result<Vec<u8>> {
            let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
            Ok(bytes)
        };
        // What is cut off and how it searches changes the texts too.
        read(&dir.join("config.json"))?;
        let path = dir.join("tokenizer.json");
        let tokenizer = PieceTokenizer::from_bytes(&read(&path)?)
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;
        if tokenizer.vocab_size() > config.vocab_size {
            let reason = format!(
                "its {} entries are more than the {} of config.json",
                tokenizer.vocab_size(),
                config.vocab_size
            );
            return Err(Error::bad_file(path, reason));
        }
        let path = graph_path(dir, "encoder", precision);
        let encoder = Graph::load(
            &path,
            read(&path)?,
            ["input_ids"],
            ["cross_keys", "cross_values", "copy_keys"],
        )?;
        let path = graph_path(dir, "decoder", precision);
        let inputs = [
            "input_ids",
            "past_keys",
            "past_values",
            "cross_keys",
            "cross_values",
            "copy_keys",
        ];
        let outputs = ["logits", "copy", "gate", "keys", "values"];
        let decoder = Graph::load(&path, read(&path)?, inputs, outputs)?;
        let model = Seq2Seq {
            id: hasher.finalize().to_hex()[..16].to_owned(),
            config,
            tokenizer,
            encoder,
            decoder,
            pools: Vec::new(),
        };
        Ok(model.with_threads(crate::cores()))
    }

    /// Runs on so many threads, not on one a core.
    pub fn with_threads(mut self, threads: usize) -> Seq2Seq {
        self.pools = crate::thread_pools(threads);
        self
    }

    /// Which model wrote a text: a hash of graphs, tokenizer and configuration.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its shape.
    pub fn config(&self) -> &Seq2SeqConfig {
        &self.config
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &PieceTokenizer {
        &self.tokenizer
    }

    /// One line of English for each source of a function, as the model
    /// directory asks for it. The lines are bounded and hold no control
    /// characters, but what they say is the model's and may be wrong.
    pub fn generate(&self, sources: &[&str]) -> Result<Vec<String>> {
        self.generate_with(sources, &Decoding::of(&self.config), &|_| ())
    }

    /// [`Seq2Seq::generate`] with a search of one's own; `progress` hears how
    /// many are done.
    pub fn generate_with(
        &self,
        sources: &[&str],
        decoding: &Decoding,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<String>> {
        let decoding = Decoding {
            // What the table of positions in the graph has rows for.
            max_tokens: decoding.max_tokens.min(self.config.max_target_tokens),
            beams: decoding.beams.max(1),
            ..decoding.clone()
        };
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = |pool: &Arc<ThreadPool>| -> Result<Vec<(usize, String)>> {
            let mut texts = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(source) = sources.get(i) else { break };
                let text = self.write(source, &decoding, pool).inspect_err(|_| {
                    failed.store(true, Ordering::Relaxed);
                })?;
                texts.push((i, text));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Ok(texts)
        };
        let mut texts = vec![String::new(); sources.len()];
        std::thread::scope(|scope| -> Result<()> {
            let threads: Vec<_> = self.pools[..self.pools.len().min(sources.len())]
                .iter()
                // Inside the pool, so that a run need not change threads.
                .map(|pool| {
                    let work = &work;
                    scope.spawn(move || pool.run(|| work(pool)))
                })
                .collect();
            for thread in threads {
                let written = thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                for (i, text) in written {
                    texts[i] = text;
                }
            }
            Ok(())
        })?;
        Ok(texts)
    }

    fn write(&self, source: &str, decoding: &Decoding, pool: &Arc<ThreadPool>) -> Result<String> {
        let ids = self
            .tokenizer
            .encode_source(source, self.config.max_source_tokens);
        let memory = self.read(ids, pool)?;
        let target = beam::search(decoding, self.past(), |tokens, past| {
            self.step(&memory, tokens, past, pool)
        })?;
        let text = self.tokenizer.decode(&target);
        Ok(crate::text::shorten(&text, MAX_TEXT))
    }

    /// The log-probability of every vocabulary entry at every place of a
    /// target, where its own tokens stand before.
    pub fn log_probabilities(&self, source: &[u32], target: &[u32]) -> Result<Vec<Vec<f32>>> {
        let pool = &self.pools[0];
        let memory = self.read(source.to_vec(), pool)?;
        let mut past = self.past();
        let mut rows = Vec::new();
        for i in 0..target.len().min(self.config.max_target_tokens) {
            let before = i.checked_sub(1).map_or(START, |i| target[i]);
            let (mut row, next) = self.step(&memory, &[before], past, pool)?;
            rows.append(&mut row);
            past = next;
        }
        Ok(rows)
    }

    fn past(&self) -> Past {
        let lanes = self.config.decoder_layers * self.config.num_attention_heads;
        let none = || NdTensor::zeros([1, lanes, 0, self.config.head_size()]);
        Past {
            keys: none(),
            values: none(),
        }
    }

    fn read(&self, ids: Vec<u32>, pool: &Arc<ThreadPool>) -> Result<Memory> {
        let row: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let row = NdTensor::from_data([1, ids.len()], row);
        let [keys, values, copy_keys] = self.encoder.run([row.into()], pool)?;
        Ok(Memory {
            ids,
            keys,
            values,
            copy_keys,
        })
    }

    /// What may follow the last tokens of some hypotheses: log-probabilities,
    /// a row a hypothesis, and the past that has those tokens in it.
    ///
    /// A token is written from the vocabulary or copied from the source, with
    /// the gate's share for each (See et al. 2017, section 2.2).
    fn step(
        &self,
        memory: &Memory,
        tokens: &[u32],
        past: Past,
        pool: &Arc<ThreadPool>,
    ) -> Result<(Vec<Vec<f32>>, Past)> {
        let last: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        let last = NdTensor::from_data([tokens.len(), 1], last);
        let inputs: [ValueOrView; 6] = [
            last.into(),
            past.keys.into(),
            past.values.into(),
            (&memory.keys).into(),
            (&memory.values).into(),
            (&memory.copy_keys).into(),
        ];
        let [logits, copy, gate, keys, values] = self.decoder.run(inputs, pool)?;
        let (logits, copy, gate) = (
            self.decoder.rows(logits)?,
            self.decoder.rows(copy)?,
            self.decoder.rows(gate)?,
        );
        let mut rows = Vec::with_capacity(tokens.len());
        for ((logits, copy), gate) in logits.iter().zip(&copy).zip(&gate) {
            rows.push(mix(logits, copy, gate[0], &memory.ids));
        }
        let past = Past {
            keys: self.decoder.lanes(keys)?,
            values: self.decoder.lanes(values)?,
        };
        Ok((rows, past))
    }
}

/// Logarithms of `gate * softmax(logits)` plus, for each token of the source,
/// `(1 - gate)` times its share in `copy`.
fn mix(logits: &[f32], copy: &[f32], gate: f32, source: &[u32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut row: Vec<f32> = logits.iter().map(|x| (x - most).exp()).collect();
    let sum: f32 = row.iter().sum();
    for x in &mut row {
        *x *= gate / sum;
    }
    for (share, &id) in copy.iter().zip(source) {
        if let Some(x) = row.get_mut(id as usize) {
            *x += (1.0 - gate) * share;
        }
    }
    for x in &mut row {
        *x = (*x + SMALLEST).ln();
    }
    row
}

/// Keeps the logarithm of a probability finite, here and in training.
pub const SMALLEST: f32 = 1e-9;

fn graph_path(dir: &Path, stem: &str, precision: Precision) -> PathBuf {
    dir.join(match precision {
        Precision::Float => format!("{stem}.onnx"),
        Precision::Int8 => format!("{stem}.int8.onnx"),
    })
}

/// A graph with its inputs and outputs found.
struct Graph<const I: usize, const O: usize> {
    path: PathBuf,
    model: rten::Model,
    inputs: [NodeId; I],
    outputs: [NodeId; O],
}

impl<const I: usize, const O: usize> Graph<I, O> {
    fn load(path: &Path, bytes: Vec<u8>, inputs: [&str; I], outputs: [&str; O]) -> Result<Self> {
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load(bytes)
            .map_err(|e| Error::bad_file(path, format!("not a readable ONNX model: {e}")))?;
        let node = |name: &str| {
            model
                .find_node(name)
                .ok_or_else(|| Error::bad_file(path, format!("the graph has no {name}")))
        };
        let mut all = Vec::with_capacity(I + O);
        for name in inputs.iter().chain(&outputs) {
            all.push(node(name)?);
        }
        Ok(Graph {
            path: path.to_owned(),
            inputs: std::array::from_fn(|i| all[i]),
            outputs: std::array::from_fn(|i| all[I + i]),
            model,
        })
    }

    fn run(&self, inputs: [ValueOrView; I], pool: &Arc<ThreadPool>) -> Result<[Value; O]> {
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let inputs = self.inputs.into_iter().zip(inputs).collect();
        self.model
            .run_n(inputs, self.outputs, Some(options))
            .map_err(|e| self.failed(e.to_string()))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Inference {
            path: self.path.clone(),
            reason,
        }
    }

    fn floats(&self, value: Value) -> Result<Tensor<f32>> {
        value
            .try_into()
            .map_err(|_| self.failed("an output is not of floats".to_owned()))
    }

    /// A matrix as its rows.
    fn rows(&self, value: Value) -> Result<Vec<Vec<f32>>> {
        let tensor = self.floats(value)?;
        match *tensor.shape() {
            [_, width] if width > 0 => {
                Ok(tensor.to_vec().chunks(width).map(<[f32]>::to_vec).collect())
            }
            _ => Err(self.failed(format!("an output is {:?}, no matrix", tensor.shape()))),
        }
    }

    fn lanes(&self, value: Value) -> Result<NdTensor<f32, 4>> {
        let tensor = self.floats(value)?;
        let shape = format!("an output is {:?}, no keys or values", tensor.shape());
        tensor.try_into().map_err(|_| self.failed(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_adds_to_what_is_written() {
        let row = mix(&[0.0, 0.0], &[0.25, 0.75], 0.5, &[1, 1]);
        let p: Vec<f32> = row.iter().map(|x| x.exp()).collect();
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.75).abs() < 1e-6);
    }
}
