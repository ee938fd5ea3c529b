//! Files that are whole or not there.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = with_suffix(path, ".tmp");
    std::fs::write(&temporary, bytes).map_err(|error| Error::io(&temporary, error))?;
    std::fs::rename(&temporary, path).map_err(|error| Error::io(path, error))
}

pub(crate) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut json =
        serde_json::to_vec_pretty(value).map_err(|error| Error::io(path, error.into()))?;
    json.push(b'\n');
    write(path, &json)
}

/// Fills a new folder and puts it in the place of `folder`. A folder cannot be
/// renamed over another, so the old one steps aside for a moment; see
/// [`recover_folder`].
pub(crate) fn replace_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let (new, old) = (with_suffix(folder, ".tmp"), with_suffix(folder, ".old"));
    let io = |error| Error::io(folder, error);
    remove(&new)?;
    std::fs::create_dir_all(&new).map_err(io)?;
    fill(&new)?;
    remove(&old)?;
    if folder.exists() {
        std::fs::rename(folder, &old).map_err(io)?;
    }
    std::fs::rename(&new, folder).map_err(io)?;
    remove(&old)
}

/// Puts the old folder back if the program died between the two renames.
pub(crate) fn recover_folder(folder: &Path) -> Result<()> {
    let old = with_suffix(folder, ".old");
    if !folder.exists() && old.exists() {
        std::fs::rename(&old, folder).map_err(|error| Error::io(folder, error))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    Ok(())
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("checkpoint");
        let fill =
            |text: &'static str| move |folder: &Path| write(&folder.join("a"), text.as_bytes());
        replace_folder(&folder, fill("one")).unwrap();
        replace_folder(&folder, fill("two")).unwrap();
        let failed = replace_folder(&folder, |_| Err(Error::Corpus("no".to_owned())));
        assert!(failed.is_err());
        assert_eq!(std::fs::read(folder.join("a")).unwrap(), b"two");

        std::fs::rename(&folder, with_suffix(&folder, ".old")).unwrap();
        recover_folder(&folder).unwrap();
        assert_eq!(std::fs::read(folder.join("a")).unwrap(), b"two");
    }
}
