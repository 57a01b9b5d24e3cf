/* SPDX-License-Identifier: ISC */
/*
 * What a toolstack writes into xenstore about a domain (libxl's nodes and permissions, as far as programs look at
 * them), over dom0's socket. Whichever xenstored listens there will do.
 */
#ifndef XIDS_SIM_TOOLSTACK_H
#define XIDS_SIM_TOOLSTACK_H

#include "sim/machine.h"

/*
 * Writes the nodes of a domain and introduces it. 0; -ENOENT or -ECONNREFUSED: no xenstored runs; else the negative
 * errno that it answered.
 */
int xids_sim_introduce(struct xids_sim_machine *m, domid_t domid, const char *name) XIDS_MUST_CHECK;

/* Removes the nodes of a domain that is gone, and releases it. The same errors. */
int xids_sim_release(struct xids_sim_machine *m, domid_t domid) XIDS_MUST_CHECK;

#endif
