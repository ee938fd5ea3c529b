//! Files that each compile alone: the text that they are compiled behind, and
//! how their objects become programs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{At as _, Result};
use crate::link;
use crate::manifest::Package;
use crate::process;
use crate::toolchain::{Container, Toolchain};

/// Objects in one program: enough that the linker's start does not count, and
/// few enough that their debug information fits in memory.
const GROUP: usize = 500;

/// The header of a package's prelude for a toolchain, in a folder of its own
/// since its compiled form lies beside it; none if there is no prelude.
pub(crate) fn prelude(
    package: &Package,
    toolchain: &Toolchain,
    dir: &Path,
) -> Result<Option<PathBuf>> {
    if package.prelude.is_empty() {
        return Ok(None);
    }
    let dir = dir.join(format!("prelude-{toolchain}"));
    if dir.exists() {
        fs::remove_dir_all(&dir).at(&dir)?;
    }
    fs::create_dir_all(&dir).at(&dir)?;
    let header = dir.join("prelude.h");
    process::write_atomically(&header, package.prelude.as_bytes())?;
    Ok(Some(header))
}

/// Removes what [`prelude`] made; compiled headers take tens of megabytes.
pub(crate) fn discard(prelude: Option<&Path>) -> Result<()> {
    match prelude.and_then(Path::parent) {
        Some(dir) => fs::remove_dir_all(dir).at(dir),
        None => Ok(()),
    }
}

/// Objects in groups that can each be linked into one program.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) groups: Vec<Vec<PathBuf>>,
    /// Where they are, if they were made for this; gone with the groups.
    _made: Option<tempfile::TempDir>,
}

/// All objects of a package in one group.
pub(crate) fn together(objects: Vec<PathBuf>) -> Groups {
    Groups {
        groups: vec![objects],
        _made: None,
    }
}

/// Objects of files that each compile alone, in groups. Such files define the
/// same names, `main` above all, and a linker would join the calls of one with
/// the functions of another. So each ELF object is first closed: what it
/// defines becomes its own. Others are kept apart.
pub(crate) fn groups(toolchain: &Toolchain, objects: Vec<PathBuf>, dir: &Path) -> Result<Groups> {
    if toolchain.target.container() != Container::Elf || objects.is_empty() {
        return Ok(Groups {
            groups: apart(toolchain, objects)?,
            _made: None,
        });
    }
    fs::create_dir_all(dir).at(dir)?;
    let made = tempfile::Builder::new()
        .prefix(".closed")
        .tempdir_in(dir)
        .at(dir)?;
    let closed: Vec<PathBuf> = objects
        .par_iter()
        .with_max_len(1)
        .enumerate()
        .map(|(index, object)| {
            let closed = made.path().join(format!("{index}.o"));
            link::close(toolchain, object, &closed)?;
            Ok(closed)
        })
        .collect::<Result<_>>()?;
    Ok(Groups {
        groups: closed.chunks(GROUP).map(<[PathBuf]>::to_vec).collect(),
        _made: Some(made),
    })
}

/// The first group that defines none of an object's names takes it.
fn apart(toolchain: &Toolchain, objects: Vec<PathBuf>) -> Result<Vec<Vec<PathBuf>>> {
    let mut groups: Vec<(BTreeSet<String>, Vec<PathBuf>)> = Vec::new();
    for object in objects {
        let names = link::defined(toolchain, &object)?;
        let free = groups
            .iter_mut()
            .find(|(taken, group)| group.len() < GROUP && taken.is_disjoint(&names));
        match free {
            Some((taken, group)) => {
                taken.extend(names);
                group.push(object);
            }
            None => groups.push((names, vec![object])),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}
