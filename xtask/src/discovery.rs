//! How well functions are found: real packages built for several processors,
//! stripped, and compared with the symbols of the unstripped twin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object as _, ObjectSymbol as _, SymbolKind};

use crate::{Result, cargo, fetch, run};

/// Packages of C files that compile without being configured: name in the list
/// of the corpus, folder in its archive, what is left out, flags.
const PACKAGES: [(&str, &str, &[&str], &[&str]); 3] = [
    (
        "lua5.4",
        "src",
        &["luac.c", "ltests.c"],
        &["-DLUA_COMPAT_5_3", "-lm"],
    ),
    ("lz4", "lib", &[], &[]),
    (
        "bzip2",
        "",
        &[
            "bzip2recover.c",
            "spewG.c",
            "unzcrash.c",
            "dlltest.c",
            "mk251.c",
        ],
        &[],
    ),
];
const TARGETS: [&str; 5] = [
    "x86_64-linux-gnu",
    "x86-linux-gnu",
    "aarch64-linux-gnu",
    "arm-linux-gnueabihf",
    "thumb-linux-musleabihf",
];
const LEVELS: [&str; 3] = ["-O0", "-O2", "-Os"];

/// Counts of one cell of the table.
#[derive(Debug, Default, Clone, Copy)]
struct Cell {
    truth: usize,
    found: usize,
    right: usize,
    same_size: usize,
}

/// Prints precision, recall and F1 of function starts, and the share of right
/// starts whose size is right too, for each target, level and kind of table.
pub(crate) fn discovery(root: &Path) -> Result<()> {
    let zig = fetch::zig(root)?;
    let work = root.join("target/discovery");
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let corpus = work.join("corpus");
    let names = PACKAGES.map(|package| package.0);
    run(cargo(root)
        .args(["run", "--release", "--package", "binscribe", "--"])
        .args(["corpus", "fetch", "--corpus"])
        .arg(&corpus)
        .args(names))?;
    let binscribe = root.join("target/release/binscribe");
    let mut cells: BTreeMap<(bool, &str, &str), Cell> = BTreeMap::new();
    for (name, folder, without, flags) in PACKAGES {
        let sources = unpack(&corpus, &work, name, folder, without)?;
        for target in TARGETS {
            for level in LEVELS {
                for table in [true, false] {
                    let twin = work.join(format!("{name}-{target}{level}-{table}"));
                    build(&zig, &sources, flags, target, level, table, &twin)?;
                    let cell = compare(&binscribe, &twin, table)?;
                    let sum = cells.entry((!table, target, level)).or_default();
                    sum.truth += cell.truth;
                    sum.found += cell.found;
                    sum.right += cell.right;
                    sum.same_size += cell.same_size;
                }
            }
        }
    }
    println!("| unwind table | target | level | functions | precision | recall | F1 | same size |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for ((without, target, level), cell) in cells {
        let share = |of: usize| cell.right as f64 / of.max(1) as f64;
        let (precision, recall) = (share(cell.found), share(cell.truth));
        println!(
            "| {} | {target} | {level} | {} | {precision:.4} | {recall:.4} | {:.4} | {:.4} |",
            if without { "no" } else { "yes" },
            cell.truth,
            2.0 * precision * recall / (precision + recall).max(1e-9),
            cell.same_size as f64 / cell.right.max(1) as f64,
        );
    }
    Ok(())
}

/// The C files of a package, out of the archive that `corpus fetch` left.
fn unpack(
    corpus: &Path,
    work: &Path,
    name: &str,
    folder: &str,
    without: &[&str],
) -> Result<Vec<PathBuf>> {
    let text = |error: std::io::Error| error.to_string();
    let place = work.join(name);
    if !place.is_dir() {
        let mut archives = std::fs::read_dir(corpus.join("sources"))
            .map_err(text)?
            .filter_map(|entry| Some(entry.ok()?.path()));
        let archive = archives
            .find(|path| {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                file.starts_with(&format!("{name}_"))
                    && file.contains(".orig.tar")
                    && !file.ends_with(".asc")
            })
            .ok_or_else(|| format!("no archive of {name}"))?;
        std::fs::create_dir_all(&place).map_err(text)?;
        run(Command::new("tar")
            .args(["--strip-components=1", "-xf"])
            .arg(&archive)
            .arg("-C")
            .arg(&place))?;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(place.join(folder))
        .map_err(text)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .filter(|path| !without.iter().any(|name| path.ends_with(name)))
        .collect();
    files.sort();
    Ok(files)
}

fn build(
    zig: &Path,
    sources: &[PathBuf],
    flags: &[&str],
    target: &str,
    level: &str,
    table: bool,
    twin: &Path,
) -> Result<()> {
    if twin.is_file() {
        return Ok(());
    }
    let library = !sources
        .iter()
        .any(|path| path.ends_with("lua.c") || path.ends_with("bzip2.c"));
    let mut command = Command::new(zig);
    command.args([
        "cc",
        "-target",
        target,
        level,
        // Without it -Os leaves no symbols.
        "-g",
        "-w",
        "-fno-sanitize=undefined",
    ]);
    if library {
        command.args(["-shared", "-fPIC"]);
    }
    if !table {
        command.args(["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]);
    }
    command.arg("-o").arg(twin).args(sources).args(flags);
    run(&mut command)
}

/// What `binscribe functions` finds in the stripped file, against the symbols.
fn compare(binscribe: &Path, twin: &Path, table: bool) -> Result<Cell> {
    let stripped = twin.with_added_extension("stripped");
    let mut strip = Command::new("llvm-objcopy");
    strip.arg("--strip-all");
    if !table {
        // What the C library's own objects brought.
        strip.args([
            "--remove-section=.eh_frame",
            "--remove-section=.eh_frame_hdr",
            "--remove-section=.ARM.exidx",
            "--remove-section=.ARM.extab",
        ]);
    }
    run(strip.arg(twin).arg(&stripped))?;
    let bytes = std::fs::read(twin).map_err(|error| error.to_string())?;
    let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
    // The low bit of an address of 32-bit ARM is the state of the code.
    let mask = match file.architecture() {
        object::Architecture::Arm => !1,
        _ => !0,
    };
    let truth: BTreeMap<u64, u64> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .map(|symbol| (symbol.address() & mask, symbol.size()))
        .collect();
    let output = Command::new(binscribe)
        .args(["functions", "--format", "json"])
        .arg(&stripped)
        .output()
        .map_err(|error| error.to_string())?;
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let mut cell = Cell {
        truth: truth.len(),
        ..Cell::default()
    };
    for function in answer["functions"].as_array().into_iter().flatten() {
        let address = function["address"]
            .as_str()
            .and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        cell.found += 1;
        if let Some(size) = address.and_then(|address| truth.get(&address)) {
            cell.right += 1;
            cell.same_size += usize::from(function["size"].as_u64() == Some(*size));
        }
    }
    Ok(cell)
}
