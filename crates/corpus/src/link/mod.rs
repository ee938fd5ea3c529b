//! All objects of a unit linked into one real program, so that its listings
//! look exactly like those of a user's stripped file.

mod elf;
mod macho;
mod pe;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object as _, ObjectSymbol as _};

use crate::error::{At as _, Error, Result};
use crate::process;
use crate::toolchain::{Container, Toolchain};

/// A linked unit: with debug information, and stripped.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) debug: PathBuf,
    pub(crate) stripped: PathBuf,
}

/// One unit on its way through a linker.
struct Job<'a> {
    unit: String,
    toolchain: &'a Toolchain,
    objects: Vec<PathBuf>,
    work: tempfile::TempDir,
}

/// Links `objects` into `DIR/UNIT.debug` and strips a copy to
/// `DIR/UNIT.stripped`, with the linkers that go with the toolchain's target.
pub(crate) fn link(toolchain: &Toolchain, objects: &[PathBuf], dir: &Path) -> Result<Linked> {
    fs::create_dir_all(dir).at(dir)?;
    let unit = toolchain.to_string();
    if objects.is_empty() {
        let reason = "none of its files could be compiled".to_owned();
        return Err(Error::Link { unit, reason });
    }
    let absolute = |object: &PathBuf| std::path::absolute(object).at(object);
    let linked = Linked {
        debug: dir.join(format!("{unit}.debug")),
        stripped: dir.join(format!("{unit}.stripped")),
    };
    let job = Job {
        unit,
        toolchain,
        objects: objects.iter().map(absolute).collect::<Result<_>>()?,
        work: tempfile::Builder::new()
            .prefix(".link")
            .tempdir_in(dir)
            .at(dir)?,
    };
    match toolchain.target.container() {
        Container::Elf => elf::link(&job)?,
        Container::Pe => pe::link(&job)?,
        Container::MachO => macho::link(&job)?,
    }
    fs::rename(job.path("debug"), &linked.debug).at(&linked.debug)?;
    fs::rename(job.path("stripped"), &linked.stripped).at(&linked.stripped)?;
    Ok(linked)
}

impl Job<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).at(&path)?;
        Ok(path)
    }

    /// Objects by list: hundreds of long paths do not fit a command line.
    fn list(&self) -> Result<PathBuf> {
        let lines = self.objects.iter();
        let lines: String = lines.map(|o| format!("\"{}\"\n", o.display())).collect();
        self.write("objects", &lines)
    }

    fn fail(&self, reason: String) -> Error {
        Error::Link {
            unit: self.unit.clone(),
            reason,
        }
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let output = process::output(command.env("LC_ALL", "C"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(self.fail(process::last_words(&output)))
        }
    }

    /// The first of these programs that is installed.
    fn program(&self, names: &[&str], package: &str) -> Result<String> {
        let runs = |name: &&&str| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        };
        let found = names.iter().find(runs).map(|name| (*name).to_owned());
        found.ok_or_else(|| {
            let names = names.join(" or ");
            self.fail(format!("no {names} here: install {package}"))
        })
    }
}

/// Writes the ELF object with all that it defines turned into its own: a name
/// that another object defines too is then no clash.
pub(crate) fn close(toolchain: &Toolchain, object: &Path, into: &Path) -> Result<()> {
    elf::close(toolchain, object, into)
}

/// The names that an object defines for others.
pub(crate) fn defined(toolchain: &Toolchain, object: &Path) -> Result<BTreeSet<String>> {
    let names = Names::of(&[object.to_owned()]).map_err(|reason| Error::Link {
        unit: toolchain.to_string(),
        reason,
    })?;
    Ok(names.defined)
}

/// Names that a set of objects defines and names that it leaves to others.
#[derive(Debug, Default)]
struct Names {
    defined: BTreeSet<String>,
    undefined: BTreeSet<String>,
}

impl Names {
    fn of(objects: &[PathBuf]) -> std::result::Result<Names, String> {
        let mut names = Names::default();
        for path in objects {
            let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let file =
                object::File::parse(&*bytes).map_err(|e| format!("{}: {e}", path.display()))?;
            for symbol in file.symbols().filter(object::ObjectSymbol::is_global) {
                let Ok(name) = symbol.name() else { continue };
                let side = if symbol.is_undefined() {
                    &mut names.undefined
                } else {
                    &mut names.defined
                };
                side.insert(name.to_owned());
            }
        }
        names.undefined.retain(|n| !names.defined.contains(n));
        Ok(names)
    }
}
