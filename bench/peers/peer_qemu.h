// SPDX-License-Identifier: Apache-2.0
/* Peer "qemu": the shape of QEMU's virtio-iommu device: a GTree per domain
 * keyed by closed intervals with an overlap comparison, two heap objects per
 * mapping (key, value), endpoint and domain trees, one recursive mutex around
 * every request and every translation, page-granule answers. Own code. */
#include "glib_tree.h"
#include <pthread.h>
#define PEER "qemu-gtree"
#define PEER_LOCKED 1
typedef struct { uint64_t low, high; } ival_t;
typedef struct { uint64_t phys; uint32_t flags; } mval_t;
typedef struct { uint32_t id; int bypass; GTree *maps; } dom_t;
typedef struct { uint32_t id; dom_t *dom; } ep_t;
typedef struct { uint64_t low, high; int type; } resv_t;
typedef struct { uint64_t iova, xaddr, mask; uint32_t perm; } tlbe_t;
typedef struct {
    pthread_mutex_t mtx; GTree *doms, *eps; resv_t resv[1]; int nresv; ep_t *ep; dom_t *dom;
} peer_t;

static gint ival_cmp(gconstpointer a, gconstpointer b, gpointer u) {
    const ival_t *x = a, *y = b; (void)u;
    if (x->high < y->low) return -1;
    if (y->high < x->low) return 1;
    return 0;
}
static gint int_cmp(gconstpointer a, gconstpointer b, gpointer u) {
    guint x = GPOINTER_TO_UINT(a), y = GPOINTER_TO_UINT(b); (void)u;
    return (x > y) - (x < y);
}
static peer_t *p_new(void) {
    peer_t *s = g_malloc0(sizeof *s);
    pthread_mutexattr_t at; pthread_mutexattr_init(&at);
    pthread_mutexattr_settype(&at, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&s->mtx, &at);
    s->doms = g_tree_new_full(int_cmp, NULL, NULL, NULL);
    s->eps = g_tree_new_full(int_cmp, NULL, NULL, NULL);
    s->dom = g_malloc0(sizeof(dom_t)); s->dom->id = 7;
    s->dom->maps = g_tree_new_full(ival_cmp, NULL, g_free, g_free);
    s->ep = g_malloc0(sizeof(ep_t)); s->ep->id = 0x18; s->ep->dom = s->dom;
    g_tree_insert(s->doms, GUINT_TO_POINTER(7), s->dom);
    g_tree_insert(s->eps, GUINT_TO_POINTER(0x18), s->ep);
    s->resv[0].low = 0xfee00000; s->resv[0].high = 0xfeefffff; s->nresv = 1;
    return s;
}
static void p_free(peer_t *s) {
    g_tree_destroy(s->dom->maps); g_tree_destroy(s->doms); g_tree_destroy(s->eps);
    g_free(s->dom); g_free(s->ep); g_free(s);
}
static int p_map(peer_t *s, uint64_t lo, uint64_t hi, uint64_t gpa, uint32_t fl) {
    int rc = S_OK;
    pthread_mutex_lock(&s->mtx);
    dom_t *d = g_tree_lookup(s->doms, GUINT_TO_POINTER(7));
    if (!d) { rc = S_NOENT; goto out; }
    ival_t *k = g_malloc0(sizeof *k); k->low = lo; k->high = hi;
    if (g_tree_lookup(d->maps, k)) { g_free(k); rc = S_INVAL; goto out; }
    mval_t *v = g_malloc0(sizeof *v); v->phys = gpa; v->flags = fl;
    g_tree_insert(d->maps, k, v);
out: pthread_mutex_unlock(&s->mtx); return rc;
}
static int p_unmap(peer_t *s, uint64_t lo, uint64_t hi) {
    int rc = S_OK; ival_t q = { lo, hi }; gpointer kk, vv;
    pthread_mutex_lock(&s->mtx);
    dom_t *d = g_tree_lookup(s->doms, GUINT_TO_POINTER(7));
    if (!d) rc = S_NOENT;
    else while (g_tree_lookup_extended(d->maps, &q, &kk, &vv)) {
        ival_t *c = kk;
        if (lo <= c->low && hi >= c->high) g_tree_remove(d->maps, c);
        else { rc = S_RANGE; break; }
    }
    pthread_mutex_unlock(&s->mtx); return rc;
}
static tlbe_t q_translate(peer_t *s, uint64_t a, uint32_t perm) {
    tlbe_t e = { a, a, PG - 1, 0 }; ival_t q = { a, a + 1 }; gpointer kk, vv;
    pthread_mutex_lock(&s->mtx);
    ep_t *ep = g_tree_lookup(s->eps, GUINT_TO_POINTER(0x18));
    if (!ep) goto out;
    for (int i = 0; i < s->nresv; i++)
        if (a >= s->resv[i].low && a <= s->resv[i].high) { e.perm = perm; goto out; }
    if (!ep->dom || ep->dom->bypass) goto out;
    if (!g_tree_lookup_extended(ep->dom->maps, &q, &kk, &vv)) goto out;
    mval_t *m = vv; ival_t *k = kk;
    if ((perm & m->flags) != perm) goto out;
    e.xaddr = a - k->low + m->phys; e.perm = perm;
out: pthread_mutex_unlock(&s->mtx); return e;
}
/* the memory core calls translate through a class pointer */
static tlbe_t (*volatile q_translate_fn)(peer_t *, uint64_t, uint32_t) = q_translate;
static inline uint64_t p_xlate(peer_t *s, uint64_t a, uint32_t len, uint32_t perm) {
    tlbe_t e = q_translate_fn(s, a, perm);
    return (e.perm & perm) == perm ? g2h(e.xaddr, len) : FAULT;
}
/* each answer is valid for one granule only: one lookup per 4 KiB */
static int p_range(peer_t *s, uint64_t a, uint64_t len, uint32_t perm, seg_t *o, int max) {
    int n = 0;
    while (len) {
        tlbe_t e = q_translate_fn(s, a, perm);
        if ((e.perm & perm) != perm) return -1;
        uint64_t l = PG - (a & (PG - 1)); if (l > len) l = len;
        uint64_t h = g2h(e.xaddr, l); if (h == FAULT) return -1;
        if (n && o[n-1].host + o[n-1].len == h) o[n-1].len += l;
        else { if (n == max) return -1; o[n].host = h; o[n].len = l; n++; }
        a += l; len -= l;
    }
    return n;
}
