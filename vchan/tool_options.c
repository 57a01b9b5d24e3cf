/* SPDX-License-Identifier: ISC */
/* xids-vchan: its command line. */
#include "vchan/tool.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANNELS_DEFAULT 256
#define CHANNELS_MAX 65535

/* Options without a letter. */
enum {
    OPTION_PROGRESS = 256,
    OPTION_PLAIN,
    OPTION_WIPE,
};

static void usage(FILE *to)
{
    (void)fputs("usage: xids-vchan [OPTION...] listen|connect DOMID NAME|PATH [--exec COMMAND [ARGUMENT...]]\n"
                "\n"
                "The channel is joined to standard input and output, or to\n"
                "  -u, --unix=FILE             a unix socket to connect to\n"
                "  -U, --unix-listen=FILE      connections to a unix socket, each with a channel of its own\n"
                "  -p, --tcp=[ADDRESS:]PORT    a TCP port of this machine to connect to\n"
                "  -P, --tcp-listen=[ADDRESS:]PORT  connections to a TCP port, from this machine\n"
                "  -e, --exec COMMAND...       a process; the last option, all that follows is its command\n"
                "\n"
                "  -1, --one                   end after one channel\n"
                "  -n, --channels=N            so many at once, 256 unless told\n"
                "  -R, --reconnect             when the peer goes, wait for the next\n"
                "  -k, --keep                  end of input does not end the channel\n"
                "  -t, --timeout=SECONDS       connect: give up when no server has come by then\n"
                "  -l, --left-order=ORDER      listen: the ring from client to server has 2^ORDER bytes, 10 to 20\n"
                "  -r, --right-order=ORDER     listen: and the one from server to client\n"
                "      --wipe                  zero what has been read\n"
                "      --plain                 do not offer or take more than libxenvchan has\n"
                "  -s, --socket=FILE           of xenstore\n"
                "      --progress              show how much has moved, also when standard error is no terminal\n"
                "  -q, --quiet                 do not show it\n"
                "  -v, --verbose               tell of each channel\n"
                "  -h, --help\n"
                "  -V, --version\n",
                to);
}

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "xids-vchan: %s%s%s\n", what, value != NULL ? ": " : "", value != NULL ? value : "");
    (void)fputs("Try 'xids-vchan --help'.\n", stderr);
    return 2;
}

static bool number(unsigned long *value, const char *text, unsigned long max)
{
    char *end = NULL;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *value <= max;
}

static int set_end(struct options *o, enum end_kind kind, bool accepts, const char *address)
{
    if (o->end != END_STDIO)
        return wrong("a channel has one end here", address);
    o->end = kind;
    o->accepts = accepts;
    o->address = address;
    return -1;
}

static int set_number(struct options *o, int option, const char *text)
{
    unsigned long n = 0;
    switch (option) {
    case 'l':
    case 'r':
        if (!number(&n, text, XIDS_VCHAN_ORDER_MAX) || n < XIDS_VCHAN_ORDER_MIN)
            return wrong("an order is a number from 10 to 20", text);
        *(option == 'l' ? &o->left_order : &o->right_order) = (unsigned int)n;
        return -1;
    case 'n':
        if (!number(&n, text, CHANNELS_MAX) || n == 0)
            return wrong("channels are a number from 1 to 65535", text);
        o->channels = (unsigned int)n;
        return -1;
    default:
        if (!number(&n, text, INT_MAX / 1000))
            return wrong("a timeout is a number of seconds", text);
        o->timeout_ms = (int)n * 1000;
        return -1;
    }
}

/* One option. -1, or the status to exit with. */
static int set(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'h':
        usage(stdout);
        return EXIT_SUCCESS;
    case 'V':
        (void)puts("xids-vchan " XIDS_VERSION);
        return EXIT_SUCCESS;
    case 'u':
    case 'U':
        return set_end(o, END_UNIX, option == 'U', value);
    case 'p':
    case 'P':
        return set_end(o, END_TCP, option == 'P', value);
    case 'l':
    case 'r':
    case 'n':
    case 't':
        return set_number(o, option, value);
    case '1':
        o->one = true;
        break;
    case 'R':
        o->reconnect = true;
        break;
    case 'k':
        o->keep = true;
        break;
    case 's':
        o->store = value;
        break;
    case 'q':
        o->quiet = true;
        break;
    case 'v':
        o->verbose = true;
        break;
    case OPTION_PROGRESS:
        o->progress = true;
        break;
    case OPTION_PLAIN:
        o->flags |= XIDS_VCHAN_PLAIN;
        break;
    case OPTION_WIPE:
        o->flags |= XIDS_VCHAN_WIPE;
        break;
    default:
        (void)fputs("Try 'xids-vchan --help'.\n", stderr);
        return 2;
    }
    return -1;
}

/* Takes the command off the command line, so that its options are not taken for ours. The new argc, or -1. */
static int split(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--exec") != 0 && strcmp(argv[i], "-e") != 0)
            continue;
        o->command = argv + i + 1;
        o->end = END_EXEC;
        return argv[i + 1] != NULL ? i : -1;
    }
    return argc;
}

static int set_place(struct options *o, int count, char **argv)
{
    unsigned long n = 0;
    if (count != 3)
        return wrong("listen or connect, a domain and a name are needed", NULL);
    o->server = strcmp(argv[0], "listen") == 0;
    if (!o->server && strcmp(argv[0], "connect") != 0)
        return wrong("neither listen nor connect", argv[0]);
    if (!number(&n, argv[1], DOMID_FIRST_RESERVED - 1))
        return wrong("no number of a domain", argv[1]);
    if (argv[2][0] == '\0')
        return wrong("the name is empty", NULL);
    o->remote = (domid_t)n;
    o->where = argv[2];
    return -1;
}

/* What follows from the rest. */
static int conclude(struct options *o)
{
    if (o->reconnect && o->one)
        return wrong("--one and --reconnect exclude each other", NULL);
    /* As xids_vchan_server_init has it: both rings and their grants must find room in the control page. */
    unsigned int low = o->left_order < o->right_order ? o->left_order : o->right_order;
    unsigned int high = o->left_order < o->right_order ? o->right_order : o->left_order;
    if ((low == high && high <= 11) || (low == XIDS_VCHAN_ORDER_MIN && high == XIDS_VCHAN_ORDER_MAX))
        return wrong("not both orders can be 10, nor both 11, nor one 10 and the other 20", NULL);
    /* Only where ends can be had at will are there several channels: a stream of bytes cannot be shared. */
    if (o->end == END_STDIO || (!o->server && !o->accepts)) {
        o->channels = 1;
        o->one = !o->reconnect;
    }
    if (o->one)
        o->channels = 1;
    bool clean = o->end != END_STDIO || isatty(STDOUT_FILENO) != 1;
    o->progress = !o->quiet && (o->progress || (clean && isatty(STDERR_FILENO) == 1));
    return -1;
}

int options_parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"unix", required_argument, NULL, 'u'},
        {"unix-listen", required_argument, NULL, 'U'},
        {"tcp", required_argument, NULL, 'p'},
        {"tcp-listen", required_argument, NULL, 'P'},
        {"one", no_argument, NULL, '1'},
        {"channels", required_argument, NULL, 'n'},
        {"reconnect", no_argument, NULL, 'R'},
        {"keep", no_argument, NULL, 'k'},
        {"timeout", required_argument, NULL, 't'},
        {"left-order", required_argument, NULL, 'l'},
        {"right-order", required_argument, NULL, 'r'},
        {"wipe", no_argument, NULL, OPTION_WIPE},
        {"plain", no_argument, NULL, OPTION_PLAIN},
        {"socket", required_argument, NULL, 's'},
        {"progress", no_argument, NULL, OPTION_PROGRESS},
        {"quiet", no_argument, NULL, 'q'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.left_order = 16, .right_order = 16, .timeout_ms = -1, .channels = CHANNELS_DEFAULT};
    argc = split(o, argc, argv);
    if (argc < 0)
        return wrong("--exec needs a command", NULL);
    char *after = argv[argc];
    argv[argc] = NULL;
    int option, rc = -1;
    while (rc < 0 && (option = getopt_long(argc, argv, "1hkl:n:p:P:qr:Rs:t:u:U:vV", longs, NULL)) != -1)
        rc = set(o, option, optarg);
    if (rc < 0)
        rc = set_place(o, argc - optind, argv + optind);
    argv[argc] = after;
    return rc < 0 ? conclude(o) : rc;
}
