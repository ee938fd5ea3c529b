use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{At as _, Error, Result};
use crate::fetch::{self, Apt};
use crate::leak::{self, Earlier};
use crate::manifest::{Kind, Manifest, Package};
use crate::process::{self, Lock};
use crate::record::{self, Compile};
use crate::replay::{Limits, Replay};
use crate::row;
use crate::toolchain::Toolchain;
use crate::unit::{Ir, Rules, Sources, UnitRows, UnitStats};
use crate::worker::unit_name;
use crate::{files, ir, link, prebuilt, tree};

/// Something that happened while a corpus was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The source files of a package are being downloaded.
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
    rules: Rules,
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
            rules: Rules::default(),
        })
    }

    /// The same, with other functions becoming rows, or joined in another way.
    #[must_use]
    pub fn by_rules(mut self, rules: Rules) -> Corpus {
        self.rules = rules;
        self
    }

    /// The toolchains of the manifest that are installed, and why others are
    /// left out.
    pub fn toolchains(&self) -> (Vec<Toolchain>, Vec<String>) {
        let (mut all, mut absent) = (Vec::new(), Vec::new());
        for matrix in self.manifest.matrices() {
            let (found, missing) = matrix.installed();
            all.extend(found);
            absent.extend(missing);
        }
        (all, absent)
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
            if fetch::verify(package, &sources)? {
                continue;
            }
            watch.report(Event::Fetching {
                package: package.name.clone(),
            });
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
            if package.kind() != Kind::Debian {
                tree::copy(package, &src)?;
            } else if package.files.is_empty() {
                return Err(Error::Manifest(format!("{} pins no files", package.name)));
            } else {
                fetch::unpack(package, &self.dir.join("sources"), &src)?;
            }
            let shim = record::install_shim(&self.dir)?;
            let memory = self.limits.memory_kib;
            record::record(package, &src, &shim, &log, self.build_seconds, memory)?;
            place.clear();
        }
        if place.as_os_str().is_empty() {
            place = src.clone();
            let text = format!("{fingerprint}\n{}\n", place.display());
            process::write_atomically(&stamp, text.as_bytes())?;
        }
        let compiles = record::compiles(
            &log,
            &place,
            &src,
            &package.exclude,
            package.kind() == Kind::Tree,
        )?;
        if compiles.is_empty() {
            return Err(Error::NothingCompiled {
                package: package.name.clone(),
                log: dir.join("record.log"),
            });
        }
        Ok(compiles)
    }

    /// Builds the named packages (all if none is named) under the toolchains,
    /// and writes the rows of each as soon as it is done. A package whose rows
    /// are up to date is left alone unless `again` says to list it anew, which
    /// is for when the lifter has changed. A package that fails is reported and
    /// the others go on.
    ///
    /// Configuring a package and compressing its rows are the work of one
    /// processor each, so they are done while others compile.
    pub fn build(
        &self,
        names: &[String],
        toolchains: &[Toolchain],
        again: bool,
        watch: Watch<'_>,
    ) -> Result<Effort> {
        let (began, before) = (Instant::now(), Usage::now());
        let packages = self.in_order(names)?;
        let mut effort = Effort {
            workers: rayon::current_num_threads(),
            ..Effort::default()
        };
        let rows = thread::scope(|scope| {
            let (hand_over, prepared) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for package in packages {
                    let ready = self.prepare(package, toolchains, again, watch);
                    if hand_over.send((package, ready)).is_err() {
                        break;
                    }
                }
            });
            let (hand_on, made) = mpsc::sync_channel(1);
            let written = scope.spawn(move || -> usize {
                let write = |made: Made<'_>| match self.assemble(&made, watch) {
                    Ok(rows) => rows,
                    Err(error) => {
                        watch.failed(made.package, error.to_string());
                        0
                    }
                };
                made.into_iter().map(write).sum()
            });
            for (package, ready) in prepared {
                let made = ready.and_then(|ready| {
                    let make = |ready| self.make_units(package, ready, toolchains, again, watch);
                    ready.map(make).transpose()
                });
                match made {
                    Ok(None) => {}
                    Ok(Some((made, took))) => {
                        effort.add(&took);
                        if hand_on.send(made).is_err() {
                            break;
                        }
                    }
                    Err(Error::Stopped) => return Err(Error::Stopped),
                    Err(error) => watch.failed(package, error.to_string()),
                }
            }
            drop(hand_on);
            Ok(written.join().unwrap_or_default())
        })?;
        self.separate(watch)?;
        effort.rows = rows;
        effort.seconds = began.elapsed().as_secs_f64();
        effort.usage = Usage::now().since(before);
        Ok(effort)
    }

    /// Fills the workshop of a package, unless its rows are up to date.
    fn prepare<'a>(
        &'a self,
        package: &'a Package,
        toolchains: &[Toolchain],
        again: bool,
        watch: Watch<'a>,
    ) -> Result<Option<Ready<'a>>> {
        watch.go_on()?;
        let goal = self.goal(package, toolchains);
        if !again && row::metadata(&goal.path, BUILD_KEY).as_ref() == Some(&goal.key) {
            return Ok(None);
        }
        let dir = self.package_dir(package);
        fs::create_dir_all(&dir).at(&dir)?;
        let lock = Lock::take(&dir)?;
        let workshop = match package.kind() {
            Kind::Prebuilt => None,
            _ => {
                let workshop = Workshop::open(self, package, toolchains.len(), watch);
                // What it failed of may be the end that was asked for.
                watch.go_on()?;
                Some(workshop?)
            }
        };
        Ok(Some(Ready {
            lock,
            goal,
            workshop,
        }))
    }

    /// Makes the units of a package.
    fn make_units<'a>(
        &self,
        package: &'a Package,
        ready: Ready<'_>,
        toolchains: &[Toolchain],
        again: bool,
        watch: Watch<'_>,
    ) -> Result<(Made<'a>, Effort)> {
        let (units, wanted, effort) = match ready.workshop {
            None => {
                let units = self.list_prebuilt(package, &ready.goal.key, watch)?;
                let effort = Effort {
                    units: units.len(),
                    ..Effort::default()
                };
                (units, package.binaries.len(), effort)
            }
            Some(workshop) => {
                let made: Vec<Option<PathBuf>> = toolchains
                    .par_iter()
                    .with_max_len(1)
                    .map(|toolchain| match workshop.unit(toolchain, again) {
                        Err(Error::Stopped) => Err(Error::Stopped),
                        unit => Ok(unit
                            .map_err(|error| watch.failed(package, error.to_string()))
                            .ok()),
                    })
                    .collect::<Result<_>>()?;
                let units = made.into_iter().flatten().collect();
                (units, toolchains.len(), workshop.finish()?)
            }
        };
        let made = Made {
            package,
            complete: units.len() == wanted,
            units,
            goal: ready.goal,
            _lock: Some(ready.lock),
        };
        Ok((made, effort))
    }

    /// Puts the rows of the named packages (all if none is named) together from
    /// the units that are there, whoever made them. Nothing is compiled;
    /// prebuilt packages are listed here.
    pub fn assemble_units(
        &self,
        names: &[String],
        toolchains: &[Toolchain],
        watch: Watch<'_>,
    ) -> Result<Effort> {
        let mut effort = Effort::default();
        for package in self.in_order(names)? {
            if package.kind() == Kind::Prebuilt {
                let name = std::slice::from_ref(&package.name);
                let made = self.build(name, toolchains, false, watch)?;
                effort.rows += made.rows;
                continue;
            }
            let keys = toolchains.iter().map(|t| self.unit_key(package, t));
            let units: Vec<PathBuf> = keys
                .map(|key| self.unit_path(&key))
                .filter(|unit| unit.exists())
                .collect();
            let made = Made {
                package,
                complete: units.len() == toolchains.len(),
                units,
                goal: self.goal(package, toolchains),
                _lock: None,
            };
            match self.assemble(&made, watch) {
                Ok(rows) => effort.rows += rows,
                Err(error) => watch.failed(package, error.to_string()),
            }
        }
        self.separate(watch)?;
        Ok(effort)
    }

    /// The named packages, those of earlier splits first: what the later ones
    /// share with them is then known, and left out as their rows are written.
    fn in_order(&self, names: &[String]) -> Result<Vec<&Package>> {
        let mut packages = self.manifest.select(names)?;
        packages.sort_by_key(|package| package.split);
        Ok(packages)
    }

    /// Drops from the files that were there before what an earlier split has
    /// now.
    fn separate(&self, watch: Watch<'_>) -> Result<()> {
        let _lock = Lock::wait(&self.rows_dir())?;
        match leak::remove(&self.rows_dir())? {
            0 => {}
            rows => watch.report(Event::Separated { rows }),
        }
        Ok(())
    }

    /// The rows of binaries that were built elsewhere, a unit for each set.
    fn list_prebuilt(
        &self,
        package: &Package,
        key: &str,
        watch: Watch<'_>,
    ) -> Result<Vec<PathBuf>> {
        let dir = self.package_dir(package).join("units");
        let units = self.units_dir();
        for dir in [&dir, &units] {
            fs::create_dir_all(dir).at(dir)?;
        }
        let mut made = Vec::new();
        let sources = prebuilt::sources(package)?;
        for (index, binaries) in package.binaries.iter().enumerate() {
            watch.go_on()?;
            watch.report(Event::Listing {
                package: package.name.clone(),
                toolchain: prebuilt::toolchain(binaries),
            });
            let failed = |message| watch.failed(package, message);
            match prebuilt::list(package, binaries, self.rules, &sources, &dir, &failed) {
                Ok((rows, stats)) => {
                    let unit = self.unit_path(&format!("{key}-{index}"));
                    let json = serde_json::to_string(&stats).unwrap_or_default();
                    row::write_with(&unit, &rows, &[(UNITS_KEY, json)], row::Effort::Quick)?;
                    made.push(unit);
                }
                Err(error) => watch.failed(package, error.to_string()),
            }
        }
        Ok(made)
    }

    /// Joins the units of a package into its file of rows.
    fn assemble(&self, made: &Made<'_>, watch: Watch<'_>) -> Result<usize> {
        let Made { package, goal, .. } = made;
        if made.units.is_empty() {
            return Err(Error::Unit {
                unit: package.name.clone(),
                reason: "no unit could be made, so its rows are left as they were".to_owned(),
            });
        }
        let (mut rows, mut stats) = (Vec::new(), Vec::new());
        for unit in &made.units {
            rows.extend(row::read_rows(unit)?);
            let json = row::metadata(unit, UNITS_KEY).unwrap_or_default();
            stats.extend(serde_json::from_str::<UnitStats>(&json));
        }
        // Neighbours that are variants of one function for one processor compress
        // well.
        rows.sort_by(|a, b| {
            (&a.arch, &a.file, a.line, &a.name).cmp(&(&b.arch, &b.file, b.line, &b.name))
        });
        // A later run tries again what failed in this one.
        let key = if made.complete {
            goal.key.clone()
        } else {
            format!("{}, incomplete", goal.key)
        };
        let stats = serde_json::to_string(&stats).unwrap_or_default();
        let _lock = Lock::wait(&self.rows_dir())?;
        let shared = Earlier::than(package.split, &self.rows_dir())?.drop_from(&mut rows);
        let metadata = [(BUILD_KEY, key), (UNITS_KEY, stats)];
        row::write_with(&goal.path, &rows, &metadata, row::Effort::Best)?;
        watch.report(Event::Written {
            package: package.name.clone(),
            rows: rows.len(),
        });
        if shared > 0 {
            watch.report(Event::Separated { rows: shared });
        }
        Ok(rows.len())
    }

    /// The units of the named packages (all if none is named). A prebuilt
    /// package has none: there is nothing to compile.
    pub fn units(&self, names: &[String], toolchains: &[Toolchain]) -> Result<Vec<Unit>> {
        let packages = self.manifest.select(names)?.into_iter();
        let packages = packages.filter(|package| package.kind() != Kind::Prebuilt);
        let of = |package: &Package| {
            let unit = |toolchain: &Toolchain| Unit {
                suite: self.manifest.suite.clone(),
                package: package.clone(),
                toolchain: toolchain.clone(),
                rules: self.rules,
            };
            toolchains.iter().map(unit).collect::<Vec<_>>()
        };
        Ok(packages.flat_map(of).collect())
    }

    /// Makes the rows of one unit in `dir`, which other units of the package
    /// may have been made in, and gives their file. What goes on is told to
    /// `watch`, failed compiles among it.
    pub fn make(dir: &Path, unit: &Unit, watch: Watch<'_>) -> Result<PathBuf> {
        let manifest = Manifest {
            suite: unit.suite.clone(),
            packages: vec![unit.package.clone()],
            ..Manifest::empty()
        };
        let corpus = Corpus::open(dir, manifest)?.by_rules(unit.rules);
        corpus.fetch(&[], watch)?;
        let toolchain = unit.toolchain.here()?;
        let package_dir = corpus.package_dir(&unit.package);
        fs::create_dir_all(&package_dir).at(&package_dir)?;
        let _lock = Lock::wait(&package_dir)?;
        let workshop = Workshop::open(&corpus, &unit.package, 1, watch)?;
        let path = workshop.unit(&toolchain, false)?;
        workshop.finish()?;
        Ok(path)
    }

    /// Puts a unit that was made elsewhere among those made here.
    pub fn adopt(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let units = self.units_dir();
        fs::create_dir_all(&units).at(&units)?;
        process::write_atomically(&self.unit_path(key), bytes)
    }

    /// Whether a unit is there.
    pub fn has(&self, key: &str) -> bool {
        self.unit_path(key).exists()
    }

    /// Stands for everything that decides a unit's rows, the lifter aside.
    pub fn unit_key(&self, package: &Package, toolchain: &Toolchain) -> String {
        unit_key(package, toolchain, self.rules)
    }

    /// Stands for everything that decides a package's rows, the lifter aside.
    fn rows_key(&self, package: &Package, toolchains: &[Toolchain]) -> String {
        let units = toolchains.iter().map(|t| self.unit_key(package, t));
        let units = match package.kind() {
            // What they were built with is not ours to choose.
            Kind::Prebuilt => [
                &package.fingerprint(),
                package.split.as_str(),
                &self.rules.name(),
            ]
            .join("\0"),
            _ => units.collect::<Vec<_>>().join("\0"),
        };
        blake3::hash(units.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Where the rows of a package go, and what they are made from.
    fn goal(&self, package: &Package, toolchains: &[Toolchain]) -> Goal {
        Goal {
            path: self.rows_dir().join(format!("{}.parquet", package.name)),
            key: self.rows_key(package, toolchains),
        }
    }

    /// The file of one unit.
    fn unit_path(&self, key: &str) -> PathBuf {
        self.dir.join(unit_name(key))
    }

    /// Where finished units are, one Parquet file for each.
    fn units_dir(&self) -> PathBuf {
        self.dir.join("units")
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

/// One package under one toolchain, with all that another machine needs to
/// make its rows; it is sent as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unit {
    /// The Debian suite of the package.
    pub suite: String,
    /// The package.
    pub package: Package,
    /// The toolchain, which has to be installed there in the same version.
    pub toolchain: Toolchain,
    /// Which functions become rows.
    pub rules: Rules,
}

impl Unit {
    /// Stands for everything that decides the rows, the lifter aside.
    pub fn key(&self) -> String {
        unit_key(&self.package, &self.toolchain, self.rules)
    }
}

fn unit_key(package: &Package, toolchain: &Toolchain, rules: Rules) -> String {
    let mut parts = vec![package.fingerprint(), package.split.to_string()];
    parts.extend(package.exclude.iter().cloned());
    parts.push(toolchain.to_string());
    parts.push(format!("{} {}", rules.name(), toolchain.ir));
    blake3::hash(parts.join("\0").as_bytes()).to_hex()[..32].to_owned()
}

/// What a build took.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Effort {
    /// Rows that were written.
    pub rows: usize,
    /// Units that were made, and not found finished.
    pub units: usize,
    /// Compiles that failed.
    pub failures: usize,
    /// Seconds that passed.
    pub seconds: f64,
    /// What it used of the processors.
    pub usage: Usage,
    /// How many can be at work at once.
    pub workers: usize,
}

impl Effort {
    fn add(&mut self, other: &Effort) {
        self.units += other.units;
        self.failures += other.failures;
    }

    /// Share of the workers' time that packages' own builds, compilers and
    /// linkers had, none if nothing was built.
    pub fn compiler_share(&self) -> Option<f64> {
        let all = self.seconds * self.workers as f64;
        (self.units > 0 && all > 0.0).then(|| self.usage.others / all)
    }
}

/// Seconds of processors that were used since this process began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// By this process.
    pub own: f64,
    /// By the programs that it ran to their end: builds, compilers, linkers.
    pub others: f64,
}

impl Usage {
    fn now() -> Usage {
        let seconds = |who| {
            getrusage(who).map_or(0.0, |usage| {
                let time = usage.user_time() + usage.system_time();
                time.num_microseconds() as f64 / 1e6
            })
        };
        Usage {
            own: seconds(UsageWho::RUSAGE_SELF),
            others: seconds(UsageWho::RUSAGE_CHILDREN),
        }
    }

    fn since(self, before: Usage) -> Usage {
        Usage {
            own: self.own - before.own,
            others: self.others - before.others,
        }
    }
}

/// A package's file of rows.
struct Goal {
    path: PathBuf,
    /// Stands for all that decides them.
    key: String,
}

/// A package that units can be made of.
struct Ready<'a> {
    lock: Lock,
    goal: Goal,
    /// None for a prebuilt package.
    workshop: Option<Workshop<'a>>,
}

/// The units of a package, which its rows are in.
struct Made<'a> {
    package: &'a Package,
    units: Vec<PathBuf>,
    /// Whether there are as many as there should be.
    complete: bool,
    goal: Goal,
    /// Keeps other processes away until the rows are written.
    _lock: Option<Lock>,
}

/// One package while its units are made.
struct Workshop<'a> {
    corpus: &'a Corpus,
    package: &'a Package,
    watch: Watch<'a>,
    compiles: Vec<Compile>,
    src: PathBuf,
    objects: PathBuf,
    fingerprint: String,
    sources: Sources,
    done: AtomicUsize,
    total: usize,
    /// Under how many toolchains a file could not be compiled.
    failures: Mutex<BTreeMap<String, usize>>,
    made: AtomicUsize,
}

/// One failed compile, as a line of `failures/TOOLCHAIN.jsonl` beside a
/// package's build has it.
#[derive(Serialize)]
struct Failure {
    file: String,
    /// What the compiler said.
    output: String,
}

impl<'a> Workshop<'a> {
    fn open(
        corpus: &'a Corpus,
        package: &'a Package,
        toolchains: usize,
        watch: Watch<'a>,
    ) -> Result<Workshop<'a>> {
        let compiles = corpus.recorded(package, watch)?;
        let objects = corpus.package_dir(package).join("objects");
        fs::create_dir_all(&objects).at(&objects)?;
        let units = corpus.units_dir();
        fs::create_dir_all(&units).at(&units)?;
        let src = corpus.source_dir(package);
        Ok(Workshop {
            corpus,
            package,
            watch,
            total: compiles.len() * toolchains,
            compiles,
            objects,
            fingerprint: package.fingerprint(),
            sources: Sources::of(&src, package.language),
            src,
            done: AtomicUsize::new(0),
            failures: Mutex::default(),
            made: AtomicUsize::new(0),
        })
    }

    /// The file of rows of one unit, made unless it is there.
    fn unit(&self, toolchain: &Toolchain, again: bool) -> Result<PathBuf> {
        let key = self.corpus.unit_key(self.package, toolchain);
        let path = self.corpus.unit_path(&key);
        if !again && path.exists() {
            self.done.fetch_add(self.compiles.len(), Ordering::Relaxed);
            return Ok(path);
        }
        let objects = self.compile(toolchain)?;
        self.watch.go_on()?;
        self.watch.report(Event::Listing {
            package: self.package.name.clone(),
            toolchain: toolchain.to_string(),
        });
        let units = self.corpus.package_dir(self.package).join("units");
        let compiled = objects.files.len();
        let groups = match self.package.kind() {
            Kind::Files => files::groups(toolchain, objects.files, &units)?,
            _ => files::together(objects.files),
        };
        let mut unit = UnitRows::of(self.package, toolchain, self.corpus.rules);
        for group in &groups.groups {
            self.watch.go_on()?;
            let linked = link::link(toolchain, group, &units)?;
            let made = unit.list(&linked, &self.sources, &objects.ir);
            for file in [&linked.debug, &linked.stripped] {
                fs::remove_file(file).at(file)?;
            }
            made?;
        }
        let (rows, mut stats) = unit.finish();
        (stats.compiled, stats.failed) = (compiled, objects.failed);
        let json = serde_json::to_string(&stats).unwrap_or_default();
        row::write_with(&path, &rows, &[(UNITS_KEY, json)], row::Effort::Quick)?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(path)
    }

    /// Every compile of the package under a toolchain.
    fn compile(&self, toolchain: &Toolchain) -> Result<Objects> {
        let replay = Replay {
            package: &self.package.name,
            fingerprint: &self.fingerprint,
            src: &self.src,
            objects: &self.objects,
            cache: &self.corpus.dir,
            limits: self.corpus.limits,
            prelude: files::prelude(self.package, toolchain, &self.objects)?,
        };
        if let Some(first) = self.compiles.first()
            && self
                .compiles
                .iter()
                .all(|c| c.language() == first.language())
        {
            replay.precompile(first, toolchain)?;
        }
        let made: Vec<(std::result::Result<PathBuf, Failure>, Ir)> = self
            .compiles
            .par_iter()
            .with_max_len(1)
            .map(|compile| {
                self.watch.go_on()?;
                let object = replay.object(compile, toolchain)?;
                self.watch.report(Event::Compiling {
                    package: self.package.name.clone(),
                    done: self.done.fetch_add(1, Ordering::Relaxed) + 1,
                    total: self.total,
                });
                let object = object.map_err(|output| Failure {
                    file: compile.path().unwrap_or_else(|| compile.file.clone()),
                    output,
                });
                let mut ir = Ir::new();
                if let (true, Ok(_)) = (toolchain.ir, &object)
                    && let Ok(module) = replay.ir(compile, toolchain)?
                {
                    let file = compile.path().unwrap_or_default();
                    let functions = ir::functions(&module).into_iter();
                    ir.extend(functions.map(|(name, text)| ((file.clone(), name), text)));
                }
                Ok((object, ir))
            })
            .collect::<Result<_>>()?;
        files::discard(replay.prelude.as_deref())?;
        let mut objects = Objects::default();
        let mut failures = Vec::new();
        for (object, ir) in made {
            match object {
                Ok(object) => objects.files.push(object),
                Err(failure) => failures.push(failure),
            }
            objects.ir.extend(ir);
        }
        objects.failed = failures.len();
        self.keep(&failures, toolchain)?;
        Ok(objects)
    }

    /// Leaves the failures of a unit beside the build.
    fn keep(&self, failures: &[Failure], toolchain: &Toolchain) -> Result<()> {
        let dir = self.corpus.package_dir(self.package).join("failures");
        let list = dir.join(format!("{toolchain}.jsonl"));
        if failures.is_empty() {
            return match fs::remove_file(&list) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at(&list),
                _ => Ok(()),
            };
        }
        fs::create_dir_all(&dir).at(&dir)?;
        let lines = failures.iter().map(serde_json::to_string);
        let lines: String = lines.flatten().map(|line| line + "\n").collect();
        process::write_atomically(&list, lines.as_bytes())?;
        if let Ok(mut all) = self.failures.lock() {
            for failure in failures {
                *all.entry(failure.file.clone()).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Tells of the failures.
    fn finish(self) -> Result<Effort> {
        let failures = self.failures.into_inner().unwrap_or_default();
        let count = failures.values().sum();
        if count > 0 {
            let some: Vec<&str> = failures.keys().map(String::as_str).collect();
            let message = format!(
                "{count} compiles failed, of {}{}: see {}",
                some[..some.len().min(3)].join(", "),
                if some.len() > 3 { " and others" } else { "" },
                self.corpus
                    .package_dir(self.package)
                    .join("failures")
                    .display()
            );
            self.watch.failed(self.package, message);
        }
        Ok(Effort {
            units: self.made.into_inner(),
            failures: count,
            ..Effort::default()
        })
    }
}

/// What the compiles of one unit left.
#[derive(Debug, Default)]
struct Objects {
    files: Vec<PathBuf>,
    ir: Ir,
    failed: usize,
}
