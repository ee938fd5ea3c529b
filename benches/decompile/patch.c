// Before anything else runs: puts a jump to another function over the one at an
// address. REPLACE=ADDRESS=LIBRARY takes `replacement` of that library; without a
// library the function stops the program, which shows whether it is called at all.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

__attribute__((constructor)) static void replace(void) {
    char *what = getenv("REPLACE");
    if (!what) return;
    uint8_t *from = (uint8_t *)strtoull(what, &what, 0);
    uint8_t jump[5] = {0x0f, 0x0b, 0x0f, 0x0b, 0xcc};
    if (*what == '=') {
        void *library = dlopen(what + 1, RTLD_NOW);
        void *to = library ? dlsym(library, "replacement") : NULL;
        if (!to) {
            fprintf(stderr, "%s\n", dlerror());
            exit(3);
        }
        uint8_t *near = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        memcpy(near, "\xff\x25\0\0\0\0", 6);
        memcpy(near + 6, &to, 8);
        int32_t distance = (int32_t)(near - (from + 5));
        jump[0] = 0xe9;
        memcpy(jump + 1, &distance, 4);
    }
    uint8_t *page = (uint8_t *)((uintptr_t)from & ~(uintptr_t)4095);
    mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(from, jump, 5);
    mprotect(page, 8192, PROT_READ | PROT_EXEC);
}
