/* SPDX-License-Identifier: ISC */
/*
 * Events from Xen, sleeping until one comes, and the end. Interrupts are on in the middle of a sleep and nowhere else:
 * so nothing is ever interrupted, and nothing is missed between a look at what is pending and the sleep.
 */
#include "platform/guest/x86_64/arch.h"

#include <xen/hvm/params.h>
#include <xen/sched.h>

int arch_upcall_init(void)
{
    /* A vector for CPU 0 that needs no interrupt controller: Xen raises it while an upcall is pending. */
    struct xen_hvm_param param = {
        .domid = DOMID_SELF,
        .index = HVM_PARAM_CALLBACK_IRQ,
        .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | VECTOR_EVENT,
    };
    return hypercall_hvm_op(HVMOP_set_param, &param);
}

void arch_idle_begin(void)
{
    __asm__ __volatile__("cli" : : : "memory");
}

void arch_shutdown(unsigned int reason)
{
    struct sched_shutdown shutdown = {.reason = reason};
    if (arch_on_xen())
        (void)hypercall_sched_op(SCHEDOP_shutdown, &shutdown);
    else
        guest_early_print("xids: halted (%u)\n", reason);
    for (;;)
        __asm__ __volatile__("cli; hlt");
}
