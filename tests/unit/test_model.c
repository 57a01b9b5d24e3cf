/* SPDX-License-Identifier: ISC */
/* The model's platforms: domains, memory in both modes, events, processes, threads. */
#include "tests/unit/model_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A sanitizer makes an exit of a bad write. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- domains ---- */

START_TEST(a_platform_knows_its_domid)
{
    ck_assert_uint_eq(a->domid, 0);
    ck_assert_uint_eq(b->domid, 5);
    ck_assert_uint_eq(xids_model_domain_create(m, XIDS_MODEL_DOMID_ANY)->domid, 1);
    clean();
}
END_TEST

START_TEST(a_taken_domid_gives_no_platform)
{
    ck_assert_ptr_null(xids_model_domain_create(m, 5));
    ck_assert_ptr_null(xids_model_domain_create(m, DOMID_SELF));
}
END_TEST

START_TEST(there_are_at_most_256_domains)
{
    for (int i = 2; i < 256; i++)
        ck_assert_ptr_nonnull(xids_model_domain_create(m, XIDS_MODEL_DOMID_ANY));
    ck_assert_ptr_null(xids_model_domain_create(m, XIDS_MODEL_DOMID_ANY));
}
END_TEST

START_TEST(unknown_domains_are_refused)
{
    ck_assert_int_eq(xids_model_domain_pause(m, 9), -XEN_ESRCH);
    ck_assert_int_eq(xids_model_domain_unpause(m, 9), -XEN_ESRCH);
    ck_assert_int_eq(xids_model_domain_crash(m, 9), -XEN_ESRCH);
    ck_assert_int_eq(xids_model_domain_destroy(m, 9), -XEN_ESRCH);
    ck_assert_int_eq(xids_model_process_kill(m, 9), -XEN_ESRCH);
}
END_TEST

START_TEST(a_dead_domains_calls_say_so)
{
    void *pages;
    void XIDS_PEER *area;
    grant_ref_t ref = 8;
    struct xids_grant_copy c = {.len = 1, .memory = report};
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    ck_assert_int_eq(b->ops->page_alloc(b->ctx, &pages, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->grant(b->ctx, &ref, 0, report, 0), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->grant_end(b->ctx, 8), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->share(b->ctx, &pages, &ref, 0, 1, 0, NULL), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, 0, NULL), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->copy(b->ctx, &c, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_alloc(b->ctx, 0), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_bind(b->ctx, 0, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_bind_virq(b->ctx, VIRQ_TIMER), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_notify(b->ctx, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_unmask(b->ctx, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_mask(b->ctx, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_close(b->ctx, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_status(b->ctx, 1), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), -XEN_ENODEV);
    ck_assert_int_eq(b->ops->wait(b->ctx, UINT64_MAX), -XEN_ENODEV);
}
END_TEST

START_TEST(a_domid_can_live_again_with_a_platform_of_its_own)
{
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    struct xids_platform *again = xids_model_domain_create(m, 5);
    ck_assert_ptr_nonnull(again);
    ck_assert_ptr_ne(again, b);
    ck_assert_int_gt(again->ops->evtchn_alloc(again->ctx, 0), 0);
    ck_assert_int_eq(b->ops->evtchn_alloc(b->ctx, 0), -XEN_ENODEV);
}
END_TEST

START_TEST(a_call_about_a_dead_peer_says_so)
{
    void XIDS_PEER *area;
    grant_ref_t ref = 8;
    ck_assert_int_eq(a->ops->evtchn_bind(a->ctx, 9, 1), -XEN_ENODEV);
    ck_assert_int_eq(a->ops->map(a->ctx, &area, &ref, 9, 1, 0, NULL), -XEN_ENODEV);
}
END_TEST

/* ---- memory, in both modes ---- */

START_TEST(pages_are_zeroed_and_can_be_given_back)
{
    char *pages;
    void *p;
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(a->ops->page_alloc(a->ctx, &p, 4), 0);
        pages = p;
        for (size_t i = 0; i < 4 * XIDS_PAGE_SIZE; i++)
            ck_assert_int_eq(pages[i], 0);
        memset(pages, 0x11, 4 * XIDS_PAGE_SIZE);
        a->ops->page_free(a->ctx, p, 4);
    }
    clean();
}
END_TEST

START_TEST(page_counts_out_of_bounds_are_refused)
{
    void *p;
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &p, 0), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &p, XIDS_PLATFORM_PAGES_MAX + 1), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &p, XIDS_PLATFORM_PAGES_MAX), 0);
}
END_TEST

START_TEST(what_one_side_writes_the_other_reads)
{
    void *page, *p;
    grant_ref_t ref;
    void XIDS_PEER *area;
    char got[8];
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &page, 1), 0);
    ck_assert_int_eq(a->ops->grant(a->ctx, &ref, 5, page, 0), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, 0, NULL), 0);
    memcpy(page, "forward", 8);
    xids_peer_get(got, area, 8);
    ck_assert_str_eq(got, "forward");
    xids_peer_put(area, "back", 5);
    p = page;
    ck_assert_str_eq(p, "back");
    ck_assert_int_eq(a->ops->grant_end(a->ctx, ref), -XEN_EBUSY);
    ck_assert_int_eq(b->ops->unmap(b->ctx, area, 1), 0);
    ck_assert_int_eq(a->ops->grant_end(a->ctx, ref), 0);
    a->ops->page_free(a->ctx, page, 1);
    clean();
}
END_TEST

START_TEST(scattered_pages_are_mapped_in_a_row)
{
    void *pages;
    grant_ref_t refs[3];
    void XIDS_PEER *area;
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &pages, 5), 0);
    for (int i = 0; i < 3; i++) {
        char *page = (char *)pages + (4 - 2 * i) * (int)XIDS_PAGE_SIZE;
        *page = (char)(i + 1);
        ck_assert_int_eq(a->ops->grant(a->ctx, &refs[i], 5, page, 0), 0);
    }
    ck_assert_int_eq(b->ops->map(b->ctx, &area, refs, 0, 3, XIDS_MAP_READONLY, NULL), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(xids_peer_load8((const uint8_t XIDS_PEER *)area + i * (int)XIDS_PAGE_SIZE), (uint8_t)(i + 1));
    ck_assert_int_eq(b->ops->unmap(b->ctx, area, 3), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(a->ops->grant_end(a->ctx, refs[i]), 0);
    a->ops->page_free(a->ctx, pages, 5);
    clean();
}
END_TEST

START_TEST(a_share_is_mapped_with_its_notification)
{
    evtchn_port_t pa, pb;
    void *pages;
    grant_ref_t refs[2];
    void XIDS_PEER *area;
    connect_ports(&pa, &pb);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 4100, .port = pb};
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, refs, 5, 2, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, refs, 0, 2, 0, &n), 0);
    ((char *)pages)[4100] = 1;
    ck_assert_int_eq(a->ops->evtchn_pending(a->ctx), 0);
    ck_assert_int_eq(b->ops->unmap(b->ctx, area, 2), 0);
    ck_assert_int_eq(((char *)pages)[4100], 0);
    ck_assert_int_eq(a->ops->evtchn_pending(a->ctx), (int)pa);
    ck_assert_int_eq(a->ops->unshare(a->ctx, pages, 2), 0);
    close_ports(pa, pb);
    clean();
}
END_TEST

START_TEST(a_map_that_fails_notifies_nobody)
{
    evtchn_port_t pa, pb;
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    connect_ports(&pa, &pb);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = XIDS_PAGE_SIZE, .port = pb};
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, &ref, 5, 1, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, 0, &n), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->evtchn_pending(a->ctx), 0);
    ck_assert_int_eq(a->ops->unshare(a->ctx, pages, 1), 0);
    close_ports(pa, pb);
    clean();
}
END_TEST

START_TEST(unsharing_mapped_pages_says_busy_and_keeps_them)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, &ref, 5, 1, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, 0, NULL), 0);
    xids_peer_put(area, "still here", 11);
    ck_assert_int_eq(a->ops->unshare(a->ctx, pages, 1), -XEN_EBUSY);
    char got[11];
    xids_peer_get(got, area, 11);
    ck_assert_str_eq(got, "still here");
    ck_assert_int_eq(b->ops->unmap(b->ctx, area, 1), 0);
    clean();
}
END_TEST

START_TEST(copies_work_without_mapping)
{
    void *page;
    grant_ref_t ref;
    char out[6] = "";
    ck_assert_int_eq(a->ops->page_alloc(a->ctx, &page, 1), 0);
    ck_assert_int_eq(a->ops->grant(a->ctx, &ref, 5, page, XIDS_GRANT_READONLY), 0);
    memcpy((char *)page + 100, "hello", 6);
    struct xids_grant_copy c = {.domid = 0, .ref = ref, .offset = 100, .len = 6, .memory = out};
    ck_assert_int_eq(b->ops->copy(b->ctx, &c, 1), 0);
    ck_assert_int_eq(c.status, 0);
    ck_assert_str_eq(out, "hello");
    ck_assert_int_eq(b->ops->copy(b->ctx, NULL, 0), 0);
}
END_TEST

START_TEST(a_page_that_is_not_ones_own_cannot_be_granted)
{
    void *page;
    grant_ref_t ref;
    ck_assert_int_eq(b->ops->page_alloc(b->ctx, &page, 1), 0);
    ck_assert_int_eq(a->ops->grant(a->ctx, &ref, 5, page, 0), -XEN_EINVAL);
    ck_assert_int_eq(b->ops->grant(b->ctx, &ref, 0, (char *)page + 1, 0), -XEN_EINVAL);
    ck_assert_int_eq(b->ops->grant(b->ctx, &ref, 0, report, 0), -XEN_EINVAL);
}
END_TEST

START_TEST(alias_mode_gives_the_granters_own_address)
{
    void *pages;
    grant_ref_t refs[2];
    void XIDS_PEER *area;
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, refs, 5, 2, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, refs, 0, 2, 0, NULL), 0);
    ck_assert_ptr_eq(XIDS_PEER_RAW(void, area), pages);
}
END_TEST

START_TEST(separate_mode_gives_another_address)
{
    void *pages;
    grant_ref_t refs[2];
    void XIDS_PEER *area, *second;
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, refs, 5, 2, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, refs, 0, 2, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &second, refs, 0, 2, 0, NULL), 0);
    ck_assert_ptr_ne(XIDS_PEER_RAW(void, area), pages);
    ck_assert_ptr_ne(XIDS_PEER_RAW(void, area), XIDS_PEER_RAW(void, second));
}
END_TEST

#ifndef SANITIZED
START_TEST(a_readonly_mapping_cannot_be_written)
{
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, &ref, 5, 1, XIDS_GRANT_READONLY, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, XIDS_MAP_READONLY, NULL), 0);
    xids_peer_store((uint32_t XIDS_PEER *)area, 1);
}
END_TEST
#endif

/* ---- events ---- */

START_TEST(pending_ports_are_taken_in_order)
{
    evtchn_port_t pa[3], pb[3];
    for (int i = 0; i < 3; i++)
        connect_ports(&pa[i], &pb[i]);
    const int order[] = {1, 0, 2};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, pa[order[i]]), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), (int)pb[order[i]]);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), 0);
}
END_TEST

START_TEST(a_port_taken_is_masked_until_unmasked)
{
    evtchn_port_t pa, pb;
    connect_ports(&pa, &pb);
    ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, pa), 0);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), (int)pb);
    ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, pa), 0);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), 0);
    ck_assert_int_eq(b->ops->evtchn_unmask(b->ctx, pb), 0);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), (int)pb);
}
END_TEST

START_TEST(a_masked_port_is_not_pending)
{
    evtchn_port_t pa, pb;
    connect_ports(&pa, &pb);
    ck_assert_int_eq(b->ops->evtchn_mask(b->ctx, pb), 0);
    ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, pa), 0);
    ck_assert_int_eq(b->ops->wait(b->ctx, 0), 0);
    ck_assert_int_eq(b->ops->evtchn_unmask(b->ctx, pb), 0);
    ck_assert_int_eq(b->ops->wait(b->ctx, 0), 1);
}
END_TEST

START_TEST(a_closed_port_is_not_pending)
{
    evtchn_port_t pa, pb;
    connect_ports(&pa, &pb);
    ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, pa), 0);
    close_ports(pa, pb);
    ck_assert_int_eq(b->ops->wait(b->ctx, 0), 0);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), 0);
    clean();
}
END_TEST

START_TEST(states_of_a_port)
{
    int port = a->ops->evtchn_alloc(a->ctx, 5);
    ck_assert_int_eq(a->ops->evtchn_status(a->ctx, (evtchn_port_t)port), XIDS_EVTCHN_UNBOUND);
    int other = b->ops->evtchn_bind(b->ctx, 0, (evtchn_port_t)port);
    ck_assert_int_eq(a->ops->evtchn_status(a->ctx, (evtchn_port_t)port), XIDS_EVTCHN_INTERDOMAIN);
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    ck_assert_int_eq(a->ops->evtchn_status(a->ctx, (evtchn_port_t)port), XIDS_EVTCHN_UNBOUND);
    ck_assert_int_eq(a->ops->evtchn_close(a->ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(a->ops->evtchn_status(a->ctx, (evtchn_port_t)port), XIDS_EVTCHN_CLOSED);
    ck_assert_int_gt(other, 0);
}
END_TEST

START_TEST(ports_that_are_not_ones_own_are_refused)
{
    ck_assert_int_eq(a->ops->evtchn_notify(a->ctx, 1), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->evtchn_close(a->ctx, 0), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->evtchn_unmask(a->ctx, UINT32_MAX), -XEN_EINVAL);
    ck_assert_int_eq(a->ops->evtchn_mask(a->ctx, 4096), -XEN_EINVAL);
}
END_TEST

START_TEST(a_crash_and_an_end_raise_the_virq)
{
    int port = a->ops->evtchn_bind_virq(a->ctx, VIRQ_DOM_EXC);
    ck_assert_int_gt(port, 0);
    ck_assert_int_eq(xids_model_domain_crash(m, 5), 0);
    ck_assert_int_eq(a->ops->evtchn_pending(a->ctx), port);
    ck_assert_int_eq(a->ops->evtchn_unmask(a->ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(xids_model_domain_destroy(m, 5), 0);
    ck_assert_int_eq(a->ops->evtchn_pending(a->ctx), port);
}
END_TEST

START_TEST(a_virq_can_be_raised)
{
    int port = b->ops->evtchn_bind_virq(b->ctx, VIRQ_TIMER);
    ck_assert_int_gt(port, 0);
    ck_assert_int_eq(xids_model_virq(m, 5, VIRQ_TIMER), 0);
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), port);
    ck_assert_int_eq(b->ops->evtchn_bind_virq(b->ctx, VIRQ_DOM_EXC), -XEN_EPERM);
}
END_TEST

/* ---- processes ---- */

START_TEST(a_killed_process_is_announced_and_leaves_nothing)
{
    evtchn_port_t pa, pb;
    void *pages, *own;
    grant_ref_t ref, owns;
    void XIDS_PEER *area;
    connect_ports(&pa, &pb);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 20, .port = pb};
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, &ref, 5, 1, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, 0, &n), 0);
    ck_assert_int_eq(b->ops->page_alloc(b->ctx, &own, 3), 0);
    ck_assert_int_eq(b->ops->grant(b->ctx, &owns, 0, own, 0), 0);
    ((char *)pages)[20] = 1;
    ck_assert_int_eq(xids_model_process_kill(m, 5), 0);
    ck_assert_int_eq(((char *)pages)[20], 0);
    ck_assert_int_eq(a->ops->evtchn_pending(a->ctx), (int)pa);
    ck_assert_int_eq(a->ops->evtchn_status(a->ctx, pa), XIDS_EVTCHN_UNBOUND);
    ck_assert_int_eq(a->ops->unshare(a->ctx, pages, 1), 0);
    ck_assert_int_eq(a->ops->evtchn_close(a->ctx, pa), 0);
    clean();
    ck_assert_int_gt(b->ops->evtchn_alloc(b->ctx, 0), 0);
}
END_TEST

/* ---- threads ---- */

#define ROUNDS 2000

struct side {
    struct xids_platform *p;
    evtchn_port_t port;
    uint32_t XIDS_PEER *in, *out;
    bool first;
};

/* Passes a counter to and fro, sleeping between. */
static void *play(void *ctx)
{
    struct side *s = ctx;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        if (s->first) {
            xids_peer_store_release(s->out, i);
            ck_assert_int_eq(s->p->ops->evtchn_notify(s->p->ctx, s->port), 0);
        }
        while (xids_peer_load_acquire(s->in) != i) {
            if (s->p->ops->wait(s->p->ctx, UINT64_MAX) != 1)
                abort();
            int port = s->p->ops->evtchn_pending(s->p->ctx);
            if (port > 0 && s->p->ops->evtchn_unmask(s->p->ctx, (evtchn_port_t)port) != 0)
                abort();
        }
        if (!s->first) {
            xids_peer_store_release(s->out, i);
            if (s->p->ops->evtchn_notify(s->p->ctx, s->port) != 0)
                abort();
        }
    }
    return NULL;
}

START_TEST(two_threads_play_ping_pong)
{
    evtchn_port_t pa, pb;
    void *pages;
    grant_ref_t ref;
    void XIDS_PEER *area;
    pthread_t thread;
    connect_ports(&pa, &pb);
    ck_assert_int_eq(a->ops->share(a->ctx, &pages, &ref, 5, 1, 0, NULL), 0);
    ck_assert_int_eq(b->ops->map(b->ctx, &area, &ref, 0, 1, 0, NULL), 0);
    uint32_t XIDS_PEER *mine = (uint32_t XIDS_PEER *)pages, *theirs = (uint32_t XIDS_PEER *)area;
    struct side sa = {a, pa, mine, mine + 16, true}, sb = {b, pb, theirs + 16, theirs, false};
    ck_assert_int_eq(pthread_create(&thread, NULL, play, &sb), 0);
    play(&sa);
    pthread_join(thread, NULL);
    ck_assert_int_eq(b->ops->unmap(b->ctx, area, 1), 0);
    ck_assert_int_eq(a->ops->unshare(a->ctx, pages, 1), 0);
    close_ports(pa, pb);
    clean();
}
END_TEST

static void *churn(void *ctx)
{
    struct xids_platform *p = ctx;
    for (int i = 0; i < 300; i++) {
        void *pages;
        grant_ref_t refs[3];
        int port = p->ops->evtchn_alloc(p->ctx, 0);
        if (port < 0 || p->ops->share(p->ctx, &pages, refs, 0, 3, 0, NULL) != 0)
            abort();
        memset(pages, i, 3 * XIDS_PAGE_SIZE);
        if (p->ops->unshare(p->ctx, pages, 3) != 0 || p->ops->evtchn_close(p->ctx, (evtchn_port_t)port) != 0)
            abort();
    }
    return NULL;
}

START_TEST(threads_make_and_unmake_side_by_side)
{
    pthread_t thread[2];
    ck_assert_int_eq(pthread_create(&thread[0], NULL, churn, a), 0);
    ck_assert_int_eq(pthread_create(&thread[1], NULL, churn, b), 0);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    clean();
}
END_TEST

START_TEST(a_threads_wait_has_a_deadline)
{
    uint64_t before = a->ops->now(a->ctx);
    ck_assert_int_eq(a->ops->wait(a->ctx, before + 2000000), 0);
    ck_assert_uint_ge(a->ops->now(a->ctx), before + 2000000);
}
END_TEST

static void *destroy_five(void *ctx)
{
    (void)ctx;
    if (xids_model_domain_destroy(m, 5) != 0)
        abort();
    return NULL;
}

START_TEST(destruction_ends_a_threads_wait)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, destroy_five, NULL), 0);
    ck_assert_int_eq(b->ops->wait(b->ctx, UINT64_MAX), -XEN_ENODEV);
    pthread_join(thread, NULL);
}
END_TEST

static void add_memory(TCase *t)
{
    tcase_add_test(t, pages_are_zeroed_and_can_be_given_back);
    tcase_add_test(t, page_counts_out_of_bounds_are_refused);
    tcase_add_test(t, what_one_side_writes_the_other_reads);
    tcase_add_test(t, scattered_pages_are_mapped_in_a_row);
    tcase_add_test(t, a_share_is_mapped_with_its_notification);
    tcase_add_test(t, a_map_that_fails_notifies_nobody);
    tcase_add_test(t, unsharing_mapped_pages_says_busy_and_keeps_them);
    tcase_add_test(t, copies_work_without_mapping);
    tcase_add_test(t, a_killed_process_is_announced_and_leaves_nothing);
}

Suite *xids_suite(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("domains");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_platform_knows_its_domid);
    tcase_add_test(t, a_taken_domid_gives_no_platform);
    tcase_add_test(t, there_are_at_most_256_domains);
    tcase_add_test(t, unknown_domains_are_refused);
    tcase_add_test(t, a_dead_domains_calls_say_so);
    tcase_add_test(t, a_domid_can_live_again_with_a_platform_of_its_own);
    tcase_add_test(t, a_call_about_a_dead_peer_says_so);
    suite_add_tcase(s, t);

    t = tcase_create("memory");
    tcase_add_checked_fixture(t, setup, teardown);
    add_memory(t);
    tcase_add_test(t, a_page_that_is_not_ones_own_cannot_be_granted);
    tcase_add_test(t, alias_mode_gives_the_granters_own_address);
    suite_add_tcase(s, t);

    t = tcase_create("memory-separate");
    tcase_add_checked_fixture(t, setup_separate, teardown);
    add_memory(t);
    tcase_add_test(t, separate_mode_gives_another_address);
#ifndef SANITIZED
    tcase_add_test_raise_signal(t, a_readonly_mapping_cannot_be_written, SIGSEGV);
#endif
    suite_add_tcase(s, t);

    t = tcase_create("events");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, pending_ports_are_taken_in_order);
    tcase_add_test(t, a_port_taken_is_masked_until_unmasked);
    tcase_add_test(t, a_masked_port_is_not_pending);
    tcase_add_test(t, a_closed_port_is_not_pending);
    tcase_add_test(t, states_of_a_port);
    tcase_add_test(t, ports_that_are_not_ones_own_are_refused);
    tcase_add_test(t, a_crash_and_an_end_raise_the_virq);
    tcase_add_test(t, a_virq_can_be_raised);
    suite_add_tcase(s, t);

    t = tcase_create("threads");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup_threaded, teardown);
    tcase_add_test(t, two_threads_play_ping_pong);
    tcase_add_test(t, threads_make_and_unmake_side_by_side);
    tcase_add_test(t, a_threads_wait_has_a_deadline);
    tcase_add_test(t, destruction_ends_a_threads_wait);
    suite_add_tcase(s, t);
    return s;
}
