// SPDX-License-Identifier: Apache-2.0
/* Peer "kernel-c": what stands behind /dev/iommu in the kernel, reduced to its structures, own code: interval trees of
 * areas, reserved and allowed IOVAs (the red-black tree of peer_rbtree.h), an interval tree per pages object, a radix
 * table of object ids with 64 slots a node, page tables of four levels, a counter per held page, and the three locks that
 * every call takes. One line per figure, as bench.c writes them.
 * usage: hostmodel WORKLOAD [reps] */
#define _GNU_SOURCE
#include "wl.h"
#include "peer_rbtree.h"
#include <sched.h>
#include <sys/resource.h>
#include <stddef.h>
#include <unistd.h>

#define NAME "kernel-c"
#define HUGE_LEN (2ull << 20)
#define MEM_PAGES (1u << 18)            /* a program with 1 GiB */
#define VA 0x7f0000000000ull
#define MAXD 8

/* page tables: 4 levels of 512, leaves of 4 KiB and 2 MiB */
typedef struct { uint64_t e[512]; } tab;
static tab *tab_new(void) { return aligned_alloc(4096, sizeof(tab)) ?: (abort(), NULL); }
static tab *tab_zero(void) { tab *t = tab_new(); memset(t, 0, sizeof *t); return t; }
static void pt_map(tab *t, uint64_t iova, uint64_t pa, uint64_t len) {
    while (len) {
        int big = !((iova | pa) & (HUGE_LEN - 1)) && len >= HUGE_LEN; tab *n = t;
        for (int l = 3; l > big; l--) {
            uint64_t *e = &n->e[iova >> (12 + 9 * l) & 511];
            if (!*e) *e = (uint64_t)tab_zero() | 1;
            n = (tab *)(*e & ~4095ull);
        }
        uint64_t step = big ? HUGE_LEN : PG;
        n->e[iova >> (big ? 21 : 12) & 511] = pa | 3 | (big ? 128 : 0);
        iova += step; pa += step; len -= step;
    }
}
static uint64_t pt_find(tab *t, uint64_t iova, uint64_t *size) {
    for (int l = 3;; l--) {
        uint64_t e = t->e[iova >> (12 + 9 * l) & 511];
        if (!e) return FAULT;
        if (!l || (e & 128)) { *size = 1ull << (12 + 9 * l); return (e & 0xffffffffff000ull) + (iova & (*size - 1)); }
        t = (tab *)(e & ~4095ull);
    }
}
/* the kernel keeps emptied tables out of sight until the flush and frees them; this keeps them, which is cheaper */
static void pt_unmap(tab *t, uint64_t iova, uint64_t len) {
    while (len) {
        tab *n = t; uint64_t step = PG;
        for (int l = 3;; l--) {
            uint64_t *e = &n->e[iova >> (12 + 9 * l) & 511];
            if (!l || (*e & 128)) { step = 1ull << (12 + 9 * l); *e = 0; break; }
            n = (tab *)(*e & ~4095ull);
        }
        iova += step; len -= step;
    }
}

/* held pages: a program's memory, and how often each page is held; physically scattered, in blocks of 2 MiB */
static uint32_t *refs; static uint8_t *bytes; static uint64_t pinned;
static uint64_t frame(uint64_t page) { return ((page >> 9) * 0x9E3779B1ull & (MEM_PAGES / 512 - 1)) << 9 | (page & 511); }

typedef struct pages { uint64_t va, npages, users, charged; peer_t filled; pthread_mutex_t m; } pages;
typedef struct area { nd n, inpages; pages *p; uint64_t start; int prot, accesses, locks; tab *storage; } area;
typedef struct { peer_t areas, reserved, allowed; tab *dom[MAXD]; int ndom; pthread_rwlock_t domains, iova; } ioas;
typedef struct { uint64_t pfn; uint32_t n; } run;
static run batch[4096]; static int nrun;

/* the table of ids: 64 slots a node, readers without a lock */
typedef struct xnode { void *slot[64]; } xnode;
typedef struct { xnode *root; int shift; uint32_t low; pthread_mutex_t m; } xtab;
static void *x_load(xtab *x, uint32_t id) {
    xnode *n = __atomic_load_n(&x->root, __ATOMIC_ACQUIRE);
    for (int s = x->shift; n && s > 0; s -= 6) n = __atomic_load_n(&n->slot[id >> s & 63], __ATOMIC_ACQUIRE);
    return n ? __atomic_load_n(&n->slot[id & 63], __ATOMIC_ACQUIRE) : 0;
}
static void x_store(xtab *x, uint32_t id, void *p) {
    xnode *n = x->root;
    for (int s = x->shift; s > 0; s -= 6) {
        void **e = &n->slot[id >> s & 63];
        if (!*e) __atomic_store_n(e, calloc(1, sizeof(xnode)), __ATOMIC_RELEASE);
        n = *e;
    }
    __atomic_store_n(&n->slot[id & 63], p, __ATOMIC_RELEASE);
}

static xtab objs;
static ioas *ioas_new(int ndom) {
    ioas *s = calloc(1, sizeof *s); s->ndom = ndom;
    pthread_rwlock_init(&s->domains, 0); pthread_rwlock_init(&s->iova, 0);
    for (int i = 0; i < ndom; i++) s->dom[i] = tab_zero();
    if (ndom) { /* what lies outside the aperture */
        nd *r = calloc(1, sizeof *r); r->lo = 0; r->hi = PG * 16 - 1; rb_ins(&s->reserved, r);
        r = calloc(1, sizeof *r); r->lo = 1ull << 47; r->hi = FAULT; rb_ins(&s->reserved, r);
    }
    return s;
}
/* all that is mapped, copies included, in an order in which it was */
static void fill(ioas *s, area *a) {
    pages *p = a->p; uint64_t from = a->start >> 12, n = (a->n.hi - a->n.lo + 1 + PG - 1) >> 12, off = a->start & (PG - 1);
    if (!s->ndom) return;
    pthread_mutex_lock(&p->m); nrun = 0;
    uint64_t fresh = 0;
    for (uint64_t i = 0; i < n;) {
        nd *f = first(&p->filled, from + i, from + i);
        uint64_t pfn, k;
        if (f) { /* held already: read back from the page table that has it */
            area *o = (area *)((char *)f - offsetof(area, inpages)); uint64_t size;
            pfn = pt_find(o->storage, o->n.lo + ((from + i - o->inpages.lo) << 12), &size) >> 12; k = 1;
        } else {
            uint64_t page = ((p->va - VA) >> 12) + from + i; pfn = frame(page); refs[pfn]++; pinned++; fresh++; k = 1;
        }
        if (nrun && batch[nrun - 1].pfn + batch[nrun - 1].n == pfn) batch[nrun - 1].n++;
        else batch[nrun++] = (run){ pfn, 1 };
        i += k;
    }
    uint64_t at = a->n.lo;
    for (int d = 0; d < s->ndom; d++, at = a->n.lo)
        for (int r = 0; r < nrun; r++) {
            uint64_t len = (uint64_t)batch[r].n << 12;
            pt_map(s->dom[d], at, (batch[r].pfn << 12) + (r ? 0 : off), len); at += len;
        }
    p->charged += fresh; a->storage = s->dom[0];
    a->inpages.lo = from; a->inpages.hi = from + n - 1; rb_ins(&p->filled, &a->inpages);
    pthread_mutex_unlock(&p->m);
}
static void unfill(ioas *s, area *a) {
    pages *p = a->p; if (!a->storage) return;
    pthread_mutex_lock(&p->m);
    rb_del(&p->filled, &a->inpages);
    uint64_t len = a->n.hi - a->n.lo + 1; nrun = 0;
    for (uint64_t i = 0, size; i < len; i += size) {
        uint64_t pa = pt_find(s->dom[0], a->n.lo + i, &size); if (size > len - i) size = len - i;
        if (!first(&p->filled, a->inpages.lo + (i >> 12), a->inpages.lo + (i >> 12) + (size >> 12) - 1)) {
            if (nrun && batch[nrun - 1].pfn + batch[nrun - 1].n == pa >> 12) batch[nrun - 1].n += size >> 12;
            else batch[nrun++] = (run){ pa >> 12, size >> 12 };
        }
    }
    for (int d = 0; d < s->ndom; d++) pt_unmap(s->dom[d], a->n.lo, len);
    for (int r = 0; r < nrun; r++) for (uint32_t i = 0; i < batch[r].n; i++) { refs[batch[r].pfn + i]--; pinned--; p->charged--; }
    a->storage = 0;
    pthread_mutex_unlock(&p->m);
}
/* first fit from below by walking over what is used, as iopt_alloc_iova does: linear in what lies before the hole */
static uint64_t automatic(ioas *s, uint64_t len, uint64_t align) {
    uint64_t at = PG;
    nd *a = first(&s->areas, at, FAULT), *r = first(&s->reserved, at, FAULT);
    for (;;) {
        uint64_t end = FAULT;
        if (a && a->lo < end) end = a->lo;
        if (r && r->lo < end) end = r->lo > at ? r->lo : at;
        uint64_t c = (at + align - 1) & -align;
        if (c >= at && end > c && end - c >= len) return c;
        if (r && (!a || r->lo <= a->lo)) { if (r->hi + 1 > at) at = r->hi + 1; if (!at) return FAULT; r = next_nd(r); }
        else if (a) { if (a->hi + 1 > at) at = a->hi + 1; a = next_nd(a); }
        else return FAULT;
    }
}
static area *insert(ioas *s, pages *p, uint64_t start, uint64_t len, uint64_t iova, int fixed) {
    area *a = calloc(1, sizeof *a); a->p = p; a->start = start; a->prot = 3;
    pthread_rwlock_wrlock(&s->iova);
    if (!fixed) iova = automatic(s, len, PG);
    else if (first(&s->reserved, iova, iova + len - 1) || first(&s->areas, iova, iova + len - 1)) { fprintf(stderr, "taken\n"); exit(2); }
    a->n.lo = iova; a->n.hi = iova + len - 1; rb_ins(&s->areas, &a->n); p->users++;
    pthread_rwlock_unlock(&s->iova);
    return a;
}
static uint64_t map(uint32_t id, uint64_t va, uint64_t len, uint64_t iova, int fixed) {
    ioas *s = x_load(&objs, id);
    pages *p = calloc(1, sizeof *p); p->va = va & -PG; p->npages = len >> 12; pthread_mutex_init(&p->m, 0);
    pthread_rwlock_rdlock(&s->domains);
    area *a = insert(s, p, va & (PG - 1), len, iova, fixed); fill(s, a);
    pthread_rwlock_unlock(&s->domains);
    return a->n.lo;
}
static void copy(uint32_t dst, uint32_t src, uint64_t from, uint64_t len, uint64_t to) {
    ioas *s = x_load(&objs, src), *d = x_load(&objs, dst);
    pthread_rwlock_rdlock(&s->iova);
    area *o = (area *)first(&s->areas, from, from + len - 1);
    if (!o || o->n.lo > from || o->n.hi < from + len - 1) { fprintf(stderr, "no source\n"); exit(2); }
    pages *p = o->p; uint64_t start = o->start + (from - o->n.lo);
    pthread_rwlock_unlock(&s->iova);
    pthread_rwlock_rdlock(&d->domains);
    fill(d, insert(d, p, start, len, to, 1));
    pthread_rwlock_unlock(&d->domains);
}
static void unmap(uint32_t id, uint64_t iova, uint64_t len) {
    ioas *s = x_load(&objs, id); nd *n; int done = 0;
    pthread_rwlock_rdlock(&s->domains); pthread_rwlock_wrlock(&s->iova);
    while ((n = first(&s->areas, iova, iova + len - 1))) {
        area *a = (area *)n;
        if (n->lo < iova || n->hi > iova + len - 1 || a->accesses || a->locks) break;
        pthread_rwlock_unlock(&s->iova); /* as the kernel does around what can take long */
        unfill(s, a);
        pthread_rwlock_wrlock(&s->iova);
        rb_del(&s->areas, n);
        if (!--a->p->users) { if (a->p->charged) { fprintf(stderr, "charged\n"); exit(2); } free(a->p); }
        free(a); done = 1;
    }
    pthread_rwlock_unlock(&s->iova); pthread_rwlock_unlock(&s->domains);
    if (!done) { fprintf(stderr, "nothing there\n"); exit(2); }
}
static void rw(uint32_t id, uint64_t iova, void *buf, uint64_t len, int wr) {
    ioas *s = x_load(&objs, id);
    pthread_rwlock_rdlock(&s->iova);
    while (len) {
        area *a = (area *)first(&s->areas, iova, iova); uint64_t size, k = PG - (iova & (PG - 1));
        if (!a) { fprintf(stderr, "hole\n"); exit(2); }
        if (k > len) k = len;
        uint64_t pa = pt_find(a->storage, iova, &size);
        if (wr) memcpy(bytes + pa, buf, k); else memcpy(buf, bytes + pa, k);
        iova += k; len -= k; buf = (char *)buf + k;
    }
    pthread_rwlock_unlock(&s->iova);
}

static double v[64]; static int nv, reps = 5; static uint64_t chk;
static void rec(uint64_t ns, uint64_t ops) { v[nv++] = (double)ns / ops; }
static void out(const char *w) { /* the first one is warm-up */
    struct rusage u; getrusage(RUSAGE_SELF, &u);
    qsort(v + 1, nv - 1, sizeof *v, cmp_d);
    printf("%s,%s,%.2f,%.2f,%.2f,%d,%ld,,%lx\n", NAME, w, v[1 + (nv - 1) / 2], v[1], v[nv - 1], nv - 1, u.ru_maxrss, chk); nv = 0;
}
static void setup(void) {
    refs = calloc(MEM_PAGES, sizeof *refs);
    objs.root = calloc(1, sizeof(xnode)); objs.shift = 12; objs.low = 1;
}
static void w_map(int ndom, uint64_t len, uint64_t n, uint64_t ops, const char *nm) {
    x_store(&objs, 1, ioas_new(ndom));
    for (uint64_t i = 0; i < n; i++) map(1, VA + i * len, len, BASE + i * len, 1);
    uint64_t x = SEED_A;
    for (int r = 0; r <= reps; r++) {
        uint64_t s = cpu_ns();
        for (uint64_t i = 0; i < ops; i++) {
            x = xs64(x); uint64_t k = idx(x, n);
            unmap(1, BASE + k * len, len); map(1, VA + k * len, len, BASE + k * len, 1);
        }
        rec(cpu_ns() - s, ops);
    }
    if (pinned != (ndom ? n * (len >> 12) : 0)) { fprintf(stderr, "held %lu\n", pinned); exit(2); }
    out(nm);
}
static void w_areas(uint64_t n, int fixed, const char *nm) {
    uint64_t step = fixed ? 2 * PG : PG, ops = fixed ? 200000 : n < 1000 ? 200000 : n < 100000 ? 20000000 / n : 20, x = SEED_A;
    x_store(&objs, 1, ioas_new(0));
    for (uint64_t i = 0; i < n; i++) map(1, VA + (i & (MEM_PAGES - 1)) * PG, PG, PG + i * step, 1);
    for (int r = 0; r <= reps; r++) {
        uint64_t s = cpu_ns();
        for (uint64_t i = 0; i < ops; i++) {
            x = xs64(x); uint64_t at = PG + idx(x, n) * step;
            unmap(1, at, PG); if (map(1, VA, PG, at, fixed) != at) { fprintf(stderr, "elsewhere\n"); exit(2); }
        }
        rec(cpu_ns() - s, ops);
    }
    out(nm);
}
static void w_copy(uint64_t len, uint64_t n, uint64_t ops, const char *nm) {
    x_store(&objs, 1, ioas_new(1)); x_store(&objs, 2, ioas_new(1)); uint64_t x = SEED_A;
    for (uint64_t i = 0; i < n; i++) { map(1, VA + i * len, len, BASE + i * len, 1); copy(2, 1, BASE + i * len, len, BASE + i * len); }
    for (int r = 0; r <= reps; r++) {
        uint64_t s = cpu_ns();
        for (uint64_t i = 0; i < ops; i++) {
            x = xs64(x); uint64_t k = idx(x, n);
            unmap(2, BASE + k * len, len); copy(2, 1, BASE + k * len, len, BASE + k * len);
        }
        rec(cpu_ns() - s, ops);
    }
    if (pinned != n * (len >> 12)) { fprintf(stderr, "held %lu\n", pinned); exit(2); }
    out(nm);
}
static void w_rw(uint64_t len, int wr, const char *nm) {
    uint64_t n = 4096, ops = 500000, x = SEED_A; static char buf[PG];
    bytes = calloc(MEM_PAGES, PG); x_store(&objs, 1, ioas_new(1));
    for (uint64_t i = 0; i < n; i++) map(1, VA + i * PG, PG, BASE + i * PG, 1);
    for (uint64_t i = 0; i < n; i++) rw(1, BASE + i * PG, buf, PG, 1); /* what nobody has written is one page of zeros */
    for (int r = 0; r <= reps; r++) {
        uint64_t s = cpu_ns();
        for (uint64_t i = 0; i < ops; i++) { x = xs64(x); rw(1, BASE + (idx(x, n - 1) << 12) + (x & 0xff8), buf, len, wr); }
        rec(cpu_ns() - s, ops);
    }
    out(nm);
}
static volatile int stop; static uint64_t churned;
static void pin(int c) { cpu_set_t m; CPU_ZERO(&m); CPU_SET(c, &m); sched_setaffinity(0, sizeof m, &m); }
static void *churn(void *arg) { /* makes and destroys objects above those that are looked up */
    static uint64_t dummy[64]; (void)arg; pin(0);
    while (!stop) for (uint32_t i = 0; i < 64; i++) {
        pthread_mutex_lock(&objs.m); x_store(&objs, 2000 + i, dummy + i); pthread_mutex_unlock(&objs.m);
        pthread_mutex_lock(&objs.m); x_store(&objs, 2000 + i, 0); pthread_mutex_unlock(&objs.m); churned++;
    }
    return 0;
}
static void w_lookup(int both, const char *nm) {
    static uint64_t obj[1024]; uint64_t ops = 20000000, x = SEED_A; pthread_t t; pin(1);
    for (int i = 0; i < 1024; i++) { obj[i] = i; x_store(&objs, i + 1, &obj[i]); }
    for (int r = 0; r <= reps; r++) {
        stop = 0; if (both) pthread_create(&t, 0, churn, 0);
        uint64_t sum = 0, s = now_ns();
        for (uint64_t i = 0; i < ops; i++) { x = xs64(x); sum += *(uint64_t *)x_load(&objs, 1 + (x >> 32 & 1023)); }
        rec(now_ns() - s, ops); chk = sum; stop = 1; if (both) pthread_join(t, 0);
    }
    out(nm);
}
/* H_PUT_TCE as a kernel does it: a list of guest tables, slots of guest memory, a list of registered regions with the
 * address of each page, a hardware table with user addresses beside it, the guest's own table in pages; one group */
typedef struct region { struct region *next; uint64_t ua, pages, *hpas; long mapped; } region;
typedef struct { uint64_t gpa, pages, ua; } slot;
typedef struct guest { struct guest *next; uint64_t liobn, shift, offset, size, **pages; uint64_t *hw, *user; uint64_t first, entries; } guest;
static region *regions; static slot slots[2]; static int nslots; static guest *guests;
static int to_user(uint64_t gpa, uint64_t *ua) {
    int lo = 0, hi = nslots;
    while (lo < hi) { int m = (lo + hi) / 2; if (gpa >= slots[m].gpa) hi = m; else lo = m + 1; } /* highest first */
    if (lo >= nslots || gpa - slots[lo].gpa >= slots[lo].pages << 12) return -1;
    *ua = slots[lo].ua + (gpa - slots[lo].gpa); return 0;
}
static region *region_of(uint64_t ua) {
    for (region *r = __atomic_load_n(&regions, __ATOMIC_ACQUIRE); r; r = r->next)
        if (r->ua <= ua && ua + PG <= r->ua + (r->pages << 12)) return r;
    return 0;
}
static int64_t put_tce(uint64_t liobn, uint64_t ioba, uint64_t tce) {
    guest *g = __atomic_load_n(&guests, __ATOMIC_ACQUIRE); uint64_t ua, i = ioba >> 12, gpa = tce & ~3ull;
    while (g && g->liobn != liobn) g = g->next;
    if (!g) return 9999;
    if ((ioba & (PG - 1)) || i < g->offset || i - g->offset >= g->size) return -4;
    if ((gpa & (PG - 1)) || to_user(gpa, &ua) || !region_of(ua)) return 9999;
    region *r = region_of(ua); uint64_t hpa = r->hpas[(ua - r->ua) >> 12];
    long m = __atomic_load_n(&r->mapped, __ATOMIC_RELAXED);
    do if (!m) return 9999; while (!__atomic_compare_exchange_n(&r->mapped, &m, m + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    uint64_t old = __atomic_exchange_n(&g->hw[i - g->first], hpa | (tce & 3), __ATOMIC_SEQ_CST);
    if (old & 3) { region *o = region_of(g->user[i - g->first]); if (!o) return 9999; __atomic_fetch_sub(&o->mapped, 1, __ATOMIC_SEQ_CST); }
    g->user[i - g->first] = ua;
    uint64_t k = i - g->offset, *p = g->pages[k >> 9];
    if (!p) p = g->pages[k >> 9] = calloc(512, 8);
    p[k & 511] = tce; return 0;
}
static void w_tce(const char *nm) {
    static guest g; static region r; uint64_t n = 4096, ops = 1000000, x = SEED_A;
    r.ua = VA; r.pages = MEM_PAGES; r.hpas = calloc(MEM_PAGES, 8); r.mapped = 1; regions = &r;
    for (uint64_t i = 0; i < MEM_PAGES; i++) r.hpas[i] = frame(i) << 12;
    slots[0] = (slot){ 0, MEM_PAGES, VA }; nslots = 1;
    g = (guest){ 0, 0x80000001, 12, 0, MEM_PAGES, calloc(MEM_PAGES / 512, 8), calloc(MEM_PAGES, 8), calloc(MEM_PAGES, 8), 0, MEM_PAGES };
    guests = &g;
    for (uint64_t i = 0; i < n; i++) if (put_tce(0x80000001, i * PG, i * PG | 3)) exit(2);
    for (int k = 0; k <= reps; k++) {
        uint64_t s = cpu_ns(); x = SEED_A;
        for (uint64_t i = 0; i < ops; i++) {
            x = xs64(x);
            if (put_tce(0x80000001, idx(x, n) * PG, (uint32_t)x % MEM_PAGES * PG | 3)) { fprintf(stderr, "refused\n"); exit(2); }
        }
        rec(cpu_ns() - s, ops);
    }
    if (r.mapped != 1 + (long)n) { fprintf(stderr, "mapped %ld\n", r.mapped); exit(2); }
    chk = g.hw[7]; out(nm);
}
/* ids with a set and an owner; a section is a slot and a fence, since the end of sections is not free in user space */
typedef struct { uint32_t set; uint64_t *priv; } ioasid;
static struct { _Alignas(128) uint64_t section; } readers[2];
static uint64_t ioasid_find(int reader, uint32_t set, uint32_t id) {
    uint64_t *mine = &readers[reader].section, now = *mine, got = 0;
    __atomic_store_n(mine, now + 1, __ATOMIC_RELAXED); __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ioasid *i = x_load(&objs, id); uint64_t *p;
    if (i && i->set == set && (p = __atomic_load_n(&i->priv, __ATOMIC_ACQUIRE))) got = *p;
    __atomic_store_n(mine, now + 2, __ATOMIC_RELEASE);
    return got;
}
static uint64_t ioasid_look(int reader, uint64_t n) {
    uint64_t x = SEED_A, sum = 0;
    for (uint64_t i = 0; i < n; i++) { x = xs64(x); sum += ioasid_find(reader, 7, 1 + (x >> 32 & 1023)); }
    return sum;
}
static void *ioasid_read(void *arg) { (void)arg; pin(0); while (!stop) churned += ioasid_look(1, 1 << 16); return 0; }
static void *ioasid_churn(void *arg) { /* allocates and frees beside the ids that are looked up */
    static uint64_t owner; (void)arg; pin(0);
    while (!stop) {
        pthread_mutex_lock(&objs.m); ioasid *i = malloc(sizeof *i); *i = (ioasid){ 7, &owner }; x_store(&objs, 2000, i); pthread_mutex_unlock(&objs.m);
        pthread_mutex_lock(&objs.m); x_store(&objs, 2000, 0); __atomic_thread_fence(__ATOMIC_SEQ_CST);
        uint64_t seen = __atomic_load_n(&readers[0].section, __ATOMIC_ACQUIRE);
        while (seen & 1 && __atomic_load_n(&readers[0].section, __ATOMIC_ACQUIRE) == seen);
        free(i); pthread_mutex_unlock(&objs.m); churned++;
    }
    return 0;
}
static void w_ioasid(void *(*beside)(void *), const char *nm) {
    static uint64_t own[1024]; static ioasid id[1024]; uint64_t ops = 20000000; pthread_t t; pin(1);
    for (int i = 0; i < 1024; i++) { own[i] = i + 1; id[i] = (ioasid){ 7, &own[i] }; x_store(&objs, i + 1, &id[i]); }
    for (int r = 0; r <= reps; r++) {
        stop = 0; if (beside) pthread_create(&t, 0, beside, 0);
        uint64_t s = now_ns(); chk = ioasid_look(0, ops); rec(now_ns() - s, ops);
        stop = 1; if (beside) pthread_join(t, 0);
    }
    out(nm);
}
/* Entries of a guest's SMMUv3 as the kernel takes them: copied in, converted with the host's names of streams and the
 * VMID, issued in groups of 63 with a fence behind each; the hardware is an IOTLB of sets of four. Those of virtio are
 * made commands first. A queue of the guest's own is read where it is, and its end is written back. */
typedef struct { uint64_t tag, va; } tlbe;
static tlbe tlb[1024][4]; static uint64_t dropped; static xtab streams;
static int convert(uint64_t *c) {
    switch (c[0] & 0xff) {
    case 0x30: c[0] = 0x10; c[1] = 0; /* fall through */
    case 0x10: case 0x11: case 0x12: case 0x13: c[0] = (c[0] & ~0xffff00000000ull) | 5ull << 32; return 0;
    case 0x05: case 0x06: case 0x40: {
        uint64_t *sid = x_load(&streams, c[0] >> 32 & 0xffffff);
        if (!sid) return -5;
        c[0] = (c[0] & 0xffffffff) | *sid << 32; return 0; }
    default: return -5;
    }
}
static void issue(uint64_t (*c)[2], int n) {
    for (int i = 0; i < n; i++) {
        uint64_t tag = c[i][0] >> 32, va = c[i][1] & ~4095ull; int lo = 0, hi = 1024;
        if ((c[i][0] & 0xff) == 0x12) lo = va >> 12 & 1023, hi = lo + 1;
        for (int s = lo; s < hi; s++) for (int k = 0; k < 4; k++) {
            tlbe *e = &tlb[s][k]; uint64_t t = __atomic_load_n(&e->tag, __ATOMIC_RELAXED);
            if (t == tag && (hi - lo > 1 || e->va == va)) { __atomic_store_n(&e->tag, 0, __ATOMIC_RELEASE); dropped++; }
        }
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
static int from_virtio(const uint8_t *r, uint64_t *c) {
    uint16_t gran, type, flags; uint64_t id, va, pages; memcpy(&gran, r + 4, 2); memcpy(&type, r + 6, 2); memcpy(&flags, r + 8, 2);
    memcpy(&id, r + 24, 8); memcpy(&va, r + 32, 8); memcpy(&pages, r + 40, 8);
    if (r[0] != 7 || !type || type & ~7 || flags & ~7 || id >> 16 || r[48] < 12 || r[48] > 63) return -22;
    if (gran == 1) { c[0] = 0x10; c[1] = 0; return 0; }
    if (gran == 2) { c[0] = 0x11 | id << 48; c[1] = 0; return 0; }
    if (gran != 4 || !pages || va & ((1ull << r[48]) - 1)) return -22;
    c[0] = 0x12 | id << 48; c[1] = va; return 0;
}
static void w_nested(const char *kind, int batch, const char *nm) {
    enum { Q = 1024 }; static uint64_t q[Q][2], in[512][2], grp[63][2]; static uint8_t vq[Q][64], vin[512][64];
    static uint32_t prod, cons; static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; uint64_t ops = 2000000; int at = 0;
    static uint64_t sid = 1; streams.root = calloc(1, sizeof(xnode)); streams.shift = 12; x_store(&streams, 7, &sid);
    for (uint64_t i = 0; i < Q; i++) {
        uint64_t va = 0x1000000000ull + (i << 12), id = 9, pages = 1; uint16_t gran = 4, type = 1, flags = 2;
        q[i][0] = 0x12 | id << 48; q[i][1] = va; vq[i][0] = 7; vq[i][48] = 12;
        tlb[va >> 12 & 1023][0] = (tlbe){ id << 16 | 0x7777, va }; /* another guest's, which is looked at and stays */
        memcpy(vq[i] + 4, &gran, 2); memcpy(vq[i] + 6, &type, 2); memcpy(vq[i] + 8, &flags, 2);
        memcpy(vq[i] + 24, &id, 8); memcpy(vq[i] + 32, &va, 8); memcpy(vq[i] + 40, &pages, 8);
    }
    int virtio = !strcmp(kind, "virtio"), direct = !strcmp(kind, "direct");
    for (int k = 0; k <= reps; k++) {
        uint64_t s = cpu_ns();
        for (uint64_t done = 0; done < ops; done += batch) {
            pthread_mutex_lock(&lock);
            if (direct) __atomic_store_n(&prod, (prod + batch) & (2 * Q - 1), __ATOMIC_RELEASE);
            if (at + batch > Q && !direct) at = 0;
            if (virtio) memcpy(vin, vq[at], 64ul * batch); else if (!direct) memcpy(in, q[at], 16ul * batch);
            int n = direct ? (int)((__atomic_load_n(&prod, __ATOMIC_ACQUIRE) - cons) & (2 * Q - 1)) : batch, g = 0;
            for (int i = 0; i < n; i++) {
                uint64_t *c = grp[g];
                if (direct) { c[0] = q[cons & (Q - 1)][0]; c[1] = q[cons & (Q - 1)][1]; cons = (cons + 1) & (2 * Q - 1); }
                else if (virtio) { if (from_virtio(vin[i], c)) exit(2); }
                else { c[0] = in[i][0]; c[1] = in[i][1]; }
                if (convert(c)) exit(2);
                if (++g == 63) issue(grp, g), g = 0;
            }
            if (g) issue(grp, g);
            at += batch; pthread_mutex_unlock(&lock);
        }
        rec(cpu_ns() - s, ops);
    }
    chk = dropped; out(nm);
}
/* A page request as the kernel has it: a group is made and queued, read with a cookie out of a table, answered by that
 * cookie, told to the device and freed, under the locks of the queue and of the table. */
typedef struct fgroup { struct fgroup *next; uint64_t addr; uint32_t grpid, pasid, perm, flags; } fgroup;
static struct { pthread_mutex_t queue, table; fgroup *head, **tail; xtab cookies; uint64_t told; } fq;
static void request(uint32_t grpid, uint64_t addr) {
    fgroup *g = malloc(sizeof *g); *g = (fgroup){ 0, addr, grpid, 0, 1, 2 };
    pthread_mutex_lock(&fq.queue); *fq.tail = g; fq.tail = &g->next; pthread_mutex_unlock(&fq.queue);
}
static int take_request(uint32_t *out) {
    pthread_mutex_lock(&fq.queue);
    fgroup *g = fq.head; if (g && !(fq.head = g->next)) fq.tail = &fq.head;
    pthread_mutex_unlock(&fq.queue); if (!g) return -1;
    pthread_mutex_lock(&fq.table);
    uint32_t cookie = fq.cookies.low; while (x_load(&fq.cookies, cookie)) cookie++;
    x_store(&fq.cookies, cookie, g); pthread_mutex_unlock(&fq.table);
    out[0] = g->flags; out[1] = 7; out[2] = g->pasid; out[3] = g->grpid; out[4] = g->perm; memcpy(out + 6, &g->addr, 8);
    out[8] = 0; out[9] = cookie; return 0;
}
static int answer_request(uint32_t cookie, uint32_t code) {
    pthread_mutex_lock(&fq.table); fgroup *g = x_load(&fq.cookies, cookie); if (g) x_store(&fq.cookies, cookie, 0);
    pthread_mutex_unlock(&fq.table); if (!g || code > 1) return -22;
    __atomic_store_n(&fq.told, fq.told + 1, __ATOMIC_RELEASE); free(g); return 0;
}
static void w_request(const char *nm) {
    uint64_t ops = 200000; uint32_t got[10]; fq.tail = &fq.head; fq.cookies.root = calloc(1, sizeof(xnode)); fq.cookies.shift = 12;
    fq.cookies.low = 1; pthread_mutex_init(&fq.queue, 0); pthread_mutex_init(&fq.table, 0);
    for (int k = 0; k <= reps; k++) {
        uint64_t s = cpu_ns();
        for (uint64_t i = 0; i < ops; i++) {
            request(i & 0x1ff, i << 12);
            if (take_request(got) || got[3] != (i & 0x1ff) || answer_request(got[9], 0)) exit(2);
        }
        rec(cpu_ns() - s, ops);
    }
    chk = fq.told; out(nm);
}
static void check(void) {
    x_store(&objs, 1, ioas_new(2)); x_store(&objs, 2, ioas_new(1));
    uint64_t at = map(1, VA + PG, HUGE_LEN, 0, 0), size; ioas *s = x_load(&objs, 1);
    map(1, VA, PG, at + HUGE_LEN + PG, 1); copy(2, 1, at + PG, 2 * PG, at);
    int bad = at != 16 * PG || pinned != 513 || pt_find(s->dom[1], at + 5, &size) != (frame(1) << 12) + 5;
    unmap(1, at, HUGE_LEN); bad |= pinned != 3; /* two of the copy, one beside it */
    bad |= map(1, VA, PG, 0, 0) != at; unmap(2, at, 2 * PG); bad |= pinned != 2 || refs[frame(0)] != 2;
    unmap(1, 0, FAULT); bad |= pinned != 0 || s->areas.root || x_load(&objs, 3);
    printf("%s: %s\n", NAME, bad ? "BAD" : "check ok"); exit(bad);
}
int main(int c, char **a) {
    const char *w = c > 1 ? a[1] : "check"; char nm[64], kind[8]; if (c > 2) reps = atoi(a[2]);
    int k; uint64_t n; setup(); snprintf(nm, sizeof nm, "host-%s", w);
    if (!strcmp(w, "check")) check();
    else if (sscanf(w, "map-page-%d", &k) == 1) w_map(k, PG, 4096, 200000, nm);
    else if (sscanf(w, "map-2m-%d", &k) == 1) w_map(k, HUGE_LEN, 64, 20000, nm);
    else if (sscanf(w, "auto-%lu", &n) == 1) w_areas(n, 0, nm);
    else if (sscanf(w, "insert-%lu", &n) == 1) w_areas(n, 1, nm);
    else if (!strcmp(w, "copy-page")) w_copy(PG, 4096, 200000, nm);
    else if (!strcmp(w, "copy-2m")) w_copy(HUGE_LEN, 64, 20000, nm);
    else if (sscanf(w, "read-%lu", &n) == 1) w_rw(n, 0, nm);
    else if (sscanf(w, "write-%lu", &n) == 1) w_rw(n, 1, nm);
    else if (!strcmp(w, "tce-put")) w_tce(nm);
    else if (!strcmp(w, "lookup-alone")) w_lookup(0, nm);
    else if (!strcmp(w, "lookup-churn")) w_lookup(1, nm);
    else if (!strcmp(w, "ioasid-alone")) w_ioasid(0, nm);
    else if (!strcmp(w, "ioasid-churn")) w_ioasid(ioasid_churn, nm);
    else if (!strcmp(w, "ioasid-reader")) w_ioasid(ioasid_read, nm);
    else if (!strcmp(w, "nested-request")) w_request(nm);
    else if (sscanf(w, "nested-%7[a-z]-%d", kind, &k) == 2 && k > 0 && k <= 512) w_nested(kind, k, nm);
    else { fprintf(stderr, "unknown workload\n"); return 1; }
    return 0;
}
