/* SPDX-License-Identifier: ISC */
/* What the control socket answers, in JSON: the daemon's state, and each domain's. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

static void add_number(struct json_object *to, const char *name, uint64_t n)
{
    json_object_object_add(to, name, json_object_new_uint64(n));
}

static void add_flag(struct json_object *to, const char *name, bool is)
{
    json_object_object_add(to, name, json_object_new_boolean(is));
}

/* A line, from malloc, in place of the object. NULL: no memory. */
static char *line_of(struct json_object *o)
{
    size_t len = 0;
    const char *text =
        json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    char *line = text != NULL ? malloc(len + 2) : NULL;
    if (line != NULL) {
        memcpy(line, text, len);
        memcpy(line + len, "\n", 2);
    }
    json_object_put(o);
    return line;
}

static char *status(struct daemon *d)
{
    struct xids_xs_server_stats st;
    struct json_object *o = json_object_new_object(), *c = json_object_new_object();
    xids_xs_server_stats(d->server, &st);
    json_object_object_add(o, "program", json_object_new_string("xids-xenstored"));
    add_number(o, "pid", (uint64_t)getpid());
    json_object_object_add(o, "socket", json_object_new_string(d->socket_path));
    add_flag(o, "domain-init", d->domains != NULL);
    add_flag(o, "sandbox", d->sandboxed);
    add_flag(o, "trace", tracing_is_on(d));
    add_number(o, "sockets", st.sockets);
    add_number(o, "domains", st.domains);
    add_number(o, "nodes", xids_store_nodes(xids_xs_server_store(d->server)));
    add_number(o, "watches", st.watches);
    add_number(o, "transactions", st.transactions);
    add_number(c, "accepted", d->accepted);
    add_number(c, "requests", st.requests);
    add_number(c, "events", st.events);
    add_number(c, "commits", st.commits);
    add_number(c, "conflicts", st.conflicts);
    add_number(c, "denials", st.denials);
    add_number(c, "log-lines-dropped", log_dropped());
    json_object_object_add(o, "counters", c);
    return line_of(o);
}

struct listing {
    const struct daemon *daemon;
    struct json_object *domains;
};

static void list_domain(void *ctx, uint16_t domid)
{
    struct listing *l = ctx;
    struct xids_xs_domain_stats st;
    /* Those that have been given rights and are not introduced yet have done nothing. */
    if (xids_xs_server_domain_stats(l->daemon->server, &st, domid) < 0)
        return;
    struct json_object *o = json_object_new_object();
    add_number(o, "domid", domid);
    add_flag(o, "broken", st.broken);
    add_flag(o, "shutdown", st.shutdown);
    add_number(o, "nodes", st.nodes);
    add_number(o, "memory", st.memory);
    add_number(o, "watches", st.watches);
    add_number(o, "transactions", st.transactions);
    add_number(o, "outstanding", st.outstanding);
    add_number(o, "requests", st.requests);
    add_number(o, "events", st.events);
    add_number(o, "commits", st.commits);
    add_number(o, "conflicts", st.conflicts);
    add_number(o, "denials", st.denials);
    json_object_array_add(l->domains, o);
}

static char *domains(struct daemon *d)
{
    struct listing l = {.daemon = d, .domains = json_object_new_array()};
    xids_xs_server_each_domain(d->server, list_domain, &l);
    return line_of(l.domains);
}

char *status_answer(struct daemon *d, const char *request)
{
    if (strcmp(request, "status") == 0)
        return status(d);
    if (strcmp(request, "domains") == 0)
        return domains(d);
    return strdup("{\"error\":\"unknown request\"}\n");
}
