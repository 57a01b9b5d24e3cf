/* SPDX-License-Identifier: ISC */
/* The CONTROL commands that need the daemon, not the server's inside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstore/xenstored.h"

static bool is(const struct xids_xswire_str *arg, const char *word)
{
    return arg->len == strlen(word) && memcmp(arg->s, word, arg->len) == 0;
}

static int done(char *answer)
{
    memcpy(answer, "OK", 3);
    return 3;
}

/* Shows the switches, closes or begins the trace, or sets a switch. */
static int do_log(struct daemon *d, struct xids_xs_conn *conn, char *answer, size_t room,
                  const struct xids_xswire_str *argv, unsigned int argc)
{
    (void)conn;
    if (argc == 1)
        return tracing_show(d, answer, room) + 1;
    if (argc != 2)
        return -XEN_EINVAL;
    if (is(&argv[1], "on")) {
        int rc = tracing_on(d);
        return rc < 0 ? rc : done(answer);
    }
    if (is(&argv[1], "off")) {
        tracing_off(d);
        return done(answer);
    }
    if (!tracing_switch(tracing_switches(d), argv[1].s, argv[1].len))
        return -XEN_EINVAL;
    tracing_apply(d);
    return done(answer);
}

static int do_logfile(struct daemon *d, struct xids_xs_conn *conn, char *answer, size_t room,
                      const struct xids_xswire_str *argv, unsigned int argc)
{
    (void)conn;
    (void)room;
    if (argc != 2 || argv[1].len == 0)
        return -XEN_EINVAL;
    int rc = tracing_file(d, argv[1].s, argv[1].len);
    return rc < 0 ? rc : done(answer);
}

static const struct command {
    const char *name;
    int (*run)(struct daemon *d, struct xids_xs_conn *conn, char *answer, size_t room,
               const struct xids_xswire_str *argv, unsigned int argc);
} commands[] = {
    {"live-update", live_command},
    {"log", do_log},
    {"logfile", do_logfile},
};

const char commands_help[] = "live-update -f <file>|-c <arguments>|-s [-t <seconds>] [-F]|-a\n"
                             "log             [on|off|+<switch>|-<switch>]\n"
                             "logfile         <file>\n";

int commands_run(void *daemon, struct xids_xs_conn *conn, char *answer, size_t room, const struct xids_xswire_str *argv,
                 unsigned int argc)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (is(&argv[0], commands[i].name))
            return commands[i].run(daemon, conn, answer, room, argv, argc);
    }
    return -XEN_EINVAL;
}
