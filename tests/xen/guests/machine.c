/* SPDX-License-Identifier: ISC */
/*
 * What the bare guest has of its machine: memory, clocks, console, and how it ends. do=NAME in the command line says
 * which of the functions below.
 */
#include <xids/guest.h>

static struct xids_guest *guest;

static uintptr_t opaque(uintptr_t value)
{
    __asm__ __volatile__("" : "+r"(value));
    return value;
}

__attribute__((noinline)) static unsigned int look(uintptr_t at)
{
    return *(volatile unsigned int *)at;
}

static int null(void)
{
    return (int)look(opaque(8));
}

__attribute__((noinline)) static int deeper(int n)
{
    volatile char frame[256];
    frame[0] = (char)n;
    return n < 0 ? n : deeper(n + 1) + frame[0];
}

static int overflow(void)
{
    return deeper((int)opaque(0));
}

static int panic(void)
{
    if (opaque(1))
        xids_guest_panic("as asked");
    return 0;
}

static int seven(void)
{
    return 7;
}

static int hang(void)
{
    xids_guest_print("hanging\n");
    while (opaque(1))
        ;
    return 0;
}

/* Every page that there is, each used; then all of them back. */
static int memory(void)
{
    const struct xids_platform *p = xids_guest_platform(guest);
    uint64_t total, unused, count = 0;
    void **last = NULL;
    void *page;
    while (p->ops->page_alloc(p->ctx, &page, 1) == 0) {
        *(void **)page = last;
        last = page;
        count++;
    }
    xids_guest_memory(guest, &total, &unused);
    xids_guest_print("had %llu KiB, left %llu\n", (unsigned long long)count * 4, (unsigned long long)unused / 1024);
    while (last != NULL) {
        page = last;
        last = *(void **)page;
        p->ops->page_free(p->ctx, page, 1);
    }
    xids_guest_memory(guest, &total, &unused);
    xids_guest_print("free again: %llu of %llu KiB\n", (unsigned long long)unused / 1024,
                     (unsigned long long)total / 1024);
    return 0;
}

/* Sleeps of all lengths: none ends early, and what a double holds stays. */
static int clocks(void)
{
    double sum = 0;
    xids_guest_print("wall %llu\n", (unsigned long long)xids_guest_wall_clock(guest) / 1000000000);
    for (unsigned int i = 0; i < 60; i++) {
        uint64_t deadline = xids_guest_now(guest) + (i < 50 ? i * 10000 : i * 2000000);
        while (xids_guest_wait(guest, deadline) != 0)
            ;
        if (xids_guest_now(guest) < deadline)
            xids_guest_print("WRONG: woke %llu ns early\n", (unsigned long long)(deadline - xids_guest_now(guest)));
        sum += 0.5 * i;
    }
    xids_guest_print("60 sleeps, sum %llu\n", (unsigned long long)sum);
    return 0;
}

/* Counts and sums what is typed, up to a full stop. */
static int hear(void)
{
    unsigned int count = 0, sum = 0;
    for (;;) {
        char text[100];
        int n = xids_guest_console_read(guest, text, sizeof(text));
        for (int i = 0; i < n; i++) {
            if (text[i] == '.') {
                xids_guest_print("typed %u characters, sum %u\n", count, sum);
                return 0;
            }
            count++;
            sum += (unsigned char)text[i];
        }
        if (n == 0)
            xids_guest_wait(guest, UINT64_MAX);
    }
}

static int typed(void)
{
    xids_guest_print("listening\n");
    return hear();
}

/* More output than anybody reads in time. Then it waits until it is told that the rest has come. */
static int flood(void)
{
    for (unsigned int i = 10000; i < 12000; i++)
        xids_guest_print("line %u of a flood that nobody can read so fast\n", i);
    return hear();
}

static const struct {
    const char *name;
    int (*run)(void);
} table[] = {
    {"null", null},     {"overflow", overflow}, {"panic", panic}, {"seven", seven}, {"hang", hang},
    {"memory", memory}, {"clocks", clocks},     {"flood", flood}, {"typed", typed},
};

int xids_guest_main(struct xids_guest *g)
{
    char name[16] = "";
    guest = g;
    (void)!xids_guest_option(g, name, sizeof(name), "do");
    for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        unsigned int k = 0;
        while (name[k] != '\0' && name[k] == table[i].name[k])
            k++;
        if (name[k] == table[i].name[k])
            return table[i].run();
    }
    xids_guest_panic("do=what?");
}
