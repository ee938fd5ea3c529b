use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::{At as _, Error, Result};
use crate::fetch::{self, Apt};
use crate::manifest::{Manifest, Package};
use crate::process::{self, Lock};
use crate::record::{self, Compile};
use crate::replay::{Limits, Replay};
use crate::row::{self, Row};
use crate::toolchain::Toolchain;
use crate::unit::{self, Sources, UnitStats};
use crate::{leak, link};

/// Something that happened while a corpus was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The source files of a package are being downloaded and checked.
    Fetching {
        /// The package.
        package: String,
    },
    /// A package is being built once to learn how.
    Recording {
        /// The package.
        package: String,
    },
    /// Compiles of one package, over all toolchains.
    Compiling {
        /// The package.
        package: String,
        /// Compiles that are finished, well or badly.
        done: usize,
        /// Compiles in all.
        total: usize,
    },
    /// The rows of one package under one toolchain are being read back.
    Listing {
        /// The package.
        package: String,
        /// The toolchain, such as `gcc-12.2.0-O2`.
        toolchain: String,
    },
    /// The rows of a package are on disk.
    Written {
        /// The package.
        package: String,
        /// How many.
        rows: usize,
    },
    /// Rows were dropped because another split has the same source or listing.
    Separated {
        /// How many.
        rows: usize,
    },
    /// Something failed; the rest goes on without it.
    Failed {
        /// The package.
        package: String,
        /// What failed and why.
        message: String,
    },
}

/// How a caller follows a long run, and ends it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Called for every event, from any thread.
    pub report: &'a (dyn Fn(Event) + Sync),
    /// Once true, the run ends with [`Error::Stopped`] as soon as what is
    /// running is finished; everything finished is kept.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("stop", self.stop)
            .finish_non_exhaustive()
    }
}

impl Watch<'_> {
    fn report(&self, event: Event) {
        (self.report)(event);
    }

    fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }

    fn failed(&self, package: &Package, message: String) {
        self.report(Event::Failed {
            package: package.name.clone(),
            message,
        });
    }
}

/// A directory that a manifest's packages are fetched, built and listed in.
#[derive(Clone, Debug)]
pub struct Corpus {
    dir: PathBuf,
    manifest: Manifest,
    limits: Limits,
    build_seconds: u32,
}

impl Corpus {
    /// The corpus of `manifest` in `dir`, which is made if it is absent.
    pub fn open(dir: &Path, manifest: Manifest) -> Result<Corpus> {
        let dir = std::path::absolute(dir).at(dir)?;
        for sub in ["sources", "build", "rows"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).at(&path)?;
        }
        let limits = Limits {
            seconds: 300,
            memory_kib: 4 << 20,
        };
        Ok(Corpus {
            dir,
            manifest,
            limits,
            build_seconds: 1800,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The packages.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Downloads the named packages (all if none is named), and checks every
    /// file against its pinned digest. What is there already is only checked.
    pub fn fetch(&self, names: &[String], watch: Watch<'_>) -> Result<()> {
        let sources = self.dir.join("sources");
        let mut apt = None;
        for package in self.manifest.select(names)? {
            watch.go_on()?;
            watch.report(Event::Fetching {
                package: package.name.clone(),
            });
            if fetch::verify(package, &sources)? {
                continue;
            }
            if apt.is_none() {
                apt = Some(Apt::prepare(&self.dir.join("apt"), &self.manifest.suite)?);
            }
            if let Some(apt) = &apt {
                apt.download(package, &sources)?;
            }
            if !fetch::verify(package, &sources)? {
                return Err(Error::Download {
                    package: package.name.clone(),
                    version: package.version.clone(),
                    reason: "apt left out a file that the manifest pins".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn package_dir(&self, package: &Package) -> PathBuf {
        self.dir.join("build").join(&package.name)
    }

    fn source_dir(&self, package: &Package) -> PathBuf {
        self.package_dir(package).join("src")
    }

    /// Unpacks and builds a package once, unless that is done, and returns the
    /// compiles that were seen.
    fn recorded(&self, package: &Package, watch: Watch<'_>) -> Result<Vec<Compile>> {
        let dir = self.package_dir(package);
        let (src, log) = (self.source_dir(package), dir.join("commands.log"));
        // What was recorded, and where it lay: a corpus may be moved.
        let stamp = dir.join("recorded");
        let fingerprint = package.fingerprint();
        let stamped = fs::read_to_string(&stamp).unwrap_or_default();
        let (recorded, place) = stamped.split_once('\n').unwrap_or((&stamped, ""));
        let mut place = PathBuf::from(place.trim_end());
        if !log.exists() || (!recorded.is_empty() && recorded != fingerprint) {
            watch.report(Event::Recording {
                package: package.name.clone(),
            });
            // A half-made build may hold anything: begin with a clean source.
            if src.exists() {
                fs::remove_dir_all(&src).at(&src)?;
            }
            if package.files.is_empty() {
                return Err(Error::Manifest(format!("{} pins no files", package.name)));
            }
            fetch::unpack(package, &self.dir.join("sources"), &src)?;
            let shim = record::install_shim(&self.dir)?;
            record::record(package, &src, &shim, &log, self.build_seconds)?;
            place.clear();
        }
        if place.as_os_str().is_empty() {
            place = src.clone();
            let text = format!("{fingerprint}\n{}\n", place.display());
            process::write_atomically(&stamp, text.as_bytes())?;
        }
        let compiles = record::compiles(&log, &place, &src, &package.exclude)?;
        if compiles.is_empty() {
            return Err(Error::NothingCompiled {
                package: package.name.clone(),
                log: dir.join("record.log"),
            });
        }
        Ok(compiles)
    }

    /// The objects of one package for each toolchain, made in parallel.
    fn objects(
        &self,
        package: &Package,
        toolchains: &[Toolchain],
        watch: Watch<'_>,
    ) -> Result<Vec<Vec<PathBuf>>> {
        let compiles = self.recorded(package, watch)?;
        let dir = self.package_dir(package).join("objects");
        fs::create_dir_all(&dir).at(&dir)?;
        let fingerprint = package.fingerprint();
        let replay = Replay {
            package: &package.name,
            fingerprint: &fingerprint,
            src: &self.source_dir(package),
            objects: &dir,
            limits: self.limits,
        };
        let total = compiles.len() * toolchains.len();
        let done = AtomicUsize::new(0);
        let failures: Mutex<BTreeMap<String, Vec<String>>> = Mutex::default();
        let jobs: Vec<(usize, usize)> = (0..toolchains.len())
            .flat_map(|t| (0..compiles.len()).map(move |c| (t, c)))
            .collect();
        let made: Vec<Option<PathBuf>> = jobs
            .par_iter()
            .with_max_len(1)
            .map(|&(t, c)| {
                watch.go_on()?;
                let object = replay.object(&compiles[c], &toolchains[t])?;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                watch.report(Event::Compiling {
                    package: package.name.clone(),
                    done,
                    total,
                });
                Ok(object
                    .map_err(|complaint| {
                        let file = compiles[c].cwd.join(&compiles[c].file);
                        let what = format!("{}: {complaint}", file.display());
                        if let Ok(mut failures) = failures.lock() {
                            failures
                                .entry(what)
                                .or_default()
                                .push(toolchains[t].to_string());
                        }
                    })
                    .ok())
            })
            .collect::<Result<_>>()?;
        for (what, under) in failures.into_inner().unwrap_or_default() {
            watch.failed(package, format!("{what} (under {})", under.join(", ")));
        }
        let mut made = made.into_iter();
        Ok(toolchains
            .iter()
            .map(|_| made.by_ref().take(compiles.len()).flatten().collect())
            .collect())
    }

    /// Builds the named packages (all if none is named) under the toolchains,
    /// and writes the rows of each as soon as it is done. A package whose rows
    /// are up to date is left alone unless `again` says to list it anew, which
    /// is for when the lifter has changed. A package that fails is reported and
    /// the others go on.
    pub fn build(
        &self,
        names: &[String],
        toolchains: &[Toolchain],
        again: bool,
        watch: Watch<'_>,
    ) -> Result<()> {
        for package in self.manifest.select(names)? {
            match self.build_package(package, toolchains, again, watch) {
                Ok(()) => {}
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => watch.failed(package, error.to_string()),
            }
        }
        Ok(())
    }

    fn build_package(
        &self,
        package: &Package,
        toolchains: &[Toolchain],
        again: bool,
        watch: Watch<'_>,
    ) -> Result<()> {
        let path = self.rows_dir().join(format!("{}.parquet", package.name));
        let key = rows_key(package, toolchains);
        if !again && row::metadata(&path, BUILD_KEY) == Some(key.clone()) {
            return Ok(());
        }
        let dir = self.package_dir(package);
        fs::create_dir_all(&dir).at(&dir)?;
        let _lock = Lock::take(&dir)?;
        let objects = self.objects(package, toolchains, watch)?;
        let src = self.source_dir(package);
        let units_dir = dir.join("units");
        let sources = Sources::of(&src);
        let made: Vec<Option<(Vec<Row>, UnitStats)>> = toolchains
            .par_iter()
            .zip(&objects)
            .with_max_len(1)
            .map(|(toolchain, objects)| {
                watch.go_on()?;
                watch.report(Event::Listing {
                    package: package.name.clone(),
                    toolchain: toolchain.to_string(),
                });
                let unit = link::link(&toolchain.to_string(), objects, &units_dir)
                    .and_then(|linked| unit::rows(package, toolchain, &linked, &sources));
                Ok(unit
                    .map_err(|error| watch.failed(package, error.to_string()))
                    .ok())
            })
            .collect::<Result<_>>()?;
        let (mut rows, mut units) = (Vec::new(), Vec::new());
        for (unit_rows, stats) in made.into_iter().flatten() {
            rows.extend(unit_rows);
            units.push(stats);
        }
        // Neighbours that are variants of one function compress well.
        rows.sort_by(|a, b| (&a.file, a.line, &a.name).cmp(&(&b.file, b.line, &b.name)));
        if units.is_empty() {
            return Err(Error::Unit {
                unit: package.name.clone(),
                reason: "no unit could be made, so its rows are left as they were".to_owned(),
            });
        }
        // A later run tries again what failed in this one.
        let complete = units.len() == toolchains.len();
        let key = if complete {
            key
        } else {
            format!("{key}, incomplete")
        };
        let units = serde_json::to_string(&units).unwrap_or_default();
        let _lock = Lock::wait(&self.rows_dir())?;
        row::write_with(&path, &rows, &[(BUILD_KEY, key), (UNITS_KEY, units)])?;
        watch.report(Event::Written {
            package: package.name.clone(),
            rows: rows.len(),
        });
        let removed = leak::remove(&self.rows_dir())?;
        if removed > 0 {
            watch.report(Event::Separated { rows: removed });
        }
        Ok(())
    }

    /// Where the rows are, one Parquet file for each package.
    pub fn rows_dir(&self) -> PathBuf {
        self.dir.join("rows")
    }
}

/// Metadata key of what a file of rows was made from.
pub(crate) const BUILD_KEY: &str = "binscribe.build";
/// Metadata key of the [`UnitStats`] of a file of rows, as JSON.
pub(crate) const UNITS_KEY: &str = "binscribe.units";

/// Stands for everything that decides a package's rows, the lifter aside.
fn rows_key(package: &Package, toolchains: &[Toolchain]) -> String {
    let mut parts = vec![package.fingerprint(), package.split.to_string()];
    parts.extend(package.exclude.iter().cloned());
    parts.extend(toolchains.iter().map(Toolchain::to_string));
    blake3::hash(parts.join("\0").as_bytes()).to_hex()[..16].to_owned()
}
