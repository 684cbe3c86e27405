// SPDX-License-Identifier: Apache-2.0
/*
 * A program that has an I/OAT function of its own (VFIO, type 1) lets it copy between two pages, takes the mapping away
 * and lets it copy again to the same address. Says "unmapped: copied, then CHANERR 0x2": the device could no longer
 * write there.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
/* Of the channel: the registers of the function are in front of it. */
#define CHANNEL 0x80
#define CHANCTRL 0x00
#define DMACOUNT 0x06
#define CHANSTS 0x08
#define CHAINADDR 0x10
#define CHANERR 0x28
#define HALTED 3
#define CHAIN_IOVA 0x10000
#define SOURCE_IOVA 0x11000
#define TARGET_IOVA 0x12000

static int container, group, device;
static volatile uint8_t *channel;

static void require(int holds, const char *what)
{
    if (!holds) {
        printf("unmapped: %s: %m\n", what);
        exit(1);
    }
}

static void *map(uint64_t iova)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct vfio_iommu_type1_dma_map one = {
        .argsz = sizeof(one),
        .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
        .vaddr = (uintptr_t)page,
        .iova = iova,
        .size = PAGE,
    };

    memset(page, 0, PAGE);
    require(ioctl(container, VFIO_IOMMU_MAP_DMA, &one) == 0, "VFIO_IOMMU_MAP_DMA");
    return page;
}

/* One descriptor, and what the channel says afterwards. */
static unsigned copy(void)
{
    unsigned state;

    *(volatile uint64_t *)(channel + CHAINADDR) = CHAIN_IOVA;
    *(volatile uint16_t *)(channel + CHANCTRL) = 1;
    *(volatile uint16_t *)(channel + DMACOUNT) = 1;
    do
        state = *(volatile uint64_t *)(channel + CHANSTS) & 7;
    while (state == 0);
    return state == HALTED ? *(volatile uint32_t *)(channel + CHANERR) : 0;
}

int main(int count, char **arguments)
{
    struct vfio_region_info registers = {.argsz = sizeof(registers), .index = 0};
    struct vfio_region_info config = {.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX};
    struct vfio_iommu_type1_dma_unmap gone = {.argsz = sizeof(gone), .iova = TARGET_IOVA, .size = PAGE};
    uint16_t command = 6;
    uint64_t *descriptor;
    char *source, *target;
    unsigned error;

    if (count != 3)
        return 2;
    container = open("/dev/vfio/vfio", O_RDWR);
    group = open(arguments[1], O_RDWR);
    require(container >= 0 && group >= 0, "opening");
    require(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "VFIO_GROUP_SET_CONTAINER");
    require(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "VFIO_SET_IOMMU");
    device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, arguments[2]);
    require(device >= 0, "VFIO_GROUP_GET_DEVICE_FD");
    require(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &registers) == 0, "registers");
    require(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0, "configuration space");
    require(pwrite(device, &command, 2, config.offset + 4) == 2, "command");
    channel = mmap(NULL, registers.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, registers.offset);
    require(channel != MAP_FAILED, "mapping the registers");
    channel += CHANNEL;

    descriptor = map(CHAIN_IOVA);
    source = map(SOURCE_IOVA);
    target = map(TARGET_IOVA);
    descriptor[0] = 64;
    descriptor[1] = SOURCE_IOVA;
    descriptor[2] = TARGET_IOVA;
    strcpy(source, "as it was mapped");
    error = copy();
    require(error == 0 && strcmp(source, target) == 0, "the copy to what is mapped");
    strcpy(source, "when it is gone");
    require(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &gone) == 0 && gone.size == PAGE, "VFIO_IOMMU_UNMAP_DMA");
    error = copy();
    require(strcmp(target, "as it was mapped") == 0, "what must not change has changed");
    printf("unmapped: copied, then CHANERR 0x%x\n", error);
    return 0;
}
