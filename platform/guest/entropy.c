/* SPDX-License-Identifier: ISC */
/* Randomness of this machine's own, for programs that have no struct xids_local of theirs. */
#include <xids/local.h>

#include "platform/guest/guest.h"

#include <xen/hvm/params.h>
#include <xids/reseed.h>

void xids_guest_local_entropy(struct xids_guest *g, void *out, size_t len, unsigned int *bits)
{
    struct xids_entropy_config config = {.identity = {0}};
    struct xids_local_cpu cpu;
    struct xids_entropy entropy;
    struct xids_local local;

    (void)g;
    xids_local_cpu(&cpu);
    xids_local_cpu_salt(config.nonce);
    xids_entropy_init(&entropy, &config, 0);
    xids_local_init(&local, &entropy, &cpu, 0);
    *bits = 0;
    if (xids_local_gather(&local, 0) == 0 && xids_entropy_random(&entropy, out, len) == 0)
        *bits = len < XIDS_ENTROPY_FULL_BITS / 8u ? (unsigned int)len * 8u : XIDS_ENTROPY_FULL_BITS;
    else
        xids_rng_fill(&entropy.rng, out, len); /* what there is, and no credit for it */
    xids_local_wipe(&local);
    xids_entropy_wipe(&entropy);
}

int xids_guest_reseed_page(struct xids_guest *g, const void *page)
{
    uintptr_t at = (uintptr_t)page;
    (void)g;
    if (at == 0 || at % XIDS_PAGE_SIZE != 0)
        return -XEN_EINVAL;
    return hypercall_hvm_set_param(HVM_PARAM_VM_GENERATION_ID_ADDR, (uint64_t)at + XIDS_RESEED_GENERATION_AT);
}
