// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.ioasis.spec.Virtio;

/**
 * Makes the steps, from a seed: valid, invalid and hostile requests, and what happens between them.
 * The space is small, so that requests meet: few endpoints and domains, some pages. The same seed
 * gives the same steps, however many are taken. One thread.
 */
final class Requests {
    /** Endpoints that both machines have: PCI functions 00:04.0, 00:05.0 and 00:06.0. */
    static final List<Integer> ENDPOINTS = List.of(0x20, 0x28, 0x30);

    /** Others that both have: functions of the chipset, 00:00.0 and 00:1f. */
    static final List<Integer> CHIPSET = List.of(0x00, 0xf8, 0xfa, 0xfb);

    /** The IOMMU's own function, 00:01.0. */
    static final int OWN = 0x08;

    /** The one that can be made to access memory. */
    static final int DMA_ENDPOINT = ENDPOINTS.getFirst();

    /** Ids that nothing has; the last three have the low 16 bits of endpoints that are there. */
    static final List<Integer> STRANGERS =
            List.of(0x21, 0x38, 0x100, 0xfff8, 0x10038, 0x10020, 0x7fff0028, 0xffff0030);

    /** Where mappings lead, except for hostile ones. */
    static final long TARGET = 0xc0_0000;

    static final int TARGET_PAGES = 32;
    static final long PAGE = 0x1000;

    /** Pages of input addresses that most requests are about. */
    static final int INPUT_PAGES = 16;

    /** Of the device type; the ring's own features are always the same. */
    static final long ALL =
            F_INPUT_RANGE | F_DOMAIN_RANGE | F_MAP_UNMAP | F_PROBE | F_MMIO | F_BYPASS_CONFIG;

    /** What a driver accepts that leaves out nothing. */
    static final long EVERYTHING = Virtio.F_VERSION_1 | Virtio.F_INDIRECT_DESC | ALL;

    private static final int DOMAINS = 4;
    private static final int[] WRITABLE = {
        TAIL_SIZE + 1,
        60,
        Request.PROPERTIES,
        Request.PROPERTIES + TAIL_SIZE - 1,
        Request.PROPERTIES + TAIL_SIZE,
        600
    };

    private final SplittableRandom random;

    Requests(long seed, int setup) {
        random = new SplittableRandom(seed + setup);
    }

    /** Both machines have this endpoint. */
    static boolean isThere(int endpoint) {
        return ENDPOINTS.contains(endpoint) || CHIPSET.contains(endpoint);
    }

    private int next(int bound) {
        return random.nextInt(bound);
    }

    private boolean oneIn(int n) {
        return random.nextInt(n) == 0;
    }

    /** The next steps, {@code count} requests among them, the last step being one. */
    List<Step> next(long count) {
        List<Step> steps = new ArrayList<>();
        for (long asked = 0; asked < count; ) {
            Step step = step();
            steps.add(step);
            if (step instanceof Step.Ask) {
                asked++;
            }
        }
        return steps;
    }

    private Step step() {
        int n = next(4000);
        if (n < 1) {
            return new Step.Reboot();
        }
        if (n < 10) {
            return new Step.Restart(features());
        }
        if (n < 30) {
            return configure();
        }
        if (n < 130) {
            int length = oneIn(2) ? 1 : 4;
            long within = oneIn(3) ? PAGE - length : next((int) PAGE / 4) * 4L;
            return new Step.Access(next(INPUT_PAGES) * PAGE + within, length, oneIn(2));
        }
        return new Step.Ask(ask());
    }

    private long features() {
        long some = oneIn(3) ? random.nextLong() & ALL : ALL;
        return Virtio.F_VERSION_1
                | Virtio.F_INDIRECT_DESC
                | some
                | (oneIn(3) ? 0 : F_MAP_UNMAP | F_BYPASS_CONFIG);
    }

    private Step configure() {
        if (!oneIn(4)) {
            return new Step.Configure(CONFIG_BYPASS, 1, next(2));
        }
        int size = 1 << next(3);
        int offset = oneIn(2) ? CONFIG_BYPASS : next(CONFIG_SIZE / size) * size;
        return new Step.Configure(offset, size, oneIn(2) ? next(4) : random.nextLong());
    }

    private int endpoint() {
        List<Integer> from = oneIn(12) ? STRANGERS : ENDPOINTS;
        return from.get(next(from.size()));
    }

    private int domain() {
        return oneIn(30) ? random.nextInt() : next(DOMAINS);
    }

    private Request ask() {
        Request plain = plain();
        byte[] bytes = plain.bytes();
        int writable = plain.writable();
        if (oneIn(12) && bytes.length > 0) {
            bytes[next(bytes.length)] ^= (byte) (1 << next(8));
        }
        if (oneIn(40)) {
            bytes = Arrays.copyOf(bytes, HEAD_SIZE + next(Request.READABLE - HEAD_SIZE));
        }
        if (oneIn(40)) {
            writable = WRITABLE[next(WRITABLE.length)];
        }
        if (oneIn(400)) {
            // A chain has at least one buffer.
            bytes = Arrays.copyOf(bytes, 1 + next(HEAD_SIZE - 1));
        } else if (oneIn(400)) {
            writable = next(TAIL_SIZE);
        }
        Request.Layout[] layouts = Request.Layout.values();
        return new Request(bytes, writable, layouts[next(layouts.length)]);
    }

    private Request plain() {
        int n = next(100);
        if (n < 20) {
            int flags = oneIn(6) ? next(4) : 0;
            return Request.attach(endpoint(), domain(), flags);
        }
        if (n < 30) {
            return Request.detach(endpoint(), domain());
        }
        if (n < 66) {
            return map();
        }
        if (n < 90) {
            long first = address();
            return Request.unmap(domain(), first, last(first));
        }
        if (n < 96) {
            return Request.probe(endpoint());
        }
        byte[] unknown = Request.detach(endpoint(), domain()).bytes();
        unknown[0] = (byte) (oneIn(2) ? T_PROBE + 1 + next(3) : next(256));
        return new Request(unknown, TAIL_SIZE, Request.Layout.PLAIN);
    }

    private Request map() {
        long first = address();
        long last = last(first);
        switch (next(40)) {
            case 0 -> first += next((int) PAGE);
            case 1 -> last -= 1 + next(3);
            case 2 -> last = first - 1;
            case 3 -> {
                first = 0;
                last = -1L;
            }
            default -> {}
        }
        long output = TARGET + next(TARGET_PAGES) * PAGE;
        switch (next(40)) {
            case 0 -> output = -PAGE;
            case 1 -> output++;
            case 2 -> output = random.nextLong() & -PAGE;
            default -> {}
        }
        int flags = oneIn(40) ? random.nextInt() : next(8);
        return Request.map(domain(), first, last, output, flags);
    }

    private long address() {
        long page = next(INPUT_PAGES) * PAGE;
        return switch (next(24)) {
            case 0 -> page - 0x10000;
            case 1 -> page + 0xfedf_8000L;
            case 2 -> page + 0x7f_ffff_8000L;
            case 3 -> page + 0xffff_8000L;
            default -> page;
        };
    }

    private long last(long first) {
        return switch (next(24)) {
            case 0 -> -1L;
            case 1 -> first + 0xffff;
            case 2 -> first + next(0x4000);
            default -> first + (1 + next(4)) * PAGE - 1;
        };
    }
}
