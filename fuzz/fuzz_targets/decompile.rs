//! Any code of x86-64 as C: there is an answer, and it is one function.
#![no_main]

use binscribe_lift::{Arch, Program};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|code: &[u8]| {
    let Ok(program) = Program::parse_raw(code, Arch::X86_64, 0x40_0000) else {
        return;
    };
    for function in program.functions() {
        if let Ok(found) = binscribe_decompile::decompile(&program, function) {
            assert!(found.code.ends_with("}\n"));
            assert!(!found.code.contains(|c: char| c.is_control() && c != '\n'));
            let braces = |brace| found.code.matches(brace).count();
            // Code without texts has none but its own.
            if !found.code.contains('"') {
                assert_eq!(braces('{'), braces('}'));
            }
        }
    }
});
