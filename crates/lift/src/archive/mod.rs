//! Files that hold other files: archives, packages, compressed data.
//!
//! [`open`] takes apart whatever a user may name, as far as one program. What
//! it unpacks is bounded by the size of the file (see [`Budget`]), so that no
//! small file becomes a large one in memory.

use std::borrow::Cow;
use std::fmt;

use crate::{Error, Format, strings};

mod ar;
mod compressed;
mod kernel;
mod tar;

pub use ar::is_archive;
pub use ar::{Member, members};
pub(crate) use compressed::MAX_WINDOW;
use compressed::{Compression, Source};
use tar::{Entry, Kind, Tar};

/// Names that a [`Contents`] keeps.
const SHOWN: usize = 20;
/// Layers that are opened, of compression and of archives: those of a
/// compressed object of a library in a compressed package.
const MAX_LAYERS: usize = 6;
/// Archives in archives: a library in a package.
const MAX_NESTING: usize = 2;
/// Hard links that are followed, one to another.
const MAX_LINKS: usize = 4;
/// Files of a tar archive that are looked at.
const MAX_FILES: usize = 1 << 20;

const MIB: u64 = 1 << 20;

/// What a container holds, in short: enough to tell a user what to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What holds it, with an article: `a Debian package`.
    pub kind: &'static str,
    /// The first programs, libraries and object files, by the names that
    /// [`open`] takes.
    pub programs: Vec<String>,
    /// How many there are of them.
    pub count: usize,
    /// Whether the container could be read to its end.
    pub complete: bool,
}

impl Contents {
    fn new(kind: &'static str) -> Contents {
        Contents {
            kind,
            programs: Vec::new(),
            count: 0,
            complete: true,
        }
    }

    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.programs.len() < SHOWN {
            self.programs.push(name());
        }
    }
}

/// `a.o, b.o and 3 more`.
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => f.write_str("no program")?,
            _ => f.write_str(&self.programs.join(", "))?,
        }
        match self.count.saturating_sub(self.programs.len()) {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        if !self.complete {
            f.write_str(", and could not be read to its end")?;
        }
        Ok(())
    }
}

/// What may still be unpacked, whatever the file claims. All layers of a file
/// share one.
///
/// A program seldom shrinks to less than a fifth. Memory beside the file itself
/// is what is kept, and one decompressor's window ([`compressed::MAX_WINDOW`]):
/// together less than 192 MiB and three times the file.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// Bytes that may be decompressed, most of which are passed by.
    read: u64,
    /// Bytes that may be kept.
    keep: u64,
    /// The same at the beginning, for messages.
    most: u64,
}

impl Budget {
    fn of(bytes: &[u8]) -> Budget {
        let size = bytes.len() as u64;
        let keep = size.saturating_mul(3).saturating_add(64 * MIB);
        Budget {
            read: size.saturating_mul(32).clamp(64 * MIB, 1024 * MIB),
            keep,
            most: keep,
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            mebibytes: self.most / MIB,
        }
    }

    /// Takes `count` bytes of what may be decompressed.
    fn read(&mut self, count: u64) -> Result<(), Error> {
        self.read = self.read.checked_sub(count).ok_or(self.too_large())?;
        Ok(())
    }

    /// Takes `count` bytes of what may be kept.
    fn keep(&mut self, count: u64) -> Result<(), Error> {
        self.keep = self.keep.checked_sub(count).ok_or(self.too_large())?;
        Ok(())
    }
}

/// The program that `bytes` are, or that `member` of them is.
///
/// Opens what programs come in: compressed files (gzip, xz, Zstandard, bzip2),
/// Linux kernel images, tar archives, Debian packages and `ar` archives.
/// Without `member` an archive is an error that lists what is in it. An archive
/// in an archive is named by one path more: `lib/libx.a:foo.o`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let package = std::fs::read("coreutils.deb")?;
/// let program = binscribe_lift::open(&package, Some("usr/bin/ls"))?;
/// let program = binscribe_lift::Program::parse(&program)?;
/// # Ok(())
/// # }
/// ```
pub fn open<'d>(bytes: &'d [u8], member: Option<&str>) -> Result<Cow<'d, [u8]>, Error> {
    let mut budget = Budget::of(bytes);
    let mut file = Cow::Borrowed(bytes);
    let mut path = member;
    let mut nesting = 0;
    for _ in 0..MAX_LAYERS {
        let before = path;
        let inner = match &file {
            Cow::Borrowed(bytes) => layer(bytes, &mut path, &mut budget)?,
            Cow::Owned(bytes) => match layer(bytes, &mut path, &mut budget)? {
                Some(Cow::Borrowed(part)) => {
                    budget.keep(part.len() as u64)?;
                    Some(Cow::Owned(part.to_vec()))
                }
                Some(Cow::Owned(whole)) => Some(Cow::Owned(whole)),
                None => None,
            },
        };
        nesting += usize::from(before != path);
        file = match (inner, path) {
            (Some(_), _) if nesting > MAX_NESTING => return Err(Error::NestedTooDeep),
            (Some(inner), _) => inner,
            (None, None) => return Ok(file),
            (None, Some(_)) => return Err(Error::NotArchive),
        };
    }
    Err(Error::NestedTooDeep)
}

/// Takes one layer off a file: what is compressed in it, or the member that
/// `path` begins with, which is then taken off `path`. `None` for a file that
/// holds no other.
fn layer<'a>(
    bytes: &'a [u8],
    path: &mut Option<&str>,
    budget: &mut Budget,
) -> Result<Option<Cow<'a, [u8]>>, Error> {
    if let Some(data) = debian_data(bytes)? {
        return from_tar("a Debian package", data, path, budget).map(Some);
    }
    if Compression::of(bytes).is_some() {
        let mut head = [0; tar::BLOCK];
        let mut source = Source::new(bytes)?;
        let length = source.fill(&mut head, &mut budget.clone())?;
        if tar::is_header(&head[..length]) {
            return from_tar("a tar archive", bytes, path, budget).map(Some);
        }
        let whole = Source::new(bytes)?.whole(budget)?;
        return Ok(Some(Cow::Owned(whole)));
    }
    if let Some(payload) = kernel::payload(bytes)? {
        let whole = Source::new(payload)?.whole(budget)?;
        return Ok(Some(Cow::Owned(whole)));
    }
    if bytes.get(..tar::BLOCK).is_some_and(tar::is_header) {
        return from_tar("a tar archive", bytes, path, budget).map(Some);
    }
    // A universal program can be read as it is.
    if path.is_none() && !is_archive(bytes) {
        return Ok(None);
    }
    let members = match members(bytes) {
        Ok(members) => members,
        Err(Error::NotArchive) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut contents = Contents::new("an archive");
    for member in &members {
        contents.add(|| member.name.clone());
    }
    let Some(wanted) = *path else {
        return Err(Error::Container(contents));
    };
    let found = members
        .iter()
        .filter_map(|member| Some((member, after(wanted, &member.name)?)))
        .max_by_key(|(member, _)| member.name.len());
    let Some((member, rest)) = found else {
        return Err(no_member(wanted, contents));
    };
    *path = rest;
    Ok(Some(Cow::Borrowed(member.bytes)))
}

fn no_member(wanted: &str, contents: Contents) -> Error {
    Error::NoMember {
        member: strings::clean(wanted.as_bytes()),
        contents,
    }
}

/// The archive of files in a Debian package.
fn debian_data(bytes: &[u8]) -> Result<Option<&[u8]>, Error> {
    let is_package = bytes
        .strip_prefix(ar::MAGIC)
        .is_some_and(|first| first.starts_with(b"debian-binary"));
    if !is_package {
        return Ok(None);
    }
    let members = members(bytes)?;
    let data = members
        .iter()
        .find(|member| member.name == "data.tar" || member.name.starts_with("data.tar."))
        .ok_or(Error::Damaged {
            what: "Debian package",
        })?;
    if data.name == "data.tar.lzma" {
        return Err(Error::UnsupportedCompression { name: "LZMA" });
    }
    Ok(Some(data.bytes))
}

/// The member of a tar archive that `path` begins with.
fn from_tar<'a>(
    kind: &'static str,
    bytes: &'a [u8],
    path: &mut Option<&str>,
    budget: &mut Budget,
) -> Result<Cow<'a, [u8]>, Error> {
    let Some(wanted) = *path else {
        return Err(Error::Container(list(kind, bytes, budget)?));
    };
    let (mut found, rest) = find(kind, bytes, tar::plain_path(wanted), budget)?;
    for _ in 0..MAX_LINKS {
        found = match found {
            Found::File(file) => {
                *path = rest;
                return Ok(Cow::Owned(file));
            }
            Found::Link(target) => find(kind, bytes, tar::plain_path(&target), budget)?.0,
        };
    }
    Err(Error::Damaged {
        what: "tar archive",
    })
}

enum Found {
    File(Vec<u8>),
    /// The name of another member, which is the same file.
    Link(String),
}

/// The programs of a tar archive.
fn list(kind: &'static str, bytes: &[u8], budget: &mut Budget) -> Result<Contents, Error> {
    let mut contents = Contents::new(kind);
    let mut tar = Tar::new(Source::new(bytes)?);
    for _ in 0..MAX_FILES {
        match tar.next(budget).and_then(|entry| {
            entry
                .map(|entry| note(&mut contents, entry, &mut tar, budget))
                .transpose()
        }) {
            Ok(Some(())) => {}
            Ok(None) => return Ok(contents),
            Err(error) if contents.count == 0 => return Err(error),
            Err(_) => break,
        }
    }
    contents.complete = false;
    Ok(contents)
}

/// Counts a member that is a program.
fn note(
    contents: &mut Contents,
    entry: Entry,
    tar: &mut Tar<'_>,
    budget: &mut Budget,
) -> Result<(), Error> {
    if entry.kind == Kind::File {
        let mut head = [0; 20];
        let length = tar.head(&mut head, budget)?;
        if is_program(&entry.name, &head[..length]) {
            contents.add(|| strings::clean(&entry.name));
        }
    }
    Ok(())
}

/// The member whose name `wanted` is or begins with, the longest such name, and
/// what follows the name. Of several members of one name it is the first.
fn find<'p>(
    kind: &'static str,
    bytes: &[u8],
    wanted: &'p str,
    budget: &mut Budget,
) -> Result<(Found, Option<&'p str>), Error> {
    let mut best: Option<(usize, Found, Option<&str>)> = None;
    let mut contents = Contents::new(kind);
    let mut tar = Tar::new(Source::new(bytes)?);
    for _ in 0..MAX_FILES {
        let Some(entry) = tar.next(budget)? else {
            break;
        };
        let Some(rest) = after_entry(wanted, &entry.name) else {
            note(&mut contents, entry, &mut tar, budget)?;
            continue;
        };
        let length = wanted.len() - rest.map_or(0, str::len);
        if best.as_ref().is_some_and(|(held, ..)| *held >= length) {
            continue;
        }
        let found = match entry.kind {
            Kind::File => {
                // At most one is held.
                if let Some((_, Found::File(held), _)) = best.take() {
                    budget.keep += held.len() as u64;
                }
                Found::File(tar.file(budget)?)
            }
            Kind::Link(target) => Found::Link(target),
            Kind::Symbolic(target) => {
                return Err(Error::SymbolicLink {
                    target: strings::clean(target.as_bytes()),
                });
            }
            Kind::Other => continue,
        };
        if rest.is_none() {
            return Ok((found, None));
        }
        best = Some((length, found, rest));
    }
    match best {
        Some((_, found, rest)) => Ok((found, rest)),
        None => Err(no_member(wanted, contents)),
    }
}

/// What follows the name of a member in a path: nothing, or after a colon or in
/// parentheses the path of a member in that member.
fn after<'p>(path: &'p str, name: &str) -> Option<Option<&'p str>> {
    let rest = path.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(None);
    }
    let inner = rest
        .strip_prefix(':')
        .or_else(|| rest.strip_prefix('(')?.strip_suffix(')'))?;
    Some(Some(inner))
}

/// The same for names as they are stored: the user may have typed what a
/// message showed, in which some characters are replaced.
fn after_entry<'p>(path: &'p str, name: &[u8]) -> Option<Option<&'p str>> {
    std::str::from_utf8(name)
        .ok()
        .and_then(|name| after(path, name))
        .or_else(|| after(path, &strings::clean(name)))
}

/// Whether a file is worth naming to a user who looks for programs.
fn is_program(name: &[u8], head: &[u8]) -> bool {
    let word = |at: usize| head.get(at..)?.first_chunk::<4>().copied();
    match word(0) {
        Some([0x7f, b'E', b'L', b'F']) => {
            // All but core dumps.
            head.get(16..18) != Some(&[4, 0]) && head.get(16..18) != Some(&[0, 4])
        }
        // Java has the same mark, and a version where the number of programs
        // is: Java 1.0 had 45.
        Some([0xca, 0xfe, 0xba, 0xbe]) => word(4).is_some_and(|n| u32::from_be_bytes(n) < 45),
        Some(start) if Format::of_start(start).is_some() => true,
        _ if ar::is_archive(head) => true,
        _ => {
            let name = name.to_ascii_lowercase();
            let module = [&b".ko.xz"[..], b".ko.gz", b".ko.zst"];
            name.ends_with(b".obj") || module.iter().any(|end| name.ends_with(end))
        }
    }
}
