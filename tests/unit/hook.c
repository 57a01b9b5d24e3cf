/* SPDX-License-Identifier: ISC */
#include "tests/unit/hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 64, BYTES_MAX = 65536, READS_MAX = 16 };

enum late { WRITE, SET, CLEAR };

/* A store that others do not see yet. */
struct waiting {
    enum late what;
    uint8_t *at;
    const uint8_t *from;
    size_t len;
};

struct late_read {
    uint8_t *to;
    const uint8_t *from;
    size_t len;
};

static struct {
    enum hook_memory memory;
    void (*fn)(void *ctx, const struct hook_access *access);
    void *ctx;
    unsigned int count, limit, aside;
    struct waiting waiting[WAITING_MAX];
    unsigned int waits;
    uint8_t bytes[BYTES_MAX];
    size_t used;
    struct late_read reads[READS_MAX];
    unsigned int late;
    const uint8_t *watched;
    size_t watched_len;
    uint8_t old[XIDS_PAGE_SIZE];
} h = {.limit = UINT32_MAX};

static bool all_allowed(const void *at, size_t len, bool write)
{
    (void)at;
    (void)len;
    (void)write;
    return true;
}

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

bool (*hook_allowed)(const void *at, size_t len, bool write) = all_allowed;
void (*hook_failed)(const char *what) = die;

/* ---- what is late ---- */

static void carry_out(const struct waiting *s)
{
    if (s->what == SET)
        *s->at |= *s->from;
    else if (s->what == CLEAR)
        *s->at &= (uint8_t) ~*s->from;
    else
        memcpy(s->at, s->from, s->len);
}

/* The first n of the waiting stores are seen. */
static void show(unsigned int n)
{
    for (unsigned int i = 0; i < n; i++)
        carry_out(&h.waiting[i]);
    h.waits -= n;
    memmove(h.waiting, h.waiting + n, h.waits * sizeof(h.waiting[0]));
    if (h.waits == 0)
        h.used = 0;
}

static void wait(enum late what, uint8_t *at, const void *from, size_t len)
{
    if (h.waits == WAITING_MAX || len > BYTES_MAX - h.used)
        show(h.waits);
    uint8_t *copy = h.bytes + h.used;
    memcpy(copy, from, len);
    h.used += len;
    h.waiting[h.waits++] = (struct waiting){what, at, copy, len};
}

static bool overlap(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static void read_now(void)
{
    for (unsigned int i = 0; i < h.late; i++)
        memcpy(h.reads[i].to, h.reads[i].from, h.reads[i].len);
    h.late = 0;
}

/* What is read after this is not older than this. */
static void look_anew(void)
{
    if (h.watched_len != 0)
        memcpy(h.old, h.watched, h.watched_len);
}

/* Reads, of the old copy or of memory, what the subject sees there: its own stores are seen by itself at once. */
static void see(void *to, const uint8_t *at, size_t len, bool early)
{
    uint8_t *out = to;
    bool inside = at >= h.watched && at < h.watched + h.watched_len && len <= (size_t)(h.watched + h.watched_len - at);
    memcpy(out, early && inside ? h.old + (at - h.watched) : at, len);
    for (unsigned int i = 0; i < h.waits; i++)
        for (size_t k = 0; k < h.waiting[i].len; k++) {
            const struct waiting *s = &h.waiting[i];
            if (s->at + k < at || s->at + k >= at + len)
                continue;
            uint8_t *byte = out + (s->at + k - at);
            *byte = s->what == SET     ? (uint8_t)(*byte | s->from[k])
                    : s->what == CLEAR ? (uint8_t)(*byte & ~s->from[k])
                                       : s->from[k];
        }
}

/* A store of the subject's own: an early read of the same place sees it. */
static void own_store(const uint8_t *at, const void *from, size_t len)
{
    for (size_t k = 0; k < len; k++)
        if (at + k >= h.watched && at + k < h.watched + h.watched_len)
            h.old[at + k - h.watched] = ((const uint8_t *)from)[k];
}

/* ---- each access ---- */

static void before(enum hook_kind kind, const void *at, size_t len)
{
    bool write = kind == HOOK_STORE || kind == HOOK_BITS || kind == HOOK_PUT || kind == HOOK_WIPE;
    if (len != 0 && !hook_allowed(at, len, write))
        hook_failed(write ? "a store outside the shared pages" : "a load outside the shared pages");
    if (h.aside != 0)
        return;
    struct hook_access access = {kind, (uint8_t *)(uintptr_t)at, len, h.count};
    if (++h.count > h.limit)
        hook_failed("a call does not come to an end");
    if (h.fn != NULL) {
        h.aside++;
        h.fn(h.ctx, &access);
        h.aside--;
    }
}

/* The other side stores where a locked operation of the subject waits: it came first, or it were not atomic. */
static void settle(const uint8_t *at, size_t len)
{
    for (unsigned int i = h.waits; h.aside != 0 && i > 0; i--)
        if (h.waiting[i - 1].what != WRITE && overlap(h.waiting[i - 1].at, h.waiting[i - 1].len, at, len)) {
            show(i);
            return;
        }
}

uint32_t hook_load(const void *at, size_t size, enum hook_order order)
{
    uint8_t byte = 0;
    uint16_t half = 0;
    uint32_t word = 0;
    void *to = size == 1 ? (void *)&byte : size == 2 ? (void *)&half : (void *)&word;
    before(HOOK_LOAD, at, size);
    bool early = h.memory == (size == 1 ? HOOK_EARLY_BYTES : HOOK_EARLY_INDEX);
    if (h.aside != 0)
        memcpy(to, at, size);
    else
        see(to, at, size, early);
    if (h.aside == 0 && order == HOOK_ACQUIRE)
        look_anew();
    return size == 1 ? byte : size == 2 ? half : word;
}

static void release(void)
{
    read_now();
    if (h.memory != HOOK_LATE_STORES)
        show(h.waits);
}

static void store(uint8_t *at, const void *from, size_t len, bool copy)
{
    if (h.aside != 0) {
        settle(at, len);
        memcpy(at, from, len);
        return;
    }
    own_store(at, from, len);
    for (unsigned int i = 0; i < h.late; i++)
        if (overlap(h.reads[i].from, h.reads[i].len, at, len))
            read_now();
    if (h.memory == HOOK_LATE_STORES || (h.memory == HOOK_LATE_COPIES && copy))
        wait(WRITE, at, from, len);
    else
        memcpy(at, from, len);
}

void hook_store(void *at, size_t size, uint32_t value, enum hook_order order)
{
    uint8_t byte = (uint8_t)value;
    uint16_t half = (uint16_t)value;
    before(HOOK_STORE, at, size);
    if (h.aside == 0 && order == HOOK_RELEASE)
        release();
    store(at, size == 1 ? (void *)&byte : size == 2 ? (void *)&half : (void *)&value, size, false);
}

/* Acquire and release, but no fence: what follows may be read before others see the new bits. */
static uint8_t bits(uint8_t *at, uint8_t mask, bool set)
{
    uint8_t old = 0, new = 0;
    before(HOOK_BITS, at, 1);
    if (h.aside != 0) {
        settle(at, 1);
        old = *at;
        *at = set ? (uint8_t)(old | mask) : (uint8_t)(old & ~mask);
        return old;
    }
    release();
    see(&old, at, 1, false);
    new = set ? (uint8_t)(old | mask) : old &(uint8_t)~mask;
    look_anew();
    own_store(at, &new, 1);
    if (h.memory == HOOK_LATE_STORES)
        wait(set ? SET : CLEAR, at, &mask, 1);
    else
        *at = new;
    return old;
}

uint8_t hook_set_bits(uint8_t *at, uint8_t mask)
{
    return bits(at, mask, true);
}

uint8_t hook_clear_bits(uint8_t *at, uint8_t mask)
{
    return bits(at, mask, false);
}

static void all_is_seen(void)
{
    if (h.aside != 0)
        return;
    read_now();
    show(h.waits);
    look_anew();
}

void hook_hypercall(void)
{
    before(HOOK_CALL, NULL, 0);
    all_is_seen();
}

void hook_fence(void)
{
    before(HOOK_FENCE, NULL, 0);
    all_is_seen();
}

void hook_get(void *to, const void *from, size_t len)
{
    before(HOOK_GET, from, len);
    if (h.aside != 0) {
        memcpy(to, from, len);
        return;
    }
    see(to, from, len, h.memory == HOOK_EARLY_READS);
    if (h.memory == HOOK_LATE_READS && h.late < READS_MAX)
        h.reads[h.late++] = (struct late_read){to, from, len};
}

void hook_put(void *to, const void *from, size_t len)
{
    before(HOOK_PUT, to, len);
    store(to, from, len, true);
}

void hook_wipe(void *at, size_t len)
{
    static const uint8_t zeros[XIDS_PAGE_SIZE];
    before(HOOK_WIPE, at, len);
    for (uint8_t *to = at; len > 0;) {
        size_t n = len < sizeof(zeros) ? len : sizeof(zeros);
        store(to, zeros, n, true);
        to += n;
        len -= n;
    }
}

/* ---- the test's side ---- */

void hook_begin(enum hook_memory memory, void (*fn)(void *ctx, const struct hook_access *access), void *ctx)
{
    h.memory = memory;
    h.fn = fn;
    h.ctx = ctx;
    h.count = 0;
    h.limit = UINT32_MAX;
    look_anew();
}

unsigned int hook_end(void)
{
    all_is_seen();
    h.memory = HOOK_IN_ORDER;
    h.fn = NULL;
    return h.count;
}

unsigned int hook_abandon(void)
{
    h.aside = 0;
    return hook_end();
}

unsigned int hook_count(void)
{
    return h.count;
}

void hook_limit(unsigned int accesses)
{
    h.limit = accesses == 0 ? UINT32_MAX : h.count + accesses;
}

void hook_aside(void (*fn)(void *ctx), void *ctx)
{
    h.aside++;
    fn(ctx);
    h.aside--;
}

void hook_watch(const void *start, size_t len)
{
    h.watched = start;
    h.watched_len = len < sizeof(h.old) ? len : sizeof(h.old);
    look_anew();
}
