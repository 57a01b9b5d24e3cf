/* SPDX-License-Identifier: ISC */
/* xids-sim: a simulated hypervisor for ordinary processes. See docs/man/xids-sim.1. */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/command.h"

static const struct {
    const char *name;
    int (*run)(const char *dir, int argc, char **argv);
} commands[] = {
    {"up", xids_sim_command_up},     {"down", xids_sim_command_down}, {"domain", xids_sim_command_domain},
    {"exec", xids_sim_command_exec}, {"list", xids_sim_command_list}, {"status", xids_sim_command_status},
};

static const char help[] =
    "usage: xids-sim [--dir DIR] COMMAND ...\n"
    "\n"
    "  up [--memory MIB] [--foreground]      start a machine; domain 0 exists then\n"
    "  down                                  end it, and all that runs in it\n"
    "  domain create [--domid N] [--name S] [--paused] [--loopback]\n"
    "                                        make a guest domain; prints its domid\n"
    "  domain destroy|pause|unpause|resume|introduce N\n"
    "  domain shutdown N [poweroff|reboot|suspend|crash]\n"
    "  exec [--domain N] [--] COMMAND ...    run a program in a domain (0 unless told)\n"
    "  list [--json]                         the domains\n"
    "  status [--json]                       what is in use in the whole machine\n"
    "\n"
    "DIR is where the machine lives: $XIDS_SIM_DIR, or xids-sim-UID under $XDG_RUNTIME_DIR or /tmp.\n";

int xids_sim_usage(void)
{
    (void)fputs(help, stderr);
    return XIDS_SIM_USAGE;
}

int xids_sim_complain(int rc, const char *fmt, ...)
{
    va_list args;
    (void)fputs("xids-sim: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    if (rc < 0)
        (void)fprintf(stderr, ": %s", strerror(-rc));
    (void)fputc('\n', stderr);
    return XIDS_SIM_FAILED;
}

int xids_sim_parse_domid(const char *text)
{
    char *end = NULL;
    unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;
    return text == NULL || *text < '0' || *text > '9' || *end != '\0' || value >= DOMID_FIRST_RESERVED ? -1
                                                                                                       : (int)value;
}

static bool is_machine(const char *dir)
{
    char path[XIDS_SIM_DIR_MAX + 8];
    (void)snprintf(path, sizeof(path), "%s/hv", dir);
    return access(path, F_OK) == 0 || errno != ENOENT;
}

static int no_machine(const char *dir)
{
    return xids_sim_complain(0, "no machine in %s (xids-sim up starts one)", dir);
}

int main(int argc, char **argv)
{
    char dir[XIDS_SIM_DIR_MAX];
    int at = 1, rc = xids_sim_default_dir(dir);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(help, stdout) < 0 ? XIDS_SIM_FAILED : EXIT_SUCCESS;
    if (argc > 2 && strcmp(argv[1], "--dir") == 0) {
        rc = snprintf(dir, sizeof(dir), "%s", argv[2]) < (int)sizeof(dir) ? 0 : -XEN_ENAMETOOLONG;
        at = 3;
    }
    if (rc < 0)
        return xids_sim_complain(rc, "the machine's directory");
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts("xids-sim (xids) " PACKAGE_VERSION) < 0 ? XIDS_SIM_FAILED : EXIT_SUCCESS;
    for (size_t i = 0; at < argc && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[at], commands[i].name) == 0)
            return i > 0 && !is_machine(dir) ? no_machine(dir) : commands[i].run(dir, argc - at, argv + at);
    int status = xids_sim_usage();
    if (at < argc)
        (void)xids_sim_complain(0, "no such command: %s", argv[at]);
    return status;
}
