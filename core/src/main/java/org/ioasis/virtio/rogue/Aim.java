// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rogue;

/** Which addresses a {@link Volley} goes to: a pure function of the access's number. */
public sealed interface Aim {
    /** Address of access {@code i >= 0}. */
    long at(long i);

    /** {@code first}, {@code first + step} and so on; wraps at 2^64. */
    record Stride(long first, long step) implements Aim {
        @Override
        public long at(long i) {
            return first + i * step;
        }
    }

    /** Anywhere in {@code first..last} (unsigned, inclusive), the same for the same seed. */
    record Scatter(long first, long last, long seed) implements Aim {
        public Scatter {
            if (Long.compareUnsigned(last, first) < 0) {
                throw new IllegalArgumentException("0x%x..0x%x".formatted(first, last));
            }
        }

        @Override
        public long at(long i) {
            long random = mix(seed + i * 0x9e37_79b9_7f4a_7c15L);
            long span = last - first + 1;
            // A span of 0 is all of 2^64.
            return span == 0 ? random : first + Long.remainderUnsigned(random, span);
        }

        /** The finalizer of SplitMix64: a permutation in which every bit depends on every other. */
        private static long mix(long value) {
            long z = (value ^ (value >>> 30)) * 0xbf58_476d_1ce4_e5b9L;
            z = (z ^ (z >>> 27)) * 0x94d0_49bb_1331_11ebL;
            return z ^ (z >>> 31);
        }
    }
}
