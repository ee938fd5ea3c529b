//! ONNX graphs: the few protobuf messages that they need (a subset of
//! `onnx.proto3`, field numbers as there), a builder over them, and the way back
//! to what was built.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use crate::Result;

/// The operator set of the graphs: the first with `LayerNormalization`.
const OPSET: i64 = 17;
/// The file format's version that goes with it.
const IR_VERSION: i64 = 8;
const PRODUCER: &str = "binscribe";
/// The value that attention scores get added, to leave padding out.
pub(crate) const ATTENTION_BIAS: &str = "attention_bias";

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    // Not packed: `onnx.proto` is proto2.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

/// Element types, numbered as `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DataType {
    Float = 1,
    Int8 = 3,
    Int64 = 7,
}

/// A dimension of an input or output.
pub(crate) enum Dim<'a> {
    Known(usize),
    Named(&'a str),
}

/// An attribute of a node.
pub(crate) enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
}

/// A graph under construction. Values are known by their names.
#[derive(Default)]
pub(crate) struct GraphWriter {
    graph: GraphProto,
    /// Small constants are written once.
    small: HashMap<(DataType, Vec<usize>, Vec<u8>), String>,
    next: usize,
}

impl GraphWriter {
    pub(crate) fn input(&mut self, name: &str, data_type: DataType, dims: &[Dim]) -> String {
        self.graph.input.push(value_info(name, data_type, dims));
        name.to_owned()
    }

    /// Makes `value` the output of the graph under the name `name`.
    pub(crate) fn output(&mut self, name: &str, value: &str, data_type: DataType, dims: &[Dim]) {
        self.graph.output.push(value_info(name, data_type, dims));
        self.name(name, value);
    }

    /// Gives a value a second name.
    pub(crate) fn name(&mut self, name: &str, value: &str) -> String {
        self.graph.node.push(NodeProto {
            name: format!("{name}.node"),
            op_type: "Identity".to_owned(),
            input: vec![value.to_owned()],
            output: vec![name.to_owned()],
            attribute: Vec::new(),
        });
        name.to_owned()
    }

    pub(crate) fn floats(&mut self, dims: &[usize], data: &[f32]) -> String {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(DataType::Float, dims, bytes)
    }

    pub(crate) fn scalar(&mut self, x: f32) -> String {
        self.floats(&[], &[x])
    }

    pub(crate) fn int8s(&mut self, dims: &[usize], data: &[i8]) -> String {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(DataType::Int8, dims, bytes)
    }

    /// A vector of integers, as shapes and axes are.
    pub(crate) fn ints(&mut self, data: &[i64]) -> String {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(DataType::Int64, &[data.len()], bytes)
    }

    fn constant(&mut self, data_type: DataType, dims: &[usize], bytes: Vec<u8>) -> String {
        let key = (bytes.len() <= 64).then(|| (data_type, dims.to_vec(), bytes.clone()));
        if let Some(name) = key.as_ref().and_then(|k| self.small.get(k)) {
            return name.clone();
        }
        let name = self.fresh("constant");
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: dims.iter().map(|d| *d as i64).collect(),
            data_type: data_type as i32,
            raw_data: bytes,
        });
        if let Some(key) = key {
            self.small.insert(key, name.clone());
        }
        name
    }

    /// A node with one output.
    pub(crate) fn op(&mut self, kind: &str, inputs: &[&str]) -> String {
        self.op_with(kind, inputs, vec![])
    }

    /// A node with attributes and one output.
    pub(crate) fn op_with(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> String {
        let [output] = self.ops_with(kind, inputs, attributes);
        output
    }

    /// A node with attributes and several outputs.
    pub(crate) fn ops_with<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> [String; N] {
        let name = self.fresh(kind);
        let outputs = std::array::from_fn(|i| match i {
            0 => name.clone(),
            _ => format!("{name}.{i}"),
        });
        self.graph.node.push(NodeProto {
            name: format!("{name}.node"),
            op_type: kind.to_owned(),
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: outputs.to_vec(),
            attribute: attributes.into_iter().map(attribute).collect(),
        });
        outputs
    }

    /// Writes the model file.
    pub(crate) fn save(mut self, name: &str, path: &Path) -> Result<()> {
        self.graph.name = name.to_owned();
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: PRODUCER.to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            graph: Some(self.graph),
        };
        crate::write_file(path, &model.encode_to_vec())
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{}_{}", kind.to_lowercase(), self.next)
    }
}

/// A graph of [`GraphWriter`] for sequences without padding, where the
/// attention bias is zero: adding it to every score takes a tenth of the time.
/// Other graphs stay as they are.
pub(crate) fn without_attention_bias(bytes: Vec<u8>) -> Result<Vec<u8>, prost::DecodeError> {
    let mut model = ModelProto::decode(bytes.as_slice())?;
    if model.producer_name != PRODUCER {
        return Ok(bytes);
    }
    for node in model.graph.iter_mut().flat_map(|g| &mut g.node) {
        if node.op_type == "Add" && node.input.iter().any(|i| i == ATTENTION_BIAS) {
            node.op_type = "Identity".to_owned();
            node.input.retain(|i| i != ATTENTION_BIAS);
        }
    }
    Ok(model.encode_to_vec())
}

/// What a graph of [`GraphWriter`] calculates, in order, and with what numbers.
pub(crate) struct GraphReader {
    nodes: Vec<NodeProto>,
    constants: HashMap<String, TensorProto>,
}

impl GraphReader {
    /// Reads a model file.
    pub(crate) fn new(bytes: &[u8]) -> Result<GraphReader, prost::DecodeError> {
        let graph = ModelProto::decode(bytes)?.graph.unwrap_or_default();
        let constants = graph.initializer.into_iter();
        Ok(GraphReader {
            nodes: graph.node,
            constants: constants.map(|t| (t.name.clone(), t)).collect(),
        })
    }

    /// The place and the inputs of the first node from place `from` on that is of
    /// one of `kinds` and has a constant of `dims` as its input number `input`.
    pub(crate) fn find(
        &self,
        from: usize,
        kinds: &[&str],
        input: usize,
        dims: &[usize],
    ) -> Option<(usize, &[String])> {
        let dims = dims.iter().map(|d| *d as i64);
        let fits = |node: &NodeProto| {
            let constant = node.input.get(input).and_then(|i| self.constants.get(i));
            kinds.contains(&node.op_type.as_str())
                && constant.is_some_and(|c| c.dims.iter().copied().eq(dims.clone()))
        };
        let nodes = self.nodes.iter().enumerate().skip(from);
        let (place, node) = nodes.into_iter().find(|(_, node)| fits(node))?;
        Some((place, &node.input))
    }

    /// The numbers of a constant, and whether they are integers that want a scale.
    pub(crate) fn numbers(&self, name: &str) -> Option<(Vec<f32>, bool)> {
        let constant = self.constants.get(name)?;
        let bytes = constant.raw_data.as_slice();
        if constant.data_type == DataType::Int8 as i32 {
            let integers = bytes.iter().map(|b| f32::from(b.cast_signed()));
            return Some((integers.collect(), true));
        }
        let floats = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        Some((floats.collect(), false))
    }
}

fn attribute((name, value): (&str, Attribute)) -> AttributeProto {
    // The types are numbered as `AttributeProto.AttributeType`.
    let (r#type, f, i, ints) = match value {
        Attribute::Float(f) => (1, Some(f), None, vec![]),
        Attribute::Int(i) => (2, None, Some(i), vec![]),
        Attribute::Ints(ints) => (7, None, None, ints),
    };
    AttributeProto {
        name: name.to_owned(),
        f,
        i,
        ints,
        r#type,
    }
}

fn value_info(name: &str, data_type: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|dim| match dim {
            Dim::Known(n) => DimensionProto {
                dim_value: Some(*n as i64),
                dim_param: None,
            },
            Dim::Named(name) => DimensionProto {
                dim_value: None,
                dim_param: Some((*name).to_owned()),
            },
        })
        .collect();
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorType {
                elem_type: data_type as i32,
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}
