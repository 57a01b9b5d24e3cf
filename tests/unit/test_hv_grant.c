/* SPDX-License-Identifier: ISC */
/* The hypervisor's rules of grants, maps and shares. Domain 5 gives, domains 0 and 6 take. */
#include "tests/unit/suite.h"

#include "tests/unit/hv_machine.h"

static struct machine m;
static uint32_t giver, taker, other; /* owners */
static uint32_t page;                /* a frame of domain 5 */

static uint32_t owner(domid_t domid)
{
    uint32_t id;
    ck_assert_int_eq(xids_hv_owner_open(&m.hv, &id, domid, 0), 0);
    return id;
}

static void setup(void)
{
    ck_assert_int_eq(machine_make(&m, machine_limits()), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 0, XIDS_HV_PRIVILEGED, NULL), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 0, NULL), 6);
    giver = owner(5);
    taker = owner(0);
    other = owner(6);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &page, 5, 1), 0);
}

static void teardown(void)
{
    ck_assert_uint_eq(m.depth, 0);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
    /* Whatever a case did, the ends of the domains leave nothing behind. */
    for (domid_t d = 0; d < 8; d++)
        (void)xids_hv_domain_destroy(&m.hv, d);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
    uint32_t all;
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 1, 0, NULL), 1);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &all, 1, FRAMES), 0);
    machine_end(&m);
}

static grant_ref_t grant(uint32_t frame, domid_t remote, unsigned int flags)
{
    grant_ref_t ref = 0;
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, remote, frame, flags, XIDS_HV_GRANT_ANY), 0);
    return ref;
}

static int map(uint32_t *id, uint32_t who, grant_ref_t ref, unsigned int flags)
{
    uint32_t frame;
    return xids_hv_map(&m.hv, id, &frame, who, 5, &ref, 1, flags, NULL);
}

START_TEST(references_start_behind_the_reserved_ones)
{
    ck_assert_uint_eq(grant(page, 0, 0), XIDS_HV_GRANT_FIRST);
    ck_assert_uint_eq(grant(page, 6, 0), XIDS_HV_GRANT_FIRST + 1);
}
END_TEST

START_TEST(reserved_references_are_given_when_wanted)
{
    grant_ref_t ref = 99;
    uint32_t id;
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, 1), 0);
    ck_assert_uint_eq(ref, 1);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, 1), -XEN_EEXIST);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, 0), 0);
    ck_assert_int_eq(map(&id, taker, 0, 0), 0);
    ck_assert_int_eq(map(&id, taker, 1, 0), 0);
}
END_TEST

START_TEST(a_wanted_reference_beyond_the_table_is_refused)
{
    grant_ref_t ref;
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, 128), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, UINT32_MAX - 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, 127), 0);
}
END_TEST

START_TEST(only_ones_own_frames_can_be_granted)
{
    grant_ref_t ref;
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 6, 0, page, 0, XIDS_HV_GRANT_ANY), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, 0, 0, XIDS_HV_GRANT_ANY), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, UINT32_MAX, 0, XIDS_HV_GRANT_ANY), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 9, 0, page, 0, XIDS_HV_GRANT_ANY), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, DOMID_SELF, page, 0, XIDS_HV_GRANT_ANY), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 2, XIDS_HV_GRANT_ANY), -XEN_EINVAL);
}
END_TEST

START_TEST(a_full_table_says_so_and_recovers)
{
    grant_ref_t ref;
    for (unsigned int i = 0; i < 120; i++)
        (void)grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, page, 0, XIDS_HV_GRANT_ANY), -XEN_ENOSPC);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, 33), 0);
    ck_assert_uint_eq(grant(page, 0, 0), 33);
}
END_TEST

START_TEST(the_machines_grants_run_out)
{
    grant_ref_t ref;
    uint32_t f;
    for (unsigned int i = 0; i < 120; i++)
        (void)grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 6, 1), 0);
    for (unsigned int i = 0; i < 56; i++)
        ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 6, 0, f, 0, XIDS_HV_GRANT_ANY), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 6, 0, f, 0, XIDS_HV_GRANT_ANY), -XEN_ENOMEM);
}
END_TEST

START_TEST(a_grant_is_for_its_domain_alone)
{
    uint32_t id;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&id, other, ref, 0), -XEN_EACCES);
    ck_assert_int_eq(map(&id, taker, ref, 0), 0);
}
END_TEST

START_TEST(a_map_tells_where_the_page_is)
{
    uint32_t id, frame = 0;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, taker, 5, &ref, 1, 0, NULL), 0);
    ck_assert_uint_eq(frame, page);
}
END_TEST

START_TEST(references_never_granted_cannot_be_mapped)
{
    uint32_t id;
    const grant_ref_t refs[] = {0, 8, 127, 128, UINT32_MAX};
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(map(&id, taker, refs[i], 0), -XEN_EACCES);
}
END_TEST

START_TEST(a_readonly_grant_cannot_be_mapped_for_writing)
{
    uint32_t id;
    grant_ref_t ref = grant(page, 0, XIDS_GRANT_READONLY);
    ck_assert_int_eq(map(&id, taker, ref, 0), -XEN_EACCES);
    ck_assert_int_eq(map(&id, taker, ref, XIDS_MAP_READONLY), 0);
}
END_TEST

START_TEST(an_ended_grant_cannot_be_mapped)
{
    uint32_t id;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), -XEN_EACCES);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), -XEN_ENOENT);
}
END_TEST

START_TEST(a_mapped_grant_does_not_end)
{
    uint32_t a, b;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&a, taker, ref, 0), 0);
    ck_assert_int_eq(map(&b, taker, ref, 0), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), -XEN_EBUSY);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, a), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), -XEN_EBUSY);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, b), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), 0);
}
END_TEST

START_TEST(a_grant_that_could_not_end_still_works)
{
    uint32_t a, b;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&a, taker, ref, 0), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), -XEN_EBUSY);
    ck_assert_int_eq(map(&b, taker, ref, 0), 0);
}
END_TEST

START_TEST(a_map_is_all_or_nothing)
{
    uint32_t id, frames[3];
    grant_ref_t refs[3] = {grant(page, 0, 0), grant(page, 6, 0), grant(page, 0, 0)};
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, 3, 0, NULL), -XEN_EACCES);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, refs[0]), 0);
}
END_TEST

START_TEST(counts_of_pages_out_of_bounds_are_refused)
{
    static grant_ref_t refs[XIDS_PLATFORM_PAGES_MAX + 1];
    static uint32_t frames[XIDS_PLATFORM_PAGES_MAX + 1];
    uint32_t id, first;
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, 0, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, XIDS_PLATFORM_PAGES_MAX + 1, 0, NULL),
                     -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_share(&m.hv, &id, &first, refs, giver, 0, 0, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_share(&m.hv, &id, &first, refs, giver, 0, UINT32_MAX, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &id, NULL, taker, 5, frames, 0), -XEN_EINVAL);
}
END_TEST

START_TEST(unknown_flags_are_refused)
{
    uint32_t id, first;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&id, taker, ref, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_share(&m.hv, &id, &first, &ref, giver, 0, 1, 4, NULL), -XEN_EINVAL);
}
END_TEST

START_TEST(a_domain_does_not_map_its_own_grants)
{
    uint32_t id, frame;
    grant_ref_t ref = grant(page, 5, 0);
    ck_assert_int_eq(map(&id, giver, ref, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, giver, DOMID_SELF, &ref, 1, 0, NULL), -XEN_EINVAL);
}
END_TEST

START_TEST(loopback_works_where_it_is_allowed)
{
    uint32_t id, frame, f, o;
    grant_ref_t ref;
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 7, XIDS_HV_LOOPBACK, NULL), 7);
    o = owner(7);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 7, 1), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 7, 7, f, 0, XIDS_HV_GRANT_ANY), 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, o, DOMID_SELF, &ref, 1, 0, NULL), 0);
}
END_TEST

START_TEST(maps_of_a_dead_domains_grants_are_refused)
{
    uint32_t id;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), -XEN_ESRCH);
}
END_TEST

START_TEST(a_map_belongs_to_its_owner)
{
    uint32_t id;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, other, id), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, owner(0), id), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, taker, id), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), -XEN_ENOENT);
}
END_TEST

START_TEST(a_stale_map_id_is_refused)
{
    uint32_t a, b;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&a, taker, ref, 0), 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, a), 0);
    ck_assert_int_eq(map(&b, taker, ref, 0), 0);
    ck_assert_uint_ne(a, b);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, a), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, UINT32_MAX), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, 0), -XEN_ENOENT);
}
END_TEST

START_TEST(too_many_maps_are_refused_and_leave_nothing)
{
    uint32_t id;
    grant_ref_t ref = grant(page, 0, 0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(map(&id, taker, ref, 0), 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, taker), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), 0);
}
END_TEST

START_TEST(too_many_mapped_pages_are_refused_and_leave_nothing)
{
    uint32_t id, frames[25];
    grant_ref_t refs[25];
    for (int i = 0; i < 25; i++)
        refs[i] = grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, 25, 0, NULL), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, 24, 0, NULL), 0);
}
END_TEST

START_TEST(a_mapped_page_outlives_its_domain)
{
    uint32_t id, f;
    grant_ref_t ref = grant(page, 0, 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), 0);
    memset(machine_frame(&m, page), 0x77, XIDS_PAGE_SIZE);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_uint_eq(m.freed, 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 6, 1), 0);
    ck_assert_uint_ne(f, page);
    ck_assert_uint_eq(*(uint8_t *)machine_frame(&m, page), 0x77);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    ck_assert_uint_eq(m.freed_frame, page);
}
END_TEST

START_TEST(an_old_map_does_not_count_for_a_new_grant_of_that_reference)
{
    uint32_t id, f;
    grant_ref_t ref = grant(page, 0, 0), again;
    ck_assert_int_eq(map(&id, taker, ref, 0), 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 1), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &again, 5, 0, f, 0, ref), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, again), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &again, 5, 0, f, 0, ref), 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, again), 0);
}
END_TEST

/* ---- shares ---- */

START_TEST(a_share_gives_zeroed_granted_pages_in_a_row)
{
    uint32_t share, first, id, frames[3];
    grant_ref_t refs[3];
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 3, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, 3, 0, NULL), 0);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(frames[i], first + i);
        ck_assert_uint_eq(*(uint8_t *)machine_frame(&m, frames[i]), 0);
    }
}
END_TEST

START_TEST(a_readonly_share_is_readonly)
{
    uint32_t share, first, id;
    grant_ref_t ref;
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, &ref, giver, 0, 1, XIDS_GRANT_READONLY, NULL), 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), -XEN_EACCES);
    ck_assert_int_eq(map(&id, taker, ref, XIDS_MAP_READONLY), 0);
}
END_TEST

START_TEST(unshare_frees_pages_nobody_maps)
{
    uint32_t share, first;
    grant_ref_t refs[2];
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 2, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, giver, share), 0);
    ck_assert_uint_eq(m.freed, 2);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, giver, share), -XEN_ENOENT);
}
END_TEST

START_TEST(unshare_keeps_mapped_pages_aside_until_they_are_let_go)
{
    uint32_t share, first, id;
    grant_ref_t refs[2];
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 2, 0, NULL), 0);
    ck_assert_int_eq(map(&id, taker, refs[1], 0), 0);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, giver, share), -XEN_EBUSY);
    ck_assert_uint_eq(m.freed, 1);
    ck_assert_uint_eq(m.freed_frame, first);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    ck_assert_uint_eq(m.freed, 2);
    ck_assert_uint_eq(m.freed_frame, first + 1);
}
END_TEST

START_TEST(a_page_given_up_cannot_be_mapped_again)
{
    uint32_t share, first, id, again;
    grant_ref_t ref, next;
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, &ref, giver, 0, 1, 0, NULL), 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), 0);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, giver, share), -XEN_EBUSY);
    ck_assert_int_eq(map(&again, taker, ref, 0), -XEN_EACCES);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), -XEN_ENOENT);
    next = grant(page, 0, 0);
    ck_assert_uint_ne(next, ref);
}
END_TEST

START_TEST(the_pieces_of_a_share_cannot_be_taken_apart)
{
    uint32_t share, first;
    grant_ref_t ref, more;
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, &ref, giver, 0, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, first, 1), -XEN_EBUSY);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &more, 5, 6, first, 0, XIDS_HV_GRANT_ANY), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, giver, share), -XEN_ENOENT);
}
END_TEST

START_TEST(a_share_that_does_not_fit_leaves_nothing)
{
    uint32_t share, first, frames = 0;
    grant_ref_t refs[XIDS_PLATFORM_PAGES_MAX];
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, FRAMES, 0, NULL), -XEN_ENOMEM);
    for (int i = 0; i < 110; i++)
        (void)grant(page, 0, 0);
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 11, 0, NULL), -XEN_ENOSPC);
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    frames = info.frames;
    ck_assert_uint_eq(frames, 1);
    ck_assert_uint_eq(info.grants, 110);
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 10, 0, NULL), 0);
}
END_TEST

START_TEST(closing_an_owner_unshares_and_unmaps)
{
    uint32_t share, first, id;
    grant_ref_t refs[2];
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 2, 0, NULL), 0);
    ck_assert_int_eq(map(&id, taker, refs[0], 0), 0);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, giver), 0);
    ck_assert_uint_eq(m.freed, 1);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, taker), 0);
    ck_assert_uint_eq(m.freed, 2);
}
END_TEST

/* ---- notifications ---- */

static evtchn_port_t connect_ports(evtchn_port_t *takers)
{
    int port = xids_hv_evtchn_alloc(&m.hv, giver, 0);
    ck_assert_int_gt(port, 0);
    int bound = xids_hv_evtchn_bind(&m.hv, taker, 5, (evtchn_port_t)port);
    ck_assert_int_gt(bound, 0);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, taker, (evtchn_port_t)bound), 1);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, taker, (evtchn_port_t)bound), 0);
    *takers = (evtchn_port_t)bound;
    m.wakes = 0;
    return (evtchn_port_t)port;
}

START_TEST(unmap_clears_the_byte_then_notifies)
{
    evtchn_port_t theirs, ours = connect_ports(&theirs);
    uint32_t id, frames[2], share, first;
    grant_ref_t refs[2];
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, giver, 0, 2, 0, NULL), 0);
    memset(machine_frame(&m, first), 0xff, 2 * XIDS_PAGE_SIZE);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = XIDS_PAGE_SIZE + 20, .port = theirs};
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, frames, taker, 5, refs, 2, 0, &n), 0);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    const uint8_t *at = machine_frame(&m, first);
    ck_assert_uint_eq(at[XIDS_PAGE_SIZE + 20], 0);
    ck_assert_uint_eq(at[XIDS_PAGE_SIZE + 19], 0xff);
    ck_assert_uint_eq(at[20], 0xff);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_uint_eq(m.woken_owner, giver);
    ck_assert_uint_eq(m.woken_port, ours);
}
END_TEST

START_TEST(unshare_notifies_too)
{
    evtchn_port_t theirs, ours = connect_ports(&theirs);
    uint32_t share, first, id;
    grant_ref_t ref;
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 21, .port = ours};
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, &ref, giver, 0, 1, 0, &n), 0);
    ck_assert_int_eq(map(&id, taker, ref, 0), 0);
    memset(machine_frame(&m, first), 1, XIDS_PAGE_SIZE);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, giver, share), -XEN_EBUSY);
    ck_assert_uint_eq(((uint8_t *)machine_frame(&m, first))[21], 0);
    ck_assert_uint_eq(m.woken_port, theirs);
}
END_TEST

START_TEST(a_dead_process_is_announced_through_its_own_port)
{
    evtchn_port_t theirs, ours = connect_ports(&theirs);
    uint32_t frames, id;
    grant_ref_t ref = grant(page, 0, 0);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 0, .port = theirs};
    *(uint8_t *)machine_frame(&m, page) = 1;
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frames, taker, 5, &ref, 1, 0, &n), 0);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, taker), 0);
    ck_assert_uint_eq(*(uint8_t *)machine_frame(&m, page), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_uint_eq(m.woken_port, ours);
}
END_TEST

START_TEST(a_port_closed_before_the_unmap_still_carries_the_notification)
{
    evtchn_port_t theirs, ours = connect_ports(&theirs);
    uint32_t frames, id;
    struct xids_hv_port st;
    grant_ref_t ref = grant(page, 0, 0);
    struct xids_unmap_notify n = {.port = theirs};
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frames, taker, 5, &ref, 1, 0, &n), 0);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, taker, theirs), 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, taker, theirs), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_status(&m.hv, &st, 5, 5, ours), 0);
    ck_assert_int_eq(st.state, XIDS_EVTCHN_INTERDOMAIN);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_int_eq(xids_hv_evtchn_status(&m.hv, &st, 5, 5, ours), 0);
    ck_assert_int_eq(st.state, XIDS_EVTCHN_UNBOUND);
}
END_TEST

START_TEST(a_destroyed_domain_announces_nothing)
{
    evtchn_port_t theirs, ours = connect_ports(&theirs);
    uint32_t frames, id;
    grant_ref_t ref = grant(page, 0, 0);
    (void)ours;
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 0, .port = theirs};
    *(uint8_t *)machine_frame(&m, page) = 1;
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frames, taker, 5, &ref, 1, 0, &n), 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 0), 0);
    ck_assert_uint_eq(*(uint8_t *)machine_frame(&m, page), 1);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), 0);
}
END_TEST

START_TEST(a_byte_outside_the_area_is_refused)
{
    uint32_t id, frame;
    grant_ref_t ref = grant(page, 0, 0);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = XIDS_PAGE_SIZE};
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, taker, 5, &ref, 1, 0, &n), -XEN_EINVAL);
    n.offset = UINT32_MAX;
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, taker, 5, &ref, 1, 0, &n), -XEN_EINVAL);
    n.offset = XIDS_PAGE_SIZE - 1;
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, taker, 5, &ref, 1, 0, &n), 0);
}
END_TEST

START_TEST(a_notification_names_a_port_of_ones_own)
{
    uint32_t id, frame;
    grant_ref_t ref = grant(page, 0, 0);
    const evtchn_port_t ports[] = {1, 127, 128, UINT32_MAX};
    ck_assert_int_gt(xids_hv_evtchn_alloc(&m.hv, giver, 0), 0); /* port 1, of another domain */
    for (size_t i = 0; i < 4; i++) {
        struct xids_unmap_notify n = {.port = ports[i]};
        ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frame, taker, 5, &ref, 1, 0, &n), -XEN_ENOENT);
    }
}
END_TEST

START_TEST(a_notification_can_be_replaced_and_taken_away)
{
    evtchn_port_t theirs, ours = connect_ports(&theirs);
    uint32_t frames, id;
    grant_ref_t ref = grant(page, 0, 0);
    (void)ours;
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 0, .port = theirs};
    *(uint8_t *)machine_frame(&m, page) = 1;
    ck_assert_int_eq(xids_hv_map(&m.hv, &id, &frames, taker, 5, &ref, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_set_notify(&m.hv, taker, id, &n), 0);
    ck_assert_int_eq(xids_hv_set_notify(&m.hv, other, id, &n), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_set_notify(&m.hv, taker, id, NULL), 0);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, taker, theirs), 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, taker, id), 0);
    ck_assert_uint_eq(*(uint8_t *)machine_frame(&m, page), 1);
    ck_assert_uint_eq(m.wakes, 0);
}
END_TEST

/* ---- copies ---- */

START_TEST(a_copy_goes_both_ways)
{
    char in[] = "into the page", out[sizeof(in)] = "";
    grant_ref_t ref = grant(page, 0, 0);
    struct xids_grant_copy c[2] = {
        {.to_grant = true, .domid = 5, .ref = ref, .offset = 4000, .len = sizeof(in), .memory = in},
        {.to_grant = false, .domid = 5, .ref = ref, .offset = 4000, .len = sizeof(in), .memory = out},
    };
    ck_assert_int_eq(xids_hv_copy(&m.hv, taker, c, 2), 0);
    ck_assert_int_eq(c[0].status, 0);
    ck_assert_int_eq(c[1].status, 0);
    ck_assert_str_eq(out, in);
}
END_TEST

START_TEST(one_bad_copy_does_not_spoil_the_others)
{
    char byte = 7, got = 0;
    grant_ref_t ref = grant(page, 0, 0), foreign = grant(page, 6, 0);
    struct xids_grant_copy c[3] = {
        {.to_grant = true, .domid = 5, .ref = ref, .len = 1, .memory = &byte},
        {.to_grant = true, .domid = 5, .ref = foreign, .len = 1, .memory = &byte},
        {.to_grant = false, .domid = 5, .ref = ref, .len = 1, .memory = &got},
    };
    ck_assert_int_eq(xids_hv_copy(&m.hv, taker, c, 3), 0);
    ck_assert_int_eq(c[0].status, 0);
    ck_assert_int_eq(c[1].status, -XEN_EACCES);
    ck_assert_int_eq(c[2].status, 0);
    ck_assert_int_eq(got, 7);
}
END_TEST

START_TEST(a_copy_stays_within_its_page)
{
    static char memory[2 * XIDS_PAGE_SIZE];
    grant_ref_t ref = grant(page, 0, 0);
    const struct {
        uint16_t offset, len;
        int status;
    } cases[] = {{0, 4096, 0},           {4095, 1, 0},           {4095, 2, -XEN_EINVAL},     {0, 0, -XEN_EINVAL},
                 {4096, 1, -XEN_EINVAL}, {0, 4097, -XEN_EINVAL}, {65535, 65535, -XEN_EINVAL}};
    for (size_t i = 0; i < 7; i++) {
        struct xids_grant_copy c = {.domid = 5, .ref = ref, .memory = memory};
        c.offset = cases[i].offset;
        c.len = cases[i].len;
        ck_assert_int_eq(xids_hv_copy(&m.hv, taker, &c, 1), 0);
        ck_assert_msg(c.status == cases[i].status, "case %zu: %d", i, c.status);
    }
}
END_TEST

START_TEST(a_copy_respects_readonly_and_the_dead)
{
    char byte = 1;
    grant_ref_t ref = grant(page, 0, XIDS_GRANT_READONLY);
    struct xids_grant_copy c = {.to_grant = true, .domid = 5, .ref = ref, .len = 1, .memory = &byte};
    ck_assert_int_eq(xids_hv_copy(&m.hv, taker, &c, 1), 0);
    ck_assert_int_eq(c.status, -XEN_EACCES);
    c.to_grant = false;
    ck_assert_int_eq(xids_hv_copy(&m.hv, taker, &c, 1), 0);
    ck_assert_int_eq(c.status, 0);
    c.domid = 9;
    ck_assert_int_eq(xids_hv_copy(&m.hv, taker, &c, 1), 0);
    ck_assert_int_eq(c.status, -XEN_EACCES);
    ck_assert_int_eq(xids_hv_copy(&m.hv, 0, &c, 1), -XEN_EBADF);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("hv_grant");
    TCase *t = tcase_create("grants");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, references_start_behind_the_reserved_ones);
    tcase_add_test(t, reserved_references_are_given_when_wanted);
    tcase_add_test(t, a_wanted_reference_beyond_the_table_is_refused);
    tcase_add_test(t, only_ones_own_frames_can_be_granted);
    tcase_add_test(t, a_full_table_says_so_and_recovers);
    tcase_add_test(t, the_machines_grants_run_out);
    tcase_add_test(t, a_grant_is_for_its_domain_alone);
    tcase_add_test(t, a_map_tells_where_the_page_is);
    tcase_add_test(t, references_never_granted_cannot_be_mapped);
    tcase_add_test(t, a_readonly_grant_cannot_be_mapped_for_writing);
    tcase_add_test(t, an_ended_grant_cannot_be_mapped);
    tcase_add_test(t, a_mapped_grant_does_not_end);
    tcase_add_test(t, a_grant_that_could_not_end_still_works);
    tcase_add_test(t, a_map_is_all_or_nothing);
    tcase_add_test(t, counts_of_pages_out_of_bounds_are_refused);
    tcase_add_test(t, unknown_flags_are_refused);
    tcase_add_test(t, a_domain_does_not_map_its_own_grants);
    tcase_add_test(t, loopback_works_where_it_is_allowed);
    tcase_add_test(t, maps_of_a_dead_domains_grants_are_refused);
    tcase_add_test(t, a_map_belongs_to_its_owner);
    tcase_add_test(t, a_stale_map_id_is_refused);
    tcase_add_test(t, too_many_maps_are_refused_and_leave_nothing);
    tcase_add_test(t, too_many_mapped_pages_are_refused_and_leave_nothing);
    tcase_add_test(t, a_mapped_page_outlives_its_domain);
    tcase_add_test(t, an_old_map_does_not_count_for_a_new_grant_of_that_reference);
    suite_add_tcase(s, t);

    t = tcase_create("shares");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_share_gives_zeroed_granted_pages_in_a_row);
    tcase_add_test(t, a_readonly_share_is_readonly);
    tcase_add_test(t, unshare_frees_pages_nobody_maps);
    tcase_add_test(t, unshare_keeps_mapped_pages_aside_until_they_are_let_go);
    tcase_add_test(t, a_page_given_up_cannot_be_mapped_again);
    tcase_add_test(t, the_pieces_of_a_share_cannot_be_taken_apart);
    tcase_add_test(t, a_share_that_does_not_fit_leaves_nothing);
    tcase_add_test(t, closing_an_owner_unshares_and_unmaps);
    suite_add_tcase(s, t);

    t = tcase_create("notifications");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, unmap_clears_the_byte_then_notifies);
    tcase_add_test(t, unshare_notifies_too);
    tcase_add_test(t, a_dead_process_is_announced_through_its_own_port);
    tcase_add_test(t, a_port_closed_before_the_unmap_still_carries_the_notification);
    tcase_add_test(t, a_destroyed_domain_announces_nothing);
    tcase_add_test(t, a_byte_outside_the_area_is_refused);
    tcase_add_test(t, a_notification_names_a_port_of_ones_own);
    tcase_add_test(t, a_notification_can_be_replaced_and_taken_away);
    suite_add_tcase(s, t);

    t = tcase_create("copies");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_copy_goes_both_ways);
    tcase_add_test(t, one_bad_copy_does_not_spoil_the_others);
    tcase_add_test(t, a_copy_stays_within_its_page);
    tcase_add_test(t, a_copy_respects_readonly_and_the_dead);
    suite_add_tcase(s, t);
    return s;
}
