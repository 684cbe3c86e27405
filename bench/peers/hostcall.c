// SPDX-License-Identifier: Apache-2.0
/* An ordinary program that makes the smallest call there is of /dev/iommu, again and again, and says what one took: reads
 * an option, which is 24 bytes in and 24 out. Started by whoever answers. usage: hostcall [reps] */
#define _GNU_SOURCE
#include "wl.h"
#include <fcntl.h>
#include <sys/ioctl.h>

struct option { uint32_t size, id; uint16_t op, reserved; uint32_t object; uint64_t value; };

int main(int argc, char **argv) {
    int reps = argc > 1 ? atoi(argv[1]) : 5, calls = 20000, fd = open("/dev/iommu", O_RDWR);
    double v[64];
    if (fd < 0 || reps < 1 || reps > 63) { perror("/dev/iommu"); return 1; }
    for (int r = 0; r <= reps; r++) { /* the first one is warm-up: what answers may have to compile itself */
        int todo = r ? calls : 3 * calls;
        uint64_t s = now_ns();
        for (int i = 0; i < todo; i++) {
            struct option o = { sizeof o, 0, 1, 0, 0, 7 };
            if (ioctl(fd, _IO(';', 0x87), &o) || o.value != 0) { perror("IOMMU_OPTION"); return 1; }
        }
        v[r] = (double)(now_ns() - s) / todo;
    }
    qsort(v + 1, reps, sizeof *v, cmp_d);
    printf("call,host-ioctl,%.1f,%.1f,%.1f,%d,,,0\n", v[1 + reps / 2], v[1], v[reps], reps);
    return 0;
}
