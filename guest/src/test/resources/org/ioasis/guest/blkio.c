// SPDX-License-Identifier: Apache-2.0
/*
 * Verified I/O of a program that has a disk of its own: libblkio's driver of virtio-blk over VFIO writes all of it, 8
 * requests of 64 KiB at a time, and reads it back. Says "blkio: N bytes verified" or what went wrong.
 */
#include <blkio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 65536
#define DEPTH 8

static struct blkio *disk;
static struct blkioq *queue;
static struct blkio_mem_region memory;

static void require(int answer, const char *what)
{
    if (answer < 0) {
        printf("blkio: %s: %s\n", what, blkio_get_error_msg());
        exit(1);
    }
}

/* Each word of the disk says where it is. */
static uint64_t word(uint64_t at)
{
    return (at + 1) * 0x9e3779b97f4a7c15ull;
}

static void fill(uint64_t *block, uint64_t at)
{
    for (uint64_t i = 0; i < BLOCK / 8; i++)
        block[i] = word(at + i * 8);
}

static uint64_t wrong(const uint64_t *block, uint64_t at)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < BLOCK / 8; i++)
        count += block[i] != word(at + i * 8);
    return count;
}

static void finish(int requests)
{
    struct blkio_completion done[DEPTH];
    for (int left = requests; left > 0;) {
        int n = blkioq_do_io(queue, done, 1, left, NULL);
        require(n, "waiting");
        for (int i = 0; i < n; i++) {
            if (done[i].ret != 0) {
                printf("blkio: a request ended with %d\n", done[i].ret);
                exit(1);
            }
        }
        left -= n;
    }
}

int main(int count, char **arguments)
{
    uint64_t bytes, bad = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count != 2)
        return 2;
    require(blkio_create("virtio-blk-vfio-pci", &disk), "creating");
    require(blkio_set_str(disk, "path", arguments[1]), "path");
    require(blkio_connect(disk), "connecting");
    require(blkio_start(disk), "starting");
    require(blkio_get_uint64(disk, "capacity", &bytes), "capacity");
    require(blkio_alloc_mem_region(disk, &memory, BLOCK * DEPTH), "memory");
    require(blkio_map_mem_region(disk, &memory), "mapping");
    queue = blkio_get_queue(disk, 0);
    for (uint64_t at = 0; at < bytes; at += BLOCK * DEPTH) {
        for (int i = 0; i < DEPTH; i++) {
            void *block = (char *)memory.addr + i * BLOCK;
            fill(block, at + i * BLOCK);
            blkioq_write(queue, at + i * BLOCK, block, BLOCK, NULL, 0);
        }
        finish(DEPTH);
    }
    blkioq_flush(queue, NULL, 0);
    finish(1);
    memset(memory.addr, 0, memory.len);
    for (uint64_t at = 0; at < bytes; at += BLOCK * DEPTH) {
        for (int i = 0; i < DEPTH; i++)
            blkioq_read(queue, at + i * BLOCK, (char *)memory.addr + i * BLOCK, BLOCK, NULL, 0);
        finish(DEPTH);
        for (int i = 0; i < DEPTH; i++)
            bad += wrong((void *)((char *)memory.addr + i * BLOCK), at + i * BLOCK);
    }
    if (bad != 0)
        printf("blkio: %llu words are wrong\n", (unsigned long long)bad);
    else
        printf("blkio: %llu bytes verified\n", (unsigned long long)bytes);
    blkio_destroy(&disk);
    return bad != 0;
}
