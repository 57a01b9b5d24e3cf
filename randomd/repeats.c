/* SPDX-License-Identifier: ISC */
/* The canary over all sessions: what it finds is said, and kept from the guest. */
#include "randomd/canary.h"
#include "randomd/daemon.h"

static struct canary *canary;
static struct master *root;

int repeats_start(struct master *m)
{
    root = m;
    canary = secret_get(sizeof(*canary));
    return canary == NULL ? -XEN_ENOMEM : 0;
}

/* A key as good as the sessions' own: there is output only when there is that. */
static int make_key(void)
{
    uint8_t key[16];
    int rc = master_source(root, key, sizeof(key));
    if (rc == 0)
        canary_key(canary, key);
    xids_wipe(key, sizeof(key));
    return rc;
}

bool repeats_unseen(void *guest, const uint8_t *bytes, size_t len, bool first)
{
    const struct guest *g = guest;
    /* Without a key nothing can be remembered; the source says itself that it does not work. */
    if (!canary->keyed && make_key() < 0)
        return true;
    if (canary_unseen(canary, bytes, len, first))
        return true;
    log_guest(SAY_ERROR,
              "domain %u would have been given what was given out before: the machine's random numbers repeat",
              g->domid);
    audit_guest(g, "repeat", NULL);
    return false;
}

uint64_t repeats_checked(void)
{
    return canary->checked;
}

uint64_t repeats_found(void)
{
    return canary->alarms;
}
