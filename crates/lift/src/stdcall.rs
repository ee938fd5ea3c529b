//! Arguments that a called function takes off the stack, as in 32-bit code for
//! Windows.

use iced_x86::{FlowControl, Instruction, Mnemonic, Register};

use crate::listing::near;
use crate::program::{Arch, Program};
use crate::step::absolute_operand;

/// Bytes of arguments that the call at an index takes off the stack: in 32-bit
/// code for Windows most functions of the system do, and some others.
pub(crate) fn purged(program: &Program<'_>, code: &[Instruction], at: usize) -> i64 {
    let (image, call) = (&program.image, &code[at]);
    if image.arch != Arch::X86 || !image.is_windows() {
        return 0;
    }
    if let Some(name) = callee(program, call) {
        // Names in object files tell it: `_WriteFile@20`.
        let told = name
            .rsplit_once('@')
            .and_then(|(_, size)| size.parse().ok());
        // The C library has names in small letters, and leaves its arguments.
        let system = name.starts_with(|c: char| c.is_ascii_uppercase());
        let size = told.map(|size: u16| size.into());
        return size.unwrap_or(if system { pushed(code, at) } else { 0 });
    }
    let callee = near(call).then(|| call.near_branch_target());
    let Some(range) = callee
        .and_then(|callee| program.function_at(callee))
        .and_then(|callee| callee.ranges.first())
    else {
        return 0;
    };
    match image.bytes_in(range.end.saturating_sub(3).max(range.start), range.end) {
        // `retn 8`.
        &[0xc2, low, high] => u16::from_le_bytes([low, high]).into(),
        _ => 0,
    }
}

/// Bytes that are pushed for the call at an index, as far as the code before it
/// tells, unless the code behind it takes them off.
fn pushed(code: &[Instruction], at: usize) -> i64 {
    /// More arguments have few functions.
    const MAX_ARGUMENTS: usize = 16;
    let on_stack = |i: &&Instruction| {
        i.is_stack_instruction() || i.op_count() > 0 && i.op0_register() == Register::ESP
    };
    let mut count = 0;
    for before in (0..at).rev().take(64) {
        let i = &code[before];
        if i.flow_control() != FlowControl::Next || count == MAX_ARGUMENTS {
            break;
        }
        if i.mnemonic() != Mnemonic::Push {
            if on_stack(&i) {
                break;
            }
            continue;
        }
        // A register that has not been set is saved.
        let register = i.op0_register();
        let saved = matches!(
            register,
            Register::EBX | Register::ESI | Register::EDI | Register::EBP
        );
        let set = |i: &Instruction| {
            i.op_count() > 0 && i.op0_register() == register && i.mnemonic() != Mnemonic::Push
        };
        if saved && before < 64 && !code[..before].iter().any(set) {
            break;
        }
        count += 1;
    }
    let size = 4 * count as u64;
    let next = code[at + 1..].iter().take(4).find(on_stack);
    match next {
        Some(i) if i.mnemonic() == Mnemonic::Add && i.immediate(1) == size => 0,
        _ => size as i64,
    }
}

/// The import that a call leads to.
fn callee<'p>(program: &'p Program<'_>, instruction: &Instruction) -> Option<&'p str> {
    let image = &program.image;
    if near(instruction) {
        return image
            .imports
            .get(&instruction.near_branch_target())
            .map(|i| i.name.as_str());
    }
    let slot = absolute_operand(instruction)?;
    image.slots.get(&slot).map(String::as_str)
}
