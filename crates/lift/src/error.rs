//! Why a file could not be read at all.

use crate::{Arch, Contents, Format};

/// Why bytes are not a [`Program`](crate::Program). Each message is one
/// sentence, fit to be shown to a user after the name of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a program of a format that is read.
    #[error("not an ELF, PE or Mach-O file: it looks like {looks_like}")]
    NotProgram {
        /// What the first bytes suggest, with an article: `a script`.
        looks_like: &'static str,
    },
    /// A program for a processor that this version does not read.
    #[error("{} for {architecture}, which this version does not read", format.with_article())]
    UnsupportedArchitecture {
        /// The file's format.
        format: Format,
        /// Name or number of the architecture.
        architecture: String,
    },
    /// No processor is called that.
    #[error("no processor `{id}`: one of {}", arch_ids())]
    UnknownArchitecture {
        /// The name, fit to print.
        id: String,
    },
    /// A file that is not a program: a core dump, for example.
    #[error("{}, but {kind} and not an executable, a library or an object file", format.with_article())]
    UnsupportedKind {
        /// The file's format.
        format: Format,
        /// What it is, with an article.
        kind: String,
    },
    /// The file ends before something that its headers promise.
    #[error("a truncated {format}: {what} ends at byte {needed}, the file at byte {available}")]
    Truncated {
        /// The file's format.
        format: Format,
        /// What is cut off.
        what: &'static str,
        /// Where it should end.
        needed: u64,
        /// How long the file is.
        available: u64,
    },
    /// The headers contradict themselves.
    #[error("a malformed {format}: {what}")]
    Malformed {
        /// The file's format.
        format: Format,
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing in the file is executable.
    #[error("{} without code", format.with_article())]
    NoCode {
        /// The file's format.
        format: Format,
    },
    /// An archive of object files, each of which is a program of its own.
    #[error("an archive with {members} {}: name one of them as FILE:MEMBER", if *members == 1 { "member" } else { "members" })]
    Archive {
        /// How many files are in it.
        members: usize,
    },
    /// An archive that has only the names of its members.
    #[error("a thin archive, which names files and does not hold them: name one of those files")]
    ThinArchive,
    /// An archive in which no member can be read.
    #[error("an archive without a readable member")]
    EmptyArchive,
    /// The names of a PDB are for PE files.
    #[error("{}, which takes no names from a PDB", format.with_article())]
    PdbNotTaken {
        /// The program's format.
        format: Format,
    },
    /// The program was linked without a PDB.
    #[error("a PE file that names no PDB")]
    PdbNotNamed,
    /// The bytes are not a PDB.
    #[error("not a PDB file of Visual C++ 7.0 or later")]
    NotPdb,
    /// A PDB that contradicts itself.
    #[error("a malformed PDB file: {what}")]
    MalformedPdb {
        /// What is wrong.
        what: &'static str,
    },
    /// A PDB of another program, or of another build of it.
    #[error("a PDB of another build: it is {pdb}, the program has {program}")]
    OtherPdb {
        /// GUID and age of the PDB.
        pdb: String,
        /// Those that the program names.
        program: String,
    },
    /// The bytes are not an archive.
    #[error("neither an archive nor a package")]
    NotArchive,
    /// A file that holds programs and is none.
    #[error("{}: name one of its members as FILE:MEMBER; it has {}", .0.kind, .0)]
    Container(Contents),
    /// A container does not have what was asked for.
    #[error("no member `{member}`: it has {contents}")]
    NoMember {
        /// The member, fit to print.
        member: String,
        /// What there is.
        contents: Contents,
    },
    /// A member that only names another file.
    #[error("a symbolic link to `{target}`, which is not followed: name that file")]
    SymbolicLink {
        /// Where it leads, fit to print.
        target: String,
    },
    /// Archives in archives in archives.
    #[error("archives that are nested too deep: unpack the outer ones first")]
    NestedTooDeep,
    /// What a container holds cannot be unpacked.
    #[error("damaged or cut off: the {what} in it cannot be read")]
    Damaged {
        /// What it should be, without an article: `xz data`.
        what: &'static str,
    },
    /// Unpacking would take more memory than the file's size allows.
    #[error(
        "too large to be unpacked here, where {mebibytes} MiB are kept at most of a file of this \
         size: unpack it and name one program"
    )]
    TooLarge {
        /// What is kept at most.
        mebibytes: u64,
    },
    /// Compressed so that more memory is needed than any file is given.
    #[error("{name} data with a window of more than {} MiB: unpack it first", crate::archive::MAX_WINDOW >> 20)]
    Window {
        /// How it is compressed.
        name: &'static str,
    },
    /// Compressed in a way that is not read.
    #[error("compressed with {name}, which this version does not read: unpack it first")]
    UnsupportedCompression {
        /// The format.
        name: &'static str,
    },
}

fn arch_ids() -> String {
    let ids: Vec<&str> = Arch::ALL.iter().map(|arch| arch.id()).collect();
    ids.join(", ")
}
