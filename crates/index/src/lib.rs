//! An index: functions of many programs with their vectors, in a directory.
//!
//! `index.json` says which model made the vectors; `programs/` has a Parquet file
//! for each program, which any tool for Parquet reads. It is named by the hash of the
//! program and the hash of itself, is written whole and under a temporary name, and
//! never changed: an index may be read while it grows, may be added to from several
//! machines, and two of one model become one by copying their files together.
//!
//! All vectors are compared with a query, so that what is nearest is found for sure;
//! a million of them are 0.4 GB to go through.

mod error;
mod program;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use error::{Error, Result};
pub use program::{Column, Entry, Part, ProgramFacts};

use program::FileName;
use vectors::Vectors;

/// The file by which a directory is known as an index.
const META: &str = "index.json";
/// The directory of the programs.
const PROGRAMS: &str = "programs";
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meta {
    version: u32,
    model: String,
    width: usize,
}

/// A file of an index that is not as it was written.
#[derive(Debug)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: Error,
}

/// An index, opened.
#[derive(Debug, Clone)]
pub struct Index {
    directory: PathBuf,
    meta: Meta,
}

impl Index {
    /// Whether `path` is an index.
    pub fn is_at(path: &Path) -> bool {
        path.join(META).is_file()
    }

    /// Opens the index in `directory`.
    ///
    /// # Errors
    ///
    /// Where there is none, or one of another version.
    pub fn open(directory: &Path) -> Result<Index> {
        let path = directory.join(META);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let path = directory.to_owned();
                return Err(Error::NotIndex { path });
            }
            Err(error) => return Err(Error::io(&path, error)),
        };
        let meta: Meta = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(&path, &e))?;
        if meta.version != VERSION {
            let reason = format!(
                "an index of version {}, and this reads version {VERSION}",
                meta.version
            );
            return Err(Error::damaged(&path, &reason));
        }
        Ok(Index {
            directory: directory.to_owned(),
            meta,
        })
    }

    /// Opens the index in `directory` for vectors of `width` numbers by `model`;
    /// makes an empty one where there is none.
    ///
    /// # Errors
    ///
    /// Where the index is of another model, or the directory holds something else.
    pub fn open_or_create(directory: &Path, model: &str, width: usize) -> Result<Index> {
        if Index::is_at(directory) {
            let index = Index::open(directory)?;
            index.require(model)?;
            return Ok(index);
        }
        // What a run that was killed has left is no other use of the directory.
        let own = |name: &str| name == PROGRAMS || name.ends_with(".tmp");
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        if names.any(|name| !name.to_str().is_some_and(own)) {
            let path = directory.to_owned();
            return Err(Error::Occupied { path });
        }
        let programs = directory.join(PROGRAMS);
        fs::create_dir_all(&programs).map_err(|e| Error::io(&programs, e))?;
        let meta = Meta {
            version: VERSION,
            model: model.to_owned(),
            width,
        };
        let path = directory.join(META);
        let text = serde_json::to_vec(&meta).map_err(|e| Error::damaged(&path, &e))?;
        write_whole(&path, &text)?;
        Ok(Index {
            directory: directory.to_owned(),
            meta,
        })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The id of the model that made the vectors.
    pub fn model(&self) -> &str {
        &self.meta.model
    }

    /// Refuses any model but `wanted`.
    ///
    /// # Errors
    ///
    /// Where the vectors are of another one.
    pub fn require(&self, wanted: &str) -> Result<()> {
        if self.meta.model == wanted {
            return Ok(());
        }
        Err(Error::OtherModel {
            path: self.directory.clone(),
            found: self.meta.model.clone(),
            wanted: wanted.to_owned(),
        })
    }

    /// The hashes of all programs.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be read.
    pub fn hashes(&self) -> Result<BTreeSet<String>> {
        let files = self.files()?;
        let names = files.iter().filter_map(|path| FileName::of(path));
        Ok(names.map(|name| name.program.to_owned()).collect())
    }

    /// Puts a program in that is not there yet. `functions` have one vector each.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    ///
    /// # Panics
    ///
    /// Where a vector has not the index's width.
    pub fn add<'v>(
        &self,
        facts: &ProgramFacts,
        functions: &[Entry],
        vectors: impl IntoIterator<Item = &'v [f32]>,
    ) -> Result<()> {
        let mut kept = Vectors::new(self.meta.width);
        for vector in vectors {
            assert_eq!(vector.len(), self.meta.width, "a vector of another width");
            kept.push(vector);
        }
        assert_eq!(kept.scales.len(), functions.len(), "one vector each");
        let directory = self.directory.join(PROGRAMS);
        let bytes = program::encode(&directory, &self.meta.model, facts, functions, &kept)?;
        let name = FileName::text(&facts.blake3, &bytes);
        write_whole(&directory.join(name), &bytes)
    }

    /// Takes the program of these bytes out.
    ///
    /// # Errors
    ///
    /// Where its file cannot be removed.
    pub fn remove(&self, blake3: &str) -> Result<()> {
        for path in self.all_files()? {
            if FileName::of(&path).is_some_and(|name| name.program == blake3) {
                fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
            }
        }
        Ok(())
    }

    /// A file for each program, in order. Two that were added at once from two
    /// places may be the same program.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = self.all_files()?;
        files.sort();
        let program = |path: &Path| FileName::of(path).map(|name| name.program.to_owned());
        files.dedup_by(|a, b| program(a) == program(b));
        Ok(files)
    }

    fn all_files(&self) -> Result<Vec<PathBuf>> {
        let programs = self.directory.join(PROGRAMS);
        let io = |e| Error::io(&programs, e);
        let mut files = Vec::new();
        for entry in fs::read_dir(&programs).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if FileName::of(&path).is_some() {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// What `visit` makes of each program, in the order of their hashes, of which
    /// `columns` are read. Programs are read on all processors.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, is damaged, or of another model.
    pub fn visit<T: Send>(
        &self,
        columns: &[Column],
        visit: impl Fn(Part) -> T + Sync,
    ) -> Result<Vec<T>> {
        self.visit_those(|_| true, columns, visit)
    }

    /// The same of those programs for whose hash `wanted` holds.
    ///
    /// # Errors
    ///
    /// As [`Index::visit`].
    pub fn visit_those<T: Send>(
        &self,
        wanted: impl Fn(&str) -> bool,
        columns: &[Column],
        visit: impl Fn(Part) -> T + Sync,
    ) -> Result<Vec<T>> {
        let mut files = self.files()?;
        files.retain(|path| FileName::of(path).is_some_and(|name| wanted(name.program)));
        files
            .par_iter()
            .map(|path| Ok(visit(Part::read(path, &self.meta, columns)?)))
            .collect()
    }

    /// What is known of all programs, in the order of their paths.
    ///
    /// # Errors
    ///
    /// As [`Index::visit`].
    pub fn programs(&self) -> Result<Vec<ProgramFacts>> {
        let mut programs = self.visit(&[], |part| part.facts)?;
        programs.sort_by(|a, b| (&a.path, &a.blake3).cmp(&(&b.path, &b.blake3)));
        Ok(programs)
    }

    /// Reads every file whole and checks it; `each` is called after each. Gives the
    /// programs that are as they were written, and what is wrong with other files.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be read.
    pub fn verify(&self, each: impl Fn() + Sync) -> Result<(Vec<ProgramFacts>, Vec<Damage>)> {
        let files = self.all_files()?;
        let checked: Vec<Result<ProgramFacts>> = files
            .par_iter()
            .map(|path| {
                let part = Part::read(path, &self.meta, &Column::ALL);
                each();
                let facts = part?.facts;
                if FileName::of(path).map(|name| name.program) != Some(&facts.blake3) {
                    let reason = format!("it is of another program, {}", facts.blake3);
                    return Err(Error::damaged(path, &reason));
                }
                Ok(facts)
            })
            .collect();
        let (mut sound, mut damaged) = (BTreeMap::new(), Vec::new());
        for (path, checked) in files.into_iter().zip(checked) {
            match checked {
                Ok(facts) => drop(sound.insert(facts.blake3.clone(), facts)),
                Err(error) => damaged.push(Damage { path, error }),
            }
        }
        Ok((sound.into_values().collect(), damaged))
    }
}

/// Under a temporary name first: a killed run leaves nothing half-written.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|error| {
            let _ = fs::remove_file(&temporary);
            Error::io(path, error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(blake3: &str, functions: usize) -> ProgramFacts {
        ProgramFacts {
            path: format!("bin/{blake3}"),
            blake3: blake3.to_owned(),
            format: "elf".to_owned(),
            arch: "x86-64".to_owned(),
            image_base: 0x40_0000,
            size: 9000,
            stripped: true,
            functions,
        }
    }

    fn entry(number: u64) -> Entry {
        Entry {
            address: 0x40_1000 + number,
            rva: 0x1000 + number,
            size: 32,
            name: format!("sub_{:X}", 0x40_1000 + number),
            symbol: number * 7,
            own_name: (number == 1).then(|| "read_all".to_owned()),
            source_file: None,
            words: format!("read file {number}"),
            code: u128::from(number) << 100,
        }
    }

    /// An index of two programs: vectors along the axes of a space of 4.
    fn index() -> (tempfile::TempDir, Index) {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open_or_create(&directory.path().join("i"), "m1", 4).unwrap();
        let axis = |at: usize| {
            let mut axis = [0.0f32; 4];
            axis[at] = 1.0;
            axis
        };
        for (name, range) in [("aa", 0..3u64), ("bb", 3..4)] {
            let entries: Vec<Entry> = range.clone().map(entry).collect();
            let axes: Vec<[f32; 4]> = range.map(|n| axis(n as usize)).collect();
            let vectors = axes.iter().map(|axis| &axis[..]);
            index
                .add(&facts(name, entries.len()), &entries, vectors)
                .unwrap();
        }
        (directory, index)
    }

    #[test]
    fn what_is_added_comes_back() {
        let (_directory, index) = index();
        let index = Index::open(index.directory()).unwrap();
        assert_eq!(index.programs().unwrap(), [facts("aa", 3), facts("bb", 1)]);
        assert!(index.hashes().unwrap().iter().eq(["aa", "bb"]));
        let parts = index.visit(&Column::ALL, |part| part.functions).unwrap();
        assert_eq!(parts, [vec![entry(0), entry(1), entry(2)], vec![entry(3)]]);
        let cosines = index.visit(&[Column::Vectors], |part| {
            part.cosines(&[0.0, 0.6, 0.0, 0.8])
        });
        let cosines = cosines.unwrap().concat();
        for (found, exact) in cosines.iter().zip([0.0, 0.6, 0.0, 0.8]) {
            assert!((found - exact).abs() < 1e-3, "{cosines:?}");
        }
        let words = index.visit(&[Column::Words], |part| part.functions);
        let asked = Entry {
            words: "read file 3".to_owned(),
            ..Entry::default()
        };
        assert_eq!(words.unwrap()[1], [asked], "the rest was not asked for");
        let one = index.visit_those(|hash| hash == "bb", &[Column::Facts], |part| part.functions);
        assert_eq!(one.unwrap().concat()[0].name, "sub_401003");
        index.remove("aa").unwrap();
        assert_eq!(index.programs().unwrap(), [facts("bb", 1)]);
    }

    #[test]
    fn another_model_and_another_directory_are_refused() {
        let (directory, index) = index();
        let other = Index::open_or_create(index.directory(), "m2", 4).unwrap_err();
        assert!(matches!(other, Error::OtherModel { .. }), "{other}");
        let occupied = Index::open_or_create(directory.path(), "m1", 4).unwrap_err();
        assert!(matches!(occupied, Error::Occupied { .. }), "{occupied}");
        // A run that was killed before it could write what makes it an index.
        let begun = directory.path().join("begun");
        fs::create_dir_all(begun.join(PROGRAMS)).unwrap();
        Index::open_or_create(&begun, "m1", 4).unwrap();
        let none = Index::open(directory.path()).unwrap_err();
        assert!(matches!(none, Error::NotIndex { .. }), "{none}");
        // A file that came from another index by hand.
        let stranger = directory.path().join("j");
        let stranger = Index::open_or_create(&stranger, "m2", 4).unwrap();
        let file = &index.files().unwrap()[0];
        let name = Path::new(PROGRAMS).join(file.file_name().unwrap());
        fs::copy(file, stranger.directory().join(name)).unwrap();
        assert!(matches!(stranger.programs(), Err(Error::OtherModel { .. })));
    }

    #[test]
    fn any_damage_is_found() {
        let (_directory, index) = index();
        let path = index.files().unwrap()[0].clone();
        fs::write(path.with_extension("1.tmp"), "half").unwrap();
        let (sound, damage) = index.verify(|| ()).unwrap();
        assert_eq!((sound.len(), damage.len()), (2, 0));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(index.verify(|| ()).unwrap().1.len(), 1, "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let damage = index.visit(&[Column::Facts], |_| ()).unwrap_err();
        assert!(damage.to_string().contains("damaged"), "{damage}");
        fs::write(&path, &whole).unwrap();
        let moved = path.display().to_string().replace("aa.", "cc.");
        fs::rename(&path, moved).unwrap();
        let (_, damage) = index.verify(|| ()).unwrap();
        assert!(
            damage[0].error.to_string().contains("another program, aa"),
            "{damage:?}"
        );
    }

    #[test]
    fn one_program_added_from_two_places_is_one() {
        let (_directory, index) = index();
        let other = ProgramFacts {
            path: "elsewhere".to_owned(),
            ..facts("bb", 1)
        };
        index
            .add(&other, &[entry(3)], [&[0.0, 0.0, 0.0, 1.0][..]])
            .unwrap();
        assert_eq!(index.all_files().unwrap().len(), 3);
        assert_eq!(index.programs().unwrap().len(), 2);
        index.remove("bb").unwrap();
        assert_eq!(index.all_files().unwrap().len(), 1);
    }
}
