/* SPDX-License-Identifier: Apache-2.0 */
/* Asks which of two pages a device has written, where only the first is mapped: quirk Q3 of docs/kernel-quirks.md. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define IOMMU(n) _IO(';', n) /* commands and structures: linux/iommufd.h, drivers/iommu/iommufd/iommufd_test.h */
#define BASE 0x1000000

static int fd;

static int call(int number, void *argument, const char *name)
{
	int result = ioctl(fd, IOMMU(number), argument);
	if (result)
		printf("%s: %s\n", name, strerror(errno));
	return result;
}

int main(void)
{
	static char page[4096] __attribute__((aligned(4096)));
	static uint64_t bits;
	struct { uint32_t size, flags, out_ioas_id; } alloc = { 12 };
	struct { uint32_t size, op, id, reserved, out_stdev_id, out_hwpt_id, out_idev_id, dev_flags; char rest[40]; } mock = { 72, 2 };
	struct { uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved; } table = { 24, 2 };
	struct { uint32_t size, flags, ioas_id, reserved; uint64_t user_va, length, iova; } map = { 40, 7 };
	struct { uint32_t size, flags, hwpt_id, reserved; } track = { 16, 1 };
	struct { uint32_t size, hwpt_id, flags, reserved; uint64_t iova, length, page_size, data; } dirty = { 48 };
	fd = open("/dev/iommu", O_RDWR);
	if (fd < 0 || call(0x81, &alloc, "IOAS_ALLOC"))
		return 1;
	mock.id = table.pt_id = map.ioas_id = alloc.out_ioas_id;
	if (call(0xa0, &mock, "MOCK_DOMAIN"))
		return 1;
	table.dev_id = mock.out_idev_id;
	map.user_va = (uintptr_t)page, map.length = sizeof page, map.iova = BASE;
	if (call(0x89, &table, "HWPT_ALLOC") || call(0x85, &map, "IOAS_MAP"))
		return 1;
	track.hwpt_id = dirty.hwpt_id = table.out_hwpt_id;
	dirty.iova = BASE, dirty.length = 2 * sizeof page, dirty.page_size = sizeof page, dirty.data = (uintptr_t)&bits;
	if (call(0x8b, &track, "HWPT_SET_DIRTY_TRACKING"))
		return 1;
	if (!call(0x8c, &dirty, "a hole in the range"))
		printf("a hole in the range: not told\n");
	return 0;
}
