//! The files that are asked about.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use binscribe_lift::{Contents, Error, Format, Function, Listing, Program};
use binscribe_tasks::own_names::{self, Speaker, Told};
use rayon::prelude::*;

use crate::args::{PdbArgs, RawArgs};
use crate::output::note;

/// A file in memory, which a [`Program`] borrows from.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    raw: RawArgs,
    /// The names that the linker wrote into a file of their own.
    pdb: Option<Vec<u8>>,
}

impl Input {
    /// Reads a file, or what lies in it: the member of an archive or a package,
    /// `libx.a:member.o` or `libx.a(member.o)`, the part of a universal file,
    /// `program:arm64`, or what is compressed in it.
    pub(crate) fn read(path: &Path) -> Result<Input> {
        let member = member_of(path);
        let file = member.as_ref().map_or(path, |(file, _)| file);
        let name = file.display();
        let metadata = fs::metadata(file).with_context(|| format!("cannot read {name}"))?;
        if metadata.is_dir() {
            bail!(
                "{name} is a directory and no index: name one program, library or object file in \
                 it, or make an index of them all with `binscribe index add INDEX {name}`"
            );
        }
        // A pipe or a device has no end that could be waited for.
        if !metadata.is_file() {
            bail!("{name} is not a regular file: copy what it holds to one first");
        }
        let mut bytes = fs::read(file).with_context(|| format!("cannot read {name}"))?;
        if bytes.is_empty() {
            bail!("{name} is empty: there is no program in it");
        }
        let wanted = member.as_ref().map(|(_, member)| member.as_str());
        let opened = match binscribe_lift::open(&bytes, wanted) {
            Ok(Cow::Borrowed(part)) if part.len() == bytes.len() => None,
            Ok(part) => Some(part.into_owned()),
            Err(Error::Container(contents)) => bail!("{}", choose(path, &contents)),
            Err(error @ (Error::NoMember { .. } | Error::NotArchive)) => bail!("{name}: {error}"),
            Err(error) => bail!("{}: {error}", path.display()),
        };
        if let Some(opened) = opened {
            bytes = opened;
        }
        Ok(Input {
            path: path.to_owned(),
            bytes,
            raw: RawArgs::default(),
            pdb: None,
        })
    }

    /// The programs of an archive, or what [`Input::read`] reads.
    pub(crate) fn read_all(path: &Path) -> Result<Vec<Input>> {
        if !start(path).is_some_and(|start| binscribe_lift::is_archive(&start)) {
            return Ok(vec![Input::read(path)?]);
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let members =
            binscribe_lift::members(&bytes).with_context(|| path.display().to_string())?;
        let members = members.into_iter().map(|member| Input {
            path: PathBuf::from(format!("{}:{}", path.display(), member.name)),
            bytes: member.bytes.to_vec(),
            raw: RawArgs::default(),
            pdb: None,
        });
        Ok(members.filter(Input::has_format).collect())
    }

    /// Whether the first bytes are those of a format that is read.
    pub(crate) fn has_format(&self) -> bool {
        let start = self.bytes.first_chunk().copied();
        start.is_some_and(|start| Format::of_start(start).is_some())
    }

    /// Takes it for a raw image where the user says so.
    pub(crate) fn or_raw(mut self, raw: RawArgs) -> Input {
        self.raw = raw;
        self
    }

    /// Reads the PDB that belongs to the program too, if one is named.
    pub(crate) fn with_pdb(mut self, args: &PdbArgs) -> Result<Input> {
        if let Some(path) = &args.pdb {
            let pdb = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            self.pdb = Some(pdb);
        }
        Ok(self)
    }

    /// Reads the program in it, and tells on standard error of what could not
    /// be understood.
    pub(crate) fn program(&self) -> Result<Program<'_>> {
        let name = self.path.display();
        let program = match (self.raw.arch, &self.pdb) {
            (Some(arch), _) => Program::parse_raw(&self.bytes, arch, self.raw.base),
            (None, Some(pdb)) => Program::parse_with_pdb(&self.bytes, pdb),
            (None, None) => Program::parse_on(&self.bytes, rayon::current_num_threads()),
        };
        let program = program.map_err(|error| match error {
            Error::NotProgram { .. } => anyhow::anyhow!(
                "{name}: {error}; binscribe reads ELF, PE and Mach-O programs, libraries and \
                 object files; if it is a raw image, name its processor and where it lies: \
                 --arch aarch64 --base 0x8000000"
            ),
            error => anyhow::anyhow!("{name}: {error}"),
        })?;
        const SHOWN: usize = 3;
        for diagnostic in program.diagnostics().iter().take(SHOWN) {
            note(&format!("warning: {name}: {diagnostic}"));
        }
        if program.diagnostics().len() > SHOWN {
            let more = program.diagnostics().len() - SHOWN;
            note(&format!(
                "warning: {name}: {more} more warnings of this kind"
            ));
        }
        if program.functions().is_empty() {
            bail!("{name}: no functions were found in it");
        }
        Ok(program)
    }

    /// The hash of the file, as far as it is used to tell files apart.
    pub(crate) fn hash(&self) -> String {
        blake3::hash(&self.bytes).to_hex().to_string()
    }
}

/// The file that is opened for `path`: itself, or the container that it is in.
pub(crate) fn file_of(path: &Path) -> PathBuf {
    member_of(path).map_or_else(|| path.to_owned(), |(file, _)| file)
}

/// The container and the path of its member that `path` means, where there is
/// no file of that name but one of its first part: the longest such.
fn member_of(path: &Path) -> Option<(PathBuf, String)> {
    let text = path.to_str().filter(|_| !path.exists())?;
    text.rmatch_indices([':', '(']).find_map(|(at, separator)| {
        let rest = &text[at + 1..];
        let member = match separator {
            "(" => rest.strip_suffix(')')?,
            _ => rest,
        };
        let file = Path::new(&text[..at]);
        file.is_file().then(|| (file.to_owned(), member.to_owned()))
    })
}

/// The programs and archives below a directory, in order; symbolic links are not
/// followed.
pub(crate) fn programs_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && is_program(&entry.path()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    if found.is_empty() {
        bail!(
            "{}: there is no ELF, PE or Mach-O file in or below it",
            directory.display()
        );
    }
    Ok(found)
}

fn is_program(path: &Path) -> bool {
    start(path).is_some_and(|start| {
        let [a, b, c, d, ..] = start;
        Format::of_start([a, b, c, d]).is_some() || binscribe_lift::is_archive(&start)
    })
}

/// The first bytes of a regular file, as many as tell what it is.
fn start(path: &Path) -> Option<[u8; 8]> {
    use std::io::Read as _;
    let mut start = [0; 8];
    let file = path.is_file().then(|| fs::File::open(path))?;
    file.ok()?.read_exact(&mut start).ok()?;
    Some(start)
}

/// What to tell a user who named a container and no member of it.
fn choose(path: &Path, contents: &Contents) -> String {
    let (name, kind) = (path.display(), contents.kind);
    match contents.programs.first() {
        Some(first) => {
            format!(
                "{name} is {kind}: name one of its members, as {name}:{first}; it has {contents}"
            )
        }
        None => format!("{name} is {kind}, and there is no program in it"),
    }
}

/// The function a user named, or an error that says how to find its name.
pub(crate) fn find<'p>(
    program: &'p Program<'_>,
    path: &Path,
    wanted: &str,
) -> Result<&'p Function> {
    program.find(wanted).with_context(|| {
        format!(
            "{path}: no function `{wanted}`: give a name or an address as \
             `binscribe functions {path}` lists them",
            path = path.display()
        )
    })
}

/// The listings of `functions`, in their order.
pub(crate) fn listings(program: &Program<'_>, functions: &[&Function]) -> Vec<Listing> {
    functions
        .par_iter()
        .map(|function| program.listing(function))
        .collect()
}

/// What `functions` with these `listings` say of themselves, all of a program
/// together, since one says what another means.
pub(crate) fn told(functions: &[&Function], listings: &[Listing]) -> Vec<Told> {
    let speakers = functions.iter().zip(listings);
    let speakers = speakers.map(|(function, listing)| Speaker {
        listing: listing.text(),
        symbol: function.name.as_deref(),
    });
    own_names::told(&speakers.collect::<Vec<_>>())
}
