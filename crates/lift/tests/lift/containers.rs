//! Programs in packages, tar archives and compressed files, and what hostile
//! ones try.

use std::borrow::Cow;
use std::io::Cursor;

use binscribe_lift::{Contents, Error, Program, open};

use crate::build::{self, BLOCK, METHODS, ar, compress, deb, header, link, member, tar, zeros};
use crate::fixture;

fn contents(bytes: &[u8]) -> Contents {
    match open(bytes, None) {
        Err(Error::Container(contents)) => contents,
        other => panic!("{other:?}"),
    }
}

fn package() -> Vec<Vec<u8>> {
    vec![
        member("./usr/", b'5', b""),
        member("./usr/bin/small", b'0', &fixture("small")),
        member("./usr/bin/script", b'0', b"#!/bin/sh\n"),
        member("./usr/lib/libsmall.a", b'0', &fixture("libsmall.a")),
        link("./usr/lib/libsmall.so", b'2', "libsmall.so.1"),
        link("./usr/bin/hard", b'1', "./usr/bin/small"),
        link("./usr/bin/harder", b'1', "usr/bin/hard"),
    ]
}

#[test]
fn members_of_packages_and_tar_archives() {
    let (small, object) = (fixture("small"), fixture("small.o"));
    for method in METHODS {
        let tarball = compress(method, Cursor::new(tar(&package())));
        for (kind, file) in [
            ("a Debian package", deb(method, &package())),
            ("a tar archive", tarball),
        ] {
            let names = ["usr/bin/small", "usr/lib/libsmall.a"];
            let listed = contents(&file);
            assert_eq!(listed.kind, kind);
            assert_eq!(listed.programs, names, "{kind} {method}");
            assert_eq!((listed.count, listed.complete), (2, true));
            // As listed, as stored, and by hard links.
            for name in [
                "usr/bin/small",
                "./usr/bin/small",
                "/usr/bin/small",
                "usr/bin/hard",
                "usr/bin/harder",
            ] {
                let opened = open(&file, Some(name)).unwrap();
                assert_eq!(opened, small, "{kind} {method} {name}");
            }
            for name in ["usr/lib/libsmall.a:small.o", "usr/lib/libsmall.a(small.o)"] {
                assert_eq!(open(&file, Some(name)).unwrap(), object, "{name}");
            }
            let inner = match open(&file, Some("usr/lib/libsmall.a")) {
                Err(Error::Container(contents)) => contents,
                other => panic!("{other:?}"),
            };
            assert_eq!(inner.programs, ["small.o", "case-study.o"]);
            for (name, expected) in [
                (
                    "usr/bin/other",
                    "no member `usr/bin/other`: it has usr/bin/small, usr/lib/libsmall.a",
                ),
                (
                    "usr/lib/libsmall.a:other.o",
                    "no member `other.o`: it has small.o, case-study.o",
                ),
                (
                    "usr/lib/libsmall.so",
                    "a symbolic link to `libsmall.so.1`, which is not followed: name that file",
                ),
                ("usr/bin/small:x", "neither an archive nor a package"),
            ] {
                let error = open(&file, Some(name)).unwrap_err();
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}

#[test]
fn compressed_files_are_opened_as_they_are() {
    let small = fixture("small");
    for method in METHODS {
        let mut file = compress(method, Cursor::new(&small));
        assert_eq!(open(&file, None).unwrap(), small, "{method}");
        // Streams one after another are one file, as `cat a.gz b.gz` makes them;
        // what follows them is not looked at, as in images of kernels.
        if method.is_empty() {
            continue;
        }
        let (first, second) = small.split_at(1000);
        file = compress(method, first);
        file.extend(compress(method, second));
        file.extend(b"\x20\x31\0\0 appended");
        assert_eq!(open(&file, None).unwrap(), small, "{method}");
        let cut = &file[..file.len() / 2];
        assert!(
            matches!(open(cut, None), Err(Error::Damaged { .. })),
            "{method}"
        );
    }
    // No container at all: nothing is copied.
    assert!(matches!(open(&small, None), Ok(Cow::Borrowed(_))));
    // A compressed module in a package, and a compressed library.
    let module = compress("xz", Cursor::new(fixture("small.o")));
    let library = compress("gz", Cursor::new(fixture("libsmall.a")));
    let file = deb(
        "xz",
        &[
            member("lib/modules/x.ko.xz", b'0', &module),
            member("lib/libsmall.a.gz", b'0', &library),
        ],
    );
    assert_eq!(contents(&file).programs, ["lib/modules/x.ko.xz"]);
    assert_eq!(
        open(&file, Some("lib/modules/x.ko.xz")).unwrap(),
        fixture("small.o")
    );
    assert_eq!(
        open(&file, Some("lib/libsmall.a.gz:small.o")).unwrap(),
        fixture("small.o")
    );
}

/// Names of every way in which tar makes room for them.
#[test]
fn long_names_and_names_with_colons() {
    let long = format!("usr/{}/program", "d".repeat(200));
    let pax = format!("path={long}\n");
    let pax = format!("{} {pax}", pax.len() + 4);
    let mut prefixed = header("program", b'0', 3, "");
    prefixed[345..345 + 7].copy_from_slice(b"usr/pre");
    build::sum(&mut prefixed);
    let prefixed = [&prefixed[..], b"two", &[0; BLOCK - 3]].concat();
    for before in [
        [member(
            "././@LongLink",
            b'L',
            format!("{long}\0").as_bytes(),
        )]
        .concat(),
        [member("PaxHeaders/x", b'x', pax.as_bytes())].concat(),
    ] {
        let file = tar(&[
            before,
            member("usr/cut-off", b'0', b"one"),
            prefixed.clone(),
            member("a", b'0', &ar(&[("b:c/", b"in archive")])),
            member("a:b", b'0', &ar(&[("c/", b"in another")])),
            member("a:b:d", b'0', b"three"),
            member("with space", b'0', b"four"),
        ]);
        for (name, expected) in [
            (long.as_str(), &b"one"[..]),
            ("usr/pre/program", b"two"),
            // The longest name wins, as with files.
            ("a:b:c", b"in another"),
            ("a:b:d", b"three"),
            ("with space", b"four"),
            ("with_space", b"four"),
        ] {
            assert_eq!(open(&file, Some(name)).unwrap(), expected, "{name}");
        }
    }
}

/// What follows a file with holes, whose parts fill blocks of their own, and
/// other kinds of headers.
#[test]
fn other_kinds_of_members_are_passed_by() {
    let mut sparse = header("holes", b'S', 512, "");
    sparse[482] = 1;
    build::sum(&mut sparse);
    let mut map = [[0; BLOCK]; 2].concat();
    map[504] = 1;
    let file = tar(&[
        member("pax_global_header", b'g', b"19 comment=nothing\n"),
        [&sparse[..], &map, &[1; 512]].concat(),
        // A hard link to a file with holes has a size and no bytes.
        header("link", b'1', 4096, "holes").to_vec(),
        member("program", b'0', &fixture("small")),
    ]);
    assert_eq!(contents(&file).programs, ["program"]);
    assert_eq!(open(&file, Some("program")).unwrap(), fixture("small"));
}

#[test]
fn core_dumps_and_java_classes_are_no_programs() {
    let mut core = fixture("small");
    core[16] = 4;
    let file = tar(&[
        member("core", b'0', &core),
        member("A.class", b'0', b"\xca\xfe\xba\xbe\0\0\0\x34rest"),
        member("small.universal", b'0', &fixture("small.universal")),
    ]);
    assert_eq!(contents(&file).programs, ["small.universal"]);
    let program = open(&file, Some("core")).unwrap();
    assert_eq!(
        Program::parse(&program).unwrap_err().to_string(),
        "an ELF file, but a core dump and not an executable, a library or an object file"
    );
}

#[test]
fn lists_are_short() {
    let members: Vec<_> = (0..30)
        .map(|n| member(&format!("program{n}"), b'0', b"\x7fELF"))
        .collect();
    let listed = contents(&tar(&members));
    assert_eq!((listed.programs.len(), listed.count), (20, 30));
    let text = listed.to_string();
    assert!(text.ends_with("program18, program19 and 10 more"), "{text}");
    assert_eq!(
        contents(&tar(&[member("text", b'0', b"")])).to_string(),
        "no program"
    );
}

/// The kernel in an image that unpacks itself.
#[test]
fn kernel_images_hold_a_program() {
    let small = fixture("small");
    for method in ["gz", "xz", "zst", "bz2"] {
        let mut payload = compress(method, Cursor::new(&small));
        // The build adds the size, for the unpacker.
        payload.extend((small.len() as u32).to_le_bytes());
        let mut image = vec![0; 0x1000];
        image[..2].copy_from_slice(b"MZ");
        image[0x1f1] = 3;
        image[0x1fe..0x208].copy_from_slice(b"\x55\xaaHdrS\0\0\x0f\x02");
        image[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&0x800u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(&payload);
        assert_eq!(open(&image, None).unwrap(), small, "{method}");
        // An offset beyond the file.
        image[0x24b] = 0xff;
        assert!(matches!(open(&image, None), Err(Error::Damaged { .. })));

        let mut image = vec![0; 0x1000];
        image[..8].copy_from_slice(b"MZ\0\0zimg");
        image[8..12].copy_from_slice(&0x1000u32.to_le_bytes());
        image[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(&payload);
        assert_eq!(open(&image, None).unwrap(), small, "{method}");
        image[0x1000..0x1004].copy_from_slice(b"\x02\x21\x4c\x18");
        assert_eq!(
            open(&image, None).unwrap_err().to_string(),
            "compressed with LZ4, which this version does not read: unpack it first"
        );
    }
}

#[test]
fn bombs_are_refused() {
    for method in ["gz", "xz", "zst", "bz2"] {
        let bomb = compress(method, zeros(100 << 20));
        assert!(bomb.len() < 4 << 20, "{} bytes of {method}", bomb.len());
        let too_large = |bytes: &[u8], member: Option<&str>| {
            assert!(
                matches!(open(bytes, member), Err(Error::TooLarge { .. })),
                "{method}"
            );
        };
        too_large(&bomb, None);
        // One layer more.
        too_large(&compress(method, Cursor::new(&bomb)), None);
        too_large(&tar(&[member("bomb", b'0', &bomb)]), Some("bomb"));
        // The bomb before the program that is asked for.
        let mut archive = header("zeros", b'0', 2000 << 20, "").to_vec();
        archive.resize(archive.len() + (64 << 20), 0);
        too_large(&compress(method, Cursor::new(archive)), Some("program"));
    }
}

/// Many streams, each of which takes longer to begin than to read.
#[test]
fn rows_of_empty_streams_are_refused() {
    for method in ["gz", "xz", "zst", "bz2"] {
        let one = compress(method, &b""[..]);
        let many = one.repeat(100_000);
        let error = open(&many, None).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{method}: {error}");
        assert!(open(&one.repeat(3), None).unwrap().is_empty());
    }
}

#[test]
fn lying_sizes_and_windows_are_refused() {
    let refused = |bytes: &[u8], member: Option<&str>| open(bytes, member).unwrap_err();
    for size in [65 << 20, 1 << 40, u64::MAX] {
        let lying = tar(&[header("program", b'0', size, "").to_vec()]);
        let error = refused(&lying, Some("program"));
        assert!(matches!(error, Error::TooLarge { .. }), "{size}: {error}");
        assert_eq!(
            contents_or_error(&lying),
            "damaged or cut off: the tar archive in it cannot be read"
        );
    }
    let lying = tar(&[header("program", b'0', 50 << 20, "").to_vec()]);
    assert!(matches!(
        refused(&lying, Some("program")),
        Error::Damaged { .. }
    ));
    for kind in [b'L', b'x'] {
        let lying = tar(&[header("name", kind, u64::MAX, "").to_vec()]);
        assert_eq!(
            contents_or_error(&lying),
            "damaged or cut off: the tar archive in it cannot be read"
        );
    }
    // Records of pax whose lengths lead nowhere.
    for records in [
        "0 path=x\n",
        "99999999999999999999 path=x\n",
        "5 a\n",
        "7",
        " ",
    ] {
        let file = tar(&[
            member("pax", b'x', records.as_bytes()),
            member("program", b'0', b"one"),
        ]);
        assert_eq!(*open(&file, Some("program")).unwrap(), *b"one", "{records}");
    }
    for bytes in [
        build::zstandard_with_window(0xff),
        build::zstandard_with_window(0x90),
        build::xz_with_dictionary(40),
        build::xz_with_dictionary(31),
    ] {
        let error = refused(&bytes, None);
        assert!(matches!(error, Error::Window { .. }), "{error}");
    }
    assert_eq!(
        *open(&build::zstandard_with_window(0x88), None).unwrap(),
        *b"x"
    );
    assert_eq!(
        *open(&build::xz_with_dictionary(28), None).unwrap(),
        *b"some bytes"
    );
}

fn contents_or_error(bytes: &[u8]) -> String {
    match open(bytes, None) {
        Err(Error::Container(contents)) => contents.to_string(),
        Err(error) => error.to_string(),
        Ok(file) => format!("{} bytes", file.len()),
    }
}

#[test]
fn nesting_is_bounded() {
    let mut file = fixture("small");
    for _ in 0..8 {
        file = compress("gz", Cursor::new(file));
    }
    assert_eq!(open(&file, None), Err(Error::NestedTooDeep));
    let mut file = fixture("small");
    for _ in 0..3 {
        file = tar(&[member("a", b'0', &file)]);
    }
    assert_eq!(open(&file, Some("a:a:a")), Err(Error::NestedTooDeep));
    assert!(matches!(open(&file, Some("a:a")), Err(Error::Container(_))));
    // Links in a circle.
    let file = tar(&[link("a", b'1', "b"), link("b", b'1', "a")]);
    assert!(matches!(open(&file, Some("a")), Err(Error::Damaged { .. })));
}

/// Of a package that is cut off what was read is listed.
#[test]
fn damaged_containers_are_survived() {
    let mut random = crate::build::Random(0x5eed);
    let mut opened = 0;
    for method in METHODS {
        let file = deb(method, &package());
        for _ in 0..400 {
            let mut bytes = file.clone();
            for _ in 0..1 + random.below(6) {
                let at = match random.below(2) {
                    0 => random.below(bytes.len().min(2000)),
                    _ => random.below(bytes.len()),
                };
                bytes[at] = random.below(256) as u8;
            }
            let _ = open(&bytes, None);
            opened += usize::from(open(&bytes, Some("usr/lib/libsmall.a:small.o")).is_ok());
        }
        for end in (0..file.len()).step_by(7) {
            let _ = open(&file[..end], None);
        }
    }
    assert!(opened > 100, "{opened} of 2000 mutants were read");
    let cut = tar(&package());
    let listed = contents(&cut[..cut.len() - 4000]);
    assert_eq!((listed.count, listed.complete), (2, false));
    let listed = contents(&compress("gz", Cursor::new(&cut))[..1500]);
    assert_eq!(
        listed.to_string(),
        "usr/bin/small, and could not be read to its end"
    );
}
