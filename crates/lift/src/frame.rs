//! Stack variables: which bytes of the frame an operand means.
//!
//! With a frame pointer the answer is in the operand. Without one it depends on
//! how far the stack pointer has moved, so that is followed along the control
//! flow first. Where it cannot be known (after `alloca`, say) operands keep
//! their plain form.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::memo::Site;

/// Mark of an instruction that may go on elsewhere than at the next.
pub(crate) const EXIT: u16 = 1;
/// Mark of a call that does not come back.
pub(crate) const LEAVES: u16 = 2;
/// Mark of an instruction that may move the stack pointer or tell of it.
const STACK: u16 = 4;

/// Marks of those that move it by a word and do nothing else to it.
const PUSHES: u16 = 16;
const POPS: u16 = 32;
/// Mark of an instruction that does nothing.
pub(crate) const FILLS: u16 = 64;
/// Mark of a call of what follows it, which only asks where the code is.
pub(crate) const ASKS: u16 = 128;
/// Mark of an instruction whose operand may be a variable on the stack.
pub(crate) const VARIABLE: u16 = 256;

/// Whether an instruction matters to the stack.
pub(crate) fn mark(instruction: &Instruction) -> u16 {
    let pointer = |register| matches!(register, Register::RSP | Register::ESP);
    let frame = |register| matches!(register, Register::RBP | Register::EBP);
    // An instruction without operands has the register "none".
    let first = match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register(),
        _ => Register::None,
    };
    match instruction.code() {
        Code::Push_r64 | Code::Push_r32 => return PUSHES,
        Code::Pop_r64 | Code::Pop_r32 if !pointer(first) => return POPS,
        _ => {}
    }
    let base = instruction.memory_base();
    let takes = matches!(instruction.code(), Code::Lea_r64_m | Code::Lea_r32_m)
        && (pointer(base) || frame(base));
    let copies = frame(first) && instruction.mnemonic() == Mnemonic::Mov;
    let stack = match pointer(first) || takes || copies || instruction.is_stack_instruction() {
        true => STACK,
        false => 0,
    };
    let fills = match instruction.mnemonic() {
        Mnemonic::Nop => FILLS,
        _ => 0,
    };
    let variable = match pointer(base) || frame(base) {
        true => VARIABLE,
        false => 0,
    };
    stack | fills | variable
}

/// How the stack lies at each instruction of a function.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Bytes of a return address.
    word: i64,
    /// `rbp` is the frame pointer, and the base that variables count from.
    framed: bool,
    /// How far the base is below the value of `rsp` at the entry.
    base: Option<i64>,
    /// How far `rsp` is below its value at the entry: a sum of fewer numbers of
    /// 32 bits than would reach the two values below.
    depth: Vec<i64>,
    /// Where to go on.
    open: Vec<(usize, i64)>,
}

/// The depth of an instruction that nothing has led to yet.
const UNSEEN: i64 = i64::MIN;
/// That of one where it cannot be known.
const UNKNOWN: i64 = i64::MAX;

/// A stack variable as an operand names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// `var_X`: X bytes below the base.
    Local(u64),
    /// `arg_X`: X bytes above the first argument on the stack.
    Argument(u64),
}

/// The register that an operand counts from, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointer {
    Stack(i32),
    Frame(i32),
}

impl Pointer {
    pub(crate) fn of(instruction: &Instruction) -> Option<Pointer> {
        // No more bits than these are in an instruction.
        let offset = instruction.memory_displacement32() as i32;
        match instruction.memory_base() {
            Register::RSP | Register::ESP => Some(Pointer::Stack(offset)),
            Register::RBP | Register::EBP => Some(Pointer::Frame(offset)),
            _ => None,
        }
    }
}

impl Frame {
    /// Follows the stack pointer through `sites`, of which those that may go on
    /// elsewhere are `exits`, ascending; `instruction` gives the one at an index, and
    /// `purges` how many bytes of arguments the call at an index takes off the stack.
    pub(crate) fn follow(
        &mut self,
        sites: &[Site],
        exits: &[u32],
        word: i64,
        instruction: impl Fn(usize) -> Instruction,
        purges: impl Fn(usize) -> i64,
    ) {
        (self.word, self.framed, self.base) = (word, false, Some(0));
        let mut depths = std::mem::take(&mut self.depth);
        depths.clear();
        depths.resize(sites.len(), UNSEEN);
        self.open.clear();
        self.open.push((0, 0));
        let mut probe = None;
        // The depth at the last jump whose targets are unknown, such as a jump
        // table's, is the best guess for code that nothing else leads to; then
        // that of most of the code.
        let mut guess = UNKNOWN;
        // Such code lies behind an exit.
        let mut behind = exits.iter().map(|&exit| exit as usize + 1).peekable();
        loop {
            let (mut at, mut depth) = match self.open.pop() {
                Some(next) => next,
                None => {
                    let Some(&exit) = behind.peek() else {
                        break;
                    };
                    let Some(next) = first_unseen(sites, &depths, exit) else {
                        behind.next();
                        continue;
                    };
                    if guess == UNKNOWN {
                        guess = most_common(&depths);
                    }
                    (next, guess)
                }
            };
            while let (Some(site), Some(held)) = (sites.get(at), depths.get_mut(at)) {
                if *held != UNSEEN {
                    break;
                }
                *held = depth;
                let mark = site.marks;
                if mark & (EXIT | STACK | PUSHES | POPS) == 0 {
                    at += 1;
                    continue;
                }
                if mark & (EXIT | STACK) == 0 {
                    if depth != UNKNOWN {
                        depth += if mark & PUSHES != 0 { word } else { -word };
                    }
                    at += 1;
                    continue;
                }
                if let Some(target) = site.jump()
                    && depths.get(target) == Some(&UNSEEN)
                {
                    self.open.push((target, depth));
                }
                match site.flow {
                    FlowControl::UnconditionalBranch
                    | FlowControl::Return
                    | FlowControl::Exception => break,
                    FlowControl::IndirectBranch => {
                        guess = depth;
                        break;
                    }
                    FlowControl::Call | FlowControl::IndirectCall => {
                        if mark & LEAVES != 0 {
                            break;
                        }
                        if depth != UNKNOWN {
                            // `call $+5` leaves its own address on the stack.
                            if mark & ASKS != 0 {
                                depth += word;
                            }
                            depth -= purges(at);
                        }
                    }
                    _ if mark & STACK != 0 => {
                        let known = (depth != UNKNOWN).then_some(depth);
                        let after = self.step(at, &instruction, known, &mut probe);
                        depth = after.unwrap_or(UNKNOWN);
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        self.depth = depths;
    }

    /// The depth after `instruction`.
    fn step(
        &mut self,
        at: usize,
        instruction_at: &impl Fn(usize) -> Instruction,
        depth: Option<i64>,
        probe: &mut Option<(Register, i64)>,
    ) -> Option<i64> {
        let instruction = &instruction_at(at);
        let first =
            (instruction.op0_kind() == OpKind::Register).then(|| instruction.op0_register());
        let moves_stack = matches!(first, Some(Register::RSP | Register::ESP));
        let pointer = self.base.filter(|_| self.framed);
        match instruction.code() {
            Code::Mov_rm64_r64 | Code::Mov_r64_rm64 | Code::Mov_rm32_r32 | Code::Mov_r32_rm32
                if instruction.op1_kind() == OpKind::Register =>
            {
                match (first, instruction.op1_register()) {
                    (Some(Register::RBP | Register::EBP), Register::RSP | Register::ESP) => {
                        // A copy of `rsp` that is made elsewhere than right
                        // after `push rbp` is a pointer to a local variable.
                        if !self.framed && follows_push_of_rbp(at, instruction_at) {
                            self.framed = true;
                            self.base = depth;
                        }
                        depth
                    }
                    (Some(Register::RSP | Register::ESP), Register::RBP | Register::EBP) => pointer,
                    (Some(Register::RSP | Register::ESP), _) => None,
                    _ => depth,
                }
            }
            Code::Sub_rm64_imm8
            | Code::Sub_rm64_imm32
            | Code::Sub_rm32_imm8
            | Code::Sub_rm32_imm32
                if moves_stack =>
            {
                Some(depth?.wrapping_add(signed_immediate(instruction)))
            }
            Code::Add_rm64_imm8
            | Code::Add_rm64_imm32
            | Code::Add_rm32_imm8
            | Code::Add_rm32_imm32
                if moves_stack =>
            {
                Some(depth?.wrapping_sub(signed_immediate(instruction)))
            }
            Code::Lea_r64_m | Code::Lea_r32_m => {
                let plain = instruction.memory_index() == Register::None;
                let offset = displacement(instruction);
                let target = match instruction.memory_base() {
                    Register::RSP | Register::ESP if plain => depth.map(|d| d.wrapping_sub(offset)),
                    Register::RBP | Register::EBP if plain => {
                        pointer.map(|p| p.wrapping_sub(offset))
                    }
                    _ => None,
                };
                if moves_stack {
                    return target;
                }
                // `lea r11, [rsp-N]` begins a loop that touches each page of a
                // large frame on the way down, and ends at `cmp rsp, r11`.
                if let (Some(register), Some(target)) = (first, target) {
                    *probe = Some((register, target));
                }
                depth
            }
            Code::Cmp_rm64_r64 | Code::Cmp_r64_rm64 | Code::Cmp_rm32_r32 | Code::Cmp_r32_rm32
                if moves_stack =>
            {
                match *probe {
                    Some((register, end)) if register == instruction.op1_register() => Some(end),
                    _ => None,
                }
            }
            Code::Leaveq | Code::Leaved => pointer.map(|p| p.wrapping_sub(self.word)),
            Code::Pop_rm64 | Code::Pop_r64 | Code::Pop_rm32 | Code::Pop_r32 if moves_stack => None,
            _ if instruction.is_stack_instruction() => {
                Some(depth?.wrapping_sub(instruction.stack_pointer_increment().into()))
            }
            Code::Cmp_rm64_imm8
            | Code::Cmp_rm64_imm32
            | Code::Test_rm64_r64
            | Code::Test_rm64_imm32
            | Code::Cmp_rm32_imm8
            | Code::Cmp_rm32_imm32
            | Code::Test_rm32_r32
            | Code::Test_rm32_imm32 => depth,
            _ if moves_stack => None,
            _ => depth,
        }
    }

    /// The variable at an offset from the stack or the frame pointer in the memory
    /// operand of instruction `at`, and for the stack pointer the distance to the
    /// base that IDA writes before its name.
    pub(crate) fn slot(&self, at: usize, pointer: Pointer) -> Option<(Slot, Option<u64>)> {
        let (offset, distance) = match pointer {
            Pointer::Frame(offset) => {
                if !self.framed {
                    return None;
                }
                (i64::from(offset), None)
            }
            Pointer::Stack(offset) => {
                let depth = self.depth[at];
                if depth == UNKNOWN {
                    return None;
                }
                let distance = depth.checked_sub(self.base?)?;
                (
                    i64::from(offset).checked_sub(distance)?,
                    Some(u64::try_from(distance).ok()?),
                )
            }
        };
        // Between the locals and the arguments lie the return address and, with
        // a frame pointer, the caller's.
        let arguments = if self.framed {
            2 * self.word
        } else {
            self.word
        };
        let slot = if offset < 0 {
            Slot::Local(offset.unsigned_abs())
        } else {
            Slot::Argument(u64::try_from(offset - arguments).ok()?)
        };
        Some((slot, distance))
    }
}

/// The first instruction from an index on that nothing has led to yet, if only such
/// lie before it that fill the space behind a jump: those tell nothing.
fn first_unseen(sites: &[Site], depths: &[i64], from: usize) -> Option<usize> {
    let rest = sites.iter().zip(depths).enumerate().skip(from);
    let mut unseen = rest.take_while(|(_, (_, depth))| **depth == UNSEEN);
    unseen.find_map(|(at, (site, _))| (site.marks != FILLS).then_some(at))
}

/// The depth of most instructions; of several the deepest.
fn most_common(depths: &[i64]) -> i64 {
    let mut counts: Vec<(i64, usize)> = Vec::new();
    for run in depths.chunk_by(|a, b| a == b) {
        if !matches!(run[0], UNSEEN | UNKNOWN) {
            counts.push((run[0], run.len()));
        }
    }
    counts.sort_unstable();
    let sums = counts.chunk_by(|a, b| a.0 == b.0).map(|of_one| {
        let count: usize = of_one.iter().map(|run| run.1).sum();
        (count, of_one[0].0)
    });
    sums.max().map_or(UNKNOWN, |(_, depth)| depth)
}

/// Whether the last change of the stack before an instruction is `push rbp`.
fn follows_push_of_rbp(at: usize, instruction_at: impl Fn(usize) -> Instruction) -> bool {
    let change = (0..at).rev().take(8).map(instruction_at).find(|i| {
        let first = i.op_count() > 0 && i.op0_kind() == OpKind::Register;
        i.is_stack_instruction()
            || (first && matches!(i.op0_register(), Register::RSP | Register::ESP))
    });
    change.is_some_and(|i| {
        matches!(
            (i.code(), i.op0_register()),
            (Code::Push_r64, Register::RBP) | (Code::Push_r32, Register::EBP)
        )
    })
}

/// The displacement of a memory operand as the signed number that it is.
fn displacement(instruction: &Instruction) -> i64 {
    match instruction.memory_base().size() {
        4 => i64::from(instruction.memory_displacement32() as i32),
        _ => instruction.memory_displacement64() as i64,
    }
}

/// The second operand as the signed number that it is.
fn signed_immediate(instruction: &Instruction) -> i64 {
    match instruction.op0_register().size() {
        4 => i64::from(instruction.immediate(1) as u32 as i32),
        _ => instruction.immediate(1) as i64,
    }
}
