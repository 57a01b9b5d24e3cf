/* SPDX-License-Identifier: ISC */
/* The records of what is shared and mapped. Their memory comes by the page and serves again. */
#include "platform/guest/area.h"

/* A record whose numbers do not fit takes a page for them, which must then have room for all. */
_Static_assert(XIDS_PLATFORM_PAGES_MAX * sizeof(uint32_t) <= XIDS_PAGE_SIZE, "a page holds the numbers of an area");

static struct guest_area *free_areas;

static bool more_areas(void)
{
    struct guest_area *page = guest_pages_get(1);
    if (page == NULL)
        return false;
    for (size_t i = 0; i < XIDS_PAGE_SIZE / sizeof(*page); i++) {
        page[i].next = free_areas;
        free_areas = &page[i];
    }
    return true;
}

struct guest_area *guest_area_get(unsigned int count)
{
    if (free_areas == NULL && !more_areas())
        return NULL;
    struct guest_area *a = free_areas;
    uint32_t *numbers = a->few;
    if (count > GUEST_AREA_FEW) {
        numbers = guest_pages_get(1);
        if (numbers == NULL)
            return NULL;
    }
    free_areas = a->next;
    *a = (struct guest_area){.count = count, .numbers = numbers};
    return a;
}

void guest_area_put(struct guest_area *a)
{
    if (a->numbers != a->few)
        guest_pages_put(a->numbers, 1);
    a->next = free_areas;
    free_areas = a;
}

static struct guest_area **bucket_of(struct guest_areas *all, uintptr_t at)
{
    return &all->buckets[at / XIDS_PAGE_SIZE % GUEST_AREA_BUCKETS];
}

void guest_area_add(struct guest_areas *all, struct guest_area *a)
{
    struct guest_area **bucket = bucket_of(all, a->at);
    a->next = *bucket;
    *bucket = a;
}

struct guest_area *guest_area_take(struct guest_areas *all, uintptr_t at, unsigned int count)
{
    for (struct guest_area **a = bucket_of(all, at); *a != NULL; a = &(*a)->next) {
        if ((*a)->at == at && (*a)->count == count) {
            struct guest_area *found = *a;
            *a = found->next;
            return found;
        }
    }
    return NULL;
}

int guest_area_notify(struct guest_area *a, const struct xids_unmap_notify *notify)
{
    if (notify == NULL)
        return 0;
    if (notify->clear_byte && notify->offset >= a->count * XIDS_PAGE_SIZE)
        return -XEN_EINVAL;
    int rc = notify->port == 0 ? 0 : guest_port_pin(notify->port);
    if (rc == 0)
        a->notify = *notify;
    return rc;
}

void guest_area_forget(struct guest_area *a)
{
    if (a->notify.port != 0)
        guest_port_unpin(a->notify.port);
    a->notify = (struct xids_unmap_notify){0};
}

void guest_area_clear_byte(const struct guest_area *a)
{
    if (a->notify.clear_byte)
        xids_peer_store8_release((uint8_t XIDS_PEER *)(a->at + a->notify.offset), 0);
}

void guest_area_send(struct guest_area *a)
{
    if (a->notify.port != 0)
        guest_port_send(a->notify.port);
    guest_area_forget(a);
}

void guest_areas_lose(struct guest_areas *all)
{
    for (unsigned int i = 0; i < GUEST_AREA_BUCKETS; i++) {
        for (struct guest_area *a = all->buckets[i]; a != NULL; a = a->next) {
            a->live = 0;
            a->notify = (struct xids_unmap_notify){0};
        }
    }
}
