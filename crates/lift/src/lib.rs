//! Bytes in, functions and their listings out.
//!
//! [`Program::parse`] reads one executable, shared object or relocatable file
//! and finds its functions; [`Program::listing`] writes one of them down as
//! text in the IDA/MASM dialect, which is what the models of this project were
//! trained on and what a reader of disassembly is used to.
//!
//! * [`Program`] — a file as we understood it, with [`BinaryInfo`] and
//!   [`Diagnostic`]s about what we could not understand;
//! * [`Function`] — start, ranges (`.cold` parts merged in), name if known, how
//!   it was found and how sure that is;
//! * [`Listing`] — its instructions as text, and [`Facts`] for search and
//!   display: calls, strings, distinctive constants.
//!
//! [`open`] takes a program out of what it comes in: compressed files, packages
//! and archives. [`members`] takes an archive of object files apart, or a
//! universal file of macOS, each part of which is a program of its own. [`Program::parse_raw`] reads code without any
//! format, as it lies in a device.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = std::fs::read("/usr/bin/diff")?;
//! let program = binscribe_lift::Program::parse(&bytes)?;
//! for function in program.functions() {
//!     let listing = program.listing(function);
//!     let first = listing.lines().next().map_or("", |line| line.text);
//!     println!("{:#x} {} {first}", function.address, function.display_name());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Design constraints
//!
//! Input is hostile. Nothing here panics, and nothing allocates by a number
//! that a file claims: sections are slices of the file, functions never
//! overlap, so that all listings together cover each byte of code once at most,
//! and a string or name that a file brings is cut and cleaned when it is read.
//! What is unpacked is bounded by the size of the file.
//! The crate knows no file system, network, clock or environment: it cannot
//! fail for a reason outside its arguments.

#![forbid(unsafe_code)]

mod address;
mod archive;
mod constants;
mod demangle;
mod discover;
mod error;
mod flow;
mod frame;
mod image;
mod listing;
mod masm;
mod memo;
mod names;
mod pen;
mod program;
mod risc;
mod shape;
mod skip;
mod stdcall;
mod step;
mod strings;
mod tables;

pub use archive::{Contents, Member, is_archive, members, open};
pub use constants::{KnownConstant, known_constant};
pub use demangle::demangle;
pub use error::Error;
pub use flow::Block;
pub use listing::{Call, Facts, Line, Listing};
pub use program::{
    Arch, BinaryInfo, BinaryKind, Diagnostic, Format, Function, Kind, Program, Source,
};
pub use tables::KnownTable;
