//! Broken and hostile files: an answer or one sentence, never a panic.

use binscribe_lift::{Error, Program};

use crate::build::Random;
use crate::fixture;

/// Lists everything, as a user of the crate would.
fn exercise(bytes: &[u8]) -> Result<usize, Error> {
    let program = Program::parse(bytes)?;
    let mut lines = 0;
    for function in program.functions() {
        lines += program.listing(function).len();
    }
    Ok(lines)
}

fn message(bytes: &[u8]) -> String {
    Program::parse(bytes)
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default()
}

#[test]
fn errors_are_one_clear_sentence() {
    let small = fixture("small");
    for (bytes, expected) in [
        (
            &b""[..],
            "not an ELF, PE or Mach-O file: it looks like an empty file",
        ),
        (
            b"MZ\x90\0",
            "not an ELF, PE or Mach-O file: it looks like a DOS program without a PE header",
        ),
        (
            b"\xcf\xfa\xed\xfe\x07",
            "a truncated Mach-O file: the file header ends at byte 32, the file at byte 5",
        ),
        (b"!<arch>\n", "an archive without a readable member"),
        (
            b"#!/bin/sh\n",
            "not an ELF, PE or Mach-O file: it looks like a script",
        ),
        (
            b"hello, world\n",
            "not an ELF, PE or Mach-O file: it looks like text",
        ),
        (
            b"\x01\x02\x03\x04",
            "not an ELF, PE or Mach-O file: it looks like data of an unknown kind",
        ),
        (
            b"\x7fE",
            "not an ELF, PE or Mach-O file: it looks like the first bytes of one",
        ),
        (
            &small[..40],
            "a truncated ELF file: the file header ends at byte 64, the file at byte 40",
        ),
        (
            &small[..6000],
            "a truncated ELF file: a segment ends at byte 8676, the file at byte 6000",
        ),
    ] {
        assert_eq!(message(bytes), expected);
    }
}

#[test]
fn other_processors_are_named() {
    let mut bytes = fixture("small");
    bytes[18] = 22;
    assert_eq!(
        message(&bytes),
        "an ELF file for S/390, which this version does not read"
    );
    bytes[18] = 62;
    bytes[16] = 4;
    assert_eq!(
        message(&bytes),
        "an ELF file, but a core dump and not an executable, a library or an object file"
    );
}

#[test]
fn file_without_code() {
    // A header alone: no segments, no sections.
    let mut bytes = fixture("small")[..64].to_vec();
    bytes[32..64].fill(0);
    bytes[52] = 64;
    assert_eq!(message(&bytes), "an ELF file without code");
}

/// The other byte order of a processor that is read.
#[test]
fn big_endian_arm_is_named() {
    let mut bytes = fixture("small-arm");
    bytes[5] = 2;
    bytes[18..20].copy_from_slice(&[0, 40]);
    assert_eq!(
        message(&bytes),
        "an ELF file for 32-bit ARM in the other byte order, which this version does not read"
    );
}

/// Section headers are often removed from malware, and debuggers choke on it.
#[test]
fn segments_are_enough() {
    let mut bytes = fixture("small");
    let whole = Program::parse(&bytes).unwrap().functions().len();
    bytes[40..48].fill(0);
    bytes[58..64].fill(0);
    let program = Program::parse(&bytes).unwrap();
    let main = program.find("main").unwrap();
    let text = program.listing(main).into_text();
    assert!(text.contains("call    _puts"), "{text}");
    assert!(
        text.contains("lea     rdi, aUsageSmallNUMB; \"usage: small NUMBER\""),
        "{text}"
    );
    assert_eq!(program.functions().len(), whole);
}

/// A seed that is no code has no body; looking for code behind it went on for
/// ever (found by fuzzing).
#[test]
fn seeds_that_are_no_code_are_passed_by() {
    for machine in [62, 183, 243, 21] {
        for code in [&[][..], &[0x06; 3], &[0xff; 64], &[0x00; 64], &[0x0f; 7]] {
            let mut file = fixture("small")[..64].to_vec();
            let start = 0x40_0078u64;
            let size = 120 + code.len() as u64;
            (file[16], file[18]) = (2, machine);
            file[24..32].copy_from_slice(&start.to_le_bytes());
            file[32..48].fill(0);
            (file[32], file[56]) = (64, 1);
            file[57..64].fill(0);
            file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
            for word in [0, 0x40_0000, 0x40_0000, size, size, 0x1000] {
                file.extend(u64::to_le_bytes(word));
            }
            file.extend(code);
            assert!(exercise(&file).is_ok(), "machine {machine}, {code:x?}");
        }
    }
}

#[test]
fn every_prefix_is_survived() {
    for (_, bytes) in crate::build::programs() {
        assert!(exercise(&bytes).is_ok());
        // Of the larger ones some, and all that end inside of the headers.
        let step = bytes.len().div_ceil(20_000).max(1);
        let ends = (0..bytes.len().min(4096)).chain((0..bytes.len()).step_by(step));
        for end in ends {
            let _ = exercise(&bytes[..end]);
        }
    }
}

/// The PDB is hostile too: its blocks, its list of modules, its symbols.
#[test]
fn mutants_of_a_pdb_are_survived() {
    let mut random = Random(0x9db);
    let program = fixture("windows-x86-pdb.exe");
    let original = fixture("windows-x86.pdb");
    let mut read = 0;
    for _ in 0..2000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(8) {
            // The header, or somewhere in one of the blocks.
            let at = match random.below(3) {
                0 => 32 + random.below(24),
                _ => random.below(bytes.len() / 512) * 512 + random.below(128),
            };
            bytes[at] = match random.below(3) {
                0 => 0xff,
                1 => bytes[at] ^ (1 << random.below(8)),
                _ => random.below(256) as u8,
            };
        }
        read += usize::from(Program::parse_with_pdb(&program, &bytes).is_ok());
    }
    assert!(read > 200, "{read} of 2000 mutants were read");
    for end in (0..original.len()).step_by(97) {
        let _ = Program::parse_with_pdb(&program, &original[..end]);
    }
}

/// Unwind entries that all claim the whole program must not have it listed
/// once for each of them.
#[test]
fn overlapping_unwind_entries_list_each_byte_once() {
    let mut bytes = fixture("small");
    let program = Program::parse(&bytes).unwrap();
    let starts: Vec<(u64, u64)> = program
        .functions()
        .iter()
        .map(|f| (f.address, f.ranges[0].end - f.address))
        .collect();
    drop(program);
    // The length of an entry follows its start, relative to its own place. The
    // addresses of this file's first 12 KiB are its offsets.
    let mut changed = 0;
    for at in (0x2000..0x2200).step_by(4) {
        let word = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let start = (at as i64 + i64::from(word(at))) as u64;
        let length = word(at + 4) as u64;
        if starts.contains(&(start, length)) {
            bytes[at + 4..at + 8].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
            changed += 1;
        }
    }
    assert!(changed >= 5, "{changed} unwind entries found");
    let program = Program::parse(&bytes).unwrap();
    let listed: u64 = program.functions().iter().map(|f| f.size).sum();
    assert!(listed < 0x1000, "{listed} bytes of 0x1000");
    for pair in program.functions().windows(2) {
        assert!(pair[0].ranges[0].end <= pair[1].address);
    }
}
