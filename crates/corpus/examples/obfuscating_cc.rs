//! A C compiler that obfuscates: clang, with the passes of this crate between
//! the optimiser and code generation. So any package can be built obfuscated by
//! its own build system, and its own tests run:
//!
//! ```sh
//! cargo build -p binscribe-corpus --example obfuscating_cc
//! OBFUSCATION=flatten+substitution make CC=target/debug/examples/obfuscating_cc
//! ```
//!
//! `OBFUSCATION` names the passes, joined by `+`; `OBFUSCATION_SEED` (0),
//! `OBFUSCATION_CLANG` (`clang-14`) and `OBFUSCATION_LOG` (a file to which each
//! compile's report is added as a line of JSON) are optional.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use binscribe_corpus::{ObfuscatedCompile, Obfuscation};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let clang = env::var("OBFUSCATION_CLANG").unwrap_or_else(|_| "clang-14".to_owned());
    let passes = match env::var("OBFUSCATION") {
        Ok(names) if !names.is_empty() => Obfuscation::split_names(&names)?,
        _ => Vec::new(),
    };
    let Some(job) = Job::of(&arguments).filter(|_| !passes.is_empty()) else {
        // A link, a preprocessor run or a question: clang's own business.
        let status = Command::new(clang).args(&arguments).status()?;
        let code = status.code().and_then(|c| u8::try_from(c).ok());
        return Ok(ExitCode::from(code.unwrap_or(1)));
    };
    let compile = ObfuscatedCompile {
        program: &clang,
        arguments: &job.others,
        file: &job.source,
        cwd: Path::new("."),
        passes: &passes,
        seed: env::var("OBFUSCATION_SEED").map_or(Ok(0), |s| s.parse())?,
        seconds: 1800,
        memory_kib: 8 << 20,
    };
    let report = compile.run(&job.object)??;
    if let Some(path) = env::var_os("OBFUSCATION_LOG") {
        let mut line = serde_json::to_string(&report)?;
        line.push('\n');
        let mut log = fs::File::options().create(true).append(true).open(path)?;
        log.write_all(line.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One C file to one object.
struct Job {
    source: String,
    object: PathBuf,
    others: Vec<String>,
}

impl Job {
    fn of(arguments: &[String]) -> Option<Job> {
        let (mut sources, mut object, mut others) = (Vec::new(), None, Vec::new());
        let mut compiles = false;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "-c" => compiles = true,
                "-o" => object = rest.next().map(PathBuf::from),
                file if file.ends_with(".c") && !file.starts_with('-') => sources.push(file),
                _ => others.push(argument.clone()),
            }
        }
        let source = sources.pop().filter(|_| compiles && sources.is_empty())?;
        let object = object.unwrap_or_else(|| {
            let name = PathBuf::from(source).with_extension("o");
            name.file_name().map_or(PathBuf::new(), PathBuf::from)
        });
        Some(Job {
            source: source.to_owned(),
            object,
            others,
        })
    }
}
