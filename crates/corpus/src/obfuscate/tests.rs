//! Programs keep their behaviour, and their obfuscation what makes it one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ir::{Instruction, Item, Module};
use super::*;
use crate::dwarf;
use crate::process;

const PROGRAM: &str = include_str!("tests/program.c");

/// The compilers that the IR is read of. The first must be there.
const COMPILERS: [&str; 5] = ["clang-14", "clang-13", "clang-15", "clang-16", "clang-19"];

fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success())
}

/// A directory with the program in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(source: &str) -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("program.c"), source).expect("a source file");
        Place { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// An object of the program, obfuscated unless there are no passes.
    fn object(
        &self,
        compiler: &str,
        options: &[&str],
        passes: &[Obfuscation],
        seed: u64,
    ) -> (PathBuf, ObfuscationReport) {
        let mut arguments: Vec<String> = ["-g", "-w", "-std=gnu11", "-fPIE", "-DUNUSED=1"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(options.iter().map(|o| (*o).to_owned()));
        let name =
            format!("{}-{}.o", Obfuscation::join(passes), options.join("")).replace('/', "_");
        let object = self.path().join(name);
        let job = ObfuscatedCompile {
            program: compiler,
            arguments: &arguments,
            file: "program.c",
            cwd: self.path(),
            passes,
            seed,
            seconds: 120,
            memory_kib: 4 << 20,
        };
        let report = job.run(&object).expect("a compiler");
        let report = report.unwrap_or_else(|complaint| {
            panic!("{compiler} {options:?} {passes:?} seed {seed}: {complaint}")
        });
        (object, report)
    }

    /// What the program of an object prints, and how it exits.
    fn run(&self, compiler: &str, object: &Path) -> (String, Option<i32>) {
        let program = object.with_extension("run");
        let output = process::output(
            Command::new(compiler)
                .arg("-pie")
                .arg(object)
                .arg("-o")
                .arg(&program),
        )
        .expect("a linker");
        assert!(output.status.success(), "{}", process::last_words(&output));
        // A program that was broken may run forever.
        let output = process::output(&mut process::limited(
            &program.to_string_lossy(),
            20,
            8 << 20,
        ))
        .expect("a program");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, output.status.code())
    }
}

/// The program does what it did after each combination of passes.
fn check_behaviour(compiler: &str, levels: &[&str], combinations: &[&[Obfuscation]], seed: u64) {
    let place = Place::new(PROGRAM);
    for level in levels {
        let (plain, _) = place.object(compiler, &[level], &[], seed);
        let expected = place.run(compiler, &plain);
        assert!(expected.0.lines().count() > 50, "{expected:?}");
        for passes in combinations {
            let (object, report) = place.object(compiler, &[level], passes, seed);
            let found = place.run(compiler, &object);
            assert_eq!(found, expected, "{compiler} {level} {passes:?} seed {seed}");
            assert!(report.changed > 0 || report.strings > 0, "{report:?}");
        }
    }
}

#[test]
fn programs_do_what_they_did_at_o0() {
    check_behaviour("clang-14", &["-O0"], &OBFUSCATIONS, 1);
}

#[test]
fn programs_do_what_they_did_at_o2() {
    check_behaviour("clang-14", &["-O2"], &OBFUSCATIONS, 2);
}

#[test]
fn programs_do_what_they_did_at_o1_and_o3() {
    check_behaviour("clang-14", &["-O1", "-O3"], &OBFUSCATIONS[9..], 3);
}

/// Typed and opaque pointers, intrinsic calls and debug records as the other
/// versions write them.
#[test]
fn other_versions_of_the_ir_are_read() {
    for compiler in &COMPILERS[1..] {
        if is_installed(compiler) {
            check_behaviour(compiler, &["-O2"], &OBFUSCATIONS[10..], 4);
        }
    }
}

/// The whole matrix, with two seeds: some minutes.
#[test]
#[ignore = "takes minutes: cargo test -p binscribe-corpus -- --ignored programs_do"]
fn programs_do_what_they_did_everywhere() {
    for compiler in COMPILERS {
        if compiler == "clang-14" || is_installed(compiler) {
            for seed in [5, 6] {
                check_behaviour(
                    compiler,
                    &["-O0", "-O1", "-O2", "-O3", "-Os"],
                    &OBFUSCATIONS,
                    seed,
                );
            }
        }
    }
}

/// Pointers of 32 bits and the odd data layout; there is nothing to run them.
#[test]
fn other_targets_compile() {
    let source = "
        int weigh(int kind, const char *text) {
            int sum = 0;
            for (; *text; text++)
                switch (kind) {
                case 1: sum += *text; break;
                case 2: sum ^= *text * 3; break;
                case 70: sum |= *text & 0xf; break;
                default: return -1;
                }
            return sum - kind;
        }
        const char *name(int kind) { return kind ? \"weigh\" : \"measure\"; }
    ";
    let place = Place::new(source);
    for target in [
        "i686-linux-gnu",
        "aarch64-linux-gnu",
        "arm-linux-gnueabihf",
        "mipsel-linux-gnu",
        "riscv64-linux-gnu",
        "x86_64-apple-macos11",
        "x86_64-windows-gnu",
    ] {
        let target = format!("--target={target}");
        let (_, report) = place.object("clang-14", &["-O2", &target], &Obfuscation::ALL, 7);
        assert_eq!(report.left, [], "{target}");
        assert_eq!(report.strings, 2, "{target}");
    }
}

/// Rows are aligned by the file and line of each function's definition.
#[test]
fn functions_keep_their_places_in_the_source() {
    let place = Place::new(PROGRAM);
    let functions = |passes: &[Obfuscation]| {
        let map = format!("-ffile-prefix-map={}=/usr/src/p", place.path().display());
        let (object, _) = place.object("clang-14", &["-O2", &map], passes, 8);
        let (program, mut linker) = (object.with_extension("so"), Command::new("clang-14"));
        linker.arg("-pie").arg(&object).arg("-o").arg(&program);
        process::output(&mut linker).expect("a linker");
        let bytes = std::fs::read(&program).expect("a program");
        let mut found: Vec<(String, u32)> =
            dwarf::subprograms(&bytes, dwarf::Place::Root("/usr/src/p"))
                .expect("debug information")
                .into_iter()
                .map(|f| (f.name, f.line))
                .collect();
        found.sort_unstable();
        found
    };
    let plain = functions(&[]);
    assert!(plain.len() > 15, "{plain:?}");
    assert_eq!(functions(&Obfuscation::ALL), plain);
}

/// The instructions of a function as objdump writes them.
fn disassembly(object: &Path, function: &str) -> Vec<String> {
    let output = process::output(
        Command::new("objdump")
            .args(["-d", "--no-show-raw-insn", "--disassemble"])
            .arg(object),
    )
    .expect("objdump");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = format!("<{function}>:");
    text.lines()
        .skip_while(|l| !l.ends_with(&begin))
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split('\t').nth(1))
        .map(|l| l.trim().to_owned())
        .collect()
}

/// What a pass did is in the machine code of an optimised build.
fn check_visible(pass: Obfuscation, function: &str, shows: fn(&[String], &[String]) -> bool) {
    let place = Place::new(PROGRAM);
    for level in ["-O1", "-O2", "-O3"] {
        let (plain, _) = place.object("clang-14", &[level], &[], 9);
        let (object, _) = place.object("clang-14", &[level], &[pass], 9);
        let before = disassembly(&plain, function);
        let after = disassembly(&object, function);
        assert!(
            shows(&before, &after),
            "{pass} {level}\n{}\n\n{}",
            before.join("\n"),
            after.join("\n")
        );
    }
}

fn count(code: &[String], operations: &[&str]) -> usize {
    code.iter()
        .filter(|l| operations.iter().any(|o| l.starts_with(o)))
        .count()
}

#[test]
fn flattening_outlasts_code_generation() {
    // A dispatcher compares one value with the states of all blocks, which
    // are wide constants.
    check_visible(Obfuscation::Flatten, "gotos", |before, after| {
        let states = |code: &[String]| {
            code.iter()
                .filter(|l| {
                    l.starts_with("cmp") && l.split("$0x").nth(1).is_some_and(|c| c.len() > 7)
                })
                .count()
        };
        states(after) >= states(before) + 4
    });
}

#[test]
fn substitution_outlasts_code_generation() {
    check_visible(Obfuscation::Substitution, "mix", |before, after| {
        let work = ["add", "sub", "and", "or", "xor", "not", "lea", "shl"];
        count(after, &work) >= count(before, &work) * 3 / 2
    });
}

#[test]
fn bogus_blocks_and_split_blocks_outlast_code_generation() {
    for pass in [Obfuscation::Bogus, Obfuscation::Split] {
        check_visible(pass, "swaps", |before, after| {
            count(after, &["j"]) > count(before, &["j"]) && after.len() > before.len() + 8
        });
    }
}

#[test]
fn indirect_jumps_outlast_code_generation() {
    check_visible(Obfuscation::Indirect, "gotos", |before, after| {
        let jumps = |code: &[String]| {
            code.iter()
                .filter(|l| l.starts_with("jmp") && l.contains('*'))
                .count()
        };
        jumps(before) == 0 && jumps(after) > 1
    });
}

#[test]
fn strings_are_not_in_the_object() {
    let place = Place::new(PROGRAM);
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).expect("an object");
        bytes.windows(13).any(|w| w == b"seventy-seven")
    };
    let (plain, _) = place.object("clang-14", &["-O2", "-g0"], &[], 10);
    assert!(holds(&plain));
    let (object, report) = place.object("clang-14", &["-O2", "-g0"], &[Obfuscation::Strings], 10);
    assert!(!holds(&object));
    assert!(report.strings > 20, "{report:?}");
}

/// The IR of the program.
fn ir(compiler: &str, level: &str) -> String {
    let place = Place::new(PROGRAM);
    let output = process::output(
        Command::new(compiler)
            .args([
                "-S",
                "-emit-llvm",
                "-g",
                "-w",
                level,
                "program.c",
                "-o",
                "-",
            ])
            .current_dir(place.path()),
    )
    .expect("a compiler");
    String::from_utf8(output.stdout).expect("IR is UTF-8")
}

#[test]
fn a_seed_repeats_its_result_and_others_do_not() {
    let ir = ir("clang-14", "-O2");
    let run = |seed| obfuscate(&ir, &Obfuscation::ALL, seed).expect("IR");
    assert_eq!(run(11), run(11));
    assert_ne!(run(11).ir, run(12).ir);
    // The order of the passes is our own.
    let mut reversed = Obfuscation::ALL;
    reversed.reverse();
    assert_eq!(obfuscate(&ir, &reversed, 11).expect("IR"), run(11));
    // What is obfuscated can be so again: no name is given twice.
    obfuscate(&run(11).ir, &[Obfuscation::Substitution], 11).expect("IR");
}

#[test]
fn what_is_not_understood_is_left_and_told() {
    let ir = ir("clang-14", "-O2");
    let result = obfuscate(&ir, &[Obfuscation::Flatten], 13).expect("IR");
    let left: Vec<&str> = result
        .report
        .left
        .iter()
        .map(|l| l.function.as_str())
        .collect();
    assert_eq!(left, ["threaded", "jumps"], "{:?}", result.report);
    assert!(result.report.changed > 10, "{:?}", result.report);
    assert!(result.report.blocks_after > result.report.blocks_before);
}

#[test]
fn ir_that_ends_early_is_an_error() {
    let error = obfuscate("define void @f() {\n  ret void\n", &[], 0).expect_err("half a function");
    assert!(error.to_string().contains("clang -S -emit-llvm"), "{error}");
}

/// Every function that is understood is read so that nothing of it is lost,
/// and the type of every result is known.
#[test]
fn functions_of_real_ir_are_read_whole() {
    for compiler in COMPILERS {
        if compiler != "clang-14" && !is_installed(compiler) {
            continue;
        }
        for level in ["-O0", "-O3"] {
            let text = ir(compiler, level);
            let module = Module::parse(&text).expect("IR");
            assert_eq!(
                module.context.types.opaque,
                !["clang-13", "clang-14"].contains(&compiler)
            );
            for item in &module.items {
                let Item::Function(function) = item else {
                    continue;
                };
                for instruction in function.blocks.iter().flat_map(|b| &b.instructions) {
                    check_type(&module, instruction);
                }
            }
            // Printed and read again it is the same.
            let printed = module.print();
            let again = Module::parse(&printed).expect("IR");
            assert_eq!(again.print(), printed, "{compiler} {level}");
            let lines = |t: &str| t.lines().filter(|l| l.starts_with("  ")).count();
            let switches = |t: &str| t.lines().filter(|l| l.starts_with("    i")).count();
            let closing = |t: &str| t.lines().filter(|l| l.starts_with("  ]")).count();
            assert_eq!(
                lines(&printed) - switches(&printed) - closing(&printed),
                lines(&text) - switches(&text) - closing(&text),
                "{compiler} {level}"
            );
        }
    }
}

fn check_type(module: &Module, instruction: &Instruction) {
    if instruction.result.is_some() {
        let found = module
            .context
            .types
            .of_result(&instruction.op, &instruction.text);
        assert!(found.is_some(), "{}", instruction.text);
    }
}

#[test]
fn names_are_read_back() {
    for passes in OBFUSCATIONS {
        let name = Obfuscation::join(passes);
        assert_eq!(Obfuscation::split_names(&name).as_deref(), Ok(passes));
    }
    assert_eq!(
        Obfuscation::split_names("substitution+flatten").map(|p| Obfuscation::join(&p)),
        Ok("flatten+substitution".to_owned())
    );
    assert!(Obfuscation::split_names("flatten+").is_err());
}
