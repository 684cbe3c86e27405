// SPDX-License-Identifier: Apache-2.0
/*
 * A program that has a PCI function of its own (VFIO, type 1) maps and unmaps single pages for it, anywhere among as many
 * as a dump shows, and says now and then how often: "mapper: N". Everything must succeed. When a line comes on its standard
 * input it says of each page that is mapped "mapped IOVA PHYSICAL", then "mapped all", and waits with its mappings.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 32
#define IOVA 0x100000
#define SAY_EACH 200

static int container;
static char *memory;
static char is_mapped[PAGES];

static void require(int holds, const char *what)
{
    if (!holds) {
        printf("mapper: %s: %m\n", what);
        exit(1);
    }
}

static void turn(int page)
{
    struct vfio_iommu_type1_dma_map map = {
        .argsz = sizeof(map),
        .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
        .vaddr = (uintptr_t)memory + page * PAGE,
        .iova = IOVA + page * PAGE,
        .size = PAGE,
    };
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .iova = map.iova, .size = PAGE};

    if (is_mapped[page])
        require(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == PAGE, "VFIO_IOMMU_UNMAP_DMA");
    else
        require(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0, "VFIO_IOMMU_MAP_DMA");
    is_mapped[page] = !is_mapped[page];
}

/* Where a page is that VFIO has pinned. */
static uint64_t physical(int page)
{
    int pages = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry = 0, address = (uintptr_t)memory + page * PAGE;

    require(pages >= 0 && pread(pages, &entry, 8, address / PAGE * 8) == 8, "/proc/self/pagemap");
    close(pages);
    return (entry & ((1ULL << 55) - 1)) * PAGE;
}

int main(int count, char **arguments)
{
    struct pollfd asked = {.fd = 0, .events = POLLIN};
    uint32_t state = 16;
    int group, said, i;

    if (count != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    container = open("/dev/vfio/vfio", O_RDWR);
    group = open(arguments[1], O_RDWR);
    require(container >= 0 && group >= 0, "opening");
    require(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "VFIO_GROUP_SET_CONTAINER");
    require(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "VFIO_SET_IOMMU");
    require(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, arguments[2]) >= 0, "VFIO_GROUP_GET_DEVICE_FD");
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    require(memory != MAP_FAILED, "memory");
    for (said = 0; poll(&asked, 1, 0) == 0; said++) {
        for (i = 0; i < SAY_EACH; i++) {
            state = state * 1664525 + 1013904223;
            turn(state >> 16 & (PAGES - 1));
        }
        printf("mapper: %d\n", (said + 1) * SAY_EACH);
    }
    for (i = 0; i < PAGES; i++)
        if (is_mapped[i])
            printf("mapped 0x%x 0x%llx\n", IOVA + i * PAGE, (unsigned long long)physical(i));
    printf("mapped all\n");
    pause();
    return 0;
}
