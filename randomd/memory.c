/* SPDX-License-Identifier: ISC */
/*
 * Memory for secrets, in slots of a few sizes cut from chunks that are locked, kept out of core dumps, and not
 * inherited by a forked child. Chunks are kept until the process ends: the number of guests bounds them. What is larger
 * has a mapping of its own.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define CHUNK (64u * 1024u)
#define UNIT 16u
#define PAGE 4096u
#define HEAD 64u     /* of each mapping; what is behind is aligned so, too */
#define CLASSES 256u /* slots of up to 256 * 16 bytes */

struct slot {
    struct slot *next;
};

/* At the start of each mapping. */
struct piece {
    struct piece *next;
    size_t size; /* with this */
};

static struct slot *unused[CLASSES];
static struct piece *pieces;
static bool all_locked = true;

static void *map_secret(size_t size)
{
    size = (size + HEAD + PAGE - 1) / PAGE * PAGE;
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (mlock(at, size) != 0)
        all_locked = false;
    if (madvise(at, size, MADV_DONTDUMP) != 0 || madvise(at, size, MADV_WIPEONFORK) != 0) {
        munmap(at, size);
        return NULL;
    }
    struct piece *piece = (struct piece *)(void *)at;
    piece->size = size;
    piece->next = pieces;
    pieces = piece;
    return at + HEAD;
}

static void unmap_secret(void *mem)
{
    struct piece *piece = (struct piece *)(void *)((uint8_t *)mem - HEAD), **at = &pieces;
    const size_t size = piece->size;
    while (*at != piece)
        at = &(*at)->next;
    *at = piece->next;
    xids_wipe(piece, size);
    munmap(piece, size);
}

static int add_chunk(unsigned int class, size_t slot_bytes)
{
    uint8_t *chunk = map_secret(CHUNK - HEAD);
    if (chunk == NULL)
        return -XEN_ENOMEM;
    for (size_t at = 0; at + slot_bytes <= CHUNK - HEAD; at += slot_bytes) {
        struct slot *slot = (struct slot *)(void *)(chunk + at);
        slot->next = unused[class];
        unused[class] = slot;
    }
    return 0;
}

static unsigned int class_of(size_t size)
{
    return (unsigned int)((size + UNIT - 1) / UNIT);
}

void *secret_get(size_t size)
{
    unsigned int class = class_of(size);
    if (class == 0)
        return NULL;
    if (class >= CLASSES)
        return map_secret(size);
    if (unused[class] == NULL && add_chunk(class, (size_t) class * UNIT) < 0)
        return NULL;
    struct slot *slot = unused[class];
    unused[class] = slot->next;
    memset(slot, 0, (size_t) class * UNIT);
    return slot;
}

void secret_put(void *mem, size_t size)
{
    unsigned int class = class_of(size);
    if (mem == NULL || class == 0)
        return;
    if (class >= CLASSES) {
        unmap_secret(mem);
        return;
    }
    xids_wipe(mem, (size_t) class * UNIT);
    struct slot *slot = mem;
    slot->next = unused[class];
    unused[class] = slot;
}

bool secret_locked(void)
{
    return all_locked;
}

/* Nothing is called but what may be called in a signal's handler. */
static void wipe_all(void)
{
    /* In a forked child they are zeros. */
    for (struct piece *p = pieces; p != NULL && p->size > HEAD; p = p->next)
        xids_wipe((uint8_t *)p + HEAD, p->size - HEAD);
}

/* The kernel gives our pages to nobody else as they are; but until then whoever looks at the dying process sees them.
 */
static void on_crash(int number)
{
    wipe_all();
    /* The handler is gone: this time it is the end, with the status that it has. */
    (void)raise(number);
}

static void wipe_at_crash(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGQUIT, SIGTRAP, SIGXCPU, SIGXFSZ};
    const struct sigaction act = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        if (sigaction(fatal[i], &act, NULL) != 0)
            log_line(SAY_WARN, "signal %d cannot be caught: %s", fatal[i], strerror(errno));
}

void secret_process(void)
{
    const struct rlimit none = {0, 0};
    if (atexit(wipe_all) != 0)
        log_line(SAY_WARN, "no memory for what is to be done at the end");
    wipe_at_crash();
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        log_line(SAY_WARN, "cannot forbid dumps: %s", strerror(errno));
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        log_line(SAY_WARN, "cannot forbid core files: %s", strerror(errno));
}
