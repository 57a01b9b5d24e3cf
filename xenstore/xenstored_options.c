/* SPDX-License-Identifier: ISC */
/*
 * The command line, which is C xenstored's and more. A row of the table below is an option, and a setting of that name
 * in the file of settings, over which the command line goes.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstore/xenstored.h"

#define DEFAULT_CONFIG "/etc/xen/xids-xenstored.conf"

enum kind {
    FLAG,    /* a bool becomes true */
    NUMBER,  /* a uint32_t; 0 is no limit */
    COUNT,   /* a uint32_t as it is */
    DOMID,   /* the same, of a domain */
    TEXT,    /* a char *, from malloc */
    CALL,    /* what the function makes of it */
    CONFIG,  /* where the other settings are: not one itself */
    IGNORED, /* accepted, so that scripts for C xenstored work; nobody should believe that it does anything */
};

struct setting {
    const char *name;
    int letter;        /* 0: it has none */
    const char *value; /* what to call its value in the help, NULL: it has none */
    enum kind kind;
    size_t at; /* in struct options */
    bool (*set)(struct options *o, const char *value);
    const char *help; /* NULL: not shown */
};

#define IN(field) offsetof(struct options, field)

static bool count(uint32_t *value, const char *text, uint32_t most)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || v > most)
        return false;
    *value = (uint32_t)v;
    return true;
}

static bool number(uint32_t *value, const char *text)
{
    return count(value, text, INT32_MAX);
}

static bool set_quota(struct options *o, const char *assignment)
{
    return quota_option(&o->limits, assignment, false);
}

static bool set_soft_quota(struct options *o, const char *assignment)
{
    return quota_option(&o->limits, assignment, true);
}

/* Longer paths cannot be had by this option, as in C xenstored. */
static bool set_path_max(struct options *o, const char *value)
{
    if (!number(&o->limits.path_max, value))
        return false;
    if (o->limits.path_max > XENSTORE_REL_PATH_MAX)
        o->limits.path_max = XENSTORE_REL_PATH_MAX;
    return true;
}

/* Nobody waits for a watcher here, so that there is nothing to be timed. */
static bool set_timeout(struct options *o, const char *assignment)
{
    static const char what[] = "watch-event=";
    uint32_t ignored;
    (void)o;
    return strncmp(assignment, what, sizeof(what) - 1) == 0 &&
           count(&ignored, assignment + sizeof(what) - 1, INT32_MAX);
}

static bool set_log_level(struct options *o, const char *value)
{
    return log_level_parse(&o->log_level, value);
}

static bool set_trace_switch(struct options *o, const char *value)
{
    return tracing_switch(&o->trace_switches, value, strlen(value));
}

static bool set_trace_size(struct options *o, const char *value)
{
    return count(&o->trace_mib, value, 4096) && o->trace_mib > 0;
}

static bool set_verbose(struct options *o, const char *value)
{
    (void)value;
    o->log_level = LOG_LEVEL_DEBUG;
    return true;
}

static const struct setting settings[] = {
    {"no-domain-init", 'D', NULL, FLAG, IN(no_domain_init), NULL, "serve the socket alone, without a hypervisor"},
    {"no-fork", 'N', NULL, FLAG, IN(foreground), NULL, "stay in the foreground"},
    {"foreground", 0, NULL, FLAG, IN(foreground), NULL, "the same"},
    {"pid-file", 'F', "FILE", TEXT, IN(pid_file), NULL, "write the process id there"},
    {"output-pid", 'P', NULL, FLAG, IN(print_pid), NULL, "print the process id"},
    {"verbose", 'V', NULL, CALL, 0, set_verbose, "log more: --log-level debug"},
    {"log-level", 0, "LEVEL", CALL, 0, set_log_level, "error, warning, info or debug"},
    {"no-sandbox", 0, NULL, FLAG, IN(no_sandbox), NULL, "keep all capabilities and system calls"},
    {"no-live-update", 0, NULL, FLAG, IN(no_live_update), NULL, "and never be another program: a tighter sandbox"},
    {"config", 0, "FILE", CONFIG, 0, NULL, "settings, instead of " DEFAULT_CONFIG},
    {"control", 0, "PATH", TEXT, IN(control_path), NULL, "the control socket, for --status"},
    {"status", 0, NULL, FLAG, IN(ask_status), NULL, "ask the daemon that runs for its state, in JSON"},
    {"domains", 0, NULL, FLAG, IN(ask_domains), NULL, "the same for what each domain does and holds"},
    {"entry-nb", 'E', "N", NUMBER, IN(limits.store.nodes), NULL, "a guest's limits: nodes,"},
    {"entry-size", 'S', "N", NUMBER, IN(limits.store.node_size), NULL, "bytes of a node,"},
    {"watch-nb", 'W', "N", NUMBER, IN(limits.watches), NULL, "watches,"},
    {"transaction", 't', "N", NUMBER, IN(limits.transactions), NULL, "transactions,"},
    {"perm-nb", 'A', "N", NUMBER, IN(limits.store.perms), NULL, "permissions of a node,"},
    {"path-max", 'M', "N", CALL, 0, set_path_max, "bytes of a path; 0: no limit"},
    {"quota", 'Q', "NAME=N", CALL, 0, set_quota, "the same by name"},
    {"quota-soft", 'q', "NAME=N", CALL, 0, set_soft_quota, "what is warned of but not refused: memory"},
    {"trace-file", 'T', "FILE", TEXT, IN(trace_file), NULL, "a ring of what happens, for --replay"},
    {"trace-size", 0, "MIB", CALL, 0, set_trace_size, "its size (16)"},
    {"trace-control", 'c', "SWITCH", CALL, 0, set_trace_switch, "what goes into it: +obj, -obj, +io, -io"},
    {"journal", 0, "FILE", TEXT, IN(journal), NULL, "what the next xenstored goes on with after a crash of this one"},
    {"replay", 0, "FILE", TEXT, IN(replay), NULL, "ask a fresh server what such a file says, and compare"},
    {"print", 0, NULL, FLAG, IN(replay_print), NULL, "with --replay: only show what it says"},
    {"timeout", 'w', "NAME=N", CALL, 0, set_timeout, NULL},
    {"no-recovery", 'R', NULL, IGNORED, 0, NULL, NULL},
    {"internal-db", 'I', NULL, IGNORED, 0, NULL, NULL},
    {"keep-orphans", 'K', NULL, IGNORED, 0, NULL, NULL},
    {"master-domid", 'm', "DOMID", DOMID, IN(own_domid), NULL, "the domain that this is (0)"},
    {"priv-domid", 'p', "DOMID", DOMID, IN(privileged_domid), NULL, "the domain that may do everything (0)"},
    {"event", 'e', "PORT", COUNT, IN(event_port), NULL, "its port, when it is not this one"},
    {"live-update", 'U', NULL, FLAG, IN(live_update), NULL, "go on in the place of another xenstored"},
    /* Only for what live update starts. */
    {"state-fd", 0, "FD", COUNT, IN(state_fd), NULL, NULL},
    {"check-state", 0, "FD", COUNT, IN(check_fd), NULL, NULL},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* What getopt_long returns for a row is its letter, or its number beyond all letters. */
enum {
    LONG_ONLY = 256,
    OPT_HELP = 'H',
    OPT_VERSION = LONG_ONLY + 1000,
};

/* C xenstored's -I has a value that need not be there. */
static int has_value(const struct setting *s)
{
    if (s->letter == 'I')
        return optional_argument;
    return s->value != NULL ? required_argument : no_argument;
}

static void usage(FILE *to)
{
    (void)fputs("usage: xids-xenstored [options]\n", to);
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        char letter[] = {'-', (char)s->letter, ',', '\0'};
        if (s->help != NULL)
            (void)fprintf(to, "  %3s --%s%s%-*s  %s\n", s->letter != 0 ? letter : "", s->name,
                          s->value != NULL ? " " : "", (int)(24 - strlen(s->name) - (s->value != NULL ? 1 : 0)),
                          s->value != NULL ? s->value : "", s->help);
    }
    (void)fputs("  -H, --help\n      --version\n"
                "xids-xenstored(8) tells more.\n",
                to);
}

/* NULL, or what is wrong with the value. */
static const char *apply(struct options *o, const struct setting *s, const char *value)
{
    void *at = (char *)o + s->at;
    bool good = true;
    switch (s->kind) {
    case FLAG:
        *(bool *)at = true;
        break;
    case NUMBER:
        good = number(at, value);
        break;
    case COUNT:
        good = count(at, value, INT32_MAX);
        break;
    case DOMID:
        good = count(at, value, DOMID_FIRST_RESERVED - 1);
        break;
    case TEXT:
        free(*(char **)at);
        *(char **)at = strdup(value);
        if (*(char **)at == NULL)
            return "out of memory";
        break;
    case CALL:
        good = s->set(o, value);
        break;
    case CONFIG:
    case IGNORED:
    default:
        (void)fprintf(stderr, "xids-xenstored: option --%s has no effect here\n", s->name);
        break;
    }
    return good ? NULL : "not a value for it";
}

static bool is_yes(const char *value)
{
    return strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 || strcmp(value, "on") == 0 ||
           strcmp(value, "1") == 0;
}

static bool is_no(const char *value)
{
    return strcmp(value, "no") == 0 || strcmp(value, "false") == 0 || strcmp(value, "off") == 0 ||
           strcmp(value, "0") == 0;
}

const char *options_set(struct options *o, const char *name, const char *value)
{
    const struct setting *s = settings;
    while (s < settings + SETTINGS && strcmp(s->name, name) != 0)
        s++;
    if (s == settings + SETTINGS || s->kind == CONFIG)
        return "no such setting";
    if (s->value != NULL)
        return apply(o, s, value);
    if (is_no(value))
        return NULL;
    return is_yes(value) ? apply(o, s, NULL) : "neither yes nor no";
}

struct parser {
    struct option longs[SETTINGS + 3];
    char shorts[3 * SETTINGS + 3];
};

static void parser_make(struct parser *p)
{
    size_t n = 0;
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        p->longs[i] = (struct option){s->name, has_value(s), NULL, s->letter != 0 ? s->letter : LONG_ONLY + (int)i};
        if (s->letter == 0)
            continue;
        p->shorts[n++] = (char)s->letter;
        for (int colon = 0; colon < has_value(s); colon++)
            p->shorts[n++] = ':';
    }
    p->shorts[n++] = OPT_HELP;
    p->shorts[n] = '\0';
    p->longs[SETTINGS] = (struct option){"help", no_argument, NULL, OPT_HELP};
    p->longs[SETTINGS + 1] = (struct option){"version", no_argument, NULL, OPT_VERSION};
    p->longs[SETTINGS + 2] = (struct option){NULL, 0, NULL, 0};
}

static const struct setting *find(int opt)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (opt == (settings[i].letter != 0 ? settings[i].letter : LONG_ONLY + (int)i))
            return &settings[i];
    }
    return NULL;
}

/* One pass over the command line. config: only says which file of settings it names. -1: go on. */
static int pass(struct options *o, const char **config, int argc, char **argv)
{
    struct parser p;
    int opt;
    parser_make(&p);
    optind = 0; /* from the start, also the second time */
    while ((opt = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
        const struct setting *s = find(opt);
        if (opt == OPT_HELP) {
            usage(stdout);
            return EXIT_SUCCESS;
        }
        if (opt == OPT_VERSION) {
            (void)puts("xids-xenstored (xids) " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        }
        if (s == NULL) {
            (void)fputs("xids-xenstored --help shows the options\n", stderr);
            return EXIT_USAGE;
        }
        if (s->kind == CONFIG)
            *config = optarg;
        const char *wrong = o != NULL && s->kind != CONFIG ? apply(o, s, optarg) : NULL;
        if (wrong != NULL) {
            (void)fprintf(stderr, "xids-xenstored: --%s: %s: %s\n", s->name, wrong, optarg);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "xids-xenstored: unexpected argument: %s\n", argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

/* Whether they go together. -1: go on. */
static int fitting(const struct options *o)
{
    const char *wrong = NULL;
    if (o->replay_print && o->replay == NULL)
        wrong = "--print is for --replay alone";
    else if ((o->replay != NULL) + o->ask_status + o->ask_domains > 1)
        wrong = "--replay, --status and --domains exclude each other";
    if (wrong == NULL)
        return -1;
    (void)fprintf(stderr, "xids-xenstored: %s\n", wrong);
    return EXIT_USAGE;
}

int options_parse(struct options *o, int argc, char **argv)
{
    const char *config = NULL;
    *o = (struct options){.log_level = LOG_LEVEL_INFO,
                          .trace_switches = tracing_switches_default,
                          .trace_mib = 16,
                          .limits = xids_xs_limits_default};
    int status = pass(NULL, &config, argc, argv);
    if (status >= 0)
        return status;
    if (config_read(o, config != NULL ? config : DEFAULT_CONFIG, config != NULL) < 0)
        return EXIT_USAGE;
    status = pass(o, &config, argc, argv);
    return status >= 0 ? status : fitting(o);
}

void options_free(struct options *o)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        void *at = (char *)o + settings[i].at;
        if (settings[i].kind == TEXT)
            free(*(char **)at);
    }
}
