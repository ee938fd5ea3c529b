//! `binscribe embed`: vectors for other programs to search.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::builder::{FixedSizeListBuilder, Float32Builder};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use binscribe_model::ClapFunction;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::args::{Embed, RawArgs};
use crate::engine::{Candidates, Engine};
use crate::input::{self, Input};
use crate::output::{self, note};

/// The columns of the file, as they fill up.
#[derive(Default)]
struct Columns {
    file: Vec<String>,
    blake3: Vec<String>,
    address: Vec<u64>,
    rva: Vec<u64>,
    size: Vec<u64>,
    name: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

pub(crate) fn run(args: &Embed) -> Result<()> {
    match (&args.path, &args.clap) {
        (_, Some(path)) => clap_functions(path, args),
        (Some(path), None) => programs(path, args),
        // The arguments are checked before.
        (None, None) => bail!("name a FILE, a DIR or --clap IN.json"),
    }
}

/// Embeds the functions of a file in CLAP's form.
fn clap_functions(path: &Path, args: &Embed) -> Result<()> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let functions = ClapFunction::parse(&text).with_context(|| name.to_string())?;
    if functions.is_empty() {
        bail!("{name}: it has no function");
    }
    let mut odd = functions.iter().enumerate();
    let warned = odd.find_map(|(at, function)| Some((at + 1, function.warning()?)));
    if let Some((number, warning)) = warned {
        let count = functions.iter().filter(|f| f.warning().is_some()).count();
        note(&format!(
            "warning: {name}: function {number}: {warning} ({count} of {} functions)",
            functions.len()
        ));
    }
    let engine = Engine::open(&args.model)?;
    let vectors = engine.embed_clap(&functions)?;
    let numbers = |values: Vec<u64>| -> ArrayRef { Arc::new(UInt64Array::from(values)) };
    let lengths = functions.iter().map(|function| function.len() as u64);
    let columns = vec![
        ("function", numbers((1..=functions.len() as u64).collect())),
        ("instructions", numbers(lengths.collect())),
    ];
    write(&args.output, engine.id(), columns, &vectors)?;
    note(&format!(
        "{} functions written to {}",
        functions.len(),
        args.output.display()
    ));
    Ok(())
}

/// Embeds the functions of a program, of all members of an archive, or of all below a
/// directory.
fn programs(path: &Path, args: &Embed) -> Result<()> {
    let files = if path.is_dir() {
        input::programs_below(path)?
    } else {
        vec![path.to_owned()]
    };
    let engine = Engine::open(&args.model)?;
    let mut columns = Columns::default();
    let (mut read, mut left_out) = (0, 0);
    for file in &files {
        let inputs = Input::read_all(file);
        let single = !path.is_dir() && inputs.as_ref().map_or(1, Vec::len) == 1;
        // What a directory or an archive was searched for has a format.
        let raw = if single { args.raw } else { RawArgs::default() };
        let inputs: Vec<Result<Input>> = match inputs {
            Ok(inputs) => inputs.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        for input in inputs {
            match input.and_then(|input| columns.add(&input.or_raw(raw), &engine)) {
                Ok(()) => read += 1,
                Err(error) if single => return Err(error),
                Err(error) => {
                    note(&format!("warning: left out: {error:#}"));
                    left_out += 1;
                }
            }
        }
    }
    if columns.address.is_empty() {
        bail!("{}: no function to embed was found", path.display());
    }
    let functions = columns.address.len();
    columns.write(&args.output, engine.id())?;
    note(&format!(
        "{functions} functions of {read} files written to {}{}",
        args.output.display(),
        if left_out > 0 {
            format!("; {left_out} files left out")
        } else {
            String::new()
        }
    ));
    Ok(())
}

impl Columns {
    fn add(&mut self, input: &Input, engine: &Engine) -> Result<()> {
        let program = input.program()?;
        let candidates = Candidates::of(input, &program, engine, None)?;
        let hash = input.hash();
        for (row, function) in candidates.functions().iter().enumerate() {
            self.file.push(input.path.display().to_string());
            self.blake3.push(hash.clone());
            self.address.push(function.address);
            self.rva.push(function.rva);
            self.size.push(function.size);
            self.name.push(function.display_name());
            self.vectors.push(candidates.vectors.row(row).to_vec());
        }
        Ok(())
    }

    fn write(self, path: &Path, model: &str) -> Result<()> {
        let texts = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let numbers = |values: Vec<u64>| -> ArrayRef { Arc::new(UInt64Array::from(values)) };
        let columns = vec![
            ("file", texts(self.file)),
            ("file_blake3", texts(self.blake3)),
            ("address", numbers(self.address)),
            ("rva", numbers(self.rva)),
            ("size", numbers(self.size)),
            ("name", texts(self.name)),
        ];
        write(path, model, columns, &self.vectors)
    }
}

/// Writes the columns, and the vectors after them.
fn write(
    path: &Path,
    model: &str,
    columns: Vec<(&str, ArrayRef)>,
    vectors: &[Vec<f32>],
) -> Result<()> {
    let width = vectors.first().map_or(0, Vec::len);
    let mut lists = FixedSizeListBuilder::new(Float32Builder::new(), i32::try_from(width)?);
    for vector in vectors {
        lists.values().append_slice(vector);
        lists.append(true);
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let columns = columns.into_iter().chain([("vector", lists)]);
    let batch = RecordBatch::try_from_iter(columns)?;
    let key = |name: &str, value: &str| KeyValue::new(name.to_owned(), value.to_owned());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_key_value_metadata(Some(vec![
            key("binscribe.schema", "1"),
            key("binscribe.model", model),
        ]))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    output::write_file(path, &bytes)
}
