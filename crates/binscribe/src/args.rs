//! The command line.

use std::path::PathBuf;

use binscribe_corpus::explain::Preference;
use binscribe_lift::Arch;
use binscribe_tasks::classes::Shots;
use binscribe_tasks::zero_shot::PLACE;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;

/// Says what the functions of a stripped binary do.
#[derive(Debug, Parser)]
#[command(
    name = "binscribe",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  binscribe explain /usr/bin/sort              what each function does
  binscribe search \"print usage\" ./a.out       find a function by what it does
  binscribe similar ./new main --in ./old      find a function by example
  binscribe index add ./index ./firmware       search in many programs at once
  binscribe functions ./a.out --format json    for scripts (docs/json.md)

Exit status: 0 done, 1 failed, 2 wrong usage. Everything runs on this machine; only
`corpus` fetches packages and asks the servers that it is told to ask, and `model pull`
and `import` fetch models.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Propose names, tags and a summary for each function.
    Explain(Explain),
    /// Find the functions that an English text describes.
    Search(Search),
    /// Find the functions that are like a given one.
    Similar(Similar),
    /// Say which label of a list fits each function.
    Classify(Classify),
    /// List the functions of a file.
    Functions(Functions),
    /// Print the instructions of a function, as the model reads them.
    Listing(Listing),
    /// One function as C that does the same.
    Decompile(Decompile),
    /// Write the vectors of all functions to a Parquet file.
    Embed(Embed),
    /// Say what of one version of a program is what of another.
    Diff(Diff),
    /// Keep functions of many programs, to be searched together.
    #[command(subcommand)]
    Index(Index),
    /// Answer an assistant: the Model Context Protocol on standard input and output.
    Mcp(Mcp),
    /// Answer other programs over HTTP, and people on a web page.
    Serve(Serve),
    /// Write names and remarks for Ghidra, IDA, Binary Ninja or radare2.
    Export(ExportNames),
    /// Build the corpus that models are trained and measured on.
    #[command(subcommand)]
    Corpus(Corpus),
    /// Train a model from a recipe (runs the program binscribe-train).
    Train(Train),
    /// Measure a model against baselines on packages it never saw.
    #[command(subcommand)]
    Eval(Eval),
    /// Look at a model directory, or make one from a training run.
    #[command(subcommand)]
    Model(Model),
}

/// Which model, and whether what it says may be kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// The model directory [default: $BINSCRIBE_MODEL, or models/default beside
    /// the program].
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Neither use nor keep vectors in the cache directory (BINSCRIBE_CACHE or
    /// the system's own).
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// How to read a file that has no format.
#[derive(Debug, Default, Clone, Copy, Args)]
pub(crate) struct RawArgs {
    /// FILE is a raw image, code without any format, for this processor.
    #[arg(long, value_name = "ARCH", value_parser = arch())]
    pub(crate) arch: Option<Arch>,
    /// Where the raw image lies in memory: 0x8000000, or decimal.
    #[arg(long, value_name = "ADDRESS", requires = "arch", default_value = "0",
          value_parser = address)]
    pub(crate) base: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FormatArgs {
    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct PdbArgs {
    /// The PDB that the linker wrote beside a Windows program: its names are
    /// used. One of another build is refused.
    #[arg(long, value_name = "FILE.pdb")]
    pub(crate) pdb: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe explain /usr/bin/sort
  binscribe explain ./a.out --function 0x401a30 --top 5
  binscribe explain coreutils.deb:usr/bin/sort
  binscribe explain firmware.bin --arch aarch64 --base 0x8000000
  binscribe explain ./a.out --format json > functions.json

A name is proposed where a known function is near enough, with the calibrated
probability that it is right; the model's tags have one too. What stands in
[brackets] was read off the file: names that assertions and logs call their own
function by, and as tags the imports called and constants held. Thunks and
functions of fewer than 5 instructions are counted and not judged.")]
pub(crate) struct Explain {
    /// A program, library or object file, or one in an archive or a package:
    /// libx.a:member.o, pkg.deb:usr/bin/ls.
    pub(crate) file: PathBuf,
    /// Only this function, with its evidence: a name or an address (0x...).
    #[arg(long, value_name = "F")]
    pub(crate) function: Option<String>,
    /// At most so many names for each function.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) top: usize,
    /// Show no name or tag that is less probable than this.
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = probability)]
    pub(crate) min_confidence: f32,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) pdb: PdbArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe search \"compute a checksum\" /usr/bin/cksum
  binscribe search \"parse command line options\" ./a.out -k 3 --format json
  binscribe search \"compute a checksum\" firmware.bin --arch aarch64 --base 0x8000000
  binscribe search \"parse a certificate\" ./index      (see binscribe index)

The score is a mean of the model's cosine and of the share of the text's words
that a function holds in imports and strings; the confidence is the calibrated
probability that a function is the one described.")]
pub(crate) struct Search {
    /// What the function does, in English.
    pub(crate) english: String,
    /// A program, library or object file, or one in an archive or a package:
    /// libx.a:member.o, pkg.deb:usr/bin/ls. Or an index.
    #[arg(value_name = "FILE|INDEX")]
    pub(crate) file: PathBuf,
    /// How many functions to show.
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) k: usize,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe similar ./a.out main
  binscribe similar ./vulnerable 0x401a30 --in ./firmware -k 5
  binscribe similar old.deb:usr/bin/ls main --in new.deb:usr/bin/ls
  binscribe similar ./a.out 0x401a30 --in ./index       (see binscribe index)

The score is a cosine; the confidence is the calibrated probability that a
function is made of the same source. --arch and --base are for both files, but
for one of a known format after --in.")]
pub(crate) struct Similar {
    /// The file with the example.
    pub(crate) file: PathBuf,
    /// The example: a name or an address (0x...).
    pub(crate) function: String,
    /// Search in this file or index [default: the same file, without the example].
    #[arg(long = "in", value_name = "FILE|INDEX")]
    pub(crate) within: Option<PathBuf>,
    /// How many functions to show.
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) k: usize,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe classify ./a.out --labels crypto
  binscribe classify ./a.out --labels protocol --function 0x401a30
  binscribe classify ./a.out --labels mine.txt     one label a line
  binscribe classify ./a.out --labels mine.txt --template \"{} loop\" --template \"do {}\"
  binscribe classify firmware.bin --labels crypto --arch aarch64 --base 0x8000000

Without --function: the best label of each function, the surest functions first.
With it: every label for that function. The score is the label's share among all
labels (softmax); the confidence is the calibrated probability that the label
fits at all, for none of them may. Both rise where a function mentions the label
itself: in a string, an import, or a table or constant of an algorithm. For crypto
and protocol the functions beside it count for the score, too: those of one source
file lie together.

A line of mine.txt is a label, or a label with what it stands for, what else it is
called and how its functions could be described, all of which are looked for:
  dh | Diffie-Hellman | DHM | Compute the shared secret of a key exchange")]
pub(crate) struct Classify {
    /// A program, library or object file, or one in an archive or a package:
    /// libx.a:member.o, pkg.deb:usr/bin/ls.
    pub(crate) file: PathBuf,
    /// `crypto`, `protocol`, or a file with one label on each line.
    #[arg(long, value_name = "LABELS")]
    pub(crate) labels: String,
    /// Put what the labels stand for into this sentence, at {}; several are
    /// averaged [default: their descriptions, and CLAP's sentence for labels that
    /// have none].
    #[arg(long, value_name = "SENTENCE", value_parser = template)]
    pub(crate) template: Vec<String>,
    /// Let the functions around each one count too, as they do for `crypto` and
    /// `protocol`: for labels of what whole source files do.
    #[arg(long)]
    pub(crate) neighbours: bool,
    /// Only this function: a name or an address (0x...).
    #[arg(long, value_name = "F")]
    pub(crate) function: Option<String>,
    /// How many answers to show [default: 20, or every label with --function].
    #[arg(short, value_name = "N")]
    pub(crate) k: Option<usize>,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe functions ./a.out
  binscribe functions ./a.out --format csv > functions.csv
  binscribe functions coreutils.deb:usr/bin/ls
  binscribe functions libx.tar.gz:lib/libx.a:foo.o
  binscribe functions linux-image.deb:boot/vmlinuz-6.1
  binscribe functions firmware.bin --arch aarch64 --base 0x8000000

FILE may be compressed (gzip, xz, Zstandard, bzip2). A package (.deb), a tar
archive or a library is opened where its name is followed by that of a member;
alone, its members are listed.")]
pub(crate) struct Functions {
    /// A program, library or object file, or one in an archive or a package:
    /// libx.a:member.o, pkg.deb:usr/bin/ls.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) pdb: PdbArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe listing ./a.out main
  binscribe listing libx.tar.gz:lib/libx.a:foo.o main
  binscribe listing firmware.bin 0x8000400 --arch aarch64 --base 0x8000000
  binscribe listing ./a.out 0x401a30 --clap > function.json    input of CLAP")]
pub(crate) struct Listing {
    /// A program, library or object file, or one in an archive or a package:
    /// libx.a:member.o, pkg.deb:usr/bin/ls.
    pub(crate) file: PathBuf,
    /// A name or an address (0x...).
    pub(crate) function: String,
    /// Print the JSON object that CLAP takes: {"1": "push    rbp", ...}.
    #[arg(long, conflicts_with = "format")]
    pub(crate) clap: bool,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) pdb: PdbArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe decompile ./a.out main
  binscribe decompile libx.a:foo.o 0x40
  binscribe decompile ./a.out main --complete > main.c    cc -c main.c takes it

Only code of x86-64 so far. It asks no model: it is what the machine code does.")]
pub(crate) struct Decompile {
    /// A program, library or object file, or one in an archive or a package:
    /// libx.a:member.o, pkg.deb:usr/bin/ls.
    pub(crate) file: PathBuf,
    /// A name or an address (0x...).
    pub(crate) function: String,
    /// Print also what a C compiler needs to take it: types, and declarations of what
    /// it names.
    #[arg(long, conflicts_with = "format")]
    pub(crate) complete: bool,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) pdb: PdbArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe embed ./a.out -o a.parquet
  binscribe embed ./firmware -o firmware.parquet    every program and archive below it
  binscribe embed libz.a -o z.parquet               every member of it
  binscribe embed coreutils.deb:usr/bin/ls -o ls.parquet
  binscribe embed --clap functions.json -o functions.parquet --model clap

One row for each function of at least 5 instructions, or of --clap for each
function of the file; the file's metadata name the model.")]
pub(crate) struct Embed {
    /// A file, or a directory of files.
    #[arg(value_name = "FILE|DIR", required_unless_present = "clap")]
    pub(crate) path: Option<PathBuf>,
    /// Functions as text, in the form that CLAP reads and `listing --clap`
    /// writes: {"1": "push    rbp", "2": "retn"}, or an array of such.
    #[arg(long, value_name = "IN.json", conflicts_with_all = ["path", "arch"])]
    pub(crate) clap: Option<PathBuf>,
    /// The Parquet file to write.
    #[arg(short, value_name = "OUT.parquet")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe diff ./router-1.0 ./router-1.1
  binscribe diff old.deb:usr/sbin/sshd new.deb:usr/sbin/sshd --function 0x401a30
  binscribe diff ./old ./new --all --format json

Functions are one where they alone have a name or code, and else by the model, by
what they mention, by who calls them and whom they call, and by what lies beside
them; the score says how much of that agrees. Changed is what has other
instructions, numbers or strings, or calls others; where things lie does not count.
Thunks are left out.")]
pub(crate) struct Diff {
    /// The old version.
    pub(crate) old: PathBuf,
    /// The new one.
    pub(crate) new: PathBuf,
    /// Show what changed in this function: a name or an address (0x...) of either.
    #[arg(long, value_name = "F")]
    pub(crate) function: Option<String>,
    /// Show the functions that are the same, too.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe export ./a.out --to ghidra -o names.py
  binscribe export ./a.out --to ida --min-confidence 0.9 -o names.py
  binscribe export ./a.out --to r2 -o names.r2.js && r2 -A -i names.r2.js ./a.out
  binscribe export ./a.out --to ghidra --mode show | less    a dry run, there
  binscribe export ./a.out --to ghidra --mode undo -o undo.py

Names come as scripts of those programs. They find functions wherever the program
put the file, never replace a name that is not the program's own (FUN_, sub_, fcn.),
refuse another file, and can be undone by the same with --mode undo. A remark at
each function says how sure its name is, and where it is from.")]
pub(crate) struct ExportNames {
    /// A program or library, or one in an archive or a package: pkg.deb:usr/bin/ls.
    pub(crate) file: PathBuf,
    /// For which program, or which format.
    #[arg(long, value_enum, value_name = "TARGET")]
    pub(crate) to: Target,
    /// The file to write [default: standard output].
    #[arg(short, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// What the script does.
    #[arg(long, value_enum, value_name = "MODE", default_value = "apply")]
    pub(crate) mode: Mode,
    /// Give no name that is less probable than this.
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = probability)]
    pub(crate) min_confidence: f32,
    /// Remark on functions without a name, too: what each calls and mentions.
    #[arg(long)]
    pub(crate) summaries: bool,
    #[command(flatten)]
    pub(crate) raw: RawArgs,
    #[command(flatten)]
    pub(crate) pdb: PdbArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// What an export is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A script for Ghidra 10 or newer (PyGhidra or Jython).
    Ghidra,
    /// A script for IDA 7.4 or newer (IDAPython).
    Ida,
    /// A script for Binary Ninja.
    #[value(name = "binaryninja")]
    BinaryNinja,
    /// A script for radare2 5.8 or newer.
    R2,
    /// One line for each function.
    Csv,
    /// One document (docs/json.md), which the scripts of plugins/ read, too.
    Json,
}

/// What a script does with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Rename functions and remark on them.
    Apply,
    /// Remark on functions only.
    Comment,
    /// Only print what would be renamed.
    Show,
    /// Take back names and remarks that were applied and not changed since.
    Undo,
}

#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  binscribe train recipes/default.toml
  binscribe train --help          the options of binscribe-train",
    disable_help_flag = true
)]
pub(crate) struct Train {
    /// Passed to binscribe-train as they are.
    #[arg(
        value_name = "RECIPE",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    /// Find functions again that another toolchain compiled.
    #[command(after_help = "\
Examples:
  binscribe eval bcsd --corpus corpus
  binscribe eval bcsd --corpus corpus --pool 2,32,1000,10000 --format csv > bcsd.csv

Pairs of levels as jTrans has them (O0-O3, O0-Os, O1-Os, O1-O3, O2-Os, O2-O3)
within each compiler, gcc against clang at O0, O2 and O3, and what the corpus has
of other processors, systems and obfuscations against plain code of x86-64 Linux.
Pairs are shuffled into pools; ties count against the answer.")]
    Bcsd(EvalBcsd),
    /// Find functions by the comment that their author wrote.
    #[command(after_help = "\
Examples:
  binscribe eval retrieval --corpus corpus
  binscribe eval retrieval --corpus corpus --split validation --format json
  binscribe eval retrieval --corpus corpus --pool 1000,10000,65536

The pool holds each function of the split once: compiled by gcc -O2, and then
each under one of ten toolchains. The query is the first sentence of a comment.
With --pool, functions of the other splits, for which nobody asks, are put among
them until there are so many; where these are too few, other builds of them.")]
    Retrieval(EvalRetrieval),
    /// Say which algorithm a function or a file of a crypto package implements.
    #[command(after_help = "\
Examples:
  binscribe eval crypto --corpus corpus
  binscribe eval crypto --corpus corpus --template \"compute {}\" --format json

The labels come from the names of files and functions, by the rules of
crates/tasks/src/crypto.tsv. Zero-shot methods see nothing but the labels; the
others learn from the packages of the training split. A file is a source file
under one toolchain, judged by the mean of its functions' scores.")]
    Crypto(EvalClasses),
    /// Say which protocol a function or a program implements.
    #[command(after_help = "\
Examples:
  binscribe eval protocol --corpus corpus --split unseen
  binscribe eval protocol --corpus corpus --format json > protocol.json

The labels are those of the manifest; where a package has several, the names of
a function and its file must say which. A file is a whole package under one
toolchain, judged by the mean of its functions' scores.")]
    Protocol(EvalClasses),
    /// Learn labels from a few functions, with a probe over the model's vectors.
    #[command(after_help = "\
Examples:
  binscribe eval probe --task crypto --shots 1,4,16,64,all --corpus corpus
  binscribe eval probe --task category --corpus corpus
  binscribe eval probe --task labels.tsv --corpus corpus

The probe is a multinomial logistic regression over frozen vectors, its
regularisation chosen on the validation packages. A file of labels has four
columns with tabs between them: package, file, function and label, with * for
anything in the first three; the first line that fits a function counts, and the
label - is none.")]
    Probe(EvalProbe),
    /// Check the names that programs give their own functions against symbols.
    #[command(after_help = "\
Examples:
  binscribe eval own-names /usr/lib/x86_64-linux-gnu/libssl.so.3
  binscribe eval own-names a.so b.so --format json

The names are those that `explain` puts in brackets. They are told without the
symbols of functions, and compared with these. No model takes part.")]
    OwnNames(EvalOwnNames),
    /// Check what `diff` says of two versions against the names of functions.
    #[command(after_help = "\
Example:
  binscribe eval diff old/libcrypto.so.3 new/libcrypto.so.3

The names are those that both files have once. They are hidden from what is
measured. Beside it: code that is the same alone, and the nearest vector alone.")]
    Diff(EvalDiff),
    /// Put reports into a page of Markdown, with a picture of each.
    #[command(after_help = "\
Example:
  binscribe eval report bcsd.json crypto.json -o docs/results/clap.md")]
    Report(EvalReport),
}

#[derive(Debug, Args)]
pub(crate) struct EvalDiff {
    /// The old version, with symbols, of exports at the least.
    pub(crate) old: PathBuf,
    /// The new one, with symbols.
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalOwnNames {
    /// Programs and libraries with symbols, of exports at the least.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The corpus directory (`binscribe corpus build`).
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// The packages to ask about; `unseen` are those of both splits.
    #[arg(long, value_name = "SPLIT", default_value = "test",
          value_parser = ["validation", "test", "unseen"])]
    pub(crate) split: String,
    /// What pools, examples and intervals are drawn by.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalBcsd {
    /// Pool sizes.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "32,1000,10000",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) pool: Vec<u32>,
    /// Ask so many builds for all other builds of their source, in a pool of
    /// every build (mean average precision).
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) queries: usize,
    /// Fill pools of levels that are larger than the split with functions of the
    /// other splits. Nobody asks for these.
    #[arg(long)]
    pub(crate) distractors: bool,
    #[command(flatten)]
    pub(crate) eval: EvalArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalRetrieval {
    /// Pool sizes [default: the functions of the split alone].
    #[arg(long, value_name = "N,...", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) pool: Vec<u32>,
    #[command(flatten)]
    pub(crate) eval: EvalArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ClassArgs {
    /// The list of packages, which says what they are for.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "recipes/corpus/packages.toml"
    )]
    pub(crate) manifest: PathBuf,
    /// Only builds by toolchains of these names, in which * stands for anything
    /// (`gcc O2`, `* aarch64`); can be given several times [default: all plain
    /// ones of x86-64 Linux].
    #[arg(long = "toolchain", value_name = "PATTERN")]
    pub(crate) toolchains: Vec<Pattern>,
    /// Learn from so many builds at most, drawn by --seed.
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub(crate) train_rows: usize,
    #[command(flatten)]
    pub(crate) eval: EvalArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalClasses {
    /// Put the labels into this sentence, at {}; several are averaged [default:
    /// that of CLAP, and beside it several of ours].
    #[arg(long, value_name = "SENTENCE", value_parser = template)]
    pub(crate) template: Vec<String>,
    #[command(flatten)]
    pub(crate) classes: ClassArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalProbe {
    /// `crypto`, `protocol`, `category`, or a file of labels.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: String,
    /// Numbers of examples of each label.
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "1,4,16,64,all"
    )]
    pub(crate) shots: Vec<Shots>,
    /// Draw the examples so many times.
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) draws: u8,
    #[command(flatten)]
    pub(crate) classes: ClassArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalReport {
    /// What other evaluations printed with --format json.
    #[arg(value_name = "REPORT.json", required = true)]
    pub(crate) reports: Vec<PathBuf>,
    /// A file of Markdown to begin with.
    #[arg(long, value_name = "FILE.md")]
    pub(crate) notes: Option<PathBuf>,
    /// The page to write; the pictures are written beside it.
    #[arg(short, value_name = "PAGE.md")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Say what a model directory holds.
    #[command(after_help = "\
Example:
  binscribe model info models/default")]
    Info {
        /// The model directory [default: the one that the other commands use].
        directory: Option<PathBuf>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Make a model directory from a training run: graphs, reference set,
    /// calibration and model card. From another model directory: all but the
    /// graphs, to propose names of the functions of other packages.
    #[command(after_help = "\
Examples:
  binscribe model export runs/default --corpus corpus -o models/default
  binscribe model export models/default --corpus mine --add -o models/mine")]
    Export(Export),
    /// Take the mean of two runs' weights, as a run to export or to train on
    /// from: what one run learned anew, with more of what it started from.
    #[command(after_help = "\
Example:
  binscribe model average models/default runs/more -o runs/mean
  binscribe model export runs/mean --corpus corpus -o models/mean")]
    Average(Average),
    /// Make a model directory of CLAP's published encoders.
    #[command(after_help = "\
Examples:
  binscribe model import hustcw/clap-asm hustcw/clap-text -o clap
  binscribe model import ./clap-asm ./clap-text -o clap --int8
  binscribe search \"bubble sort\" ./a.out --model clap

A name is a directory with config.json, tokenizer.json and model.safetensors, or
else a repository of the Hugging Face Hub (0.9 GB for both, kept where its other
tools keep them: HF_HOME, HF_TOKEN and HF_ENDPOINT are heeded). owner/name@REVISION
takes a revision other than main.")]
    Import(Import),
    /// Load a model directory that somebody published on the Hugging Face Hub.
    #[command(after_help = "\
Examples:
  binscribe model pull owner/name -o models/theirs
  binscribe explain ./a.out --model models/theirs

What the Hub's other tools keep is used and added to: HF_HOME, HF_TOKEN and
HF_ENDPOINT are heeded. owner/name@REVISION takes a revision other than main. A model
decides answers: take it from whom you would take a program.")]
    Pull(Pull),
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// A repository of the Hub that holds a model directory.
    #[arg(value_name = "OWNER/NAME[@REVISION]")]
    pub(crate) name: String,
    /// The model directory to make.
    #[arg(short, value_name = "MODEL_DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe mcp
  binscribe mcp --root ~/samples --root ~/indices
  claude mcp add binscribe -- binscribe mcp --root ~/samples

Programs that speak the protocol start this command themselves; as most of them are
configured:
  {\"mcpServers\": {\"binscribe\": {\"command\": \"binscribe\", \"args\": [\"mcp\"]}}}

Its tools read files and write none; each call runs in a process of its own, which is
ended after --timeout. Names and strings of a file may be meant to mislead whoever
reads them, and the tools say so.")]
pub(crate) struct Mcp {
    /// Read only files below this directory [default: all that may be read]. May be
    /// given several times.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    /// End a call after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  binscribe serve                                  then open http://127.0.0.1:8765/
  binscribe serve --index ./firmware --index ./libraries
  binscribe serve --listen 0.0.0.0:8765 --token-file token
  curl -X POST -T ./a.out http://127.0.0.1:8765/v1/programs

The page takes a file and shows its functions; /openapi.json describes the routes
below /v1, whose answers are those of --format json, and /metrics is for Prometheus
(docs/serve.md). Files are kept in a temporary directory until the server ends, each
analysis runs in a process of its own, and nothing is sent anywhere else.

What can be reached from other machines needs a token. Nothing is encrypted: put a
proxy with TLS before it.")]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8765")]
    pub(crate) listen: std::net::SocketAddr,
    /// Let this index be searched, under the last component of its path. May be given
    /// several times.
    #[arg(long, value_name = "INDEX")]
    pub(crate) index: Vec<PathBuf>,
    /// Answer only who sends what is in this file: Authorization: Bearer TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Refuse files that are larger.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) max_upload: u64,
    /// Keep files of so much in all; those that were not asked about for longest go
    /// first.
    #[arg(long, value_name = "MIB", default_value_t = 2048,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) max_stored: u64,
    /// End an analysis after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Run so many analyses at once.
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Let so many wait for one to end, and refuse more.
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(0..=4096))]
    pub(crate) queue: u16,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    /// Put the functions of programs into an index.
    #[command(after_help = "\
Examples:
  binscribe index add ./index /usr/bin/ssh /usr/lib/x86_64-linux-gnu/libcrypto.so.3
  binscribe index add ./index ./firmware          every program and archive below it
  binscribe index add ./index libz.a              every member of it
  binscribe index add ./index pkg.deb:usr/bin/ls
  binscribe search \"parse a certificate\" ./index
  binscribe similar ./a.out 0x401a30 --in ./index

INDEX is a directory; it is made where there is none, and holds vectors of one
model. What is in it already is not read again, so that an interrupted run is gone
on with by the same command. Exit status 1: a path that was named could not be
added; what lies in a directory is left out with a warning.")]
    Add(IndexAdd),
    /// List the programs of an index.
    #[command(after_help = "\
Example:
  binscribe index list ./index")]
    List {
        /// The index.
        index: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Take programs out of an index.
    #[command(after_help = "\
Examples:
  binscribe index remove ./index /usr/bin/ssh
  binscribe index remove ./index 0123456789abcdef       the hash that list shows")]
    Remove(IndexRemove),
    /// Check that all that an index holds is as it was written.
    #[command(after_help = "\
Example:
  binscribe index verify ./index")]
    Verify {
        /// The index.
        index: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct IndexAdd {
    /// The index.
    pub(crate) index: PathBuf,
    /// Programs, libraries, object files, archives, or directories of them.
    #[arg(value_name = "FILE|DIR", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IndexRemove {
    /// The index.
    pub(crate) index: PathBuf,
    /// Paths of programs, or the first digits of their hashes, as list shows them.
    #[arg(value_name = "PROGRAM", required = true)]
    pub(crate) programs: Vec<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The assembly encoder: a directory, or a repository of the Hub.
    #[arg(value_name = "CLAP_ASM")]
    pub(crate) assembly: String,
    /// The text encoder: a directory, or a repository of the Hub.
    #[arg(value_name = "CLAP_TEXT")]
    pub(crate) text: String,
    /// The model directory to make.
    #[arg(short, value_name = "MODEL_DIR")]
    pub(crate) output: PathBuf,
    /// Hold weights in 8 bits: a quarter of the size and faster, but the vectors
    /// are no longer those of the published code to 1e-5.
    #[arg(long)]
    pub(crate) int8: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Average {
    /// What the other one started from: a finished run, or a model directory.
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// What went on from it: a finished run, or a model directory. Vocabulary and
    /// configuration are taken from here.
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// The directory to write.
    #[arg(short, value_name = "RUN_DIR")]
    pub(crate) output: PathBuf,
    /// How much of AFTER there shall be, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = probability)]
    pub(crate) share: f32,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// What binscribe-train wrote, or a model directory.
    #[arg(value_name = "RUN_DIR|MODEL_DIR")]
    pub(crate) run: PathBuf,
    /// The corpus directory (`binscribe corpus build`).
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// The model directory to make; its graphs, reference set and calibration
    /// are replaced.
    #[arg(short, value_name = "MODEL_DIR")]
    pub(crate) output: PathBuf,
    /// The directory of all-MiniLM-L6-v2 (model.safetensors, config.json,
    /// tokenizer.json): the text encoder where the run has not tuned its own,
    /// and the tokenizer in any case.
    #[arg(long, value_name = "DIR", default_value = "target/minilm")]
    pub(crate) text_encoder: PathBuf,
    /// Write the graphs in single precision too.
    #[arg(long)]
    pub(crate) float: bool,
    /// At most so many vectors in the reference set.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) reference: usize,
    /// Keep the reference set of MODEL_DIR, and add that of the corpus to it.
    #[arg(long)]
    pub(crate) add: bool,
    /// Make the reference set and the calibration from functions under these
    /// toolchains: unoptimised code, and code as it is shipped. More of them
    /// take longer and hardly move the means.
    #[arg(
        long,
        value_name = "TOOLCHAIN,...",
        value_delimiter = ',',
        default_value = "gcc O0,gcc O2,clang O2"
    )]
    pub(crate) toolchains: Vec<String>,
    /// JSON files that `binscribe eval` printed, for the model card.
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    pub(crate) figures: Vec<PathBuf>,
    /// Markdown for the model card: how it was trained, what it is bad at
    #[arg(long, value_name = "FILE")]
    pub(crate) notes: Option<PathBuf>,
}

/// The ids of all processors.
fn arch() -> impl TypedValueParser<Value = Arch> {
    PossibleValuesParser::new(Arch::ALL.iter().map(|arch| arch.id()))
        .try_map(|id| id.parse::<Arch>())
}

fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let address = match digits {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    address.map_err(|_| "an address is a number, as 0x8000000 or 134217728".to_owned())
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("a probability is a number from 0 to 1".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Corpus {
    /// Download source packages and check them.
    #[command(after_help = "\
Example:
  binscribe corpus fetch zlib coreutils --corpus corpus")]
    Fetch(CorpusArgs),
    /// Build each package once, compile it again under every toolchain, and
    /// write the rows. Goes on where an earlier run was ended.
    #[command(after_help = "\
Examples:
  binscribe corpus build                       every package of the manifest
  binscribe corpus build --manifest recipes/corpus/packages.toml --size small
  binscribe corpus build zlib --corpus corpus
  binscribe corpus build zlib --toolchain 'clang-*-O2*'
  binscribe corpus build --queue nats://head:4222 --store s3://rows/mine
  binscribe corpus build --shard auto --store /shared/mine        a Slurm array

Needs the compilers that the manifest names (gcc-12 and clang-14 if it names
none) and what the packages themselves are built with. Compiles that fail are
listed with what the compiler said in build/PACKAGE/failures/.")]
    Build(CorpusBuild),
    /// Count functions, pairs, rows and bytes, and draw them.
    #[command(after_help = "\
Examples:
  binscribe corpus stats --corpus corpus --format json
  binscribe corpus stats --table pairs         as in Table 1 of the MLM paper
  binscribe corpus stats --table lengths --plots pictures")]
    Stats(CorpusStats),
    /// Make units that `corpus build --queue` published, on any machine.
    #[command(after_help = "\
Examples:
  binscribe corpus worker --queue nats://head:4222 --store s3://rows/mine
  binscribe corpus worker --queue nats://a:4222,nats://b:4222 --store /shared \\
      --idle-exit 120

The compilers of the manifest have to be installed in the same versions. Ctrl-C
hands back what is not finished; a worker that is killed loses its unit to
another after a minute.")]
    Worker(CorpusWorker),
    /// Say how far a queue is, and what failed in it.
    #[command(after_help = "\
Examples:
  binscribe corpus queue status --queue nats://head:4222
  binscribe corpus queue poison --queue nats://head:4222    failed five times
  binscribe corpus queue forgive KEY --queue nats://head:4222")]
    Queue(CorpusQueue),
    /// Say in English what each function does: by its comment, and by asking a
    /// model.
    #[command(after_help = "\
Examples:
  binscribe corpus explain                          keep the comments
  binscribe corpus explain --teacher http://localhost:11434/v1 \\
      --teacher-model qwen3:8b --sample 1000 --dry-run
  binscribe corpus explain --teacher https://api.openai.com/v1 \\
      --teacher-model gpt-4o-mini --budget-tokens 2000000
  binscribe corpus explain --shadow http://localhost:8000/v1 \\
      --shadow-model ours                           what no teacher explained
  binscribe corpus explain --model models/shadow    the same, by a model of ours

Any server with the chat interface of OpenAI will do: OpenAI, Ollama, llama.cpp,
vLLM. Its key is read from BINSCRIBE_TEACHER_KEY or BINSCRIBE_SHADOW_KEY. Each
body of source is asked about once, however often it was compiled. Every answer
is on disk before the next question: a run that was ended, or that reached its
budget, goes on when it is started again, and nothing is paid for twice.")]
    Explain(CorpusExplain),
    /// Write pairs of source and explanation for other programs to train on.
    #[command(after_help = "\
Examples:
  binscribe corpus export --chat train.jsonl
  binscribe corpus export --chat valid.jsonl --split validation --origins teacher
  binscribe corpus export --clap train.clap.jsonl

--chat writes OpenAI's format for fine-tuning; a model tuned on it can be served
and asked by `binscribe corpus explain --shadow`.")]
    Export(CorpusExport),
    /// Rate a sample of explanations, on the terminal or in a browser.
    #[command(after_help = "\
Examples:
  binscribe corpus review --sample 50 --hide-origin
  binscribe corpus review --serve 127.0.0.1:8080 --rater ann
  binscribe corpus review --summary

Scores from 1 (wrong) to 5 (right and helpful) go to review.jsonl in the corpus
directory. What the same rater has rated is not shown again.")]
    Review(CorpusReview),
    /// Print rows with their sources.
    #[command(after_help = "\
Example:
  binscribe corpus show inflate --toolchain 'gcc-*-O2' -k 1")]
    Show(CorpusShow),
    /// Check that no package, source body or listing is in two splits, and no
    /// row there twice; exit status 1 if one is.
    #[command(after_help = "\
Example:
  binscribe corpus verify --corpus corpus")]
    Verify {
        /// The corpus directory, or a directory of rows.
        #[arg(long, value_name = "DIR", default_value = "corpus")]
        corpus: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CorpusStats {
    /// The corpus directory, or a directory of rows.
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// Which table; JSON holds all of them.
    #[arg(long, value_enum, default_value = "packages")]
    pub(crate) table: StatsTable,
    /// Draw lengths.svg and toolchains.svg into this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum StatsTable {
    /// Functions, pairs and rows of each package.
    Packages,
    /// Rows under each toolchain.
    Toolchains,
    /// How long sources, comments, listings and LLVM IR are, in characters.
    Lengths,
    /// Functions and matched pairs of each package over all toolchains.
    Pairs,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusShow {
    /// The function's name in the source, or its function_id.
    pub(crate) function: String,
    /// The corpus directory, or a directory of rows.
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// Only rows under toolchains of this name, in which * stands for anything.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) toolchain: Option<Pattern>,
    /// How many rows.
    #[arg(short, default_value_t = 3)]
    pub(crate) k: usize,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusArgs {
    /// These packages of the manifest [default: all].
    #[arg(value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// The corpus directory.
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// The list of packages.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "recipes/corpus/default.toml"
    )]
    pub(crate) manifest: PathBuf,
    /// Only its packages and toolchains for a corpus of this size: small,
    /// standard or full [default: full].
    #[arg(long)]
    pub(crate) size: Option<binscribe_corpus::Size>,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusBuild {
    #[command(flatten)]
    pub(crate) corpus: CorpusArgs,
    /// Only toolchains of these names, in which * stands for anything; can be
    /// given several times.
    #[arg(long = "toolchain", value_name = "PATTERN")]
    pub(crate) toolchains: Vec<Pattern>,
    /// How functions are joined with their sources: by the debug information,
    /// or by names that only one definition has.
    #[arg(long, value_enum, default_value = "dwarf")]
    pub(crate) align: Align,
    /// Leave out functions of fewer basic blocks; CLAP takes 3.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_blocks: u32,
    /// List packages anew whose rows are there already: for when the way in
    /// which functions are found or listed has changed.
    #[arg(long)]
    pub(crate) again: bool,
    /// Let workers (`corpus worker`) make the units, by way of these NATS
    /// servers with JetStream.
    #[arg(long, value_name = "URL,...", requires = "store", conflicts_with_all = ["again", "shard"])]
    pub(crate) queue: Option<String>,
    /// The queue's name there.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "corpus",
        requires = "queue"
    )]
    pub(crate) queue_name: String,
    /// Where units and rows are kept for other machines: a directory, or
    /// s3://BUCKET/DIR, gs://BUCKET/DIR, az://CONTAINER/DIR. Units that are
    /// there are not made again.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Make only this share of the units, counted from 0, and no rows: 0/8, or
    /// auto in an array of Slurm, auto/8 in an indexed job of Kubernetes. The
    /// same command without it then makes the rows.
    #[arg(long, value_name = "I/N", conflicts_with = "again")]
    pub(crate) shard: Option<binscribe_corpus::Shard>,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusWorker {
    /// NATS servers with JetStream.
    #[arg(long, value_name = "URL,...")]
    pub(crate) queue: String,
    /// The queue's name there.
    #[arg(long, value_name = "NAME", default_value = "corpus")]
    pub(crate) queue_name: String,
    /// Where units are put: what `corpus build --queue` was given.
    #[arg(long, value_name = "URL")]
    pub(crate) store: String,
    /// The directory to work in; what it holds is used again.
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// End after so many units.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// End when there was nothing to do for so long.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle_exit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusQueue {
    #[command(subcommand)]
    pub(crate) what: QueueAction,
    /// NATS servers with JetStream.
    #[arg(
        long,
        value_name = "URL,...",
        global = true,
        default_value = "nats://localhost:4222"
    )]
    pub(crate) queue: String,
    /// The queue's name there.
    #[arg(long, value_name = "NAME", global = true, default_value = "corpus")]
    pub(crate) queue_name: String,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueAction {
    /// How many units wait, run, are done and are set aside.
    Status,
    /// The units that failed five times, and why.
    Poison,
    /// Let a unit that was set aside be published again.
    Forgive {
        /// Its key.
        key: String,
    },
    /// Remove the queue and all that is in it.
    Delete,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Align {
    Dwarf,
    Names,
}

impl From<Align> for binscribe_corpus::Align {
    fn from(align: Align) -> binscribe_corpus::Align {
        match align {
            Align::Dwarf => binscribe_corpus::Align::Dwarf,
            Align::Names => binscribe_corpus::Align::Names,
        }
    }
}

/// Text in which `*` stands for any other.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(String);

impl std::str::FromStr for Pattern {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Pattern, Self::Err> {
        Ok(Pattern(text.to_owned()))
    }
}

impl Pattern {
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// Which functions of a corpus are meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct FunctionsArgs {
    /// The corpus directory (`binscribe corpus build`).
    #[arg(long, value_name = "DIR", default_value = "corpus")]
    pub(crate) corpus: PathBuf,
    /// Only functions of these packages.
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',')]
    pub(crate) packages: Vec<String>,
    /// Only so many functions, drawn by --seed.
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// The order in which functions are drawn; a larger sample holds the
    /// smaller one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusExplain {
    #[command(flatten)]
    pub(crate) functions: FunctionsArgs,
    /// Leave out functions of fewer lines of source.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) min_lines: usize,
    /// Ask the large model of this server about every function.
    #[arg(long, value_name = "URL", requires = "teacher_model")]
    pub(crate) teacher: Option<String>,
    /// The model's name there.
    #[arg(long, value_name = "NAME", requires = "teacher")]
    pub(crate) teacher_model: Option<String>,
    /// Ask the fine-tuned model of this server about what no teacher explained.
    #[arg(long, value_name = "URL", requires = "shadow_model")]
    pub(crate) shadow: Option<String>,
    /// The model's name there.
    #[arg(long, value_name = "NAME", requires = "shadow")]
    pub(crate) shadow_model: Option<String>,
    /// Ask the model in this directory, one of our own that was trained by
    /// recipes/shadow.toml, about what no teacher explained.
    #[arg(long, value_name = "DIR", conflicts_with = "shadow")]
    pub(crate) model: Option<PathBuf>,
    /// Use at most so many tokens on a model, earlier runs on this corpus
    /// included: no request is made that could go beyond.
    #[arg(long, value_name = "N", conflicts_with = "budget_cost")]
    pub(crate) budget_tokens: Option<u64>,
    /// The same in money; needs --price.
    #[arg(long, value_name = "AMOUNT", requires = "price", value_parser = amount)]
    pub(crate) budget_cost: Option<f64>,
    /// What a million tokens of questions and of answers cost: 0.15,0.60.
    #[arg(long, value_name = "IN,OUT", requires = "budget_cost", num_args = 1,
          value_delimiter = ',', value_parser = amount)]
    pub(crate) price: Vec<f64>,
    /// Make so many requests at a time.
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
    /// Ask about so many functions in one request.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) batch: u16,
    /// Cut sources to about so many bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 6_000)]
    pub(crate) source_bytes: usize,
    /// Allow so many tokens for the answer about a function.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) answer_tokens: u32,
    /// The model is one of those of OpenAI that think first: it takes
    /// max_completion_tokens, and no temperature.
    #[arg(long)]
    pub(crate) reasoning: bool,
    /// Trust the servers that the authorities in this file (PEM) vouch for, and
    /// no others.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Wait so long for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Try so often where a server is busy, fails or does not answer.
    #[arg(long, value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tries: u32,
    /// Ask nothing: say how much would be asked, and show the first prompt.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Which explanations of a function are meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct OriginsArgs {
    /// Explanations of these origins: doc, teacher, shadow, or one model as
    /// teacher:NAME. Where one is to be taken, the first of them that there is.
    #[arg(long, value_name = "ORIGIN,...", default_value = "teacher,shadow,doc")]
    pub(crate) origins: Preference,
    /// Only explanations of at least this quality, from 0 to 1.
    #[arg(long, value_name = "Q", default_value_t = 0.0, value_parser = probability)]
    pub(crate) min_quality: f32,
}

impl OriginsArgs {
    pub(crate) fn preference(&self) -> Preference {
        self.origins.clone().at_least(self.min_quality)
    }
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("kind").required(true).args(["chat", "clap"]))]
pub(crate) struct CorpusExport {
    /// Write (source, explanation) as chat JSONL, each body of source once.
    #[arg(long, value_name = "OUT.jsonl")]
    pub(crate) chat: Option<PathBuf>,
    /// Write (listing, explanation), the listing as CLAP takes it, for each row.
    #[arg(long, value_name = "OUT.jsonl", conflicts_with_all = ["packages", "sample"])]
    pub(crate) clap: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) functions: FunctionsArgs,
    /// The packages to take.
    #[arg(long, value_name = "SPLIT", default_value = "train",
          value_parser = ["train", "validation", "test"])]
    pub(crate) split: String,
    #[command(flatten)]
    pub(crate) origins: OriginsArgs,
    /// Cut sources to about so many bytes, as `corpus explain` does.
    #[arg(long, value_name = "BYTES", default_value_t = 6_000)]
    pub(crate) source_bytes: usize,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CorpusReview {
    #[command(flatten)]
    pub(crate) functions: FunctionsArgs,
    #[command(flatten)]
    pub(crate) origins: OriginsArgs,
    /// Do not show who explained a function.
    #[arg(long)]
    pub(crate) hide_origin: bool,
    /// Who rates; each rater sees every explanation of the sample.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) rater: String,
    /// Serve a page for a browser on this address instead.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "summary")]
    pub(crate) serve: Option<std::net::SocketAddr>,
    /// Serve it even where other machines can reach it. It is not encrypted.
    #[arg(long, requires = "serve")]
    pub(crate) public: bool,
    /// Print the mean score of each origin, with its 95% interval.
    #[arg(long)]
    pub(crate) summary: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

fn template(text: &str) -> Result<String, String> {
    if text.contains(PLACE) {
        Ok(text.to_owned())
    } else {
        Err(format!("put {PLACE} where the label goes"))
    }
}

fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(amount),
        _ => Err("an amount is a number that is not below 0".to_owned()),
    }
}
