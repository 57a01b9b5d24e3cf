/* SPDX-License-Identifier: ISC */
/*
 * The root of all sessions. Each draw hashes 64 bytes of the kernel's into a generator of our own and takes its output
 * from there: as good as the kernel's, and still different each time if the kernel's should repeat itself, as it does
 * in a copied driver domain.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <sys/random.h>

#define KERNEL_BYTES 64u
#define DRAW_MAX 64u
#define TAG_KERNEL 0x20u

struct master {
    struct xids_rng rng;
    uint64_t draws;
    bool ready;
};

int master_new(struct master **m)
{
    *m = secret_get(sizeof(**m));
    if (*m == NULL)
        return -XEN_ENOMEM;
    xids_rng_init(&(*m)->rng);
    return 0;
}

void master_free(struct master *m)
{
    secret_put(m, sizeof(*m));
}

static int from_kernel(uint8_t *buf, size_t len)
{
    for (;;) {
        ssize_t n = getrandom(buf, len, GRND_NONBLOCK);
        if (n == (ssize_t)len)
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        /* Up to 256 bytes come whole or not at all; not at all means that the kernel's generator is not seeded. */
        return n < 0 && errno == EAGAIN ? -XEN_EAGAIN : -XEN_EIO;
    }
}

int master_source(void *master, uint8_t *buf, size_t len)
{
    struct master *m = master;
    uint8_t fresh[KERNEL_BYTES];
    if (len > DRAW_MAX)
        return -XEN_EINVAL;
    int rc = from_kernel(fresh, sizeof(fresh));
    if (rc == 0) {
        xids_rng_mix(&m->rng, TAG_KERNEL, fresh, sizeof(fresh));
        xids_rng_fill(&m->rng, buf, len);
        m->draws++;
        m->ready = true;
    }
    xids_wipe(fresh, sizeof(fresh));
    return rc;
}

bool master_ready(struct master *m)
{
    uint8_t probe[8];
    if (!m->ready && master_source(m, probe, sizeof(probe)) == 0)
        xids_wipe(probe, sizeof(probe));
    return m->ready;
}

uint64_t master_draws(const struct master *m)
{
    return m->draws;
}
