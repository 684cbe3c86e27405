// SPDX-License-Identifier: Apache-2.0
/* Peer "kernel-c" of the IOVA allocator, own code: what is handed out in a red-black tree by address (that of peer_rbtree.h),
 * searched from the top downwards from where the search ended last, with the same lists of freed small sizes in front as ours
 * has. It walks over what is handed out until a gap fits, and does not remember what has not fitted.
 * usage: iova WORKLOAD [reps]; iova pieces */
#define _GNU_SOURCE
#include "wl.h"
#include "peer_rbtree.h"
#include <sys/resource.h>

#define NAME "kernel-c"
#define ORDERS 6                        /* sizes up to 32 pages are powers of two, and kept at hand */
#define KEPT 128
#define NONE FAULT
#define LIVE_MAX 65536u
#define STEPS 300000u

static int reps = 5; static double v[64]; static int nv;
static void rec(uint64_t ns, uint64_t ops) { v[nv++] = (double)ns / ops; }
static void out(const char *w) { /* the first one is warm-up */
    struct rusage u; getrusage(RUSAGE_SELF, &u); qsort(v + 1, nv - 1, sizeof *v, cmp_d);
    printf("%s,%s,%.2f,%.2f,%.2f,%d,%ld,,\n", NAME, w, v[1 + (nv - 1) / 2], v[1], v[nv - 1], nv - 1, u.ru_maxrss); nv = 0;
}

/* pages from 1 to top; where the last search ended: everything above is taken, as far as is known */
typedef struct { peer_t *used; nd *at; uint64_t top, kept[ORDERS][KEPT]; int n[ORDERS]; } space;
static nd *below(nd *n) {
    if (n->l) { n = n->l; while (n->r) n = n->r; return n; }
    while (n->p && n == n->p->l) n = n->p;
    return n->p;
}
static nd *highest(nd *n) { while (n && n->r) n = n->r; return n; }
static int order(uint64_t pages) { return pages == 1 ? 0 : 64 - __builtin_clzll(pages - 1); }
static uint64_t size(uint64_t pages) { int o = order(pages); return o < ORDERS ? 1ull << o : pages; }
static uint64_t search(space *s, uint64_t pages, int o, nd *from, uint64_t end) {
    for (nd *n = from;; n = below(n)) {
        uint64_t floor = n ? n->hi + 1 : 1, place = end < pages ? 0 : (end - pages) & -(1ull << o);
        if (place >= floor) {
            nd *z = malloc(sizeof *z); z->lo = place; z->hi = place + pages - 1; rb_ins(s->used, z); s->at = z; return place;
        }
        if (!n) return NONE;
        end = n->lo;
    }
}
static uint64_t tree_take(space *s, uint64_t pages, int o) {
    uint64_t found = s->at ? search(s, pages, o, below(s->at), s->at->lo) : NONE;
    return found != NONE ? found : search(s, pages, o, highest(s->used->root), s->top + 1);
}
static void tree_free(space *s, uint64_t page) {
    nd *n = first(s->used, page, page);
    if (!n || n->lo != page) { fprintf(stderr, "0x%lx is not handed out\n", page); exit(2); }
    if (s->at && n->lo >= s->at->lo) s->at = next_nd(n);
    rb_del(s->used, n); free(n);
}
static void flush(space *s, int o, int left) { while (s->n[o] > left) tree_free(s, s->kept[o][--s->n[o]]); }
static uint64_t take(space *s, uint64_t pages) {
    int o = order(pages);
    if (o < ORDERS && s->n[o]) return s->kept[o][--s->n[o]];
    uint64_t page = tree_take(s, size(pages), o); int any = 0;
    for (int i = 0; i < ORDERS; i++) any |= s->n[i];
    if (page == NONE && any) { for (int i = 0; i < ORDERS; i++) flush(s, i, 0); page = tree_take(s, size(pages), o); }
    return page;
}
static void give(space *s, uint64_t page, uint64_t pages) {
    int o = order(pages);
    if (o >= ORDERS) { tree_free(s, page); return; }
    if (s->n[o] == KEPT) flush(s, o, KEPT / 2);
    s->kept[o][s->n[o]++] = page;
}
static space *space_new(uint64_t pages) { space *s = calloc(1, sizeof *s); s->used = p_new(); s->top = pages - 1; return s; }
static void space_free(space *s) { p_free(s->used); free(s); }

static uint64_t at[LIVE_MAX]; static uint32_t of[LIVE_MAX];
/* so many are live, of 1 to most pages; one of them goes and another one comes */
static void w_churn(uint64_t live, uint64_t most, const char *nm) {
    for (int r = 0; r <= reps; r++) {
        space *s = space_new(1u << 24); uint64_t x = SEED_A;
        for (uint64_t i = 0; i < live; i++) { x = xs64(x); of[i] = 1 + idx(x, most); at[i] = take(s, of[i]); }
        uint64_t t = cpu_ns();
        for (uint64_t i = 0; i < STEPS; i++) {
            x = xs64(x); uint64_t k = idx(x, live); give(s, at[k], of[k]);
            x = xs64(x); of[k] = 1 + idx(x, most); at[k] = take(s, of[k]);
            if (at[k] == NONE) { fprintf(stderr, "nothing free\n"); exit(2); }
        }
        rec(cpu_ns() - t, STEPS); space_free(s);
    }
    out(nm);
}
/* a space of 1 GiB that is filled with 1 to 64 pages until something has not fitted, and every other one given back */
#define SMALL (1u << 18)
static uint64_t fill(space *s, uint64_t *pages) {
    uint64_t x = SEED_A, n = 0; *pages = 0;
    for (;; n++) {
        x = xs64(x); of[n] = 1 + idx(x, 64); at[n] = take(s, of[n]);
        if (at[n] == NONE) return n;
        *pages += of[n];
    }
}
static void w_full(const char *nm) {
    for (int r = 0; r <= reps; r++) {
        space *s = space_new(SMALL); uint64_t pages, n = fill(s, &pages), tries = 2000, t;
        (void)n; while (take(s, 64) != NONE) ;
        t = cpu_ns(); for (uint64_t i = 0; i < tries; i++) if (take(s, 64) != NONE) exit(2);
        rec(cpu_ns() - t, tries); space_free(s);
    }
    out(nm);
}
static void pieces(void) {
    space *s = space_new(SMALL); uint64_t pages, n = fill(s, &pages), back = 0, again = 0;
    printf("%s: %.1f %% of the space handed out when 1 to 64 pages do not fit first; ", NAME, 100.0 * pages / (SMALL - 1));
    for (uint64_t i = 0; i < n; i += 2) { give(s, at[i], of[i]); back += size(of[i]); }
    while (take(s, 64) != NONE) again += 64;
    printf("of every other one given back, %.1f %% again as 64 pages\n", 100.0 * again / back); space_free(s);
}
/* no two overlap, all are aligned, and what is free is found */
static int check(void) {
    space *s = space_new(4096); uint64_t x = SEED_A; int live = 0, bad = 0; static uint8_t taken[4096];
    for (int i = 0; i < 200000; i++) {
        x = xs64(x); int k = idx(x, live + 1);
        if (k < live && (x & 1)) {
            for (uint64_t p = 0; p < size(of[k]); p++) taken[at[k] + p] = 0;
            give(s, at[k], of[k]); at[k] = at[--live]; of[k] = of[live];
        } else {
            uint64_t n = 1 + idx(xs64(x), 48), got = take(s, n); if (got == NONE) continue;
            if (got == 0 || got + size(n) > 4096 || (got & ((1ull << order(n)) - 1))) bad = 1;
            for (uint64_t p = 0; p < size(n) && !bad; p++) { bad |= taken[got + p]; taken[got + p] = 1; }
            at[live] = got; of[live++] = n;
        }
    }
    while (live) { live--; give(s, at[live], of[live]); }
    if (take(s, 2048) != 2048) bad = 1;
    space_free(s); printf("%s: %s\n", NAME, bad ? "BAD" : "check ok"); return bad;
}
int main(int c, char **a) {
    const char *w = c > 1 ? a[1] : "check"; char nm[64]; uint64_t live, most; if (c > 2) reps = atoi(a[2]);
    snprintf(nm, sizeof nm, "host-%s", w);
    if (!strcmp(w, "check")) return check();
    if (!strcmp(w, "pieces")) pieces();
    else if (!strcmp(w, "iova-full")) w_full(nm);
    else if (sscanf(w, "iova-%lu-%lu", &live, &most) == 2 && live && live <= LIVE_MAX && most) w_churn(live, most, nm);
    else { fprintf(stderr, "unknown workload\n"); return 1; }
    return 0;
}
