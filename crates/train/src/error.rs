use std::path::{Path, PathBuf};

/// Why a training run could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The recipe asks for something that does not exist.
    #[error("recipe: {0}")]
    Recipe(String),
    /// The corpus has too little of something.
    #[error("corpus: {0}")]
    Corpus(String),
    /// Reading rows failed.
    #[error(transparent)]
    Rows(#[from] binscribe_corpus::Error),
    /// The assembly tokenizer or the configuration failed.
    #[error(transparent)]
    Model(#[from] binscribe_model::Error),
    /// The text encoder's tokenizer failed.
    #[error("text tokenizer: {0}")]
    TextTokenizer(String),
    /// A line of a file of pairs cannot be read.
    #[error(
        "{}, line {line}: not a chat with a user's message and an assistant's; \
         `corpus export --chat` writes them",
        path.display()
    )]
    Pairs {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A weight file lacks a tensor or has another shape of it.
    #[error("{}: no tensor {name} of the right shape", path.display())]
    Weights {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        name: String,
    },
    /// The loss is not a number any more.
    #[error("the loss of step {step} of {stage} is not finite; lower the learning rate")]
    Diverged {
        /// Which stage.
        stage: String,
        /// Which step of it.
        step: u64,
    },
    /// The loss curve could not be drawn.
    #[error("loss curve: {0}")]
    Plot(String),
    /// The processes that train one model do not find or understand each other.
    #[error("{0}")]
    World(String),
    /// The run directory holds another run, or none where one is to go on.
    #[error("{}: {reason}", path.display())]
    RunDirectory {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
