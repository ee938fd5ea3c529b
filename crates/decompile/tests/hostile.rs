//! Code that nobody wrote: whatever the bytes, there is an answer, and soon.

use binscribe_decompile::decompile;
use binscribe_lift::{Arch, Program};

/// Numbers that are the same in each run.
fn random() -> impl FnMut() -> u64 {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

#[test]
fn random_code_is_answered() {
    let mut random = random();
    // Beginnings of instructions that change the flow or the stack, among any bytes.
    let starts: &[&[u8]] = &[
        &[0x0f, 0x84],
        &[0xeb],
        &[0x75],
        &[0xe8],
        &[0xff, 0xe0],
        &[0x48, 0x89, 0x44, 0x24],
        &[0x48, 0x8d, 0x44, 0x24],
        &[0x41, 0x54],
        &[0xf3, 0x48, 0xab],
        &[0x0f, 0xaf],
        &[0xf7, 0xf9],
        &[0x66, 0x0f, 0x6f],
        &[0xf2, 0x0f, 0x58],
        &[0x0f, 0x45],
        &[0x48, 0x11],
        // Registers of 256 and of 512 bits.
        &[0xc5, 0xfd, 0x6f],
        &[0xc5, 0xfd, 0x58],
        &[0x62, 0xf1, 0xfd, 0x48, 0x10],
        &[0x62, 0xf1, 0xfd, 0x48, 0x58],
        &[0xc3],
    ];
    let mut decompiled = 0;
    for _ in 0..3_000 {
        let mut code = Vec::new();
        while code.len() < 200 {
            let [kind, ..] = random().to_le_bytes();
            code.extend(starts[usize::from(kind) % starts.len()]);
            let count = usize::from(kind >> 4) % 5;
            // Small numbers, so that jumps stay inside.
            code.extend(
                random()
                    .to_le_bytes()
                    .iter()
                    .take(count)
                    .map(|byte| byte & 0x3f),
            );
        }
        let program = Program::parse_raw(&code, Arch::X86_64, 0x1000).expect("a region");
        for function in program.functions() {
            let found = decompile(&program, function);
            decompiled += usize::from(found.is_ok_and(|found| found.code.ends_with("}\n")));
        }
    }
    assert!(decompiled > 3_000, "{decompiled}");
}

/// Each is the worst of some pass: one block, only jumps, only calls, only pushes,
/// copies of the stack pointer.
#[test]
fn long_functions_are_answered() {
    let repeated: &[&[u8]] = &[
        &[0x48, 0x01, 0xd8, 0x48, 0x89, 0xc3],
        &[0x75, 0x00],
        &[0x75, 0xfe],
        &[0x48, 0xff, 0xc0, 0x75, 0xf0],
        &[0xff, 0xd0],
        &[0x50],
        &[0x48, 0x89, 0xe0],
        &[0x48, 0x8b, 0x44, 0x24, 0x08, 0x48, 0x89, 0x44, 0x24, 0x10],
        &[0xf7, 0xf1],
        &[0x0f, 0x44, 0xc3],
    ];
    for piece in repeated {
        let mut code = Vec::new();
        while code.len() / piece.len() < 2_600 {
            code.extend(*piece);
        }
        code.push(0xc3);
        let program = Program::parse_raw(&code, Arch::X86_64, 0x1000).expect("a region");
        let found = decompile(&program, &program.functions()[0]).expect("C");
        assert!(found.code.ends_with("}\n"), "{piece:02x?}");
    }
}
