/* SPDX-License-Identifier: ISC */
/* Rules: limits for guests, and the requests that ask for and set features and quotas. */
#include "tests/interop/conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Asks until it is refused; the number of times that it was not, or a number that is too large. */
static unsigned int until_refused(struct client *g, uint32_t type, uint32_t tx, const char *fmt, const char *error)
{
    for (unsigned int i = 0; i < 2000; i++) {
        char payload[256];
        (void)snprintf(payload, sizeof(payload), "%s%u|%s", fmt, i, type == XS_WATCH ? "t|" : "");
        const char *got = ask(g, type, tx, "%s", payload);
        if (got[0] != '!')
            continue;
        if (strcmp(got, error) != 0)
            broken("after %u the answer is %s, not %s", i, got, error);
        return i;
    }
    return 2000;
}

static void nodes(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/a", g);
    for (unsigned int i = 0; i < 20; i++)
        done(g, XS_MKDIR, "/c/a/d%u|", i);
    unsigned int made = 21;
    for (unsigned int i = 0; i < 20; i++) {
        char dir[64];
        (void)snprintf(dir, sizeof(dir), "/c/a/d%u/n", i);
        for (unsigned int k = 0; k < 100; k++) {
            const char *got = ask(g, XS_MKDIR, 0, "%s%u|", dir, k);
            if (strcmp(got, "OK|") == 0) {
                made++;
                continue;
            }
            NEED(strcmp(got, "!ENOSPC") == 0);
            NEED(made >= 900 && made <= 1001);
            done(g, XS_RM, "/c/a/d0|");
            done(g, XS_MKDIR, "%s%u|", dir, k);
            return;
        }
    }
    broken("no limit in %u nodes", made);
}

static void watches(void)
{
    struct client *g = guest(0);
    unsigned int n = until_refused(g, XS_WATCH, 0, "/c/w", "!ENOSPC");
    NEED(n >= 100 && n <= 129);
    done(g, XS_UNWATCH, "/c/w0|t|");
    done(g, XS_WATCH, "/c/w0|t|");
}

static void transactions(void)
{
    struct client *g = guest(0);
    uint32_t first = start(g);
    unsigned int n = 1;
    const char *got;
    while ((got = ask(g, XS_TRANSACTION_START, 0, "|"))[0] != '!' && n < 100)
        n++;
    NEED(strcmp(got, "!ENOSPC") == 0 && n == 10);
    done_in(g, first, XS_TRANSACTION_END, "F|");
    (void)start(g);
}

static void transaction_nodes(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    uint32_t tx = start(g);
    /* Nodes that are not there: their number alone counts. */
    for (unsigned int i = 0; i < 1100; i++) {
        const char *got = ask(g, XS_READ, tx, "/c/its/n%u|", i);
        if (strcmp(got, "!ENOSPC") == 0) {
            NEED(i > 1000);
            return;
        }
    }
    broken("no limit");
}

static void node_size(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char payload[2100] = "/c/its/a";
    give(s, "/c/its", g);
    memset(payload + 9, 'v', sizeof(payload) - 9);
    NEED(strcmp(ask_bytes(g, XS_WRITE, 0, payload, 9 + 1900), "OK|") == 0);
    NEED(strcmp(ask_bytes(g, XS_WRITE, 0, payload, 9 + 2049), "!ENOSPC") == 0);
    NEED(strlen(ask(g, XS_READ, 0, "/c/its/a|")) == 1900);
    /* Domain 0 is not bound. */
    NEED(strcmp(ask_bytes(s, XS_WRITE, 0, payload, 9 + 2060), "OK|") == 0);
}

static void node_size_header(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char payload[2100] = "/c/its/a";
    give(s, "/c/its", g);
    memset(payload + 9, 'v', sizeof(payload) - 9);
    NEED(strcmp(ask_bytes(g, XS_WRITE, 0, payload, 9 + 2023), "OK|") == 0);
    NEED(strcmp(ask_bytes(g, XS_WRITE, 0, payload, 9 + 2025), "!ENOSPC") == 0);
}

static void node_size_children(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    unsigned int n = until_refused(g, XS_MKDIR, 0, "/c/its/a-child-with-a-name-of-forty-bytes-", "!ENOSPC");
    NEED(n >= 40 && n <= 60);
}

static void node_permissions(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    done(g, XS_SET_PERMS, "/c/its|n%u|r0|r0|r0|r0|", g->domid);
    says(g, XS_SET_PERMS, "!ENOSPC", "/c/its|n%u|r0|r0|r0|r0|r0|", g->domid);
    done(s, XS_SET_PERMS, "/c/its|n%u|r0|r0|r0|r0|r0|r0|", g->domid);
}

static void refused_leaves_nothing(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char payload[2200] = "/c/its/x/y/z";
    give(s, "/c/its", g);
    memset(payload + 13, 'v', sizeof(payload) - 13);
    NEED(strcmp(ask_bytes(g, XS_WRITE, 0, payload, sizeof(payload)), "!ENOSPC") == 0);
    says(s, XS_DIRECTORY, "", "/c/its|");
}

/* What a domain has used up is not held against the next one with its number. */
static void counts_end(void)
{
    struct client *s = socket_client(), *g = guest(0);
    give(s, "/c/its", g);
    unsigned int before = until_refused(g, XS_MKDIR, 0, "/c/its/n", "!ENOSPC");
    domain_dies(g);
    wait_until_unknown(s, g);
    g = reborn(0);
    introduce(s, g);
    give(s, "/c/its", g);
    NEED(until_refused(g, XS_MKDIR, 0, "/c/its/n", "!ENOSPC") == before);
}

/* Nodes that domain 0 gives to a guest are the guest's, and taken from nobody else. */
static void given_nodes_count(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XS_MKDIR, "/c|");
    for (unsigned int i = 0; i < 12; i++) {
        char dir[32];
        (void)snprintf(dir, sizeof(dir), "/c/d%u", i);
        for (unsigned int k = 0; k < 100; k++)
            done(s, XS_MKDIR, "%s/n%u|", dir, k);
        for (unsigned int k = 0; k < 100; k++)
            done(s, XS_SET_PERMS, "%s/n%u|n%u|", dir, k, g->domid);
    }
    says(g, XS_MKDIR, "!ENOSPC", "/c/d0/n0/more|");
}

/* ---- features and quotas ---- */

static void get_feature(void)
{
    struct client *s = socket_client(), *g = guest(0);
    char want[32];
    (void)snprintf(want, sizeof(want), "%u|", page_word(g, FIELD(server_features)));
    says(s, XIDS_XS_GET_FEATURE, want, "%u|", g->domid);
    says(g, XIDS_XS_GET_FEATURE, want, "%s", "");
    NEED(strtoul(ask(s, XIDS_XS_GET_FEATURE, 0, "%s", ""), NULL, 10) != 0);
}

static void get_feature_errors(void)
{
    struct client *s = socket_client(), *g = guest(0);
    says(g, XIDS_XS_GET_FEATURE, "!EACCES", "%u|", g->domid);
    says(s, XIDS_XS_GET_FEATURE, "!ENOENT", "%u|", domid_of(3));
    says(s, XIDS_XS_GET_FEATURE, "!EINVAL", "abc|");
    says(s, XIDS_XS_GET_FEATURE, "!EINVAL", "%u|1|", g->domid);
}

static void set_feature(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    done(s, XIDS_XS_SET_FEATURE, "%u|%u|", g->domid, XIDS_XS_FEATURE_ERROR);
    introduce(s, g);
    NEED(page_word(g, FIELD(server_features)) == XIDS_XS_FEATURE_ERROR);
    says(g, XS_WATCH, "!EINVAL", "/c|t|1|");
    done(g, XS_WATCH, "/c|t|");
    says(s, XIDS_XS_SET_FEATURE, "!EBUSY", "%u|2|", g->domid);
    says(s, XIDS_XS_GET_FEATURE, "2|", "%u|", g->domid);
}

static void set_feature_errors(void)
{
    struct client *s = socket_client(), *g = uninformed_guest(0);
    says(s, XIDS_XS_SET_FEATURE, "!EINVAL", "%u|1024|", g->domid);
    says(s, XIDS_XS_SET_FEATURE, "!EINVAL", "%u|", g->domid);
    says(s, XIDS_XS_SET_FEATURE, "!ENOENT", "%u|2|", domid_of(3));
    says(s, XIDS_XS_SET_FEATURE, "!EBUSY", "0|2|");
    introduce(s, g);
    says(g, XIDS_XS_SET_FEATURE, "!EACCES", "%u|2|", g->domid);
}

static void quota_names(void)
{
    static const char *const names[] = {"nodes", "watches", "transactions", "node-size", "permissions"};
    struct client *s = socket_client();
    const char *all = ask(s, XIDS_XS_GET_QUOTA, 0, "%s", "");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (i < 4)
            NEED(strstr(all, names[i]) != NULL);
    }
    says(s, XIDS_XS_GET_QUOTA, "1000|", "nodes|");
    says(s, XIDS_XS_GET_QUOTA, "128|", "watches|");
}

static void quota_of_domain(void)
{
    struct client *s = socket_client(), *g = guest(0), *h = guest(1);
    done(s, XIDS_XS_SET_QUOTA, "%u|watches|5|", g->domid);
    says(s, XIDS_XS_GET_QUOTA, "5|", "%u|watches|", g->domid);
    says(s, XIDS_XS_GET_QUOTA, "128|", "%u|watches|", h->domid);
    says(s, XIDS_XS_GET_QUOTA, "128|", "watches|");
    NEED(until_refused(g, XS_WATCH, 0, "/c/w", "!ENOSPC") == 5);
}

static void quota_for_new(void)
{
    struct client *s = socket_client();
    done(s, XIDS_XS_SET_QUOTA, "watches|7|");
    struct client *g = guest(0);
    bool seven = until_refused(g, XS_WATCH, 0, "/c/w", "!ENOSPC") == 7;
    done(s, XIDS_XS_SET_QUOTA, "watches|128|");
    NEED(seven);
}

static void quota_zero(void)
{
    struct client *s = socket_client(), *g = guest(0);
    done(s, XIDS_XS_SET_QUOTA, "%u|watches|0|", g->domid);
    for (unsigned int i = 0; i < 200; i++)
        done(g, XS_WATCH, "/c/w%u|t|", i);
}

static void quota_errors(void)
{
    struct client *s = socket_client(), *g = guest(0);
    says(s, XIDS_XS_GET_QUOTA, "!EINVAL", "frobs|");
    says(s, XIDS_XS_SET_QUOTA, "!EINVAL", "frobs|1|");
    says(s, XIDS_XS_GET_QUOTA, "!ENOENT", "%u|nodes|", domid_of(3));
    says(g, XIDS_XS_GET_QUOTA, "!EACCES", "nodes|");
    says(g, XIDS_XS_SET_QUOTA, "!EACCES", "nodes|100000|");
}

const struct rule limit_rules[] = {
    {"limit-nodes", "more nodes than a guest may own are ENOSPC, and RM makes room", nodes},
    {"limit-watches", "so are more watches", watches},
    {"limit-transactions", "and more than 10 transactions at a time", transactions},
    {"limit-transaction-nodes", "and more than 1024 nodes in one transaction", transaction_nodes},
    {"limit-node-size", "and a node over 2048 bytes", node_size},
    {"limit-node-header", "of which its header and permissions take 24", node_size_header},
    {"limit-node-children", "and the names of its children their part", node_size_children},
    {"limit-permissions", "and more than 5 entries", node_permissions},
    {"limit-nothing-left", "what is refused leaves nothing behind", refused_leaves_nothing},
    {"limit-counts-end", "a dead domain's counts are not its successor's", counts_end},
    {"limit-given", "a node given to a guest counts as its own", given_nodes_count},
    {"get-feature", "GET_FEATURE tells what the page says", get_feature},
    {"get-feature-errors", "of others only to domain 0", get_feature_errors},
    {"set-feature", "SET_FEATURE takes features from a domain not yet introduced", set_feature},
    {"set-feature-errors", "it cannot be set later, nor what does not exist", set_feature_errors},
    {"quota-names", "GET_QUOTA tells names and defaults", quota_names},
    {"quota-domain", "SET_QUOTA for one domain binds that one", quota_of_domain},
    {"quota-new", "SET_QUOTA without a domain is for those to come", quota_for_new},
    {"quota-zero", "0 is no limit", quota_zero},
    {"quota-errors", "unknown names and domains are errors, and guests may not ask", quota_errors},
    {NULL, NULL, NULL},
};
