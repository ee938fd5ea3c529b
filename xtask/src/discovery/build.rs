//! From sources to a file with symbols, and the same file without.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::plan::{Driver, Language, Package, Table, Toolchain};
use crate::apt::{self, quietly};
use crate::{Result, fetch};

/// One file to build.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) package: &'static Package,
    pub(super) toolchain: &'static Toolchain,
    pub(super) level: &'static str,
    pub(super) table: Table,
}

/// A file with symbols, and the same without.
#[derive(Debug)]
pub(super) struct Twins {
    pub(super) named: PathBuf,
    pub(super) stripped: PathBuf,
}

/// What the compilers need beside the sources.
#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) work: PathBuf,
    pub(super) zig: PathBuf,
    lld: PathBuf,
    objcopy: PathBuf,
}

/// Uses many functions of Go's library.
const GO: &str = r#"package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
)

func main() {
	word := regexp.MustCompile(`\w+`)
	counts := map[string]int{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		for _, found := range word.FindAllString(strings.ToLower(lines.Text()), -1) {
			counts[found]++
		}
	}
	words := make([]string, 0, len(counts))
	for found := range counts {
		words = append(words, found)
	}
	sort.Strings(words)
	text, err := json.Marshal(counts)
	fmt.Println(words, string(text), err)
}
"#;

impl Workshop {
    pub(super) fn open(root: &Path, work: &Path) -> Result<Workshop> {
        let sysroot = quietly(Command::new("rustc").args(["--print", "sysroot"]))?;
        let sysroot = String::from_utf8_lossy(&sysroot).trim().to_owned();
        let host = "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";
        Ok(Workshop {
            work: work.to_owned(),
            zig: fetch::zig(root)?,
            lld: Path::new(&sysroot).join(host),
            objcopy: newest("llvm-objcopy")?,
        })
    }

    /// Fetches the sources of a package, and gives those to compile.
    pub(super) fn sources(&self, package: &Package) -> Result<Vec<PathBuf>> {
        let place = self.work.join(package.name);
        let text = |error: std::io::Error| error.to_string();
        match package.language {
            Language::Rust => return Ok(Vec::new()),
            Language::Go => {
                std::fs::create_dir_all(&place).map_err(text)?;
                std::fs::write(place.join("main.go"), GO).map_err(text)?;
                return Ok(vec![place.join("main.go")]);
            }
            Language::C | Language::Cpp => {}
        }
        if !place.is_dir() {
            let archive = apt::source(
                &self.work.join("apt"),
                &self.work.join("archives"),
                package.name,
            )?;
            let partial = place.with_extension("partial");
            std::fs::create_dir_all(&partial).map_err(text)?;
            quietly(
                Command::new("tar")
                    .args(["--strip-components=1", "-xf"])
                    .arg(&archive)
                    .arg("-C")
                    .arg(&partial),
            )?;
            std::fs::rename(&partial, &place).map_err(text)?;
        }
        let ending = if package.language == Language::C {
            "c"
        } else {
            "cpp"
        };
        let mut files: Vec<PathBuf> = std::fs::read_dir(place.join(package.folder))
            .map_err(text)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == ending))
            .filter(|path| !package.without.iter().any(|name| path.ends_with(name)))
            .collect();
        files.sort();
        Ok(files)
    }

    /// Builds a file unless it is there, and strips it.
    pub(super) fn build(&self, job: &Job, sources: &[PathBuf]) -> Result<Twins> {
        let folder = self.work.join("built").join(job.label().replace(' ', "-"));
        let twins = Twins {
            named: folder.join(job.file()),
            stripped: folder.join(format!("{}.stripped", job.file())),
        };
        if twins.stripped.is_file() {
            return Ok(twins);
        }
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        match job.toolchain.driver {
            Driver::System(c, cpp) => {
                let program = if job.package.language == Language::C {
                    c
                } else {
                    cpp
                };
                self.compile(Command::new(program), job, sources, &twins.named)?;
            }
            Driver::Zig => {
                let zig = self.zig_cc(job);
                self.compile(zig, job, sources, &twins.named)?;
            }
            Driver::ZigAndLld => self.macos(job, sources, &folder, &twins.named)?,
            Driver::Cargo => self.cargo(job, &twins.named)?,
            Driver::Go => self.go(job, &sources[0], &twins.named)?,
        }
        self.strip(job, &twins)?;
        Ok(twins)
    }

    fn zig_cc(&self, job: &Job) -> Command {
        let mut zig = Command::new(&self.zig);
        zig.args(["cc", "-target", job.toolchain.target]);
        zig.arg("-fno-sanitize=undefined");
        zig
    }

    fn compile(&self, mut cc: Command, job: &Job, sources: &[PathBuf], to: &Path) -> Result<()> {
        self.flags(&mut cc, job);
        if !job.package.program {
            cc.args(["-shared", "-fPIC"]);
        }
        cc.arg("-o").arg(to).args(sources);
        // Libraries come after what needs them.
        cc.args(job.package.flags.iter().filter(|f| f.starts_with("-l")));
        quietly(&mut cc).map(|_| ())
    }

    fn flags(&self, cc: &mut Command, job: &Job) {
        // Without -g, zig's -Os leaves no symbols.
        cc.args([job.level, "-g", "-w"]).args(job.toolchain.flags);
        let place = self.work.join(job.package.name);
        let place = place.to_string_lossy();
        for flag in job.package.flags {
            if !flag.starts_with("-l") {
                cc.arg(flag.replace("{package}", &place));
            }
        }
        if job.table == Table::No && job.is_elf() {
            cc.args(["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]);
            // Exceptions need the tables.
            if job.package.language == Language::Cpp {
                cc.args(["-fno-exceptions", "-DJSON_USE_EXCEPTION=0"]);
            }
        }
    }

    fn macos(&self, job: &Job, sources: &[PathBuf], folder: &Path, to: &Path) -> Result<()> {
        let mut objects = Vec::new();
        for source in sources {
            let name = source.file_name().unwrap_or_default();
            let object = folder.join(name).with_added_extension("o");
            let mut cc = self.zig_cc(job);
            self.flags(&mut cc, job);
            quietly(cc.arg("-c").arg(source).arg("-o").arg(&object))?;
            objects.push(object);
        }
        let arch = if job.toolchain.target.starts_with("x86_64") {
            "x86_64"
        } else {
            "arm64"
        };
        let mut lld = Command::new(&self.lld);
        lld.args(["-flavor", "darwin", "-arch", arch])
            .args(["-platform_version", "macos", "13.0", "13.0"])
            // The system's library is not here, and need not be.
            .args(["-undefined", "dynamic_lookup", "-fixup_chains"]);
        if !job.package.program {
            lld.arg("-dylib");
        }
        if job.table == Table::No {
            lld.arg("-no_function_starts");
        }
        quietly(lld.args(&objects).arg("-o").arg(to))?;
        for object in objects {
            std::fs::remove_file(object).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn cargo(&self, job: &Job, to: &Path) -> Result<()> {
        let level = job.level.trim_start_matches("-O");
        let home = self.work.join("cargo");
        quietly(
            Command::new("cargo")
                .current_dir(&self.work)
                .args(["install", "--quiet", "--locked", "--force", "--no-track"])
                .arg("--root")
                .arg(&home)
                .arg("--target-dir")
                .arg(home.join(format!("target-{level}")))
                .arg(job.package.name)
                .args(job.package.flags)
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level)
                .env("CARGO_PROFILE_RELEASE_STRIP", "none")
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only"),
        )?;
        let built = home.join("bin").join(job.package.name);
        std::fs::rename(built, to).map_err(|error| error.to_string())
    }

    fn go(&self, job: &Job, source: &Path, to: &Path) -> Result<()> {
        let (arch, system) = match job.toolchain.target {
            "x86_64-windows-gnu" => ("amd64", "windows"),
            "aarch64-linux-gnu" => ("arm64", "linux"),
            _ => ("amd64", "linux"),
        };
        quietly(
            Command::new("go")
                .args(["build", "-o"])
                .arg(to)
                .arg(source)
                .env("GOOS", system)
                .env("GOARCH", arch)
                .env("CGO_ENABLED", "0")
                .env("GO111MODULE", "off")
                .env("GOCACHE", self.work.join("go-cache")),
        )
        .map(|_| ())
    }

    fn strip(&self, job: &Job, twins: &Twins) -> Result<()> {
        let partial = twins.stripped.with_extension("partial");
        let mut strip = Command::new(&self.objcopy);
        strip.arg("--strip-all");
        if job.table == Table::No && job.is_elf() {
            // What the C library's own objects brought.
            strip.args([
                "--remove-section=.eh_frame",
                "--remove-section=.eh_frame_hdr",
                "--remove-section=.ARM.exidx",
                "--remove-section=.ARM.extab",
            ]);
        }
        quietly(strip.arg(&twins.named).arg(&partial))?;
        std::fs::rename(&partial, &twins.stripped).map_err(|error| error.to_string())
    }
}

impl Job {
    /// One word for all files that are built alike.
    pub(super) fn label(&self) -> String {
        let table = if self.table == Table::Yes {
            ""
        } else {
            "-none"
        };
        let Toolchain { name, target, .. } = self.toolchain;
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{name}-{target}{}{table}", self.level)
    }

    fn file(&self) -> String {
        let windows = self.toolchain.target.contains("windows");
        let ending = match (windows, self.package.program) {
            (false, _) => "",
            (true, true) => ".exe",
            (true, false) => ".dll",
        };
        format!("{}{ending}", self.package.name)
    }

    fn is_elf(&self) -> bool {
        self.toolchain.target.contains("linux")
    }
}

/// The newest of LLVM's tools of this name that Debian's packages install.
pub(super) fn newest(tool: &str) -> Result<PathBuf> {
    let versions = (14..30).rev().map(|version| format!("{tool}-{version}"));
    versions
        .chain([tool.to_owned()])
        .find(|name| is_there(name))
        .map(PathBuf::from)
        .ok_or_else(|| format!("{tool} is not here: apt-get install llvm"))
}

/// Whether a program is on the path and starts.
pub(crate) fn is_there(program: &str) -> bool {
    let version = if program == "go" {
        "version"
    } else {
        "--version"
    };
    Command::new(program)
        .arg(version)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The standard output of a command that is ended when it takes too long.
pub(super) fn within(limit: Duration, command: &mut Command) -> Result<Vec<u8>> {
    let mut timed = Command::new("timeout");
    timed
        .arg(limit.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            timed.env(name, value);
        }
    }
    let output = timed.output().map_err(|error| error.to_string())?;
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        Some(124) => Err(format!("not done in {} s", limit.as_secs())),
        _ => {
            let words = String::from_utf8_lossy(&output.stderr);
            let last = words.lines().rfind(|line| !line.trim().is_empty());
            Err(last.unwrap_or("failed").trim().to_owned())
        }
    }
}
