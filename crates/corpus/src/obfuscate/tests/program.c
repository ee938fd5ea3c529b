/* What obfuscation must not change: it prints what it computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Recursion. */
static unsigned ackermann(unsigned m, unsigned n)
{
    if (m == 0)
        return n + 1;
    if (n == 0)
        return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

/* Loops whose variables depend on each other: phis that must change at once. */
__attribute__((noinline)) static unsigned swaps(unsigned n)
{
    unsigned a = 0, b = 1, c = 2, t;
    while (n--) {
        t = a;
        a = b;
        b = c;
        c = t + (n & 3);
        if (c > 1000)
            c -= 999;
    }
    return a * 1000000 + b * 1000 + c;
}

/* A dense switch with fall-through, and a sparse one over 64 bits. */
__attribute__((noinline)) static int dense(int x)
{
    int r = 0;
    switch (x) {
    case 0: r = 5; break;
    case 1: r += 3; /* fall through */
    case 2: r += x * 2; break;
    case 3: puts("three"); /* fall through */
    case 4: case 5: case 6: r -= 7; break;
    case 7: r = 11; break; case 8: r = 31; break; case 9: r = 12; break;
    case 10: r = 13; break; case 11: r = 14; break; case 12: r = 19; break;
    case 13: r = 21; break; case 14: r = x ^ 77; break; case 15: r = x << 3; break;
    case 16: r = 41; break; case 17: r = 47; break; case 18: r = 40; break;
    case 19: r = 2; break; case 20: return dense(x - 20) + 1;
    default: r = -x;
    }
    return r;
}

__attribute__((noinline)) static const char *sparse(long long x)
{
    switch (x) {
    case -5: return "minus five";
    case 0x123456789abcLL: return "big";
    case 77: return "seventy-seven";
    default: return x < 0 ? "negative" : "other";
    }
}

/* Jumps out of and into loops. */
__attribute__((noinline)) static int gotos(int n)
{
    int i = 0, s = 0;
again:
    for (; i < n; i++) {
        if (i % 7 == 3)
            goto skip;
        s += i;
        if (s > 50 && i % 5 == 0)
            goto out;
    }
    return s;
skip:
    s ^= i++;
    goto again;
out:
    return -s;
}

/* A computed goto: an interpreter of its own. */
__attribute__((noinline)) static int threaded(const char *code)
{
    static const void *const labels[] = {&&halt, &&inc, &&twice};
    int value = 1;
#define NEXT goto *labels[*code == '+' ? (code++, 1) : *code == '*' ? (code++, 2) : 0]
    NEXT;
inc: value++; NEXT;
twice: value *= 2; NEXT;
halt: return value;
}

/* Structures by value, small and large, with floats. */
struct small { short a; float b; };
struct large { double d[3]; struct small s; char name[12]; };

__attribute__((noinline)) static struct small make_small(int i)
{
    struct small s = {(short)(i * 3), i / 4.0f};
    return s;
}

__attribute__((noinline)) static struct large make_large(struct small s, int i)
{
    struct large l;
    for (int k = 0; k < 3; k++)
        l.d[k] = s.b * k + s.a;
    l.s = i & 1 ? s : make_small(i);
    strcpy(l.name, i & 1 ? "odd" : "even");
    return l;
}

__attribute__((noinline)) static double weigh(struct large l, long double w)
{
    double sum = 0;
    for (int k = 0; k < 3; k++)
        sum += l.d[k] > 2 ? l.d[k] : (double)(w * k);
    return sum + l.s.b;
}

/* Variable arguments. */
__attribute__((noinline)) static double mixed(const char *kinds, ...)
{
    va_list ap;
    double sum = 0;
    va_start(ap, kinds);
    for (; *kinds; kinds++)
        switch (*kinds) {
        case 'i': sum += va_arg(ap, int); break;
        case 'd': sum += va_arg(ap, double); break;
        case 'l': sum += (double)va_arg(ap, long long); break;
        case 's': sum += (double)strlen(va_arg(ap, char *)); break;
        }
    va_end(ap);
    return sum;
}

/* A second return. */
static jmp_buf place;
__attribute__((noinline)) static void jump(int n)
{
    if (n == 0)
        longjmp(place, 42);
    jump(n - 1);
}
__attribute__((noinline)) static int jumps(void)
{
    volatile int count = 0;
    int value = setjmp(place);
    count++;
    if (value == 0)
        jump(3);
    return value * 10 + count;
}

/* Function pointers and static variables. */
static int counter(void)
{
    static int calls = 100;
    return calls++;
}
static int by_length(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t m = strlen(x), n = strlen(y);
    return m < n ? -1 : m > n ? 1 : strcmp(x, y);
}
typedef int (*unary)(int);
__attribute__((noinline)) static unary choose(int i) { return i & 1 ? dense : gotos; }

/* Integers of many widths, bit fields, rotations. */
struct bits { unsigned a : 3; int b : 7; unsigned c : 13; };
__attribute__((noinline)) static uint64_t mix(uint64_t h, uint8_t b, uint16_t s)
{
    h ^= b;
    h = (h << 13) | (h >> 51);
    h += (uint64_t)s << 17;
    h -= ~h & 0xff00ff;
    h = (h & 0x0f0f0f0f0f0f0f0f) | ((h | 3) ^ s);
    b = (uint8_t)(b + 200);
    s = (uint16_t)(s - b);
    return h + b * s;
}
__attribute__((noinline)) static unsigned fields(struct bits x)
{
    x.a += 5;
    x.b = (x.b ^ 33) - 2;
    x.c |= 0x1001;
    return x.a + (unsigned)(x.b + 200) * 10 + x.c * 10000u;
}
#ifdef __SIZEOF_INT128__
__attribute__((noinline)) static uint64_t wide(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;
    p = (p + a) ^ (p - b);
    p |= (unsigned __int128)7 << 90;
    p &= ~(unsigned __int128)0xff;
    return (uint64_t)(p >> 64) ^ (uint64_t)p;
}
#else
static uint64_t wide(uint64_t a, uint64_t b) { return a * b; }
#endif

/* Arrays of variable length, and loops that become vectors. */
__attribute__((noinline)) static long vectors(const int *a, int n)
{
    int copy[n + 1];
    long sum = 0;
    for (int i = 0; i < n; i++)
        copy[i] = (a[i] ^ 0x55) + i - (a[i] & 0xf0);
    for (int i = 0; i < n; i++)
        sum += copy[i];
    for (int i = 0; i < n; i++) {
        char inner[(i & 3) + 1];
        memset(inner, i, sizeof inner);
        sum += inner[i & 3 & (int)(sizeof inner - 1)];
    }
    return sum;
}

static float norm(const float *v, int n)
{
    float s = 0, best = -1e30f;
    for (int i = 0; i < n; i++) {
        s += v[i] * v[i];
        best = v[i] > best ? v[i] : best;
    }
    return s < 0 ? 0 : s - best;
}

/* Atomics and inline assembly. */
static int shared;
__attribute__((noinline)) static int atomics(int n)
{
    int old = 0;
    for (int i = 0; i < n; i++) {
        __atomic_fetch_add(&shared, i, __ATOMIC_SEQ_CST);
        old = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
        if (!__atomic_compare_exchange_n(&shared, &old, old ^ 5, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return -1;
        __asm__ volatile("# %0" : "+r"(old) : : "memory");
    }
    return old + shared;
}

static const char table[] = "a table of \"bytes\"\\ with \x01\xff";

int main(int argc, char **argv)
{
    (void)argv;
    printf("ackermann %u\n", ackermann(2, 3));
    for (unsigned n = 0; n < 30; n += 7)
        printf("swaps %u\n", swaps(n));
    for (int i = -2; i < 24; i++)
        printf("dense %d %d\n", i, dense(i));
    printf("sparse %s %s %s %s\n", sparse(-5), sparse(0x123456789abcLL), sparse(77 * argc), sparse(-6));
    for (int i = 0; i < 40; i += 9)
        printf("gotos %d\n", gotos(i));
    printf("threaded %d\n", threaded("++**+*"));
    for (int i = 0; i < 4; i++) {
        struct large l = make_large(make_small(i + argc), i);
        printf("struct %s %.3f %d\n", l.name, weigh(l, 0.5L), l.s.a);
    }
    printf("mixed %.2f\n", mixed("idsl", 3, 2.5, "four", 1LL << 33));
    printf("jumps %d\n", jumps());
    int first = counter();
    printf("counter %d %d\n", first, counter());
    const char *words[] = {"pear", "fig", "banana", "kiwi", "apple"};
    qsort(words, 5, sizeof *words, by_length);
    for (int i = 0; i < 5; i++)
        printf("%s%c", words[i], i < 4 ? ' ' : '\n');
    for (int i = 0; i < 4; i++)
        printf("choose %d\n", choose(i)(i * 5));
    uint64_t h = 0x1234;
    for (int i = 0; i < 50; i++)
        h = mix(h, (uint8_t)(i * 37), (uint16_t)(i * 9999));
    printf("mix %llx\n", (unsigned long long)h);
    struct bits x = {6, -3, 77};
    printf("fields %u\n", fields(x));
    printf("wide %llx\n", (unsigned long long)wide(h, h * 3 + 1));
    int numbers[57];
    float floats[13];
    for (int i = 0; i < 57; i++)
        numbers[i] = i * i * 31;
    for (int i = 0; i < 13; i++)
        floats[i] = (float)i * 0.25f - 1;
    printf("vectors %ld norm %.4f\n", vectors(numbers, 57), norm(floats, 13));
    printf("atomics %d\n", atomics(9));
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof table; i++)
        sum = sum * 31 + (unsigned char)table[i];
    printf("table %u\n", sum);
    return sum % 7;
}
