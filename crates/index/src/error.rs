//! What can go wrong with an index.

use std::path::{Path, PathBuf};

/// Why an index could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the index could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no index in this directory.
    #[error("{} is not an index: it has no {}", path.display(), crate::META)]
    NotIndex {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that holds something else is not made an index.
    #[error("{} is not empty and not an index: name a new directory", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the index does not hold what its name says.
    #[error("{}: damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The vectors are of another model.
    #[error(
        "{} holds vectors of model {found}, which say nothing of those of model {wanted}: name \
         that model's directory with --model, or make an index anew",
        path.display()
    )]
    OtherModel {
        /// The index, or a file of it.
        path: PathBuf,
        /// Whose vectors it holds.
        found: String,
        /// The model that was asked for.
        wanted: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        let path = path.to_owned();
        Error::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> Error {
        Error::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
