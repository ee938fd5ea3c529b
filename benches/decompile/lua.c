#include <stdio.h>
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static const char script[] =
    "local t = {} for i = 1, 300 do t[i] = (i * 7919) % 1009 end table.sort(t) print(table.concat(t, ',', 1, 40))\n"
    "local words = {} for w in ('the quick brown fox jumps over the lazy dog'):gmatch('%a+') do words[#words + 1] = w:upper():reverse() end print(table.concat(words, ' '))\n"
    "print(('%5.2f|%-8s|%08x|%q'):format(3.14159, 'ab', 48879, 'a\\nb'))\n"
    "local co = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield(a + i) end return 'end' end) print(co(1), co(10), co(20), co(30))\n"
    "local C = {} C.__index = C C.__add = function(a, b) return setmetatable({v = a.v + b.v}, C) end C.__tostring = function(s) return 'C' .. s.v end print(tostring(setmetatable({v = 2}, C) + setmetatable({v = 3}, C)))\n"
    "print(select(2, pcall(function() error({code = 5}) end)).code) print(select(2, pcall(function() local x = nil; return x.y end)))\n"
    "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end print(fib(18))\n"
    "print(1 // 0.0, 7 // -2, -7 % 3, 2^10, 10 / 4, 5 & 6 | 1, ~5, 1 << 40, 'a' .. 1 .. 2.0, 0x10p2, 1e15, 2^53 == 2^53 + 1)\n"
    "print(string.pack('<i4z', 100, 'x'):byte(1, -1)) print(utf8.char(228, 8364), utf8.len('a\\u{20ac}'))\n"
    "local s = 0 for k, v in pairs({10, 20, 30, x = 1, y = 2}) do s = s + v end print(s, #('x'):rep(1000), math.floor(-3.5), math.tointeger(3.0), math.max(1, 5, 3), tostring(nil), tonumber('0x1F'), tonumber('z', 36))\n"
    "goto done do print('never') end ::done:: print(load('return 1 + 1')(), next({}), rawequal(t, t), type(print), (('x'):gsub('x', '%0%0')))\n"
    "collectgarbage() local big = {} for i = 1, 5000 do big['k' .. i] = {i} end collectgarbage('step') print(collectgarbage('count') > 0, big.k77[1])\n"
    "print(load('x = = 1')) print(load('for i = 1 do end')) print(#string.dump(function() return 1 end) > 10)\n";

int main(void) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_dostring(L, script)) printf("%s\n", lua_tostring(L, -1));
    lua_close(L);
    return 0;
}
