use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::Field;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Serialize, Serializer};

use super::functions::SourceFunction;
use crate::error::{At as _, Error, Result};
use crate::process::Lock;
use crate::row::{self, Row};

/// Who said what a function does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Its authors, in a comment.
    Doc,
    /// A large model of this name.
    Teacher(String),
    /// A small model of this name, fine-tuned on the answers of a teacher.
    Shadow(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Doc => write!(f, "doc"),
            Origin::Teacher(model) => write!(f, "teacher:{model}"),
            Origin::Shadow(model) => write!(f, "shadow:{model}"),
        }
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Origin> {
        match text.split_once(':') {
            None if text == "doc" => Ok(Origin::Doc),
            Some(("teacher", model)) if !model.is_empty() => Ok(Origin::Teacher(model.to_owned())),
            Some(("shadow", model)) if !model.is_empty() => Ok(Origin::Shadow(model.to_owned())),
            _ => Err(Error::Origin(text.to_owned())),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Origin {
    /// A name for its files. Models are named with slashes and colons, so the
    /// readable part is not enough to tell two of them apart.
    pub(crate) fn slug(&self) -> String {
        if *self == Origin::Doc {
            return "doc".to_owned();
        }
        let name = self.to_string();
        let readable: String = name
            .chars()
            .take(60)
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' => c,
                _ => '-',
            })
            .collect();
        format!(
            "{readable}-{}",
            &blake3::hash(name.as_bytes()).to_hex()[..8]
        )
    }
}

/// What one function does, as one origin says. There is no time in it: the
/// same answers make the same file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The first function with this body.
    pub function_id: String,
    /// Joins it with rows.
    pub source_hash: String,
    /// The explanation, on one line.
    pub text: String,
    /// Who says so.
    pub origin: Origin,
    /// Stands for what was asked of which model; empty for comments.
    pub prompt_hash: String,
    /// Tokens of question and answer; an equal share of those of a batch.
    pub tokens: u32,
    /// See [`Quality`](super::Quality).
    pub quality: f32,
}

/// Version of the schema, kept in each file under [`SCHEMA_KEY`].
const SCHEMA: &str = "1";
/// Metadata key of the schema's version; another than that of rows, so that
/// neither is taken for the other.
const SCHEMA_KEY: &str = "binscribe.explanations";

/// Writes explanations as one Parquet file, under a temporary name first.
pub fn write_explanations(path: &Path, explanations: &[Explanation]) -> Result<()> {
    let text = |get: &dyn Fn(&Explanation) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(explanations.iter().map(get)))
    };
    let tokens = UInt32Array::from_iter_values(explanations.iter().map(|e| e.tokens));
    let quality = Float32Array::from_iter_values(explanations.iter().map(|e| e.quality));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("function_id", text(&|e| e.function_id.clone())),
        ("source_hash", text(&|e| e.source_hash.clone())),
        ("text", text(&|e| e.text.clone())),
        ("origin", text(&|e| e.origin.to_string())),
        ("prompt_hash", text(&|e| e.prompt_hash.clone())),
        ("tokens", Arc::new(tokens)),
        ("quality", Arc::new(quality)),
    ];
    let field = |(name, values): (&str, ArrayRef)| {
        let field = Field::new(name, values.data_type().clone(), false);
        (field, values)
    };
    let columns = columns.into_iter().map(field).collect();
    row::write_columns(path, columns, [(SCHEMA_KEY, SCHEMA.to_owned())], 9)
}

/// Reads one Parquet file of explanations.
pub fn read_explanations(path: &Path) -> Result<Vec<Explanation>> {
    let wrong = |reason: String| Error::Rows {
        path: path.into(),
        reason,
    };
    if row::metadata(path, SCHEMA_KEY).as_deref() != Some(SCHEMA) {
        return Err(wrong(format!(
            "not a file of explanations: {SCHEMA_KEY} is not {SCHEMA}"
        )));
    }
    let file = fs::File::open(path).at(path)?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(e.to_string()))?;
    let mut all = Vec::new();
    for batch in builder.build().map_err(|e| wrong(e.to_string()))? {
        let batch = batch.map_err(|e| wrong(e.to_string()))?;
        let text = |name| column::<StringArray>(&batch, name).map_err(&wrong);
        let (ids, hashes, texts) = (text("function_id")?, text("source_hash")?, text("text")?);
        let (origins, prompts) = (text("origin")?, text("prompt_hash")?);
        let tokens: &UInt32Array = column(&batch, "tokens").map_err(&wrong)?;
        let quality: &Float32Array = column(&batch, "quality").map_err(&wrong)?;
        for i in 0..batch.num_rows() {
            all.push(Explanation {
                function_id: ids.value(i).to_owned(),
                source_hash: hashes.value(i).to_owned(),
                text: texts.value(i).to_owned(),
                origin: origins.value(i).parse()?,
                prompt_hash: prompts.value(i).to_owned(),
                tokens: tokens.value(i),
                quality: quality.value(i),
            });
        }
    }
    Ok(all)
}

fn column<'b, T: Array + 'static>(batch: &'b RecordBatch, name: &str) -> Result<&'b T, String> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| format!("no column {name} of the type that it should have"))
}

/// Which explanation to take where there are several.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// `teacher:NAME` is that model, `teacher` any one; the first that a
    /// function has is taken.
    origins: Vec<String>,
    /// Explanations of a lower score are passed over.
    min_quality: f32,
}

impl FromStr for Preference {
    type Err = Error;

    /// Origins or kinds of them, best first: `teacher:gpt-4o,shadow,doc`.
    fn from_str(text: &str) -> Result<Preference> {
        let origins: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        for origin in &origins {
            if !matches!(origin.as_str(), "teacher" | "shadow") {
                origin.parse::<Origin>()?;
            }
        }
        Ok(Preference {
            origins,
            min_quality: 0.0,
        })
    }
}

impl Preference {
    /// Passes over explanations of a lower score.
    pub fn at_least(self, min_quality: f32) -> Preference {
        Preference {
            min_quality,
            ..self
        }
    }

    /// The place of an explanation in the order, none if it is not wanted.
    fn rank(&self, explanation: &Explanation) -> Option<usize> {
        if explanation.quality < self.min_quality {
            return None;
        }
        let name = explanation.origin.to_string();
        let kind = name.split(':').next().unwrap_or_default();
        self.origins.iter().position(|o| *o == name || o == kind)
    }

    /// Whether this origin is wanted at all.
    pub(crate) fn has(&self, explanation: &Explanation) -> bool {
        self.rank(explanation).is_some()
    }
}

/// Every explanation of a corpus.
#[derive(Clone, Debug, Default)]
pub struct Explanations {
    by_source: HashMap<String, Vec<Explanation>>,
}

impl Explanations {
    /// Reads them from a corpus directory; there may be none.
    pub fn read(corpus: &Path) -> Result<Explanations> {
        let dir = corpus.join(DIRECTORY);
        let mut by_source: HashMap<String, Vec<Explanation>> = HashMap::new();
        let files = if dir.is_dir() {
            row::row_files(&dir)?
        } else {
            Vec::new()
        };
        for file in files {
            for explanation in read_explanations(&file)? {
                by_source
                    .entry(explanation.source_hash.clone())
                    .or_default()
                    .push(explanation);
            }
        }
        Ok(Explanations { by_source })
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }

    /// All that is said of a body of source.
    pub fn of(&self, source_hash: &str) -> &[Explanation] {
        self.by_source.get(source_hash).map_or(&[], Vec::as_slice)
    }

    /// The preferred one; among equals the one of the better score.
    pub fn best(&self, source_hash: &str, preference: &Preference) -> Option<&Explanation> {
        self.of(source_hash)
            .iter()
            .filter_map(|e| Some((preference.rank(e)?, e)))
            .min_by(|(a, x), (b, y)| {
                a.cmp(b)
                    .then(y.quality.total_cmp(&x.quality))
                    .then(x.origin.cmp(&y.origin))
            })
            .map(|(_, explanation)| explanation)
    }

    /// Each row that has an explanation, with the preferred one.
    pub fn join<'a>(
        &'a self,
        rows: &'a [Row],
        preference: &'a Preference,
    ) -> impl Iterator<Item = (&'a Row, &'a Explanation)> {
        rows.iter()
            .filter_map(|row| Some((row, self.best(&row.source_hash, preference)?)))
    }
}

/// Where explanations lie in a corpus directory.
const DIRECTORY: &str = "explanations";

/// The explanations of a corpus, held by this process for writing.
pub struct ExplanationStore {
    dir: PathBuf,
    _lock: Lock,
}

impl fmt::Debug for ExplanationStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExplanationStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl ExplanationStore {
    /// Opens the explanations of a corpus directory; refuses while another
    /// process has them open.
    pub fn open(corpus: &Path) -> Result<ExplanationStore> {
        let dir = corpus.join(DIRECTORY);
        fs::create_dir_all(&dir).at(&dir)?;
        Ok(ExplanationStore {
            _lock: Lock::take(&dir)?,
            dir,
        })
    }

    /// Where a model's raw answers are kept.
    pub(crate) fn answers_path(&self, origin: &Origin) -> PathBuf {
        self.dir
            .join("answers")
            .join(format!("{}.jsonl", origin.slug()))
    }

    /// Writes the comments of functions as explanations, and returns how many
    /// there are.
    pub fn write_docs(&self, functions: &[SourceFunction]) -> Result<usize> {
        let docs = functions.iter().filter_map(|function| {
            Some(Explanation {
                function_id: function.function_id.clone(),
                source_hash: function.source_hash.clone(),
                text: function.comment.clone()?,
                origin: Origin::Doc,
                prompt_hash: String::new(),
                tokens: 0,
                quality: function.comment_quality,
            })
        });
        let docs: Vec<_> = docs.collect();
        write_explanations(&self.path(&Origin::Doc), &docs)?;
        Ok(docs.len())
    }

    /// What an origin has said so far.
    pub(crate) fn read(&self, origin: &Origin) -> Result<Vec<Explanation>> {
        let path = self.path(origin);
        if path.is_file() {
            read_explanations(&path)
        } else {
            Ok(Vec::new())
        }
    }

    /// The bodies of source that any teacher has explained.
    pub(crate) fn taught(&self) -> Result<HashSet<String>> {
        let mut taught = HashSet::new();
        for path in row::row_files(&self.dir)? {
            let all = read_explanations(&path)?;
            let by_teacher = |e: &Explanation| matches!(e.origin, Origin::Teacher(_));
            taught.extend(all.into_iter().filter(by_teacher).map(|e| e.source_hash));
        }
        Ok(taught)
    }

    /// Adds explanations of an origin; for a body that it has explained before,
    /// the new one counts.
    pub(crate) fn merge(&self, origin: &Origin, new: Vec<Explanation>) -> Result<()> {
        let all: BTreeMap<String, Explanation> = self
            .read(origin)?
            .into_iter()
            .chain(new)
            .map(|e| (e.source_hash.clone(), e))
            .collect();
        let all: Vec<_> = all.into_values().collect();
        write_explanations(&self.path(origin), &all)
    }

    fn path(&self, origin: &Origin) -> PathBuf {
        self.dir.join(format!("{}.parquet", origin.slug()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn explanation(hash: &str, origin: &str, quality: f32) -> Explanation {
        Explanation {
            function_id: format!("f{hash}"),
            source_hash: hash.into(),
            text: format!("{origin} says what {hash} does."),
            origin: origin.parse().unwrap(),
            prompt_hash: "p".into(),
            tokens: 7,
            quality,
        }
    }

    #[test]
    fn explanations_survive_a_file_and_are_no_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.parquet");
        let all = [
            explanation("1", "doc", 0.25),
            explanation("1", "teacher:qwen/qwen3:8b", 1.0),
            explanation("2", "shadow:ours", 0.5),
        ];
        write_explanations(&path, &all).unwrap();
        assert_eq!(read_explanations(&path).unwrap(), all);
        assert!(matches!(row::read_rows(&path), Err(Error::Rows { .. })));
        row::write_rows(&path, &[]).unwrap();
        assert!(matches!(read_explanations(&path), Err(Error::Rows { .. })));
    }

    #[test]
    fn rows_get_the_preferred_explanation() {
        let dir = tempfile::tempdir().unwrap();
        let store = ExplanationStore::open(dir.path()).unwrap();
        assert!(matches!(
            ExplanationStore::open(dir.path()),
            Err(Error::Busy { .. })
        ));
        for e in [
            explanation("1", "doc", 0.2),
            explanation("1", "shadow:s", 0.9),
            explanation("1", "teacher:a", 0.5),
            explanation("1", "teacher:b", 0.6),
            explanation("2", "doc", 0.2),
        ] {
            store.merge(&e.origin.clone(), vec![e]).unwrap();
        }
        let rows: Vec<Row> = ["1", "2", "1", "3"]
            .map(|hash| Row {
                source_hash: hash.into(),
                ..Row::default()
            })
            .into();
        let all = Explanations::read(dir.path()).unwrap();
        let check = |preference: &str, min: f32, expected: &[&str]| {
            let preference = preference.parse::<Preference>().unwrap().at_least(min);
            let origins: Vec<String> = all
                .join(&rows, &preference)
                .map(|(_, e)| e.origin.to_string())
                .collect();
            assert_eq!(origins, expected, "{preference:?}");
        };
        check("teacher,doc", 0.0, &["teacher:b", "doc", "teacher:b"]);
        check("teacher:a,doc", 0.0, &["teacher:a", "doc", "teacher:a"]);
        check("doc", 0.0, &["doc", "doc", "doc"]);
        check("doc,shadow", 0.5, &["shadow:s", "shadow:s"]);
        assert!("teecher".parse::<Preference>().is_err());
    }

    #[test]
    fn a_second_explanation_takes_the_place_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = ExplanationStore::open(dir.path()).unwrap();
        let origin = Origin::Teacher("m".into());
        let old = explanation("1", "teacher:m", 0.1);
        let new = explanation("1", "teacher:m", 0.9);
        let other = explanation("2", "teacher:m", 0.5);
        store.merge(&origin, vec![old, other.clone()]).unwrap();
        store.merge(&origin, vec![new.clone()]).unwrap();
        assert_eq!(store.read(&origin).unwrap(), [new, other]);
    }

    #[test]
    fn files_of_models_are_told_apart() {
        let slug = |name: &str| Origin::Teacher(name.into()).slug();
        assert_ne!(slug("a/b"), slug("a:b"));
        assert!(slug("../../etc/passwd").starts_with("teacher-..-..-etc-passwd-"));
    }
}
