//! Discovery in a stripped program against the symbols of its unstripped twin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use binscribe_lift::{Program, Source};

/// A program of many functions with what makes discovery hard: parts that the
/// compiler moves away, tail calls, jump tables, functions only reached through
/// pointers, static functions next to each other.
fn source() -> String {
    let mut text = String::from(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
         extern int state; int state; typedef int (*operation)(int);\n\
         __attribute__((noinline)) int mix(int x) { return x * 31 + state++; }\n",
    );
    for n in 0..40 {
        text += &format!(
            "static __attribute__((noinline)) int check_{n}(int x) {{\n\
               if (__builtin_expect(x == {n}, 0)) {{ fprintf(stderr, \"bad value %d in {n}\\n\", x); abort(); }}\n\
               return mix(x ^ {n}) + state; }}\n\
             static __attribute__((noinline)) int tail_{n}(int x) {{ state += {n}; return mix(x + {n}); }}\n\
             static __attribute__((noinline)) int pick_{n}(int x) {{\n\
               switch (x) {{ case 0: return mix({n}); case 1: puts(\"one {n}\"); return 2; case 2: return check_{n}(x);\n\
               case 3: return x * {n}; case 4: abort(); case 5: return strlen(\"x\") + state; case 6: return tail_{n}(x);\n\
               default: return tail_{n}(x) ^ x; }} }}\n\
             static int pointed_{n}(int x) {{ char text[64]; snprintf(text, sizeof text, \"%d\", x);\n\
               return pick_{n}(text[0] & 7) + check_{n}(x); }}\n"
        );
    }
    text += "static operation table[] = {";
    for n in 0..40 {
        text += &format!("pointed_{n},");
    }
    text += "};\nint main(int argc, char **argv) { int sum = 0; (void)argv;\n\
             for (int i = 0; i < 40; i++) sum += table[i](argc); return sum & 1; }\n";
    text
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
}

/// Compiles, strips, and compares. `flags` are the compiler's.
fn check(flags: &[&str], least_precision: f64, least_recall: f64) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("twin.c"), source()).unwrap();
    run("cc", &[flags, &["-w", "-o", "twin", "twin.c"]].concat(), at);
    run("strip", &["-o", "stripped", "twin"], at);
    let twin = std::fs::read(at.join("twin")).unwrap();
    let stripped = std::fs::read(at.join("stripped")).unwrap();

    let truth = Program::parse(&twin).unwrap();
    let symbols: BTreeMap<u64, u64> = truth
        .functions()
        .iter()
        .filter(|f| f.source == Source::Symbol)
        .map(|f| (f.address, f.size))
        .collect();
    assert!(symbols.len() > 160, "{} symbols", symbols.len());
    assert!(
        truth
            .functions()
            .iter()
            .all(|f| !f.display_name().contains(".cold")),
        "a cold part is a function of its own"
    );

    let program = Program::parse(&stripped).unwrap();
    let found: BTreeSet<u64> = program.functions().iter().map(|f| f.address).collect();
    let right = found
        .iter()
        .filter(|start| symbols.contains_key(start))
        .count() as f64;
    let precision = right / found.len() as f64;
    let recall = right / symbols.len() as f64;
    let sizes = program
        .functions()
        .iter()
        .filter(|f| f.source == Source::UnwindTable)
        .filter(|f| symbols.get(&f.address).is_some_and(|&size| size != f.size));
    let wrong_sizes = sizes.count();
    println!(
        "{flags:?}: {} functions, precision {precision:.4}, recall {recall:.4}, \
         {wrong_sizes} of another size",
        symbols.len()
    );
    assert!(precision >= least_precision, "precision {precision}");
    assert!(recall >= least_recall, "recall {recall}");
    assert_eq!(wrong_sizes, 0);
    assert!(program.find("main").is_some(), "main was not recognised");
    for name in [
        "_init",
        "_fini",
        "deregister_tm_clones",
        "register_tm_clones",
        "__do_global_dtors_aux",
        "frame_dummy",
    ] {
        let address = |program: &Program<'_>| program.find(name).map(|f| f.address);
        assert_eq!(address(&program), address(&truth), "{name}");
    }
}

#[test]
fn not_optimised() {
    check(&["-O0"], 1.0, 1.0);
}

#[test]
fn optimised() {
    check(&["-O2"], 1.0, 1.0);
}

#[test]
fn optimised_for_size() {
    check(&["-Os"], 1.0, 1.0);
}

#[test]
fn position_dependent() {
    check(&["-O2", "-fno-pie", "-no-pie"], 1.0, 1.0);
}

/// Without an unwind table there are only the entry points, calls and
/// references to go by.
#[test]
fn without_unwind_table() {
    check(
        &[
            "-O2",
            "-fno-asynchronous-unwind-tables",
            "-fno-unwind-tables",
        ],
        0.97,
        0.97,
    );
}

/// Listings must cover every byte of a function with the instructions that
/// the processor would run: each line begins where the one before it ends.
#[test]
fn lines_are_contiguous() {
    let bytes = crate::fixture("small");
    let program = Program::parse(&bytes).unwrap();
    for function in program.functions() {
        let listing = program.listing(function);
        let mut lines = listing.lines();
        for range in &function.ranges {
            let mut at = range.start;
            while at < range.end {
                let line = lines.next().unwrap();
                assert_eq!(line.address, at, "in {}", function.display_name());
                at += u64::from(line.len);
            }
        }
        assert_eq!(lines.next(), None);
    }
}

/// This program itself is large enough to be shared.
#[test]
fn threads_find_the_same() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let alone = Program::parse(&bytes).unwrap();
    let code: u64 = alone.functions().iter().map(|f| f.size).sum();
    assert!(code > 1 << 20, "{code} bytes of code");
    for threads in [2, 3, 8] {
        let shared = Program::parse_on(&bytes, threads).unwrap();
        assert_eq!(alone.functions(), shared.functions());
        assert_eq!(alone.diagnostics(), shared.diagnostics());
        for (a, b) in alone.functions().iter().zip(shared.functions()) {
            assert!(alone.callees(a).eq(shared.callees(b)));
            assert_eq!(alone.never_returns(a), shared.never_returns(b));
        }
    }
}

/// Functions of a stripped program that is assembled from `source`, and the
/// symbols of its twin: starts and sizes.
fn assembled(source: &str) -> [Vec<(u64, u64)>; 2] {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("twin.s"), source).unwrap();
    let flags = ["-nostdlib", "-static", "-o", "twin", "twin.s"];
    run("cc", &flags, at);
    run("strip", &["-o", "stripped", "twin"], at);
    ["stripped", "twin"].map(|name| {
        let bytes = std::fs::read(at.join(name)).unwrap();
        let program = Program::parse(&bytes).unwrap();
        program
            .functions()
            .iter()
            .map(|f| (f.address, f.size))
            .collect()
    })
}

/// What only the unwinder leads to goes on with the registers and with the stack
/// of its function, whose code stands before it. No unwind table says so here,
/// and nothing is aligned.
#[cfg(target_arch = "x86_64")]
#[test]
fn code_that_handles_exceptions_is_a_part_of_its_function() {
    let [found, symbols] = assembled(
        "
.globl _start
.type _start, @function
_start: push %rbx
        call work
        call rest
        pop %rbx
        ud2
.size _start, .-_start
.type work, @function
work:   push %rbx
        sub $16, %rsp
        call rest
        add $16, %rsp
        pop %rbx
        ret
        mov %rax, %rbx
        lea 8(%rsp), %rdi
        call rest
        mov %rbx, %rdi
        call raise
        jmp 1f
1:      mov 8(%rsp), %rdi
        call rest
        call raise
.size work, .-work
.type rest, @function
rest:   lea 1(%rdi), %rax
        ret
.size rest, .-rest
.type lone, @function
lone:   sub $8, %rsp
        test %al, %al
        call rest
        add $8, %rsp
        ret
.size lone, .-lone
.type raise, @function
raise:  push %rax
        ud2
.size raise, .-raise
",
    );
    assert_eq!(found, symbols, "{found:x?}, not {symbols:x?}");
}

/// Where compilers do not optimise, they jump to what is never reached: behind
/// the last instruction.
#[cfg(target_arch = "x86_64")]
#[test]
fn no_function_is_in_the_padding_that_a_jump_leads_to() {
    let [found, symbols] = assembled(
        "
.globl _start
.type _start, @function
_start: .cfi_startproc
        call work
        test %eax, %eax
        jne 1f
        hlt
1:      jmp 2f
2:      .cfi_endproc
.size _start, .-_start
        .p2align 4
.type work, @function
work:   .cfi_startproc
        mov %edi, %eax
        ret
        .cfi_endproc
.size work, .-work
",
    );
    assert_eq!(found, symbols, "{found:x?}, not {symbols:x?}");
}
