//! Any code of x86-64 or AArch64, as the text section of a small program: each
//! listing covers its function, and nothing in it can leave its line.
#![no_main]

use binscribe_lift::{Arch, Program};
use libfuzzer_sys::fuzz_target;

/// A program with one segment, mapped at 0x400000 and entered at its first
/// byte of code.
fn program(machine: u8, code: &[u8]) -> Vec<u8> {
    const CODE: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    let size = CODE + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file[18] = machine;
    for word in [BASE + CODE, 64, 0] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // PT_LOAD, readable and executable.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend(code);
    file
}

/// Lists everything, and holds it against what is promised of a listing.
fn list(program: &Program<'_>) {
    for function in program.functions() {
        let listing = program.listing(function);
        for line in listing.lines() {
            assert!(function.contains(line.address));
            assert!(!line.text.contains(|c: char| c.is_control()), "{:?}", line.text);
        }
        assert!(listing.facts.blocks <= listing.facts.instructions);
        let mut next = 0;
        for block in listing.blocks() {
            assert_eq!(block.lines.start, next);
            next = block.lines.end;
        }
        assert_eq!(next, listing.len());
    }
}

// The first byte chooses: a program with a header, or code for a processor.
fuzz_target!(|code: &[u8]| {
    let [first, code @ ..] = code else { return };
    let first = usize::from(*first);
    if let Some(&arch) = Arch::ALL.get(first % 16) {
        if let Ok(program) = Program::parse_raw(code, arch, 0x40_0000) {
            list(&program);
        }
        return;
    }
    if let Ok(text) = std::str::from_utf8(code) {
        let _ = binscribe_lift::demangle(text);
    }
    let machine = if first & 16 == 0 { 62 } else { 183 };
    if let Ok(program) = Program::parse(&program(machine, code)) {
        list(&program);
    }
});
