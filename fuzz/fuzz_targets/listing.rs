//! Any code of x86-64 or AArch64, as the text section of a small program: each
//! listing covers its function, and nothing in it can leave its line.
#![no_main]

use binscribe_lift::Program;
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

fuzz_target!(|code: &[u8]| {
    let (machine, code) = match code {
        [first, rest @ ..] if first & 1 == 1 => (183, rest),
        [_, rest @ ..] => (62, rest),
        [] => (62, code),
    };
    let file = program(machine, code);
    let Ok(program) = Program::parse(&file) else {
        return;
    };
    for function in program.functions() {
        let listing = program.listing(function);
        for line in listing.lines() {
            assert!(function.contains(line.address));
            assert!(!line.text.contains(|c: char| c.is_control()), "{:?}", line.text);
        }
        assert!(listing.facts.blocks <= listing.facts.instructions);
    }
});
