// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.error;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Random calls on two contexts of one node beside {@link SpaceModel}: after each call the answer is
 * what the model worked out before, and what is held, charged and mapped is what it says. {@code
 * -Dioasis.model.steps=1000000} runs a million of them.
 */
class ContextModelTest {
    private static final int SEEDS = 20;
    private static final int STEPS = Integer.getInteger("ioasis.model.steps", 20_000);
    private static final int SPACES = 3;
    private static final int PAGES = 48;
    private static final long HOLE = 40 * PAGE;

    /** An access as its driver keeps it: it lets go when it is told. */
    private static final class Pinning implements Access.User {
        private final Access access;
        private final List<IovaRange> held = new ArrayList<>();

        Pinning(IommufdContext context) throws IommufdException {
            access = context.access(this, true);
        }

        @Override
        public void unmap(long iova, long length) {
            long last = length == -1 ? -1 : iova + length - 1;
            for (IovaRange range : List.copyOf(held)) {
                if (Long.compareUnsigned(range.first(), last) <= 0
                        && Long.compareUnsigned(range.last(), iova) >= 0) {
                    held.remove(range);
                    access.unpin(range.first(), range.last() - range.first() + 1);
                }
            }
        }
    }

    private static final class Space {
        private final MockHost host;
        private final int id;
        private final SpaceModel model = new SpaceModel();
        private final List<Integer> hwpts = new ArrayList<>();
        private final List<Pinning> pinnings = new ArrayList<>();

        /** The device whose own table of this space there is, or 0. */
        private int stdev;

        private int device;

        Space(MockHost host, int id) {
            this.host = host;
            this.id = id;
        }
    }

    private final Set<String> seen = new HashSet<>();
    private Random random = new Random();
    private MockHost host = new MockHost();
    private long memory;
    private List<Space> spaces = new ArrayList<>();
    private List<MockHost> contexts = new ArrayList<>();

    @Test
    @Tag("S01")
    void everyAnswerAndEveryCounterIsThatOfThePlainModel() throws IommufdException {
        for (int seed = 1; seed <= SEEDS; seed++) {
            begin(seed);
            for (int step = 0; step < STEPS / SEEDS; step++) {
                String call = step();
                check("seed %d step %d: %s".formatted(seed, step, call));
                seen.add(call);
            }
            end();
        }
        // Each kind of call was answered and refused.
        assertThat(seen).hasSizeGreaterThan(20);
    }

    private void begin(int seed) {
        random = new Random(seed);
        host = new MockHost();
        contexts = List.of(host, new MockHost(host.node, host.program));
        memory = host.program.mmap(PAGES * PAGE);
        host.program.munmapFrom(memory, memory + HOLE);
        spaces = new ArrayList<>();
    }

    private void end() {
        for (Space space : spaces) {
            space.pinnings.forEach(pinning -> pinning.access.close());
        }
        contexts.get(1).file.release();
        host.closeAll();
    }

    private String step() throws IommufdException {
        if (spaces.isEmpty()) {
            return allocate();
        }
        Space space = spaces.get(random.nextInt(spaces.size()));
        return switch (random.nextInt(20)) {
            case 0 -> allocate();
            case 1 -> destroy(space);
            case 2, 3, 4, 5 -> map(space);
            case 6 -> mapAnywhere(space);
            case 7, 8, 9 -> copy(space);
            case 10, 11, 12, 13 -> unmap(space);
            case 14 -> attach(space);
            case 15 -> table(space);
            case 16 -> allow(space);
            case 17 -> pinning(space);
            case 18 -> pin(space);
            default -> transfer(space);
        };
    }

    private String result(String call, long answer, long expected) {
        assertThat(answer).as(call).isEqualTo(expected);
        return answer < 0 ? call + " refused" : call;
    }

    private String allocate() {
        if (spaces.size() == SPACES) {
            return "allocate nothing";
        }
        MockHost in = contexts.get(random.nextInt(contexts.size()));
        spaces.add(new Space(in, in.ioas()));
        return "allocate";
    }

    private String destroy(Space space) {
        boolean isNeeded = space.model.domains > 0 || !space.pinnings.isEmpty();
        long expected = isNeeded ? error(Errno.EBUSY) : 0;
        if (!isNeeded) {
            spaces.remove(space);
        }
        return result("destroy", space.host.destroy(space.id), expected);
    }

    /** Mostly pages, sometimes parts of pages that only a space without page tables takes. */
    private long amount(int pages) {
        return switch (random.nextInt(8)) {
            case 0 -> random.nextInt(pages * 2) * SpaceModel.GRANULE;
            case 1 -> random.nextInt(pages * 8) * 512L;
            default -> random.nextInt(pages) * PAGE;
        };
    }

    private long length() {
        return Math.max(512, amount(12));
    }

    private long iova() {
        return APERTURE - 4 * PAGE + amount(64);
    }

    private int flags() {
        return random.nextInt(3) == 0 ? Iommufd.MAP_READABLE : MockHost.READ_WRITE;
    }

    private String map(Space space) {
        long offset = amount(PAGES);
        long length = Math.min(length(), PAGES * PAGE - offset);
        int flags = flags();
        long iova = iova();
        long expected = model(space, offset, length, iova, flags);
        return result(
                "map",
                space.host.mapFixed(space.id, memory + offset, length, iova, flags),
                Math.min(expected, 0));
    }

    private String mapAnywhere(Space space) {
        long offset = amount(PAGES);
        long length = Math.min(length(), PAGES * PAGE - offset);
        long expected = model(space, offset, length, -1, MockHost.READ_WRITE);
        return result("map anywhere", space.host.map(space.id, memory + offset, length), expected);
    }

    private long model(Space space, long offset, long length, long iova, int flags) {
        long first = offset / PAGE * PAGE;
        SpaceModel.Source source =
                new SpaceModel.Source(
                        memory + first, (flags & Iommufd.MAP_WRITEABLE) != 0, HOLE - first);
        return space.model.map(source, offset - first, length, iova, flags);
    }

    private String copy(Space space) {
        Space from = spaces.get(random.nextInt(spaces.size()));
        if (from.host != space.host) {
            return "copy between contexts";
        }
        long source = iova();
        long length = length();
        SpaceModel.Area some = any(from);
        if (some != null && random.nextInt(4) > 0) {
            source = some.first();
            length = some.last() - some.first() + 1;
        }
        long iova = iova();
        int flags = flags();
        long expected = space.model.copy(from.model, source, length, iova, flags);
        return result(
                "copy", space.host.copy(space.id, from.id, source, length, iova, flags), expected);
    }

    private SpaceModel.@Nullable Area any(Space space) {
        List<SpaceModel.Area> all = List.copyOf(space.model.areas.values());
        return all.isEmpty() ? null : all.get(random.nextInt(all.size()));
    }

    private String unmap(Space space) {
        SpaceModel.Area some = any(space);
        if (random.nextInt(12) == 0) {
            long expected = Math.max(0, space.model.unmap(0, Long.MAX_VALUE));
            assertThat(space.model.pins).isEmpty();
            return result("unmap all", space.host.unmap(space.id, 0, -1), expected);
        }
        long first = some == null || random.nextInt(3) == 0 ? iova() : some.first();
        long length = some == null || random.nextInt(3) == 0 ? length() : some.last() - first + 1;
        if (length <= 0) {
            length = PAGE;
        }
        long expected = space.model.unmap(first, first + length - 1);
        return result("unmap", space.host.unmap(space.id, first, length), expected);
    }

    /** A device comes with a page table of the space, or goes. */
    private String attach(Space space) {
        if (space.stdev != 0) {
            space.model.domains--;
            long answer = space.host.destroy(space.stdev);
            space.stdev = 0;
            return result("device goes", answer, 0);
        }
        long expected = space.model.addDomain();
        long answer = space.host.tryMockDomain(space.id, 0);
        if (answer == 0) {
            space.stdev = host.program.peek(IommufdTest.MOCK_DOMAIN_OUT_STDEV_ID);
            space.device = host.program.peek(IommufdTest.MOCK_DOMAIN_OUT_IDEV_ID);
        }
        return result("device", answer, expected);
    }

    /** One more page table, which needs a device only while it is made; or one goes. */
    private String table(Space space) {
        if (!space.hwpts.isEmpty() && random.nextBoolean()) {
            space.model.domains--;
            return result("table goes", space.host.destroy(space.hwpts.removeLast()), 0);
        }
        if (space.stdev == 0 || space.hwpts.size() == 3) {
            return "no table";
        }
        long expected = space.model.addDomain();
        int hwpt = space.host.hwpt(space.device, space.id, 0);
        if (hwpt > 0) {
            space.hwpts.add(hwpt);
        }
        return result("table", Math.min(hwpt, 0), expected);
    }

    private String allow(Space space) throws IommufdException {
        long[] bounds = new long[2 * random.nextInt(3)];
        List<IovaRange> ranges = new ArrayList<>();
        for (int i = 0; i < bounds.length; i += 2) {
            bounds[i] = iova();
            bounds[i + 1] = bounds[i] + amount(40);
            ranges.add(new IovaRange(bounds[i], bounds[i + 1]));
        }
        long expected = space.model.allow(bounds);
        Ioas ioas = space.host.find(space.id, Ioas.class);
        return result("allow", answer(() -> ioas.allow(ranges)), expected);
    }

    private interface Call {
        void run() throws IommufdException;
    }

    private static long answer(Call call) {
        try {
            call.run();
            return 0;
        } catch (IommufdException e) {
            return error(e.errno());
        }
    }

    /** An access that holds pages comes or goes. */
    private String pinning(Space space) throws IommufdException {
        if (!space.pinnings.isEmpty() && random.nextBoolean()) {
            int index = space.pinnings.size() - 1;
            Pinning gone = space.pinnings.remove(index);
            gone.access.close();
            space.model.pinning--;
            space.model.pins.removeIf(pin -> pin.access() == index);
            return "access goes";
        }
        if (space.pinnings.size() == 2) {
            return "no access";
        }
        Pinning fresh = new Pinning((IommufdContext) space.host.file);
        Ioas ioas = space.host.find(space.id, Ioas.class);
        long expected = space.model.addPinning();
        long answer = answer(() -> fresh.access.attach(ioas));
        if (answer == 0) {
            space.pinnings.add(fresh);
        } else {
            fresh.access.close();
        }
        return result("access", answer, expected);
    }

    private String pin(Space space) {
        if (space.pinnings.isEmpty()) {
            return "no pin";
        }
        int index = random.nextInt(space.pinnings.size());
        Pinning pinning = space.pinnings.get(index);
        SpaceModel.Area some = any(space);
        long iova = some == null || random.nextInt(4) == 0 ? iova() / PAGE * PAGE : some.first();
        long length = (1 + random.nextInt(6)) * PAGE;
        boolean isWrite = random.nextBoolean();
        long expected = space.model.pin(index, iova, length, isWrite);
        long answer = answer(() -> pinning.access.pin(iova, length, isWrite));
        if (answer == 0) {
            pinning.held.add(new IovaRange(iova, iova + length - 1));
        }
        return result("pin", answer, expected);
    }

    /** What a page table shows is the program's own memory. */
    private String transfer(Space space) {
        SpaceModel.Area some = any(space);
        if (some == null || space.hwpts.isEmpty()) {
            return "nothing to look at";
        }
        int hwpt = space.hwpts.get(random.nextInt(space.hwpts.size()));
        PagingHwpt table = space.host.find(hwpt, PagingHwpt.class);
        long iova = some.first() + (some.last() - some.first()) / PAGE * PAGE;
        ProgramStub.Memory bytes = host.program.memoryAt(memory);
        long offset = some.source().addressIn(memory) + some.startByte() + iova - some.first();
        assertThat(table.domain().toPhysical(iova))
                .isEqualTo(host.node.addressOf(bytes, offset / PAGE * PAGE) + offset % PAGE);
        return "look";
    }

    private void check(String step) {
        Map<SpaceModel.Source, Set<Long>> held = new HashMap<>();
        for (Space space : spaces) {
            space.model.held(held);
            assertThat(space.host.find(space.id, Ioas.class).mappings())
                    .as(step)
                    .isEqualTo(space.model.areas.size());
            assertThat(space.host.find(space.id, Ioas.class).alignment())
                    .as(step)
                    .isEqualTo(space.model.alignment());
            for (int i = 0; i < space.pinnings.size(); i++) {
                int index = i;
                assertThat(space.pinnings.get(i).held)
                        .as(step)
                        .hasSize(
                                (int)
                                        space.model.pins.stream()
                                                .filter(pin -> pin.access() == index)
                                                .map(pin -> pin.number())
                                                .distinct()
                                                .count());
            }
        }
        long pages = held.values().stream().mapToLong(Set::size).sum();
        assertThat(host.node.heldPages()).as(step).isEqualTo(pages);
        assertThat(host.program.locked().user()).as(step).isEqualTo(pages);
        assertThat(host.program.locked().pinned()).as(step).isEqualTo(pages);
    }
}
