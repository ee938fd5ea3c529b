//! The files that are asked about.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use binscribe_lift::{Function, Listing, Member, Program};
use rayon::prelude::*;

use crate::args::PdbArgs;
use crate::output::note;

/// A file in memory, which a [`Program`] borrows from.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// The names that the linker wrote into a file of their own.
    pdb: Option<Vec<u8>>,
}

impl Input {
    /// Reads a file, or the member of an archive: `libx.a:member.o` or
    /// `libx.a(member.o)`.
    pub(crate) fn read(path: &Path) -> Result<Input> {
        let member = member_of(path);
        let file = member.as_ref().map_or(path, |(file, _)| file);
        let name = file.display();
        let metadata = fs::metadata(file).with_context(|| format!("cannot read {name}"))?;
        if metadata.is_dir() {
            bail!("{name} is a directory: name one program, library or object file in it");
        }
        // A pipe or a device has no end that could be waited for.
        if !metadata.is_file() {
            bail!("{name} is not a regular file: copy what it holds to one first");
        }
        let mut bytes = fs::read(file).with_context(|| format!("cannot read {name}"))?;
        if bytes.is_empty() {
            bail!("{name} is empty: there is no program in it");
        }
        match (&member, binscribe_lift::members(&bytes)) {
            (Some((_, wanted)), Ok(members)) => {
                let Some(member) = members.iter().find(|member| member.name == *wanted) else {
                    bail!("{name}: no member `{wanted}`: it has {}", list(&members));
                };
                bytes = member.bytes.to_owned();
            }
            (Some(_), Err(error)) => bail!("{name}: {error}"),
            (None, Ok(members)) => bail!(
                "{name} is an archive: name one of its members, as {name}:{}; it has {}",
                members[0].name,
                list(&members)
            ),
            (None, Err(_)) => {}
        }
        Ok(Input {
            path: path.to_owned(),
            bytes,
            pdb: None,
        })
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
        let program = match &self.pdb {
            Some(pdb) => Program::parse_with_pdb(&self.bytes, pdb),
            None => Program::parse(&self.bytes),
        };
        let program = program.map_err(|error| {
            anyhow::anyhow!(
                "{name}: {error}; binscribe reads ELF, PE and Mach-O programs, libraries and \
                 object files"
            )
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

/// The archive and the name of its member that `path` means, where there is no
/// file of that name but one of its first part.
fn member_of(path: &Path) -> Option<(PathBuf, String)> {
    let text = path.to_str().filter(|_| !path.exists())?;
    text.match_indices([':', '(']).find_map(|(at, separator)| {
        let rest = &text[at + 1..];
        let member = match separator {
            "(" => rest.strip_suffix(')')?,
            _ => rest,
        };
        let file = Path::new(&text[..at]);
        file.is_file().then(|| (file.to_owned(), member.to_owned()))
    })
}

/// The first members of an archive, and how many more there are.
fn list(members: &[Member<'_>]) -> String {
    const SHOWN: usize = 8;
    let first: Vec<&str> = members
        .iter()
        .take(SHOWN)
        .map(|m| m.name.as_str())
        .collect();
    let more = match members.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", first.join(", "))
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
