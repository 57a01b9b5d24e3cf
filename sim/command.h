/* SPDX-License-Identifier: ISC */
/* The commands of xids-sim. Each takes its own arguments (argv[0] is its name) and returns an exit status. */
#ifndef XIDS_SIM_COMMAND_H
#define XIDS_SIM_COMMAND_H

#include "sim/machine.h"

/* Exit statuses besides 0, as elsewhere: what was asked makes no sense; it did not work. */
#define XIDS_SIM_USAGE 2
#define XIDS_SIM_FAILED 1

int xids_sim_command_up(const char *dir, int argc, char **argv);
int xids_sim_command_down(const char *dir, int argc, char **argv);
int xids_sim_command_domain(const char *dir, int argc, char **argv);
int xids_sim_command_exec(const char *dir, int argc, char **argv);
int xids_sim_command_list(const char *dir, int argc, char **argv);
int xids_sim_command_status(const char *dir, int argc, char **argv);

/* Prints "xids-sim: ", the message and, when rc is negative, what that errno says. Returns XIDS_SIM_FAILED. */
__attribute__((format(printf, 2, 3))) int xids_sim_complain(int rc, const char *fmt, ...);
int xids_sim_usage(void);

/* A domid out of an argument; -1: none. */
int xids_sim_parse_domid(const char *text);

#endif
