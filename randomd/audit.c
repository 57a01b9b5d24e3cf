/* SPDX-License-Identifier: ISC */
/* What the audit log says of guests, and how often. */
#include "randomd/audit.h"

#include "randomd/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A guest's lines: what it can make us write. */
#define BURST 16u
#define UUID_TEXT 36u
#define EVERY_MS 5000u /* one more */

struct quota {
    uint32_t since; /* in EVERY_MS of the clock, when it was last given one */
    uint16_t spent;
    uint32_t skipped; /* lines that were not written */
};

static struct quota quotas[DOMID_FIRST_RESERVED];

static bool may_write(struct quota *q)
{
    uint32_t now = (uint32_t)(now_ns() / 1000000u / EVERY_MS), passed = now - q->since;
    q->spent = passed < q->spent ? (uint16_t)(q->spent - passed) : 0;
    q->since = now;
    if (q->spent >= BURST) {
        q->skipped++;
        return false;
    }
    q->spent++;
    return true;
}

/* ---- uuids ---- */

bool uuid_from(uint8_t uuid[16], const char *text, size_t len)
{
    uint8_t out[16] = {0};
    unsigned int digits = 0;
    if (len != UUID_TEXT)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-')
                return false;
            continue;
        }
        unsigned int v = c >= '0' && c <= '9'   ? (unsigned int)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned int)(c - 'A') + 10
                                                : 16;
        if (v > 15)
            return false;
        out[digits / 2] = (uint8_t)((unsigned int)out[digits / 2] << 4 | v);
        digits++;
    }
    memcpy(uuid, out, sizeof(out));
    return true;
}

/* "-" when it is none. */
static void uuid_to(char text[UUID_TEXT + 1u], const uint8_t uuid[16])
{
    static const char digits[] = "0123456789abcdef";
    unsigned int at = 0, any = 0;
    for (unsigned int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[at++] = '-';
        text[at++] = digits[uuid[i] >> 4];
        text[at++] = digits[uuid[i] & 15];
        any |= uuid[i];
    }
    text[any != 0 ? at : 1] = '\0';
    text[0] = any != 0 ? text[0] : '-';
}

/* ---- lines ---- */

static void write_guest(const struct guest *g, const char *event, const char *why)
{
    struct xids_randomd_session_stats s;
    struct quota *q = &quotas[g->domid];
    char skipped[32] = "", vm[UUID_TEXT + 1u];
    uint64_t epoch = g->session != NULL ? xids_randomd_session_epoch(g->session) : 0;
    guest_stats(g, &s);
    if (q->skipped > 0)
        (void)snprintf(skipped, sizeof(skipped), " skipped=%" PRIu32, q->skipped);
    q->skipped = 0;
    uuid_to(vm, g->vm);
    audit_line(event, "domid=%u vm=%s channel=%u epoch=%016" PRIx64 " bytes=%" PRIu64 "%s%s%s", g->domid, vm,
               g->channels, epoch, s.bytes, why != NULL ? " why=" : "", why != NULL ? why : "", skipped);
}

void audit_guest(const struct guest *g, const char *event, const char *why)
{
    if (g->domid < DOMID_FIRST_RESERVED && audit_wanted() && may_write(&quotas[g->domid]))
        write_guest(g, event, why);
}

void audit_guest_gone(const struct guest *g, const char *event)
{
    if (g->domid >= DOMID_FIRST_RESERVED || !audit_wanted())
        return;
    /* The last line says what was left out, however much that was. */
    write_guest(g, event, NULL);
    quotas[g->domid] = (struct quota){0};
}

void audit_served(struct guest *g)
{
    struct xids_randomd_session_stats s;
    if (!audit_wanted() || g->session == NULL)
        return;
    xids_randomd_session_stats(g->session, &s);
    if ((uint32_t)s.hellos == g->hellos)
        return;
    g->hellos = (uint32_t)s.hellos;
    audit_guest(g, s.hellos == 1 ? "opened" : "reseeded", s.hellos == 1 ? NULL : "guest");
}

void audit_renewed(const struct guest *g, unsigned int reason, int rc)
{
    const char *event = reason == XIDS_RANDOMD_REASON_READY      ? "seeded"
                        : reason == XIDS_RANDOMD_REASON_RESTORED ? "restored"
                                                                 : "reseeded";
    audit_guest(g, event, rc < 0 ? audit_why(rc) : NULL);
}

const char *audit_why(int rc)
{
    switch (-rc) {
    case XEN_ENOTCONN:
        return "closed";
    case XEN_EBADMSG:
        return "violation";
    case XEN_ENOMEM:
        return "memory";
    case XEN_ENOSPC:
        return "full";
    case XEN_EAGAIN:
        return "not-ready";
    default:
        return "error";
    }
}
