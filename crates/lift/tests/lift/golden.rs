//! Listings, line by line.

use binscribe_lift::{BinaryKind, Kind, Program};

use crate::fixture;

/// Compares the listing of one function with the expected text.
fn check(file: &str, function: &str, expected: &str) {
    let bytes = fixture(file);
    let program = Program::parse(&bytes).unwrap();
    let function = program.find(function).unwrap();
    let text = program.listing(function).into_text();
    assert_eq!(text, expected.trim_start(), "\nthe listing is:\n{text}");
}

/// What IDA shows for the bubble sort of CLAP's case study, all 16 lines.
#[test]
fn bubblesort_is_that_of_ida() {
    check("case-study.o", "bubblesort", BUBBLESORT);
}

/// What IDA shows for the SHA-3 update of CLAP's case study, all 47 lines.
#[test]
fn sha3_is_that_of_ida() {
    check("case-study.o", "sha3", SHA3);
}

#[test]
fn clap_json_is_numbered_from_one_in_program_order() {
    let bytes = fixture("case-study.o");
    let program = Program::parse(&bytes).unwrap();
    let listing = program.listing(program.find("bubblesort").unwrap());
    let json = listing.to_clap_json();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    let expected: Vec<String> = (1..=16).map(|n| n.to_string()).collect();
    assert_eq!(keys, expected.iter().collect::<Vec<_>>());
    assert_eq!(json["5"], "jle     short INSTR14");
}

/// Position-independent and stripped: imports by their stubs, strings, a frame
/// that `rsp` addresses.
#[test]
fn stripped_position_independent_program() {
    check("small", "main", MAIN);
    check("small", "sub_12F0", HASH);
}

/// `abort()` was moved to `.text.unlikely` and is reached by the jump table
/// alone.
#[test]
fn cold_part_comes_last() {
    check("small", "sub_1230", PICK);
}

/// The same source position-dependent and not optimised: addresses are
/// immediates, `rbp` addresses the frame.
#[test]
fn stripped_fixed_program() {
    check("small-fixed", "main", FIXED_MAIN);
}

/// Before linking: names come from relocations.
#[test]
fn relocatable_file() {
    check("small.o", "report", REPORT);
    let bytes = fixture("small.o");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().kind, BinaryKind::Relocatable);
    let names: Vec<String> = program
        .functions()
        .iter()
        .map(|f| f.display_name())
        .collect();
    assert_eq!(names, ["helper", "report", "pick", "hash", "main"]);
    assert_eq!(program.find("pick").unwrap().ranges.len(), 2);
}

#[test]
fn facts_are_collected() {
    let bytes = fixture("small");
    let program = Program::parse(&bytes).unwrap();
    let hash = program.listing(program.find("sub_12F0").unwrap()).facts;
    assert_eq!(hash.constants, [0x811c_9dc5, 0x100_0193]);
    assert_eq!(hash.strings, ["%d"]);
    assert_eq!((hash.instructions, hash.blocks), (25, 5));
    let main = program.listing(program.find("main").unwrap()).facts;
    let calls: Vec<(&str, Option<u64>, bool)> = main
        .calls
        .iter()
        .map(|c| (c.name.as_str(), c.address, c.import))
        .collect();
    assert_eq!(
        calls,
        [
            ("strtol", None, true),
            ("sub_12F0", Some(0x12f0), false),
            ("sub_1230", Some(0x1230), false),
            ("puts", None, true),
        ]
    );
}

/// 32-bit and position-independent: data is reached from the global offset
/// table, whose address the function asks for.
#[test]
fn data_of_32_bit_code_is_named() {
    let bytes = fixture("small-x86");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().arch.id(), "x86");
    let listing = program.listing(program.find("sub_16B0").unwrap());
    let text = listing.text();
    assert!(text.starts_with(X86_MAIN.trim_start()), "{text}");
    assert_eq!(listing.facts.strings, ["usage: small NUMBER"]);
    let calls: Vec<&str> = listing
        .facts
        .calls
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(calls, ["puts", "strtol", "sub_1650", "sub_15A0"]);
}

/// Code that is not optimised keeps the table's address on the stack.
#[test]
fn data_of_plain_32_bit_code_is_named() {
    let bytes = fixture("small-x86-o0");
    let program = Program::parse(&bytes).unwrap();
    let text: Vec<String> = program
        .functions()
        .iter()
        .map(|f| program.listing(f).into_text())
        .collect();
    let text = text.join("\n");
    for line in [
        "mov     eax, ds:(stderr_ptr - 12998h)[ebx]",
        "lea     ecx, (aValueS - 12998h)[ebx]; \"value: %s\\n\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// AArch64: addresses in two halves, imports by their stubs, `main` by what
/// `_start` hands on.
#[test]
fn stripped_aarch64_program() {
    check("small-aarch64", "main", AARCH64_MAIN);
    let bytes = fixture("small-aarch64");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().arch.id(), "aarch64");
    let hash = program.listing(program.find("sub_1010894").unwrap());
    assert_eq!(hash.facts.strings, ["%d"]);
    // The basis of the FNV hash, put together by MOV and MOVK.
    assert_eq!(hash.facts.constants, [0x811c_9dc5, 0x100_0193]);
    assert!(
        hash.text()
            .contains("LDP             X29, X30, [SP,#0x40+var_20]")
    );
}

/// Relocations of an AArch64 object are applied inside instructions.
#[test]
fn aarch64_object() {
    check("small-aarch64.o", "report", AARCH64_REPORT);
}

/// Functions are listed in parallel.
#[test]
fn program_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let bytes = fixture("small");
    shared(&Program::parse(&bytes).unwrap());
}

#[test]
fn program_says_what_it_is() {
    let bytes = fixture("small");
    let program = Program::parse(&bytes).unwrap();
    let info = program.info();
    assert_eq!((info.format.id(), info.arch.id()), ("elf", "x86-64"));
    assert_eq!(info.kind, BinaryKind::Executable);
    assert!(info.stripped);
    assert_eq!(info.size, bytes.len() as u64);
    assert_eq!(program.find("0x1230"), program.find("sub_1230"));
    assert_eq!(program.find("0x1232"), program.find("sub_1230"));
    assert_eq!(program.find("nothing"), None);
    let thunk = program.find("sub_11E0").unwrap();
    assert_eq!(thunk.kind, Kind::Thunk);
    assert_eq!(program.diagnostics(), []);
}

const BUBBLESORT: &str = r#"
endbr64
mov     edx, 6
xor     eax, eax
cmp     edx, eax
jle     short INSTR14
mov     ecx, [rdi+rax*4]
mov     esi, [rdi+rax*4+4]
cmp     ecx, esi
jle     short INSTR12
mov     [rdi+rax*4], esi
mov     [rdi+rax*4+4], ecx
inc     rax
jmp     short INSTR4
dec     edx
jnz     short INSTR3
retn"#;

const SHA3: &str = r#"
endbr64
push    rbp
mov     rbp, rsp
sub     rsp, 30h
mov     [rbp+var_18], rdi
mov     [rbp+var_20], rsi
mov     [rbp+var_24], edx
mov     rax, [rbp+var_18]
mov     eax, [rax+0CCh]
mov     [rbp+var_4], eax
mov     [rbp+var_8], 0
jmp     short INSTR41
mov     rax, [rbp+var_18]
mov     eax, [rax+0C8h]
lea     ecx, [rax+1]
mov     rdx, [rbp+var_18]
mov     [rdx+0C8h], ecx
mov     rcx, [rbp+var_18]
movsxd  rdx, eax
movzx   esi, byte ptr [rcx+rdx]
mov     edx, [rbp+var_8]
movsxd  rcx, edx
mov     rdx, [rbp+var_20]
add     rdx, rcx
movzx   edx, byte ptr [rdx]
xor     esi, edx
mov     ecx, esi
mov     rdx, [rbp+var_18]
cdqe
mov     [rdx+rax], cl
mov     rax, [rbp+var_18]
mov     eax, [rax+0C8h]
cmp     [rbp+var_4], eax
jnz     short INSTR40
mov     rax, [rbp+var_18]
mov     dword ptr [rax+0C8h], 0
mov     rax, [rbp+var_18]
mov     rdi, rax
call    keccakf
add     [rbp+var_8], 1
mov     eax, [rbp+var_8]
cmp     eax, [rbp+var_24]
jl      short INSTR13
nop
nop
leave
retn"#;

const MAIN: &str = r#"
sub     rsp, 8
cmp     edi, 1
jle     short INSTR14
mov     rdi, [rsi+8]
mov     edx, 0Ah
xor     esi, esi
call    _strtol
mov     edi, eax
call    sub_12F0
add     rsp, 8
and     eax, 7
mov     edi, eax
jmp     sub_1230
lea     rdi, aUsageSmallNUMB; "usage: small NUMBER"
call    _puts
mov     eax, 1
pop     rdx
retn"#;

const HASH: &str = r#"
sub     rsp, 28h
mov     ecx, edi
lea     rdx, aD; "%d"
xor     eax, eax
mov     rdi, rsp
mov     esi, 20h
call    _snprintf
movzx   edx, [rsp+28h+var_28]
test    dl, dl
jz      short INSTR23
lea     rcx, [rsp+28h+var_27]
mov     eax, 811C9DC5h
xchg    ax, ax
add     rcx, 1
xor     eax, edx
movzx   edx, byte ptr [rcx-1]
imul    eax, 1000193h
test    dl, dl
jnz     short INSTR14
add     rsp, 28h
retn
nop     dword ptr [rax]
mov     eax, 811C9DC5h
add     rsp, 28h
retn"#;

const PICK: &str = r#"
cmp     edi, 5
ja      INSTR44
lea     rdx, unk_203C
mov     edi, edi
sub     rsp, 8
movsxd  rax, dword ptr [rdx+rdi*4]
add     rax, rdx
jmp     rax
nop
movsxd  rax, cs:dword_406C
mov     rdx, rax
imul    rax, 55555556h
mov     ecx, edx
sar     ecx, 1Fh
shr     rax, 20h
sub     eax, ecx
lea     eax, [rax+rax*2]
sub     edx, eax
lea     rax, unk_3DC0
movsxd  rdx, edx
mov     rdi, [rax+rdx*8]
call    _strlen
add     rsp, 8
retn
nop     dword ptr [rax]
mov     eax, 4Dh
add     rsp, 8
retn
nop     word ptr [rax+rax]
mov     eax, 5
add     rsp, 8
retn
nop     word ptr [rax+rax]
lea     rdi, aX; "x"
call    sub_1200
mov     eax, 9
add     rsp, 8
retn
nop     word ptr [rax+rax]
mov     esi, 4
mov     edi, 2
add     rsp, 8
jmp     sub_11F0
mov     esi, edi
jmp     cs:off_4040
call    _abort"#;

const FIXED_MAIN: &str = r#"
push    rbp
mov     rbp, rsp
sub     rsp, 10h
mov     [rbp+var_4], edi
mov     [rbp+var_10], rsi
cmp     [rbp+var_4], 1
jg      short INSTR12
mov     edi, offset aUsageSmallNUMB; "usage: small NUMBER"
call    _puts
mov     eax, 1
jmp     short INSTR22
mov     rax, [rbp+var_10]
add     rax, 8
mov     rax, [rax]
mov     rdi, rax
call    _atoi
mov     edi, eax
call    sub_401273
and     eax, 7
mov     edi, eax
call    sub_4011CE
leave
retn"#;

const REPORT: &str = r#"
sub     rsp, 8
mov     rdx, rdi
mov     rdi, cs:stderr
xor     eax, eax
lea     rsi, aValueS; "value: %s\n"
call    fprintf
add     cs:counter, 1
add     rsp, 8
retn"#;

const X86_MAIN: &str = r#"
push    ebp
mov     ebp, esp
push    ebx
sub     esp, 14h
call    $+5
pop     ebx
add     ebx, 11F0h
cmp     [ebp+arg_0], 1
jg      short INSTR15
lea     eax, (aUsageSmallNUMB - 28ACh)[ebx]; "usage: small NUMBER"
mov     [esp+18h+var_18], eax
call    _puts
mov     eax, 1
jmp     short INSTR26
mov     eax, [ebp+arg_4]
mov     eax, [eax+4]
mov     [esp+18h+var_18], eax
mov     [esp+18h+var_10], 0Ah
mov     [esp+18h+var_14], 0
call    _strtol"#;

const AARCH64_MAIN: &str = r#"
STP             X29, X30, [SP,#-0x10+var_10]!
MOV             X29, SP
CMP             W0, #1
B.GT            INSTR11
ADRP            X0, #aUsageSmallNUMB@PAGE
ADD             X0, X0, #aUsageSmallNUMB@PAGEOFF; "usage: small NUMBER"
BL              _puts
MOV             W0, #1
LDP             X29, X30, [SP+0x10+var_10],#0x10
RET
LDR             X0, [X1,#8]
MOV             X1, XZR
MOV             W2, #0xA
BL              _strtol
BL              sub_1010894
AND             W0, W0, #7
LDP             X29, X30, [SP+0x10+var_10],#0x10
B               sub_10107BC"#;

const AARCH64_REPORT: &str = r#"
STP             X29, X30, [SP,#-0x10+var_10]!
MOV             X29, SP
ADRP            X8, #stderr_ptr@PAGE
MOV             X2, X0
ADRP            X1, #aValueS@PAGE
ADD             X1, X1, #aValueS@PAGEOFF; "value: %s\n"
LDR             X8, [X8,#stderr_ptr@PAGEOFF]
LDR             X8, [X8]
MOV             X0, X8
BL              fprintf
ADRP            X8, #counter_ptr@PAGE
LDR             X8, [X8,#counter_ptr@PAGEOFF]
LDR             W9, [X8]
ADD             W9, W9, #1
STR             W9, [X8]
LDP             X29, X30, [SP+0x10+var_10],#0x10
RET"#;
