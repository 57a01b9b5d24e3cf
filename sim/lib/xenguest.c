/* SPDX-License-Identifier: ISC */
/* The part of libxenguest.so.4.17 that works on the simulated machine; xenguest.list has the rest. */
#include <xenctrl.h>
#include <xenguest.h>

#include "sim/lib/process.h"

int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast)
{
    (void)xch;
    (void)fast;
    struct xids_sim_machine *m = xids_sim_process();
    return m != NULL ? xids_sim_result(xids_hv_domain_resume(&m->hv, xids_sim_domid_of(domid))) : -1;
}
