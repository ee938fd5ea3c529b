//! What `--format json` prints; docs/json.md describes it. A change that a
//! reader could notice is an addition, or else a new version.

use std::path::Path;

use binscribe_index::{Entry, ProgramFacts};
use binscribe_lift::{Function, Program};
use binscribe_tasks::report::ModelName;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::output::{Field, hex};

/// The version of every document.
pub(crate) const VERSION: u32 = 1;

/// The schemas of the documents that programs are asked for, and of their parts, as
/// OpenAPI has them.
pub(crate) fn schemas() -> Map<String, Value> {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    generator.subschema_for::<Functions>();
    generator.subschema_for::<Explained>();
    generator.subschema_for::<Listing>();
    generator.subschema_for::<Decompiled>();
    generator.subschema_for::<Matches>();
    generator.subschema_for::<IndexMatches>();
    generator.subschema_for::<Versions>();
    generator.take_definitions(true)
}

fn model(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The model that was asked: the hash of its weights and tokenizers.",
        "type": "object",
        "required": ["id", "directory"],
        "properties": {"id": {"type": "string"}, "directory": {"type": "string"}},
    })
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Binary {
    path: String,
    format: &'static str,
    kind: String,
    arch: &'static str,
    image_base: String,
    entry: Option<String>,
    size: u64,
    stripped: bool,
    blake3: String,
}

impl Binary {
    pub(crate) fn new(path: &Path, hash: &str, program: &Program<'_>) -> Binary {
        let info = program.info();
        Binary {
            path: path.display().to_string(),
            format: info.format.id(),
            kind: info.kind.to_string(),
            arch: info.arch.id(),
            image_base: hex(info.image_base),
            entry: info.entry.map(hex),
            size: info.size,
            stripped: info.stripped,
            blake3: hash.to_owned(),
        }
    }
}

/// A function as `functions` and `explain` describe it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FunctionEntry {
    address: String,
    rva: String,
    size: u64,
    name: Option<String>,
    demangled: Option<String>,
    source: String,
    confidence: f32,
}

impl FunctionEntry {
    pub(crate) fn new(function: &Function) -> FunctionEntry {
        FunctionEntry {
            address: hex(function.address),
            rva: hex(function.rva),
            size: function.size,
            name: function.name.clone(),
            demangled: function.demangled(),
            source: function.source.to_string(),
            confidence: function.confidence,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Functions {
    pub(crate) version: u32,
    pub(crate) binary: Binary,
    pub(crate) functions: Vec<FunctionEntry>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Explained {
    pub(crate) version: u32,
    pub(crate) binary: Binary,
    #[schemars(schema_with = "model")]
    pub(crate) model: ModelName,
    pub(crate) functions: Vec<ExplainedFunction>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExplainedFunction {
    #[serde(flatten)]
    pub(crate) function: FunctionEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_file: Option<SourceFile>,
    pub(crate) names: Vec<Name>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) summary: String,
    pub(crate) undecided: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    /// The first and the last line of it that the function tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines: Option<(u64, u64)>,
    /// `program` or `neighbours`.
    pub(crate) source: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Name {
    pub(crate) name: String,
    /// `program` or `model`.
    pub(crate) source: &'static str,
    pub(crate) confidence: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) margin: Option<f32>,
    pub(crate) evidence: Vec<Evidence>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Evidence {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) license: String,
    pub(crate) toolchains: String,
    pub(crate) also_in: Option<String>,
    pub(crate) explanation: String,
    pub(crate) score: f32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tag {
    pub(crate) tag: &'static str,
    /// `model` or `fact`.
    pub(crate) source: &'static str,
    pub(crate) confidence: Option<f32>,
    pub(crate) why: String,
}

/// What `export` knows; the scripts of `plugins/` read it, too.
#[derive(Debug, Serialize)]
pub(crate) struct Exported {
    pub(crate) version: u32,
    pub(crate) binary: Binary,
    /// Of the bytes of the binary, by which other programs know it.
    pub(crate) sha256: String,
    pub(crate) model: ModelName,
    pub(crate) functions: Vec<ExportedFunction>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExportedFunction {
    pub(crate) address: String,
    pub(crate) rva: String,
    /// A name that every program takes, and that no other function has.
    pub(crate) name: Option<String>,
    /// `program` or `model`.
    pub(crate) source: Option<&'static str>,
    pub(crate) confidence: Option<f32>,
    pub(crate) comment: String,
}

/// The function of a match.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Place {
    address: String,
    rva: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_name: Option<String>,
}

impl Place {
    pub(crate) fn new(function: &Function) -> Place {
        Place {
            address: hex(function.address),
            rva: hex(function.rva),
            name: function.display_name(),
            own_name: None,
        }
    }

    /// A function of an index.
    pub(crate) fn indexed(entry: &Entry) -> Place {
        Place {
            address: hex(entry.address),
            rva: hex(entry.rva),
            name: entry.name.clone(),
            own_name: entry.own_name.clone(),
        }
    }

    /// The same, with what the function calls itself.
    pub(crate) fn told(self, own_name: Option<String>) -> Place {
        Place { own_name, ..self }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Match {
    pub(crate) function: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    pub(crate) score: f32,
    pub(crate) confidence: Option<f32>,
}

/// An index, as far as it was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Index {
    pub(crate) path: String,
    /// The id of the model whose vectors it holds.
    pub(crate) model: String,
    pub(crate) programs: usize,
    pub(crate) functions: usize,
}

/// A program of an index.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Indexed {
    path: String,
    format: String,
    arch: String,
    image_base: String,
    size: u64,
    stripped: bool,
    blake3: String,
    /// How many functions of it are in the index.
    functions: usize,
}

impl Indexed {
    pub(crate) fn new(facts: &ProgramFacts) -> Indexed {
        Indexed {
            path: facts.path.clone(),
            format: facts.format.clone(),
            arch: facts.arch.clone(),
            image_base: hex(facts.image_base),
            size: facts.size,
            stripped: facts.stripped,
            blake3: facts.blake3.clone(),
            functions: facts.functions,
        }
    }

    /// Number of functions, format, processor and the first `digits` of the hash.
    pub(crate) fn row(&self, digits: usize) -> [Field; 4] {
        [
            Field::Count(self.functions as u64),
            self.format.as_str().into(),
            self.arch.as_str().into(),
            self.blake3.get(..digits).unwrap_or(&self.blake3).into(),
        ]
    }
}

/// What `index add`, `list`, `remove` and `verify` print.
#[derive(Debug, Serialize)]
pub(crate) struct IndexPrograms {
    pub(crate) version: u32,
    pub(crate) index: Index,
    pub(crate) programs: Vec<IndexProgram>,
}

/// A program, and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct IndexProgram {
    /// As it was named.
    pub(crate) path: String,
    /// `added`, `there already`, `left out`, `there`, `removed` or `damaged`.
    pub(crate) state: &'static str,
    /// What the index has of it.
    pub(crate) binary: Option<Indexed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// A function of an index that answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IndexMatch {
    pub(crate) function: Place,
    pub(crate) binary: Indexed,
    /// How many functions of the index have its code, itself among them.
    pub(crate) copies: usize,
    pub(crate) score: f32,
    pub(crate) confidence: Option<f32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IndexMatches {
    pub(crate) version: u32,
    pub(crate) index: Index,
    #[schemars(schema_with = "model")]
    pub(crate) model: ModelName,
    pub(crate) query: Query,
    pub(crate) matches: Vec<IndexMatch>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Matches {
    pub(crate) version: u32,
    pub(crate) binary: Binary,
    #[schemars(schema_with = "model")]
    pub(crate) model: ModelName,
    pub(crate) query: Query,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) whole: Vec<Share>,
    pub(crate) matches: Vec<Match>,
}

/// A label's share of all functions of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Share {
    pub(crate) label: String,
    pub(crate) share: f32,
}

/// Two versions of a program.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Versions {
    pub(crate) version: u32,
    pub(crate) old: Binary,
    pub(crate) new: Binary,
    #[schemars(schema_with = "model")]
    pub(crate) model: ModelName,
    pub(crate) functions: Vec<Change>,
}

/// A function in two versions, or in one of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Change {
    /// `changed`, `removed`, `added` or `same`.
    pub(crate) change: &'static str,
    pub(crate) old: Option<Place>,
    pub(crate) new: Option<Place>,
    pub(crate) score: Option<f32>,
    /// Of their vectors, where neither is too small for one.
    pub(crate) cosine: Option<f32>,
    /// `name`, `code` or `likeness`.
    pub(crate) why: Option<&'static str>,
    /// What became of its instructions, where one function was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines: Option<Vec<String>>,
}

/// What was asked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    Text(String),
    Function { path: String, function: Place },
    Labels(Vec<String>),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listing {
    pub(crate) version: u32,
    pub(crate) binary: Binary,
    pub(crate) function: FunctionEntry,
    pub(crate) lines: Vec<Line>,
    pub(crate) calls: Vec<Call>,
    pub(crate) strings: Vec<String>,
    pub(crate) constants: Vec<String>,
    pub(crate) tables: Vec<KnownTable>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) callers: Vec<Place>,
    pub(crate) returns: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Decompiled {
    pub(crate) version: u32,
    pub(crate) binary: Binary,
    pub(crate) function: FunctionEntry,
    pub(crate) language: &'static str,
    pub(crate) code: String,
    pub(crate) globals: Vec<Global>,
    pub(crate) calls: Vec<String>,
}

/// Data that a decompiled function names.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Global {
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    pub(crate) declaration: String,
}

/// A table of a well-known algorithm.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KnownTable {
    pub(crate) address: String,
    pub(crate) name: &'static str,
    pub(crate) algorithm: &'static str,
}

/// A basic block: its lines, and the numbers of the blocks that may follow.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Block {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) next: Vec<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) address: String,
    pub(crate) text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    pub(crate) import: bool,
}
