/* SPDX-License-Identifier: ISC */
/* What recovery makes of a death in the middle of a call. */
#include "tests/unit/hv_trio.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A crowd of objects of all kinds, of domains 0 and 5. */
static void busy_machine(void)
{
    evtchn_port_t fives, zeros;
    uint32_t share, first, map, frames[3], f;
    grant_ref_t refs[3], ref;
    connected(&fives, &zeros);
    struct xids_unmap_notify n = {.clear_byte = true, .offset = 20, .port = zeros};
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, five, 0, 3, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &map, frames, zero, 5, refs, 3, 0, &n), 0);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &f, 5, 2), 0);
    ck_assert_int_eq(xids_hv_grant(&m.hv, &ref, 5, 6, f, 0, 1), 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &map, frames, six, 5, &ref, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_map_foreign(&m.hv, &map, NULL, zero, 5, &f, 1), 0);
    ck_assert_int_gt(xids_hv_evtchn_bind_virq(&m.hv, zero, VIRQ_DOM_EXC), 0);
    ck_assert_int_gt(xids_hv_evtchn_alloc_for(&m.hv, 0, 5, 0), 0);
    ck_assert_int_eq(xids_hv_share(&m.hv, &share, &first, refs, six, 0, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_map(&m.hv, &map, frames, zero, 6, refs, 1, 0, NULL), 0);
    ck_assert_int_eq(xids_hv_unshare(&m.hv, six, share), -XEN_EBUSY);
}

static void hash_item(void *ctx, const struct xids_hv_item *item)
{
    uint64_t *sum = ctx, h = 14695981039346656037ull;
    const uint32_t words[] = {(uint32_t)item->kind, item->domid, item->remote, item->owner, item->id,
                              item->frame,          item->count};
    for (size_t i = 0; i < 7; i++)
        h = (h ^ words[i]) * 1099511628211ull;
    *sum += h;
}

START_TEST(recovery_of_a_sound_machine_changes_nothing)
{
    uint64_t before = 0, after = 0;
    busy_machine();
    xids_hv_each(&m.hv, 0x7f, hash_item, &before);
    xids_hv_recover(&m.hv);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
    xids_hv_each(&m.hv, 0x7f, hash_item, &after);
    ck_assert_uint_eq(before, after);
    ck_assert_uint_eq(m.freed, 0);
}
END_TEST

START_TEST(a_recovered_machine_goes_on)
{
    busy_machine();
    xids_hv_recover(&m.hv);
    ck_assert_int_eq(xids_hv_owner_close(&m.hv, zero), 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 6), 0);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
    uint32_t all;
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &all, 0, FRAMES), 0);
}
END_TEST

/* What the child does until it is killed: everything, at random. Its writes are the test's subject, not its results. */
static _Noreturn void rampage(unsigned int seed)
{
    uint32_t x = seed * 2654435761u + 1u;
    uint32_t map[8] = {0}, share[8] = {0}, first = 1, frames[3], owners[3] = {zero, five, six};
    grant_ref_t refs[8][3] = {{0}};
    for (;;) {
        x = x * 1664525u + 1013904223u;
        uint32_t i = x >> 20 & 7u, n = 1u + (x >> 16 & 1u);
        evtchn_port_t port = 1u + (x >> 12 & 7u);
        struct xids_unmap_notify notify = {.clear_byte = (x & 1u) != 0, .offset = 20, .port = (x & 2u) != 0 ? port : 0};
        int ret;
        switch (x >> 26 & 15u) {
        case 0:
        case 1:
            ret = xids_hv_share(&m.hv, &share[i], &first, refs[i], five, 0, n, 0, (x & 4u) != 0 ? &notify : NULL);
            break;
        case 2:
            ret = xids_hv_unshare(&m.hv, five, share[i]);
            break;
        case 3:
        case 4:
            ret = xids_hv_map(&m.hv, &map[i], frames, zero, 5, refs[i], n, 0, (x & 4u) != 0 ? &notify : NULL);
            break;
        case 5:
            ret = xids_hv_unmap(&m.hv, zero, map[i]);
            break;
        case 6:
            ret = xids_hv_evtchn_alloc(&m.hv, five, 0);
            break;
        case 7:
            ret = xids_hv_evtchn_bind(&m.hv, zero, 5, port);
            break;
        case 8:
            ret = xids_hv_evtchn_close(&m.hv, five, port);
            break;
        case 9:
            ret = xids_hv_evtchn_close(&m.hv, zero, port);
            break;
        case 10:
            ret = xids_hv_evtchn_notify(&m.hv, zero, port);
            break;
        case 11:
            ret = xids_hv_owner_close(&m.hv, owners[i % 3u]);
            if (ret == 0)
                ret = xids_hv_owner_open(&m.hv, &owners[i % 3u], i % 3u == 0 ? 0 : i % 3u == 1 ? 5 : 6, 0);
            zero = owners[0];
            five = owners[1];
            six = owners[2];
            break;
        case 12:
            ret = xids_hv_frame_alloc(&m.hv, &first, 6, n);
            break;
        case 13:
            ret = xids_hv_frame_free(&m.hv, 6, first, n);
            break;
        case 14:
            ret = xids_hv_domain_destroy(&m.hv, 6);
            if (xids_hv_domain_create(&m.hv, 6, 0, NULL) < 0)
                ret = xids_hv_evtchn_reset(&m.hv, 5);
            break;
        default:
            ret = xids_hv_map_foreign(&m.hv, &map[i], NULL, zero, 5, &first, 1);
            break;
        }
        if (ret == -XEN_EIO)
            abort(); /* never: so that ret is looked at */
    }
}

START_TEST(a_machine_recovers_from_death_at_any_moment)
{
    for (unsigned int round = 0; round < 25; round++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0)
            rampage((unsigned int)_i * 1000u + round);
        usleep(300 + (round * 7919u + (unsigned int)_i * 104729u) % 1500u);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        xids_hv_recover(&m.hv);
        const char *wrong = xids_hv_check(&m.hv);
        ck_assert_msg(wrong == NULL, "set %d, round %u: %s", _i, round, wrong);
        /* The dead process's owners are closed, as a daemon would; others take their place. */
        struct xids_hv_owner info;
        while (xids_hv_owner_next(&m.hv, &info, 0) == 0)
            ck_assert_int_eq(xids_hv_owner_close(&m.hv, info.owner), 0);
        wrong = xids_hv_check(&m.hv);
        ck_assert_msg(wrong == NULL, "set %d, round %u, closed: %s", _i, round, wrong);
        struct xids_hv_domain d;
        if (xids_hv_domain_info(&m.hv, &d, 6) < 0 || (d.flags & XIDS_HV_DYING) != 0) {
            (void)xids_hv_domain_destroy(&m.hv, 6);
            ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 0, NULL), 6);
        }
        zero = owner(0);
        five = owner(5);
        six = owner(6);
    }
    for (domid_t d = 0; d < 8; d++)
        (void)xids_hv_domain_destroy(&m.hv, d);
    uint32_t all;
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 1, 0, NULL), 1);
    ck_assert_int_eq(xids_hv_frame_alloc(&m.hv, &all, 1, FRAMES), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("hv_recover");
    TCase *t = tcase_create("recovery");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, recovery_of_a_sound_machine_changes_nothing);
    tcase_add_test(t, a_recovered_machine_goes_on);
    tcase_add_loop_test(t, a_machine_recovers_from_death_at_any_moment, 0, 8);
    suite_add_tcase(s, t);
    return s;
}
