use std::path::PathBuf;

/// What can go wrong with a model directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the model directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the model directory does not hold what its name says.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A graph could not be run.
    #[error("{}: {reason}", path.display())]
    Inference {
        /// The graph's file.
        path: PathBuf,
        /// What the runtime said.
        reason: String,
    },
    /// No model was named and there is none in the usual places.
    #[error(
        "no model directory found: set BINSCRIBE_MODEL, or put one at {}",
        places(candidates)
    )]
    NoModel {
        /// The places.
        candidates: Vec<PathBuf>,
    },
    /// A tokenizer could not be trained, read or written.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// What should be functions in CLAP's form is something else.
    #[error("not a file of CLAP's form: {0}")]
    ClapInput(String),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Error {
        Error::Io {
            path: path.into(),
            source,
        }
    }

    pub(crate) fn bad_file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Error {
        Error::BadFile {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

fn places(candidates: &[PathBuf]) -> String {
    let places: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
    places.join(" or ")
}
