//! Any bytes: a program whose functions hold what they promise, or an error.
#![no_main]

use binscribe_lift::Program;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(program) = Program::parse(bytes) else {
        return;
    };
    let mut ranges: Vec<_> =
        program.functions().iter().flat_map(|f| f.ranges.iter().cloned()).collect();
    ranges.sort_by_key(|r| r.start);
    for pair in ranges.windows(2) {
        assert!(pair[0].end <= pair[1].start, "functions overlap");
    }
    for function in program.functions() {
        assert!(function.ranges.iter().all(|r| r.start < r.end));
        assert_eq!(function.address, function.ranges[0].start);
        assert!((0.0..=1.0).contains(&function.confidence));
    }
});
