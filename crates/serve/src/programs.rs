//! What was uploaded: files in a temporary directory, each named by the BLAKE3 of what
//! it holds.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempDir};

/// The programs that are kept.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Removed with all that is in it when this is dropped.
    directory: TempDir,
    bound: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    programs: HashMap<String, Entry>,
    /// Of those that are not to go.
    bytes: u64,
    /// Counts uses, to know which was least recent.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    used: u64,
    /// Questions about it that are being answered.
    leases: usize,
    /// Goes when it has no leases.
    going: bool,
}

/// A program that stays while this is held.
#[derive(Debug)]
pub(crate) struct Lease {
    programs: Arc<Programs>,
    id: String,
}

impl Programs {
    pub(crate) fn new(bound: u64) -> io::Result<Programs> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("binscribe-serve-");
        // Other users may not even see which programs there are.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o700));
        }
        Ok(Programs {
            directory: builder.tempdir()?,
            bound,
            kept: Mutex::default(),
        })
    }

    /// Where the files are: whatever is run with their ids as names is run here.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file to write an upload to.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::with_prefix_in("upload-", self.directory())
    }

    /// Keeps `file`, whose hash is `id`, and lets others go until there is room.
    pub(crate) fn keep(
        self: &Arc<Programs>,
        file: NamedTempFile,
        size: u64,
        id: String,
    ) -> io::Result<Lease> {
        let mut kept = self.lock();
        let known = kept.programs.get(&id).is_some_and(|entry| !entry.going);
        if !known {
            while kept.bytes.saturating_add(size) > self.bound {
                let of_old = |(id, entry): (&String, &Entry)| (entry.used, id.clone());
                let those = kept.programs.iter().filter(|(_, entry)| !entry.going);
                let Some((_, oldest)) = those.map(of_old).min() else {
                    break;
                };
                self.let_go(&mut kept, &oldest);
            }
            file.persist(self.directory().join(&id))?;
            kept.bytes += size;
            let entry = kept.programs.entry(id.clone()).or_insert(Entry {
                size,
                used: 0,
                leases: 0,
                going: false,
            });
            entry.going = false;
        }
        drop(kept);
        self.lease(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The program `id`, if it is kept.
    pub(crate) fn lease(self: &Arc<Programs>, id: &str) -> Option<Lease> {
        let mut kept = self.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let entry = kept.programs.get_mut(id).filter(|entry| !entry.going)?;
        entry.used = clock;
        entry.leases += 1;
        Some(Lease {
            programs: Arc::clone(self),
            id: id.to_owned(),
        })
    }

    /// Keeps `id` no longer.
    pub(crate) fn forget(&self, id: &str) {
        self.let_go(&mut self.lock(), id);
    }

    /// How many there are, and their bytes.
    pub(crate) fn count(&self) -> (usize, u64) {
        let kept = self.lock();
        let staying = kept.programs.values().filter(|entry| !entry.going);
        (staying.count(), kept.bytes)
    }

    fn let_go(&self, kept: &mut Kept, id: &str) {
        let Some(entry) = kept.programs.get_mut(id).filter(|entry| !entry.going) else {
            return;
        };
        entry.going = true;
        kept.bytes -= entry.size;
        if entry.leases == 0 {
            self.remove(kept, id);
        }
    }

    fn remove(&self, kept: &mut Kept, id: &str) {
        kept.programs.remove(id);
        // What cannot be removed now is removed with the directory.
        let _ = fs::remove_file(self.directory().join(id));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut kept = self.programs.lock();
        let Some(entry) = kept.programs.get_mut(&self.id) else {
            return;
        };
        entry.leases -= 1;
        if entry.going && entry.leases == 0 {
            self.programs.remove(&mut kept, &self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn keep(programs: &Arc<Programs>, id: &str) -> Lease {
        let mut file = programs.file().expect("a file");
        file.write_all(b"1234").expect("written");
        programs.keep(file, 4, id.to_owned()).expect("kept")
    }

    #[test]
    fn the_one_least_recently_used_goes_first() {
        let programs = Arc::new(Programs::new(8).expect("a directory"));
        drop(keep(&programs, "a"));
        drop(keep(&programs, "b"));
        drop(programs.lease("a"));
        drop(keep(&programs, "c"));
        assert!(programs.lease("b").is_none());
        assert!(!programs.directory().join("b").exists());
        assert!(programs.lease("a").is_some() && programs.lease("c").is_some());
        assert_eq!(programs.count(), (2, 8));
    }

    #[test]
    #[cfg(unix)]
    fn nobody_else_sees_what_is_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let programs = Programs::new(4).expect("a directory");
        let metadata = fs::metadata(programs.directory()).expect("a directory");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_program_that_is_read_stays_until_that_is_done() {
        let programs = Arc::new(Programs::new(4).expect("a directory"));
        let lease = keep(&programs, "a");
        drop(keep(&programs, "b"));
        assert!(programs.lease("a").is_none());
        assert!(programs.directory().join("a").exists());
        // Uploaded again meanwhile, it is there to stay.
        drop(keep(&programs, "a"));
        drop(lease);
        assert!(programs.directory().join("a").exists());
        assert_eq!(programs.count(), (1, 4));
        programs.forget("a");
        assert!(!programs.directory().join("a").exists());
    }
}
