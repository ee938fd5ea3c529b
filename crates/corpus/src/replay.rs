//! Recorded compiles run again under any toolchain, with a cache of objects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{At as _, Result};
use crate::manifest::Language;
use crate::obfuscate::ObfuscatedCompile;
use crate::process;
use crate::record::{Compile, in_tree};
use crate::toolchain::{Container, Target, Toolchain};

/// Where sources appear to lie in objects, whatever the corpus directory is.
pub(crate) fn stable_root(package: &str) -> String {
    format!("/usr/src/{package}")
}

/// Limits for one compile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Processor seconds.
    pub(crate) seconds: u32,
    /// Address space in KiB.
    pub(crate) memory_kib: u64,
}

/// What the compiles of one package have in common.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    /// Name of the package.
    pub(crate) package: &'a str,
    /// Stands for the pinned source and the way it was configured.
    pub(crate) fingerprint: &'a str,
    /// The built source tree.
    pub(crate) src: &'a Path,
    /// Where objects are kept.
    pub(crate) objects: &'a Path,
    /// Where compilers keep what they build for themselves.
    pub(crate) cache: &'a Path,
    /// What one compile may use.
    pub(crate) limits: Limits,
    /// A header that every file is compiled behind.
    pub(crate) prelude: Option<PathBuf>,
}

impl Replay<'_> {
    /// The object of a compile under a toolchain, from the cache if it is
    /// there. The inner result is the compiler's complaint.
    pub(crate) fn object(
        &self,
        compile: &Compile,
        toolchain: &Toolchain,
    ) -> Result<std::result::Result<PathBuf, String>> {
        let arguments = self.arguments(compile, toolchain);
        let object = self
            .objects
            .join(format!("{}.o", self.key(compile, toolchain, &arguments)?));
        if object.exists() {
            return Ok(Ok(object));
        }
        let temporary = process::temporary_name(&object);
        if !toolchain.obfuscation.is_empty() {
            let mut all = toolchain.arguments_for(compile.language());
            if let Some(prelude) = &self.prelude {
                all.extend(["-include".to_owned(), prelude.display().to_string()]);
            }
            all.extend(arguments);
            let obfuscated = ObfuscatedCompile {
                program: &toolchain.program,
                arguments: &all,
                file: &compile.file,
                cwd: &self.src.join(&compile.cwd),
                passes: &toolchain.obfuscation,
                seed: 0,
                seconds: self.limits.seconds,
                memory_kib: self.limits.memory_kib,
            };
            if let Err(output) = obfuscated.run(&temporary)? {
                return Ok(Err(output));
            }
            fs::rename(&temporary, &object).at(&object)?;
            return Ok(Ok(object));
        }
        let mut command = self.command(compile, toolchain);
        command.args(&arguments).arg("-c").arg(&compile.file);
        let output = process::output(command.arg("-o").arg(&temporary))?;
        if !output.status.success() {
            return Ok(Err(process::transcript(&output)));
        }
        fs::rename(&temporary, &object).at(&object)?;
        Ok(Ok(object))
    }

    /// The LLVM IR of a compile, without debug information.
    pub(crate) fn ir(
        &self,
        compile: &Compile,
        toolchain: &Toolchain,
    ) -> Result<std::result::Result<String, String>> {
        let mut arguments = self.arguments(compile, toolchain);
        arguments.retain(|a| a != "-g" && a != "-gdwarf-4");
        let mut command = self.command(compile, toolchain);
        command
            .args(&arguments)
            .args(["-emit-llvm", "-S", "-fno-discard-value-names"])
            .arg(&compile.file);
        let output = process::output(command.args(["-o", "-"]))?;
        Ok(if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(process::transcript(&output))
        })
    }

    /// The compiler in the directory of the compile, as yet without arguments.
    fn command(&self, compile: &Compile, toolchain: &Toolchain) -> Command {
        let mut command = process::compiler(
            &toolchain.program,
            self.limits.seconds,
            self.limits.memory_kib,
        );
        command
            .args(toolchain.arguments_for(compile.language()))
            .current_dir(self.src.join(&compile.cwd));
        for cache in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            command.env(cache, self.cache.join("zig"));
        }
        if let Some(prelude) = &self.prelude {
            command.arg("-include").arg(prelude);
        }
        command
    }

    /// Compiles the prelude once for all files of a toolchain that are compiled
    /// as `compile` is: reading the headers of the standard library takes longer
    /// than a small program does. Without this, compilers read the text.
    pub(crate) fn precompile(&self, compile: &Compile, toolchain: &Toolchain) -> Result<()> {
        let Some(header) = &self.prelude else {
            return Ok(());
        };
        let suffix = match toolchain.compiler.as_str() {
            "gcc" => "gch",
            "clang" => "pch",
            // zig keeps such files where it likes.
            _ => return Ok(()),
        };
        let mut output = header.as_os_str().to_owned();
        output.push(format!(".{suffix}"));
        let kind = match compile.language() {
            Language::C => "c-header",
            Language::Cpp => "c++-header",
        };
        let mut arguments = self.arguments(compile, toolchain);
        arguments.retain(|a| !a.starts_with("-x"));
        let plain = Replay {
            prelude: None,
            ..*self
        };
        let mut command = plain.command(compile, toolchain);
        command.args(&arguments).args(["-x", kind]).arg(header);
        let made = process::output(command.arg("-o").arg(&output))?;
        if !made.status.success() && Path::new(&output).exists() {
            fs::remove_file(&output).at(Path::new(&output))?;
        }
        Ok(())
    }

    fn arguments(&self, compile: &Compile, toolchain: &Toolchain) -> Vec<String> {
        let mut arguments = compile.arguments.clone();
        let target = toolchain.target;
        if target != Target::default() {
            // The package was configured for the machine's own processor.
            arguments.retain(|a| !a.starts_with("-m"));
        }
        arguments.extend(toolchain.options());
        if target != Target::default() && target.container() == Container::Elf {
            // Headers of libraries, which are hardly ever installed for other
            // processors and are mostly the same; those of the C library are not.
            for folder in ["/usr/include", "/usr/include/x86_64-linux-gnu"] {
                arguments.extend(["-idirafter", folder].map(str::to_owned));
            }
        }
        if toolchain.compiler == "clang" {
            // Before version 16 it does not ask the environment for the date.
            let fixed = [r#"-D__DATE__="Jan  1 1970""#, r#"-D__TIME__="00:00:00""#];
            arguments.extend(fixed.map(str::to_owned));
            arguments.push("-Wno-builtin-macro-redefined".to_owned());
        }
        let stable = stable_root(self.package);
        arguments.push(format!("-ffile-prefix-map={}={stable}", self.src.display()));
        arguments
    }

    /// The pinned tree stands for the headers, so that a lookup needs no
    /// preprocessor run; the file itself is hashed as it may be generated.
    fn key(
        &self,
        compile: &Compile,
        toolchain: &Toolchain,
        arguments: &[String],
    ) -> Result<String> {
        let mut hash = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes())
                .update(bytes);
        };
        part(self.fingerprint.as_bytes());
        part(toolchain.to_string().as_bytes());
        part(compile.cwd.to_string_lossy().as_bytes());
        part(compile.file.as_bytes());
        for argument in arguments {
            // Absolute paths of this corpus directory are not part of the
            // content: a moved corpus keeps its objects.
            part(
                argument
                    .replace(&*self.src.to_string_lossy(), "")
                    .as_bytes(),
            );
        }
        if let Some(file) = in_tree(&compile.cwd.join(&compile.file)) {
            let path = self.src.join(file);
            part(&fs::read(&path).at(&path)?);
        }
        Ok(hash.finalize().to_hex()[..32].to_owned())
    }
}
