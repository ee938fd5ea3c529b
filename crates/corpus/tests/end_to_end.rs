//! Two small packages of our own go all the way from source package to rows,
//! under both real compilers.

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
    Align, COMPILERS, Corpus, Error, Event, LEVELS, Manifest, Row, Rules, Stats, Target, Toolchain,
    Unit, Watch, read_rows,
};

const SHARED: &str = r#"
/* Counts how often NEEDLE stands in TEXT.  */
int
count_letter (const char *text, char needle)
{
  int found = 0;
  while (*text)
    if (*text++ == needle)
      found++;
  return found;
}
"#;

const LIBRARY: &str = r#"
#include <stdio.h>
#include "lib.h"
extern int third_party(int);
extern int third_party_level;

static void __attribute__((noinline)) complain(const char *what, int code)
{
    fprintf(stderr, "cannot %s: code %d\n", what, code);
    third_party(code + third_party_level);
}

int lib_check(int value)
{
    if (value < 0 || value > 100) {
        complain("check the value", value);
        return -1;
    }
    return value * 3;
}

/* Old style, which a parser of modern C may take for something else. */
int lib_old(a, b)
    int a;
    int b;
{
    printf("old %d %d\n", a, b);
    return a > b ? a : b - 7;
}
"#;

const HEADER: &str = "/**\n * \\brief Checks that a value is a percentage.\n *\n\
    * \\param value  what to check\n * \\return three times the value, or -1\n */\n\
    int lib_check(int value);\n";

const BROKEN: &str = "#ifdef __clang__\n#error not with clang\n#endif\nint broken(void);\n";

fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success())
}

/// Makes a native Debian source package in `sources`, and returns its entry of
/// a manifest.
fn package(sources: &Path, name: &str, split: &str, files: &[(&str, &str)]) -> String {
    let tree = sources.join(name);
    fs::create_dir_all(tree.join("debian/source")).unwrap();
    fs::create_dir_all(tree.join("lib")).unwrap();
    for (path, text) in files {
        fs::write(tree.join(path), text).unwrap();
    }
    let control = format!(
        "Source: {name}\nMaintainer: A <a@example.org>\n\nPackage: {name}\nArchitecture: any\n"
    );
    let changelog = format!(
        "{name} (1.0) s; urgency=low\n\n  * .\n\n -- A <a@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n"
    );
    fs::write(tree.join("debian/control"), control).unwrap();
    fs::write(tree.join("debian/changelog"), changelog).unwrap();
    fs::write(tree.join("debian/source/format"), "3.0 (native)\n").unwrap();
    let made = Command::new("dpkg-source")
        .args(["-b", name])
        .current_dir(sources)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::remove_dir_all(&tree).unwrap();
    let mut entry = format!(
        "[[package]]\nname = {name:?}\nversion = \"1.0\"\nsplit = {split:?}\nlicense = \"MIT\"\n\
         build = [\"for f in lib/*.c; do $CC -O2 -Wall -Ilib -c $f -o /dev/null; done\"]\n\
         exclude = [\"lib/test_\"]\n[package.files]\n"
    );
    for file in [format!("{name}_1.0.dsc"), format!("{name}_1.0.tar.xz")] {
        let sum = Command::new("sha256sum")
            .arg(sources.join(&file))
            .output()
            .unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        entry.push_str(&format!("{file:?} = {:?}\n", &sum[..64]));
    }
    entry
}

fn check_rows(rows: &[Row]) {
    for compiler in ["gcc", "clang"] {
        for level in LEVELS {
            let unit: Vec<&Row> = rows
                .iter()
                .filter(|r| r.compiler == compiler && r.level == level)
                .collect();
            let names: BTreeSet<&str> = unit.iter().map(|r| r.name.as_str()).collect();
            let expected = ["complain", "count_letter", "lib_check", "lib_old"];
            assert_eq!(names, BTreeSet::from(expected), "{compiler} {level}");
            let row = |name: &str| *unit.iter().find(|r| r.name == name).unwrap();

            let count = row("count_letter");
            assert_eq!(
                count.comment.as_deref(),
                Some("Counts how often NEEDLE stands in TEXT.")
            );
            assert!(
                count
                    .source
                    .starts_with("int\ncount_letter (const char *text")
            );
            assert!(count.source.ends_with("return found;\n}"));
            assert_eq!((count.file.as_str(), count.line), ("lib/count.c", 4));
            assert!(count.blocks > 1);

            let check = row("lib_check");
            assert_eq!(
                check.comment.as_deref(),
                Some(
                    "Checks that a value is a percentage. Returns three times the value, or -1. \
                     Parameter value: what to check."
                ),
            );
            if level == "O0" {
                // Higher levels may move the text into the function they pass it to.
                assert!(
                    check.listing.contains("check the value"),
                    "{}",
                    check.listing
                );
            }

            // Calls out of the package keep their names when it is stripped,
            // also where no library for them is installed.
            let complain = row("complain");
            assert!(
                complain.listing.contains("_fprintf"),
                "{}",
                complain.listing
            );
            assert!(
                complain.listing.contains("_third_party"),
                "{}",
                complain.listing
            );
            assert!(
                !complain.listing.contains("complain"),
                "{}",
                complain.listing
            );
            assert_eq!(
                complain.instructions as usize,
                complain.listing.lines().count()
            );

            assert!(
                row("lib_old").source.ends_with("b - 7;\n}"),
                "{}",
                row("lib_old").source
            );
        }
    }
    let ids: BTreeSet<&str> = rows.iter().map(|r| r.function_id.as_str()).collect();
    assert_eq!(ids.len(), 4, "an id joins the variants of a function");
}

#[test]
fn packages_become_rows() {
    let needed = ["dpkg-source", "sha256sum", "strip"];
    for program in needed
        .into_iter()
        .chain(COMPILERS.map(|(_, program)| program))
    {
        if !installed(program) {
            eprintln!("skipped: {program} is not installed");
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let sources = dir.path().join("sources");
    fs::create_dir_all(&sources).unwrap();
    let alpha = [
        ("lib/count.c", SHARED),
        ("lib/lib.c", LIBRARY),
        ("lib/lib.h", HEADER),
        ("lib/broken.c", BROKEN),
        ("lib/test_lib.c", "int main(void) { return 0; }\n"),
    ];
    // The same body under another name, and one function of its own.
    let renamed = SHARED.replace("count_letter", "letters");
    let own = "int own(int *p, int n)\n{\n    int s = 0;\n    while (n--)\n        s ^= *p++;\n    return s;\n}\n";
    let beta = [("lib/letters.c", renamed.as_str()), ("lib/own.c", own)];
    let manifest = format!(
        "schema = 1\nsuite = \"none\"\n{}{}",
        package(&sources, "beta", "test", &beta),
        package(&sources, "alpha", "train", &alpha),
    );
    let corpus = Corpus::open(dir.path(), Manifest::parse(&manifest).unwrap()).unwrap();
    let events = Mutex::new(Vec::new());
    let report = |event: Event| events.lock().unwrap().push(event);
    let toolchains = Toolchain::installed().unwrap();

    let stopped = Watch {
        report: &report,
        stop: &AtomicBool::new(true),
    };
    let result = corpus.build(&[], &toolchains, false, stopped);
    assert!(matches!(result, Err(Error::Stopped)), "{result:?}");
    assert_eq!(fs::read_dir(corpus.rows_dir()).unwrap().count(), 0);

    let watch = Watch {
        report: &report,
        stop: &AtomicBool::new(false),
    };
    corpus.fetch(&[], watch).unwrap();
    let effort = corpus.build(&[], &toolchains, false, watch).unwrap();
    assert_eq!((effort.units, effort.failures), (20, 5));
    assert!(effort.compiler_share().unwrap() > 0.0);

    let failures = failures_of(&events);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].starts_with("5 compiles failed"), "{failures:?}");
    let lists = dir.path().join("build/alpha/failures");
    let mut under: Vec<_> = fs::read_dir(&lists).unwrap().flatten().collect();
    under.sort_by_key(fs::DirEntry::file_name);
    assert_eq!(under.len(), 5);
    for list in under {
        assert!(list.file_name().to_string_lossy().starts_with("clang-"));
        let failure = fs::read_to_string(list.path()).unwrap();
        let failure: serde_json::Value = serde_json::from_str(&failure).unwrap();
        assert_eq!(failure["file"], "lib/broken.c");
        let output = failure["output"].as_str().unwrap();
        assert!(output.contains("not with clang"), "{output}");
    }

    check_rows(&read_rows(&corpus.rows_dir().join("alpha.parquet")).unwrap());
    let beta = read_rows(&corpus.rows_dir().join("beta.parquet")).unwrap();
    assert!(!beta.is_empty());
    assert!(
        beta.iter().all(|r| r.name == "own" && r.split == "test"),
        "the shared body leaks"
    );

    let stats = Stats::of(&corpus.rows_dir()).unwrap();
    let alpha = stats
        .packages
        .iter()
        .find(|p| p.package == "alpha")
        .unwrap();
    assert_eq!((alpha.functions, alpha.documented, alpha.rows), (4, 3, 40));
    assert_eq!(alpha.discovery_recall(), Some(1.0));

    // What is up to date is not touched.
    let written = |name: &str| {
        fs::metadata(corpus.rows_dir().join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = written("alpha.parquet");
    corpus.build(&[], &toolchains, false, watch).unwrap();
    assert_eq!(written("alpha.parquet"), before);

    // A unit that is sent as JSON is made alike elsewhere.
    let units = corpus.units(&["alpha".to_owned()], &toolchains).unwrap();
    let unit: Unit = serde_json::from_str(&serde_json::to_string(&units[3]).unwrap()).unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("sources")).unwrap();
    for entry in fs::read_dir(&sources).unwrap() {
        let file = entry.unwrap();
        fs::copy(
            file.path(),
            other.path().join("sources").join(file.file_name()),
        )
        .unwrap();
    }
    let made = Corpus::make(other.path(), &unit, watch).unwrap();
    let here = dir
        .path()
        .join("units")
        .join(format!("{}.parquet", unit.key()));
    assert_eq!(read_rows(&made).unwrap(), read_rows(&here).unwrap());

    // CLAP leaves small functions out.
    let rules = Rules {
        min_blocks: 3,
        ..Rules::default()
    };
    let larger = corpus.clone().by_rules(rules);
    larger.build(&[], &toolchains[..1], false, watch).unwrap();
    let larger = read_rows(&corpus.rows_dir().join("alpha.parquet")).unwrap();
    assert!(!larger.is_empty() && larger.len() < 4);
    assert!(larger.iter().all(|r| r.blocks >= 3));
    corpus.build(&[], &toolchains, false, watch).unwrap();

    // Rows that are lost come back from the units, without a compile.
    let rows = read_rows(&corpus.rows_dir().join("alpha.parquet")).unwrap();
    fs::remove_file(corpus.rows_dir().join("alpha.parquet")).unwrap();
    let effort = corpus.build(&[], &toolchains, false, watch).unwrap();
    assert_eq!(effort.units, 0);
    assert_eq!(
        read_rows(&corpus.rows_dir().join("alpha.parquet")).unwrap(),
        rows
    );
}

fn failures_of(events: &Mutex<Vec<Event>>) -> Vec<String> {
    let events = events.lock().unwrap();
    let message = |event: &Event| match event {
        Event::Failed { message, .. } => Some(message.clone()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

#[test]
fn every_installed_target_gives_the_same_functions() {
    let dir = tempfile::tempdir().unwrap();
    let sources = dir.path().join("sources");
    fs::create_dir_all(&sources).unwrap();
    let own = "int own(int *p, int n)\n{\n    int s = 0;\n    while (n--)\n        s ^= *p++;\n    return s;\n}\n";
    let main = "int count_letter(const char *, char);\nint own(int *, int);\nint main(int c, char **v)\n{\n    return count_letter(v[0], 'a') + own(&c, 1);\n}\n";
    let files = [
        ("lib/count.c", SHARED),
        ("lib/own.c", own),
        ("lib/main.c", main),
    ];
    let targets: Vec<String> = Target::ALL
        .iter()
        .map(|t| format!("{:?}", t.name()))
        .collect();
    let manifest = format!(
        "schema = 1\nsuite = \"none\"\n\
         [[toolchain]]\ncompilers = [\"gcc-12\", \"clang-14\", \"zig\"]\nlevels = [\"O1\"]\ntargets = [{}]\n\
         [[toolchain]]\ncompilers = [\"clang-14\"]\nlevels = [\"O1\"]\nvariants = [\"frame-pointer\", \"no-pie\"]\nir = true\n\
         [[toolchain]]\ncompilers = [\"clang-14\"]\nlevels = [\"O1\"]\nobfuscations = [\"flatten\", \"split+bogus\"]\n{}",
        targets.join(", "),
        package(&sources, "gamma", "train", &files),
    );
    let corpus = Corpus::open(dir.path(), Manifest::parse(&manifest).unwrap()).unwrap();
    let corpus = corpus.by_rules(Rules {
        align: Align::Names,
        ..Rules::default()
    });
    let (toolchains, absent) = corpus.toolchains();
    // The names of what is left out are no failure of this test.
    eprintln!("not installed: {absent:?}");
    if !toolchains.iter().any(|t| t.compiler == "clang") {
        return;
    }
    let events = Mutex::new(Vec::new());
    let report = |event: Event| events.lock().unwrap().push(event);
    let watch = Watch {
        report: &report,
        stop: &AtomicBool::new(false),
    };
    corpus.build(&[], &toolchains, false, watch).unwrap();
    assert_eq!(failures_of(&events), Vec::<String>::new());
    let rows = read_rows(&corpus.rows_dir()).unwrap();
    for toolchain in &toolchains {
        let name = toolchain.to_string();
        let of_it = |row: &&Row| row.toolchain() == name;
        let unit: Vec<&Row> = rows.iter().filter(of_it).collect();
        let names: BTreeSet<&str> = unit.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(
            names,
            BTreeSet::from(["count_letter", "main", "own"]),
            "{name}"
        );
        for row in unit {
            assert_eq!(row.alignment, "names");
            // What MIPS calls through its table of addresses keeps its name.
            let named = row.listing.contains("count_letter");
            assert!(!named || row.arch == "mipsel", "{name}: {}", row.listing);
            let ir = row.ir.as_deref().unwrap_or_default();
            assert_eq!(
                ir.contains(&format!("@{}(", row.name)),
                toolchain.ir,
                "{name}"
            );
        }
    }
    let stats = Stats::of(&corpus.rows_dir()).unwrap();
    for unit in &stats.packages[0].units {
        assert_eq!(
            (unit.aligned, unit.named, unit.agree),
            (3, 3, 3),
            "{unit:?}"
        );
    }
}
