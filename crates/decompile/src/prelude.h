typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned __int128 u128 __attribute__((aligned(1), may_alias));
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;

static inline u32 __rol32(u32 a, u32 b) { return a << (b & 31) | a >> (-b & 31); }
static inline u32 __ror32(u32 a, u32 b) { return a >> (b & 31) | a << (-b & 31); }
static inline u64 __rol64(u64 a, u64 b) { return a << (b & 63) | a >> (-b & 63); }
static inline u64 __ror64(u64 a, u64 b) { return a >> (b & 63) | a << (-b & 63); }
static inline u16 __rol16(u16 a, u16 b) { return a << (b & 15) | a >> (-b & 15); }
static inline u16 __ror16(u16 a, u16 b) { return a >> (b & 15) | a << (-b & 15); }
static inline u8 __rol8(u8 a, u8 b) { return a << (b & 7) | a >> (-b & 7); }
static inline u8 __ror8(u8 a, u8 b) { return a >> (b & 7) | a << (-b & 7); }
static inline u64 __high64(u64 a, u64 b) { return (u128)a * b >> 64; }
static inline u32 __high32(u32 a, u32 b) { return (u64)a * b >> 32; }
static inline u64 __high_signed64(u64 a, u64 b) { return (__int128)(i64)a * (i64)b >> 64; }
static inline u32 __high_signed32(u32 a, u32 b) { return (u64)((i64)(i32)a * (i32)b >> 32); }
static inline u32 __bswap32(u32 a) { return __builtin_bswap32(a); }
static inline u64 __bswap64(u64 a) { return __builtin_bswap64(a); }
static inline u8 __isunordered(double a, double b) { return a != a || b != b; }
static inline u32 __u32_of_float(float a) { union { float f; u32 u; } x = {a}; return x.u; }
static inline float __float_of_u32(u32 a) { union { u32 u; float f; } x = {a}; return x.f; }
static inline u64 __u64_of_double(double a) { union { double f; u64 u; } x = {a}; return x.u; }
static inline double __double_of_u64(u64 a) { union { u64 u; double f; } x = {a}; return x.f; }
static inline u128 __u128_of_double(double a) { return __u64_of_double(a); }
static inline u128 __u128_of_float(float a) { return __u32_of_float(a); }
static inline double __double_of_u128(u128 a) { return __double_of_u64((u64)a); }
static inline float __float_of_u128(u128 a) { return __float_of_u32((u32)a); }
static inline void __fill8(u64 to, u8 value, u64 count) { while (count--) *(u8 *)to = value, to += 1; }
static inline void __fill16(u64 to, u16 value, u64 count) { while (count--) *(u16 *)to = value, to += 2; }
static inline void __fill32(u64 to, u32 value, u64 count) { while (count--) *(u32 *)to = value, to += 4; }
static inline void __fill64(u64 to, u64 value, u64 count) { while (count--) *(u64 *)to = value, to += 8; }
static inline void __copy8(u64 to, u64 from, u64 count) { while (count--) *(u8 *)to = *(u8 *)from, to += 1, from += 1; }
static inline void __copy16(u64 to, u64 from, u64 count) { while (count--) *(u16 *)to = *(u16 *)from, to += 2, from += 2; }
static inline void __copy32(u64 to, u64 from, u64 count) { while (count--) *(u32 *)to = *(u32 *)from, to += 4, from += 4; }
static inline void __copy64(u64 to, u64 from, u64 count) { while (count--) *(u64 *)to = *(u64 *)from, to += 8, from += 8; }
static inline u32 __quotient32(u32 high, u32 low, u32 b) { return ((u64)high << 32 | low) / b; }
static inline u32 __remainder32(u32 high, u32 low, u32 b) { return ((u64)high << 32 | low) % b; }
static inline u32 __signed_quotient32(u32 high, u32 low, u32 b) { return (i64)((u64)high << 32 | low) / (i32)b; }
static inline u32 __signed_remainder32(u32 high, u32 low, u32 b) { return (i64)((u64)high << 32 | low) % (i32)b; }
static inline u64 __quotient64(u64 high, u64 low, u64 b) { return ((u128)high << 64 | low) / b; }
static inline u64 __remainder64(u64 high, u64 low, u64 b) { return ((u128)high << 64 | low) % b; }
static inline u64 __signed_quotient64(u64 high, u64 low, u64 b) { return (__int128)((u128)high << 64 | low) / (i64)b; }
static inline u64 __signed_remainder64(u64 high, u64 low, u64 b) { return (__int128)((u128)high << 64 | low) % (i64)b; }
#define __OVERFLOWS(bits) \
    static inline u8 __add_overflows##bits(u##bits a, u##bits b) { i##bits c; return __builtin_add_overflow((i##bits)a, (i##bits)b, &c); } \
    static inline u8 __sub_overflows##bits(u##bits a, u##bits b) { i##bits c; return __builtin_sub_overflow((i##bits)a, (i##bits)b, &c); }
__OVERFLOWS(8)
__OVERFLOWS(16)
__OVERFLOWS(32)
__OVERFLOWS(64)

#define __EACH(name, type, count, value) \
    static inline u128 __##name(u128 a, u128 b) { \
        union { u128 all; type each[count]; } x = {a}, y = {b}; \
        for (int i = 0; i < count; i++) x.each[i] = value; \
        return x.all; \
    }
__EACH(paddb, u8, 16, x.each[i] + y.each[i])
__EACH(paddw, u16, 8, x.each[i] + y.each[i])
__EACH(paddd, u32, 4, x.each[i] + y.each[i])
__EACH(paddq, u64, 2, x.each[i] + y.each[i])
__EACH(psubb, u8, 16, x.each[i] - y.each[i])
__EACH(psubw, u16, 8, x.each[i] - y.each[i])
__EACH(psubd, u32, 4, x.each[i] - y.each[i])
__EACH(psubq, u64, 2, x.each[i] - y.each[i])
__EACH(pcmpeqb, u8, 16, -(x.each[i] == y.each[i]))
__EACH(pcmpeqw, u16, 8, -(x.each[i] == y.each[i]))
__EACH(pcmpeqd, u32, 4, -(x.each[i] == y.each[i]))
__EACH(pcmpgtb, i8, 16, -(x.each[i] > y.each[i]))
__EACH(pcmpgtw, i16, 8, -(x.each[i] > y.each[i]))
__EACH(pcmpgtd, i32, 4, -(x.each[i] > y.each[i]))
__EACH(pmullw, u16, 8, x.each[i] * y.each[i])
__EACH(pmulld, u32, 4, x.each[i] * y.each[i])
__EACH(addps, float, 4, x.each[i] + y.each[i])
__EACH(addpd, double, 2, x.each[i] + y.each[i])
__EACH(mulps, float, 4, x.each[i] * y.each[i])
__EACH(mulpd, double, 2, x.each[i] * y.each[i])
__EACH(pcmpgtq, i64, 2, -(x.each[i] > y.each[i]))
__EACH(pmaxub, u8, 16, x.each[i] > y.each[i] ? x.each[i] : y.each[i])
__EACH(pminub, u8, 16, x.each[i] < y.each[i] ? x.each[i] : y.each[i])
__EACH(pmaxsw, i16, 8, x.each[i] > y.each[i] ? x.each[i] : y.each[i])
__EACH(pminsw, i16, 8, x.each[i] < y.each[i] ? x.each[i] : y.each[i])
__EACH(psubusb, u8, 16, x.each[i] > y.each[i] ? x.each[i] - y.each[i] : 0)
__EACH(psubusw, u16, 8, x.each[i] > y.each[i] ? x.each[i] - y.each[i] : 0)
__EACH(pmulhw, i16, 8, x.each[i] * y.each[i] >> 16)
__EACH(pmulhuw, u16, 8, (u32)x.each[i] * y.each[i] >> 16)
__EACH(pmuludq, u64, 2, (u64)(u32)x.each[i] * (u32)y.each[i])
__EACH(subps, float, 4, x.each[i] - y.each[i])
__EACH(subpd, double, 2, x.each[i] - y.each[i])
__EACH(divps, float, 4, x.each[i] / y.each[i])
__EACH(divpd, double, 2, x.each[i] / y.each[i])
/* By as many bits as the low half of `b` says, all alike. */
__EACH(psllw, u16, 8, (u64)b > 15 ? 0 : x.each[i] << (u64)b)
__EACH(pslld, u32, 4, (u64)b > 31 ? 0 : x.each[i] << (u64)b)
__EACH(psllq, u64, 2, (u64)b > 63 ? 0 : x.each[i] << (u64)b)
__EACH(psrlw, u16, 8, (u64)b > 15 ? 0 : x.each[i] >> (u64)b)
__EACH(psrld, u32, 4, (u64)b > 31 ? 0 : x.each[i] >> (u64)b)
__EACH(psrlq, u64, 2, (u64)b > 63 ? 0 : x.each[i] >> (u64)b)
__EACH(psraw, i16, 8, x.each[i] >> ((u64)b > 15 ? 15 : (u64)b))
__EACH(psrad, i32, 4, x.each[i] >> ((u64)b > 31 ? 31 : (u64)b))
#define __LOW(name, type, count, from) \
    static inline u128 __##name(u128 a, u128 b) { \
        union { u128 all; type each[count]; } x = {a}, y = {b}, z; \
        for (int i = 0; i < count; i++) z.each[i] = i & 1 ? y.each[from + i / 2] : x.each[from + i / 2]; \
        return z.all; \
    }
__LOW(punpcklbw, u8, 16, 0)
__LOW(punpckhbw, u8, 16, 8)
__LOW(punpcklwd, u16, 8, 0)
__LOW(punpckhwd, u16, 8, 4)
__LOW(punpckldq, u32, 4, 0)
__LOW(punpckhdq, u32, 4, 2)
__LOW(punpcklqdq, u64, 2, 0)
__LOW(punpckhqdq, u64, 2, 1)
#define __PACK(name, from, to, count, low, high) \
    static inline u128 __##name(u128 a, u128 b) { \
        union { u128 all; from each[count]; } x = {a}, y = {b}; \
        union { u128 all; to each[2 * count]; } z; \
        for (int i = 0; i < 2 * count; i++) { \
            from v = i < count ? x.each[i] : y.each[i - count]; \
            z.each[i] = v < low ? low : v > high ? high : v; \
        } \
        return z.all; \
    }
__PACK(packuswb, i16, u8, 8, 0, 255)
__PACK(packsswb, i16, i8, 8, -128, 127)
__PACK(packssdw, i32, i16, 4, -32768, 32767)
static inline u128 __pand(u128 a, u128 b) { return a & b; }
static inline u128 __por(u128 a, u128 b) { return a | b; }
static inline u128 __pxor(u128 a, u128 b) { return a ^ b; }
static inline u128 __pandn(u128 a, u128 b) { return ~a & b; }
static inline u128 __psrldq(u128 a, u8 b) { return b > 15 ? 0 : a >> 8 * b; }
static inline u128 __pslldq(u128 a, u8 b) { return b > 15 ? 0 : a << 8 * b; }
static inline u32 __pmovmskb(u128 a) {
    u32 bits = 0;
    for (int i = 0; i < 16; i++) bits |= (u32)(a >> (8 * i + 7) & 1) << i;
    return bits;
}
static inline u128 __pshufd(u128 a, u8 b) {
    union { u128 all; u32 each[4]; } x = {a}, y;
    for (int i = 0; i < 4; i++) y.each[i] = x.each[b >> 2 * i & 3];
    return y.all;
}
static inline u128 __words(u128 a, u8 b, int from) {
    union { u128 all; u16 each[8]; } x = {a}, y = {a};
    for (int i = 0; i < 4; i++) y.each[from + i] = x.each[from + (b >> 2 * i & 3)];
    return y.all;
}
static inline u128 __pshuflw(u128 a, u8 b) { return __words(a, b, 0); }
static inline u128 __pshufhw(u128 a, u8 b) { return __words(a, b, 4); }
static inline u128 __shufps(u128 a, u128 b, u8 c) {
    union { u128 all; u32 each[4]; } x = {a}, y = {b}, z;
    for (int i = 0; i < 4; i++) z.each[i] = (i < 2 ? x : y).each[c >> 2 * i & 3];
    return z.all;
}
static inline u16 __pextrw(u128 a, u8 b) { return (u16)(a >> 16 * (b & 7)); }
static inline u128 __andps(u128 a, u128 b) { return a & b; }
static inline u128 __andpd(u128 a, u128 b) { return a & b; }
static inline u128 __andnps(u128 a, u128 b) { return ~a & b; }
static inline u128 __andnpd(u128 a, u128 b) { return ~a & b; }
static inline u128 __orps(u128 a, u128 b) { return a | b; }
static inline u128 __orpd(u128 a, u128 b) { return a | b; }
static inline u128 __xorps(u128 a, u128 b) { return a ^ b; }
static inline u128 __xorpd(u128 a, u128 b) { return a ^ b; }
static inline u128 __unpcklps(u128 a, u128 b) { return __punpckldq(a, b); }
static inline u128 __unpckhps(u128 a, u128 b) { return __punpckhdq(a, b); }
static inline u128 __unpcklpd(u128 a, u128 b) { return __punpcklqdq(a, b); }
static inline u128 __unpckhpd(u128 a, u128 b) { return __punpckhqdq(a, b); }
static inline u128 __movhlps(u128 a, u128 b) { return a >> 64 << 64 | b >> 64; }
static inline u128 __movlhps(u128 a, u128 b) { return b << 64 | (u64)a; }
static inline u64 __high_of(u128 a) { return (u64)(a >> 64); }
static inline u64 __low_of(u128 a) { return (u64)a; }
static inline u128 __with_high(u128 a, u64 b) { return (u128)b << 64 | (u64)a; }
static inline u128 __with_low(u128 a, u64 b) { return a >> 64 << 64 | b; }
