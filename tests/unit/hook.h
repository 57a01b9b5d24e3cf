/* SPDX-License-Identifier: ISC */
/*
 * Every access of the code under test to shared memory, for tests built with tests/unit/hooked before include/: they
 * can act before each, see that it stays inside, and have the memory be as weak as an Arm's, deterministically.
 *
 * One side at a time is the subject: its accesses are counted and reordered. Inside the test's own function (before)
 * the other side may run as it likes; its accesses are checked and go straight to memory.
 */
#ifndef XIDS_TESTS_UNIT_HOOK_H
#define XIDS_TESTS_UNIT_HOOK_H

#include <xids/peer.h>

enum hook_kind { HOOK_LOAD, HOOK_STORE, HOOK_BITS, HOOK_FENCE, HOOK_CALL, HOOK_GET, HOOK_PUT, HOOK_WIPE };

struct hook_access {
    enum hook_kind kind;
    uint8_t *at; /* NULL for a fence or a hypercall */
    size_t len;
    unsigned int nth; /* from 0, since hook_begin */
};

/*
 * What the subject's memory does besides what the program says. Each is a thing that a real machine or compiler may do
 * unless an order forbids it.
 */
enum hook_memory {
    HOOK_IN_ORDER,
    HOOK_LATE_STORES, /* a store is seen by others at the next fence or hypercall only; also that of a locked one */
    HOOK_LATE_COPIES, /* bytes put or wiped are seen after words stored behind them, up to the next release */
    HOOK_LATE_READS,  /* bytes are copied out as late as the next release allows */
    HOOK_EARLY_READS, /* bytes are copied out as early as the last acquire allows */
    HOOK_EARLY_INDEX, /* words too, but not bytes such as live and notify */
    HOOK_EARLY_BYTES, /* bytes such as live and notify, but nothing else */
    HOOK_MEMORIES,
};

/* Starts the count and sets how the memory is; fn, if any, is called before each access of the subject. */
void hook_begin(enum hook_memory memory, void (*fn)(void *ctx, const struct hook_access *access), void *ctx);
/* Everything stored becomes visible. The number of accesses. */
unsigned int hook_end(void);
/* The same when the subject was left in the middle, by a jump out of the test's own function. */
unsigned int hook_abandon(void);
/* How many accesses there were since hook_begin. */
unsigned int hook_count(void);
/* The subject may make so many accesses from now on. 0: any number. */
void hook_limit(unsigned int accesses);
/* Runs fn as the other side, as before an access. */
void hook_aside(void (*fn)(void *ctx), void *ctx);
/* A hypercall: everything stored becomes visible, everything read is new. The other side can act before it too. */
void hook_hypercall(void);

/* Where early reads may be early: at most a page. */
void hook_watch(const void *start, size_t len);

/* Says whether the side that runs may touch these bytes. */
extern bool (*hook_allowed)(const void *at, size_t len, bool write);
/* Told what went wrong; does not return. */
extern void (*hook_failed)(const char *what);

#endif
