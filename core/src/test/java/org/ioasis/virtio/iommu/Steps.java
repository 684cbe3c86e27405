// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.DMA;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import org.ioasis.memory.Access;
import org.ioasis.virtio.iommu.DeviceModel.Endpoint;
import org.ioasis.virtio.iommu.DeviceModel.Kind;
import org.ioasis.virtio.iommu.DeviceModel.Setup;
import org.ioasis.virtio.iommu.DeviceModel.Window;
import org.ioasis.virtio.iommu.Step.Ask;
import org.ioasis.virtio.iommu.Step.Away;
import org.ioasis.virtio.iommu.Step.Buffers;
import org.ioasis.virtio.iommu.Step.Config;
import org.ioasis.virtio.iommu.Step.Hostile;
import org.ioasis.virtio.iommu.Step.Move;
import org.ioasis.virtio.iommu.Step.QueueReset;
import org.ioasis.virtio.iommu.Step.Restart;
import org.ioasis.virtio.iommu.Step.Touch;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;

/**
 * Makes sequences of steps from choices. The space is small, so that requests meet: few endpoints
 * and domains, some pages, low limits. Any thread.
 */
final class Steps {
    private static final List<Layout> LAYOUTS = List.of(Layout.values());
    private static final int[] WRITABLE = {0, 3, 4, 5, 60, 515, 516, 517, 600};
    private static final long ALL = VirtioIommuDevice.FEATURES;
    private static final long[] AWAY = {
        Driver.REQUEST_RING, Driver.IN, Driver.OUT, Driver.DMA, Driver.EVENTS, Driver.EVENT_RING
    };

    private Steps() {}

    // --- devices

    static final int SETUPS = 4;

    /** A device with endpoints of every kind; 0 to {@link #SETUPS} - 1. */
    static Setup setup(int number) {
        return switch (number) {
            case 0 -> make(0x1000, 0, -1L, 0, -1, false, false, ALL);
            case 1 -> make(0x11000, 0x1000, 0xffffffffL, 1, 6, true, true, ALL);
            case 2 ->
                    make(
                            1,
                            0,
                            -1L,
                            0,
                            -1,
                            true,
                            false,
                            (ALL & ~(F_BYPASS_CONFIG | F_PROBE)) | F_BYPASS);
            default -> make(0x1000, 0, -1L, 0, -1, true, true, ALL);
        };
    }

    private static Setup make(
            long mask,
            long first,
            long last,
            int domainFirst,
            int domainLast,
            boolean bypassAtStart,
            boolean byEndpoint,
            long offered) {
        List<Window> none = List.of();
        List<Window> msi = List.of(new Window(0x8000, 0x8fff, Kind.MSI));
        List<Window> reserved =
                List.of(
                        new Window(0xa000, 0xafff, Kind.RESERVED),
                        new Window(-0x1000L, -1L, Kind.RESERVED));
        List<Window> identity = List.of(new Window(0xc000, 0xcfff, Kind.IDENTITY));
        List<Window> beside = List.of(new Window(0xc000, 0xcfff, Kind.RESERVED));
        List<Window> outside =
                List.of(
                        new Window(first, 0xffff, Kind.RESERVED),
                        new Window(0x100000, last, Kind.RESERVED));
        TreeMap<Integer, Endpoint> endpoints = new TreeMap<>(Integer::compareUnsigned);
        endpoints.put(1, new Endpoint(-1L, 0, -1L, none, none));
        endpoints.put(2, new Endpoint(-1L, 0, -1L, msi, msi));
        endpoints.put(3, new Endpoint(-1L, 0, -1L, reserved, reserved));
        endpoints.put(4, new Endpoint(-1L, 0, -1L, identity, identity));
        endpoints.put(5, new Endpoint(-1L, 0, -1L, beside, beside));
        endpoints.put(6, new Endpoint(0x10000, 0, -1L, none, none));
        endpoints.put(7, new Endpoint(-1L, 0x10000, 0xfffff, none, outside));
        endpoints.put(0x10001, new Endpoint(-1L, 0, -1L, none, none));
        return new Setup(
                mask,
                first,
                last,
                domainFirst,
                domainLast,
                bypassAtStart,
                byEndpoint,
                4,
                24,
                offered,
                endpoints);
    }

    // --- sequences

    static List<Step> list(Choices choices, Setup setup, int length) {
        List<Step> steps = new ArrayList<>();
        for (int i = 0; i < length && !choices.isExhausted(); i++) {
            steps.add(step(choices, setup));
        }
        return steps;
    }

    private static Step step(Choices c, Setup setup) {
        return switch (c.next(64)) {
            case 0 -> restart(c, setup);
            case 1 -> new Hostile(c.next(12), c.next(512));
            case 2 -> config(c);
            case 3 ->
                    new Buffers(
                            1 + c.next(3),
                            c.next(4) == 0 ? c.next(24) : 24 + c.next(16),
                            c.next(2) == 0);
            case 4 -> new Away(AWAY[c.next(AWAY.length)], ask(c, setup), c.next(2) == 0);
            case 5 -> new QueueReset();
            case 6 -> new Move();
            case 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 ->
                    new Touch(
                            endpoint(c, setup),
                            address(c) + (c.next(2) == 0 ? 0 : c.next(0x1000)),
                            c.next(2) == 0 ? Access.READ : Access.WRITE);
            default -> ask(c, setup);
        };
    }

    static Restart restart(Choices c, Setup setup) {
        long features = c.next(3) == 0 ? c.nextLong() : -1L;
        if (c.next(4) != 0) {
            features |= F_MAP_UNMAP;
        }
        int rings = c.next(4);
        return new Restart(
                features & setup.offered(),
                rings % 2 == 0,
                rings < 2 ? RingFormat.SPLIT : RingFormat.PACKED,
                c.next(4) == 0);
    }

    static Config config(Choices c) {
        int size = 1 << c.next(4);
        int offset = c.next(2) == 0 ? CONFIG_BYPASS : c.next(48);
        return new Config(offset, size, c.next(2) == 0 ? c.next(3) : c.nextLong());
    }

    /** One that is there. */
    private static int endpoint(Choices c, Setup setup) {
        List<Integer> ids = new ArrayList<>(setup.endpoints().keySet());
        return ids.get(c.next(ids.size()));
    }

    private static long address(Choices c) {
        long page = c.next(24) * 0x1000L;
        return switch (c.next(8)) {
            case 0 -> -0x10000L + page % 0x10000;
            case 1 -> 0xfffff000L + page;
            case 2 -> 0xf0000L + page;
            default -> page;
        };
    }

    static Ask ask(Choices c, Setup setup) {
        int endpoint = c.next(16) == 0 ? c.next(70_000) : endpoint(c, setup);
        int domain = c.next(20) == 0 ? (int) c.nextLong() : c.next(7);
        byte[] request =
                switch (c.next(20)) {
                    case 0, 1, 2, 3 ->
                            Driver.attach(endpoint, domain, c.next(6) == 0 ? c.next(3) : 0);
                    case 4, 5 -> Driver.detach(endpoint, domain);
                    case 6, 7, 8, 9, 10, 11, 12 -> map(c, domain);
                    case 13, 14, 15, 16 -> {
                        long first = address(c);
                        yield Driver.unmap(domain, first, last(c, first));
                    }
                    case 17, 18 -> Driver.probe(endpoint);
                    default -> Driver.request(c.next(256), domain, endpoint, 0, 0);
                };
        if (c.next(12) == 0) {
            request[c.next(request.length)] ^= (byte) (1 + c.next(255));
        }
        if (c.next(16) == 0) {
            request = Arrays.copyOf(request, c.next(90));
        }
        int writable = request.length > 0 && request[0] == T_PROBE && c.next(4) != 0 ? 516 : 4;
        if (c.next(12) == 0) {
            writable = WRITABLE[c.next(WRITABLE.length)];
        }
        if (request.length == 0 && writable == 0) {
            writable = TAIL_SIZE; // a chain has at least one buffer
        }
        boolean isCut = c.next(4) == 0 && request.length + writable <= 100;
        return new Ask(
                request,
                writable,
                LAYOUTS.get(c.next(LAYOUTS.size())),
                isCut ? 1 + c.next(36) : 128,
                isCut ? 1 + c.next(4) : 1024,
                c.next(3) != 0);
    }

    private static byte[] map(Choices c, int domain) {
        long first = address(c);
        long last = last(c, first);
        switch (c.next(24)) {
            case 0 -> first += c.next(0x1000);
            case 1 -> last += 1 + c.next(3);
            case 2 -> last = first - 1;
            case 3 -> {
                first = 0;
                last = -1L;
            }
            default -> {}
        }
        long output = DMA + c.next(40) * 0x1000L;
        switch (c.next(16)) {
            case 0 -> output = -0x1000L;
            case 1 -> output++;
            case 2 -> output = c.nextLong() & -0x1000L;
            case 3 -> output &= -0x10000L;
            default -> {}
        }
        int flags = c.next(20) == 0 ? (int) c.nextLong() : c.next(8);
        return Driver.map(domain, first, last, output, flags);
    }

    private static long last(Choices c, long first) {
        return switch (c.next(12)) {
            case 0 -> -1L;
            case 1 -> first + 0xffff;
            case 2 -> first + c.next(0x4000);
            default -> first + (1 + c.next(4)) * 0x1000L - 1;
        };
    }
}
