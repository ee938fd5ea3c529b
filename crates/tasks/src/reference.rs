//! The reference set: known functions of the training packages, with their
//! vectors, names, explanations and where they come from. What a stripped
//! function is compared with to be given a name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, UInt32Array};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::compact::Compact;
use crate::error::Error;
use crate::matrix::{self, Matrix};
use crate::sample::Sample;
use crate::text;

/// The name of the file in a model directory.
pub const FILE_NAME: &str = "reference.parquet";

const SCHEMA_KEY: &str = "binscribe.schema";
const MODEL_KEY: &str = "binscribe.model";
/// The axes of the vectors: 32-bit floats, in base64, those of an axis together.
const AXES_KEY: &str = "binscribe.axes";
/// The numbers of an axis.
const WIDTH_KEY: &str = "binscribe.width";
const SCHEMA: &str = "2";

/// One vector of the reference set, with what is known of its function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The function's name in its source.
    pub name: String,
    /// One line: the first sentence of its comment, or else its name in words.
    pub explanation: String,
    /// The package.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The source file.
    pub file: String,
    /// The line of the definition.
    pub line: u32,
    /// The package's licence.
    pub license: String,
    /// The toolchains whose vectors were averaged, `gcc+clang O1-Os`.
    pub toolchains: String,
    /// Other packages that have the same function, separated by commas.
    pub also_in: String,
    /// How many instructions it has (the median over the toolchains).
    pub instructions: u32,
}

/// Known functions and their vectors, all of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    entries: Vec<Entry>,
    vectors: Compact,
    model: String,
}

/// A function of the training packages while the set is being made.
struct Group<'a> {
    samples: Vec<usize>,
    first: &'a Sample,
    plain: Option<Vec<f32>>,
    optimised: Option<Vec<f32>>,
    instructions: u32,
}

impl Reference {
    /// A set of no function, for a model directory without one.
    pub fn empty(model: &str, width: usize) -> Reference {
        Reference {
            entries: Vec::new(),
            vectors: Compact::plain(Matrix::new(width)),
            model: model.to_owned(),
        }
    }

    /// Makes the set from training samples and their vectors, keeping at most
    /// `limit` vectors.
    ///
    /// Functions of the same name and the same source body are one, whichever
    /// packages they are in. Each has the mean of its unoptimised vectors and
    /// the mean of its optimised ones; the two become one where they are alike,
    /// and are made one from the most alike onwards where `limit` demands it.
    /// If that is not enough, the smallest functions are left out.
    ///
    /// # Errors
    ///
    /// Where there is not one vector for each sample.
    pub fn build(
        samples: &[Sample],
        vectors: &Matrix,
        model: &str,
        limit: usize,
    ) -> Result<Reference, Error> {
        const ALIKE: f32 = 0.92;
        if samples.len() != vectors.len() {
            return Err(Error::Mismatch {
                vectors: vectors.len(),
                samples: samples.len(),
            });
        }
        let mut by_key: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, sample) in samples.iter().enumerate() {
            by_key
                .entry((&sample.name, &sample.source_hash))
                .or_default()
                .push(index);
        }
        let mut groups: Vec<Group<'_>> = by_key
            .into_values()
            .map(|members| Group::new(samples, vectors, members))
            .collect();
        // The two halves of these could be told apart; the further apart, the
        // later they are made one.
        let mut distances: Vec<f32> = groups.iter().filter_map(Group::likeness).collect();
        distances.sort_unstable_by(|a, b| b.total_cmp(a));
        let singles = groups.len();
        let alike = distances
            .iter()
            .filter(|&&likeness| likeness >= ALIKE)
            .count();
        let spare = limit.saturating_sub(singles);
        let merged = alike.max(distances.len().saturating_sub(spare));
        let threshold = merged
            .checked_sub(1)
            .map_or(f32::INFINITY, |last| distances[last]);
        if singles > limit {
            groups.sort_by_key(|group| std::cmp::Reverse(group.instructions));
            groups.truncate(limit);
        }
        groups.sort_by(|a, b| {
            let key = |g: &Group<'_>| (g.first.package.clone(), g.first.file.clone(), g.first.line);
            key(a).cmp(&key(b))
        });

        let (mut entries, mut kept) = (Vec::new(), Matrix::new(vectors.width()));
        let mut add = |entry: Entry, vector: &[f32]| {
            entries.push(entry);
            kept.push(vector);
        };
        for group in &groups {
            let split = group
                .likeness()
                .is_some_and(|likeness| likeness < threshold);
            match (&group.plain, &group.optimised) {
                (Some(plain), Some(optimised)) if split => {
                    add(group.entry(samples, Some(true)), plain);
                    add(group.entry(samples, Some(false)), optimised);
                }
                (Some(plain), Some(optimised)) => {
                    let mut both: Vec<f32> =
                        plain.iter().zip(optimised).map(|(a, b)| a + b).collect();
                    matrix::normalise(&mut both);
                    add(group.entry(samples, None), &both);
                }
                (Some(one), None) | (None, Some(one)) => {
                    add(group.entry(samples, None), one);
                }
                (None, None) => {}
            }
        }
        Ok(Reference {
            entries,
            vectors: Compact::of(&kept),
            model: model.to_owned(),
        })
    }

    /// The entries of `self` and of `other`, with the vectors of both as they are.
    ///
    /// # Panics
    ///
    /// When the widths of their vectors differ.
    pub fn joined(&self, other: &Reference) -> Reference {
        let mut vectors = self.vectors.vectors();
        let others = other.vectors.vectors();
        for row in 0..others.len() {
            vectors.push(others.row(row));
        }
        Reference {
            entries: self.entries.iter().chain(&other.entries).cloned().collect(),
            vectors: Compact::plain(vectors),
            model: self.model.clone(),
        }
    }

    /// What is known of each vector's function.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The vectors, in the order of the entries.
    pub fn vectors(&self) -> &Compact {
        &self.vectors
    }

    /// The id of the model that made the vectors.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Writes the set as a Parquet file, under a temporary name first.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let bad = |error: &dyn std::fmt::Display| Error::malformed(path, error);
        let texts = |value: fn(&Entry) -> &str| -> ArrayRef {
            Arc::new(
                self.entries
                    .iter()
                    .map(|entry| Some(value(entry)))
                    .collect::<StringArray>(),
            )
        };
        let numbers = |value: fn(&Entry) -> u32| -> ArrayRef {
            Arc::new(self.entries.iter().map(value).collect::<UInt32Array>())
        };
        // Sets on no axes (none has been written yet) get theirs.
        let found;
        let compact = if self.vectors.axes().is_some() {
            &self.vectors
        } else {
            found = Compact::of(&self.vectors.vectors());
            &found
        };
        let axes = compact.axes().map_or(&[][..], Matrix::values);
        let count = compact.axes().map_or(0, Matrix::len);
        // No width may be 0, as that of an empty set would be.
        let count = i32::try_from(count.max(1)).map_err(|e| bad(&e))?;
        let bytes = compact.bytes().into();
        let vectors: ArrayRef = Arc::new(FixedSizeBinaryArray::new(count, bytes, None));
        let batch = RecordBatch::try_from_iter([
            ("name", texts(|e| &e.name)),
            ("explanation", texts(|e| &e.explanation)),
            ("package", texts(|e| &e.package)),
            ("version", texts(|e| &e.version)),
            ("file", texts(|e| &e.file)),
            ("line", numbers(|e| e.line)),
            ("license", texts(|e| &e.license)),
            ("toolchains", texts(|e| &e.toolchains)),
            ("also_in", texts(|e| &e.also_in)),
            ("instructions", numbers(|e| e.instructions)),
            ("vector", vectors),
        ])
        .map_err(|e| bad(&e))?;
        let key = |name: &str, value: &str| KeyValue::new(name.to_owned(), value.to_owned());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(
                ZstdLevel::try_new(19).map_err(|e| bad(&e))?,
            ))
            // The coordinates on one axis are alike: one after another, they
            // compress better.
            .set_column_dictionary_enabled("vector".into(), false)
            .set_column_encoding("vector".into(), Encoding::BYTE_STREAM_SPLIT)
            .set_key_value_metadata(Some(vec![
                key(SCHEMA_KEY, SCHEMA),
                key(MODEL_KEY, &self.model),
                key(AXES_KEY, &BASE64_STANDARD.encode(floats(axes))),
                key(WIDTH_KEY, &compact.width().to_string()),
            ]))
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))
            .map_err(|e| bad(&e))?;
        writer.write(&batch).map_err(|e| bad(&e))?;
        writer.close().map_err(|e| bad(&e))?;
        write_whole(path, &bytes)
    }

    /// Reads a set, and refuses one that another model than `model` made.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is damaged, or is of another model.
    pub fn read(path: &Path, model: &str) -> Result<Reference, Error> {
        let bad = |error: &dyn std::fmt::Display| Error::malformed(path, error);
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| bad(&e))?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let value = |name: &str| {
            let mut pairs = metadata.into_iter().flatten();
            pairs
                .find(|pair| pair.key == name)
                .and_then(|pair| pair.value.clone())
        };
        if value(SCHEMA_KEY).as_deref() != Some(SCHEMA) {
            return Err(bad(&format!("its {SCHEMA_KEY} is not {SCHEMA}")));
        }
        let found = value(MODEL_KEY).unwrap_or_default();
        if found != model {
            let (path, expected) = (path.to_owned(), model.to_owned());
            return Err(Error::OtherModel {
                path,
                found,
                expected,
            });
        }
        let axes = BASE64_STANDARD
            .decode(value(AXES_KEY).unwrap_or_default())
            .map_err(|e| bad(&e))?;
        let axes: Vec<f32> = axes
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let width: usize = (value(WIDTH_KEY).unwrap_or_default())
            .parse()
            .map_err(|e| bad(&e))?;
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        for batch in builder.build().map_err(|e| bad(&e))? {
            let batch = batch.map_err(|e| bad(&e))?;
            let column = |name: &str| {
                batch
                    .column_by_name(name)
                    .ok_or_else(|| bad(&format!("no column `{name}`")))
            };
            let texts = |name: &str| -> Result<StringArray, Error> {
                let column = column(name)?.as_string_opt::<i32>();
                column
                    .cloned()
                    .ok_or_else(|| bad(&format!("column `{name}` is not text")))
            };
            let numbers = |name: &str| -> Result<UInt32Array, Error> {
                let column = column(name)?.as_primitive_opt::<UInt32Type>();
                column
                    .cloned()
                    .ok_or_else(|| bad(&format!("column `{name}` is not of numbers")))
            };
            let (names, explanations) = (texts("name")?, texts("explanation")?);
            let (packages, versions) = (texts("package")?, texts("version")?);
            let (files, lines) = (texts("file")?, numbers("line")?);
            let (licenses, toolchains) = (texts("license")?, texts("toolchains")?);
            let (also, instructions) = (texts("also_in")?, numbers("instructions")?);
            let vectors = column("vector")?
                .as_fixed_size_binary_opt()
                .ok_or_else(|| bad(&"column `vector` is not of fixed size"))?;
            for row in 0..batch.num_rows() {
                bytes.extend_from_slice(vectors.value(row));
                entries.push(Entry {
                    name: names.value(row).to_owned(),
                    explanation: explanations.value(row).to_owned(),
                    package: packages.value(row).to_owned(),
                    version: versions.value(row).to_owned(),
                    file: files.value(row).to_owned(),
                    line: lines.value(row),
                    license: licenses.value(row).to_owned(),
                    toolchains: toolchains.value(row).to_owned(),
                    also_in: also.value(row).to_owned(),
                    instructions: instructions.value(row),
                });
            }
        }
        let vectors = Compact::from_parts(axes, width, &bytes)
            .filter(|vectors| vectors.len() == entries.len())
            .ok_or_else(|| bad(&"its vectors are not of its axes"))?;
        Ok(Reference {
            entries,
            vectors,
            model: model.to_owned(),
        })
    }
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl<'a> Group<'a> {
    fn new(samples: &'a [Sample], vectors: &Matrix, members: Vec<usize>) -> Group<'a> {
        let mean = |plain: bool| -> Option<Vec<f32>> {
            let chosen = members
                .iter()
                .filter(|&&index| (samples[index].level == "O0") == plain);
            let mut sum = vec![0.0f32; vectors.width()];
            let mut count = 0;
            for &index in chosen {
                count += 1;
                sum.iter_mut()
                    .zip(vectors.row(index))
                    .for_each(|(s, x)| *s += x);
            }
            matrix::normalise(&mut sum);
            (count > 0).then_some(sum)
        };
        let (plain, optimised) = (mean(true), mean(false));
        let mut sizes: Vec<u32> = members.iter().map(|&i| samples[i].instructions).collect();
        sizes.sort_unstable();
        let first = members
            .iter()
            .map(|&index| &samples[index])
            .min_by_key(|sample| (&sample.package, &sample.file, sample.line))
            .unwrap_or(&samples[members[0]]);
        Group {
            first,
            plain,
            optimised,
            instructions: sizes[sizes.len() / 2],
            samples: members,
        }
    }

    /// How alike the two means are, where there are two.
    fn likeness(&self) -> Option<f32> {
        Some(matrix::dot(self.plain.as_ref()?, self.optimised.as_ref()?))
    }

    /// The entry of the unoptimised half, the optimised half, or both.
    fn entry(&self, samples: &[Sample], half: Option<bool>) -> Entry {
        let members = || {
            let all = self.samples.iter().map(|&index| &samples[index]);
            all.filter(move |sample| half.is_none_or(|plain| (sample.level == "O0") == plain))
        };
        let compilers: BTreeSet<&str> = members().map(|s| s.compiler.as_str()).collect();
        let levels: BTreeSet<&str> = members().map(|s| s.level.as_str()).collect();
        // gcc before clang, as everywhere.
        let compilers: Vec<&str> = compilers.into_iter().rev().collect();
        let levels = match (levels.first(), levels.last()) {
            (Some(first), Some(last)) if first != last => format!("{first}-{last}"),
            (Some(first), _) => (*first).to_owned(),
            _ => String::new(),
        };
        let packages: BTreeSet<&str> = self
            .samples
            .iter()
            .map(|&index| samples[index].package.as_str())
            .filter(|package| *package != self.first.package)
            .collect();
        let comment = members().find_map(|sample| sample.comment.as_deref());
        let comment = comment.map(|comment| binscribe_model::text::first_sentences(comment, 160));
        Entry {
            name: self.first.name.clone(),
            explanation: comment
                .filter(|comment| text::words(comment).len() >= 2)
                .unwrap_or_else(|| text::name_in_words(&self.first.name)),
            package: self.first.package.clone(),
            version: self.first.version.clone(),
            file: self.first.file.clone(),
            line: self.first.line,
            license: self.first.license.clone(),
            toolchains: format!("{} {levels}", compilers.join("+")),
            also_in: packages.into_iter().collect::<Vec<_>>().join(", "),
            instructions: self.instructions,
        }
    }
}

/// Writes a file under a temporary name beside it and renames it, so that a
/// killed run leaves nothing half-written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| {
            // The first error is the one to tell of.
            let _ = std::fs::remove_file(&temporary);
            Error::io(path, error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, package: &str, level: &str, body: &str) -> Sample {
        Sample {
            name: name.to_owned(),
            package: package.to_owned(),
            compiler: "gcc".to_owned(),
            level: level.to_owned(),
            source_hash: body.to_owned(),
            comment: (name == "xmalloc")
                .then(|| "Allocate N bytes, or die. See malloc.".to_owned()),
            instructions: 10,
            ..Sample::default()
        }
    }

    fn built(limit: usize) -> Reference {
        let samples = [
            sample("xmalloc", "b", "O0", "1"),
            sample("xmalloc", "a", "O2", "1"),
            sample("crc", "a", "O0", "2"),
            sample("crc", "a", "O3", "2"),
            sample("only", "c", "O2", "3"),
        ];
        let vectors = Matrix::from_rows(&[
            [1.0f32, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, 0.0, 1.0],
            [0.0, 0.1f32, 0.995],
            [0.6, 0.8, 0.0],
        ]);
        Reference::build(&samples, &vectors, "m1", limit).expect("a set")
    }

    #[test]
    fn halves_are_kept_apart_unless_alike() {
        let set = built(100);
        let lines: Vec<String> = set
            .entries()
            .iter()
            .map(|e| {
                format!(
                    "{} [{}] {} +{} {}",
                    e.name, e.toolchains, e.package, e.also_in, e.explanation
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                "crc [gcc O0-O3] a + crc",
                "xmalloc [gcc O0] a +b Allocate N bytes, or die",
                "xmalloc [gcc O2] a +b Allocate N bytes, or die",
                "only [gcc O2] c + only",
            ]
        );
    }

    #[test]
    fn the_limit_is_kept() {
        assert_eq!(built(3).entries().len(), 3);
        assert_eq!(built(1).entries().len(), 1);
    }

    #[test]
    fn written_and_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        let set = built(100);
        set.write(&path).expect("written");
        let read = Reference::read(&path, "m1").expect("read");
        assert_eq!(read, set);
        let refused = Reference::read(&path, "m2").expect_err("another model");
        assert!(matches!(refused, Error::OtherModel { .. }), "{refused}");
        std::fs::write(&path, b"nonsense").expect("written");
        assert!(matches!(
            Reference::read(&path, "m1"),
            Err(Error::Malformed { .. })
        ));
        Reference::empty("m1", 3).write(&path).expect("written");
        assert!(
            Reference::read(&path, "m1")
                .expect("read")
                .entries()
                .is_empty()
        );
    }
}
