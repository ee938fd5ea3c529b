//! Downloads of source packages through apt, with state of our own so that the
//! system's lists and locks are left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::{At as _, Error, Result};
use crate::manifest::Package;
use crate::process;

/// apt with a private state directory that knows one suite's source packages.
#[derive(Debug)]
pub(crate) struct Apt {
    config: PathBuf,
}

impl Apt {
    /// Sets up the state below `dir` and reads the archive's package list.
    pub(crate) fn prepare(dir: &Path, suite: &str) -> Result<Apt> {
        let dir = &std::path::absolute(dir).at(dir)?;
        for sub in ["parts", "lists/partial", "cache/archives/partial"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).at(&path)?;
        }
        let sources = source_stanzas(Path::new("/etc/apt"), suite)?;
        process::write_atomically(&dir.join("parts/corpus.sources"), sources.as_bytes())?;
        let shown = dir.display();
        let config = dir.join("apt.conf");
        let text = format!(
            "Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{shown}/parts\";\n\
             Dir::State::lists \"{shown}/lists\";\nDir::Cache \"{shown}/cache\";\n\
             APT::Sandbox::User \"root\";\n"
        );
        process::write_atomically(&config, text.as_bytes())?;
        let apt = Apt { config };
        let output = process::output(apt.command("apt-get").args(["update", "-q=2"]))?;
        if !output.status.success() {
            return Err(Error::Download {
                package: suite.to_owned(),
                version: "package list".to_owned(),
                reason: process::last_words(&output),
            });
        }
        Ok(apt)
    }

    /// Downloads the files of one package into `into`.
    pub(crate) fn download(&self, package: &Package, into: &Path) -> Result<()> {
        let output = process::output(
            self.command("apt-get")
                .args(["source", "-q=2", "--download-only"])
                .arg(format!("{}={}", package.name, package.version))
                .current_dir(into),
        )?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Download {
            package: package.name.clone(),
            version: package.version.clone(),
            reason: process::last_words(&output),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }
}

/// The system's own entries for `suite`, turned into entries for its source
/// packages: whatever mirror the machine installs from is used here too.
fn source_stanzas(etc: &Path, suite: &str) -> Result<String> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(entries.flatten().map(|e| e.path()));
    }
    files.sort();
    let mut out = String::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        if file.extension().is_some_and(|e| e == "sources") {
            for stanza in text.split("\n\n") {
                out.extend(deb822_stanza(stanza, suite));
            }
        } else {
            for line in text.lines() {
                out.extend(one_line_entry(line, suite));
            }
        }
    }
    if out.is_empty() {
        Err(Error::NoMirror(suite.to_owned()))
    } else {
        Ok(out)
    }
}

fn deb822_stanza(stanza: &str, suite: &str) -> Option<String> {
    let field = |name: &str| {
        stanza.lines().find_map(|l| {
            let (key, value) = l.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if field("Enabled") == Some("no") || !field("Suites")?.split_whitespace().any(|s| s == suite) {
        return None;
    }
    Some(stanza_text(
        field("URIs")?,
        suite,
        field("Components")?,
        field("Signed-By"),
    ))
}

fn one_line_entry(line: &str, suite: &str) -> Option<String> {
    let rest = line
        .trim()
        .strip_prefix("deb ")
        .or_else(|| line.trim().strip_prefix("deb-src "))?;
    let (options, rest) = match rest.trim_start().strip_prefix('[') {
        Some(r) => r.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split('#').next()?.split_whitespace();
    let (uri, entry_suite) = (words.next()?, words.next()?);
    let components = words.collect::<Vec<_>>().join(" ");
    let key = options
        .split_whitespace()
        .find_map(|o| o.strip_prefix("signed-by="));
    (entry_suite == suite && !components.is_empty())
        .then(|| stanza_text(uri, suite, &components, key))
}

fn stanza_text(uris: &str, suite: &str, components: &str, key: Option<&str>) -> String {
    let key = key.map(|k| format!("Signed-By: {k}\n")).unwrap_or_default();
    format!("Types: deb-src\nURIs: {uris}\nSuites: {suite}\nComponents: {components}\n{key}\n")
}

/// Whether every file of the package is in `dir` with the pinned digest.
/// `Ok(false)` if one is absent.
pub(crate) fn verify(package: &Package, dir: &Path) -> Result<bool> {
    for (file, expected) in &package.files {
        let path = dir.join(file);
        if !path.exists() {
            return Ok(false);
        }
        let bytes = fs::read(&path).at(&path)?;
        let found: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        if found != *expected {
            return Err(Error::Digest {
                file: file.clone(),
                expected: expected.clone(),
                found,
            });
        }
    }
    Ok(true)
}

/// Unpacks the package's source, patches applied, as `into`.
pub(crate) fn unpack(package: &Package, sources: &Path, into: &Path) -> Result<()> {
    let dsc = package
        .files
        .keys()
        .find(|f| f.ends_with(".dsc"))
        .ok_or_else(|| Error::Manifest(format!("{} pins no .dsc file", package.name)))?;
    let temporary = process::temporary_name(into);
    if temporary.exists() {
        fs::remove_dir_all(&temporary).at(&temporary)?;
    }
    let output = process::output(
        Command::new("dpkg-source")
            // The pinned digest of the .dsc, which holds those of the rest,
            // says more than a signature by a key that may not be installed.
            .args(["--no-check", "--no-copy", "-x"])
            .arg(sources.join(dsc))
            .arg(&temporary),
    )?;
    if !output.status.success() {
        return Err(Error::Download {
            package: package.name.clone(),
            version: package.version.clone(),
            reason: process::last_words(&output),
        });
    }
    fs::rename(&temporary, into).at(into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_apt_entries_are_understood() {
        let stanza = "Types: deb\nURIs: http://mirror.example/debian\n\
                      Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
        let expected = "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\n\
                        Components: main\nSigned-By: /k.gpg\n\n";
        assert_eq!(deb822_stanza(stanza, "bookworm").as_deref(), Some(expected));
        assert_eq!(deb822_stanza(stanza, "trixie"), None);
        let line = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main";
        assert_eq!(one_line_entry(line, "bookworm").as_deref(), Some(expected));
        assert_eq!(one_line_entry(line, "bookworm-security"), None);
        assert_eq!(
            one_line_entry("# deb http://mirror.example/ bookworm main", "bookworm"),
            None
        );
    }

    #[test]
    fn a_file_with_another_digest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let digest = "00".repeat(32);
        let manifest = crate::Manifest::parse(&format!(
            "schema = 1\n[[package]]\nname = \"p\"\nversion = \"1\"\nsplit = \"train\"\n\
             license = \"MIT\"\n[package.files]\n\"p_1.dsc\" = {digest:?}\n"
        ));
        let package = &manifest.unwrap().packages[0];
        assert!(!verify(package, dir.path()).unwrap());
        std::fs::write(dir.path().join("p_1.dsc"), "x").unwrap();
        let error = verify(package, dir.path()).unwrap_err();
        assert!(
            error.to_string().starts_with("p_1.dsc has sha256 2d711642"),
            "{error}"
        );
    }
}
