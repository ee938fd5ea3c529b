//! How much memory and time hostile files are given. An allocator counts, so
//! this is a program of its own, whose tests run one after the other.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use binscribe_lift::{Program, open};

mod build;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts.
struct Counting;

fn more(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by the test that is measured.
static MEASURED: Mutex<()> = Mutex::new(());

/// Does something with a file and holds it against the promise: 256 MB and four
/// times the file, which the caller has in memory already, and five seconds.
fn measure<T>(name: &str, file: &[u8], most: usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let began = Instant::now();
    let answer = std::hint::black_box(work());
    let used = PEAK.load(Ordering::Relaxed) - before;
    assert!(used <= most, "{name}: {used} bytes for {}", file.len());
    assert!(used <= 256_000_000 + 3 * file.len(), "{name}: {used} bytes");
    // Generous, for debug builds on busy machines.
    assert!(began.elapsed() < Duration::from_secs(20), "{name}");
    answer
}

fn check(name: &str, file: &[u8], member: Option<&str>, most: usize) {
    let _ = measure(name, file, most, || open(file, member).map(drop));
}

/// Ten thousand files and more, each changed in a few places.
#[test]
fn mutants_are_survived() {
    const EACH: usize = 400;
    let _alone = MEASURED.lock().unwrap();
    let mut random = build::Random(0x5eed);
    let (mut made, mut read) = (0, 0);
    for (name, original) in build::programs() {
        for number in 0..EACH {
            let mut bytes = original.clone();
            build::mutate(&mut bytes, &mut random);
            let lines = measure(&format!("{name} {number}"), &bytes, usize::MAX, || {
                let program = Program::parse(&bytes).ok()?;
                let listings = program.functions().iter().map(|f| program.listing(f).len());
                Some(listings.sum::<usize>())
            });
            made += 1;
            read += usize::from(lines.is_some());
        }
    }
    // The test is worth something only while most mutants get past the header.
    assert!(
        made >= 10_000 && read * 2 > made,
        "{read} of {made} mutants were read"
    );
}

#[test]
fn memory_is_bounded() {
    let _alone = MEASURED.lock().unwrap();
    const MIB: usize = 1 << 20;
    for method in ["gz", "xz", "zst", "bz2"] {
        let bomb = build::compress(method, build::zeros(300 << 20));
        // What is kept, which grows by doubling, and the decompressor.
        check(method, &bomb, None, 140 * MIB);
        let small = build::deb(method, &[build::member("a", b'0', b"\x7fELF")]);
        check(method, &small, Some("a"), 8 * MIB);
        // A thousand times as much as is there.
        let lying = build::header("a", b'0', 60 << 20, "");
        let lying = build::compress(method, Cursor::new(lying));
        check(method, &lying, Some("a"), 8 * MIB);
    }
    let window = build::zstandard_with_window(0x88);
    check("window", &window, None, 140 * MIB);
    for bytes in [
        build::zstandard_with_window(0xff),
        build::xz_with_dictionary(40),
        // The largest dictionary that is read, of ten bytes.
        build::xz_with_dictionary(28),
    ] {
        check("window", &bytes, None, MIB);
    }
    // Members that are many, and all named.
    let members: Vec<_> = (0..20_000)
        .map(|n| build::member(&format!("{n:099}"), b'0', b"\x7fELF"))
        .collect();
    check("many", &build::tar(&members), None, MIB);
    // A library in a package: the package's member is let go.
    let library = build::ar(&[("a.o", &vec![1; 10 * MIB])]);
    let package = build::deb("gz", &[build::member("liba.a", b'0', &library)]);
    check("nested", &package, Some("liba.a:a.o"), 32 * MIB);
}
