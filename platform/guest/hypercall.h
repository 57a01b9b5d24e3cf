/* SPDX-License-Identifier: ISC */
/*
 * The calls to Xen that this guest makes, with types. Each returns 0 or more, or a negative errno in Xen's numbers
 * (xen/errno.h); what a command takes is in the header of Xen's that is named with it. Xen reads and writes arg through
 * the guest's own page tables, so it may lie anywhere, the stack included.
 */
#ifndef XIDS_PLATFORM_GUEST_HYPERCALL_H
#define XIDS_PLATFORM_GUEST_HYPERCALL_H

#include <xids/base.h>
#include <xen/hvm/hvm_op.h>

/* The architecture's: one call with up to five arguments. */
long arch_hypercall(unsigned long number, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5);

/* XENMEM_*: xen/memory.h */
static inline int hypercall_memory_op(unsigned int cmd, void *arg)
{
    return (int)arch_hypercall(__HYPERVISOR_memory_op, cmd, (uintptr_t)arg, 0, 0, 0);
}

/* XENVER_*: xen/version.h */
static inline int hypercall_xen_version(unsigned int cmd, void *arg)
{
    return (int)arch_hypercall(__HYPERVISOR_xen_version, cmd, (uintptr_t)arg, 0, 0, 0);
}

/* GNTTABOP_*: xen/grant_table.h; count elements at ops, each of which has a status of its own */
static inline int hypercall_grant_table_op(unsigned int cmd, void *ops, unsigned int count)
{
    return (int)arch_hypercall(__HYPERVISOR_grant_table_op, cmd, (uintptr_t)ops, count, 0, 0);
}

/* VCPUOP_*: xen/vcpu.h */
static inline int hypercall_vcpu_op(unsigned int cmd, unsigned int vcpu, void *arg)
{
    return (int)arch_hypercall(__HYPERVISOR_vcpu_op, cmd, vcpu, (uintptr_t)arg, 0, 0);
}

/* SCHEDOP_*: xen/sched.h */
static inline int hypercall_sched_op(unsigned int cmd, void *arg)
{
    return (int)arch_hypercall(__HYPERVISOR_sched_op, cmd, (uintptr_t)arg, 0, 0, 0);
}

/* EVTCHNOP_*: xen/event_channel.h */
static inline int hypercall_event_channel_op(unsigned int cmd, void *arg)
{
    return (int)arch_hypercall(__HYPERVISOR_event_channel_op, cmd, (uintptr_t)arg, 0, 0, 0);
}

/* HVMOP_*: xen/hvm/hvm_op.h, xen/hvm/params.h */
static inline int hypercall_hvm_op(unsigned int cmd, void *arg)
{
    return (int)arch_hypercall(__HYPERVISOR_hvm_op, cmd, (uintptr_t)arg, 0, 0, 0);
}

/* A parameter of our own domain: HVM_PARAM_* of xen/hvm/params.h. */
static inline int hypercall_hvm_get_param(uint64_t *value, uint32_t index)
{
    struct xen_hvm_param op = {.domid = DOMID_SELF, .index = index};
    int rc = hypercall_hvm_op(HVMOP_get_param, &op);
    *value = op.value;
    return rc;
}

/* Sets one that a domain may set itself. */
static inline int hypercall_hvm_set_param(uint32_t index, uint64_t value)
{
    struct xen_hvm_param op = {.domid = DOMID_SELF, .index = index, .value = value};
    return hypercall_hvm_op(HVMOP_set_param, &op);
}

#endif
