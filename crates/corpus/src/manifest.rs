use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{At as _, Error, Result};
use crate::toolchain::Matrix;

/// Which part of an experiment a package belongs to; never more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Models are fitted to it.
    Train,
    /// Choices are made by it.
    Validation,
    /// Reported once everything is chosen.
    Test,
}

impl Split {
    /// The word used in manifests and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The packages of a corpus, as a TOML file lists them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this file's format; 1.
    pub schema: u32,
    /// The Debian suite that the versions are from, such as `bookworm`.
    pub suite: String,
    /// What packages are built with; gcc 12 and clang 14 at the five levels
    /// if there are none.
    #[serde(default, rename = "toolchain", skip_serializing_if = "Vec::is_empty")]
    pub toolchains: Vec<Matrix>,
    /// The packages, in the order in which they are built.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

/// One source package at one version.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the source package.
    pub name: String,
    /// Its pinned version.
    pub version: String,
    /// The side of the experiment that it is on.
    pub split: Split,
    /// Its licence as an SPDX expression, or the nearest to one.
    pub license: String,
    /// Shell lines that build it, run in the unpacked source with `CC` set to
    /// the recording compiler and `MAKE` to a make that never re-runs autotools.
    pub build: Vec<String>,
    /// Path prefixes, relative to the source, whose compiles are not replayed.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Digest (SHA-256, hexadecimal) of each file of the source package.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads and checks a manifest file.
    pub fn load(path: &Path) -> Result<Manifest> {
        Manifest::parse(&std::fs::read_to_string(path).at(path)?)
    }

    /// Reads and checks the text of a manifest.
    pub fn parse(text: &str) -> Result<Manifest> {
        let manifest: Manifest =
            toml::from_str(text).map_err(|e| Error::Manifest(e.to_string()))?;
        if manifest.schema != 1 {
            return Err(Error::Manifest(format!(
                "schema {} is not 1",
                manifest.schema
            )));
        }
        for matrix in &manifest.toolchains {
            matrix.check().map_err(Error::Manifest)?;
        }
        let mut seen = std::collections::BTreeSet::new();
        for package in &manifest.packages {
            // Names and file names become paths below the corpus directory.
            let plain = |s: &str| {
                !s.is_empty()
                    && !s.starts_with(['.', '-'])
                    && s.chars()
                        .all(|c| c.is_ascii_alphanumeric() || "+-._~".contains(c))
            };
            if !plain(&package.name) {
                return Err(Error::Manifest(format!(
                    "{:?} is not a package name",
                    package.name
                )));
            }
            if let Some(file) = package.files.keys().find(|f| !plain(f)) {
                return Err(Error::Manifest(format!("{file:?} is not a file name")));
            }
            if !seen.insert(&package.name) {
                return Err(Error::Manifest(format!("{} is listed twice", package.name)));
            }
        }
        Ok(manifest)
    }

    /// A manifest of no package.
    pub(crate) fn empty() -> Manifest {
        Manifest {
            schema: 1,
            suite: String::new(),
            toolchains: Vec::new(),
            packages: Vec::new(),
        }
    }

    /// What packages are built with.
    pub fn matrices(&self) -> Vec<Matrix> {
        if self.toolchains.is_empty() {
            vec![Matrix::default()]
        } else {
            self.toolchains.clone()
        }
    }

    /// The packages with these names, in the manifest's order; all of them if
    /// `names` is empty.
    pub fn select(&self, names: &[String]) -> Result<Vec<&Package>> {
        if let Some(unknown) = names
            .iter()
            .find(|n| self.packages.iter().all(|p| p.name != **n))
        {
            return Err(Error::UnknownPackage(unknown.clone()));
        }
        let wanted = |p: &&Package| names.is_empty() || names.contains(&p.name);
        Ok(self.packages.iter().filter(wanted).collect())
    }
}

impl Package {
    /// Stands for everything that decides what a recorded build looks like.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for part in [&self.name, &self.version].into_iter().chain(&self.build) {
            hash.update(part.as_bytes()).update(b"\0");
        }
        for (file, digest) in &self.files {
            hash.update(file.as_bytes())
                .update(b"\0")
                .update(digest.as_bytes())
                .update(b"\0");
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let text = |name: &str, file: &str| {
            format!(
                "schema = 1\nsuite = \"s\"\n[[package]]\nname = {name:?}\nversion = \"1\"\n\
                 split = \"train\"\nlicense = \"MIT\"\nbuild = []\n[package.files]\n{file:?} = \"00\"\n"
            )
        };
        assert!(Manifest::parse(&text("zlib", "zlib_1.dsc")).is_ok());
        assert!(Manifest::parse(&text("../zlib", "zlib_1.dsc")).is_err());
        assert!(Manifest::parse(&text("zlib", "a/b")).is_err());
    }

    #[test]
    fn the_default_manifest_is_valid_and_pins_everything() {
        let text = include_str!("../../../recipes/corpus/default.toml");
        let manifest = Manifest::parse(text).unwrap();
        for package in &manifest.packages {
            assert!(package.files.len() >= 2, "{} pins no files", package.name);
            assert!(package.files.values().all(|d| d.len() == 64));
            assert!(!package.build.is_empty());
        }
        for split in [Split::Train, Split::Validation, Split::Test] {
            assert!(
                manifest
                    .packages
                    .iter()
                    .filter(|p| p.split == split)
                    .count()
                    >= 3
            );
        }
    }
}
