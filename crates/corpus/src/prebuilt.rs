//! Binaries that were built elsewhere, with the sources that they were built
//! from: the form of "Assembly-source masked language modelling", section 3.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::dwarf::Place;
use crate::error::{At as _, Error, Result};
use crate::link::Linked;
use crate::manifest::{Binaries, Package};
use crate::process;
use crate::row::Row;
use crate::tree;
use crate::unit::{Ir, Rules, Sources, UnitRows, UnitStats};

/// Tools that remove symbols; the later ones know more kinds of files.
const STRIPS: [&str; 4] = ["strip", "llvm-strip", "llvm-strip-19", "llvm-strip-14"];

/// What a set of binaries was built with, as a toolchain is named.
pub(crate) fn toolchain(binaries: &Binaries) -> String {
    let version = match binaries.compiler_version.as_str() {
        "" => String::new(),
        version => format!("-{version}"),
    };
    let mut name = format!("{}{version}-{}", binaries.compiler, binaries.level);
    if !binaries.obfuscation.is_empty() {
        name.push('+');
        name.push_str(&binaries.obfuscation);
    }
    name
}

/// The sources that the package's binaries were built from.
pub(crate) fn sources(package: &Package) -> Result<Sources> {
    let root = package.path.as_deref().unwrap_or(Path::new(""));
    // A folder that cannot be listed would look like an empty one.
    fs::read_dir(root).at(root)?;
    Ok(Sources::of(root, package.language))
}

/// The rows of one set of binaries. A file of it that cannot be read as a
/// binary is told of, and the others go on.
pub(crate) fn list(
    package: &Package,
    binaries: &Binaries,
    rules: Rules,
    sources: &Sources,
    dir: &Path,
    failed: &dyn Fn(String),
) -> Result<(Vec<Row>, UnitStats)> {
    let name = toolchain(binaries);
    let mut unit = UnitRows::prebuilt(package, binaries, rules);
    let work = tempfile::Builder::new()
        .prefix(".strip")
        .tempdir_in(dir)
        .at(dir)?;
    let mut read = 0;
    for (index, debug) in tree::entries(&binaries.path).into_iter().enumerate() {
        let start = fs::read(&debug).at(&debug)?;
        if object::FileKind::parse(&*start).is_err() {
            // Folders of binaries hold notes and scripts too.
            continue;
        }
        let shown = debug.display().to_string();
        let program = debug.file_name().unwrap_or_default().to_string_lossy();
        let program = program.split('.').next().unwrap_or_default().to_owned();
        let stripped = work.path().join(index.to_string());
        let made = strip(&name, &debug, &stripped).and_then(|()| {
            let linked = Linked { debug, stripped };
            let place = sources.place();
            unit.add(
                &linked,
                Place::Tree(place),
                Some(&program),
                sources,
                &Ir::new(),
            )
        });
        match made {
            Ok(()) => read += 1,
            Err(error) => failed(format!("{shown}: {error}")),
        }
    }
    if read == 0 {
        return Err(Error::Unit {
            unit: format!("{} under {name}", package.name),
            reason: format!(
                "no binary could be read in {}: check the path in the manifest",
                binaries.path.display()
            ),
        });
    }
    Ok(unit.finish())
}

/// Writes a copy without symbols and debug information.
fn strip(unit: &str, from: &Path, to: &Path) -> Result<()> {
    let mut reasons = Vec::new();
    for program in STRIPS {
        let mut command = Command::new(program);
        match process::output(command.arg("-s").arg("-o").arg(to).arg(from)) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => reasons.push(process::last_words(&output)),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(Error::Unit {
        unit: unit.to_owned(),
        reason: format!("it could not be stripped: {}", reasons.join("; ")),
    })
}
