//! The files that are asked about.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use binscribe_lift::{Function, Listing, Program};
use rayon::prelude::*;

use crate::output::note;

/// A file in memory, which a [`Program`] borrows from.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Input {
    pub(crate) fn read(path: &Path) -> Result<Input> {
        let name = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
        if metadata.is_dir() {
            bail!("{name} is a directory: name one program, library or object file in it");
        }
        // A pipe or a device has no end that could be waited for.
        if !metadata.is_file() {
            bail!("{name} is not a regular file: copy what it holds to one first");
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        if bytes.is_empty() {
            bail!("{name} is empty: there is no program in it");
        }
        Ok(Input {
            path: path.to_owned(),
            bytes,
        })
    }

    /// Reads the program in it, and tells on standard error of what could not
    /// be understood.
    pub(crate) fn program(&self) -> Result<Program<'_>> {
        let name = self.path.display();
        let program = Program::parse(&self.bytes).map_err(|error| {
            anyhow::anyhow!(
                "{name}: {error}; binscribe reads x86-64 ELF programs, libraries and object files"
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
