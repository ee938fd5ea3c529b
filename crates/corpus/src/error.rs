use std::path::{Path, PathBuf};

/// What can go wrong between a manifest and its rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, written or renamed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not valid TOML, or a field of it makes no sense.
    #[error("the manifest is not usable: {0}")]
    Manifest(String),
    /// A package was asked for that the manifest does not name.
    #[error("the manifest has no package {0:?}")]
    UnknownPackage(String),
    /// A program that the build needs could not be started.
    #[error("{program} could not be started ({source}); is it installed?")]
    MissingProgram {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A compiler is not installed, or does not work.
    #[error("no usable compiler: {0}")]
    Toolchain(String),
    /// The machine's package sources do not offer the manifest's release.
    #[error("no apt source on this machine offers the Debian suite {0:?} (looked in /etc/apt)")]
    NoMirror(String),
    /// The archive no longer has a pinned version, or could not be reached.
    #[error("{package} {version} could not be downloaded: {reason}")]
    Download {
        /// The source package.
        package: String,
        /// The pinned version.
        version: String,
        /// The last words of apt.
        reason: String,
    },
    /// A source file is not the one that was pinned.
    #[error("{file} has sha256 {found}, but the manifest pins {expected}")]
    Digest {
        /// The file's name.
        file: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The package's own build failed, so there is nothing to replay.
    #[error("{package}: `{command}` failed; see {}{}", log.display(), install(missing))]
    Build {
        /// The package.
        package: String,
        /// The failing line of the manifest.
        command: String,
        /// Its output.
        log: PathBuf,
        /// What the manifest says that it needs and the system does not have.
        missing: Vec<String>,
    },
    /// The package's own build succeeded without a compile that can be replayed.
    #[error("the build of {package} compiled no C file; see {}", log.display())]
    NothingCompiled {
        /// The package.
        package: String,
        /// Its output.
        log: PathBuf,
    },
    /// A unit could not be linked or stripped.
    #[error("{unit} could not be linked: {reason}")]
    Link {
        /// Package and toolchain.
        unit: String,
        /// The last words of the linker.
        reason: String,
    },
    /// A linked unit could not be read back.
    #[error("{unit}: {reason}")]
    Unit {
        /// Package and toolchain.
        unit: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A Parquet file is damaged or has another schema.
    #[error("{}: {reason}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture could not be drawn.
    #[error("the picture could not be drawn: {0}")]
    Plot(String),
    /// Not the name of who explains something.
    #[error("{0:?} is no origin of explanations: there are doc, teacher:MODEL and shadow:MODEL")]
    Origin(String),
    /// A model that explains functions failed.
    #[error("{name} could not explain: {reason}")]
    Explainer {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
    /// Another process is at work in the same place.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// An object store could not be opened, read or written.
    #[error("{url}: {reason}")]
    Store {
        /// The store or the object, without credentials.
        url: String,
        /// Why.
        reason: String,
    },
    /// The servers of a work queue could not be reached, or refused.
    #[error("the queue {queue} could not {doing}: {reason}")]
    Queue {
        /// The queue's name and servers, without credentials.
        queue: String,
        /// What was to be done.
        doing: String,
        /// Why.
        reason: String,
    },
    /// A unit or a queue has a name that cannot be part of a subject and a path.
    #[error("{0:?} cannot be a name: use 1 to 200 letters, digits, `-` and `_`")]
    Name(String),
    /// A share of the units was asked for that makes no sense.
    #[error("{0}")]
    Shard(String),
    /// The build was asked to stop; what is finished is kept.
    #[error("stopped; a later run goes on from here")]
    Stopped,
}

/// How to get what is missing.
fn install(missing: &[String]) -> String {
    match missing {
        [] => String::new(),
        names => format!("; first `apt-get install {}`", names.join(" ")),
    }
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds the path that an input/output error is about.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
    }
}
