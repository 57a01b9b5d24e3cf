/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "bench/vchan_calls.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>
#include <xenevtchn.h>

/* Prototypes of our own: the C library's header turns these names into others. */
struct pollfd;
int poll(struct pollfd *fds, unsigned long n, int timeout);
int ppoll(struct pollfd *fds, unsigned long n, const void *timeout, const void *mask);

static uint64_t calls;
static bool within; /* one of the counted calls: what it does is no other */

/* A symbol's original, of that type. ISO C has no cast from an object's address to a function's; POSIX has dlsym. */
#define ORIGINAL(name, result, ...)                  \
    static result (*original)(__VA_ARGS__);          \
    if (original == NULL) {                          \
        void *found = dlsym(RTLD_NEXT, name);        \
        memcpy(&original, &found, sizeof(original)); \
    }

#define COUNTED(call)       \
    bool outer = !within;   \
    calls += outer ? 1 : 0; \
    within = true;          \
    int rc = (call);        \
    if (outer)              \
        within = false;     \
    return rc

uint64_t calls_made(void)
{
    return calls;
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port)
{
    ORIGINAL("xenevtchn_notify", int, xenevtchn_handle *, evtchn_port_t)
    COUNTED(original(handle, port));
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle)
{
    ORIGINAL("xenevtchn_pending", xenevtchn_port_or_error_t, xenevtchn_handle *)
    COUNTED(original(handle));
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
    ORIGINAL("xenevtchn_unmask", int, xenevtchn_handle *, evtchn_port_t)
    COUNTED(original(handle, port));
}

int poll(struct pollfd *fds, unsigned long n, int timeout)
{
    ORIGINAL("poll", int, struct pollfd *, unsigned long, int)
    COUNTED(original(fds, n, timeout));
}

int ppoll(struct pollfd *fds, unsigned long n, const void *timeout, const void *mask)
{
    ORIGINAL("ppoll", int, struct pollfd *, unsigned long, const void *, const void *)
    COUNTED(original(fds, n, timeout, mask));
}
