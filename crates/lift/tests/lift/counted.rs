//! Literals that no NUL ends: those of Rust and Go.

use std::process::Command;

use binscribe_lift::Program;

use crate::{check, fixture};

const SPEAK: &str = r#"
push    rbx
mov     esi, 5
mov     ebx, edi
lea     rdi, aStart; "start"
call    _show
mov     esi, 4
lea     rdi, aStop; "stop"
call    _show
lea     rdi, off_3E80; "stop"
call    _list
lea     rdi, aAnEndOfItsOwn; "an end of its own"
call    _old
test    ebx, ebx
jnz     short INSTR20
mov     esi, 0FA0h
lea     rdi, aRustc59807616e; "/rustc/59807616e1/library/core/src/a"
pop     rbx
jmp     _show
nop     dword ptr [rax+rax]
lea     rsi, off_3EA0; "src/main.rs:12:5"
mov     edi, ebx
call    _panic
jmp     short INSTR15"#;

/// As long as the number says that the code has beside them, or the word behind a
/// pointer to them; what a program in C left there has an end of its own.
#[test]
fn lengths_stand_beside() {
    check("counted", "speak", SPEAK);
    let bytes = fixture("counted-x86");
    let program = Program::parse(&bytes).unwrap();
    let listing = program.listing(&program.functions()[0]);
    let text = listing.text();
    assert!(
        text.contains("push    5\npush    offset aStart; \"start\"\n"),
        "{text}"
    );
    let bytes = fixture("counted-aarch64");
    let program = Program::parse(&bytes).unwrap();
    let listing = program.listing(program.find("speak").unwrap());
    assert_eq!(
        listing.facts.strings,
        ["start", "stop", "src/main.rs:12:5"],
        "{}",
        listing.text()
    );
    let halves =
        "ADRP            X0, #aStop@PAGE\nADD             X0, X0, #aStop@PAGEOFF; \"stop\"";
    assert!(listing.text().contains(halves), "{}", listing.text());
}

/// A stripped program of the Rust at hand: its texts one by one, and where it may
/// panic.
#[test]
fn texts_and_panics_of_rust() {
    const SOURCE: &str = r#"
#[inline(never)]
fn show(fruit: &str) {
    if std::fs::write(fruit, "sour").is_err() {
        panic!("no such fruit");
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    show("apple");
    show("blackberry");
    show(&words[1]);
}
"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.rs"), SOURCE).unwrap();
    let made = Command::new("rustc")
        .args(["--edition=2021", "-O", "-Cstrip=symbols", "main.rs"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let bytes = std::fs::read(dir.path().join("main")).unwrap();
    let program = Program::parse(&bytes).unwrap();
    let functions = program.functions().iter();
    let strings: Vec<String> = functions
        .flat_map(|function| program.listing(function).facts.strings)
        .collect();
    for told in [
        "apple",
        "blackberry",
        "no such fruit",
        "sour",
        "main.rs:5:9",
        "main.rs:13:16",
    ] {
        assert!(strings.iter().any(|s| s == told), "{told} in {strings:#?}");
    }
    assert!(
        !strings.iter().any(|s| s.contains("appleb")),
        "{strings:#?}"
    );
}

/// GCC counts the constants of a file for AArch64 from the first of them.
#[test]
fn strings_by_their_distance_from_another() {
    let bytes = fixture("anchors-aarch64");
    let program = Program::parse(&bytes).unwrap();
    let listing = program.listing(program.find("last_of_queue").unwrap());
    assert!(
        listing.text().contains("#0x10; \"last_of_queue\"\n"),
        "{}",
        listing.text()
    );
}
