use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use crate::error::{At as _, Error, Result};
use crate::process;
use crate::toolchain;

/// One function of one unit: what the machine runs, and what people wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Source package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its licence.
    pub license: String,
    /// `train`, `validation` or `test`.
    pub split: String,
    /// `gcc`, `clang` or `zig`.
    pub compiler: String,
    /// The compiler's version.
    pub compiler_version: String,
    /// `O0` to `Os`.
    pub level: String,
    /// The processor, such as `x86-64`.
    pub arch: String,
    /// The kind of file: `elf`, `pe` or `mach-o`.
    pub format: String,
    /// What the build did differently, such as `frame-pointer`; mostly empty.
    pub variants: String,
    /// Passes that obfuscated it, such as `flatten+split`; mostly empty.
    pub obfuscation: String,
    /// How its source was found: by `dwarf`, or by `names`.
    pub alignment: String,
    /// The function's name in the source.
    pub name: String,
    /// The file that defines it, relative to the package.
    pub file: String,
    /// The line that its name stands on.
    pub line: u32,
    /// Its listing in the linked and stripped unit, lines joined by newlines.
    pub listing: String,
    /// Instructions in the listing.
    pub instructions: u32,
    /// Basic blocks in the listing.
    pub blocks: u32,
    /// The definition as it stands in the file.
    pub source: String,
    /// What its authors say that it does, cleaned; none if they do not.
    pub comment: Option<String>,
    /// Its LLVM IR without debug information, where that was asked for.
    pub ir: Option<String>,
    /// Stands for the body without comments and white space.
    pub source_hash: String,
    /// Stands for the listing without addresses.
    pub listing_hash: String,
    /// Joins the rows of one function across toolchains.
    pub function_id: String,
}

impl Row {
    /// The name of its toolchain, such as `gcc-12.2.0-O2-aarch64-linux`.
    pub fn toolchain(&self) -> String {
        let system = match self.format.as_str() {
            "pe" => "windows",
            "mach-o" => "macos",
            _ => "linux",
        };
        toolchain::name(
            [&self.compiler, &self.compiler_version, &self.level],
            &format!("{}-{system}", self.arch),
            [&self.variants, &self.obfuscation],
        )
    }
}

/// Version of the schema, kept in each file under [`SCHEMA_KEY`].
const SCHEMA: &str = "2";
/// Versions that are read: files of version 1 lack [`SINCE_2`], since all of
/// them hold ELF files' functions aligned by debug information.
const READ: [&str; 2] = ["1", SCHEMA];
/// Columns of version 2, and what version 1 would hold there.
const SINCE_2: [(&str, &str); 4] = [
    ("format", "elf"),
    ("variants", ""),
    ("obfuscation", ""),
    ("alignment", "dwarf"),
];
/// Metadata key of the schema's version.
const SCHEMA_KEY: &str = "binscribe.schema";

type Text = (
    &'static str,
    fn(&Row) -> &String,
    fn(&mut Row) -> &mut String,
);
type Number = (&'static str, fn(&Row) -> u32, fn(&mut Row) -> &mut u32);

/// The text columns that every row has.
const TEXTS: [Text; 19] = [
    ("package", |r| &r.package, |r| &mut r.package),
    ("version", |r| &r.version, |r| &mut r.version),
    ("license", |r| &r.license, |r| &mut r.license),
    ("split", |r| &r.split, |r| &mut r.split),
    ("compiler", |r| &r.compiler, |r| &mut r.compiler),
    (
        "compiler_version",
        |r| &r.compiler_version,
        |r| &mut r.compiler_version,
    ),
    ("level", |r| &r.level, |r| &mut r.level),
    ("arch", |r| &r.arch, |r| &mut r.arch),
    ("format", |r| &r.format, |r| &mut r.format),
    ("variants", |r| &r.variants, |r| &mut r.variants),
    ("obfuscation", |r| &r.obfuscation, |r| &mut r.obfuscation),
    ("alignment", |r| &r.alignment, |r| &mut r.alignment),
    ("name", |r| &r.name, |r| &mut r.name),
    ("file", |r| &r.file, |r| &mut r.file),
    ("listing", |r| &r.listing, |r| &mut r.listing),
    ("source", |r| &r.source, |r| &mut r.source),
    ("source_hash", |r| &r.source_hash, |r| &mut r.source_hash),
    ("listing_hash", |r| &r.listing_hash, |r| &mut r.listing_hash),
    ("function_id", |r| &r.function_id, |r| &mut r.function_id),
];

const NUMBERS: [Number; 3] = [
    ("line", |r| r.line, |r| &mut r.line),
    ("instructions", |r| r.instructions, |r| &mut r.instructions),
    ("blocks", |r| r.blocks, |r| &mut r.blocks),
];

type Optional = (
    &'static str,
    fn(&Row) -> Option<&str>,
    fn(&mut Row) -> &mut Option<String>,
);

/// The text columns that may have no value.
const OPTIONAL: [Optional; 2] = [
    ("comment", |r| r.comment.as_deref(), |r| &mut r.comment),
    ("ir", |r| r.ir.as_deref(), |r| &mut r.ir),
];

/// How hard a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For files that are read once and joined.
    Quick,
    /// For files that are kept and sent.
    Best,
}

/// Variants of one function, and functions of one processor, stand together and
/// compress well where a page holds many of them; the compressor keeps about ten
/// times as much in memory.
const PAGE_BYTES: usize = 32 << 20;

/// Writes rows as one Parquet file, under a temporary name first.
pub fn write_rows(path: &Path, rows: &[Row]) -> Result<()> {
    write_with(path, rows, &[], Effort::Best)
}

/// [`write_rows`] with further metadata.
pub(crate) fn write_with(
    path: &Path,
    rows: &[Row],
    metadata: &[(&str, String)],
    effort: Effort,
) -> Result<()> {
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (name, get, _) in TEXTS {
        let values = StringArray::from_iter_values(rows.iter().map(get));
        columns.push((Field::new(name, DataType::Utf8, false), Arc::new(values)));
    }
    for (name, get, _) in NUMBERS {
        let values = UInt32Array::from_iter_values(rows.iter().map(get));
        columns.push((Field::new(name, DataType::UInt32, false), Arc::new(values)));
    }
    for (name, get, _) in OPTIONAL {
        let values = StringArray::from_iter(rows.iter().map(get));
        columns.push((Field::new(name, DataType::Utf8, true), Arc::new(values)));
    }
    let metadata = std::iter::once((SCHEMA_KEY, SCHEMA.to_owned())).chain(metadata.iter().cloned());
    let level = match effort {
        Effort::Quick => 3,
        Effort::Best => 19,
    };
    write_columns(path, columns, metadata, level)
}

/// Writes columns of one length as one Parquet file, under a temporary name
/// first; `level` is that of zstd.
pub(crate) fn write_columns<'m>(
    path: &Path,
    columns: Vec<(Field, ArrayRef)>,
    metadata: impl IntoIterator<Item = (&'m str, String)>,
    level: i32,
) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| Error::Rows {
        path: path.into(),
        reason: e.to_string(),
    };
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|e| wrong(&e))?;
    let metadata = metadata.into_iter();
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(
            ZstdLevel::try_new(level).map_err(|e| wrong(&e))?,
        ))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        // Hardly two are equal.
        .set_column_dictionary_enabled("listing".into(), false)
        .set_key_value_metadata(Some(metadata.collect()))
        .build();
    let temporary = process::temporary_name(path);
    let file = fs::File::create(&temporary).at(&temporary)?;
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| wrong(&e))?;
    writer.write(&batch).map_err(|e| wrong(&e))?;
    writer.close().map_err(|e| wrong(&e))?;
    fs::rename(&temporary, path).at(path)
}

/// Reads the rows of one Parquet file, or of every `*.parquet` in a directory.
pub fn read_rows(path: &Path) -> Result<Vec<Row>> {
    if !path.is_dir() {
        return read_file(path);
    }
    let mut rows = Vec::new();
    for file in row_files(path)? {
        rows.extend(read_file(&file)?);
    }
    Ok(rows)
}

/// The Parquet files of a directory, by name.
pub fn row_files(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .at(dir)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.extension().is_some_and(|e| e == "parquet"))
        .collect();
    files.sort();
    Ok(files)
}

/// One text column of a file.
pub(crate) fn text_column(path: &Path, name: &str) -> Result<Vec<String>> {
    let wrong = |reason: String| Error::Rows {
        path: path.into(),
        reason,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).at(path)?)
        .map_err(|e| wrong(e.to_string()))?;
    let only = ProjectionMask::columns(builder.parquet_schema(), [name]);
    let reader = builder
        .with_projection(only)
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    let mut values = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| wrong(e.to_string()))?;
        let column: &StringArray = column(&batch, name).map_err(&wrong)?;
        values.extend(column.iter().map(|v| v.unwrap_or_default().to_owned()));
    }
    Ok(values)
}

/// Compressed bytes of each column of a file.
pub(crate) fn column_bytes(path: &Path) -> Result<Vec<(String, u64)>> {
    let file = fs::File::open(path).at(path)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| Error::Rows {
        path: path.into(),
        reason: e.to_string(),
    })?;
    let mut sizes: Vec<(String, u64)> = Vec::new();
    for column in builder
        .metadata()
        .row_groups()
        .iter()
        .flat_map(|g| g.columns())
    {
        let name = column.column_path().string();
        let bytes = u64::try_from(column.compressed_size()).unwrap_or_default();
        match sizes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, size)) => *size += bytes,
            None => sizes.push((name, bytes)),
        }
    }
    Ok(sizes)
}

/// A value of a file's metadata; none if the file is absent or not readable.
pub(crate) fn metadata(path: &Path, key: &str) -> Option<String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).ok()?).ok()?;
    value_of(&builder, key)
}

fn value_of<T: parquet::file::reader::ChunkReader + 'static>(
    builder: &ParquetRecordBatchReaderBuilder<T>,
    key: &str,
) -> Option<String> {
    let pairs = builder.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.clone()
}

fn read_file(path: &Path) -> Result<Vec<Row>> {
    let wrong = |reason: String| Error::Rows {
        path: path.into(),
        reason,
    };
    let file = fs::File::open(path).at(path)?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(e.to_string()))?;
    let schema = value_of(&builder, SCHEMA_KEY).unwrap_or_default();
    if !READ.contains(&schema.as_str()) {
        return Err(wrong(format!(
            "not a file of rows that this version reads: {SCHEMA_KEY} is {schema:?}"
        )));
    }
    let mut rows = Vec::new();
    for batch in builder.build().map_err(|e| wrong(e.to_string()))? {
        let batch = batch.map_err(|e| wrong(e.to_string()))?;
        let first = rows.len();
        rows.resize(first + batch.num_rows(), Row::default());
        let rows = &mut rows[first..];
        for (name, _, field) in TEXTS {
            let older = SINCE_2.iter().find(|(new, _)| *new == name);
            if let (Some((_, value)), true) = (older, schema != SCHEMA) {
                rows.iter_mut()
                    .for_each(|row| (*value).clone_into(field(row)));
                continue;
            }
            let column: &StringArray = column(&batch, name).map_err(&wrong)?;
            for (row, value) in rows.iter_mut().zip(column) {
                *field(row) = value.unwrap_or_default().to_owned();
            }
        }
        for (name, _, field) in NUMBERS {
            let column: &UInt32Array = column(&batch, name).map_err(&wrong)?;
            for (row, value) in rows.iter_mut().zip(column) {
                *field(row) = value.unwrap_or_default();
            }
        }
        for (name, _, field) in OPTIONAL {
            if name == "ir" && schema != SCHEMA {
                continue;
            }
            let column: &StringArray = column(&batch, name).map_err(&wrong)?;
            for (row, value) in rows.iter_mut().zip(column) {
                *field(row) = value.map(str::to_owned);
            }
        }
    }
    Ok(rows)
}

fn column<'b, T: Array + 'static>(batch: &'b RecordBatch, name: &str) -> Result<&'b T, String> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| format!("no column {name}"))?;
    column
        .as_any()
        .downcast_ref()
        .ok_or_else(|| format!("column {name} has another type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.parquet");
        let row = |name: &str, comment: Option<&str>| Row {
            package: "p".into(),
            name: name.into(),
            line: 7,
            listing: "push    rbp\nretn".into(),
            comment: comment.map(str::to_owned),
            ..Row::default()
        };
        let rows = vec![
            row("a", None),
            row("b", Some("Adds two; \u{e9}")),
            row("c", Some("")),
        ];
        write_with(&path, &rows, &[("k", "v".to_owned())], Effort::Quick).unwrap();
        assert_eq!(read_rows(&path).unwrap(), rows);
        assert_eq!(read_rows(dir.path()).unwrap(), rows);
        assert_eq!(metadata(&path, "k").as_deref(), Some("v"));
        assert_eq!(metadata(&path, "absent"), None);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn no_rows_are_rows_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.parquet");
        write_rows(&path, &[]).unwrap();
        assert_eq!(read_rows(&path).unwrap(), []);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.parquet");
        fs::write(&path, "not parquet").unwrap();
        assert!(matches!(read_rows(&path), Err(Error::Rows { .. })));
    }
}
