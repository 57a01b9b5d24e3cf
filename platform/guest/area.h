/* SPDX-License-Identifier: ISC */
/* Records of shared pages (grant.c) and of mapped ones (map.c), kept by their address. */
#ifndef XIDS_PLATFORM_GUEST_AREA_H
#define XIDS_PLATFORM_GUEST_AREA_H

#include "platform/guest/guest.h"

#define GUEST_AREA_FEW 4u
#define GUEST_AREA_BUCKETS 64u

struct guest_area {
    struct guest_area *next;
    uintptr_t at;       /* the first page */
    unsigned int count; /* pages */
    unsigned int live;  /* of its numbers, those that still mean something to Xen: the first so many */
    unsigned int look;  /* how far the search for ended grants came */
    uint32_t *numbers;  /* a grant reference, or a handle of a mapping, for each page */
    uint32_t few[GUEST_AREA_FEW];
    struct xids_unmap_notify notify;
};

struct guest_areas {
    struct guest_area *buckets[GUEST_AREA_BUCKETS];
};

/* A record for count pages, in no list; NULL: no memory. Gives one back, which then is in no list. */
struct guest_area *guest_area_get(unsigned int count);
void guest_area_put(struct guest_area *a);

void guest_area_add(struct guest_areas *all, struct guest_area *a);
/* Takes out the one that has exactly this start and count; NULL: there is none. */
struct guest_area *guest_area_take(struct guest_areas *all, uintptr_t at, unsigned int count);

/* Takes note of a notification, which may be NULL, and holds its port. -XEN_EINVAL: out of bounds, no port of ours. */
int guest_area_notify(struct guest_area *a, const struct xids_unmap_notify *notify);
/* The two halves of carrying it out; after the second there is none any more. Or it is dropped. */
void guest_area_clear_byte(const struct guest_area *a);
void guest_area_send(struct guest_area *a);
void guest_area_forget(struct guest_area *a);

/* The domain was resumed elsewhere: no grant, handle or port means anything any more. */
void guest_areas_lose(struct guest_areas *all);

#endif
