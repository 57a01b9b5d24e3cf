/* SPDX-License-Identifier: ISC */
/*
 * The rules of xenstore as a client sees them, each a named case, for any xenstored on the simulator: raw messages over
 * the socket, and over the rings of domains whose kernel this program is.
 *
 * In requests and answers '|' stands for a NUL. A case works below /c and in its own domains; both are taken away
 * after it. It runs in a process of its own and ends it with the first thing that is not as the rule says.
 */
#ifndef XIDS_TESTS_INTEROP_CONFORMANCE_H
#define XIDS_TESTS_INTEROP_CONFORMANCE_H

#include <xids/bytering.h>
#include <xids/xswire.h>

#include "sim/machine.h"

/* ---- the cases ---- */

struct rule {
    const char *name;
    const char *says; /* the rule in a sentence */
    void (*holds)(void);
};

extern const struct rule node_rules[], reply_rules[], watch_rules[], removal_rules[], tx_rules[], domain_rules[],
    perm_rules[], ring_rules[], limit_rules[];

#define DOMAINS 4u /* of one case */

/* ---- connections ---- */

#define EVENTS_BYTES 65536u

struct client {
    bool ring, closed;
    int fd; /* the socket, or the queue of the domain's events */
    uint16_t domid;
    uint32_t owner, frame;
    evtchn_port_t port;
    uint8_t *page; /* of the ring */
    struct xids_bytering out, in;
    uint32_t last_id;
    size_t have, taken;
    uint8_t bytes[2 * XIDS_XSWIRE_MESSAGE_MAX];
    size_t events_len;
    char events[EVENTS_BYTES]; /* heard and not yet asked for, as text */
};

/* A new connection to the socket. */
struct client *socket_client(void);

/* Domain n (from 0) of this case, which is made and introduced when it is first asked for, on its ring. */
struct client *guest(unsigned int n);
/* The same, not introduced; introduce does that, and again. */
struct client *uninformed_guest(unsigned int n);
void introduce(struct client *by, struct client *g);
/* Another one with the number of domain n, which has died. Not introduced. */
struct client *reborn(unsigned int n);
/* The domid of domain n, whether it exists or not. */
unsigned int domid_of(unsigned int n);
/* The toolstack's word to the hypervisor. */
void domain_dies(struct client *g);
void domain_shuts_down(const struct client *g);
void domain_resumes(const struct client *g);
/* Until the store no longer knows it. */
void wait_until_unknown(struct client *by, const struct client *g);
/* The guest's side of the ring starts anew where the page says. */
void reattach(struct client *g);
void notify_store(const struct client *g);
uint32_t page_word(const struct client *g, size_t offset);
void set_page_word(const struct client *g, size_t offset, uint32_t value);
#define FIELD(name) offsetof(struct xenstore_domain_interface, name)

/* ---- requests ---- */

/* Ends the case: the rule does not hold. */
__attribute__((format(printf, 1, 2), noreturn)) void broken(const char *fmt, ...);
#define NEED(condition)                                                       \
    do {                                                                      \
        if (!(condition))                                                     \
            broken("%s:%d: not so: %s", __FILE_NAME__, __LINE__, #condition); \
    } while (0)
#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

/* Sends bytes as they are; a request; waits for the next message, of whatever kind. False: nothing comes, or closed. */
void send_bytes(struct client *c, const void *bytes, size_t len);
uint32_t send_request(struct client *c, uint32_t type, uint32_t tx, const void *payload, size_t len);
bool next_message(struct client *c, struct xids_xswire_msg *msg);
/* The same with a limit of time in milliseconds of its own. */
bool next_message_within(struct client *c, struct xids_xswire_msg *msg, int limit);

/*
 * Sends a request with a payload of such bytes, waits for its answer and returns that as text: the payload, or of an
 * error '!' and its name. Events that come before are kept for events_of.
 */
const char *ask_bytes(struct client *c, uint32_t type, uint32_t tx, const void *payload, size_t len);
__attribute__((format(printf, 4, 5))) const char *ask(struct client *c, uint32_t type, uint32_t tx, const char *fmt,
                                                      ...);

/* What it should say, as text. */
__attribute__((format(printf, 7, 8))) void check_says(const char *file, int line, struct client *c, uint32_t type,
                                                      uint32_t tx, const char *want, const char *fmt, ...);
#define says(c, type, want, ...) check_says(__FILE_NAME__, __LINE__, c, type, 0, want, __VA_ARGS__)
#define says_in(c, tx, type, want, ...) check_says(__FILE_NAME__, __LINE__, c, type, tx, want, __VA_ARGS__)
#define done(c, type, ...) says(c, type, "OK|", __VA_ARGS__)
#define done_in(c, tx, type, ...) says_in(c, tx, type, "OK|", __VA_ARGS__)

/*
 * What it has heard meanwhile: "path|token| path|token|"; all that the store had for it before this was asked.
 */
const char *events_of(struct client *c);
__attribute__((format(printf, 4, 5))) void check_hears(const char *file, int line, struct client *c, const char *fmt,
                                                       ...);
#define hears(c, ...) check_hears(__FILE_NAME__, __LINE__, c, __VA_ARGS__)
#define hears_nothing(c) check_hears(__FILE_NAME__, __LINE__, c, "%s", "")

/* Watches and takes the first event away. */
__attribute__((format(printf, 2, 3))) void watch(struct client *c, const char *fmt, ...);

uint32_t start(struct client *c);

/* A directory that a guest may fill. */
void give(struct client *by, const char *path, const struct client *to);

/* ---- conformance_machine.c ---- */

extern struct xids_sim_machine machine;
extern unsigned int first_domid; /* of the case */
void machine_tidy(void (*gone)(uint16_t domid));
int socket_open(void);

#endif
