#include <stdio.h>
#include <string.h>
#include "bzlib.h"

int main(void) {
    static char in[60000], out[90000], back[60000];
    unsigned seed = 7;
    for (size_t i = 0; i < sizeof in; i++) {
        seed = seed * 1103515245u + 12345u;
        in[i] = i < 20000 ? "abcd efgh ijkl"[(seed >> 16) % 14] : i < 30000 ? (char)(seed >> 20) : (char)(i / 1000);
    }
    for (int level = 1; level <= 9; level += 4)
        for (int small = 0; small <= 1; small++) {
            unsigned size = sizeof out, size2 = sizeof back, sum = 0;
            int r = BZ2_bzBuffToBuffCompress(out, &size, in, sizeof in, level, 0, 30);
            for (unsigned i = 0; i < size; i++) sum = sum * 31 + (unsigned char)out[i];
            int q = BZ2_bzBuffToBuffDecompress(back, &size2, out, size, small, 0);
            printf("%d %u %x %d %u %d\n", r, size, sum, q, size2, memcmp(in, back, sizeof in));
            out[size / 2] ^= 0x55;
            size2 = sizeof back;
            printf("%d\n", BZ2_bzBuffToBuffDecompress(back, &size2, out, size, small, 0));
        }
    return 0;
}
