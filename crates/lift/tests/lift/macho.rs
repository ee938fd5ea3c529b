//! macOS programs, libraries and object files, and archives.

use std::collections::BTreeMap;

use binscribe_lift::{BinaryKind, Error, Format, Program, Source, members};

use crate::fixture;

/// Compares the listing of one function with the expected text.
fn check(file: &str, function: &str, expected: &str) {
    let bytes = fixture(file);
    let program = Program::parse(&bytes).unwrap();
    let function = program.find(function).unwrap();
    let text = program.listing(function).into_text();
    assert_eq!(text, expected.trim_start(), "\nthe listing is:\n{text}");
}

/// Addresses and sizes of all functions.
fn functions(program: &Program<'_>) -> BTreeMap<u64, u64> {
    let functions = program.functions().iter();
    functions.map(|f| (f.address, f.size)).collect()
}

/// Imports by chained fixups, and `main` by the entry point.
#[test]
fn stripped_program() {
    check("small.macho", "main", MAIN);
    check("small.macho", "sub_1000005F0", REPORT);
    let bytes = fixture("small.macho");
    let program = Program::parse(&bytes).unwrap();
    let info = program.info();
    assert_eq!(
        (info.format, info.kind),
        (Format::MachO, BinaryKind::Executable)
    );
    assert_eq!(info.image_base, 0x1_0000_0000);
    assert_eq!(info.entry, Some(0x1_0000_0730));
    assert!(info.stripped);
    assert_eq!(program.diagnostics(), []);
}

/// What the symbols of the twin tell is what the list of starts tells, and
/// neither padding nor the jump table behind a function belongs to it.
#[test]
fn function_starts_are_those_of_the_symbols() {
    let (stripped, twin) = (fixture("small.macho"), fixture("small-symbols.macho"));
    let (program, truth) = (Program::parse(&stripped), Program::parse(&twin));
    let (program, truth) = (program.unwrap(), truth.unwrap());
    let sources = |program: &Program<'_>, source| {
        let mut functions = program.functions().iter();
        functions.all(|function| function.source == source)
    };
    assert!(sources(&program, Source::FunctionStarts));
    assert!(sources(&truth, Source::Symbol));
    assert!(!truth.info().stripped);
    let names: Vec<String> = truth.functions().iter().map(|f| f.display_name()).collect();
    assert_eq!(names, ["helper", "report", "pick", "hash", "main"]);
    let sizes: Vec<u64> = truth.functions().iter().map(|f| f.size).collect();
    assert_eq!(sizes, [17, 39, 148, 91, 55]);
    assert_eq!(functions(&program), functions(&truth));
}

/// Imports by the loader's opcodes; what is exported keeps its name.
#[test]
fn stripped_library() {
    let bytes = fixture("small.dylib");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().kind, BinaryKind::SharedObject);
    assert!(program.info().stripped);
    let names: Vec<String> = program
        .functions()
        .iter()
        .map(|f| f.display_name())
        .collect();
    assert_eq!(names, ["sub_620", "report", "pick", "hash", "main"]);
    let report = program.find("report").unwrap();
    assert_eq!(report.source, Source::DynamicSymbol);
    let facts = program.listing(report).facts;
    assert_eq!(facts.calls[0].name, "fprintf");
    assert_eq!(facts.strings, ["value: %s\n"]);
    let text = program.listing(report).into_text();
    assert!(text.contains("mov     rax, cs:__stderrp_ptr"), "{text}");
}

/// Before linking: names come from relocations.
#[test]
fn object_file() {
    check("small-macho.o", "pick", PICK);
    let bytes = fixture("small-macho.o");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().kind, BinaryKind::Relocatable);
    let twin = fixture("small-symbols.macho");
    let twin = Program::parse(&twin).unwrap();
    let sizes = |program: &Program<'_>| functions(program).into_values().collect::<Vec<_>>();
    assert_eq!(sizes(&program), sizes(&twin));
}

/// Kernel extensions have no stubs: relocations lead their calls out. There is
/// no linker for one at hand, so that this one is an object file in disguise.
#[test]
fn kernel_extension() {
    let mut bytes = fixture("small-macho.o");
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    // The first section header follows the header and the segment's.
    let relocations = 32 + 72 + 56..32 + 72 + 64;
    let relocations: [u8; 8] = bytes[relocations].try_into().unwrap();
    let mut command = 32;
    while word(&bytes, command) != 0xb {
        command += word(&bytes, command + 4) as usize;
    }
    bytes[command + 64..command + 72].copy_from_slice(&relocations);
    bytes[12] = 0xb;
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().kind, BinaryKind::SharedObject);
    let text = program.listing(program.find("report").unwrap()).into_text();
    assert!(text.contains("call    fprintf"), "{text}");
}

/// The part for x86-64 is read; it was linked by a linker that lists no starts.
#[test]
fn universal_file() {
    let mut bytes = fixture("small.universal");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().kind, BinaryKind::Executable);
    let sizes: Vec<u64> = functions(&program).into_values().collect();
    assert_eq!(sizes, [17, 39, 148, 91, 55]);
    let text = program.listing(program.find("report").unwrap()).into_text();
    assert!(text.contains("call    _fprintf"), "{text}");
    // The second processor becomes PowerPC.
    bytes[28..32].copy_from_slice(&[0, 0, 0, 18]);
    let error = Program::parse(&bytes).err().unwrap();
    let Error::UnsupportedArchitecture {
        format,
        architecture,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (format, architecture.as_str()),
        (Format::MachO, "AArch64 and PowerPC")
    );
}

#[test]
fn members_are_programs() {
    let bytes = fixture("libsmall.a");
    let found = members(&bytes).unwrap();
    let names: Vec<&str> = found.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["small.o", "case-study.o"]);
    for member in &found {
        assert_eq!(member.bytes, fixture(&member.name));
        assert!(Program::parse(member.bytes).is_ok());
    }
    assert_eq!(
        Program::parse(&bytes).err().map(|e| e.to_string()).unwrap(),
        "an archive with 2 members: name one of them as FILE:MEMBER"
    );
}

const MAIN: &str = r#"
push    rbp
mov     rbp, rsp
cmp     edi, 1
jg      short INSTR10
lea     rdi, aUsageSmallNUMB; "usage: small NUMBER"
call    _puts
mov     eax, 1
pop     rbp
retn
mov     rdi, [rsi+8]
call    _atoi
mov     edi, eax
call    sub_1000006D0
and     eax, 7
mov     edi, eax
pop     rbp
jmp     sub_100000620"#;

const REPORT: &str = r#"
push    rbp
mov     rbp, rsp
mov     rdx, rdi
mov     rax, cs:__stderrp_ptr
mov     rdi, [rax]
lea     rsi, aValueS; "value: %s\n"
xor     eax, eax
call    _fprintf
inc     cs:dword_100003008
pop     rbp
retn"#;

const PICK: &str = r#"
push    rbp
mov     rbp, rsp
cmp     edi, 5
ja      short INSTR40
mov     eax, edi
lea     rcx, unk_E4
movsxd  rax, dword ptr [rcx+rax*4]
add     rax, rcx
jmp     rax
mov     eax, 5
pop     rbp
retn
mov     eax, 4Dh
pop     rbp
retn
mov     edi, 2
mov     esi, 4
pop     rbp
jmp     helper
lea     rdi, aX; "x"
call    report
mov     eax, 9
pop     rbp
retn
movsxd  rax, cs:counter
imul    rcx, rax, 55555556h
mov     rdx, rcx
shr     rdx, 3Fh
shr     rcx, 20h
add     ecx, edx
lea     ecx, [rcx+rcx*2]
sub     eax, ecx
cdqe
lea     rcx, names.rel
movsxd  rdi, dword ptr [rcx+rax*4]
add     rdi, rcx
call    strlen
pop     rbp
retn
mov     rax, cs:callback
mov     esi, edi
pop     rbp
jmp     rax
call    abort"#;
