//! What is decompiled does the same: functions are compiled, decompiled from the
//! linked program, compiled again, and both are called with the same arguments.

#![allow(clippy::print_stdout)]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use binscribe_decompile::{PRELUDE, decompile};
use binscribe_lift::Program;

const FUNCTIONS: &str = include_str!("functions.c");
const MAIN: &str = include_str!("main.c");

/// A function of `functions.c`, with what it answers and takes.
struct Entry<'s> {
    name: &'s str,
    kinds: &'s str,
}

fn entries() -> Vec<Entry<'static>> {
    let lines: Vec<&str> = FUNCTIONS.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let kinds = pair[0].strip_prefix("// ")?;
        let declared = pair[1].strip_prefix("KEEP ")?;
        let name = declared.split_once('(')?.0.rsplit([' ', '*']).next()?;
        Some(Entry { name, kinds })
    });
    pairs.collect()
}

fn run(command: &mut Command) {
    let output = command.output().expect("the compiler runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// What became of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Different,
    /// A compiler does not take it.
    Refused,
}

fn measure(compiler: &str, level: &str, folder: &Path) -> Vec<(String, Outcome, String)> {
    let path = |name: &str| folder.join(name);
    let entries = entries();
    let mut table = String::from("struct entry { const char *name, *kinds; void *function; };\n");
    for Entry { name, .. } in &entries {
        let _ = writeln!(table, "extern char {name}[];");
    }
    table.push_str("const struct entry table[] = {\n");
    for Entry { name, kinds } in &entries {
        let _ = writeln!(table, "{{\"{name}\", \"{kinds}\", {name}}},");
    }
    table.push_str("{0}};\n");
    let sources = [
        ("main.c", MAIN),
        ("functions.c", FUNCTIONS),
        ("table.c", &table),
    ];
    for (name, text) in sources {
        std::fs::write(path(name), text).expect("a temporary folder");
    }
    let mut build = Command::new(compiler);
    build.args(["-no-pie", "-fno-pie", "-w", level, "-fwrapv", "-o"]);
    build.arg(path("program"));
    build.args(sources.map(|(name, _)| path(name)));
    run(build.args(["-ldl", "-lm"]));
    let bytes = std::fs::read(path("program")).expect("the program");
    let program = Program::parse(&bytes).expect("an executable");
    let mut outcomes = Vec::new();
    for Entry { name, .. } in &entries {
        let function = program.find(name).expect("a function of the program");
        let decompiled = decompile(&program, function).expect("C");
        let mut source = format!("{PRELUDE}\n");
        let mut link = Command::new("cc");
        link.args([
            "-shared",
            "-fPIC",
            "-w",
            "-Werror=implicit-function-declaration",
            "-O1",
            "-fwrapv",
            "-fno-strict-aliasing",
        ]);
        for global in &decompiled.globals {
            let _ = writeln!(source, "{}", global.declaration);
            if let Some(address) = global.address {
                link.arg(format!("-Wl,--defsym={}={address:#x}", global.name));
            }
        }
        for called in decompiled.calls.iter().filter(|called| called != name) {
            let _ = writeln!(source, "u64 {called}();");
            if let Some(own) = program.find(called) {
                link.arg(format!("-Wl,--defsym={called}={:#x}", own.address));
            }
        }
        source.push_str(&decompiled.code);
        std::fs::write(path("again.c"), &source).expect("a temporary folder");
        link.arg("-o").arg(path("again.so")).arg(path("again.c"));
        let taken = link.output().expect("the compiler runs");
        let outcome = if !taken.status.success() {
            source.push_str(&String::from_utf8_lossy(&taken.stderr));
            Outcome::Refused
        } else {
            let mut call = Command::new(path("program"));
            call.arg(path("again.so")).arg(name);
            let mut child = call.stderr(Stdio::null()).spawn().expect("the program");
            let begun = Instant::now();
            // What never ends is not the same.
            let status = loop {
                match child.try_wait().expect("a process") {
                    Some(status) => break Some(status),
                    None if begun.elapsed() > Duration::from_secs(20) => {
                        let _ = child.kill();
                        let _ = child.wait();
                        break None;
                    }
                    None => std::thread::sleep(Duration::from_millis(2)),
                }
            };
            match status.and_then(|status| status.code()) {
                Some(0) => Outcome::Same,
                _ => Outcome::Different,
            }
        };
        outcomes.push(((*name).to_owned(), outcome, source));
    }
    outcomes
}

#[test]
fn decompiled_functions_do_what_they_did() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut all, mut same) = (0, 0);
    let compilers = std::env::var("DECOMPILE_COMPILERS").unwrap_or_else(|_| "cc".into());
    for compiler in compilers.split(',') {
        for level in ["-O0", "-O1", "-O2", "-O3", "-Os"] {
            let outcomes = measure(compiler, level, folder.path());
            let of = |outcome| outcomes.iter().filter(|o| o.1 == outcome).count();
            println!(
                "{compiler} {level}: {} functions, {} the same, {} different, {} not compiled",
                outcomes.len(),
                of(Outcome::Same),
                of(Outcome::Different),
                of(Outcome::Refused),
            );
            for (name, outcome, source) in &outcomes {
                if *outcome != Outcome::Same {
                    println!("  {name}: {outcome:?}");
                    if std::env::var("DECOMPILE_SHOW").is_ok_and(|n| n == *name) {
                        println!("{source}");
                    }
                }
            }
            all += outcomes.len();
            same += of(Outcome::Same);
        }
    }
    assert!(same * 100 >= all * 97, "{same} of {all}");
}

/// The same function is the same C each time it is asked for.
#[test]
fn a_function_has_one_form() {
    // A loop over eight arguments that were pushed, which changes each of them.
    let mut code = Vec::new();
    for number in 1..=8 {
        // add rdi, [rsp+8*number]; add [rsp+8*number], rdi
        code.extend([0x48, 0x03, 0x7c, 0x24, 8 * number]);
        code.extend([0x48, 0x01, 0x7c, 0x24, 8 * number]);
    }
    // dec rsi; jnz to the start; mov rax, rdi; retn
    code.extend([0x48, 0xff, 0xce, 0x75, 0u8.wrapping_sub(80 + 5)]);
    code.extend([0x48, 0x89, 0xf8, 0xc3]);
    let program = Program::parse_raw(&code, binscribe_lift::Arch::X86_64, 0x1000);
    let program = program.expect("a region of code");
    let c = || {
        decompile(&program, &program.functions()[0])
            .expect("C")
            .code
    };
    let first = c();
    assert!(first.contains("a14"), "{first}");
    for _ in 0..20 {
        assert_eq!(c(), first);
    }
}
