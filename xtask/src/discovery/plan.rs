//! What is built: packages, compilers, targets and levels.

/// Sources that compile without being configured.
#[derive(Debug)]
pub(super) struct Package {
    /// Of Debian's source package.
    pub(super) name: &'static str,
    pub(super) language: Language,
    /// Of the sources, in its archive.
    pub(super) folder: &'static str,
    pub(super) without: &'static [&'static str],
    pub(super) flags: &'static [&'static str],
    /// Whether one of the sources has a `main`.
    pub(super) program: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Language {
    C,
    Cpp,
    Rust,
    Go,
}

impl Language {
    pub(super) fn name(self) -> &'static str {
        match self {
            Language::C => "C",
            Language::Cpp => "C++",
            Language::Rust => "Rust",
            Language::Go => "Go",
        }
    }
}

pub(super) const PACKAGES: [Package; 7] = [
    Package {
        name: "lua5.4",
        language: Language::C,
        folder: "src",
        without: &["luac.c", "ltests.c"],
        flags: &["-DLUA_COMPAT_5_3", "-lm"],
        program: true,
    },
    Package {
        name: "lz4",
        language: Language::C,
        folder: "lib",
        without: &[],
        flags: &[],
        program: false,
    },
    Package {
        name: "bzip2",
        language: Language::C,
        folder: "",
        without: &[
            "bzip2recover.c",
            "spewG.c",
            "unzcrash.c",
            "dlltest.c",
            "mk251.c",
        ],
        flags: &[],
        program: true,
    },
    Package {
        name: "tinyxml2",
        language: Language::Cpp,
        folder: "",
        without: &["xmltest.cpp"],
        flags: &[],
        program: false,
    },
    Package {
        name: "libjsoncpp",
        language: Language::Cpp,
        folder: "src/lib_json",
        without: &[],
        flags: &["-I", "{package}/include"],
        program: false,
    },
    // A crate of crates.io, not of Debian.
    Package {
        name: "hexyl",
        language: Language::Rust,
        folder: "",
        without: &[],
        flags: &["--version", "0.16.0"],
        program: true,
    },
    Package {
        name: "golang-sample",
        language: Language::Go,
        folder: "",
        without: &[],
        flags: &[],
        program: true,
    },
];

/// One compiler for one target.
#[derive(Debug)]
pub(super) struct Toolchain {
    pub(super) name: &'static str,
    pub(super) driver: Driver,
    pub(super) target: &'static str,
    pub(super) flags: &'static [&'static str],
    pub(super) languages: &'static [Language],
    pub(super) levels: &'static [&'static str],
    pub(super) tables: &'static [Table],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// A compiler of the system, by the names of its C and its C++ program.
    System(&'static str, &'static str),
    Zig,
    /// Zig compiles, LLVM's linker of the Rust toolchain links: zig's own lists
    /// no function starts and keeps the symbols.
    ZigAndLld,
    Cargo,
    Go,
}

/// Whether the file lists its functions for the unwinder: `.eh_frame` of an ELF
/// file, `.pdata` of a PE file, the function starts of a Mach-O file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    Yes,
    No,
}

use Driver::{System, Zig, ZigAndLld};
use Language::{C, Cpp};
use Table::{No, Yes};

const ALL: &[&str] = &["-O0", "-O1", "-O2", "-O3", "-Os"];
const THREE: &[&str] = &["-O0", "-O2", "-Os"];
const TWO: &[&str] = &["-O0", "-O2"];
const BOTH: &[Table] = &[Yes, No];

/// The level at which other tools run, too.
pub(super) const PEERS: &str = "-O2";

const fn zig(target: &'static str, levels: &'static [&'static str]) -> Toolchain {
    Toolchain {
        name: "zig's clang",
        driver: Zig,
        target,
        flags: &[],
        languages: &[C],
        levels,
        tables: BOTH,
    }
}

const fn go(target: &'static str) -> Toolchain {
    Toolchain {
        name: "go",
        driver: Driver::Go,
        target,
        flags: &[],
        languages: &[Language::Go],
        levels: &["-O2"],
        tables: &[No],
    }
}

pub(super) const TOOLCHAINS: &[Toolchain] = &[
    Toolchain {
        name: "gcc",
        driver: System("gcc", "g++"),
        target: "x86_64-linux-gnu",
        flags: &["-fcf-protection=none"],
        languages: &[C, Cpp],
        levels: ALL,
        tables: BOTH,
    },
    Toolchain {
        name: "gcc, CET",
        driver: System("gcc", "g++"),
        target: "x86_64-linux-gnu",
        flags: &["-fcf-protection=full"],
        languages: &[C],
        levels: THREE,
        tables: BOTH,
    },
    Toolchain {
        name: "clang",
        driver: System("clang", "clang++"),
        target: "x86_64-linux-gnu",
        flags: &[],
        languages: &[C, Cpp],
        levels: ALL,
        tables: BOTH,
    },
    zig("x86_64-linux-gnu", THREE),
    Toolchain {
        name: "gcc",
        driver: System("i686-linux-gnu-gcc", "i686-linux-gnu-g++"),
        target: "x86-linux-gnu",
        flags: &["-fcf-protection=none"],
        languages: &[C],
        levels: THREE,
        tables: BOTH,
    },
    zig("x86-linux-gnu", THREE),
    Toolchain {
        name: "gcc",
        driver: System("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"),
        target: "aarch64-linux-gnu",
        flags: &[],
        languages: &[C, Cpp],
        levels: THREE,
        tables: BOTH,
    },
    zig("aarch64-linux-gnu", THREE),
    Toolchain {
        name: "gcc, Thumb",
        driver: System("arm-linux-gnueabihf-gcc", "arm-linux-gnueabihf-g++"),
        target: "arm-linux-gnueabihf",
        flags: &["-mthumb"],
        languages: &[C],
        levels: THREE,
        tables: BOTH,
    },
    Toolchain {
        name: "gcc, ARM",
        driver: System("arm-linux-gnueabihf-gcc", "arm-linux-gnueabihf-g++"),
        target: "arm-linux-gnueabihf",
        flags: &["-marm"],
        languages: &[C],
        levels: THREE,
        tables: BOTH,
    },
    zig("arm-linux-gnueabihf", TWO),
    zig("riscv64-linux-gnu", TWO),
    zig("mips-linux-gnueabi", TWO),
    zig("mipsel-linux-gnueabi", TWO),
    zig("powerpc-linux-musleabihf", TWO),
    // Not zig's glibc: it lacks symbols there.
    zig("powerpc64le-linux-musl", TWO),
    Toolchain {
        tables: &[Yes],
        ..zig("x86_64-windows-gnu", THREE)
    },
    Toolchain {
        tables: &[No],
        ..zig("x86-windows-gnu", THREE)
    },
    Toolchain {
        tables: &[Yes],
        ..zig("aarch64-windows-gnu", THREE)
    },
    Toolchain {
        driver: ZigAndLld,
        ..zig("x86_64-macos", THREE)
    },
    Toolchain {
        driver: ZigAndLld,
        ..zig("aarch64-macos", THREE)
    },
    Toolchain {
        name: "rustc",
        driver: Driver::Cargo,
        target: "x86_64-linux-gnu",
        flags: &[],
        languages: &[Language::Rust],
        levels: &["-O0", "-O2", "-O3", "-Os"],
        tables: BOTH,
    },
    go("x86_64-linux-gnu"),
    go("aarch64-linux-gnu"),
    go("x86_64-windows-gnu"),
];

/// What `--quick` leaves: one package, one level, compilers that are quick to
/// set up.
pub(super) fn is_quick(toolchain: &Toolchain, package: &Package, level: &str) -> bool {
    level == PEERS
        && matches!(package.name, "lua5.4" | "tinyxml2")
        && (matches!(toolchain.driver, System(..))
            || toolchain.target.ends_with("linux-gnu") && toolchain.driver == Zig)
}
