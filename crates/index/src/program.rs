//! The functions of one program: a Parquet file.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float32Array, RecordBatch, StringArray, UInt64Array,
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::vectors::Vectors;
use crate::{Error, Meta, Result};

const SCHEMA: &str = "1";
const SCHEMA_KEY: &str = "binscribe.schema";
const MODEL_KEY: &str = "binscribe.model";
const PROGRAM_KEY: &str = "binscribe.program";

/// What is known of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFacts {
    /// Where it was read from; text, which no one need find again.
    pub path: String,
    /// The hash of its bytes, in hexadecimal digits.
    pub blake3: String,
    /// Its container: `elf`.
    pub format: String,
    /// Its processor: `x86-64`.
    pub arch: String,
    /// The address that it is made for.
    pub image_base: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its symbols are gone.
    pub stripped: bool,
    /// How many functions of it are in the index.
    pub functions: usize,
}

/// What is known of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its virtual address.
    pub address: u64,
    /// That, less the image base.
    pub rva: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What it is shown as: its symbol, or `sub_401A30`.
    pub name: String,
    /// A number for its symbol, equal for equal ones; 0 where it has none.
    pub symbol: u64,
    /// What it calls itself in assertions and logs.
    pub own_name: Option<String>,
    /// Its source file, as far as the program says.
    pub source_file: Option<String>,
    /// The words that may be asked for, with a space between them.
    pub words: String,
    /// A hash of its code: equal code has the same one.
    pub code: u128,
}

/// What may be read of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// [`Part::cosines`].
    Vectors,
    /// [`Entry::words`].
    Words,
    /// [`Entry::code`] and [`Entry::symbol`].
    Code,
    /// All the rest of [`Entry`].
    Facts,
}

impl Column {
    pub(crate) const ALL: [Column; 4] =
        [Column::Vectors, Column::Words, Column::Code, Column::Facts];

    fn names(self) -> &'static [&'static str] {
        match self {
            Column::Vectors => &["scale", "vector"],
            Column::Words => &["words"],
            Column::Code => &["code", "symbol"],
            Column::Facts => &["address", "rva", "size", "name", "own_name", "source_file"],
        }
    }
}

/// A program as it was read: what was not asked for is empty.
#[derive(Debug, PartialEq)]
pub struct Part {
    /// What is known of it.
    pub facts: ProgramFacts,
    /// Its functions.
    pub functions: Vec<Entry>,
    vectors: Vectors,
}

/// What the name of a file says: the hash of its program, and that of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName<'a> {
    pub(crate) program: &'a str,
    check: &'a str,
}

impl<'a> FileName<'a> {
    /// `None` for what is no file of a program, as one that was being written when
    /// its run was killed.
    pub(crate) fn of(path: &'a Path) -> Option<FileName<'a>> {
        let name = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
        let (program, check) = name.split_once('.')?;
        Some(FileName { program, check })
    }

    /// The name of a file with these bytes.
    pub(crate) fn text(program: &str, bytes: &[u8]) -> String {
        format!("{program}.{}.parquet", check(bytes))
    }
}

fn check(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// The bytes of a file; `path` is the directory, for errors.
pub(crate) fn encode(
    path: &Path,
    model: &str,
    facts: &ProgramFacts,
    functions: &[Entry],
    vectors: &Vectors,
) -> Result<Vec<u8>> {
    let bad = |error: &dyn std::fmt::Display| Error::damaged(path, error);
    let numbers = |value: fn(&Entry) -> u64| -> ArrayRef {
        Arc::new(functions.iter().map(value).collect::<UInt64Array>())
    };
    let texts = |value: fn(&Entry) -> Option<&str>| -> ArrayRef {
        Arc::new(functions.iter().map(value).collect::<StringArray>())
    };
    let bytes = |width: usize, bytes: Vec<u8>| -> Result<ArrayRef> {
        let width = i32::try_from(width).map_err(|e| bad(&e))?;
        let array = FixedSizeBinaryArray::try_new(width, bytes.into(), None);
        Ok(Arc::new(array.map_err(|e| bad(&e))?))
    };
    let codes = functions.iter().flat_map(|f| f.code.to_be_bytes());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("address", numbers(|f| f.address), false),
        ("rva", numbers(|f| f.rva), false),
        ("size", numbers(|f| f.size), false),
        ("name", texts(|f| Some(&f.name)), false),
        ("symbol", numbers(|f| f.symbol), false),
        ("own_name", texts(|f| f.own_name.as_deref()), true),
        ("source_file", texts(|f| f.source_file.as_deref()), true),
        ("words", texts(|f| Some(&f.words)), false),
        ("code", bytes(16, codes.collect())?, false),
        (
            "scale",
            Arc::new(Float32Array::from(vectors.scales.clone())) as ArrayRef,
            false,
        ),
        (
            "vector",
            bytes(vectors.width, vectors.steps.clone())?,
            false,
        ),
    ])
    .map_err(|e| bad(&e))?;
    let program = serde_json::to_string(facts).map_err(|e| bad(&e))?;
    let key = |name: &str, value: &str| KeyValue::new(name.to_owned(), value.to_owned());
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3).map_err(|e| bad(&e))?);
    let properties = WriterProperties::builder()
        .set_compression(zstd)
        // They do not get smaller, and are read for every question.
        .set_column_compression("vector".into(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled("vector".into(), false)
        .set_column_dictionary_enabled("code".into(), false)
        .set_key_value_metadata(Some(vec![
            key(SCHEMA_KEY, SCHEMA),
            key(MODEL_KEY, model),
            key(PROGRAM_KEY, &program),
        ]))
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(|e| bad(&e))?;
    writer.write(&batch).map_err(|e| bad(&e))?;
    writer.close().map_err(|e| bad(&e))?;
    Ok(bytes)
}

/// What a file says of itself.
struct Keys(Vec<KeyValue>);

impl Keys {
    fn get(&self, name: &str) -> &str {
        let pair = self.0.iter().find(|pair| pair.key == name);
        pair.and_then(|pair| pair.value.as_deref())
            .unwrap_or_default()
    }
}

impl Part {
    pub(crate) fn read(path: &Path, meta: &Meta, columns: &[Column]) -> Result<Part> {
        const AT_ONCE: usize = 1 << 16;
        let bad = |error: &dyn std::fmt::Display| Error::damaged(path, error);
        // What reads Parquet trusts what it reads, and damage would end the program.
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        if FileName::of(path).is_none_or(|name| name.check != check(&bytes)) {
            return Err(bad(
                &"it is not what was written; remove it, and add the program again",
            ));
        }
        let bytes = Bytes::from(bytes);
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| bad(&e))?;
        let keys = builder.metadata().file_metadata().key_value_metadata();
        let keys = Keys(keys.cloned().unwrap_or_default());
        if keys.get(SCHEMA_KEY) != SCHEMA {
            return Err(bad(&format!("its {SCHEMA_KEY} is not {SCHEMA}")));
        }
        if keys.get(MODEL_KEY) != meta.model {
            return Err(Error::OtherModel {
                path: path.to_owned(),
                found: keys.get(MODEL_KEY).to_owned(),
                wanted: meta.model.clone(),
            });
        }
        let facts = serde_json::from_str(keys.get(PROGRAM_KEY)).map_err(|e| bad(&e))?;
        let mut part = Part {
            facts,
            functions: Vec::new(),
            vectors: Vectors::new(meta.width),
        };
        if columns.is_empty() {
            return Ok(part);
        }
        let names = columns.iter().flat_map(|column| column.names());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.copied());
        let reader = builder.with_projection(mask).with_batch_size(AT_ONCE);
        for batch in reader.build().map_err(|e| bad(&e))? {
            let batch = batch.map_err(|e| bad(&e))?;
            part.take(&batch, columns)
                .ok_or_else(|| bad(&"a column is missing or of another type"))?;
        }
        Ok(part)
    }

    /// `None` where a column is not what was written.
    fn take(&mut self, batch: &RecordBatch, columns: &[Column]) -> Option<()> {
        let rows = batch.num_rows();
        let start = self.functions.len();
        self.functions.resize(start + rows, Entry::default());
        let functions = &mut self.functions[start..];
        let column = |name: &str| batch.column_by_name(name);
        if columns.contains(&Column::Vectors) {
            let vectors = column("vector")?.as_fixed_size_binary_opt()?;
            let scales = column("scale")?.as_primitive_opt::<Float32Type>()?;
            let width = usize::try_from(vectors.value_length()).ok()?;
            if width != self.vectors.width || !scales.values().iter().all(|x| x.is_finite()) {
                return None;
            }
            let steps = vectors.value_data().get(..rows * width)?;
            self.vectors.steps.extend_from_slice(steps);
            self.vectors.scales.extend_from_slice(scales.values());
        }
        if columns.contains(&Column::Words) {
            let words = column("words")?.as_string_opt::<i32>()?;
            for (row, function) in functions.iter_mut().enumerate() {
                words.value(row).clone_into(&mut function.words);
            }
        }
        if columns.contains(&Column::Code) {
            let codes = column("code")?.as_fixed_size_binary_opt()?;
            let symbols = column("symbol")?.as_primitive_opt::<UInt64Type>()?;
            for (row, function) in functions.iter_mut().enumerate() {
                function.code = u128::from_be_bytes(codes.value(row).try_into().ok()?);
                function.symbol = symbols.value(row);
            }
        }
        if columns.contains(&Column::Facts) {
            let number = |name: &str| column(name)?.as_primitive_opt::<UInt64Type>();
            let text = |name: &str| column(name)?.as_string_opt::<i32>();
            let (addresses, rvas, sizes) = (number("address")?, number("rva")?, number("size")?);
            let (names, own_names) = (text("name")?, text("own_name")?);
            let files = text("source_file")?;
            let some = |array: &StringArray, row: usize| {
                array.is_valid(row).then(|| array.value(row).to_owned())
            };
            for (row, function) in functions.iter_mut().enumerate() {
                function.address = addresses.value(row);
                function.rva = rvas.value(row);
                function.size = sizes.value(row);
                names.value(row).clone_into(&mut function.name);
                function.own_name = some(own_names, row);
                function.source_file = some(files, row);
            }
        }
        Some(())
    }

    /// The cosine of each function's vector with the unit vector `query`.
    pub fn cosines(&self, query: &[f32]) -> Vec<f32> {
        self.vectors.cosines(query)
    }
}
