// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.SplittableRandom;

/** Where the choices of a generated sequence come from: a seed, or the bytes of a fuzzer. */
interface Choices {
    /** {@code 0..bound-1}. */
    int next(int bound);

    /** Any 64 bits. */
    long nextLong();

    /** True when there are no more: a sequence ends here. */
    boolean isExhausted();

    static Choices of(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return new Choices() {
            @Override
            public int next(int bound) {
                return random.nextInt(bound);
            }

            @Override
            public long nextLong() {
                return random.nextLong();
            }

            @Override
            public boolean isExhausted() {
                return false;
            }
        };
    }

    static Choices of(byte[] bytes) {
        return new Choices() {
            private int at;

            private int take() {
                return at < bytes.length ? bytes[at++] & 0xff : 0;
            }

            @Override
            public int next(int bound) {
                int value = take();
                if (bound > 256) {
                    value = value << 8 | take();
                }
                return value % bound;
            }

            @Override
            public long nextLong() {
                long value = 0;
                for (int i = 0; i < 8; i++) {
                    value = value << 8 | take();
                }
                return value;
            }

            @Override
            public boolean isExhausted() {
                return at >= bytes.length;
            }
        };
    }
}
