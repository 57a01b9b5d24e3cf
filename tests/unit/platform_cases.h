/* SPDX-License-Identifier: ISC */
/*
 * What every platform promises (xids/platform.h), as cases for two domains: run over the model by test_platform, over
 * Xen's libraries on the simulator by tests/interop/platform-sim, and in bare guests on Xen by
 * tests/xen/guests/conform. Freestanding C. A case returns NULL, or what it found wrong.
 */
#ifndef TESTS_UNIT_PLATFORM_CASES_H
#define TESTS_UNIT_PLATFORM_CASES_H

#include <xids/platform.h>

struct platform_pair {
    struct xids_platform *a, *b;
    /* b may be in another process: its mapped memory is looked at through these. */
    uint8_t (*peek)(struct platform_pair *p, const void XIDS_PEER *area, uint32_t offset);
    void (*poke)(struct platform_pair *p, void XIDS_PEER *area, uint32_t offset, uint8_t value);
    /* b's process dies as by kill -9. No case uses b after it. */
    void (*kill_b)(struct platform_pair *p);
    void *ctx;
};

struct platform_case {
    const char *name;
    const char *(*run)(struct platform_pair *p);
};

extern const struct platform_case platform_cases[];
extern const unsigned int platform_case_count;

#endif
