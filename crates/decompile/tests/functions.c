// Functions that are compiled, decompiled, compiled again and compared with
// themselves. The comment before each says what it answers and takes:
//
//   v nothing, b c w i l whole numbers of 8 (without and with a sign), 16, 32 and 64
//   bits, d double, f float, p a buffer of 256 bytes, s a text, n a number below 32
//
// None may read or write outside of its buffers, whatever it is given.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KEEP __attribute__((noinline))

// i(ii)
KEEP uint32_t gcd(uint32_t a, uint32_t b) {
    while (b) { uint32_t t = a % b; a = b; b = t; }
    return a;
}
// i(pn)
KEEP int sum(const int *p, int n) {
    int s = 0;
    for (int i = 0; i < n; i++) s += p[i];
    return s;
}
// i(i)
KEEP int days(int month) {
    switch (month) {
    case 2: return 28;
    case 4: case 6: case 9: case 11: return 30;
    case 1: case 3: case 5: case 7: case 8: case 10: case 12: return 31;
    default: return -1;
    }
}
// l(il)
KEEP long dispatch(int op, long x) {
    switch (op & 15) {
    case 0: return x + 1;
    case 1: x *= 3; break;
    case 2: x -= 17;
    case 3: x ^= 0x55; break;
    case 4: return -x;
    case 5: return ~x;
    case 6: x >>= 3; break;
    case 7: x <<= 2; break;
    case 9: return x / 7;
    case 10: return x % 10;
    }
    return x * 2;
}
// d(d)
KEEP double poly(double x) { return 3.0 * x * x + 2.0 * x - 1.5; }
// l(s)
KEEP size_t length(const char *s) { size_t n = 0; while (s[n]) n++; return n; }
// i(ll)
KEEP int order(int64_t a, int64_t b) { return a < b ? -1 : a > b; }
// v(pn)
KEEP void bubble(int *a, int n) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j + 1 < n - i; j++)
            if (a[j] > a[j + 1]) { int t = a[j]; a[j] = a[j + 1]; a[j + 1] = t; }
}
// i(pn)
KEEP uint32_t crc(const uint8_t *p, int n) {
    uint32_t c = ~0u;
    for (int i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}
// i(s)
KEEP uint32_t fnv(const char *s) {
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}
// i(s)
KEEP int number(const char *s) {
    int sign = 1, v = 0;
    while (*s == ' ') s++;
    if (*s == '-') { sign = -1; s++; } else if (*s == '+') s++;
    while (*s >= '0' && *s <= '9') v = (int)((unsigned)v * 10u + (unsigned)(*s++ - '0'));
    return (int)((unsigned)sign * (unsigned)v);
}
// i(i)
KEEP int bits(uint32_t x) { int n = 0; while (x) { x &= x - 1; n++; } return n; }
// i(i)
KEEP uint32_t reverse(uint32_t x) {
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    return x << 24 | (x & 0xff00u) << 8 | (x >> 8 & 0xff00u) | x >> 24;
}
// i(ii)
KEEP uint32_t rotate(uint32_t x, uint32_t n) { return x << (n & 31) | x >> (-n & 31); }
// l(ll)
KEEP uint64_t power(uint64_t base, uint64_t e) {
    uint64_t r = 1;
    for (e &= 63; e; e >>= 1) { if (e & 1) r *= base; base *= base; }
    return r;
}
// c(c)
KEEP char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }
// v(s)
KEEP void shout(char *s) { for (; *s; s++) if (*s >= 'a' && *s <= 'z') *s -= 32; }
// i(ss)
KEEP int compare(const char *a, const char *b) {
    while (*a && *a == *b) { a++; b++; }
    return (unsigned char)*a - (unsigned char)*b;
}
// i(pnw)
KEEP int search(const int16_t *a, int n, int16_t x) {
    int low = 0, high = n - 1;
    while (low <= high) {
        int mid = (low + high) / 2;
        if (a[mid] == x) return mid;
        if (a[mid] < x) low = mid + 1; else high = mid - 1;
    }
    return -1;
}
// v(ppn)
KEEP void copy(uint8_t *to, const uint8_t *from, int n) { while (n-- > 0) *to++ = *from++; }
// b(b)
KEEP uint8_t wrap(uint8_t x) { return (uint8_t)(x * 7 + 250); }
// w(ww)
KEEP int16_t saturate(int16_t a, int16_t b) {
    int s = a + b;
    if (s > 32767) s = 32767;
    if (s < -32768) s = -32768;
    return (int16_t)s;
}
// i(iii)
KEEP int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
// i(iiiiii)
KEEP int six(int a, int b, int c, int d, int e, int f) {
    return a - b + (c ^ d) - (e & f);
}
// d(dd)
KEEP double larger(double a, double b) { return a > b ? a : b; }
// i(d)
KEEP int cut(double x) { return x > 1e9 ? 1000000000 : x < -1e9 ? -1000000000 : x == x ? (int)x : 0; }
// f(f)
KEEP float cube(float x) { return x * x * x; }
// d(pn)
KEEP double mean(const uint8_t *p, int n) {
    double s = 0;
    for (int i = 0; i < n; i++) s += p[i];
    return n ? s / n : 0;
}
struct node { int32_t value; uint8_t kind; uint8_t next; };
// i(p)
KEEP int walk(const struct node *nodes) {
    int sum = 0, at = 0;
    for (int step = 0; step < 40; step++) {
        const struct node *n = &nodes[at & 15];
        if (n->kind == 'x') continue;
        sum += n->value;
        at = n->next;
    }
    return sum;
}
// v(pn)
KEEP void reverse_bytes(uint8_t *p, int n) {
    for (int i = 0, j = n - 1; i < j; i++, j--) { uint8_t t = p[i]; p[i] = p[j]; p[j] = t; }
}
// l(l)
KEEP int64_t fold(int64_t x) { int64_t a = x < 0 ? -x : x; while (a > 9) { int64_t s = 0; while (a) { s += a % 10; a /= 10; } a = s; } return a; }
// i(i)
KEEP int collatz(uint32_t x) {
    int n = 0;
    while (x > 1 && n < 500) { x = x & 1 ? 3 * x + 1 : x / 2; n++; }
    return n;
}
// i(n)
KEEP uint32_t fibonacci(int n) { return n < 2 ? (uint32_t)n : fibonacci((n - 1) & 15) + fibonacci((n - 2) & 15); }
// l(ll)
KEEP uint64_t high(uint64_t a, uint64_t b) { return (uint64_t)((unsigned __int128)a * b >> 64); }
// i(s)
KEEP int vowels(const char *s) {
    int n = 0;
    for (; *s; s++) switch (*s) { case 'a': case 'e': case 'i': case 'o': case 'u': n++; }
    return n;
}
// v(pnb)
KEEP void fill(uint8_t *p, int n, uint8_t c) { for (int i = 0; i < n; i++) p[i] = c; }
// i(pnb)
KEEP int index_of(const uint8_t *p, int n, uint8_t c) {
    for (int i = 0; i < n; i++) if (p[i] == c) return i;
    return -1;
}
// i(p)
KEEP int matrix(const int8_t *m) {
    int d = 0;
    for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++) d += m[4 * i + j] * m[4 * j + i];
    return d;
}
// i(s)
KEEP int balanced(const char *s) {
    char stack[32];
    int top = 0;
    for (; *s; s++) {
        if (*s == '(' || *s == '[') { if (top == 32) return -1; stack[top++] = *s; }
        else if (*s == ')') { if (!top || stack[--top] != '(') return 0; }
        else if (*s == ']') { if (!top || stack[--top] != '[') return 0; }
    }
    return top == 0;
}
// i(ps)
KEEP int encode(uint8_t *out, const char *s) {
    static const char digits[] = "0123456789abcdef";
    int n = 0;
    for (; *s && n < 200; s++) { out[n++] = (uint8_t)digits[(uint8_t)*s >> 4]; out[n++] = (uint8_t)digits[*s & 15]; }
    return n;
}
// l(s)
KEEP uint64_t halves(const char *s) { size_t n = strlen(s); return n / 2 + (n & 1 ? 100 : 0); }
// i(pp)
KEEP int same(const void *a, const void *b) { return memcmp(a, b, 16) == 0; }
// i(pn)
KEEP int local(const int *p, int n) {
    int seen[8] = {0};
    for (int i = 0; i < n; i++) seen[(unsigned)p[i] % 8]++;
    int best = 0;
    for (int i = 1; i < 8; i++) if (seen[i] > seen[best]) best = i;
    return best;
}
// v(pn)
KEEP void shuffle(uint8_t *p, int n) {
    uint32_t seed = 12345;
    for (int i = n - 1; i > 0; i--) {
        seed = seed * 1103515245u + 12345u;
        int j = (int)(seed >> 16) % (i + 1);
        uint8_t t = p[i]; p[i] = p[j]; p[j] = t;
    }
}
// i(ii)
KEEP int steps(int a, int b) {
    int n = 0;
    do { a = a / 3 + b % 5; b -= 7; if (a == b) break; if (a > 100) { a -= 50; continue; } n += a & 3; } while (++n < 60);
    return n;
}
