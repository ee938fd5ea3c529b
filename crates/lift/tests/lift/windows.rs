//! PE files and COFF object files.

use std::collections::BTreeSet;

use binscribe_lift::{BinaryKind, Format, Kind, Program, Source};

use crate::{check, fixture};

/// Where the program has its code, which in the object file begins at 0.
const TEXT: u64 = 0x1_4000_1000;

/// The symbols of the object file that the program was linked from are the
/// truth about it. One function is in no table but that of Control Flow Guard,
/// one is called by the loader, and the stubs for imports are none.
#[test]
fn stripped_program_has_the_functions_of_its_object_file() {
    let object = fixture("windows.obj");
    let object = Program::parse(&object).unwrap();
    let stripped = fixture("windows.exe");
    let stripped = Program::parse(&stripped).unwrap();
    let truth: BTreeSet<(u64, u64)> = object
        .functions()
        .iter()
        .map(|f| (f.address + TEXT, f.size))
        .collect();
    let found: BTreeSet<(u64, u64)> = stripped
        .functions()
        .iter()
        .map(|f| (f.address, f.size))
        .collect();
    assert_eq!(truth.len(), 10);
    assert_eq!(found, truth);
    assert!(
        object
            .functions()
            .iter()
            .all(|f| f.source == Source::Symbol)
    );
    let source = |name: &str| {
        let address = object.find(name).unwrap().address + TEXT;
        stripped.find(&format!("0x{address:x}")).unwrap().source
    };
    assert_eq!(source("pick"), Source::ExceptionTable);
    assert_eq!(source("multiply"), Source::CallTarget);
    assert_eq!(source("guarded"), Source::EntryPoint);
    assert_eq!(source("on_thread"), Source::EntryPoint);
}

#[test]
fn files_say_what_they_are() {
    let bytes = fixture("windows.exe");
    let program = Program::parse(&bytes).unwrap();
    let info = program.info();
    assert_eq!(
        (info.format, info.kind),
        (Format::Pe, BinaryKind::Executable)
    );
    assert_eq!(info.image_base, 0x1_4000_0000);
    assert_eq!(info.entry, Some(0x1_4000_1200));
    assert!(info.stripped);
    assert_eq!(program.diagnostics(), []);

    let bytes = fixture("library.dll");
    let program = Program::parse(&bytes).unwrap();
    let info = program.info();
    assert_eq!(
        (info.format, info.kind),
        (Format::Pe, BinaryKind::SharedObject)
    );

    let bytes = fixture("windows.obj");
    let program = Program::parse(&bytes).unwrap();
    let info = program.info();
    assert_eq!(
        (info.format, info.kind),
        (Format::Coff, BinaryKind::Relocatable)
    );
    assert!(!info.stripped);
    assert_eq!(program.diagnostics(), []);
}

/// Imports by slot, imported data, a wide string, a stub for an import that
/// has only a number.
#[test]
fn imports_and_wide_strings_have_the_names_of_ida() {
    check("windows.exe", "sub_140001090", OPEN_LOG);
    check("windows.exe", "sub_1400010F0", PICK);
    let bytes = fixture("windows.exe");
    let program = Program::parse(&bytes).unwrap();
    let facts = program
        .listing(program.find("sub_140001090").unwrap())
        .facts;
    let calls: Vec<(&str, bool)> = facts
        .calls
        .iter()
        .map(|c| (c.name.as_str(), c.import))
        .collect();
    assert_eq!(calls, [("CreateFileW", true), ("sub_140001040", false)]);
    assert_eq!(
        facts.strings,
        ["C:\\logs\\service.log", "cannot open the log\n"]
    );
}

#[test]
fn part_that_only_the_unwind_table_knows_comes_last() {
    check("windows.exe", "sub_140001000", SPLIT);
    let bytes = fixture("windows.exe");
    let program = Program::parse(&bytes).unwrap();
    let split = program.find("sub_140001000").unwrap();
    assert_eq!(
        split.ranges,
        [0x1_4000_1000..0x1_4000_100d, 0x1_4000_1020..0x1_4000_102e]
    );
    assert_eq!(program.find("0x140001024"), Some(split));
}

#[test]
fn library_has_its_exports() {
    let bytes = fixture("library.dll");
    let program = Program::parse(&bytes).unwrap();
    let names: Vec<(String, Source)> = program
        .functions()
        .iter()
        .map(|f| (f.display_name(), f.source))
        .collect();
    let names: Vec<(&str, Source)> = names.iter().map(|(n, s)| (n.as_str(), *s)).collect();
    assert_eq!(
        names,
        [
            ("shared_add", Source::DynamicSymbol),
            ("sub_180001010", Source::ExceptionTable),
            ("sub_180001030", Source::EntryPoint),
            ("sub_180001050", Source::Reference),
        ]
    );
    check("library.dll", "shared_add", SHARED_ADD);
    check("library.dll", "sub_180001010", BY_NUMBER);
}

#[test]
fn object_file_has_names_from_relocations() {
    check("windows.obj", "open_log", OBJECT_OPEN_LOG);
    check("windows.obj", "multiply", OBJECT_MULTIPLY);
    check("windows.obj", "on_thread", OBJECT_ON_THREAD);
    let bytes = fixture("windows.obj");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.find("split").unwrap().ranges.len(), 2);
    assert!(program.functions().iter().all(|f| f.kind == Kind::Normal));
}

/// The starts of functions of a program, as its object file has them, and as it
/// has them itself.
fn starts(program: &str, object: &str, text: u64) -> [BTreeSet<(u64, u64)>; 2] {
    [(object, text), (program, 0)].map(|(name, base)| {
        let bytes = fixture(name);
        let program = Program::parse(&bytes).unwrap();
        assert_eq!(program.diagnostics(), []);
        let functions = program.functions().iter();
        functions.map(|f| (f.address + base, f.size)).collect()
    })
}

/// 32 bits: no table lists the functions, and nothing leads to one of them.
/// Arguments are on the stack, and addresses in the instructions.
#[test]
fn stripped_32_bit_program_has_the_functions_of_its_object_file() {
    let [truth, found] = starts("windows-x86.exe", "windows-x86.obj", 0x40_1000);
    let addresses = |list: BTreeSet<(u64, u64)>| -> Vec<u64> {
        list.into_iter().map(|(address, _)| address).collect()
    };
    assert_eq!(truth.len(), 11);
    assert_eq!(addresses(found), addresses(truth));
    check("windows-x86.exe", "sub_401050", X86_OPEN_LOG);
    check("windows-x86.obj", "_open_log", X86_OBJECT_OPEN_LOG);
    let bytes = fixture("windows-x86.exe");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.info().arch.id(), "x86");
    let source = |address: &str| program.find(address).unwrap().source;
    // Control Flow Guard, the list of handlers of exceptions, callbacks.
    for listed in ["0x401160", "0x401170", "0x401210"] {
        assert_eq!(source(listed), Source::EntryPoint, "{listed}");
    }
    assert_eq!(source("0x401000"), Source::CallTarget);
    let pick = program
        .listing(program.find("sub_401090").unwrap())
        .into_text();
    for line in [
        "jmp     ds:off_402064[ecx*4]",
        "push    offset aOne; \"one\\n\"",
        "call    library_12",
        "mov     ecx, ds:shared_counter",
        "call    ds:off_404000",
        "call    ds:ExitProcess",
    ] {
        assert!(pick.lines().any(|l| l == line), "{line} is not in\n{pick}");
    }
    // The compiler's padding behind a call that never comes back is no part.
    assert!(pick.ends_with("call    ds:ExitProcess"), "{pick}");
}

/// Functions of the system take their arguments off the stack, and so does one
/// of the program: what the stack pointer reaches afterwards has its name.
#[test]
fn stack_is_followed_over_calls_that_take_arguments_off() {
    check("stdcall.exe", "sub_401090", ADD);
    let bytes = fixture("stdcall.exe");
    let program = Program::parse(&bytes).unwrap();
    let text = program
        .listing(program.find("sub_401000").unwrap())
        .into_text();
    for line in [
        "mov     edi, [esp+20h+arg_8]",
        "push    [esp+eax*4+20h+var_20]",
        "mov     ebp, [esp+20h+arg_0]",
        "lea     ecx, [esp+24h+var_20]",
        "add     esi, [esp+20h+var_1C]",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

/// Names of C functions keep what 32-bit Windows puts around them; imports lose
/// it, as in a linked program.
#[test]
fn names_in_a_32_bit_object_file() {
    let bytes = fixture("windows-x86.obj");
    let program = Program::parse(&bytes).unwrap();
    assert!(program.find("_on_thread@12").is_some());
    let start = program.find("_mainCRTStartup").unwrap();
    let calls = program.listing(start).facts.calls;
    let calls: Vec<&str> = calls.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        calls,
        [
            "_hash",
            "_GetTickCount@0",
            "_open_log",
            "_split",
            "_pick",
            "_shared_add",
            "ExitProcess",
        ]
    );
}

/// AArch64: entries of 8 bytes for what has a frame, nothing for what has none,
/// and two parts of one function, one in the long form.
#[test]
fn stripped_aarch64_program_has_the_functions_of_its_object_file() {
    let [truth, found] = starts("windows-aarch64.exe", "windows-aarch64.obj", TEXT);
    assert_eq!(truth.len(), 10);
    assert_eq!(found, truth);
    check("windows-aarch64.exe", "sub_1400010B4", AARCH64_OPEN_LOG);
    let bytes = fixture("windows-aarch64.exe");
    let program = Program::parse(&bytes).unwrap();
    assert_eq!(program.find("sub_140001000").unwrap().ranges.len(), 3);
    let start = program.find("sub_140001238").unwrap();
    let calls = program.listing(start).facts.calls;
    let stub = calls.iter().find(|c| c.name == "GetTickCount").unwrap();
    assert!(stub.import);
    // Relocations of the object file are applied inside instructions.
    let bytes = fixture("windows-aarch64.obj");
    let object = Program::parse(&bytes).unwrap();
    let text = object.listing(object.find("open_log").unwrap()).into_text();
    let linked = AARCH64_OPEN_LOG.trim_start();
    assert_eq!(text, linked.replace("sub_140001050", "report"));
}

/// Procedures with their sizes, from the file that the linker wrote beside the
/// program.
#[test]
fn pdb_names_functions_and_data() {
    let (bytes, pdb) = (fixture("windows-x86-pdb.exe"), fixture("windows-x86.pdb"));
    let program = Program::parse_with_pdb(&bytes, &pdb).unwrap();
    assert_eq!(program.diagnostics(), []);
    let named = program
        .functions()
        .iter()
        .filter(|f| f.source == Source::Pdb);
    let named: Vec<(&str, u64)> = named
        .map(|f| (f.name.as_deref().unwrap_or_default(), f.size))
        .collect();
    assert_eq!(
        named,
        [
            ("multiply", 16),
            ("report", 60),
            ("open_log", 56),
            ("pick", 140),
            ("hash", 58),
            ("guarded", 15),
            ("handles", 12),
            ("split", 22),
            ("between", 6),
            ("mainCRTStartup", 86),
            ("on_thread", 23),
        ]
    );
    assert_eq!(program.functions().len(), named.len());
    let text = program
        .listing(program.find("multiply").unwrap())
        .into_text();
    assert!(text.contains("add     eax, _counter"), "{text}");
}

#[test]
fn pdb_of_another_build_is_refused() {
    let (bytes, pdb) = (fixture("windows-x86-pdb.exe"), fixture("windows-x86.pdb"));
    let error = |bytes: &[u8], pdb: &[u8]| {
        let program = Program::parse_with_pdb(bytes, pdb);
        program.unwrap_err().to_string()
    };
    let mut other = bytes.clone();
    let build = other.windows(4).position(|w| w == b"RSDS").unwrap();
    other[build + 20] ^= 6;
    let message = error(&other, &pdb);
    assert!(
        message.starts_with("a PDB of another build: it is ") && message.ends_with(" age 7"),
        "{message}"
    );
    assert_eq!(
        error(&fixture("case-study-x86.dll"), &pdb),
        "a PE file that names no PDB"
    );
    assert_eq!(
        error(&fixture("small"), &pdb),
        "an ELF file, which takes no names from a PDB"
    );
    assert_eq!(
        error(&bytes, &bytes),
        "not a PDB file of Visual C++ 7.0 or later"
    );
    assert_eq!(
        error(&bytes, &pdb[..5000]),
        "a malformed PDB file: its directory lies outside the file"
    );
}

/// Import libraries have entries without code, and some objects beside them.
#[test]
fn entries_of_an_import_library_are_passed_by() {
    let bytes = fixture("library-x86.lib");
    let members = binscribe_lift::members(&bytes).unwrap();
    assert_eq!(members.len(), 3);
    for member in members {
        let error = Program::parse(member.bytes).unwrap_err().to_string();
        assert_eq!(error, "a COFF object file without code");
    }
}

fn error(bytes: &[u8]) -> String {
    Program::parse(bytes).unwrap_err().to_string()
}

/// Where the file header of a PE file starts.
fn header(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize + 4
}

#[test]
fn errors_name_what_is_wrong() {
    let program = fixture("windows.exe");
    let header = header(&program);
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = program.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        error(&bytes)
    };
    let other = changed(header, &[0xc4, 0x01]);
    assert!(
        other.starts_with("a PE file for 32-bit ARM, which "),
        "{other}"
    );
    assert_eq!(
        changed(header, &[0x4c, 0x01]),
        "a malformed PE file: its optional header is not that of a 32-bit program"
    );
    assert_eq!(
        changed(header - 4, b"NE"),
        "not an ELF, PE or Mach-O file: it looks like a DOS program without a PE header"
    );
    assert_eq!(
        changed(header + 20, &[0x07, 0x01]),
        "a malformed PE file: its optional header is not that of a 64-bit program"
    );
    assert_eq!(
        error(&program[..1000]),
        "a truncated PE file: a section ends at byte 2048, the file at byte 1000"
    );
    assert_eq!(
        error(&program[..100]),
        format!("a truncated PE file: the PE header ends at byte {header}, the file at byte 100")
    );

    let mut object = fixture("windows.obj");
    object[..2].copy_from_slice(&[0x64, 0x50]);
    let other = error(&object);
    assert!(
        other.starts_with("a COFF object file for RISC-V, which "),
        "{other}"
    );
    let mut import = vec![0, 0, 0xff, 0xff, 0, 0, 0x64, 0x86];
    import.extend([0; 24]);
    assert_eq!(
        error(&import),
        "a COFF object file, but an entry of an import library and not an executable, \
         a library or an object file"
    );
}

/// A large object file has wider numbers of sections and nothing else.
#[test]
fn large_object_file_is_read_like_a_small_one() {
    let small = fixture("windows.obj");
    let number = |at: usize, size: usize| {
        let mut raw = [0; 4];
        raw[..size].copy_from_slice(&small[at..at + size]);
        u32::from_le_bytes(raw)
    };
    let (sections, table, symbols) = (number(2, 2), number(8, 4), number(12, 4));
    let grown = 56 - 20;
    let mut large = vec![0, 0, 0xff, 0xff, 2, 0, 0x64, 0x86, 0, 0, 0, 0];
    large.extend([
        0xc7, 0xa1, 0xba, 0xd1, 0xee, 0xba, 0xa9, 0x4b, 0xaf, 0x20, 0xfa, 0xf6, 0x6a, 0xa4, 0xdc,
        0xb8,
    ]);
    large.extend([0; 16]);
    for field in [sections, table + grown, symbols] {
        large.extend(field.to_le_bytes());
    }
    large.extend(&small[20..table as usize]);
    for section in 0..sections as usize {
        for field in [20, 24] {
            let at = 56 + 40 * section + field;
            let old = u32::from_le_bytes(large[at..at + 4].try_into().unwrap());
            if old != 0 {
                large[at..at + 4].copy_from_slice(&(old + grown).to_le_bytes());
            }
        }
    }
    let mut rest = &small[table as usize..];
    for _ in 0..symbols {
        let (symbol, after) = rest.split_at(18);
        rest = after;
        large.extend(&symbol[..14]);
        let sign = if symbol[13] & 0x80 != 0 { 0xff } else { 0 };
        large.extend([sign, sign]);
        large.extend(&symbol[14..]);
    }
    large.extend(rest);
    let small = Program::parse(&small).unwrap();
    let large = Program::parse(&large).unwrap();
    assert_eq!(large.functions(), small.functions());
    for function in small.functions() {
        assert_eq!(large.listing(function), small.listing(function));
    }
}

#[test]
fn unwind_information_that_continues_itself_ends() {
    let mut bytes = fixture("windows.exe");
    let program = Program::parse(&bytes).unwrap();
    let whole = program.functions().len();
    drop(program);
    // The part of `split` continues itself.
    let chained = bytes
        .windows(8)
        .position(|w| w[..4] == [0x21, 0, 0, 0] && w[4..] == [0, 0x10, 0, 0])
        .unwrap();
    let mut entry = [0x1020u32.to_le_bytes(), 0x102eu32.to_le_bytes(), [0; 4]].concat();
    let rdata = 0x2000 - 0x800;
    entry[8..].copy_from_slice(&(chained as u32 + rdata).to_le_bytes());
    bytes[chained + 4..chained + 16].copy_from_slice(&entry);
    let program = Program::parse(&bytes).unwrap();
    assert!(program.functions().len() <= whole);
    for pair in program.functions().windows(2) {
        assert!(pair[0].ranges[0].end <= pair[1].address);
    }
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// What MinGW leaves in a program that is not stripped: the symbols of its
/// object files behind the last section.
#[test]
fn symbols_of_a_linked_program_are_read() {
    let object = fixture("windows.obj");
    let table = u32::from_le_bytes(object[8..12].try_into().unwrap()) as usize;
    let mut bytes = fixture("windows.exe");
    let header = header(&bytes);
    let end = bytes.len() as u32;
    put(&mut bytes, header + 8, end);
    bytes[header + 12..header + 16].copy_from_slice(&object[12..16]);
    bytes.extend(&object[table..]);
    let program = Program::parse(&bytes).unwrap();
    assert!(!program.info().stripped);
    let object = Program::parse(&object).unwrap();
    let names = |program: &Program<'_>| -> Vec<(u64, String)> {
        let functions = program.functions().iter();
        functions
            .map(|f| (f.address & 0xfff, f.display_name()))
            .collect()
    };
    assert_eq!(names(&program), names(&object));
    let calls = program.listing(program.find("pick").unwrap()).facts.calls;
    let stub = calls.iter().find(|c| c.name == "library_12").unwrap();
    assert!(stub.import);
}

/// The imports of one library, told of in the other of the two tables.
#[test]
fn delayed_imports_are_imports() {
    let mut bytes = fixture("windows.exe");
    let header = header(&bytes);
    let directory = |index: usize| header + 20 + 112 + 8 * index;
    let rdata = |address: u32| (address - 0x2000 + 0x800) as usize;
    let number =
        |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    // The second descriptor is that of the kernel.
    let kernel = rdata(number(&bytes, directory(1))) + 20;
    let (names, library, slots) = (
        number(&bytes, kernel),
        number(&bytes, kernel + 12),
        number(&bytes, kernel + 16),
    );
    // `.rdata` is the second section; there is room behind its data.
    let sections = header + 20 + 240;
    put(&mut bytes, sections + 40 + 8, 0x400);
    let delayed = 0x2340;
    for (field, value) in [1, library, 0, slots, names].into_iter().enumerate() {
        put(&mut bytes, rdata(delayed) + 4 * field, value);
    }
    put(&mut bytes, directory(1), 0);
    put(&mut bytes, directory(13), delayed);
    let program = Program::parse(&bytes).unwrap();
    let text = |name: &str| program.listing(program.find(name).unwrap()).into_text();
    assert_eq!(text("sub_140001090"), OPEN_LOG.trim_start());
    assert!(text("sub_140001200").contains("call    GetTickCount"));
    assert!(!text("sub_1400010F0").contains("library_12"));
}

const OPEN_LOG: &str = r#"
push    rsi
sub     rsp, 40h
mov     [rsp+48h+var_18], 0
mov     [rsp+48h+var_20], 80h
mov     [rsp+48h+var_28], 4
lea     rcx, aCLogsServiceLo; "C:\\logs\\service.log"
mov     edx, 40000000h
mov     r8d, 1
xor     r9d, r9d
call    cs:CreateFileW
cmp     rax, 0FFFFFFFFFFFFFFFFh
jnz     short INSTR17
lea     rcx, aCannotOpenTheL; "cannot open the log\n"
mov     rsi, rax
call    sub_140001040
mov     rax, rsi
add     rsp, 40h
pop     rsi
retn"#;

const ADD: &str = r#"
push    edi
push    esi
mov     esi, [esp+8+arg_8]
mov     edi, [esp+8+arg_0]
push    edi
call    ds:Sleep
imul    esi, [esp+8+arg_4]
add     esi, edi
mov     eax, esi
pop     esi
pop     edi
retn    0Ch"#;

const X86_OPEN_LOG: &str = r#"
push    esi
push    0
push    80h
push    4
push    0
push    1
push    40000000h
push    offset aCLogsServiceLo; "C:\\logs\\service.log"
call    ds:CreateFileW
cmp     eax, 0FFFFFFFFh
jz      short INSTR14
pop     esi
retn
push    offset aCannotOpenTheL; "cannot open the log\n"
mov     esi, eax
call    sub_401010
mov     eax, esi
add     esp, 4
pop     esi
retn"#;

const X86_OBJECT_OPEN_LOG: &str = r#"
push    esi
push    0
push    80h
push    4
push    0
push    1
push    40000000h
push    offset aCLogsServiceLo; "C:\\logs\\service.log"
call    ds:CreateFileW
cmp     eax, 0FFFFFFFFh
jz      short INSTR14
pop     esi
retn
push    offset aCannotOpenTheL; "cannot open the log\n"
mov     esi, eax
call    _report
mov     eax, esi
add     esp, 4
pop     esi
retn"#;

const AARCH64_OPEN_LOG: &str = r#"
STR             X19, [SP,#-0x10+var_10]!
STR             X30, [SP,#0x10+var_8]
ADRP            X8, #CreateFileW_ptr@PAGE
ADRP            X0, #aCLogsServiceLo@PAGE
ADD             X0, X0, #aCLogsServiceLo@PAGEOFF; "C:\\logs\\service.log"
LDR             X8, [X8,#CreateFileW_ptr@PAGEOFF]
MOV             W1, #0x40000000
MOV             W2, #1
MOV             X3, XZR
MOV             W4, #4
MOV             W5, #0x80
MOV             X6, XZR
BLR             X8; CreateFileW
CMN             X0, #1
B.NE            INSTR22
ADRP            X8, #aCannotOpenTheL@PAGE
ADD             X8, X8, #aCannotOpenTheL@PAGEOFF; "cannot open the log\n"
MOV             X19, X0
MOV             X0, X8
BL              sub_140001050
MOV             X0, X19
LDR             X30, [SP,#0x10+var_8]
LDR             X19, [SP+0x10+var_10],#0x10
RET"#;

const PICK: &str = r#"
sub     rsp, 28h
cmp     ecx, 5
ja      INSTR43
mov     eax, ecx
lea     rcx, unk_1400020A8
movsxd  rax, dword ptr [rcx+rax*4]
add     rax, rcx
jmp     rax
mov     eax, 5
add     rsp, 28h
retn
mov     ecx, 5
call    library_12
mov     rcx, cs:shared_counter
add     eax, [rcx]
add     rsp, 28h
retn
mov     ecx, 2
mov     edx, 4
add     rsp, 28h
jmp     sub_140001030
lea     rcx, aOne; "one\n"
call    sub_140001040
mov     eax, 9
add     rsp, 28h
retn
movsxd  rax, cs:dword_140004008
imul    rcx, rax, 55555556h
mov     rdx, rcx
shr     rdx, 3Fh
shr     rcx, 20h
add     ecx, edx
lea     ecx, [rcx+rcx*2]
sub     eax, ecx
cdqe
lea     rdx, aL; "L"
movsxd  rcx, dword ptr [rdx+rax*4]
add     rcx, rdx
call    sub_140001040
mov     eax, 1
add     rsp, 28h
retn
mov     rax, cs:off_140004000
mov     edx, ecx
add     rsp, 28h
jmp     rax
mov     ecx, 3
call    cs:ExitProcess
int     3"#;

const SPLIT: &str = r#"
sub     rsp, 28h
test    ecx, ecx
js      short INSTR6
add     rsp, 28h
retn
lea     rcx, aNegative; "negative\n"
call    sub_140001040
jmp     short INSTR4"#;

const SHARED_ADD: &str = r#"
add     cs:shared_counter, ecx
lea     eax, [rdx+rcx]
retn"#;

const BY_NUMBER: &str = r#"
sub     rsp, 28h
call    cs:off_180004008
xor     eax, cs:shared_counter
add     rsp, 28h
retn"#;

const OBJECT_OPEN_LOG: &str = r#"
push    rsi
sub     rsp, 40h
mov     [rsp+48h+var_18], 0
mov     [rsp+48h+var_20], 80h
mov     [rsp+48h+var_28], 4
lea     rcx, aCLogsServiceLo; "C:\\logs\\service.log"
mov     edx, 40000000h
mov     r8d, 1
xor     r9d, r9d
call    cs:CreateFileW
cmp     rax, 0FFFFFFFFFFFFFFFFh
jnz     short INSTR17
lea     rcx, aCannotOpenTheL; "cannot open the log\n"
mov     rsi, rax
call    report
mov     rax, rsi
add     rsp, 40h
pop     rsi
retn"#;

const OBJECT_MULTIPLY: &str = r#"
mov     eax, ecx
imul    eax, edx
add     eax, cs:counter
retn"#;

const OBJECT_ON_THREAD: &str = r#"
cmp     edx, 1
jnz     short INSTR5
lea     rcx, aAttached; "attached\n"
jmp     report
retn"#;
