// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * A driver that maps buffers of many sizes, one or several in a row, lets devices at them and
 * unmaps them, in three domains of which one ends and begins again. One thread.
 */
final class RandomRows {
    private static final long PAGE = 4096;
    private static final long[] SIZES = {1, 1, 1, 2, 2, 3, 4, 5, 16, 16, 17, 31, 512, 513};

    /** What one UNMAP takes away, and the borders of the buffers in it. */
    private record Mapped(int domain, long first, List<Long> lasts) {
        long last() {
            return lasts.getLast();
        }
    }

    private final Random random;
    private final Rows rows = new Rows();
    private final List<Mapped> mapped = new ArrayList<>();
    private long nextFirst = 1L << 40;

    private RandomRows(long seed) {
        random = new Random(seed);
    }

    static Rows of(long seed, int steps) {
        RandomRows made = new RandomRows(seed);
        for (int domain = 0; domain < 3; domain++) {
            made.rows.attach(10 + domain, domain);
        }
        for (int i = 0; i < steps; i++) {
            made.rows.after(made.random.nextInt(5_000));
            made.step(i);
        }
        return made.rows;
    }

    private void step(int i) {
        if (i % 150 == 149) {
            // Its mappings end with it.
            rows.detach(12, 2).attach(12, 2);
            mapped.removeIf(one -> one.domain() == 2);
            return;
        }
        int what = random.nextInt(10);
        if (mapped.isEmpty() || (what < 3 && mapped.size() < 30)) {
            map();
        } else if (what < 5) {
            Mapped gone = mapped.remove(random.nextInt(mapped.size()));
            rows.unmap(gone.domain(), gone.first(), gone.last());
        } else {
            access();
        }
    }

    private void map() {
        int domain = random.nextInt(3);
        int pieces = random.nextInt(4) == 0 ? 3 : 1;
        long first = nextFirst;
        List<Long> lasts = new ArrayList<>();
        for (int i = 0; i < pieces; i++) {
            long bytes = SIZES[random.nextInt(SIZES.length)] * PAGE;
            long output = random.nextInt(1 << 18) * PAGE;
            if (random.nextBoolean()) {
                output &= -(1L << 21);
            }
            rows.map(domain, nextFirst, nextFirst + bytes - 1, output, 1 + random.nextInt(3));
            nextFirst += bytes;
            lasts.add(nextFirst - 1);
        }
        nextFirst += PAGE;
        mapped.add(new Mapped(domain, first, lasts));
    }

    private void access() {
        Mapped one = mapped.get(random.nextInt(mapped.size()));
        long bytes = one.last() - one.first() + 1;
        long first = one.first() + random.nextLong(bytes);
        long last = Math.min(one.last(), first + random.nextLong(40_000));
        rows.access(one.domain(), first, last, 1 + random.nextInt(2));
    }
}
