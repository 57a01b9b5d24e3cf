/* SPDX-License-Identifier: ISC */
/* What can be asked at the control socket. A new request is a line of the table. */
#include "randomd/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void request_print(struct request *r, const char *fmt, ...)
{
    va_list args;
    size_t room = sizeof(r->out) - r->len;
    va_start(args, fmt);
    int n = vsnprintf(r->out + r->len, room, fmt, args);
    va_end(args);
    if (n > 0)
        r->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* ---- turns ---- */

/* The answer is there. */
static int said(struct request *r)
{
    (void)r;
    return 0;
}

static void renew(struct request *r, struct guest *g)
{
    int rc = guest_renew(r->d, g, XIDS_RANDOMD_REASON_RESEED);
    if (rc == 0)
        r->done++;
    else if (rc != -XEN_ENOENT) /* without a channel there is nothing that is old */
        r->failed++;
}

static int reseed_all_turn(struct request *r)
{
    if (!r->begun)
        sources_gather(r->d->sources);
    r->begun = true;
    unsigned int some = 0;
    for (; r->next < DOMID_FIRST_RESERVED && some < RESEEDS_AT_ONCE; r->next++) {
        struct guest *g = r->d->by_domid[r->next];
        if (g == NULL)
            continue;
        renew(r, g);
        some++;
    }
    if (r->next < DOMID_FIRST_RESERVED)
        return 1;
    log_line(SAY_INFO, "reseeded: %u guests, and %u could not be", r->done, r->failed);
    audit_line("reseed", "guests=%u failed=%u", r->done, r->failed);
    request_print(r, "{\"reseeded\":%u,\"failed\":%u}\n", r->done, r->failed);
    return 0;
}

static int reseed_one_turn(struct request *r)
{
    struct guest *g = r->d->by_domid[r->next];
    if (g != NULL) /* it can have gone since the request came */
        renew(r, g);
    request_print(r, "{\"reseeded\":%u,\"failed\":%u}\n", r->done, r->failed);
    return 0;
}

static int restored_turn(struct request *r)
{
    domid_t domid = (domid_t)r->next;
    int rc = r->begun ? 0 : guests_restored(r->d, domid);
    r->begun = true;
    /* A guest without a channel has no session to be renewed. Who asks may let the guest run when he has the answer. */
    if (rc == -XEN_ENOENT && r->d->by_domid[domid] != NULL)
        rc = 0;
    if (rc == 0 && reseed_wanted(r->d, domid)) {
        uint64_t now = now_ns();
        r->waits_since = r->waits_since == 0 ? now : r->waits_since;
        if (now - r->waits_since < WAITS_MS * 1000000ull)
            return REQUEST_WAITS;
        rc = r->d->was_ready ? -XEN_ETIMEDOUT : -XEN_EAGAIN; /* it is done when it can be */
    }
    if (rc < 0)
        request_print(r, "{\"error\":\"domain %u: %s\"}\n", r->next, strerror(-rc));
    else
        request_print(r, "{\"restored\":%u}\n", r->next);
    return 0;
}

static int log_level_turn(struct request *r)
{
    r->d->config.log_level = r->level;
    log_set_level(r->level);
    request_print(r, "{\"log-level\":\"%s\"}\n", log_level_name(r->level));
    return 0;
}

static int reload_turn(struct request *r)
{
    unsigned int changed = 0, refused = 0;
    if (daemon_reload(r->d, &changed, &refused) < 0)
        request_print(r, "{\"error\":\"the settings are wrong, as the log says; nothing was changed\"}\n");
    else
        request_print(r, "{\"changed\":%u,\"needs-restart\":%u}\n", changed, refused);
    return 0;
}

/* ---- requests ---- */

enum operand {
    NOTHING,
    GUEST,      /* the domid of a guest that we have */
    GUEST_OR,   /* or nothing, which is all of them */
    SUMMARY_OR, /* likewise, or "summary": everything but the guests */
    A_LEVEL,
};

static const struct {
    const char *name;
    enum operand operand;
    int (*turn)(struct request *r);
    int (*all)(struct request *r); /* without an operand */
} requests[] = {
    {"status", SUMMARY_OR, status_one_turn, status_turn},
    {"reseed", GUEST_OR, reseed_one_turn, reseed_all_turn},
    {"restored", GUEST, restored_turn, NULL},
    {"log-level", A_LEVEL, log_level_turn, NULL},
    {"reload", NOTHING, reload_turn, reload_turn},
};

static void refuse(struct request *r, const char *what)
{
    r->turn = said;
    request_print(r, "{\"error\":\"%s\"}\n", what);
}

static void take_guest(struct request *r, const char *operand)
{
    size_t len = strlen(operand);
    unsigned long domid = strtoul(operand, NULL, 10);
    if (len == 0 || len > 5 || strspn(operand, "0123456789") != len || domid >= DOMID_FIRST_RESERVED)
        refuse(r, "not a number of a domain");
    else if (r->d->by_domid[domid] == NULL)
        refuse(r, "no such guest");
    else
        r->next = (unsigned int)domid;
}

void request_begin(struct request *r, char *line)
{
    char *operand = strchr(line, ' ');
    if (operand != NULL)
        *operand++ = '\0';
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (strcmp(line, requests[i].name) != 0)
            continue;
        enum operand wants = requests[i].operand;
        r->turn = operand != NULL ? requests[i].turn : requests[i].all;
        r->all = operand == NULL;
        if (r->turn == NULL) {
            refuse(r, "the request lacks its operand");
        } else if (operand != NULL && wants == NOTHING) {
            refuse(r, "the request has no operand");
        } else if (operand != NULL && wants == SUMMARY_OR && strcmp(operand, "summary") == 0) {
            r->turn = requests[i].all;
        } else if (operand != NULL && wants == A_LEVEL) {
            if (log_level_from(&r->level, operand) < 0)
                refuse(r, "not a level: error, warning, info or debug");
        } else if (operand != NULL) {
            take_guest(r, operand);
        }
        return;
    }
    refuse(r, "unknown request");
}
