//! The weights of a run, or of a model directory: read back out of its graph, so
//! that training can go on from a model of which nothing else is left.

use std::path::Path;

use super::{Precision, Weights, read, transposed};
use crate::model::graph_path;
use crate::onnx::GraphReader;
use crate::{Config, Error, Result};

/// What only the first stage needs; no model directory has it.
pub const HEAD: &str = "mlm.bias";
/// Tensors with a row for each token of the vocabulary.
pub const BY_TOKEN: [&str; 2] = ["embeddings.weight", HEAD];

/// A tensor of an assembly encoder, under the name that it has in a run's
/// `model.safetensors`.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Such as `layers.0.ffn.up.weight`.
    pub name: String,
    /// Rows and columns, or a length.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: Vec<f32>,
}

/// The weights of the assembly encoder in `dir`. Of a finished run: all that
/// `model.safetensors` has. Of a model directory: those of its float graph, if it
/// has one; else those of its integer graph, which are what rounding has left of
/// them. What only training needs (`mlm.bias`) is in neither graph.
///
/// # Errors
///
/// Where `model.safetensors`, or else `config.json` or the graph, cannot be read,
/// and where the graph is not one that
/// [`export_assembly`](super::export_assembly) makes for that configuration.
pub fn assembly_weights(dir: &Path) -> Result<Vec<Weight>> {
    let run = dir.join("model.safetensors");
    if run.is_file() {
        return Weights::new(&run, &read(&run)?)?.all();
    }
    let config = Config::from_file(&dir.join("config.json"))?;
    let graphs = [Precision::Float, Precision::Int8].map(|p| graph_path(dir, "assembly", p));
    let path = graphs.iter().find(|path| path.is_file());
    let path = path.unwrap_or(&graphs[1]);
    let graph = GraphReader::new(&read(path)?);
    let graph = graph.map_err(|e| Error::bad_file(path, e.to_string()))?;
    let mut reader = Reader {
        path,
        graph,
        at: 0,
        weights: Vec::new(),
    };
    reader.assembly(&config)?;
    Ok(reader.weights)
}

/// Goes through a graph in the order in which it was written.
struct Reader<'a> {
    path: &'a Path,
    graph: GraphReader,
    at: usize,
    weights: Vec<Weight>,
}

impl Reader<'_> {
    fn assembly(&mut self, config: &Config) -> Result<()> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        self.table("embeddings.weight", [config.vocab_size, hidden])?;
        self.layer_norm("embeddings.norm", hidden)?;
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("layers.{layer}.{part}");
            self.layer_norm(&name("norm1"), hidden)?;
            self.matrix(&name("attention.qkv"), [3 * hidden, hidden])?;
            // As `Exporter::qkv` has scaled them.
            let scale = ((hidden / config.num_attention_heads) as f32).sqrt();
            let queries = self.weights.last_mut().map(|w| &mut w.values);
            for w in queries.into_iter().flatten().take(hidden * hidden) {
                *w *= scale;
            }
            self.linear(&name("attention.out"), [hidden, hidden])?;
            self.layer_norm(&name("norm2"), hidden)?;
            self.linear(&name("ffn.up"), [inner, hidden])?;
            self.linear(&name("ffn.down"), [hidden, inner])?;
        }
        self.layer_norm("norm", hidden)?;
        self.linear("projection", [config.output_size, hidden])
    }

    fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<()> {
        let (mut values, integers) = self.next(name, &["Gather"], 0, &shape)?;
        if integers {
            let (scales, _) = self.next(name, &["Gather"], 0, &[shape[0], 1])?;
            scale_rows(&mut values, shape[1], &scales);
        }
        self.keep(name, &shape, values);
        Ok(())
    }

    fn layer_norm(&mut self, name: &str, hidden: usize) -> Result<()> {
        let kind = &["LayerNormalization"];
        let (scale, _) = self.next(name, kind, 1, &[hidden])?;
        // Another input of the same node.
        self.at -= 1;
        let (bias, _) = self.next(name, kind, 2, &[hidden])?;
        self.keep(&format!("{name}.weight"), &[hidden], scale);
        self.keep(&format!("{name}.bias"), &[hidden], bias);
        Ok(())
    }

    fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<()> {
        self.matrix(name, shape)?;
        let (bias, _) = self.next(name, &["Add"], 1, &shape[..1])?;
        self.keep(&format!("{name}.bias"), &shape[..1], bias);
        Ok(())
    }

    fn matrix(&mut self, name: &str, [out, inp]: [usize; 2]) -> Result<()> {
        let kinds = &["MatMul", "MatMulInteger"];
        let (values, integers) = self.next(name, kinds, 1, &[inp, out])?;
        let mut values = transposed(&values, out);
        if integers {
            let (scales, _) = self.next(name, &["Mul"], 1, &[out])?;
            scale_rows(&mut values, inp, &scales);
        }
        self.keep(&format!("{name}.weight"), &[out, inp], values);
        Ok(())
    }

    /// The constant of the next node that fits, and whether it is of integers.
    fn next(
        &mut self,
        name: &str,
        kinds: &[&str],
        input: usize,
        dims: &[usize],
    ) -> Result<(Vec<f32>, bool)> {
        let found = self.graph.find(self.at, kinds, input, dims);
        let found = found.and_then(|(place, inputs)| {
            let (values, integers) = self.graph.numbers(&inputs[input])?;
            let whole = values.len() == dims.iter().product::<usize>();
            whole.then_some((place, values, integers))
        });
        let (place, values, integers) = found.ok_or_else(|| {
            let reason = format!("it has no {name} {dims:?} where config.json has one");
            Error::bad_file(self.path, reason)
        })?;
        self.at = place + 1;
        Ok((values, integers))
    }

    fn keep(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.weights.push(Weight {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values,
        });
    }
}

fn scale_rows(values: &mut [f32], width: usize, scales: &[f32]) {
    for (row, scale) in values.chunks_exact_mut(width).zip(scales) {
        for value in row {
            *value *= scale;
        }
    }
}
