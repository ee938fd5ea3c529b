//! Source packages in, rows for training and judging models out.
//!
//! A [`Manifest`] names Debian source packages at pinned versions, each on one
//! side of the experiment ([`Split`]). A [`Corpus`] is a directory in which they
//! are fetched and checked, built once under a recording compiler, and compiled
//! again under every [`Toolchain`]. All objects of a package under a toolchain
//! are linked into one program; that is stripped and listed by `binscribe-lift`
//! exactly as a user's file would be, and the debug information of its
//! unstripped twin joins each function with its definition and with what its
//! authors wrote above it: a [`Row`].
//!
//! Sources need not come from Debian: a package can also be a folder with a
//! project, a folder of files that each compile alone, or binaries that were
//! built elsewhere beside their sources ([`Kind`]).
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! use binscribe_corpus::{Corpus, Manifest, Stats, Toolchain, Watch, read_rows};
//!
//! # fn main() -> binscribe_corpus::Result<()> {
//! let manifest = Manifest::load(Path::new("recipes/corpus/default.toml"))?;
//! let corpus = Corpus::open(Path::new("corpus"), manifest)?;
//! let watch = Watch { report: &|_event| {}, stop: &AtomicBool::new(false) };
//! let names = ["zlib".to_owned()];
//! corpus.fetch(&names, watch)?;
//! corpus.build(&names, &Toolchain::installed()?, false, watch)?;
//! let rows = read_rows(&corpus.rows_dir())?;
//! let stats = Stats::of(&corpus.rows_dir())?;
//! # Ok(())
//! # }
//! ```
//!
//! Whatever is finished stays finished: downloads, recorded builds, objects and
//! files of rows are written under temporary names and renamed, so that a killed
//! run leaves nothing half-written and the next one goes on from there.

mod build;
mod comment;
mod dwarf;
mod error;
pub mod explain;
mod fetch;
mod files;
mod ir;
mod leak;
mod link;
mod manifest;
mod names;
mod obfuscate;
mod plot;
mod prebuilt;
mod process;
mod queue;
mod record;
mod replay;
mod row;
mod source;
mod stats;
mod store;
mod toolchain;
mod tree;
mod unit;
mod verify;
mod worker;

pub use build::{Corpus, Effort, Event, Unit, Usage, Watch};
pub use error::{Error, Result};
pub use manifest::{Binaries, Category, Kind, Language, Manifest, Package, Size, Split};
pub use obfuscate::{
    InvalidIr, OBFUSCATIONS, Obfuscated, ObfuscatedCompile, Obfuscation, ObfuscationReport,
    UnknownObfuscation, Unobfuscated, obfuscate,
};
pub use queue::{Added, Claim, Poison, QueueOptions, QueueStatus, Reason, WorkQueue};
pub use row::{Row, read_rows, row_files, write_rows};
pub use stats::{Histogram, Lengths, PackageStats, Stats};
pub use store::Store;
pub use toolchain::{COMPILERS, Container, LEVELS, Matrix, Target, Toolchain, Variant};
pub use unit::{Align, Rules, UnitStats};
pub use verify::{Fault, Verdict, verify};
pub use worker::{Shard, WorkEvent, Worked, Worker, unit_name};
