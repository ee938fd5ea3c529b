#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "zlib.h"

int main(void) {
    static unsigned char in[60000], out[90000], back[60000];
    unsigned seed = 7;
    for (size_t i = 0; i < sizeof in; i++) {
        seed = seed * 1103515245u + 12345u;
        in[i] = i < 20000 ? "abcd efgh ijkl"[(seed >> 16) % 14] : i < 40000 ? (unsigned char)(seed >> 20) : (unsigned char)(i / 100);
    }
    for (int level = 0; level <= 9; level++)
        for (int strategy = 0; strategy <= 4; strategy++) {
            z_stream s = {0};
            deflateInit2(&s, level, Z_DEFLATED, strategy % 2 ? 15 + 16 : 15, 8, strategy);
            if (level == 3) deflateSetDictionary(&s, in, 100);
            s.next_in = in; s.avail_in = sizeof in; s.next_out = out; s.avail_out = sizeof out;
            deflateParams(&s, (level + 1) % 10, strategy);
            int r = deflate(&s, Z_FINISH);
            unsigned long size = s.total_out;
            deflateEnd(&s);
            printf("%d %d %d %lu %lx %lx\n", level, strategy, r, size, crc32(0, out, (unsigned)size), adler32(1, out, (unsigned)size));
            z_stream d = {0};
            inflateInit2(&d, 15 + 32);
            d.next_in = out; d.next_out = back;
            int q = Z_OK;
            while (q == Z_OK || q == Z_BUF_ERROR) {
                d.avail_in = (unsigned)(size - d.total_in < 700 ? size - d.total_in : 700);
                d.avail_out = (unsigned)(sizeof back - d.total_out < 900 ? sizeof back - d.total_out : 900);
                q = inflate(&d, Z_NO_FLUSH);
                if (q == Z_NEED_DICT) q = inflateSetDictionary(&d, in, 100);
            }
            printf("%d %lu %d\n", q, d.total_out, memcmp(in, back, sizeof in));
            inflateEnd(&d);
        }
    uLongf length = sizeof out, length2 = sizeof back;
    compress2(out, &length, in, sizeof in, 9);
    printf("%d %lu\n", uncompress(back, &length2, out, length), crc32_combine(5, 6, 1000));
    out[200] ^= 0x55;
    length2 = sizeof back;
    printf("%d %s\n", uncompress(back, &length2, out, length), zError(-3));
    return 0;
}
