//! Debian's packages through apt, with state of our own, so that the system's
//! lists and locks are left alone and nothing is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Packages of radare2 and the libraries that it needs, C library included: the
/// suite that has it is newer than the system.
const RADARE2: [&str; 17] = [
    "radare2",
    "libradare2-6.0.0t64",
    "libradare2-common",
    "libbz2-1.0",
    "libc6",
    "libcapstone5",
    "libgcc-s1",
    "libgnutls30t64",
    "liblz4-1",
    "liblzma5",
    "libmagic-mgc",
    "libmagic1t64",
    "libssl3t64",
    "libxxhash0",
    "libzip5",
    "libzstd1",
    "zlib1g",
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The archive of a source package as its authors made it, in `into`.
pub(crate) fn source(state: &Path, into: &Path, package: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(into).map_err(|error| error.to_string())?;
    let there = || archive_of(into, package);
    if let Some(archive) = there() {
        return Ok(archive);
    }
    let config = prepare(state, "deb-src", "bookworm")?;
    let mut apt = Command::new("apt-get");
    apt.env("APT_CONFIG", &config).current_dir(into).args([
        "source",
        "-q=2",
        "--download-only",
        package,
    ]);
    quietly(&mut apt)?;
    there().ok_or_else(|| format!("apt brought no archive of {package}"))
}

/// radare2 of Debian's newest suite, unpacked into `target`: the command that
/// runs it with its own C library.
pub(crate) fn radare2(state: &Path, target: &Path) -> Result<Vec<PathBuf>> {
    let libraries = target.join("usr/lib/x86_64-linux-gnu");
    if !target.is_dir() {
        let config = prepare(state, "deb", "sid")?;
        let partial = target.with_extension("partial");
        let text = |error: std::io::Error| error.to_string();
        std::fs::create_dir_all(&partial).map_err(text)?;
        let mut apt = Command::new("apt-get");
        apt.env("APT_CONFIG", &config)
            .current_dir(&partial)
            .args(["download", "-q=2"])
            .args(RADARE2);
        quietly(&mut apt)?;
        for entry in std::fs::read_dir(&partial).map_err(text)?.flatten() {
            if entry.path().extension().is_some_and(|end| end == "deb") {
                quietly(
                    Command::new("dpkg-deb")
                        .arg("-x")
                        .arg(entry.path())
                        .arg(&partial),
                )?;
            }
        }
        // The program asks for names that belong to the development package.
        let libraries = partial.join("usr/lib/x86_64-linux-gnu");
        for entry in std::fs::read_dir(&libraries).map_err(text)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((stem, _)) = name.split_once(".so.")
                && stem.starts_with("libr_")
            {
                // The first of two versions is as good as the second.
                let _ = std::os::unix::fs::symlink(&name, libraries.join(format!("{stem}.so")));
            }
        }
        std::fs::rename(&partial, target).map_err(text)?;
    }
    Ok(vec![
        libraries.join("ld-linux-x86-64.so.2"),
        "--library-path".into(),
        libraries,
        target.join("usr/bin/radare2"),
    ])
}

fn archive_of(folder: &Path, package: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(|e| Some(e.ok()?.path())).find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&format!("{package}_"))
            && file.contains(".orig.tar")
            && !file.ends_with(".asc")
    })
}

/// Writes a configuration for one suite of the mirror that the system installs
/// from, and reads that suite's lists unless that was done before.
fn prepare(state: &Path, kind: &str, suite: &str) -> Result<PathBuf> {
    let state = state.join(format!("{kind}-{suite}"));
    let config = state.join("apt.conf");
    if state.join("ready").is_file() {
        return Ok(config);
    }
    let text = |error: std::io::Error| error.to_string();
    for folder in ["lists/partial", "cache/archives/partial", "parts"] {
        std::fs::create_dir_all(state.join(folder)).map_err(text)?;
    }
    let line = format!("{kind} [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
    std::fs::write(state.join("parts/suite.list"), line).map_err(text)?;
    let shown = state.display();
    let settings = format!(
        "Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{shown}/parts\";\n\
         Dir::State::lists \"{shown}/lists\";\nDir::Cache \"{shown}/cache\";\n\
         APT::Sandbox::User \"root\";\n"
    );
    std::fs::write(&config, settings).map_err(text)?;
    quietly(
        Command::new("apt-get")
            .env("APT_CONFIG", &config)
            .args(["update", "-q=2"]),
    )?;
    std::fs::write(state.join("ready"), "").map_err(text)?;
    Ok(config)
}

fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|text| {
            let mut words = text.split_whitespace();
            let found = words
                .find(|w| w.starts_with("http") && w.trim_end_matches('/').ends_with("/debian"));
            found.map(str::to_owned)
        })
        .ok_or_else(|| "no Debian mirror in /etc/apt".to_owned())
}

/// Runs a command whose output matters only when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<Vec<u8>> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    Err(format!("{shown}: {}", last.unwrap_or("failed")))
}
