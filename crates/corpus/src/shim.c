/* Stands in for the C compiler during a recorded build: appends the working
   directory and the arguments to $CORPUS_LOG as one record, then becomes the
   real compiler: $CORPUS_CC, or $CORPUS_CXX if it was called g++. Fields end in 0x1f and a record ends in 0x1e; the
   record goes out in a single O_APPEND write so that parallel jobs never mix. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char cwd[PATH_MAX];
    const char *log = getenv("CORPUS_LOG");
    size_t length = strlen(argv[0]);
    int cpp = length > 1 && !strcmp(argv[0] + length - 2, "++");
    char *cc = getenv(cpp ? "CORPUS_CXX" : "CORPUS_CC");
    if (!cc) {
        fputs("CORPUS_CC or CORPUS_CXX is not set\n", stderr);
        return 127;
    }
    if (log && getcwd(cwd, sizeof cwd)) {
        size_t size = strlen(cwd) + 2;
        for (int i = 1; i < argc; i++)
            size += strlen(argv[i]) + 1;
        char *record = malloc(size), *p = record;
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (record && fd >= 0) {
            p = stpcpy(p, cwd);
            *p++ = 0x1f;
            for (int i = 1; i < argc; i++) {
                p = stpcpy(p, argv[i]);
                *p++ = 0x1f;
            }
            *p++ = 0x1e;
            if (write(fd, record, (size_t)(p - record)) != p - record) {
                perror(log);
                return 127;
            }
            close(fd);
        }
        free(record);
    }
    argv[0] = cc;
    execvp(cc, argv);
    perror(cc);
    return 127;
}
