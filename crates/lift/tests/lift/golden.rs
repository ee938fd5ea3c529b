//! Listings, line by line.

use binscribe_lift::{BinaryKind, Call, Kind, Program};

use crate::{check, fixture};

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

/// What IDA shows for the 32-bit function of CLAP's case study, 192 lines. 130
/// are the same. The others have what IDA takes from Microsoft's headers: what
/// arguments are for, as comments, and names and types of variables on the
/// stack, here the places that the fixture gives them; and once it shows a
/// number as a letter too.
#[test]
fn malware_is_that_of_ida_but_for_types() {
    let variables = [
        ("+pbmi.bmiHeader.biSize]", "+var_44]"),
        ("+pbmi.bmiHeader.biWidth]", "+var_40]"),
        ("+pbmi.bmiHeader.biHeight]", "+var_3C]"),
        ("+pbmi.bmiHeader.biPlanes]", "+var_38]"),
        ("+pbmi.bmiHeader.biBitCount]", "+var_36]"),
        ("+pbmi.bmiHeader.biCompression]", "+var_34]"),
        ("+pbmi.bmiHeader.biSizeImage]", "+var_30]"),
        ("+pbmi.bmiHeader.biXPelsPerMeter]", "+var_2C]"),
        ("+pbmi.bmiHeader.biYPelsPerMeter]", "+var_28]"),
        ("+pbmi.bmiHeader.biClrUsed]", "+var_24]"),
        ("+pbmi.bmiHeader.biClrImportant]", "+var_20]"),
        ("dword ptr [ebp+pbmi.bmiColors.rgbBlue]", "[ebp+var_1C]"),
        ("+pbmi]", "+var_44]"),
        ("+Rect.right]", "+var_10]"),
        ("+Rect.left]", "+var_18]"),
        ("+Rect.bottom]", "+var_C]"),
        ("+Rect.top]", "+var_14]"),
        ("+Rect]", "+var_18]"),
        ("+ppvBits]", "+var_78]"),
        ("+nSavedDC]", "+var_9C]"),
        ("+cy]", "+var_8C]"),
        ("+h]", "+var_94]"),
    ];
    let mut same = 0;
    let untyped: Vec<String> = MALWARE
        .trim_start()
        .lines()
        .map(|line| {
            let mut text = line.to_owned();
            for (ida, ours) in variables {
                text = text.replace(ida, ours);
            }
            // ` ; DeleteDC` is what a register holds.
            if let Some((code, comment)) = text.split_once(';')
                && (!code.ends_with(' ') || comment == " '('")
            {
                text = code.trim_end().to_owned();
            }
            same += usize::from(text == line);
            text
        })
        .collect();
    assert_eq!((untyped.len(), same), (192, 130));
    check("case-study-x86.dll", "sub_10001090", &untyped.join("\n"));
    let bytes = fixture("case-study-x86.dll");
    let program = Program::parse(&bytes).unwrap();
    let malware = program.listing(program.find("sub_10001090").unwrap());
    let deletes = malware.facts.calls.iter().filter(|c| c.name == "DeleteDC");
    assert!(deletes.eq([&Call {
        name: "DeleteDC".into(),
        address: None,
        import: true,
    }]));
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

const MALWARE: &str = r#"
push    ebp
mov     ebp, esp
sub     esp, 0B8h
mov     eax, ___security_cookie
xor     eax, ebp
mov     [ebp+var_8], eax
mov     eax, [ebp+arg_0]
push    ebx
push    esi
push    edi
xor     edi, edi
push    edi
lea     ecx, [ebp+var_B0]
push    ecx
lea     edx, [ebp+var_90]
push    edx
mov     [ebp+var_98], eax
mov     [ebp+var_A0], 14h
mov     [ebp+var_B0], 1
mov     [ebp+var_AC], edi
mov     [ebp+var_A8], edi
mov     [ebp+var_A4], edi
call    ds:GdiplusStartup
mov     [ebp+var_88], 452DFA4Ah
mov     [ebp+var_84], 0B35DDD9Ch
mov     [ebp+var_80], 0EBE70551h
call    ds:GetDesktopWindow
lea     edx, [ebp+Rect]
mov     esi, eax
push    edx; lpRect
push    esi; hWnd
call    ds:GetWindowRect
push    esi; hWnd
call    ds:GetWindowDC
mov     esi, eax
mov     eax, [ebp+Rect.right]
sub     eax, [ebp+Rect.left]
push    0Ch; index
mov     [ebp+var_7C], eax
mov     eax, [ebp+Rect.bottom]
sub     eax, [ebp+Rect.top]
push    esi; hdc
mov     [ebp+cy], eax
call    ds:GetDeviceCaps
push    esi; hdc
mov     [ebp+h], eax
call    ds:CreateCompatibleDC
mov     ecx, [ebp+cy]
push    edi; offset
neg     ecx
push    edi; hSection
mov     [ebp+pbmi.bmiHeader.biHeight], ecx
lea     ecx, [ebp+ppvBits]
push    ecx; ppvBits
mov     edx, 1
push    edx; usage
mov     ebx, eax
mov     eax, [ebp+var_7C]
mov     [ebp+pbmi.bmiHeader.biPlanes], dx
lea     edx, [ebp+pbmi]
mov     [ebp+pbmi.bmiHeader.biWidth], eax
mov     ax, word ptr [ebp+h]
push    edx; pbmi
push    esi; hdc
mov     [ebp+pbmi.bmiHeader.biSize], 28h ; '('
mov     [ebp+pbmi.bmiHeader.biBitCount], ax
mov     [ebp+pbmi.bmiHeader.biCompression], edi
mov     [ebp+pbmi.bmiHeader.biSizeImage], edi
mov     [ebp+pbmi.bmiHeader.biXPelsPerMeter], edi
mov     [ebp+pbmi.bmiHeader.biYPelsPerMeter], edi
mov     [ebp+pbmi.bmiHeader.biClrUsed], edi
mov     [ebp+pbmi.bmiHeader.biClrImportant], edi
mov     dword ptr [ebp+pbmi.bmiColors.rgbBlue], edi
call    ds:CreateDIBSection
mov     [ebp+h], eax
push    ebx; hdc
cmp     eax, edi
jnz     short INSTR96
mov     edi, ds:DeleteDC
call    edi ; DeleteDC
push    esi; hdc
call    edi ; DeleteDC
mov     eax, [ebp+var_90]
push    eax
call    ds:GdiplusShutdown
xor     eax, eax
pop     edi
pop     esi
pop     ebx
mov     ecx, [ebp+var_8]
xor     ecx, ebp; StackCookie
call    __security_check_cookie
mov     esp, ebp
pop     ebp
retn
call    ds:SaveDC
mov     ecx, [ebp+h]
push    ecx; h
push    ebx; hdc
mov     [ebp+nSavedDC], eax
call    ds:SelectObject
mov     edx, [ebp+cy]
mov     eax, [ebp+var_7C]
push    0CC0020h; rop
push    edi; y1
push    edi; x1
push    esi; hdcSrc
push    edx; cy
push    eax; cx
push    edi; y
push    edi; x
push    ebx; hdc
call    ds:BitBlt
mov     ecx, [ebp+nSavedDC]
push    ecx; nSavedDC
push    ebx; hdc
call    ds:RestoreDC
push    ebx; hdc
mov     ebx, ds:DeleteDC
call    ebx ; DeleteDC
push    esi; hdc
call    ebx ; DeleteDC
push    10h
call    ds:GdipAlloc
mov     esi, eax
cmp     esi, edi
jz      short INSTR140
mov     eax, [ebp+h]
lea     edx, [ebp+var_7C]
push    edx
push    edi
push    eax
mov     dword ptr [esi], offset Gdiplus::Bitmap::`vftable'
mov     [ebp+var_7C], edi
call    ds:GdipCreateBitmapFromHBITMAP
mov     ecx, [ebp+var_7C]
mov     [esi+8], eax
mov     [esi+4], ecx
jmp     short INSTR141
xor     esi, esi
mov     edx, [ebp+var_88]
mov     ecx, [ebp+var_80]
mov     eax, 1D5BE4B5h
mov     [ebp+var_70], eax
mov     eax, [ebp+var_84]
mov     [ebp+var_68], eax
mov     [ebp+var_6C], edx
lea     eax, [ebp+var_54]
mov     ebx, 1
lea     edx, [ebp+var_A0]
push    eax
mov     [ebp+var_74], ebx
mov     [ebp+var_60], ebx
mov     [ebp+var_64], ecx
mov     [ebp+var_5C], 4
mov     [ebp+var_58], edx
call    sub_10001080
mov     eax, [ebp+var_98]
add     esp, 4
lea     ecx, [ebp+var_74]
push    ecx
mov     ecx, [esi+4]
lea     edx, [ebp+var_54]
push    edx
push    eax
push    ecx
call    ds:GdipSaveImageToFile
cmp     eax, edi
jz      short INSTR172
mov     [esi+8], eax
mov     edi, eax
mov     edx, [esi]
mov     eax, [edx]
push    ebx
mov     ecx, esi
call    eax
mov     ecx, [ebp+h]
push    ecx; ho
call    ds:DeleteObject
mov     edx, [ebp+var_90]
push    edx
call    ds:GdiplusShutdown
mov     ecx, [ebp+var_8]
mov     eax, edi
pop     edi
pop     esi
xor     ecx, ebp; StackCookie
pop     ebx
call    __security_check_cookie
mov     esp, ebp
pop     ebp
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
mov     eax, 811C9DC5h; FNV-1 offset
xchg    ax, ax
add     rcx, 1
xor     eax, edx
movzx   edx, byte ptr [rcx-1]
imul    eax, 1000193h; FNV-1 prime
test    dl, dl
jnz     short INSTR14
add     rsp, 28h
retn
nop     dword ptr [rax]
mov     eax, 811C9DC5h; FNV-1 offset
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
