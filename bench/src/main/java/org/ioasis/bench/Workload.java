// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

/**
 * Constants and generators of the standard workloads, the same bit for bit in {@code peers/wl.h}
 * and {@code peers/btree.rs}. All integers are 64-bit and wrap around. Any thread.
 */
final class Workload {
    static final long SEED_A = 0x9E3779B97F4A7C15L;
    static final long SEED_B = 0xD1B54A32D192ED03L;
    static final long PAGE = 4096;

    /** First IOVA of W1, W3, W4, W5 and W7. */
    static final long BASE = 0x1_0000_0000L;

    /** First IOVA of W6. */
    static final long HUGE_BASE = 0x40_0000_0000L;

    static final long RAM = 1L << 36;

    /** Where the peers pretend that guest RAM is mapped. */
    static final long HOST = 0x7f00_0000_0000L;

    private Workload() {}

    /** The next number of the generator. */
    static long next(long x) {
        x ^= x << 13;
        x ^= x >>> 7;
        x ^= x << 17;
        return x;
    }

    /** Uniform in {@code 0..n-1}, n at most 2^31. */
    static long index(long x, long n) {
        return ((x >>> 32) * n) >>> 32;
    }

    /** Output of the i-th page of W1: neighbours are never contiguous. */
    static long scatter(long i) {
        return ((i * 0x9E3779B1L) & 0xFFFFFF) << 12;
    }

    static void check(long sum, long expected) {
        if (sum != expected) {
            throw new IllegalStateException(
                    "checksum %016x instead of %016x".formatted(sum, expected));
        }
    }
}
