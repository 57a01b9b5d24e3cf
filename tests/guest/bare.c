/* SPDX-License-Identifier: ISC */
/*
 * A kernel for tests/guest-boot.sh: the bare guest up to guest_start, which needs no Xen. Its command line says what to
 * do: do=NAME, one of the table below. Everything ends in "xids: halted", the only line that comes last.
 */
#include "platform/guest/guest.h"

#include <xen/sched.h>

static const uint32_t constant = 42;
static const struct guest_boot *boot;

/* So that the compiler neither knows a value nor leaves a use of it out. */
static uintptr_t opaque(uintptr_t value)
{
    __asm__ __volatile__("" : "+r"(value));
    return value;
}

static void call(uintptr_t at)
{
    void (*function)(void) = (void (*)(void))at;
    function();
}

static volatile uint32_t *word(uint64_t at)
{
    uintptr_t unknown = opaque(at);
    return (volatile uint32_t *)unknown;
}

/* ---- things that go well ---- */

static void show(void)
{
    uint32_t top_bits;
    xids_guest_print("command line: [%s]\n", boot->command_line);
    for (unsigned int i = 0; i < boot->ranges.count; i++)
        xids_guest_print("range %llx %llx\n", (unsigned long long)boot->ranges.range[i].start,
                         (unsigned long long)boot->ranges.range[i].end);
    xids_guest_print("space %llx %llx\n", (unsigned long long)boot->space_start, (unsigned long long)boot->space_end);
    __asm__("mov $0x80000008, %%eax; cpuid" : "=a"(top_bits) : : "ebx", "ecx", "edx");
    xids_guest_print("address bits %u\n", top_bits & 0xff);
    xids_guest_print("first instruction %s\n",
                     boot->first_tsc != 0 && boot->first_tsc < arch_cycles() ? "before" : "?");
}

/* Every range can be used from end to end, and so can the space's page tables. */
static void reach(void)
{
    for (unsigned int i = 0; i < boot->ranges.count; i++) {
        const struct guest_range *range = &boot->ranges.range[i];
        uint64_t step = (range->end - range->start) / 64 / XIDS_PAGE_SIZE * XIDS_PAGE_SIZE + XIDS_PAGE_SIZE;
        for (uint64_t at = range->start; at < range->end; at += step)
            *word(at) = (uint32_t)(at >> 12);
        *word(range->end - 4) = 7;
        for (uint64_t at = range->start; at < range->end; at += step)
            if (*word(at) != (uint32_t)(at >> 12))
                xids_guest_panic("memory does not keep what it was given");
    }
    (void)*word(boot->space_start);
    (void)*word(boot->space_end - 4);
    xids_guest_print("reached everything\n");
}

/* All pages, each filled with its own number; none is given twice. */
static void pages(void)
{
    uint64_t total, unused, count = 0;
    uint64_t *chain = NULL;
    if (guest_memory_init(boot) < 0)
        xids_guest_panic("no memory");
    xids_guest_memory(NULL, &total, &unused);
    for (;;) {
        uint64_t *page = guest_pages_get(1);
        if (page == NULL)
            break;
        for (unsigned int i = 0; i < XIDS_PAGE_SIZE / 8; i++)
            if (page[i] != 0)
                xids_guest_panic("a page is not zeroed");
        page[0] = (uintptr_t)chain;
        page[1] = ++count;
        chain = page;
    }
    if (count * XIDS_PAGE_SIZE != total)
        xids_guest_panic("not all pages could be had");
    while (chain != NULL) {
        uint64_t *page = chain;
        if (page[1] != count--)
            xids_guest_panic("a page was given twice");
        chain = (uint64_t *)(uintptr_t)page[0];
        guest_pages_put(page, 1);
    }
    xids_guest_memory(NULL, &total, &unused);
    if (unused != total || guest_pages_get(200) == NULL)
        xids_guest_panic("pages did not come back");
    xids_guest_print("had %llu pages\n", (unsigned long long)(total / XIDS_PAGE_SIZE));
}

/* Values beyond what a compiler works out beforehand, in vector registers and below the stack pointer. */
static void floating(void)
{
    uintptr_t three = opaque(3);
    double sum = 0, x = (double)three;
    for (unsigned int i = 0; i < 100; i++) {
        sum += x / (i + 1);
        x = x * 1.0625 - 0.5;
    }
    xids_guest_print("sum %llu\n", (unsigned long long)(sum * 1000));
}

static void print(void)
{
    xids_guest_print("[%5d][%-5d][%05d][%x][%016llx][%c][%%][%s][%8s][%zu]\n", -42, 42, -42, 0xbeefu,
                     0x123456789abcdefull, 'c', "text", "right", (size_t)7);
}

static void randomness(void)
{
    uint8_t bytes[64];
    unsigned int bits, differ = 0;
    xids_guest_local_entropy(&guest_the, bytes, sizeof(bytes), &bits);
    for (unsigned int i = 1; i < sizeof(bytes); i++)
        differ += bytes[i] != bytes[0];
    xids_guest_print("random bits %u, %s\n", bits, differ > 0 ? "differing" : "all the same");
}

static void nothing(void)
{
}

/* ---- things that do not ---- */

__attribute__((noinline)) static uint32_t look(uint64_t at)
{
    return *word(at);
}

static void null_read(void)
{
    xids_guest_print("%u\n", look(8));
}

static void null_call(void)
{
    call(opaque(0));
}

__attribute__((noinline)) static unsigned int deeper(unsigned int n)
{
    volatile uint8_t frame[512];
    frame[n % sizeof(frame)] = (uint8_t)n;
    return n == UINT32_MAX ? frame[0] : deeper(n + 1) + frame[n % sizeof(frame)];
}

static void overflow(void)
{
    xids_guest_print("%u\n", deeper((unsigned int)opaque(0)));
}

static void divide(void)
{
    __asm__ __volatile__("xorl %%edx, %%edx; divl %0" : : "r"((uint32_t)opaque(0)) : "eax", "edx");
}

static void write_text(void)
{
    *word((uintptr_t)write_text) = 0;
}

static void write_constant(void)
{
    *word((uintptr_t)&constant) = 1;
}

static void run_data(void)
{
    static uint8_t code[16] = {0xc3};
    call(opaque((uintptr_t)code));
}

static void hole(void)
{
    *word(boot->space_end + XIDS_PAGE_SIZE) = 1;
}

static void general(void)
{
    (void)*word(UINT64_C(0x8000000000000000));
}

static void undefined(void)
{
    __asm__ __volatile__("ud2");
}

static void broken_frames(void)
{
    /* The trace must not follow what the frame pointer has become. */
    __asm__ __volatile__("mov %0, %%rbp; ud2" : : "r"(opaque(0x1234567890)));
}

__attribute__((noreturn)) static void panic(void)
{
    xids_guest_panic("as asked");
}

static void free_twice(void)
{
    if (guest_memory_init(boot) < 0)
        return;
    void *page = guest_pages_get(3);
    guest_pages_put(page, 3);
    guest_pages_put(page, 3);
}

static const struct {
    const char *name;
    void (*run)(void);
} table[] = {
    {"show", show},
    {"reach", reach},
    {"pages", pages},
    {"floating", floating},
    {"print", print},
    {"random", randomness},
    {"nothing", nothing},
    {"null-read", null_read},
    {"null-call", null_call},
    {"overflow", overflow},
    {"divide", divide},
    {"write-text", write_text},
    {"write-constant", write_constant},
    {"run-data", run_data},
    {"hole", hole},
    {"general", general},
    {"undefined", undefined},
    {"broken-frames", broken_frames},
    {"panic", panic},
    {"free-twice", free_twice},
};

static bool same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

void guest_start(const struct guest_boot *given)
{
    char name[32];
    boot = given;
    guest_the.command_line = boot->command_line;
    if (xids_guest_option(&guest_the, name, sizeof(name), "do") < 0)
        xids_guest_panic("nothing to do");
    for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (!same(table[i].name, name))
            continue;
        table[i].run();
        xids_guest_shutdown(&guest_the, SHUTDOWN_poweroff);
    }
    xids_guest_panic("unknown thing to do");
}
