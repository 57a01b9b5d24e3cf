/* SPDX-License-Identifier: ISC */
/* vchan, many channels in one loop: a hub domain of the model, with channels to many others. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/loop.h>
#include <xids/model.h>
#include <xids/vchan_set.h>

#define HUB 1
#define PEERS 20u /* domains 2 and on */
#define CHANNELS 300u
#define SECOND 1000000000u

/* One channel: the hub's end, and the peer's. */
struct line {
    struct xids_vchan *hub, *peer;
    struct xids_vchan_member *member; /* NULL: not in the set */
    domid_t domid;
    /* What the hub has been returned it for. */
    unsigned int returned;
};

struct stage {
    struct xids_model *m;
    struct xids_platform hub;
    struct xids_platform_ops ops;
    const struct xids_platform *peer[PEERS];
    struct xids_vchan_member *buckets[512];
    struct xids_vchan_set set;
    struct line line[CHANNELS];
    unsigned int lines;
};

static struct {
    const struct xids_platform_ops *ops;
    unsigned int status, pending;
} counted;

static int count_status(void *ctx, evtchn_port_t port)
{
    counted.status++;
    return counted.ops->evtchn_status(ctx, port);
}

static int count_pending(void *ctx)
{
    int port = counted.ops->evtchn_pending(ctx);
    counted.pending += port > 0;
    return port;
}

static void *allocate(size_t size)
{
    void *mem = malloc(size);
    ck_assert_ptr_nonnull(mem);
    return mem;
}

static void put_in(struct stage *s, struct line *l, uint32_t want_read, uint32_t want_write)
{
    l->member = allocate(sizeof(*l->member));
    ck_assert_int_eq(xids_vchan_set_add(&s->set, l->member, l->hub, l, want_read, want_write), 0);
}

/* Its memory goes too, so that the address sanitizer sees who still holds it. */
static void take_out(struct stage *s, struct line *l)
{
    if (l->member == NULL)
        return;
    xids_vchan_set_remove(&s->set, l->member);
    free(l->member);
    l->member = NULL;
}

static void hub_end(struct stage *s, struct line *l)
{
    take_out(s, l);
    if (l->hub != NULL)
        xids_vchan_fini(l->hub);
    free(l->hub);
    l->hub = NULL;
}

static void peer_end(struct line *l)
{
    if (l->peer != NULL)
        xids_vchan_fini(l->peer);
    free(l->peer);
    l->peer = NULL;
}

/* The hub's end of a new channel to the peer of that number, not in the set. */
static struct line *serve(struct stage *s, struct line *l, unsigned int peer)
{
    *l = (struct line){.domid = s->peer[peer]->domid, .hub = allocate(xids_vchan_size())};
    ck_assert_int_eq(xids_vchan_server_init(l->hub, &s->hub, l->domid, 10, 11, 0), 0);
    return l;
}

static void come(struct stage *s, struct line *l)
{
    const struct xids_platform *p = s->peer[l->domid - HUB - 1];
    l->peer = allocate(xids_vchan_size());
    ck_assert_int_eq(xids_vchan_client_init(l->peer, p, HUB, xids_vchan_ring_ref(l->hub), xids_vchan_port(l->hub), 0),
                     0);
}

/* Handles one turn by nothing; how many channels it returned. */
static unsigned int turn(struct stage *s)
{
    struct xids_vchan_member *m;
    unsigned int count = 0;
    int rc;
    while ((rc = xids_vchan_set_next(&s->set, &m, xids_model_now(s->m))) > 0) {
        struct line *l = m->user;
        ck_assert_ptr_eq(l->member, m);
        l->returned++;
        count++;
    }
    ck_assert_int_eq(rc, 0);
    return count;
}

/* Turns until there is nothing to do. */
static void rest(struct stage *s)
{
    unsigned int i = 0;
    do {
        (void)turn(s);
        ck_assert_uint_lt(i++, 100);
    } while (xids_vchan_set_deadline(&s->set) == 0);
}

static struct stage *begin(unsigned int lines)
{
    struct stage *s = calloc(1, sizeof(*s));
    ck_assert_ptr_nonnull(s);
    s->m = xids_model_new(1, 0);
    ck_assert_ptr_nonnull(s->m);
    const struct xids_platform *p = xids_model_domain_create(s->m, HUB);
    ck_assert_ptr_nonnull(p);
    counted.ops = p->ops;
    counted.status = counted.pending = 0;
    s->ops = *p->ops;
    s->ops.evtchn_status = count_status;
    s->ops.evtchn_pending = count_pending;
    s->hub = (struct xids_platform){&s->ops, p->ctx, HUB};
    for (unsigned int i = 0; i < PEERS; i++) {
        s->peer[i] = xids_model_domain_create(s->m, (domid_t)(HUB + 1 + i));
        ck_assert_ptr_nonnull(s->peer[i]);
    }
    ck_assert_int_eq(xids_vchan_set_init(&s->set, &s->hub, s->buckets, 512, 0), 0);
    for (; s->lines < lines; s->lines++) {
        struct line *l = serve(s, &s->line[s->lines], s->lines % PEERS);
        come(s, l);
        put_in(s, l, 1, 0);
    }
    rest(s);
    for (unsigned int i = 0; i < lines; i++)
        s->line[i].returned = 0;
    return s;
}

static void end(struct stage *s)
{
    char left[1000];
    for (unsigned int i = 0; i < s->lines; i++) {
        peer_end(&s->line[i]);
        hub_end(s, &s->line[i]);
    }
    ck_assert_uint_eq(s->set.members, 0);
    ck_assert_ptr_null(xids_vchan_set_any(&s->set));
    ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), UINT64_MAX);
    unsigned int n = xids_model_check_clean(s->m, left, sizeof(left));
    if (n != 0)
        ck_abort_msg("%u things are left:\n%s", n, left);
    xids_model_free(s->m);
    free(s);
}

static void say(struct line *l, const char *text)
{
    ck_assert_int_eq(xids_vchan_write(l->peer, text, (uint32_t)strlen(text)), (int)strlen(text));
}

static int drain(struct line *l)
{
    char data[2048];
    int n = xids_vchan_read(l->hub, data, sizeof(data));
    return n == -XEN_EAGAIN ? 0 : n;
}

/* ---- what is returned ---- */

START_TEST(returns_the_channel_that_has_bytes_and_no_other)
{
    struct stage *s = begin(CHANNELS);
    ck_assert_uint_eq(turn(s), 0);
    say(&s->line[123], "x");
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_uint_eq(s->line[123].returned, 1);
    ck_assert_int_eq(drain(&s->line[123]), 1);
    rest(s);
    ck_assert_uint_gt(xids_vchan_set_deadline(&s->set), xids_model_now(s->m));
    end(s);
}
END_TEST

START_TEST(finds_all_of_300_channels_of_20_domains)
{
    struct stage *s = begin(CHANNELS);
    for (unsigned int i = 0; i < CHANNELS; i++)
        say(&s->line[i], "hello");
    /* So many events are taken in several turns, and nobody sleeps between them. */
    for (unsigned int i = 0; i < CHANNELS / XIDS_VCHAN_SET_EVENTS + 1; i++) {
        unsigned int before = counted.pending;
        (void)turn(s);
        ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), 0);
        ck_assert_uint_le(counted.pending - before, XIDS_VCHAN_SET_EVENTS);
    }
    for (unsigned int i = 0; i < CHANNELS; i++) {
        ck_assert_uint_ge(s->line[i].returned, 1);
        ck_assert_int_eq(drain(&s->line[i]), 5);
    }
    rest(s);
    end(s);
}
END_TEST

START_TEST(returns_again_what_was_not_drained_and_sleeps_after_it_was)
{
    struct stage *s = begin(3);
    char byte;
    say(&s->line[1], "abc");
    for (unsigned int i = 1; i <= 3; i++) {
        ck_assert_uint_eq(turn(s), 1);
        ck_assert_uint_eq(s->line[1].returned, i);
        ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), 0);
        ck_assert_int_eq(xids_vchan_read(s->line[1].hub, &byte, 1), 1);
    }
    /* The fourth finds nothing, asks the peer and sleeps; the peer's next byte wakes us. */
    ck_assert_uint_eq(turn(s), 0);
    ck_assert_uint_ne(xids_vchan_set_deadline(&s->set), 0);
    ck_assert_int_eq(s->hub.ops->evtchn_pending(s->hub.ctx), 0);
    say(&s->line[1], "d");
    ck_assert_uint_eq(turn(s), 1);
    end(s);
}
END_TEST

/* One turn for one wake-up: who drains what he was returned needs no other before the sleep. */
START_TEST(asks_at_the_end_of_the_turn_that_drained)
{
    struct stage *s = begin(3);
    struct xids_vchan_member *m;
    say(&s->line[2], "abc");
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 1);
    ck_assert_int_eq(drain(m->user), 3);
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 0);
    ck_assert_ptr_null(m);
    ck_assert_uint_ne(xids_vchan_set_deadline(&s->set), 0);
    say(&s->line[2], "d");
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 1);
    ck_assert_ptr_eq(m->user, &s->line[2]);
    ck_assert_int_eq(drain(m->user), 1);
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 0);
    end(s);
}
END_TEST

START_TEST(waits_for_as_many_bytes_as_were_wanted)
{
    struct stage *s = begin(2);
    ck_assert_int_eq(xids_vchan_set_want(&s->set, s->line[0].member, 5, 0), 0);
    ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), 0);
    rest(s);
    say(&s->line[0], "1234");
    rest(s);
    ck_assert_uint_eq(s->line[0].returned, 0);
    say(&s->line[0], "5");
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_int_eq(xids_vchan_set_want(&s->set, s->line[0].member, 0, 0), 0);
    ck_assert_uint_eq(turn(s), 0);
    ck_assert_uint_ne(xids_vchan_set_deadline(&s->set), 0);
    end(s);
}
END_TEST

START_TEST(waits_for_room)
{
    struct stage *s = begin(2);
    struct line *l = &s->line[0];
    uint8_t block[2048] = {0};
    ck_assert_int_eq(xids_vchan_set_want(&s->set, l->member, 1, 1), 0);
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_int_eq(xids_vchan_write(l->hub, block, sizeof(block)), sizeof(block));
    ck_assert_uint_eq(turn(s), 0);
    ck_assert_uint_ne(xids_vchan_set_deadline(&s->set), 0);
    ck_assert_int_eq(xids_vchan_read(l->peer, block, 100), 100);
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_int_eq(xids_vchan_writable(l->hub), 100);
    end(s);
}
END_TEST

START_TEST(tells_of_a_client_that_comes_once_and_of_the_next)
{
    struct stage *s = begin(1);
    struct line *l = serve(s, &s->line[s->lines++], 3);
    put_in(s, l, 1, 0);
    rest(s);
    ck_assert_uint_eq(l->returned, 0);
    ck_assert_int_eq(l->member->state, XIDS_VCHAN_CONNECTING);
    for (unsigned int i = 1; i <= 3; i++) {
        come(s, l);
        ck_assert_uint_eq(turn(s), 1);
        ck_assert_int_eq(l->member->state, XIDS_VCHAN_OPEN);
        ck_assert_uint_eq(turn(s), 0);
        peer_end(l);
        ck_assert_uint_eq(turn(s), 1);
        ck_assert_int_eq(l->member->state, XIDS_VCHAN_CLOSED);
        ck_assert_int_eq(xids_vchan_reoffer(l->hub), 0);
        ck_assert_uint_eq(turn(s), 1);
        ck_assert_int_eq(l->member->state, XIDS_VCHAN_CONNECTING);
        rest(s);
    }
    end(s);
}
END_TEST

START_TEST(returns_an_ended_channel_until_it_is_taken_out)
{
    struct stage *s = begin(2);
    say(&s->line[0], "last");
    peer_end(&s->line[0]);
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_int_eq(s->line[0].member->state, XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(drain(&s->line[0]), 4);
    for (unsigned int i = 0; i < 3; i++) {
        ck_assert_uint_eq(turn(s), 1);
        ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), 0);
    }
    ck_assert_int_eq(s->line[0].member->state, XIDS_VCHAN_CLOSED);
    take_out(s, &s->line[0]);
    ck_assert_uint_eq(turn(s), 0);
    ck_assert_uint_ne(xids_vchan_set_deadline(&s->set), 0);
    end(s);
}
END_TEST

/* ---- members ---- */

START_TEST(refuses_what_cannot_be)
{
    struct stage *s = begin(1);
    struct xids_vchan_member spare, *buckets[3];
    struct xids_vchan_set set;
    struct xids_platform other = s->hub;
    ck_assert_int_eq(xids_vchan_set_init(&set, &s->hub, buckets, 0, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_set_init(&set, &s->hub, buckets, 3, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_set_init(&set, &s->hub, buckets, 2, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_set_add(&s->set, &spare, s->line[0].hub, NULL, 1, 0), -XEN_EEXIST);
    ck_assert_int_eq(xids_vchan_set_init(&set, &other, buckets, 2, 0), 0);
    ck_assert_int_eq(xids_vchan_set_add(&set, &spare, s->line[0].hub, NULL, 1, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_set_want(&s->set, s->line[0].member, 1025, 0), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_set_want(&s->set, s->line[0].member, 1, 2049), -XEN_EMSGSIZE);
    take_out(s, &s->line[0]);
    ck_assert_int_eq(xids_vchan_set_add(&s->set, &spare, s->line[0].hub, NULL, 1025, 0), -XEN_EMSGSIZE);
    ck_assert_uint_eq(s->set.members, 0);
    end(s);
}
END_TEST

START_TEST(works_with_a_single_bucket)
{
    struct stage *s = begin(50);
    struct xids_vchan_member *bucket;
    for (unsigned int i = 0; i < 50; i++)
        take_out(s, &s->line[i]);
    ck_assert_int_eq(xids_vchan_set_init(&s->set, &s->hub, &bucket, 1, 0), 0);
    for (unsigned int i = 0; i < 50; i++)
        put_in(s, &s->line[i], 1, 0);
    rest(s);
    for (unsigned int i = 0; i < 50; i += 2)
        take_out(s, &s->line[i]);
    for (unsigned int i = 0; i < 50; i++)
        say(&s->line[i], "x");
    (void)turn(s);
    for (unsigned int i = 0; i < 50; i++)
        ck_assert_uint_eq(s->line[i].returned, i % 2);
    for (unsigned int i = 1; i < 50; i += 4)
        take_out(s, &s->line[i]);
    end(s);
}
END_TEST

START_TEST(members_may_come_and_go_while_one_is_handled)
{
    struct stage *s = begin(10);
    struct xids_vchan_member *m;
    unsigned int seen = 0;
    for (unsigned int i = 0; i < 10; i++)
        say(&s->line[i], "x");
    /* Each that is returned takes out itself and another, which has been returned or not, and ends both. */
    while (xids_vchan_set_next(&s->set, &m, 0) > 0) {
        struct line *l = m->user;
        unsigned int at = (unsigned int)(l - s->line);
        struct line *other = &s->line[(at * 7 + 3) % 10];
        struct line *fresh = &s->line[s->lines++];
        hub_end(s, l);
        hub_end(s, other);
        come(s, serve(s, fresh, at));
        put_in(s, fresh, 1, 0);
        say(fresh, "new");
        ck_assert_uint_lt(seen++, 10);
    }
    ck_assert_uint_eq(s->set.members, seen);
    for (unsigned int i = 0; i < 10; i++)
        ck_assert_ptr_null(s->line[i].hub);
    for (unsigned int i = 0; i < 5; i++)
        (void)turn(s);
    for (unsigned int i = 10; i < s->lines; i++) {
        ck_assert_uint_ge(s->line[i].returned, 1);
        ck_assert_int_eq(drain(&s->line[i]), 3);
    }
    end(s);
}
END_TEST

/* Who takes a channel out goes on with it by himself: its port must not stay masked. */
START_TEST(a_channel_that_was_taken_out_still_gets_its_events)
{
    struct stage *s = begin(2);
    struct line *l = &s->line[0];
    struct xids_vchan_member *m;
    say(l, "x");
    say(&s->line[1], "y");
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 1);
    take_out(s, l);
    take_out(s, &s->line[1]);
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 0);
    for (unsigned int i = 0; i < 2; i++) {
        ck_assert_int_eq(drain(&s->line[i]), 1);
        ck_assert_int_eq(xids_vchan_arm(s->line[i].hub, 1, 0), 0);
        say(&s->line[i], "z");
        ck_assert_int_eq(s->hub.ops->evtchn_pending(s->hub.ctx), (int)xids_vchan_port(s->line[i].hub));
        (void)xids_vchan_event(s->line[i].hub);
    }
    end(s);
}
END_TEST

/* ---- events ---- */

START_TEST(counts_strays_and_loses_nothing_by_them)
{
    struct stage *s = begin(1);
    struct line *l = serve(s, &s->line[s->lines++], 1);
    /* Its client comes before it is in the set. */
    come(s, l);
    ck_assert_uint_eq(turn(s), 0);
    ck_assert_uint_eq(s->set.strays, 1);
    put_in(s, l, 1, 0);
    rest(s);
    say(l, "x");
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_uint_eq(s->set.strays, 1);
    end(s);
}
END_TEST

START_TEST(takes_ports_that_its_owner_gives)
{
    struct stage *s = begin(0);
    struct line *l = serve(s, &s->line[s->lines++], 1);
    ck_assert_int_eq(xids_vchan_set_init(&s->set, &s->hub, s->buckets, 512, XIDS_VCHAN_SET_GIVEN), 0);
    put_in(s, l, 1, 0);
    come(s, l);
    rest(s);
    say(l, "x");
    rest(s);
    ck_assert_uint_eq(counted.pending, 0);
    int port = s->hub.ops->evtchn_pending(s->hub.ctx);
    ck_assert_int_eq(port, (int)xids_vchan_port(l->hub));
    ck_assert(!xids_vchan_set_event(&s->set, (evtchn_port_t)port + 1));
    ck_assert(xids_vchan_set_event(&s->set, (evtchn_port_t)port));
    ck_assert_uint_ge(turn(s), 1);
    ck_assert_int_eq(drain(l), 1);
    rest(s);
    say(l, "y");
    ck_assert_int_eq(s->hub.ops->evtchn_pending(s->hub.ctx), port);
    ck_assert(xids_vchan_set_event(&s->set, (evtchn_port_t)port));
    end(s);
}
END_TEST

START_TEST(a_flood_of_events_takes_one_a_turn)
{
    struct stage *s = begin(4);
    const struct xids_platform *p = s->peer[0];
    evtchn_port_t port = xids_vchan_port(s->line[0].peer);
    struct xids_vchan_member *m;
    for (unsigned int i = 0; i < 100; i++) {
        unsigned int before = counted.pending;
        for (unsigned int k = 0; k < 10; k++)
            ck_assert_int_eq(p->ops->evtchn_notify(p->ctx, port), 0);
        if (i % 10 == 0)
            say(&s->line[3], "x");
        int rc = xids_vchan_set_next(&s->set, &m, 0);
        ck_assert_int_eq(rc, i % 10 == 0);
        if (rc == 1) {
            ck_assert_ptr_eq(m->user, &s->line[3]);
            ck_assert_int_eq(drain(m->user), 1);
            ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 0);
        }
        ck_assert_uint_eq(counted.pending - before, i % 10 == 0 ? 2u : 1u);
    }
    end(s);
}
END_TEST

START_TEST(a_flood_of_bytes_leaves_each_other_channel_its_turn)
{
    struct stage *s = begin(20);
    struct xids_vchan_member *m;
    for (unsigned int i = 0; i < 50; i++) {
        unsigned int flooder = 0, other = 0;
        say(&s->line[0], "more");
        say(&s->line[1 + i % 19], "x");
        while (xids_vchan_set_next(&s->set, &m, 0) > 0) {
            struct line *l = m->user;
            flooder += l == &s->line[0];
            other += l == &s->line[1 + i % 19];
            ck_assert_int_gt(drain(l), 0);
            /* It is there again before we turn our back. */
            if (l == &s->line[0])
                say(l, "more");
            ck_assert_uint_le(flooder, 1);
        }
        ck_assert_uint_eq(flooder, 1);
        ck_assert_uint_eq(other, 1);
        ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), 0);
    }
    end(s);
}
END_TEST

START_TEST(a_broken_channel_is_returned_and_hurts_no_other)
{
    struct stage *s = begin(CHANNELS);
    struct line *bad = &s->line[7];
    uint32_t impossible = 0x80000000u;
    void XIDS_PEER *page = NULL;
    grant_ref_t ref = xids_vchan_ring_ref(bad->hub);
    const struct xids_platform *p = s->peer[7];
    ck_assert_int_eq(p->ops->map(p->ctx, &page, &ref, HUB, 1, 0, NULL), 0);
    /* The producer index in the line of the client: both rings are in the page. */
    memcpy(XIDS_PEER_RAW(char, page) + 768 + 128, &impossible, sizeof(impossible));
    ck_assert_int_eq(p->ops->evtchn_notify(p->ctx, xids_vchan_port(bad->peer)), 0);
    ck_assert_uint_eq(turn(s), 1);
    ck_assert_int_eq(bad->member->state, XIDS_VCHAN_BROKEN);
    ck_assert_int_eq(xids_vchan_error(bad->hub), -XEN_EBADMSG);
    say(&s->line[8], "x");
    ck_assert_uint_eq(turn(s), 2);
    ck_assert_uint_eq(s->line[8].returned, 1);
    ck_assert_int_eq(drain(&s->line[8]), 1);
    hub_end(s, bad);
    ck_assert_int_eq(p->ops->unmap(p->ctx, page, 1), 0);
    rest(s);
    end(s);
}
END_TEST

START_TEST(tells_its_owner_that_events_cannot_be_taken_and_goes_on_later)
{
    struct stage *s = begin(1);
    struct xids_vchan_member *m;
    say(&s->line[0], "x");
    xids_model_fail(s->m, XIDS_MODEL_EVTCHN_UNMASK, 1);
    /* A port that cannot be unmasked breaks its channel, not the set. */
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 1);
    ck_assert_int_eq(m->state, XIDS_VCHAN_BROKEN);
    take_out(s, &s->line[0]);
    ck_assert_int_eq(xids_vchan_set_next(&s->set, &m, 0), 0);
    end(s);
}
END_TEST

/* ---- death ---- */

START_TEST(finds_dead_domains_with_a_bounded_number_of_questions)
{
    struct stage *s = begin(CHANNELS);
    uint64_t start = xids_model_now(s->m);
    unsigned int ended = 0, slices = CHANNELS / XIDS_VCHAN_SET_SLICE + 1;
    for (unsigned int i = 4; i < CHANNELS; i += PEERS) {
        /* The peer's platform is about to go. */
        free(s->line[i].peer);
        s->line[i].peer = NULL;
    }
    ck_assert_int_eq(xids_model_domain_destroy(s->m, s->peer[4]->domid), 0);
    counted.status = 0;
    for (unsigned int i = 0; i < slices; i++) {
        uint64_t due = xids_vchan_set_deadline(&s->set);
        ck_assert_uint_gt(due, xids_model_now(s->m));
        xids_model_advance(s->m, due - xids_model_now(s->m));
        struct xids_vchan_member *m;
        while (xids_vchan_set_next(&s->set, &m, xids_model_now(s->m)) > 0) {
            struct line *l = m->user;
            ck_assert_uint_eq(l->domid, s->peer[4]->domid);
            ck_assert_int_eq(m->state, XIDS_VCHAN_CLOSED);
            ck_assert_int_eq(xids_vchan_error(l->hub), -XEN_ENODEV);
            hub_end(s, l);
            ended++;
        }
    }
    ck_assert_uint_eq(ended, CHANNELS / PEERS);
    uint64_t passed = xids_model_now(s->m) - start;
    ck_assert_uint_le(counted.status, XIDS_VCHAN_SET_SLICE * XIDS_VCHAN_SET_SLICES * (passed / SECOND + 1));
    ck_assert_uint_le(passed, (uint64_t)(CHANNELS / 128 + 1) * SECOND);
    end(s);
}
END_TEST

START_TEST(asks_about_one_peer_once_a_second)
{
    struct stage *s = begin(1);
    counted.status = 0;
    for (unsigned int i = 0; i < 10; i++) {
        xids_model_advance(s->m, xids_vchan_set_deadline(&s->set) - xids_model_now(s->m));
        ck_assert_uint_eq(turn(s), 0);
        ck_assert_uint_eq(turn(s), 0);
        ck_assert_uint_eq(xids_vchan_set_deadline(&s->set), xids_model_now(s->m) + SECOND);
    }
    ck_assert_uint_eq(counted.status, 10);
    end(s);
}
END_TEST

START_TEST(ends_all_channels_of_a_domain_that_is_said_to_be_gone)
{
    struct stage *s = begin(CHANNELS);
    struct line *waiting = &s->line[0];
    peer_end(waiting);
    hub_end(s, waiting);
    put_in(s, serve(s, waiting, 0), 1, 0);
    rest(s);
    say(&s->line[PEERS], "last");
    counted.status = 0;
    ck_assert_uint_eq(xids_vchan_set_domain_gone(&s->set, s->peer[0]->domid), CHANNELS / PEERS - 1);
    ck_assert_uint_eq(xids_vchan_set_domain_gone(&s->set, s->peer[0]->domid), 0);
    ck_assert_uint_eq(counted.status, 0);
    ck_assert_uint_eq(turn(s), CHANNELS / PEERS - 1);
    for (unsigned int i = PEERS; i < CHANNELS; i++)
        ck_assert_uint_eq(s->line[i].returned, i % PEERS == 0);
    ck_assert_int_eq(s->line[PEERS].member->state, XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(waiting->member->state, XIDS_VCHAN_CONNECTING);
    end(s);
}
END_TEST

START_TEST(asks_for_signs_of_life_when_it_is_to)
{
    struct stage *s = begin(10);
    for (unsigned int i = 0; i < 100; i++) {
        /* Without a heartbeat for 50 seconds, then with one of 10. */
        if (i == 50)
            xids_vchan_set_heartbeat(&s->set, 10 * (uint64_t)SECOND);
        xids_model_advance(s->m, SECOND);
        (void)turn(s);
        for (unsigned int k = 0; k < 10; k++)
            if (k % 2 == 0)
                (void)xids_vchan_event(s->line[k].peer);
        for (unsigned int k = 0; k < 10; k++) {
            bool dead = s->line[k].member == NULL;
            ck_assert_msg(!dead || (k % 2 == 1 && i >= 58), "channel %u at %u", k, i);
            if (!dead && s->line[k].returned != 0) {
                ck_assert_int_eq(xids_vchan_error(s->line[k].hub), -XEN_ENODEV);
                take_out(s, &s->line[k]);
            }
        }
    }
    ck_assert_uint_eq(s->set.members, 5);
    end(s);
}
END_TEST

/* ---- as a part of a loop ---- */

struct echo {
    struct stage *s;
    struct xids_part part;
    unsigned int peer, made;
};

static bool echo_event(void *ctx, evtchn_port_t port)
{
    struct echo *e = ctx;
    return xids_vchan_set_event(&e->s->set, port);
}

static uint64_t echo_step(void *ctx, uint64_t now)
{
    struct echo *e = ctx;
    struct xids_vchan_member *m;
    while (xids_vchan_set_next(&e->s->set, &m, now) > 0) {
        uint8_t data[100];
        int n = xids_vchan_read(m->ch, data, sizeof(data));
        if (n > 0)
            ck_assert_int_eq(xids_vchan_write(m->ch, data, (uint32_t)n), n);
    }
    return xids_vchan_set_deadline(&e->s->set);
}

static void echo_suspend(void *ctx)
{
    struct echo *e = ctx;
    struct xids_vchan_member *m;
    while ((m = xids_vchan_set_any(&e->s->set)) != NULL)
        hub_end(e->s, m->user);
}

static void echo_resume(void *ctx)
{
    struct echo *e = ctx;
    for (e->made = 0; e->made < 30; e->made++)
        put_in(e->s, serve(e->s, &e->s->line[e->made], e->made % PEERS), 1, 0);
}

START_TEST(is_a_part_of_a_loop_and_comes_back_after_suspension)
{
    struct stage *s = begin(0);
    struct xids_loop loop;
    struct echo e = {.s = s};
    e.part = (struct xids_part){
        .event = echo_event, .step = echo_step, .suspend = echo_suspend, .resume = echo_resume, .ctx = &e};
    s->lines = 30;
    ck_assert_int_eq(xids_vchan_set_init(&s->set, &s->hub, s->buckets, 512, XIDS_VCHAN_SET_GIVEN), 0);
    xids_loop_init(&loop, &s->hub);
    xids_loop_add(&loop, &e.part);
    echo_resume(&e);
    for (unsigned int life = 0; life < 3; life++) {
        for (unsigned int i = 0; i < 30; i++) {
            come(s, &s->line[i]);
            say(&s->line[i], "ping");
        }
        for (unsigned int i = 0; i < 10; i++)
            ck_assert_int_ge(xids_loop_turn(&loop, xids_model_now(s->m)), 0);
        for (unsigned int i = 0; i < 30; i++) {
            char pong[5] = "";
            ck_assert_int_eq(xids_vchan_read(s->line[i].peer, pong, 4), 4);
            ck_assert_str_eq(pong, "ping");
            if (i % 2 == life % 2)
                say(&s->line[i], "unheard");
        }
        xids_loop_suspend(&loop);
        ck_assert_uint_eq(s->set.members, 0);
        for (unsigned int i = 0; i < 30; i++)
            peer_end(&s->line[i]);
        xids_loop_resume(&loop);
    }
    ck_assert_uint_eq(loop.strays, 0);
    end(s);
}
END_TEST

/* ---- at random, against a plain model ---- */

#define RANDOM_LINES 40u

/* What is known of a channel without looking at it. */
struct plain {
    uint32_t unread, unsent; /* in the ring to the hub; in the ring to the peer */
    uint32_t want_read, want_write;
    bool closed, in;
    uint8_t next_sent, next_read;
};

struct game {
    struct stage *s;
    struct plain plain[RANDOM_LINES];
    uint64_t seed;
};

static uint32_t draw(struct game *g, uint32_t below)
{
    return (uint32_t)(xids_model_random(g->s->m) % below);
}

static bool should_be_returned(const struct plain *p)
{
    return p->in && (p->closed || (p->want_read != 0 && p->unread >= p->want_read) ||
                     (p->want_write != 0 && 2048 - p->unsent >= p->want_write));
}

static void peer_acts(struct game *g)
{
    uint32_t i = draw(g, RANDOM_LINES);
    struct plain *p = &g->plain[i];
    struct line *l = &g->s->line[i];
    uint8_t data[2048];
    if (p->closed)
        return;
    uint32_t n = draw(g, 300);
    switch (draw(g, 12)) {
    case 0:
        peer_end(l);
        p->closed = true;
        break;
    case 1:
    case 2:
    case 3: {
        int rc = xids_vchan_read(l->peer, data, n);
        p->unsent -= rc > 0 ? (uint32_t)rc : 0;
        break;
    }
    default:
        n = n < 1024 - p->unread ? n : 1024 - p->unread;
        for (uint32_t k = 0; k < n; k++)
            data[k] = (uint8_t)(p->next_sent + k);
        if (n > 0)
            ck_assert_int_eq(xids_vchan_write(l->peer, data, n), (int)n);
        p->next_sent = (uint8_t)(p->next_sent + n);
        p->unread += n;
    }
}

/* A closed channel gets a new peer in the same place. */
static void renew(struct game *g, uint32_t i)
{
    struct stage *s = g->s;
    hub_end(s, &s->line[i]);
    come(s, serve(s, &s->line[i], i % PEERS));
    g->plain[i] = (struct plain){.want_read = 1, .in = true};
    put_in(s, &s->line[i], 1, 0);
}

static void want_something(struct game *g, uint32_t i)
{
    struct plain *p = &g->plain[i];
    if (!p->in)
        return;
    p->want_read = draw(g, 3) == 0 ? 0 : 1 + draw(g, 200);
    p->want_write = draw(g, 3) != 0 ? 0 : 1 + draw(g, 2048);
    ck_assert_int_eq(xids_vchan_set_want(&g->s->set, g->s->line[i].member, p->want_read, p->want_write), 0);
}

static void hub_reads(struct game *g, uint32_t i)
{
    struct plain *p = &g->plain[i];
    uint8_t data[1024];
    uint32_t len = 1 + draw(g, 400);
    int n = xids_vchan_read(g->s->line[i].hub, data, len);
    uint32_t expected = len < p->unread ? len : p->unread;
    ck_assert_int_eq(n, expected != 0 ? (int)expected : p->closed ? 0 : -XEN_EAGAIN);
    for (int k = 0; k < n; k++)
        ck_assert_uint_eq(data[k], (uint8_t)(p->next_read + k));
    p->next_read = (uint8_t)(p->next_read + expected);
    p->unread -= expected;
    if (n == 0)
        renew(g, i);
}

static void hub_acts(struct game *g, uint32_t i)
{
    struct plain *p = &g->plain[i];
    struct line *l = &g->s->line[i];
    switch (draw(g, 8)) {
    case 0:
        if (p->in)
            take_out(g->s, l);
        else
            put_in(g->s, l, p->want_read, p->want_write);
        p->in = !p->in;
        break;
    case 1:
        want_something(g, i);
        break;
    case 2: {
        uint8_t data[2048] = {0};
        int n = xids_vchan_write(l->hub, data, 1 + draw(g, 2048));
        p->unsent += n > 0 ? (uint32_t)n : 0;
        break;
    }
    case 3:
        break; /* lazy */
    default:
        hub_reads(g, i);
    }
}

/*
 * One turn, in which nobody else acts. What is returned is exactly what can go on by the plain model; of those that
 * were changed while the turn went on, no more is known than that they are not returned twice.
 */
static void play_turn(struct game *g)
{
    struct xids_vchan_member *m;
    bool expected[RANDOM_LINES], touched[RANDOM_LINES] = {false}, seen[RANDOM_LINES] = {false};
    int rc;
    for (uint32_t i = 0; i < RANDOM_LINES; i++)
        expected[i] = should_be_returned(&g->plain[i]);
    while ((rc = xids_vchan_set_next(&g->s->set, &m, xids_model_now(g->s->m))) > 0) {
        uint32_t i = (uint32_t)((struct line *)m->user - g->s->line), other = draw(g, RANDOM_LINES);
        ck_assert_msg(!seen[i] && (touched[i] || expected[i]), "seed %llu: channel %u", (unsigned long long)g->seed, i);
        seen[i] = true;
        hub_acts(g, i);
        if (draw(g, 4) == 0 && other != i) {
            touched[other] = true;
            hub_acts(g, other);
        }
    }
    ck_assert_int_eq(rc, 0);
    for (uint32_t i = 0; i < RANDOM_LINES; i++)
        ck_assert_msg(touched[i] || seen[i] == expected[i], "seed %llu: channel %u", (unsigned long long)g->seed, i);
    /* When the set says sleep there is nothing left to do. */
    for (uint32_t i = 0; i < RANDOM_LINES && xids_vchan_set_deadline(&g->s->set) != 0; i++)
        ck_assert_msg(!should_be_returned(&g->plain[i]), "seed %llu: channel %u", (unsigned long long)g->seed, i);
}

START_TEST(agrees_with_a_plain_model)
{
    struct game g = {.s = begin(RANDOM_LINES), .seed = (uint64_t)_i};
    for (uint32_t i = 0; i < RANDOM_LINES; i++)
        g.plain[i] = (struct plain){.want_read = 1, .in = true};
    for (int i = 0; i < _i; i++)
        (void)draw(&g, 2);
    for (unsigned int round = 0; round < 300; round++) {
        for (uint32_t n = draw(&g, 20); n > 0; n--)
            peer_acts(&g);
        for (uint32_t n = draw(&g, 3); n > 0; n--)
            want_something(&g, draw(&g, RANDOM_LINES));
        play_turn(&g);
    }
    end(g.s);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan_set");
    TCase *tc = tcase_create("set");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, returns_the_channel_that_has_bytes_and_no_other);
    tcase_add_test(tc, finds_all_of_300_channels_of_20_domains);
    tcase_add_test(tc, returns_again_what_was_not_drained_and_sleeps_after_it_was);
    tcase_add_test(tc, asks_at_the_end_of_the_turn_that_drained);
    tcase_add_test(tc, waits_for_as_many_bytes_as_were_wanted);
    tcase_add_test(tc, waits_for_room);
    tcase_add_test(tc, tells_of_a_client_that_comes_once_and_of_the_next);
    tcase_add_test(tc, returns_an_ended_channel_until_it_is_taken_out);
    tcase_add_test(tc, refuses_what_cannot_be);
    tcase_add_test(tc, works_with_a_single_bucket);
    tcase_add_test(tc, members_may_come_and_go_while_one_is_handled);
    tcase_add_test(tc, a_channel_that_was_taken_out_still_gets_its_events);
    tcase_add_test(tc, counts_strays_and_loses_nothing_by_them);
    tcase_add_test(tc, takes_ports_that_its_owner_gives);
    tcase_add_test(tc, a_flood_of_events_takes_one_a_turn);
    tcase_add_test(tc, a_flood_of_bytes_leaves_each_other_channel_its_turn);
    tcase_add_test(tc, a_broken_channel_is_returned_and_hurts_no_other);
    tcase_add_test(tc, tells_its_owner_that_events_cannot_be_taken_and_goes_on_later);
    tcase_add_test(tc, finds_dead_domains_with_a_bounded_number_of_questions);
    tcase_add_test(tc, asks_about_one_peer_once_a_second);
    tcase_add_test(tc, ends_all_channels_of_a_domain_that_is_said_to_be_gone);
    tcase_add_test(tc, asks_for_signs_of_life_when_it_is_to);
    tcase_add_test(tc, is_a_part_of_a_loop_and_comes_back_after_suspension);
    tcase_add_loop_test(tc, agrees_with_a_plain_model, 0, 100);
    suite_add_tcase(suite, tc);
    return suite;
}
