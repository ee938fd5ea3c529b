//! Images without a format: code cut out of files whose functions are known.

use std::collections::BTreeSet;

use binscribe_lift::{Arch, BinaryKind, Error, Format, Program, Source};

use crate::fixture;

/// A file, its processor, and the addresses and offset of its `.text`; in all
/// of these an address less the offset is the same for the whole segment.
const FILES: [(&str, Arch, std::ops::Range<u64>, usize); 3] = [
    ("small-fixed", Arch::X86_64, 0x40_1090..0x40_133b, 0x1090),
    ("small-x86", Arch::X86, 0x1550..0x175c, 0x550),
    (
        "small-aarch64",
        Arch::Aarch64,
        0x101_0770..0x101_0a04,
        0x770,
    ),
];

/// The functions of a file, and those of its code alone.
fn both(
    name: &str,
    arch: Arch,
    text: &std::ops::Range<u64>,
    offset: usize,
) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let file = fixture(name);
    let code = &file[offset..offset + (text.end - text.start) as usize];
    let starts = |program: &Program<'_>| -> BTreeSet<u64> {
        let starts = program.functions().iter().map(|f| f.address);
        starts.filter(|start| text.contains(start)).collect()
    };
    let whole = Program::parse(&file).unwrap();
    let raw = Program::parse_raw(code, arch, text.start).unwrap();
    (starts(&whole), starts(&raw))
}

#[test]
fn functions_are_those_of_the_whole_file() {
    for (name, arch, text, offset) in FILES {
        let (whole, raw) = both(name, arch, &text, offset);
        assert!(whole.len() >= 6);
        assert!(raw.is_superset(&whole), "{name}: {whole:x?} in {raw:x?}");
        // Glue of 32 bits that the whole file tells apart by its tables.
        let more = if arch == Arch::X86 { 2 } else { 0 };
        assert!(raw.len() <= whole.len() + more, "{name}: {raw:x?}");
    }
}

/// With the data around it, where addresses of strings are no functions.
#[test]
fn data_is_not_taken_for_code() {
    let file = fixture("small-fixed");
    let program = Program::parse_raw(&file, Arch::X86_64, 0x40_0000).unwrap();
    let text = 0x40_1000..0x40_2000;
    let (inside, outside): (Vec<_>, Vec<_>) = program
        .functions()
        .iter()
        .map(|f| f.address)
        .partition(|start| text.contains(start));
    assert!(inside.len() >= 11, "{inside:x?}");
    assert!(outside.len() <= 16, "{outside:x?}");
    let main = program.find("0x401193").unwrap();
    assert!(!program.listing(main).is_empty());
}

/// A table of vectors, as microcontrollers begin with.
#[test]
fn pointers_in_the_image_lead_to_functions() {
    let base = 0x800_0000u64;
    let mut image = vec![0; 0x100];
    // `stp x29, x30, [sp, #-16]!`, `ldp x29, x30, [sp], #16`, `ret`, and data
    // after each.
    for at in [0x40usize, 0x80, 0xc0] {
        for (word, offset) in [(0xa9bf_7bfdu32, 0), (0xa8c1_7bfd, 4), (0xd65f_03c0, 8)] {
            image[at + offset..at + offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        image[at + 12..at + 16].copy_from_slice(b"data");
    }
    for (slot, target) in [(0, 0x40), (8, 0xc0), (16, 0x44)] {
        image[slot..slot + 8].copy_from_slice(&(base + target).to_le_bytes());
    }
    let program = Program::parse_raw(&image, Arch::Aarch64, base).unwrap();
    let found: Vec<_> = program
        .functions()
        .iter()
        .map(|f| (f.address - base, f.source))
        .collect();
    assert!(found.contains(&(0x40, Source::Reference)), "{found:x?}");
    assert!(found.contains(&(0xc0, Source::Reference)), "{found:x?}");
    assert!(found.contains(&(0x80, Source::Gap)), "{found:x?}");
    assert_eq!(found.len(), 3, "{found:x?}");
    let info = program.info();
    assert_eq!(
        (info.format, info.kind),
        (Format::Raw, BinaryKind::Executable)
    );
    assert_eq!(
        (info.image_base, info.size, info.entry),
        (base, 0x100, None)
    );
    assert_eq!(info.format.id(), "raw");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let bytes = [0x90; 0x2000];
    for (arch, base) in [
        (Arch::X86, 0xffff_f000),
        (Arch::X86, u64::MAX),
        (Arch::X86_64, u64::MAX - 0x1000),
        (Arch::Aarch64, u64::MAX),
    ] {
        assert_eq!(
            Program::parse_raw(&bytes, arch, base)
                .unwrap_err()
                .to_string(),
            "a malformed raw image: at this base it ends beyond the last address"
        );
    }
    assert!(Program::parse_raw(&bytes, Arch::X86, 0xffff_e000).is_ok());
    assert!(Program::parse_raw(&bytes, Arch::X86_64, 0xffff_ffff_ffff_d000).is_ok());
    assert_eq!(
        Program::parse_raw(b"", Arch::X86, 0).unwrap_err(),
        Error::NoCode {
            format: Format::Raw
        }
    );
}

/// Anything may be an image: each byte is code, data and a pointer.
#[test]
fn any_bytes_are_survived() {
    for name in ["small", "small-aarch64", "libsmall.a", "windows.exe"] {
        let bytes = fixture(name);
        for &arch in Arch::ALL {
            for base in [0, 1, 0x40_0000, 0xffff_0000] {
                let bytes = &bytes[..bytes.len().min(0x1_0000)];
                let program = Program::parse_raw(bytes, arch, base).unwrap();
                let lines: usize = program
                    .functions()
                    .iter()
                    .map(|f| program.listing(f).len())
                    .sum();
                assert!(lines <= bytes.len(), "{name} {arch}");
            }
        }
    }
}

#[test]
fn processors_have_names() {
    for &arch in Arch::ALL {
        assert_eq!(arch.id().parse(), Ok(arch));
    }
    let error = "z80".parse::<Arch>().unwrap_err().to_string();
    assert!(
        error.starts_with("no processor `z80`: one of x86-64, x86"),
        "{error}"
    );
}

/// As many functions as there are pairs of bytes would take a hundred times the
/// memory of the image.
#[test]
fn functions_of_two_bytes_are_not_counted_for_ever() {
    let image = [0x55, 0xc3].repeat(1 << 20);
    let program = Program::parse_raw(&image, Arch::X86_64, 0x1000).unwrap();
    assert!(program.functions().len() < 140_000);
}

/// Starts and sizes of the functions of an image at 0x1000.
fn raw(code: &[u8], arch: Arch) -> Vec<(u64, u64)> {
    let program = Program::parse_raw(code, arch, 0x1000).unwrap();
    program
        .functions()
        .iter()
        .map(|f| (f.address, f.size))
        .collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Assemblers fill 32-bit code with `lea esi, [esi+0]` where no processor is
/// named that has long `nop`s.
#[test]
fn padding_of_32_bit_code_is_in_no_function() {
    let code = [
        // `push ebp`, `mov ebp, esp`, `call 0x1010`, `pop ebp`, `ret`.
        &[0x55, 0x89, 0xe5, 0xe8, 8, 0, 0, 0, 0x5d, 0xc3][..],
        &[0x8d, 0xb6, 0, 0, 0, 0],
        &[0x55, 0x89, 0xe5, 0x5d, 0xc3],
        &[0x8d, 0xb4, 0x26, 0, 0, 0, 0, 0x8d, 0x74, 0x26, 0],
        &[0x55, 0x89, 0xe5, 0x5d, 0xc3],
    ];
    let expected = [(0x1000, 10), (0x1010, 5), (0x1020, 5)];
    assert_eq!(raw(&code.concat(), Arch::X86), expected);
}

/// A word that is no instruction and an empty table end a function there.
#[test]
fn traceback_table_belongs_to_a_function_of_powerpc() {
    let mut code = vec![
        0x7c08_02a6, // mflr r0
        0xf801_0010, // std r0, 16(r1)
        0xf821_ffe1, // stdu r1, -32(r1)
        0x4800_0035, // bl 0x1040
        0x3821_0020, // addi r1, r1, 32
        0xe801_0010, // ld r0, 16(r1)
        0x7c08_03a6, // mtlr r0
        0x4e80_0020, // blr
        0,
        0,
        0,
    ];
    code.extend([0x6000_0000; 5]);
    code.extend([0x3863_0001, 0x4e80_0020, 0, 0, 0]);
    let expected = [(0x1000, 0x2c), (0x1040, 0x14)];
    assert_eq!(raw(&words(&code), Arch::PowerPc64Le), expected);
}

/// Nobody jumps to what follows anyway, but to another function.
#[test]
fn jump_to_the_next_instruction_is_a_tail_call() {
    let code = [
        0xa9bf_7bfd, // stp x29, x30, [sp, #-16]!
        0x9400_0003, // bl 0x1010
        0xa8c1_7bfd, // ldp x29, x30, [sp], #16
        0xd65f_03c0, // ret
        0xb400_0061, // cbz x1, 0x101c
        0xaa01_03e0, // mov x0, x1
        0x1400_0002, // b 0x1020
        0xd65f_03c0, // ret
        0xaa01_03e0, // mov x0, x1
        0x1400_0001, // b 0x1028
        0x9100_0400, // add x0, x0, #1
        0xd65f_03c0, // ret
    ];
    let expected = [(0x1000, 16), (0x1010, 24), (0x1028, 8)];
    assert_eq!(raw(&words(&code), Arch::Aarch64), expected);
}

/// Checks of the C library for Windows on AArch64 as zig's clang makes them with
/// -Os: `__memmove_chk`, `__memcpy_chk`, `__strncat_chk` and so on as far as the
/// two that the first ones jump to. None has a frame, and nothing calls those
/// between.
#[rustfmt::skip]
const CHECKS: [u32; 102] = [
    0xeb02_007f, 0x5400_0043, 0x1400_004b, 0xd420_0020, 0xeb02_007f, 0x5400_0043,
    0x1400_0058, 0xd420_0020, 0xaa00_03e8, 0xb400_00c3, 0x3940_0109, 0x3400_00a9,
    0xd100_0463, 0x9100_0508, 0xb5ff_ff83, 0xd420_0020, 0xaa1f_03e9, 0xeb09_007f,
    0xfa42_1122, 0x5400_00c2, 0x3869_682a, 0x3400_00ca, 0x3829_690a, 0x9100_0529,
    0x17ff_fff9, 0xeb09_007f, 0x54ff_fea0, 0x3829_691f, 0xd65f_03c0, 0xaa00_03e8,
    0xb400_00c2, 0x3940_0109, 0x3400_00a9, 0xd100_0442, 0x9100_0508, 0xb5ff_ff82,
    0xd420_0020, 0xaa1f_03e9, 0xeb09_005f, 0x54ff_ffa0, 0x3869_682a, 0x3400_008a,
    0x3829_690a, 0x9100_0529, 0x17ff_fffa, 0x3829_691f, 0xd65f_03c0, 0xeb02_007f,
    0x5400_0203, 0xaa1f_03e8, 0xeb08_005f, 0x5400_00c0, 0x3868_6829, 0x3400_0109,
    0x3828_6809, 0x9100_0508, 0x17ff_fffa, 0xaa02_03e8, 0x1400_0003, 0x3828_681f,
    0x9100_0508, 0xeb02_011f, 0x54ff_ffa3, 0xd65f_03c0, 0xd420_0020, 0xaa1f_03e8,
    0xeb08_005f, 0x5400_0100, 0x3868_6829, 0x3400_0089, 0x3828_6809, 0x9100_0508,
    0x17ff_fffa, 0x3828_681f, 0xd65f_03c0, 0xd420_0020, 0xd420_0020, 0xeb01_001f,
    0x5400_0102, 0xaa00_03e8, 0xb400_00a2, 0x3840_1429, 0xd100_0442, 0x3800_1509,
    0xb5ff_ffa2, 0xd65f_03c0, 0xd100_0408, 0xd100_0429, 0xb4ff_ffa2, 0x3862_692a,
    0x3822_690a, 0xd100_0442, 0xb5ff_ffa2, 0x17ff_fff8, 0xaa1f_03e8, 0xeb08_005f,
    0x5400_00a0, 0x3868_6829, 0x3828_6809, 0x9100_0508, 0x17ff_fffb, 0xd65f_03c0,
];

#[test]
fn jump_over_functions_that_nothing_calls_leaves() {
    const BASE: u64 = 0x1_4002_6ae4;
    let code: Vec<u8> = CHECKS.iter().flat_map(|word| word.to_le_bytes()).collect();
    let program = Program::parse_raw(&code, Arch::Aarch64, BASE).unwrap();
    let starts: Vec<u64> = program.functions().iter().map(|f| f.address).collect();
    let expected = [0xae4, 0xaf4, 0xb04, 0xb58, 0xba0, 0xbe8, 0xc18, 0xc5c];
    assert_eq!(starts, expected.map(|start| 0x1_4002_6000 + start));
}
