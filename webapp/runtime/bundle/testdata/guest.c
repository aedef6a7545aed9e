// A guest that is not written in Go: it proves that the interface of
// docs/worker-protocol.md §9 can be spoken without the SDK. It has three
// servlets: hello, count (a number in the session) and read (the length of the
// request's body).
//
// clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o app.wasm guest.c

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(name) __attribute__((import_module("serval"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("recv") int host_recv(void *p, int capacity, int timeout);
IMPORT("send") void host_send(const void *p, int length);

enum { HELLO = 1, WELCOME = 2, INVOKE = 16, INIT = 17, EVENT = 18, RESPONSE = 32, DATA = 33, END = 34, WINDOW = 35, CALL = 37, REPLY = 38 };
enum { FLAG_END = 1 };

static u8 in[1 << 20], out[1 << 16];
static u32 in_len, in_at, out_len;
static int bad; // reading went beyond the frame

// Writing.

static void put(u8 b) { if (out_len < sizeof out) out[out_len++] = b; }
static void put_uint(u64 v) { while (v >= 0x80) { put(v | 0x80); v >>= 7; } put(v); }
static void put_bytes(const u8 *p, u32 n) { put_uint(n); while (n--) put(*p++); }
static void put_string(const char *s) { u32 n = 0; while (s[n]) n++; put_bytes((const u8 *)s, n); }

static void begin(u8 type, u8 flags, u32 stream) {
    out_len = 4;
    put(type);
    put(flags);
    for (int shift = 24; shift >= 0; shift -= 8) put(stream >> shift);
}

static void finish(void) {
    u32 n = out_len - 10;
    for (int i = 0; i < 4; i++) out[i] = n >> (24 - 8 * i);
    host_send(out, out_len);
}

// Reading.

static u8 get(void) { if (in_at < in_len) return in[in_at++]; bad = 1; return 0; }
static u64 get_uint(void) {
    u64 v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        u8 b = get();
        v |= (u64)(b & 0x7f) << shift;
        if (b < 0x80) return v;
    }
    bad = 1;
    return 0;
}
static u8 *get_bytes(u32 *n) {
    u64 len = get_uint();
    if (len > in_len - in_at) { bad = 1; len = 0; }
    u8 *p = in + in_at;
    in_at += len;
    *n = len;
    return p;
}
static void skip_bytes(void) { u32 n; get_bytes(&n); }
static void skip_strings(int n) { while (n--) skip_bytes(); }
static int is(const u8 *p, u32 n, const char *s) {
    u32 i = 0;
    while (i < n && s[i] && p[i] == (u8)s[i]) i++;
    return i == n && !s[i];
}

// receive waits for the next frame.
static u8 type, flags;
static u32 stream;
static int receive(void) {
    int n = host_recv(in, sizeof in, -1);
    if (n < 10 || n > (int)sizeof in) return 0;
    in_len = n;
    in_at = 10;
    bad = 0;
    type = in[4];
    flags = in[5];
    stream = (u32)in[6] << 24 | in[7] << 16 | in[8] << 8 | in[9];
    return 1;
}

// An empty END: all went well.
static void end(u32 id) { begin(END, FLAG_END, id); put(0); put_uint(0); put_uint(0); finish(); }

// Segments: which servlet is behind a number.
static u8 segments[64];
static const char *names[] = {"hello", "count", "read"};

static void init(void) {
    u32 id = stream, n;
    if (get() == 4) { // segment: number, filters, servlet
        u64 number = get_uint();
        for (u64 f = get_uint(); f && !bad; f--) skip_bytes();
        u8 *name = get_bytes(&n);
        for (u32 i = 0; i < 3; i++)
            if (number < sizeof segments && is(name, n, names[i])) segments[number] = i + 1;
    }
    end(id);
}

// session reads a session and returns the number under "n", 0 if there is none.
static u32 session(void) {
    u32 value = 0, n;
    skip_bytes();
    get();
    get_uint(); // created, last accessed, inactive: zigzag, not needed
    get_uint();
    get_uint();
    for (u64 count = get_uint(); count && !bad; count--) {
        u8 *name = get_bytes(&n);
        int ours = is(name, n, "n");
        get_uint();
        get_uint();
        get_uint();
        u8 mode = get();
        if (mode == 1 || mode == 2) get_uint();
        if (mode > 1) continue;
        u8 *cbor = get_bytes(&n);
        if (!ours || !n) continue;
        if (cbor[0] < 24) value = cbor[0];
        else if (cbor[0] == 24 && n == 2) value = cbor[1];
        else if (cbor[0] == 25 && n == 3) value = cbor[1] << 8 | cbor[2];
    }
    return value;
}

// head begins an answer with a text; with changed the session's "n" is set.
static void answer(u32 id, const char *text, u32 length, int changed, u32 n) {
    begin(RESPONSE, FLAG_END, id);
    put(changed ? 1 : 0);
    put_uint(200);
    put_uint(1);
    put_string("Content-Type");
    put_string("text/plain; charset=utf-8");
    if (changed) {
        put_uint(1);
        put_string("n");
        put(0);
        u8 cbor[3] = {25, n >> 8, n};
        if (n < 24) { cbor[0] = n; put_bytes(cbor, 1); }
        else if (n < 256) { cbor[0] = 24; cbor[1] = n; put_bytes(cbor, 2); }
        else put_bytes(cbor, 3);
        put_uint(0); // names read
        put(0);      // inactive time
    }
    while (length--) put(*text++);
    finish();
}

static u32 decimal(char *to, u32 n) {
    char digits[10];
    u32 k = 0, len = 0;
    do digits[k++] = '0' + n % 10; while (n /= 10);
    while (k) to[len++] = digits[--k];
    return len;
}

static void invoke(void) {
    u32 id = stream, n;
    u8 ended = flags & FLAG_END;
    u64 number = get_uint();
    get_uint(); // scope
    get();      // dispatcher type
    u8 parts = get();
    get_uint(); // time left
    skip_bytes();
    get();
    skip_strings(5);
    if (parts & 8) skip_bytes();
    get_uint(); // content length
    for (u64 k = get_uint(); k && !bad; k--) skip_strings(2);
    if (parts & 64) for (u64 k = get_uint(); k && !bad; k--) skip_bytes();
    if (parts & 2) {
        get_uint();
        get_uint();
        skip_strings(2);
        for (u64 k = get_uint(); k && !bad; k--) skip_bytes();
    }
    skip_strings(4); // request URI, query, servlet path, path info
    get();
    skip_strings(3); // matched value, pattern, servlet
    if (parts & 32) for (u64 k = get_uint(); k && !bad; k--) skip_strings(2);
    if (parts & 16) for (u64 k = get_uint(); k && !bad; k--) skip_strings(2);
    u32 value = parts & 1 ? session() : 0;
    if (parts & 128) for (u64 k = get_uint(); k && !bad; k--) skip_strings(2);
    u32 length = in_len - in_at; // of the body so far
    char text[32];
    switch (number < sizeof segments ? segments[number] : 0) {
    case 1:
        answer(id, "hello from C", 12, 0, 0);
        return;
    case 2:
        if (!(parts & 1)) { // make a session
            begin(CALL, 0, id);
            put_uint(1);
            put(1);
            put(1);
            finish();
            if (!receive() || type != REPLY) __builtin_trap();
        }
        n = decimal(text, value + 1);
        answer(id, text, n, 1, value + 1);
        return;
    case 3:
        if (!ended) {
            begin(WINDOW, 0, id);
            put_uint(0);
            finish();
        }
        while (!ended) {
            if (!receive()) __builtin_trap();
            if (stream != id) continue;
            if (type == DATA) {
                n = in_len - in_at;
                length += n;
                if (n) { // grant as much again
                    begin(WINDOW, 0, id);
                    put_uint(n);
                    finish();
                }
            }
            ended = type == END || flags & FLAG_END;
        }
        n = decimal(text, length);
        answer(id, text, n, 0, 0);
        return;
    }
    begin(END, FLAG_END, id); // a failure
    put(2);
    put_uint(0);
    put_uint(0);
    put(1);
    put_string("no such servlet");
    put_uint(0);
    put_uint(0);
    put_uint(0);
    put(0);
    finish();
}

EXPORT("serval_abi") int serval_abi(void) { return 1; }

EXPORT("serval_start") int serval_start(void) {
    begin(HELLO, 0, 0);
    put_string("serval-worker");
    put_uint(1);
    put_uint(1);
    put_string("guest.c");
    put_uint(0);
    put_uint(0);
    put_uint(3);
    const char *sorted[] = {"count", "hello", "read"};
    for (int i = 0; i < 3; i++) {
        put(1);
        put_string(sorted[i]);
        put_uint(0);
    }
    finish();
    return 0;
}

EXPORT("serval_run") int serval_run(void) {
    if (!receive()) return 1;
    if (type == INIT) init();
    else if (type == INVOKE) invoke();
    else if (type == EVENT) end(stream);
    return bad;
}
