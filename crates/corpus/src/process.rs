//! Running other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use crate::error::{At as _, Error, Result};

/// Runs a command to its end with no input and both outputs caught.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::MissingProgram {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })
}

/// What a program complains of: mostly on standard error.
fn complaint(output: &Output) -> &[u8] {
    if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    }
}

/// The last few lines that a failed program wrote, for an error message.
pub(crate) fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(complaint(output));
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    match lines.len() {
        0 => output.status.to_string(),
        n => lines[n.saturating_sub(4)..].join("; "),
    }
}

/// What a failed program wrote, bounded.
pub(crate) fn transcript(output: &Output) -> String {
    const MAX: usize = 4096;
    let text = complaint(output);
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX)]);
    match text.trim() {
        "" => output.status.to_string(),
        text => text.to_owned(),
    }
}

/// A compiler within these limits, in whose output nothing depends on language
/// or time.
pub(crate) fn compiler(program: &str, cpu_seconds: u32, memory_kib: u64) -> Command {
    let mut command = limited(program, cpu_seconds, memory_kib);
    command
        .env("LC_ALL", "C")
        // Dates and times in a program would make every build differ.
        .env("SOURCE_DATE_EPOCH", "0");
    command
}

/// A command that is killed when it uses more processor seconds or address
/// space than this. The shell sets the limits, so that they hold for every
/// process that a compiler driver starts.
pub(crate) fn limited(program: &str, cpu_seconds: u32, memory_kib: u64) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(
            "ulimit -t {cpu_seconds}; ulimit -v {memory_kib}; exec \"$@\""
        ))
        .arg("sh")
        .arg(program);
    command
}

/// A shell line that is ended after this time, gets this much address space for
/// each of its processes, and no network: a package's own build runs whatever
/// its authors wrote. Where the kernel gives no network namespace, as in some
/// containers, it runs without one.
pub(crate) fn sandboxed(line: &str, seconds: u32, memory_kib: u64) -> Command {
    let line = format!("ulimit -v {memory_kib}; {line}");
    let seconds = seconds.to_string();
    let timed = ["timeout", "-k", "5", &seconds, "sh", "-ec", &line];
    let mut words = isolation().iter().copied().chain(timed);
    let mut command = Command::new(words.next().unwrap_or("timeout"));
    command.args(words);
    command
}

/// What to put before a command so that it has no network: nothing, where that
/// is not allowed.
pub(crate) fn isolation() -> &'static [&'static str] {
    static FOUND: LazyLock<&'static [&'static str]> = LazyLock::new(|| {
        const WAYS: [&[&str]; 2] = [
            &["unshare", "--net", "--"],
            &["unshare", "--map-root-user", "--net", "--"],
        ];
        let works = |way: &&&[&str]| {
            let mut command = Command::new(way[0]);
            output(command.args(&way[1..]).arg("true")).is_ok_and(|o| o.status.success())
        };
        WAYS.iter().find(works).copied().unwrap_or_default()
    });
    *FOUND
}

/// Writes a file under a temporary name beside it and renames it into place.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_name(path);
    fs::write(&temporary, bytes).at(&temporary)?;
    fs::rename(&temporary, path).at(path)
}

/// `name.tmp` beside `path`.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Holds a directory for this process, until it is dropped or the process
/// ends, however that happens.
pub(crate) struct Lock {
    _file: fs::File,
}

impl Lock {
    fn open(dir: &Path) -> Result<(PathBuf, fs::File)> {
        let path = dir.join(".lock");
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .at(&path)?;
        Ok((path, file))
    }

    /// Waits until no other process holds the directory.
    pub(crate) fn wait(dir: &Path) -> Result<Lock> {
        let (path, file) = Lock::open(dir)?;
        file.lock().at(&path)?;
        Ok(Lock { _file: file })
    }

    /// Refuses if another process holds the directory.
    pub(crate) fn take(dir: &Path) -> Result<Lock> {
        let (path, file) = Lock::open(dir)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Busy {
                path: dir.to_owned(),
            }),
            Err(fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold() {
        let mut command = limited("sh", 7, 123_456);
        let found = output(command.args(["-c", "ulimit -t; ulimit -v"])).unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "7\n123456\n");
    }

    #[test]
    fn a_build_has_no_network_and_no_end_of_time() {
        // A device of every network but that of a fresh namespace.
        let mut command = sandboxed("tail -n +3 /proc/net/dev | cut -d: -f1", 10, 1 << 20);
        let found = output(&mut command).unwrap();
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        if !isolation().is_empty() {
            assert_eq!(found.trim(), "lo");
        }
        let ended = output(&mut sandboxed("sleep 60", 1, 1 << 20)).unwrap();
        assert_eq!(ended.status.code(), Some(124));
    }
}
