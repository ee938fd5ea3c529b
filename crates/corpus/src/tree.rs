//! Sources that lie in a folder: what stands for them, a copy to build in, and
//! how a project is built that does not say.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::{At as _, Result};
use crate::manifest::{Kind, Language, Package};
use crate::process;

/// Folders that version control keeps for itself: they change without the
/// sources, and are large.
const NOT_SOURCES: [&str; 5] = [".git", ".hg", ".svn", ".bzr", "CVS"];

/// Stands for the names and contents of all files of these folders. What
/// cannot be read counts as absent; the build will tell of it.
pub(crate) fn digest(folders: &[&Path]) -> String {
    let mut hash = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes())
            .update(bytes);
    };
    for folder in folders {
        for path in entries(folder) {
            let inside = path.strip_prefix(folder).unwrap_or(&path);
            part(inside.as_os_str().as_bytes());
            match fs::read_link(&path) {
                Ok(target) => part(target.as_os_str().as_bytes()),
                Err(_) => part(&fs::read(&path).unwrap_or_default()),
            }
        }
    }
    hash.finalize().to_hex()[..12].to_owned()
}

/// Every file and link below a folder, or the file itself, by name.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_owned()];
    }
    let mut found = Vec::new();
    let mut stack = vec![folder.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && NOT_SOURCES.iter().any(|n| name == *n) => {}
                Ok(kind) if kind.is_dir() => stack.push(entry.path()),
                Ok(kind) if kind.is_file() || kind.is_symlink() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Copies the sources of a package to `into`, where they may be changed.
pub(crate) fn copy(package: &Package, into: &Path) -> Result<()> {
    let Some(from) = &package.path else {
        return Ok(());
    };
    // A folder that cannot be listed would look like an empty one.
    fs::read_dir(from).at(from)?;
    let temporary = process::temporary_name(into);
    if temporary.exists() {
        fs::remove_dir_all(&temporary).at(&temporary)?;
    }
    fs::create_dir_all(&temporary).at(&temporary)?;
    for path in entries(from) {
        let Ok(inside) = path.strip_prefix(from) else {
            continue;
        };
        let copy = temporary.join(inside);
        if let Some(dir) = copy.parent() {
            fs::create_dir_all(dir).at(dir)?;
        }
        if let Ok(target) = fs::read_link(&path) {
            std::os::unix::fs::symlink(target, &copy).at(&copy)?;
            continue;
        }
        fs::copy(&path, &copy).at(&path)?;
        // Generated files that look older than their sources would be made
        // again, by tools that may be absent.
        let times = fs::metadata(&path).and_then(|m| m.modified()).at(&path)?;
        let file = fs::File::options().append(true).open(&copy);
        if let Ok(file) = file {
            file.set_modified(times).at(&copy)?;
        }
        if package.kind() == Kind::Files {
            int_main(package, &copy)?;
        }
    }
    fs::rename(&temporary, into).at(into)
}

/// Rewrites `void main` in a file that is compiled as C++: old compilers took
/// it, and no level of permissiveness makes today's do so. Lines stay.
fn int_main(package: &Package, file: &Path) -> Result<()> {
    let name = file.to_string_lossy();
    let Some(language) = Language::of(&name).map(|l| package.language.unwrap_or(l)) else {
        return Ok(());
    };
    let bytes = fs::read(file).at(file)?;
    let void_main = crate::comment::pattern!(r"\bvoid(\s+main\s*\()");
    if let (Language::Cpp, Ok(text)) = (language, std::str::from_utf8(&bytes))
        && void_main.is_match(text)
    {
        fs::write(file, void_main.replace_all(text, "int$1").as_bytes()).at(file)?;
    }
    Ok(())
}

/// The lines that build the project in `src`; none if each file is to be
/// compiled by itself.
pub(crate) fn build_lines(package: &Package, src: &Path) -> Vec<String> {
    let has = |name: &str| src.join(name).is_file();
    let lines: &[&str] = if !package.build.is_empty() || package.kind() != Kind::Tree {
        return package.build.clone();
    } else if has("configure") {
        &["sh ./configure", "$MAKE"]
    } else if has("CMakeLists.txt") {
        &[
            "cmake -S . -B corpus-build",
            "cmake --build corpus-build -j2",
        ]
    } else if ["GNUmakefile", "makefile", "Makefile"].into_iter().any(has) {
        // Makefiles name their compilers more often than they ask for them.
        &["$MAKE CC=\"$CC\" CXX=\"$CXX\""]
    } else {
        &[]
    };
    lines.iter().map(|l| (*l).to_owned()).collect()
}

/// The record that a build would leave which compiles each file of `src` by
/// itself.
pub(crate) fn compiles_alone(package: &Package, src: &Path) -> Vec<u8> {
    let all = entries(src);
    let all: Vec<&Path> = all.iter().flat_map(|p| p.strip_prefix(src)).collect();
    let mut folders = BTreeSet::new();
    if package.kind() == Kind::Tree {
        let headers = ["h", "hh", "hpp", "hxx"];
        let header = |p: &&&Path| {
            p.extension()
                .is_some_and(|e| headers.iter().any(|h| e == *h))
        };
        folders.extend(all.iter().filter(header).flat_map(|p| p.parent()));
    }
    let includes: Vec<String> = folders
        .iter()
        .map(|f| format!("-I{}", Path::new(".").join(f).display()))
        .collect();
    let mut record = Vec::new();
    for file in all {
        let name = file.to_string_lossy();
        let Some(own) = Language::of(&name) else {
            continue;
        };
        let mut fields = vec![src.to_string_lossy().into_owned()];
        fields.extend(includes.iter().chain(&package.flags).cloned());
        match package.language {
            Some(Language::Cpp) if own == Language::C => fields.push("-xc++".to_owned()),
            Some(Language::C) if own == Language::Cpp => fields.push("-xc".to_owned()),
            _ => {}
        }
        fields.extend(["-c".to_owned(), name.into_owned()]);
        for field in fields {
            record.extend_from_slice(field.as_bytes());
            record.push(0x1f);
        }
        record.push(0x1e);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_stands_for_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/x.c", "int x;");
        let first = digest(&[dir.path()]);
        write(".git/index", "1");
        assert_eq!(digest(&[dir.path()]), first);
        write("a/x.c", "int y;");
        let second = digest(&[dir.path()]);
        assert_ne!(second, first);
        fs::rename(dir.path().join("a/x.c"), dir.path().join("a/y.c")).unwrap();
        assert_ne!(digest(&[dir.path()]), second);
    }
}
