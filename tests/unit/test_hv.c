/* SPDX-License-Identifier: ISC */
/* The hypervisor's rules: the block, domains, owners, pages. Grants and event channels are in files of their own. */
#include "tests/unit/suite.h"

#include "tests/unit/hv_machine.h"
#include <xen/hvm/params.h>
#include <xen/sched.h>

static struct machine m;

static void setup(void)
{
    ck_assert_int_eq(machine_make(&m, machine_limits()), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 0, XIDS_HV_PRIVILEGED, NULL), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
}

static void teardown(void)
{
    ck_assert_uint_eq(m.depth, 0);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
    machine_end(&m);
}

static uint32_t owner(domid_t domid)
{
    uint32_t id = 0;
    ck_assert_int_eq(xids_hv_owner_open(&m.hv, &id, domid, 77), 0);
    ck_assert_uint_ne(id, 0);
    return id;
}

/* ---- the block ---- */

START_TEST(limits_out_of_bounds_have_no_size)
{
    struct xids_hv_limits good = machine_limits(), bad;
    ck_assert_uint_ne(xids_hv_size(&good), 0);
    const struct {
        size_t field;
        uint32_t value;
    } cases[] = {
        {offsetof(struct xids_hv_limits, domains), 0},
        {offsetof(struct xids_hv_limits, domains), 40000},
        {offsetof(struct xids_hv_limits, owners), 0},
        {offsetof(struct xids_hv_limits, owners), 1u << 20},
        {offsetof(struct xids_hv_limits, ports), 63},
        {offsetof(struct xids_hv_limits, ports), 100},
        {offsetof(struct xids_hv_limits, ports_per_domain), 1},
        {offsetof(struct xids_hv_limits, ports_per_domain), 1u << 18},
        {offsetof(struct xids_hv_limits, grants), UINT32_MAX},
        {offsetof(struct xids_hv_limits, grants_per_domain), 65},
        {offsetof(struct xids_hv_limits, frames), 0},
        {offsetof(struct xids_hv_limits, frames), UINT32_MAX},
        {offsetof(struct xids_hv_limits, maps), 1u << 20},
        {offsetof(struct xids_hv_limits, mapped), 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bad = good;
        memcpy((char *)&bad + cases[i].field, &cases[i].value, sizeof(uint32_t));
        ck_assert_msg(xids_hv_size(&bad) == 0, "case %zu", i);
    }
}
END_TEST

START_TEST(init_refuses_too_little_memory)
{
    struct xids_hv hv;
    struct xids_hv_limits limits = machine_limits();
    struct xids_hv_env env = machine_env(&m);
    ck_assert_int_eq(xids_hv_init(&hv, m.block, xids_hv_size(&limits) - 1, &limits, &env), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_init(&hv, NULL, xids_hv_size(&limits), &limits, &env), -XEN_EINVAL);
}
END_TEST

START_TEST(init_requires_a_way_to_reach_frames)
{
    struct xids_hv hv;
    struct xids_hv_limits limits = machine_limits();
    struct xids_hv_env env = machine_env(&m);
    env.frame = NULL;
    ck_assert_int_eq(xids_hv_init(&hv, m.block, m.size, &limits, &env), -XEN_EINVAL);
}
END_TEST

START_TEST(a_second_process_attaches_at_another_address)
{
    struct xids_hv other;
    struct xids_hv_env env = machine_env(&m);
    struct xids_hv_domain info;
    void *moved = mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(moved, m.block, m.size);
    ck_assert_int_eq(xids_hv_attach(&other, moved, m.size, &env), 0);
    ck_assert_int_eq(xids_hv_domain_info(&other, &info, 5), 0);
    ck_assert_uint_eq(info.domid, 5);
    ck_assert_ptr_null(xids_hv_check(&other));
    munmap(moved, m.size);
}
END_TEST

START_TEST(attach_refuses_what_is_not_a_whole_block)
{
    struct xids_hv hv;
    struct xids_hv_env env = machine_env(&m);
    uint64_t zeros[512] = {0};
    ck_assert_int_eq(xids_hv_attach(&hv, zeros, sizeof(zeros), &env), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_attach(&hv, m.block, m.size - 1, &env), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_attach(&hv, m.block, 8, &env), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_attach(&hv, NULL, m.size, &env), -XEN_EINVAL);
}
END_TEST

START_TEST(attach_refuses_limits_that_do_not_fit_the_layout)
{
    struct xids_hv hv;
    struct xids_hv_env env = machine_env(&m);
    struct xids_hv_limits limits = machine_limits();
    char *at = memmem(m.block, 4096, &limits, sizeof(limits));
    ck_assert_ptr_nonnull(at);
    limits.domains++;
    memcpy(at, &limits, sizeof(limits));
    ck_assert_int_eq(xids_hv_attach(&hv, m.block, m.size, &env), -XEN_EINVAL);
    limits.domains--;
    memcpy(at, &limits, sizeof(limits));
    ck_assert_int_eq(xids_hv_attach(&hv, m.block, m.size, &env), 0);
}
END_TEST

START_TEST(every_path_gives_the_lock_back)
{
    struct xids_hv_domain info;
    unsigned int before = m.locks;
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 99), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, 0x12345), -XEN_EBADF);
    ck_assert_uint_gt(m.locks, before);
    ck_assert_uint_eq(m.depth, 0);
}
END_TEST

/* ---- domains ---- */

START_TEST(a_domid_lives_only_once)
{
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), -XEN_EEXIST);
}
END_TEST

START_TEST(reserved_domids_cannot_be_created)
{
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, DOMID_FIRST_RESERVED, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, DOMID_SELF, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, DOMID_FIRST_RESERVED - 1, 0, NULL), DOMID_FIRST_RESERVED - 1);
}
END_TEST

START_TEST(unknown_creation_flags_are_refused)
{
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, XIDS_HV_DYING, NULL), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 1u << 31, NULL), -XEN_EINVAL);
}
END_TEST

START_TEST(domids_are_given_out_in_turn_and_not_at_once_again)
{
    int first = xids_hv_domain_create(&m.hv, XIDS_HV_DOMID_ANY, 0, NULL);
    ck_assert_int_eq(first, 1);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 1), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, XIDS_HV_DOMID_ANY, 0, NULL), 2);
}
END_TEST

START_TEST(domids_in_use_are_stepped_over)
{
    for (int i = 1; i <= 4; i++) {
        ck_assert_int_eq(xids_hv_domain_create(&m.hv, XIDS_HV_DOMID_ANY, 0, NULL), i);
        ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, (domid_t)i), 0);
    }
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, XIDS_HV_DOMID_ANY, 0, NULL), 6);
}
END_TEST

START_TEST(too_many_domains_are_refused_and_room_comes_back)
{
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 0, NULL), 6);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 7, 0, NULL), 7);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 8, 0, NULL), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 6), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 8, 0, NULL), 8);
}
END_TEST

START_TEST(an_incarnation_never_comes_again)
{
    struct xids_hv_domain a, b;
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &a, 5), 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &b, 5), 0);
    ck_assert_uint_gt(b.incarnation, a.incarnation);
}
END_TEST

START_TEST(a_handle_is_kept_and_can_be_changed)
{
    struct xids_hv_domain info;
    const uint8_t one[16] = "fifteen letters", two[16] = "other letters";
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 0, one), 6);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 6), 0);
    ck_assert_mem_eq(info.handle, one, 16);
    ck_assert_int_eq(xids_hv_domain_set_handle(&m.hv, 6, two), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 6), 0);
    ck_assert_mem_eq(info.handle, two, 16);
    ck_assert_int_eq(xids_hv_domain_set_handle(&m.hv, 9, two), -XEN_ESRCH);
}
END_TEST

START_TEST(pause_and_unpause_show_in_the_flags)
{
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_pause(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.flags, XIDS_HV_PAUSED);
    ck_assert_int_eq(xids_hv_domain_unpause(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.flags, 0);
    ck_assert_int_eq(xids_hv_domain_pause(&m.hv, 6), -XEN_ESRCH);
}
END_TEST

START_TEST(a_domain_runs_when_all_pauses_are_taken_back)
{
    struct xids_hv_domain info;
    for (unsigned int i = 0; i < 255; i++)
        ck_assert_int_eq(xids_hv_domain_pause(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_pause(&m.hv, 5), -XEN_EOVERFLOW);
    for (unsigned int i = 0; i < 255; i++) {
        ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
        ck_assert_uint_eq(info.flags, XIDS_HV_PAUSED);
        ck_assert_int_eq(xids_hv_domain_unpause(&m.hv, 5), 0);
    }
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.flags, 0);
    ck_assert_int_eq(xids_hv_domain_unpause(&m.hv, 5), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_domain_unpause(&m.hv, 6), -XEN_ESRCH);
}
END_TEST

/* Whoever makes it so has one pause to take back. */
START_TEST(a_domain_that_is_made_paused_is_unpaused_once)
{
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 7, XIDS_HV_PAUSED, NULL), 7);
    ck_assert_int_eq(xids_hv_domain_unpause(&m.hv, 7), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 7), 0);
    ck_assert_uint_eq(info.flags, 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 7), 0);
}
END_TEST

START_TEST(the_first_shutdown_reason_stays)
{
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, SHUTDOWN_crash), 0);
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, SHUTDOWN_reboot), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.flags, XIDS_HV_SHUTDOWN);
    ck_assert_uint_eq(info.reason, SHUTDOWN_crash);
}
END_TEST

START_TEST(resume_takes_a_shutdown_back)
{
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, SHUTDOWN_suspend), 0);
    ck_assert_int_eq(xids_hv_domain_resume(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.flags, 0);
}
END_TEST

START_TEST(a_shutdown_reason_is_a_byte)
{
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, 256), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, 255), 0);
}
END_TEST

START_TEST(domains_are_walked_in_the_order_of_domids)
{
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 32000, 0, NULL), 32000);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 3, 0, NULL), 3);
    const uint32_t from[] = {0, 1, 3, 4, 6, 32000}, found[] = {0, 3, 3, 5, 32000, 32000};
    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(xids_hv_domain_next(&m.hv, &info, from[i]), 0);
        ck_assert_uint_eq(info.domid, found[i]);
    }
    ck_assert_int_eq(xids_hv_domain_next(&m.hv, &info, 32001), -XEN_ENOENT);
    ck_assert_int_eq(xids_hv_domain_next(&m.hv, &info, UINT32_MAX), -XEN_ENOENT);
}
END_TEST

START_TEST(parameters_are_kept_per_domain_and_forgotten_with_it)
{
    uint64_t v = 1;
    ck_assert_int_eq(xids_hv_param_set(&m.hv, 5, HVM_PARAM_STORE_PFN, 0xfeff), 0);
    ck_assert_int_eq(xids_hv_param_get(&m.hv, &v, 0, HVM_PARAM_STORE_PFN), 0);
    ck_assert_uint_eq(v, 0);
    ck_assert_int_eq(xids_hv_param_get(&m.hv, &v, 5, HVM_PARAM_STORE_PFN), 0);
    ck_assert_uint_eq(v, 0xfeff);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
    ck_assert_int_eq(xids_hv_param_get(&m.hv, &v, 5, HVM_PARAM_STORE_PFN), 0);
    ck_assert_uint_eq(v, 0);
}
END_TEST

START_TEST(parameters_out_of_range_are_refused)
{
    uint64_t v;
    ck_assert_int_eq(xids_hv_param_get(&m.hv, &v, 5, XIDS_HV_PARAMS), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_param_set(&m.hv, 5, UINT32_MAX, 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_param_set(&m.hv, 9, 1, 1), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_user_set(&m.hv, 5, XIDS_HV_USER_WORDS, 1), -XEN_EINVAL);
}
END_TEST

START_TEST(the_callers_words_are_kept)
{
    uint64_t v;
    ck_assert_int_eq(xids_hv_user_set(&m.hv, 5, 3, UINT64_MAX), 0);
    ck_assert_int_eq(xids_hv_user_get(&m.hv, &v, 5, 3), 0);
    ck_assert_uint_eq(v, UINT64_MAX);
}
END_TEST

START_TEST(a_destroyed_domain_is_gone)
{
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_domain_next(&m.hv, &info, 1), -XEN_ENOENT);
}
END_TEST

START_TEST(destruction_takes_all_the_domain_has)
{
    struct xids_hv_domain info;
    uint32_t o = owner(5), frame, share, first;
    grant_ref_t ref, refs[3];
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &frame, 5, 4), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, frame, 0, 1), 0);
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, o, 0, 3, 0, NULL), 0);
    ck_assert_int_gt(xids_hv_evtchn_alloc(&m.hv, o, 0), 0);
    ck_assert_int_gt(xids_hv_evtchn_alloc_for(&m.hv, 0, 5, 0), 0);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.frames, 7);
    ck_assert_uint_eq(info.grants, 4);
    ck_assert_uint_eq(info.ports, 2);
    ck_assert_uint_eq(info.owners, 1);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_uint_eq(m.freed, 7);
    ck_assert(!xids_hv_owner_alive(&m.hv, o));
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, o), -XEN_EBADF);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.frames + info.grants + info.ports + info.owners, 0);
}
END_TEST

/* ---- owners ---- */

START_TEST(an_owner_needs_a_domain)
{
    uint32_t o;
    ck_assert_int_eq(xids_hv_owner_open(&m.hv, &o, 9, 0), -XEN_ESRCH);
}
END_TEST

START_TEST(a_closed_owners_id_is_stale)
{
    uint32_t a = owner(5);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, a), 0);
    uint32_t b = owner(5);
    ck_assert_uint_eq(xids_hv_owner_slot(a), xids_hv_owner_slot(b));
    ck_assert_uint_ne(a, b);
    ck_assert(!xids_hv_owner_alive(&m.hv, a));
    ck_assert(xids_hv_owner_alive(&m.hv, b));
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, a), -XEN_EBADF);
    ck_assert_int_eq(xids_hv_evtchn_alloc(&m.hv, a, 0), -XEN_EBADF);
}
END_TEST

START_TEST(invented_owner_ids_are_refused)
{
    const uint32_t ids[] = {0, 1, 0xfffff, UINT32_MAX, 1u << 20};
    uint32_t id, first;
    grant_ref_t ref = 8;
    for (size_t i = 0; i < 5; i++) {
        ck_assert(!xids_hv_owner_alive(&m.hv, ids[i]));
        ck_assert_int_eq(xids_hv_owner_close(&m.hv, ids[i]), -XEN_EBADF);
        ck_assert_int_eq(xids_hv_owner_rouse(&m.hv, ids[i]), -XEN_EBADF);
        ck_assert_int_eq(xids_hv_map(&m.hv, &id, &first, ids[i], 5, &ref, 1, 0, NULL), -XEN_EBADF);
        ck_assert_int_eq(xids_hv_share(&m.hv, &id, &first, &ref, ids[i], 5, 1, 0, NULL), -XEN_EBADF);
        ck_assert_int_eq(xids_hv_unmap(&m.hv, ids[i], 1), -XEN_EBADF);
        ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, ids[i], 1), -XEN_ENOTCONN);
    }
}
END_TEST

START_TEST(too_many_owners_are_refused)
{
    uint32_t o;
    for (int i = 0; i < 6; i++)
        (void)owner(5);
    ck_assert_int_eq(xids_hv_owner_open(&m.hv, &o, 5, 0), -XEN_ENOMEM);
}
END_TEST

START_TEST(owners_are_walked_with_their_cookies)
{
    struct xids_hv_owner info = {0};
    uint32_t a = owner(5), b = owner(0);
    ck_assert_int_eq(xids_hv_owner_next(&m.hv, &info, 0), 0);
    ck_assert_uint_eq(info.owner, a);
    ck_assert_uint_eq(info.cookie, 77);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, a), 0);
    ck_assert_int_eq(xids_hv_owner_next(&m.hv, &info, a), 0);
    ck_assert_uint_eq(info.owner, b);
    ck_assert_uint_eq(info.domid, 0);
    ck_assert_int_eq(xids_hv_owner_next(&m.hv, &info, b), -XEN_ENOENT);
}
END_TEST

/* ---- pages ---- */

START_TEST(frames_come_zeroed_and_in_a_row)
{
    uint32_t a, b;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &a, 5, 3), 0);
    memset(machine_frame(&m, a), 0x55, 3 * XIDS_PAGE_SIZE);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, a, 3), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &b, 0, 3), 0);
    ck_assert_uint_eq(a, b);
    for (uint32_t i = 0; i < 3 * XIDS_PAGE_SIZE; i++)
        ck_assert_uint_eq(((uint8_t *)machine_frame(&m, b))[i], 0);
}
END_TEST

START_TEST(frames_run_out_and_come_back)
{
    uint32_t f, g;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, FRAMES), 0);
    ck_assert_uint_eq(f, 1);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &g, 5, 1), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, 17, 1), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &g, 0, 1), 0);
    ck_assert_uint_eq(g, 17);
}
END_TEST

START_TEST(a_run_is_not_put_together_from_pieces)
{
    uint32_t f, g;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, FRAMES), 0);
    for (uint32_t i = 2; i < FRAMES; i += 2)
        ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, i, 1), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &g, 5, 2), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, 31, 1), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &g, 5, 3), 0);
    ck_assert_uint_eq(g, 30);
}
END_TEST

START_TEST(frame_counts_out_of_bounds_are_refused)
{
    uint32_t f;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, FRAMES + 1), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, UINT32_MAX), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 9, 1), -XEN_ESRCH);
}
END_TEST

START_TEST(only_ones_own_frames_can_be_freed)
{
    uint32_t f, g;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 2), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &g, 0, 1), 0);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 0, f, 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 3), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, 0, 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, 2, UINT32_MAX), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, UINT32_MAX, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 2), 0);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 2), -XEN_EINVAL);
}
END_TEST

START_TEST(a_granted_frame_cannot_be_freed)
{
    uint32_t f;
    grant_ref_t ref;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 1), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, f, 0, XIDS_HV_GRANT_ANY), 0);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 1), -XEN_EBUSY);
    ck_assert_int_eq(xids_hv_grant_end(&m.hv, 5, ref), 0);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 1), 0);
    ck_assert_uint_eq(m.freed_frame, f);
}
END_TEST

START_TEST(a_privileged_owner_maps_foreign_frames)
{
    uint32_t f, map, o = owner(0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 2), 0);
    uint32_t frames[] = {f, f + 1};
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, o, 5, frames, 2), 0);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, o, map), 0);
}
END_TEST

START_TEST(an_unprivileged_owner_maps_no_foreign_frames)
{
    uint32_t f, map, o = owner(5);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 0, 1), 0);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, o, 0, &f, 1), -XEN_EPERM);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 1), 0);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, o, 5, &f, 1), 0);
}
END_TEST

START_TEST(foreign_frames_fail_one_by_one_or_all_together)
{
    uint32_t f, map, o = owner(0);
    int errors[3] = {1, 1, 1};
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 2), 0);
    uint32_t frames[] = {f, 60, f + 1};
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, o, 5, frames, 3), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, errors, o, 5, frames, 3), 0);
    ck_assert_int_eq(errors[0], 0);
    ck_assert_int_eq(errors[1], -XEN_EINVAL);
    ck_assert_int_eq(errors[2], 0);
}
END_TEST

START_TEST(a_frame_mapped_by_another_outlives_its_freeing)
{
    uint32_t f, g, map, o = owner(0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 1), 0);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, o, 5, &f, 1), 0);
    ck_assert_int_eq(xids_hv_frame_free(&m.hv, 5, f, 1), 0);
    ck_assert_uint_eq(m.freed, 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &g, 5, 1), 0);
    ck_assert_uint_ne(f, g);
    ck_assert_int_eq(xids_hv_unmap(&m.hv, o, map), 0);
    ck_assert_uint_eq(m.freed, 1);
    ck_assert_uint_eq(m.freed_frame, f);
}
END_TEST

static void count_item(void *ctx, const struct xids_hv_item *item)
{
    unsigned int *counts = ctx;
    counts[__builtin_ctz(item->kind)]++;
}

START_TEST(everything_there_is_can_be_listed)
{
    unsigned int n[7] = {0};
    uint32_t f, map, first, share, o = owner(0), p = owner(5);
    grant_ref_t ref, refs[2];
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 1), 0);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, o, 5, &f, 1), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 0, f, 0, 0), 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &map, &first, o, 5, &ref, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, p, 0, 2, 0, NULL), 0);
    ck_assert_int_gt(xids_hv_evtchn_alloc(&m.hv, p, 0), 0);
    xids_hv_each(&m.hv, 0x7f, count_item, n);
    const unsigned int expected[7] = {2, 1, 3, 1, 1, 1, 3};
    for (int i = 0; i < 7; i++)
        ck_assert_uint_eq(n[i], expected[i]);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("hv");
    TCase *t = tcase_create("block");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, limits_out_of_bounds_have_no_size);
    tcase_add_test(t, init_refuses_too_little_memory);
    tcase_add_test(t, init_requires_a_way_to_reach_frames);
    tcase_add_test(t, a_second_process_attaches_at_another_address);
    tcase_add_test(t, attach_refuses_what_is_not_a_whole_block);
    tcase_add_test(t, attach_refuses_limits_that_do_not_fit_the_layout);
    tcase_add_test(t, every_path_gives_the_lock_back);
    tcase_add_test(t, everything_there_is_can_be_listed);
    suite_add_tcase(s, t);

    t = tcase_create("domains");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_domid_lives_only_once);
    tcase_add_test(t, reserved_domids_cannot_be_created);
    tcase_add_test(t, unknown_creation_flags_are_refused);
    tcase_add_test(t, domids_are_given_out_in_turn_and_not_at_once_again);
    tcase_add_test(t, domids_in_use_are_stepped_over);
    tcase_add_test(t, too_many_domains_are_refused_and_room_comes_back);
    tcase_add_test(t, an_incarnation_never_comes_again);
    tcase_add_test(t, a_handle_is_kept_and_can_be_changed);
    tcase_add_test(t, pause_and_unpause_show_in_the_flags);
    tcase_add_test(t, a_domain_runs_when_all_pauses_are_taken_back);
    tcase_add_test(t, a_domain_that_is_made_paused_is_unpaused_once);
    tcase_add_test(t, the_first_shutdown_reason_stays);
    tcase_add_test(t, resume_takes_a_shutdown_back);
    tcase_add_test(t, a_shutdown_reason_is_a_byte);
    tcase_add_test(t, domains_are_walked_in_the_order_of_domids);
    tcase_add_test(t, parameters_are_kept_per_domain_and_forgotten_with_it);
    tcase_add_test(t, parameters_out_of_range_are_refused);
    tcase_add_test(t, the_callers_words_are_kept);
    tcase_add_test(t, a_destroyed_domain_is_gone);
    tcase_add_test(t, destruction_takes_all_the_domain_has);
    suite_add_tcase(s, t);

    t = tcase_create("owners");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_owner_needs_a_domain);
    tcase_add_test(t, a_closed_owners_id_is_stale);
    tcase_add_test(t, invented_owner_ids_are_refused);
    tcase_add_test(t, too_many_owners_are_refused);
    tcase_add_test(t, owners_are_walked_with_their_cookies);
    suite_add_tcase(s, t);

    t = tcase_create("pages");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, frames_come_zeroed_and_in_a_row);
    tcase_add_test(t, frames_run_out_and_come_back);
    tcase_add_test(t, a_run_is_not_put_together_from_pieces);
    tcase_add_test(t, frame_counts_out_of_bounds_are_refused);
    tcase_add_test(t, only_ones_own_frames_can_be_freed);
    tcase_add_test(t, a_granted_frame_cannot_be_freed);
    tcase_add_test(t, a_privileged_owner_maps_foreign_frames);
    tcase_add_test(t, an_unprivileged_owner_maps_no_foreign_frames);
    tcase_add_test(t, foreign_frames_fail_one_by_one_or_all_together);
    tcase_add_test(t, a_frame_mapped_by_another_outlives_its_freeing);
    suite_add_tcase(s, t);
    return s;
}
