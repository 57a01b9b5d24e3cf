/* SPDX-License-Identifier: ISC */
/* CONTROL: the commands that need the server's inside; the host has the others. */
#include "xenstore/server_impl.h"

/* Words of one command; the last one takes what is left. */
#define WORDS_MAX 16u

static bool is(const struct xids_xswire_str *arg, const char *word)
{
    size_t len = xids_xswire_string(word).len - 1;
    return arg->len == len && __builtin_memcmp(arg->s, word, len) == 0;
}

static int do_check(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    (void)argv;
    (void)argc;
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
    const char *help; /* a line */
    int (*run)(struct request *r, const struct xids_xswire_str *argv, unsigned int argc);
} commands[] = {
    {"check", "check\n", do_check},
    {"print", "print <string>\n", do_print},
    {"help", "help\n", do_help},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int do_help(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    struct xids_xswire_part parts[COMMANDS + 3];
    const struct xids_xs_server *s = r->conn->server;
    unsigned int n = 0;
    (void)argv;
    (void)argc;
    parts[n++] = xids_xswire_string("Control commands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        parts[n++] = xids_xswire_string(commands[i].help);
    if (s->host.control_help != NULL)
        parts[n++] = xids_xswire_string(s->host.control_help);
    for (unsigned int i = 0; i < n; i++)
        parts[i].len--; /* one text, with one NUL at its end */
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
        if (is(&argv[0], commands[i].name))
            return commands[i].run(r, argv, argc);
    }
    return ask_host(r, argv, argc);
}
