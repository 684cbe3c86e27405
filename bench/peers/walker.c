// SPDX-License-Identifier: Apache-2.0
/* Peer "kernel-c": a software walk of page tables, own code: every word of a table is found in guest memory with a bounds
 * check and read once, reserved bits and addresses beyond the output's width are looked for, permissions of all levels and
 * stages are put together, and an IOTLB of sets of four is in front where the workload says so. Levels and widths are what
 * a context structure says, and so are ARM's granules: no constants of the program. One line per figure, as hostmodel.c
 * writes them.
 * usage: walker WORKLOAD [reps] */
#define _GNU_SOURCE
#include "wl.h"
#include <sys/resource.h>

#define NAME "kernel-c"
#define PAGES 65536u
#define MEM (16ull << 20)               /* guest memory that tables are in */
#define TAB 0x40000000ull               /* where the guest thinks it is */
#define DATA 0x100000000ull             /* pages that the first stage leads to */
#define BEHIND 0x200000000ull           /* and the second */
#define R 1
#define W 2
#define U 8

static uint8_t *mem; static uint64_t used; static int reps = 5; static double v[64]; static int nv; static uint64_t chk;
static void rec(uint64_t ns, uint64_t ops) { v[nv++] = (double)ns / ops; }
static void out(const char *w) {
    struct rusage u; getrusage(RUSAGE_SELF, &u); qsort(v + 1, nv - 1, sizeof *v, cmp_d);
    printf("%s,%s,%.2f,%.2f,%.2f,%d,%ld,,%lx\n", NAME, w, v[1 + (nv - 1) / 2], v[1], v[nv - 1], nv - 1, u.ru_maxrss, chk); nv = 0;
}

/* a word of guest memory, with the bounds check that a guest's address needs; 0: absent */
static inline uint64_t *word(uint64_t gpa) {
    uint64_t at = gpa - TAB;
    return at <= MEM - 8 && !(gpa & 7) ? (uint64_t *)(mem + at) : 0;
}
static uint64_t table(void) { uint64_t t = TAB + used; used += 4096; if (used > MEM) abort(); return t; }

/* a format: how an entry is read, and what the builder writes */
typedef struct { int levels; uint64_t tab, leaf; } build;
static const build B_VTD2 = { 4, 3, 3 }, B_X86 = { 4, 7, 0x67 }, B_AMD = { 4, 1 | 3ull << 61, 1 | 3ull << 61 },
                   B_ARM1 = { 4, 3, 0x0060000000000f43ull & ~0x80ull }, B_ARM2 = { 4, 3, 0x7ff };
static void put(const build *b, uint64_t root, uint64_t iova, uint64_t to) {
    uint64_t t = root;
    for (int l = b->levels - 1; l > 0; l--) {
        uint64_t *e = word(t + (iova >> (12 + 9 * l) & 511) * 8);
        if (!*e) *e = table() | b->tab | (b == &B_AMD ? (uint64_t)l << 9 : 0);
        t = *e & 0xffffffffff000ull;
    }
    *word(t + (iova >> 12 & 511) * 8) = to | b->leaf;
}

typedef struct { uint64_t out, at, entry; int size, rights, level, fault; } walk;
/* a stage, as a context structure says: top level, width of addresses, of what they lead to, and ARM's granule */
typedef struct { uint64_t root; int top, in, out, page, index; } stage;
enum { NONE, RANGE, TABLE, TRANSLATION, FORMAT, PERMISSION, SIZE };
#define FAIL(f) do { w->fault = f; return 0; } while (0)
static inline __attribute__((always_inline)) int x86_step(uint64_t e, int l, int *r) {
    if (!(e & 1)) return -1;
    int big = l && (e & 128);
    if (big && (l > 2 || (e & ((1ull << (12 + 9 * l)) - 1) & 0xffffffffff000ull & ~0x1000ull))) return -2;
    *r &= R | (e & 2 ? W : 0) | (e & 4 ? U : 0); return !l || big;
}
static inline __attribute__((always_inline)) int vtd2_step(uint64_t e, int l, int *r) {
    if (!(e & 3)) return -1;
    int big = l && (e & 128);
    if (big && (l > 2 || (e & ((1ull << (12 + 9 * l)) - 1) & 0xffffffffff000ull))) return -2;
    *r &= (e & 3) | U; return !l || big;
}
static inline __attribute__((always_inline)) int amd_step(uint64_t e, int l, int *r) {
    if (!(e & 1)) return -1;
    int next = e >> 9 & 7; *r &= (e >> 61 & 3) | U;
    if (next == 0) return l < 5 ? 1 : -2;
    return next == 7 || next > l ? -2 : 0;      /* pages of other sizes are not in these tables */
}
static inline __attribute__((always_inline)) int arm1_step(uint64_t e, int l, int *r) {
    if (!(e & 1)) return -1;
    int t = (e & 3) == 3;
    if (!l) { if (!t) return -2; } else if (!t && l > 2) return -2;
    if (l && t) { *r &= R | (e & 1ull << 62 ? 0 : W) | (e & 1ull << 61 ? 0 : U); return 0; }
    if (!(e & 1ull << 10)) return -2;
    *r &= R | (!(e & 128) || e & 1ull << 51 ? W : 0) | (e & 64 ? U : 0); return 1;
}
static inline __attribute__((always_inline)) int arm2_step(uint64_t e, int l, int *r) {
    if (!(e & 1)) return -1;
    int t = (e & 3) == 3;
    if (!l) { if (!t) return -2; } else if (!t && l > 2) return -2;
    if (l && t) return 0;
    if (!(e & 1ull << 10)) return -2;
    *r &= (e & 64 ? R : 0) | (e & 128 || e & 1ull << 51 ? W : 0) | U; return 1;
}
#define WALK(name, step, find, page, index) \
static __attribute__((noinline)) int name(const stage *s, const stage *s2, uint64_t iova, int access, walk *w) { \
    uint64_t t = s->root, beyond = -1ull << s->out; int r = R | W | U; w->fault = NONE; (void)s2; \
    if (iova >> s->in) FAIL(RANGE); \
    for (int l = s->top;; l--) { \
        uint64_t at = t + (iova >> (page + index * l) & ((1u << index) - 1)) * 8; w->at = at; w->level = l; \
        uint64_t *p = find; if (!p) FAIL(TABLE); \
        uint64_t e = __atomic_load_n(p, __ATOMIC_ACQUIRE); w->entry = e; \
        int k = step(e, l, &r); \
        if (k < 0) FAIL(k == -1 ? TRANSLATION : FORMAT); \
        if (k) { \
            w->size = page + index * l; uint64_t m = (1ull << w->size) - 1; w->out = (e & 0xffffffffff000ull & ~m) | (iova & m); \
            w->rights = r; if (w->out & beyond) FAIL(SIZE); if (access & ~r) FAIL(PERMISSION); return 1; \
        } \
        t = e & 0xffffffffff000ull; if (t & beyond) FAIL(SIZE); \
    } \
}
WALK(walk_vtd2, vtd2_step, word(at), 12, 9)
WALK(walk_vtd1, x86_step, word(at), 12, 9)
WALK(walk_amd, amd_step, word(at), 12, 9)
WALK(walk_arm, arm1_step, word(at), s->page, s->index)
WALK(walk_arm2, arm2_step, word(at), s->page, s->index)
/* each entry of the first stage through the second */
#define BEHIND_OF(name, second) \
static inline uint64_t *name(const stage *s2, uint64_t at) { \
    walk w; return second(s2, 0, at, R, &w) ? word(w.out) : 0; \
}
BEHIND_OF(b_vtd2, walk_vtd2)
BEHIND_OF(b_amd, walk_amd)
BEHIND_OF(b_arm2, walk_arm2)
WALK(walk_vtd1_in, x86_step, b_vtd2(s2, at), 12, 9)
WALK(walk_amd_in, x86_step, b_amd(s2, at), 12, 9)
WALK(walk_arm_in, arm1_step, b_arm2(s2, at), s->page, s->index)
#define TWO(name, first, second) \
static int name(const stage *s, const stage *s2, uint64_t iova, int access, walk *w) { \
    walk v; if (!first(s, s2, iova, access | U, w)) return 0; \
    if (!second(s2, 0, w->out, access, &v)) { w->fault = v.fault; return 0; } \
    w->out = v.out; w->rights &= v.rights; if (v.size < w->size) w->size = v.size; return 1; \
}
TWO(two_vtd, walk_vtd1_in, walk_vtd2)
TWO(two_amd, walk_amd_in, walk_amd)
TWO(two_arm, walk_arm_in, walk_arm2)

typedef int fn(const stage *, const stage *, uint64_t, int, walk *);
typedef struct { const char *name; const build *b, *b2; fn *f; int access; } form;
static const form FORMS[] = {
    { "vtd2-1", &B_VTD2, 0, walk_vtd2, R }, { "vtd1-1", &B_X86, 0, walk_vtd1, R | U }, { "amd-1", &B_AMD, 0, walk_amd, R },
    { "arm-1", &B_ARM1, 0, walk_arm, R }, { "vtd-2", &B_X86, &B_VTD2, two_vtd, R }, { "amd-2", &B_X86, &B_AMD, two_amd, R },
    { "arm-2", &B_ARM1, &B_ARM2, two_arm, R } };

/* IOTLB: sets of four, a sequence number per set, keys with the size, tags of domain and space */
typedef struct { uint64_t key, tag, out; } slot;
#define SETS 1024
static uint64_t seq[SETS]; static slot ways[SETS][4]; static uint64_t sizes, epoch;
#define TAG (1ull << 32 | 2ull << 8 | 1 << 6)
static inline int set_of(uint64_t key, uint64_t tag) { return (key ^ (tag >> 6) * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull >> 54; }
static inline uint64_t find(uint64_t tag, uint64_t iova) {
    for (uint64_t s = sizes; s; s &= s - 1) {
        int lg = __builtin_ctzll(s); uint64_t key = (iova & ~0ull << lg) | lg | 64; int set = set_of(key, tag);
        uint64_t before = __atomic_load_n(&seq[set], __ATOMIC_ACQUIRE); if (before & 1 || !(before & 14)) continue;
        for (int i = 0; i < 4; i++) {
            slot *e = &ways[set][i];
            if (__atomic_load_n(&e->key, __ATOMIC_RELAXED) == key && !((__atomic_load_n(&e->tag, __ATOMIC_RELAXED) ^ tag) >> 6)) {
                uint64_t o = __atomic_load_n(&e->out, __ATOMIC_RELAXED); __atomic_thread_fence(__ATOMIC_ACQUIRE);
                if (__atomic_load_n(&seq[set], __ATOMIC_RELAXED) == before) return o;
            }
        }
    }
    return 0;
}
static void fill(uint64_t ep, uint64_t tag, uint64_t iova, walk *w) {
    uint64_t key = (iova & ~0ull << w->size) | w->size | 64; int set = set_of(key, tag), way = -1; sizes |= 1ull << w->size;
    uint64_t before = seq[set], next;
    if (before & 1 || !__atomic_compare_exchange_n(&seq[set], &before, before | 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return;
    for (int i = 0; i < 4; i++) if (!ways[set][i].key && way < 0) way = i;
    next = before + 16 + (way < 0 ? 0 : 2); if (way < 0) way = before >> 4 & 3;
    __atomic_store_n(&ways[set][way].tag, tag | w->size, __ATOMIC_RELAXED);
    __atomic_store_n(&ways[set][way].out, (w->out & ~0ull << w->size) | w->size << 4 | (w->rights & 15), __ATOMIC_RELAXED);
    __atomic_store_n(&ways[set][way].key, key, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&epoch, __ATOMIC_RELAXED) != ep) { ways[set][way].key = 0; next = before + 16; }
    __atomic_store_n(&seq[set], next, __ATOMIC_RELEASE);
}
static inline uint64_t translate(const form *f, const stage *s, const stage *s2, uint64_t iova, uint64_t *misses) {
    uint64_t hit = find(TAG, iova);
    if (hit && !(R & ~hit)) return (hit & ~4095ull) | (iova & ~(~0ull << (hit >> 4 & 63)));
    walk w; uint64_t ep = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE); ++*misses;
    if (!f->f(s, s2, iova, f->access, &w)) return FAULT;
    fill(ep, TAG, iova, &w); return w.out;
}

static void run(const char *kind, const form *f, const char *nm) {
    uint64_t n = !strcmp(kind, "hit") ? 16 : PAGES, ops = 2000000, root2 = 0, misses = 0;
    mem = aligned_alloc(4096, MEM); memset(mem, 0, MEM); used = 0; uint64_t root = table();
    for (uint64_t i = 0; i < PAGES; i++) {
        uint64_t to = DATA + (((i * 0x9E3779B1ull) & 0xffff) << 12);
        put(f->b, root, BASE + i * PG, to);
    }
    if (f->b2) {
        uint64_t first = used; root2 = table();
        for (uint64_t at = TAB; at < TAB + first; at += PG) put(f->b2, root2, at, at);
        for (uint64_t i = 0; i < PAGES; i++) put(f->b2, root2, DATA + i * PG, BEHIND + i * PG);
    }
    stage one = { root, f->b->levels - 1, 48, 48, 12, 9 }, two = { root2, f->b2 ? f->b2->levels - 1 : 0, 48, 48, 12, 9 };
    for (int r = 0; r <= reps; r++) {
        uint64_t x = SEED_A, sum = 0, s = cpu_ns(); walk w;
        if (!strcmp(kind, "walk"))
            for (uint64_t i = 0; i < ops; i++) {
                x = xs64(x); uint64_t iova = BASE + (idx(x, n) << 12) + (x & 0xff8);
                if (!f->f(&one, &two, iova, f->access, &w)) abort();
                sum += w.out;
            }
        else
            for (uint64_t i = 0; i < ops; i++) {
                x = xs64(x); sum += translate(f, &one, &two, BASE + (idx(x, n) << 12) + (x & 0xff8), &misses);
            }
        rec(cpu_ns() - s, ops); chk = sum;
    }
    if (strcmp(nm, "")) out(nm);
    nv = 0; free(mem);
}
/* what must come out, by the same arithmetic without a table */
static int bad;
static void check(const form *f) {
    run("walk", f, ""); uint64_t x = SEED_A, sum = 0;
    for (int i = 0; i < 2000000; i++) {
        x = xs64(x); uint64_t k = idx(x, PAGES);
        sum += (f->b2 ? BEHIND : DATA) + (((k * 0x9E3779B1ull) & 0xffff) << 12) + (x & 0xff8);
    }
    if (chk != sum) { bad = 1; fprintf(stderr, "%s: %lx instead of %lx\n", f->name, chk, sum); }
}
int main(int c, char **a) {
    const char *w = c > 1 ? a[1] : "check"; char kind[16], nm[64]; if (c > 2) reps = atoi(a[2]);
    int forms = sizeof FORMS / sizeof *FORMS;
    if (!strcmp(w, "check")) {
        reps = 0; for (int i = 0; i < forms; i++) check(&FORMS[i]);
        printf("%s: %s\n", NAME, bad ? "BAD" : "check ok"); return bad;
    }
    for (int i = 0; i < forms; i++) for (int k = 0; k < 3; k++) {
        const char *kinds[] = { "walk", "hit", "mixed" };
        snprintf(kind, sizeof kind, "%s", kinds[k]); snprintf(nm, sizeof nm, "%s-%s", kind, FORMS[i].name);
        if (!strcmp(w, nm)) { char full[80]; snprintf(full, sizeof full, "host-nested-%s", nm); run(kind, &FORMS[i], full); return 0; }
    }
    fprintf(stderr, "unknown workload\n"); return 1;
}
