/* SPDX-License-Identifier: Apache-2.0 */
/* What the IOMMU of the first device says it is, and whether a page table can be a nesting parent there. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define COMMAND(n) _IO(';', n) /* linux/iommufd.h, linux/vfio.h */
#define NEST_PARENT 1

int main(void)
{
	static unsigned char data[64];
	struct { uint32_t argsz, flags; int32_t iommufd; uint32_t out_devid; } bind = { 16 };
	struct { uint32_t size, flags, out_ioas_id; } alloc = { 12 };
	struct { uint32_t size, flags, dev_id, data_len; uint64_t data_uptr; uint32_t type; uint8_t pasids, reserved[3]; uint64_t caps; } ask = { 40 };
	struct { uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved; } table = { 24, NEST_PARENT };
	int fd = open("/dev/iommu", O_RDWR), device = open("/dev/vfio/devices/vfio0", O_RDWR);

	bind.iommufd = fd;
	if (fd < 0 || device < 0 || ioctl(device, COMMAND(118), &bind) || ioctl(fd, COMMAND(0x81), &alloc)) {
		perror("the device");
		return 1;
	}
	ask.dev_id = table.dev_id = bind.out_devid;
	ask.data_len = sizeof data, ask.data_uptr = (uintptr_t)data;
	if (ioctl(fd, COMMAND(0x8a), &ask)) {
		perror("GET_HW_INFO");
		return 1;
	}
	table.pt_id = alloc.out_ioas_id;
	int result = ioctl(fd, COMMAND(0x89), &table);
	printf("type %u, %u bytes, nesting parent: %s\n", ask.type, ask.data_len, result ? strerror(errno) : "yes");
	return 0;
}
