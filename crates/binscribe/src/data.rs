//! The rows of a corpus as samples of the tasks.

use std::path::Path;

use anyhow::{Result, bail};
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
    for file in binscribe_corpus::row_files(&rows)? {
        for row in binscribe_corpus::read_rows(&file)? {
            match row.split.as_str() {
                "train" => splits.train.push(sample(row)),
                "validation" => splits.validation.push(sample(row)),
                "test" => splits.test.push(sample(row)),
                other => bail!("{}: a row of the unknown split `{other}`", file.display()),
            }
        }
    }
    Ok(splits)
}

impl Splits {
    /// Takes out the samples of a split that is only looked at; `unseen` is both
    /// of them.
    pub(crate) fn take(&mut self, split: &str) -> Result<Vec<Sample>> {
        let mut samples = match split {
            "validation" => std::mem::take(&mut self.validation),
            _ => std::mem::take(&mut self.test),
        };
        if split == "unseen" {
            samples.append(&mut self.validation);
        }
        if samples.is_empty() {
            bail!("the corpus has no functions of the {split} split: build packages of it");
        }
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
        arch: row.arch,
        format: row.format,
        variants: row.variants,
        obfuscation: row.obfuscation,
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
