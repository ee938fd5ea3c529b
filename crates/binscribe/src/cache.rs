//! Vectors that were computed before, kept in the user's cache directory.
//!
//! A store is one file of one model: hashes of texts, and their vectors. What
//! is looked up is the text itself (a listing or a prompt), so a store can be
//! wrong about nothing: it can only miss.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"bnscvec1";

type Key = [u8; 16];

/// The directory of all caches: `BINSCRIBE_CACHE`, or what the system has for
/// that; `None` where neither is known.
pub(crate) fn directory() -> Option<PathBuf> {
    match std::env::var_os("BINSCRIBE_CACHE") {
        Some(set) if !set.is_empty() => Some(PathBuf::from(set)),
        _ => directories::ProjectDirs::from("", "", "binscribe").map(|d| d.cache_dir().to_owned()),
    }
}

/// Vectors by the text that they were made of.
#[derive(Debug, Default)]
pub(crate) struct VectorStore {
    path: Option<PathBuf>,
    vectors: HashMap<Key, Vec<f32>>,
    changed: bool,
}

impl VectorStore {
    /// The store of `subject` (a file's hash, say) for the model `model`; empty
    /// where there is none yet or it cannot be read, and kept nowhere where
    /// `enabled` is false.
    pub(crate) fn open(enabled: bool, model: &str, subject: &str) -> VectorStore {
        let path = enabled
            .then(directory)
            .flatten()
            .map(|directory| directory.join(model).join(format!("{subject}.vectors")));
        let vectors = path.as_deref().and_then(read).unwrap_or_default();
        VectorStore {
            path,
            vectors,
            changed: false,
        }
    }

    pub(crate) fn get(&self, text: &str) -> Option<&[f32]> {
        self.vectors.get(&key(text)).map(Vec::as_slice)
    }

    pub(crate) fn insert(&mut self, text: &str, vector: Vec<f32>) {
        self.vectors.insert(key(text), vector);
        self.changed = true;
    }

    /// Writes what is new, under a temporary name first. That a cache cannot be
    /// written is no reason to fail: the caller gets the reason to tell.
    pub(crate) fn save(&self) -> Result<(), String> {
        let Some(path) = self.path.as_deref().filter(|_| self.changed) else {
            return Ok(());
        };
        write(path, &self.vectors).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn key(text: &str) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    key
}

fn read(path: &Path) -> Option<HashMap<Key, Vec<f32>>> {
    let bytes = fs::read(path).ok()?;
    let (head, body) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    // A damaged file is as good as none.
    if body != blake3::hash(head).as_bytes() {
        return None;
    }
    let rest = head.strip_prefix(MAGIC)?;
    let (width, rest) = rest.split_at_checked(4)?;
    let width = u32::from_le_bytes(width.try_into().ok()?) as usize;
    let record = 16 + width.checked_mul(4)?;
    let records = rest.chunks_exact(record).map(|record| {
        let (key, vector) = record.split_at(16);
        let vector = vector
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut own = [0; 16];
        own.copy_from_slice(key);
        (own, vector.collect())
    });
    Some(records.collect())
}

fn write(path: &Path, vectors: &HashMap<Key, Vec<f32>>) -> std::io::Result<()> {
    let width = vectors.values().next().map_or(0, Vec::len);
    let mut bytes = MAGIC.to_vec();
    bytes.extend((width as u32).to_le_bytes());
    let mut sorted: Vec<_> = vectors
        .iter()
        .filter(|(_, vector)| vector.len() == width)
        .collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    for (key, vector) in sorted {
        bytes.extend(key);
        vector
            .iter()
            .for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    let hash = blake3::hash(&bytes);
    bytes.extend(hash.as_bytes());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, &bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_and_damage_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("m/file.vectors");
        let mut store = VectorStore {
            path: Some(path.clone()),
            ..VectorStore::default()
        };
        store.insert("push rbp", vec![0.5, -1.0]);
        store.insert("retn", vec![f32::MIN_POSITIVE, 3.0]);
        store.save().expect("written");
        let vectors = read(&path).expect("read");
        assert_eq!(vectors, store.vectors);

        let mut bytes = fs::read(&path).expect("bytes");
        bytes[20] ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert!(read(&path).is_none());
        fs::write(&path, b"short").expect("written");
        assert!(read(&path).is_none());
    }
}
