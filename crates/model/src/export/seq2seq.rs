//! The two graphs of a sequence-to-sequence model. The encoder reads a source
//! once and leaves what every layer of the decoder asks of it; the decoder
//! takes one token a run, with the keys and values of those before.

use std::path::Path;

use super::{Attribute, DataType, Dim, Exporter, Precision, Rotary, Weights, axis, perm, read};
use crate::{Result, Seq2SeqConfig};

/// Writes the graphs of a sequence-to-sequence model, for one source a run.
///
/// The encoder's input is `input_ids`, `[1, source]`; its outputs are
/// `cross_keys` (transposed), `cross_values` and `copy_keys` (transposed). The
/// decoder's inputs are `input_ids`, `[hypotheses, 1]`, `past_keys` and
/// `past_values`, `[hypotheses, layers * heads, tokens, head]`, and the
/// encoder's outputs; its outputs are `logits`, `copy` (how much each token of
/// the source is copied), `gate` (the share that is not copied), `keys` and
/// `values`.
pub fn export_seq2seq(
    weights: &Path,
    config: &Seq2SeqConfig,
    encoder: &Path,
    decoder: &Path,
    precision: Precision,
) -> Result<()> {
    let bytes = read(weights)?;
    let exporter = || -> Result<Exporter> {
        let heads = config.num_attention_heads;
        let shape = (config.hidden_size, heads, config.layer_norm_eps);
        Ok(Exporter::new(
            Weights::new(weights, &bytes)?,
            shape,
            precision,
        ))
    };
    write_encoder(exporter()?, config, encoder)?;
    write_decoder(exporter()?, config, decoder)
}

fn write_encoder(mut e: Exporter, config: &Seq2SeqConfig, path: &Path) -> Result<()> {
    let hidden = config.hidden_size;
    let dims = [Dim::Known(1), Dim::Named("source")];
    let ids = e.graph.input("input_ids", DataType::Int64, &dims);
    let rotary = e.rotary(&ids, config.max_source_tokens, config.rotary_base);
    let mut x = e.embedded(&ids, config)?;
    for layer in 0..config.encoder_layers {
        let name = |part: &str| format!("encoder.layers.{layer}.{part}");
        let h = e.layer_norm(&x, &name("norm1"))?;
        let qkv = e
            .weights
            .get(&name("attention.qkv.weight"), &[3 * hidden, hidden])?;
        let h = e.qkv(&h, qkv, None);
        let h = e.attention(h, Some(&rotary), None);
        x = e.added(&x, &h, &name("attention.out"), [hidden, hidden])?;
        x = e.feed_forward(&x, &name("norm2"), &name("ffn"), config)?;
    }
    let x = e.layer_norm(&x, "encoder.norm")?;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for layer in 0..config.decoder_layers {
        let name = format!("decoder.layers.{layer}.cross.kv.weight");
        let weight = e.weights.get(&name, &[2 * hidden, hidden])?;
        let kv = e.multiply(&x, &weight, None, [2 * hidden, hidden]);
        let kv = e.by_head(&kv, 2);
        let sizes = e.graph.ints(&[config.num_attention_heads as i64; 2]);
        let [k, v] = e.graph.ops_with("Split", &[&kv, &sizes], axis(1));
        keys.push(e.graph.op_with("Transpose", &[&k], perm([0, 1, 3, 2])));
        values.push(v);
    }
    let name = "copy.key.weight";
    let weight = e.weights.get(name, &[hidden, hidden])?;
    let copy = e.multiply(&x, &weight, None, [hidden, hidden]);
    let last = vec![("perm", Attribute::Ints(vec![0, 2, 1]))];
    let copy = e.graph.op_with("Transpose", &[&copy], last);
    let keys = e.joined(&keys);
    let values = e.joined(&values);
    let lanes = Dim::Known(config.decoder_layers * config.num_attention_heads);
    let head = config.head_size();
    let dims = [Dim::Known(1), lanes, Dim::Known(head), Dim::Named("source")];
    let g = &mut e.graph;
    g.output("cross_keys", &keys, DataType::Float, &dims);
    let [one, lanes, head, source] = dims;
    let dims = [one, lanes, source, head];
    g.output("cross_values", &values, DataType::Float, &dims);
    let dims = [Dim::Known(1), Dim::Known(hidden), Dim::Named("source")];
    g.output("copy_keys", &copy, DataType::Float, &dims);
    e.graph.save("binscribe-seq2seq-encoder", path)
}

fn write_decoder(mut e: Exporter, config: &Seq2SeqConfig, path: &Path) -> Result<()> {
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    let (lanes, head) = (config.decoder_layers * heads, config.head_size());
    let past = |tokens| {
        [
            Dim::Named("hypotheses"),
            Dim::Known(lanes),
            Dim::Named(tokens),
            Dim::Known(head),
        ]
    };
    let dims = [Dim::Named("hypotheses"), Dim::Known(1)];
    let ids = e.graph.input("input_ids", DataType::Int64, &dims);
    let float = DataType::Float;
    let past_keys = e.graph.input("past_keys", float, &past("past"));
    let past_values = e.graph.input("past_values", float, &past("past"));
    let named = Dim::Named;
    let dims = [
        Dim::Known(1),
        Dim::Known(lanes),
        Dim::Known(head),
        named("source"),
    ];
    let cross_keys = e.graph.input("cross_keys", float, &dims);
    let [one, all, width, source] = dims;
    let dims = [one, all, source, width];
    let cross_values = e.graph.input("cross_values", float, &dims);
    let dims = [Dim::Known(1), Dim::Known(hidden), named("source")];
    let copy_keys = e.graph.input("copy_keys", float, &dims);

    let rotary = e.rotary_at(&past_keys, config);
    let [past_keys, past_values, cross_keys, cross_values] =
        [past_keys, past_values, cross_keys, cross_values].map(|x| e.layers(&x, config));
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let mut x = e.embedded(&ids, config)?;
    for layer in 0..config.decoder_layers {
        let name = |part: &str| format!("decoder.layers.{layer}.{part}");
        let h = e.layer_norm(&x, &name("norm1"))?;
        let qkv = e
            .weights
            .get(&name("attention.qkv.weight"), &[3 * hidden, hidden])?;
        let h = e.qkv(&h, qkv, None);
        let [q, k, v] = e.heads_of(&h, Some(&rotary));
        let k = e.graph.op_with("Concat", &[&past_keys[layer], &k], axis(2));
        let v = e
            .graph
            .op_with("Concat", &[&past_values[layer], &v], axis(2));
        let turned = e.graph.op_with("Transpose", &[&k], perm([0, 1, 3, 2]));
        let h = e.attend(&q, &turned, &v, None, None);
        keys.push(k);
        values.push(v);
        x = e.added(&x, &h, &name("attention.out"), [hidden, hidden])?;

        let h = e.layer_norm(&x, &name("norm2"))?;
        let q = e.query(&h, &name("cross.query.weight"), head)?;
        let q = e.by_head(&q, 1);
        let h = e.attend(&q, &cross_keys[layer], &cross_values[layer], None, None);
        x = e.added(&x, &h, &name("cross.out"), [hidden, hidden])?;
        x = e.feed_forward(&x, &name("norm3"), &name("ffn"), config)?;
    }
    let x = e.layer_norm(&x, "decoder.norm")?;

    let copy = e.query(&x, "copy.query.weight", hidden)?;
    let copy = e.graph.op("MatMul", &[&copy, &copy_keys]);
    let copy = e.graph.op_with("Softmax", &[&copy], axis(-1));
    let shape = [config.vocab_size, hidden];
    let table = e.weights.get("embeddings.weight", &shape)?;
    let bias = e.weights.get("output.bias", &[config.vocab_size])?;
    let logits = e.multiply(&x, &table, Some(&bias), shape);
    // One number a hypothesis: nothing to gain from integers.
    e.precision = Precision::Float;
    let gate = e.linear(&x, "copy.gate", [1, hidden])?;
    let gate = e.graph.op("Sigmoid", &[&gate]);

    let axes = e.graph.ints(&[1]);
    let named = Dim::Named;
    let outputs = [
        ("logits", logits, Dim::Known(config.vocab_size)),
        ("copy", copy, named("source")),
        ("gate", gate, Dim::Known(1)),
    ];
    for (name, value, width) in outputs {
        let value = e.graph.op("Squeeze", &[&value, &axes]);
        let dims = [named("hypotheses"), width];
        e.graph.output(name, &value, float, &dims);
    }
    for (name, parts) in [("keys", keys), ("values", values)] {
        let value = e.joined(&parts);
        e.graph.output(name, &value, float, &past("tokens"));
    }
    e.graph.save("binscribe-seq2seq-decoder", path)
}

impl Exporter<'_> {
    /// Token vectors after their norm.
    fn embedded(&mut self, ids: &str, config: &Seq2SeqConfig) -> Result<String> {
        let table = self
            .weights
            .get("embeddings.weight", &[config.vocab_size, self.hidden])?;
        let [x] = self.embed(&table, [ids]);
        self.layer_norm(&x, "embeddings.norm")
    }

    /// `x` and what a linear layer makes of `h`.
    fn added(&mut self, x: &str, h: &str, name: &str, shape: [usize; 2]) -> Result<String> {
        let h = self.linear(h, name, shape)?;
        Ok(self.graph.op("Add", &[x, &h]))
    }

    fn feed_forward(
        &mut self,
        x: &str,
        norm: &str,
        name: &str,
        config: &Seq2SeqConfig,
    ) -> Result<String> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let h = self.layer_norm(x, norm)?;
        let h = self.linear(&h, &format!("{name}.up"), [inner, hidden])?;
        let h = self.gelu(&h);
        self.added(x, &h, &format!("{name}.down"), [hidden, inner])
    }

    /// Queries against keys of `width`, scaled, so that the scores need not be.
    fn query(&mut self, x: &str, name: &str, width: usize) -> Result<String> {
        let shape = [self.hidden, self.hidden];
        let mut weight = self.weights.get(name, &shape)?;
        let scale = 1.0 / (width as f32).sqrt();
        for w in &mut weight {
            *w *= scale;
        }
        Ok(self.multiply(x, &weight, None, shape))
    }

    /// Cosines and sines of the position after what `past` holds.
    fn rotary_at(&mut self, past: &str, config: &Seq2SeqConfig) -> Rotary {
        let tables = self.rotary_tables(config.max_target_tokens, config.rotary_base);
        let g = &mut self.graph;
        let shape = g.op("Shape", &[past]);
        let (zero, one, two) = (g.ints(&[0]), g.ints(&[1]), g.ints(&[2]));
        let start = g.op("Gather", &[&shape, &two]);
        let end = g.op("Add", &[&start, &one]);
        let mut row = |table: &str| g.op("Slice", &[table, &start, &end, &zero]);
        Rotary {
            cos: row(&tables.cos),
            sin: row(&tables.sin),
        }
    }

    /// Keys or values of all layers, apart.
    fn layers(&mut self, x: &str, config: &Seq2SeqConfig) -> Vec<String> {
        let heads = self.heads as i64;
        let g = &mut self.graph;
        (0..config.decoder_layers as i64)
            .map(|layer| {
                let (start, end) = (g.ints(&[layer * heads]), g.ints(&[(layer + 1) * heads]));
                let axes = g.ints(&[1]);
                g.op("Slice", &[x, &start, &end, &axes])
            })
            .collect()
    }

    /// And together.
    fn joined(&mut self, parts: &[String]) -> String {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.graph.op_with("Concat", &parts, axis(1))
    }
}
