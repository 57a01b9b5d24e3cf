/* SPDX-License-Identifier: ISC */
/*
 * What all drop-in libraries of one process share (libxids-sim.so): the machine it takes part in, as which domain, its
 * lifeline to the daemon, and the areas it has mapped.
 *
 * The environment says which: XIDS_SIM_DIR (or the default directory) and XIDS_SIM_DOMID (0 when not set). Everything
 * starts with the first call that needs it. Functions that fail set errno. Any thread may call.
 *
 * The lifeline is a connection whose end tells the daemon that all that the process opened is to be closed. A child of
 * fork shares its parent's files, so it inherits the connection: the files live until both are gone. What the child
 * opens itself hangs on a lifeline of its own.
 */
#ifndef XIDS_SIM_LIB_PROCESS_H
#define XIDS_SIM_LIB_PROCESS_H

#include "sim/machine.h"

/* The machine; NULL with errno when there is none. */
struct xids_sim_machine *xids_sim_process(void);
domid_t xids_sim_domid(void);

/* Translates DOMID_SELF. */
domid_t xids_sim_domid_of(uint32_t domid);

/*
 * Joins the machine and connects the lifeline now, so that the daemon knows the process; waits until it does, so that
 * no program runs on in a paused domain. For the preload library.
 */
void xids_sim_join(void);

/* Opens an owner of this process's. 0, or -1 with errno. */
int xids_sim_owner_open(uint32_t *owner);
/* Closes it, unless it was the parent of a fork that opened it: then it is the parent's, and nothing happens. */
int xids_sim_owner_close(uint32_t owner, int opener);

/* The same with an event queue: its fd, or -1. across_exec: the handle is to survive execve. */
int xids_sim_events_open(uint32_t *owner, bool across_exec);

/* -1 with errno set from a negative errno; a result that is none is handed through. */
int xids_sim_result(int rc);

/* ---- areas of mapped frames ---- */

enum xids_sim_area_kind { XIDS_SIM_AREA_MAP, XIDS_SIM_AREA_SHARE };

/*
 * Maps frames as an area that stands for the hypervisor's object id of owner. NULL with errno, and the object undone.
 */
void *xids_sim_area_map(enum xids_sim_area_kind kind, uint32_t owner, uint32_t id, const uint32_t *frames,
                        uint32_t count, int prot, void *at);

/* Undoes a whole area. 0, or -1: EINVAL when no area of the owner (0: of any) starts there with count pages. */
int xids_sim_area_unmap(void *at, size_t count, uint32_t owner);

/*
 * Closes an owner whose areas may still be in use: as with Linux's files, it lives on until the last is unmapped.
 * The rest is as with xids_sim_owner_close.
 */
int xids_sim_area_owner_close(uint32_t owner, int opener);

/*
 * munmap for programs that give up mapped areas that way, as libxenvchan and oxenstored do. True when a whole area was
 * undone; false: not an area, the caller's business.
 */
bool xids_sim_area_munmap(void *at, size_t len);

#endif
