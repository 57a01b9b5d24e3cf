/* SPDX-License-Identifier: ISC */
/* The bare guest's space, grants, mappings and copies, over a stand-in for Xen. */
#include "tests/unit/guest_fake.h"
#include "tests/unit/suite.h"

#include <string.h>

#define PAGE XIDS_PAGE_SIZE

static const struct xids_platform_ops *const ops = &guest_platform_ops;
static unsigned int space_before, refs_before, pages_before, ports_before;

static void note_what_is_out(void)
{
    space_before = fake_free_space();
    refs_before = fake_free_refs();
    pages_before = fake.pages;
    ports_before = fake.ports_out;
}

static void setup(void)
{
    void *pages;
    grant_ref_t refs[5];
    fake_init();
    /* The table grows to its limit, and the records have their memory: what is out afterwards is a leak. */
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 5, 0, NULL), 0);
    ck_assert_int_eq(ops->unshare(NULL, pages, 5), 0);
    (void)fake_free_refs();
    note_what_is_out();
}

static void assert_nothing_is_out(void)
{
    ck_assert_uint_eq(fake_free_space(), space_before);
    ck_assert_uint_eq(fake_free_refs(), refs_before);
    ck_assert_uint_eq(fake.pages, pages_before);
    ck_assert_uint_eq(fake.ports_out, ports_before);
    ck_assert_uint_eq(fake.maps_out, 0);
}

static void teardown(void)
{
    assert_nothing_is_out();
    fake_fini();
}

static void peer_grants(unsigned int first, unsigned int count)
{
    for (unsigned int i = first; i < first + count; i++)
        fake.grants[i].granted = true;
}

/* ---- space ---- */

START_TEST(space_is_given_in_rows_that_do_not_overlap)
{
    unsigned int all = fake_free_space();
    uintptr_t a = guest_space_get(100), b = guest_space_get(1), c = guest_space_get(all - 101);
    ck_assert(a != 0 && b != 0 && c != 0);
    ck_assert_uint_eq(guest_space_get(1), 0);
    ck_assert(b >= a + 100 * PAGE || b < a);
    guest_space_put(b, 1);
    ck_assert_uint_eq(guest_space_get(2), 0);
    ck_assert_uint_eq(guest_space_get(1), b);
    guest_space_put(a, 100);
    ck_assert_uint_eq(guest_space_get(101), 0);
    ck_assert_uint_eq(guest_space_get(100), a);
    guest_space_put(a, 100);
    guest_space_put(b, 1);
    guest_space_put(c, all - 101);
    ck_assert_uint_eq(guest_space_get(0), 0);
    ck_assert_uint_eq(guest_space_get(all + 1), 0);
    ck_assert_uint_eq(fake_free_space(), all);
}
END_TEST

START_TEST(space_comes_back_into_use_late)
{
    uintptr_t a = guest_space_get(1);
    guest_space_put(a, 1);
    uintptr_t b = guest_space_get(1);
    ck_assert(a != b);
    guest_space_put(b, 1);
}
END_TEST

/* ---- grants ---- */

START_TEST(a_grant_names_its_page_and_its_peer)
{
    void *page;
    grant_ref_t ref;
    ck_assert_int_eq(ops->page_alloc(NULL, &page, 1), 0);
    ck_assert_int_eq(ops->grant(NULL, &ref, FAKE_PEER, page, 0), 0);
    ck_assert_uint_ge(ref, GNTTAB_NR_RESERVED_ENTRIES);
    ck_assert_uint_eq(fake_granted_page(ref), (uintptr_t)page);
    ck_assert(fake_peer_map(ref, true));
    ck_assert_int_eq(ops->grant_end(NULL, ref), -XEN_EBUSY);
    fake_peer_unmap(ref);
    ck_assert_int_eq(ops->grant_end(NULL, ref), 0);
    ck_assert(!fake_peer_map(ref, false));
    ck_assert_int_eq(ops->grant_end(NULL, ref), -XEN_EINVAL);
    ck_assert_int_eq(ops->grant(NULL, &ref, FAKE_PEER, page, XIDS_GRANT_READONLY), 0);
    ck_assert(!fake_peer_map(ref, true));
    ck_assert_int_eq(ops->grant_end(NULL, ref), 0);
    ops->page_free(NULL, page, 1);
}
END_TEST

START_TEST(senseless_grants_are_refused)
{
    grant_ref_t ref;
    void *page, *pages;
    ck_assert_int_eq(ops->page_alloc(NULL, &page, 1), 0);
    ck_assert_int_eq(ops->grant(NULL, &ref, DOMID_SELF, page, 0), -XEN_EINVAL);
    ck_assert_int_eq(ops->grant(NULL, &ref, FAKE_PEER, NULL, 0), -XEN_EINVAL);
    ck_assert_int_eq(ops->grant(NULL, &ref, FAKE_PEER, (uint8_t *)page + 8, 0), -XEN_EINVAL);
    ck_assert_int_eq(ops->grant(NULL, &ref, FAKE_PEER, page, 2), -XEN_EINVAL);
    ck_assert_int_eq(ops->share(NULL, &pages, &ref, FAKE_PEER, 1, 2, NULL), -XEN_EINVAL);
    for (grant_ref_t reserved = 0; reserved < GNTTAB_NR_RESERVED_ENTRIES; reserved++)
        ck_assert_int_eq(ops->grant_end(NULL, reserved), -XEN_EINVAL);
    ck_assert_int_eq(ops->grant_end(NULL, 1 << 20), -XEN_EINVAL);
    ck_assert_int_eq(ops->unshare(NULL, page, 1), -XEN_EINVAL);
    ops->page_free(NULL, page, 1);
}
END_TEST

START_TEST(the_table_grows_to_its_limit_and_no_reference_is_given_twice)
{
    static bool seen[2 * 512];
    static grant_ref_t refs[2 * 512];
    unsigned int n = 0;
    void *page;
    ck_assert_int_eq(ops->page_alloc(NULL, &page, 1), 0);
    while (ops->grant(NULL, &refs[n], FAKE_PEER, page, 0) == 0) {
        ck_assert(refs[n] < 2 * 512 && !seen[refs[n]]);
        seen[refs[n++]] = true;
    }
    ck_assert_uint_eq(n, 2 * 512 - GNTTAB_NR_RESERVED_ENTRIES);
    grant_ref_t again;
    ck_assert_int_eq(ops->grant(NULL, &again, FAKE_PEER, page, 0), -XEN_ENOSPC);
    ck_assert_int_eq(ops->grant_end(NULL, refs[500]), 0);
    ck_assert_int_eq(ops->grant(NULL, &again, FAKE_PEER, page, 0), 0);
    ck_assert_uint_eq(again, refs[500]);
    for (unsigned int i = 0; i < n; i++)
        ck_assert_int_eq(ops->grant_end(NULL, refs[i]), 0);
    ops->page_free(NULL, page, 1);
}
END_TEST

/* ---- shares and their quarantine ---- */

START_TEST(a_share_that_does_not_fit_leaves_nothing)
{
    static grant_ref_t refs[1024];
    void *pages;
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 1024, 0, NULL), -XEN_ENOSPC);
    assert_nothing_is_out();
    fake.pages_left = 3;
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 4, 0, NULL), -XEN_ENOMEM);
    fake.pages_left = 5;
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 5, 0, NULL), -XEN_ENOMEM);
    fake.pages_left = 100;
}
END_TEST

START_TEST(pages_that_the_peer_keeps_are_set_aside_until_it_lets_go)
{
    grant_ref_t refs[3];
    void *pages, *other;
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 3, 0, NULL), 0);
    ck_assert(fake_peer_map(refs[1], true));
    unsigned int out = fake.pages;
    ck_assert_int_eq(ops->unshare(NULL, pages, 3), -XEN_EBUSY);
    ck_assert_uint_eq(fake.pages, out);
    ck_assert(!fake_peer_map(refs[0], true) && !fake_peer_map(refs[2], true));
    ck_assert_int_eq(ops->unshare(NULL, pages, 3), -XEN_EINVAL);
    ck_assert_int_eq(ops->page_alloc(NULL, &other, 1), 0);
    ck_assert_uint_eq(fake.pages, out + 1);
    ops->page_free(NULL, other, 1);
    fake_peer_unmap(refs[1]);
    /* Each of these calls looks again. */
    if (_i == 0) {
        ck_assert_int_eq(ops->page_alloc(NULL, &other, 1), 0);
        ops->page_free(NULL, other, 1);
    } else {
        ck_assert_int_eq(ops->share(NULL, &other, refs, FAKE_PEER, 1, 0, NULL), 0);
        ck_assert_int_eq(ops->unshare(NULL, other, 1), 0);
    }
    ck_assert_uint_eq(fake.pages, out - 3);
}
END_TEST

START_TEST(a_look_at_the_quarantine_is_bounded_and_finds_everything_in_the_end)
{
    static grant_ref_t refs[4][200];
    void *pages[4], *page;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(ops->share(NULL, &pages[i], refs[i], FAKE_PEER, 200, 0, NULL), 0);
        for (int j = 0; j < 200; j++)
            ck_assert(fake_peer_map(refs[i][j], j % 2 == 0));
        ck_assert_int_eq(ops->unshare(NULL, pages[i], 200), -XEN_EBUSY);
    }
    /* All but the last share is let go; then that one in two steps. */
    unsigned int out = fake.pages;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 200; j++)
            fake_peer_unmap(refs[i][j]);
    for (int n = 0; n < 30; n++) {
        ck_assert_int_eq(ops->page_alloc(NULL, &page, 1), 0);
        ops->page_free(NULL, page, 1);
        ck_assert(n > 0 || fake.pages == out); /* 64 of 200: none is done at once */
    }
    ck_assert_uint_eq(fake.pages, out - 3 * 201);
    for (int j = 0; j < 100; j++)
        fake_peer_unmap(refs[3][j]);
    for (int n = 0; n < 10; n++)
        guest_grants_retry();
    ck_assert_uint_eq(fake.pages, out - 3 * 201);
    for (int j = 100; j < 200; j++)
        fake_peer_unmap(refs[3][j]);
    for (int n = 0; n < 10; n++)
        guest_grants_retry();
    ck_assert_uint_eq(fake.pages, out - 4 * 201);
}
END_TEST

START_TEST(a_resume_elsewhere_ends_all_grants)
{
    static grant_ref_t all[2 * 512];
    grant_ref_t refs[6];
    void *held, *kept;
    unsigned int n = 0;
    ck_assert_int_eq(ops->share(NULL, &held, refs, FAKE_PEER, 6, 0, NULL), 0);
    ck_assert(fake_peer_map(refs[5], true));
    ck_assert_int_eq(ops->unshare(NULL, held, 6), -XEN_EBUSY);
    ck_assert_int_eq(ops->share(NULL, &kept, refs, FAKE_PEER, 6, 0, NULL), 0);
    ck_assert_int_eq(guest_grants_init(true), 0);
    guest_maps_lose();
    /* New grants under the old numbers are not ended by who had these before. */
    while (ops->grant(NULL, &all[n], FAKE_PEER, kept, 0) == 0)
        n++;
    ck_assert_uint_eq(n, refs_before);
    ck_assert_int_eq(ops->unshare(NULL, kept, 6), 0);
    guest_grants_retry();
    for (unsigned int i = 0; i < n; i++) {
        ck_assert(fake_peer_map(all[i], true));
        fake_peer_unmap(all[i]);
        ck_assert_int_eq(ops->grant_end(NULL, all[i]), 0);
    }
}
END_TEST

/* ---- mappings ---- */

START_TEST(pages_are_mapped_in_order_and_are_one_memory)
{
    void XIDS_PEER *area;
    grant_ref_t refs[40];
    for (unsigned int i = 0; i < 40; i++)
        refs[i] = 99 - i;
    peer_grants(60, 40);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 40, 0, NULL), 0);
    uint8_t *bytes = XIDS_PEER_RAW(uint8_t, area);
    for (unsigned int i = 0; i < 40; i++) {
        bytes[i * PAGE + i] = (uint8_t)(i + 1);
        ck_assert_uint_eq(fake.peer_pages[refs[i] * PAGE + i], i + 1);
    }
    ck_assert_int_eq(ops->unmap(NULL, area, 39), -XEN_EINVAL);
    ck_assert_int_eq(ops->unmap(NULL, (uint8_t XIDS_PEER *)area + PAGE, 40), -XEN_EINVAL);
    ck_assert_int_eq(ops->unmap(NULL, area, 40), 0);
    ck_assert_int_eq(ops->unmap(NULL, area, 40), -XEN_EINVAL);
}
END_TEST

START_TEST(one_bad_reference_among_many_undoes_all)
{
    void XIDS_PEER *area;
    grant_ref_t refs[70];
    for (unsigned int i = 0; i < 70; i++)
        refs[i] = i;
    peer_grants(0, 70);
    fake.grants[_i].granted = false;
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 70, 0, NULL), -XEN_EACCES);
}
END_TEST

START_TEST(what_is_granted_for_reading_is_mapped_for_reading)
{
    void XIDS_PEER *area;
    grant_ref_t ref = 5;
    struct xids_unmap_notify byte = {true, 0, 0};
    peer_grants(5, 1);
    fake.grants[5].readonly = true;
    ck_assert_int_eq(ops->map(NULL, &area, &ref, FAKE_PEER, 1, 0, NULL), -XEN_EACCES);
    ck_assert_int_eq(ops->map(NULL, &area, &ref, FAKE_PEER, 1, XIDS_MAP_READONLY, &byte), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, &ref, FAKE_PEER, 1, XIDS_MAP_READONLY, NULL), 0);
    ck_assert_int_eq(ops->unmap(NULL, area, 1), 0);
}
END_TEST

START_TEST(errors_of_mapping_are_told)
{
    void XIDS_PEER *area;
    grant_ref_t refs[2] = {1, 3000};
    peer_grants(1, 1);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER + 1, 1, 0, NULL), -XEN_ENODEV);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, NULL), -XEN_EACCES);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_DOMID, 1, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, DOMID_SELF, 1, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 0, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, XIDS_PLATFORM_PAGES_MAX + 1, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 1, 2, NULL), -XEN_EINVAL);
    fake.fail_status = GNTST_no_space;
    fake.fail_in = 1;
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 1, 0, NULL), -XEN_ENOMEM);
}
END_TEST

START_TEST(a_page_that_is_not_there_yet_is_asked_for_again_within_a_bound)
{
    void XIDS_PEER *area;
    grant_ref_t refs[3] = {1, 2, 3};
    peer_grants(1, 3);
    fake.grants[2].eagain = 20;
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 3, 0, NULL), 0);
    ck_assert_int_eq(ops->unmap(NULL, area, 3), 0);
    fake.grants[2].eagain = 1000000;
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 3, 0, NULL), -XEN_EAGAIN);
    ck_assert_uint_gt(fake.grants[2].eagain, 999000);
}
END_TEST

START_TEST(without_space_nothing_is_mapped)
{
    void XIDS_PEER *area;
    grant_ref_t refs[2] = {1, 2};
    peer_grants(1, 2);
    unsigned int all = fake_free_space();
    uintptr_t at = guest_space_get(all - 1);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, NULL), -XEN_ENOMEM);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 1, 0, NULL), 0);
    ck_assert_int_eq(ops->unmap(NULL, area, 1), 0);
    guest_space_put(at, all - 1);
}
END_TEST

START_TEST(what_xen_does_not_unmap_keeps_its_address)
{
    void XIDS_PEER *area;
    grant_ref_t refs[2] = {1, 2};
    peer_grants(1, 2);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, NULL), 0);
    fake.fail_status = GNTST_general_error;
    fake.fail_in = 1;
    ck_assert_int_eq(ops->unmap(NULL, area, 2), -XEN_EACCES);
    ck_assert_uint_eq(fake.maps_out, 1);
    ck_assert_uint_eq(fake_free_space(), space_before - 2);
    space_before -= 2;
    fake.maps_out = 0;
}
END_TEST

/* ---- notifications ---- */

START_TEST(unmapping_clears_the_byte_then_notifies)
{
    void XIDS_PEER *area;
    grant_ref_t refs[2] = {1, 2};
    peer_grants(1, 2);
    int a = ops->evtchn_alloc(NULL, FAKE_DOMID), b = ops->evtchn_bind(NULL, FAKE_DOMID, (evtchn_port_t)a);
    ck_assert_int_eq(ops->evtchn_pending(NULL), b);
    struct xids_unmap_notify notify = {true, PAGE + 3, (evtchn_port_t)b};
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, &notify), 0);
    memset(fake.peer_pages + PAGE, 1, 2 * PAGE);
    /* Closed before, the port is still good for the notification, and its number for nobody else. */
    if (_i == 1) {
        ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)b), 0);
        ck_assert_int_eq(ops->evtchn_status(NULL, (evtchn_port_t)b), XIDS_EVTCHN_CLOSED);
        ck_assert_int_eq(ops->evtchn_notify(NULL, (evtchn_port_t)b), -XEN_EINVAL);
        ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)b), -XEN_EINVAL);
        int c = ops->evtchn_alloc(NULL, FAKE_PEER);
        ck_assert_int_ne(c, b);
        ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)c), 0);
    }
    ck_assert_int_eq(ops->unmap(NULL, area, 2), 0);
    ck_assert_int_eq(ops->evtchn_pending(NULL), a);
    ck_assert_uint_eq(fake.peer_pages[2 * PAGE + 3], 0);
    ck_assert_uint_eq(fake.peer_pages[2 * PAGE + 2], 1);
    ck_assert_uint_eq(fake.peer_pages[PAGE + 3], 1);
    if (_i == 0)
        ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)b), 0);
    ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)a), 0);
}
END_TEST

START_TEST(unsharing_clears_the_byte_then_notifies)
{
    void *pages;
    grant_ref_t refs[2];
    int a = ops->evtchn_alloc(NULL, FAKE_DOMID), b = ops->evtchn_bind(NULL, FAKE_DOMID, (evtchn_port_t)a);
    ck_assert_int_eq(ops->evtchn_pending(NULL), b);
    struct xids_unmap_notify notify = {true, 2 * PAGE - 1, (evtchn_port_t)b};
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 2, 0, &notify), 0);
    memset(pages, 1, 2 * PAGE);
    ck_assert(fake_peer_map(refs[0], true));
    ck_assert_int_eq(ops->unshare(NULL, pages, 2), -XEN_EBUSY);
    ck_assert_int_eq(ops->evtchn_pending(NULL), a);
    ck_assert_uint_eq(((uint8_t *)pages)[2 * PAGE - 1], 0);
    fake_peer_unmap(refs[0]);
    guest_grants_retry();
    ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)a), 0);
    ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)b), 0);
}
END_TEST

START_TEST(a_notification_must_be_one_that_can_be_carried_out)
{
    void *pages;
    void XIDS_PEER *area;
    grant_ref_t refs[2] = {1, 2};
    struct xids_unmap_notify beyond = {true, 2 * PAGE, 0}, no_port = {false, 0, 77}, none = {false, 2 * PAGE, 0};
    peer_grants(1, 2);
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 2, 0, &beyond), -XEN_EINVAL);
    ck_assert_int_eq(ops->share(NULL, &pages, refs, FAKE_PEER, 2, 0, &no_port), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, &beyond), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, &no_port), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(NULL, &area, refs, FAKE_PEER, 2, 0, &none), 0);
    ck_assert_int_eq(ops->unmap(NULL, area, 2), 0);
}
END_TEST

START_TEST(a_map_that_fails_notifies_nobody_and_holds_no_port)
{
    void XIDS_PEER *area;
    grant_ref_t ref = 1;
    int a = ops->evtchn_alloc(NULL, FAKE_DOMID), b = ops->evtchn_bind(NULL, FAKE_DOMID, (evtchn_port_t)a);
    ck_assert_int_eq(ops->evtchn_pending(NULL), b);
    struct xids_unmap_notify notify = {false, 0, (evtchn_port_t)b};
    ck_assert_int_eq(ops->map(NULL, &area, &ref, FAKE_PEER, 1, 0, &notify), -XEN_EACCES);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 0);
    ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)b), 0);
    ck_assert_int_eq(ops->evtchn_close(NULL, (evtchn_port_t)a), 0);
}
END_TEST

/* ---- copies ---- */

START_TEST(copies_go_both_ways_wherever_our_memory_lies)
{
    void *pages;
    peer_grants(1, 2);
    fake.grants[2].readonly = true;
    ck_assert_int_eq(ops->page_alloc(NULL, &pages, 2), 0);
    uint8_t *edge = (uint8_t *)pages + PAGE - 3;
    memcpy(edge, "abcdef", 6);
    fake.peer_pages[PAGE + 4000] = 9;
    struct xids_grant_copy c[] = {
        {.to_grant = true, .domid = FAKE_PEER, .ref = 1, .offset = 10, .len = 6, .memory = edge},
        {.to_grant = true, .domid = FAKE_PEER, .ref = 2, .offset = 10, .len = 6, .memory = edge},
        {.to_grant = true, .domid = FAKE_PEER, .ref = 500, .offset = 10, .len = 1, .memory = edge},
        {.to_grant = false, .domid = FAKE_PEER, .ref = 1, .offset = 4090, .len = 7, .memory = edge},
        {.to_grant = false, .domid = FAKE_PEER, .ref = 1, .offset = 4096, .len = 1, .memory = edge},
        {.to_grant = false, .domid = FAKE_PEER, .ref = 1, .offset = 0, .len = 0, .memory = edge},
        {.to_grant = false, .domid = FAKE_PEER, .ref = 1, .offset = 0, .len = 4096, .memory = (uint8_t *)pages + 1},
    };
    ck_assert_int_eq(ops->copy(NULL, c, 7), 0);
    static const int want[] = {0, -XEN_EACCES, -XEN_EACCES, -XEN_EINVAL, -XEN_EINVAL, -XEN_EINVAL, 0};
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(c[i].status, want[i]);
    ck_assert_mem_eq(fake.peer_pages + PAGE + 10, "abcdef", 6);
    ck_assert_mem_eq((uint8_t *)pages + 11, "abcdef", 6);
    ck_assert_uint_eq(((uint8_t *)pages)[4001], 9);
    ops->page_free(NULL, pages, 2);
}
END_TEST

START_TEST(many_copies_go_in_batches)
{
    static struct xids_grant_copy c[100];
    void *pages;
    peer_grants(1, 1);
    ck_assert_int_eq(ops->page_alloc(NULL, &pages, 2), 0);
    for (unsigned int i = 0; i < 100; i++)
        c[i] = (struct xids_grant_copy){.to_grant = true,
                                        .domid = FAKE_PEER,
                                        .ref = i % 10 == 7 ? 6u : 1u,
                                        .offset = (uint16_t)(i * 8),
                                        .len = 8,
                                        .memory = (uint8_t *)pages + PAGE - 4 - i % 3};
    unsigned int calls = fake.calls;
    ck_assert_int_eq(ops->copy(NULL, c, 100), 0);
    ck_assert_uint_le(fake.calls - calls, 8);
    for (unsigned int i = 0; i < 100; i++)
        ck_assert_int_eq(c[i].status, i % 10 == 7 ? -XEN_EACCES : 0);
    fake.grants[1].eagain = 1;
    ck_assert_int_eq(ops->copy(NULL, c, 1), 0);
    ck_assert_int_eq(c[0].status, -XEN_EAGAIN);
    fake.fail_in = 1;
    ck_assert_int_eq(ops->copy(NULL, c, 1), -XEN_EFAULT);
    ck_assert_int_eq(ops->copy(NULL, c, 0), 0);
    ops->page_free(NULL, pages, 2);
}
END_TEST

/* ---- every call fails once ---- */

/* All operations once, each of which may fail; whatever was had is given back. */
static void do_everything(void)
{
    static grant_ref_t refs[600], granted[40];
    void *pages, *page;
    void XIDS_PEER *area;
    for (unsigned int i = 0; i < 40; i++)
        granted[i] = i;
    int a = ops->evtchn_alloc(NULL, FAKE_DOMID);
    int b = a > 0 ? ops->evtchn_bind(NULL, FAKE_DOMID, (evtchn_port_t)a) : 0;
    struct xids_unmap_notify notify = {true, 0, b > 0 ? (evtchn_port_t)b : 0};
    if (ops->share(NULL, &pages, refs, FAKE_PEER, 600, 0, &notify) == 0)
        ck_assert_int_eq(ops->unshare(NULL, pages, 600), 0);
    if (ops->page_alloc(NULL, &page, 1) == 0) {
        if (ops->grant(NULL, refs, FAKE_PEER, page, 0) == 0)
            ck_assert_int_eq(ops->grant_end(NULL, refs[0]), 0);
        ops->page_free(NULL, page, 1);
    }
    if (ops->map(NULL, &area, granted, FAKE_PEER, 40, 0, &notify) == 0 && ops->unmap(NULL, area, 40) < 0) {
        /* Only Xen's refusal leaves mappings, and then their addresses are not used again. */
        ck_assert_uint_gt(fake.maps_out, 0);
        ck_assert_uint_eq(fake_free_space(), space_before - 40);
        space_before -= 40;
        fake.maps_out = 0;
    }
    while (ops->evtchn_pending(NULL) > 0)
        continue;
    if (b > 0)
        (void)ops->evtchn_close(NULL, (evtchn_port_t)b);
    if (a > 0)
        (void)ops->evtchn_close(NULL, (evtchn_port_t)a);
}

START_TEST(the_ith_call_that_fails_leaves_nothing)
{
    peer_grants(0, 40);
    do_everything();
    note_what_is_out();
    unsigned int before = fake.calls;
    do_everything();
    unsigned int calls = fake.calls - before;
    ck_assert_uint_gt(calls, 8);
    for (unsigned int i = 1; i <= calls; i++) {
        fake.fail_status = _i == 0 ? GNTST_okay : GNTST_general_error;
        fake.fail_in = i;
        do_everything();
        fake.fail_in = 0;
        /* A close that Xen refuses leaves the port open in this stand-in; Xen has no reason to. */
        unsigned int ports = fake.ports_out - ports_before;
        ck_assert_uint_le(ports, 2);
        ports_before += ports;
        assert_nothing_is_out();
    }
}
END_TEST

START_TEST(want_of_memory_at_any_time_leaves_nothing)
{
    peer_grants(0, 40);
    do_everything();
    note_what_is_out();
    for (unsigned int left = 0; left < 605; left++) {
        unsigned int before = fake.pages_left;
        fake.pages_left = left;
        do_everything();
        ck_assert_uint_eq(fake.pages_left, left);
        fake.pages_left = before;
        assert_nothing_is_out();
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest_memory");
    TCase *t = tcase_create("guest");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, space_is_given_in_rows_that_do_not_overlap);
    tcase_add_test(t, space_comes_back_into_use_late);
    tcase_add_test(t, a_grant_names_its_page_and_its_peer);
    tcase_add_test(t, senseless_grants_are_refused);
    tcase_add_test(t, the_table_grows_to_its_limit_and_no_reference_is_given_twice);
    tcase_add_test(t, a_share_that_does_not_fit_leaves_nothing);
    tcase_add_loop_test(t, pages_that_the_peer_keeps_are_set_aside_until_it_lets_go, 0, 2);
    tcase_add_test(t, a_look_at_the_quarantine_is_bounded_and_finds_everything_in_the_end);
    tcase_add_test(t, a_resume_elsewhere_ends_all_grants);
    tcase_add_test(t, pages_are_mapped_in_order_and_are_one_memory);
    tcase_add_loop_test(t, one_bad_reference_among_many_undoes_all, 0, 70);
    tcase_add_test(t, what_is_granted_for_reading_is_mapped_for_reading);
    tcase_add_test(t, errors_of_mapping_are_told);
    tcase_add_test(t, a_page_that_is_not_there_yet_is_asked_for_again_within_a_bound);
    tcase_add_test(t, without_space_nothing_is_mapped);
    tcase_add_test(t, what_xen_does_not_unmap_keeps_its_address);
    tcase_add_loop_test(t, unmapping_clears_the_byte_then_notifies, 0, 2);
    tcase_add_test(t, unsharing_clears_the_byte_then_notifies);
    tcase_add_test(t, a_notification_must_be_one_that_can_be_carried_out);
    tcase_add_test(t, a_map_that_fails_notifies_nobody_and_holds_no_port);
    tcase_add_test(t, copies_go_both_ways_wherever_our_memory_lies);
    tcase_add_test(t, many_copies_go_in_batches);
    tcase_add_loop_test(t, the_ith_call_that_fails_leaves_nothing, 0, 2);
    tcase_add_test(t, want_of_memory_at_any_time_leaves_nothing);
    suite_add_tcase(s, t);
    return s;
}
