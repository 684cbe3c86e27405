// SPDX-License-Identifier: Apache-2.0
/* Peer "iovatree": the shape of QEMU's util/iova-tree: a GTree in which one
 * heap object is both key and value; no lock of its own. Own code. */
#include "glib_tree.h"
#define PEER "qemu-iovatree"
#define PEER_LOCKED 0
typedef struct { uint64_t iova, xaddr, size; uint32_t perm; } dm_t; /* size = len-1 */
typedef struct { GTree *t; } peer_t;
static gint dm_cmp(gconstpointer a, gconstpointer b, gpointer u) {
    const dm_t *x = a, *y = b; (void)u;
    if (x->iova > y->iova + y->size) return 1;
    if (x->iova + x->size < y->iova) return -1;
    return 0;
}
static peer_t *p_new(void) {
    peer_t *p = g_new0(peer_t, 1); p->t = g_tree_new_full(dm_cmp, NULL, g_free, NULL); return p;
}
static void p_free(peer_t *p) { g_tree_destroy(p->t); g_free(p); }
static int p_map(peer_t *p, uint64_t lo, uint64_t hi, uint64_t gpa, uint32_t fl) {
    dm_t k = { lo, gpa, hi - lo, fl };
    if (hi < lo || !fl) return S_INVAL;
    if (g_tree_lookup(p->t, &k)) return S_INVAL;
    dm_t *n = g_new0(dm_t, 1); *n = k; g_tree_insert(p->t, n, n); return S_OK;
}
static int p_unmap(peer_t *p, uint64_t lo, uint64_t hi) {
    dm_t k = { lo, 0, hi - lo, 0 }, *o;
    while ((o = g_tree_lookup(p->t, &k))) g_tree_remove(p->t, o);
    return S_OK;
}
static inline uint64_t p_xlate(peer_t *p, uint64_t a, uint32_t len, uint32_t perm) {
    dm_t k = { a, 0, 0, 0 }, *m = g_tree_lookup(p->t, &k);
    if (!m || (m->perm & perm) != perm) return FAULT;
    return g2h(m->xaddr + (a - m->iova), len);
}
static int p_range(peer_t *p, uint64_t a, uint64_t len, uint32_t perm, seg_t *o, int max) {
    int n = 0;
    while (len) {
        dm_t k = { a, 0, 0, 0 }, *m = g_tree_lookup(p->t, &k);
        if (!m || (m->perm & perm) != perm) return -1;
        uint64_t l = m->iova + m->size - a + 1; if (l > len) l = len;
        uint64_t h = g2h(m->xaddr + (a - m->iova), l); if (h == FAULT) return -1;
        if (n && o[n-1].host + o[n-1].len == h) o[n-1].len += l;
        else { if (n == max) return -1; o[n].host = h; o[n].len = l; n++; }
        a += l; len -= l;
    }
    return n;
}
