/* SPDX-License-Identifier: ISC */
/* The command line, and the settings with what it says of them. */
#include "config.h"
#include "randomd/daemon.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/xen/xids-randomd.conf"

static const char usage[] =
    "usage: xids-randomd [--foreground] [--config FILE] [--control SOCKET] [--log-level LEVEL]\n"
    "       xids-randomd [--config FILE] [--control SOCKET] REQUEST\n"
    "Gives every guest its entropy over vchan.\n"
    "  --foreground         stay, and log to standard error; otherwise to syslog\n"
    "  --config FILE        settings, instead of " DEFAULT_CONFIG "\n"
    "  --control SOCKET     the control socket\n"
    "  --log-level LEVEL    error, warning, info or debug\n"
    "  --audit-verify FILE...  say whether an audit log is whole; its files in order, the oldest first\n"
    "  --no-sandbox         keep all capabilities and system calls\n"
    "  --check-config       read the settings, say what is wrong with them, and end\n"
    "  --help, --version\n"
    "A request to the daemon that runs, which answers in JSON:\n"
    "  --status [DOMID]     its state, counters and guests, or of one guest\n"
    "  --summary            its state and counters without the guests\n"
    "  --reseed [DOMID]     give all guests, or one, new generators and tell them\n"
    "  --restored DOMID     the guest's memory was restored from an image, or copied\n"
    "  --set-log-level LEVEL\n"
    "  --reload             read the settings again\n"
    "xids-randomd(8) tells more.\n";

/* Beyond what a letter could be. */
enum { STATUS = 256, SUMMARY, RESEED, RESTORED, SET_LOG_LEVEL, RELOAD, CHECK, VERIFY, NO_SANDBOX };

static const struct option longs[] = {
    {"foreground", no_argument, NULL, 'f'},
    {"config", required_argument, NULL, 'c'},
    {"control", required_argument, NULL, 's'},
    {"log-level", required_argument, NULL, 'l'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"check-config", no_argument, NULL, CHECK},
    {"audit-verify", no_argument, NULL, VERIFY},
    {"no-sandbox", no_argument, NULL, NO_SANDBOX},
    {"status", no_argument, NULL, STATUS},
    {"summary", no_argument, NULL, SUMMARY},
    {"reseed", no_argument, NULL, RESEED},
    {"restored", no_argument, NULL, RESTORED},
    {"set-log-level", no_argument, NULL, SET_LOG_LEVEL},
    {"reload", no_argument, NULL, RELOAD},
    {NULL, 0, NULL, 0},
};

static const struct {
    int option;
    const char *request, *operand; /* the latter, when it is always the same */
    int least, most;               /* operands on the command line */
} requests[] = {
    {STATUS, "status", NULL, 0, 1},     {SUMMARY, "status", "summary", 0, 0}, {RESEED, "reseed", NULL, 0, 1},
    {RESTORED, "restored", NULL, 1, 1}, {RELOAD, "reload", NULL, 0, 0},       {SET_LOG_LEVEL, "log-level", NULL, 1, 1},
};

static int wrong_usage(void)
{
    fputs(usage, stderr);
    return EXIT_USAGE;
}

/* The one that was chosen, with what is left of the command line. -1: go on, else the exit status. */
static int take_request(struct options *o, int chosen, int count, char **operands)
{
    if (chosen == 0)
        return count == 0 ? -1 : wrong_usage();
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (requests[i].option != chosen)
            continue;
        if (count < requests[i].least || count > requests[i].most)
            return wrong_usage();
        o->request = requests[i].request;
        o->operand = count > 0 ? operands[0] : requests[i].operand;
        return -1;
    }
    return wrong_usage();
}

int options_configure(struct config *c, const struct options *o)
{
    config_defaults(c);
    if (config_read(c, o->config != NULL ? o->config : DEFAULT_CONFIG, o->config != NULL) < 0)
        return -XEN_EINVAL;
    if (o->level != NULL && log_level_from(&c->log_level, o->level) < 0) {
        log_line(SAY_ERROR, "--log-level: error, warning, info or debug, not \"%s\"", o->level);
        return -XEN_EINVAL;
    }
    if (o->control != NULL) {
        if (strlen(o->control) >= sizeof(c->control)) {
            log_line(SAY_ERROR, "the control socket's path is too long");
            return -XEN_EINVAL;
        }
        memset(c->control, 0, sizeof(c->control));
        memcpy(c->control, o->control, strlen(o->control));
    }
    return 0;
}

/* The socket is removed when we are in another folder. A folder that cannot be told is left to whoever binds it. */
static const char *from_here(const char *path)
{
    char *here = path[0] != '/' ? getcwd(NULL, 0) : NULL, *whole = NULL;
    if (here != NULL && asprintf(&whole, "%s/%s", here, path) < 0)
        whole = NULL;
    free(here);
    return whole != NULL ? whole : path;
}

int options_parse(struct options *o, struct config *c, int argc, char **argv)
{
    int opt, chosen = 0;
    bool check = false;
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'f':
            o->foreground = true;
            break;
        case 'c':
            o->config = optarg;
            break;
        case 's':
            o->control = optarg;
            break;
        case 'l':
            o->level = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("xids-randomd (xids) " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        case NO_SANDBOX:
            o->no_sandbox = true;
            break;
        case CHECK:
            check = true;
            break;
        case '?':
            return wrong_usage();
        default:
            if (chosen != 0)
                return wrong_usage();
            chosen = opt;
            break;
        }
    }
    if (chosen == VERIFY)
        return optind < argc ? audit_verify(argc - optind, argv + optind) : wrong_usage();
    int status = take_request(o, chosen, argc - optind, argv + optind);
    if (status >= 0)
        return status;
    /* It is read again when we may be in another folder. What cannot be resolved cannot be read, which is said then. */
    char *whole = o->config != NULL ? realpath(o->config, NULL) : NULL;
    if (whole != NULL)
        o->config = whole;
    if (o->control != NULL && o->request == NULL)
        o->control = from_here(o->control);
    if (options_configure(c, o) < 0)
        return EXIT_USAGE;
    return check ? EXIT_SUCCESS : -1;
}
