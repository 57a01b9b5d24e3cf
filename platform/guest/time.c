/* SPDX-License-Identifier: ISC */
/*
 * Clocks: Xen's clock for the guest, by the time stamp counter, and what it says of the time of day. And the timer.
 */
#include "platform/guest/guest.h"
#include "platform/guest/scale.h"

#include <xen/sched.h>
#include <xen/vcpu.h>

static evtchn_port_t port;
static uint64_t offset; /* from Xen's clock to ours: a resume elsewhere starts Xen's at another time */
static uint64_t last;   /* what was told last */

/* Xen changes the version before and after each update: odd while it is under way. */
static struct vcpu_time_info time_info(void)
{
    const volatile struct vcpu_time_info *from = &guest_shared_info()->vcpu_info[0].time;
    struct vcpu_time_info copy;
    do {
        copy.version = __atomic_load_n(&from->version, __ATOMIC_ACQUIRE);
        copy.tsc_timestamp = from->tsc_timestamp;
        copy.system_time = from->system_time;
        copy.tsc_to_system_mul = from->tsc_to_system_mul;
        copy.tsc_shift = from->tsc_shift;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((copy.version & 1) != 0 || copy.version != __atomic_load_n(&from->version, __ATOMIC_RELAXED));
    return copy;
}

/* Xen's clock. */
static uint64_t system_time(void)
{
    struct vcpu_time_info info = time_info();
    uint64_t cycles = arch_cycles();
    /* On another CPU of the host the counter may stand a little behind. */
    uint64_t since = cycles > info.tsc_timestamp ? cycles - info.tsc_timestamp : 0;
    return info.system_time + guest_scale(since, info.tsc_to_system_mul, info.tsc_shift);
}

uint64_t guest_cycles_to_ns(uint64_t cycles)
{
    struct vcpu_time_info info = time_info();
    return guest_scale(cycles, info.tsc_to_system_mul, info.tsc_shift);
}

int guest_time_init(const struct guest_boot *boot, bool again)
{
    (void)boot;
    /* Going on from where we were; what the domain slept through is nobody's. */
    if (again)
        offset = last - system_time();
    struct evtchn_bind_virq bind = {.virq = VIRQ_TIMER, .vcpu = 0};
    int rc = hypercall_event_channel_op(EVTCHNOP_bind_virq, &bind);
    if (rc < 0)
        return rc;
    port = bind.port;
    return 0;
}

uint64_t guest_now(void)
{
    uint64_t now = system_time() + offset;
    if (now > last)
        last = now;
    return last;
}

evtchn_port_t guest_timer_port(void)
{
    return port;
}

void guest_timer_set(uint64_t deadline)
{
    if (deadline == UINT64_MAX) {
        (void)hypercall_vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL);
        return;
    }
    /* Without a flag Xen takes a time that is past as now. */
    uint64_t now = guest_now(), left = deadline > now ? deadline - now : 0;
    struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = system_time() + left};
    if (hypercall_vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer) < 0)
        xids_guest_panic("Xen does not set the timer");
}

void guest_nap(uint64_t ns)
{
    struct sched_poll poll = {.nr_ports = 0, .timeout = system_time() + ns};
    (void)hypercall_sched_op(SCHEDOP_poll, &poll);
}

uint64_t xids_guest_now(struct xids_guest *g)
{
    (void)g;
    return guest_now();
}

uint64_t xids_guest_wall_clock(struct xids_guest *g)
{
    (void)g;
    const volatile struct shared_info *info = guest_shared_info();
    uint32_t version;
    uint64_t boot;
    do {
        version = __atomic_load_n(&info->wc_version, __ATOMIC_ACQUIRE);
        uint64_t seconds = (uint64_t)info->xen_wc_sec_hi << 32 | info->wc_sec;
        boot = seconds * UINT64_C(1000000000) + info->wc_nsec;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((version & 1) != 0 || version != __atomic_load_n(&info->wc_version, __ATOMIC_RELAXED));
    return boot + system_time();
}
