//! `binscribe train`: runs binscribe-train, which alone needs libtorch.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::args::Train;
use crate::output::note;

pub(crate) fn run(args: &Train) -> ExitCode {
    let name = format!("binscribe-train{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe()
        .ok()
        .map(|exe| exe.with_file_name(&name));
    let program = beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(&name));
    match Command::new(&program).args(&args.arguments).status() {
        // A signal ended it; the shell's convention has no number for us here.
        Ok(status) => ExitCode::from(status.code().map_or(1, |code| code.clamp(0, 255) as u8)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            note(
                "the program binscribe-train is not beside this one nor on PATH: it needs libtorch \
                 and is built on its own, with `cargo xtask train` in the repository",
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            note(&format!("{}: {error}", program.display()));
            ExitCode::FAILURE
        }
    }
}
