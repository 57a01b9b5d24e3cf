/* SPDX-License-Identifier: ISC */
/* The bare guest's clocks, timer and marks, over a page of shared info and a counter that the test moves. */
#include "platform/guest/guest.h"
#include "platform/guest/scale.h"
#include "tests/unit/suite.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define PORT 9u

static struct shared_info info;
static uint64_t cycles;
static int bind_result, timer_result;
static unsigned int timer_command;
static uint64_t timer_at, poll_at;
static jmp_buf panicked;

struct shared_info *guest_shared_info(void)
{
    return &info;
}

uint64_t arch_cycles(void)
{
    return cycles;
}

__attribute__((noreturn)) void xids_guest_panic(const char *what)
{
    (void)what;
    longjmp(panicked, 1);
}

long arch_hypercall(unsigned long number, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5)
{
    (void)a4;
    (void)a5;
    if (number == __HYPERVISOR_event_channel_op) {
        struct evtchn_bind_virq *op = (struct evtchn_bind_virq *)a2;
        ck_assert_uint_eq(a1, EVTCHNOP_bind_virq);
        ck_assert_uint_eq(op->virq, VIRQ_TIMER);
        ck_assert_uint_eq(op->vcpu, 0);
        op->port = PORT;
        return bind_result;
    }
    if (number == __HYPERVISOR_sched_op) {
        ck_assert_uint_eq(a1, SCHEDOP_poll);
        poll_at = ((struct sched_poll *)a2)->timeout;
        return 0;
    }
    ck_assert_uint_eq(number, __HYPERVISOR_vcpu_op);
    ck_assert_uint_eq(a2, 0);
    timer_command = (unsigned int)a1;
    if (a1 == VCPUOP_set_singleshot_timer) {
        ck_assert_uint_eq(((struct vcpu_set_singleshot_timer *)a3)->flags, 0);
        timer_at = ((struct vcpu_set_singleshot_timer *)a3)->timeout_abs_ns;
    }
    return timer_result;
}

/* A counter of 1 GHz that began with Xen's clock at system_time. */
static void clock_is(uint64_t system_time, uint64_t counter)
{
    struct vcpu_time_info *t = &info.vcpu_info[0].time;
    t->version += 2;
    t->tsc_timestamp = counter;
    t->system_time = system_time;
    t->tsc_to_system_mul = UINT32_C(1) << 31;
    t->tsc_shift = 1;
    cycles = counter;
}

static void setup(void)
{
    memset(&info, 0, sizeof(info));
    bind_result = timer_result = 0;
    clock_is(1000, 50);
    ck_assert_int_eq(guest_time_init(NULL, false), 0);
    ck_assert_uint_eq(guest_timer_port(), PORT);
}

/* ---- the scale ---- */

/* The same by another way: multiplication by halves, with shifts a bit at a time. */
static uint64_t slow_scale(uint64_t c, uint32_t mul, int shift)
{
    uint64_t high, low;
    for (; shift < 0; shift++)
        c >>= 1;
    uint64_t l = (c & UINT32_MAX) * mul, h = (c >> 32) * mul + (l >> 32);
    high = h >> 32;
    low = h << 32 | (l & UINT32_MAX);
    for (; shift > 0; shift--) {
        if (high >> 63 != 0)
            return UINT64_MAX;
        high = high << 1 | low >> 63;
        low <<= 1;
    }
    return high >> 32 != 0 ? UINT64_MAX : high << 32 | low >> 32;
}

START_TEST(a_second_is_a_second)
{
    /* What Xen tells for this many Hz: the multiplier with its highest bit set. */
    static const uint64_t frequencies[] = {1000000,    33333333,   999999999, 1000000000,
                                           2500000000, 2893202000, 5100000000};
    uint64_t hz = frequencies[_i];
    int shift = 0;
    uint64_t by = hz;
    while (by > UINT64_C(2000000000)) {
        by >>= 1;
        shift--;
    }
    while (by <= UINT64_C(1000000000)) {
        by <<= 1;
        shift++;
    }
    uint32_t mul = (uint32_t)((UINT64_C(1000000000) << 32) / by);
    uint64_t year = guest_scale(hz * 86400 * 365, mul, shift), want = UINT64_C(86400) * 365 * 1000000000;
    /* The multiplier has 31 good bits, and a frequency that was shifted may have lost one of its own. */
    ck_assert_uint_lt(year > want ? year - want : want - year, want >> 28);
}
END_TEST

START_TEST(scaling_loses_no_bit)
{
    srand((unsigned int)_i);
    for (int i = 0; i < 20000; i++) {
        uint64_t c = ((uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand()) >> rand() % 64;
        uint32_t mul = (uint32_t)rand() << 1 ^ (uint32_t)rand();
        int shift = rand() % 63 - 31;
        ck_assert_msg(guest_scale(c, mul, shift) == slow_scale(c, mul, shift), "seed %d: %llu %u %d", _i,
                      (unsigned long long)c, mul, shift);
    }
    ck_assert_uint_eq(guest_scale(UINT64_MAX, UINT32_MAX, 31), UINT64_MAX);
    ck_assert_uint_eq(guest_scale(UINT64_MAX, UINT32_MAX, 0), UINT64_MAX - (UINT64_C(1) << 32));
}
END_TEST

/* ---- clocks ---- */

START_TEST(the_clock_follows_xens)
{
    ck_assert_uint_eq(guest_now(), 1000);
    cycles += 500;
    ck_assert_uint_eq(guest_now(), 1500);
    clock_is(5000, 777);
    ck_assert_uint_eq(guest_now(), 5000);
    ck_assert_uint_eq(guest_cycles_to_ns(123456), 123456);
}
END_TEST

START_TEST(the_clock_never_goes_back)
{
    cycles += 500;
    ck_assert_uint_eq(guest_now(), 1500);
    cycles -= 400;
    ck_assert_uint_eq(guest_now(), 1500);
    /* On another processor of the host. */
    cycles = 10;
    ck_assert_uint_eq(guest_now(), 1500);
    cycles = 50 + 600;
    ck_assert_uint_eq(guest_now(), 1600);
}
END_TEST

START_TEST(a_resume_goes_on_where_the_clock_stood)
{
    static const uint64_t elsewhere[] = {3, 1000000000000};
    cycles += 1000;
    ck_assert_uint_eq(guest_now(), 2000);
    clock_is(elsewhere[_i], 70);
    ck_assert_int_eq(guest_time_init(NULL, true), 0);
    ck_assert_uint_eq(guest_now(), 2000);
    cycles += 5;
    ck_assert_uint_eq(guest_now(), 2005);
    /* The timer is set by Xen's clock, not ours. */
    guest_timer_set(3005);
    ck_assert_uint_eq(timer_at, elsewhere[_i] + 5 + 1000);
}
END_TEST

START_TEST(a_timer_that_cannot_be_bound_is_told)
{
    bind_result = -XEN_EEXIST;
    ck_assert_int_eq(guest_time_init(NULL, _i == 1), -XEN_EEXIST);
    bind_result = -XEN_ENOSPC;
    ck_assert_int_eq(guest_time_init(NULL, _i == 1), -XEN_ENOSPC);
}
END_TEST

START_TEST(the_timer_is_set_and_stopped)
{
    guest_timer_set(123456);
    ck_assert_uint_eq(timer_command, VCPUOP_set_singleshot_timer);
    ck_assert_uint_eq(timer_at, 123456);
    guest_timer_set(0); /* past: Xen fires at once */
    ck_assert_uint_eq(timer_at, 1000);
    guest_timer_set(UINT64_MAX);
    ck_assert_uint_eq(timer_command, VCPUOP_stop_singleshot_timer);
    timer_result = -XEN_EINVAL;
    if (setjmp(panicked) == 0) {
        guest_timer_set(5);
        ck_abort_msg("a timer that is not set would be a sleep for ever");
    }
}
END_TEST

START_TEST(a_nap_is_by_xens_clock)
{
    guest_nap(250);
    ck_assert_uint_eq(poll_at, 1250);
}
END_TEST

START_TEST(the_time_of_day_is_xens_start_and_clock)
{
    info.wc_version = 4;
    info.wc_sec = 0xfffffff0u;
    info.wc_sec_hi = 1;
    info.wc_nsec = 999999999;
    ck_assert_uint_eq(xids_guest_wall_clock(NULL), UINT64_C(0x1fffffff0) * 1000000000 + 999999999 + 1000);
    ck_assert_uint_eq(xids_guest_now(NULL), 1000);
}
END_TEST

START_TEST(marks_count_from_the_first_instruction)
{
    struct guest_boot boot = {.first_tsc = 50};
    const struct xids_guest_mark *marks;
    cycles = 80;
    xids_guest_mark(NULL, "early");
    clock_is(1000, 100);
    guest_marks_init(&boot);
    cycles = 170;
    xids_guest_mark(NULL, "late");
    ck_assert_uint_eq(xids_guest_marks(NULL, &marks), 2);
    ck_assert_str_eq(marks[0].name, "early");
    ck_assert_uint_eq(marks[0].ns, 30);
    ck_assert_str_eq(marks[1].name, "late");
    ck_assert_uint_eq(marks[1].ns, 120);
    for (unsigned int i = 0; i < 2 * XIDS_GUEST_MARKS; i++)
        xids_guest_mark(NULL, "more");
    ck_assert_uint_eq(xids_guest_marks(NULL, &marks), XIDS_GUEST_MARKS);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest time");
    TCase *scale = tcase_create("scale"), *clocks = tcase_create("clocks");
    tcase_add_loop_test(scale, a_second_is_a_second, 0, 7);
    tcase_add_loop_test(scale, scaling_loses_no_bit, 0, 4);
    tcase_add_checked_fixture(clocks, setup, NULL);
    tcase_add_test(clocks, the_clock_follows_xens);
    tcase_add_test(clocks, the_clock_never_goes_back);
    tcase_add_loop_test(clocks, a_resume_goes_on_where_the_clock_stood, 0, 2);
    tcase_add_loop_test(clocks, a_timer_that_cannot_be_bound_is_told, 0, 2);
    tcase_add_test(clocks, the_timer_is_set_and_stopped);
    tcase_add_test(clocks, a_nap_is_by_xens_clock);
    tcase_add_test(clocks, the_time_of_day_is_xens_start_and_clock);
    tcase_add_test(clocks, marks_count_from_the_first_instruction);
    suite_add_tcase(s, scale);
    suite_add_tcase(s, clocks);
    return s;
}
