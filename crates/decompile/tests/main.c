// Calls each function of `table` and the one of its name in the library that is
// named, with the same arguments, and prints the names of those that are the same.

#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t (*whole)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
typedef double (*of_double)(double, double);
typedef double (*mixed)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
typedef uint64_t (*whole_of_double)(double, double);
typedef float (*of_float)(float, float);

struct entry { const char *name, *kinds; void *function; };
extern const struct entry table[];

static uint64_t seed = 0x9e3779b97f4a7c15;
static uint64_t draw(void) {
    seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
    return seed;
}

static uint64_t drawn(void) {
    static const int64_t special[] = {0, 1, -1, 2, 7, 10, 127, 128, 255, 256, 32767, 65535, 2147483647, -2147483648LL};
    uint64_t kind = draw() % 4;
    if (kind == 0) return (uint64_t)special[draw() % 14];
    if (kind == 1) return draw() % 100;
    return draw();
}

static uint64_t kept(char kind, uint64_t value) {
    switch (kind) {
    case 'v': return 0;
    case 'b': case 'c': return value & 0xff;
    case 'w': return value & 0xffff;
    case 'i': return value & 0xffffffff;
    default: return value;
    }
}

static int agrees(const struct entry *e, void *other) {
    static uint8_t first[6][320], second[6][320];
    for (int round = 0; round < 300; round++) {
        uint64_t a[6] = {0}, b[6] = {0};
        double d[2] = {0, 0};
        int n = 0, floats = 0;
        for (const char *k = e->kinds + 2; *k != ')'; k++) {
            switch (*k) {
            case 'd': case 'f':
                d[floats++] = round % 3 ? (double)(int64_t)drawn() / 1000 : (double)(draw() % 1000) / 8 - 50;
                continue;
            case 'p':
                for (int i = 0; i < 320; i++) first[n][i] = (uint8_t)(draw() >> 5);
                if (round % 2) for (int i = 0; i < 320; i++) first[n][i] &= 3;
                memcpy(second[n], first[n], 320);
                break;
            case 's': {
                static const char letters[] = "  -+0123456789abcXYZ()[]()[]aeiou~";
                int length = (int)(draw() % 40);
                for (int i = 0; i < 320; i++) first[n][i] = i < length ? (uint8_t)letters[draw() % 34] : 0;
                memcpy(second[n], first[n], 320);
                break;
            }
            case 'n': a[n] = b[n] = draw() % 32; n++; continue;
            case 'b': a[n] = b[n] = (uint8_t)drawn(); n++; continue;
            case 'c': a[n] = b[n] = (uint64_t)(int64_t)(int8_t)drawn(); n++; continue;
            case 'w': a[n] = b[n] = (uint64_t)(int64_t)(int16_t)drawn(); n++; continue;
            default: a[n] = b[n] = drawn(); n++; continue;
            }
            a[n] = (uint64_t)first[n];
            b[n] = (uint64_t)second[n];
            n++;
        }
        char answer = e->kinds[0];
        uint64_t x, y;
        if (answer == 'd') {
            double p = n ? ((mixed)e->function)(a[0], a[1], a[2], a[3], a[4], a[5]) : ((of_double)e->function)(d[0], d[1]);
            double q = n ? ((mixed)other)(b[0], b[1], b[2], b[3], b[4], b[5]) : ((of_double)other)(d[0], d[1]);
            if (p != q && !(isnan(p) && isnan(q))) return 0;
            continue;
        } else if (answer == 'f') {
            float p = ((of_float)e->function)((float)d[0], (float)d[1]), q = ((of_float)other)((float)d[0], (float)d[1]);
            if (p != q && !(isnan(p) && isnan(q))) return 0;
            continue;
        } else if (floats) {
            x = ((whole_of_double)e->function)(d[0], d[1]);
            y = ((whole_of_double)other)(d[0], d[1]);
        } else {
            x = ((whole)e->function)(a[0], a[1], a[2], a[3], a[4], a[5]);
            y = ((whole)other)(b[0], b[1], b[2], b[3], b[4], b[5]);
        }
        if (kept(answer, x) != kept(answer, y) || memcmp(first, second, sizeof first)) return 0;
    }
    return 1;
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 2; }
    void *other = dlsym(library, arguments[2]);
    for (const struct entry *e = table; e->name; e++)
        if (!strcmp(e->name, arguments[2])) return other && agrees(e, other) ? 0 : 1;
    return 2;
}
