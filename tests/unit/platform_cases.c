/* SPDX-License-Identifier: ISC */
#include "tests/unit/platform_cases.h"

#include <stddef.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define EXPECT(what)                                  \
    do {                                              \
        if (!(what))                                  \
            return "line " TEXT(__LINE__) ": " #what; \
    } while (0)
#define CALL(p, op, ...) ((p)->ops->op((p)->ctx, __VA_ARGS__))
#define NOW(p) ((p)->ops->now((p)->ctx))
#define PENDING(p) ((p)->ops->evtchn_pending((p)->ctx))

#define SECOND 1000000000u

/* Waits for the next port and takes it; 0 when none comes. */
static int next_port(struct xids_platform *p)
{
    int rc = CALL(p, wait, NOW(p) + SECOND);
    return rc == 1 ? PENDING(p) : 0;
}

/* Whether a port is the next that fires; unmasks it. */
static bool fires(struct xids_platform *p, int port)
{
    return next_port(p) == port && CALL(p, evtchn_unmask, (evtchn_port_t)port) == 0;
}

/* Nothing is pending: what the peer did before has arrived, for events come at once. */
static bool quiet(struct xids_platform *p)
{
    return PENDING(p) == 0 && CALL(p, wait, NOW(p)) == 0;
}

/* A channel between the two, with the first event of its birth taken on both sides. */
struct channel {
    int a, b;
};

static bool connect(struct platform_pair *p, struct channel *ch)
{
    ch->a = CALL(p->a, evtchn_alloc, p->b->domid);
    if (ch->a <= 0)
        return false;
    ch->b = CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)ch->a);
    return ch->b > 0 && fires(p->b, ch->b);
}

static bool disconnect(struct platform_pair *p, const struct channel *ch)
{
    return CALL(p->a, evtchn_close, (evtchn_port_t)ch->a) == 0 && CALL(p->b, evtchn_close, (evtchn_port_t)ch->b) == 0;
}

/* ---- memory ---- */

static const char *own_pages_are_zeroed(struct platform_pair *p)
{
    void *pages;
    static const uint8_t zero[XIDS_PAGE_SIZE];
    EXPECT(CALL(p->a, page_alloc, &pages, 3) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT(__builtin_memcmp((uint8_t *)pages + i * (int)XIDS_PAGE_SIZE, zero, XIDS_PAGE_SIZE) == 0);
    EXPECT(((uintptr_t)pages & (XIDS_PAGE_SIZE - 1)) == 0);
    CALL(p->a, page_free, pages, 3);
    return NULL;
}

static const char *page_counts_out_of_bounds_are_refused(struct platform_pair *p)
{
    void *pages;
    grant_ref_t refs[1];
    EXPECT(CALL(p->a, page_alloc, &pages, 0) == -XEN_EINVAL);
    EXPECT(CALL(p->a, page_alloc, &pages, XIDS_PLATFORM_PAGES_MAX + 1) == -XEN_EINVAL);
    EXPECT(CALL(p->a, share, &pages, refs, p->b->domid, 0, 0, NULL) == -XEN_EINVAL);
    EXPECT(CALL(p->a, share, &pages, refs, p->b->domid, XIDS_PLATFORM_PAGES_MAX + 1, 0, NULL) == -XEN_EINVAL);
    return NULL;
}

static const char *shared_pages_are_one_memory(struct platform_pair *p)
{
    void *pages;
    grant_ref_t refs[3];
    void XIDS_PEER *area;
    EXPECT(CALL(p->a, share, &pages, refs, p->b->domid, 3, 0, NULL) == 0);
    uint8_t *bytes = pages;
    for (uint32_t i = 0; i < 3 * XIDS_PAGE_SIZE; i += 512)
        EXPECT(bytes[i] == 0);
    EXPECT(CALL(p->b, map, &area, refs, p->a->domid, 3, 0, NULL) == 0);
    for (uint32_t i = 0; i < 3; i++) {
        bytes[i * XIDS_PAGE_SIZE + i] = (uint8_t)(i + 1);
        EXPECT(p->peek(p, area, i * XIDS_PAGE_SIZE + i) == i + 1);
        p->poke(p, area, i * XIDS_PAGE_SIZE + 100, (uint8_t)(i + 50));
        EXPECT(((volatile uint8_t *)bytes)[i * XIDS_PAGE_SIZE + 100] == i + 50);
    }
    EXPECT(CALL(p->b, unmap, area, 3) == 0);
    EXPECT(CALL(p->a, unshare, pages, 3) == 0);
    return NULL;
}

static const char *references_map_in_the_order_given(struct platform_pair *p)
{
    void *pages;
    grant_ref_t refs[2];
    void XIDS_PEER *area;
    EXPECT(CALL(p->a, share, &pages, refs, p->b->domid, 2, 0, NULL) == 0);
    ((uint8_t *)pages)[0] = 1;
    ((uint8_t *)pages)[XIDS_PAGE_SIZE] = 2;
    const grant_ref_t swapped[2] = {refs[1], refs[0]};
    EXPECT(CALL(p->b, map, &area, swapped, p->a->domid, 2, 0, NULL) == 0);
    EXPECT(p->peek(p, area, 0) == 2 && p->peek(p, area, XIDS_PAGE_SIZE) == 1);
    EXPECT(CALL(p->b, unmap, area, 2) == 0);
    EXPECT(CALL(p->a, unshare, pages, 2) == 0);
    return NULL;
}

static const char *what_is_shared_for_reading_cannot_be_mapped_for_writing(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, XIDS_GRANT_READONLY, NULL) == 0);
    *(uint8_t *)pages = 7;
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, NULL) == -XEN_EACCES);
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, XIDS_MAP_READONLY, NULL) == 0);
    EXPECT(p->peek(p, area, 0) == 7);
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(CALL(p->a, unshare, pages, 1) == 0);
    return NULL;
}

static const char *references_that_are_not_granted_do_not_map(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    const grant_ref_t bad[2] = {ref, ref + 5000};
    EXPECT(CALL(p->b, map, &area, bad + 1, p->a->domid, 1, 0, NULL) == -XEN_EACCES);
    EXPECT(CALL(p->b, map, &area, bad, p->a->domid, 2, 0, NULL) == -XEN_EACCES);
    EXPECT(CALL(p->a, unshare, pages, 1) == 0);
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, NULL) == -XEN_EACCES);
    return NULL;
}

static const char *pages_unshared_while_mapped_are_not_used_again(struct platform_pair *p)
{
    void *pages, *other;
    grant_ref_t ref, other_ref;
    void XIDS_PEER *area;
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, NULL) == 0);
    *(uint8_t *)pages = 77;
    int rc = CALL(p->a, unshare, pages, 1);
    EXPECT(rc == 0 || rc == -XEN_EBUSY);
    EXPECT(CALL(p->a, share, &other, &other_ref, p->b->domid, 1, 0, NULL) == 0);
    *(uint8_t *)other = 88;
    EXPECT(p->peek(p, area, 0) == 77);
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(CALL(p->a, unshare, other, 1) == 0);
    return NULL;
}

static const char *unmapping_clears_the_byte_and_notifies(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    __builtin_memset(pages, 1, 16);
    struct xids_unmap_notify notify = {true, 7, (evtchn_port_t)ch.b};
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, &notify) == 0);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(fires(p->a, ch.a));
    const volatile uint8_t *bytes = pages;
    EXPECT(bytes[7] == 0 && bytes[6] == 1 && bytes[8] == 1);
    EXPECT(CALL(p->a, unshare, pages, 1) == 0);
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *unsharing_clears_the_byte_and_notifies(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    struct channel ch;
    EXPECT(connect(p, &ch));
    struct xids_unmap_notify notify = {true, 4095, (evtchn_port_t)ch.a};
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, &notify) == 0);
    ((uint8_t *)pages)[4095] = 1;
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, NULL) == 0);
    EXPECT(p->peek(p, area, 4095) == 1);
    int rc = CALL(p->a, unshare, pages, 1);
    EXPECT(rc == 0 || rc == -XEN_EBUSY);
    EXPECT(fires(p->b, ch.b));
    EXPECT(p->peek(p, area, 4095) == 0);
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *a_notification_can_be_half(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    __builtin_memset(pages, 1, 16);
    struct xids_unmap_notify byte = {true, 0, 0}, event = {false, 0, (evtchn_port_t)ch.b}, none = {false, 0, 0};
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, &event) == 0);
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(fires(p->a, ch.a));
    EXPECT(((volatile uint8_t *)pages)[0] == 1);
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, &byte) == 0);
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(quiet(p->a));
    EXPECT(((volatile uint8_t *)pages)[0] == 0);
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, &none) == 0);
    EXPECT(CALL(p->b, unmap, area, 1) == 0);
    EXPECT(CALL(p->a, unshare, pages, 1) == 0);
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *maps_of_one_page_end_one_by_one(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *first, *second;
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    __builtin_memset(pages, 1, 16);
    struct xids_unmap_notify notify = {true, 5, (evtchn_port_t)ch.b};
    EXPECT(CALL(p->b, map, &first, &ref, p->a->domid, 1, 0, NULL) == 0);
    EXPECT(CALL(p->b, map, &second, &ref, p->a->domid, 1, 0, &notify) == 0);
    EXPECT(CALL(p->b, unmap, first, 1) == 0);
    EXPECT(quiet(p->a));
    EXPECT(((volatile uint8_t *)pages)[5] == 1);
    EXPECT(p->peek(p, second, 6) == 1);
    EXPECT(CALL(p->b, unmap, second, 1) == 0);
    EXPECT(fires(p->a, ch.a));
    EXPECT(((volatile uint8_t *)pages)[5] == 0);
    EXPECT(CALL(p->a, unshare, pages, 1) == 0);
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *a_notifications_byte_must_lie_in_the_area(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    struct xids_unmap_notify notify = {true, XIDS_PAGE_SIZE, 0};
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, &notify) == -XEN_EINVAL);
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, &notify) == -XEN_EINVAL);
    EXPECT(CALL(p->a, unshare, pages, 1) == 0);
    return NULL;
}

static const char *copies_go_both_ways_and_one_bad_grant_spoils_no_other(struct platform_pair *p)
{
    void *pages, *readonly;
    grant_ref_t ref, ro_ref;
    /* b shares, a copies: a is the one whose memory the case can name. */
    EXPECT(CALL(p->b, share, &pages, &ref, p->a->domid, 1, 0, NULL) == 0);
    EXPECT(CALL(p->b, share, &readonly, &ro_ref, p->a->domid, 1, XIDS_GRANT_READONLY, NULL) == 0);
    p->poke(p, (void XIDS_PEER *)pages, 4095, 9);
    uint8_t out[4] = {1, 2, 3, 4}, in[4] = {0};
    const domid_t b = p->b->domid;
    struct xids_grant_copy c[7] = {
        {.to_grant = true, .domid = b, .ref = ref, .offset = 10, .len = 4, .memory = out},
        {.to_grant = true, .domid = b, .ref = ref + 5000, .offset = 0, .len = 4, .memory = out},
        {.to_grant = true, .domid = b, .ref = ro_ref, .offset = 0, .len = 4, .memory = out},
        {.to_grant = false, .domid = b, .ref = ref, .offset = 4095, .len = 2, .memory = in},
        {.to_grant = false, .domid = b, .ref = ref, .offset = 0, .len = 0, .memory = in},
        {.to_grant = false, .domid = b, .ref = ref, .offset = 4095, .len = 1, .memory = in},
        {.to_grant = false, .domid = b, .ref = ref, .offset = 11, .len = 2, .memory = in + 2},
    };
    EXPECT(CALL(p->a, copy, c, 7) == 0);
    EXPECT(c[0].status == 0);
    EXPECT(c[1].status == -XEN_EACCES);
    EXPECT(c[2].status == -XEN_EACCES);
    EXPECT(c[3].status == -XEN_EINVAL);
    EXPECT(c[4].status == -XEN_EINVAL);
    EXPECT(c[5].status == 0 && in[0] == 9);
    EXPECT(c[6].status == 0 && in[2] == 2 && in[3] == 3);
    EXPECT(p->peek(p, (void XIDS_PEER *)pages, 13) == 4);
    EXPECT(CALL(p->b, unshare, pages, 1) == 0);
    EXPECT(CALL(p->b, unshare, readonly, 1) == 0);
    return NULL;
}

/* ---- event channels ---- */

static const char *events_go_both_ways(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(quiet(p->a) && quiet(p->b));
    for (int i = 0; i < 3; i++) {
        EXPECT(CALL(p->a, evtchn_notify, (evtchn_port_t)ch.a) == 0);
        EXPECT(fires(p->b, ch.b));
        EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
        EXPECT(fires(p->a, ch.a));
    }
    EXPECT(quiet(p->a) && quiet(p->b));
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *a_bound_port_is_pending_once(struct platform_pair *p)
{
    int a = CALL(p->a, evtchn_alloc, p->b->domid);
    int b = CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a);
    EXPECT(a > 0 && b > 0);
    EXPECT(fires(p->b, b));
    EXPECT(quiet(p->b));
    EXPECT(quiet(p->a));
    struct channel ch = {a, b};
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *taking_a_port_masks_it_and_remembers_more_as_one(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(next_port(p->a) == ch.a);
    for (int i = 0; i < 3; i++)
        EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    EXPECT(fires(p->a, ch.a));
    EXPECT(quiet(p->a));
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *events_before_they_are_taken_are_one(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    for (int i = 0; i < 5; i++)
        EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(next_port(p->a) == ch.a);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    /* Linux remembers the later ones beyond the take; Xen's bit does not. Either is within the contract. */
    int again = PENDING(p->a);
    EXPECT(again == 0 || again == ch.a);
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *a_masked_port_waits_for_unmask(struct platform_pair *p)
{
    struct channel ch, other;
    EXPECT(connect(p, &ch) && connect(p, &other));
    EXPECT(CALL(p->a, evtchn_mask, (evtchn_port_t)ch.a) == 0);
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)other.b) == 0);
    EXPECT(fires(p->a, other.a));
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    EXPECT(CALL(p->a, wait, UINT64_MAX) == 1);
    EXPECT(PENDING(p->a) == ch.a);
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    EXPECT(disconnect(p, &ch) && disconnect(p, &other));
    return NULL;
}

static const char *a_pending_port_can_still_be_masked(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(CALL(p->a, wait, NOW(p->a) + SECOND) == 1);
    EXPECT(CALL(p->a, evtchn_mask, (evtchn_port_t)ch.a) == 0);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    EXPECT(fires(p->a, ch.a));
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *unmasking_what_is_not_masked_does_nothing(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    for (int i = 0; i < 3; i++)
        EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(fires(p->a, ch.a));
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *many_ports_each_fire_once(struct platform_pair *p)
{
    struct channel ch[70];
    bool seen[70] = {false};
    for (int i = 0; i < 70; i++)
        EXPECT(connect(p, &ch[i]));
    for (int i = 69; i >= 0; i--)
        EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch[i].b) == 0);
    for (int n = 0; n < 70; n++) {
        int port = next_port(p->a), i = 0;
        while (i < 70 && ch[i].a != port)
            i++;
        EXPECT(i < 70 && !seen[i]);
        seen[i] = true;
    }
    EXPECT(quiet(p->a));
    for (int i = 0; i < 70; i++)
        EXPECT(disconnect(p, &ch[i]));
    return NULL;
}

static const char *a_port_is_bound_by_its_peer_and_once(struct platform_pair *p)
{
    int a = CALL(p->a, evtchn_alloc, p->b->domid);
    EXPECT(a > 0);
    EXPECT(CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a + 3000) == -XEN_EINVAL);
    int b = CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a);
    EXPECT(b > 0);
    EXPECT(CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a) == -XEN_EINVAL);
    struct channel ch = {a, b};
    EXPECT(disconnect(p, &ch));
    return NULL;
}

static const char *a_port_for_another_domain_cannot_be_bound(struct platform_pair *p)
{
    int a = CALL(p->a, evtchn_alloc, p->a->domid);
    EXPECT(a > 0);
    EXPECT(CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a) < 0);
    EXPECT(CALL(p->a, evtchn_close, (evtchn_port_t)a) == 0);
    return NULL;
}

static const char *states_follow_the_life_of_a_channel(struct platform_pair *p)
{
    int a = CALL(p->a, evtchn_alloc, p->b->domid);
    EXPECT(CALL(p->a, evtchn_status, (evtchn_port_t)a) == XIDS_EVTCHN_UNBOUND);
    int b = CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a);
    EXPECT(CALL(p->a, evtchn_status, (evtchn_port_t)a) == XIDS_EVTCHN_INTERDOMAIN);
    EXPECT(CALL(p->b, evtchn_status, (evtchn_port_t)b) == XIDS_EVTCHN_INTERDOMAIN);
    EXPECT(CALL(p->b, evtchn_close, (evtchn_port_t)b) == 0);
    EXPECT(CALL(p->b, evtchn_status, (evtchn_port_t)b) == XIDS_EVTCHN_CLOSED);
    EXPECT(CALL(p->a, evtchn_status, (evtchn_port_t)a) == XIDS_EVTCHN_UNBOUND);
    EXPECT(CALL(p->a, evtchn_notify, (evtchn_port_t)a) == 0);
    b = CALL(p->b, evtchn_bind, p->a->domid, (evtchn_port_t)a);
    EXPECT(b > 0);
    EXPECT(CALL(p->a, evtchn_status, (evtchn_port_t)a) == XIDS_EVTCHN_INTERDOMAIN);
    EXPECT(CALL(p->a, evtchn_close, (evtchn_port_t)a) == 0);
    EXPECT(CALL(p->a, evtchn_status, (evtchn_port_t)a) == XIDS_EVTCHN_CLOSED);
    EXPECT(CALL(p->b, evtchn_status, (evtchn_port_t)b) == XIDS_EVTCHN_UNBOUND);
    EXPECT(CALL(p->b, evtchn_close, (evtchn_port_t)b) == 0);
    return NULL;
}

static const char *ports_that_are_not_ours_are_refused(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->a, evtchn_close, (evtchn_port_t)ch.a) == 0);
    EXPECT(CALL(p->a, evtchn_notify, (evtchn_port_t)ch.a) < 0);
    EXPECT(CALL(p->a, evtchn_close, (evtchn_port_t)ch.a) < 0);
    EXPECT(CALL(p->a, evtchn_mask, (evtchn_port_t)ch.a) < 0);
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) < 0);
    EXPECT(CALL(p->a, evtchn_notify, 0) < 0);
    EXPECT(CALL(p->a, evtchn_notify, 0xffffffffu) < 0);
    EXPECT(CALL(p->b, evtchn_close, (evtchn_port_t)ch.b) == 0);
    return NULL;
}

static const char *a_closed_port_is_not_pending(struct platform_pair *p)
{
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->b, evtchn_notify, (evtchn_port_t)ch.b) == 0);
    EXPECT(CALL(p->a, evtchn_mask, (evtchn_port_t)ch.a) == 0);
    EXPECT(quiet(p->a));
    EXPECT(CALL(p->a, evtchn_unmask, (evtchn_port_t)ch.a) == 0);
    EXPECT(disconnect(p, &ch));
    EXPECT(quiet(p->a));
    return NULL;
}

static const char *waiting_ends_at_the_deadline(struct platform_pair *p)
{
    uint64_t before = NOW(p->a);
    EXPECT(CALL(p->a, wait, before + 2000000) == 0);
    EXPECT(NOW(p->a) >= before + 2000000);
    EXPECT(CALL(p->a, wait, 0) == 0);
    return NULL;
}

/* The last: it takes b away. */
static const char *death_does_what_unmapping_and_closing_do(struct platform_pair *p)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    struct channel ch;
    EXPECT(connect(p, &ch));
    EXPECT(CALL(p->a, share, &pages, &ref, p->b->domid, 1, 0, NULL) == 0);
    __builtin_memset(pages, 1, 16);
    struct xids_unmap_notify notify = {true, 3, (evtchn_port_t)ch.b};
    EXPECT(CALL(p->b, map, &area, &ref, p->a->domid, 1, 0, &notify) == 0);
    p->kill_b(p);
    EXPECT(fires(p->a, ch.a));
    EXPECT(((volatile uint8_t *)pages)[3] == 0 && ((volatile uint8_t *)pages)[2] == 1);
    for (int i = 0; i < 1000 && CALL(p->a, evtchn_status, (evtchn_port_t)ch.a) != XIDS_EVTCHN_UNBOUND; i++)
        (void)CALL(p->a, wait, NOW(p->a) + 1000000);
    EXPECT(CALL(p->a, evtchn_status, (evtchn_port_t)ch.a) == XIDS_EVTCHN_UNBOUND);
    EXPECT(CALL(p->a, evtchn_notify, (evtchn_port_t)ch.a) == 0);
    int rc = CALL(p->a, unshare, pages, 1);
    EXPECT(rc == 0 || rc == -XEN_EBUSY);
    EXPECT(CALL(p->a, evtchn_close, (evtchn_port_t)ch.a) == 0);
    return NULL;
}

#define CASE(name)  \
    {               \
#name, name \
    }
const struct platform_case platform_cases[] = {
    CASE(own_pages_are_zeroed),
    CASE(page_counts_out_of_bounds_are_refused),
    CASE(shared_pages_are_one_memory),
    CASE(references_map_in_the_order_given),
    CASE(what_is_shared_for_reading_cannot_be_mapped_for_writing),
    CASE(references_that_are_not_granted_do_not_map),
    CASE(pages_unshared_while_mapped_are_not_used_again),
    CASE(unmapping_clears_the_byte_and_notifies),
    CASE(unsharing_clears_the_byte_and_notifies),
    CASE(a_notification_can_be_half),
    CASE(maps_of_one_page_end_one_by_one),
    CASE(a_notifications_byte_must_lie_in_the_area),
    CASE(copies_go_both_ways_and_one_bad_grant_spoils_no_other),
    CASE(events_go_both_ways),
    CASE(a_bound_port_is_pending_once),
    CASE(taking_a_port_masks_it_and_remembers_more_as_one),
    CASE(events_before_they_are_taken_are_one),
    CASE(a_masked_port_waits_for_unmask),
    CASE(a_pending_port_can_still_be_masked),
    CASE(unmasking_what_is_not_masked_does_nothing),
    CASE(many_ports_each_fire_once),
    CASE(a_port_is_bound_by_its_peer_and_once),
    CASE(a_port_for_another_domain_cannot_be_bound),
    CASE(states_follow_the_life_of_a_channel),
    CASE(ports_that_are_not_ours_are_refused),
    CASE(a_closed_port_is_not_pending),
    CASE(waiting_ends_at_the_deadline),
    CASE(death_does_what_unmapping_and_closing_do),
};
const unsigned int platform_case_count = sizeof(platform_cases) / sizeof(platform_cases[0]);
