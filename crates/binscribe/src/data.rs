//! The rows of a corpus as samples of the tasks.

use std::path::Path;

use anyhow::{Context, Result, bail};
use binscribe_corpus::Row;
use binscribe_tasks::Sample;

/// The functions of a corpus, by split.
#[derive(Debug, Default)]
pub(crate) struct Splits {
    pub(crate) train: Vec<Sample>,
    pub(crate) validation: Vec<Sample>,
    pub(crate) test: Vec<Sample>,
}

/// Reads every row of a corpus directory.
pub(crate) fn read(corpus: &Path) -> Result<Splits> {
    let rows = corpus.join("rows");
    if !rows.is_dir() {
        bail!(
            "{} has no rows: make them with `binscribe corpus build`, or name another corpus with \
             --corpus DIR",
            corpus.display()
        );
    }
    let mut splits = Splits::default();
    for row in binscribe_corpus::read_rows(&rows)? {
        match row.split.as_str() {
            "train" => splits.train.push(sample(row)),
            "validation" => splits.validation.push(sample(row)),
            "test" => splits.test.push(sample(row)),
            other => bail!("{}: a row of the unknown split `{other}`", rows.display()),
        }
    }
    Ok(splits)
}

impl Splits {
    /// The samples of a split that is only looked at.
    pub(crate) fn named(&self, split: &str) -> Result<&[Sample]> {
        let samples = match split {
            "validation" => &self.validation,
            _ => &self.test,
        };
        samples.first().with_context(|| {
            format!("the corpus has no functions of the {split} split: build packages of it")
        })?;
        Ok(samples)
    }
}

fn sample(row: Row) -> Sample {
    Sample {
        package: row.package,
        version: row.version,
        license: row.license,
        file: row.file,
        line: row.line,
        compiler: row.compiler,
        level: row.level,
        name: row.name,
        function_id: row.function_id,
        source_hash: row.source_hash,
        listing: row.listing,
        instructions: row.instructions,
        comment: row.comment,
    }
}

/// The packages of samples, each once, in order.
pub(crate) fn packages(samples: &[Sample]) -> Vec<String> {
    let mut packages: Vec<String> = samples
        .iter()
        .map(|sample| format!("{} {}", sample.package, sample.version))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}
