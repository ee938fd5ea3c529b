//! Why a file could not be read at all.

/// Why bytes are not a [`Program`](crate::Program). Each message is one
/// sentence, fit to be shown to a user after the name of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an ELF file.
    #[error("not an ELF file: it looks like {looks_like}")]
    NotElf {
        /// What the first bytes suggest, with an article: `a PE file`.
        looks_like: &'static str,
    },
    /// An ELF file for a processor that this version does not read.
    #[error("an ELF file for {architecture}, but only x86-64 is supported")]
    UnsupportedArchitecture {
        /// Name or number of the architecture.
        architecture: String,
    },
    /// An ELF file that is not a program: a core dump, for example.
    #[error("an ELF file, but {kind} and not an executable, a shared object or an object file")]
    UnsupportedKind {
        /// What it is, with an article.
        kind: String,
    },
    /// The file ends before something that its headers promise.
    #[error("a truncated ELF file: {what} ends at byte {needed}, the file at byte {available}")]
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Where it should end.
        needed: u64,
        /// How long the file is.
        available: u64,
    },
    /// The ELF headers contradict themselves.
    #[error("a malformed ELF file: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing in the file is executable.
    #[error("an ELF file without code")]
    NoCode,
}
