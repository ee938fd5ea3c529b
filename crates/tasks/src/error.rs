//! What can go wrong with the files of a model directory that belong to tasks.

use std::path::PathBuf;

/// Why a reference set or a calibration could not be used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("{path}: not a usable file of a model directory: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is no report of an evaluation.
    #[error(
        "{path}: not what `binscribe eval TASK --format json` of this version prints: {reason}; \
         measure it again"
    )]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a file of labels is not what it should be.
    #[error(
        "{path}:{line}: give four columns with tabs between them: package, file, function, label \
         ({reason})"
    )]
    Labels {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A list of labels cannot be used.
    #[error("{path}:{line}: give up to 1000 labels, one on each line ({reason})")]
    LabelList {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// No picture could be drawn.
    #[error("the picture could not be drawn: {0}")]
    Plot(String),
    /// The vectors were made by another model, so comparing them would give
    /// nonsense.
    #[error(
        "{path}: made with model {found}, but this is model {expected}; \
         make it again with `binscribe model export`"
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// The model that made it.
        found: String,
        /// The model in use.
        expected: String,
    },
    /// Vectors and samples that should go together do not.
    #[error("{vectors} vectors were given for {samples} samples")]
    Mismatch {
        /// How many vectors.
        vectors: usize,
        /// How many samples.
        samples: usize,
    },
    /// Nothing can be calibrated on so little.
    #[error(
        "the {what} cannot be calibrated: of {answers} answers {right} were right, and both right \
         and wrong ones are needed; give a corpus with more functions in its validation split"
    )]
    TooLittleData {
        /// What was to be calibrated.
        what: &'static str,
        /// How many answers there were.
        answers: usize,
        /// How many of them were right.
        right: usize,
    },
}

impl Error {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Error {
        Error::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(path: &std::path::Path, reason: impl std::fmt::Display) -> Error {
        Error::Malformed {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
