//! What the tests need beside Rust and a C compiler, installed where that is
//! possible. A test whose part is missing says so and passes, but for that of the page,
//! without which `cargo xtask test` fails.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::apt::{self, quietly};
use crate::discovery::is_there;
use crate::{Result, fetch};

/// Debian's packages, by a program that each brings.
const PACKAGES: [(&str, &[&str]); 10] = [
    ("gcc-12", &["gcc-12"]),
    ("g++-12", &["g++-12"]),
    ("clang-14", &["clang-14"]),
    ("opt-14", &["llvm-14"]),
    ("ld64.lld-19", &["lld-19"]),
    ("strip", &["binutils"]),
    ("dpkg-source", &["dpkg-dev"]),
    (
        "aarch64-linux-gnu-gcc-12",
        &["gcc-12-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    ),
    (
        "arm-linux-gnueabihf-gcc-12",
        &["gcc-12-arm-linux-gnueabihf", "libc6-dev-armhf-cross"],
    ),
    (
        "i686-linux-gnu-gcc-12",
        &["gcc-12-i686-linux-gnu", "libc6-dev-i386-cross"],
    ),
];

/// Reads Parquet without any code of ours.
const DUCKDB: &str = "duckdb==1.4.2";

/// A server that speaks S3.
const MOTO: [&str; 3] = ["moto[s3]==5.2.5", "flask", "flask-cors"];

/// The Model Context Protocol's own client, for the tests of `binscribe mcp`.
const MCP: &str = "mcp==2.3.0";

/// What drives the browser that the page of `binscribe serve` is tested in.
const PLAYWRIGHT: &str = "playwright==1.65.2";

/// The reference implementations of CLAP's two encoders, at the version that
/// they were published with.
const TRANSFORMERS: &str = "transformers==4.36.2";
/// The Python that Debian's torch is for.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Installs what is missing, and gives the environment of the tests: zig on the
/// path, DuckDB for Python, Pythons with the reference of CLAP's models, with a
/// server for buckets, with a client of MCP and with a browser, and radare2.
///
/// # Errors
///
/// If there is no browser: nothing else tests that what a hostile file says is text on
/// the page, so that test is never left out.
pub(crate) fn tests(root: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let lacking = PACKAGES.iter().filter(|(program, _)| !is_there(program));
    let packages: Vec<&str> = lacking
        .flat_map(|(_, packages)| packages.to_vec())
        .collect();
    if !packages.is_empty()
        && let Err(why) = install(&packages)
    {
        println!(
            "some tests will be skipped: {} not installed: {why}",
            packages.join(", ")
        );
    }
    let mut environment = Vec::new();
    match fetch::zig(root) {
        Ok(zig) => {
            let old = std::env::var_os("PATH").unwrap_or_default();
            let folder = zig.parent().map(Path::to_owned);
            let folders = folder.into_iter().chain(std::env::split_paths(&old));
            environment.extend(
                std::env::join_paths(folders)
                    .ok()
                    .map(|path| ("PATH", path)),
            );
        }
        Err(why) => println!("some tests will be skipped: no zig: {why}"),
    }
    match python(root) {
        Ok(folder) => environment.push(("PYTHONPATH", folder)),
        Err(why) => println!("some tests will be skipped: no DuckDB: {why}"),
    }
    match reference_python(root) {
        Ok(python) => environment.push(("BINSCRIBE_REFERENCE_PYTHON", python)),
        Err(why) => println!("some tests will be skipped: no transformers: {why}"),
    }
    match moto_python(root) {
        Ok(python) => environment.push(("BINSCRIBE_MOTO_PYTHON", python)),
        Err(why) => println!("some tests will be skipped: no moto: {why}"),
    }
    match virtual_python(root, "mcp", &[], &[MCP]) {
        Ok(python) => environment.push(("BINSCRIBE_MCP_PYTHON", python)),
        Err(why) => println!("some tests will be skipped: no client of MCP: {why}"),
    }
    let browser = browser_python(root);
    let browser = browser.map_err(|why| format!("no browser for the test of the page: {why}"))?;
    environment.push(("BINSCRIBE_BROWSER_PYTHON", browser));
    match radare2(root) {
        Ok(program) => environment.push(("BINSCRIBE_RADARE2", program)),
        Err(why) => println!("some tests will be skipped: no radare2: {why}"),
    }
    Ok(environment)
}

fn install(packages: &[&str]) -> Result<()> {
    quietly(Command::new("apt-get").args(["update", "-q=2"]))?;
    quietly(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-q=2", "--no-install-recommends"])
            .args(packages),
    )?;
    Ok(())
}

fn python(root: &Path) -> Result<OsString> {
    let target = root.join("target/python");
    if !target.is_dir() {
        let partial = root.join("target/python.partial");
        quietly(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--no-deps"])
                .args(["--disable-pip-version-check", DUCKDB, "--target"])
                .arg(&partial),
        )?;
        std::fs::rename(&partial, &target).map_err(|error| error.to_string())?;
    }
    Ok(target.into())
}

/// radare2, which needs a C library of its own, as one program.
fn radare2(root: &Path) -> Result<OsString> {
    let target = root.join("target/radare2");
    let command = apt::radare2(&root.join("target/apt"), &target)?;
    let quoted: Vec<String> = command
        .iter()
        .map(|part| format!("'{}'", part.display()))
        .collect();
    let program = target.join("radare2");
    let text = |error: std::io::Error| error.to_string();
    std::fs::write(
        &program,
        format!("#!/bin/sh\nexec {} \"$@\"\n", quoted.join(" ")),
    )
    .map_err(text)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).map_err(text)?;
    Ok(program.into())
}

/// A Python with torch, which Debian builds without CUDA, and transformers.
fn reference_python(root: &Path) -> Result<OsString> {
    // The plain BLAS that torch brings takes minutes where this one takes
    // seconds.
    let system = ["python3-torch", "libopenblas0-pthread"];
    virtual_python(root, "reference", &system, &[TRANSFORMERS])
}

/// A Python with moto.
fn moto_python(root: &Path) -> Result<OsString> {
    virtual_python(root, "moto", &[], &MOTO)
}

/// A Python that drives Chromium, which it finds on the path.
fn browser_python(root: &Path) -> Result<OsString> {
    if !is_there("chromium") {
        install(&["chromium"])?;
    }
    virtual_python(root, "browser", &[], &[PLAYWRIGHT])
}

/// A Python of its own in `target/python-NAME`, with packages of PyPI; it sees
/// those of the system if it needs any of them.
fn virtual_python(root: &Path, name: &str, system: &[&str], packages: &[&str]) -> Result<OsString> {
    let target = root.join(format!("target/python-{name}"));
    let python = target.join("bin/python");
    if !target.is_dir() {
        install(&[&["python3-venv"], system].concat())?;
        let partial = root.join(format!("target/python-{name}.partial"));
        let sees_system = (!system.is_empty()).then_some("--system-site-packages");
        quietly(
            Command::new(SYSTEM_PYTHON)
                .args(["-m", "venv", "--clear"])
                .args(sees_system)
                .arg(&partial),
        )?;
        quietly(
            Command::new(partial.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet"])
                .arg("--disable-pip-version-check")
                .args(packages),
        )?;
        std::fs::rename(&partial, &target).map_err(|error| error.to_string())?;
    }
    Ok(python.into())
}
