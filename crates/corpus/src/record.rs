//! One real build of a package, watched: which compiles were run, where, how.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{At as _, Error, Result};
use crate::manifest::{Kind, Language, Package};
use crate::{process, tree};

/// The compiler that packages are configured and first built with.
const RECORDING_COMPILER: &str = "gcc-12";

/// The same for C++.
const RECORDING_COMPILER_CPP: &str = "g++-12";

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

    /// What it is compiled as.
    pub(crate) fn language(&self) -> Language {
        let asked = self.arguments.iter().rev().find_map(|a| match a.as_str() {
            "-xc++" => Some(Language::Cpp),
            "-xc" => Some(Language::C),
            _ => None,
        });
        asked
            .or_else(|| Language::of(&self.file))
            .unwrap_or(Language::C)
    }
}

/// Compiles the recording shim as `DIR/shim/gcc`; it is called gcc because
/// libtool and some configure scripts go by the name. For C++ there is a link
/// to it, `DIR/shim/g++`.
pub(crate) fn install_shim(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir.join("shim")).at(dir)?;
    fs::create_dir_all(&dir).at(&dir)?;
    let source = include_str!("shim.c");
    let (source_path, program) = (dir.join("shim.c"), dir.join("gcc"));
    let cpp = dir.join("g++");
    if program.exists()
        && cpp.exists()
        && fs::read_to_string(&source_path).is_ok_and(|s| s == source)
    {
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
    if cpp.symlink_metadata().is_err() {
        std::os::unix::fs::symlink("gcc", &cpp).at(&cpp)?;
    }
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
    let lines = tree::build_lines(package, src);
    if lines.is_empty() && package.kind() != Kind::Debian {
        fs::write(&raw, tree::compiles_alone(package, src)).at(&raw)?;
    }
    for line in &lines {
        let status = process::sandboxed(line, seconds, memory_kib)
            .current_dir(src)
            .env("CC", shim)
            .env("CXX", shim.with_file_name("g++"))
            .env("CORPUS_CC", RECORDING_COMPILER)
            .env("CORPUS_CXX", RECORDING_COMPILER_CPP)
            .env("CORPUS_LOG", &raw)
            .env("MAKE", MAKE)
            // The objects of this build are thrown away, so make them fast.
            .env("CFLAGS", "-O0 -w")
            .env("CXXFLAGS", "-O0 -w")
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
                missing: missing(&package.needs),
            });
        }
    }
    if !raw.exists() {
        fs::write(&raw, b"").at(&raw)?;
    }
    fs::rename(&raw, log).at(log)
}

/// Those of some Debian packages that are not installed; none where no system of
/// Debian's could tell.
fn missing(packages: &[String]) -> Vec<String> {
    let installed = |package: &&String| {
        let asked = Command::new("dpkg-query")
            .args(["-W", "-f", "${db:Status-Status}", package])
            .output();
        asked.map_or(true, |said| said.stdout.starts_with(b"installed"))
    };
    packages.iter().filter(|p| !installed(p)).cloned().collect()
}

/// The distinct compiles in a raw record, by their files: in what order the jobs
/// of the build came to them is chance, and would decide the addresses in what is
/// linked. With `one_step` also those of commands that compile and link at once,
/// as small makefiles do. The record holds absolute paths below `recorded_in`,
/// where the source was then; it is in `src` now.
pub(crate) fn compiles(
    log: &Path,
    recorded_in: &Path,
    src: &Path,
    exclude: &[String],
    one_step: bool,
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
        for compile in compile(Path::new(&cwd), arguments, src, one_step) {
            let Some(file) = compile.path().filter(|f| src.join(f).is_file()) else {
                continue;
            };
            let excluded = |prefix: &String| file.starts_with(prefix.as_str());
            if !exclude.iter().any(excluded) && seen.insert(compile.clone()) {
                all.push(compile);
            }
        }
    }
    all.sort_by_cached_key(|c| (c.path(), c.arguments.clone(), c.cwd.clone()));
    Ok(all)
}

/// Understands one record; empty if it is not a compile of one file of C or
/// C++ that lies in the package, or, with `one_step`, of several.
fn compile(cwd: &Path, arguments: Vec<String>, src: &Path, one_step: bool) -> Vec<Compile> {
    understand(cwd, arguments, src, one_step).unwrap_or_default()
}

fn understand(
    cwd: &Path,
    arguments: Vec<String>,
    src: &Path,
    one_step: bool,
) -> Option<Vec<Compile>> {
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
            a if !a.starts_with('-') && Language::of(a).is_some() => files.push(argument),
            _ => kept.push(argument),
        }
    }
    files.retain(|file| !file.contains("conftest"));
    if !one_step && (files.len() != 1 || !compiles) {
        return None;
    }
    // Some builds name files by their absolute path; stored so, rows would
    // depend on where the corpus lies.
    let relative = |file: String| match Path::new(&file).strip_prefix(src) {
        Ok(inside) => {
            let up = "../".repeat(cwd.components().count());
            format!("{up}{}", inside.display())
        }
        Err(_) => file,
    };
    if !compiles {
        // What is for the linker is an error or a warning without one.
        kept.retain(|a| {
            let options = ["-l", "-L", "-shared", "-static", "-pie", "-rdynamic"];
            let objects = [".o", ".lo", ".a", ".so"];
            let option = options.iter().any(|p| a.starts_with(p));
            !option && (a.starts_with('-') || !objects.iter().any(|e| a.ends_with(e)))
        });
    }
    let compile = |file| Compile {
        cwd: cwd.clone(),
        file: relative(file),
        arguments: kept.clone(),
    };
    Some(files.into_iter().map(compile).collect())
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
        let cwd = Path::new("/b/src/lib");
        let mut found = compile(cwd, arguments, Path::new("/b/src"), false);
        assert!(found.len() <= 1, "{found:?}");
        found.pop()
    }

    #[test]
    fn a_command_that_compiles_and_links_is_a_compile_of_each_file() {
        let arguments = "-I inc -O2 a.c b.cpp old.o -o prog -lm -Lx";
        let arguments = arguments.split(' ').map(str::to_owned).collect();
        let found = compile(Path::new("/b"), arguments, Path::new("/b"), true);
        let files: Vec<&str> = found.iter().map(|c| c.file.as_str()).collect();
        assert_eq!(files, ["a.c", "b.cpp"]);
        assert_eq!(found[0].arguments, ["-I", "inc"]);
        assert_eq!(found[1].language(), Language::Cpp);
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
        let found = compiles(&log, Path::new("/old/src"), dir.path(), &[], false).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].arguments,
            [format!("-I{}/inc", dir.path().display())]
        );
        assert_eq!(
            compiles(
                &log,
                Path::new("/old/src"),
                dir.path(),
                &["x".into()],
                false
            )
            .unwrap(),
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
                Path::new("/b"),
                false
            ),
            []
        );
    }
}
