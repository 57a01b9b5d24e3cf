/* SPDX-License-Identifier: ISC */
/*
 * usage: reseed_page make DOMID | copy FRAME DOMID | look FRAME | param DOMID FRAME | spoil FRAME
 *
 * Plays the kernel of guests of the simulated machine that have a reseed page: makes one for a domain, or copies
 * another's into it as restoring does, and prints its frame number; prints what is in one: the generation and a hash of
 * the seed; sets the parameter that names one; takes its magic away.
 */
#include "sim/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <xids/reseed.h>
#include <xids/rng.h>

static struct xids_sim_machine machine;

static uint8_t *page_of(unsigned long frame)
{
    return machine.ram + (size_t)(frame - 1) * XIDS_PAGE_SIZE;
}

static int make(unsigned long domid, const uint8_t *from)
{
    struct xids_reseed guest;
    uint32_t frame;
    if (xids_hv_frame_alloc(&machine.hv, &frame, (domid_t)domid, 1) < 0)
        return EXIT_FAILURE;
    if (from != NULL)
        memcpy(page_of(frame), from, XIDS_PAGE_SIZE);
    else
        xids_reseed_init(&guest, page_of(frame));
    (void)printf("%u\n", frame);
    return EXIT_SUCCESS;
}

static void print(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        (void)printf("%02x", bytes[i]);
}

static int look(const uint8_t *page)
{
    static const uint8_t zeros[XIDS_RESEED_SEED];
    struct xids_blake2s b;
    uint8_t hash[8];
    print(page + 8, XIDS_RESEED_GENERATION);
    if (memcmp(page + 24, zeros, sizeof(zeros)) == 0) {
        (void)puts(" none");
        return EXIT_SUCCESS;
    }
    if (xids_blake2s_init(&b, sizeof(hash), NULL, 0) != 0)
        return EXIT_FAILURE;
    xids_blake2s_update(&b, page + 24, XIDS_RESEED_SEED);
    xids_blake2s_final(&b, hash);
    (void)putchar(' ');
    print(hash, sizeof(hash));
    (void)putchar('\n');
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    char dir[XIDS_SIM_DIR_MAX];
    unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, second = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (first == 0 || xids_sim_default_dir(dir) < 0 || xids_sim_machine_attach(&machine, dir) < 0)
        return 2;
    if (strcmp(argv[1], "make") == 0)
        return make(first, NULL);
    if (strcmp(argv[1], "copy") == 0)
        return make(second, page_of(first));
    if (strcmp(argv[1], "look") == 0)
        return look(page_of(first));
    if (strcmp(argv[1], "param") == 0)
        return -xids_hv_param_set(&machine.hv, (domid_t)first, HVM_PARAM_VM_GENERATION_ID_ADDR,
                                  second * XIDS_PAGE_SIZE + 8);
    if (strcmp(argv[1], "spoil") == 0) {
        page_of(first)[0] = 'y';
        return EXIT_SUCCESS;
    }
    return 2;
}
