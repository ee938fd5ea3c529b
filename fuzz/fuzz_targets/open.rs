//! Any bytes as a container: what lies in it, or an error.
#![no_main]

use binscribe_lift::{Error, open};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(Error::Container(contents)) = open(bytes, None) {
        for program in &contents.programs {
            let _ = open(bytes, Some(program));
        }
    }
});
