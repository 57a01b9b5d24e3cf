/* SPDX-License-Identifier: ISC */
/*
 * The console: two byte rings in a page that the toolstack made (xen/io/console.h), served by a backend that is not
 * trusted. What it does not take in time is kept up to a bound, then dropped and counted. Impossible indices end the
 * console and nothing else. Before there is a console, Xen's own log takes the output.
 */
#include "platform/guest/guest.h"

#include <xids/bytering.h>
#include <xen/hvm/params.h>

/* Output kept while the backend's ring is full. A power of two. */
#define BACKLOG 16384u
/* How long a flush waits for the backend, and how often it looks. */
#define FLUSH_NS UINT64_C(1000000000)
#define FLUSH_LOOK_NS UINT64_C(1000000)

static enum { NO_CONSOLE, WORKING, BROKEN } state;
static struct xids_bytering out, in;
static evtchn_port_t port;

static char backlog[BACKLOG];
static uint32_t begin, end; /* of what is in it; they run freely */
static uint64_t dropped;    /* bytes since output was last kept */

static void broken(void)
{
    state = BROKEN;
    guest_early_print("xids: the console's ring has impossible indices; its output ends here\n");
}

/* Gives the ring what it can take. */
static void pump(void)
{
    bool news = false;
    while (state == WORKING && begin != end) {
        uint32_t at = begin % BACKLOG, len = end - begin;
        if (len > BACKLOG - at)
            len = BACKLOG - at;
        int n = xids_bytering_write(&out, backlog + at, len);
        if (n < 0)
            broken();
        if (n <= 0)
            break;
        begin += (uint32_t)n;
        news = true;
    }
    if (news && xids_bytering_publish(&out))
        guest_port_send(port);
}

static bool keep(char c)
{
    if (end - begin == BACKLOG)
        pump();
    if (end - begin == BACKLOG)
        return false;
    backlog[end++ % BACKLOG] = c;
    return true;
}

static void keep_note(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        (void)keep(text[i]); /* there is room: half of it is free */
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    guest_format(keep_note, NULL, format, args);
    va_end(args);
}

/* Gives the ring what it can take, and says so when something was dropped before. */
static void pump_all(void)
{
    pump();
    /* Not for a few bytes' sake: that would be a note for each line. */
    if (state != WORKING || dropped == 0 || end - begin > BACKLOG / 2)
        return;
    note("\r\n[%llu bytes of output were dropped]\r\n", (unsigned long long)dropped);
    dropped = 0;
    pump();
}

void guest_console_write(const char *text, size_t len)
{
    if (state != WORKING) {
        if (state == NO_CONSOLE)
            arch_early_write(text, len);
        return;
    }
    if (dropped > 0)
        pump_all();
    for (size_t i = 0; i < len; i++)
        if (dropped > 0 || (text[i] == '\n' && !keep('\r')) || !keep(text[i]))
            dropped++;
    pump();
}

void guest_console_flush(void)
{
    if (state != WORKING)
        return;
    uint64_t deadline = guest_now() + FLUSH_NS;
    for (;;) {
        pump_all();
        if (state != WORKING)
            return;
        int room = xids_bytering_look(&out);
        if (room < 0 || (begin == end && (uint32_t)room == out.at.size) || guest_now() >= deadline)
            return;
        guest_nap(FLUSH_LOOK_NS);
    }
}

int xids_guest_console_read(struct xids_guest *g, void *data, size_t len)
{
    (void)g;
    if (state != WORKING)
        return 0;
    int n = xids_bytering_read(&in, data, len < INT32_MAX ? (uint32_t)len : INT32_MAX);
    if (n < 0) {
        broken();
        return 0;
    }
    if (n > 0 && xids_bytering_publish(&in))
        guest_port_send(port);
    return n;
}

/* ---- the loop's part ---- */

static bool event(void *ctx, evtchn_port_t which)
{
    (void)ctx;
    if (state == NO_CONSOLE || which != port)
        return false;
    /* From a backend whose ring is broken nothing is wanted any more. */
    if (state == WORKING)
        (void)guest_evtchn_unmask(NULL, port);
    return true;
}

static uint64_t step(void *ctx, uint64_t now)
{
    (void)ctx;
    (void)now;
    pump_all();
    return UINT64_MAX;
}

int guest_console_init(bool again)
{
    static struct xids_part part = {.event = event, .step = step};
    uint64_t page_number, event_channel;

    (void)again; /* what was in the old ring is lost, what is kept here is not */
    state = NO_CONSOLE;
    if (hypercall_hvm_get_param(&page_number, HVM_PARAM_CONSOLE_PFN) < 0 ||
        hypercall_hvm_get_param(&event_channel, HVM_PARAM_CONSOLE_EVTCHN) < 0 || page_number == 0 || event_channel == 0)
        return 0; /* a domain without one */
    void XIDS_PEER *page = arch_xen_page(page_number);
    if (page == NULL)
        return -XEN_EINVAL;
    port = (evtchn_port_t)event_channel;
    int rc = guest_port_adopt(port);
    if (rc < 0)
        return rc;
    struct xids_bytering_layout output = xids_bytering_console_output(page), input = xids_bytering_console_input(page);
    state = WORKING;
    if (xids_bytering_attach(&out, &output, true) < 0 || xids_bytering_attach(&in, &input, false) < 0)
        broken();
    xids_loop_add(&guest_the.loop, &part);
    pump();
    return 0;
}
