//! Tasks of the repository, each one command that a person can run by hand:
//!
//! ```text
//! cargo xtask test               formatting, clippy, every test
//! cargo xtask libtorch           libtorch for the training crate, into target/libtorch
//! cargo xtask minilm             the text encoder, into target/minilm
//! cargo xtask nats               nats-server for the tests of the queue, into target/nats
//! cargo xtask train RECIPE ...   build and run binscribe-train
//! cargo xtask fuzz --seconds N   every target of fuzz/, N seconds each
//! cargo xtask discovery          how well functions are found, as a table
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod apt;
mod discovery;
mod fetch;
mod setup;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
Usage: cargo xtask TASK

Tasks:
  test                   formatting, clippy with warnings denied, every test
  libtorch               fetch libtorch for the training crate into target/libtorch
  minilm                 fetch the text encoder into target/minilm
  nats                   fetch nats-server into target/nats
  train RECIPE [ARGS]    build binscribe-train and run it with its libraries
  fuzz [--seconds N]     run every target of fuzz/ for N seconds (60), from the
                         fixtures and what earlier runs found
  discovery [--quick] [--lengths] [--jobs N] [--minutes N]
                         build packages by several compilers for several
                         processors, strip them, and write docs/discovery.md: how
                         well their functions are found (half an hour the first
                         time; needs llvm and clang, takes the cross compilers of
                         Debian that are there). --quick: a few files, printed only;
                         with --lengths the lengths of instructions, too.
                         --minutes: begins no file after them, and goes on in the
                         next run

Environment:
  BINSCRIBE_WHEELS  a folder of wheels to take instead of downloading
  BINSCRIBE_TORCH   the lib folder of a whole torch 2.11.0, for `train` on a GPU";

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[OsString]) -> Result<()> {
    let root = root();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().and_then(|task| task.to_str()) {
        Some("test") => test(&root),
        Some("libtorch") => fetch::libtorch(&root).map(|_| ()),
        Some("minilm") => fetch::minilm(&root).map(|_| ()),
        Some("nats") => fetch::nats(&root).map(|_| ()),
        Some("train") => train(&root, rest),
        Some("fuzz") => fuzz(&root, rest),
        Some("discovery") => discovery::discovery(&root, rest),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("no such task\n\n{USAGE}")),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

fn test(root: &Path) -> Result<()> {
    let environment = training_environment(root)?;
    run(cargo(root).args(["fmt", "--all", "--check"]))?;
    run(cargo(root)
        .args(["clippy", "--workspace", "--all-targets", "--"])
        .args(["-D", "warnings"])
        .envs(environment.clone()))?;
    run(cargo(root)
        .args(["test", "--workspace"])
        .envs(environment)
        .envs(setup::tests(root)?)
        .env("BINSCRIBE_NATS_SERVER", fetch::nats(root)?))
}

fn train(root: &Path, arguments: &[OsString]) -> Result<()> {
    let environment = training_environment(root)?;
    run(cargo(root)
        .args(["build", "--release", "--package", "binscribe-train"])
        .envs(environment.clone()))?;
    let mut program = Command::new(root.join("target/release/binscribe-train"));
    program.args(arguments).envs(environment);
    // OpenMP's threads wait for each other by spinning; with anything else
    // running on the same cores that costs most of the speed.
    if std::env::var_os("OMP_WAIT_POLICY").is_none() {
        program.env("OMP_WAIT_POLICY", "passive");
    }
    // A program linked to the CPU library alone finds a GPU only if the CUDA
    // half of a whole torch is loaded before it.
    if let Some(torch) = std::env::var_os("BINSCRIBE_TORCH") {
        program
            .env("LD_LIBRARY_PATH", join_paths(Path::new(&torch), root)?)
            .env("LD_PRELOAD", Path::new(&torch).join("libtorch_cuda.so"));
    }
    run(&mut program)
}

fn fuzz(root: &Path, arguments: &[OsString]) -> Result<()> {
    let seconds = match arguments {
        [] => 60,
        [flag, number] if flag == "--seconds" => number
            .to_str()
            .and_then(|number| number.parse::<u32>().ok())
            .ok_or("--seconds takes a whole number")?,
        _ => return Err(format!("fuzz takes --seconds N only\n\n{USAGE}")),
    };
    let targets = root.join("fuzz/fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(&targets)
        .map_err(|error| format!("{}: {error}", targets.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    let installed = Command::new("cargo")
        .args(["fuzz", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        run(cargo(root).args(["install", "cargo-fuzz", "--locked"]))?;
    }
    for name in names {
        // What is found goes on from run to run; the fixtures are where it begins.
        let corpus = root.join("fuzz/corpus").join(&name);
        std::fs::create_dir_all(&corpus)
            .map_err(|error| format!("{}: {error}", corpus.display()))?;
        // libFuzzer's instrumentation flags are unstable; the variable lets
        // the pinned stable compiler accept them.
        run(cargo(root)
            .args(["fuzz", "run", "--sanitizer", "none", &name])
            .args([&corpus, &root.join("fixtures")])
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            // The bounds of SECURITY.md, with room for the corpus in memory
            // and for a busy machine.
            .args(["-timeout=10", "-rss_limit_mb=1024"])
            .env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}

/// What the training crate needs to be built, run and tested.
fn training_environment(root: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let libtorch = fetch::libtorch(root)?;
    let minilm = fetch::minilm(root)?;
    Ok(vec![
        ("LD_LIBRARY_PATH", join_paths(&libtorch.join("lib"), root)?),
        ("LIBTORCH", libtorch.into()),
        ("BINSCRIBE_MINILM", minilm.into()),
    ])
}

fn join_paths(first: &Path, root: &Path) -> Result<OsString> {
    let old = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = std::env::split_paths(&old).filter(|path| !path.as_os_str().is_empty());
    std::env::join_paths(
        std::iter::once(first.to_owned())
            .chain(others)
            .map(|path| root.join(path)),
    )
    .map_err(|error| error.to_string())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a command that shows its own output, so that cargo's counts of tests
/// are seen.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{} {}", command.get_program().to_string_lossy(), {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        arguments.join(" ")
    });
    eprintln!("+ {shown}");
    let status = command
        .status()
        .map_err(|error| format!("{shown}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{shown}: {status}"))
    }
}
