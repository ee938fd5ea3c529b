//! Broken and hostile files: an answer or one sentence, never a panic.

use binscribe_lift::{Error, Program};

use crate::fixture;

/// Lists everything, as a user of the crate would.
fn exercise(bytes: &[u8]) -> Result<usize, Error> {
    let program = Program::parse(bytes)?;
    let mut lines = 0;
    for function in program.functions() {
        lines += program.listing(function).lines.len();
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

/// Section headers are often removed from malware, and debuggers choke on it.
#[test]
fn segments_are_enough() {
    let mut bytes = fixture("small");
    let whole = Program::parse(&bytes).unwrap().functions().len();
    bytes[40..48].fill(0);
    bytes[58..64].fill(0);
    let program = Program::parse(&bytes).unwrap();
    let main = program.find("main").unwrap();
    let text = program.listing(main).text();
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
    for name in [
        "small",
        "small-fixed",
        "small-x86",
        "small-aarch64",
        "small-aarch64.o",
        "small-riscv64",
        "small-riscv64.o",
        "small-mips",
        "small-mips.o",
        "small-mipsel",
        "small-powerpc",
        "small-powerpc.o",
        "small-powerpc64le",
        "small.o",
        "case-study.o",
        "small.macho",
        "small.dylib",
        "small-macho.o",
        "windows.exe",
        "library.dll",
        "windows.obj",
    ] {
        let bytes = fixture(name);
        assert!(exercise(&bytes).is_ok());
        for end in 0..bytes.len() {
            let _ = exercise(&bytes[..end]);
        }
    }
}

/// A small generator of repeatable random numbers (Marsaglia's xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Changes a few bytes, most of them where the structure of the file is.
fn mutate(bytes: &mut [u8], random: &mut Random) {
    let kept = bytes[..20].to_vec();
    let structural: &[std::ops::Range<usize>] = &[0..64, 64..1024, bytes.len() - 2048..bytes.len()];
    for _ in 0..1 + random.below(8) {
        let at = match random.below(4) {
            part @ 0..3 => structural[part].start + random.below(structural[part].len()),
            _ => random.below(bytes.len()),
        };
        bytes[at] = match random.below(4) {
            0 => 0xff,
            1 => 0x7f,
            2 => bytes[at] ^ (1 << random.below(8)),
            _ => random.below(256) as u8,
        };
    }
    // Leave the file recognisable, or most mutants end at the first check.
    bytes[..8].copy_from_slice(&kept[..8]);
    bytes[18..20].copy_from_slice(&kept[18..]);
}

#[test]
fn mutants_are_survived() {
    let mut random = Random(0x5eed);
    let mut read = 0;
    for name in [
        "small",
        "small-fixed",
        "small-x86",
        "small-aarch64",
        "small-aarch64.o",
        "small-riscv64",
        "small-riscv64.o",
        "small-mips",
        "small-mips.o",
        "small-mipsel",
        "small-powerpc",
        "small-powerpc.o",
        "small-powerpc64le",
        "small.o",
        "small.macho",
        "small.dylib",
        "small-macho.o",
        "small.universal",
        "windows.exe",
        "library.dll",
        "windows.obj",
    ] {
        let original = fixture(name);
        for _ in 0..1000 {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            read += usize::from(exercise(&bytes).is_ok());
        }
    }
    // The test is worth something only while most mutants get past the header.
    assert!(read > 1000, "{read} of 3000 mutants were read");
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
