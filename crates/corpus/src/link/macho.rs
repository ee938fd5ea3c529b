//! Programs for macOS, by LLVM's linker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::{Job, Names};
use crate::error::Result;
use crate::toolchain::Target;

/// Whatever the objects leave undefined is looked up when the program is
/// loaded. The linker takes no name twice, so an object that defines a name
/// again, as each `main` of a package with several programs, is left out. Its
/// debug information stays in the objects, to which the unstripped twin refers.
pub(super) fn link(job: &Job<'_>) -> Result<()> {
    // Version 14 leaves local symbols in.
    let linkers = ["ld64.lld-19", "ld64.lld-16", "ld64.lld-15"];
    let linker = job.program(&linkers, "lld-19 or lld-16")?;
    let arch = match job.toolchain.target {
        Target::Aarch64Macos => "arm64",
        _ => "x86_64",
    };
    let mut seen = BTreeSet::new();
    let mut objects: Vec<&PathBuf> = Vec::new();
    for object in &job.objects {
        let names = Names::of(std::slice::from_ref(object)).map_err(|reason| job.fail(reason))?;
        if names.defined.is_disjoint(&seen) {
            seen.extend(names.defined);
            objects.push(object);
        }
    }
    let lines: String = objects
        .iter()
        .map(|o| format!("{}\n", o.display()))
        .collect();
    let list = job.write("objects", &lines)?;
    let none = job.write("exports", "")?;
    for (output, strip) in [("debug", &[][..]), ("stripped", &["-S", "-x"][..])] {
        job.run(
            Command::new(&linker)
                .args(["-dylib", "-arch", arch])
                .args(["-platform_version", "macos", "13.0", "13.0"])
                // Else it is the path, as long as it happens to be, and moves the code.
                .args(["-install_name", "unit.dylib"])
                .args(["-undefined", "dynamic_lookup"])
                .arg("-exported_symbols_list")
                .arg(&none)
                .args(strip)
                .arg("-filelist")
                .arg(&list)
                .arg("-o")
                .arg(job.path(output)),
        )?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use object::{Object as _, ObjectSection as _};

    use crate::toolchain::{Matrix, Target};

    fn code_of(file: &Path) -> u64 {
        let bytes = std::fs::read(file).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        file.section_by_name("__text").unwrap().address()
    }

    /// The path of the output is in the program, unless it has another name.
    #[test]
    fn the_stripped_twin_lies_as_the_other_wherever_it_is_linked() {
        let dir = tempfile::tempdir().unwrap();
        let (source, object) = (dir.path().join("a.c"), dir.path().join("a.o"));
        std::fs::write(&source, "int twice(int x) { return 2 * x; }\n").unwrap();
        let compiled = Command::new("clang-14")
            .args(["--target=arm64-apple-macos13", "-c"])
            .arg(&source)
            .arg("-o")
            .arg(&object)
            .status();
        assert!(compiled.unwrap().success());
        let mut toolchain = Matrix::default().installed().0.remove(0);
        toolchain.target = Target::Aarch64Macos;
        for length in 1..=8 {
            let at = dir.path().join("x".repeat(length));
            let linked = crate::link::link(&toolchain, std::slice::from_ref(&object), &at).unwrap();
            assert_eq!(code_of(&linked.debug), code_of(&linked.stripped));
        }
    }
}
