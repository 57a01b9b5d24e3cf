/* SPDX-License-Identifier: ISC */
/* Two kinds of ends that meet: a server that echoes, a client that says something and waits for its echo. */
#ifndef XIDS_TESTS_UNIT_MEET_ENDS_H
#define XIDS_TESTS_UNIT_MEET_ENDS_H

#include "tests/unit/engine_world.h"

#include <stdlib.h>
#include <string.h>
#include <xids/vchan_meet.h>

#define HELLO "are you there"

struct end {
    struct dom *d;
    struct xids_vchan_meet *meet;
    void *mem;
    struct xids_vchan_meet_config config;
    unsigned int opened, closed, refused;
    int closed_rc, refused_rc;
    const char *reason; /* of the last refusal or close */
    bool server, said, deaf;
    char got[64];
    uint32_t got_len;
};

static inline void end_opened(void *ctx, struct xids_vchan *ch)
{
    struct end *e = ctx;
    ck_assert_uint_eq(e->opened, e->closed);
    ck_assert_ptr_eq(xids_vchan_meet_channel(e->meet), ch);
    e->opened++;
    e->said = false;
    e->got_len = 0;
}

static inline uint64_t end_serve(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    struct end *e = ctx;
    char bytes[32];
    int n = 0;
    (void)now;
    ck_assert_uint_eq(e->opened, e->closed + 1);
    if (e->deaf)
        return UINT64_MAX;
    if (!e->server && !e->said)
        e->said = xids_vchan_send(ch, HELLO, sizeof(HELLO)) > 0;
    while ((n = xids_vchan_read(ch, bytes, sizeof(bytes))) > 0) {
        if (e->server) {
            (void)!xids_vchan_write(ch, bytes, (uint32_t)n);
            continue;
        }
        ck_assert_uint_le(e->got_len + (uint32_t)n, sizeof(e->got));
        memcpy(e->got + e->got_len, bytes, (size_t)n);
        e->got_len += (uint32_t)n;
    }
    return xids_vchan_arm(ch, 1, 0) == 1 && n != 0 ? 0 : UINT64_MAX;
}

static inline void end_closed(void *ctx, struct xids_vchan *ch, int rc, const char *reason)
{
    struct end *e = ctx;
    e->closed++;
    e->closed_rc = rc;
    e->reason = reason;
    ck_assert_uint_eq(e->opened, e->closed);
    ck_assert_ptr_eq(xids_vchan_meet_channel(e->meet), ch);
    ck_assert_uint_gt(strlen(reason), 0);
}

static inline void end_refused(void *ctx, int rc, const char *reason)
{
    struct end *e = ctx;
    e->refused++;
    e->refused_rc = rc;
    e->reason = reason;
    ck_assert_int_lt(rc, 0);
    ck_assert_uint_gt(strlen(reason), 0);
}

static const struct xids_vchan_meet_user end_user[1] = {
    {.opened = end_opened, .serve = end_serve, .closed = end_closed, .refused = end_refused}};

/* An end has a user of its own, for the context. */
struct end_with_user {
    struct end end;
    struct xids_vchan_meet_user user;
};

static inline struct end *end_new(struct dom *d, bool server, domid_t remote, const char *name)
{
    struct end_with_user *u = calloc(1, sizeof(*u));
    struct end *e = &u->end;
    u->user = end_user[0];
    u->user.ctx = e;
    e->d = d;
    e->server = server;
    e->mem = malloc(xids_vchan_meet_size());
    e->config = (struct xids_vchan_meet_config){.platform = &d->platform,
                                                .xs = d->xs,
                                                .user = &u->user,
                                                .server = server,
                                                .remote = remote,
                                                .name = name,
                                                .left_order = 12,
                                                .right_order = 11};
    return e;
}

static inline void end_begin(struct end *e)
{
    e->config.xs = e->d->xs;
    ck_assert_int_eq(xids_vchan_meet_init(&e->meet, e->mem, xids_vchan_meet_size(), &e->config), 0);
    xids_loop_add(&e->d->loop, xids_vchan_meet_part(e->meet));
    world_wake(e->d);
}

static inline void end_end(struct end *e)
{
    xids_loop_remove(&e->d->loop, xids_vchan_meet_part(e->meet));
    xids_vchan_meet_fini(e->meet);
    world_wake(e->d);
    e->meet = NULL;
    e->opened = e->closed = 0;
}

/* For a process that was killed: only the test's memory is left of it. */
static inline void end_forget(struct end *e)
{
    e->meet = NULL;
    e->opened = e->closed = 0;
}

static inline void end_free(struct end *e)
{
    if (e->meet != NULL)
        end_end(e);
    free(e->mem);
    free(e);
}

static inline struct end *end_up(struct dom *d, bool server, domid_t remote, const char *name)
{
    struct end *e = end_new(d, server, remote, name);
    end_begin(e);
    return e;
}

/* The echo has come. */
static inline bool end_heard(void *ctx)
{
    const struct end *e = ctx;
    return e->opened > e->closed && e->got_len == sizeof(HELLO) && memcmp(e->got, HELLO, sizeof(HELLO)) == 0;
}

static inline bool end_is_closed(void *ctx)
{
    const struct end *e = ctx;
    return e->opened == e->closed;
}

static inline bool end_was_refused(void *ctx)
{
    const struct end *e = ctx;
    return e->refused > 0;
}

#endif
