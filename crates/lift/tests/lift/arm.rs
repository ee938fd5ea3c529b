//! 32-bit ARM: its two states, literal pools, tables among the code.

use binscribe_lift::{Kind, Program, Source};

use crate::{check, fixture};

/// A32, stripped: literal pools are named by what they become, imports by their
/// stubs.
#[test]
fn stripped_a32_program() {
    check("small-arm", "sub_20594", A32_MAIN);
    check("small-arm", "sub_205DC", A32_REPORT);
}

/// T32, stripped: the state of code is found without symbols, and a jump table
/// is no code.
#[test]
fn stripped_t32_program() {
    check("small-thumb", "sub_204F4", T32_MAIN);
    check("small-thumb", "sub_2042C", T32_PICK);
}

/// Addends are inside the instructions that relocations are for.
#[test]
fn arm_objects() {
    check("small-arm.o", "report", A32_OBJECT);
    check("small-thumb.o", "report", T32_OBJECT);
}

/// The index for unwinding, calls and pointers give the same functions as the
/// source has, after those of the C library.
#[test]
fn functions_of_stripped_arm_programs() {
    for (file, ours) in [
        ("small-arm", [0x2043c, 0x2045c, 0x2052c, 0x20594, 0x205dc]),
        ("small-thumb", [0x20414, 0x2042c, 0x204b0, 0x204f4, 0x20524]),
    ] {
        let bytes = fixture(file);
        let program = Program::parse(&bytes).unwrap();
        assert_eq!(program.info().arch.id(), "arm");
        for address in ours {
            let function = program.functions().iter().find(|f| f.address == address);
            let function = function.unwrap_or_else(|| panic!("{file} has none at {address:#x}"));
            assert_eq!(function.kind, Kind::Normal);
        }
        let indexed = |f: &&binscribe_lift::Function| f.source == Source::UnwindTable;
        assert!(program.functions().iter().filter(indexed).count() >= 5);
    }
}

/// Constants in halves, with the conditions of a block.
#[test]
fn facts_of_arm() {
    let bytes = fixture("small-arm");
    let program = Program::parse(&bytes).unwrap();
    let hash = program.listing(program.find("sub_2052C").unwrap());
    assert_eq!(hash.facts.strings, ["%d"]);
    assert_eq!(hash.facts.constants, [0x811c_9dc5, 0x100_0193]);
    assert!(hash.text().contains("; FNV-1 prime"), "{}", hash.text());
    let bytes = fixture("small-thumb.o");
    let program = Program::parse(&bytes).unwrap();
    let hash = program.listing(program.find("hash").unwrap());
    assert_eq!(hash.facts.constants, [0x811c_9dc5, 0x100_0193]);
    assert!(hash.text().contains("; FNV-1 prime"), "{}", hash.text());
}

const A32_MAIN: &str = r#"
PUSH            {R11,LR}
MOV             R11, SP
CMP             R0, #1
BGT             INSTR10
LDR             R0, =(aUsageSmallNUMB - 0x205B0)
ADD             R0, PC, R0; "usage: small NUMBER"
BL              _puts
MOV             R0, #1
POP             {R11,PC}
LDR             R0, [R1,#4]
MOV             R1, #0
MOV             R2, #0xA
BL              _strtol
BL              sub_2052C
AND             R0, R0, #7
POP             {R11,LR}
B               sub_2045C
DCD             aUsageSmallNUMB - 0x205B0"#;

const A32_REPORT: &str = r#"
PUSH            {R11,LR}
MOV             R11, SP
LDR             R1, =(aValueS - 0x205F8)
MOV             R2, R0
LDR             R0, =(stderr_ptr - 0x205FC)
ADD             R1, PC, R1; "value: %s\n"
LDR             R0, [PC,R0]; stderr_ptr
LDR             R0, [R0]
BL              _fprintf
LDR             R0, =(off_30798 - 0x2060C)
LDR             R0, [PC,R0]; off_30798
LDR             R1, [R0]
ADD             R1, R1, #1
STR             R1, [R0]
POP             {R11,PC}
DCD             aValueS - 0x205F8
DCD             stderr_ptr - 0x205FC
DCD             off_30798 - 0x2060C"#;

const T32_MAIN: &str = r#"
PUSH            {R7,LR}
MOV             R7, SP
CMP             R0, #1
BGT             INSTR10
LDR             R0, =(aUsageSmallNUMB - 0x20502)
ADD             R0, PC; "usage: small NUMBER"
BLX             _puts
MOVS            R0, #1
POP             {R7,PC}
LDR             R0, [R1,#4]
BLX             _atoi
BL              sub_204B0
AND.W           R0, R0, #7
POP.W           {R7,LR}
B.W             sub_2042C
NOP
DCD             aUsageSmallNUMB - 0x20502"#;

const T32_PICK: &str = r#"
PUSH            {R7,LR}
MOV             R7, SP
MOV             R1, R0
CMP             R0, #5
BHI             INSTR32
MOVS            R0, #5
TBB.W           [PC,R1]
DCD             0x30062A03
DCW             0x40B
POP             {R7,PC}
MOVS            R0, #0x4D
POP             {R7,PC}
MOVS            R0, #2
MOVS            R1, #4
POP.W           {R7,LR}
B               sub_20414
LDR             R0, =(unk_30698 - 0x20460)
MOVW            R1, #0x5556
MOVT.W          R1, #0x5555
ADD             R0, PC; unk_30698
LDR             R0, [R0]; off_30698
LDR             R0, [R0]
LDR             R2, =(unk_305F0 - 0x2046C)
SMMUL           R1, R0, R1
ADD             R2, PC; unk_305F0
ADD.W           R1, R1, R1,LSR#31
ADD.W           R1, R1, R1,LSL#1
SUBS            R0, R0, R1
LDR.W           R0, [R2,R0,LSL#2]
POP.W           {R7,LR}
B.W             sub_20554
LDR             R0, =(unk_306A0 - 0x20486)
ADD             R0, PC; unk_306A0
LDR             R0, [R0]; off_306A0
LDR             R2, [R0]
MOV             R0, R1
POP.W           {R7,LR}
BX              R2
LDR             R0, =(aX - 0x20496)
ADD             R0, PC; "x"
BL              sub_20524
MOVS            R0, #9
POP             {R7,PC}
BLX             _abort
DCD             unk_30698 - 0x20460
DCD             unk_305F0 - 0x2046C
DCD             unk_306A0 - 0x20486
DCD             aX - 0x20496"#;

const A32_OBJECT: &str = r#"
PUSH            {R11,LR}
MOV             R11, SP
LDR             R1, =(.L.str - 0x1DC)
MOV             R2, R0
LDR             R0, =(stderr_ptr - 0x1E0)
ADD             R1, PC, R1; "value: %s\n"
LDR             R0, [PC,R0]; stderr_ptr
LDR             R0, [R0]
BL              fprintf
LDR             R0, =(counter_ptr - 0x1F0)
LDR             R0, [PC,R0]; counter_ptr
LDR             R1, [R0]
ADD             R1, R1, #1
STR             R1, [R0]
POP             {R11,PC}
DCD             .L.str - 0x1DC
DCD             stderr_ptr - 0x1E0
DCD             counter_ptr - 0x1F0"#;

const T32_OBJECT: &str = r#"
PUSH            {R7,LR}
MOV             R7, SP
MOV             R2, R0
MOVW            R0, #(:lower16:stderr)
MOVT.W          R0, #(:upper16:stderr)
MOVW            R1, #(:lower16:.L.str)
LDR             R0, [R0]; dword_1010
MOVT.W          R1, #(:upper16:.L.str); "value: %s\n"
BL              fprintf
MOVW            R0, #(:lower16:counter)
MOVT.W          R0, #(:upper16:counter)
LDR             R1, [R0]; counter
ADDS            R1, #1
STR             R1, [R0]; counter
POP             {R7,PC}"#;
