/* SPDX-License-Identifier: ISC */
/*
 * The root of all sessions. Each draw hashes 64 bytes of the kernel's into a generator of our own and takes its output
 * from there: as good as the kernel's, and still different each time if the kernel's should repeat itself, as it does
 * in a copied driver domain.
 */
#include "randomd/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define KERNEL_BYTES 64u
#define DRAW_MAX 64u
#define TAG_KERNEL 0x20u
#define REPEAT_BYTES 16u

struct master {
    struct xids_rng rng;
    uint64_t draws, failures;
    uint8_t last[REPEAT_BYTES]; /* a hash of the kernel's: those themselves are kept nowhere */
    int kernel;                 /* what it said last */
    bool ready;
    uint64_t hungry_draws;
    void (*hungry)(void *ctx);
    void *hungry_ctx;
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

void master_mix(struct master *m, uint8_t tag, const void *data, size_t len)
{
    xids_rng_mix(&m->rng, tag, data, len);
}

void master_on_use(struct master *m, uint64_t draws, void (*hungry)(void *ctx), void *ctx)
{
    m->hungry_draws = draws;
    m->hungry = hungry;
    m->hungry_ctx = ctx;
}

/* Up to 256 bytes come whole or not at all, once the kernel's generator is seeded; whoever stands in between (a
 * filter of system calls, a tracer) may not know that. */
static int from_kernel(uint8_t *buf, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = getrandom(buf + have, len - have, GRND_NONBLOCK);
        if (n > 0 && (size_t)n <= len - have)
            have += (size_t)n;
        else if (n >= 0)
            return -XEN_EIO;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* Two draws in a row of which the beginning is the same are not chance. */
static int check_repeat(struct master *m, const uint8_t fresh[KERNEL_BYTES])
{
    struct xids_blake2s b;
    uint8_t hash[REPEAT_BYTES];
    int rc = xids_blake2s_init(&b, sizeof(hash), NULL, 0);
    if (rc < 0)
        return rc;
    xids_blake2s_update(&b, fresh, REPEAT_BYTES);
    xids_blake2s_final(&b, hash);
    rc = m->ready && memcmp(m->last, hash, sizeof(hash)) == 0 ? -XEN_EIO : 0;
    memcpy(m->last, hash, sizeof(hash));
    return rc;
}

static void note(struct master *m, int rc)
{
    if (rc < 0 && rc != -XEN_EAGAIN) {
        m->failures++;
        if (rc != m->kernel)
            log_line(SAY_ERROR, "the kernel's generator fails: %s; nobody gets fresh bytes", strerror(-rc));
    } else if (rc == 0 && m->kernel < 0 && m->kernel != -XEN_EAGAIN) {
        log_line(SAY_INFO, "the kernel's generator works again");
    }
    m->kernel = rc;
}

int master_source(void *master, uint8_t *buf, size_t len)
{
    struct master *m = master;
    uint8_t fresh[KERNEL_BYTES];
    if (len > DRAW_MAX)
        return -XEN_EINVAL;
    int rc = from_kernel(fresh, sizeof(fresh));
    if (rc == 0)
        rc = check_repeat(m, fresh);
    note(m, rc);
    if (rc == 0) {
        /* The last before the output: no other source can have chosen its bytes to suit these. */
        xids_rng_mix(&m->rng, TAG_KERNEL, fresh, sizeof(fresh));
        xids_rng_fill(&m->rng, buf, len);
        m->draws++;
        m->ready = true;
    }
    xids_wipe(fresh, sizeof(fresh));
    if (rc == 0 && m->hungry != NULL && m->draws % m->hungry_draws == 0)
        m->hungry(m->hungry_ctx);
    return rc == 0 || rc == -XEN_EAGAIN ? rc : -XEN_EIO;
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

int master_kernel(const struct master *m)
{
    return m->kernel;
}

uint64_t master_failures(const struct master *m)
{
    return m->failures;
}
