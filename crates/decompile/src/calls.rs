//! What well-known functions take and give.

use crate::ir::Type;

/// How a function is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    /// Whole numbers and pointers that it takes.
    pub(crate) whole: u8,
    /// How many of them the caller pushes, besides.
    pub(crate) pushed: u8,
    /// Which of them is a text whose conversions tell how many follow.
    pub(crate) format: Option<u8>,
    pub(crate) floats: u8,
    /// What kind of float.
    pub(crate) float: Type,
    pub(crate) answers: bool,
    pub(crate) answers_float: bool,
    /// The registers that it may change, a bit for each of the 16 general ones and
    /// above for the vector ones, where its code tells; compilers count on that.
    pub(crate) changes: Option<u32>,
    /// By its name, so that what it gives is known.
    pub(crate) is_known: bool,
}

impl Default for Signature {
    fn default() -> Signature {
        Signature {
            whole: 0,
            pushed: 0,
            format: None,
            floats: 0,
            float: Type::Float(64),
            answers: true,
            answers_float: false,
            changes: None,
            is_known: false,
        }
    }
}

impl Signature {
    /// How many whole arguments a call has; `told` reads the format. `None` where
    /// there is one that is not known.
    pub(crate) fn whole(self, told: impl FnOnce() -> Option<usize>) -> Option<usize> {
        match self.format {
            None => Some(self.whole.into()),
            Some(_) => told(),
        }
    }
}

/// Names of functions of C's library, by how many whole arguments they take and
/// whether they give an answer.
#[rustfmt::skip]
const WHOLE: &[(u8, bool, &[&str])] = &[
    (0, true, &["rand", "random", "getpid", "getuid", "getgid", "geteuid", "getegid", "getppid", "fork", "__errno_location", "__ctype_b_loc", "__ctype_tolower_loc", "__ctype_toupper_loc", "clock", "getchar", "localeconv", "pthread_self"]),
    (0, false, &["abort", "__stack_chk_fail", "tzset", "sync"]),
    (1, true, &["malloc", "strlen", "atoi", "atol", "close", "fclose", "fflush", "getenv", "strdup", "xmalloc", "puts", "putchar", "isatty", "tolower", "toupper", "isalpha", "isdigit", "isspace", "isprint", "isalnum", "isupper", "islower", "getc", "fgetc", "feof", "ferror", "fileno", "ftell", "ftello", "time", "unlink", "rmdir", "chdir", "umask", "strerror", "opendir", "readdir", "closedir", "dup", "pipe", "wait", "sleep", "localtime", "gmtime", "mktime", "usleep", "system", "sysconf", "abs", "labs", "wcslen", "sigemptyset", "sigfillset", "pthread_mutex_lock", "pthread_mutex_unlock", "pthread_mutex_destroy", "dlclose", "basename", "dirname", "inet_addr", "gethostbyname", "htons", "htonl", "ntohs", "ntohl", "getpwuid", "getpwnam", "atexit"]),
    (1, false, &["free", "exit", "_exit", "perror", "rewind", "clearerr", "srand", "cfree", "freeaddrinfo", "quick_exit"]),
    (2, true, &["strcmp", "strcpy", "strcat", "strchr", "strrchr", "strstr", "strcoll", "strspn", "strcspn", "strpbrk", "strtok", "strsep", "calloc", "realloc", "fopen", "popen", "fputs", "fputc", "putc", "ungetc", "rename", "link", "symlink", "access", "stat", "lstat", "fstat", "mkdir", "chmod", "strcasecmp", "kill", "signal", "dup2", "listen", "shutdown", "munmap", "dlopen", "dlsym", "setlocale", "bindtextdomain", "gettimeofday", "clock_gettime", "nanosleep", "strndup", "getcwd", "gethostname", "truncate", "ftruncate", "fdopen", "pthread_mutex_init", "pthread_join", "stpcpy", "strnlen", "creat", "utime", "wcscmp", "wcscpy", "wcscat", "wcschr", "fputs_unlocked", "putc_unlocked", "sigaddset", "sigdelset", "sigismember", "rawmemchr"]),
    (3, true, &["memcpy", "memmove", "memset", "memcmp", "memchr", "memrchr", "strncmp", "strncpy", "strncat", "strncasecmp", "read", "write", "lseek", "fseek", "fseeko", "strtol", "strtoul", "strtoll", "strtoull", "fgets", "strtok_r", "waitpid", "connect", "bind", "accept", "socket", "poll", "sigaction", "sigprocmask", "setenv", "chown", "readlink", "getline", "reallocarray", "dcgettext", "mprotect", "bcmp", "stpncpy", "wmemcpy", "wcsncpy", "execve", "mempcpy", "getrandom", "writev", "readv", "fchown", "mknod"]),
    (3, false, &["bcopy"]),
    (4, true, &["fread", "fwrite", "send", "recv", "setvbuf", "getaddrinfo", "getdelim", "pread", "pwrite", "pthread_create", "__memcpy_chk", "__memmove_chk", "__memset_chk", "__strncpy_chk", "__strncat_chk", "memmem", "fread_unlocked", "fwrite_unlocked", "fchmodat", "socketpair"]),
    (4, false, &["qsort", "__assert_fail"]),
    (5, true, &["bsearch", "setsockopt", "getsockopt", "select", "dcngettext", "getopt_long"]),
    (6, true, &["mmap", "sendto", "recvfrom"]),
];

/// Those with a text whose conversions tell how many arguments follow, by which
/// argument it is.
#[rustfmt::skip]
const FORMATS: &[(u8, &[&str])] = &[
    (0, &["printf", "scanf", "warnx", "warn"]),
    (1, &["fprintf", "sprintf", "dprintf", "asprintf", "sscanf", "fscanf", "syslog", "__printf_chk", "err", "errx", "__isoc99_sscanf", "__isoc99_fscanf", "__isoc23_sscanf"]),
    (2, &["snprintf", "__fprintf_chk", "__asprintf_chk", "error", "__syslog_chk"]),
    (3, &["__sprintf_chk"]),
    (4, &["__snprintf_chk"]),
];

/// Of one or two floats.
#[rustfmt::skip]
const FLOATS: &[(u8, &[&str])] = &[
    (1, &["sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "exp", "exp2", "log", "log2", "log10", "floor", "ceil", "round", "trunc", "fabs", "cbrt", "sinh", "cosh", "tanh", "rint", "log1p", "expm1"]),
    (2, &["pow", "fmod", "atan2", "hypot", "fmin", "fmax", "copysign", "remainder"]),
];

/// How a function of C's library is called.
pub(crate) fn known(name: &str) -> Option<Signature> {
    let found = Signature {
        is_known: true,
        ..Signature::default()
    };
    for (whole, answers, names) in WHOLE {
        if names.contains(&name) {
            return Some(Signature {
                whole: *whole,
                answers: *answers,
                ..found
            });
        }
    }
    for (format, names) in FORMATS {
        if names.contains(&name) {
            return Some(Signature {
                format: Some(*format),
                ..found
            });
        }
    }
    let (single, plain) = match name.strip_suffix('f') {
        Some(plain) if FLOATS.iter().any(|(_, names)| names.contains(&plain)) => (true, plain),
        _ => (false, name),
    };
    for (floats, names) in FLOATS {
        if names.contains(&plain) {
            return Some(Signature {
                floats: *floats,
                float: Type::Float(if single { 32 } else { 64 }),
                answers_float: true,
                ..found
            });
        }
    }
    None
}

/// How many whole arguments the conversions of a text ask for.
pub(crate) fn conversions(text: &str) -> usize {
    let mut count = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            continue;
        }
        for c in chars.by_ref() {
            match c {
                '*' => count += 1,
                'e' | 'f' | 'g' | 'E' | 'F' | 'G' | 'a' | 'A' => break,
                'm' => break,
                c if c.is_ascii_alphabetic()
                    && !matches!(c, 'l' | 'h' | 'z' | 'j' | 't' | 'q' | 'L') =>
                {
                    count += 1;
                    break;
                }
                _ => {}
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_tell_their_arguments() {
        assert_eq!(conversions(r#""no %s: %5.*ld, 100%%, %g\n""#), 3);
        assert_eq!(conversions("\"plain\""), 0);
        assert_eq!(conversions("\"%"), 0);
    }

    #[test]
    fn no_name_is_listed_twice() {
        let all = WHOLE.iter().flat_map(|(.., names)| names.iter());
        let all = all.chain(FORMATS.iter().flat_map(|(_, names)| names.iter()));
        let all: Vec<_> = all
            .chain(FLOATS.iter().flat_map(|(_, n)| n.iter()))
            .collect();
        for (at, name) in all.iter().enumerate() {
            assert!(!all[..at].contains(name), "{name}");
        }
    }
}
