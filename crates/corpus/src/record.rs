//! One real build of a package, watched: which compiles were run, where, how.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{At as _, Error, Result};
use crate::manifest::Package;
use crate::process;

/// The compiler that packages are configured and first built with.
const RECORDING_COMPILER: &str = "gcc-12";

/// Patched autotools inputs look newer than what was made from them; these
/// keep make from running tools that would change the package, or are absent.
const MAKE: &str = "make -j2 ACLOCAL=: AUTOMAKE=: AUTOCONF=: AUTOHEADER=: MAKEINFO=: HELP2MAN=:";

/// One recorded compile of one C file, with the arguments that matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Compile {
    /// Working directory, relative to the package's source.
    pub(crate) cwd: PathBuf,
    /// The C file as the build named it, relative to `cwd`.
    pub(crate) file: String,
    /// Arguments without the file, the output, and what a toolchain decides.
    pub(crate) arguments: Vec<String>,
}

impl Compile {
    /// The file, relative to the package's source.
    pub(crate) fn path(&self) -> Option<String> {
        let path = in_tree(&self.cwd.join(&self.file))?;
        Some(path.to_string_lossy().into_owned())
    }
}

/// Compiles the recording shim as `DIR/shim/gcc`; it is called gcc because
/// libtool and some configure scripts go by the name.
pub(crate) fn install_shim(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir.join("shim")).at(dir)?;
    fs::create_dir_all(&dir).at(&dir)?;
    let source = include_str!("shim.c");
    let (source_path, program) = (dir.join("shim.c"), dir.join("gcc"));
    if program.exists() && fs::read_to_string(&source_path).is_ok_and(|s| s == source) {
        return Ok(program);
    }
    process::write_atomically(&source_path, source.as_bytes())?;
    let temporary = process::temporary_name(&program);
    let output = process::output(
        Command::new(RECORDING_COMPILER)
            .arg("-O1")
            .arg("-o")
            .arg(&temporary)
            .arg(&source_path),
    )?;
    if !output.status.success() {
        return Err(Error::Link {
            unit: "the recording compiler".to_owned(),
            reason: process::last_words(&output),
        });
    }
    fs::rename(&temporary, &program).at(&program)?;
    Ok(program)
}

/// Builds the package in `src`, cut off from the network, and leaves the raw
/// record in `log`.
pub(crate) fn record(
    package: &Package,
    src: &Path,
    shim: &Path,
    log: &Path,
    seconds: u32,
    memory_kib: u64,
) -> Result<()> {
    let raw = process::temporary_name(log);
    if raw.exists() {
        fs::remove_file(&raw).at(&raw)?;
    }
    let transcript = log.with_file_name("record.log");
    let out = fs::File::create(&transcript).at(&transcript)?;
    for line in &package.build {
        let status = process::sandboxed(line, seconds, memory_kib)
            .current_dir(src)
            .env("CC", shim)
            .env("CORPUS_CC", RECORDING_COMPILER)
            .env("CORPUS_LOG", &raw)
            .env("MAKE", MAKE)
            // The objects of this build are thrown away, so make them fast.
            .env("CFLAGS", "-O0 -w")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(out.try_clone().at(&transcript)?)
            .stderr(out.try_clone().at(&transcript)?)
            .status()
            .map_err(|source| Error::MissingProgram {
                program: "timeout".to_owned(),
                source,
            })?;
        if !status.success() {
            return Err(Error::Build {
                package: package.name.clone(),
                command: line.clone(),
                log: transcript,
            });
        }
    }
    if !raw.exists() {
        fs::write(&raw, b"").at(&raw)?;
    }
    fs::rename(&raw, log).at(log)
}

/// The distinct compiles in a raw record, in the order of the build. The
/// record holds absolute paths below `recorded_in`, where the source was then;
/// it is in `src` now.
pub(crate) fn compiles(
    log: &Path,
    recorded_in: &Path,
    src: &Path,
    exclude: &[String],
) -> Result<Vec<Compile>> {
    let bytes = fs::read(log).at(log)?;
    let (old, new) = (recorded_in.to_string_lossy(), src.to_string_lossy());
    let mut seen = std::collections::HashSet::new();
    let mut all = Vec::new();
    for record in bytes.split(|b| *b == 0x1e) {
        let mut fields = record
            .split(|b| *b == 0x1f)
            .map(|field| String::from_utf8_lossy(field).replace(&*old, &new));
        let Some(cwd) = fields.next() else { continue };
        // The last field is what follows the last separator: nothing.
        let mut arguments: Vec<String> = fields.collect();
        arguments.pop();
        let Some(compile) = compile(Path::new(&cwd), arguments, src) else {
            continue;
        };
        let file = in_tree(&compile.cwd.join(&compile.file));
        let Some(file) = file.filter(|f| src.join(f).is_file()) else {
            continue;
        };
        let file = file.to_string_lossy();
        if exclude
            .iter()
            .any(|prefix| file.starts_with(prefix.as_str()))
        {
            continue;
        }
        if seen.insert(compile.clone()) {
            all.push(compile);
        }
    }
    Ok(all)
}

/// Understands one record; `None` if it is not a compile of one C file that
/// lies in the package.
fn compile(cwd: &Path, arguments: Vec<String>, src: &Path) -> Option<Compile> {
    let cwd = cwd.strip_prefix(src).ok()?.to_owned();
    let mut kept = Vec::new();
    let mut files = Vec::new();
    let mut compiles = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-c" => compiles = true,
            "-o" | "-MF" | "-MT" | "-MQ" => drop(arguments.next()),
            // Options whose value is the next word, which may look like a file.
            "-I" | "-D" | "-U" | "-include" | "-imacros" | "-isystem" | "-iquote"
            | "-idirafter" | "-x" => {
                let value = arguments.next()?;
                kept.extend([argument, value]);
            }
            a if toolchain_decides(a) => {}
            a if !a.starts_with('-') && a.ends_with(".c") => files.push(argument),
            _ => kept.push(argument),
        }
    }
    let file = match files.as_slice() {
        [file] if compiles && !file.contains("conftest") => file,
        _ => return None,
    };
    // Some builds name files by their absolute path; stored so, rows would
    // depend on where the corpus lies.
    let file = match Path::new(file).strip_prefix(src) {
        Ok(inside) => {
            let up = "../".repeat(cwd.components().count());
            format!("{up}{}", inside.display())
        }
        Err(_) => file.clone(),
    };
    Some(Compile {
        cwd,
        file,
        arguments: kept,
    })
}

/// Options that are dropped because a toolchain sets its own, or because they
/// change nothing but messages and side files.
fn toolchain_decides(argument: &str) -> bool {
    const PREFIXES: [&str; 14] = [
        "-O",
        "-g",
        "-W",
        "-M",
        "-march",
        "-mtune",
        "-fcf-",
        "-fstack-",
        "-flto",
        "-fpic",
        "-fPIC",
        "-fpie",
        "-fPIE",
        "-pedantic",
    ];
    const WHOLE: [&str; 8] = [
        "-w",
        "-pipe",
        "-DPIC",
        "-v",
        "-save-temps",
        "-fno-asynchronous-unwind-tables",
        "-fno-unwind-tables",
        "-fsyntax-only",
    ];
    PREFIXES.iter().any(|p| argument.starts_with(p)) || WHOLE.contains(&argument)
}

/// Resolves `.` and `..` by name; `None` if the path leaves the tree.
pub(crate) fn in_tree(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Option<Compile> {
        let arguments = arguments.split(' ').map(str::to_owned).collect();
        compile(Path::new("/b/src/lib"), arguments, Path::new("/b/src"))
    }

    #[test]
    fn what_a_toolchain_decides_is_dropped() {
        let got = parse(
            "-DHAVE_CONFIG_H -I. -I ../inc -g -O2 -Wall -MT x.o -MD -MP -MF .deps/x.Tpo -fPIC \
             -DPIC -c -o x.o ../gl/x.c",
        )
        .unwrap();
        assert_eq!(got.file, "../gl/x.c");
        assert_eq!(got.arguments, ["-DHAVE_CONFIG_H", "-I.", "-I", "../inc"]);
        assert_eq!(parse("-c /b/src/lib/y.c").unwrap().file, "../lib/y.c");
    }

    #[test]
    fn a_record_survives_a_move() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("commands.log");
        fs::write(dir.path().join("x.c"), "").unwrap();
        fs::write(&log, "/old/src\x1f-I/old/src/inc\x1f-c\x1fx.c\x1f\x1e").unwrap();
        let found = compiles(&log, Path::new("/old/src"), dir.path(), &[]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].arguments,
            [format!("-I{}/inc", dir.path().display())]
        );
        assert_eq!(
            compiles(&log, Path::new("/old/src"), dir.path(), &["x".into()]).unwrap(),
            []
        );
    }

    #[test]
    fn links_probes_and_assembly_are_no_compiles() {
        assert_eq!(parse("-o prog a.c"), None);
        assert_eq!(parse("-c conftest.c"), None);
        assert_eq!(parse("-c a.c b.c"), None);
        assert_eq!(parse("-c a.s"), None);
        assert_eq!(
            compile(
                Path::new("/tmp"),
                vec!["-c".into(), "a.c".into()],
                Path::new("/b")
            ),
            None
        );
    }
}
