/* SPDX-License-Identifier: ISC */
/*
 * Memory for secrets, in slots of a few sizes cut from chunks that are locked, kept out of core dumps, and not
 * inherited by a forked child. Chunks are kept until the process ends: the number of guests bounds them. What is larger
 * has a mapping of its own.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define CHUNK (64u * 1024u)
#define UNIT 64u
#define CLASSES 64u /* slots of up to 64 * 64 bytes */

struct slot {
    struct slot *next;
};

static struct slot *unused[CLASSES];
static bool all_locked = true;

static void *map_secret(size_t size)
{
    void *chunk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return NULL;
    if (mlock(chunk, size) != 0)
        all_locked = false;
    if (madvise(chunk, size, MADV_DONTDUMP) != 0 || madvise(chunk, size, MADV_WIPEONFORK) != 0) {
        munmap(chunk, size);
        return NULL;
    }
    return chunk;
}

static int add_chunk(unsigned int class, size_t slot_bytes)
{
    uint8_t *chunk = map_secret(CHUNK);
    if (chunk == NULL)
        return -XEN_ENOMEM;
    for (size_t at = 0; at + slot_bytes <= CHUNK; at += slot_bytes) {
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
        xids_wipe(mem, size);
        munmap(mem, size);
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

void secret_process(void)
{
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        log_line(SAY_WARN, "cannot forbid dumps: %s", strerror(errno));
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        log_line(SAY_WARN, "cannot forbid core files: %s", strerror(errno));
}
