//! Sources of each form other than Debian's go all the way to rows, under real
//! compilers.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of a test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use binscribe_corpus::{
    Align, Corpus, Effort, Event, Manifest, Row, Rules, Stats, UnitStats, Watch, read_rows,
};

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn installed(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let runs = Command::new(program).arg("--version").output();
        let runs = runs.is_ok_and(|o| o.status.success());
        if !runs {
            eprintln!("skipped: {program} is not installed");
        }
        runs
    })
}

/// What became of a manifest's only package.
struct Built {
    rows: Vec<Row>,
    units: Vec<UnitStats>,
    effort: Effort,
    failures: Vec<String>,
}

impl Built {
    fn names(&self, compiler: &str, level: &str) -> BTreeSet<&str> {
        let of_it = self.rows.iter();
        let of_it = of_it.filter(|r| r.compiler == compiler && r.level == level);
        of_it.map(|r| r.name.as_str()).collect()
    }
}

/// Builds the package of `dir/corpus.toml`, with these lines, in `dir/out`.
fn build(dir: &Path, lines: &str, align: Align) -> Built {
    let text = format!("schema = 1\n{lines}");
    let path = dir.join("corpus.toml");
    fs::write(&path, text).unwrap();
    let corpus = Corpus::open(&dir.join("out"), Manifest::load(&path).unwrap()).unwrap();
    let corpus = corpus.by_rules(Rules {
        align,
        ..Rules::default()
    });
    let failures = Mutex::new(Vec::new());
    let report = |event: Event| {
        if let Event::Failed { message, .. } = event {
            failures.lock().unwrap().push(message);
        }
    };
    let watch = Watch {
        report: &report,
        stop: &AtomicBool::new(false),
    };
    let (toolchains, absent) = corpus.toolchains();
    eprintln!("not installed: {absent:?}");
    corpus.fetch(&[], watch).unwrap();
    let effort = corpus.build(&[], &toolchains, false, watch).unwrap();
    let mut packages = Stats::of(&corpus.rows_dir()).unwrap().packages;
    Built {
        rows: read_rows(&corpus.rows_dir()).unwrap(),
        units: packages.pop().map(|p| p.units).unwrap_or_default(),
        effort,
        failures: failures.into_inner().unwrap(),
    }
}

const TOOLCHAINS: &str = "[[toolchain]]\ncompilers = [\"gcc-12\", \"clang-14\"]\n\
                          levels = [\"O0\", \"O2\"]\nir = true\n";

const SHAPES: &str = r#"#include <string>
#include <vector>
#include "shapes.hpp"

namespace geo {

/* Adds up the areas of all boxes. */
int total(const std::vector<Box> &boxes)
{
    int sum = 0;
    for (const Box &box : boxes)
        sum += box.area();
    return sum;
}

int Box::area() const
{
    if (width < 0)
        return -width * height;
    return width * height;
}

namespace {
int __attribute__((noinline)) hidden(const std::string &text)
{
    int n = 7;
    for (char c : text)
        n = n * 31 + c;
    return n;
}
}

int Box::label(const std::string &text)
{
    width = hidden(text);
    return keep(width) + twice(height);
}

}
"#;

const SHAPES_HEADER: &str = r#"#pragma once
#include <string>
namespace geo {
struct Box {
    int width, height;
    int area() const;
    int label(const std::string &text);
    __attribute__((noinline)) int keep(int n)
    {
        height += n;
        while (n-- > 3)
            height = height * 3 + width;
        return height;
    }
};
template <class T> __attribute__((noinline)) T twice(T x)
{
    T y = 1;
    while (x > 3)
        y = y * 7 + x--;
    return y;
}
}
"#;

const MAIN_C: &str = r#"#include <stdio.h>
#include "inc/level.h"

static int __attribute__((noinline)) show(int n)
{
    printf("level %d\n", n);
    return n > LEVEL ? n * 5 : n - 3;
}

int main(int argc, char **argv)
{
    (void)argv;
    return show(argc);
}
"#;

#[test]
fn a_project_of_c_and_cpp_becomes_rows() {
    if !installed(&["gcc-12", "g++-12", "clang-14", "make"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // One program is compiled and linked at once, as small makefiles do.
    let makefile = "all: shapes.o prog\nshapes.o: shapes.cc\n\t$(CXX) -O2 -Wall -c -o $@ shapes.cc\n\
                    prog: main.c\n\t$(CC) -I. -o $@ main.c -lm\n";
    let project = dir.path().join("project");
    write(
        &project,
        &[
            ("Makefile", makefile),
            ("shapes.cc", SHAPES),
            ("shapes.hpp", SHAPES_HEADER),
            ("main.c", MAIN_C),
            ("inc/level.h", "#define LEVEL 3\n"),
        ],
    );
    let package = "[[package]]\nname = \"project\"\npath = \"project\"\nsplit = \"train\"\n\
                   license = \"MIT\"\n";
    let lines = format!("{TOOLCHAINS}{package}");
    let built = build(dir.path(), &lines, Align::Dwarf);
    assert_eq!(built.failures, Vec::<String>::new());
    for compiler in ["gcc", "clang"] {
        for level in ["O0", "O2"] {
            let mut names = built.names(compiler, level);
            let expected = [
                "geo::Box::area",
                "geo::Box::keep",
                "geo::Box::label",
                "geo::hidden",
                "geo::total",
                "geo::twice",
                "main",
                "show",
            ];
            // At O2, `main` is too small to be told from others.
            let small = if level == "O2" { "main" } else { "" };
            let mut expected = BTreeSet::from(expected);
            expected.remove(small);
            names.remove(small);
            assert_eq!(names, expected, "{compiler} {level}");
        }
    }
    for row in &built.rows {
        let file = match row.name.as_str() {
            "geo::Box::keep" | "geo::twice" => "shapes.hpp",
            "main" | "show" => "main.c",
            _ => "shapes.cc",
        };
        assert_eq!(row.file, file, "{}", row.name);
        let last = row.name.rsplit("::").next().unwrap();
        assert!(row.source.contains(&format!("{last}(")), "{}", row.source);
        assert_eq!(row.ir.is_some(), row.compiler == "clang", "{}", row.name);
        assert_eq!(row.version.len(), 12, "a digest of the folder");
    }
    let total = built.rows.iter().find(|r| r.name == "geo::total").unwrap();
    assert_eq!(
        total.comment.as_deref(),
        Some("Adds up the areas of all boxes.")
    );
    assert_eq!((total.line, total.source.lines().count()), (8, 7));
    for unit in &built.units {
        assert_eq!(unit.both, unit.agree, "{unit:?}");
        // Those in the header have a place and, by these rules, no name.
        assert!(unit.aligned >= unit.named && unit.named >= 6, "{unit:?}");
        assert_eq!(
            (unit.compiled, unit.failed, unit.definitions),
            (2, 0, 6),
            "{unit:?}"
        );
    }

    // An unchanged folder is left alone, and a changed one is built again.
    assert_eq!(build(dir.path(), &lines, Align::Dwarf).effort.units, 0);
    let changed = MAIN_C.replace("n * 5", "n * 50");
    write(&project, &[("main.c", &changed)]);
    let again = build(dir.path(), &lines, Align::Dwarf);
    assert_eq!(again.effort.units, 4);
    let shows = again.rows.iter().filter(|r| r.name == "show");
    assert!(shows.clone().count() > 0 && shows.clone().all(|r| r.source.contains("n * 50")));
}

#[test]
fn a_folder_without_a_build_is_compiled_file_by_file() {
    if !installed(&["gcc-12", "clang-14"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("loose"),
        &[
            ("app/main.c", &MAIN_C.replace("inc/level.h", "level.h")),
            ("inc/level.h", "#define LEVEL 3\n"),
            ("broken.c", "int broken(\n"),
        ],
    );
    let package = "[[package]]\nname = \"loose\"\npath = \"loose\"\nsplit = \"train\"\n\
                   license = \"MIT\"\nversion = \"7\"\n";
    let built = build(dir.path(), &format!("{TOOLCHAINS}{package}"), Align::Dwarf);
    assert_eq!(built.failures.len(), 1, "{:?}", built.failures);
    assert_eq!(built.names("gcc", "O0"), BTreeSet::from(["main", "show"]));
    assert!(built.names("clang", "O2").contains("show"));
    assert!(
        built
            .rows
            .iter()
            .all(|r| r.version == "7" && r.file == "app/main.c")
    );
    assert!(built.units.iter().all(|u| (u.compiled, u.failed) == (1, 1)));
}

/// glibc links what takes the place of `pthread_atfork` in statically, and that
/// asks for a symbol of the start files, which a library is not linked with.
#[test]
fn a_library_that_registers_handlers_is_linked() {
    if !installed(&["gcc-12", "clang-14"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let library = "#include <pthread.h>\n#include <stdlib.h>\nstatic int forks;\n\
                   static void child(void)\n{\n    forks++;\n}\n\
                   int watch_forks(void)\n{\n    atexit(child);\n    \
                   return pthread_atfork(NULL, NULL, child);\n}\n";
    write(&dir.path().join("loose"), &[("forks.c", library)]);
    let package = "[[package]]\nname = \"loose\"\npath = \"loose\"\nsplit = \"train\"\n\
                   license = \"MIT\"\nversion = \"7\"\n";
    let built = build(dir.path(), &format!("{TOOLCHAINS}{package}"), Align::Dwarf);
    assert!(built.failures.is_empty(), "{:?}", built.failures);
    for (compiler, level) in [("gcc", "O0"), ("clang", "O2")] {
        assert!(built.names(compiler, level).contains("watch_forks"));
    }
}

/// Ten programs in the form of POJ-104: without their includes, of the same
/// names, and one of them with the `void main` of old.
fn programs(dir: &Path) {
    for n in 0..10u32 {
        let (returns, result) = match n {
            3 => ("void", ""),
            _ => ("int", "return 0;"),
        };
        let text = format!(
            "struct item {{\n    int n;\n    item(int k)\n    {{\n        n = k * {k};\n        cout << n;\n    }}\n}};\n\
             int solve(int x)\n{{\n    item it(x);\n    for (int i = 0; i < x; i++)\n        it.n ^= i + {k};\n    \
             return it.n;\n}}\n{returns} main()\n{{\n    int a, b = {k};\n    cin >> a;\n    cout << max(a, b) + solve(a) << endl;\n    \
             {result}\n}}\n",
            k = 4001 + n
        );
        write(dir, &[(&format!("{}/{n}.cpp", n % 3), &text)]);
    }
    write(dir, &[("0/bad.cpp", "int main() { gets(undeclared); }\n")]);
}

const PROGRAMS: &str = "[[package]]\nname = \"programs\"\nkind = \"files\"\npath = \"programs\"\n\
                        split = \"train\"\nlicense = \"MIT\"\nlanguage = \"c++\"\n\
                        flags = [\"-fpermissive\"]\n\
                        prelude = \"\"\"\n#include <iostream>\n#include <algorithm>\nusing namespace std;\n\"\"\"\n";

/// Every function is that of its own file, though all have the same names.
fn check_programs(rows: &[&Row], about: &str) {
    for name in ["main", "solve"] {
        let of_it: Vec<&&Row> = rows.iter().filter(|r| r.name == name).collect();
        assert_eq!(of_it.len(), 10, "{name} {about}");
        for row in of_it {
            let n: u32 = row.file[2..].trim_end_matches(".cpp").parse().unwrap();
            assert_eq!(row.file, format!("{}/{n}.cpp", n % 3));
            let number = 4001 + n;
            let (decimal, hex) = (number.to_string(), format!("{number:X}h"));
            assert!(row.source.contains(&decimal), "{}", row.source);
            assert!(row.listing.contains(&hex), "{about} {hex}: {}", row.listing);
        }
    }
}

#[test]
fn files_of_the_same_names_stay_apart() {
    if !installed(&["gcc-12", "g++-12", "clang-14", "ld", "objcopy"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    programs(&dir.path().join("programs"));
    let built = build(dir.path(), &format!("{TOOLCHAINS}{PROGRAMS}"), Align::Dwarf);
    assert_eq!(built.failures.len(), 1, "{:?}", built.failures);
    for unit in &built.units {
        assert_eq!((unit.compiled, unit.failed), (10, 1), "{unit:?}");
    }
    for compiler in ["gcc", "clang"] {
        for level in ["O0", "O2"] {
            let of_it = |r: &&Row| r.compiler == compiler && r.level == level;
            let unit: Vec<&Row> = built.rows.iter().filter(of_it).collect();
            check_programs(&unit, &format!("{compiler} {level}"));
            assert!(unit.iter().all(|r| r.ir.is_some() == (compiler == "clang")));
            // A class of each file, whose code a linker would keep one of.
            let items = unit.iter().filter(|r| r.name == "item::item");
            let expected = if level == "O0" { 10 } else { 0 };
            assert!(items.count() >= expected, "{compiler} {level}");
        }
    }
    let old = built
        .rows
        .iter()
        .find(|r| r.name == "main" && r.file == "0/3.cpp");
    assert!(old.unwrap().source.starts_with("int main()"));
}

#[test]
fn files_for_windows_stay_apart_too() {
    let dir = tempfile::tempdir().unwrap();
    programs(&dir.path().join("programs"));
    let lines =
        "[[toolchain]]\ncompilers = [\"zig\"]\nlevels = [\"O1\"]\ntargets = [\"x86-64-windows\"]\n";
    let none = Manifest::parse(&format!("schema = 1\npackage = []\n{lines}")).unwrap();
    let corpus = Corpus::open(&dir.path().join("none"), none).unwrap();
    if corpus.toolchains().0.is_empty() {
        eprintln!("skipped: zig is not installed");
        return;
    }
    for n in 4..10u32 {
        fs::remove_file(dir.path().join(format!("programs/{}/{n}.cpp", n % 3))).unwrap();
    }
    let lines = lines.to_owned() + PROGRAMS;
    let built = build(dir.path(), &lines, Align::Dwarf);
    let mains: BTreeSet<&str> = built
        .rows
        .iter()
        .filter(|r| r.name == "main" && r.format == "pe")
        .map(|r| r.file.as_str())
        .collect();
    assert_eq!(mains.len(), 4, "{:?} {mains:?}", built.failures);
}

const TOOL: &str = r#"#include <stdio.h>
int lib_sum(const int *, int);

static int __attribute__((noinline)) usage(int code)
{
    puts("usage: tool [NUMBER]");
    return code * 3 + 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return usage(argc);
    return lib_sum(&argc, 1) + (argv[0][0] == 'x');
}
"#;

const LIB: &str = r#"int lib_sum(const int *p, int n)
{
    int sum = 0;
    while (n--)
        sum += p[n] * 3;
    return sum;
}
"#;

#[test]
fn binaries_built_elsewhere_are_joined_with_their_sources() {
    if !installed(&["gcc-12", "strip"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("tool-1.0");
    // The other program has a `usage` and a `main` too, and is not built.
    let other = TOOL.replace("tool", "other").replace("* 3", "* 9");
    write(
        &source,
        &[("tool.c", TOOL), ("other.c", &other), ("lib/sum.c", LIB)],
    );
    // Where the builder had the sources is not where they are now.
    let there = dir.path().join("elsewhere/build");
    write(&there, &[("tool.c", TOOL), ("lib/sum.c", LIB)]);
    for (out, debug) in [("with", "-g"), ("without", "-g0")] {
        let bin = dir.path().join("bin").join(out);
        write(&bin, &[("README", "not a binary\n")]);
        for (program, level) in [("tool", "-O2"), ("libsum.so", "-O0")] {
            let files: &[&str] = match program {
                "tool" => &["tool.c", "lib/sum.c"],
                _ => &["lib/sum.c", "-shared", "-fPIC"],
            };
            let mut command = Command::new("gcc-12");
            command.args([debug, level]).args(files).current_dir(&there);
            let made = command.arg("-o").arg(bin.join(program)).status().unwrap();
            assert!(made.success());
        }
    }
    let package = |out: &str| {
        format!(
            "[[package]]\nname = \"tool\"\nkind = \"prebuilt\"\npath = \"tool-1.0\"\n\
             version = \"1.0\"\nsplit = \"train\"\nlicense = \"MIT\"\n[[package.binaries]]\n\
             path = \"bin/{out}\"\ncompiler = \"gcc\"\ncompiler_version = \"12\"\nlevel = \"O2\"\n\
             obfuscation = \"none-at-all\"\n"
        )
    };
    let facts = |built: &Built| -> BTreeSet<(String, String, u32)> {
        assert_eq!(built.failures, Vec::<String>::new());
        let fact = |r: &Row| (r.name.clone(), r.file.clone(), r.line);
        built.rows.iter().map(fact).collect()
    };
    let fact = |name: &str, file: &str, line| (name.to_owned(), file.to_owned(), line);
    let sum = fact("lib_sum", "lib/sum.c", 1);
    let of_tool = [fact("main", "tool.c", 10), fact("usage", "tool.c", 4)];

    let with = build(dir.path(), &package("with"), Align::Dwarf);
    // Workers have nothing to do for it; the rows are made where the others are
    // put together.
    let manifest = Manifest::load(&dir.path().join("corpus.toml")).unwrap();
    let other = Corpus::open(&dir.path().join("other"), manifest).unwrap();
    let (toolchains, _) = other.toolchains();
    assert!(other.units(&[], &toolchains).unwrap().is_empty());
    let watch = Watch {
        report: &|_event| {},
        stop: &AtomicBool::new(false),
    };
    other.assemble_units(&[], &toolchains, watch).unwrap();
    assert_eq!(read_rows(&other.rows_dir()).unwrap(), with.rows);
    let all = of_tool.iter().cloned().chain([sum.clone()]).collect();
    assert_eq!(facts(&with), all);
    let row = &with.rows[0];
    assert_eq!((row.arch.as_str(), row.format.as_str()), ("x86-64", "elf"));
    assert_eq!(
        (row.obfuscation.as_str(), row.version.as_str()),
        ("none-at-all", "1.0")
    );
    assert!(with.rows.iter().all(|r| r.alignment == "dwarf"));
    assert!(
        with.rows
            .iter()
            .all(|r| !r.listing.contains("usage\n") && !r.listing.contains("lib_sum"))
    );
    // In `tool`, the name of `lib_sum` is in no file of the program's name.
    let unit = &with.units[0];
    assert_eq!(
        (unit.aligned, unit.named, unit.both, unit.agree),
        (4, 3, 3, 3),
        "{unit:?}"
    );
    assert_eq!(unit.definitions, 5);

    // By names: `tool` is one file, and the library is looked for everywhere.
    let without = build(dir.path(), &package("without"), Align::Dwarf);
    assert_eq!(facts(&without), all);
    assert!(without.rows.iter().all(|r| r.alignment == "names"));
    assert_eq!(
        without.rows.iter().filter(|r| r.name == "lib_sum").count(),
        1
    );
    let ids = |built: &Built| -> BTreeSet<String> {
        built.rows.iter().map(|r| r.function_id.clone()).collect()
    };
    assert_eq!(
        ids(&with),
        ids(&without),
        "both ways name the same functions"
    );
    let asked = build(dir.path(), &package("with"), Align::Names);
    assert_eq!(facts(&asked), all);
    assert!(asked.rows.iter().all(|r| r.alignment == "names"));
}
