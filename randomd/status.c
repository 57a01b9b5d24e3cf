/* SPDX-License-Identifier: ISC */
/* What the status says, in JSON. */
#include "randomd/control.h"
#include "randomd/legacy_guests.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static void add_number(struct json_object *to, const char *name, uint64_t n)
{
    json_object_object_add(to, name, json_object_new_uint64(n));
}

static void add_text(struct json_object *to, const char *name, const char *text)
{
    json_object_object_add(to, name, json_object_new_string(text));
}

static const char *state_name(const struct guest *g)
{
    if (g->gone)
        return "gone";
    if (g->ch == NULL)
        return !g->waiting ? "new" : g->reoffer_at == UINT64_MAX ? "exhausted" : "waiting";
    switch (xids_vchan_state(g->ch)) {
    case XIDS_VCHAN_CONNECTING:
        return "offered";
    case XIDS_VCHAN_OPEN:
        return "connected";
    case XIDS_VCHAN_DRAINING:
    case XIDS_VCHAN_CLOSED:
        return "closed";
    case XIDS_VCHAN_BROKEN:
    default:
        return "broken";
    }
}

static void put_guest(struct request *r, const struct guest *g)
{
    struct json_object *o = json_object_new_object();
    struct xids_randomd_session_stats s;
    char epoch[20];
    guest_stats(g, &s);
    snprintf(epoch, sizeof(epoch), "%016" PRIx64, g->session != NULL ? xids_randomd_session_epoch(g->session) : 0);
    add_number(o, "domid", g->domid);
    add_text(o, "state", state_name(g));
    add_text(o, "epoch", epoch);
    add_number(o, "channels", g->channels);
    add_number(o, "hellos", s.hellos);
    add_number(o, "gets", s.gets);
    add_number(o, "bytes", s.bytes);
    add_number(o, "errors", s.errors);
    request_print(r, "%s", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
}

static void add_counters(struct json_object *to, struct daemon *d)
{
    struct json_object *counters = json_object_new_object();
    struct counters c = d->count;
    for (const struct guest *g = d->guests; g != NULL; g = g->next) {
        struct xids_randomd_session_stats s;
        guest_stats(g, &s);
        c.hellos += s.hellos;
        c.gets += s.gets;
        c.bytes += s.bytes;
        c.errors += s.errors;
        c.busy += s.busy;
    }
    add_number(counters, "draws", master_draws(d->master));
    add_number(counters, "events", c.events);
    add_number(counters, "events-held", c.events_held);
    add_number(counters, "holds", d->fair.holds);
    add_number(counters, "guests-held", d->fair.held);
    add_number(counters, "busy", c.busy);
    add_number(counters, "scans", c.scans);
    add_number(counters, "offers", c.offers);
    add_number(counters, "offer-failures", c.offer_failures);
    add_number(counters, "guests-suspended", reseed_suspended(d));
    add_number(counters, "reseed-pages", c.reseed_pages);
    add_number(counters, "reseed-pages-refused", c.reseed_pages_refused);
    add_number(counters, "guests-exhausted", c.exhausted);
    add_number(counters, "pages-lost", c.pages_lost);
    add_number(counters, "store-refusals", c.store_refusals);
    add_number(counters, "channels-closed", c.channels_closed);
    add_number(counters, "violations", c.violations);
    add_number(counters, "store-reconnects", c.store_reconnects);
    add_number(counters, "log-lines-dropped", log_dropped());
    add_number(counters, "hellos", c.hellos);
    add_number(counters, "gets", c.gets);
    add_number(counters, "bytes", c.bytes);
    add_number(counters, "errors", c.errors);
    add_number(counters, "answers-checked", repeats_checked());
    add_number(counters, "repeats", repeats_found());
    json_object_object_add(to, "counters", counters);
}

/* Nothing when the setting is off. */
static void add_legacy(struct json_object *to, const struct daemon *d)
{
    struct legacy_counters c;
    if (!legacy_counters(d, &c))
        return;
    struct json_object *o = json_object_new_object();
    add_number(o, "guests", c.guests);
    add_number(o, "connected", c.connected);
    add_number(o, "offers", c.offers);
    add_number(o, "adopted", c.adopted);
    add_number(o, "connections", c.connections);
    add_number(o, "greetings", c.greetings);
    add_number(o, "bytes", c.bytes);
    add_number(o, "violations", c.violations);
    add_number(o, "failures", c.failures);
    json_object_object_add(to, "legacy", o);
}

static void put_source(struct json_object *to, const struct source_report *r)
{
    struct json_object *o = json_object_new_object();
    add_text(o, "name", r->name);
    add_text(o, "type", r->type);
    add_text(o, "state", r->state);
    add_number(o, "samples", r->samples);
    add_number(o, "failures", r->failures);
    if (r->error[0] != '\0')
        add_text(o, "error", r->error); /* the last, also of a source that is good again */
    json_object_array_add(to, o);
}

/* The kernel's generator, which all depends on, and the others. Whether one of them is to be looked after. */
static bool add_sources(struct json_object *to, const struct daemon *d)
{
    struct json_object *list = json_object_new_array();
    int kernel = master_kernel(d->master);
    struct source_report r = {
        .name = "kernel",
        .type = "getrandom",
        .state = kernel == 0             ? "good"
                 : kernel == -XEN_EAGAIN ? "not ready"
                                         : "failed",
        .error = kernel == 0 ? "" : strerror(-kernel),
        .samples = master_draws(d->master),
        .failures = master_failures(d->master),
        .alarm = kernel != 0,
    };
    bool alarm = r.alarm;
    put_source(list, &r);
    for (unsigned int i = 0; i < sources_count(d->sources); i++) {
        sources_report(d->sources, i, &r);
        alarm = alarm || r.alarm;
        put_source(list, &r);
    }
    json_object_object_add(to, "sources", list);
    return alarm;
}

/* Its last line's number and hash are worth keeping elsewhere: who changes the file cannot change them there. */
static bool add_audit(struct json_object *to)
{
    struct json_object *o = json_object_new_object();
    struct audit_state a;
    char hash[AUDIT_HEX];
    audit_state(&a);
    if (!a.on) {
        json_object_put(o);
        return false;
    }
    audit_hex(hash, a.last.hash);
    json_object_object_add(o, "failing", json_object_new_boolean(a.failing));
    add_number(o, "lines", a.lines);
    add_number(o, "lost", a.lost);
    add_number(o, "last", a.last.number);
    add_text(o, "hash", hash);
    json_object_object_add(to, "audit", o);
    return a.failing;
}

/* All but the guests, and without the brace that ends it. */
static void put_daemon(struct request *r)
{
    struct daemon *d = r->d;
    struct json_object *all = json_object_new_object();
    add_text(all, "program", "xids-randomd");
    add_number(all, "domid", d->domid);
    json_object_object_add(all, "ready", json_object_new_boolean(d->was_ready));
    json_object_object_add(all, "store", json_object_new_boolean(!d->store_lost));
    json_object_object_add(all, "sandbox", json_object_new_boolean(d->sandboxed));
    json_object_object_add(all, "locked", json_object_new_boolean(secret_locked()));
    bool alarm = add_sources(all, d);
    alarm = add_audit(all) || alarm;
    alarm = repeats_found() > 0 || alarm;
    json_object_object_add(all, "alarm", json_object_new_boolean(alarm));
    add_counters(all, d);
    add_legacy(all, d);
    add_number(all, "guest-count", d->guest_count);
    const char *text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
    request_print(r, "%.*s", (int)strlen(text) - 1, text);
    json_object_put(all);
}

int status_turn(struct request *r)
{
    bool first = !r->begun;
    if (first) {
        r->begun = true;
        put_daemon(r);
        if (!r->all) {
            request_print(r, "}\n");
            return 0;
        }
        request_print(r, ",\"guests\":[");
    }
    for (; r->next < DOMID_FIRST_RESERVED; r->next++) {
        const struct guest *g = r->d->by_domid[r->next];
        if (g == NULL)
            continue;
        if (sizeof(r->out) - r->len < 2 * GUEST_TEXT)
            return 1;
        if (r->done++ > 0)
            request_print(r, ",");
        put_guest(r, g);
    }
    request_print(r, "]}\n");
    return 0;
}

int status_one_turn(struct request *r)
{
    const struct guest *g = r->d->by_domid[r->next];
    if (g == NULL) { /* since the request came */
        request_print(r, "{\"error\":\"the guest has gone\"}\n");
        return 0;
    }
    put_guest(r, g);
    request_print(r, "\n");
    return 0;
}
