use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::error::{At as _, Error, Result};
use crate::toolchain::Matrix;
use crate::tree;

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

/// What a package is for, in the words of the papers' tasks: crypto and protocol
/// identification are judged on packages of these categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Ciphers, hashes, signatures, and the arithmetic of large numbers below them.
    Crypto,
    /// Clients, servers and libraries of network protocols.
    Protocol,
    /// Packers and archives.
    Compression,
    /// Images and sound.
    Media,
    /// Formats of text and data, and languages.
    Parsing,
    /// Command-line tools, event loops and databases.
    System,
}

impl Category {
    /// All of them.
    pub const ALL: [Category; 6] = [
        Category::Crypto,
        Category::Protocol,
        Category::Compression,
        Category::Media,
        Category::Parsing,
        Category::System,
    ];

    /// The word used in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Crypto => "crypto",
            Category::Protocol => "protocol",
            Category::Compression => "compression",
            Category::Media => "media",
            Category::Parsing => "parsing",
            Category::System => "system",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How large a corpus is to be. A package of one size is in all larger ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// For trying things out: minutes on a desktop machine.
    #[default]
    Small,
    /// What models are trained on and judged by.
    Standard,
    /// Everything, large projects included.
    Full,
}

impl Size {
    /// All of them, each holding the ones before it.
    pub const ALL: [Size; 3] = [Size::Small, Size::Standard, Size::Full];

    /// The word used in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Standard => "standard",
            Size::Full => "full",
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(word: &str) -> Result<Size> {
        Size::ALL
            .into_iter()
            .find(|size| size.as_str() == word)
            .ok_or_else(|| {
                Error::Manifest(format!(
                    "{word:?} is not a size: take small, standard or full"
                ))
            })
    }
}

/// The packages of a corpus, as a TOML file lists them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this file's format; 1.
    pub schema: u32,
    /// The Debian suite that the versions are from, such as `bookworm`; for
    /// packages of other kinds it is not needed.
    #[serde(default)]
    pub suite: String,
    /// What packages are built with; gcc 12 and clang 14 at the five levels
    /// if there are none.
    #[serde(default, rename = "toolchain", skip_serializing_if = "Vec::is_empty")]
    pub toolchains: Vec<Matrix>,
    /// The packages, in the order in which they are built.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

/// What the sources of a package look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Debian source package, pinned by `version` and `files`.
    Debian,
    /// A folder with one project of C or C++, which is built as a whole.
    Tree,
    /// A folder of files that each compile alone, such as `AnghaBench`'s
    /// functions and POJ-104's programs.
    Files,
    /// A folder of sources, with binaries that were built from it elsewhere.
    Prebuilt,
}

/// A programming language that packages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Language {
    #[serde(rename = "c")]
    C,
    #[serde(rename = "c++")]
    Cpp,
}

impl Language {
    /// The language of a file that is compiled, by its name; none if it is
    /// neither C nor C++.
    pub(crate) fn of(file: &str) -> Option<Language> {
        match Path::new(file).extension()?.to_str()? {
            "c" => Some(Language::C),
            "cc" | "cpp" | "cxx" | "c++" | "C" => Some(Language::Cpp),
            _ => None,
        }
    }
}

/// One source package at one version, or sources of another [`Kind`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the source package.
    pub name: String,
    /// What its sources look like [default: `debian`, or `tree` if there is a
    /// `path`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its pinned version; for sources in a folder, what rows shall say that it
    /// is [default: a digest of the folder].
    #[serde(default)]
    pub version: String,
    /// The folder of its sources, relative to the manifest, unless it is a
    /// Debian package. A package whose folder has changed is built again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The side of the experiment that it is on.
    pub split: Split,
    /// What it is for, where the manifest says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// The smallest size of corpus that it is in.
    #[serde(default)]
    pub size: Size,
    /// What the package as a whole implements, such as `mqtt` or `http`: the
    /// answers of protocol categorisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The paper whose data set it is in: `asm-source-mlm` marks the seven
    /// projects of that paper's Table 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Debian packages that must be installed for its build to be recorded,
    /// beyond a C compiler, make and Perl.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Its licence as an SPDX expression, or the nearest to one.
    pub license: String,
    /// Shell lines that build it, run in the unpacked source with `CC` and
    /// `CXX` set to the recording compilers and `MAKE` to a make that never
    /// re-runs autotools. A folder without lines is built by its `configure`
    /// and make, by `cmake`, or by its makefile, whichever comes first; if it
    /// has none of them, each file is compiled by itself, with the folders of
    /// headers to include from.
    #[serde(default)]
    pub build: Vec<String>,
    /// Path prefixes, relative to the source, whose compiles are not replayed.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Digest (SHA-256, hexadecimal) of each file of the source package.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// For `files`: text that each file is compiled behind, such as the
    /// `#include` lines that it has lost. Lines and rows stay as in the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prelude: String,
    /// For `files`: `c` or `c++` [default: by each file's name]. As C++, a
    /// `void main` is rewritten to the `int main` that compilers insist on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// For `files` and folders without a build: further arguments of each
    /// compile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// For `prebuilt`: what was built from the sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binaries: Vec<Binaries>,
    /// Digest of the folders, once it was needed.
    #[serde(skip)]
    pub(crate) content: OnceLock<String>,
}

/// Binaries that one compiler built at one level, with their symbols. Debug
/// information is used where they have it; without, functions are joined with
/// their sources by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binaries {
    /// A binary, or a folder of them, relative to the manifest.
    pub path: PathBuf,
    /// The compiler, such as `gcc`.
    pub compiler: String,
    /// The compiler's version, if known.
    #[serde(default)]
    pub compiler_version: String,
    /// The optimisation level, such as `O2`.
    pub level: String,
    /// Passes that obfuscated them, if any did.
    #[serde(default)]
    pub obfuscation: String,
}

impl Manifest {
    /// Reads and checks a manifest file.
    pub fn load(path: &Path) -> Result<Manifest> {
        let mut manifest = Manifest::parse(&std::fs::read_to_string(path).at(path)?)?;
        let path = std::path::absolute(path).at(path)?;
        let folder = path.parent().unwrap_or(&path);
        for package in &mut manifest.packages {
            let paths = package.binaries.iter_mut().map(|b| &mut b.path);
            for path in paths.chain(&mut package.path) {
                *path = folder.join(&*path);
            }
        }
        Ok(manifest)
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
            let unfit = package
                .unfit()
                .map(|what| format!("{} {what}", package.name));
            if let Some(message) = unfit {
                return Err(Error::Manifest(message));
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

    /// Only the packages of a corpus of this size.
    #[must_use]
    pub fn sized(mut self, size: Size) -> Manifest {
        self.packages.retain(|package| package.size <= size);
        self.toolchains.retain(|matrix| matrix.size <= size);
        self
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
    /// What its sources look like.
    pub fn kind(&self) -> Kind {
        let implied = match self.path {
            Some(_) => Kind::Tree,
            None => Kind::Debian,
        };
        self.kind.unwrap_or(implied)
    }

    /// The version that rows name.
    pub fn shown_version(&self) -> &str {
        match self.version.as_str() {
            "" => self.content(),
            version => version,
        }
    }

    /// What its kind lacks or has no use for, if anything.
    fn unfit(&self) -> Option<&'static str> {
        let kind = self.kind();
        let alone = matches!(kind, Kind::Tree | Kind::Files);
        match kind {
            Kind::Debian if self.path.is_some() => {
                Some("has a path, which Debian packages have not: name another kind")
            }
            Kind::Debian if self.version.is_empty() => {
                Some("names neither a version nor a path of its sources")
            }
            Kind::Debian => None,
            _ if self.path.is_none() => Some("names no path of its sources"),
            _ if !self.files.is_empty() => Some("pins files, as only Debian packages do"),
            Kind::Prebuilt if self.binaries.is_empty() => {
                Some("names no binaries: add a [[package.binaries]]")
            }
            _ => None,
        }
        .or_else(|| {
            let only_files = !self.prelude.is_empty() || self.language.is_some();
            if only_files && kind != Kind::Files {
                Some("has a prelude or a language, which only kind = \"files\" has")
            } else if !self.flags.is_empty() && !alone {
                Some("has flags, which only folders of sources have")
            } else if !self.build.is_empty() && matches!(kind, Kind::Files | Kind::Prebuilt) {
                Some("has build lines, which its kind does not run")
            } else if !self.binaries.is_empty() && kind != Kind::Prebuilt {
                Some("has binaries, which only kind = \"prebuilt\" has")
            } else {
                None
            }
        })
    }

    /// Stands for what lies in its folders; empty for a Debian package.
    fn content(&self) -> &str {
        self.content.get_or_init(|| {
            let binaries = self.binaries.iter().map(|b| &b.path);
            let paths: Vec<&Path> = self.path.iter().chain(binaries).map(|p| &**p).collect();
            match paths.as_slice() {
                [] => String::new(),
                paths => tree::digest(paths),
            }
        })
    }

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
        if self.path.is_some() {
            let binaries = self.binaries.iter().map(|b| Binaries {
                // What lies there counts, and not where it lies.
                path: PathBuf::new(),
                ..b.clone()
            });
            let binaries: Vec<Binaries> = binaries.collect();
            let rest = (self.kind(), self.language, &self.prelude, &self.flags);
            hash.update(format!("{}{rest:?}{binaries:?}", self.content()).as_bytes());
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

    fn shipped() -> Manifest {
        Manifest::parse(include_str!("../../../recipes/corpus/packages.toml")).unwrap()
    }

    fn default_manifest() -> Manifest {
        Manifest::parse(include_str!("../../../recipes/corpus/default.toml")).unwrap()
    }

    #[test]
    fn what_a_kind_has_no_use_for_is_refused() {
        let check = |fields: &str| {
            let package = "[[package]]\nname = \"p\"\nsplit = \"train\"\nlicense = \"MIT\"\n";
            let manifest = Manifest::parse(&format!("schema = 1\n{package}{fields}"))?;
            Ok::<Kind, Error>(manifest.packages[0].kind())
        };
        assert_eq!(check("version = \"1\"").unwrap(), Kind::Debian);
        assert_eq!(check("path = \"p\"").unwrap(), Kind::Tree);
        let files = "kind = \"files\"\nprelude = \"int x;\"\nlanguage = \"c++\"\n";
        assert_eq!(check(&format!("{files}path = \"p\"")).unwrap(), Kind::Files);
        for wrong in [
            "",
            "kind = \"tree\"",
            "version = \"1\"\npath = \"p\"\nkind = \"debian\"",
            "path = \"p\"\nprelude = \"int x;\"",
            "path = \"p\"\nkind = \"prebuilt\"",
            "path = \"p\"\nkind = \"files\"\nbuild = [\"make\"]",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_examples_of_other_kinds_are_valid() {
        for (text, kind) in [
            (
                include_str!("../../../recipes/corpus/anghabench.toml"),
                Kind::Files,
            ),
            (
                include_str!("../../../recipes/corpus/folder.toml"),
                Kind::Tree,
            ),
            (
                include_str!("../../../recipes/corpus/poj104.toml"),
                Kind::Files,
            ),
            (
                include_str!("../../../recipes/corpus/prebuilt.toml"),
                Kind::Prebuilt,
            ),
        ] {
            let manifest = Manifest::parse(text).unwrap();
            assert!(manifest.packages.iter().all(|p| p.kind() == kind));
        }
    }

    #[test]
    fn the_shipped_manifests_pin_everything() {
        for package in [default_manifest(), shipped()]
            .iter()
            .flat_map(|m| &m.packages)
        {
            let name = &package.name;
            assert!(package.files.len() >= 2, "{name} pins no files");
            let hex = |d: &String| d.len() == 64 && d.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(package.files.values().all(hex), "{name}");
            // The version of a source package without its epoch names its .dsc.
            let version = package.version.rsplit(':').next().unwrap();
            assert!(
                package.files.contains_key(&format!("{name}_{version}.dsc")),
                "{name} pins another version's files"
            );
            assert!(!package.build.is_empty() && !package.license.is_empty());
        }
    }

    #[test]
    fn every_part_of_the_default_manifest_has_packages() {
        let manifest = default_manifest();
        for split in [Split::Train, Split::Validation, Split::Test] {
            let of_split = |p: &&Package| p.split == split;
            assert!(manifest.packages.iter().filter(of_split).count() >= 3);
        }
    }

    #[test]
    fn the_package_list_builds_on_the_default_manifest() {
        let shipped = shipped();
        for old in &default_manifest().packages {
            let new = shipped
                .packages
                .iter()
                .find(|p| p.name == old.name)
                .unwrap_or_else(|| panic!("{} is gone", old.name));
            // A model trained on one list is judged on packages of the other.
            assert_eq!(new.split, old.split, "{}", old.name);
            assert_eq!(new.fingerprint(), old.fingerprint(), "{}", old.name);
        }
    }

    #[test]
    fn categories_are_learned_from_some_packages_and_judged_on_others() {
        for size in Size::ALL {
            let manifest = shipped().sized(size);
            let mut seen = std::collections::BTreeSet::new();
            for package in &manifest.packages {
                let category = package
                    .category
                    .unwrap_or_else(|| panic!("{} has no category", package.name));
                seen.insert((category, package.split));
            }
            for category in Category::ALL {
                for split in [Split::Train, Split::Test] {
                    assert!(
                        seen.contains(&(category, split)),
                        "no {category} package in the {split} part of {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn sizes_hold_one_another() {
        let count = |size| shipped().sized(size).packages.len();
        assert!(count(Size::Small) < count(Size::Standard));
        assert!(count(Size::Standard) < count(Size::Full));
        assert_eq!(count(Size::Full), shipped().packages.len());
        // A list that names no sizes is whole at every one.
        let all = default_manifest().packages.len();
        assert_eq!(default_manifest().sized(Size::Small).packages.len(), all);
        assert_eq!("full".parse::<Size>().unwrap(), Size::Full);
        assert!("huge".parse::<Size>().is_err());
    }

    /// Jiang, Li and Liu, "Learning assembly and source code semantics with
    /// masked language modeling", Table 1.
    #[test]
    fn the_seven_projects_of_the_masked_language_model_paper_are_listed() {
        let manifest = shipped();
        let mut names: Vec<&str> = manifest
            .packages
            .iter()
            .filter(|p| p.paper.as_deref() == Some("asm-source-mlm"))
            .map(|p| p.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "binutils",
                "coreutils",
                "curl",
                "diffutils",
                "findutils",
                "libtomcrypt",
                "sqlite3"
            ]
        );
    }

    #[test]
    fn packages_of_one_family_are_in_one_split() {
        let manifest = shipped();
        // Each shares code with the others of its row: gnulib, a bignum
        // library, the reference code of a codec, or a fork.
        let families: &[&[&str]] = &[
            &[
                "binutils",
                "coreutils",
                "diffutils",
                "findutils",
                "gawk",
                "grep",
                "gzip",
                "sed",
            ],
            &["libtomcrypt", "libtommath", "wolfssl"],
            &["gmp", "nettle"],
            &["libzstd", "lz4"],
            &["hiredis", "redis"],
            &["flac", "libvorbis", "opus", "speex"],
        ];
        for family in families {
            let splits: std::collections::BTreeSet<Split> = manifest
                .packages
                .iter()
                .filter(|p| family.contains(&p.name.as_str()))
                .map(|p| p.split)
                .collect();
            assert_eq!(splits.len(), 1, "{family:?}");
        }
    }

    #[test]
    fn protocols_in_the_test_part_are_told_apart_and_mostly_learned() {
        let labels = |split| -> std::collections::BTreeSet<String> {
            let manifest = shipped().sized(Size::Standard);
            let packages = manifest.packages.into_iter().filter(|p| p.split == split);
            packages.flat_map(|p| p.labels).collect()
        };
        let (train, test) = (labels(Split::Train), labels(Split::Test));
        assert!(train.intersection(&test).count() >= 4, "{train:?} {test:?}");
        for package in shipped().packages {
            if package.category == Some(Category::Protocol) {
                assert!(!package.labels.is_empty(), "{}", package.name);
            }
        }
    }
}
