//! macOS programs, libraries and object files, and archives.

use std::collections::BTreeMap;

use binscribe_lift::{Arch, BinaryKind, Error, Format, Program, Source, is_archive, members};

use crate::{check, fixture};

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

/// The part for x86-64 is read where none is named; it was linked by a linker
/// that lists no starts.
#[test]
fn universal_file() {
    let mut bytes = fixture("small.universal");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().kind, BinaryKind::Executable);
    let sizes: Vec<u64> = functions(&program).into_values().collect();
    assert_eq!(sizes, [17, 39, 148, 91, 55]);
    let text = program.listing(program.find("report").unwrap()).into_text();
    assert!(text.contains("call    _fprintf"), "{text}");
    // The second processor becomes PowerPC, then the first one 32-bit ARM.
    bytes[28..32].copy_from_slice(&[0, 0, 0, 18]);
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().arch, Arch::Aarch64);
    bytes[8..12].copy_from_slice(&[0, 0, 0, 12]);
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
        (Format::MachO, "32-bit ARM and PowerPC")
    );
}

/// Its parts are members, and so are those of the libraries in it.
#[test]
fn parts_of_a_universal_file_are_members() {
    let names = |bytes: &[u8]| -> Vec<String> {
        members(bytes)
            .unwrap()
            .into_iter()
            .map(|m| m.name)
            .collect()
    };
    let bytes = fixture("small.universal");
    assert!(!is_archive(&bytes));
    let parts = members(&bytes).unwrap();
    let arches: Vec<_> = parts
        .iter()
        .map(|part| {
            (
                part.name.as_str(),
                Program::parse(part.bytes).unwrap().info().arch,
            )
        })
        .collect();
    assert_eq!(arches, [("x86_64", Arch::X86_64), ("arm64", Arch::Aarch64)]);
    let library = fixture("libsmall.a");
    let mut universal = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
    let size = library.len() as u32;
    for (cpu, at) in [(0x0100_000c, 48), (0x0100_0007, 48 + size)] {
        for word in [cpu, 2, at, size, 0] {
            universal.extend(u32::to_be_bytes(word));
        }
    }
    universal.extend(library.iter().chain(&library));
    assert!(is_archive(&universal));
    assert_eq!(
        names(&universal),
        [
            "small.o",
            "case-study.o",
            "arm64e:small.o",
            "arm64e:case-study.o"
        ]
    );
}

/// Stubs, chained fixups and addresses that the linker made near.
#[test]
fn stripped_program_for_aarch64() {
    check("small-arm64.macho", "main", MAIN_ARM64);
    check("small-arm64.macho", "sub_1000005A0", REPORT_ARM64);
    let bytes = fixture("small-arm64.macho");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().arch, Arch::Aarch64);
    let twin = fixture("small.universal");
    let object = members(&twin).unwrap()[1].bytes;
    let twin = Program::parse(object).unwrap();
    let sizes = |program: &Program<'_>| functions(program).into_values().collect::<Vec<_>>();
    assert_eq!(sizes(&program), [16, 72, 192, 108, 64]);
    assert_eq!(sizes(&program), sizes(&twin));
    assert_eq!(program.diagnostics(), []);
}

/// Before linking: names come from relocations in instructions.
#[test]
fn object_file_for_aarch64() {
    let bytes = fixture("small.universal");
    let object = members(&bytes).unwrap()[1].bytes;
    let program = Program::parse(object).unwrap();
    assert_eq!(program.info().kind, BinaryKind::Relocatable);
    let text = program.listing(program.find("report").unwrap()).into_text();
    for line in [
        "ADRP            X8, #__stderrp_ptr@PAGE",
        "LDR             X8, [X8,#__stderrp_ptr@PAGEOFF]",
        "ADD             X1, X1, #aValueS@PAGEOFF; \"value: %s\\n\"",
        "LDR             W9, [X8,#counter@PAGEOFF]",
        "BL              fprintf",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

/// Methods keep their names, in lists of distances and in lists of pointers.
#[test]
fn methods_of_objective_c() {
    for name in ["objc_relative.dylib", "no_objc_relative.dylib"] {
        let bytes = fixture(name);
        let program = Program::parse(&bytes).unwrap();
        assert!(program.info().stripped);
        let functions = program.functions().iter();
        let names: Vec<String> = functions.map(|f| f.display_name()).collect();
        assert_eq!(
            names,
            [
                "+[Counter_limit]",
                "-[Counter_add:to:]",
                "-[Counter(Extra)_twice:]"
            ],
            "{name}"
        );
    }
}

/// Where the load command `kind` is.
fn command(bytes: &[u8], kind: u32) -> usize {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut at = 32;
    while word(at) != kind {
        at += word(at + 4) as usize;
    }
    at
}

/// Without the list of starts there is the table that exceptions are unwound
/// by, and what that leaves out is called.
#[test]
fn unwind_table_instead_of_function_starts() {
    const FUNCTION_STARTS: u32 = 0x26;
    for name in ["small.macho", "small-arm64.macho"] {
        let mut bytes = fixture(name);
        let expected = functions(&Program::parse(&bytes).unwrap());
        let at = command(&bytes, FUNCTION_STARTS);
        bytes[at + 12..at + 16].fill(0);
        let program = Program::parse(&bytes).unwrap();
        assert_eq!(functions(&program), expected, "{name}");
        let mut functions = program.functions().iter();
        assert!(functions.any(|f| f.source == Source::CompactUnwind));
    }
}

/// The pointers of arm64e are laid out differently, and some are signed. There is
/// no linker for them at hand, so that a program for arm64 gets them here.
#[test]
fn pointers_of_arm64e() {
    const CHAINED_FIXUPS: u32 = 0x8000_0034;
    const USERLAND24: u16 = 12;
    let mut bytes = fixture("small-arm64.macho");
    let (main, report) = {
        let program = Program::parse(&bytes).unwrap();
        let text = |name| program.listing(program.find(name).unwrap()).into_text();
        (text("main"), text("sub_1000005A0"))
    };
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let fixups = word(&bytes, command(&bytes, CHAINED_FIXUPS) + 8) as usize;
    // The third segment has the only chain: its header is followed by it.
    let starts = fixups + word(&bytes, fixups + 4) as usize;
    let segment = starts + word(&bytes, starts + 4 + 4 * 2) as usize;
    bytes[segment + 6..segment + 8].copy_from_slice(&USERLAND24.to_le_bytes());
    let mut at = 0x4000;
    loop {
        let old = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (next, bind) = (old >> 51 & 0xfff, old >> 63);
        // Every second one is signed.
        let signed = (at as u64 / 8) & 1;
        let target = if bind == 1 {
            old & 0xff_ffff
        } else {
            old & 0xffff_ffff
        };
        let diversity = (signed * 0xbeef) << 32;
        let new = target | diversity | (next / 2) << 51 | bind << 62 | signed << 63;
        bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
        if next == 0 {
            break;
        }
        at += 4 * next as usize;
    }
    bytes[8] = 2;
    let program = Program::parse(&bytes).unwrap();
    let text = |name| program.listing(program.find(name).unwrap()).into_text();
    assert_eq!((text("main"), text("sub_1000005A0")), (main, report));
    // A signed pointer to a string.
    let pick = program.listing(program.find("sub_1000005E8").unwrap());
    assert!(
        pick.text().contains("LDR             X2, off_100004050"),
        "{}",
        pick.text()
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

const MAIN_ARM64: &str = r#"
STP             X29, X30, [SP,#-0x10+var_10]!
MOV             X29, SP
CMP             W0, #1
B.GT            INSTR11
ADR             X0, aUsageSmallNUMB; "usage: small NUMBER"
NOP
BL              _puts
MOV             W0, #1
LDP             X29, X30, [SP+0x10+var_10],#0x10
RET
LDR             X0, [X1,#8]
BL              _atoi
BL              sub_1000006A8
AND             W0, W0, #7
LDP             X29, X30, [SP+0x10+var_10],#0x10
B               sub_1000005E8"#;

const REPORT_ARM64: &str = r#"
SUB             SP, SP, #0x20
STP             X29, X30, [SP,#0x20+var_10]
ADD             X29, SP, #0x10
NOP
LDR             X8, __stderrp_ptr
LDR             X8, [X8]
STR             X0, [SP,#0x20+var_20]
ADR             X1, aValueS; "value: %s\n"
NOP
MOV             X0, X8
BL              _fprintf
ADRP            X8, #qword_100004058@PAGE
LDR             W9, [X8,#qword_100004058@PAGEOFF]
ADD             W9, W9, #1
STR             W9, [X8,#qword_100004058@PAGEOFF]
LDP             X29, X30, [SP,#0x20+var_10]
ADD             SP, SP, #0x20
RET"#;
