/* SPDX-License-Identifier: ISC */
/*
 * The clients of many channels in one process, for vchan-crowd.sh.
 *
 * usage: vchan-crowd SERVER-DOMID PATH COUNT
 *
 * Connects to PATH/0 to PATH/(COUNT - 1), sends a word of its own on each, twice, and waits for the echoes. Then says
 * "alive PID" and waits: until its input ends, then it shuts down its side of all, and closes when the server has done
 * so too; or until it has seen the end of all. It says how many ends it saw. Of memory each channel may take BYTES_MAX
 * beyond its pages; under a sanitizer, which has a heap of its own, nothing is counted.
 */
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>
#include <xids/vchan_set.h>

#define BUCKETS 4096u
#define WORD 32u
#define TIMES 2u
/* A channel, its link, its place in the set and in the platform's tables, and what malloc adds. */
#define BYTES_MAX 512u
/* A limit against hanging, in seconds. */
#define PATIENCE 120u

struct client {
    struct xids_vchan_link *link;
    struct xids_vchan_member member;
    uint32_t number, echoes;
};

static struct {
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan_set set;
    struct xids_vchan_member *buckets[BUCKETS];
    struct client *clients;
    unsigned long count, done, ended;
} self;

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void word(const struct client *c, char text[WORD])
{
    memset(text, 0, WORD);
    (void)snprintf(text, WORD, "%u of %u", c->number, c->echoes);
}

static void say(struct client *c)
{
    char text[WORD];
    word(c, text);
    must(xids_vchan_send(c->member.ch, text, WORD) == (int)WORD, "sending");
}

static void hear(struct client *c)
{
    char text[WORD], got[WORD];
    int n = xids_vchan_recv(c->member.ch, got, WORD);
    if (n == -XEN_EAGAIN)
        return;
    if (n == 0) {
        self.ended++;
        xids_vchan_set_remove(&self.set, &c->member);
        return;
    }
    must(n == (int)WORD, "an echo");
    word(c, text);
    must(memcmp(text, got, WORD) == 0, "the echo of what was sent here");
    if (++c->echoes < TIMES)
        say(c);
    else
        self.done++;
}

/* A turn, then a sleep. False: the input has ended. */
static bool go_on(bool listening)
{
    const struct xids_platform *p = self.platform;
    struct xids_vchan_member *m;
    int rc;
    while ((rc = xids_vchan_set_next(&self.set, &m, p->ops->now(p->ctx))) > 0)
        hear(m->user);
    must(rc == 0, "a turn of the set");
    uint64_t deadline = xids_vchan_set_deadline(&self.set), now = p->ops->now(p->ctx);
    struct pollfd fds[] = {{.fd = xids_platform_xen_event_fd(p), .events = POLLIN},
                           {.fd = listening ? 0 : -1, .events = POLLIN}};
    uint64_t ms = deadline > now ? (deadline - now) / 1000000u + 1u : 0;
    if (self.set.members != 0)
        must(poll(fds, 2, ms < 1000u ? (int)ms : 1000) >= 0, "poll");
    return fds[1].revents == 0;
}

int main(int argc, char **argv)
{
    must(argc == 4, "three arguments");
    (void)alarm(PATIENCE);
    domid_t server = (domid_t)strtoul(argv[1], NULL, 10);
    self.count = strtoul(argv[3], NULL, 10);
    must(xids_xs_open(&self.xs, NULL) == 0, "the store");
    size_t before = heap();
    self.clients = calloc(self.count, sizeof(*self.clients));
    must(self.clients != NULL && self.count <= UINT32_MAX, "memory");
    must(xids_platform_xen_open(&self.platform, 0) == 0, "the platform");
    must(xids_vchan_set_init(&self.set, self.platform, self.buckets, BUCKETS, 0) == 0, "the set");
    for (uint32_t i = 0; i < self.count; i++) {
        struct client *c = &self.clients[i];
        char path[256];
        c->number = i;
        (void)snprintf(path, sizeof(path), "%s/%u", argv[2], i);
        must(xids_vchan_connect(&c->link, self.platform, self.xs, server, path, 0, -1) == 0, "connecting");
        must(xids_vchan_set_add(&self.set, &c->member, xids_vchan_of(c->link), c, WORD, 0) == 0, "adding");
        say(c);
    }
    must(heap() - before <= self.count * BYTES_MAX, "no more than 512 bytes a channel");
    while (self.done < self.count)
        must(go_on(false), "going on");
    (void)printf("alive %ld\n", (long)getpid());
    (void)fflush(stdout);
    bool asked = false;
    while (self.ended < self.count) {
        bool heard = !go_on(!asked);
        for (uint32_t i = 0; heard && !asked && i < self.count; i++)
            must(xids_vchan_shutdown(xids_vchan_of(self.clients[i].link)) == 0, "half-close");
        asked |= heard;
    }
    (void)printf("%lu have ended\n", self.ended);
    for (uint32_t i = 0; i < self.count; i++)
        xids_vchan_unlink(self.clients[i].link);
    xids_platform_xen_close(self.platform);
    xids_xs_close(self.xs);
    free(self.clients);
    return 0;
}
