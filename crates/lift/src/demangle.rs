//! Names of C++ and Rust as their writers know them.
//!
//! A mangled name may be a bomb: a few hundred bytes of references to what was
//! said before can stand for gigabytes. What is written is bounded, and names of
//! Microsoft's scheme, whose reader builds the whole before it writes any of it,
//! are read only where they can refer back a few times.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};
use msvc_demangler::DemangleFlags;

/// Longest name that is read.
const MAX_MANGLED: usize = 4096;
/// Longest name of Microsoft's scheme that is read: each letter may be one more
/// call on the stack.
const MAX_MSVC: usize = 512;
/// Digits in it, any of which may refer back.
const MAX_MSVC_DIGITS: usize = 20;
/// Longest name that is written.
const MAX_PLAIN: usize = 2048;

/// The name that `name` stands for, by the schemes of Itanium's C++ ABI
/// (`_ZN3foo3barEi` is `foo::bar(int)`), of Rust and of Microsoft; none for a
/// plain name, or one that is damaged, or whose plain form is too long to be
/// read by anybody.
///
/// ```
/// assert_eq!(
///     binscribe_lift::demangle("_ZNKSt6vectorIiE4sizeEv").as_deref(),
///     Some("std::vector<int>::size() const"),
/// );
/// assert_eq!(binscribe_lift::demangle("main"), None);
/// ```
pub fn demangle(name: &str) -> Option<String> {
    if name.len() > MAX_MANGLED {
        return None;
    }
    // The version of a symbol, and the underscore of macOS, are not part of it.
    let name = if name.starts_with('?') {
        name
    } else {
        name.split('@').next().unwrap_or(name)
    };
    let itanium = name
        .strip_prefix('_')
        .filter(|rest| rest.starts_with("_Z") || rest.starts_with("_R"));
    let name = itanium.unwrap_or(name);
    if name.starts_with("_R") || is_rust_legacy(name) {
        let plain = rustc_demangle::try_demangle(name).ok()?;
        return bounded(|out| write!(out, "{plain:#}"));
    }
    if name.starts_with("_Z") {
        let symbol = Symbol::new(name).ok()?;
        let options = DemangleOptions::new();
        return bounded(|out| {
            symbol
                .structured_demangle(out, &options)
                .map_err(|_| fmt::Error)
        });
    }
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if name.starts_with('?') && name.len() <= MAX_MSVC && digits <= MAX_MSVC_DIGITS {
        let plain = msvc_demangler::demangle(name, DemangleFlags::NAME_ONLY).ok()?;
        return bounded(|out| out.write_str(&plain));
    }
    None
}

/// `…17h0123456789abcdefE`: the hash that Rust put at the end of names in C++'s
/// scheme.
fn is_rust_legacy(name: &str) -> bool {
    let hash = name
        .strip_prefix("_ZN")
        .and_then(|rest| rest.strip_suffix('E'))
        .and_then(|rest| rest.len().checked_sub(19).and_then(|at| rest.get(at..)));
    hash.and_then(|hash| hash.strip_prefix("17h"))
        .is_some_and(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn bounded(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Option<String> {
    let mut out = Bounded(String::new());
    write(&mut out).ok()?;
    let printable = !out.0.is_empty() && !out.0.chars().any(char::is_control);
    printable.then_some(out.0)
}

/// Refuses what is too long, so that whoever writes stops.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_PLAIN {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::demangle;

    #[track_caller]
    fn check(mangled: &str, plain: &str) {
        assert_eq!(demangle(mangled).as_deref(), Some(plain));
    }

    #[test]
    fn each_scheme_is_read() {
        check("_ZN3foo3barEi", "foo::bar(int)");
        check("__ZN3foo3barEi", "foo::bar(int)");
        check("_ZNSolsEi@GLIBCXX_3.4", "std::ostream::operator<<(int)");
        check(
            "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
            "core::fmt::Formatter::pad",
        );
        check(
            "_RNvCskwGfYPst2Cb_3foo16example_function",
            "foo::example_function",
        );
        check("?bar@foo@@YAHH@Z", "foo::bar");
    }

    #[test]
    fn plain_and_damaged_names_stay() {
        for name in [
            "", "main", "_Z", "_ZN3fo", "?", "?@@@", "_R", "_start", "é_Z",
        ] {
            assert_eq!(demangle(name), None, "{name}");
        }
    }

    /// Each template argument doubles what the one before stands for.
    #[test]
    fn a_bomb_is_not_written_out() {
        let mut bomb = String::from("_Z1fI1aIiiE");
        for level in 0..60_u32 {
            let reference = match level {
                0 => "S_".to_owned(),
                level => format!(
                    "S{}_",
                    char::from_digit((level - 1) % 36, 36).unwrap_or('0')
                )
                .to_uppercase(),
            };
            bomb.push_str(&format!("1aI{reference}{reference}E"));
        }
        bomb.push_str("Evv");
        let plain = demangle(&bomb);
        assert!(plain.is_none_or(|plain| plain.len() <= 2048));
    }

    #[test]
    fn a_deep_name_is_refused_and_not_followed() {
        assert_eq!(demangle(&format!("_Z1f{}i", "P".repeat(4000))), None);
        assert_eq!(demangle(&format!("?f@@YAX{}H@Z", "PA".repeat(2000))), None);
    }
}
