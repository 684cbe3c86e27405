/* SPDX-License-Identifier: Apache-2.0 */
/* An address space for devices: allocate it, map a page, ask for the ranges, and be refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define IOMMU(n) _IO(';', n) /* commands and structures: linux/iommufd.h */

int main(void)
{
	static char page[4096] __attribute__((aligned(4096)));
	struct { uint32_t size, flags, out_ioas_id; } alloc = { 12 };
	struct { uint32_t size, flags, ioas_id, reserved; uint64_t user_va, length, iova; } map = { 40, 7 };
	struct { uint64_t start, last; } ranges[8];
	struct { uint32_t size, ioas_id, num_iovas, reserved; uint64_t allowed_iovas, out_iova_alignment; } ask = { 32 };
	int fd = open("/dev/iommu", O_RDWR);
	if (fd < 0 || ioctl(fd, IOMMU(0x81), &alloc)) { perror("/dev/iommu"); return 1; }
	map.ioas_id = ask.ioas_id = alloc.out_ioas_id;
	map.user_va = (uintptr_t)page, map.length = sizeof page, map.iova = 0x100000;
	if (ioctl(fd, IOMMU(0x85), &map)) { perror("IOAS_MAP"); return 1; }
	ask.num_iovas = 8, ask.allowed_iovas = (uintptr_t)ranges;
	if (ioctl(fd, IOMMU(0x84), &ask)) { perror("IOAS_IOVA_RANGES"); return 1; }
	for (uint32_t i = 0; i < ask.num_iovas; i++)
		printf("usable: 0x%llx to 0x%llx\n", (unsigned long long)ranges[i].start, (unsigned long long)ranges[i].last);
	if (ioctl(fd, IOMMU(0x85), &map)) printf("the same again: %s\n", strerror(errno)); /* --trace says why */
	return 0;
}
