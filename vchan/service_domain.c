/* SPDX-License-Identifier: ISC */
/* A vchan service: what it does for one domain, from the first question whether it is there to the last node's end. */
#include "vchan/service_internal.h"

/* So many offers follow one another without a pause beyond those that can be open at once. */
#define QUICK_FREE 4u

void xids_svc_domain_queue_(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    if (d->queued || !d->used)
        return;
    d->queued = true;
    d->next_queued = NULL;
    *s->queue_end = d;
    s->queue_end = &d->next_queued;
}

struct svc_domain *xids_svc_domain_find_(struct xids_vchan_service *s, domid_t domid)
{
    for (unsigned int i = 0; i < s->limits.domains; i++)
        if (s->domains[i].used && s->domains[i].domid == domid)
            return &s->domains[i];
    return NULL;
}

struct svc_domain *xids_svc_domain_add_(struct xids_vchan_service *s, domid_t domid)
{
    struct svc_domain *d;
    unsigned int i = 0;
    /* One that was freed may still stand in the queue. */
    while (i < s->limits.domains && (s->domains[i].used || s->domains[i].queued))
        i++;
    if (i == s->limits.domains)
        return NULL;
    d = &s->domains[i];
    *d = (struct svc_domain){.s = s, .domid = domid, .used = true, .check = true};
    d->timer.at = d->repeat_at = SVC_NEVER;
    d->pause = XIDS_VCHAN_SERVICE_RETRY_MIN;
    s->in_use++;
    xids_svc_domain_queue_(d);
    return d;
}

static void free_domain(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    xids_svc_timer_set_(s, &d->timer, SVC_NEVER);
    d->used = false;
    s->in_use--;
}

static void end_channels(struct svc_domain *d, int rc, const char *reason)
{
    for (struct svc_channel *c = d->channels; c != NULL; c = c->next) {
        if (c->leaving)
            continue;
        if (rc == -XEN_ENODEV)
            (void)xids_vchan_peer_died(&c->ch);
        xids_svc_channel_end_(c, rc, reason);
    }
}

void xids_svc_domain_died_(struct svc_domain *d)
{
    end_channels(d, -XEN_ENODEV, "the client's domain has gone");
    d->there = d->pointed = false;
    /* What it kept mapped is free, and a new one begins anew. */
    d->held = d->quick = 0;
    d->told = 0;
    xids_svc_domain_queue_(d);
}

void xids_svc_domain_forget_(struct svc_domain *d)
{
    d->s->offers -= d->current;
    d->current = d->shown = d->pointed = d->published = false;
    d->repeat_at = SVC_NEVER;
    d->retry_at = 0;
    xids_svc_domain_queue_(d);
}

/* ---- what the store has answered ---- */

static void failed(struct svc_domain *d, int rc)
{
    d->retry_at = svc_later(d->s->now, d->pause);
    d->pause = svc_earlier(2u * d->pause, XIDS_VCHAN_SERVICE_RETRY_MAX);
    /* A connection that was made anew, or is full of others' requests, is no news. */
    if (rc == -XEN_ENOTCONN || rc == -XEN_EBUSY)
        return;
    xids_svc_refuse_(d->s, d, rc,
                     rc == -XEN_EACCES   ? "xenstore does not let us write there"
                     : rc == -XEN_ENOSPC ? "xenstore's quota is used up"
                                         : "xenstore failed");
}

/* The next time to publish again: only where nobody tells when the domain comes. */
static void plan_repeat(struct svc_domain *d)
{
    d->repeat_at = SVC_NEVER;
    if (!d->s->blind)
        return;
    d->repeat_at = svc_later(d->s->now, d->repeat_pause);
    d->repeat_pause = svc_earlier(2u * d->repeat_pause, XIDS_VCHAN_SERVICE_RETRY_MAX);
}

static int worst(const struct svc_domain *d, unsigned int from, unsigned int to)
{
    for (unsigned int i = from; i < to; i++)
        if (d->answers[i].rc < 0)
            return d->answers[i].rc;
    return 0;
}

static void checked(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    int rc = d->answers[0].rc;
    xids_svc_privilege_(s, rc);
    if (rc < 0 && !s->blind) {
        d->check = true;
        failed(d, rc);
        return;
    }
    bool there = s->blind || rc == 1;
    /* Its own tree is another domain's by now. */
    bool another = there && d->pointed && d->asked > 1 && d->answers[1].rc == -XEN_ENOENT;
    if ((d->there && !there) || another)
        xids_svc_domain_died_(d);
    d->there = there;
    /* Permissions from before it came are void. */
    if (there && d->current && d->open == 0 && !s->blind)
        d->repeat_at = 0;
}

static void answered(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    enum svc_talk talk = d->talk;
    int rc = 0;
    d->talk = SVC_SILENT;
    switch (talk) {
    case SVC_SILENT:
        break;
    case SVC_CHECKING:
        checked(d);
        break;
    case SVC_PREPARING:
        /* There may have been no port to remove. */
        rc = d->answers[0].rc == -XEN_ENOENT ? worst(d, 1, 3) : worst(d, 0, 3);
        if (rc == 0 && d->offer != NULL)
            xids_svc_ask_(d, SVC_PUBLISHING);
        break;
    case SVC_PUBLISHING:
        /* The pointer is a courtesy: who cannot have it knows where we are. */
        rc = worst(d, 0, 2);
        if (rc < 0 || d->offer == NULL)
            break;
        d->current = true;
        s->offers++;
        d->told = 0;
        d->pause = XIDS_VCHAN_SERVICE_RETRY_MIN;
        d->repeat_pause = XIDS_VCHAN_SERVICE_LOOK;
        d->pointed = d->asked > 2 && d->answers[2].rc == 0;
        plan_repeat(d);
        break;
    case SVC_REPEATING:
        rc = worst(d, 0, 4);
        d->pointed |= d->asked > 4 && d->answers[4].rc == 0;
        plan_repeat(d);
        if (rc < 0)
            d->repeat_at = svc_later(s->now, d->pause);
        break;
    case SVC_HIDING:
        if (d->answers[0].rc == 0 || d->answers[0].rc == -XEN_ENOENT)
            d->shown = false;
        else
            rc = d->answers[0].rc;
        break;
    case SVC_REMOVING:
        rc = d->answers[0].rc == -XEN_ENOENT ? 0 : d->answers[0].rc;
        /* The end does not wait for a store that refuses. */
        if (s->stopping && rc != -XEN_EBUSY && rc != -XEN_EAGAIN && rc != -XEN_ENOTCONN)
            rc = 0;
        if (rc == 0)
            d->published = d->shown = d->pointed = false;
        /* Of a domain that has gone nobody else will use the folder. */
        if (rc == 0 && !d->there && s->privileged)
            xids_svc_ask_(d, SVC_LOOKING);
        break;
    case SVC_LOOKING:
        if (d->answers[0].rc == 0)
            xids_svc_ask_(d, SVC_TIDYING);
        break;
    case SVC_TIDYING:
        break;
    }
    if (rc < 0)
        failed(d, rc);
}

/* ---- what is to be done ---- */

/* The next offer, when there may be one. SVC_NEVER: when something changes; else the time to come back. */
static uint64_t make_offer(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    if (d->count + d->held >= s->limits.per_domain) {
        xids_svc_refuse_(s, d, -XEN_EBUSY, "the domain has as many channels as one may have");
        return SVC_NEVER;
    }
    if (s->now < d->offer_at)
        return d->offer_at;
    int rc = xids_svc_channel_offer_(d);
    if (rc < 0) {
        d->offer_at = svc_later(s->now, d->pause);
        d->pause = svc_earlier(2u * d->pause, XIDS_VCHAN_SERVICE_RETRY_MAX);
        xids_svc_refuse_(s, d, rc,
                         rc == -XEN_ENOSPC ? "there are too many channels in all" : "the channel cannot be made");
        return d->offer_at;
    }
    d->offered_at = s->now;
    /* A client that connects and leaves in a loop gets its offers more and more slowly. */
    unsigned int over = d->quick < s->limits.per_domain + QUICK_FREE ? 0 : d->quick - s->limits.per_domain - QUICK_FREE;
    d->quick++;
    uint64_t wait = XIDS_VCHAN_SERVICE_RETRY_MIN << (over < 10u ? over : 10u);
    d->offer_at = over == 0 ? 0 : svc_later(s->now, svc_earlier(wait, XIDS_VCHAN_SERVICE_RETRY_MAX));
    return SVC_NEVER;
}

/* A domain that may not come, or is not there: takes back everything. True: it is done with. */
static bool retire(struct svc_domain *d, bool keep)
{
    struct xids_vchan_service *s = d->s;
    end_channels(d, d->allowed || s->stopping ? 0 : -XEN_EPERM,
                 s->stopping ? "the service ends" : "the domain may not come any more");
    if (d->published && s->owner == SVC_HOLDING && s->confirmed) {
        if (s->now >= d->retry_at)
            xids_svc_ask_(d, SVC_REMOVING);
        return false;
    }
    if (d->count > 0 || keep)
        return false;
    free_domain(d);
    return true;
}

/* There and allowed: asks for what is missing. Returns when to come back. */
static uint64_t offer_step(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    uint64_t at = SVC_NEVER;
    if (!s->confirmed || s->owner != SVC_HOLDING)
        return at;
    if (d->offer == NULL)
        at = make_offer(d);
    if (d->offer == NULL && d->shown) {
        if (s->now >= d->retry_at)
            xids_svc_ask_(d, SVC_HIDING);
        return svc_earlier(at, d->retry_at);
    }
    if (d->offer == NULL)
        return at;
    if (!d->current) {
        if (s->now < d->retry_at)
            return d->retry_at;
        d->published = d->shown = true;
        xids_svc_ask_(d, SVC_PREPARING);
    } else if (d->open == 0 && s->now >= d->repeat_at) {
        xids_svc_ask_(d, SVC_REPEATING);
    }
    return d->open == 0 ? d->repeat_at : SVC_NEVER;
}

void xids_svc_domain_step_(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    uint64_t at = SVC_NEVER;
    /* Each talk is one more round; none leads to more than a few. */
    for (unsigned int round = 0; round < 8; round++) {
        if (d->talk != SVC_SILENT) {
            if (!xids_svc_talk_(d))
                break;
            answered(d);
            if (d->talk != SVC_SILENT)
                continue;
        }
        if (d->check && !s->blind && d->allowed) {
            if (s->now < d->retry_at) {
                at = d->retry_at;
                break;
            }
            d->check = false;
            xids_svc_ask_(d, SVC_CHECKING);
            continue;
        }
        if (s->blind && d->listed)
            d->there = true;
        if (!d->allowed || !d->there) {
            if (retire(d, d->listed))
                return;
            at = d->published && s->owner == SVC_HOLDING ? d->retry_at : SVC_NEVER;
        } else {
            at = offer_step(d);
        }
        if (d->talk == SVC_SILENT)
            break;
    }
    /* It had more rounds than one step allows. */
    if (d->talk != SVC_SILENT && d->asked == 0)
        xids_svc_domain_queue_(d);
    xids_svc_timer_set_(s, &d->timer, d->talk == SVC_SILENT ? at : SVC_NEVER);
}
