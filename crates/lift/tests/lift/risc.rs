//! RISC-V, MIPS and PowerPC: listings line by line, and discovery where there is
//! no unwind table.

use binscribe_lift::Program;

use crate::{check, fixture};

/// The names of what a function calls.
fn calls(file: &str, function: &str) -> Vec<String> {
    let bytes = fixture(file);
    let program = Program::parse(&bytes).unwrap();
    let facts = program.listing(program.find(function).unwrap()).facts;
    facts.calls.into_iter().map(|call| call.name).collect()
}

#[test]
fn processors_are_told() {
    for (file, arch) in [
        ("small-riscv64", "riscv64"),
        ("small-mips", "mips"),
        ("small-mipsel", "mipsel"),
        ("small-powerpc", "powerpc"),
        ("small-powerpc64le", "powerpc64le"),
    ] {
        let bytes = fixture(file);
        assert_eq!(Program::parse(&bytes).unwrap().info().arch.id(), arch);
    }
}

/// Compressed instructions, halves of addresses, stubs, a tail call.
#[test]
fn stripped_riscv_program() {
    check("small-riscv64", "main", RISCV_MAIN);
    let bytes = fixture("small-riscv64");
    let program = Program::parse(&bytes).unwrap();
    let hash = program.listing(program.find("sub_10018FE").unwrap());
    assert_eq!(hash.facts.strings, ["%d"]);
    assert_eq!(hash.facts.constants, [0x811c_9dc5, 0x100_0193]);
    assert!(hash.text().contains("; FNV-1 prime"), "{}", hash.text());
}

/// The lower half of a distance belongs to the upper half at its label.
#[test]
fn riscv_object() {
    check("small-riscv64.o", "report", RISCV_REPORT);
}

/// What runs behind a jump, before it takes place, is a part of its block: no
/// block begins there, and each is one of the listing's lines once.
#[test]
fn blocks_of_mips_end_behind_what_is_delayed() {
    let jumps = |text: &str| {
        let mnemonic = text.split(' ').next().unwrap();
        // Those of release 6 that end in `c` are not delayed.
        matches!(
            mnemonic,
            "b" | "beq"
                | "bne"
                | "beqz"
                | "bnez"
                | "bgez"
                | "bgtz"
                | "blez"
                | "bltz"
                | "j"
                | "jr"
                | "jal"
                | "jalr"
                | "bal"
        )
    };
    for file in ["small-mips", "small-mipsel", "small-mips.o"] {
        let bytes = fixture(file);
        let program = Program::parse(&bytes).unwrap();
        let mut delayed = 0;
        for function in program.functions() {
            let listing = program.listing(function);
            let lines: Vec<_> = listing.lines().collect();
            let mut next = 0;
            for block in listing.blocks() {
                assert_eq!(block.lines.start, next, "{}", listing.text());
                assert!(!block.lines.is_empty());
                next = block.lines.end;
                let before = block.lines.start.checked_sub(1);
                let before = before.map(|before| lines[before].text);
                assert!(!before.is_some_and(jumps), "{}", listing.text());
                let last = block.lines.len().checked_sub(2);
                delayed +=
                    usize::from(last.is_some_and(|at| jumps(lines[block.lines.start + at].text)));
            }
            assert_eq!(next, listing.len());
        }
        assert!(delayed > 10, "{file}: {delayed}");
    }
}

/// Jumps that take place late, slots of the global offset table.
#[test]
fn stripped_mips_program() {
    check("small-mips", "main", MIPS_MAIN);
    let bytes = fixture("small-mips");
    let program = Program::parse(&bytes).unwrap();
    let hash = program.listing(program.find("sub_20750").unwrap());
    assert_eq!(hash.facts.constants, [0x811c_9dc5, 0x100_0193]);
    assert!(hash.text().contains("; FNV-1 prime"), "{}", hash.text());
}

/// The other byte order: the same listing.
#[test]
fn byte_orders_of_mips_are_alike() {
    check("small-mipsel", "main", MIPS_MAIN);
}

/// Addends in two instructions, pages in slots.
#[test]
fn mips_object() {
    check("small-mips.o", "report", MIPS_REPORT);
}

/// The frame of the caller, slots in the table that a function finds from its own
/// place, strings counted from the start of their pool.
#[test]
fn stripped_powerpc_program() {
    check("small-powerpc", "sub_20724", POWERPC_MAIN);
    assert_eq!(calls("small-powerpc", "sub_20678"), ["snprintf"]);
}

#[test]
fn powerpc_object() {
    check("small-powerpc.o", "report", POWERPC_REPORT);
}

/// The table of contents, calls that pass by a function's first two instructions.
#[test]
fn stripped_powerpc64_program() {
    check("small-powerpc64le", "sub_10109C0", POWERPC64_REPORT);
    assert_eq!(
        calls("small-powerpc64le", "main"),
        ["puts", "strtol", "sub_1010870", "sub_1010730"]
    );
    assert!(calls("small-powerpc64le", "sub_1010730").contains(&"sub_10109C0".to_owned()));
}

/// The loop of the jump table in `pick` leads to all cases.
#[test]
fn functions_are_found_without_unwind_table() {
    for (file, from) in [
        ("small-riscv64", "sub_100184C"),
        ("small-mips", "sub_20650"),
        ("small-powerpc64le", "sub_1010730"),
    ] {
        let bytes = fixture(file);
        let whole = Program::parse(&bytes).unwrap();
        let listed = whole.find(from).unwrap().size;
        let mut bare = bytes.clone();
        // Neither a section nor a segment is the table any more.
        let name = bare.windows(10).position(|w| w == b".eh_frame\0").unwrap();
        bare[name..name + 9].fill(b'x');
        let header = bare.windows(14).position(|w| w == b".eh_frame_hdr\0");
        if let Some(header) = header {
            bare[header..header + 13].fill(b'x');
        }
        for order in [u32::to_le_bytes, u32::to_be_bytes] {
            let segment = order(0x6474_e550);
            if let Some(at) = bare.windows(4).position(|w| w == segment) {
                bare[at..at + 4].fill(0);
            }
        }
        let program = Program::parse(&bare).unwrap();
        let function = program.find(from).unwrap();
        assert!(
            function.size.abs_diff(listed) <= 16,
            "{file}: {}",
            function.size
        );
    }
}

const RISCV_MAIN: &str = r#"
addi            sp, sp, -10h
sd              ra, 10h+var_8(sp)
sd              s0, 10h+var_10(sp)
addi            s0, sp, 10h
li              a2, 1
blt             a2, a0, INSTR16
auipc           a0, %hi(aUsageSmallNUMB)
addi            a0, a0, %lo(aUsageSmallNUMB); "usage: small NUMBER"
auipc           ra, %hi(_puts)
jalr            ra, %lo(_puts)(ra)
li              a0, 1
ld              ra, 10h+var_8(sp)
ld              s0, 10h+var_10(sp)
addi            sp, sp, 10h
ret
ld              a0, 8(a1)
li              a2, 0Ah
li              a1, 0
auipc           ra, %hi(_strtol)
jalr            ra, %lo(_strtol)(ra)
sext.w          a0, a0
auipc           ra, %hi(sub_10018FE)
jalr            ra, %lo(sub_10018FE)(ra)
andi            a0, a0, 7
ld              ra, 10h+var_8(sp)
ld              s0, 10h+var_10(sp)
addi            sp, sp, 10h
auipc           t1, %hi(sub_100184C)
jr              %lo(sub_100184C)(t1)"#;

const RISCV_REPORT: &str = r#"
addi            sp, sp, -10h
sd              ra, 10h+var_8(sp)
sd              s0, 10h+var_10(sp)
addi            s0, sp, 10h
auipc           a1, %hi(stderr_ptr)
ld              a1, %lo(stderr_ptr)(a1)
ld              a3, 0(a1)
mv              a2, a0
auipc           a1, %hi(aValueS)
addi            a1, a1, %lo(aValueS); "value: %s\n"
mv              a0, a3
auipc           ra, %hi(fprintf)
jalr            ra, %lo(fprintf)(ra)
auipc           a0, %hi(counter_ptr)
ld              a0, %lo(counter_ptr)(a0)
lw              a1, 0(a0)
addi            a1, a1, 1
sw              a1, 0(a0)
ld              ra, 10h+var_8(sp)
ld              s0, 10h+var_10(sp)
addi            sp, sp, 10h
ret"#;

const MIPS_MAIN: &str = r#"
lui     $v0, 3
addiu   $v0, -0x7EF8
addiu   $sp, -0x20
sw      $ra, 0x20+var_4($sp)
sw      $fp, 0x20+var_8($sp)
sw      $s0, 0x20+var_C($sp)
move    $fp, $sp
slti    $at, $a0, 2
beqz    $at, INSTR18
addu    $s0, $v0, $t9
lw      $at, %got(aUsageSmallNUMB)($s0)
addiu   $a0, $at, %lo(aUsageSmallNUMB); "usage: small NUMBER"
lw      $t9, %call16(puts)($s0)
jalr    $t9; puts
move    $gp, $s0
b       INSTR32
li      $v0, 1
lw      $a0, 4($a1)
lw      $t9, %call16(strtol)($s0)
li      $a1, 0
li      $a2, 0xA
jalr    $t9; strtol
move    $gp, $s0
move    $a0, $v0
lw      $t9, %call16(sub_20750)($s0)
bal     sub_20750
move    $gp, $s0
andi    $a0, $v0, 7
lw      $t9, %call16(sub_20650)($s0)
bal     sub_20650
move    $gp, $s0
move    $sp, $fp
lw      $s0, 0x20+var_C($sp)
lw      $fp, 0x20+var_8($sp)
lw      $ra, 0x20+var_4($sp)
jr      $ra
addiu   $sp, 0x20"#;

const MIPS_REPORT: &str = r#"
lui     $v0, 0
addiu   $v0, 0x1008
addiu   $sp, -0x20
sw      $ra, 0x20+var_4($sp)
sw      $fp, 0x20+var_8($sp)
sw      $s0, 0x20+var_C($sp)
move    $fp, $sp
addu    $s0, $v0, $t9
move    $a2, $a0
lw      $at, %got(stderr)($s0)
lw      $a0, 0($at)
lw      $at, %got(aValueS)($s0)
addiu   $a1, $at, %lo(aValueS); "value: %s\n"
lw      $t9, %call16(fprintf)($s0)
jalr    $t9; fprintf
move    $gp, $s0
lw      $at, %got(counter)($s0)
lw      $v0, 0($at)
addiu   $v0, 1
sw      $v0, 0($at)
move    $sp, $fp
lw      $s0, 0x20+var_C($sp)
lw      $fp, 0x20+var_8($sp)
lw      $ra, 0x20+var_4($sp)
jr      $ra
addiu   $sp, 0x20"#;

const POWERPC_MAIN: &str = r#"
mflr      r0
stwu      r1, -0x10(r1)
stw       r31, 0x10+var_4(r1)
stw       r30, 0x10+var_8(r1)
stw       r0, 0x10+arg_4(r1)
mr        r31, r1
bcl       20, 31, $+4
cmpwi     r3, 1
mflr      r30
addis     r30, r30, 3
addi      r30, r30, -0x7D64
bgt       INSTR18
lwz       r3, unk_308CC@got(r30)
addi      r3, r3, 0x30; "usage: small NUMBER"
bl        _puts
li        r3, 1
b         INSTR23
lwz       r3, 4(r4)
bl        _atoi
bl        sub_20678
clrlwi    r3, r3, 0x1D
bl        sub_2057C
lwz       r0, 0x10+arg_4(r1)
lwz       r31, 0x10+var_4(r1)
lwz       r30, 0x10+var_8(r1)
addi      r1, r1, 0x10
mtlr      r0
blr"#;

const POWERPC_REPORT: &str = r#"
mflr      r0
stwu      r1, -0x10(r1)
stw       r31, 0x10+var_4(r1)
stw       r30, 0x10+var_8(r1)
stw       r0, 0x10+arg_4(r1)
mr        r31, r1
bcl       20, 31, $+4
mr        r5, r3
mflr      r30
addis     r30, r30, 0
addi      r30, r30, 0x7FD4
lwz       r3, stderr@got(r30)
lwz       r4, unk_310@got(r30)
crclr     cr1eq
lwz       r3, 0(r3)
addi      r4, r4, 0x16; "value: %s\n"
bl        fprintf
lwz       r3, counter@got(r30)
lwz       r4, 0(r3)
addi      r4, r4, 1
stw       r4, 0(r3)
lwz       r0, 0x10+arg_4(r1)
lwz       r31, 0x10+var_4(r1)
lwz       r30, 0x10+var_8(r1)
addi      r1, r1, 0x10
mtlr      r0
blr"#;

const POWERPC64_REPORT: &str = r#"
addis     r2, r12, 2
addi      r2, r2, -0x7BD8
mflr      r0
std       r31, var_8(r1)
stdu      r1, -0x70(r1)
std       r0, 0x70+arg_10(r1)
mr        r31, r1
mr        r5, r3
nop
addis     r4, r2, unk_1020C28@ha
ld        r3, stderr@toc(r2)
addi      r4, r4, unk_1020C28@l
addi      r4, r4, 0x16; "value: %s\n"
ld        r3, 0(r3)
bl        _fprintf
ld        r2, 0x70+var_58(r1)
addis     r3, r2, unk_1030E60@ha
addi      r3, r3, unk_1030E60@l
lwz       r4, 0(r3)
addi      r4, r4, 1
stw       r4, 0(r3)
addi      r1, r1, 0x70
ld        r0, arg_10(r1)
ld        r31, var_8(r1)
mtlr      r0
blr
.long     0x0
.long     0x0
.long     0x0"#;
