/* SPDX-License-Identifier: ISC */
/* CONTROL: the commands that need the server's inside; the host has the others. */
#include "xenstore/server_impl.h"

/* Words of one command; the last one takes what is left. */
#define WORDS_MAX 16u

bool xids_xs_is_word(const struct xids_xswire_str *arg, const char *word)
{
    size_t len = xids_xswire_string(word).len - 1;
    return arg->len == len && __builtin_memcmp(arg->s, word, len) == 0;
}

static int do_check(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    (void)argv;
    if (argc > 1)
        return -XEN_EINVAL;
    const char *broken = xids_store_check(r->conn->server->store);
    const struct xids_xswire_part part = xids_xswire_string(broken == NULL ? "OK" : broken);
    xids_xs_reply_parts(r, &part, 1);
    return 0;
}

static int do_print(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    const struct xids_xs_server *s = r->conn->server;
    if (argc != 2)
        return -XEN_EINVAL;
    if (s->host.print != NULL)
        s->host.print(s->host.ctx, argv[1].s, argv[1].len);
    xids_xs_reply_ok(r);
    return 0;
}

static int do_help(struct request *r, const struct xids_xswire_str *argv, unsigned int argc);

static const struct command {
    const char *name;
    const char *arguments;
    int (*run)(struct request *r, const struct xids_xswire_str *argv, unsigned int argc);
} commands[] = {
    {"check", "", do_check},
    {"memreport", "[<file>]", xids_xs_control_memreport},
    {"print", "<string>", do_print},
    {"quota", "[set <name> <val>|<domid>|max [-r]]", xids_xs_control_quota},
    {"quota-soft", "[set <name> <val>]", xids_xs_control_quota_soft},
    {"help", "", do_help},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Lines of a command, which is made 15 wide, and its arguments, as C xenstored has them. */
static int do_help(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    static const char blanks[] = "               ";
    struct xids_xswire_part parts[5 * COMMANDS + 2];
    const struct xids_xs_server *s = r->conn->server;
    unsigned int n = 0;
    (void)argv;
    if (argc > 1)
        return -XEN_EINVAL;
    for (size_t i = 0; i < COMMANDS; i++) {
        size_t len = xids_xswire_string(commands[i].name).len - 1;
        parts[n++] = (struct xids_xswire_part){commands[i].name, len};
        parts[n++] = (struct xids_xswire_part){blanks, len < sizeof(blanks) - 1 ? sizeof(blanks) - 1 - len : 0};
        parts[n++] = (struct xids_xswire_part){" ", 1};
        parts[n++] =
            (struct xids_xswire_part){commands[i].arguments, xids_xswire_string(commands[i].arguments).len - 1};
        parts[n++] = (struct xids_xswire_part){"\n", 1};
    }
    if (s->host.control_help != NULL)
        parts[n++] = (struct xids_xswire_part){s->host.control_help, xids_xswire_string(s->host.control_help).len - 1};
    parts[n++] = (struct xids_xswire_part){"", 1};
    xids_xs_reply_parts(r, parts, n);
    return 0;
}

static int ask_host(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    const struct xids_xs_server *s = r->conn->server;
    char answer[XIDS_XSWIRE_PAYLOAD_MAX];
    if (s->host.control == NULL)
        return -XEN_EINVAL;
    int n = s->host.control(s->host.ctx, r->conn, answer, sizeof(answer), argv, argc);
    if (n == XIDS_XS_LATER)
        xids_xs_reply_later(r);
    else if (n < 0)
        return n;
    else
        xids_xs_reply(r, answer, (size_t)n);
    return 0;
}

int xids_xs_op_control(struct request *r)
{
    struct xids_xswire_str argv[WORDS_MAX];
    unsigned int argc = xids_xswire_split(argv, WORDS_MAX, NULL, r->msg->payload, r->msg->len);
    if (argc == 0)
        return -XEN_EINVAL;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (xids_xs_is_word(&argv[0], commands[i].name))
            return commands[i].run(r, argv, argc);
    }
    return ask_host(r, argv, argc);
}
